//! Writes a chain, or what was asked for of it, to a folder that anybody can verify.
//! Never leaves a gap out: of events that were not asked for, the hash is written. Never writes past the checkpoint
//! that it is given, so every hash in it is covered by a signature.
//! A rotation of the terminal's key is always shown: without it nobody could check what the new key signed.

mod archive;
mod encryption;
mod package;
mod receipt;
mod report;
mod selection;
mod source;
mod timeline;
mod totals;

pub use encryption::Recipients;
pub use selection::{Sample, Selection};

use std::path::{Path, PathBuf};

use zhenyin_core::api::Refusal;
use zhenyin_core::documents::{DocumentError, Grant};
use zhenyin_core::event::EventError;
use zhenyin_core::ids::{ChainId, Sequence};
use zhenyin_core::inspection::{InspectionRequest, Inspector};
use zhenyin_core::note::{Checkpoint, Note};
use zhenyin_core::signer::{KeyError, PublicKey, Signer, SignerError};
use zhenyin_core::time::WallTime;
use zhenyin_core::verify::{ExportHeader, Summary};
use zhenyin_verify::PackageError;

use crate::journal::{JournalError, JournalReader, Receipt};
use package::{Package, Sealed};
use report::Page;
use source::Source;

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("`{}` exists already: name a new one", path.display())]
    Exists { path: PathBuf },
    #[error("export file `{}` cannot be written", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("export header cannot be written")]
    Header(#[source] serde_json::Error),
    #[error("authority key of the enrolment is not a key")]
    Authority(#[source] KeyError),
    #[error("grant of the enrolment does not hold")]
    Grant(#[source] DocumentError),
    #[error("journal was changed while it was read: export again")]
    Moved,
    #[error("`{key}` is no public key of age, like `age1…`: {what}")]
    Recipient { key: String, what: &'static str },
    #[error("package cannot be encrypted")]
    Encrypt(#[source] std::io::Error),
    #[error("package cannot be encrypted to nobody")]
    NoRecipient,
    #[error("this build cannot encrypt: use one with the feature `age`, or export without `--recipient`")]
    CannotEncrypt,
    #[error("journal cannot be read")]
    Journal(#[source] JournalError),
    #[error("event {sequence} cannot be read: run `zhenyin journal verify`")]
    Unreadable { sequence: u64, source: Option<EventError> },
    #[error("inspection is not to be opened")]
    Refused(#[source] Refusal),
    #[error("checkpoint of the export cannot be signed")]
    Sign(#[source] SignerError),
    #[error("events up to {size} are not those of the checkpoint: run `zhenyin journal verify`")]
    Checkpoint { size: u64 },
    #[error("package does not hold")]
    Package(#[source] PackageError),
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Events that the package speaks of: all up to the checkpoint.
    pub size: u64,
    /// Events whose content is in the package.
    pub shown: u64,
    pub receipts: usize,
    /// SHA-256 of the list of files, in hexadecimal: stands for the package on the receipt and in the journal.
    pub digest: String,
    /// To print and to sign; also in the package, which only its recipients can read.
    pub receipt: String,
}

/// Who asks for what, and how far the package goes.
#[derive(Clone, Debug)]
pub struct Inspection {
    pub selection: Selection,
    /// Two or more, or none.
    pub inspectors: Vec<Inspector>,
    pub at: WallTime,
    /// The event that put the inspection on record; it is shown with all after it. `None` where no agent ran.
    pub opened: Option<Sequence>,
    /// Signed just now; the package ends with it.
    pub checkpoint: Note,
    /// With any, the package is one encrypted archive.
    pub recipients: Recipients,
}

/// Of more receipts than this the newest and as many others, evenly, are taken.
const RECEIPTS: usize = 1024;

/// Signs what the journal holds of a chain now. For an export beside a stopped agent; a running one signs itself.
///
/// # Errors
/// [`ExportError::Journal`] or [`ExportError::Sign`].
pub fn checkpoint(reader: &JournalReader, origin: &str, signer: &dyn Signer) -> Result<Note, ExportError> {
    let size = reader.counters().map_err(ExportError::Journal)?.size;
    let root = reader.frontier(size).map_err(ExportError::Journal)?.root();
    Note::sign(Checkpoint { origin: origin.to_owned(), size, root }, signer).map_err(ExportError::Sign)
}

/// Writes what an inspection asks for of `chain` to the new folder, or the new encrypted archive, `path`.
///
/// # Errors
/// [`ExportError`]; what was written of a folder until then stays, for a look and without its list, so that nobody takes
/// it for a package; of an archive nothing stays.
pub fn write(
    reader: &JournalReader,
    chain: ChainId,
    header: &ExportHeader,
    inspection: &Inspection,
    path: &Path,
) -> Result<Exported, ExportError> {
    let Inspection { selection, inspectors, at, opened, checkpoint, recipients } = inspection;
    let asked = selection.asked();
    let request = InspectionRequest { inspectors: inspectors.clone(), asked, nonce: None };
    request.check().map_err(ExportError::Refused)?;
    let authority = PublicKey::from_jwk(&header.authority).map_err(ExportError::Authority)?;
    let grant = Grant::open(&header.grant, authority).map_err(ExportError::Grant)?;
    let mut package = Package::create(path, recipients, *at)?;
    let text = serde_json::to_string_pretty(header).map_err(ExportError::Header)?;
    package.put("chain.json", &(text + "\n"))?;
    let size = checkpoint.checkpoint().size;
    let stored = reader.receipts(chain).map_err(ExportError::Journal)?;
    let covered: Vec<&Receipt> = stored.iter().filter(|receipt| receipt.size <= size).collect();
    let receipts = thinned(&covered);
    for receipt in &receipts {
        package.put(&format!("notes/{:020}.note", receipt.size), &receipt.note)?;
    }
    package.put(&format!("notes/{size:020}.checkpoint.note"), &checkpoint.to_string())?;
    let source = Source { reader, chain, size, opened: opened.map(|opened| opened.0) };
    let (chosen, mut totals) = source.choose(selection)?;
    totals.receipts = covered.len();
    totals.receipted = covered.last().map_or(0, |receipt| receipt.size);
    // What was erased after its retention is there by its hash.
    let whole = selection.is_everything() && totals.erased == 0;
    let root = source.write(&chosen, whole, &mut package)?;
    if root != checkpoint.checkpoint().root {
        return Err(ExportError::Checkpoint { size });
    }
    let page = Page {
        totals: &totals,
        grant: grant.content(),
        origin: &header.origin,
        inspectors,
        asked: &request.asked,
        opened: *opened,
        recipients: recipients.keys(),
        at: *at,
    };
    package.put("report.html", &page.html())?;
    package.put("readme_zh_en.txt", report::README)?;
    let Sealed { digest, receipt } = package.seal(|digest| receipt::text(&page, digest))?;
    package.finish()?;
    Ok(Exported { size, shown: totals.shown.events, receipts: receipts.len(), digest, receipt })
}

/// Verifies a folder from its files alone. The caller compares the keys in it with the published ones.
///
/// # Errors
/// [`ExportError::Package`] names the first thing that does not hold.
pub fn verify(dir: &Path) -> Result<(ExportHeader, Summary), ExportError> {
    let verified = zhenyin_verify::verify(dir, 2).map_err(ExportError::Package)?;
    Ok((verified.header, verified.summary))
}

/// Every k-th receipt, the newest always.
fn thinned<'a>(receipts: &[&'a Receipt]) -> Vec<&'a Receipt> {
    let step = receipts.len().div_ceil(RECEIPTS).max(1);
    let mut kept: Vec<&Receipt> = receipts.iter().rev().step_by(step).copied().collect();
    kept.reverse();
    kept
}
