//! A patient's check-in: card, then face against that card's holder, or staff with a document.
//! Never ends a visit as verified without a record; never makes face the only way.
//!
//! ```text
//! ExpectCard ── card ──> ExpectReference ── enrolled ──> ExpectFace ── match ──> verified
//!      │                       │ not enrolled, declined      │ twice no match, attack, no camera
//!      └── holder locked, code ┴─────────> ExpectStaff <─────┘
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
use crate::api::{Outcome, Step};
use crate::card::PersonName;
use crate::decision::Reason;
use crate::event::act::{CodeBound, VisitUnverified};
use crate::ids::SubjectToken;
use crate::presented::ScannedCode;

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
        if let (ActInput::Code(code), Some(patient)) = (&input, self.patient()) {
            patient.bind(code, scene, out);
            return self;
        }
        match self {
            Self::ExpectCard(state) => state.handle(input, scene, out),
            Self::ExpectReference(state) => state.handle(input, scene, out),
            Self::ExpectFace(state) => state.handle(input, scene, out),
            Self::ExpectStaff(state) => state.handle(input, scene, out),
            Self::Done => Self::Done,
        }
    }

    /// Known once a card or a code was presented.
    fn patient(&self) -> Option<&Patient> {
        match self {
            Self::ExpectReference(state) => Some(state.patient()),
            Self::ExpectFace(state) => Some(state.patient()),
            Self::ExpectStaff(state) => Some(state.patient()),
            Self::ExpectCard(_) | Self::Done => None,
        }
    }
}

/// Who presented the card, as far as the card says.
#[derive(Debug)]
struct Patient {
    /// The holder's token, the card's when the holder data is locked, or the code's when there is no card.
    token: SubjectToken,
    name: Option<PersonName>,
}

impl Patient {
    fn masked_name(&self) -> Option<String> {
        self.name.as_ref().map(PersonName::masked)
    }

    /// A code scanned during the visit belongs to it.
    fn bind(&self, code: &ScannedCode, scene: &Scene<'_>, out: &mut Out) {
        let subject = Some(self.token.clone());
        out.record(&CodeBound { subject, reader: scene.reader, code: code.token(scene.pepper) });
        out.step(Step::CodeTaken { code: code.clone() });
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
