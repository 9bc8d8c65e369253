//! A model pack: a folder with `pack.toml` and the networks it names, pinned by size and SHA-256.
//! Every file is read once; the very bytes that were hashed are parsed, and every network rehearses before use.
//! Never downloads, never repairs: a pack loads whole or not at all, and the error names the file.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread::{self, Scope};

use ring::digest::{SHA256, digest};
use thiserror::Error;
use zhenyin_core::biometric::{ModelDigest, Threshold};

use crate::detect::{Detector, near_network, yunet_outputs};
use crate::embed::Embedder;
use crate::graph::{GraphError, Network, Prelu};
use crate::normalise::NetworkInput;
use crate::pad::{Floors, Pad, Voter};
use crate::rehearsal::{self, Difference};
use crate::spec::{Alignment, DetectorSpec, EmbedderSpec, ModelFile, PackSpec, PadSpec, ThresholdSpec};

/// Name of the description inside a pack's folder.
pub const PACK_FILE: &str = "pack.toml";

/// Why a pack does not load.
#[derive(Debug, Error)]
pub enum PackError {
    #[error("cannot read `{}`", file.display())]
    Read {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{}` is not a valid pack description", file.display())]
    Description {
        file: PathBuf,
        #[source]
        source: toml::de::Error,
    },
    #[error("`{PACK_FILE}` has version {found}, this program reads 1")]
    Version { found: u32 },
    #[error("`{PACK_FILE}`: {setting} is out of range: {value}")]
    Setting { setting: &'static str, value: String },
    #[error("`{file}` has {got} bytes, `{PACK_FILE}` says {expected}: bring the pack anew")]
    Size { file: String, expected: u64, got: u64 },
    #[error("`{file}` has SHA-256 {got}, `{PACK_FILE}` says {expected}: bring the pack anew")]
    Hash { file: String, expected: String, got: String },
    #[error("`{file}` does not load")]
    Network {
        file: String,
        #[source]
        source: GraphError,
    },
    #[error(
        "`{file}` does not give the rehearsed numbers: {} at place {}, expected {}",
        difference.got, difference.place, difference.expected
    )]
    Rehearsal { file: String, difference: Difference },
}

/// Operating points of a pack, checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Cosine from which on probe and reference count as the same person; both are means of several frames.
    pub comparison: Threshold,
    /// Least detector score of a face, 0 to 1.
    pub detection: f32,
    /// Least mean bona fide share of all PAD networks, 0 to 1.
    pub pad: f32,
    /// Least bona fide share of each PAD network, 0 to 1.
    pub pad_each: f32,
    /// Least mean bona fide share that leaves a doubt; equal to `pad` when there is no such band.
    pub pad_doubt: f32,
}

/// A pack that is verified, parsed and rehearsed.
pub struct Pack {
    spec: PackSpec,
    thresholds: Thresholds,
    embedding_model: ModelDigest,
    detector: Network,
    detector_near: Option<Network>,
    embedder: Network,
    pad: Vec<Network>,
}

impl Pack {
    /// Loads the pack in `folder`. Hashes and rehearses everything; takes some tenths of a second.
    pub fn load(folder: &Path) -> Result<Self, PackError> {
        let spec = read_description(&folder.join(PACK_FILE))?;
        let thresholds = checked(&spec)?;
        let (detector, embedder, pad) = thread::scope(|threads| {
            // The network that takes longest stays on this thread.
            let detector = beside(threads, || detector_network(folder, &spec.detector));
            let pad = beside(threads, || spec.pad.iter().map(|one| pad_network(folder, one)).collect());
            let embedder = embedder_network(folder, &spec.embedder);
            let pad: Result<_, _> = pad();
            (detector(), embedder, pad)
        });
        let ((detector, detector_near), (embedder, embedding_model), pad) = (detector?, embedder?, pad?);
        Ok(Self { spec, thresholds, embedding_model, detector, detector_near, embedder, pad })
    }

    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// SHA-256 of the embedding network: probes and references of two models never compare.
    pub fn digest(&self) -> ModelDigest {
        self.embedding_model
    }

    pub fn thresholds(&self) -> &Thresholds {
        &self.thresholds
    }

    /// Usable frames one verification wants.
    pub fn probe_frames(&self) -> u8 {
        self.spec.capture.probe_frames
    }

    /// Usable frames one enrolment wants.
    pub fn enrol_frames(&self) -> u8 {
        self.spec.capture.enrol_frames
    }

    /// The description as written.
    pub fn spec(&self) -> &PackSpec {
        &self.spec
    }

    pub(crate) fn stages(&self) -> (Detector, Alignment, Pad, Embedder) {
        let Thresholds { detection, pad, pad_each, pad_doubt, .. } = self.thresholds;
        let detector = Detector::new(
            self.detector.clone(),
            self.detector_near.clone(),
            self.spec.detector.decode,
            detection,
        );
        let voters = self.pad.iter().zip(&self.spec.pad).map(|(net, spec)| Voter::new(net.clone(), spec));
        let pad = Pad::new(voters.collect(), Floors { mean: pad, each: pad_each, doubt: pad_doubt });
        let embedder = Embedder::new(self.embedder.clone(), self.spec.embedder.decode, self.embedding_model);
        (detector, self.spec.embedder.alignment, pad, embedder)
    }
}

impl fmt::Debug for Pack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pack({}, {:?})", self.spec.name, self.embedding_model)
    }
}

/// What `zhenyin models show` prints.
impl fmt::Display for Pack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = &self.spec;
        writeln!(f, "pack {} (version {}), licence {}", spec.name, spec.version, spec.licence)?;
        writeln!(f, "rights: {}", spec.rights)?;
        let pad = spec.pad.iter().map(|one| ("pad", &one.file, &one.input));
        let networks = [
            ("detector", &spec.detector.file, &spec.detector.input),
            ("embedder", &spec.embedder.file, &spec.embedder.input),
        ];
        for (role, file, input) in networks.into_iter().chain(pad) {
            let ModelFile { name, sha256, bytes, licence, source } = file;
            let NetworkInput { width, height, .. } = input;
            writeln!(f, "{role:<9} {name}, {bytes} bytes, input {width}x{height}, {licence}")?;
            writeln!(f, "          sha256 {sha256}")?;
            writeln!(f, "          from {source}")?;
        }
        let ThresholdSpec { detection, comparison, pad, pad_each, pad_doubt } = spec.thresholds;
        let doubt = pad_doubt.map_or_else(String::new, |from| format!(", doubt from {from}"));
        writeln!(
            f,
            "thresholds: detection {detection}, comparison {comparison}, pad {pad} (each {pad_each}{doubt})"
        )?;
        let (probe, enrol) = (self.probe_frames(), self.enrol_frames());
        writeln!(f, "frames: {probe} to verify, {enrol} to enrol")?;
        for m in &spec.measured {
            let (fmr, fnmr) = (m.false_match_rate * 100.0, m.false_non_match_rate * 100.0);
            writeln!(
                f,
                "measured on {}: FMR {fmr:.2} %, FNMR {fnmr:.2} % at {} ({})",
                m.set, m.threshold, m.protocol
            )?;
        }
        Ok(())
    }
}

/// Begins `work` on a thread of its own, or does it when its result is asked for, where the system gives no thread.
fn beside<'scope, T: Send + 'scope>(
    threads: &'scope Scope<'scope, '_>,
    work: impl Fn() -> T + Clone + Send + 'scope,
) -> impl FnOnce() -> T {
    let thread = thread::Builder::new().spawn_scoped(threads, work.clone());
    move || {
        thread.map_or_else(|_| work(), |thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

/// Lower-case hexadecimal SHA-256.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    digest(&SHA256, bytes).as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads at most `limit` bytes and one more, so that a growing or endless file cannot fill the memory.
pub(crate) fn read_bounded(file: &Path, limit: u64) -> Result<Vec<u8>, PackError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(file)?.take(limit + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|source| PackError::Read { file: file.to_owned(), source })
}

fn read_description(file: &Path) -> Result<PackSpec, PackError> {
    let text = String::from_utf8_lossy(&read_bounded(file, MAX_DESCRIPTION_BYTES)?).into_owned();
    toml::from_str(&text).map_err(|source| PackError::Description { file: file.to_owned(), source })
}

fn checked(spec: &PackSpec) -> Result<Thresholds, PackError> {
    if spec.version != 1 {
        return Err(PackError::Version { found: spec.version });
    }
    let ThresholdSpec { detection, comparison, pad, pad_each, pad_doubt } = spec.thresholds;
    let pad_doubt = pad_doubt.unwrap_or(pad);
    for (setting, value) in [
        ("thresholds.detection", detection),
        ("thresholds.pad", pad),
        ("thresholds.pad_each", pad_each),
        ("thresholds.pad_doubt", pad_doubt),
    ] {
        if !(value > 0.0 && value < 1.0) {
            return Err(out_of_range(setting, value));
        }
    }
    if pad_doubt > pad {
        return Err(out_of_range("thresholds.pad_doubt", format!("{pad_doubt}, above thresholds.pad")));
    }
    for (setting, value) in [
        ("capture.probe_frames", spec.capture.probe_frames),
        ("capture.enrol_frames", spec.capture.enrol_frames),
    ] {
        if !(1..=20).contains(&value) {
            return Err(out_of_range(setting, value));
        }
    }
    if spec.pad.is_empty() {
        return Err(out_of_range("pad", "no network, at least one is needed"));
    }
    let comparison =
        Threshold::new(comparison).ok_or_else(|| out_of_range("thresholds.comparison", comparison))?;
    Ok(Thresholds { comparison, detection, pad, pad_each, pad_doubt })
}

fn out_of_range(setting: &'static str, value: impl fmt::Display) -> PackError {
    PackError::Setting { setting, value: value.to_string() }
}

/// The detector for whole frames and, where it can be made, for a part of one.
fn detector_network(folder: &Path, spec: &DetectorSpec) -> Result<(Network, Option<Network>), PackError> {
    let (width, height) = (spec.input.width, spec.input.height);
    if width % 32 != 0 || height % 32 != 0 {
        return Err(out_of_range(
            "detector.input",
            format!("{width}x{height}, sides must be multiples of 32"),
        ));
    }
    let bytes = verified(folder, &spec.file)?;
    let whole = rehearsed(&spec.file, &bytes, &spec.input, &yunet_outputs(width, height), &spec.rehearsal)?;
    Ok((whole, near_network(&bytes, &spec.input)))
}

fn embedder_network(folder: &Path, spec: &EmbedderSpec) -> Result<(Network, ModelDigest), PackError> {
    let bytes = verified(folder, &spec.file)?;
    let hash = digest(&SHA256, &bytes);
    let model = ModelDigest(std::array::from_fn(|i| hash.as_ref()[i]));
    let outputs = [vec![1, spec.dimensions]];
    Ok((rehearsed(&spec.file, &bytes, &spec.input, &outputs, &spec.rehearsal)?, model))
}

fn pad_network(folder: &Path, spec: &PadSpec) -> Result<Network, PackError> {
    if spec.bona_fide >= spec.classes {
        return Err(out_of_range("pad.bona_fide", spec.bona_fide));
    }
    if !(1.0..=8.0).contains(&spec.crop_scale) {
        return Err(out_of_range("pad.crop_scale", spec.crop_scale));
    }
    let bytes = verified(folder, &spec.file)?;
    rehearsed(&spec.file, &bytes, &spec.input, &[vec![1, spec.classes]], &spec.rehearsal)
}

/// The bytes of one file, once size and hash are as described.
fn verified(folder: &Path, file: &ModelFile) -> Result<Vec<u8>, PackError> {
    let plain = !file.name.is_empty() && !file.name.contains(['/', '\\']) && !file.name.starts_with('.');
    if !plain {
        return Err(out_of_range("file.name", format!("`{}`, a plain name is needed", file.name)));
    }
    if file.bytes > MAX_NETWORK_BYTES {
        return Err(out_of_range("file.bytes", file.bytes));
    }
    let bytes = read_bounded(&folder.join(&file.name), file.bytes)?;
    if bytes.len() as u64 != file.bytes {
        let (expected, got) = (file.bytes, bytes.len() as u64);
        return Err(PackError::Size { file: file.name.clone(), expected, got });
    }
    let got = sha256_hex(&bytes);
    if got != file.sha256 {
        return Err(PackError::Hash { file: file.name.clone(), expected: file.sha256.clone(), got });
    }
    Ok(bytes)
}

pub(crate) fn rehearsed(
    file: &ModelFile,
    bytes: &[u8],
    input: &NetworkInput,
    outputs: &[Vec<usize>],
    expected: &[f32],
) -> Result<Network, PackError> {
    let failed = |source| PackError::Network { file: file.name.clone(), source };
    let input = input.checked().ok_or_else(|| out_of_range("input", format!("{input:?}")))?;
    let network = Network::load(bytes, input, outputs, Prelu::Split).map_err(failed)?;
    let card = rehearsal::test_card(input.width, input.height);
    let got = network.run(input.planes(&card)).map_err(failed)?;
    match rehearsal::difference(&got, expected) {
        None => Ok(network),
        Some(difference) => Err(PackError::Rehearsal { file: file.name.clone(), difference }),
    }
}

/// The numbers a network gives on the test card, to be pinned.
pub(crate) fn rehearsal_of(
    file: &ModelFile,
    bytes: &[u8],
    input: &NetworkInput,
    outputs: &[Vec<usize>],
) -> Result<Vec<f32>, PackError> {
    let failed = |source| PackError::Network { file: file.name.clone(), source };
    let network = Network::load(bytes, input, outputs, Prelu::Split).map_err(failed)?;
    let card = rehearsal::test_card(input.width, input.height);
    Ok(rehearsal::samples(&network.run(input.planes(&card)).map_err(failed)?))
}

const MAX_DESCRIPTION_BYTES: u64 = 1 << 20;
pub(crate) const MAX_NETWORK_BYTES: u64 = 256 << 20;
