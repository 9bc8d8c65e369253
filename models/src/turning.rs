//! The frames of one camera through one challenge: where the face points, and whose it is while it is turned.
//! Each frame is searched whole, so that a second person ends the try. Keeps a few places and feature vectors until
//! the verdict, never a picture.

use std::collections::VecDeque;

use zhenyin_core::biometric::Probe;
use zhenyin_core::challenge::{Turn, Turned};

use crate::challenge::{AHEAD, Challenge, HELD, Verdict};
use crate::detect::{Subjects, subjects};
use crate::follow::Follower;
use crate::frame::Frame;
use crate::pipeline::{ObserveError, Pipeline};
use crate::quality::{Measures, measure};

/// One try at one challenge. It begins when the face looks ahead: whoever is still turned from the try before, or
/// shows a turned picture from the start, is waited for.
pub struct Turning {
    challenge: Challenge,
    follower: Follower,
    ahead: usize,
    /// Of the newest frames, as many as a turn must be held.
    newest: VecDeque<Probe>,
}

impl Turning {
    pub fn new(turn: Turn) -> Self {
        let (challenge, follower) = (Challenge::new(turn), Follower::default());
        Self { challenge, follower, ahead: 0, newest: VecDeque::with_capacity(HELD + 1) }
    }

    /// Takes the next frame; about ten a second are wanted. `None` means: go on.
    ///
    /// # Errors
    /// [`ObserveError`] when a network failed; the next frame may do.
    pub fn take(&mut self, pipeline: &Pipeline, frame: &Frame) -> Result<Option<Turned>, ObserveError> {
        let verdict = match subjects(&pipeline.detect(frame)?) {
            Subjects::Nobody => self.lost(),
            Subjects::Several(_) => self.challenge.take(None),
            Subjects::One(face) => {
                let crop = pipeline.align(frame, &face)?;
                if self.ahead < AHEAD {
                    if !looks_ahead(&measure(frame, &face, &crop)) {
                        return Ok(None);
                    }
                    self.ahead += 1;
                }
                self.newest.push_back(pipeline.embed(&crop)?);
                if self.newest.len() > HELD {
                    self.newest.pop_front();
                }
                self.challenge.take(self.follower.next(frame, &face).as_ref())
            }
        };
        Ok(match verdict {
            Verdict::Watching => None,
            Verdict::Turned if !self.follower.stands_out() => Some(Turned::Flat),
            Verdict::Turned => Some(Turned::AsAsked(self.newest.drain(..).collect())),
            Verdict::WrongWay => Some(Turned::WrongWay),
            Verdict::Flat => Some(Turned::Flat),
            Verdict::Interrupted => Some(Turned::Interrupted),
            Verdict::NotFollowed => Some(Turned::NotFollowed),
        })
    }
}

impl Turning {
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
/// Beside 0.55 of the way from the eyes to the mouth.
const MOST_PITCH: f32 = 0.2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resample::Point;

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
