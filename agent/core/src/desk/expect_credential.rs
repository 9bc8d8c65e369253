//! Looks and waits for a card at the same time.
//! Never tells an attacker why: a refused look and an unknown face read the same on the screen.

use super::{ExpectPin, Login, open_session};
use crate::act::{ActInput, CardEvent, Effect, Out, Scene, identify};
use crate::api::{Answer, Outcome, Refusal, Step};
use crate::card::CardIdentity;
use crate::challenge::ChallengeEnd;
use crate::decision::{Decision, Evidence, Method, Reason, decide};
use crate::enrolled::Enrolled;
use crate::event::act::{ActKind, CardFault, CardRead, FaceRecord, PadDoubted, PadFailed, SessionDenied};
use crate::fault::Fault;
use crate::ids::{SubjectKind, SubjectToken};
use crate::look::Seen;
use crate::watch::{Watch, Watched};

#[derive(Debug)]
pub(crate) struct ExpectCredential {
    face: Face,
    /// What a card that comes and goes must not undo.
    stood: Stood,
    /// Set while the store looks for the holder of the card just read.
    asked: Option<SubjectToken>,
}

#[derive(Debug)]
enum Face {
    /// Waiting for the list of staff.
    Waiting,
    Open {
        staff: Vec<Enrolled>,
        watch: Watch,
    },
    Closed(Reason),
}

/// How the look stood within this login, for when the card is taken away again: whoever was refused stays refused,
/// and a direction that was asked for is not asked for a second time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stood {
    /// `exempt`: the person wants no challenge.
    Open {
        exempt: bool,
    },
    Closed(Reason),
}

const WAIT_S: u64 = 60;

impl ExpectCredential {
    pub(super) fn enter(stood: Stood, scene: &Scene<'_>, out: &mut Out) -> Self {
        out.deadline(WAIT_S);
        let mut state = Self { face: Face::Waiting, stood, asked: None };
        if let Stood::Closed(reason) = stood {
            state.close_face(reason, out);
        } else if scene.usable_face().is_some() {
            out.step(Step::LookOrPresentCard);
            out.push(Effect::ListStaff);
        } else if scene.face_rests {
            state.close_face(Reason::AttemptLimit, out);
        } else {
            state.close_face(Reason::CameraUnavailable, out);
        }
        state
    }

    pub(super) fn handle(mut self, input: ActInput, scene: &Scene<'_>, out: &mut Out) -> Login {
        match input {
            ActInput::Staff(staff) => self.staff_listed(staff, scene, out),
            ActInput::Face(observation) => {
                let Face::Open { watch, staff } = &mut self.face else {
                    return Login::ExpectCredential(self);
                };
                let watched = watch.observe(observation, |seen| is_exempt(seen, staff, scene), scene, out);
                self.watched(watched, scene, out)
            }
            ActInput::Turned(turned) => {
                let Face::Open { watch, .. } = &mut self.face else {
                    return Login::ExpectCredential(self);
                };
                let watched = watch.turned(&turned, scene, out);
                self.watched(watched, scene, out)
            }
            ActInput::Card(event) => self.card(event, scene, out),
            ActInput::Found(found) => self.found(found, scene, out),
            ActInput::CameraGone => {
                self.leave_challenge(ChallengeEnd::Interrupted, out);
                self.close_face(Reason::CameraUnavailable, out);
                Login::ExpectCredential(self)
            }
            ActInput::Answer(answer) => self.answer(&answer, scene, out),
            ActInput::Deadline if self.is_challenging() => {
                self.watched(Watched::Doubt(ChallengeEnd::TimedOut), scene, out)
            }
            ActInput::Deadline => self.give_up(Reason::TimedOut, out),
            ActInput::Code(_) | ActInput::Stored(_) => Login::ExpectCredential(self),
        }
    }

    fn watched(mut self, watched: Watched, scene: &Scene<'_>, out: &mut Out) -> Login {
        let act = ActKind::Login;
        match watched {
            Watched::More => {}
            Watched::Done(seen) => return self.identify(&seen, scene, out),
            Watched::Attack => {
                out.record(&PadFailed { subject: None, act });
                out.push(Effect::FaceFailed);
                self.close_face(Reason::PresentationAttack, out);
            }
            Watched::Doubt(challenge) => {
                out.record(&PadDoubted { subject: None, act, challenge });
                self.close_face(Reason::LivenessInDoubt, out);
                out.deadline(WAIT_S);
            }
        }
        Login::ExpectCredential(self)
    }

    fn is_challenging(&self) -> bool {
        matches!(&self.face, Face::Open { watch, .. } if watch.is_challenging())
    }

    fn answer(mut self, answer: &Answer, scene: &Scene<'_>, out: &mut Out) -> Login {
        match answer {
            Answer::WithoutFace => {
                self.leave_challenge(ChallengeEnd::Declined, out);
                self.close_face(Reason::FaceDeclined, out);
            }
            Answer::WithoutChallenge => {
                let Face::Open { watch, .. } = &mut self.face else {
                    out.refuse(Refusal::NotAsked);
                    return Login::ExpectCredential(self);
                };
                let watched = watch.exempt();
                self.stood = Stood::Open { exempt: true };
                return self.watched(watched, scene, out);
            }
            Answer::Cancel => return self.give_up(Reason::Cancelled, out),
            Answer::Consent { .. } | Answer::Pin { .. } | Answer::Document { .. } => {
                out.refuse(Refusal::NotAsked);
            }
        }
        Login::ExpectCredential(self)
    }

    fn staff_listed(mut self, staff: Vec<Enrolled>, scene: &Scene<'_>, out: &mut Out) -> Login {
        if let (Face::Waiting, Some(rules)) = (&self.face, scene.usable_face()) {
            let exempt = matches!(self.stood, Stood::Open { exempt: true });
            let comparable = |e: &Enrolled| e.reference.as_ref().is_some_and(|r| r.model() == rules.model);
            let staff: Vec<_> = staff.into_iter().filter(|e| e.role.is_some() && comparable(e)).collect();
            if staff.is_empty() {
                self.close_face(Reason::NotEnrolled, out);
            } else {
                out.push(Effect::Camera(true));
                self.face = Face::Open { staff, watch: Watch::new(rules.probe_frames, exempt) };
            }
        }
        Login::ExpectCredential(self)
    }

    fn identify(mut self, seen: &Seen, scene: &Scene<'_>, out: &mut Out) -> Login {
        let Face::Open { staff, .. } = &self.face else { return Login::ExpectCredential(self) };
        let found = scene.face.and_then(|rules| Some((identify(seen, staff, &rules)?, rules)));
        let Some(((evidence, who), rules)) = found else {
            self.close_face(Reason::NotEnrolled, out);
            return Login::ExpectCredential(self);
        };
        let face = FaceRecord::of(&evidence, rules.model);
        match (decide(&Evidence::Face(evidence), scene.policy_in_force), who.role.clone()) {
            (Decision::Accept, Some(role)) => {
                out.push(Effect::FaceSucceeded);
                open_session(who, role, Method::Face, Some(face), scene, out)
            }
            (Decision::Accept, None) => {
                self.close_face(Reason::NotEnrolled, out);
                Login::ExpectCredential(self)
            }
            (Decision::Reject(reason) | Decision::Refer(reason), _) => {
                out.record(&SessionDenied { subject: None, method: Method::Face, reason, face: Some(face) });
                out.push(Effect::FaceFailed);
                self.close_face(reason, out);
                Login::ExpectCredential(self)
            }
        }
    }

    fn card(mut self, event: CardEvent, scene: &Scene<'_>, out: &mut Out) -> Login {
        match event {
            CardEvent::Read(identity) => self.card_read(&identity, scene, out),
            CardEvent::Failed(fault) => self.again(fault, scene, out),
            // Staff sign in with the card they were enrolled with.
            CardEvent::Resident(_) => self.again(Fault::CardForeign, scene, out),
            CardEvent::Removed => {
                self.asked = None;
                Login::ExpectCredential(self)
            }
        }
    }

    fn again(self, fault: Fault, scene: &Scene<'_>, out: &mut Out) -> Login {
        out.record(&CardFault { subject: None, reader: scene.reader, fault });
        out.step(Step::PresentCardAgain { fault });
        Login::ExpectCredential(self)
    }

    fn card_read(mut self, identity: &CardIdentity, scene: &Scene<'_>, out: &mut Out) -> Login {
        out.record(&CardRead::of(identity, scene.pepper, scene.reader));
        let challenged = self.is_challenging();
        self.leave_challenge(ChallengeEnd::Declined, out);
        let Some(holder) = identity.holder() else {
            self.close_face(Reason::HolderLocked, out);
            return Login::ExpectCredential(self);
        };
        // A hand on the card ends the look: whoever stands in view must not finish another one's login.
        out.push(Effect::Camera(false));
        if challenged {
            self.stood = Stood::Closed(Reason::LivenessInDoubt);
        }
        self.face = Face::Closed(Reason::Cancelled);
        let token = scene.pepper.token(SubjectKind::Operator, holder.id_number.expose());
        out.push(Effect::Find(token.clone()));
        self.asked = Some(token);
        Login::ExpectCredential(self)
    }

    fn found(mut self, found: Option<Enrolled>, scene: &Scene<'_>, out: &mut Out) -> Login {
        let Some(asked) = self.asked.take() else { return Login::ExpectCredential(self) };
        let reason = match found {
            Some(who) if who.token == asked => match (who.role.clone(), who.pin.clone()) {
                (Some(_), Some(_)) if scene.pin_rests => Reason::AttemptLimit,
                (Some(role), Some(pin)) => return ExpectPin::enter(who, role, pin, self.stood, out),
                (Some(_), None) => Reason::NoPin,
                (None, _) => Reason::NotEnrolled,
            },
            Some(_) | None => Reason::NotEnrolled,
        };
        out.record(&SessionDenied { subject: Some(asked), method: Method::CardPin, reason, face: None });
        out.step(Step::UseCard { reason });
        self.face = Face::Closed(reason);
        Login::ExpectCredential(self)
    }

    fn leave_challenge(&mut self, end: ChallengeEnd, out: &mut Out) {
        if let Face::Open { watch, .. } = &mut self.face {
            watch.leave(end, None, ActKind::Login, out);
        }
    }

    fn close_face(&mut self, reason: Reason, out: &mut Out) {
        out.push(Effect::Camera(false));
        out.step(Step::UseCard { reason });
        self.face = Face::Closed(reason);
        self.stood = Stood::Closed(reason);
    }

    /// Ends the act; what was tried has been recorded when it was tried.
    fn give_up(mut self, reason: Reason, out: &mut Out) -> Login {
        self.leave_challenge(ChallengeEnd::Declined, out);
        let reason = match self.face {
            Face::Closed(closed) if closed != Reason::FaceDeclined => closed,
            Face::Closed(_) | Face::Open { .. } | Face::Waiting => reason,
        };
        out.finish(Outcome::NotSignedIn { reason });
        Login::Done
    }
}

/// Whether the probes are those of somebody who is never asked to turn the head. Whoever is not recognised is
/// asked all the same: that a challenge comes must not say that the face is known.
fn is_exempt(seen: &Seen, staff: &[Enrolled], scene: &Scene<'_>) -> bool {
    let found = scene.face.and_then(|rules| identify(seen, staff, &rules));
    found.is_some_and(|(face, who)| who.without_challenge && face.score.matches(face.threshold))
}
