//! `pack.toml` as written: which files, what they take, how their numbers are read, where the thresholds lie.
//! Parsing only: nothing here opens a file or believes a hash.

use serde::{Deserialize, Serialize};

use crate::normalise::NetworkInput;

/// Everything a pack says about itself. Unknown keys are refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackSpec {
    /// Layout of this file; 1.
    pub version: u32,
    pub name: String,
    pub licence: String,
    /// What a reader must know about the training data before relying on the weights.
    pub rights: String,
    pub capture: CaptureSpec,
    pub thresholds: ThresholdSpec,
    pub detector: DetectorSpec,
    pub embedder: EmbedderSpec,
    pub pad: Vec<PadSpec>,
    #[serde(default)]
    pub measured: Vec<Measured>,
}

/// How many frames one act wants: a single frame is a poor witness.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureSpec {
    pub probe_frames: u8,
    pub enrol_frames: u8,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdSpec {
    /// Least detector score of a face, 0 to 1.
    pub detection: f32,
    /// Least cosine of probe and reference, both means of several frames.
    pub comparison: f32,
    /// Least mean bona fide share of all PAD networks, 0 to 1.
    pub pad: f32,
    /// Least bona fide share of every single PAD network, 0 to 1.
    pub pad_each: f32,
    /// Least mean that leaves a doubt, which a challenge may settle; absent leaves none: below `pad` is an attack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pad_doubt: Option<f32>,
}

/// One file of the pack, in the pack's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    pub name: String,
    /// 64 lower-case hexadecimal digits.
    pub sha256: String,
    pub bytes: u64,
    pub licence: String,
    /// Where the weights come from.
    pub source: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorSpec {
    pub decode: DetectorDecode,
    /// See [`crate::rehearsal`].
    pub rehearsal: Vec<f32>,
    pub file: ModelFile,
    pub input: NetworkInput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DetectorDecode {
    /// Twelve outputs: class, object, box and five points, each at strides 8, 16 and 32.
    Yunet,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbedderSpec {
    pub decode: EmbedderDecode,
    pub alignment: Alignment,
    /// Length of the feature vector.
    pub dimensions: usize,
    pub rehearsal: Vec<f32>,
    pub file: ModelFile,
    pub input: NetworkInput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmbedderDecode {
    /// One vector; scaled to length one and compared by cosine.
    Cosine,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alignment {
    /// Five points to the ArcFace places of a 112 x 112 crop, scaled with the network's input.
    Arcface,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PadSpec {
    pub decode: PadDecode,
    /// Number of classes the network tells apart, and which of them (from 0) means bona fide.
    pub classes: usize,
    pub bona_fide: usize,
    /// Side of the crop over side of the face box.
    pub crop_scale: f32,
    pub rehearsal: Vec<f32>,
    pub file: ModelFile,
    pub input: NetworkInput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PadDecode {
    /// Logits of `classes` classes.
    Softmax,
}

/// One measured operating point, so that nobody has to guess what a threshold buys.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    pub set: String,
    pub protocol: String,
    /// Share of impostor comparisons at or above `threshold`.
    pub false_match_rate: f64,
    /// Share of genuine comparisons below `threshold`.
    pub false_non_match_rate: f64,
    pub threshold: f32,
}
