//! The demo: upstream, simulated reader, recorded camera and the real agent on loopback, and a story in
//! plain words.
//! Never a short cut: every act goes through the local API, every byte of a card over a serial line.

mod narrator;
mod story;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use zhenyin_models::import::{ImportOptions, import};
use zhenyin_models::{Pack, Pipeline};

use crate::subjects::{self, Cast};
use crate::world::World;

/// What the demo may be told on its command line.
#[derive(Debug, Default)]
pub struct Options {
    /// Folder of recorded people; without it the shared development pictures are used when present.
    pub subjects: Option<PathBuf>,
    /// Stay up with the status page after the story.
    pub stay: bool,
}

/// Plays the story; the last line counts what was appended, receipted and verified offline.
///
/// Without face models or pictures of people the story is played with card and PIN: face is never the only way.
///
/// # Errors
/// Says in one sentence what went wrong.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("no room for the demo's files")?;
    let faces = match find_faces(folder.path(), options) {
        Ok(faces) => Some(faces),
        // Who names a folder wants just that one.
        Err(error) if options.subjects.is_some() => return Err(error),
        Err(missing) => {
            narrator::line(&format!("Without faces: {missing:#}."))?;
            None
        }
    };
    let world = World::build(folder.path(), faces.as_ref().map(|(pack, _)| pack.as_path()))?;
    story::play(world, faces.as_ref().map(|(_, cast)| cast), options.stay)
}

fn find_faces(folder: &Path, options: &Options) -> anyhow::Result<(PathBuf, Cast)> {
    let pack_dir = find_pack(folder)?;
    let pack = Pack::load(&pack_dir)?;
    let pipeline = Pipeline::new(&pack)?;
    let recorded = options.subjects.clone().or_else(|| shared("faces/dev/lfw10"));
    let cast = match recorded {
        Some(people) => subjects::cast(&people, &pack, &pipeline)?,
        None => {
            let cast = subjects::generated_cast(&pack, &pipeline)?;
            narrator::line(
                "The people are generated: none of them exists (`--subjects DIR` plays with pictures).",
            )?;
            cast
        }
    };
    Ok((pack_dir, cast))
}

/// The project's own pack when it is there, else the reference models beside the checkout.
/// # Errors
/// Says what is missing.
pub fn find_pack(folder: &Path) -> anyhow::Result<PathBuf> {
    let own = checkout().join("models/packs/default");
    if own.join("pack.toml").exists() {
        return Ok(own);
    }
    let Some(models) = shared("models") else {
        bail!(
            "no face models here: the project's own pack is not made yet, and the reference models are not at \
             `../shared/models` (set `ZHENYIN_SHARED` to the folder that has them)"
        );
    };
    let pack = folder.join("pack");
    import(&models, &pack, ImportOptions::default())?;
    Ok(pack)
}

/// Folder of the package of tests, asked at run time: checkouts may share one folder of build results, and a
/// program built in another one would look there.
pub fn package() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

fn checkout() -> PathBuf {
    package().join("..")
}

/// A folder of the development material that may lie beside the checkout.
pub fn shared(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("ZHENYIN_SHARED").map_or_else(|| checkout().join("../shared"), PathBuf::from);
    let folder = root.join(name);
    folder.is_dir().then_some(folder)
}
