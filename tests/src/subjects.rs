//! Recorded people for tests and demo: folders of pictures, one a person, judged by the real pipeline.
//! Never committed with the project; whoever has such pictures names their folder.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use zhenyin_core::biometric::{FaceObservation, PadResult, Probe, Reference, compare};
use zhenyin_models::{Frame, Pack, Pipeline};

/// One person with the pictures that the pipeline can use.
pub struct Subject {
    pub name: String,
    pub frames: Vec<Frame>,
    probes: Vec<Probe>,
}

/// Who plays whom.
pub struct Cast {
    pub pharmacist: Subject,
    pub patient: Subject,
    pub stranger: Subject,
}

impl Subject {
    /// The first half of the pictures, for enrolment.
    pub fn enrolment(&self) -> Vec<Frame> {
        self.frames[..self.frames.len() / 2].to_vec()
    }

    /// The other half, so that nobody is recognised by the very pictures they were enrolled with.
    pub fn later(&self) -> Vec<Frame> {
        self.frames[self.frames.len() / 2..].to_vec()
    }

    fn enrolled(&self) -> Option<Reference> {
        Reference::enrol(&self.probes[..self.probes.len() / 2])
    }

    fn seen_later(&self) -> Option<Probe> {
        Probe::fuse(&self.probes[self.probes.len() / 2..])
    }
}

/// Pictures that a person needs to take part: half for enrolment, half for later.
const WANTED: usize = 6;
/// More than this many pictures of one person are not looked at.
const ENOUGH: usize = 10;

/// Picks three people whose pictures the pack can use and tells apart, in the order of their names.
///
/// # Errors
/// Says how many people were found and what is needed.
pub fn cast(folder: &Path, pack: &Pack, pipeline: &Pipeline) -> anyhow::Result<Cast> {
    let mut picked: Vec<Subject> = Vec::new();
    let mut seen = 0;
    for person in folders(folder)? {
        seen += 1;
        let Some(subject) = audition(&person, pipeline)? else { continue };
        if recognised(&subject, &subject, pack) && !picked.iter().any(|other| alike(&subject, other, pack)) {
            picked.push(subject);
        }
        if picked.len() == 3 {
            break;
        }
    }
    let count = picked.len();
    let Ok([pharmacist, patient, stranger]) = <[Subject; 3]>::try_from(picked) else {
        bail!(
            "`{}` has {count} of the 3 people needed ({seen} folders seen): give a folder with one sub-folder \
             a person and at least {WANTED} clear pictures in each",
            folder.display()
        );
    };
    Ok(Cast { pharmacist, patient, stranger })
}

/// Pictures that pass every gate, at most `each` of a person.
///
/// # Errors
/// When the folder cannot be read.
pub fn usable(folder: &Path, pipeline: &Pipeline, each: usize) -> anyhow::Result<Vec<Frame>> {
    let mut frames = Vec::new();
    for person in folders(folder)? {
        frames.extend(audition(&person, pipeline)?.into_iter().flat_map(|s| s.frames).take(each));
    }
    Ok(frames)
}

fn folders(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("`{}` cannot be read", folder.display()))?;
    let mut found: Vec<PathBuf> =
        entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.is_dir()).collect();
    found.sort();
    Ok(found)
}

/// Keeps the pictures in which the pipeline sees one live face of good quality.
fn audition(person: &Path, pipeline: &Pipeline) -> anyhow::Result<Option<Subject>> {
    let mut pictures: Vec<PathBuf> =
        std::fs::read_dir(person)?.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.is_file()).collect();
    pictures.sort();
    let (mut frames, mut probes) = (Vec::new(), Vec::new());
    for picture in pictures {
        let Ok(frame) = Frame::decode(&std::fs::read(&picture)?) else { continue };
        if let Ok(FaceObservation::Usable(sample)) = pipeline.observe(&frame)
            && sample.pad == PadResult::BonaFide
        {
            frames.push(frame);
            probes.push(sample.probe);
        }
        if frames.len() == ENOUGH {
            break;
        }
    }
    let name = person.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((frames.len() >= WANTED).then_some(Subject { name, frames, probes }))
}

fn recognised(enrolled: &Subject, later: &Subject, pack: &Pack) -> bool {
    let score = enrolled.enrolled().zip(later.seen_later()).and_then(|(r, p)| compare(&p, &r));
    score.is_some_and(|score| score.matches(pack.thresholds().comparison))
}

fn alike(one: &Subject, other: &Subject, pack: &Pack) -> bool {
    recognised(one, other, pack) || recognised(other, one, pack)
}
