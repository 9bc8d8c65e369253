//! What several frames are worth: means of frames compared with means of other frames of the same people.
//! Never mixes the two sides: a clip serves one side only.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use zhenyin_core::biometric::{Probe, Reference, compare};

use super::Sample;
use crate::roc::{OperatingPoint, Scores};

/// How several probes become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fusion {
    /// Every frame counts the same.
    Mean,
    /// A frame counts one to five times by its quality.
    Weighted,
    /// Only the better half by quality counts.
    BestHalf,
}

/// Figures of comparing the mean of `frames` frames with the mean of as many others (five others are enough). An identity's clips are halved
/// in turn, so that every clip comes first on the probe's side once; a side takes its frames clip after clip.
/// Identities with too few frames are left out. Impostors are all pairs of identities, once.
#[derive(Clone, Debug, Serialize)]
pub struct FusionReport {
    pub set: String,
    pub frames: usize,
    pub how: Fusion,
    pub identities: usize,
    pub genuine: usize,
    pub impostor: usize,
    /// At false accept rates 1e-2 and 1e-3; `None` with too few impostor pairs.
    pub points: [Option<OperatingPoint>; 2],
    pub equal_error_rate: Option<f64>,
}

impl fmt::Display for FusionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] =
            self.points.map(|point| point.map_or_else(|| "-".to_owned(), |p| p.to_string()));
        let how = match self.how {
            Fusion::Mean => "mean",
            Fusion::Weighted => "weighted by quality",
            Fusion::BestHalf => "better half by quality",
        };
        write!(
            f,
            "{}: {} frames, {how}: {} people, {} genuine, {} impostor, TAR@1e-2 {first}, TAR@1e-3 {second}, EER {:.1}",
            self.set,
            self.frames,
            self.identities,
            self.genuine,
            self.impostor,
            self.equal_error_rate.unwrap_or(f64::NAN) * 100.0
        )
    }
}

/// All ways of fusing `frames` frames; one frame needs no ways.
pub(super) fn all_ways(set: &str, samples: &[Sample], frames: usize) -> Vec<FusionReport> {
    let ways: &[Fusion] =
        if frames < 2 { &[Fusion::Mean] } else { &[Fusion::Mean, Fusion::Weighted, Fusion::BestHalf] };
    ways.iter().map(|&how| one_way(set, samples, frames, how)).collect()
}

fn one_way(set: &str, samples: &[Sample], frames: usize, how: Fusion) -> FusionReport {
    let people: Vec<_> = by_person(samples).iter().map(|clips| sides(clips, frames, how)).collect();
    let people: Vec<_> = people.iter().filter(|all| !all.is_empty()).collect();
    let mut scores = Scores::default();
    for (i, one) in people.iter().enumerate() {
        let genuine = one.iter().filter_map(|(probe, reference)| compare(probe, reference));
        scores.genuine.extend(genuine.map(|score| score.danger_expose()));
        let others = people.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, other)| &other[0].1);
        let impostor = others.filter_map(|reference| compare(&one[0].0, reference));
        scores.impostor.extend(impostor.map(|score| score.danger_expose()));
    }
    FusionReport {
        set: set.to_owned(),
        frames,
        how,
        identities: people.len(),
        genuine: scores.genuine.len(),
        impostor: scores.impostor.len(),
        points: [1e-2, 1e-3].map(|rate| scores.at_false_accept_rate(rate)),
        equal_error_rate: scores.equal_error_rate(),
    }
}

/// Frames of one clip.
type Clip<'a> = Vec<&'a Sample>;

/// The samples of every person, clip by clip. A picture of no clip is a clip of its own.
fn by_person(samples: &[Sample]) -> Vec<Vec<Clip<'_>>> {
    let mut people: BTreeMap<usize, BTreeMap<(Option<char>, usize), Clip<'_>>> = BTreeMap::new();
    for (place, sample) in samples.iter().enumerate() {
        let clip = (sample.clip, if sample.clip.is_some() { 0 } else { place });
        people.entry(sample.identity).or_default().entry(clip).or_default().push(sample);
    }
    people.into_values().map(|clips| clips.into_values().collect()).collect()
}

/// Probe and reference of every halving of a person's clips that gives both sides enough frames.
fn sides(clips: &[Clip<'_>], frames: usize, how: Fusion) -> Vec<(Probe, Reference)> {
    let half = clips.len().div_ceil(2);
    let halvings = (0..clips.len()).map(|first| {
        let mut turned = clips.to_vec();
        turned.rotate_left(first);
        turned
    });
    halvings
        .filter_map(|clips| {
            let (one, other) = clips.split_at(half);
            let probe = fused(&one.concat(), frames, how, |sample| &sample.probe)?;
            let other = other.concat();
            let enough = other.len().min(frames);
            let reference = fused(&other, enough, how, |sample| &sample.kept)
                .filter(|_| enough >= frames.min(ENROLLED))?;
            Some((probe, Reference::enrol(&[reference])?))
        })
        .collect()
}

fn fused(samples: &[&Sample], frames: usize, how: Fusion, of: impl Fn(&Sample) -> &Probe) -> Option<Probe> {
    let mut chosen = samples.get(..frames)?.to_vec();
    let times = |sample: &Sample| match how {
        Fusion::Mean | Fusion::BestHalf => 1,
        Fusion::Weighted => 1 + usize::from(sample.quality) / 25,
    };
    if how == Fusion::BestHalf {
        chosen.sort_by_key(|sample| std::cmp::Reverse(sample.quality));
        chosen.truncate(frames.div_ceil(2));
    }
    let probes: Vec<_> =
        chosen.iter().flat_map(|sample| std::iter::repeat_n(of(sample).clone(), times(sample))).collect();
    Probe::fuse(&probes)
}

/// A person enrolled from so many frames may be compared with the mean of more.
const ENROLLED: usize = 5;

#[cfg(test)]
mod tests {
    use zhenyin_core::biometric::ModelDigest;

    use super::*;

    /// A person along one axis of 40; `noise` goes into an axis of the frame's own.
    fn sample(identity: usize, clip: char, place: usize, quality: u8) -> Sample {
        let mut features = vec![0.0; 40];
        features[identity] = 1.0;
        features[20 + place] = if quality > 50 { 0.5 } else { 2.0 };
        let probe = Probe::new(ModelDigest([0; 32]), features).unwrap();
        let reference = Reference::enrol(std::slice::from_ref(&probe)).unwrap();
        Sample { identity, clip: Some(clip), kept: probe.clone(), probe, reference, quality }
    }

    fn people(count: usize) -> Vec<Sample> {
        let frames = [('0', 10), ('0', 90), ('0', 90), ('1', 90), ('1', 10), ('1', 90)];
        let person = |id| {
            frames
                .iter()
                .enumerate()
                .map(move |(place, &(clip, q))| sample(id, clip, (id + place * 3) % 20, q))
        };
        (0..count).flat_map(person).collect()
    }

    fn genuine_mean(frames: usize, how: Fusion) -> f32 {
        let all = people(2);
        let clips = by_person(&all);
        let (probe, reference) = &sides(&clips[0], frames, how)[0];
        compare(probe, reference).unwrap().danger_expose()
    }

    #[test]
    fn more_and_better_frames_score_higher() {
        let [one, three] = [1, 3].map(|frames| genuine_mean(frames, Fusion::Mean));
        assert!(three > one, "{one} {three}");
        assert!(genuine_mean(3, Fusion::Weighted) > three);
        assert!(genuine_mean(3, Fusion::BestHalf) > three);
    }

    #[test]
    fn sides_share_no_clip_and_thin_people_are_left_out() {
        let all = people(5);
        let report = one_way("set", &all, 3, Fusion::Mean);
        assert_eq!((report.identities, report.genuine, report.impostor), (5, 10, 20));
        let report = one_way("set", &all, 4, Fusion::Mean);
        assert_eq!((report.identities, report.genuine), (0, 0));
    }
}
