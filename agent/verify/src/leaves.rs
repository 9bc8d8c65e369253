//! The hashes of all events, where a package has not all events.
//! Never takes a digit in another spelling than the exporter's.

use zhenyin_core::merkle::Hash;

use crate::PackageError;
use crate::files::{Folder, LEAVES, Lines};

pub(crate) struct Leaves {
    lines: Lines,
}

impl Leaves {
    pub(crate) fn open(folder: &Folder) -> Result<Option<Self>, PackageError> {
        if !folder.has(LEAVES) {
            return Ok(None);
        }
        Ok(Some(Self { lines: folder.lines(LEAVES, 64)? }))
    }

    pub(crate) fn next_leaf(&mut self) -> Result<Option<Hash>, PackageError> {
        let Some(line) = self.lines.next_line()? else { return Ok(None) };
        hash_of(&line).map(Some).ok_or(PackageError::Leaf { line: self.lines.number })
    }
}

/// A number may have a sign, a digit may not.
fn hash_of(line: &str) -> Option<Hash> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = line.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> = pairs.iter().map(|[a, b]| Some((digit(*a)? << 4) | digit(*b)?)).collect();
    bytes.filter(|_| rest.is_empty()).and_then(|bytes| Hash::from_slice(&bytes))
}
