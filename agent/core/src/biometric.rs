//! Biometric values and the comparison of a probe with a reference (ISO/IEC 2382-37 terms).
//! Never lets a feature vector or a raw score be printed or serialised: scores leave as a bucket 0–10.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Unit feature vector of one capture subject, made by one embedding model.
#[derive(Clone, PartialEq, Zeroize, ZeroizeOnDrop)]
struct Features(Vec<f32>);

impl Features {
    fn normalised(mut values: Vec<f32>) -> Option<Self> {
        let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt();
        if !norm.is_finite() || norm < 1e-6 {
            return None;
        }
        values.iter_mut().for_each(|v| *v /= norm);
        Some(Self(values))
    }

    fn mean<'a>(all: impl Iterator<Item = &'a Self>) -> Option<Self> {
        let mut sum: Vec<f32> = Vec::new();
        for one in all {
            if sum.is_empty() {
                sum.resize(one.0.len(), 0.0);
            }
            if sum.len() != one.0.len() {
                return None;
            }
            sum.iter_mut().zip(&one.0).for_each(|(s, v)| *s += v);
        }
        Self::normalised(sum)
    }
}

/// Which embedding model made a vector: the SHA-256 of its file. Vectors of two models never compare.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ModelDigest(pub [u8; 32]);

impl ModelDigest {
    /// `sha256:` and the first eight hexadecimal digits, the form that events carry.
    pub fn short(&self) -> String {
        use std::fmt::Write as _;
        self.0[..4].iter().fold(String::from("sha256:"), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl fmt::Debug for ModelDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

/// Features of a face seen just now. Lives in memory for one act and is zeroed when dropped.
#[derive(Clone)]
pub struct Probe {
    model: ModelDigest,
    features: Features,
}

impl Probe {
    /// `None` when the vector has no direction (all zero, or not finite).
    pub fn new(model: ModelDigest, features: Vec<f32>) -> Option<Self> {
        Some(Self { model, features: Features::normalised(features)? })
    }

    /// Mean of several probes of one act: one live frame alone is a poor witness.
    /// `None` when the list is empty, mixes models, or cancels out.
    pub fn fuse(probes: &[Self]) -> Option<Self> {
        let model = probes.first()?.model;
        if probes.iter().any(|p| p.model != model) {
            return None;
        }
        Some(Self { model, features: Features::mean(probes.iter().map(|p| &p.features))? })
    }

    pub fn model(&self) -> ModelDigest {
        self.model
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Probe({:?}, …)", self.model)
    }
}

/// Enrolled features of a person who agreed to it. Stored sealed only.
#[derive(Clone)]
pub struct Reference {
    model: ModelDigest,
    features: Features,
}

impl Reference {
    /// Enrols the mean of several probes; the caller decides how many it wants.
    pub fn enrol(probes: &[Probe]) -> Option<Self> {
        let fused = Probe::fuse(probes)?;
        Some(Self { model: fused.model, features: fused.features })
    }

    pub fn model(&self) -> ModelDigest {
        self.model
    }

    /// Little-endian bytes for sealing; the caller seals them and zeroes the buffer.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.features.0.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    /// The reverse of [`Self::to_bytes`]; `None` when the bytes are not whole finite numbers.
    pub fn from_bytes(model: ModelDigest, bytes: &[u8]) -> Option<Self> {
        let chunks = bytes.chunks_exact(4);
        if bytes.is_empty() || !chunks.remainder().is_empty() {
            return None;
        }
        let values = chunks.filter_map(|c| Some(f32::from_le_bytes(c.try_into().ok()?))).collect();
        Some(Self { model, features: Features::normalised(values)? })
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reference({:?}, …)", self.model)
    }
}

/// Cosine of probe and reference, −1 to 1. Never printed: fine scores help an attacker to climb.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub struct ComparisonScore(f32);

impl ComparisonScore {
    /// For tests and for tools that evaluate packs on pictures, never for live outcomes.
    pub fn danger_expose(self) -> f32 {
        self.0
    }

    pub fn matches(self, threshold: Threshold) -> bool {
        self.0 >= threshold.0
    }

    /// 0 to 10, with 5 beginning exactly at the threshold, so that a bucket reads the same for every pack.
    pub fn bucket(self, threshold: Threshold) -> ScoreBucket {
        let value = if self.0 >= threshold.0 {
            5.0 + 5.0 * (self.0 - threshold.0) / (1.0 - threshold.0).max(1e-3)
        } else {
            4.999 * (self.0 + 1.0) / (threshold.0 + 1.0).max(1e-3)
        };
        ScoreBucket(value.clamp(0.0, 10.0) as u8)
    }
}

impl fmt::Debug for ComparisonScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ComparisonScore(…)")
    }
}

/// Cosine from which on two vectors count as the same person. Belongs to one pack; set by measurement.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Threshold(f32);

impl Threshold {
    /// `None` outside 0.05..=0.99: such a value would accept or refuse everybody.
    pub fn new(cosine: f32) -> Option<Self> {
        (0.05..=0.99).contains(&cosine).then_some(Self(cosine))
    }

    pub fn cosine(self) -> f32 {
        self.0
    }
}

/// Coarse score, 0 to 10, the only form that leaves the core. 5 and above is a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScoreBucket(u8);

impl ScoreBucket {
    pub fn value(self) -> u8 {
        self.0
    }
}

/// `None` when probe and reference were made by different models.
pub fn compare(probe: &Probe, reference: &Reference) -> Option<ComparisonScore> {
    if probe.model != reference.model || probe.features.0.len() != reference.features.0.len() {
        return None;
    }
    let dot: f32 = probe.features.0.iter().zip(&reference.features.0).map(|(a, b)| a * b).sum();
    Some(ComparisonScore(dot.clamp(-1.0, 1.0)))
}

/// Presentation attack detection of one frame (ISO/IEC 30107). Passive; fails closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadResult {
    BonaFide,
    /// Neither: never enough to accept, a reason to ask for a challenge. Only packs that measured such a band
    /// have it.
    Doubtful,
    Attack,
}

/// The one thing the capture subject or the operator can mend now. Named after OFIQ elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QualityHint {
    TooDark,
    TooBright,
    LowContrast,
    Blurred,
    ComeCloser,
    MoveBack,
    MoveToCentre,
    FaceTheScreen,
    Uncover,
}

/// Sample quality 0 to 100, higher is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quality(u8);

impl Quality {
    pub fn new(value: u8) -> Self {
        Self(value.min(100))
    }

    pub fn value(self) -> u8 {
        self.0
    }
}

/// A usable biometric sample taken from one frame.
#[derive(Clone, Debug)]
pub struct FaceSample {
    pub probe: Probe,
    pub pad: PadResult,
    pub quality: Quality,
    /// The whole frame was searched, so nobody else is in it; false when only the surroundings of the face were.
    pub alone: bool,
}

/// What one camera frame shows: the only thing that leaves the inference side.
#[derive(Clone, Debug)]
pub enum FaceObservation {
    /// Nobody in view.
    NoFace,
    /// More than one face large enough to matter: one at a time, please.
    SeveralFaces { count: u8 },
    /// One face, not good enough to compare; `hint` says the one thing to mend.
    Unusable { hint: QualityHint, quality: Quality },
    /// One face, good enough to compare.
    Usable(FaceSample),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MODEL: ModelDigest = ModelDigest([1; 32]);

    fn probe(values: &[f32]) -> Probe {
        Probe::new(MODEL, values.to_vec()).unwrap()
    }

    #[test]
    fn comparison_is_the_cosine_whatever_the_length() {
        let reference = Reference::enrol(&[probe(&[3.0, 0.0])]).unwrap();
        let score = compare(&probe(&[2.0, 2.0]), &reference).unwrap();
        assert!((score.danger_expose() - 0.5_f32.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn vectors_of_two_models_never_compare() {
        let reference = Reference::enrol(&[probe(&[1.0, 0.0])]).unwrap();
        let foreign = Probe::new(ModelDigest([2; 32]), vec![1.0, 0.0]).unwrap();
        assert!(compare(&foreign, &reference).is_none());
        assert!(Probe::fuse(&[probe(&[1.0, 0.0]), foreign]).is_none());
    }

    #[test]
    fn vectors_without_direction_are_refused() {
        for values in [vec![], vec![0.0; 4], vec![f32::NAN, 1.0], vec![f32::INFINITY, 1.0]] {
            assert!(Probe::new(MODEL, values).is_none());
        }
        assert!(Reference::from_bytes(MODEL, &[0, 0, 0]).is_none());
        assert!(Probe::fuse(&[probe(&[1.0, 0.0]), probe(&[-1.0, 0.0])]).is_none());
    }

    #[test]
    fn nothing_biometric_is_printed() {
        let reference = Reference::enrol(&[probe(&[0.6, 0.8])]).unwrap();
        let sample = FaceSample {
            probe: probe(&[0.6, 0.8]),
            pad: PadResult::BonaFide,
            quality: Quality::new(70),
            alone: true,
        };
        let score = compare(&sample.probe, &reference).unwrap();
        let text = format!("{reference:?} {:?} {score:?}", FaceObservation::Usable(sample));
        for secret in ["0.6", "0.8", "1.0"] {
            assert!(!text.contains(secret), "{text}");
        }
    }

    proptest! {
        #[test]
        fn bucket_five_begins_at_the_threshold(score in -1.0_f32..=1.0, threshold in 0.05_f32..=0.95) {
            let (score, threshold) = (ComparisonScore(score), Threshold::new(threshold).unwrap());
            prop_assert_eq!(score.bucket(threshold).value() >= 5, score.matches(threshold));
            prop_assert!(score.bucket(threshold).value() <= 10);
        }

        #[test]
        fn reference_survives_sealing(values in proptest::collection::vec(-1.0_f32..1.0, 1..200)) {
            if let Some(probe) = Probe::new(MODEL, values) {
                let reference = Reference::enrol(std::slice::from_ref(&probe)).unwrap();
                let back = Reference::from_bytes(MODEL, &reference.to_bytes()).unwrap();
                prop_assert!(compare(&probe, &back).unwrap().danger_expose() > 0.9999);
            }
        }
    }
}
