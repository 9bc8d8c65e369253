//! Verifies an inspection package from its files alone: signatures, links, tree, receipts, and that no file of it was
//! exchanged. Never opens a device or a connection, never needs a secret, and never writes a file.

#![forbid(unsafe_code)]

mod files;
mod follow;
mod leaves;
mod list;
mod report;

use std::io;
use std::path::{Path, PathBuf};

use zhenyin_core::documents::{DocumentError, Grant};
use zhenyin_core::note::{Note, NoteError, VerifierKey};
use zhenyin_core::signer::{KeyError, PublicKey};
use zhenyin_core::verify::{ExportHeader, Fault, Summary, Verifier};

pub use files::LIST;
pub use report::told;

use files::{Folder, HEADER};

#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error("file `{}` of the package cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{name}` is no plain file")]
    NotPlain { name: String },
    #[error("`{name}` does not belong into a package")]
    Foreign { name: String },
    #[error("folder `{}` has more than {limit} files", path.display())]
    TooMany { path: PathBuf, limit: usize },
    #[error("file `{name}` is larger than {} bytes", files::SMALL)]
    TooLarge { name: String },
    #[error("line {line} of `{name}` is longer than {limit} bytes")]
    LongLine { name: &'static str, line: usize, limit: usize },
    #[error("line {line} of `{name}` is not text")]
    NotText { name: String, line: usize },
    #[error("file `{name}` of the package is not as it should be")]
    Header { name: &'static str, source: serde_json::Error },
    #[error("authority key of the package is not a key")]
    Authority(#[source] KeyError),
    #[error("grant of the package does not hold")]
    Grant(#[source] DocumentError),
    #[error("witness key of the package is not a key")]
    Witness(#[source] NoteError),
    #[error("note `{name}` cannot be read")]
    Note { name: String, source: NoteError },
    #[error("line {line} of `leaves.txt` is not 64 hexadecimal digits")]
    Leaf { line: usize },
    #[error("event in line {line} of `events.jws` is at no place that `leaves.txt` has left")]
    Stray { line: usize },
    #[error("no note covers what follows the first {vouched} of {events} events")]
    Unvouched { vouched: u64, events: u64 },
    #[error("line {line} of `events.jsonl` is not the event of the same line of `events.jws`")]
    Decoded { line: usize },
    #[error("line {line} of `SHA256SUMS` is not a digest and the name of a file of the package, once")]
    ListLine { line: usize },
    #[error("file `{name}` is not on the list `SHA256SUMS`")]
    Unlisted { name: String },
    #[error("file `{name}` is not the one that was put on the list `SHA256SUMS`")]
    Changed { name: String },
    #[error("the chain does not hold")]
    Chain(#[source] Fault),
}

/// What holds of a package.
#[derive(Clone, Debug)]
pub struct Verified {
    pub header: ExportHeader,
    pub summary: Summary,
    /// Events whose content is in the package; the others are there by their hash.
    pub shown: u64,
    /// The event that put this export on record, with which the package ends; `None` when no agent ran.
    pub inspection: Option<u64>,
    /// SHA-256 of the list of files, as on the receipt.
    pub digest: String,
}

/// Verifies a package. The caller compares the keys in it with the published ones.
///
/// `events.jws` has one sealed event a line, every rotation of the terminal's key among them. Where it has not all of
/// the events, `leaves.txt` has the leaf hash of each event of the chain in hexadecimal, one a line: so a selection is
/// held against the same signed tree as the whole. A hash that no note covers is refused: anybody could have written it.
///
/// # Errors
/// [`PackageError`] names the first thing that does not hold; [`PackageError::Chain`] the first event or note.
pub fn verify(folder: &Path, threads: usize) -> Result<Verified, PackageError> {
    let folder = Folder::open(folder)?;
    let text = folder.small(HEADER)?;
    let header: ExportHeader =
        serde_json::from_str(&text).map_err(|source| PackageError::Header { name: HEADER, source })?;
    let authority = PublicKey::from_jwk(&header.authority).map_err(PackageError::Authority)?;
    let grant = Grant::open(&header.grant, authority).map_err(PackageError::Grant)?;
    let witness = header.witness.as_deref().map(VerifierKey::parse).transpose();
    let notes = notes(&folder)?;
    let noted = notes.iter().map(|note| note.checkpoint().size).max().unwrap_or(0);
    let verifier = Verifier::new(grant.clone(), witness.map_err(PackageError::Witness)?, notes);
    let followed = follow::follow(verifier, grant.device_key(), &folder, noted, threads.max(1))?;
    let digest = list::check(&folder)?;
    let follow::Followed { summary, shown, inspection } = followed;
    Ok(Verified { header, summary, shown, inspection, digest })
}

fn notes(folder: &Folder) -> Result<Vec<Note>, PackageError> {
    let parse = |name: &String| {
        Note::parse(&folder.small(name)?).map_err(|source| PackageError::Note { name: name.clone(), source })
    };
    folder.notes().map(parse).collect()
}
