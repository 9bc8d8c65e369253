//! Enrols a person on this terminal: card, consent, PIN for staff, a few good looks.
//! Never takes a look before consent; never stores a reference before its creation is recorded.
//!
//! ```text
//! ExpectCard ── card ──> ExpectConsent ── agrees ──> (staff: ExpectPin) ──> ExpectLooks ──> ExpectStored
//!                             └── declines ── staff: ExpectPin ──> ExpectStored (card + PIN only)
//!                                          └─ patient: ends, face declined
//! ```

mod expect_card;
mod expect_consent;
mod expect_looks;
mod expect_pin;
mod expect_stored;

use expect_card::ExpectCard;
use expect_consent::ExpectConsent;
use expect_looks::ExpectLooks;
use expect_pin::ExpectPin;
use expect_stored::ExpectStored;

use crate::act::{ActInput, Out, Scene};
use crate::api::Outcome;
use crate::card::PersonName;
use crate::decision::Reason;
use crate::enrolled::{Enrolled, Role};
use crate::ids::SubjectToken;
use crate::pin::PinVerifier;

#[derive(Debug)]
pub(crate) enum Enrolment {
    ExpectCard(ExpectCard),
    ExpectConsent(ExpectConsent),
    ExpectPin(ExpectPin),
    ExpectLooks(ExpectLooks),
    ExpectStored(ExpectStored),
    Done,
}

impl Enrolment {
    /// `role` for staff, `None` for a patient.
    pub(crate) fn begin(role: Option<Role>, out: &mut Out) -> Self {
        Self::ExpectCard(ExpectCard::enter(role, out))
    }

    pub(crate) fn handle(self, input: ActInput, scene: &Scene<'_>, out: &mut Out) -> Self {
        match self {
            Self::ExpectCard(state) => state.handle(input, scene, out),
            Self::ExpectConsent(state) => state.handle(input, scene, out),
            Self::ExpectPin(state) => state.handle(input, scene, out),
            Self::ExpectLooks(state) => state.handle(input, scene, out),
            Self::ExpectStored(state) => state.handle(input, out),
            Self::Done => Self::Done,
        }
    }
}

/// The person being enrolled, as far as it has come.
#[derive(Debug)]
struct Candidate {
    token: SubjectToken,
    name: PersonName,
    role: Option<Role>,
    pin: Option<PinVerifier>,
    under_fourteen: bool,
    without_challenge: bool,
    /// Staff enrolled before, to see whether the newcomer looks like one of them.
    staff: Vec<Enrolled>,
}

fn ended(reason: Reason, out: &mut Out) -> Enrolment {
    out.finish(Outcome::NotEnrolled { reason });
    Enrolment::Done
}
