//! A patient's check-in: card, then face against that card's holder, or staff with a document.
//! Never ends a visit as verified without a record; never makes face the only way.
//!
//! ```text
//! ExpectCard ── card ──> ExpectReference ── enrolled ──> ExpectFace ── match ──> verified
//!      │                       │ not enrolled, declined      │ twice no match, attack, no camera
//!      └── holder locked ──────┴─────────> ExpectStaff <─────┘
//!                                              └── document matches ──> verified
//! ```

mod expect_card;
mod expect_face;
mod expect_reference;
mod expect_staff;

use expect_card::ExpectCard;
use expect_face::ExpectFace;
use expect_reference::ExpectReference;
use expect_staff::ExpectStaff;

use crate::act::{ActInput, Out, Scene};
use crate::api::Outcome;
use crate::card::PersonName;
use crate::decision::Reason;
use crate::event::act::VisitUnverified;
use crate::ids::SubjectToken;

#[derive(Debug)]
pub(crate) enum Visit {
    ExpectCard(ExpectCard),
    ExpectReference(ExpectReference),
    ExpectFace(ExpectFace),
    ExpectStaff(ExpectStaff),
    Done,
}

impl Visit {
    pub(crate) fn begin(out: &mut Out) -> Self {
        Self::ExpectCard(ExpectCard::enter(out))
    }

    pub(crate) fn handle(self, input: ActInput, scene: &Scene<'_>, out: &mut Out) -> Self {
        match self {
            Self::ExpectCard(state) => state.handle(input, scene, out),
            Self::ExpectReference(state) => state.handle(input, scene, out),
            Self::ExpectFace(state) => state.handle(input, scene, out),
            Self::ExpectStaff(state) => state.handle(input, scene, out),
            Self::Done => Self::Done,
        }
    }
}

/// Who presented the card, as far as the card says.
#[derive(Debug)]
struct Patient {
    /// The holder's token, or the card's when the holder data is locked.
    token: SubjectToken,
    name: Option<PersonName>,
}

impl Patient {
    fn masked_name(&self) -> Option<String> {
        self.name.as_ref().map(PersonName::masked)
    }

    /// The visit ends without verification; recorded, and nobody accused.
    fn unverified(self, reason: Reason, scene: &Scene<'_>, out: &mut Out) -> Visit {
        out.record(&VisitUnverified {
            subject: Some(self.token),
            reason,
            operator: scene.operator_token(),
            document: None,
        });
        out.finish(Outcome::NotVerified { reason });
        Visit::Done
    }
}
