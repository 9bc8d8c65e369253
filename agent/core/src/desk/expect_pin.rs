//! Waits for the PIN of the person whose card was read.
//! Never keeps a PIN longer than its check.

use super::{ExpectCredential, Login, Stood, open_session};
use crate::act::{ActInput, CardEvent, Effect, Out, Scene};
use crate::api::{Answer, Outcome, Refusal, Step};
use crate::decision::{Decision, Evidence, Method, Reason, decide};
use crate::enrolled::{Enrolled, Role};
use crate::event::act::SessionDenied;
use crate::pin::{Pin, PinVerifier};

#[derive(Debug)]
pub(crate) struct ExpectPin {
    who: Enrolled,
    role: Role,
    pin: PinVerifier,
    tries_left: u8,
    /// The look before the card came.
    stood: Stood,
}

const WAIT_S: u64 = 60;
const TRIES: u8 = 3;

impl ExpectPin {
    pub(super) fn enter(who: Enrolled, role: Role, pin: PinVerifier, stood: Stood, out: &mut Out) -> Login {
        out.step(Step::EnterPin { tries_left: TRIES });
        out.deadline(WAIT_S);
        Login::ExpectPin(Box::new(Self { who, role, pin, tries_left: TRIES, stood }))
    }

    pub(super) fn handle(self, input: ActInput, scene: &Scene<'_>, out: &mut Out) -> Login {
        match input {
            ActInput::Answer(Answer::Pin { pin }) => self.check(&pin, scene, out),
            ActInput::Answer(Answer::Cancel) => self.denied(Reason::Cancelled, out),
            ActInput::Deadline => self.denied(Reason::TimedOut, out),
            ActInput::Card(CardEvent::Removed) => {
                // Without the card in the reader its PIN proves nothing.
                out.push(Effect::Camera(false));
                Login::ExpectCredential(ExpectCredential::enter(self.stood, scene, out))
            }
            ActInput::Answer(Answer::Consent { .. } | Answer::Document { .. } | Answer::WithoutChallenge) => {
                out.refuse(Refusal::NotAsked);
                Login::ExpectPin(Box::new(self))
            }
            ActInput::Answer(Answer::WithoutFace)
            | ActInput::Card(CardEvent::Read(_) | CardEvent::Resident(_) | CardEvent::Failed(_))
            | ActInput::Code(_)
            | ActInput::Face(_)
            | ActInput::Turned(_)
            | ActInput::CameraGone
            | ActInput::Found(_)
            | ActInput::Staff(_)
            | ActInput::Stored(_) => Login::ExpectPin(Box::new(self)),
        }
    }

    fn check(mut self, pin: &Pin, scene: &Scene<'_>, out: &mut Out) -> Login {
        if scene.pin_rests {
            return self.denied(Reason::AttemptLimit, out);
        }
        let pin_verified = self.pin.verify(pin);
        out.push(if pin_verified { Effect::PinSucceeded } else { Effect::PinFailed });
        match decide(&Evidence::CardPin { pin_verified }, scene.policy_in_force) {
            Decision::Accept => open_session(&self.who, self.role.clone(), Method::CardPin, None, scene, out),
            Decision::Reject(Reason::WrongPin) if self.tries_left > 1 => {
                self.tries_left -= 1;
                out.record(&self.refused(Reason::WrongPin));
                out.step(Step::EnterPin { tries_left: self.tries_left });
                Login::ExpectPin(Box::new(self))
            }
            Decision::Reject(reason) | Decision::Refer(reason) => self.denied(reason, out),
        }
    }

    fn denied(self, reason: Reason, out: &mut Out) -> Login {
        out.record(&self.refused(reason));
        out.finish(Outcome::NotSignedIn { reason });
        Login::Done
    }

    fn refused(&self, reason: Reason) -> SessionDenied {
        SessionDenied { subject: Some(self.who.token.clone()), method: Method::CardPin, reason, face: None }
    }
}
