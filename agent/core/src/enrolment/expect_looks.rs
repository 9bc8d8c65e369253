//! Takes several good frames for one reference.
//! Never enrols from a suspected presentation attack, nor a newcomer who looks like a colleague.

use super::{Candidate, Enrolment, ExpectStored, ended};
use crate::act::{ActInput, Effect, Out, Scene, identify};
use crate::api::{Answer, Refusal, Step};
use crate::biometric::{Probe, Reference};
use crate::decision::Reason;
use crate::event::act::{ActKind, PadFailed};
use crate::look::{Look, Looked};

#[derive(Debug)]
pub(crate) struct ExpectLooks {
    candidate: Candidate,
    look: Look,
}

const WAIT_S: u64 = 60;

impl ExpectLooks {
    pub(super) fn enter(candidate: Candidate, scene: &Scene<'_>, out: &mut Out) -> Enrolment {
        let Some(rules) = scene.face.filter(|_| scene.camera_works) else {
            return ended(Reason::CameraUnavailable, out);
        };
        out.step(Step::Look { hint: None, taken: 0, wanted: rules.enrol_frames });
        out.push(Effect::Camera(true));
        out.deadline(WAIT_S);
        Enrolment::ExpectLooks(Self { candidate, look: Look::new(rules.enrol_frames) })
    }

    pub(super) fn handle(mut self, input: ActInput, scene: &Scene<'_>, out: &mut Out) -> Enrolment {
        match input {
            ActInput::Face(observation) => match self.look.take(observation) {
                Looked::More(hint) => {
                    let (taken, wanted) = (self.look.taken(), self.look.wanted());
                    out.step(Step::Look { hint: Some(hint), taken, wanted });
                    Enrolment::ExpectLooks(self)
                }
                Looked::Attack => {
                    let subject = Some(self.candidate.token);
                    out.record(&PadFailed { subject, act: ActKind::Enrolment });
                    ended(Reason::PresentationAttack, out)
                }
                Looked::Done(probes) => self.enrol(&probes, scene, out),
            },
            ActInput::CameraGone => ended(Reason::CameraUnavailable, out),
            ActInput::Deadline => ended(Reason::NoUsableFace, out),
            ActInput::Answer(Answer::Cancel) => ended(Reason::Cancelled, out),
            ActInput::Answer(Answer::WithoutFace) => ended(Reason::FaceDeclined, out),
            ActInput::Answer(Answer::Consent { .. } | Answer::Pin { .. } | Answer::Document { .. }) => {
                out.refuse(Refusal::NotAsked);
                Enrolment::ExpectLooks(self)
            }
            ActInput::Card(_)
            | ActInput::Code(_)
            | ActInput::Found(_)
            | ActInput::Staff(_)
            | ActInput::Stored(_) => Enrolment::ExpectLooks(self),
        }
    }

    fn enrol(self, probes: &[Probe], scene: &Scene<'_>, out: &mut Out) -> Enrolment {
        let Some(rules) = scene.face else { return ended(Reason::CameraUnavailable, out) };
        if self.candidate.role.is_some() {
            let colleague = identify(probes, &self.candidate.staff, &rules);
            let similar = colleague.is_some_and(|(face, who)| {
                who.token != self.candidate.token && face.score.matches(face.threshold)
            });
            if similar {
                return ended(Reason::SimilarToEnrolled, out);
            }
        }
        match Reference::enrol(probes) {
            Some(reference) => ExpectStored::enter(self.candidate, Some(reference), scene, out),
            None => ended(Reason::NoUsableFace, out),
        }
    }
}
