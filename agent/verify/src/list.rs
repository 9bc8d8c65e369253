//! The list of a package's files: every file is on it once, and is what it says.
//! Its own digest stands on the receipt that both sides signed, and in the terminal's journal.

use std::collections::BTreeMap;
use std::io::Read as _;

use ring::digest::{Context, SHA256, digest};

use crate::PackageError;
use crate::files::{Folder, LIST, is_file, reading};

/// Checks all files against the list; gives the digest of the list in hexadecimal.
pub(crate) fn check(folder: &Folder) -> Result<String, PackageError> {
    let text = folder.small(LIST)?;
    let mut listed = BTreeMap::new();
    for (number, line) in text.split_terminator('\n').enumerate() {
        let wrong = PackageError::ListLine { line: number + 1 };
        let Some((digest, name)) = line.split_once("  ") else { return Err(wrong) };
        let digits =
            digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !digits || !is_file(name) || listed.insert(name, digest).is_some() {
            return Err(wrong);
        }
    }
    if let Some(name) = folder.files.iter().find(|name| !listed.contains_key(name.as_str())) {
        return Err(PackageError::Unlisted { name: name.clone() });
    }
    for (name, expected) in listed {
        if digest_of(folder, name)? != expected {
            return Err(PackageError::Changed { name: name.to_owned() });
        }
    }
    Ok(hex(digest(&SHA256, text.as_bytes()).as_ref()))
}

fn digest_of(folder: &Folder, name: &str) -> Result<String, PackageError> {
    let mut file = folder.open_file(name)?;
    let mut digest = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = file.read(&mut buffer).map_err(reading(name.as_ref()))?;
        if read == 0 {
            return Ok(hex(digest.finish().as_ref()));
        }
        digest.update(&buffer[..read]);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
