//! Setting a damaged journal aside: its files move into a folder of their own, for whoever examines them.
//! Never deletes or changes one of them, and never leaves a journal that looks whole half moved.

use std::path::{Path, PathBuf};

use uuid::Uuid;
use zhenyin_core::ids::ChainId;
use zhenyin_core::time::WallTime;

use super::error::JournalError;
use super::head_file::{self, HeadFile};
use super::{database, mark};
use crate::durable_file::{self, FileError};

/// Where the files went, and what was remembered of the chain that they held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    pub chain: ChainId,
    pub folder: PathBuf,
    pub files: u64,
    /// How many events the chain had at its last commit, and how many of them a receipt covered.
    pub known: Option<(u64, u64)>,
    /// The head file's note, unverified.
    pub head: Option<String>,
}

/// Moves the journal of a chain that does not open any more out of the way. No writer may be at work.
///
/// # Errors
/// [`JournalError::File`]; the next start finds the rest of it damaged and moves it too.
pub fn set_aside(dir: &Path, chain: ChainId, at: WallTime) -> Result<Aside, JournalError> {
    let _lock = super::writer::lock(dir)?;
    let folder = free_folder(dir, chain, at)?;
    durable_file::private_dir(&folder)?;
    durable_file::sync_parent(&folder)?;
    // The database first: a log without it is never opened, and neither that nor the memory of both can be taken for
    // a fresh start. With the log gone first, a database whose mark is missing would look whole, only shorter.
    for name in [database::FILE, database::LOG, "journal.db-shm", head_file::FILE, mark::FILE] {
        let (from, to) = (dir.join(name), folder.join(name));
        match std::fs::rename(&from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(FileError::Io { doing: "set aside", path: from, source }.into()),
        }
        durable_file::sync_parent(&to)?;
        durable_file::sync_parent(&from)?;
    }
    Ok(look(folder, chain))
}

/// Every journal that was set aside here, the oldest first.
pub fn asides(dir: &Path) -> Vec<Aside> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let chain = path.file_name()?.to_str()?.strip_prefix(PREFIX)?.get(..36)?;
            Some(look(path.clone(), ChainId(Uuid::try_parse(chain).ok()?)))
        })
        .collect();
    found.sort_by(|a, b| a.folder.cmp(&b.folder));
    found
}

const PREFIX: &str = "damaged-";

fn look(folder: PathBuf, chain: ChainId) -> Aside {
    let known = mark::read(&folder).filter(|mark| mark.chain == chain).map(|mark| (mark.size, mark.acked));
    let head = HeadFile::open(&folder).ok().and_then(|head| head.text());
    let files = std::fs::read_dir(&folder).map_or(0, |entries| entries.count() as u64);
    Aside { chain, folder, files, known, head }
}

fn free_folder(dir: &Path, chain: ChainId, at: WallTime) -> Result<PathBuf, JournalError> {
    let stamp = at.rfc3339().replace([':', '.'], "-");
    let free =
        (0..1_000).map(|n| dir.join(format!("{PREFIX}{chain}-{stamp}-{n}"))).find(|path| !path.exists());
    let taken = || FileError::Exists { path: dir.join(format!("{PREFIX}{chain}-{stamp}-999")) };
    free.ok_or_else(|| taken().into())
}
