//! Records the enrolment, has it stored, and waits for the store's word.
//! Never says "enrolled" before the record is durable and the sealed reference is on disk.

use super::{Candidate, Enrolment};
use crate::act::{ActInput, Effect, Out, Scene};
use crate::api::{Answer, Outcome, Refusal};
use crate::biometric::Reference;
use crate::enrolled::Enrolled;
use crate::event::act::{StaffBound, TemplateCreated};
use crate::fault::Fault;

#[derive(Debug)]
pub(crate) struct ExpectStored {
    enrolled: Outcome,
}

const WAIT_S: u64 = 10;

impl ExpectStored {
    pub(super) fn enter(
        candidate: Candidate,
        reference: Option<Reference>,
        scene: &Scene<'_>,
        out: &mut Out,
    ) -> Enrolment {
        let subject = Some(candidate.token.clone());
        let supervisor = scene.operator_token();
        if let Some(role) = candidate.role.clone() {
            out.record(&StaffBound { subject: subject.clone(), role, supervisor: supervisor.clone() });
        }
        if let (Some(reference), Some(rules)) = (&reference, scene.face) {
            let (model, frames) = (reference.model().short(), rules.enrol_frames);
            out.record(&TemplateCreated { subject, model, frames, supervisor });
        }
        let enrolled = Outcome::Enrolled {
            subject: candidate.token.clone(),
            name: candidate.name.masked(),
            face: reference.is_some(),
        };
        out.push(Effect::Camera(false));
        out.push(Effect::Store(Box::new(Enrolled {
            token: candidate.token,
            name: candidate.name,
            role: candidate.role,
            reference,
            pin: candidate.pin,
            without_challenge: candidate.without_challenge,
            consent: None,
        })));
        out.deadline(WAIT_S);
        Enrolment::ExpectStored(Self { enrolled })
    }

    pub(super) fn handle(self, input: ActInput, out: &mut Out) -> Enrolment {
        match input {
            ActInput::Stored(Ok(())) => {
                out.finish(self.enrolled);
                Enrolment::Done
            }
            ActInput::Stored(Err(fault)) => {
                out.finish(Outcome::Failed { fault });
                Enrolment::Done
            }
            ActInput::Deadline => {
                out.finish(Outcome::Failed { fault: Fault::ReferencesDamaged });
                Enrolment::Done
            }
            ActInput::Answer(
                Answer::Consent { .. }
                | Answer::WithoutFace
                | Answer::WithoutChallenge
                | Answer::Pin { .. }
                | Answer::Document { .. }
                | Answer::Cancel,
            ) => {
                out.refuse(Refusal::NotAsked);
                Enrolment::ExpectStored(self)
            }
            ActInput::Card(_)
            | ActInput::Code(_)
            | ActInput::Face(_)
            | ActInput::Turned(_)
            | ActInput::CameraGone
            | ActInput::Found(_)
            | ActInput::Staff(_) => Enrolment::ExpectStored(self),
        }
    }
}
