//! A member of staff takes the workstation: by look, or by card and PIN; the first success wins.
//! Never lets face block the other way: a look that fails only closes the camera.

mod expect_credential;
mod expect_pin;

use expect_credential::{ExpectCredential, Stood};
use expect_pin::ExpectPin;

use crate::act::{ActInput, Effect, Out, Scene, SignedIn};
use crate::api::Outcome;
use crate::decision::Method;
use crate::enrolled::{Enrolled, Role};
use crate::event::act::{CloseCause, FaceRecord, SessionClosed, SessionOpened};

#[derive(Debug)]
pub(crate) enum Login {
    ExpectCredential(ExpectCredential),
    ExpectPin(Box<ExpectPin>),
    Done,
}

impl Login {
    pub(crate) fn begin(scene: &Scene<'_>, out: &mut Out) -> Self {
        Self::ExpectCredential(ExpectCredential::enter(Stood::Open { exempt: false }, scene, out))
    }

    pub(crate) fn handle(self, input: ActInput, scene: &Scene<'_>, out: &mut Out) -> Self {
        match self {
            Self::ExpectCredential(state) => state.handle(input, scene, out),
            Self::ExpectPin(state) => state.handle(input, scene, out),
            Self::Done => Self::Done,
        }
    }
}

/// Closes the session that is open, if any.
pub(crate) fn sign_out(cause: CloseCause, scene: &Scene<'_>, out: &mut Out) {
    let Some(operator) = scene.operator_token() else { return };
    out.record(&SessionClosed { subject: Some(operator.clone()), cause });
    out.push(Effect::SignOut);
    if cause == CloseCause::SignedOut {
        out.finish(Outcome::SignedOut { operator });
    }
}

/// Opens a session for `who`; one that was open is closed in the same breath, so both are named.
fn open_session(
    who: &Enrolled,
    role: Role,
    method: Method,
    face: Option<FaceRecord>,
    scene: &Scene<'_>,
    out: &mut Out,
) -> Login {
    if scene.operator.is_some_and(|o| o.operator != who.token) {
        sign_out(CloseCause::TakenOver, scene, out);
    }
    let subject = Some(who.token.clone());
    out.record(&SessionOpened { subject, method, role: role.clone(), face });
    let name = who.name.masked();
    out.push(Effect::SignIn(SignedIn {
        operator: who.token.clone(),
        name: name.clone(),
        role: role.clone(),
        method,
    }));
    out.finish(Outcome::SignedIn { operator: who.token.clone(), name, role, method });
    Login::Done
}
