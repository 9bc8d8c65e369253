//! Takes one batch: compares, appends and cosigns in one transaction.
//! Never signs a root that it did not compute itself from the events it holds.

use std::collections::BTreeMap;

use zhenyin_core::documents::{DocumentError, Grant};
use zhenyin_core::event::{Envelope, SEALED_LIMIT, kinds};
use zhenyin_core::ids::ChainId;
use zhenyin_core::jws::{self, Form};
use zhenyin_core::merkle::leaf_hash;
use zhenyin_core::note::{Note, NoteError};
use zhenyin_core::signer::{Signer as _, SignerError};
use zhenyin_core::time::WallTime;
use zhenyin_core::wire::{BATCH_LIMIT, ChainStatus, Quarantine, UploadReceipt, UploadRequest};

use crate::keys::Keys;
use crate::store::{Alarm, ChainRow, NewEvent, Store, StoreError, chains, keep_alarm};

#[derive(Debug, thiserror::Error)]
pub(crate) enum IngestError {
    #[error("chain is unknown: enrol first")]
    UnknownChain,
    #[error("batch has {found} events, more than {BATCH_LIMIT}")]
    TooMany { found: usize },
    #[error("event {sequence} has {found} bytes, more than {SEALED_LIMIT}")]
    TooLong { sequence: u64, found: usize },
    #[error("checkpoint cannot be believed")]
    Checkpoint(#[source] NoteError),
    #[error("checkpoint has size {found} where the batch ends at {expected}")]
    CheckpointSize { found: u64, expected: u64 },
    #[error("stored grant cannot be read")]
    Grant(#[source] DocumentError),
    #[error("receipt could not be signed")]
    Sign(#[source] SignerError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What came of a batch.
pub(crate) enum Taken {
    Receipt(UploadReceipt),
    /// The sender must go on from this size.
    Conflict {
        size: u64,
    },
}

pub(crate) fn take(
    store: &Store,
    keys: &Keys,
    chain: ChainId,
    request: &UploadRequest,
    now: WallTime,
) -> Result<Taken, IngestError> {
    check_bounds(request)?;
    let end = request.first + request.events.len() as u64;
    store.change(|tx| {
        let row = ChainRow::load(tx, chain)?.ok_or(IngestError::UnknownChain)?;
        let grant = Grant::open(&row.grant_jws, keys.authority.public_key()).map_err(IngestError::Grant)?;
        let note = Note::parse(&request.checkpoint).map_err(IngestError::Checkpoint)?;
        note.verify_log(&grant.log_key()).map_err(IngestError::Checkpoint)?;
        if note.checkpoint().size != end {
            return Err(IngestError::CheckpointSize { found: note.checkpoint().size, expected: end });
        }
        chains::seen(tx, chain, now)?;
        Batch { chain, grant, row, note, end, request, keys, now }.take(tx)
    })
}

/// Size and newest receipt of a chain.
pub(crate) fn status(store: &Store, chain: ChainId) -> Result<ChainStatus, IngestError> {
    store.change(|tx| {
        let row = ChainRow::load(tx, chain)?.ok_or(IngestError::UnknownChain)?;
        Ok(ChainStatus { size: row.frontier.size(), receipt: chains::newest_receipt(tx, chain)? })
    })
}

fn check_bounds(request: &UploadRequest) -> Result<(), IngestError> {
    if request.events.len() > BATCH_LIMIT {
        return Err(IngestError::TooMany { found: request.events.len() });
    }
    let end = request.first.checked_add(request.events.len() as u64).filter(|end| *end < 1 << 53);
    if end.is_none() {
        return Err(IngestError::CheckpointSize { found: request.first, expected: 0 });
    }
    match request.events.iter().zip(request.first..).find(|(event, _)| event.len() > SEALED_LIMIT) {
        Some((event, sequence)) => Err(IngestError::TooLong { sequence, found: event.len() }),
        None => Ok(()),
    }
}

struct Batch<'a> {
    chain: ChainId,
    grant: Grant,
    row: ChainRow,
    note: Note,
    /// Size of the chain after this batch.
    end: u64,
    request: &'a UploadRequest,
    keys: &'a Keys,
    now: WallTime,
}

impl Batch<'_> {
    fn take(mut self, tx: &rusqlite::Transaction<'_>) -> Result<Taken, IngestError> {
        let size = self.row.frontier.size();
        if self.request.old > size {
            // Somebody restored an old copy of this store; the terminal sends again what is missing.
            tracing::error!(chain = %self.chain, size, receipted = self.request.old, "events were lost here");
        }
        if self.request.first > size {
            return Ok(Taken::Conflict { size });
        }
        let known = usize::try_from(size.min(self.end) - self.request.first).unwrap_or(usize::MAX);
        let (known, fresh) = self.request.events.split_at(known.min(self.request.events.len()));
        if self.differs(tx, known)? {
            return Ok(Taken::Conflict { size });
        }
        if self.end < size {
            let receipt = chains::receipt_at(tx, self.chain, self.end)?;
            return match receipt {
                Some(receipt) => self.receipt(tx, receipt).map(Taken::Receipt),
                None => Ok(Taken::Conflict { size }),
            };
        }
        let fresh = self.judge(fresh);
        if self.note.checkpoint().root != self.row.frontier.root() {
            self.alarm(tx, "rewritten", size, &self.held_head(tx)?, &self.request.checkpoint)?;
            return Ok(Taken::Conflict { size });
        }
        if !chains::append(tx, self.chain, size, &fresh, &self.row.frontier, self.row.last_leaf)? {
            return Ok(Taken::Conflict { size });
        }
        let receipt = match chains::receipt_at(tx, self.chain, self.end)? {
            Some(receipt) => receipt,
            None => self.cosign(tx)?,
        };
        self.receipt(tx, receipt).map(Taken::Receipt)
    }

    /// Whether a known place holds another event. Both are kept then: that is a proof.
    fn differs(&self, tx: &rusqlite::Transaction<'_>, known: &[String]) -> Result<bool, IngestError> {
        let first = self.request.first;
        let stored = chains::stored_events(tx, self.chain, first, first + known.len() as u64)?;
        for (((leaf, held), found), sequence) in stored.iter().zip(known).zip(first..) {
            if *leaf != leaf_hash(found.as_bytes()) {
                self.alarm(tx, "equivocation", sequence, held, found)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Appends fresh events to the frontier and says of each whether it was understood.
    fn judge<'e>(&mut self, fresh: &'e [String]) -> Vec<NewEvent<'e>> {
        let mut judged = Vec::with_capacity(fresh.len());
        for body in fresh {
            let leaf = leaf_hash(body.as_bytes());
            let quarantine = self.trouble(body);
            self.row.frontier.append(leaf);
            self.row.last_leaf = leaf;
            judged.push(NewEvent { leaf, body, quarantine });
        }
        judged
    }

    fn trouble(&self, body: &str) -> Option<&'static str> {
        let Ok(opened) = jws::open(body, Form::EVENT, &[self.grant.device_key()]) else {
            return Some("signature_invalid");
        };
        let Ok(envelope) = Envelope::parse(&opened.payload) else {
            return Some("envelope_invalid");
        };
        let rules = [
            ("chain_wrong", envelope.chain == self.grant.chain()),
            ("terminal_wrong", envelope.terminal == self.grant.terminal()),
            ("sequence_wrong", envelope.sequence.0 == self.row.frontier.size()),
            ("prevhash_wrong", envelope.prev == self.row.last_leaf),
            ("schema_unknown", kinds().any(|kind| kind.name == envelope.kind)),
        ];
        rules.into_iter().find(|(_, good)| !good).map(|(err, _)| err)
    }

    fn cosign(&self, tx: &rusqlite::Transaction<'_>) -> Result<String, IngestError> {
        let mut note = self.note.clone();
        note.cosign(&self.keys.witness_key, self.now, &self.keys.witness).map_err(IngestError::Sign)?;
        let text = note.to_string();
        chains::keep_receipt(tx, self.chain, self.end, &text, self.now)?;
        Ok(text)
    }

    fn receipt(&self, tx: &rusqlite::Transaction<'_>, receipt: String) -> Result<UploadReceipt, IngestError> {
        let quarantined = chains::quarantined(tx, self.chain, self.request.first, self.end)?;
        let quarantined: BTreeMap<_, _> = quarantined
            .into_iter()
            .map(|(sequence, err)| (sequence.to_string(), Quarantine { err }))
            .collect();
        Ok(UploadReceipt { size: self.end, receipt, quarantined, time: self.now.rfc3339(), next_ms: 0 })
    }

    fn held_head(&self, tx: &rusqlite::Transaction<'_>) -> Result<String, IngestError> {
        Ok(chains::newest_receipt(tx, self.chain)?.unwrap_or_default())
    }

    fn alarm(
        &self,
        tx: &rusqlite::Transaction<'_>,
        kind: &str,
        sequence: u64,
        held: &str,
        found: &str,
    ) -> Result<(), IngestError> {
        tracing::warn!(chain = %self.chain, sequence, kind, "terminal tells two histories");
        let (kind, held, found) = (kind.to_owned(), held.to_owned(), found.to_owned());
        keep_alarm(tx, &Alarm { chain: self.chain, kind, sequence, held, found }, self.now)?;
        Ok(())
    }
}
