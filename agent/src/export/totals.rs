//! What is counted while events go by: all of the chain, and of those what is shown. Gaps are never hidden.
//! Never keeps an event, only counts, times and the few things that were out of order.

use std::collections::BTreeMap;
use std::rc::Rc;

use zhenyin_core::event::lifecycle::{
    AgentGap, AgentStarted, AgentStopped, ClockStepped, Device, DeviceDegraded,
};
use zhenyin_core::event::{Envelope, EventData};
use zhenyin_core::time::WallTime;

/// The whole chain up to the checkpoint, shown or not.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    pub(super) all: Counts,
    pub(super) shown: Counts,
    /// Erased after their retention; only their hashes are left.
    pub(super) erased: u64,
    pub(super) receipts: usize,
    pub(super) receipted: u64,
    pub(super) breaks: Vec<Break>,
    pub(super) steps: Vec<ClockStep>,
    pub(super) starts: u64,
    pub(super) camera_faults: u64,
    /// The newest event, as long as its body is there.
    last: Option<(WallTime, Rc<str>)>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) events: u64,
    pub(super) kinds: BTreeMap<Rc<str>, u64>,
    /// How people were verified, over logins and visits.
    pub(super) methods: BTreeMap<Rc<str>, u64>,
    /// By day since 1970, Beijing time.
    pub(super) days: BTreeMap<i64, u64>,
    pub(super) ends: Option<(WallTime, WallTime)>,
}

/// What the counts need of one event.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    name: Rc<str>,
    method: Option<Rc<str>>,
    time: WallTime,
}

/// Why there are no events between two times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BreakCause {
    /// Crash, power cut or kill: the agent did not say goodbye.
    Cut,
    /// The agent was stopped in order.
    Stopped,
    /// Nothing for longer than heartbeats allow: asleep, or nothing could be recorded.
    Silent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Break {
    pub(super) cause: BreakCause,
    pub(super) from: WallTime,
    pub(super) to: WallTime,
    /// The first event after it.
    pub(super) event: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClockStep {
    pub(super) expected: Option<WallTime>,
    pub(super) found: Option<WallTime>,
    pub(super) event: u64,
}

/// Two heartbeats and a little; the upstream takes the same for a gap.
const SILENCE_MS: i64 = 35 * 60_000;
const BEIJING_MS: i64 = 8 * 3_600_000;
const DAY_MS: i64 = 86_400_000;

impl Totals {
    /// Counts one event of the chain; the next one must be its successor.
    pub(super) fn count(&mut self, envelope: &Envelope) -> Kind {
        let known = self.all.kinds.get_key_value(envelope.kind.as_str());
        let name = known.map_or_else(|| envelope.kind.as_str().into(), |(name, _)| Rc::clone(name));
        let method = ["session.opened.v1", "visit.verified.v1"].contains(&envelope.kind.as_str());
        let method = method.then(|| envelope.data["method"].as_str()).flatten().map(Rc::from);
        let kind = Kind { name: Rc::clone(&name), method, time: envelope.time };
        self.all.add(&kind);
        self.notice(envelope);
        self.last = Some((envelope.time, name));
        kind
    }

    /// An event whose body was erased: what was before and after it is no longer said.
    pub(super) fn erased(&mut self) {
        self.erased += 1;
        self.last = None;
    }

    pub(super) fn show(&mut self, kind: &Kind) {
        self.shown.add(kind);
    }

    /// Events that the package speaks of.
    pub(super) fn size(&self) -> u64 {
        self.all.events + self.erased
    }

    pub(super) fn breaks_of(&self, cause: BreakCause) -> usize {
        self.breaks.iter().filter(|one| one.cause == cause).count()
    }

    fn notice(&mut self, envelope: &Envelope) {
        let event = envelope.sequence.0;
        let moment = |name: &str| envelope.data[name].as_str().and_then(WallTime::parse_rfc3339);
        let to = envelope.time;
        let broken = match (&self.last, envelope.kind.as_str()) {
            (_, AgentGap::TYPE) => moment("since").map(|since| (BreakCause::Cut, since)),
            (Some((last, kind)), _) if &**kind == AgentStopped::TYPE => Some((BreakCause::Stopped, *last)),
            (Some((last, _)), _) if to.0 - last.0 > SILENCE_MS => Some((BreakCause::Silent, *last)),
            (_, _) => None,
        };
        self.breaks.extend(broken.map(|(cause, from)| Break { cause, from, to, event }));
        match envelope.kind.as_str() {
            AgentStarted::TYPE => self.starts += 1,
            ClockStepped::TYPE => {
                let (expected, found) = (moment("expected"), moment("found"));
                // A clock that was set forward is no silence.
                self.breaks.retain(|one| one.event != event || one.cause != BreakCause::Silent);
                self.steps.push(ClockStep { expected, found, event });
            }
            DeviceDegraded::TYPE => {
                let camera = serde_json::to_value(Device::Camera).is_ok_and(|c| c == envelope.data["device"]);
                self.camera_faults += u64::from(camera);
            }
            _ => {}
        }
    }
}

impl Counts {
    fn add(&mut self, kind: &Kind) {
        self.events += 1;
        *self.kinds.entry(Rc::clone(&kind.name)).or_default() += 1;
        if let Some(method) = &kind.method {
            *self.methods.entry(Rc::clone(method)).or_default() += 1;
        }
        *self.days.entry(day(kind.time)).or_default() += 1;
        let first = self.ends.map_or(kind.time, |(first, _)| first.min(kind.time));
        let last = self.ends.map_or(kind.time, |(_, last)| last.max(kind.time));
        self.ends = Some((first, last));
    }
}

/// The day in Beijing, counted since 1970.
pub(super) fn day(at: WallTime) -> i64 {
    at.0.saturating_add(BEIJING_MS).div_euclid(DAY_MS)
}

/// Midnight in Beijing.
pub(super) fn midnight(day: i64) -> WallTime {
    WallTime(day.saturating_mul(DAY_MS).saturating_sub(BEIJING_MS))
}

/// As people in China read it: `2026-11-22 08:00:00`.
pub(super) fn beijing(at: WallTime) -> String {
    WallTime(at.0.saturating_add(BEIJING_MS)).rfc3339().replace('T', " ").chars().take(19).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;
    use zhenyin_core::ids::{BootId, ChainId, Sequence, TerminalId};
    use zhenyin_core::merkle::Hash;
    use zhenyin_core::time::{Boottime, ClockTrust};

    use super::*;

    const BEGIN: i64 = 1_777_593_600_000;
    const MINUTE: i64 = 60_000;

    fn totals(events: &[(&str, i64, Value)]) -> Totals {
        let mut totals = Totals::default();
        for (number, (kind, minute, data)) in events.iter().enumerate() {
            let id = Uuid::from_u128(1);
            let kind = totals.count(&Envelope {
                kind: (*kind).to_owned(),
                subject: None,
                data: data.clone(),
                terminal: TerminalId(id),
                chain: ChainId(id),
                sequence: Sequence(number as u64),
                prev: Hash([0; 32]),
                boot: BootId(id),
                boottime: Boottime::default(),
                clock: ClockTrust::Synced,
                time: WallTime(BEGIN + minute * MINUTE),
            });
            if number == 0 {
                totals.show(&kind);
            }
        }
        totals
    }

    fn breaks(events: &[(&str, i64, Value)]) -> Vec<(BreakCause, i64, i64)> {
        let minute = |at: WallTime| (at.0 - BEGIN) / MINUTE;
        totals(events).breaks.iter().map(|one| (one.cause, minute(one.from), minute(one.to))).collect()
    }

    #[test]
    fn every_break_has_its_cause_and_its_ends() {
        let none = || json!({});
        let beat = |at| ("log.heartbeat.v1", at, none());
        assert_eq!(breaks(&[beat(0), beat(15), beat(30), beat(65)]), []);
        assert_eq!(breaks(&[beat(0), beat(36)]), [(BreakCause::Silent, 0, 36)]);
        let stopped = ("agent.stopped.v1", 10, none());
        assert_eq!(
            breaks(&[beat(0), stopped, ("agent.started.v1", 600, none())]),
            [(BreakCause::Stopped, 10, 600)]
        );
        let since = WallTime(BEGIN + 3 * MINUTE).rfc3339();
        let gap = ("agent.gap.v1", 90, json!({"since": since, "rebooted": true}));
        assert_eq!(breaks(&[beat(3), gap, ("agent.started.v1", 90, none())]), [(BreakCause::Cut, 3, 90)]);
        let step = ("clock.stepped.v1", 900, json!({"expected": since, "found": since}));
        assert_eq!(breaks(&[beat(3), step.clone()]), []);
        assert_eq!(totals(&[beat(3), step]).steps.len(), 1);
    }

    #[test]
    fn what_is_shown_is_counted_beside_the_whole() {
        let method = |method: &str| json!({"method": method});
        let camera = json!({"device": "camera", "fault": "camera.frame.stalled"});
        let counted = totals(&[
            ("visit.verified.v1", 0, method("card-face")),
            ("visit.verified.v1", 1, method("staff-document")),
            ("device.degraded.v1", 2, camera),
            ("device.degraded.v1", 3, json!({"device": "disk", "fault": "x"})),
        ]);
        assert_eq!((counted.all.events, counted.shown.events, counted.camera_faults), (4, 1, 1));
        assert_eq!(counted.all.methods.values().sum::<u64>(), 2);
        assert_eq!(counted.shown.methods.keys().map(|m| &**m).collect::<Vec<_>>(), ["card-face"]);
    }

    #[test]
    fn days_end_at_midnight_in_beijing() {
        let at = |text| WallTime::parse_rfc3339(text).unwrap();
        assert_eq!(day(at("2026-11-21T15:59:59.999Z")) + 1, day(at("2026-11-21T16:00:00.000Z")));
        assert_eq!(beijing(at("2026-11-21T16:00:00.000Z")), "2026-11-22 00:00:00");
        assert_eq!(beijing(midnight(day(at("2026-11-21T16:30:00.000Z")))), "2026-11-22 00:00:00");
    }
}
