//! Offline verification of a chain from its grant, its events and its notes alone.
//! Never needs the terminal, the network or a secret; reports the first fault with its event number.

use serde::{Deserialize, Serialize};

use crate::chain::Head;
use crate::documents::Grant;
use crate::event::{Envelope, EventError};
use crate::jws::{self, Form, JwsError};
use crate::merkle::{CompactRange, Hash, leaf_hash};
use crate::note::{Note, NoteError, VerifierKey};
use crate::receipt::{ReceiptError, verify_receipt};
use crate::rotation::{ChainKeys, RotationError};
use crate::signer::{Jwk, PublicKey};
use crate::time::WallTime;

/// File `chain.json` of an exported chain: what a verifier must hold beside events and notes.
/// Whoever verifies compares the two keys with the published ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportHeader {
    pub authority: Jwk,
    pub grant: String,
    pub origin: String,
    pub witness: Option<String>,
}

/// The first thing that is wrong with a chain.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("event {event}: signature")]
    Signature { event: u64, source: JwsError },
    #[error("event {event}: rotation of the key")]
    Rotation { event: u64, source: RotationError },
    #[error("event {event}: envelope")]
    Envelope { event: u64, source: EventError },
    #[error("event {event}: sequence {found}")]
    Sequence { event: u64, found: u64 },
    #[error("event {event}: prevhash")]
    Previous { event: u64 },
    #[error("event {event}: `{member}` is of another chain")]
    Foreign { event: u64, member: &'static str },
    #[error("checkpoint of size {size} cannot be believed")]
    Checkpoint { size: u64, source: NoteError },
    #[error("{what} is for log `{found}`")]
    Origin { what: &'static str, found: String },
    #[error("{what} root mismatch at size {size}: rewritten history")]
    Root { what: &'static str, size: u64 },
    #[error("{what} size {size} > {events}: truncated")]
    Truncated { what: &'static str, size: u64, events: u64 },
    #[error("receipt of size {size}")]
    Receipt { size: u64, source: ReceiptError },
}

/// What a faultless chain amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub events: u64,
    pub root: Hash,
    /// Notes with the log's signature that agree with the events.
    pub checkpoints: usize,
    /// Notes with the witness's signature that agree with the events.
    pub receipts: usize,
    /// Events below the largest receipt, and the witness's time in it.
    pub receipted: u64,
    pub receipted_at: Option<WallTime>,
}

/// An event whose signature and form hold; its place in the chain is still to be checked.
#[derive(Clone, Debug)]
pub struct CheckedEvent {
    envelope: Envelope,
    leaf: Hash,
    payload: Vec<u8>,
    key: PublicKey,
}

impl CheckedEvent {
    /// The signed text of the event.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

/// The part of an event's check that needs no other event, and nearly all of the work: may run on any thread.
/// `event` is the number that a fault names, `key` the one that is believed to sign at its place: [`Verifier::checked`]
/// refuses it where another one does.
///
/// # Errors
/// [`Fault::Signature`] or [`Fault::Envelope`].
pub fn check_event(key: PublicKey, event: u64, sealed: &str) -> Result<CheckedEvent, Fault> {
    let opened =
        jws::open(sealed, Form::EVENT, &[key]).map_err(|source| Fault::Signature { event, source })?;
    let envelope = Envelope::parse(&opened.payload).map_err(|source| Fault::Envelope { event, source })?;
    Ok(CheckedEvent { envelope, leaf: leaf_hash(sealed.as_bytes()), payload: opened.payload, key })
}

/// Takes a chain event by event. Notes come first, so that one pass is enough.
#[derive(Debug)]
pub struct Verifier {
    grant: Grant,
    witness: Option<VerifierKey>,
    origin: String,
    keys: ChainKeys,
    /// Descending by size: the next one due is last.
    pending: Vec<Note>,
    frontier: CompactRange,
    last_leaf: Hash,
    summary: Summary,
}

impl Verifier {
    /// `witness` is the pinned key; without one the grant's own is used, and without that receipts
    /// count as checkpoints only.
    pub fn new(grant: Grant, witness: Option<VerifierKey>, mut notes: Vec<Note>) -> Self {
        notes.sort_by_key(|note| std::cmp::Reverse(note.checkpoint().size));
        let frontier = CompactRange::new();
        let summary = Summary {
            events: 0,
            root: frontier.root(),
            checkpoints: 0,
            receipts: 0,
            receipted: 0,
            receipted_at: None,
        };
        Self {
            witness: witness.or_else(|| grant.witness().cloned()),
            origin: grant.origin(),
            keys: ChainKeys::granted(grant.device_key()),
            pending: notes,
            last_leaf: grant.leaf(),
            frontier,
            summary,
            grant,
        }
    }

    /// Checks the next event and every note that ends with it.
    ///
    /// # Errors
    /// [`Fault`]; the verifier must not be used further then.
    pub fn event(&mut self, sealed: &str) -> Result<Envelope, Fault> {
        self.notes_due()?;
        let sequence = self.frontier.size();
        let checked = check_event(self.keys.of_event(sequence), sequence, sealed)?;
        self.checked(checked)
    }

    /// As [`Self::event`] for an event that [`check_event`] has passed.
    ///
    /// # Errors
    /// [`Fault`]; the verifier must not be used further then.
    pub fn checked(&mut self, checked: CheckedEvent) -> Result<Envelope, Fault> {
        self.notes_due()?;
        let CheckedEvent { envelope, leaf, key, .. } = checked;
        let event = self.frontier.size();
        if key != self.keys.of_event(event) {
            let source = JwsError::UnknownKey(key.key_id().as_str().to_owned());
            return Err(Fault::Signature { event, source });
        }
        self.check_place(event, &envelope)?;
        self.keys.follow(&envelope).map_err(|source| Fault::Rotation { event, source })?;
        self.append(leaf)?;
        Ok(envelope)
    }

    /// Takes an event of which only the leaf hash is shown: its place in the tree counts, its content is not said.
    ///
    /// # Errors
    /// [`Fault`]; the verifier must not be used further then.
    pub fn withheld(&mut self, leaf: Hash) -> Result<(), Fault> {
        self.notes_due()?;
        self.append(leaf)
    }

    fn append(&mut self, leaf: Hash) -> Result<(), Fault> {
        self.frontier.append(leaf);
        self.last_leaf = leaf;
        self.notes_due()
    }

    /// Checks the notes that are left and sums up.
    ///
    /// # Errors
    /// [`Fault::Truncated`] when a note speaks of more events than there were.
    pub fn finish(mut self) -> Result<Summary, Fault> {
        self.notes_due()?;
        let events = self.frontier.size();
        if let Some(note) = self.pending.last() {
            let is_receipt = self.witness.as_ref().is_some_and(|key| note.has_line(key));
            let what = if is_receipt { "receipt" } else { "checkpoint" };
            return Err(Fault::Truncated { what, size: note.checkpoint().size, events });
        }
        Ok(Summary { events, root: self.frontier.root(), ..self.summary })
    }

    /// Events verified so far.
    pub fn events(&self) -> u64 {
        self.frontier.size()
    }

    pub fn frontier(&self) -> &CompactRange {
        &self.frontier
    }

    fn check_place(&self, event: u64, envelope: &Envelope) -> Result<(), Fault> {
        if envelope.chain != self.grant.chain() {
            return Err(Fault::Foreign { event, member: "chainid" });
        }
        if envelope.terminal != self.grant.terminal() {
            return Err(Fault::Foreign { event, member: "source" });
        }
        if envelope.sequence.0 != event {
            return Err(Fault::Sequence { event, found: envelope.sequence.0 });
        }
        if envelope.prev != self.last_leaf {
            return Err(Fault::Previous { event });
        }
        Ok(())
    }

    fn notes_due(&mut self) -> Result<(), Fault> {
        let size = self.frontier.size();
        while let Some(note) = self.pending.pop_if(|note| note.checkpoint().size == size) {
            self.check_note(&note, Head { size, root: self.frontier.root() })?;
        }
        Ok(())
    }

    fn check_note(&mut self, note: &Note, head: Head) -> Result<(), Fault> {
        let size = head.size;
        let found = note.checkpoint();
        let key = self.grant.log_key_of(self.keys.of_checkpoint(size));
        note.verify_log(&key).map_err(|source| Fault::Checkpoint { size, source })?;
        let witness = self.witness.as_ref().filter(|key| note.has_line(key));
        let what = if witness.is_some() { "receipt" } else { "checkpoint" };
        if found.origin != self.origin {
            return Err(Fault::Origin { what, found: found.origin.clone() });
        }
        if found.root != head.root {
            return Err(Fault::Root { what, size });
        }
        self.summary.checkpoints += 1;
        if let Some(witness) = witness {
            let at = verify_receipt(note, &self.origin, witness, head)
                .map_err(|source| Fault::Receipt { size, source })?;
            self.summary.receipts += 1;
            self.summary.receipted = size;
            self.summary.receipted_at = Some(at);
        }
        Ok(())
    }
}
