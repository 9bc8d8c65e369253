//! Takes several good frames for one reference.
//! Never enrols from a suspected presentation attack, nor a newcomer who looks like a colleague.

use super::{Candidate, Enrolment, ExpectStored, ended};
use crate::act::{ActInput, Effect, Out, Scene, nearest};
use crate::api::{Answer, Refusal, Step};
use crate::biometric::Reference;
use crate::challenge::ChallengeEnd;
use crate::decision::Reason;
use crate::event::act::{ActKind, PadDoubted, PadFailed};
use crate::look::Seen;
use crate::watch::{Watch, Watched};

#[derive(Debug)]
pub(crate) struct ExpectLooks {
    candidate: Candidate,
    watch: Watch,
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
        let watch = Watch::new(rules.enrol_frames, candidate.without_challenge);
        Enrolment::ExpectLooks(Self { candidate, watch })
    }

    pub(super) fn handle(mut self, input: ActInput, scene: &Scene<'_>, out: &mut Out) -> Enrolment {
        self.watch.leave_by(&input, &self.candidate.token, ActKind::Enrolment, out);
        match input {
            ActInput::Face(observation) => {
                let watched = self.watch.observe(observation, |_| false, scene, out);
                self.watched(watched, scene, out)
            }
            ActInput::Turned(turned) => {
                let watched = self.watch.turned(&turned, scene, out);
                self.watched(watched, scene, out)
            }
            ActInput::Answer(Answer::WithoutChallenge) => {
                self.candidate.without_challenge = true;
                let watched = self.watch.exempt();
                self.watched(watched, scene, out)
            }
            ActInput::Deadline if self.watch.is_challenging() => {
                self.watched(Watched::Doubt(ChallengeEnd::TimedOut), scene, out)
            }
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

    fn watched(self, watched: Watched, scene: &Scene<'_>, out: &mut Out) -> Enrolment {
        let act = ActKind::Enrolment;
        match watched {
            Watched::More => Enrolment::ExpectLooks(self),
            Watched::Done(seen) => self.enrol(&seen, scene, out),
            Watched::Attack => {
                out.record(&PadFailed { subject: Some(self.candidate.token), act });
                ended(Reason::PresentationAttack, out)
            }
            Watched::Doubt(challenge) => {
                out.record(&PadDoubted { subject: Some(self.candidate.token), act, challenge });
                ended(Reason::LivenessInDoubt, out)
            }
        }
    }

    fn enrol(self, seen: &Seen, scene: &Scene<'_>, out: &mut Out) -> Enrolment {
        let Some(rules) = scene.face else { return ended(Reason::CameraUnavailable, out) };
        if self.candidate.role.is_some() {
            let colleague = nearest(seen, &self.candidate.staff, &rules);
            let similar = colleague.is_some_and(|(face, who)| {
                who.token != self.candidate.token && face.score.matches(face.threshold)
            });
            if similar {
                return ended(Reason::SimilarToEnrolled, out);
            }
        }
        if seen.turned.is_some() {
            out.push(Effect::FaceSucceeded);
        }
        match Reference::enrol(&seen.probes) {
            Some(reference) => ExpectStored::enter(self.candidate, Some(reference), scene, out),
            None => ended(Reason::NoUsableFace, out),
        }
    }
}
