//! The head file beside the database: the latest signed checkpoint, the memory of how long the chain was.
//! Never goes back to a shorter chain of the same origin, never trusted for anything but raising an alarm.

use std::path::{Path, PathBuf};

use zhenyin_core::note::{Checkpoint, Note};

use super::error::JournalError;
use crate::durable_file::{self, FileError};

pub(super) const FILE: &str = "head";

/// The head file and what it says.
pub(super) struct HeadFile {
    path: PathBuf,
    note: Option<Note>,
}

impl HeadFile {
    /// # Errors
    /// [`JournalError::HeadUnreadable`] when there is a file and it is not a checkpoint note.
    pub(super) fn open(dir: &Path) -> Result<Self, JournalError> {
        let path = dir.join(FILE);
        let note = match std::fs::read(&path) {
            // Bytes that are no text cannot be a note; the parser names what is wrong with the rest.
            Ok(bytes) => {
                Some(Note::parse(&String::from_utf8_lossy(&bytes)).map_err(JournalError::HeadUnreadable)?)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(source) => {
                return Err(FileError::Io { doing: "read", path, source }.into());
            }
        };
        Ok(Self { path, note })
    }

    pub(super) fn checkpoint(&self) -> Option<&Checkpoint> {
        self.note.as_ref().map(Note::checkpoint)
    }

    pub(super) fn text(&self) -> Option<String> {
        self.note.as_ref().map(Note::to_string)
    }

    /// The text when it is about this chain. After an enrolment it is about the chain before, and says nothing
    /// that this chain's key could have signed.
    pub(super) fn text_of(&self, chain: &str) -> Option<String> {
        self.checkpoint().filter(|checkpoint| names_chain(checkpoint, chain)).and_then(|_| self.text())
    }

    /// Writes a note of a chain that has `durable` events, unless the file tells of as many already.
    pub(super) fn advance(&mut self, note: Note, durable: u64) -> Result<(), JournalError> {
        let size = note.checkpoint().size;
        if size > durable {
            return Err(JournalError::HeadAhead { size, found: durable });
        }
        if self.checkpoint().is_some_and(|old| old.origin == note.checkpoint().origin && old.size >= size) {
            return Ok(());
        }
        durable_file::replace(&self.path, note.to_string().as_bytes())?;
        self.note = Some(note);
        Ok(())
    }
}

/// The chain that a checkpoint's origin names: its last path segment.
pub(super) fn names_chain(checkpoint: &Checkpoint, chain: &str) -> bool {
    checkpoint.origin.rsplit('/').next() == Some(chain)
}
