//! Lets a member of staff choose the PIN that stands beside their card.
//! Never keeps the PIN itself.

use super::{Candidate, Enrolment, ExpectLooks, ExpectStored, ended};
use crate::act::{ActInput, Out, Scene};
use crate::api::{Answer, Refusal, Step};
use crate::decision::Reason;
use crate::pin::{PIN_ITERATIONS, PinVerifier};

#[derive(Debug)]
pub(crate) struct ExpectPin {
    candidate: Candidate,
    with_face: bool,
}

const WAIT_S: u64 = 180;

impl ExpectPin {
    pub(super) fn enter(candidate: Candidate, with_face: bool, out: &mut Out) -> Enrolment {
        out.step(Step::ChoosePin);
        out.deadline(WAIT_S);
        Enrolment::ExpectPin(Self { candidate, with_face })
    }

    pub(super) fn handle(mut self, input: ActInput, scene: &Scene<'_>, out: &mut Out) -> Enrolment {
        match input {
            ActInput::Answer(Answer::Pin { pin }) => {
                self.candidate.pin = Some(PinVerifier::new(&pin, scene.entropy, PIN_ITERATIONS));
                if self.with_face {
                    ExpectLooks::enter(self.candidate, scene, out)
                } else {
                    ExpectStored::enter(self.candidate, None, scene, out)
                }
            }
            ActInput::Answer(Answer::WithoutFace) => {
                self.with_face = false;
                Enrolment::ExpectPin(self)
            }
            ActInput::Answer(Answer::Cancel) => ended(Reason::Cancelled, out),
            ActInput::Deadline => ended(Reason::TimedOut, out),
            ActInput::Answer(Answer::Consent { .. } | Answer::Document { .. } | Answer::WithoutChallenge) => {
                out.refuse(Refusal::NotAsked);
                Enrolment::ExpectPin(self)
            }
            ActInput::Card(_)
            | ActInput::Code(_)
            | ActInput::Face(_)
            | ActInput::Turned(_)
            | ActInput::CameraGone
            | ActInput::Found(_)
            | ActInput::Staff(_)
            | ActInput::Stored(_) => Enrolment::ExpectPin(self),
        }
    }
}
