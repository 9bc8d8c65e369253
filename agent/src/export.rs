//! Writes a chain to a folder that anybody can verify, and verifies such a folder.
//! Never leaves a gap out and never refuses a damaged chain: what cannot be read is said.

use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use zhenyin_core::documents::{DocumentError, Grant};
use zhenyin_core::ids::ChainId;
use zhenyin_core::note::{Note, NoteError, VerifierKey};
use zhenyin_core::signer::{KeyError, PublicKey};
use zhenyin_core::verify::{ExportHeader, Fault, Summary, Verifier};

use crate::journal::{JournalError, JournalReader};

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("export folder `{}` exists already: name a new one", path.display())]
    Exists { path: PathBuf },
    #[error("export file `{}` cannot be written", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("export file `{}` cannot be read", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("export file `{}` is not as it should be", path.display())]
    Header { path: PathBuf, source: serde_json::Error },
    #[error("journal cannot be read")]
    Journal(#[source] JournalError),
    #[error("event {sequence} has been erased after its retention; export from a later one")]
    Erased { sequence: u64 },
    #[error("authority key of the export is not a key")]
    Authority(#[source] KeyError),
    #[error("grant of the export does not hold")]
    Grant(#[source] DocumentError),
    #[error("note `{}` cannot be read", path.display())]
    Note { path: PathBuf, source: NoteError },
    #[error("the chain does not hold")]
    Chain(#[source] Fault),
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    pub events: u64,
    pub receipts: usize,
}

/// Rows read at a time; keeps a long export flat in memory.
const SLICE: u64 = 500;

/// Writes `chain` to the new folder `dir`: `chain.json`, `events.jws`, `notes/*.note`.
///
/// # Errors
/// [`ExportError`]; what was written until then stays, for a look.
pub fn write(
    reader: &JournalReader,
    chain: ChainId,
    header: &ExportHeader,
    dir: &Path,
) -> Result<Exported, ExportError> {
    if dir.exists() {
        return Err(ExportError::Exists { path: dir.to_owned() });
    }
    let notes = dir.join("notes");
    std::fs::create_dir_all(&notes).map_err(writing(&notes))?;
    let receipts = reader.receipts(chain).map_err(ExportError::Journal)?;
    for receipt in &receipts {
        let path = notes.join(format!("{:020}.note", receipt.size));
        std::fs::write(&path, &receipt.note).map_err(writing(&path))?;
    }
    let header_path = dir.join("chain.json");
    let text = serde_json::to_string_pretty(header)
        .map_err(|source| ExportError::Header { path: header_path.clone(), source })?;
    std::fs::write(&header_path, text + "\n").map_err(writing(&header_path))?;
    let events = write_events(reader, &dir.join("events.jws"))?;
    Ok(Exported { events, receipts: receipts.len() })
}

fn write_events(reader: &JournalReader, path: &Path) -> Result<u64, ExportError> {
    let size = reader.counters().map_err(ExportError::Journal)?.size;
    let mut file = BufWriter::new(std::fs::File::create(path).map_err(writing(path))?);
    let mut first = 0;
    while first < size {
        let end = size.min(first + SLICE);
        for event in reader.events(first..end).map_err(ExportError::Journal)? {
            let jws = event.jws.ok_or(ExportError::Erased { sequence: event.sequence.0 })?;
            writeln!(file, "{jws}").map_err(writing(path))?;
        }
        first = end;
    }
    file.into_inner().map_err(|e| e.into_error()).and_then(|f| f.sync_all()).map_err(writing(path))?;
    Ok(size)
}

/// Verifies a folder from its files alone. The caller compares the keys in it with the published ones.
///
/// # Errors
/// [`ExportError::Chain`] names the first event or note that does not hold.
pub fn verify(dir: &Path) -> Result<(ExportHeader, Summary), ExportError> {
    let header_path = dir.join("chain.json");
    let text = std::fs::read(&header_path).map_err(reading(&header_path))?;
    let header: ExportHeader = serde_json::from_slice(&text)
        .map_err(|source| ExportError::Header { path: header_path.clone(), source })?;
    let authority = PublicKey::from_jwk(&header.authority).map_err(ExportError::Authority)?;
    let grant = Grant::open(&header.grant, authority).map_err(ExportError::Grant)?;
    let witness = header.witness.as_deref().map(VerifierKey::parse).transpose();
    let witness = witness.map_err(|source| ExportError::Note { path: header_path, source })?;
    let mut verifier = Verifier::new(grant, witness, notes(&dir.join("notes"))?);
    let path = dir.join("events.jws");
    let file = BufReader::new(std::fs::File::open(&path).map_err(reading(&path))?);
    for line in file.lines() {
        verifier.event(&line.map_err(reading(&path))?).map_err(ExportError::Chain)?;
    }
    Ok((header, verifier.finish().map_err(ExportError::Chain)?))
}

fn notes(dir: &Path) -> Result<Vec<Note>, ExportError> {
    let mut notes = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(reading(dir))? {
        let path = entry.map_err(reading(dir))?.path();
        let text = std::fs::read_to_string(&path).map_err(reading(&path))?;
        notes.push(Note::parse(&text).map_err(|source| ExportError::Note { path, source })?);
    }
    Ok(notes)
}

fn writing(path: &Path) -> impl FnOnce(std::io::Error) -> ExportError {
    let path = path.to_owned();
    |source| ExportError::Write { path, source }
}

fn reading(path: &Path) -> impl FnOnce(std::io::Error) -> ExportError {
    let path = path.to_owned();
    |source| ExportError::Read { path, source }
}
