//! Event types of the log itself, the agent's life, the clock, the devices and the documents.
//! Never about a person: none of them has a subject.

use serde::{Deserialize, Serialize};

use super::{Draft, EventData, EventKind};
use crate::ids::{ReaderId, Sequence, SubjectToken};
use crate::signer::Jwk;

/// First event of every chain. Holds the grant, so that a chain explains itself.
#[derive(Clone, Debug, Serialize)]
pub struct LogGenesis {
    /// Version of the agent.
    pub agent: String,
    /// The grant as it was signed.
    pub grant: String,
}

/// A receipt arrived: everything after this event is younger than the witness's time in it.
#[derive(Clone, Debug, Serialize)]
pub struct LogReceipt {
    /// The note with the witness's line.
    pub receipt: String,
}

/// Made every 15 minutes while the agent runs, so that silence is visible.
#[derive(Clone, Debug, Serialize)]
pub struct LogHeartbeat {
    pub uptime_s: u64,
    /// Events that no receipt covers yet.
    pub unreceipted: u64,
}

/// The journal has reached its quota; no new act is taken until there is room.
#[derive(Clone, Debug, Serialize)]
pub struct LogStorageFull {
    pub used_bytes: u64,
    pub limit_bytes: u64,
}

/// Evidence was damaged or lost. The files are kept aside; what follows is what was known of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogIntegrityAlarm {
    pub what: String,
    /// The chain that it concerns.
    pub chain: String,
    /// Events that the chain had, and how many of them a receipt covered; 0 where nothing is known.
    pub events: u64,
    pub receipted: u64,
    /// Files that were kept aside; 0 when the journal goes on.
    pub files: u64,
}

/// The last event that the terminal's old key signs: from the next one on the new key does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRotated {
    /// The new public key.
    pub jwk: Jwk,
    /// Chain, sequence and `prevhash` of this event, signed by the new key: it is held here.
    pub proof: String,
}

/// Events must be kept whole from now on, and all after them.
#[derive(Clone, Debug, Serialize)]
pub struct HoldPlaced {
    pub first: Sequence,
    pub last: Sequence,
    pub reason: String,
    /// Who was signed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<SubjectToken>,
}

/// A hold is over: the policy's age counts again for its events.
#[derive(Clone, Debug, Serialize)]
pub struct HoldLifted {
    /// Its number at this terminal.
    pub hold: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<SubjectToken>,
}

#[derive(Clone, Debug, Serialize)]
pub struct AgentStarted {
    pub agent: String,
    /// Digest of the pack's manifest, `sha256:` and 8 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pack: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_serial: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    Asked,
    Update,
    Fault,
}

#[derive(Clone, Debug, Serialize)]
pub struct AgentStopped {
    pub reason: StopReason,
}

/// The agent did not run and did not say goodbye: crash, power cut or kill.
#[derive(Clone, Debug, Serialize)]
pub struct AgentGap {
    /// Wall time of the last event before the gap, RFC 3339.
    pub since: String,
    /// Whether the machine was restarted meanwhile.
    pub rebooted: bool,
}

/// Wall time jumped against boot time.
#[derive(Clone, Debug, Serialize)]
pub struct ClockStepped {
    /// Where wall time would be without the step, RFC 3339.
    pub expected: String,
    /// Where it is, RFC 3339.
    pub found: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct PolicyApplied {
    pub serial: u64,
    /// SHA-256 leaf hash of the signed token, base64url.
    pub digest: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Device {
    Camera,
    CardReader,
    Keystore,
    Disk,
    Upstream,
}

/// A device stopped doing its job. `fault` is a code of the fault table.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceDegraded {
    pub device: Device,
    /// Which of the readers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reader: Option<ReaderId>,
    pub fault: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct DeviceRecovered {
    pub device: Device,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reader: Option<ReaderId>,
    pub after_s: u64,
}

macro_rules! types {
    ($($data:ident = $name:literal),+ $(,)?) => {
        $(impl EventData for $data {
            const TYPE: &'static str = $name;
        })+
    };
}

types! {
    LogGenesis = "log.genesis.v1",
    LogReceipt = "log.receipt.v1",
    LogHeartbeat = "log.heartbeat.v1",
    LogStorageFull = "log.storage-full.v1",
    LogIntegrityAlarm = "log.integrity-alarm.v1",
    KeyRotated = "key.rotated.v1",
    HoldPlaced = "hold.placed.v1",
    HoldLifted = "hold.lifted.v1",
    AgentStarted = "agent.started.v1",
    AgentStopped = "agent.stopped.v1",
    AgentGap = "agent.gap.v1",
    ClockStepped = "clock.stepped.v1",
    PolicyApplied = "policy.applied.v1",
    DeviceDegraded = "device.degraded.v1",
    DeviceRecovered = "device.recovered.v1",
}

/// Types whose receipt needs no event of its own: else receipts would beget receipts for ever.
pub(crate) const QUIET: [&str; 2] = [LogReceipt::TYPE, LogHeartbeat::TYPE];

/// Every type of this file with an example.
pub const KINDS: &[EventKind] = &[
    kind::<LogGenesis>(|| of(&LogGenesis { agent: "0.1.0".into(), grant: "a.b.c".into() })),
    kind::<LogReceipt>(|| of(&LogReceipt { receipt: "origin\n1\nroot\n".into() })),
    kind::<LogHeartbeat>(|| of(&LogHeartbeat { uptime_s: 900, unreceipted: 3 })),
    kind::<LogStorageFull>(|| of(&LogStorageFull { used_bytes: 1 << 30, limit_bytes: 1 << 30 })),
    kind::<LogIntegrityAlarm>(|| {
        of(&LogIntegrityAlarm {
            what: "journal set aside".into(),
            chain: "0196a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b".into(),
            events: 180,
            receipted: 150,
            files: 4,
        })
    }),
    kind::<KeyRotated>(|| {
        let jwk = Jwk {
            crv: "Ed25519".into(),
            kty: "OKP".into(),
            x: "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg".into(),
        };
        of(&KeyRotated { jwk, proof: "a.b.c".into() })
    }),
    kind::<HoldPlaced>(|| {
        let (first, last) = (Sequence(4), Sequence(9));
        of(&HoldPlaced { first, last, reason: "2026-17".into(), operator: None })
    }),
    kind::<HoldLifted>(|| of(&HoldLifted { hold: 1, operator: None })),
    kind::<AgentStarted>(|| {
        of(&AgentStarted {
            agent: "0.1.0".into(),
            pack: Some("sha256:1f3a9c0e".into()),
            policy_serial: Some(1),
        })
    }),
    kind::<AgentStopped>(|| of(&AgentStopped { reason: StopReason::Asked })),
    kind::<AgentGap>(|| of(&AgentGap { since: "2026-05-01T00:01:00.250Z".into(), rebooted: true })),
    kind::<ClockStepped>(|| {
        of(&ClockStepped {
            expected: "2026-05-01T00:01:00.250Z".into(),
            found: "2026-05-02T00:01:00.250Z".into(),
        })
    }),
    kind::<PolicyApplied>(|| of(&PolicyApplied { serial: 12, digest: "x".into() })),
    kind::<DeviceDegraded>(|| {
        of(&DeviceDegraded { device: Device::Camera, reader: None, fault: "camera.stalled".into() })
    }),
    kind::<DeviceRecovered>(|| {
        of(&DeviceRecovered { device: Device::CardReader, reader: Some(ReaderId::FIRST), after_s: 4 })
    }),
];

const fn kind<E: EventData>(example: fn() -> Draft) -> EventKind {
    EventKind { name: E::TYPE, example }
}

fn of(event: &impl EventData) -> Draft {
    Draft::of(event).expect("examples are objects of whole numbers")
}
