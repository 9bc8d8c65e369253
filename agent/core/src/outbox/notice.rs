//! What the outbox tells its owner: acknowledgements, delays, alarms and errors.
//! Never a decision of its own.

use crate::ids::Sequence;
use crate::merkle::CompactRange;
use crate::note::Note;
use crate::receipt::ReceiptError;
use crate::signer::SignerError;
use crate::time::{Boottime, WallTime};

/// What came of an answer.
#[derive(Debug)]
pub enum OutboxNotice {
    Acknowledged(Acknowledged),
    /// Will be tried again by itself.
    Delayed {
        reason: String,
        until: Boottime,
    },
    /// Somebody must know. Still tried again by itself, slowly.
    Alarm(OutboxAlarm),
}

/// A receipt that was verified and agrees with this log. Everything below its size is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The tree at the receipt's size; keep it, the outbox resumes from it.
    pub frontier: CompactRange,
    pub receipt: Note,
    /// Time that the witness vouches for.
    pub witnessed_at: WallTime,
    /// The batch held only receipts and heartbeats: make no `log.receipt.v1` of it.
    pub quiet: bool,
    /// Events that the upstream has kept but not understood.
    pub quarantined: Vec<(Sequence, String)>,
}

impl Acknowledged {
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OutboxAlarm {
    #[error("upstream sent a receipt that does not hold")]
    FalseReceipt(#[source] ReceiptError),
    #[error("upstream has {upstream} events, this journal only {local}: the journal was set back")]
    UpstreamAhead { upstream: u64, local: u64 },
    #[error("upstream has {upstream} events where it had given a receipt for {acknowledged}: it lost data")]
    UpstreamLost { upstream: u64, acknowledged: u64 },
    #[error("upstream refuses the events from {size} on: it has others, or does not know this chain")]
    Refused { size: u64 },
}

#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    #[error("nothing of this kind was asked for")]
    NotAsked,
    #[error("frontier has size {found} instead of {expected}")]
    Frontier { found: u64, expected: u64 },
    #[error("batch of {count} events from {first} on is not the one asked for")]
    Batch { first: u64, count: usize },
    #[error("upstream wants the events from {first} on again; they were receipted and are erased here")]
    Erased { first: u64 },
    #[error("event {sequence} in the journal is damaged")]
    Damaged { sequence: Sequence },
    #[error("checkpoint could not be signed")]
    Sign(#[source] SignerError),
}
