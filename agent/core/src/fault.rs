//! The one table of faults: what kept the terminal from its work, who can mend it, how bad it is, and whether
//! trying again can help. Never holds free text, values or anything of a person; the sentences for people
//! stand in the agent's `text.rs`, keyed by the code.
//!
//! A fault is not an outcome: no match, a refused presentation or an open breaker are decisions.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    /// Reconnect or replace a part of the terminal.
    Device,
    /// The person or the card: present again.
    Subject,
    /// Not allowed as things are configured or ordered.
    Policy,
    /// The other side of the network; retried without anybody's help.
    Upstream,
    /// What must not change has changed: stop and report.
    Integrity,
    /// Ours: file an issue.
    Bug,
}

/// How far it reaches; the log level of the same name follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Concerns one attempt.
    Info,
    /// One way of working is gone, another one goes on.
    Warn,
    /// The terminal cannot do its job.
    Error,
}

macro_rules! faults {
    ($($name:ident $code:literal $blame:ident $severity:ident $retryable:literal)*) => {
        /// What happened, from a closed list.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Fault {
            $(#[serde(rename = $code)] $name,)*
        }

        const TABLE: &[Row] = &[
            $(Row {
                fault: Fault::$name,
                code: $code,
                blame: Blame::$blame,
                severity: Severity::$severity,
                retryable: $retryable,
            },)*
        ];
    };
}

// name                   code                           blame     severity  trying again can help
faults! {
    CameraAbsent          "camera.open.absent"           Device    Warn      true
    CameraBusy            "camera.open.busy"             Device    Warn      true
    CameraVirtual         "camera.open.virtual"          Policy    Warn      false
    CameraUnusable        "camera.open.unusable"         Device    Warn      false
    CameraLost            "camera.frame.lost"            Device    Warn      true
    CameraStalled         "camera.frame.stalled"         Device    Warn      true
    FrameUnreadable       "camera.frame.unreadable"      Device    Info      true
    ModelPackMissing      "model.pack.missing"           Device    Warn      false
    ModelPackRefused      "model.pack.refused"           Integrity Warn      false
    ModelRunFailed        "model.run.failed"             Bug       Warn      true
    ReaderAbsent          "reader.open.absent"           Device    Warn      true
    ReaderBusy            "reader.open.busy"             Device    Warn      true
    ReaderShared          "reader.open.shared"           Policy    Warn      true
    ReaderSilent          "reader.open.silent"           Device    Warn      true
    ReaderLost            "reader.link.lost"             Device    Warn      true
    CardRemoved           "card.read.removed"            Subject   Info      true
    CardTimeout           "card.read.timeout"            Subject   Info      true
    CardTransmission      "card.read.transmission"       Subject   Info      true
    CardSwapped           "card.read.swapped"            Subject   Info      true
    CardUnanswering       "card.atr.garbage"             Subject   Info      true
    CardForeign           "card.content.foreign"         Subject   Info      false
    CardLocked            "card.content.locked"          Subject   Info      false
    CardDamaged           "card.content.damaged"         Subject   Info      true
    JournalFull           "journal.disk.full"            Device    Error     true
    JournalFilling        "journal.disk.filling"         Device    Warn      true
    JournalReadOnly       "journal.disk.readonly"        Device    Error     true
    JournalDamaged        "journal.file.damaged"         Integrity Error     false
    JournalInUse          "journal.file.busy"            Device    Error     true
    JournalEngineOld      "journal.engine.old"           Device    Error     false
    JournalCommitFailed   "journal.commit.failed"        Device    Error     true
    UpstreamUnreachable   "upstream.link.unreachable"    Upstream  Info      true
    UpstreamUntrusted     "upstream.link.untrusted"      Upstream  Warn      true
    UpstreamRefused       "upstream.answer.refused"      Upstream  Warn      true
    UpstreamNonsense      "upstream.answer.nonsense"     Upstream  Warn      true
    ReceiptWrong          "upstream.receipt.wrong"       Integrity Error     true
    PolicyExpired         "policy.document.expired"      Policy    Warn      true
    PolicyMissing         "policy.document.missing"      Policy    Warn      true
    ClockStepped          "clock.wall.stepped"           Device    Warn      true
    KeyMissing            "key.file.missing"             Integrity Error     false
    KeyDamaged            "key.file.damaged"             Integrity Error     false
    ReferencesDamaged     "references.file.damaged"      Integrity Warn      false
    ConfigInvalid         "config.file.invalid"          Policy    Error     false
    EnrolmentCodeRefused  "enrolment.code.refused"       Policy    Warn      true
    AgentStopping         "agent.run.stopping"           Policy    Info      true
    WorkerPanicked        "worker.thread.panicked"       Bug       Warn      true
}

impl Fault {
    /// Every fault, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.fault)
    }

    /// The name in events, logs and metrics: `area.object.what`.
    pub fn code(self) -> &'static str {
        self.row().code
    }

    pub fn from_code(code: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.code == code).map(|row| row.fault)
    }

    pub fn blame(self) -> Blame {
        self.row().blame
    }

    pub fn severity(self) -> Severity {
        self.row().severity
    }

    /// Whether the same attempt can succeed later without anything being exchanged or reconfigured.
    pub fn is_retryable(self) -> bool {
        self.row().retryable
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

struct Row {
    fault: Fault,
    code: &'static str,
    blame: Blame,
    severity: Severity,
    retryable: bool,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_fault_finds_its_own_row_and_codes_are_unique() {
        let mut codes = HashSet::new();
        for (index, fault) in Fault::all().enumerate() {
            assert_eq!(fault as usize, index);
            assert!(codes.insert(fault.code()), "{fault} stands twice");
            assert_eq!(Fault::from_code(fault.code()), Some(fault));
        }
        assert_eq!(Fault::from_code("camera.open"), None);
    }

    #[test]
    fn a_code_is_three_lower_case_words() {
        for fault in Fault::all() {
            let words: Vec<&str> = fault.code().split('.').collect();
            assert_eq!(words.len(), 3, "{fault}");
            assert!(
                words.iter().all(|w| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase())),
                "{fault}"
            );
        }
    }

    #[test]
    fn what_has_changed_without_us_is_never_tried_again_on_its_own() {
        let again: Vec<&str> = Fault::all()
            .filter(|f| f.blame() == Blame::Integrity && f.is_retryable())
            .map(Fault::code)
            .collect();
        // A wrong receipt acknowledges nothing; the next answer is judged afresh.
        assert_eq!(again, ["upstream.receipt.wrong"]);
    }

    #[test]
    fn travels_as_its_code() {
        let text = serde_json::to_string(&Fault::CardTimeout).unwrap();
        assert_eq!(text, "\"card.read.timeout\"");
        assert_eq!(serde_json::from_str::<Fault>(&text).unwrap(), Fault::CardTimeout);
        assert!(serde_json::from_str::<Fault>("\"card.read.late\"").is_err());
    }
}
