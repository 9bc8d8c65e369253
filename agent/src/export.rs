//! Writes a chain, or what was asked for of it, to a folder that anybody can verify.
//! Never leaves a gap out: of events that were not asked for, the hash is written, as far as a signature covers it.

mod report;
mod selection;

pub use report::{Inspector, Totals};
pub use selection::{Sample, Selection};

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use zhenyin_core::event::{Envelope, EventError};
use zhenyin_core::ids::ChainId;
use zhenyin_core::jws::payload_unverified;
use zhenyin_core::merkle::Hash;
use zhenyin_core::time::WallTime;
use zhenyin_core::verify::{ExportHeader, Summary};
use zhenyin_verify::PackageError;

use crate::journal::{JournalError, JournalReader};

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("export folder `{}` exists already: name a new one", path.display())]
    Exists { path: PathBuf },
    #[error("export file `{}` cannot be written", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("export file `{}` is not as it should be", path.display())]
    Header { path: PathBuf, source: serde_json::Error },
    #[error("journal cannot be read")]
    Journal(#[source] JournalError),
    #[error("event {sequence} cannot be read: run `zhenyin journal verify`")]
    Unreadable { sequence: u64, source: Option<EventError> },
    #[error("an inspection needs two inspectors with their warrants, or none is named")]
    OneInspector,
    #[error("package does not hold")]
    Package(#[source] PackageError),
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Events whose content is in the package.
    pub events: u64,
    pub receipts: usize,
}

/// Who asks for what.
#[derive(Clone, Debug, Default)]
pub struct Inspection {
    pub selection: Selection,
    /// Two or more, or none.
    pub inspectors: Vec<Inspector>,
    pub at: Option<WallTime>,
}

/// Rows read at a time; keeps a long export flat in memory.
const SLICE: u64 = 500;

/// Writes the whole `chain` to the new folder `dir`.
///
/// # Errors
/// [`ExportError`]; what was written until then stays, for a look.
pub fn write(
    reader: &JournalReader,
    chain: ChainId,
    header: &ExportHeader,
    dir: &Path,
) -> Result<Exported, ExportError> {
    write_inspection(reader, chain, header, &Inspection::default(), dir)
}

/// Writes what an inspection asks for of `chain` to the new folder `dir`.
///
/// # Errors
/// [`ExportError`]; what was written until then stays, for a look.
pub fn write_inspection(
    reader: &JournalReader,
    chain: ChainId,
    header: &ExportHeader,
    inspection: &Inspection,
    dir: &Path,
) -> Result<Exported, ExportError> {
    if inspection.inspectors.len() == 1 {
        return Err(ExportError::OneInspector);
    }
    if dir.exists() {
        return Err(ExportError::Exists { path: dir.to_owned() });
    }
    let notes = dir.join("notes");
    std::fs::create_dir_all(&notes).map_err(writing(&notes))?;
    let receipts = reader.receipts(chain).map_err(ExportError::Journal)?;
    for receipt in &receipts {
        put(&notes.join(format!("{:020}.note", receipt.size)), &receipt.note)?;
    }
    let header_path = dir.join("chain.json");
    let text = serde_json::to_string_pretty(header)
        .map_err(|source| ExportError::Header { path: header_path.clone(), source })?;
    put(&header_path, &(text + "\n"))?;
    let source = Source { reader, size: reader.counters().map_err(ExportError::Journal)?.size };
    let selection = &inspection.selection;
    let (chosen, mut totals) = source.choose(selection)?;
    totals.receipts = receipts.len();
    totals.receipted = receipts.last().map_or(0, |receipt| receipt.size);
    let mut digest = Context::new(&SHA256);
    digest.update(&std::fs::read(&header_path).map_err(writing(&header_path))?);
    // What was erased after its retention is there by its hash.
    let whole = selection.is_everything() && totals.erased == 0;
    // Hashes after the last receipt and the last shown event would stand there unsigned.
    let end = totals.receipted.max(chosen.last().map_or(0, |last| last + 1));
    let source = Source { size: source.size.min(end), ..source };
    source.write(&chosen, whole, dir, &mut digest)?;
    let digest: String = digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let (inspectors, origin) = (&inspection.inspectors, header.origin.as_str());
    put(&dir.join("report.html"), &report::html(&totals, origin, inspectors, &asked(selection)))?;
    put(&dir.join("readme_zh_en.txt"), report::README)?;
    if let Some(at) = inspection.at {
        put(&dir.join("receipt.txt"), &report::receipt(&totals, origin, inspectors, &digest, at))?;
    }
    Ok(Exported { events: totals.shown, receipts: receipts.len() })
}

/// Verifies a folder from its files alone. The caller compares the keys in it with the published ones.
///
/// # Errors
/// [`ExportError::Package`] names the first thing that does not hold.
pub fn verify(dir: &Path) -> Result<(ExportHeader, Summary), ExportError> {
    let verified = zhenyin_verify::verify(dir, 2).map_err(ExportError::Package)?;
    Ok((verified.header, verified.summary))
}

struct Source<'a> {
    reader: &'a JournalReader,
    size: u64,
}

impl Source<'_> {
    /// Which events are asked for, and what all of them amount to.
    fn choose(&self, selection: &Selection) -> Result<(BTreeSet<u64>, Totals), ExportError> {
        let (mut totals, mut taken) = (Totals::default(), Vec::new());
        self.each(|sequence, leaf, jws| {
            let Some(jws) = jws else {
                totals.erased += 1;
                return Ok(());
            };
            let envelope = opened(sequence, jws)?;
            totals.count(&envelope);
            if selection.takes(&envelope) {
                taken.push((sequence, leaf));
            }
            Ok(())
        })?;
        let chosen: BTreeSet<u64> = match &selection.sample {
            Some(sample) => sample.draw(&taken).into_iter().collect(),
            None => taken.into_iter().map(|(sequence, _)| sequence).collect(),
        };
        totals.shown = chosen.len() as u64;
        Ok((chosen, totals))
    }

    fn write(
        &self,
        chosen: &BTreeSet<u64>,
        whole: bool,
        dir: &Path,
        digest: &mut Context,
    ) -> Result<(), ExportError> {
        let mut sealed = Output::create(dir.join("events.jws"))?;
        let mut decoded = Output::create(dir.join("events.jsonl"))?;
        let mut leaves = if whole { None } else { Some(Output::create(dir.join("leaves.txt"))?) };
        self.each(|sequence, leaf, jws| {
            if let Some(leaves) = &mut leaves {
                let digits: String = leaf.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
                leaves.line(digits.as_bytes())?;
            }
            if let Some(jws) = jws.filter(|_| chosen.contains(&sequence)) {
                digest.update(jws.as_bytes());
                sealed.line(jws.as_bytes())?;
                let payload = payload_unverified(jws);
                decoded.line(&payload.ok_or(ExportError::Unreadable { sequence, source: None })?)?;
            }
            Ok(())
        })?;
        sealed.finish()?;
        decoded.finish()?;
        leaves.map_or(Ok(()), Output::finish)
    }

    fn each(
        &self,
        mut work: impl FnMut(u64, Hash, Option<&str>) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        let mut first = 0;
        while first < self.size {
            let end = self.size.min(first + SLICE);
            for event in self.reader.events(first..end).map_err(ExportError::Journal)? {
                work(event.sequence.0, event.leaf, event.jws.as_deref())?;
            }
            first = end;
        }
        Ok(())
    }
}

/// A file of lines that is on disk when it is finished.
struct Output {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Output {
    fn create(path: PathBuf) -> Result<Self, ExportError> {
        let file = BufWriter::new(File::create(&path).map_err(writing(&path))?);
        Ok(Self { path, file })
    }

    fn line(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.write_all(b"\n"));
        written.map_err(writing(&self.path))
    }

    fn finish(self) -> Result<(), ExportError> {
        let file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error);
        file.and_then(|file| file.sync_all()).map_err(writing(&self.path))
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
    for (name, values) in [("tokens", &selection.tokens), ("types", &selection.kinds)] {
        if !values.is_empty() {
            text += &format!("; {name}: {}", values.join(" "));
        }
    }
    if let Some(sample) = &selection.sample {
        text += &format!("; 双随机 · sample of {}, seed `{}`", sample.count, sample.seed);
    }
    text
}

fn put(path: &Path, text: &str) -> Result<(), ExportError> {
    std::fs::write(path, text).map_err(writing(path))
}

fn writing(path: &Path) -> impl FnOnce(std::io::Error) -> ExportError {
    let path = path.to_owned();
    |source| ExportError::Write { path, source }
}
