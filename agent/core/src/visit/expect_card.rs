//! Waits for the patient's card, of the insurance or of identity, or for a code.
//! Never keeps anything of a failed reading.

use super::{ExpectReference, ExpectStaff, Patient, Visit};
use crate::act::{ActInput, CardEvent, Effect, Out, Scene};
use crate::api::{Answer, Outcome, Refusal, Step};
use crate::card::{CardIdentity, PersonName};
use crate::decision::Reason;
use crate::event::act::{CardFault, CardRead};
use crate::ids::{SubjectKind, SubjectToken};

#[derive(Debug)]
pub(crate) struct ExpectCard {
    face_declined: bool,
}

/// How long a visit waits for its card.
const WAIT_S: u64 = 90;

impl ExpectCard {
    pub(super) fn enter(out: &mut Out) -> Self {
        out.step(Step::PresentCard);
        out.deadline(WAIT_S);
        Self { face_declined: false }
    }

    pub(super) fn handle(mut self, input: ActInput, scene: &Scene<'_>, out: &mut Out) -> Visit {
        match input {
            ActInput::Card(CardEvent::Read(identity)) => self.card_read(&identity, scene, out),
            ActInput::Card(CardEvent::Resident(holder)) => {
                out.record(&CardRead::of_resident(&holder, scene.pepper, scene.reader));
                self.find(holder.patient(scene.pepper), holder.name.clone(), out)
            }
            ActInput::Code(code) => {
                let patient = Patient { token: code.token(scene.pepper), name: None };
                patient.bind(&code, scene, out);
                ExpectStaff::enter(patient, Reason::CodeOnly, out)
            }
            ActInput::Card(CardEvent::Failed(fault)) => {
                out.record(&CardFault { subject: None, reader: scene.reader, fault });
                out.step(Step::PresentCardAgain { fault });
                Visit::ExpectCard(self)
            }
            ActInput::Answer(Answer::WithoutFace) => {
                self.face_declined = true;
                Visit::ExpectCard(self)
            }
            ActInput::Answer(Answer::Cancel) => {
                out.finish(Outcome::NotVerified { reason: Reason::Cancelled });
                Visit::Done
            }
            ActInput::Deadline => {
                out.finish(Outcome::NotVerified { reason: Reason::TimedOut });
                Visit::Done
            }
            ActInput::Answer(
                Answer::Consent { .. }
                | Answer::Pin { .. }
                | Answer::Document { .. }
                | Answer::WithoutChallenge,
            ) => {
                out.refuse(Refusal::NotAsked);
                Visit::ExpectCard(self)
            }
            ActInput::Card(CardEvent::Removed)
            | ActInput::Face(_)
            | ActInput::Turned(_)
            | ActInput::CameraGone
            | ActInput::Found(_)
            | ActInput::Staff(_)
            | ActInput::Stored(_) => Visit::ExpectCard(self),
        }
    }

    fn card_read(self, identity: &CardIdentity, scene: &Scene<'_>, out: &mut Out) -> Visit {
        out.record(&CardRead::of(identity, scene.pepper, scene.reader));
        let Some(holder) = identity.holder() else {
            let token = scene.pepper.token(SubjectKind::Card, &identity.issued.code.to_hex());
            return ExpectStaff::enter(Patient { token, name: None }, Reason::HolderLocked, out);
        };
        let token = scene.pepper.token(SubjectKind::Patient, holder.id_number.expose());
        self.find(token, holder.name.clone(), out)
    }

    fn find(self, token: SubjectToken, name: PersonName, out: &mut Out) -> Visit {
        out.push(Effect::Find(token.clone()));
        let patient = Patient { token, name: Some(name) };
        Visit::ExpectReference(ExpectReference::new(patient, self.face_declined))
    }
}
