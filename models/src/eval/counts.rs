//! How many faces the detector finds on the pictures of one folder: for group photographs, where every face should be
//! found, and for pictures without faces, where none may be. Says nothing about who is on them.

use std::fmt;
use std::path::Path;

use super::folders::{entries, name_of};
use serde::Serialize;

use super::{EvalError, Failure, Progress, read};
use crate::pipeline::Pipeline;

/// Faces found on the pictures of one folder; `Display` prints a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CountReport {
    pub folder: String,
    /// Pictures that were judged.
    pub pictures: usize,
    /// Files that are no readable picture, or on which the network failed.
    pub failed: usize,
    pub with_faces: usize,
    pub faces: usize,
}

/// Whether the folder holds pictures themselves and no folders.
pub fn holds_pictures(folder: &Path) -> bool {
    entries(folder).is_ok_and(|inside| !inside.is_empty() && inside.iter().all(|path| path.is_file()))
}

/// Counts the faces on every picture of `folder`.
///
/// # Errors
/// When the folder cannot be listed.
pub fn count_faces(
    pipeline: &Pipeline,
    folder: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<CountReport, EvalError> {
    let files = entries(folder)?;
    let name = name_of(folder);
    let mut report = CountReport { folder: name, pictures: 0, failed: 0, with_faces: 0, faces: 0 };
    for (index, file) in files.iter().enumerate() {
        match read(file).and_then(|frame| pipeline.detect(&frame).map_err(|_| Failure::Pipeline)) {
            Err(_) => report.failed += 1,
            Ok(found) => {
                report.pictures += 1;
                report.faces += found.len();
                report.with_faces += usize::from(!found.is_empty());
            }
        }
        progress(Progress { set: &report.folder, done: index + 1, of: files.len() });
    }
    Ok(report)
}

impl fmt::Display for CountReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, pictures, failed, with_faces, faces } = self;
        write!(f, "`{folder}`: {faces} faces on {with_faces} of {pictures} pictures")?;
        if *failed > 0 {
            write!(f, ", {failed} files could not be judged")?;
        }
        writeln!(f)
    }
}
