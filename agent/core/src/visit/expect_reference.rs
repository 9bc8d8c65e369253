//! Waits for the store to say whether this holder is enrolled here.
//! Never compares with anybody else's reference.

use super::{ExpectFace, ExpectStaff, Patient, Visit};
use crate::act::{ActInput, Out, Scene};
use crate::api::{Answer, Refusal};
use crate::decision::Reason;
use crate::enrolled::Enrolled;

#[derive(Debug)]
pub(crate) struct ExpectReference {
    patient: Patient,
    face_declined: bool,
}

impl ExpectReference {
    pub(super) fn new(patient: Patient, face_declined: bool) -> Self {
        Self { patient, face_declined }
    }

    pub(super) fn patient(&self) -> &Patient {
        &self.patient
    }

    pub(super) fn handle(mut self, input: ActInput, scene: &Scene<'_>, out: &mut Out) -> Visit {
        match input {
            ActInput::Found(found) => self.found(found, scene, out),
            ActInput::Answer(Answer::WithoutFace) => {
                self.face_declined = true;
                Visit::ExpectReference(self)
            }
            ActInput::Answer(Answer::Cancel) => self.patient.unverified(Reason::Cancelled, scene, out),
            ActInput::Deadline => self.patient.unverified(Reason::TimedOut, scene, out),
            ActInput::Answer(
                Answer::Consent { .. }
                | Answer::Pin { .. }
                | Answer::Document { .. }
                | Answer::WithoutChallenge,
            ) => {
                out.refuse(Refusal::NotAsked);
                Visit::ExpectReference(self)
            }
            ActInput::Card(_)
            | ActInput::Code(_)
            | ActInput::Face(_)
            | ActInput::Turned(_)
            | ActInput::CameraGone
            | ActInput::Staff(_)
            | ActInput::Stored(_) => Visit::ExpectReference(self),
        }
    }

    fn found(self, found: Option<Enrolled>, scene: &Scene<'_>, out: &mut Out) -> Visit {
        if self.face_declined {
            return ExpectStaff::enter(self.patient, Reason::FaceDeclined, out);
        }
        let Some(rules) = scene.usable_face() else {
            return ExpectStaff::enter(self.patient, Reason::CameraUnavailable, out);
        };
        // A reference of another model cannot be compared: the person enrols again when they like.
        let exempt = found.as_ref().is_some_and(|e| e.without_challenge);
        let reference = found.and_then(|e| e.reference).filter(|r| r.model() == rules.model);
        match reference {
            Some(reference) => ExpectFace::enter(self.patient, reference, exempt, &rules, out),
            None => ExpectStaff::enter(self.patient, Reason::NotEnrolled, out),
        }
    }
}
