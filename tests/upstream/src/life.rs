//! What a terminal's events tell about its life: version, stops, gaps, documents it has taken.
//! Never believes an event that was set aside; never changes what is stored of one.

use zhenyin_core::event::Envelope;
use zhenyin_core::time::WallTime;

use crate::documents::POLICY;
use crate::store::{Acknowledgement, NewGap};

/// Heartbeats come every 15 minutes; one may be late, two missing ones are a gap.
const SILENCE_MS: i64 = 35 * 60 * 1000;

/// What is known after the newest event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Life {
    /// Version of the agent.
    pub(crate) agent: Option<String>,
    pub(crate) last_event: Option<WallTime>,
    /// Whether the agent runs, as far as its events say.
    pub(crate) running: bool,
}

/// What a batch adds to the rows of its chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) gaps: Vec<NewGap>,
    pub(crate) acknowledgements: Vec<Acknowledgement>,
}

impl Life {
    /// Takes one understood event. `sealed` is kept as proof where one is needed.
    pub(crate) fn tell(&mut self, envelope: &Envelope, sealed: &str, told: &mut Told) {
        let (to, sequence) = (envelope.time, envelope.sequence.0);
        let member = |name: &str| envelope.data.get(name);
        let stated = member("since").and_then(|v| v.as_str()).and_then(WallTime::parse_rfc3339);
        let silent = self.last_event.filter(|last| self.running && to.0 - last.0 > SILENCE_MS);
        let from = if envelope.kind == "agent.gap.v1" { stated.or(silent) } else { silent };
        if let Some(from) = from.filter(|from| *from < to) {
            told.gaps.push(NewGap { sequence, from, to });
        }
        self.last_event = Some(to);
        self.running = envelope.kind != "agent.stopped.v1";
        if let Some(agent) = member("agent").and_then(|v| v.as_str()).filter(|_| is_version(&envelope.kind)) {
            self.agent = Some(agent.to_owned());
        }
        let serial = match envelope.kind.as_str() {
            "policy.applied.v1" => member("serial"),
            "agent.started.v1" => member("policy_serial"),
            _ => None,
        };
        if let Some(serial) = serial.and_then(serde_json::Value::as_u64) {
            let (kind, proof) = (POLICY.to_owned(), sealed.to_owned());
            told.acknowledgements.push(Acknowledgement { kind, serial, at: to, proof });
        }
    }
}

fn is_version(kind: &str) -> bool {
    matches!(kind, "log.genesis.v1" | "agent.started.v1")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use zhenyin_core::ids::{BootId, ChainId, Sequence, TerminalId};
    use zhenyin_core::merkle::leaf_hash;
    use zhenyin_core::time::{Boottime, ClockTrust};

    use super::*;

    fn event(sequence: u64, minute: i64, kind: &str, data: Value) -> Envelope {
        Envelope {
            kind: kind.into(),
            subject: None,
            data,
            terminal: TerminalId(uuid::Uuid::nil()),
            chain: ChainId(uuid::Uuid::nil()),
            sequence: Sequence(sequence),
            prev: leaf_hash(b""),
            boot: BootId("7d9f0c1a-2b3c-4d5e-8f60-718293a4b5c6".parse().unwrap()),
            boottime: Boottime::default(),
            clock: ClockTrust::Synced,
            time: WallTime(minute * 60_000),
        }
    }

    fn check(story: &[(i64, &str, Value)], gaps: &[(i64, i64)]) -> (Life, Told) {
        let (mut life, mut told) = (Life::default(), Told::default());
        for (n, (minute, kind, data)) in (0..).zip(story) {
            life.tell(&event(n, *minute, kind, data.clone()), "a.b.c", &mut told);
        }
        let found: Vec<_> = told.gaps.iter().map(|g| (g.from.0 / 60_000, g.to.0 / 60_000)).collect();
        assert_eq!(found, gaps, "{story:?}");
        (life, told)
    }

    #[test]
    fn silence_is_a_gap_unless_a_goodbye_came_first() {
        let beat = |minute| (minute, "log.heartbeat.v1", json!({}));
        check(&[beat(0), beat(15), beat(31)], &[]);
        check(&[beat(0), beat(15), beat(60)], &[(15, 60)]);
        check(&[beat(0), (1, "agent.stopped.v1", json!({})), beat(600)], &[]);
        check(&[beat(60), beat(0), beat(15)], &[]);
        let since = WallTime(15 * 60_000).rfc3339();
        let gap = (20, "agent.gap.v1", json!({"since": since, "rebooted": true}));
        check(&[beat(0), beat(15), gap], &[(15, 20)]);
        check(&[beat(0), beat(15), (99, "agent.gap.v1", json!({"since": since}))], &[(15, 99)]);
    }

    #[test]
    fn version_and_policy_come_from_the_agents_own_words() {
        let started = |v: &str, serial: u64| json!({"agent": v, "policy_serial": serial});
        let (life, told) = check(
            &[
                (0, "log.genesis.v1", json!({"agent": "0.1.0", "grant": "a.b.c"})),
                (1, "agent.started.v1", started("0.2.0", 1)),
                (2, "visit.verified.v1", json!({"agent": "9.9.9"})),
                (3, "policy.applied.v1", json!({"serial": 7})),
            ],
            &[],
        );
        assert_eq!((life.agent.as_deref(), life.running), (Some("0.2.0"), true));
        let serials: Vec<_> = told.acknowledgements.iter().map(|a| (a.kind.as_str(), a.serial)).collect();
        assert_eq!(serials, [("policy", 1), ("policy", 7)]);
    }
}
