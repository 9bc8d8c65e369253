//! The journal as an export reads it: once to choose and count, then once for each file of events.
//! Never holds more than a slice of events in memory, but a few bytes of each that was asked for.

use std::collections::BTreeSet;

use zhenyin_core::event::lifecycle::KeyRotated;
use zhenyin_core::event::{Envelope, EventData as _, EventError};
use zhenyin_core::ids::ChainId;
use zhenyin_core::jws::payload_unverified;
use zhenyin_core::merkle::{CompactRange, Hash};

use super::package::Package;
use super::totals::{Kind, Totals};
use super::{ExportError, Selection};
use crate::journal::JournalReader;

/// Rows read at a time; keeps a long export flat in memory.
const SLICE: u64 = 500;

pub(super) struct Source<'a> {
    pub(super) reader: &'a JournalReader,
    pub(super) chain: ChainId,
    /// Where the package ends.
    pub(super) size: u64,
    /// Where the inspection itself begins.
    pub(super) opened: Option<u64>,
}

/// The events whose content is written, and how many bytes their files will have.
pub(super) struct Chosen {
    sequences: BTreeSet<u64>,
    sealed_bytes: u64,
    decoded_bytes: u64,
}

/// What is kept of an event that was asked for, until the sample is drawn.
struct Candidate {
    sequence: u64,
    leaf: Hash,
    kind: Kind,
    sealed: usize,
    decoded: usize,
}

impl Source<'_> {
    /// Which events are asked for, and what all of them amount to.
    pub(super) fn choose(&self, selection: &Selection) -> Result<(Chosen, Totals), ExportError> {
        let (mut totals, mut taken, mut own) = (Totals::default(), Vec::new(), Vec::new());
        self.each(|sequence, leaf, jws| {
            let Some(jws) = jws else {
                totals.erased();
                return Ok(());
            };
            let payload = payload_unverified(jws).ok_or(unreadable(sequence, None))?;
            let envelope = Envelope::parse(&payload).map_err(|error| unreadable(sequence, Some(error)))?;
            let kind = totals.count(&envelope);
            let candidate = Candidate { sequence, leaf, kind, sealed: jws.len(), decoded: payload.len() };
            if self.opened.is_some_and(|opened| sequence >= opened) || envelope.kind == KeyRotated::TYPE {
                own.push(candidate);
            } else if selection.takes(&envelope) {
                taken.push(candidate);
            }
            Ok(())
        })?;
        if let Some(sample) = &selection.sample {
            let drawn = sample.draw(&taken.iter().map(|one| (one.sequence, one.leaf)).collect::<Vec<_>>());
            taken.retain(|one| drawn.binary_search(&one.sequence).is_ok());
        }
        let mut chosen = Chosen { sequences: BTreeSet::new(), sealed_bytes: 0, decoded_bytes: 0 };
        for one in taken.into_iter().chain(own) {
            chosen.sequences.insert(one.sequence);
            chosen.sealed_bytes += one.sealed as u64 + 1;
            chosen.decoded_bytes += one.decoded as u64 + 1;
            totals.show(&one.kind);
        }
        Ok((chosen, totals))
    }

    /// Writes the files of events; gives the root over all events up to the end.
    pub(super) fn write(
        &self,
        chosen: &Chosen,
        whole: bool,
        package: &mut Package,
    ) -> Result<Hash, ExportError> {
        let mut tree = CompactRange::new();
        package.file("events.jws", chosen.sealed_bytes, |output| {
            self.each(|sequence, leaf, jws| {
                tree.append(leaf);
                match jws.filter(|_| chosen.sequences.contains(&sequence)) {
                    Some(jws) => output.line(jws.as_bytes()),
                    None => Ok(()),
                }
            })
        })?;
        package.file("events.jsonl", chosen.decoded_bytes, |output| {
            self.each(|sequence, _, jws| match jws.filter(|_| chosen.sequences.contains(&sequence)) {
                Some(jws) => output.line(&payload_unverified(jws).ok_or(unreadable(sequence, None))?),
                None => Ok(()),
            })
        })?;
        if !whole {
            package.file("leaves.txt", self.size * (2 * HASH_BYTES + 1), |output| {
                self.each(|_, leaf, _| output.line(leaf.to_string().as_bytes()))
            })?;
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

const HASH_BYTES: u64 = 32;

fn unreadable(sequence: u64, source: Option<EventError>) -> ExportError {
    ExportError::Unreadable { sequence, source }
}
