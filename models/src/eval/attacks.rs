//! Error rates of presentation attack detection (ISO/IEC 30107-3) on a folder `bona-fide/`, `attack-<species>/`.
//! Never averages over species: the worst one is what an attacker picks.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use zhenyin_core::biometric::PadResult;

use super::folders::{entries, name_of};
use super::{EvalError, Progress, read};
use crate::pipeline::Pipeline;
use crate::roc::upper_bound;

const BONA_FIDE: &str = "bona-fide";
const ATTACK: &str = "attack-";

/// Figures of bona fide pictures and of every species.
#[derive(Clone, Debug, Serialize)]
pub struct PadReport {
    pub bona_fide: SpeciesReport,
    pub attacks: Vec<SpeciesReport>,
}

/// Pictures of one kind.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SpeciesReport {
    pub name: String,
    pub pictures: usize,
    /// Not readable, or the pipeline failed.
    pub unreadable: usize,
    /// No face was found, so nothing was judged: for an attack a non-response, for a bona fide a failure.
    pub no_face: usize,
    pub judged: usize,
    /// Bona fide judged as attack, or attack judged as bona fide.
    pub errors: usize,
    /// Neither: left to a challenge, and never accepted without one.
    pub doubtful: usize,
}

impl SpeciesReport {
    /// APCER for an attack, BPCER for bona fide; `None` when nothing was judged.
    pub fn error_rate(&self) -> Option<f64> {
        (self.judged > 0).then(|| self.errors as f64 / self.judged as f64)
    }

    /// What the rate may really be, with 95 % confidence if the pictures were independent.
    pub fn error_bound(&self) -> f64 {
        upper_bound(self.errors, self.judged)
    }
}

/// Whether `folder` is laid out for [`evaluate_attacks`].
pub fn holds_attacks(folder: &Path) -> bool {
    folder.join(BONA_FIDE).is_dir()
}

/// Judges the largest face of every picture.
///
/// # Errors
/// [`EvalError`] when a folder cannot be listed or no `attack-…` folder lies beside `bona-fide`.
pub fn evaluate_attacks(
    pipeline: &Pipeline,
    folder: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PadReport, EvalError> {
    let species = entries(folder)?.into_iter().filter(|path| {
        path.is_dir() && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(ATTACK))
    });
    let bona_fide = judge_all(pipeline, &folder.join(BONA_FIDE), PadResult::BonaFide, progress)?;
    let attacks: Vec<_> = species
        .map(|path| judge_all(pipeline, &path, PadResult::Attack, progress))
        .collect::<Result<_, _>>()?;
    if attacks.is_empty() {
        return Err(EvalError::NoAttacks { folder: folder.to_owned() });
    }
    Ok(PadReport { bona_fide, attacks })
}

fn judge_all(
    pipeline: &Pipeline,
    folder: &Path,
    truth: PadResult,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<SpeciesReport, EvalError> {
    let files: Vec<PathBuf> = entries(folder)?.into_iter().filter(|path| path.is_file()).collect();
    let name = name_of(folder);
    let name = name.strip_prefix(ATTACK).unwrap_or(&name).to_owned();
    let mut report = SpeciesReport { name, pictures: files.len(), ..SpeciesReport::default() };
    for (done, file) in files.iter().enumerate() {
        match judge(pipeline, file) {
            Some(Some(verdict)) => {
                report.judged += 1;
                report.doubtful += usize::from(verdict == PadResult::Doubtful);
                report.errors += usize::from(verdict != PadResult::Doubtful && verdict != truth);
            }
            Some(None) => report.no_face += 1,
            None => report.unreadable += 1,
        }
        progress(Progress { set: &report.name, done: done + 1, of: files.len() });
    }
    Ok(report)
}

/// `None` when the picture cannot be used, `Some(None)` when it shows no face.
fn judge(pipeline: &Pipeline, file: &Path) -> Option<Option<PadResult>> {
    let frame = read(file).ok()?;
    let faces = pipeline.detect(&frame).ok()?;
    let Some(face) = faces.first() else { return Some(None) };
    pipeline.judge(&frame, face).ok().map(Some)
}

impl fmt::Display for PadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<20} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7} {:>9}",
            "species", "pictures", "no face", "judged", "doubtful", "error", "rate", "at most"
        )?;
        let rows = self.attacks.iter().map(|one| ("APCER", one));
        for (rate, one) in std::iter::once(("BPCER", &self.bona_fide)).chain(rows) {
            let percent = one.error_rate().map_or_else(|| "-".to_owned(), |r| format!("{:.1} %", r * 100.0));
            writeln!(
                f,
                "{:<20} {:>8} {:>8} {:>8} {:>8} {:>7} {percent:>7} {:>7.1} %  {rate}",
                one.name,
                one.pictures,
                one.no_face + one.unreadable,
                one.judged,
                one.doubtful,
                one.errors,
                one.error_bound() * 100.0
            )?;
        }
        writeln!(f, "at most: 95 % confidence, one-sided; without an error three over the number judged")
    }
}
