//! Writes a chain, or what was asked for of it, to a folder that anybody can verify.
//! Never leaves a gap out: of events that were not asked for, the hash is written. Never writes past the checkpoint
//! that it is given, so every hash in it is covered by a signature.
//! A rotation of the terminal's key is always shown: without it nobody could check what the new key signed.

mod package;
mod report;
mod selection;

pub use report::Totals;
pub use selection::{Sample, Selection};

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use zhenyin_core::api::Refusal;
use zhenyin_core::event::lifecycle::KeyRotated;
use zhenyin_core::event::{Envelope, EventData as _, EventError};
use zhenyin_core::ids::{ChainId, Sequence, SubjectToken};
use zhenyin_core::inspection::{InspectionRequest, Inspector};
use zhenyin_core::jws::payload_unverified;
use zhenyin_core::merkle::{CompactRange, Hash};
use zhenyin_core::note::{Checkpoint, Note};
use zhenyin_core::signer::{Signer, SignerError};
use zhenyin_core::time::WallTime;
use zhenyin_core::verify::{ExportHeader, Summary};
use zhenyin_verify::PackageError;

use crate::journal::{JournalError, JournalReader, Receipt};
use package::Package;

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("export folder `{}` exists already: name a new one", path.display())]
    Exists { path: PathBuf },
    #[error("export file `{}` cannot be written", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("export header cannot be written")]
    Header(#[source] serde_json::Error),
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
}

/// Rows read at a time; keeps a long export flat in memory.
const SLICE: u64 = 500;
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

/// Writes what an inspection asks for of `chain` to the new folder `dir`.
///
/// # Errors
/// [`ExportError`]; what was written until then stays, for a look.
pub fn write(
    reader: &JournalReader,
    chain: ChainId,
    header: &ExportHeader,
    inspection: &Inspection,
    dir: &Path,
) -> Result<Exported, ExportError> {
    let Inspection { selection, inspectors, at, opened, checkpoint } = inspection;
    let request = InspectionRequest { inspectors: inspectors.clone(), asked: selection.asked(), nonce: None };
    request.check().map_err(ExportError::Refused)?;
    let mut package = Package::create(dir)?;
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
    let asked = asked(selection);
    let page =
        report::Page { totals: &totals, origin: &header.origin, inspectors, asked: &asked, opened: *opened };
    package.put("report.html", &page.html())?;
    package.put("readme_zh_en.txt", report::README)?;
    let digest = package.seal()?;
    package.put_unlisted("receipt.txt", &page.receipt(&digest, *at))?;
    Ok(Exported { size, shown: totals.shown, receipts: receipts.len(), digest })
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

struct Source<'a> {
    reader: &'a JournalReader,
    chain: ChainId,
    /// Where the package ends.
    size: u64,
    /// Where the inspection itself begins.
    opened: Option<u64>,
}

impl Source<'_> {
    /// Which events are asked for, and what all of them amount to.
    fn choose(&self, selection: &Selection) -> Result<(BTreeSet<u64>, Totals), ExportError> {
        let (mut totals, mut taken, mut own) = (Totals::default(), Vec::new(), Vec::new());
        self.each(|sequence, leaf, jws| {
            let Some(jws) = jws else {
                totals.erased += 1;
                return Ok(());
            };
            let envelope = opened(sequence, jws)?;
            totals.count(&envelope);
            if self.opened.is_some_and(|opened| sequence >= opened) || envelope.kind == KeyRotated::TYPE {
                own.push(sequence);
            } else if selection.takes(&envelope) {
                taken.push((sequence, leaf));
            }
            Ok(())
        })?;
        let mut chosen: BTreeSet<u64> = match &selection.sample {
            Some(sample) => sample.draw(&taken).into_iter().collect(),
            None => taken.into_iter().map(|(sequence, _)| sequence).collect(),
        };
        chosen.extend(own);
        totals.shown = chosen.len() as u64;
        Ok((chosen, totals))
    }

    /// Gives the root over all events.
    fn write(&self, chosen: &BTreeSet<u64>, whole: bool, package: &mut Package) -> Result<Hash, ExportError> {
        let mut sealed = package.begin("events.jws")?;
        let mut decoded = package.begin("events.jsonl")?;
        let mut leaves = if whole { None } else { Some(package.begin("leaves.txt")?) };
        let mut tree = CompactRange::new();
        self.each(|sequence, leaf, jws| {
            tree.append(leaf);
            if let Some(leaves) = &mut leaves {
                let digits: String = leaf.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
                leaves.line(digits.as_bytes())?;
            }
            if let Some(jws) = jws.filter(|_| chosen.contains(&sequence)) {
                sealed.line(jws.as_bytes())?;
                let payload = payload_unverified(jws);
                decoded.line(&payload.ok_or(ExportError::Unreadable { sequence, source: None })?)?;
            }
            Ok(())
        })?;
        package.finish(sealed)?;
        package.finish(decoded)?;
        if let Some(leaves) = leaves {
            package.finish(leaves)?;
        }
        Ok(tree.root())
    }

    fn each(
        &self,
        mut work: impl FnMut(u64, Hash, Option<&str>) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        let mut first = 0;
        while first < self.size {
            let end = self.size.min(first + SLICE);
            let events = self.reader.events_of_chain(self.chain, first..end).map_err(ExportError::Journal)?;
            for event in events {
                work(event.sequence.0, event.leaf, event.jws.as_deref())?;
            }
            first = end;
        }
        Ok(())
    }
}

fn opened(sequence: u64, jws: &str) -> Result<Envelope, ExportError> {
    let payload = payload_unverified(jws).ok_or(ExportError::Unreadable { sequence, source: None })?;
    Envelope::parse(&payload).map_err(|source| ExportError::Unreadable { sequence, source: Some(source) })
}

/// The selection in a line for the report.
fn asked(selection: &Selection) -> String {
    if selection.is_everything() {
        return "全部 · everything".to_owned();
    }
    let time = |at: Option<WallTime>| at.map_or_else(|| "…".to_owned(), WallTime::rfc3339);
    let mut text = format!("{} – {}", time(selection.from), time(selection.to));
    let tokens: Vec<&str> = selection.tokens.iter().map(SubjectToken::as_str).collect();
    let kinds: Vec<&str> = selection.kinds.iter().map(String::as_str).collect();
    for (name, values) in [("tokens", tokens), ("types", kinds)] {
        if !values.is_empty() {
            text += &format!("; {name}: {}", values.join(" "));
        }
    }
    if let Some(sample) = &selection.sample {
        text += &format!("; 双随机 · sample of {}, seed `{}`", sample.count, sample.seed);
    }
    text
}
