//! Makes a pack out of public networks an operator brings: finds each file by its hash, copies it, writes
//! `pack.toml`, and loads the result once. Never downloads, never overwrites a folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::pack::{PACK_FILE, Pack, PackError, read_bounded, sha256_hex};
use crate::recipe::{RecipeError, files, pack_spec};
use crate::spec::{ModelFile, PackSpec};

/// Which pack to make.
#[derive(Clone, Copy, Debug)]
pub struct ImportOptions<'a> {
    /// Name of a pack recipe, see [`crate::recipe::pack_names`].
    pub pack: &'a str,
    /// Detector recipe instead of the pack's own choice.
    pub detector: Option<&'a str>,
}

impl Default for ImportOptions<'_> {
    fn default() -> Self {
        Self { pack: "reference", detector: None }
    }
}

/// Why an import made no pack. Nothing is left behind.
#[derive(Debug, Error)]
pub enum ImportError {
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    #[error("`{}` exists already: name a new folder", folder.display())]
    Exists { folder: PathBuf },
    #[error("no file in `{}` has SHA-256 {sha256} (`{file}` in the recipe)", folder.display())]
    Missing { folder: PathBuf, file: String, sha256: String },
    #[error("cannot write `{}`", file.display())]
    Write {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the pack description cannot be written as TOML")]
    Description(#[source] toml::ser::Error),
    #[error("cannot list `{}`", folder.display())]
    List {
        folder: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the imported pack does not load")]
    Unusable(#[source] PackError),
}

/// Makes the pack `out` from the networks found in `source` (by hash, whatever their names).
/// The folder appears whole or not at all.
pub fn import(source: &Path, out: &Path, options: ImportOptions<'_>) -> Result<Pack, ImportError> {
    let spec = pack_spec(options.pack, options.detector)?;
    if out.exists() {
        return Err(ImportError::Exists { folder: out.to_owned() });
    }
    let draft = draft_name(out);
    let made = fill(source, &draft, &spec)
        .and_then(|()| Pack::load(&draft).map_err(ImportError::Unusable))
        .and_then(|pack| fs::rename(&draft, out).map(|()| pack).map_err(writing(out)));
    if made.is_err() {
        let _ = fs::remove_dir_all(&draft);
    }
    made
}

/// A sibling of `out`, so that the final rename stays on one file system.
fn draft_name(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(format!(".importing-{}", std::process::id()));
    out.with_file_name(name)
}

fn fill(source: &Path, draft: &Path, spec: &PackSpec) -> Result<(), ImportError> {
    fs::create_dir_all(draft).map_err(writing(draft))?;
    for file in files(spec) {
        let bytes = find(source, file)?;
        let target = draft.join(&file.name);
        fs::write(&target, bytes).map_err(writing(&target))?;
    }
    let target = draft.join(PACK_FILE);
    let text = toml::to_string(spec).map_err(ImportError::Description)?;
    fs::write(&target, text).map_err(writing(&target))
}

/// The bytes of the file that the recipe means: by its usual name first, else any file of that size and hash.
fn find(source: &Path, wanted: &ModelFile) -> Result<Vec<u8>, ImportError> {
    let listing = |error| ImportError::List { folder: source.to_owned(), source: error };
    let mut candidates = vec![source.join(&wanted.name)];
    for entry in fs::read_dir(source).map_err(listing)? {
        let entry = entry.map_err(listing)?;
        if entry.metadata().is_ok_and(|m| m.is_file() && m.len() == wanted.bytes) {
            candidates.push(entry.path());
        }
    }
    let same = |bytes: &Vec<u8>| bytes.len() as u64 == wanted.bytes && sha256_hex(bytes) == wanted.sha256;
    candidates.iter().filter_map(|path| read_bounded(path, wanted.bytes).ok()).find(same).ok_or_else(|| {
        ImportError::Missing {
            folder: source.to_owned(),
            file: wanted.name.clone(),
            sha256: wanted.sha256.clone(),
        }
    })
}

fn writing(file: &Path) -> impl Fn(io::Error) -> ImportError {
    let file = file.to_owned();
    move |source| ImportError::Write { file: file.clone(), source }
}
