//! Seals events, hands them to the journal, and releases what waited for them.
//! Never lets anything that waited out after a failed commit.

use std::collections::VecDeque;

use super::{CLOCK_STEP, HEARTBEAT, Output, Terminal, Ticket};
use crate::act::SignedIn;
use crate::api::{Outcome, Refusal, Reply};
use crate::chain::{ChainState, Head, SealedEvent};
use crate::enrolled::Enrolled;
use crate::event::act::{CloseCause, SessionClosed};
use crate::event::lifecycle::{
    AgentGap, AgentStarted, AgentStopped, ClockStepped, LogGenesis, LogHeartbeat, LogIntegrityAlarm,
    LogStorageFull, StopReason,
};
use crate::event::{Draft, Envelope, EventData};
use crate::fault::Fault;
use crate::hold::HoldChange;
use crate::ids::{Sequence, SessionId};
use crate::room::{Level, Room};
use crate::signer::Signer;
use crate::time::{Boottime, Now, WallTime};

/// What happens once an event is durable.
#[derive(Debug)]
pub(super) enum After {
    Reply(Reply),
    Store(SessionId, Box<Enrolled>),
    SignIn(SignedIn),
    SignOut,
    ChangeHold { ticket: Ticket, change: HoldChange },
    Inspect { ticket: Ticket, opened: Sequence, head: Head },
    CloseInspection { ticket: Ticket, closed: Sequence },
}

#[derive(Debug)]
pub(super) struct Recording {
    /// Counts the journal's lives; appends of an older one are refused there.
    epoch: u64,
    /// Events that are durable.
    pub(super) durable: u64,
    /// Why nothing can be recorded now.
    fault: Option<Fault>,
    pub(super) room: Room,
    waiting: VecDeque<(Sequence, After)>,
    pub(super) next_heartbeat: Boottime,
    started: Boottime,
    last: Now,
}

impl Recording {
    pub(super) fn new(durable: u64, now: Now) -> Self {
        Self {
            epoch: 0,
            durable,
            fault: None,
            room: Room::default(),
            waiting: VecDeque::new(),
            next_heartbeat: now.boottime.after(HEARTBEAT),
            started: now.boottime,
            last: now,
        }
    }
}

impl Terminal {
    /// Seals and appends; `None` when nothing can be recorded, and then nothing may be answered either.
    pub(super) fn record(&mut self, event: &impl EventData, now: Now) -> Option<Sequence> {
        let draft = Draft::of(event).ok()?;
        self.record_draft(draft, now)
    }

    pub(super) fn record_draft(&mut self, draft: Draft, now: Now) -> Option<Sequence> {
        let full = self.recording.room.level == Level::Full && draft.kind != AgentStopped::TYPE;
        if self.recording.fault.is_some() || self.stopping || full {
            return None;
        }
        let signer = self.signers.find(self.chain.keys().newest());
        let sealed =
            signer.ok().and_then(|signer| self.chain.seal_draft(draft, now, &self.boot, signer).ok());
        self.append(sealed)
    }

    /// Hands over to the key that is to take over, if there is one and the chain has not gone over yet.
    pub(super) fn rotate_key(&mut self, now: Now) {
        let Some(next) = self.signers.next() else { return };
        let over = self.chain.keys().newest() == next.public_key();
        if over || self.stopping || self.recording_fault().is_some() {
            return;
        }
        let signer = self.signers.find(self.chain.keys().newest());
        let sealed = signer.ok().and_then(|signer| self.chain.rotate(next, now, &self.boot, signer).ok());
        self.append(sealed);
    }

    fn append(&mut self, sealed: Option<SealedEvent>) -> Option<Sequence> {
        let Some(event) = sealed else {
            // Without a working key there is no record, and without a record no outcome.
            self.outputs.push_back(Output::Alarm(Fault::KeyDamaged));
            return None;
        };
        let sequence = event.sequence;
        self.outputs.push_back(Output::Append { epoch: self.recording.epoch, event });
        Some(sequence)
    }

    /// Does `after` once `sequence` is durable, or at once when there is nothing to wait for.
    pub(super) fn after(&mut self, sequence: Option<Sequence>, after: After) {
        match sequence {
            Some(sequence) if sequence.0 >= self.recording.durable => {
                self.recording.waiting.push_back((sequence, after));
            }
            Some(_) | None => self.release(after),
        }
    }

    pub(super) fn committed(&mut self, through: Sequence, now: Now) {
        self.recording.durable = self.recording.durable.max(through.0 + 1);
        while self.recording.waiting.front().is_some_and(|(sequence, _)| sequence.0 <= through.0) {
            if let Some((_, after)) = self.recording.waiting.pop_front() {
                self.release(after);
            }
        }
        self.taken_over();
        self.syncing.durable(self.recording.durable, now);
    }

    /// Says so once the takeover of the next key is durable.
    fn taken_over(&mut self) {
        let Some(key) = self.signers.next().map(Signer::public_key) else { return };
        let at = self.chain.keys().handed_over_at(key);
        if let Some(at) = at.filter(|at| at.0 < self.recording.durable) {
            self.signers.taken_over();
            self.outputs.push_back(Output::KeyRotated { key, at });
        }
    }

    fn release(&mut self, after: After) {
        match after {
            After::Reply(reply) => self.outputs.push_back(Output::Reply(reply)),
            After::Store(session, enrolled) => self.outputs.push_back(Output::Store { session, enrolled }),
            After::SignIn(who) => self.operator = Some(who),
            After::SignOut => self.operator = None,
            After::ChangeHold { ticket, change } => {
                self.outputs.push_back(Output::ChangeHold { ticket, result: Ok(change) });
            }
            After::Inspect { ticket, opened, head } => self.inspection_opened(ticket, opened, head),
            After::CloseInspection { ticket, closed } => {
                self.outputs.push_back(Output::InspectionClosed { ticket, result: Ok(closed) });
            }
        }
    }

    /// Whoever waits for an answer is told that nothing was accepted; nothing else that waited happens.
    pub(super) fn not_committed(&mut self, fault: Fault) {
        self.recording.fault = Some(fault);
        for (_, after) in std::mem::take(&mut self.recording.waiting) {
            match after {
                After::Reply(reply) => {
                    let outcome = Outcome::Failed { fault };
                    self.outputs.push_back(Output::Reply(Reply { outcome, events: Vec::new(), ..reply }));
                }
                After::ChangeHold { ticket, .. } => {
                    let result = Err(Refusal::NotRecording);
                    self.outputs.push_back(Output::ChangeHold { ticket, result });
                }
                After::Inspect { ticket, .. } => {
                    let result = Err(Refusal::NotRecording);
                    self.outputs.push_back(Output::InspectionOpened { ticket, result });
                }
                After::CloseInspection { ticket, .. } => {
                    let result = Err(Refusal::NotRecording);
                    self.outputs.push_back(Output::InspectionClosed { ticket, result });
                }
                After::Store(..) | After::SignIn(_) | After::SignOut => {}
            }
        }
        self.abort_act(fault);
        self.outputs.push_back(Output::Alarm(fault));
    }

    /// Why no act can be recorded now.
    pub(super) fn recording_fault(&self) -> Option<Fault> {
        let full = self.recording.room.level == Level::Full;
        self.recording.fault.or(full.then_some(Fault::JournalFull))
    }

    /// That the room has ended is the last thing recorded in it. It has grown again when the journal says so.
    pub(super) fn room_changed(&mut self, room: Room, now: Now) {
        let before = self.recording.room.level;
        if room.level == Level::Full && before != Level::Full {
            let Room { used_bytes, limit_bytes, .. } = room;
            self.record(&LogStorageFull { used_bytes, limit_bytes }, now);
            self.abort_act(Fault::JournalFull);
        }
        self.recording.room = room;
        if room.level > before {
            let full = room.level == Level::Full;
            let fault = if full { Fault::JournalFull } else { Fault::JournalFilling };
            self.outputs.push_back(Output::Alarm(fault));
        }
    }

    /// The journal says what is durable; the chain goes on from exactly there.
    pub(super) fn journal_reset(&mut self, epoch: u64, chain: ChainState, now: Now) {
        self.recording.epoch = epoch;
        self.recording.durable = chain.frontier.size();
        self.recording.fault = None;
        self.chain.roll_back(chain);
        self.taken_over();
        self.rotate_key(now);
        self.syncing.durable(self.recording.durable, now);
    }

    pub(super) fn started(&mut self, newest: Option<&Envelope>, lost: Option<LogIntegrityAlarm>, now: Now) {
        let agent = self.agent.clone();
        let newest_at = newest.map(|event| event.time);
        match newest {
            None => {
                let grant = self.chain.grant().token().to_owned();
                self.record(&LogGenesis { agent: agent.clone(), grant }, now);
            }
            Some(event) if event.kind == AgentStopped::TYPE => {}
            Some(event) => {
                let rebooted = event.boot != self.boot;
                self.record(&AgentGap { since: event.time.rfc3339(), rebooted }, now);
            }
        }
        if let Some(alarm) = lost {
            self.evidence_damaged(&alarm, now);
        }
        if let Some(at) =
            newest_at.filter(|at| now.wall.0 < at.0.saturating_sub(CLOCK_STEP.as_millis() as i64))
        {
            // A battery ran down, or somebody set the clock while the agent was off: no time passes backward.
            self.clock_stepped(at, now);
        }
        self.rotate_key(now);
        let pack = self.pack_rules.map(|rules| rules.model.short());
        let policy_serial = self.policy.as_ref().map(crate::documents::Policy::serial);
        self.record(&AgentStarted { agent, pack, policy_serial }, now);
    }

    pub(super) fn evidence_damaged(&mut self, alarm: &LogIntegrityAlarm, now: Now) {
        self.record(alarm, now);
        self.outputs.push_back(Output::Alarm(Fault::JournalDamaged));
    }

    pub(super) fn stop(&mut self, now: Now) {
        if self.stopping {
            return;
        }
        self.abort_act(Fault::AgentStopping);
        if let Some(operator) = self.operator.take() {
            let (subject, cause) = (Some(operator.operator), CloseCause::AgentStopped);
            self.record(&SessionClosed { subject, cause }, now);
        }
        self.record(&AgentStopped { reason: StopReason::Asked }, now);
        self.stopping = true;
    }

    pub(super) fn heartbeat(&mut self, now: Now) {
        if now.boottime >= self.recording.next_heartbeat {
            self.recording.next_heartbeat = now.boottime.after(HEARTBEAT);
            let uptime_s = now.boottime.saturating_since(self.recording.started).as_secs();
            let unreceipted = self.recording.durable.saturating_sub(self.syncing.acknowledged());
            self.record(&LogHeartbeat { uptime_s, unreceipted }, now);
            // Where it could not be recorded at the start.
            self.rotate_key(now);
            // The policy may have lapsed meanwhile.
            self.tell_retention(now);
        }
    }

    /// Wall time and boot time must move together; when they do not, somebody set the clock.
    pub(super) fn watch_clock(&mut self, now: Now) {
        let last = std::mem::replace(&mut self.recording.last, now);
        let passed = now.boottime.saturating_since(last.boottime);
        let passed_ms = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        let expected = WallTime(last.wall.0.saturating_add(passed_ms));
        if now.wall.0.abs_diff(expected.0) > CLOCK_STEP.as_millis() as u64 {
            self.clock_stepped(expected, now);
        }
    }

    fn clock_stepped(&mut self, expected: WallTime, now: Now) {
        let (expected, found) = (expected.rfc3339(), now.wall.rfc3339());
        self.record(&ClockStepped { expected, found }, now);
        self.outputs.push_back(Output::Alarm(Fault::ClockStepped));
    }
}
