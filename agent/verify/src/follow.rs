//! Follows the chain through a package: several threads check events, this one puts each at its place.
//! Never holds more than a few slices of events in memory.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope};

use zhenyin_core::event::inspection::{InspectionChallenge, InspectionOpened};
use zhenyin_core::event::{Envelope, EventData as _, SEALED_LIMIT};
use zhenyin_core::merkle::{Hash, leaf_hash};
use zhenyin_core::rotation::next_key_unverified;
use zhenyin_core::signer::PublicKey;
use zhenyin_core::verify::{CheckedEvent, Fault, Summary, Verifier, check_event};

use crate::PackageError;
use crate::files::{DECODED, EVENTS, Folder, Lines};
use crate::leaves::Leaves;

/// What following a chain to its end has shown.
pub(crate) struct Followed {
    pub(crate) summary: Summary,
    pub(crate) shown: u64,
    pub(crate) inspection: Option<u64>,
}

/// Events that one thread checks at a time.
const SLICE: usize = 256;

/// Checks events on several threads and follows the chain in order on this one. `granted` is its first key, `noted` is the size of the largest
/// note.
pub(crate) fn follow(
    verifier: Verifier,
    granted: PublicKey,
    folder: &Folder,
    noted: u64,
    threads: usize,
) -> Result<Followed, PackageError> {
    let mut events = Slices { lines: folder.lines(EVENTS, SEALED_LIMIT)?, key: granted, before: None };
    let mut trail = Trail {
        verifier,
        leaves: Leaves::open(folder)?,
        decoded: folder.lines(DECODED, SEALED_LIMIT)?,
        noted,
        shown: 0,
        inspection: None,
    };
    thread::scope(|scope| {
        let workers: Vec<Worker> = (0..threads).map(|_| Worker::start(scope)).collect();
        let (mut turn, mut waiting) = (0_usize, 0_usize);
        loop {
            // Each thread has one slice in hand and one before it, in turn: so the order is kept.
            while waiting < threads * 2 {
                let slice = events.next_slice()?;
                if slice.is_empty() {
                    break;
                }
                let _ended = workers[(turn + waiting) % threads].work.send(slice);
                waiting += 1;
            }
            if waiting == 0 {
                return Ok(());
            }
            let done = workers[turn % threads].done.recv().expect("a checking thread answers each slice");
            done.into_iter().try_for_each(|event| trail.take(event))?;
            (turn, waiting) = (turn + 1, waiting - 1);
        }
    })?;
    trail.end()
}

/// One line of `events.jws`.
struct Line {
    number: usize,
    sealed: String,
    /// Who should have signed it, if the rotation before it is one.
    key: PublicKey,
}

/// The same once its signature and form were looked at.
struct Looked {
    number: usize,
    leaf: Hash,
    checked: Result<CheckedEvent, Fault>,
}

/// A thread that checks slices in the order in which it gets them.
struct Worker {
    work: SyncSender<Vec<Line>>,
    done: Receiver<Vec<Looked>>,
}

impl Worker {
    fn start<'scope>(scope: &'scope Scope<'scope, '_>) -> Self {
        let (work, slices) = sync_channel::<Vec<Line>>(1);
        let (finished, done) = sync_channel(1);
        scope.spawn(move || {
            for slice in slices {
                let looked = slice.into_iter().map(|Line { number, sealed, key }| {
                    // The number by which a fault names an event: its line in a whole chain.
                    let checked = check_event(key, number as u64 - 1, &sealed);
                    Looked { number, leaf: leaf_hash(sealed.as_bytes()), checked }
                });
                if finished.send(looked.collect()).is_err() {
                    return;
                }
            }
        });
        Self { work, done }
    }
}

struct Slices {
    lines: Lines,
    key: PublicKey,
    before: Option<String>,
}

impl Slices {
    fn next_slice(&mut self) -> Result<Vec<Line>, PackageError> {
        let mut slice = Vec::with_capacity(SLICE);
        while slice.len() < SLICE
            && let Some(sealed) = self.lines.next_line()?
        {
            self.turn_to(&sealed);
            slice.push(Line { number: self.lines.number, sealed, key: self.key });
        }
        Ok(slice)
    }

    /// Headers name the key, and are else the same throughout. Where one differs from the one before, that event must
    /// be the rotation; whether it is one is for the verifier to find.
    fn turn_to(&mut self, sealed: &str) {
        let turned = self.before.as_deref().filter(|before| header(before) != header(sealed));
        if let Some(key) = turned.and_then(next_key_unverified) {
            self.key = key;
        }
        self.before = Some(sealed.to_owned());
    }
}

/// Whoever looked at an event knew its line only.
fn at(event: u64, fault: Fault) -> Fault {
    match fault {
        Fault::Signature { source, .. } => Fault::Signature { event, source },
        Fault::Envelope { source, .. } => Fault::Envelope { event, source },
        of_the_chain @ (Fault::Rotation { .. }
        | Fault::Sequence { .. }
        | Fault::Previous { .. }
        | Fault::Foreign { .. }
        | Fault::Checkpoint { .. }
        | Fault::Origin { .. }
        | Fault::Root { .. }
        | Fault::Truncated { .. }
        | Fault::Receipt { .. }) => of_the_chain,
    }
}

fn header(sealed: &str) -> Option<&str> {
    sealed.split('.').next()
}

/// What was followed so far.
struct Trail {
    verifier: Verifier,
    leaves: Option<Leaves>,
    decoded: Lines,
    noted: u64,
    shown: u64,
    /// The opening of an inspection, as long as nothing but its challenge follows.
    inspection: Option<u64>,
}

impl Trail {
    /// Puts one event at its place; where hashes of all are given, those before it are taken first.
    fn take(&mut self, event: Looked) -> Result<(), PackageError> {
        let Looked { number, leaf, checked } = event;
        loop {
            let next = self.leaves.as_mut().map(Leaves::next_leaf).transpose()?;
            match next {
                None => break,
                Some(None) => return Err(PackageError::Stray { line: number }),
                Some(Some(found)) if found == leaf => break,
                Some(Some(withheld)) => self.withheld(withheld)?,
            }
        }
        let checked = checked.map_err(|fault| PackageError::Chain(at(self.verifier.events(), fault)))?;
        let same = self.decoded.next_line()?.is_some_and(|line| line.as_bytes() == checked.payload());
        let envelope = self.verifier.checked(checked).map_err(PackageError::Chain)?;
        if !same {
            return Err(PackageError::Decoded { line: number });
        }
        self.shown += 1;
        self.inspection = match envelope {
            Envelope { kind, sequence, .. } if kind == InspectionOpened::TYPE => Some(sequence.0),
            Envelope { kind, .. } if kind == InspectionChallenge::TYPE => self.inspection,
            _ => None,
        };
        Ok(())
    }

    /// An event that is not shown.
    fn withheld(&mut self, leaf: Hash) -> Result<(), PackageError> {
        self.inspection = None;
        self.verifier.withheld(leaf).map_err(PackageError::Chain)
    }

    /// Takes the hashes after the last shown event.
    fn end(mut self) -> Result<Followed, PackageError> {
        while let Some(withheld) = self.leaves.as_mut().map(Leaves::next_leaf).transpose()?.flatten() {
            self.withheld(withheld)?;
        }
        let (shown, inspection) = (self.shown, self.inspection);
        let summary = self.verifier.finish().map_err(PackageError::Chain)?;
        // The exporter's checkpoint covers everything: without it a tail could be cut, or a hash be written by anybody.
        if summary.events > self.noted {
            return Err(PackageError::Unvouched { vouched: self.noted, events: summary.events });
        }
        if self.decoded.next_line()?.is_some() {
            return Err(PackageError::Decoded { line: self.decoded.number });
        }
        Ok(Followed { summary, shown, inspection })
    }
}
