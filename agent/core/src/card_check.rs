//! Reads one card and tells what it said, masked: for IT at the counter and for `zhenyin card read`.
//! Never tells a number.

use crate::act::{ActInput, CardEvent, Out, Scene};
use crate::api::{Answer, Outcome, Refusal, Step};
use crate::decision::Reason;
use crate::event::act::{CardFault, CardRead};
use crate::presented::holder_tokens;

#[derive(Debug)]
pub(crate) enum CardCheck {
    ExpectCard,
    Done,
}

const WAIT_S: u64 = 60;

impl CardCheck {
    pub(crate) fn begin(out: &mut Out) -> Self {
        out.step(Step::PresentCard);
        out.deadline(WAIT_S);
        Self::ExpectCard
    }

    pub(crate) fn handle(self, input: ActInput, scene: &Scene<'_>, out: &mut Out) -> Self {
        match (self, input) {
            (Self::Done, _) => Self::Done,
            (Self::ExpectCard, ActInput::Card(CardEvent::Read(identity))) => {
                let card = CardRead::of(&identity, scene.pepper, scene.reader);
                out.record(&card);
                let number = identity.holder().map(|holder| holder.id_number.expose());
                let holder = number.map(|number| holder_tokens(number, scene.pepper));
                let tokens = card.subject.into_iter().chain(holder.into_iter().flatten()).collect();
                out.finish(Outcome::CardRead {
                    name: identity.holder().map(|h| h.name.masked()),
                    region: identity.issued.code.region(),
                    version: identity.issued.version.clone(),
                    locked: identity.holder().is_none(),
                    warnings: identity.warnings.clone(),
                    tokens,
                });
                Self::Done
            }
            (Self::ExpectCard, ActInput::Card(CardEvent::Resident(holder))) => {
                out.record(&CardRead::of_resident(&holder, scene.pepper, scene.reader));
                let (warnings, tokens) = (holder.warnings.clone(), holder.tokens(scene.pepper));
                out.finish(Outcome::ResidentCardRead { name: holder.name.masked(), warnings, tokens });
                Self::Done
            }
            (Self::ExpectCard, ActInput::Card(CardEvent::Failed(fault))) => {
                out.record(&CardFault { subject: None, reader: scene.reader, fault });
                out.finish(Outcome::Failed { fault });
                Self::Done
            }
            (Self::ExpectCard, ActInput::Answer(Answer::Cancel)) => {
                out.finish(Outcome::NotVerified { reason: Reason::Cancelled });
                Self::Done
            }
            (Self::ExpectCard, ActInput::Deadline) => {
                out.finish(Outcome::NotVerified { reason: Reason::TimedOut });
                Self::Done
            }
            (Self::ExpectCard, ActInput::Answer(_)) => {
                out.refuse(Refusal::NotAsked);
                Self::ExpectCard
            }
            (
                Self::ExpectCard,
                ActInput::Card(CardEvent::Removed)
                | ActInput::Code(_)
                | ActInput::Face(_)
                | ActInput::Turned(_)
                | ActInput::CameraGone
                | ActInput::Found(_)
                | ActInput::Staff(_)
                | ActInput::Stored(_),
            ) => Self::ExpectCard,
        }
    }
}
