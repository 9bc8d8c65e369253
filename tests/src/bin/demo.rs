//! `cargo demo`: the main job on embedded defaults, told as a story.
//! Never needs a camera, a reader, a network or root.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use zhenyin_tests::demo::{Options, run};

/// Plays one verification from camera and card to receipt, on this machine alone.
#[derive(Debug, Parser)]
struct Arguments {
    /// Folder of recorded people: one sub-folder a person, at least six clear pictures in each.
    #[arg(long)]
    subjects: Option<PathBuf>,
    /// Play with card and PIN alone.
    #[arg(long, conflicts_with = "subjects")]
    without_face: bool,
    /// Stay up with the status page after the story.
    #[arg(long)]
    stay: bool,
}

fn main() -> ExitCode {
    let Arguments { subjects, without_face, stay } = Arguments::parse();
    match run(&Options { subjects, without_face, stay }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when standard error is closed as well.
            let _closed = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
