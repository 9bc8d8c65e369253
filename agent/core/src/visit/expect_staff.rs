//! The staff-verified path: a signed-in member of staff compares the person with a document.
//! Never asks why the face was not used; this path has the same result.

use super::{Patient, Visit};
use crate::act::{ActInput, Effect, Out, Scene};
use crate::api::{Answer, DocumentKind, Outcome, Refusal, Step};
use crate::decision::{Decision, DocumentCheck, Evidence, Method, Reason, decide};
use crate::event::act::{VisitUnverified, VisitVerified};

#[derive(Debug)]
pub(crate) struct ExpectStaff {
    patient: Patient,
    /// Why the visit is here.
    reason: Reason,
}

/// How long staff have; they may be at another counter.
const WAIT_S: u64 = 300;

impl ExpectStaff {
    pub(super) fn enter(patient: Patient, reason: Reason, out: &mut Out) -> Visit {
        out.push(Effect::Camera(false));
        out.step(Step::AskStaff { reason });
        out.deadline(WAIT_S);
        Visit::ExpectStaff(Self { patient, reason })
    }

    pub(super) fn patient(&self) -> &Patient {
        &self.patient
    }

    pub(super) fn handle(self, input: ActInput, scene: &Scene<'_>, out: &mut Out) -> Visit {
        match input {
            ActInput::Answer(Answer::Document { document, check }) => {
                self.document(document, check, scene, out)
            }
            ActInput::Answer(Answer::Cancel) | ActInput::Deadline => {
                let reason = self.reason;
                self.patient.unverified(reason, scene, out)
            }
            ActInput::Answer(Answer::WithoutFace) => Visit::ExpectStaff(self),
            ActInput::Answer(Answer::Consent { .. } | Answer::Pin { .. } | Answer::WithoutChallenge) => {
                out.refuse(Refusal::NotAsked);
                Visit::ExpectStaff(self)
            }
            ActInput::Card(_)
            | ActInput::Code(_)
            | ActInput::Face(_)
            | ActInput::Turned(_)
            | ActInput::CameraGone
            | ActInput::Found(_)
            | ActInput::Staff(_)
            | ActInput::Stored(_) => Visit::ExpectStaff(self),
        }
    }

    fn document(
        self,
        document: DocumentKind,
        check: DocumentCheck,
        scene: &Scene<'_>,
        out: &mut Out,
    ) -> Visit {
        let operator = scene.operator_token();
        let evidence = Evidence::StaffDocument { check, operator_signed_in: operator.is_some() };
        match decide(&evidence, scene.policy_in_force) {
            Decision::Accept => {
                out.record(&VisitVerified {
                    subject: Some(self.patient.token.clone()),
                    method: Method::StaffDocument,
                    face: None,
                    operator,
                    document: Some(document),
                    reason: Some(self.reason),
                });
                let name = self.patient.masked_name();
                let method = Method::StaffDocument;
                out.finish(Outcome::Verified { subject: self.patient.token, name, method });
                Visit::Done
            }
            Decision::Refer(Reason::NobodySignedIn) => {
                out.refuse(Refusal::NobodySignedIn);
                Visit::ExpectStaff(self)
            }
            Decision::Reject(reason) | Decision::Refer(reason) => {
                let subject = Some(self.patient.token);
                out.record(&VisitUnverified { subject, reason, operator, document: Some(document) });
                out.finish(Outcome::NotVerified { reason });
                Visit::Done
            }
        }
    }
}
