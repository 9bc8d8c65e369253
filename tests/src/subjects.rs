//! People for tests and demo, recorded (folders of pictures, one a person) or generated, judged by the real pipeline.
//! Recorded ones are never committed with the project; whoever has such pictures names their folder.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use zhenyin_core::biometric::{FaceObservation, PadResult, Probe, Reference, compare};
use zhenyin_models::{Frame, Pack, Pipeline};

use crate::generated::{Person, View, views};

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

/// Generated people who are asked.
const GENERATED: u64 = 12;
/// How much a generated person moves between and within sittings.
const SPREAD: f32 = 0.5;

/// Picks three people whose pictures the pack can use and tells apart, in the order of their names.
///
/// # Errors
/// Says how many people were found and what is needed.
pub fn cast(folder: &Path, pack: &Pack, pipeline: &Pipeline) -> anyhow::Result<Cast> {
    let people = folders(folder)?;
    let seen = people.len();
    let picked = pick(people.iter().map(|person| audition(person, pipeline)), pack)?;
    picked.map_err(|count| {
        anyhow!(
            "`{}` has {count} of the 3 people needed ({seen} folders seen): give a folder with one sub-folder \
             a person and at least {WANTED} clear pictures in each",
            folder.display()
        )
    })
}

/// Picks three generated people whom the pack takes for people and tells apart.
///
/// # Errors
/// Says how many of them the pack can use.
pub fn generated_cast(pack: &Pack, pipeline: &Pipeline) -> anyhow::Result<Cast> {
    let picked = pick((1..=GENERATED).map(|number| Ok(generated(number, pipeline))), pack)?;
    picked.map_err(|count| {
        anyhow!("the pack `{}` can use {count} of the 3 generated people needed", pack.name())
    })
}

/// The first three who are recognised again and resemble nobody picked before; else how many there were.
fn pick(
    people: impl Iterator<Item = anyhow::Result<Option<Subject>>>,
    pack: &Pack,
) -> anyhow::Result<Result<Cast, usize>> {
    let mut picked: Vec<Subject> = Vec::new();
    for subject in people {
        let Some(subject) = subject? else { continue };
        if recognised(&subject, &subject, pack) && !picked.iter().any(|other| alike(&subject, other, pack)) {
            picked.push(subject);
        }
        if picked.len() == 3 {
            break;
        }
    }
    let count = picked.len();
    Ok(<[Subject; 3]>::try_from(picked)
        .map(|[pharmacist, patient, stranger]| Cast { pharmacist, patient, stranger })
        .map_err(|_| count))
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
    let frames = pictures.iter().filter_map(|picture| Frame::decode(&std::fs::read(picture).ok()?).ok());
    let name = person.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(sifted(name, frames, pipeline))
}

/// One generated person in two sittings: other light, other room, other camera.
fn generated(number: u64, pipeline: &Pipeline) -> Option<Subject> {
    let person = Person::new(number);
    let sitting = |which: u64| View { expression: 0.0, ..View::draw(number * 2 + which, SPREAD) };
    let views = (0..2).flat_map(|which| views(&sitting(which), ENOUGH / 2));
    sifted(format!("generated {number}"), views.map(|view| person.frame(&view)), pipeline)
}

fn sifted(name: String, frames: impl Iterator<Item = Frame>, pipeline: &Pipeline) -> Option<Subject> {
    let (mut kept, mut probes) = (Vec::new(), Vec::new());
    for frame in frames {
        if let Ok(FaceObservation::Usable(sample)) = pipeline.observe(&frame)
            && sample.pad == PadResult::BonaFide
        {
            kept.push(frame);
            probes.push(sample.probe);
        }
        if kept.len() == ENOUGH {
            break;
        }
    }
    (kept.len() >= WANTED).then_some(Subject { name, frames: kept, probes })
}

fn recognised(enrolled: &Subject, later: &Subject, pack: &Pack) -> bool {
    let score = enrolled.enrolled().zip(later.seen_later()).and_then(|(r, p)| compare(&p, &r));
    score.is_some_and(|score| score.matches(pack.thresholds().comparison))
}

fn alike(one: &Subject, other: &Subject, pack: &Pack) -> bool {
    recognised(one, other, pack) || recognised(other, one, pack)
}
