//! What the record of the last acts says about failed attempts: a limit goes on after a restart where it was.
//! Where the record is silent about a success, the failures stand. Kinder than the limit itself in one thing only: a
//! challenge that was asked and had not ended when the agent was killed is on no record, and is not counted.

use super::Terminal;
use crate::event::act::{PadDoubted, PadFailed, SessionDenied, SessionOpened, VisitVerified};
use crate::event::{Envelope, EventData};
use crate::ids::BootId;
use crate::time::Boottime;

/// An attempt at one factor, as its event tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    FaceFailed,
    FaceSucceeded,
    PinFailed,
    PinSucceeded,
}

impl Attempt {
    /// `None` for everything that is neither: other events, refusals, poor frames.
    fn told(event: &Envelope) -> Option<Self> {
        let word = |name: &str| event.data[name].as_str().unwrap_or_default();
        match event.kind.as_str() {
            SessionOpened::TYPE if word("method") == "face" => Some(Self::FaceSucceeded),
            SessionOpened::TYPE => Some(Self::PinSucceeded),
            SessionDenied::TYPE if word("reason") == "wrong-pin" => Some(Self::PinFailed),
            // The face is named only where one was compared.
            SessionDenied::TYPE if event.data["face"].is_object() => Some(Self::FaceFailed),
            PadFailed::TYPE if word("act") == "login" => Some(Self::FaceFailed),
            // Counted when asked, in every act, also when it was then declined.
            PadDoubted::TYPE if word("challenge") != "not-asked" => Some(Self::FaceFailed),
            VisitVerified::TYPE if event.data["face"]["challenge"].is_string() => Some(Self::FaceSucceeded),
            _ => None,
        }
    }
}

impl Terminal {
    /// Counts what was tried before the start, the oldest first.
    pub(super) fn recall_attempts(&mut self, recent: &[Envelope], boot: BootId) {
        for event in recent {
            // Boot time begins anew with a boot, and so does a rest: switching off does not shorten it.
            let at = if event.boot == boot { event.boottime } else { Boottime::default() };
            match Attempt::told(event) {
                Some(Attempt::FaceFailed) => self.face_limit.failed(at),
                Some(Attempt::FaceSucceeded) => self.face_limit.succeeded(),
                Some(Attempt::PinFailed) => self.pin_limit.failed(at),
                Some(Attempt::PinSucceeded) => self.pin_limit.succeeded(),
                None => {}
            }
        }
    }
}
