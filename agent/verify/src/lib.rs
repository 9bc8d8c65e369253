//! Verifies an inspection package from its files alone: signatures, links, tree, receipts.
//! Never opens a device or a connection, never needs a secret, and never writes a file.

#![forbid(unsafe_code)]

mod report;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use zhenyin_core::documents::{DocumentError, Grant};
use zhenyin_core::merkle::{Hash, leaf_hash};
use zhenyin_core::note::{Note, NoteError, VerifierKey};
use zhenyin_core::signer::{KeyError, PublicKey};
use zhenyin_core::verify::{CheckedEvent, ExportHeader, Fault, Summary, Verifier, check_event};

pub use report::told;

/// Events that one thread checks at a time.
const SLICE: usize = 256;

#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error("file `{}` of the package cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("file `{}` of the package is not as it should be", path.display())]
    Header { path: PathBuf, source: serde_json::Error },
    #[error("authority key of the package is not a key")]
    Authority(#[source] KeyError),
    #[error("grant of the package does not hold")]
    Grant(#[source] DocumentError),
    #[error("note `{}` cannot be read", path.display())]
    Note { path: PathBuf, source: NoteError },
    #[error("line {line} of `leaves.txt` is not 64 hexadecimal digits")]
    Leaf { line: usize },
    #[error("event in line {line} of `events.jws` is at no place that `leaves.txt` has left")]
    Stray { line: usize },
    #[error("`leaves.txt` goes on after the first {vouched} events, and no signature covers what follows")]
    Unvouched { vouched: u64 },
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
}

/// Verifies a package. The caller compares the keys in it with the published ones.
///
/// `events.jws` has one sealed event a line. Where it has not all of them, `leaves.txt` has the leaf hash of each
/// event of the chain in hexadecimal, one a line: so a selection is held against the same cosigned tree as the whole.
/// It ends with the last event that a note covers or that is shown: anybody could write hashes after that.
///
/// # Errors
/// [`PackageError::Chain`] names the first event or note that does not hold.
pub fn verify(folder: &Path, threads: usize) -> Result<Verified, PackageError> {
    let header_path = folder.join("chain.json");
    let text = std::fs::read(&header_path).map_err(reading(&header_path))?;
    let header: ExportHeader = serde_json::from_slice(&text)
        .map_err(|source| PackageError::Header { path: header_path.clone(), source })?;
    let authority = PublicKey::from_jwk(&header.authority).map_err(PackageError::Authority)?;
    let grant = Grant::open(&header.grant, authority).map_err(PackageError::Grant)?;
    let witness = header.witness.as_deref().map(VerifierKey::parse).transpose();
    let witness = witness.map_err(|source| PackageError::Note { path: header_path, source })?;
    let notes = notes(&folder.join("notes"))?;
    let noted = notes.iter().map(|note| note.checkpoint().size).max().unwrap_or(0);
    let verifier = Verifier::new(grant.clone(), witness, notes);
    let leaves = Leaves::open(&folder.join("leaves.txt"))?;
    let events = lines(&folder.join("events.jws"))?;
    let (summary, shown) = follow(verifier, &grant, events, leaves, noted, threads.max(1))?;
    Ok(Verified { header, summary, shown })
}

/// One line of `events.jws`.
struct Line {
    number: usize,
    leaf: Hash,
    sealed: String,
}

/// Checks events on several threads and follows the chain in order on this one.
fn follow(
    mut verifier: Verifier,
    grant: &Grant,
    events: Lines<BufReader<File>>,
    mut leaves: Option<Leaves>,
    noted: u64,
    threads: usize,
) -> Result<(Summary, u64), PackageError> {
    let mut shown = 0;
    thread::scope(|scope| -> Result<(), PackageError> {
        let (mut checkers, mut results) = (Vec::new(), Vec::new());
        for _ in 0..threads {
            let (to, work) = sync_channel::<Vec<Line>>(1);
            let (done, from) = sync_channel(1);
            scope.spawn(move || {
                for slice in work {
                    let checked = slice.into_iter().map(|line| {
                        let sequence = sequence_of(&line);
                        (line.number, line.leaf, check_event(grant, sequence, &line.sealed))
                    });
                    if done.send(checked.collect::<Vec<Checked>>()).is_err() {
                        return;
                    }
                }
            });
            checkers.push(to);
            results.push(from);
        }
        let mut reader = Slices { events, number: 0 };
        let (mut turn, mut waiting) = (0_usize, 0_usize);
        loop {
            // Each thread has one slice in hand and one before it, in turn: so the order is kept.
            while waiting < threads * 2 {
                let slice = reader.next_slice()?;
                if slice.is_empty() {
                    break;
                }
                let _ = checkers[(turn + waiting) % threads].send(slice);
                waiting += 1;
            }
            if waiting == 0 {
                return rest(&mut verifier, leaves.as_mut(), noted);
            }
            let slice = take(&results[turn % threads]);
            for (line, leaf, checked) in slice {
                shown += 1;
                place(&mut verifier, leaves.as_mut(), line, leaf, checked)?;
            }
            (turn, waiting) = (turn + 1, waiting - 1);
        }
    })?;
    Ok((verifier.finish().map_err(PackageError::Chain)?, shown))
}

type Checked = (usize, Hash, Result<CheckedEvent, Fault>);

fn take(results: &Receiver<Vec<Checked>>) -> Vec<Checked> {
    results.recv().expect("a checking thread answers each slice")
}

/// Puts one event at its place; where hashes of all are given, those before it are taken first.
fn place(
    verifier: &mut Verifier,
    leaves: Option<&mut Leaves>,
    line: usize,
    leaf: Hash,
    checked: Result<CheckedEvent, Fault>,
) -> Result<(), PackageError> {
    if let Some(leaves) = leaves {
        loop {
            match leaves.next_leaf()? {
                None => return Err(PackageError::Stray { line }),
                Some(found) if found == leaf => break,
                Some(withheld) => verifier.withheld(withheld).map_err(PackageError::Chain)?,
            }
        }
    }
    let checked = checked.map_err(PackageError::Chain)?;
    verifier.checked(checked).map(drop).map_err(PackageError::Chain)
}

/// Takes the hashes after the last shown event, as far as the largest note, of `noted` events, covers them.
fn rest(verifier: &mut Verifier, leaves: Option<&mut Leaves>, noted: u64) -> Result<(), PackageError> {
    let Some(leaves) = leaves else { return Ok(()) };
    let vouched = noted.max(verifier.events());
    while let Some(withheld) = leaves.next_leaf()? {
        if verifier.events() >= vouched {
            return Err(PackageError::Unvouched { vouched });
        }
        verifier.withheld(withheld).map_err(PackageError::Chain)?;
    }
    Ok(())
}

/// The number by which a fault names an event: its line in a whole chain.
fn sequence_of(line: &Line) -> u64 {
    line.number as u64
}

struct Slices {
    events: Lines<BufReader<File>>,
    number: usize,
}

impl Slices {
    fn next_slice(&mut self) -> Result<Vec<Line>, PackageError> {
        let mut slice = Vec::with_capacity(SLICE);
        while slice.len() < SLICE
            && let Some(sealed) = self.events.next()
        {
            let path = || PathBuf::from("events.jws");
            let sealed = sealed.map_err(|source| PackageError::Read { path: path(), source })?;
            let leaf = leaf_hash(sealed.as_bytes());
            slice.push(Line { number: self.number, leaf, sealed });
            self.number += 1;
        }
        Ok(slice)
    }
}

/// The hashes of all events, where a package has not all events.
struct Leaves {
    lines: Lines<BufReader<File>>,
    number: usize,
}

impl Leaves {
    fn open(path: &Path) -> Result<Option<Self>, PackageError> {
        if !path.exists() {
            return Ok(None);
        }
        Ok(Some(Self { lines: lines(path)?, number: 0 }))
    }

    fn next_leaf(&mut self) -> Result<Option<Hash>, PackageError> {
        let Some(line) = self.lines.next() else { return Ok(None) };
        self.number += 1;
        let wrong = PackageError::Leaf { line: self.number };
        let Ok(line) = line else { return Err(wrong) };
        let (pairs, rest) = line.as_bytes().as_chunks::<2>();
        // A number may have a sign, a digit may not.
        if !line.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong);
        }
        let digits = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = pairs.iter().map(digits).collect();
        let hash = bytes.filter(|_| rest.is_empty()).and_then(|bytes| Hash::from_slice(&bytes));
        hash.map(Some).ok_or(wrong)
    }
}

fn notes(folder: &Path) -> Result<Vec<Note>, PackageError> {
    let mut notes = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(reading(folder))? {
        let path = entry.map_err(reading(folder))?.path();
        let text = std::fs::read_to_string(&path).map_err(reading(&path))?;
        notes.push(Note::parse(&text).map_err(|source| PackageError::Note { path, source })?);
    }
    Ok(notes)
}

fn lines(path: &Path) -> Result<Lines<BufReader<File>>, PackageError> {
    Ok(BufReader::with_capacity(1 << 18, File::open(path).map_err(reading(path))?).lines())
}

fn reading(path: &Path) -> impl FnOnce(io::Error) -> PackageError {
    let path = path.to_owned();
    |source| PackageError::Read { path, source }
}
