//! What a screen, HIS or command line may ask of the terminal and what it is told: the local API's types.
//! Never carries a biometric value; a PIN comes in and is never printed or echoed.

use serde::{Deserialize, Serialize};

use crate::card::CardWarning;
use crate::challenge::Turn;
use crate::decision::{DocumentCheck, Method, Reason};
use crate::enrolled::Role;
use crate::fault::Fault;
use crate::ids::{ChainId, Sequence, SessionId, SubjectToken, TerminalId};
use crate::look::Hint;
use crate::pin::Pin;
use crate::presented::ScannedCode;
use crate::room::Room;
use crate::time::ClockTrust;

/// One act at the desk. Only one runs at a time: a workstation has one camera and one reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "purpose", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// A member of staff takes the workstation: by look, or by card and PIN; the first success wins.
    StaffLogin,
    StaffLogout,
    /// A patient checks in: card, then face or staff.
    PatientVisit,
    /// A member of staff is enrolled: card, consent, PIN, a few good looks.
    StaffEnrolment {
        role: Role,
    },
    /// A patient wants to be recognised at later visits: card, consent, a few good looks.
    PatientEnrolment,
    /// Reads a card and tells what it said, masked. No event beyond `card.read`.
    CardRead,
}

/// What a person answered to a [`Step`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    Consent {
        agree: bool,
    },
    /// "Without face": an equal way, at any moment.
    WithoutFace,
    /// The person is not to be asked to turn the head; nobody asks why. With the consent at an enrolment it is
    /// kept, in front of the camera it holds for this act.
    WithoutChallenge,
    Pin {
        pin: Pin,
    },
    Document {
        document: DocumentKind,
        check: DocumentCheck,
    },
    Cancel,
}

/// The second document that staff compared with the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DocumentKind {
    ResidentId,
    InsuranceCode,
    Passport,
    HouseholdRegister,
    ResidencePermit,
}

/// What the screen should show now. Progress only: never an outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// Face the screen or insert the card; both work.
    LookOrPresentCard,
    PresentCard,
    /// The last reading failed; nothing of it was kept.
    PresentCardAgain {
        fault: Fault,
    },
    AskConsent,
    Look {
        hint: Option<Hint>,
        taken: u8,
        wanted: u8,
    },
    /// Look that way, slowly; or go on without: card, PIN or staff.
    Turn {
        turn: Turn,
        seconds: u16,
    },
    /// Face is out of this act; card and PIN go on.
    UseCard {
        reason: Reason,
    },
    ChoosePin,
    EnterPin {
        tries_left: u8,
    },
    /// Staff compare the person with a document.
    AskStaff {
        reason: Reason,
    },
    /// A code was scanned and belongs to the visit. Told once, to whoever follows at that moment: what the code means
    /// only the insurance can say, and it is good for about a minute.
    CodeTaken {
        code: ScannedCode,
    },
}

/// How an act ended. Given out only after its events are durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    SignedIn {
        operator: SubjectToken,
        name: String,
        role: Role,
        method: Method,
    },
    SignedOut {
        operator: SubjectToken,
    },
    NotSignedIn {
        reason: Reason,
    },
    Verified {
        subject: SubjectToken,
        name: Option<String>,
        method: Method,
    },
    NotVerified {
        reason: Reason,
    },
    Enrolled {
        subject: SubjectToken,
        name: String,
        face: bool,
    },
    NotEnrolled {
        reason: Reason,
    },
    CardRead {
        name: Option<String>,
        region: String,
        version: String,
        locked: bool,
        warnings: Vec<CardWarning>,
        /// Under which events may tell of this card and, where it was read, of its holder.
        #[serde(default)]
        tokens: Vec<SubjectToken>,
    },
    /// The same of a resident identity card.
    ResidentCardRead {
        name: String,
        warnings: Vec<CardWarning>,
        #[serde(default)]
        tokens: Vec<SubjectToken>,
    },
    /// Something prevented a decision. Nothing was accepted.
    Failed {
        fault: Fault,
    },
}

impl Outcome {
    /// The name of the outcome, for the log: nothing of the person in it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SignedIn { .. } => "signed-in",
            Self::SignedOut { .. } => "signed-out",
            Self::NotSignedIn { .. } => "not-signed-in",
            Self::Verified { .. } => "verified",
            Self::NotVerified { .. } => "not-verified",
            Self::Enrolled { .. } => "enrolled",
            Self::NotEnrolled { .. } => "not-enrolled",
            Self::CardRead { .. } => "card-read",
            Self::ResidentCardRead { .. } => "resident-card-read",
            Self::Failed { .. } => "failed",
        }
    }
}

/// The last word on one act: its outcome and the events that record it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub session: SessionId,
    #[serde(flatten)]
    pub outcome: Outcome,
    pub events: Vec<Sequence>,
}

/// Why a request or an answer was not taken. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    #[error("another act is under way: finish or cancel it first")]
    Busy,
    #[error("no such act is under way")]
    NoSuchSession,
    #[error("this answer is not asked for now")]
    NotAsked,
    #[error("nobody is signed in: a member of staff signs in first")]
    NobodySignedIn,
    #[error("the terminal cannot record events now, so it takes no act: see `zhenyin status`")]
    NotRecording,
    #[error("an inspection names two inspectors or more, each with a warrant of their own, or none")]
    TwoInspectors,
    #[error(
        "the inspection asks for too much or for what is not well formed: at most 64 of each, in short lines"
    )]
    AskedTooMuch,
    #[error("no such inspection is open")]
    NoSuchInspection,
    #[error(
        "a hold names its first and last event in order, and its reason in one line of at most 120 characters"
    )]
    BadHold,
    #[error("no such hold is in force: see `zhenyin journal holds`")]
    NoSuchHold,
    #[error("it is on record, but the journal failed meanwhile: see `zhenyin journal holds`, and ask again")]
    HoldUnsure,
}

/// The terminal in numbers and codes. Nothing in it is secret or personal but the name on the screen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub terminal: TerminalId,
    pub chain: ChainId,
    /// Masked name and role of whoever is signed in.
    pub operator: Option<(String, Role)>,
    pub camera: Option<Fault>,
    pub reader: Option<Fault>,
    /// Digest of the embedding model; absent when face is off.
    pub face_pack: Option<String>,
    /// Why nothing can be recorded now.
    pub recording: Option<Fault>,
    /// How much of the journal's room is used.
    #[serde(default)]
    pub room: Room,
    pub clock: ClockTrust,
    pub events: u64,
    pub receipted: u64,
    pub upstream: Option<Fault>,
    pub policy_serial: Option<u64>,
    pub policy_in_force: bool,
    pub act_under_way: bool,
    /// Where the person before the camera is asked to look now.
    #[serde(default)]
    pub challenge: Option<Turn>,
}
