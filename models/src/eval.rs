//! Error rates of a pack on folders of pictures: `SET/IDENTITY/picture`, or one such set.
//! Prints nothing and keeps no picture; names of identities never leave except in error messages about files.

mod attacks;
mod counts;
mod folders;
mod fusion;

pub use attacks::{PadReport, SpeciesReport, evaluate_attacks, holds_attacks};
pub use counts::{CountReport, count_faces, holds_pictures};
pub(crate) use folders::{Identities, sets_of};
pub use fusion::{Fusion, FusionReport};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;
use zhenyin_core::biometric::{FaceObservation, PadResult, Probe, Reference, compare};

use crate::frame::Frame;
use crate::pipeline::{ObserveError, Pipeline};
use crate::quality::assess;
use crate::resample::{Filter, resize};
use crate::roc::{CurvePoint, OperatingPoint, Scores};

/// How pictures are taken and paired.
#[derive(Clone, Debug, Default)]
pub struct EvalOptions {
    /// Set name to the factor its pictures are stretched by in height before anything else: for sets that
    /// are stored squashed.
    pub stretch: BTreeMap<String, f32>,
    /// Sets whose pictures are frames of clips: the first digit after the last underscore of a file name is
    /// the clip. Frames of one clip are near copies, so they make no genuine pair.
    pub clips: BTreeSet<String>,
    /// Ask for quality and PAD as in live use; without it the largest face of every picture is compared,
    /// which is what published figures do.
    pub gate: bool,
    /// Only these sets; empty means all.
    pub only: BTreeSet<String>,
    /// Also compare means of so many frames, see [`FusionReport`].
    pub fuse: Vec<usize>,
    /// Whose probes are means of the crop and its mirror image.
    pub flip: Flip,
}

/// Which side of a comparison is embedded twice, the second time mirrored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flip {
    #[default]
    Neither,
    /// As the agent does: what is kept was embedded with care, what is seen was not.
    Enrolled,
    Both,
}

/// Called after every picture, for a progress line.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    pub set: &'a str,
    pub done: usize,
    pub of: usize,
}

/// Figures of all sets; `Display` prints the table.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub sets: Vec<SetReport>,
}

/// Figures of one set.
#[derive(Clone, Debug, Serialize)]
pub struct SetReport {
    pub name: String,
    pub identities: usize,
    pub images: usize,
    /// Pictures that gave no probe, by reason.
    pub failures: BTreeMap<Failure, usize>,
    pub genuine: usize,
    pub impostor: usize,
    /// At false accept rates 1e-2 and 1e-3; `None` with too few impostor pairs.
    pub points: [Option<OperatingPoint>; 2],
    pub equal_error_rate: Option<f64>,
    /// FMR and FNMR at the pack's own threshold.
    pub at_pack_threshold: Option<(f64, f64)>,
    /// For plots; from the strictest threshold to the loosest.
    #[serde(skip)]
    pub curve: Vec<CurvePoint>,
    pub fused: Vec<FusionReport>,
}

/// Why a picture gave no probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    Unreadable,
    NoFace,
    SeveralFaces,
    Quality,
    PresentationAttack,
    LivenessDoubt,
    Pipeline,
}

#[derive(Debug, Error)]
pub enum EvalError {
    #[error("cannot list `{}`", folder.display())]
    List {
        folder: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("no folder of identities in `{}`: expected `SET/IDENTITY/picture` or `IDENTITY/picture`", folder.display())]
    NoSets { folder: PathBuf },
    #[error("no folder `attack-…` beside `bona-fide` in `{}`", folder.display())]
    NoAttacks { folder: PathBuf },
}

/// Runs every picture under `folder` and compares all pairs within each set; `threshold` is the pack's own.
pub fn evaluate(
    pipeline: &Pipeline,
    threshold: f32,
    folder: &Path,
    options: &EvalOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Report, EvalError> {
    let mut sets = Vec::new();
    for (name, identities) in sets_of(folder)? {
        if options.only.is_empty() || options.only.contains(&name) {
            sets.push(evaluate_set(pipeline, threshold, &name, &identities, options, progress));
        }
    }
    if sets.is_empty() {
        return Err(EvalError::NoSets { folder: folder.to_owned() });
    }
    Ok(Report { sets })
}

impl SetReport {
    /// Share of pictures that gave no probe.
    pub fn failure_to_acquire(&self) -> f64 {
        self.failures.values().sum::<usize>() as f64 / self.images.max(1) as f64
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<10} {:>5} {:>6} {:>8} {:>9} {:>14} {:>14} {:>6} {:>6} {:>16}",
            "set",
            "ids",
            "images",
            "genuine",
            "impostor",
            "TAR@FAR 1e-2",
            "TAR@FAR 1e-3",
            "EER",
            "FTA",
            "pack FMR/FNMR"
        )?;
        for set in &self.sets {
            let [first, second] =
                set.points.map(|point| point.map_or_else(|| "-".to_owned(), |p| p.to_string()));
            let percent =
                |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), |r| format!("{:.1}", r * 100.0));
            let own = set.at_pack_threshold.map_or_else(
                || "-".to_owned(),
                |(fmr, fnmr)| format!("{:.3} / {:.1}", fmr * 100.0, fnmr * 100.0),
            );
            let (eer, fta) = (percent(set.equal_error_rate), percent(Some(set.failure_to_acquire())));
            writeln!(
                f,
                "{:<10} {:>5} {:>6} {:>8} {:>9} {first:>14} {second:>14} {eer:>6} {fta:>6} {own:>16}",
                set.name, set.identities, set.images, set.genuine, set.impostor
            )?;
        }
        writeln!(f, "rates in percent, threshold in brackets; FTA: failure to acquire")?;
        for fused in self.sets.iter().flat_map(|set| &set.fused) {
            writeln!(f, "{fused}")?;
        }
        for set in self.sets.iter().filter(|set| !set.failures.is_empty()) {
            let reasons: Vec<_> =
                set.failures.iter().map(|(why, count)| format!("{why:?} {count}")).collect();
            writeln!(f, "{}: no probe from {}", set.name, reasons.join(", "))?;
        }
        Ok(())
    }
}

/// One picture that gave a probe.
pub(crate) struct Sample {
    pub(crate) identity: usize,
    clip: Option<char>,
    pub(crate) probe: Probe,
    /// The same for an enrolment.
    pub(crate) kept: Probe,
    reference: Reference,
    /// 0 to 100.
    quality: u8,
}

fn evaluate_set(
    pipeline: &Pipeline,
    threshold: f32,
    name: &str,
    identities: &Identities,
    options: &EvalOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> SetReport {
    let (samples, failures) = samples_of(pipeline, name, identities, options, progress);
    let clips = options.clips.contains(name);
    let images = identities.iter().map(Vec::len).sum();
    let fused = options.fuse.iter().flat_map(|&frames| fusion::all_ways(name, &samples, frames)).collect();
    let scores = all_pairs(&samples, clips);
    SetReport {
        name: name.to_owned(),
        identities: identities.len(),
        images,
        failures,
        genuine: scores.genuine.len(),
        impostor: scores.impostor.len(),
        points: [1e-2, 1e-3].map(|rate| scores.at_false_accept_rate(rate)),
        equal_error_rate: scores.equal_error_rate(),
        at_pack_threshold: scores.rates_at(threshold),
        curve: scores.curve(),
        fused,
    }
}

/// The probe of every picture of a set, and why the others gave none.
pub(crate) fn samples_of(
    pipeline: &Pipeline,
    name: &str,
    identities: &Identities,
    options: &EvalOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> (Vec<Sample>, BTreeMap<Failure, usize>) {
    let stretch = options.stretch.get(name).copied().unwrap_or(1.0);
    let clips = options.clips.contains(name);
    let images = identities.iter().map(Vec::len).sum();
    let mut failures = BTreeMap::new();
    let mut samples = Vec::new();
    let pictures = identities.iter().enumerate().flat_map(|(i, all)| all.iter().map(move |file| (i, file)));
    for (done, (identity, file)) in pictures.enumerate() {
        match acquire(pipeline, file, stretch, options) {
            Ok(taken) => samples.extend(sample(identity, clips.then(|| clip(file)).flatten(), taken)),
            Err(failure) => *failures.entry(failure).or_default() += 1,
        }
        progress(Progress { set: name, done: done + 1, of: images });
    }
    (samples, failures)
}

/// A probe, the same for an enrolment, and the quality of its picture, 0 to 100.
type Taken = (Probe, Probe, u8);

fn acquire(pipeline: &Pipeline, file: &Path, stretch: f32, options: &EvalOptions) -> Result<Taken, Failure> {
    let mut frame = read(file)?;
    if stretch != 1.0 {
        let height = (frame.height() as f32 * stretch).round().clamp(1.0, 8192.0) as u32;
        frame = resize(&frame, frame.width(), height, Filter::Bilinear);
    }
    if options.gate {
        gate(pipeline, &frame).map_err(|_| Failure::Pipeline)??;
    }
    largest(pipeline, &frame, options.flip).map_err(|_| Failure::Pipeline)?
}

fn read(file: &Path) -> Result<Frame, Failure> {
    let bytes = fs::read(file).map_err(|_| Failure::Unreadable)?;
    Frame::decode(&bytes).map_err(|_| Failure::Unreadable)
}

/// Whether live use would take the picture.
fn gate(pipeline: &Pipeline, frame: &Frame) -> Result<Result<(), Failure>, ObserveError> {
    Ok(match pipeline.observe(frame)? {
        FaceObservation::NoFace => Err(Failure::NoFace),
        FaceObservation::SeveralFaces { .. } => Err(Failure::SeveralFaces),
        FaceObservation::Unusable { .. } => Err(Failure::Quality),
        FaceObservation::Usable(sample) => match sample.pad {
            PadResult::BonaFide => Ok(()),
            PadResult::Doubtful => Err(Failure::LivenessDoubt),
            PadResult::Attack => Err(Failure::PresentationAttack),
        },
    })
}

fn largest(pipeline: &Pipeline, frame: &Frame, flip: Flip) -> Result<Result<Taken, Failure>, ObserveError> {
    let faces = pipeline.detect(frame)?;
    let Some(face) = faces.first() else { return Ok(Err(Failure::NoFace)) };
    let quality = assess(&pipeline.measure(frame, face)?).quality.value();
    let crop = pipeline.align(frame, face)?;
    Ok(Ok(match flip {
        Flip::Neither => {
            let probe = pipeline.embed(&crop)?;
            (probe.clone(), probe, quality)
        }
        Flip::Enrolled => (pipeline.embed(&crop)?, pipeline.embed_both(&crop)?, quality),
        Flip::Both => {
            let probe = pipeline.embed_both(&crop)?;
            (probe.clone(), probe, quality)
        }
    }))
}

fn sample(identity: usize, clip: Option<char>, (probe, kept, quality): Taken) -> Option<Sample> {
    let reference = Reference::enrol(std::slice::from_ref(&kept))?;
    Some(Sample { identity, clip, probe, kept, reference, quality })
}

fn clip(file: &Path) -> Option<char> {
    file.file_stem()?.to_str()?.rsplit('_').next()?.chars().next()
}

fn all_pairs(samples: &[Sample], clips: bool) -> Scores {
    let mut scores = Scores::default();
    for (i, one) in samples.iter().enumerate() {
        for other in &samples[i + 1..] {
            let Some(score) = compare(&one.probe, &other.reference) else { continue };
            if one.identity != other.identity {
                scores.impostor.push(score.danger_expose());
            } else if !clips || one.clip != other.clip {
                scores.genuine.push(score.danger_expose());
            }
        }
    }
    scores
}
