//! The mark beside the database: how far the last commit came. A write-ahead log with one flipped bit ends there
//! without a word, and so does a deleted one; the mark remembers what they held.
//! Never flushed, so never ahead of what was flushed; never trusted for anything but raising an alarm.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;
use zhenyin_core::ids::ChainId;
use zhenyin_core::merkle::{Hash, leaf_hash};

use super::error::JournalError;
use crate::durable_file::{FileError, private_options};

pub(super) const FILE: &str = "journal.mark";

/// The current chain as of the last commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marked {
    pub(super) chain: ChainId,
    pub(super) size: u64,
    pub(super) root: Hash,
    pub(super) acked: u64,
}

/// The open file and what it said when it was opened.
pub(super) struct Mark {
    path: PathBuf,
    file: File,
    found: Option<Marked>,
}

impl Mark {
    /// Makes the file unless it is there. What a torn or damaged mark said is not known: it guards the others.
    pub(super) fn open(dir: &Path) -> Result<Self, JournalError> {
        let path = dir.join(FILE);
        let opened = private_options().create(true).truncate(false).open(&path).and_then(|mut file| {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok((file, Marked::from_bytes(&bytes)))
        });
        match opened {
            Ok((file, found)) => Ok(Self { path, file, found }),
            Err(source) => Err(FileError::Io { doing: "open", path, source }.into()),
        }
    }

    /// What was last written, now or by the run before.
    pub(super) fn found(&self) -> Option<&Marked> {
        self.found.as_ref()
    }

    /// A mark that cannot be written costs a witness, not an event.
    pub(super) fn write(&mut self, marked: Marked) {
        match self.put(&marked.to_bytes()) {
            Ok(()) => self.found = Some(marked),
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "the journal's mark was not written");
            }
        }
    }

    fn put(&mut self, bytes: &[u8; LENGTH]) -> io::Result<()> {
        self.file.rewind()?;
        self.file.write_all(bytes)
    }
}

/// What is read when there is no writer: by the slow scan.
pub(super) fn read(dir: &Path) -> Option<Marked> {
    Marked::from_bytes(&std::fs::read(dir.join(FILE)).ok()?)
}

/// Chain (16), size (8), root (32), acknowledged (8), and 8 bytes of their hash. Numbers most significant first.
const LENGTH: usize = 72;

impl Marked {
    fn to_bytes(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..16].copy_from_slice(self.chain.0.as_bytes());
        bytes[16..24].copy_from_slice(&self.size.to_be_bytes());
        bytes[24..56].copy_from_slice(self.root.as_bytes());
        bytes[56..64].copy_from_slice(&self.acked.to_be_bytes());
        let check = leaf_hash(&bytes[..64]);
        bytes[64..].copy_from_slice(&check.as_bytes()[..8]);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LENGTH] = bytes.try_into().ok()?;
        let number = |at: usize| Some(u64::from_be_bytes(*bytes[at..].first_chunk()?));
        let marked = Self {
            chain: ChainId(Uuid::from_bytes(*bytes.first_chunk()?)),
            size: number(16)?,
            root: Hash::from_slice(&bytes[24..56])?,
            acked: number(56)?,
        };
        (marked.to_bytes() == *bytes).then_some(marked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_was_written_last_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let marked = |size| Marked {
            chain: ChainId(Uuid::from_u128(7)),
            size,
            root: leaf_hash(b"root"),
            acked: size / 2,
        };
        let mut mark = Mark::open(dir.path()).unwrap();
        assert_eq!(mark.found(), None, "a new file says nothing");
        mark.write(marked(3));
        mark.write(marked(300));
        assert_eq!(mark.found(), Some(&marked(300)));
        assert_eq!(Mark::open(dir.path()).unwrap().found(), Some(&marked(300)));
        let whole = std::fs::read(dir.path().join(FILE)).unwrap();
        for at in 0..LENGTH {
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            std::fs::write(dir.path().join(FILE), flipped).unwrap();
            assert_eq!(read(dir.path()), None, "byte {at}");
        }
        std::fs::write(dir.path().join(FILE), &whole[..LENGTH - 1]).unwrap();
        assert_eq!(read(dir.path()), None, "a cut one");
    }
}
