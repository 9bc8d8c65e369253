//! `zhenyin models …`: import, verify, show, bench and eval of model packs.
//! Never touches a running agent: it reads pack folders and pictures, and prints figures.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use thiserror::Error;
use zhenyin_models::bench::{self, BenchError};
use zhenyin_models::eval::{self, EvalError, EvalOptions};
use zhenyin_models::import::{self, ImportError, ImportOptions};
use zhenyin_models::{Frame, FrameError, Pack, PackError, Pipeline};

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
    },
    /// Error rates on folders of pictures, `SET/IDENTITY/picture` or one such set.
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
    #[error("cannot print")]
    Print(#[from] io::Error),
}

/// Runs one command; results go to `out`, the progress line to standard error.
pub fn run(command: ModelsCommand, out: &mut dyn Write) -> Result<(), ModelsCliError> {
    match command {
        ModelsCommand::Import { source, out: folder, pack, detector } => {
            let options = ImportOptions { pack: &pack, detector: detector.as_deref() };
            let pack = import::import(&source, &folder, options)?;
            writeln!(out, "{pack}imported into `{}`", folder.display())?;
        }
        ModelsCommand::Verify { pack } => {
            let loaded = Pack::load(&pack)?;
            let (name, model) = (loaded.name(), loaded.digest().short());
            writeln!(
                out,
                "`{name}` is as described: hashes, shapes and rehearsal agree; embedding model {model}"
            )?;
        }
        ModelsCommand::Show { pack } => write!(out, "{}", Pack::load(&pack)?)?,
        ModelsCommand::Bench { pack, picture, rounds } => {
            let frame = picture.as_deref().map(read_picture).transpose()?;
            write!(out, "{}", bench::run(&pack, frame.as_ref(), rounds)?)?;
        }
        ModelsCommand::Eval { pack, pictures, stretch, clips, gate, only } => {
            let options = EvalOptions {
                stretch: BTreeMap::from_iter(stretch),
                clips: clips.into_iter().collect(),
                gate,
                only: only.into_iter().collect(),
            };
            write!(out, "{}", evaluate(&pack, &pictures, &options)?)?;
        }
    }
    Ok(())
}

fn evaluate(pack: &Path, pictures: &Path, options: &EvalOptions) -> Result<eval::Report, ModelsCliError> {
    let pack = Pack::load(pack)?;
    let pipeline = Pipeline::new(&pack)?;
    let mut err = io::stderr();
    let mut progress = |at: eval::Progress<'_>| {
        if at.done.is_multiple_of(20) || at.done == at.of {
            // A progress line that cannot be written is not worth stopping for.
            let _ = write!(err, "\r{} {}/{}   ", at.set, at.done, at.of);
        }
    };
    let report =
        eval::evaluate(&pipeline, pack.thresholds().comparison.cosine(), pictures, options, &mut progress)?;
    let _ = writeln!(io::stderr());
    Ok(report)
}

fn read_picture(file: &Path) -> Result<Frame, ModelsCliError> {
    let bytes = fs::read(file).map_err(|source| ModelsCliError::Picture { file: file.to_owned(), source })?;
    Frame::decode(&bytes).map_err(|source| ModelsCliError::Frame { file: file.to_owned(), source })
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
    use super::*;

    #[test]
    fn stretch_is_a_set_and_a_factor() {
        assert_eq!(stretch("cn=1.21"), Ok(("cn".to_owned(), 1.21)));
        for wrong in ["cn", "cn=", "=1.2", "cn=0", "cn=nan", "cn=9"] {
            assert!(stretch(wrong).is_err(), "{wrong}");
        }
    }
}
