//! Which pictures belong to whom: folders named after sets, identities and species. Reads names, never pictures.

use std::fs;
use std::path::{Path, PathBuf};

use super::EvalError;

/// The pictures of every identity of one set.
pub(crate) type Identities = Vec<Vec<PathBuf>>;

/// Sets by name, each with its identities. A folder whose sub-folders hold files is one set by itself.
pub(crate) fn sets_of(folder: &Path) -> Result<Vec<(String, Identities)>, EvalError> {
    let own = identities_of(folder)?;
    if !own.is_empty() {
        return Ok(vec![(name_of(folder), own)]);
    }
    let mut sets = Vec::new();
    for set in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        let identities = identities_of(&set)?;
        if !identities.is_empty() {
            sets.push((name_of(&set), identities));
        }
    }
    Ok(sets)
}

/// The files of every sub-folder that has some, when no file lies beside the sub-folders.
fn identities_of(set: &Path) -> Result<Identities, EvalError> {
    let inside = entries(set)?;
    if inside.iter().any(|path| path.is_file()) || inside.iter().any(|path| holds_folders(path)) {
        return Ok(Vec::new());
    }
    let mut identities = Vec::new();
    for identity in &inside {
        let files: Vec<_> = entries(identity)?.into_iter().filter(|path| path.is_file()).collect();
        if !files.is_empty() {
            identities.push(files);
        }
    }
    Ok(identities)
}

fn holds_folders(path: &Path) -> bool {
    entries(path).is_ok_and(|inside| inside.iter().any(|p| p.is_dir()))
}

pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, EvalError> {
    let listing = |source| EvalError::List { folder: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(listing)? {
        paths.push(entry.map_err(listing)?.path());
    }
    paths.sort();
    Ok(paths)
}

pub(super) fn name_of(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
