//! Events of the acts at the desk: one struct an event type (names: domain list, past tense, versioned).
//! Never a raw score, a number, a name or a free text: codes, tokens and buckets only.

use serde::Serialize;

use super::{Draft, EventData, EventKind};
use crate::api::DocumentKind;
use crate::biometric::{ModelDigest, PadResult};
use crate::card::{CardIdentity, CardWarning};
use crate::challenge::ChallengeEnd;
use crate::decision::{FaceEvidence, Method, Reason};
use crate::enrolled::Role;
use crate::fault::Fault;
use crate::ids::{Pepper, ReaderId, SubjectKind, SubjectToken};
use crate::presented::ResidentHolder;

macro_rules! event {
    ($name:ident, $type:literal) => {
        impl EventData for $name {
            const TYPE: &'static str = $type;

            fn subject(&self) -> Option<&SubjectToken> {
                self.subject.as_ref()
            }
        }
    };
}

/// What of a face comparison may be kept: the bucket, the PAD verdict, the challenge that settled a doubt, and
/// which model made it.
#[derive(Clone, Debug, Serialize)]
pub struct FaceRecord {
    pub scorebucket: u8,
    pub pad: &'static str,
    /// `passed` when the head turned as asked; absent when it was not asked to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenge: Option<ChallengeEnd>,
    pub model: String,
}

impl FaceRecord {
    pub fn of(evidence: &FaceEvidence, model: ModelDigest) -> Self {
        let pad = match evidence.pad {
            PadResult::BonaFide => "pass",
            PadResult::Doubtful => "doubt",
            PadResult::Attack => "fail",
        };
        let challenge = evidence.turned.then_some(ChallengeEnd::Passed);
        Self { scorebucket: evidence.bucket().value(), pad, challenge, model: model.short() }
    }
}

/// In which act something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActKind {
    Login,
    Visit,
    Enrolment,
}

/// A member of staff took the workstation.
#[derive(Clone, Debug, Serialize)]
pub struct SessionOpened {
    #[serde(skip)]
    pub subject: Option<SubjectToken>,
    pub method: Method,
    pub role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub face: Option<FaceRecord>,
}
event!(SessionOpened, "session.opened.v1");

/// A try to take the workstation did not succeed.
#[derive(Clone, Debug, Serialize)]
pub struct SessionDenied {
    /// Known only when a card said who.
    #[serde(skip)]
    pub subject: Option<SubjectToken>,
    pub method: Method,
    pub reason: Reason,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub face: Option<FaceRecord>,
}
event!(SessionDenied, "session.denied.v1");

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CloseCause {
    SignedOut,
    TakenOver,
    AgentStopped,
}

/// A member of staff left the workstation.
#[derive(Clone, Debug, Serialize)]
pub struct SessionClosed {
    #[serde(skip)]
    pub subject: Option<SubjectToken>,
    pub cause: CloseCause,
}
event!(SessionClosed, "session.closed.v1");

/// Presentation attack detection refused a look.
#[derive(Clone, Debug, Serialize)]
pub struct PadFailed {
    /// The claimed identity, when a card made a claim.
    #[serde(skip)]
    pub subject: Option<SubjectToken>,
    pub act: ActKind,
}
event!(PadFailed, "pad.failed.v1");

/// Presentation attack detection was in doubt, and no challenge settled it. Nobody is accused.
#[derive(Clone, Debug, Serialize)]
pub struct PadDoubted {
    /// The claimed identity, when a card made a claim.
    #[serde(skip)]
    pub subject: Option<SubjectToken>,
    pub act: ActKind,
    /// Why it was not settled.
    pub challenge: ChallengeEnd,
}
event!(PadDoubted, "pad.doubted.v1");

/// A card was read completely.
#[derive(Clone, Debug, Serialize)]
pub struct CardRead {
    /// The card as an object, not its holder.
    #[serde(skip)]
    pub subject: Option<SubjectToken>,
    pub reader: Option<ReaderId>,
    pub card: CardKind,
    /// Six digits of the issuing region; of a social security card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Version of its specification; of a social security card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    pub holder: HolderAccess,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<CardWarning>,
}
event!(CardRead, "card.read.v1");

impl CardRead {
    pub fn of(identity: &CardIdentity, pepper: &Pepper, reader: Option<ReaderId>) -> Self {
        let issued = &identity.issued;
        Self {
            subject: Some(pepper.token(SubjectKind::Card, &issued.code.to_hex())),
            reader,
            card: CardKind::SocialSecurity,
            region: Some(issued.code.region()),
            version: Some(issued.version.clone()),
            holder: if identity.holder().is_some() { HolderAccess::Read } else { HolderAccess::Locked },
            warnings: identity.warnings.clone(),
        }
    }

    pub fn of_resident(holder: &ResidentHolder, pepper: &Pepper, reader: Option<ReaderId>) -> Self {
        Self {
            subject: Some(holder.card(pepper)),
            reader,
            card: CardKind::ResidentId,
            region: None,
            version: None,
            holder: HolderAccess::Read,
            warnings: holder.warnings.clone(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CardKind {
    SocialSecurity,
    ResidentId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HolderAccess {
    Read,
    Locked,
}

/// A card or the reader failed during an act; nothing of the reading was kept.
#[derive(Clone, Debug, Serialize)]
pub struct CardFault {
    #[serde(skip)]
    pub subject: Option<SubjectToken>,
    pub reader: Option<ReaderId>,
    pub fault: Fault,
}
event!(CardFault, "card.fault.v1");

/// A code was scanned during a visit and belongs to it: shown by the patient, or from a box handed out.
#[derive(Clone, Debug, Serialize)]
pub struct CodeBound {
    /// The patient; the code itself where nothing else says who it is.
    #[serde(skip)]
    pub subject: Option<SubjectToken>,
    pub reader: Option<ReaderId>,
    pub code: SubjectToken,
}
event!(CodeBound, "code.bound.v1");

/// A patient's identity was verified.
#[derive(Clone, Debug, Serialize)]
pub struct VisitVerified {
    #[serde(skip)]
    pub subject: Option<SubjectToken>,
    pub method: Method,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub face: Option<FaceRecord>,
    /// Who vouched, on the staff path; who was signed in, on the face path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<SubjectToken>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<DocumentKind>,
    /// Why the face path was not taken or did not end it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}
event!(VisitVerified, "visit.verified.v1");

/// A patient's identity could not be verified. Nobody is accused; the service may go on without insurance.
#[derive(Clone, Debug, Serialize)]
pub struct VisitUnverified {
    #[serde(skip)]
    pub subject: Option<SubjectToken>,
    pub reason: Reason,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<SubjectToken>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<DocumentKind>,
}
event!(VisitUnverified, "visit.unverified.v1");

/// A look did not match and the patient may look once more.
#[derive(Clone, Debug, Serialize)]
pub struct VisitRetried {
    #[serde(skip)]
    pub subject: Option<SubjectToken>,
    pub reason: Reason,
    pub face: FaceRecord,
}
event!(VisitRetried, "visit.retry.v1");

/// A person agreed that this terminal keeps a reference of their face for verification.
#[derive(Clone, Debug, Serialize)]
pub struct ConsentGranted {
    #[serde(skip)]
    pub subject: Option<SubjectToken>,
    pub purpose: &'static str,
    pub basis: &'static str,
}
event!(ConsentGranted, "consent.granted.v1");

/// A person chose not to use the face. An ordinary outcome.
#[derive(Clone, Debug, Serialize)]
pub struct ConsentRefused {
    #[serde(skip)]
    pub subject: Option<SubjectToken>,
    pub purpose: &'static str,
}
event!(ConsentRefused, "consent.refused.v1");

/// A member of staff was enrolled with a role and a PIN, with or without face.
#[derive(Clone, Debug, Serialize)]
pub struct StaffBound {
    #[serde(skip)]
    pub subject: Option<SubjectToken>,
    pub role: Role,
    /// Who was signed in and vouches; absent for the first person of a terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supervisor: Option<SubjectToken>,
}
event!(StaffBound, "staff.bound.v1");

/// A biometric reference was created on this terminal.
#[derive(Clone, Debug, Serialize)]
pub struct TemplateCreated {
    #[serde(skip)]
    pub subject: Option<SubjectToken>,
    pub model: String,
    pub frames: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supervisor: Option<SubjectToken>,
}
event!(TemplateCreated, "template.created.v1");

/// Every type of this file with an example.
pub const KINDS: &[EventKind] = &[
    kind::<SessionOpened>(|| {
        of(&SessionOpened {
            subject: who("op"),
            method: Method::Face,
            role: Role::parse("pharmacist").expect("a role"),
            face: face(),
        })
    }),
    kind::<SessionDenied>(|| {
        let (method, reason) = (Method::Face, Reason::NonMatch);
        of(&SessionDenied { subject: None, method, reason, face: face() })
    }),
    kind::<SessionClosed>(|| of(&SessionClosed { subject: who("op"), cause: CloseCause::SignedOut })),
    kind::<PadFailed>(|| of(&PadFailed { subject: None, act: ActKind::Login })),
    kind::<PadDoubted>(|| {
        of(&PadDoubted { subject: None, act: ActKind::Login, challenge: ChallengeEnd::NotFollowed })
    }),
    kind::<CardRead>(|| {
        of(&CardRead {
            subject: who("cd"),
            reader: Some(ReaderId::FIRST),
            card: CardKind::SocialSecurity,
            region: Some("330300".into()),
            version: Some("2.00".into()),
            holder: HolderAccess::Read,
            warnings: vec![CardWarning::SexDiffers],
        })
    }),
    kind::<CardFault>(|| {
        of(&CardFault { subject: None, reader: Some(ReaderId(2)), fault: Fault::CardRemoved })
    }),
    kind::<CodeBound>(|| {
        let code = who("cd").expect("a token");
        of(&CodeBound { subject: who("pt"), reader: Some(ReaderId(3)), code })
    }),
    kind::<VisitVerified>(|| {
        of(&VisitVerified {
            subject: who("pt"),
            method: Method::StaffDocument,
            face: face(),
            operator: who("op"),
            document: Some(DocumentKind::ResidentId),
            reason: Some(Reason::NotEnrolled),
        })
    }),
    kind::<VisitUnverified>(|| {
        of(&VisitUnverified {
            subject: who("pt"),
            reason: Reason::DocumentMismatch,
            operator: who("op"),
            document: Some(DocumentKind::ResidentId),
        })
    }),
    kind::<VisitRetried>(|| {
        let face = FaceRecord { scorebucket: 3, ..face().expect("an example") };
        of(&VisitRetried { subject: who("pt"), reason: Reason::NonMatch, face })
    }),
    kind::<ConsentGranted>(|| {
        of(&ConsentGranted { subject: who("pt"), purpose: "verification", basis: "separate-consent" })
    }),
    kind::<ConsentRefused>(|| of(&ConsentRefused { subject: who("pt"), purpose: "verification" })),
    kind::<StaffBound>(|| {
        let role = Role::parse("physician").expect("a role");
        of(&StaffBound { subject: who("op"), role, supervisor: who("op") })
    }),
    kind::<TemplateCreated>(|| {
        let model = "sha256:1f3a9c0e".to_owned();
        of(&TemplateCreated { subject: who("op"), model, frames: 5, supervisor: who("op") })
    }),
];

const fn kind<E: EventData>(example: fn() -> Draft) -> EventKind {
    EventKind { name: E::TYPE, example }
}

fn of(event: &impl EventData) -> Draft {
    Draft::of(event).expect("examples are objects of whole numbers")
}

fn who(prefix: &str) -> Option<SubjectToken> {
    SubjectToken::parse(&format!("{prefix}:a7c1KgJ_dLeSE9yaGjm6zn"))
}

fn face() -> Option<FaceRecord> {
    let challenge = Some(ChallengeEnd::Passed);
    Some(FaceRecord { scorebucket: 9, pad: "doubt", challenge, model: "sha256:1f3a9c0e".into() })
}
