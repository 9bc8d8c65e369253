//! What goes into a store and comes out of it, in the words of the protocol.
//! Never SQL, and never a decision.

use std::collections::BTreeMap;

use serde::Serialize;
use zhenyin_core::documents::{DocumentError, Grant};
use zhenyin_core::ids::{ChainId, TerminalId};
use zhenyin_core::merkle::{CompactRange, Hash};
use zhenyin_core::rotation::{ChainKeys, Handover, RotationError};
use zhenyin_core::signer::PublicKey;
use zhenyin_core::time::WallTime;

use crate::life::Life;
use crate::registry::TerminalInfo;
use crate::store::StoreError;

/// How much the upstream holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub terminals: u64,
    pub events: u64,
    /// Events below the largest receipt of their chain.
    pub receipted: u64,
    pub quarantined: u64,
    pub alarms: u64,
}

/// A time from which nothing came though the agent should have run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The event that ended it.
    pub sequence: u64,
    /// RFC 3339.
    pub from: String,
    pub to: String,
}

/// A chain that a terminal was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) chain: ChainId,
    /// `None` while nothing of it was ever cosigned.
    pub(crate) newest_receipt: Option<String>,
}

/// One chain in the list of terminals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TerminalRow {
    pub terminal: TerminalId,
    pub chain: ChainId,
    pub institution: String,
    pub department: String,
    pub size: u64,
    /// Version of the agent as its own events say; `null` before the first one.
    pub agent: Option<String>,
    /// RFC 3339; `null` before the first upload.
    pub last_seen: Option<String>,
    /// Whether the agent has not said goodbye.
    pub running: bool,
    pub quarantined: u64,
    pub alarms: u64,
    pub gaps: u64,
    pub last_gap: Option<Gap>,
    /// Highest serial that the terminal has acknowledged, by kind of document.
    pub documents: BTreeMap<String, u64>,
}

/// Something that people must look at. Kept for ever, with its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    pub chain: ChainId,
    pub kind: String,
    pub sequence: u64,
    /// What the upstream has, and what came instead.
    pub held: String,
    pub found: String,
}

/// State of one chain: what a batch is checked against.
#[derive(Clone, Debug)]
pub(crate) struct ChainRow {
    pub(crate) grant_jws: String,
    pub(crate) frontier: CompactRange,
    pub(crate) last_leaf: Hash,
    pub(crate) life: Life,
    pub(crate) handovers: Vec<Handover>,
}

impl ChainRow {
    /// The grant and every key that has signed under it.
    ///
    /// # Errors
    /// When the grant is not the authority's; [`StoreError::Damaged`] when the keys cannot be these.
    pub(crate) fn open(&self, authority: PublicKey) -> Result<(Grant, ChainKeys), ChainRowError> {
        let grant = Grant::open(&self.grant_jws, authority)?;
        let keys = ChainKeys::restore(grant.device_key(), &self.handovers)?;
        Ok((grant, keys))
    }
}

/// What a stored chain can be wrong in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChainRowError {
    #[error("stored grant cannot be read")]
    Grant(#[from] DocumentError),
    #[error("stored keys are not those of a chain")]
    Keys(#[from] RotationError),
}

pub(super) fn handovers_of(text: &str) -> Result<Vec<Handover>, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Damaged("handovers"))
}

#[derive(Debug)]
pub(crate) struct NewEvent<'a> {
    pub(crate) leaf: Hash,
    pub(crate) body: &'a str,
    /// Why the event is set aside; `None` for events that were understood.
    pub(crate) quarantine: Option<&'static str>,
}

#[derive(Debug)]
pub(crate) struct KeptEvent {
    pub(crate) sequence: u64,
    pub(crate) leaf: Hash,
    pub(crate) body: String,
    pub(crate) quarantine: Option<String>,
}

/// One step of a chain: what [`super::Store::advance`] writes as one.
#[derive(Debug)]
pub(crate) struct Advance<'a> {
    pub(crate) chain: ChainId,
    /// Size that the chain must still have.
    pub(crate) before: u64,
    pub(crate) events: &'a [NewEvent<'a>],
    /// The tree afterwards.
    pub(crate) frontier: &'a CompactRange,
    pub(crate) last_leaf: Hash,
    /// The cosigned note of the size afterwards.
    pub(crate) receipt: &'a str,
    pub(crate) life: &'a Life,
    /// The keys of the chain afterwards.
    pub(crate) keys: &'a ChainKeys,
    pub(crate) gaps: &'a [NewGap],
    pub(crate) acknowledgements: &'a [Acknowledgement],
    pub(crate) at: WallTime,
}

impl Advance<'_> {
    pub(crate) fn after(&self) -> u64 {
        self.frontier.size()
    }

    pub(crate) fn handovers_text(&self) -> String {
        serde_json::to_string(&self.keys.handovers()).expect("numbers and keys can be written as JSON")
    }

    pub(crate) fn quarantined(&self) -> u64 {
        self.events.iter().filter(|event| event.quarantine.is_some()).count() as u64
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NewGap {
    pub(crate) sequence: u64,
    pub(crate) from: WallTime,
    pub(crate) to: WallTime,
}

impl NewGap {
    pub(crate) fn told(self) -> Gap {
        Gap { sequence: self.sequence, from: self.from.rfc3339(), to: self.to.rfc3339() }
    }
}

/// A terminal has taken a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledgement {
    pub(crate) kind: String,
    pub(crate) serial: u64,
    pub(crate) at: WallTime,
    /// What the terminal signed: an event or an acknowledgement.
    pub(crate) proof: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) serial: u64,
    pub(crate) token: String,
}

/// A one-time code as it is kept: by its hash.
#[derive(Debug)]
pub(crate) struct NewCode<'a> {
    pub(crate) hash: [u8; 32],
    pub(crate) terminal: TerminalId,
    pub(crate) info: &'a TerminalInfo,
    pub(crate) expires: WallTime,
}

#[derive(Debug)]
pub(crate) struct CodeRow {
    pub(crate) info: TerminalInfo,
    pub(crate) terminal: TerminalId,
    pub(crate) expires: WallTime,
    /// Key id and grant of whom the code was used by.
    pub(crate) used: Option<(String, String)>,
}

#[derive(Debug)]
pub(crate) struct UsedCode<'a> {
    pub(crate) hash: [u8; 32],
    pub(crate) kid: &'a str,
    pub(crate) grant: &'a Grant,
}
