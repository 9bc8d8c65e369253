//! The frames of one camera through one challenge: where the face points, and whose it is while it is turned.
//! Each frame is searched whole, so that a second person ends the try. Keeps a few places, feature vectors and two small
//! grey crops of the face until the verdict, never a whole picture.

use std::collections::VecDeque;

use zhenyin_core::biometric::Probe;
use zhenyin_core::challenge::{Turn, Turned};

use crate::challenge::{AHEAD, Challenge, HELD, Verdict, shift};
use crate::detect::{Subjects, subjects};
use crate::follow::Follower;
use crate::frame::Frame;
use crate::pipeline::{ObserveError, Pipeline};
use crate::quality::{Measures, measure};
use crate::resample::Point;

/// One try at one challenge. It begins when the face looks ahead: whoever is still turned from the try before, or
/// shows a turned picture from the start, is waited for.
pub struct Turning {
    challenge: Challenge,
    follower: Follower,
    ahead: usize,
    /// Where the detector saw the points in the first frame ahead.
    seen_ahead: Option<[Point; 5]>,
    /// Of the newest frames, as many as a turn must be held: whose face it is, and how far it turned as the detector
    /// sees it, in eye distances.
    newest: VecDeque<(Probe, f32)>,
}

impl Turning {
    pub fn new(turn: Turn) -> Self {
        let (challenge, follower) = (Challenge::new(turn), Follower::default());
        let newest = VecDeque::with_capacity(HELD + 1);
        Self { challenge, follower, ahead: 0, seen_ahead: None, newest }
    }

    /// Takes the next frame; about ten a second are wanted. `None` means: go on.
    ///
    /// # Errors
    /// [`ObserveError`] when a network failed. A try that had begun is interrupted by it.
    pub fn take(&mut self, pipeline: &Pipeline, frame: &Frame) -> Result<Option<Turned>, ObserveError> {
        let taken = self.take_next(pipeline, frame);
        if taken.is_err() {
            self.lost();
        }
        taken
    }

    fn take_next(&mut self, pipeline: &Pipeline, frame: &Frame) -> Result<Option<Turned>, ObserveError> {
        let verdict = match subjects(&pipeline.detect(frame)?) {
            Subjects::Nobody => self.lost(),
            Subjects::Several(_) => self.challenge.take(None),
            Subjects::One(face) => {
                let crop = pipeline.align(frame, &face)?;
                if self.ahead < AHEAD {
                    if !looks_ahead(&measure(frame, &face, &crop)) {
                        // The frames ahead are of one moment: whoever looks away between them begins anew.
                        *self = Self::new(self.challenge.turn());
                        return Ok(None);
                    }
                    self.ahead += 1;
                }
                let seen_ahead = self.seen_ahead.get_or_insert(face.landmarks);
                let seen =
                    shift(seen_ahead, &face.landmarks).map_or(0.0, |shift| self.challenge.along(shift));
                self.newest.push_back((pipeline.embed(&crop)?, seen));
                if self.newest.len() > HELD {
                    self.newest.pop_front();
                }
                self.challenge.take(self.follower.next(frame, &face).as_ref())
            }
        };
        Ok(match verdict {
            Verdict::Watching => None,
            Verdict::Turned => Some(self.turned()),
            Verdict::WrongWay => Some(Turned::WrongWay),
            Verdict::Flat => Some(Turned::Flat),
            Verdict::Interrupted => Some(Turned::Interrupted),
            Verdict::NotFollowed => Some(Turned::NotFollowed),
        })
    }
}

impl Turning {
    /// The pixels say that a head turned; what else must be so.
    fn turned(&mut self) -> Turned {
        let seen = self.newest.iter().map(|(_, seen)| seen).sum::<f32>() / self.newest.len() as f32;
        match self.follower.stands_out() {
            Some(true) if seen >= LEAST_SEEN => {
                Turned::AsAsked(self.newest.drain(..).map(|(probe, _)| probe).collect())
            }
            Some(false) => Turned::Flat,
            Some(true) | None => Turned::Interrupted,
        }
    }

    /// A frame without a face; before one has looked ahead nothing has begun that it could break off.
    fn lost(&mut self) -> Verdict {
        if self.ahead == 0 { Verdict::Watching } else { self.challenge.take(None) }
    }
}

fn looks_ahead(face: &Measures) -> bool {
    face.yaw.abs() <= MOST_YAW && (face.pitch - 0.55).abs() <= MOST_PITCH
}

/// In eye distances beside the middle; a face that looks ahead is within 0.1 of it.
const MOST_YAW: f32 = 0.15;
/// Mean shift of the held frames as the detector sees it: less than half of what most heads show, and more than a picture
/// that is moved without a turn.
const LEAST_SEEN: f32 = 0.05;
/// Beside 0.55 of the way from the eyes to the mouth.
const MOST_PITCH: f32 = 0.2;

#[cfg(test)]
mod tests {
    use super::*;

    /// Three frames ahead, then the nose goes aside in ten steps.
    fn turn(turning: &mut Turning) -> Verdict {
        let frame = |step: usize| {
            let nose = 30.0 + 1.8 * step.saturating_sub(AHEAD - 1).min(10) as f32;
            [(0.0, 0.0), (60.0, 0.0), (nose, 35.0), (8.0, 66.0), (52.0, 66.0)]
                .map(|(x, y)| Point { x: x + 200.0, y: y + 150.0 })
        };
        turning.ahead = AHEAD;
        (0..20).map(|step| turning.challenge.take(Some(&frame(step)))).last().unwrap_or(Verdict::Watching)
    }

    #[test]
    fn a_face_that_comes_late_is_waited_for() {
        let mut turning = Turning::new(Turn::Left);
        assert!((0..10).all(|_| turning.lost() == Verdict::Watching));
        assert_eq!(turn(&mut turning), Verdict::Turned);

        // The control: once it has looked ahead, losing it ends the try.
        let mut turning = Turning::new(Turn::Left);
        turning.ahead = 1;
        assert_eq!(turning.lost(), Verdict::Interrupted);
        assert_eq!(turn(&mut turning), Verdict::Interrupted);
    }
}
