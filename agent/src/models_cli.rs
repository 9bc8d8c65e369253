//! `zhenyin models …`: get, import, verify, show, bench, eval and calibrate model packs.
//! Never touches a running agent: it reads pack folders and pictures, and prints figures. Only `get` uses a network.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;
use thiserror::Error;
use zhenyin_models::bench::{self, BenchError};
use zhenyin_models::calibrate::{CalibrateError, calibrate};
use zhenyin_models::eval::{self, EvalError, EvalOptions, Flip};
use zhenyin_models::import::{self, ImportError, ImportOptions};
use zhenyin_models::plot;
use zhenyin_models::{Frame, FrameError, Pack, PackError, Pipeline};

use crate::models_get::{self, GetError};

#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// Make a pack from public networks you have: files are found by their SHA-256.
    Import {
        /// Folder with the networks.
        source: PathBuf,
        /// New folder for the pack.
        out: PathBuf,
        /// Pack recipe.
        #[arg(long, default_value = "reference")]
        pack: String,
        /// Detector recipe instead of the pack's own: `yunet-n-320`, `yunet-n-640`, `yunet-s-320`, `yunet-s-640`.
        #[arg(long)]
        detector: Option<String>,
        /// Embedding recipe instead of the pack's own: `mobilefacenet`, `sface`, `arcface-112`.
        #[arg(long)]
        embedder: Option<String>,
        /// Your own embedding network, for `arcface-112`.
        #[arg(long)]
        embedder_file: Option<PathBuf>,
    },
    /// Fetch a public network from its publisher, pinned by SHA-256: `yunet`, `sface`.
    Get {
        name: String,
        /// Folder to put it into, for `models import`.
        #[arg(long, default_value = ".")]
        into: PathBuf,
    },
    /// Check hashes, shapes and rehearsal of a pack.
    Verify { pack: PathBuf },
    /// Print what a pack is: networks, licences, thresholds, measured error rates.
    Show { pack: PathBuf },
    /// Time every stage on this machine.
    Bench {
        pack: PathBuf,
        /// Picture with one face; without it the stages run on a test card.
        #[arg(long)]
        picture: Option<PathBuf>,
        #[arg(long, default_value_t = 100)]
        rounds: usize,
        /// Folder of camera frames with one face each, instead of one picture: what a frame costs in sequence.
        #[arg(long, conflicts_with = "picture")]
        frames: Option<PathBuf>,
        /// The figures of `--frames` as JSON.
        #[arg(long, requires = "frames")]
        json: bool,
    },
    /// Error rates on folders of pictures, `SET/IDENTITY/picture` or one such set; on a folder with `bona-fide/` and
    /// `attack-<species>/` those of the presentation attack detection; on a folder of pictures alone, how many faces are found.
    Eval {
        pack: PathBuf,
        pictures: PathBuf,
        /// Stretch the pictures of a set in height, as `cn=1.21`.
        #[arg(long, value_parser = stretch)]
        stretch: Vec<(String, f32)>,
        /// A set of video frames: genuine pairs only across clips (first digit after the last underscore).
        #[arg(long)]
        clips: Vec<String>,
        /// Ask for quality and PAD as in live use; counts what is refused as failure to acquire.
        #[arg(long)]
        gate: bool,
        /// Only this set; may be given several times.
        #[arg(long)]
        only: Vec<String>,
        /// Also compare means of so many frames; may be given several times.
        #[arg(long)]
        fuse: Vec<usize>,
        /// Embed the mirrored crop too: `enrolled` as the agent does, or `both` sides.
        #[arg(long, value_parser = flip)]
        flip: Option<Flip>,
        /// Write ROC and DET curves to this SVG file.
        #[arg(long)]
        plot: Option<PathBuf>,
        /// The figures as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Propose a comparison threshold for a site from pictures of its people, `IDENTITY/picture`.
    Calibrate {
        pack: PathBuf,
        pictures: PathBuf,
        /// Share of pairs of different people that may match at most.
        #[arg(long, default_value_t = 0.001)]
        wanted: f64,
        /// Write the policy fragment to this file.
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Error)]
pub enum ModelsCliError {
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    Bench(#[from] BenchError),
    #[error(transparent)]
    Eval(#[from] EvalError),
    #[error("cannot read picture `{}`", file.display())]
    Picture {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("picture `{}` is refused", file.display())]
    Frame {
        file: PathBuf,
        #[source]
        source: FrameError,
    },
    #[error(transparent)]
    Calibrate(#[from] CalibrateError),
    #[error(transparent)]
    Get(#[from] GetError),
    #[error("no picture in `{}`", folder.display())]
    NoPictures { folder: PathBuf },
    #[error("cannot write `{}`", file.display())]
    Write {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("async runtime cannot be started")]
    Runtime(#[source] io::Error),
    #[error("cannot print")]
    Print(#[from] io::Error),
}

/// Runs one command; results go to `out`, the progress line to standard error.
pub fn run(command: ModelsCommand, out: &mut dyn Write) -> Result<(), ModelsCliError> {
    match command {
        ModelsCommand::Import { source, out: folder, pack, detector, embedder, embedder_file } => {
            let options = ImportOptions {
                pack: &pack,
                detector: detector.as_deref(),
                embedder: embedder.as_deref(),
                embedder_file: embedder_file.as_deref(),
            };
            let pack = import::import(&source, &folder, options)?;
            writeln!(out, "{pack}imported into `{}`", folder.display())?;
        }
        ModelsCommand::Get { name, into } => fetch(&name, &into, out)?,
        ModelsCommand::Verify { pack } => {
            let loaded = Pack::load(&pack)?;
            let (name, model) = (loaded.name(), loaded.digest().short());
            writeln!(
                out,
                "`{name}` is as described: hashes, shapes and rehearsal agree; embedding model {model}"
            )?;
        }
        ModelsCommand::Show { pack } => write!(out, "{}", Pack::load(&pack)?)?,
        ModelsCommand::Bench { pack, rounds, frames: Some(frames), json, .. } => {
            bench_frames(&pack, &frames, rounds, json, out)?;
        }
        ModelsCommand::Bench { pack, picture, rounds, .. } => {
            let frame = picture.as_deref().map(read_picture).transpose()?;
            write!(out, "{}", bench::run(&pack, frame.as_ref(), rounds)?)?;
        }
        ModelsCommand::Eval { pack, pictures, json, .. } if eval::holds_attacks(&pictures) => {
            let pipeline = Pipeline::new(&Pack::load(&pack)?)?;
            figures(&eval::evaluate_attacks(&pipeline, &pictures, &mut show_progress)?, json, out)?;
        }
        ModelsCommand::Eval { pack, pictures, json, .. } if eval::holds_pictures(&pictures) => {
            let pipeline = Pipeline::new(&Pack::load(&pack)?)?;
            figures(&eval::count_faces(&pipeline, &pictures, &mut show_progress)?, json, out)?;
        }
        ModelsCommand::Eval { pack, pictures, stretch, clips, gate, only, fuse, flip, plot, json } => {
            let options = EvalOptions {
                stretch: BTreeMap::from_iter(stretch),
                clips: clips.into_iter().collect(),
                gate,
                only: only.into_iter().collect(),
                fuse,
                flip: flip.unwrap_or_default(),
            };
            let report = evaluate(&pack, &pictures, &options)?;
            figures(&report, json, out)?;
            plot.map_or(Ok(()), |file| write_file(&file, &plot::svg(&report)))?;
        }
        ModelsCommand::Calibrate { pack, pictures, wanted, out: file } => {
            propose(&pack, &pictures, wanted, file.as_deref(), out)?;
        }
    }
    Ok(())
}

/// A report for people, or for programs.
fn figures<R: Display + Serialize>(report: &R, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        return writeln!(out, "{}", serde_json::to_string(report)?);
    }
    write!(out, "{report}")
}

fn evaluate(pack: &Path, pictures: &Path, options: &EvalOptions) -> Result<eval::Report, ModelsCliError> {
    let pack = Pack::load(pack)?;
    let pipeline = Pipeline::new(&pack)?;
    let threshold = pack.thresholds().comparison.cosine();
    Ok(eval::evaluate(&pipeline, threshold, pictures, options, &mut show_progress)?)
}

fn show_progress(at: eval::Progress<'_>) {
    let mut err = io::stderr();
    // A progress line that cannot be written is not worth stopping for.
    if at.done.is_multiple_of(20) || at.done == at.of {
        let _ = write!(err, "\r{} {}/{}   ", at.set, at.done, at.of);
    }
    if at.done == at.of {
        let _ = writeln!(err);
    }
}

fn bench_frames(
    pack: &Path,
    folder: &Path,
    rounds: usize,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), ModelsCliError> {
    let unreadable = |source| ModelsCliError::Picture { file: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        files.push(entry.map_err(unreadable)?.path());
    }
    files.sort();
    let frames = files.iter().map(|file| read_picture(file)).collect::<Result<Vec<_>, _>>()?;
    if frames.is_empty() {
        return Err(ModelsCliError::NoPictures { folder: folder.to_owned() });
    }
    let report = bench::run_frames(pack, &frames, rounds)?;
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let cost = |cost: bench::Cost| {
        serde_json::json!({
            "wall_ms": milliseconds(cost.wall),
            "cpu_ms": cost.processor.map(milliseconds),
        })
    };
    let figures = serde_json::json!({
        "frames": report.frames,
        "usable": report.usable,
        "load_ms": milliseconds(report.load),
        "observe": cost(report.observe),
        "observe_next": cost(report.observe_next),
        "resident_bytes": report.resident,
    });
    if json {
        return Ok(writeln!(out, "{figures}")?);
    }
    Ok(writeln!(out, "{figures:#}")?)
}

fn propose(
    pack: &Path,
    pictures: &Path,
    wanted: f64,
    file: Option<&Path>,
    out: &mut dyn Write,
) -> Result<(), ModelsCliError> {
    let pack = Pack::load(pack)?;
    let pipeline = Pipeline::new(&pack)?;
    let found = calibrate(&pack, &pipeline, pictures, wanted, &mut show_progress)?;
    write!(out, "{found}")?;
    let fragment = policy_fragment(&found.model_name(), found.thousandths);
    match file {
        None => writeln!(out, "policy fragment: {fragment}")?,
        Some(file) => {
            write_file(file, &format!("{fragment}\n"))?;
            writeln!(
                out,
                "policy fragment written to `{}`: the authority decides and signs",
                file.display()
            )?;
        }
    }
    Ok(())
}

/// The member of a policy that sets a model's threshold.
fn policy_fragment(model: &str, thousandths: u16) -> serde_json::Value {
    serde_json::json!({ "comparison": { model: thousandths } })
}

fn fetch(name: &str, into: &Path, out: &mut dyn Write) -> Result<(), ModelsCliError> {
    let offer = models_get::offer(name)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(ModelsCliError::Runtime)?;
    let mut shown = 0;
    let mut progress = |bytes: u64| {
        let percent = bytes * 100 / offer.bytes;
        if percent != shown {
            shown = percent;
            // A progress line that cannot be written is not worth stopping for.
            let _ = write!(io::stderr(), "\r{name} {percent} %   ");
        }
    };
    let file = runtime.block_on(models_get::get(&offer.into(), into, &mut progress))?;
    let _ = writeln!(io::stderr());
    let bytes = fs::read(&file).map_err(|source| ModelsCliError::Picture { file: file.clone(), source })?;
    let pinned = import::rehearse(offer.recipe, &bytes)?;
    let rehearsed = if pinned { "gives the rehearsed numbers" } else { "runs; its recipe pins no numbers" };
    writeln!(
        out,
        "`{}`: {} bytes, SHA-256 as pinned, {}, {rehearsed} (recipe `{}`)",
        file.display(),
        offer.bytes,
        offer.licence,
        offer.recipe
    )?;
    Ok(())
}

fn write_file(file: &Path, text: &str) -> Result<(), ModelsCliError> {
    fs::write(file, text).map_err(|source| ModelsCliError::Write { file: file.to_owned(), source })
}

fn read_picture(file: &Path) -> Result<Frame, ModelsCliError> {
    let bytes = fs::read(file).map_err(|source| ModelsCliError::Picture { file: file.to_owned(), source })?;
    Frame::decode(&bytes).map_err(|source| ModelsCliError::Frame { file: file.to_owned(), source })
}

fn flip(text: &str) -> Result<Flip, String> {
    match text {
        "enrolled" => Ok(Flip::Enrolled),
        "both" => Ok(Flip::Both),
        _ => Err(format!("`{text}` is neither `enrolled` nor `both`")),
    }
}

/// `SET=FACTOR` with a factor from 0.25 to 4.
fn stretch(text: &str) -> Result<(String, f32), String> {
    let wanted = || format!("`{text}` is not SET=FACTOR with a factor from 0.25 to 4");
    let (set, factor) = text.split_once('=').ok_or_else(wanted)?;
    let factor: f32 = factor.parse().map_err(|_| wanted())?;
    if set.is_empty() || !(0.25..=4.0).contains(&factor) {
        return Err(wanted());
    }
    Ok((set.to_owned(), factor))
}

#[cfg(test)]
mod tests {
    use zhenyin_core::biometric::ModelDigest;
    use zhenyin_core::documents::{Policy, PolicyContent};
    use zhenyin_core::signer::{Seed, Signer as _, SoftwareSigner};
    use zhenyin_core::time::WallTime;

    use super::*;

    #[test]
    fn a_policy_takes_the_fragment() {
        let authority = SoftwareSigner::from_seed(&Seed::take(&mut [3; 32]));
        let content = PolicyContent::new(1, WallTime(0), WallTime(1_000_000));
        let mut whole = serde_json::to_value(content).unwrap();
        let fragment = policy_fragment(&format!("sha256:{}", "07".repeat(32)), 431);
        whole["comparison"] = fragment["comparison"].clone();
        let policy = Policy::seal(&serde_json::from_value(whole).unwrap(), &authority).unwrap();
        assert_eq!(policy, Policy::open(policy.token(), authority.public_key()).unwrap());
        let threshold = policy.comparison_threshold(ModelDigest([7; 32])).unwrap();
        assert!((threshold.cosine() - 0.431).abs() < 1e-6);
    }

    #[test]
    fn stretch_is_a_set_and_a_factor() {
        assert_eq!(stretch("cn=1.21"), Ok(("cn".to_owned(), 1.21)));
        for wrong in ["cn", "cn=", "=1.2", "cn=0", "cn=nan", "cn=9"] {
            assert!(stretch(wrong).is_err(), "{wrong}");
        }
    }
}
