//! Decides what goes upstream and when, and believes an acknowledgement only by its receipt.
//! Never has two requests in flight, never skips an event, and never drops one for any answer.

mod backoff;
mod notice;
mod spread;

pub use notice::{Acknowledged, OutboxAlarm, OutboxError, OutboxNotice};

use std::time::Duration;

use crate::chain::Head;
use crate::event::{kind_unverified, lifecycle};
use crate::ids::{Sequence, TerminalId};
use crate::merkle::{CompactRange, Hash, leaf_hash};
use crate::note::{Checkpoint, Note, VerifierKey};
use crate::receipt::{ReceiptError, verify_receipt};
use crate::signer::SignerError;
use crate::time::Boottime;
use crate::wire::{BATCH, BODY_LIMIT, UploadReceipt, UploadRequest, UpstreamAnswer};
use backoff::Backoff;

/// How long the first event of a quiet time waits for company.
const LINGER: Duration = Duration::from_millis(200);
/// Wait after a trouble of our own, or one that only people can end.
const LONG_WAIT: Duration = Duration::from_secs(300);
/// Events by which a batch that was once too large grows again after each success.
const GROWTH: usize = 10;
/// Room in a body for everything but the events.
const BODY_FRAME: usize = 4096;

/// What the outbox wants done. Each is answered by exactly one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboxAction {
    /// Answer with [`Outbox::handle_frontier`]: the tree over the first `size` events.
    LoadFrontier { size: u64 },
    /// Answer with [`Outbox::handle_batch`]: up to `max` events from `first` on; 0 when only a
    /// checkpoint is to be sent.
    LoadBatch { first: u64, max: usize },
    /// Answer with [`Outbox::handle_answer`].
    Post(UploadRequest),
}

/// An event as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    pub jws: String,
    pub leaf: Hash,
}

/// The sending end of one chain.
#[derive(Debug)]
pub struct Outbox {
    origin: String,
    witness: VerifierKey,
    durable: u64,
    acknowledged: u64,
    /// The tree at the size that the upstream is believed to have.
    position: CompactRange,
    reposition: Option<u64>,
    phase: Phase,
    due: Option<Boottime>,
    not_before: Boottime,
    max: usize,
    backoff: Backoff,
    /// How long this terminal holds a backlog back, so that not all come at once.
    bulk_offset: Duration,
}

#[derive(Debug)]
enum Phase {
    Idle,
    LoadingFrontier(u64),
    LoadingBatch(usize),
    Ready(UploadRequest, Sending),
    Posting(Sending),
    /// A stored event is damaged: people must look.
    Stopped,
}

/// The leaves of the request in flight.
#[derive(Debug)]
struct Sending {
    start: CompactRange,
    leaves: Vec<Hash>,
    quiet: bool,
}

impl Sending {
    /// The tree at a size within this batch.
    fn frontier_at(&self, size: u64) -> Option<CompactRange> {
        let count = usize::try_from(size.checked_sub(self.start.size())?).ok()?;
        let mut frontier = self.start.clone();
        self.leaves.get(..count)?.iter().for_each(|leaf| frontier.append(*leaf));
        Some(frontier)
    }
}

impl Outbox {
    /// Goes on after a start: `durable` events are in the journal, a receipt covers `acknowledged`.
    pub fn resume(origin: String, witness: VerifierKey, durable: u64, acknowledged: CompactRange) -> Self {
        Self {
            origin,
            witness,
            durable,
            acknowledged: acknowledged.size(),
            position: acknowledged,
            reposition: None,
            phase: Phase::Idle,
            due: None,
            not_before: Boottime::default(),
            max: BATCH,
            backoff: Backoff::default(),
            bulk_offset: Duration::ZERO,
        }
    }

    /// Gives the terminal its own moment for a backlog: the first batch of one that is there now, or that the upstream
    /// asks for again because it has lost it, waits up to two minutes, always the same for one terminal. Fewer events
    /// than a batch never wait.
    #[must_use]
    pub fn spread(mut self, terminal: TerminalId, now: Boottime) -> Self {
        self.bulk_offset = spread::offset(terminal);
        if self.durable.saturating_sub(self.position.size()) >= BATCH as u64 {
            self.not_before = self.not_before.max(now.after(self.bulk_offset));
        }
        self
    }

    pub fn durable(&self) -> u64 {
        self.durable
    }

    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Failed requests since the last good one.
    pub fn failures(&self) -> u32 {
        self.backoff.failures()
    }

    /// The journal has committed everything below `size`.
    pub fn handle_durable(&mut self, size: u64, now: Boottime) {
        self.durable = self.durable.max(size);
        let backlog = self.durable.saturating_sub(self.position.size());
        let due = if backlog >= BATCH as u64 { now } else { now.after(LINGER) };
        self.due = Some(self.due.map_or(due, |old| old.min(due)));
    }

    /// What is to be done next; `None` until an answer or the time of [`Self::next_timeout`] comes.
    pub fn poll(&mut self, now: Boottime) -> Option<OutboxAction> {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => {
                if self.next_timeout()? > now {
                    return None;
                }
                Some(self.begin())
            }
            Phase::Ready(request, sending) => {
                self.phase = Phase::Posting(sending);
                Some(OutboxAction::Post(request))
            }
            waiting @ (Phase::LoadingFrontier(_)
            | Phase::LoadingBatch(_)
            | Phase::Posting(_)
            | Phase::Stopped) => {
                self.phase = waiting;
                None
            }
        }
    }

    /// When [`Self::poll`] will have something to do without any further input.
    pub fn next_timeout(&self) -> Option<Boottime> {
        match self.phase {
            Phase::Idle if self.has_work() => Some(self.not_before.max(self.due.unwrap_or_default())),
            Phase::Ready(..) => Some(Boottime::default()),
            Phase::Idle
            | Phase::LoadingFrontier(_)
            | Phase::LoadingBatch(_)
            | Phase::Posting(_)
            | Phase::Stopped => None,
        }
    }

    /// # Errors
    /// [`OutboxError::Frontier`] when it is not the tree that was asked for; the outbox tries again later.
    pub fn handle_frontier(&mut self, frontier: CompactRange, now: Boottime) -> Result<(), OutboxError> {
        let Phase::LoadingFrontier(size) = self.phase else { return Err(OutboxError::NotAsked) };
        self.phase = Phase::Idle;
        if frontier.size() != size {
            self.not_before = now.after(LONG_WAIT);
            return Err(OutboxError::Frontier { found: frontier.size(), expected: size });
        }
        self.position = frontier;
        self.reposition = None;
        Ok(())
    }

    /// Builds the request from the events that were asked for. `sign` makes a signed note of its checkpoint.
    ///
    /// # Errors
    /// [`OutboxError::Damaged`] when an event is not the one that was chained: the outbox stops.
    /// All other errors: the outbox tries again in a while.
    pub fn handle_batch(
        &mut self,
        first: u64,
        mut events: Vec<StoredEvent>,
        now: Boottime,
        sign: impl FnOnce(Checkpoint) -> Result<Note, SignerError>,
    ) -> Result<(), OutboxError> {
        let Phase::LoadingBatch(max) = self.phase else { return Err(OutboxError::NotAsked) };
        self.phase = Phase::Idle;
        self.not_before = now.after(LONG_WAIT);
        if first == self.position.size() && first < self.acknowledged && events.is_empty() && max > 0 {
            // The upstream may have them after all: ask again from where it once gave a receipt.
            self.reposition = Some(self.acknowledged);
            return Err(OutboxError::Erased { first });
        }
        if first != self.position.size() || events.len() > max || (events.is_empty() && max > 0) {
            return Err(OutboxError::Batch { first, count: events.len() });
        }
        for (event, sequence) in events.iter().zip(first..) {
            if leaf_hash(event.jws.as_bytes()) != event.leaf {
                self.phase = Phase::Stopped;
                return Err(OutboxError::Damaged { sequence: Sequence(sequence) });
            }
        }
        events.truncate(fitting(&events));
        let sending = Sending {
            start: self.position.clone(),
            leaves: events.iter().map(|event| event.leaf).collect(),
            quiet: events.iter().all(|event| is_quiet(&event.jws)),
        };
        let end = sending.leaves.iter().fold(self.position.clone(), |mut range, leaf| {
            range.append(*leaf);
            range
        });
        let checkpoint = Checkpoint { origin: self.origin.clone(), size: end.size(), root: end.root() };
        let note = sign(checkpoint).map_err(OutboxError::Sign)?;
        let request = UploadRequest {
            first,
            events: events.into_iter().map(|event| event.jws).collect(),
            checkpoint: note.to_string(),
            old: self.acknowledged,
        };
        self.not_before = now;
        self.phase = Phase::Ready(request, sending);
        Ok(())
    }

    /// Takes what came of the request in flight. `random` spreads the next attempt over the time allowed.
    pub fn handle_answer(
        &mut self,
        answer: UpstreamAnswer,
        now: Boottime,
        random: u64,
    ) -> Option<OutboxNotice> {
        let sending = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Posting(sending) => sending,
            other @ (Phase::Idle
            | Phase::LoadingFrontier(_)
            | Phase::LoadingBatch(_)
            | Phase::Ready(..)
            | Phase::Stopped) => {
                self.phase = other;
                return None;
            }
        };
        match answer {
            UpstreamAnswer::Accepted(body) => match self.accept(&sending, &body, now) {
                Ok(acknowledged) => acknowledged.map(OutboxNotice::Acknowledged),
                Err(error) => {
                    self.not_before = self.backoff.next(now, random);
                    Some(OutboxNotice::Alarm(OutboxAlarm::FalseReceipt(error)))
                }
            },
            UpstreamAnswer::Conflict { size } => self.conflict(&sending, size, now, random),
            UpstreamAnswer::TooLarge if sending.leaves.len() > 1 => {
                self.max = sending.leaves.len() / 2;
                None
            }
            UpstreamAnswer::TooLarge => Some(self.delay("an event alone is too large".into(), now, random)),
            UpstreamAnswer::RetryAfter(wait) => {
                let until = self.backoff.after(wait, now, random);
                self.not_before = until;
                Some(OutboxNotice::Delayed { reason: "upstream asks to wait".into(), until })
            }
            UpstreamAnswer::Unreachable(reason)
            | UpstreamAnswer::Untrusted(reason)
            | UpstreamAnswer::Nonsense(reason) => Some(self.delay(reason, now, random)),
        }
    }

    fn has_work(&self) -> bool {
        let size = self.position.size();
        self.reposition.is_some() || self.durable > size || size > self.acknowledged
    }

    fn begin(&mut self) -> OutboxAction {
        self.due = None;
        if let Some(size) = self.reposition {
            self.phase = Phase::LoadingFrontier(size);
            return OutboxAction::LoadFrontier { size };
        }
        let first = self.position.size();
        let left = usize::try_from(self.durable.saturating_sub(first)).unwrap_or(usize::MAX);
        let max = left.min(self.max);
        self.phase = Phase::LoadingBatch(max);
        OutboxAction::LoadBatch { first, max }
    }

    fn accept(
        &mut self,
        sending: &Sending,
        body: &UploadReceipt,
        now: Boottime,
    ) -> Result<Option<Acknowledged>, ReceiptError> {
        let start = sending.start.size();
        let end = start + sending.leaves.len() as u64;
        // A receipt for nothing new, or for more than was sent, is no answer to this request.
        let least = if sending.leaves.is_empty() { start } else { start + 1 };
        let frontier = (body.size >= least).then(|| sending.frontier_at(body.size)).flatten();
        let frontier = frontier.ok_or(ReceiptError::Size { found: body.size, expected: end })?;
        let receipt = Note::parse(&body.receipt).map_err(ReceiptError::Note)?;
        let head = Head { size: body.size, root: frontier.root() };
        let witnessed_at = verify_receipt(&receipt, &self.origin, &self.witness, head)?;
        self.backoff.reset();
        self.max = (self.max + GROWTH).min(BATCH);
        self.not_before = now.after(backoff::pacing(body.next_ms));
        self.position = frontier.clone();
        if body.size <= self.acknowledged {
            return Ok(None);
        }
        self.acknowledged = body.size;
        let quarantined = body.quarantined.iter().filter_map(|(sequence, quarantine)| {
            Some((Sequence(sequence.parse().ok()?), quarantine.err.clone()))
        });
        let quarantined = quarantined.collect();
        Ok(Some(Acknowledged { frontier, receipt, witnessed_at, quiet: sending.quiet, quarantined }))
    }

    fn conflict(&mut self, sending: &Sending, size: u64, now: Boottime, random: u64) -> Option<OutboxNotice> {
        let alarm = if size > self.durable {
            Some(OutboxAlarm::UpstreamAhead { upstream: size, local: self.durable })
        } else if size == sending.start.size() {
            Some(OutboxAlarm::Refused { size })
        } else if size < self.acknowledged {
            Some(OutboxAlarm::UpstreamLost { upstream: size, acknowledged: self.acknowledged })
        } else {
            None
        };
        let hopeless = size > self.durable || size == sending.start.size();
        // The first move is made at once; an upstream that never comes to rest is slowed down.
        let retry = self.backoff.next(now, random);
        if hopeless {
            self.not_before = now.after(LONG_WAIT);
        } else {
            let lost = self.acknowledged.saturating_sub(size) >= BATCH as u64;
            let first = if lost { now.after(self.bulk_offset) } else { now };
            self.not_before = if self.backoff.failures() > 1 { retry.max(first) } else { first };
            match sending.frontier_at(size) {
                Some(frontier) => self.position = frontier,
                None => self.reposition = Some(size),
            }
        }
        alarm.map(OutboxNotice::Alarm)
    }

    fn delay(&mut self, reason: String, now: Boottime, random: u64) -> OutboxNotice {
        let until = self.backoff.next(now, random);
        self.not_before = until;
        OutboxNotice::Delayed { reason, until }
    }
}

/// How many of the events fit into one body.
fn fitting(events: &[StoredEvent]) -> usize {
    let mut room = BODY_LIMIT - BODY_FRAME;
    let fit = events.iter().take_while(|event| match room.checked_sub(event.jws.len() + 3) {
        Some(left) => {
            room = left;
            true
        }
        None => false,
    });
    fit.count()
}

/// Receipts and heartbeats beget no receipt event, else the log would talk to itself for ever.
fn is_quiet(sealed: &str) -> bool {
    kind_unverified(sealed).is_some_and(|kind| lifecycle::QUIET.contains(&kind.as_str()))
}

#[cfg(test)]
mod tests;
