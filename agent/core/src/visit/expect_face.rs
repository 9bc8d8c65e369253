//! Compares the person in front of the camera with the reference of the card's holder.
//! Never accuses: after the second look that does not match, staff help.

use super::{ExpectStaff, Patient, Visit};
use crate::act::{ActInput, Effect, FaceRules, Out, Scene, verify};
use crate::api::{Answer, Outcome, Refusal, Step};
use crate::biometric::Reference;
use crate::challenge::ChallengeEnd;
use crate::decision::{Decision, Evidence, FaceEvidence, Method, Reason, decide};
use crate::event::act::{ActKind, FaceRecord, PadDoubted, PadFailed, VisitRetried, VisitVerified};
use crate::look::Seen;
use crate::watch::{Watch, Watched};

#[derive(Debug)]
pub(crate) struct ExpectFace {
    patient: Patient,
    reference: Reference,
    watch: Watch,
    looks_left: u8,
}

/// How long a patient is asked to look before staff help.
const WAIT_S: u64 = 20;
/// Looks that may fail to match before staff help.
const LOOKS: u8 = 2;

impl ExpectFace {
    /// `exempt`: the patient is never asked to turn the head.
    pub(super) fn enter(
        patient: Patient,
        reference: Reference,
        exempt: bool,
        rules: &FaceRules,
        out: &mut Out,
    ) -> Visit {
        out.step(Step::Look { hint: None, taken: 0, wanted: rules.probe_frames });
        out.push(Effect::Camera(true));
        out.deadline(WAIT_S);
        let watch = Watch::new(rules.probe_frames, exempt);
        Visit::ExpectFace(Self { patient, reference, watch, looks_left: LOOKS })
    }

    pub(super) fn patient(&self) -> &Patient {
        &self.patient
    }

    pub(super) fn handle(mut self, input: ActInput, scene: &Scene<'_>, out: &mut Out) -> Visit {
        self.watch.leave_by(&input, &self.patient.token, ActKind::Visit, out);
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
                let watched = self.watch.exempt();
                self.watched(watched, scene, out)
            }
            ActInput::Deadline if self.watch.is_challenging() => {
                self.watched(Watched::Doubt(ChallengeEnd::TimedOut), scene, out)
            }
            ActInput::CameraGone => self.hand_to_staff(Reason::CameraUnavailable, out),
            ActInput::Deadline => self.hand_to_staff(Reason::NoUsableFace, out),
            ActInput::Answer(Answer::WithoutFace) => self.hand_to_staff(Reason::FaceDeclined, out),
            ActInput::Answer(Answer::Cancel) => self.patient.unverified(Reason::Cancelled, scene, out),
            ActInput::Answer(Answer::Consent { .. } | Answer::Pin { .. } | Answer::Document { .. }) => {
                out.refuse(Refusal::NotAsked);
                Visit::ExpectFace(self)
            }
            ActInput::Card(_)
            | ActInput::Code(_)
            | ActInput::Found(_)
            | ActInput::Staff(_)
            | ActInput::Stored(_) => Visit::ExpectFace(self),
        }
    }

    fn watched(self, watched: Watched, scene: &Scene<'_>, out: &mut Out) -> Visit {
        let (subject, act) = (Some(self.patient.token.clone()), ActKind::Visit);
        match watched {
            Watched::More => Visit::ExpectFace(self),
            Watched::Done(seen) => self.compare(&seen, scene, out),
            Watched::Attack => {
                out.record(&PadFailed { subject, act });
                self.hand_to_staff(Reason::PresentationAttack, out)
            }
            Watched::Doubt(challenge) => {
                out.record(&PadDoubted { subject, act, challenge });
                self.hand_to_staff(Reason::LivenessInDoubt, out)
            }
        }
    }

    fn compare(self, seen: &Seen, scene: &Scene<'_>, out: &mut Out) -> Visit {
        let evidence = scene.face.and_then(|rules| Some((verify(seen, &self.reference, &rules)?, rules)));
        let Some((evidence, rules)) = evidence else {
            return self.hand_to_staff(Reason::NotEnrolled, out);
        };
        let face = FaceRecord::of(&evidence, rules.model);
        match decide(&Evidence::CardFace(evidence), scene.policy_in_force) {
            Decision::Accept => self.verified(&evidence, face, scene, out),
            Decision::Reject(reason) if self.looks_left > 1 => self.look_again(reason, face, &rules, out),
            Decision::Reject(reason) => {
                let subject = Some(self.patient.token.clone());
                out.record(&VisitRetried { subject, reason, face });
                self.hand_to_staff(reason, out)
            }
            Decision::Refer(reason) => self.hand_to_staff(reason, out),
        }
    }

    fn verified(self, evidence: &FaceEvidence, face: FaceRecord, scene: &Scene<'_>, out: &mut Out) -> Visit {
        debug_assert!(evidence.score.matches(evidence.threshold));
        out.record(&VisitVerified {
            subject: Some(self.patient.token.clone()),
            method: Method::CardFace,
            face: Some(face),
            operator: scene.operator_token(),
            document: None,
            reason: None,
        });
        if evidence.turned {
            out.push(Effect::FaceSucceeded);
        }
        let name = self.patient.masked_name();
        out.finish(Outcome::Verified { subject: self.patient.token, name, method: Method::CardFace });
        Visit::Done
    }

    fn look_again(mut self, reason: Reason, face: FaceRecord, rules: &FaceRules, out: &mut Out) -> Visit {
        out.record(&VisitRetried { subject: Some(self.patient.token.clone()), reason, face });
        self.looks_left -= 1;
        self.watch = self.watch.again(rules.probe_frames);
        out.step(Step::Look { hint: None, taken: 0, wanted: rules.probe_frames });
        out.deadline(WAIT_S);
        Visit::ExpectFace(self)
    }

    fn hand_to_staff(self, reason: Reason, out: &mut Out) -> Visit {
        ExpectStaff::enter(self.patient, reason, out)
    }
}
