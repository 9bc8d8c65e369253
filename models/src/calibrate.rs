//! A comparison threshold for one site, from pictures of its own people and camera, with a bound on what it lets in.
//! Never guesses: with too few pairs of people for the wanted rate it refuses. Proposes; the authority decides.

use std::fmt;
use std::path::Path;

use thiserror::Error;
use zhenyin_core::biometric::{ModelDigest, Probe, Reference, compare};

use crate::eval::{EvalError, EvalOptions, Flip, Progress, Sample, samples_of, sets_of};
use crate::pack::Pack;
use crate::pipeline::Pipeline;
use crate::roc::upper_bound;

/// What a site's pictures support.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    pub model: ModelDigest,
    /// The proposed threshold in thousandths of a cosine.
    pub thousandths: u16,
    /// Share of pairs of different people that may match at most.
    pub wanted: f64,
    pub people: usize,
    /// Pairs of different people, and those that match at the proposed threshold.
    pub pairs: usize,
    pub false_matches: usize,
    /// Comparisons of a person with themselves, and those that do not match.
    pub genuine: usize,
    pub false_non_matches: usize,
}

/// Why there is no proposal.
#[derive(Debug, Error)]
pub enum CalibrateError {
    #[error(transparent)]
    Eval(#[from] EvalError),
    #[error("the wanted false match rate {wanted} is not between 0 and 0.1")]
    Rate { wanted: f64 },
    #[error(
        "{people} people make {pairs} pairs, {needed} are needed for a false match rate of {wanted}: bring pictures of {more} people, at least {pictures} of each"
    )]
    TooFewPairs { people: usize, pairs: usize, needed: usize, wanted: f64, more: usize, pictures: usize },
    #[error("no threshold keeps {wanted}: even at 0.99 too many pairs match; is one person in two folders?")]
    NoThreshold { wanted: f64 },
}

impl Calibration {
    /// The model's name in a policy's `comparison` member.
    pub fn model_name(&self) -> String {
        use fmt::Write as _;
        self.model.0.iter().fold("sha256:".to_owned(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// Enrols every person of `folder` (`IDENTITY/picture`) as the pack enrols, compares as the pack compares, and
/// finds the least threshold whose false match rate is at most `wanted` with 95 % confidence. Only one comparison
/// counts for a pair of people, the highest: those of the same two people are not independent.
///
/// # Errors
/// [`CalibrateError`] says what is missing.
pub fn calibrate(
    pack: &Pack,
    pipeline: &Pipeline,
    folder: &Path,
    wanted: f64,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Calibration, CalibrateError> {
    if !(wanted > 0.0 && wanted <= 0.1) {
        return Err(CalibrateError::Rate { wanted });
    }
    let mut people = Vec::new();
    for (name, identities) in sets_of(folder)? {
        let options = EvalOptions { flip: Flip::Enrolled, ..EvalOptions::default() };
        let (samples, _) = samples_of(pipeline, &name, &identities, &options, progress);
        let of = |identity| samples.iter().filter(move |s| s.identity == identity).collect::<Vec<_>>();
        people.extend((0..identities.len()).filter_map(|identity| person(pack, &of(identity))));
    }
    let (pairs, genuine) = scores(&people);
    let pictures = usize::from(pack.probe_frames()) + 1;
    proposal(pack.digest(), people.len(), pairs, &genuine, wanted, pictures)
}

struct Person {
    reference: Reference,
    probes: Vec<Probe>,
}

/// As many frames to enrol as the pack wants, but enough left for one probe; `None` with too few pictures.
fn person(pack: &Pack, samples: &[&Sample]) -> Option<Person> {
    let (probe, enrol) = (usize::from(pack.probe_frames()), usize::from(pack.enrol_frames()));
    let enrolled = samples.len().checked_sub(probe)?.min(enrol);
    let frames: Vec<_> = samples.iter().map(|sample| sample.probe.clone()).collect();
    let kept: Vec<_> = samples[..enrolled].iter().map(|sample| sample.kept.clone()).collect();
    let reference = Reference::enrol(&kept)?;
    let probes = frames[enrolled..].chunks_exact(probe).filter_map(Probe::fuse).collect();
    Some(Person { reference, probes })
}

/// The highest score of every pair of people, and all genuine scores.
fn scores(people: &[Person]) -> (Vec<f32>, Vec<f32>) {
    let score = |probe: &Probe, reference| compare(probe, reference).map(|s| s.danger_expose());
    let mut pairs = Vec::new();
    let mut genuine = Vec::new();
    for (i, one) in people.iter().enumerate() {
        genuine.extend(one.probes.iter().filter_map(|probe| score(probe, &one.reference)));
        for other in &people[i + 1..] {
            let there = one.probes.iter().filter_map(|probe| score(probe, &other.reference));
            let back = other.probes.iter().filter_map(|probe| score(probe, &one.reference));
            pairs.extend(there.chain(back).reduce(f32::max));
        }
    }
    (pairs, genuine)
}

fn proposal(
    model: ModelDigest,
    people: usize,
    mut pairs: Vec<f32>,
    genuine: &[f32],
    wanted: f64,
    pictures: usize,
) -> Result<Calibration, CalibrateError> {
    // With no false match the bound is 1 − 0.05^(1/n).
    let needed = (0.05_f64.ln() / (-wanted).ln_1p()).ceil() as usize;
    if pairs.len() < needed {
        let more = (0.5 + (0.25 + 2.0 * needed as f64).sqrt()).ceil() as usize;
        let (count, pictures) = (pairs.len(), pictures);
        return Err(CalibrateError::TooFewPairs { people, pairs: count, needed, wanted, more, pictures });
    }
    pairs.sort_by(|a, b| b.total_cmp(a));
    let allowed = (0..pairs.len()).take_while(|&k| upper_bound(k, pairs.len()) <= wanted).count() - 1;
    // Just above the first pair that must not match, in whole thousandths.
    let least = (pairs[allowed] * 1000.0).floor() as i32 + 1;
    let Ok(thousandths) = u16::try_from(least.max(LEAST)) else {
        return Err(CalibrateError::NoThreshold { wanted });
    };
    if thousandths > MOST {
        return Err(CalibrateError::NoThreshold { wanted });
    }
    let threshold = f32::from(thousandths) / 1000.0;
    Ok(Calibration {
        model,
        thousandths,
        wanted,
        people,
        pairs: pairs.len(),
        false_matches: pairs.iter().filter(|&&s| s >= threshold).count(),
        genuine: genuine.len(),
        false_non_matches: genuine.iter().filter(|&&s| s < threshold).count(),
    })
}

impl fmt::Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { thousandths, people, pairs, false_matches, genuine, false_non_matches, .. } = self;
        let percent = |errors: usize, trials: usize| {
            let rate = errors as f64 / trials.max(1) as f64 * 100.0;
            format!("{rate:.3} %, at most {:.3} % with 95 % confidence", upper_bound(errors, trials) * 100.0)
        };
        writeln!(
            f,
            "proposed threshold {}.{:03} for model {}",
            thousandths / 1000,
            thousandths % 1000,
            self.model_name()
        )?;
        writeln!(
            f,
            "false matches: {false_matches} of {pairs} pairs of {people} people, {}",
            percent(*false_matches, *pairs)
        )?;
        writeln!(
            f,
            "false non-matches: {false_non_matches} of {genuine} comparisons, {}",
            percent(*false_non_matches, *genuine)
        )
    }
}

/// The range of a policy's threshold, in thousandths.
const LEAST: i32 = 50;
const MOST: u16 = 990;

#[cfg(test)]
mod tests {
    use super::*;

    fn propose(pairs: usize, wanted: f64) -> Result<Calibration, CalibrateError> {
        let scores = (0..pairs).map(|i| 0.6 * i as f32 / pairs as f32).collect();
        let genuine: Vec<_> = (0..50).map(|i| 0.5 + i as f32 / 100.0).collect();
        proposal(ModelDigest([7; 32]), 9, scores, &genuine, wanted, 4)
    }

    #[test]
    fn the_bound_and_not_the_rate_is_kept() {
        let found = propose(10_000, 0.01).unwrap();
        assert!(upper_bound(found.false_matches, found.pairs) <= 0.01);
        assert!(found.false_matches > 60, "not stricter than needed: {found:?}");
        let below = (0..50_u16).filter(|i| 500 + i * 10 < found.thousandths).count();
        assert_eq!(found.false_non_matches, below);
        let text = found.to_string();
        assert!(text.contains("proposed threshold 0.59") && text.contains("sha256:0707"), "{text}");
    }

    #[test]
    fn too_few_pairs_are_refused_with_the_number_needed() {
        let error = propose(2000, 0.001).unwrap_err();
        let CalibrateError::TooFewPairs { pairs: 2000, needed, more, .. } = error else { panic!("{error}") };
        assert!((2990..=3000).contains(&needed), "{needed}");
        assert!(more * (more - 1) / 2 >= needed && (more - 1) * (more - 2) / 2 < needed, "{more}");
        assert!(propose(needed + 1, 0.001).is_ok(), "the control: exactly enough");
    }

    #[test]
    fn impossible_wishes_are_named() {
        assert!(matches!(propose(100, 0.0), Err(CalibrateError::TooFewPairs { .. })));
        let same = vec![1.0; 5000];
        let found = proposal(ModelDigest([7; 32]), 9, same, &[1.0], 0.01, 4);
        assert!(matches!(found, Err(CalibrateError::NoThreshold { .. })));
    }
}
