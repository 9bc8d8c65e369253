//! The demo: upstream, simulated reader, recorded camera and the real agent on loopback, and a story in
//! plain words.
//! Never a short cut: every act goes through the local API, every byte of a card over a serial line.

mod narrator;
mod story;

use std::path::PathBuf;

use anyhow::Context as _;
use zhenyin_models::{Pack, Pipeline};

use crate::subjects::{self, Cast};
use crate::world::World;

/// What the demo may be told on its command line.
#[derive(Debug, Default)]
pub struct Options {
    /// Folder of recorded people; without it the shared development pictures are used when present, and generated
    /// people otherwise.
    pub subjects: Option<PathBuf>,
    /// Play with card and PIN alone: face is never the only way.
    pub without_face: bool,
    /// Stay up with the status page after the story.
    pub stay: bool,
}

/// Plays the story; the last line counts what was appended, receipted and verified offline.
///
/// # Errors
/// Says in one sentence what went wrong.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("no room for the demo's files")?;
    if options.without_face {
        return story::play(World::build(folder.path(), None)?, None, options.stay);
    }
    let pack_dir = default_pack();
    let pack = Pack::load(&pack_dir)?;
    let cast = find_cast(&pack, options)?;
    story::play(World::build(folder.path(), Some(&pack_dir))?, Some(&cast), options.stay)
}

fn find_cast(pack: &Pack, options: &Options) -> anyhow::Result<Cast> {
    let pipeline = Pipeline::new(pack)?;
    if let Some(people) = &options.subjects {
        return subjects::cast(people, pack, &pipeline);
    }
    if let Some(people) = shared("faces/dev/lfw10") {
        match subjects::cast(&people, pack, &pipeline) {
            Ok(cast) => return Ok(cast),
            Err(error) => narrator::line(&format!("Not with recorded people: {error:#}."))?,
        }
    }
    narrator::line("The people are generated: none of them exists (`--subjects DIR` plays with pictures).")?;
    subjects::generated_cast(pack, &pipeline)
}

/// The project's own pack.
pub fn default_pack() -> PathBuf {
    checkout().join("models/packs/default")
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
