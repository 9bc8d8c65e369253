//! What every act at the desk shares: its inputs, its surroundings, and the effects it asks for.
//! Never performs an effect: `terminal.rs` orders them and holds back whatever must wait for the journal.

use std::time::Duration;

use crate::api::{Answer, Outcome, Refusal, Step};
use crate::biometric::{ComparisonScore, FaceObservation, ModelDigest, Probe, Reference, Threshold, compare};
use crate::card::CardIdentity;
use crate::challenge::{Turn, Turned};
use crate::decision::{FaceEvidence, Method};
use crate::enrolled::{Enrolled, Role};
use crate::event::{Draft, EventData};
use crate::fault::Fault;
use crate::ids::{Pepper, ReaderId, SubjectToken};
use crate::look::Seen;
use crate::presented::{ResidentHolder, ScannedCode};
use crate::time::Now;

/// What the reader says about the card in it.
#[derive(Clone, Debug)]
pub enum CardEvent {
    Read(Box<CardIdentity>),
    /// A resident identity card was laid on a reader.
    Resident(Box<ResidentHolder>),
    /// The reading failed; nothing of it was kept.
    Failed(Fault),
    Removed,
}

/// What an act can be told.
#[derive(Debug)]
pub(crate) enum ActInput {
    Card(CardEvent),
    Code(ScannedCode),
    Face(FaceObservation),
    /// Answer to [`Effect::Challenge`].
    Turned(Turned),
    CameraGone,
    /// Answer to [`Effect::Find`].
    Found(Option<Enrolled>),
    /// Answer to [`Effect::ListStaff`].
    Staff(Vec<Enrolled>),
    /// Answer to [`Effect::Store`].
    Stored(Result<(), Fault>),
    Answer(Answer),
    Deadline,
}

/// Numbers that decide a face act: from the model pack, overridden by the signed policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FaceRules {
    pub model: ModelDigest,
    pub threshold: Threshold,
    /// How far the best of the staff must be ahead of the second, in cosine.
    pub margin: f32,
    /// Good frames that make one probe.
    pub probe_frames: u8,
    /// Good frames that make one reference.
    pub enrol_frames: u8,
}

/// Who has the workstation now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    pub operator: SubjectToken,
    pub name: String,
    pub role: Role,
    pub method: Method,
}

impl FaceRules {
    /// Wide enough that two siblings are asked for a card, narrow enough not to bother anybody else.
    pub const MARGIN: f32 = 0.05;
}

/// The surroundings of an act at this moment.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) now: Now,
    /// The reader that speaks, while a reader speaks.
    pub(crate) reader: Option<ReaderId>,
    pub(crate) pepper: &'a Pepper,
    /// `None` without a model pack: then there is no face path at all.
    pub(crate) face: Option<FaceRules>,
    pub(crate) camera_works: bool,
    pub(crate) face_rests: bool,
    pub(crate) pin_rests: bool,
    pub(crate) policy_in_force: bool,
    pub(crate) operator: Option<&'a SignedIn>,
    /// Seconds for a challenge; `None` when the policy allows none.
    pub(crate) challenge: Option<u16>,
    /// Fresh random bytes of this act, for a PIN's salt and for the directions of challenges.
    pub(crate) entropy: [u8; 16],
}

impl Scene<'_> {
    pub(crate) fn operator_token(&self) -> Option<SubjectToken> {
        self.operator.map(|o| o.operator.clone())
    }

    /// The face rules when face can be used now.
    pub(crate) fn usable_face(&self) -> Option<FaceRules> {
        self.face.filter(|_| self.camera_works && !self.face_rests)
    }
}

/// What an act asks for.
#[derive(Debug)]
pub(crate) enum Effect {
    Step(Step),
    /// Switching the camera off ends a challenge too.
    Camera(bool),
    /// Watch whether the head turns; the answer counts only while it is waited for.
    Challenge(Turn),
    /// Which enrolled person has this token?
    Find(SubjectToken),
    ListStaff,
    Record(Draft),
    /// Keeps an enrolment, once all records before it are durable.
    Store(Box<Enrolled>),
    /// Gives the workstation to somebody, once all records before it are durable.
    SignIn(SignedIn),
    SignOut,
    FaceFailed,
    FaceSucceeded,
    PinFailed,
    PinSucceeded,
    /// The act is told [`ActInput::Deadline`] after this time; a later one replaces it.
    Deadline(Duration),
    /// The last effect of an act; the outcome leaves once all records before it are durable.
    Finish(Outcome),
    /// The answer just given was not taken.
    Refuse(Refusal),
}

/// Collects effects in order.
#[derive(Debug, Default)]
pub(crate) struct Out {
    pub(crate) effects: Vec<Effect>,
}

impl Out {
    pub(crate) fn step(&mut self, step: Step) {
        self.effects.push(Effect::Step(step));
    }

    pub(crate) fn record(&mut self, event: &impl EventData) {
        let draft = Draft::of(event).expect("act events are objects of texts and whole numbers");
        self.effects.push(Effect::Record(draft));
    }

    pub(crate) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(crate) fn deadline(&mut self, seconds: u64) {
        self.push(Effect::Deadline(Duration::from_secs(seconds)));
    }

    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        self.push(Effect::Refuse(refusal));
    }

    pub(crate) fn finish(&mut self, outcome: Outcome) {
        self.push(Effect::Camera(false));
        self.push(Effect::Finish(outcome));
    }
}

/// 1:1 comparison of one look, and of the turned head that settled a doubt about it, with one reference.
/// `None` when they were made by different models.
pub(crate) fn verify(seen: &Seen, reference: &Reference, rules: &FaceRules) -> Option<FaceEvidence> {
    let score = with_turned(compare(&Probe::fuse(&seen.probes)?, reference)?, seen, reference)?;
    Some(FaceEvidence {
        score,
        threshold: rules.threshold,
        pad: seen.pad,
        turned: seen.turned.is_some(),
        unambiguous: true,
    })
}

/// 1:N among the staff of this terminal: the best, and whether it is clearly ahead of the second. The turned head
/// that settled a doubt must be of the same person.
pub(crate) fn identify<'a>(
    seen: &Seen,
    staff: &'a [Enrolled],
    rules: &FaceRules,
) -> Option<(FaceEvidence, &'a Enrolled)> {
    let (evidence, who) = nearest(seen, staff, rules)?;
    let score = with_turned(evidence.score, seen, who.reference.as_ref()?)?;
    Some((FaceEvidence { score, ..evidence }, who))
}

/// 1:N among the staff of this terminal by the look alone, whatever a turned head may say.
pub(crate) fn nearest<'a>(
    seen: &Seen,
    staff: &'a [Enrolled],
    rules: &FaceRules,
) -> Option<(FaceEvidence, &'a Enrolled)> {
    let probe = Probe::fuse(&seen.probes)?;
    let mut scored: Vec<_> =
        staff.iter().filter_map(|one| Some((compare(&probe, one.reference.as_ref()?)?, one))).collect();
    scored.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap_or(std::cmp::Ordering::Equal));
    let (best, who) = *scored.first()?;
    let ahead =
        scored.get(1).is_none_or(|(second, _)| best.danger_expose() - second.danger_expose() >= rules.margin);
    let evidence = FaceEvidence {
        score: best,
        threshold: rules.threshold,
        pad: seen.pad,
        turned: seen.turned.is_some(),
        unambiguous: ahead,
    };
    Some((evidence, who))
}

/// The lower score of the look and of the turned head, if there was one.
fn with_turned(look: ComparisonScore, seen: &Seen, reference: &Reference) -> Option<ComparisonScore> {
    let Some(turned) = &seen.turned else { return Some(look) };
    let turned = compare(turned, reference)?;
    Some(if turned < look { turned } else { look })
}
