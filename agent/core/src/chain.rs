//! The chain of one enrolment: gives each event its place, its link and its signature.
//! Never makes an event durable and never forgets one: the caller commits, or rolls back before it goes on.

use crate::documents::Grant;
use crate::event::{Draft, Envelope, EventData, EventError, SEALED_LIMIT};
use crate::ids::{BootId, Sequence};
use crate::jws::{self, Form};
use crate::merkle::{CompactRange, Hash, leaf_hash};
use crate::note::{Checkpoint, Note};
use crate::rotation::{ChainKeys, RotationError, hand_over};
use crate::signer::{Signer, SignerError};
use crate::time::{Now, WallTime};

#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    #[error("event `{kind}` cannot be written")]
    Event { kind: String, source: EventError },
    #[error("event `{kind}` has {found} bytes, more than {SEALED_LIMIT}")]
    TooLong { kind: String, found: usize },
    #[error("event `{kind}` could not be signed")]
    Sign { kind: String, source: SignerError },
    #[error("signer holds another key than the one that signs here")]
    ForeignSigner,
    #[error("key cannot be rotated")]
    Rotation(#[source] RotationError),
}

/// Everything that must be kept between two runs to append again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainState {
    pub frontier: CompactRange,
    /// Leaf hash of the newest event; of the grant while there is none.
    pub last_leaf: Hash,
}

/// Where the chain ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub size: u64,
    pub root: Hash,
}

/// A signed event in its place. `frontier` is the tree that ends with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedEvent {
    pub sequence: Sequence,
    pub jws: String,
    pub leaf: Hash,
    pub at: WallTime,
    pub frontier: CompactRange,
}

/// The append end of one chain.
#[derive(Clone, Debug)]
pub struct Chain {
    grant: Grant,
    keys: ChainKeys,
    state: ChainState,
}

impl Chain {
    /// A chain without events: the first one links to the grant.
    pub fn begin(grant: Grant) -> Self {
        let state = ChainState { frontier: CompactRange::new(), last_leaf: grant.leaf() };
        let keys = ChainKeys::granted(grant.device_key());
        Self { grant, keys, state }
    }

    /// Goes on where `state` ends, under the newest of its `keys`.
    pub fn resume(grant: Grant, keys: ChainKeys, state: ChainState) -> Self {
        Self { grant, keys, state }
    }

    /// Signs the event as the next of the chain.
    ///
    /// # Errors
    /// [`ChainError`]; the chain is then as it was before.
    pub fn seal<E: EventData>(
        &mut self,
        event: &E,
        now: Now,
        boot: &BootId,
        signer: &dyn Signer,
    ) -> Result<SealedEvent, ChainError> {
        let draft =
            Draft::of(event).map_err(|source| ChainError::Event { kind: E::TYPE.to_owned(), source })?;
        self.seal_draft(draft, now, boot, signer)
    }

    /// As [`Self::seal`], for an event whose type is known at run time only.
    ///
    /// # Errors
    /// [`ChainError`]; the chain is then as it was before.
    pub fn seal_draft(
        &mut self,
        draft: Draft,
        now: Now,
        boot: &BootId,
        signer: &dyn Signer,
    ) -> Result<SealedEvent, ChainError> {
        if signer.public_key() != self.keys.newest() {
            return Err(ChainError::ForeignSigner);
        }
        let kind = draft.kind.clone();
        let envelope = self.envelope(draft, now, boot);
        let mut keys = self.keys.clone();
        keys.follow(&envelope).map_err(ChainError::Rotation)?;
        let payload = match envelope.to_payload() {
            Ok(payload) => payload,
            Err(source) => return Err(ChainError::Event { kind, source }),
        };
        let jws = match jws::seal(Form::EVENT, &payload, signer) {
            Ok(jws) => jws,
            Err(source) => return Err(ChainError::Sign { kind, source }),
        };
        if jws.len() > SEALED_LIMIT {
            return Err(ChainError::TooLong { kind, found: jws.len() });
        }
        let leaf = leaf_hash(jws.as_bytes());
        self.state.frontier.append(leaf);
        self.state.last_leaf = leaf;
        self.keys = keys;
        let frontier = self.state.frontier.clone();
        Ok(SealedEvent { sequence: envelope.sequence, jws, leaf, at: now.wall, frontier })
    }

    /// Hands over to the key of `next`: the old one signs that, and nothing after it.
    ///
    /// # Errors
    /// [`ChainError`]; the chain is then as it was before.
    pub fn rotate(
        &mut self,
        next: &dyn Signer,
        now: Now,
        boot: &BootId,
        signer: &dyn Signer,
    ) -> Result<SealedEvent, ChainError> {
        let (sequence, prev) = (Sequence(self.state.frontier.size()), self.state.last_leaf);
        let event = hand_over(self.grant.chain(), sequence, &prev, next).map_err(ChainError::Rotation)?;
        self.seal(&event, now, boot, signer)
    }

    /// Takes back every event sealed after `to`, and every rotation among them, because its commit failed.
    ///
    /// The caller guarantees that none of them is durable or was shown to anybody: two different events
    /// with one sequence number are an equivocation, which the upstream keeps as proof against the terminal.
    pub fn roll_back(&mut self, to: ChainState) {
        self.keys.cut(to.frontier.size());
        self.state = to;
    }

    /// Signs a checkpoint of any size whose root the caller knows, with the key of [`ChainKeys::of_checkpoint`].
    ///
    /// # Errors
    /// Whatever the signer says.
    pub fn checkpoint(&self, head: Head, signer: &dyn Signer) -> Result<Note, SignerError> {
        Note::sign(Checkpoint { origin: self.origin(), size: head.size, root: head.root }, signer)
    }

    pub fn head(&self) -> Head {
        Head { size: self.state.frontier.size(), root: self.state.frontier.root() }
    }

    pub fn state(&self) -> &ChainState {
        &self.state
    }

    pub fn keys(&self) -> &ChainKeys {
        &self.keys
    }

    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// `<log domain>/<terminal id>/<chain id>`.
    pub fn origin(&self) -> String {
        self.grant.origin()
    }

    fn envelope(&self, draft: Draft, now: Now, boot: &BootId) -> Envelope {
        Envelope {
            kind: draft.kind,
            subject: draft.subject,
            data: draft.data,
            terminal: self.grant.terminal(),
            chain: self.grant.chain(),
            sequence: Sequence(self.state.frontier.size()),
            prev: self.state.last_leaf,
            boot: *boot,
            boottime: now.boottime,
            clock: now.trust,
            time: now.wall,
        }
    }
}
