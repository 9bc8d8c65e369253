//! The files of a package, in a new folder or in one encrypted archive: each is digested and listed, in the form that
//! `sha256sum -c` reads. Never lists the receipt, which carries the digest of the list itself. Never keeps an archive
//! that was not finished.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256, digest};
use zhenyin_core::time::WallTime;
use zhenyin_verify::LIST;

use super::ExportError;
use super::archive::Archive;
use super::encryption::{Encrypted, Recipients};

/// A package that is being written.
pub(super) struct Package {
    path: PathBuf,
    place: Place,
    list: String,
}

enum Place {
    Folder,
    Archive(Box<Archive<Encrypted>>),
    /// Given up or finished; nothing more can be written.
    Closed,
}

/// What stands for a package that is complete.
pub(super) struct Sealed {
    pub(super) digest: String,
    pub(super) receipt: String,
}

impl Package {
    /// A folder without recipients, an encrypted archive with them.
    ///
    /// # Errors
    /// [`ExportError::Exists`], or what the disk says.
    pub(super) fn create(path: &Path, recipients: &Recipients, at: WallTime) -> Result<Self, ExportError> {
        if path.exists() {
            return Err(ExportError::Exists { path: path.to_owned() });
        }
        let place = if recipients.is_empty() {
            let notes = path.join("notes");
            std::fs::create_dir_all(&notes).map_err(writing(&notes))?;
            Place::Folder
        } else {
            let file = File::create_new(path).map_err(writing(path))?;
            let begun = Encrypted::begin(file, recipients);
            let begun = begun.inspect_err(|_| discard(path));
            Place::Archive(Box::new(Archive::new(begun?, at)))
        };
        Ok(Self { path: path.to_owned(), place, list: String::new() })
    }

    /// Puts a file on the list that `fill` writes, of exactly `size` bytes.
    pub(super) fn file(
        &mut self,
        name: &str,
        size: u64,
        fill: impl FnOnce(&mut Output<'_>) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        let digest = self.write(name, size, fill)?;
        self.list += &format!("{digest}  {name}\n");
        Ok(())
    }

    pub(super) fn put(&mut self, name: &str, text: &str) -> Result<(), ExportError> {
        self.file(name, text.len() as u64, |output| output.write(text.as_bytes()))
    }

    /// Writes the receipt, which names the list's digest, and the list: nothing is a package before that is there. The
    /// digest stands for the whole.
    pub(super) fn seal(&mut self, receipt: impl FnOnce(&str) -> String) -> Result<Sealed, ExportError> {
        let list = std::mem::take(&mut self.list);
        let digest = hex(digest(&SHA256, list.as_bytes()).as_ref());
        let receipt = receipt(&digest);
        self.put_unlisted("receipt.txt", &receipt)?;
        self.put_unlisted(LIST, &list)?;
        Ok(Sealed { digest, receipt })
    }

    fn put_unlisted(&mut self, name: &str, text: &str) -> Result<(), ExportError> {
        self.write(name, text.len() as u64, |output| output.write(text.as_bytes())).map(drop)
    }

    /// An archive is one only now.
    pub(super) fn finish(mut self) -> Result<(), ExportError> {
        match std::mem::replace(&mut self.place, Place::Closed) {
            Place::Folder | Place::Closed => Ok(()),
            Place::Archive(archive) => {
                let finished = archive.finish().and_then(Encrypted::finish).and_then(|file| file.sync_all());
                finished.inspect_err(|_| discard(&self.path)).map_err(writing(&self.path))
            }
        }
    }

    fn write(
        &mut self,
        name: &str,
        size: u64,
        fill: impl FnOnce(&mut Output<'_>) -> Result<(), ExportError>,
    ) -> Result<String, ExportError> {
        match &mut self.place {
            Place::Closed => unreachable!("nothing is written after the end"),
            Place::Folder => {
                let path = self.path.join(name);
                let mut file = BufWriter::new(File::create_new(&path).map_err(writing(&path))?);
                let digest = Output::fill(&mut file, &path, size, fill)?;
                let file = file.into_inner().map_err(io::IntoInnerError::into_error);
                file.and_then(|file| file.sync_all()).map_err(writing(&path))?;
                Ok(digest)
            }
            Place::Archive(archive) => {
                archive.begin_file(name, size).map_err(writing(&self.path))?;
                let digest = Output::fill(archive.as_mut(), &self.path, size, fill)?;
                archive.end_file(size).map_err(writing(&self.path))?;
                Ok(digest)
            }
        }
    }
}

impl Drop for Package {
    fn drop(&mut self) {
        if matches!(self.place, Place::Archive(_)) {
            discard(&self.path);
        }
    }
}

/// One file while it is written.
pub(super) struct Output<'a> {
    to: &'a mut dyn Write,
    path: &'a Path,
    digest: Context,
    written: u64,
}

impl<'a> Output<'a> {
    fn fill(
        to: &'a mut dyn Write,
        path: &'a Path,
        size: u64,
        fill: impl FnOnce(&mut Self) -> Result<(), ExportError>,
    ) -> Result<String, ExportError> {
        let mut output = Self { to, path, digest: Context::new(&SHA256), written: 0 };
        fill(&mut output)?;
        // Bodies can be erased between two readings of the journal.
        if output.written == size {
            Ok(hex(output.digest.finish().as_ref()))
        } else {
            Err(ExportError::Moved)
        }
    }

    pub(super) fn line(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.write(bytes)?;
        self.write(b"\n")
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.digest.update(bytes);
        self.written += bytes.len() as u64;
        self.to.write_all(bytes).map_err(writing(self.path))
    }
}

/// Half an archive is of no use to anybody.
fn discard(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(%error, "half an encrypted export is left behind");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn writing(path: &Path) -> impl FnOnce(io::Error) -> ExportError {
    let path = path.to_owned();
    |source| ExportError::Write { path, source }
}
