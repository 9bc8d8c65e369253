//! A look and, when it ends in doubt, the challenge that settles it: shared by every act that looks.
//! Never accepts a doubtful look without a challenge, never makes the challenge the only way, and never takes
//! another head's turn for that of the face in doubt, not even when part of the look was that head's.

use crate::act::{ActInput, Effect, Out, Scene};
use crate::api::{Answer, Step};
use crate::biometric::{FaceObservation, PadResult, Probe, Reference, compare};
use crate::challenge::{ChallengeEnd, Turn, Turned};
use crate::event::act::{ActKind, PadDoubted};
use crate::ids::SubjectToken;
use crate::look::{Look, Looked, Seen};

#[derive(Debug)]
pub(crate) struct Watch {
    look: Look,
    /// The challenge under way.
    asked: Option<Asked>,
    /// Challenges of this act so far; each takes its own random byte.
    challenges: usize,
    /// The person wants none.
    exempt: bool,
}

#[derive(Debug)]
struct Asked {
    turn: Turn,
    /// Of the look that ended in doubt.
    probes: Vec<Probe>,
    tries_left: u8,
}

/// What has come of it.
#[derive(Debug)]
pub(crate) enum Watched {
    More,
    Done(Seen),
    Attack,
    /// A doubt that stays; the act goes on another way.
    Doubt(ChallengeEnd),
}

/// A face may be lost or stand still so often before the challenge has failed; the direction stays the same.
const TRIES: u8 = 3;

impl Watch {
    /// `exempt`: a doubt ends the look at once, without a challenge.
    pub(crate) fn new(wanted: u8, exempt: bool) -> Self {
        Self { look: Look::new(wanted), asked: None, challenges: 0, exempt }
    }

    /// Looks anew, within the same act.
    pub(crate) fn again(self, wanted: u8) -> Self {
        Self { look: Look::new(wanted), asked: None, ..self }
    }

    pub(crate) fn is_challenging(&self) -> bool {
        self.asked.is_some()
    }

    /// `exempt` tells from the probes whether the person has said never to be asked.
    pub(crate) fn observe(
        &mut self,
        observation: FaceObservation,
        exempt: impl FnOnce(&Seen) -> bool,
        scene: &Scene<'_>,
        out: &mut Out,
    ) -> Watched {
        if self.asked.is_some() {
            // A frame from before the challenge.
            return Watched::More;
        }
        match self.look.take(observation) {
            Looked::More(hint) => {
                let (taken, wanted) = (self.look.taken(), self.look.wanted());
                out.step(Step::Look { hint: Some(hint), taken, wanted });
                Watched::More
            }
            Looked::Attack => Watched::Attack,
            Looked::Done(probes) => Watched::Done(Seen { probes, pad: PadResult::BonaFide, turned: None }),
            Looked::Doubt(probes) => {
                let seen = Seen { probes, pad: PadResult::Doubtful, turned: None };
                match scene.challenge {
                    Some(seconds) if !self.exempt && !exempt(&seen) => {
                        self.ask(seen.probes, seconds, scene, out);
                        Watched::More
                    }
                    Some(_) | None => Watched::Doubt(ChallengeEnd::NotAsked),
                }
            }
        }
    }

    pub(crate) fn turned(&mut self, turned: &Turned, scene: &Scene<'_>, out: &mut Out) -> Watched {
        let Some(mut asked) = self.asked.take() else { return Watched::More };
        let end = match turned {
            Turned::AsAsked(turned) => match same_face(&asked.probes, turned, scene) {
                Some(turned) => {
                    let (pad, turned) = (PadResult::Doubtful, Some(turned));
                    return Watched::Done(Seen { probes: asked.probes, pad, turned });
                }
                None => ChallengeEnd::AnotherFace,
            },
            Turned::Interrupted | Turned::NotFollowed if asked.tries_left > 1 => {
                asked.tries_left -= 1;
                out.push(Effect::Challenge(asked.turn));
                self.asked = Some(asked);
                return Watched::More;
            }
            Turned::WrongWay => ChallengeEnd::WrongWay,
            Turned::Flat => ChallengeEnd::Flat,
            Turned::Interrupted => ChallengeEnd::Interrupted,
            Turned::NotFollowed => ChallengeEnd::NotFollowed,
        };
        Watched::Doubt(end)
    }

    /// The person wants no challenge; one under way ends.
    pub(crate) fn exempt(&mut self) -> Watched {
        self.exempt = true;
        match self.asked.take() {
            Some(_) => Watched::Doubt(ChallengeEnd::Declined),
            None => Watched::More,
        }
    }

    /// As [`Self::leave`], when the input is one by which a person or the camera breaks off a challenge.
    pub(crate) fn leave_by(&mut self, input: &ActInput, subject: &SubjectToken, act: ActKind, out: &mut Out) {
        let end = if matches!(input, ActInput::CameraGone) {
            ChallengeEnd::Interrupted
        } else if matches!(input, ActInput::Answer(Answer::WithoutFace | Answer::Cancel)) {
            ChallengeEnd::Declined
        } else {
            return;
        };
        self.leave(end, Some(subject), act, out);
    }

    /// The act goes on or ends without the challenge under way: recorded, for it was counted when it was asked, and
    /// a restart counts what the record tells.
    pub(crate) fn leave(
        &mut self,
        challenge: ChallengeEnd,
        subject: Option<&SubjectToken>,
        act: ActKind,
        out: &mut Out,
    ) {
        if self.asked.take().is_some() {
            out.record(&PadDoubted { subject: subject.cloned(), act, challenge });
        }
    }

    fn ask(&mut self, probes: Vec<Probe>, seconds: u16, scene: &Scene<'_>, out: &mut Out) {
        let turn = Turn::drawn(scene.entropy[self.challenges % scene.entropy.len()]);
        self.challenges += 1;
        // Counted when asked and cleared by success: whoever could decline or wait for nothing would have the
        // direction drawn until it fits a film.
        out.push(Effect::FaceFailed);
        out.push(Effect::Challenge(turn));
        out.step(Step::Turn { turn, seconds });
        out.deadline(u64::from(seconds));
        self.asked = Some(Asked { turn, probes, tries_left: TRIES });
    }
}

/// The face that turned, when it is the one of every single frame that was looked at: a mean of two people stands
/// near to both of them.
fn same_face(before: &[Probe], turned: &[Probe], scene: &Scene<'_>) -> Option<Probe> {
    let (rules, turned, reference) = (scene.face?, Probe::fuse(turned)?, Reference::enrol(turned)?);
    let same = |p: &Probe| compare(p, &reference).is_some_and(|score| score.matches(rules.threshold));
    (!before.is_empty() && before.iter().all(same)).then_some(turned)
}
