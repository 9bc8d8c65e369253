//! The files of a package: which names there are, and reading them with bounds.
//! Never follows a link, never opens what is not a plain file, never holds more than a line or a small file in memory.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use crate::PackageError;

/// The list of all other files with their SHA-256, in the form of `sha256sum`.
pub const LIST: &str = "SHA256SUMS";
pub(crate) const HEADER: &str = "chain.json";
pub(crate) const EVENTS: &str = "events.jws";
pub(crate) const DECODED: &str = "events.jsonl";
pub(crate) const LEAVES: &str = "leaves.txt";
/// Printed and signed by hand; it has the digest of the list, so it cannot be on it.
const RECEIPT: &str = "receipt.txt";
const NOTES: &str = "notes";
const PAGES: [&str; 2] = ["report.html", "readme_zh_en.txt"];

/// Most notes of a package; the exporter writes far fewer.
const MANY_NOTES: usize = 4096;
/// Longest small file: header, note or list.
pub(crate) const SMALL: u64 = 1 << 20;

/// A folder whose every entry has a name that belongs into a package.
pub(crate) struct Folder {
    path: PathBuf,
    /// All files but the list and the receipt, by their names on the list.
    pub(crate) files: BTreeSet<String>,
}

impl Folder {
    pub(crate) fn open(path: &Path) -> Result<Self, PackageError> {
        let mut folder = Self { path: path.to_owned(), files: BTreeSet::new() };
        for name in names(path)? {
            match name.as_str() {
                LIST | RECEIPT => {}
                NOTES => folder.take_notes()?,
                file if is_file(file) => drop(folder.files.insert(name)),
                _ => return Err(PackageError::Foreign { name }),
            }
        }
        Ok(folder)
    }

    fn take_notes(&mut self) -> Result<(), PackageError> {
        let path = self.path.join(NOTES);
        if !std::fs::symlink_metadata(&path).map_err(reading(&path))?.is_dir() {
            return Err(PackageError::NotPlain { name: NOTES.to_owned() });
        }
        for name in names(&path)? {
            let name = format!("{NOTES}/{name}");
            if !is_file(&name) {
                return Err(PackageError::Foreign { name });
            }
            self.files.insert(name);
        }
        Ok(())
    }

    pub(crate) fn notes(&self) -> impl Iterator<Item = &String> {
        self.files.iter().filter(|name| name.starts_with(NOTES))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.contains(name)
    }

    pub(crate) fn open_file(&self, name: &str) -> Result<File, PackageError> {
        let path = self.path.join(name);
        if !std::fs::symlink_metadata(&path).map_err(reading(&path))?.is_file() {
            return Err(PackageError::NotPlain { name: name.to_owned() });
        }
        File::open(&path).map_err(reading(&path))
    }

    /// A whole file of at most [`SMALL`] bytes.
    pub(crate) fn small(&self, name: &str) -> Result<String, PackageError> {
        let mut text = Vec::new();
        let read = self.open_file(name)?.take(SMALL + 1).read_to_end(&mut text);
        read.map_err(reading(&self.path.join(name)))?;
        if text.len() as u64 > SMALL {
            return Err(PackageError::TooLarge { name: name.to_owned() });
        }
        String::from_utf8(text).map_err(|_| PackageError::NotText { name: name.to_owned(), line: 0 })
    }

    pub(crate) fn lines(&self, name: &'static str, limit: usize) -> Result<Lines, PackageError> {
        let reader = BufReader::with_capacity(1 << 18, self.open_file(name)?);
        Ok(Lines { path: self.path.join(name), name, reader, number: 0, limit })
    }
}

/// The lines of a file, each no longer than a limit.
pub(crate) struct Lines {
    path: PathBuf,
    name: &'static str,
    reader: BufReader<File>,
    /// Lines read so far.
    pub(crate) number: usize,
    limit: usize,
}

impl Lines {
    /// The next line without its end; `None` after the last.
    pub(crate) fn next_line(&mut self) -> Result<Option<String>, PackageError> {
        let mut line = Vec::new();
        let most = self.limit as u64 + 1;
        let read = (&mut self.reader).take(most).read_until(b'\n', &mut line);
        read.map_err(reading(&self.path))?;
        if line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let name = self.name;
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() > self.limit {
            return Err(PackageError::LongLine { name, line: self.number, limit: self.limit });
        }
        let text = String::from_utf8(line);
        text.map(Some).map_err(|_| PackageError::NotText { name: name.to_owned(), line: self.number })
    }
}

/// Whether a file of this name can be on the list of a package.
pub(crate) fn is_file(name: &str) -> bool {
    let note = name.strip_prefix("notes/").and_then(|note| note.strip_suffix(".note"));
    let number = note.map(|note| note.strip_suffix(".checkpoint").unwrap_or(note));
    [HEADER, EVENTS, DECODED, LEAVES].contains(&name)
        || PAGES.contains(&name)
        || number.is_some_and(|n| n.len() == 20 && n.bytes().all(|b| b.is_ascii_digit()))
}

fn names(folder: &Path) -> Result<Vec<String>, PackageError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(reading(folder))? {
        if names.len() > MANY_NOTES {
            return Err(PackageError::TooMany { path: folder.to_owned(), limit: MANY_NOTES });
        }
        let name = entry.map_err(reading(folder))?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

pub(crate) fn reading(path: &Path) -> impl FnOnce(std::io::Error) -> PackageError {
    let path = path.to_owned();
    |source| PackageError::Read { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_package() {
        for name in
            ["chain.json", "notes/00000000000000000128.note", "notes/00000000000000000128.checkpoint.note"]
        {
            assert!(is_file(name), "{name}");
        }
        for name in [
            "../chain.json",
            "/etc/passwd",
            "notes/../chain.json",
            "notes/../../../00000000000000000128.note",
            "notes/128.note",
            "notes/0000000000000000012x.note",
            "notes\\00000000000000000128.note",
            "NOTES/00000000000000000128.note",
            "SHA256SUMS",
            "receipt.txt",
            "",
        ] {
            assert!(!is_file(name), "{name}");
        }
    }
}
