//! Joins the outbox to the terminal: durable events go up, verified receipts come back.
//! Never believes an answer itself; the outbox does, by receipt only.

use super::{Output, Terminal};
use crate::event::lifecycle::LogReceipt;
use crate::fault::Fault;
use crate::ids::TerminalId;
use crate::merkle::CompactRange;
use crate::note::{Checkpoint, Note, VerifierKey};
use crate::outbox::{
    Acknowledged, Outbox, OutboxAction, OutboxAlarm, OutboxError, OutboxNotice, StoredEvent,
};
use crate::time::{Boottime, Now};
use crate::wire::UpstreamAnswer;

#[derive(Debug)]
pub(super) struct Syncing {
    outbox: Outbox,
    jitter: u64,
    fault: Option<Fault>,
}

impl Syncing {
    pub(super) fn new(
        (origin, terminal): (String, TerminalId),
        witness: VerifierKey,
        durable: u64,
        acknowledged: CompactRange,
        jitter: u64,
        now: Now,
    ) -> Self {
        let outbox = Outbox::resume(origin, witness, durable, acknowledged);
        let mut outbox = outbox.spread(terminal, now.boottime);
        outbox.handle_durable(durable, now.boottime);
        Self { outbox, jitter, fault: None }
    }

    pub(super) fn durable(&mut self, size: u64, now: Now) {
        self.outbox.handle_durable(size, now.boottime);
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.outbox.acknowledged()
    }

    pub(super) fn timeout(&self) -> Option<Boottime> {
        self.outbox.next_timeout()
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Spreads retries; not a secret, so a counter that is well mixed does (splitmix64).
    fn random(&mut self) -> u64 {
        self.jitter = self.jitter.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.jitter ^ (self.jitter >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

impl Terminal {
    pub(super) fn sync(&mut self, now: Now) {
        while let Some(action) = self.syncing.outbox.poll(now.boottime) {
            self.outputs.push_back(match action {
                OutboxAction::LoadFrontier { size } => Output::LoadFrontier { size },
                OutboxAction::LoadBatch { first, max } => Output::LoadBatch { first, max },
                OutboxAction::Post(request) => Output::Post(request),
            });
        }
    }

    pub(super) fn frontier_loaded(&mut self, frontier: CompactRange, now: Now) {
        if let Err(error) = self.syncing.outbox.handle_frontier(frontier, now.boottime) {
            self.sync_error(&error);
        }
    }

    pub(super) fn batch_loaded(&mut self, first: u64, events: Vec<StoredEvent>, now: Now) {
        let (keys, signers) = (self.chain.keys(), &self.signers);
        let sign = |head: Checkpoint| Note::sign(head.clone(), signers.find(keys.of_checkpoint(head.size))?);
        if let Err(error) = self.syncing.outbox.handle_batch(first, events, now.boottime, sign) {
            self.sync_error(&error);
        }
    }

    pub(super) fn upstream_answered(&mut self, answer: UpstreamAnswer, now: Now) {
        let delayed = match answer {
            UpstreamAnswer::Nonsense(_) => Fault::UpstreamNonsense,
            UpstreamAnswer::Untrusted(_) => Fault::UpstreamUntrusted,
            UpstreamAnswer::Accepted(_)
            | UpstreamAnswer::Conflict { .. }
            | UpstreamAnswer::TooLarge
            | UpstreamAnswer::RetryAfter(_)
            | UpstreamAnswer::Unreachable(_) => Fault::UpstreamUnreachable,
        };
        let random = self.syncing.random();
        match self.syncing.outbox.handle_answer(answer, now.boottime, random) {
            Some(OutboxNotice::Acknowledged(acknowledged)) => self.acknowledged(acknowledged, now),
            Some(OutboxNotice::Delayed { .. }) => self.sync_fault(delayed),
            Some(OutboxNotice::Alarm(alarm)) => self.sync_fault(match alarm {
                OutboxAlarm::FalseReceipt(_) => Fault::ReceiptWrong,
                OutboxAlarm::UpstreamAhead { .. } => Fault::JournalDamaged,
                OutboxAlarm::UpstreamLost { .. } | OutboxAlarm::Refused { .. } => Fault::UpstreamRefused,
            }),
            None => {}
        }
    }

    fn acknowledged(&mut self, acknowledged: Acknowledged, now: Now) {
        self.syncing.fault = None;
        let Acknowledged { frontier, receipt, quiet, witnessed_at: at, .. } = acknowledged;
        if !quiet {
            self.record(&LogReceipt { receipt: receipt.to_string() }, now);
        }
        self.outputs.push_back(Output::Acknowledge { frontier, receipt, at });
    }

    fn sync_error(&mut self, error: &OutboxError) {
        match error {
            OutboxError::NotAsked => {}
            OutboxError::Erased { .. } => self.sync_fault(Fault::UpstreamRefused),
            OutboxError::Damaged { .. } => self.sync_fault(Fault::JournalDamaged),
            OutboxError::Frontier { .. } | OutboxError::Batch { .. } => {
                self.sync_fault(Fault::JournalCommitFailed)
            }
            OutboxError::Sign(_) => self.sync_fault(Fault::KeyDamaged),
        }
    }

    fn sync_fault(&mut self, fault: Fault) {
        if self.syncing.fault != Some(fault) {
            self.syncing.fault = Some(fault);
            self.outputs.push_back(Output::Alarm(fault));
        }
    }
}
