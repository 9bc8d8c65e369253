//! Asks, apart from every other act, whether the person agrees to a reference of their face being kept here.
//! Never asks twice; never takes silence for a yes; no face under 14.

use super::{Candidate, Enrolment, ExpectLooks, ExpectPin, ended};
use crate::act::{ActInput, Out, Scene};
use crate::api::{Answer, Refusal, Step};
use crate::decision::Reason;
use crate::event::act::{ConsentGranted, ConsentRefused};

#[derive(Debug)]
pub(crate) struct ExpectConsent {
    candidate: Candidate,
}

const WAIT_S: u64 = 180;
/// The one declared purpose; no code uses a reference for anything else.
const PURPOSE: &str = "identity-verification-on-this-terminal";
const BASIS: &str = "separate-consent";

impl ExpectConsent {
    pub(super) fn enter(candidate: Candidate, out: &mut Out) -> Enrolment {
        if candidate.under_fourteen {
            return without_face(candidate, Reason::UnderFourteen, out);
        }
        out.step(Step::AskConsent);
        out.deadline(WAIT_S);
        Enrolment::ExpectConsent(Self { candidate })
    }

    pub(super) fn handle(mut self, input: ActInput, scene: &Scene<'_>, out: &mut Out) -> Enrolment {
        match input {
            ActInput::Answer(Answer::Consent { agree: true }) => {
                let subject = Some(self.candidate.token.clone());
                out.record(&ConsentGranted { subject, purpose: PURPOSE, basis: BASIS });
                if self.candidate.role.is_some() {
                    ExpectPin::enter(self.candidate, true, out)
                } else {
                    ExpectLooks::enter(self.candidate, scene, out)
                }
            }
            ActInput::Answer(Answer::Consent { agree: false } | Answer::WithoutFace) => {
                out.record(&ConsentRefused { subject: Some(self.candidate.token.clone()), purpose: PURPOSE });
                without_face(self.candidate, Reason::FaceDeclined, out)
            }
            ActInput::Answer(Answer::WithoutChallenge) => {
                self.candidate.without_challenge = true;
                Enrolment::ExpectConsent(self)
            }
            ActInput::Answer(Answer::Cancel) => ended(Reason::Cancelled, out),
            ActInput::Deadline => ended(Reason::TimedOut, out),
            ActInput::Answer(Answer::Pin { .. } | Answer::Document { .. }) => {
                out.refuse(Refusal::NotAsked);
                Enrolment::ExpectConsent(self)
            }
            ActInput::Card(_)
            | ActInput::Code(_)
            | ActInput::Face(_)
            | ActInput::Turned(_)
            | ActInput::CameraGone
            | ActInput::Found(_)
            | ActInput::Staff(_)
            | ActInput::Stored(_) => Enrolment::ExpectConsent(self),
        }
    }
}

/// Staff go on with card and PIN; for a patient there is nothing left to enrol.
fn without_face(candidate: Candidate, reason: Reason, out: &mut Out) -> Enrolment {
    if candidate.role.is_some() { ExpectPin::enter(candidate, false, out) } else { ended(reason, out) }
}
