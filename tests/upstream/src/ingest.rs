//! Takes one batch: compares, judges, cosigns, and moves the chain on by compare-and-set.
//! Never signs a root that it did not compute itself from the events it holds, and never keeps a state of its own.

use std::collections::BTreeMap;

use zhenyin_core::documents::Grant;
use zhenyin_core::event::{Envelope, SEALED_LIMIT, kinds};
use zhenyin_core::ids::ChainId;
use zhenyin_core::jws::{self, Form};
use zhenyin_core::merkle::leaf_hash;
use zhenyin_core::note::{Note, NoteError};
use zhenyin_core::rotation::{ChainKeys, next_key_unverified};
use zhenyin_core::signer::{KeyId, PublicKey, Signer as _, SignerError};
use zhenyin_core::time::WallTime;
use zhenyin_core::wire::{BATCH_LIMIT, ChainStatus, Quarantine, UploadReceipt, UploadRequest};

use crate::keys::Keys;
use crate::life::Told;
use crate::store::{Advance, Alarm, ChainRow, ChainRowError, NewEvent, Store, StoreError};

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
    #[error("checkpoint is signed by key {key}, which signs no checkpoint of size {size} here")]
    Signer { key: KeyId, size: u64 },
    #[error("stored chain cannot be read")]
    Chain(#[source] ChainRowError),
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

/// How often a batch is judged anew because another process moved its chain on meanwhile.
const ATTEMPTS: usize = 4;

/// Judges a batch against the chain as it stands and moves the chain on, unless somebody else did meanwhile:
/// then everything is judged anew. A batch that was taken before gets the receipt it got before.
pub(crate) fn take(
    store: &dyn Store,
    keys: &Keys,
    chain: ChainId,
    request: &UploadRequest,
    now: WallTime,
) -> Result<Taken, IngestError> {
    check_bounds(request)?;
    let end = request.first + request.events.len() as u64;
    for _ in 0..ATTEMPTS {
        let row = store.chain(chain)?.ok_or(IngestError::UnknownChain)?;
        let (grant, chain_keys) = row.open(keys.authority.public_key()).map_err(IngestError::Chain)?;
        let note = Note::parse(&request.checkpoint).map_err(IngestError::Checkpoint)?;
        if note.checkpoint().size != end {
            return Err(IngestError::CheckpointSize { found: note.checkpoint().size, expected: end });
        }
        let size = row.frontier.size();
        let batch = Batch { store, chain, grant, chain_keys, row, note, end, request, keys, now };
        let signer = match batch.signer() {
            // After a loss here the rotation to its key may be among what it has to send again.
            Err(_) if request.first > size => return Ok(Taken::Conflict { size }),
            signer => signer?,
        };
        match batch.take(signer)? {
            Some(Taken::Conflict { size }) => {
                store.seen(chain, now)?;
                return Ok(Taken::Conflict { size });
            }
            Some(taken @ Taken::Receipt(_)) => return Ok(taken),
            None => {}
        }
    }
    let row = store.chain(chain)?.ok_or(IngestError::UnknownChain)?;
    Ok(Taken::Conflict { size: row.frontier.size() })
}

/// Size and newest receipt of a chain.
pub(crate) fn status(store: &dyn Store, chain: ChainId) -> Result<ChainStatus, IngestError> {
    let row = store.chain(chain)?.ok_or(IngestError::UnknownChain)?;
    Ok(ChainStatus { size: row.frontier.size(), receipt: store.newest_receipt(chain)? })
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
    store: &'a dyn Store,
    chain: ChainId,
    grant: Grant,
    chain_keys: ChainKeys,
    row: ChainRow,
    note: Note,
    /// Size of the chain after this batch.
    end: u64,
    request: &'a UploadRequest,
    keys: &'a Keys,
    now: WallTime,
}

impl Batch<'_> {
    /// Who has signed the checkpoint: the key that signs at its size, by what is stored or by a rotation in the batch.
    fn signer(&self) -> Result<PublicKey, IngestError> {
        let signed_by = |key| self.note.verify_log(&self.grant.log_key_of(key));
        let key = self.chain_keys.of_checkpoint(self.end);
        let Err(source) = signed_by(key) else { return Ok(key) };
        let announced = self.announced().of_checkpoint(self.end);
        if signed_by(announced).is_ok() {
            return Ok(announced);
        }
        let Some(other) = self.chain_keys.all().find(|key| signed_by(*key).is_ok()) else {
            return Err(IngestError::Checkpoint(source));
        };
        // Whoever holds a key that was handed over is either confused or not the terminal.
        let held = self.store.newest_receipt(self.chain)?.unwrap_or_default();
        self.alarm("retired_key", self.end, &held, &self.request.checkpoint)?;
        Err(IngestError::Signer { key: other.key_id(), size: self.end })
    }

    /// The keys as they are after the rotations that the batch brings, each signed by the key before it.
    fn announced(&self) -> ChainKeys {
        let mut keys = self.chain_keys.clone();
        let rotations = self.request.events.iter().filter(|sealed| next_key_unverified(sealed).is_some());
        for sealed in rotations {
            let opened = jws::open(sealed, Form::EVENT, &[keys.newest()]);
            if let Some(envelope) = opened.ok().and_then(|opened| Envelope::parse(&opened.payload).ok()) {
                // One that does not hold changes nothing; what follows it is then nobody's.
                let _ = keys.follow(&envelope);
            }
        }
        keys
    }

    /// `None` when another process was first.
    fn take(mut self, signer: PublicKey) -> Result<Option<Taken>, IngestError> {
        let size = self.row.frontier.size();
        if self.request.old > size {
            // Somebody restored an old copy of this store; the terminal sends again what is missing.
            tracing::error!(chain = %self.chain, size, receipted = self.request.old, "events were lost here");
        }
        if self.request.first > size {
            return Ok(Some(Taken::Conflict { size }));
        }
        let known = usize::try_from(size.min(self.end) - self.request.first).unwrap_or(usize::MAX);
        let (known, fresh) = self.request.events.split_at(known.min(self.request.events.len()));
        let mut quarantined = BTreeMap::new();
        if self.differs(known, &mut quarantined)? {
            return Ok(Some(Taken::Conflict { size }));
        }
        if self.end <= size
            && let Some(receipt) = self.store.receipt(self.chain, self.end)?
        {
            self.store.seen(self.chain, self.now)?;
            return Ok(Some(self.receipt(receipt, quarantined)));
        }
        if self.end < size {
            return Ok(Some(Taken::Conflict { size }));
        }
        let mut told = Told::default();
        let fresh = self.judge(fresh, &mut told);
        if self.chain_keys.of_checkpoint(self.end) != signer {
            return Err(IngestError::Signer { key: signer.key_id(), size: self.end });
        }
        if self.note.checkpoint().root != self.row.frontier.root() {
            let held = self.store.newest_receipt(self.chain)?.unwrap_or_default();
            self.alarm("rewritten", size, &held, &self.request.checkpoint)?;
            return Ok(Some(Taken::Conflict { size }));
        }
        let receipt = self.cosigned()?;
        if !self.advance(size, &fresh, &told, &receipt)? {
            return Ok(None);
        }
        quarantined.extend((size..).zip(&fresh).filter_map(|(sequence, event)| {
            Some((sequence.to_string(), Quarantine { err: event.quarantine?.to_owned() }))
        }));
        Ok(Some(self.receipt(receipt, quarantined)))
    }

    /// Whether a known place holds another event. Both are kept then: that is a proof. What was set aside of
    /// the known ones is told again.
    fn differs(
        &self,
        known: &[String],
        quarantined: &mut BTreeMap<String, Quarantine>,
    ) -> Result<bool, IngestError> {
        let first = self.request.first;
        if known.is_empty() {
            return Ok(false);
        }
        for (held, found) in
            self.store.events(self.chain, first..first + known.len() as u64)?.iter().zip(known)
        {
            if held.leaf != leaf_hash(found.as_bytes()) {
                self.alarm("equivocation", held.sequence, &held.body, found)?;
                return Ok(true);
            }
            if let Some(err) = &held.quarantine {
                quarantined.insert(held.sequence.to_string(), Quarantine { err: err.clone() });
            }
        }
        Ok(false)
    }

    /// Appends fresh events to the frontier and says of each whether it was understood.
    fn judge<'e>(&mut self, fresh: &'e [String], told: &mut Told) -> Vec<NewEvent<'e>> {
        let mut judged = Vec::with_capacity(fresh.len());
        for body in fresh {
            let leaf = leaf_hash(body.as_bytes());
            let quarantine = match self.understood(body) {
                Ok(envelope) => {
                    self.row.life.tell(&envelope, body, told);
                    None
                }
                Err(trouble) => Some(trouble),
            };
            self.row.frontier.append(leaf);
            self.row.last_leaf = leaf;
            judged.push(NewEvent { leaf, body, quarantine });
        }
        judged
    }

    fn understood(&mut self, body: &str) -> Result<Envelope, &'static str> {
        let opened = jws::open(body, Form::EVENT, &[self.chain_keys.newest()]);
        let opened = opened.map_err(|_| "signature_invalid")?;
        let envelope = Envelope::parse(&opened.payload).map_err(|_| "envelope_invalid")?;
        let rules = [
            ("chain_wrong", envelope.chain == self.grant.chain()),
            ("terminal_wrong", envelope.terminal == self.grant.terminal()),
            ("sequence_wrong", envelope.sequence.0 == self.row.frontier.size()),
            ("prevhash_wrong", envelope.prev == self.row.last_leaf),
            ("schema_unknown", kinds().any(|kind| kind.name == envelope.kind)),
        ];
        if let Some((err, _)) = rules.into_iter().find(|(_, good)| !good) {
            return Err(err);
        }
        self.chain_keys.follow(&envelope).map_err(|_| "rotation_invalid")?;
        Ok(envelope)
    }

    /// The checkpoint with the witness's line. Worth nothing to anybody until it is stored.
    fn cosigned(&self) -> Result<String, IngestError> {
        let mut note = self.note.clone();
        note.cosign(&self.keys.witness_key, self.now, &self.keys.witness).map_err(IngestError::Sign)?;
        Ok(note.to_string())
    }

    fn advance(
        &self,
        before: u64,
        events: &[NewEvent<'_>],
        told: &Told,
        receipt: &str,
    ) -> Result<bool, IngestError> {
        Ok(self.store.advance(&Advance {
            chain: self.chain,
            before,
            events,
            frontier: &self.row.frontier,
            last_leaf: self.row.last_leaf,
            receipt,
            life: &self.row.life,
            keys: &self.chain_keys,
            gaps: &told.gaps,
            acknowledgements: &told.acknowledgements,
            at: self.now,
        })?)
    }

    fn receipt(&self, receipt: String, quarantined: BTreeMap<String, Quarantine>) -> Taken {
        let time = self.now.rfc3339();
        Taken::Receipt(UploadReceipt { size: self.end, receipt, quarantined, time, next_ms: 0 })
    }

    fn alarm(&self, kind: &str, sequence: u64, held: &str, found: &str) -> Result<(), IngestError> {
        tracing::warn!(chain = %self.chain, sequence, kind, "terminal tells two histories");
        let (kind, held, found) = (kind.to_owned(), held.to_owned(), found.to_owned());
        let alarm = Alarm { chain: self.chain, kind, sequence, held, found };
        Ok(self.store.add_alarm(&alarm, self.now)?)
    }
}

#[cfg(test)]
mod race;
