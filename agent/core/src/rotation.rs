//! Which of a terminal's keys signs what of its chain, and how one key hands over to the next.
//! Never lets a key sign at a place that is another's, and never takes one back that was handed over.

use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::event::lifecycle::KeyRotated;
use crate::event::{Envelope, EventData as _, encode_hash};
use crate::ids::{ChainId, Sequence};
use crate::jws::{self, Form, JwsError};
use crate::merkle::Hash;
use crate::signer::{Jwk, KeyError, KeyId, PublicKey, Signer, SignerError};

#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    #[error("data of the rotation are not a key and its proof")]
    Data(#[source] serde_json::Error),
    #[error("new key is not a key")]
    Key(#[source] KeyError),
    #[error("new key did not sign the proof that it is held")]
    Proof(#[source] JwsError),
    #[error("proof was made for another place")]
    Place,
    #[error("key {key} has signed in this chain before")]
    Again { key: KeyId },
    #[error("rotation at {found} does not follow the one before it")]
    Order { found: u64 },
    #[error("new key could not sign")]
    Sign(#[source] SignerError),
}

/// The place of the event that handed over, and the key of everything after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    pub at: u64,
    pub jwk: Jwk,
}

/// The public keys of one chain. An event is signed by the key of its place; the rotation itself still by the old
/// one. A checkpoint is signed by the key of the last event that it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainKeys {
    granted: PublicKey,
    later: Vec<(u64, PublicKey)>,
}

impl ChainKeys {
    /// The key that the grant names, from the first event on.
    pub fn granted(key: PublicKey) -> Self {
        Self { granted: key, later: Vec::new() }
    }

    /// As [`Self::granted`], with every handover that was kept since.
    ///
    /// # Errors
    /// [`RotationError`] when a key is none, comes twice, or stands before its time.
    pub fn restore(granted: PublicKey, handovers: &[Handover]) -> Result<Self, RotationError> {
        let mut keys = Self::granted(granted);
        for handover in handovers {
            keys.push(handover.at, PublicKey::from_jwk(&handover.jwk).map_err(RotationError::Key)?)?;
        }
        Ok(keys)
    }

    pub fn of_event(&self, sequence: u64) -> PublicKey {
        let found = self.later.iter().rfind(|(at, _)| *at < sequence);
        found.map_or(self.granted, |(_, key)| *key)
    }

    pub fn of_checkpoint(&self, size: u64) -> PublicKey {
        self.of_event(size.saturating_sub(1))
    }

    pub fn newest(&self) -> PublicKey {
        self.later.last().map_or(self.granted, |(_, key)| *key)
    }

    /// Every key, the granted one first.
    pub fn all(&self) -> impl Iterator<Item = PublicKey> + '_ {
        std::iter::once(self.granted).chain(self.later.iter().map(|(_, key)| *key))
    }

    /// Where the rotation to `key` stands; `None` for the granted key and for strangers.
    pub fn handed_over_at(&self, key: PublicKey) -> Option<Sequence> {
        self.later.iter().find(|(_, later)| *later == key).map(|(at, _)| Sequence(*at))
    }

    pub fn handovers(&self) -> Vec<Handover> {
        self.later.iter().map(|(at, key)| Handover { at: *at, jwk: key.to_jwk() }).collect()
    }

    /// Follows the chain over one event whose signature and place were verified; only a rotation changes anything.
    ///
    /// # Errors
    /// [`RotationError`]; nothing has changed then.
    pub fn follow(&mut self, event: &Envelope) -> Result<(), RotationError> {
        if event.kind != KeyRotated::TYPE {
            return Ok(());
        }
        let data: KeyRotated = serde_json::from_value(event.data.clone()).map_err(RotationError::Data)?;
        let key = PublicKey::from_jwk(&data.jwk).map_err(RotationError::Key)?;
        let proof = jws::open(&data.proof, Form::ROTATION, &[key]).map_err(RotationError::Proof)?;
        if proof.payload != place(event.chain, event.sequence, &event.prev).as_bytes() {
            return Err(RotationError::Place);
        }
        self.push(event.sequence.0, key)
    }

    /// Takes back every rotation that stands at `size` or later.
    pub fn cut(&mut self, size: u64) {
        self.later.retain(|(at, _)| *at < size);
    }

    fn push(&mut self, at: u64, key: PublicKey) -> Result<(), RotationError> {
        if self.all().any(|known| known == key) {
            return Err(RotationError::Again { key: key.key_id() });
        }
        if self.later.last().is_some_and(|(before, _)| *before >= at) {
            return Err(RotationError::Order { found: at });
        }
        self.later.push((at, key));
        Ok(())
    }
}

/// The event by which the key of `next` takes over after this place, with the proof that it is held.
///
/// # Errors
/// [`RotationError::Sign`] when the new key's store refuses.
pub fn hand_over(
    chain: ChainId,
    sequence: Sequence,
    prev: &Hash,
    next: &dyn Signer,
) -> Result<KeyRotated, RotationError> {
    let proof =
        jws::seal(Form::ROTATION, &place(chain, sequence, prev), next).map_err(RotationError::Sign)?;
    Ok(KeyRotated { jwk: next.public_key().to_jwk(), proof })
}

/// The new key that a sealed rotation names, read without any check: where to look for the signature of what follows.
pub fn next_key_unverified(sealed: &str) -> Option<PublicKey> {
    #[derive(Deserialize)]
    struct Event {
        r#type: String,
        data: KeyRotated,
    }
    let event: Event = serde_json::from_slice(&jws::payload_unverified(sealed)?).ok()?;
    (event.r#type == KeyRotated::TYPE).then(|| PublicKey::from_jwk(&event.data.jwk).ok())?
}

/// The private keys that a terminal holds for one chain.
pub struct Signers {
    held: Vec<Box<dyn Signer + Send>>,
    next: Option<PublicKey>,
}

impl Signers {
    pub fn new(signer: Box<dyn Signer + Send>) -> Self {
        Self { held: vec![signer], next: None }
    }

    /// Also holds a key of another time of the chain.
    #[must_use]
    pub fn with(mut self, signer: Box<dyn Signer + Send>) -> Self {
        self.held.push(signer);
        self
    }

    /// Also holds the key that is to take over.
    #[must_use]
    pub fn going_over_to(mut self, signer: Box<dyn Signer + Send>) -> Self {
        self.next = Some(signer.public_key());
        self.with(signer)
    }

    /// The key that is to take over, until it has.
    pub fn next(&self) -> Option<&dyn Signer> {
        self.find(self.next?).ok()
    }

    /// The takeover is durable.
    pub fn taken_over(&mut self) {
        self.next = None;
    }

    /// # Errors
    /// [`SignerError::Unavailable`] when this terminal does not hold the key.
    pub fn find(&self, key: PublicKey) -> Result<&dyn Signer, SignerError> {
        let found = self.held.iter().find(|signer| signer.public_key() == key);
        found.map(|signer| &**signer as &dyn Signer).ok_or_else(|| SignerError::Unavailable {
            key: key.key_id(),
            source: "it is not in this terminal's key store".into(),
        })
    }
}

/// What the new key signs: the place at which it takes over.
fn place(chain: ChainId, sequence: Sequence, prev: &Hash) -> String {
    let members = serde_json::json!({
        "chain": chain.to_string(),
        "prevhash": encode_hash(prev),
        "sequence": format!("{:020}", sequence.0),
    });
    canonical::to_string(&members).expect("three texts have a canonical form")
}
