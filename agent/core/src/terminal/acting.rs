//! Runs the act that is under way: gives it its inputs and carries out the effects it asks for.
//! Never runs two acts at once.

use super::recording::After;
use super::{Output, Terminal, Ticket};
use crate::act::{ActInput, CardEvent, Effect, Out, Scene};
use crate::api::{Answer, Outcome, Refusal, Reply, Request};
use crate::biometric::FaceObservation;
use crate::card_check::CardCheck;
use crate::challenge::{Turn, Turned};
use crate::desk::{Login, sign_out};
use crate::enrolled::{Consent, Enrolled};
use crate::enrolment::Enrolment;
use crate::event::act::{CloseCause, ConsentGranted};
use crate::event::{Draft, EventData as _};
use crate::fault::Fault;
use crate::ids::{ReaderId, Sequence, SessionId};
use crate::presented::ScannedCode;
use crate::time::{Boottime, Now};
use crate::visit::Visit;

/// The act under way.
#[derive(Debug)]
pub(super) struct Running {
    session: SessionId,
    act: Act,
    pub(super) deadline: Option<Boottime>,
    /// Since when the act looks; a frame from before shows whoever was there for the act before.
    looks_since: Option<Boottime>,
    /// The challenge whose answer is waited for, and since when.
    pub(super) challenge: Option<(Boottime, Turn)>,
    entropy: [u8; 16],
    /// What has been recorded of it.
    events: Vec<Sequence>,
    /// The event that recorded the person's consent.
    consent: Option<Consent>,
}

impl Running {
    fn is_enrolment(&self) -> bool {
        matches!(self.act, Act::Enrolment(_))
    }
}

#[derive(Debug)]
enum Act {
    Login(Login),
    Visit(Visit),
    Enrolment(Enrolment),
    CardCheck(CardCheck),
    Done,
}

impl Act {
    fn handle(self, input: ActInput, scene: &Scene<'_>, out: &mut Out) -> Self {
        match self {
            Self::Login(act) => Self::Login(act.handle(input, scene, out)),
            Self::Visit(act) => Self::Visit(act.handle(input, scene, out)),
            Self::Enrolment(act) => Self::Enrolment(act.handle(input, scene, out)),
            Self::CardCheck(act) => Self::CardCheck(act.handle(input, scene, out)),
            Self::Done => Self::Done,
        }
    }
}

impl Terminal {
    pub(super) fn begin(&mut self, ticket: Ticket, request: Request, entropy: [u8; 16], now: Now) {
        let refusal = match request {
            _ if self.recording_fault().is_some() || self.stopping => Some(Refusal::NotRecording),
            _ if self.running.is_some() => Some(Refusal::Busy),
            Request::StaffLogout | Request::PatientEnrolment if self.operator.is_none() => {
                Some(Refusal::NobodySignedIn)
            }
            Request::StaffLogin
            | Request::StaffLogout
            | Request::PatientVisit
            | Request::StaffEnrolment { .. }
            | Request::PatientEnrolment
            | Request::CardRead => None,
        };
        if let Some(refusal) = refusal {
            self.outputs.push_back(Output::Begun { ticket, result: Err(refusal) });
            return;
        }
        let session = SessionId(self.next_session);
        self.next_session += 1;
        self.outputs.push_back(Output::Begun { ticket, result: Ok(session) });
        self.running = Some(Running {
            session,
            act: Act::Done,
            deadline: None,
            looks_since: None,
            challenge: None,
            entropy,
            events: Vec::new(),
            consent: None,
        });
        let mut out = Out::default();
        let scene = self.scene(entropy, now);
        let act = match request {
            Request::StaffLogin => Act::Login(Login::begin(&scene, &mut out)),
            Request::PatientVisit => Act::Visit(Visit::begin(&mut out)),
            Request::StaffEnrolment { role } => Act::Enrolment(Enrolment::begin(Some(role), &mut out)),
            Request::PatientEnrolment => Act::Enrolment(Enrolment::begin(None, &mut out)),
            Request::CardRead => Act::CardCheck(CardCheck::begin(&mut out)),
            Request::StaffLogout => {
                sign_out(CloseCause::SignedOut, &scene, &mut out);
                Act::Done
            }
        };
        let reads_cards = !matches!(act, Act::Done);
        if let Some(running) = &mut self.running {
            running.act = act;
        }
        if reads_cards {
            self.outputs.push_back(Output::Reader(true));
        }
        let _ = self.perform(out, now);
    }

    pub(super) fn answer(&mut self, ticket: Ticket, session: SessionId, answer: Answer, now: Now) {
        let result = if self.running.as_ref().is_some_and(|r| r.session == session) {
            self.drive(ActInput::Answer(answer), now)
        } else {
            Err(Refusal::NoSuchSession)
        };
        self.outputs.push_back(Output::Answered { ticket, result });
    }

    pub(super) fn card(&mut self, reader: ReaderId, event: CardEvent, now: Now) {
        let _ = self.drive_from(Some(reader), ActInput::Card(event), now);
    }

    pub(super) fn code(&mut self, reader: ReaderId, code: ScannedCode, now: Now) {
        let _ = self.drive_from(Some(reader), ActInput::Code(code), now);
    }

    pub(super) fn face(&mut self, captured: Boottime, observation: FaceObservation, now: Now) {
        let looks_since = self.running.as_ref().and_then(|r| r.looks_since);
        if looks_since.is_some_and(|since| captured >= since) {
            let _ = self.drive(ActInput::Face(observation), now);
        }
    }

    /// An answer to another challenge than the one under way is late and counts for nothing.
    pub(super) fn turned(&mut self, asked: Boottime, turned: Turned, now: Now) {
        let Some(running) = &mut self.running else { return };
        if running.challenge.is_some_and(|(since, _)| since == asked) {
            running.challenge = None;
            // Whatever comes next, nothing of the turn may count as a look ahead.
            running.looks_since = running.looks_since.map(|_| now.boottime);
            let enrolling = running.is_enrolment();
            self.outputs.push_back(Output::Look { enrolling });
            let _ = self.drive(ActInput::Turned(turned), now);
        }
    }

    pub(super) fn camera_gone(&mut self, now: Now) {
        let _ = self.drive(ActInput::CameraGone, now);
    }

    pub(super) fn found(&mut self, session: SessionId, enrolled: Option<Enrolled>, now: Now) {
        self.drive_session(session, ActInput::Found(enrolled), now);
    }

    pub(super) fn staff(&mut self, session: SessionId, staff: Vec<Enrolled>, now: Now) {
        self.drive_session(session, ActInput::Staff(staff), now);
    }

    pub(super) fn stored(&mut self, session: SessionId, result: Result<(), Fault>, now: Now) {
        self.drive_session(session, ActInput::Stored(result), now);
    }

    pub(super) fn act_deadline(&mut self, now: Now) {
        let due = self.running.as_ref().and_then(|r| r.deadline).is_some_and(|at| now.boottime >= at);
        if due {
            if let Some(running) = &mut self.running {
                running.deadline = None;
            }
            let _ = self.drive(ActInput::Deadline, now);
        }
    }

    /// Ends the act without an outcome of its own: something prevented a decision.
    pub(super) fn abort_act(&mut self, fault: Fault) {
        if let Some(running) = self.running.take() {
            if running.challenge.is_some() {
                self.outputs.push_back(Output::Look { enrolling: false });
            }
            self.outputs.push_back(Output::Camera(false));
            self.outputs.push_back(Output::Reader(false));
            self.outputs.push_back(Output::Reply(Reply {
                session: running.session,
                outcome: Outcome::Failed { fault },
                events: Vec::new(),
            }));
        }
    }

    /// A late answer to an act that is over must not reach the next one.
    fn drive_session(&mut self, session: SessionId, input: ActInput, now: Now) {
        if self.running.as_ref().is_some_and(|r| r.session == session) {
            let _ = self.drive(input, now);
        }
    }

    fn drive(&mut self, input: ActInput, now: Now) -> Result<(), Refusal> {
        self.drive_from(None, input, now)
    }

    fn drive_from(&mut self, reader: Option<ReaderId>, input: ActInput, now: Now) -> Result<(), Refusal> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let act = std::mem::replace(&mut running.act, Act::Done);
        let entropy = running.entropy;
        let mut out = Out::default();
        let scene = Scene { reader, ..self.scene(entropy, now) };
        let act = act.handle(input, &scene, &mut out);
        if let Some(running) = &mut self.running {
            running.act = act;
        }
        self.perform(out, now)
    }

    fn scene(&self, entropy: [u8; 16], now: Now) -> Scene<'_> {
        Scene {
            now,
            reader: None,
            pepper: &self.pepper,
            face: self.face_rules(),
            camera_works: self.camera.may_work(now),
            face_rests: self.face_limit.resting(now.boottime),
            pin_rests: self.pin_limit.resting(now.boottime),
            policy_in_force: self.policy_in_force(now),
            challenge: self
                .policy
                .as_ref()
                .map(|p| p.content().challenge)
                .filter(|c| c.allowed)
                .map(|c| c.seconds),
            operator: self.operator.as_ref(),
            entropy,
        }
    }

    fn perform(&mut self, out: Out, now: Now) -> Result<(), Refusal> {
        let mut result = Ok(());
        for effect in out.effects {
            let Some(running) = &mut self.running else { break };
            let session = running.session;
            let newest = running.events.last().copied();
            match effect {
                Effect::Step(step) => self.outputs.push_back(Output::Step { session, step }),
                Effect::Camera(wanted) => {
                    running.looks_since = wanted.then_some(now.boottime);
                    if running.challenge.take().is_some() || wanted {
                        let enrolling = wanted && running.is_enrolment();
                        self.outputs.push_back(Output::Look { enrolling });
                    }
                    self.outputs.push_back(Output::Camera(wanted));
                }
                Effect::Challenge(turn) => {
                    let asked = now.boottime;
                    running.challenge = Some((asked, turn));
                    self.outputs.push_back(Output::Challenge { asked, turn });
                }
                Effect::Find(token) => self.outputs.push_back(Output::Find { session, token }),
                Effect::ListStaff => self.outputs.push_back(Output::ListStaff { session }),
                Effect::Deadline(delay) => running.deadline = Some(now.boottime.after(delay)),
                Effect::Record(draft) => self.record_for_act(draft, now),
                Effect::Store(mut enrolled) => {
                    enrolled.consent = running.consent;
                    self.after(newest, After::Store(session, enrolled));
                }
                Effect::SignIn(who) => self.after(newest, After::SignIn(who)),
                Effect::SignOut => self.after(newest, After::SignOut),
                Effect::FaceFailed => self.face_limit.failed(now.boottime),
                Effect::FaceSucceeded => self.face_limit.succeeded(),
                Effect::PinFailed => self.pin_limit.failed(now.boottime),
                Effect::PinSucceeded => self.pin_limit.succeeded(),
                Effect::Refuse(refusal) => result = Err(refusal),
                Effect::Finish(outcome) => self.finish(outcome),
            }
        }
        result
    }

    fn record_for_act(&mut self, draft: Draft, now: Now) {
        let is_consent = draft.kind == ConsentGranted::TYPE;
        match (self.record_draft(draft, now), &mut self.running) {
            (Some(event), Some(running)) => {
                running.events.push(event);
                if is_consent {
                    running.consent = Some(Consent { event, at: now.wall });
                }
            }
            (Some(_), None) => {}
            (None, _) => self.abort_act(self.recording_fault().unwrap_or(Fault::KeyDamaged)),
        }
    }

    fn finish(&mut self, outcome: Outcome) {
        let Some(running) = self.running.take() else { return };
        self.outputs.push_back(Output::Reader(false));
        let newest = running.events.last().copied();
        let reply = Reply { session: running.session, outcome, events: running.events };
        self.after(newest, After::Reply(reply));
    }
}
