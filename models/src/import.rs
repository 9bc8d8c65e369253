//! Makes a pack out of public networks an operator brings: finds each file by its hash, copies it, writes
//! `pack.toml`, and loads the result once. Never downloads, never overwrites a folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::detect::yunet_outputs;
use crate::pack::{
    MAX_NETWORK_BYTES, PACK_FILE, Pack, PackError, read_bounded, rehearsal_of, rehearsed, sha256_hex,
};
use crate::recipe::{RecipeError, detector_spec, embedder_spec, files, pack_spec};
use crate::spec::{EmbedderSpec, ModelFile, PackSpec};

/// Which pack to make.
#[derive(Clone, Copy, Debug)]
pub struct ImportOptions<'a> {
    /// Name of a pack recipe, see [`crate::recipe::pack_names`].
    pub pack: &'a str,
    /// Detector recipe instead of the pack's own choice.
    pub detector: Option<&'a str>,
    /// Embedding recipe instead of the pack's own choice.
    pub embedder: Option<&'a str>,
    /// The embedding network itself, for a recipe that pins no file; its hash and its numbers are then pinned as
    /// found.
    pub embedder_file: Option<&'a Path>,
}

impl Default for ImportOptions<'_> {
    fn default() -> Self {
        Self { pack: "reference", detector: None, embedder: None, embedder_file: None }
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
    #[error("this recipe fits many networks: name yours with `--embedder-file`")]
    Unnamed,
    #[error("the embedding network gives none of 512, 256 or 128 numbers")]
    Dimensions(#[source] PackError),
}

/// Loads one network by its recipe and runs it on the test card; `true` when its numbers were pinned beforehand and
/// agree, `false` when the recipe pins none and the network merely runs.
///
/// # Errors
/// [`ImportError`] when the recipe is for neither detector nor embedder, or the network does not do as it should.
pub fn rehearse(recipe: &str, bytes: &[u8]) -> Result<bool, ImportError> {
    if let Ok(spec) = detector_spec(recipe) {
        let outputs = yunet_outputs(spec.input.width, spec.input.height);
        rehearsed(&spec.file, bytes, &spec.input, &outputs, &spec.rehearsal)
            .map_err(ImportError::Unusable)?;
        return Ok(true);
    }
    let spec = embedder_spec(recipe)?;
    let outputs = [vec![1, spec.dimensions]];
    if spec.rehearsal.is_empty() {
        rehearsal_of(&spec.file, bytes, &spec.input, &outputs).map_err(ImportError::Unusable)?;
        return Ok(false);
    }
    rehearsed(&spec.file, bytes, &spec.input, &outputs, &spec.rehearsal).map_err(ImportError::Unusable)?;
    Ok(true)
}

fn pin(file: &mut ModelFile, bytes: &[u8]) {
    file.sha256 = sha256_hex(bytes);
    file.bytes = bytes.len() as u64;
}

/// Takes the numbers that the network gives here and now: later damage is noticed, a wrong recipe is not.
fn rehearse_as_found(draft: &Path, spec: &mut EmbedderSpec) -> Result<(), ImportError> {
    let file = draft.join(&spec.file.name);
    let bytes = read_bounded(&file, MAX_NETWORK_BYTES).map_err(ImportError::Unusable)?;
    let lengths = if spec.dimensions == 0 { vec![512, 256, 128] } else { vec![spec.dimensions] };
    let mut failure = None;
    for dimensions in lengths {
        match rehearsal_of(&spec.file, &bytes, &spec.input, &[vec![1, dimensions]]) {
            Ok(rehearsal) => {
                (spec.dimensions, spec.rehearsal) = (dimensions, rehearsal);
                return Ok(());
            }
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.map_or(ImportError::Unnamed, ImportError::Dimensions))
}

/// Makes the pack `out` from the networks found in `source` (by hash, whatever their names).
/// The folder appears whole or not at all.
pub fn import(source: &Path, out: &Path, options: ImportOptions<'_>) -> Result<Pack, ImportError> {
    let mut spec = pack_spec(options.pack, options.detector, options.embedder)?;
    if out.exists() {
        return Err(ImportError::Exists { folder: out.to_owned() });
    }
    let draft = draft_name(out);
    let made = fill(source, &draft, &mut spec, options.embedder_file)
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

fn fill(
    source: &Path,
    draft: &Path,
    spec: &mut PackSpec,
    embedder_file: Option<&Path>,
) -> Result<(), ImportError> {
    fs::create_dir_all(draft).map_err(writing(draft))?;
    if spec.embedder.file.sha256.is_empty() {
        let file = embedder_file.ok_or(ImportError::Unnamed)?;
        let bytes = read_bounded(file, MAX_NETWORK_BYTES).map_err(ImportError::Unusable)?;
        pin(&mut spec.embedder.file, &bytes);
        let target = draft.join(&spec.embedder.file.name);
        fs::write(&target, bytes).map_err(writing(&target))?;
    }
    for file in files(spec).filter(|file| !draft.join(&file.name).exists()) {
        let bytes = find(source, file)?;
        let target = draft.join(&file.name);
        fs::write(&target, bytes).map_err(writing(&target))?;
    }
    if spec.embedder.rehearsal.is_empty() {
        rehearse_as_found(draft, &mut spec.embedder)?;
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
