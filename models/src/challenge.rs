//! Active challenge: "look to the left, please". Landmarks over time in, a verdict out; no picture, no clock.
//! Asked on doubt only, and never proof enough alone: it tells a head from a flat or bent picture of one, because a
//! nose stands out and moves against eyes and mouth, while a turned picture moves by a homography. It does not tell
//! a head from a video of one: a single fixed film passes every second time, because the direction is drawn anew, and
//! whoever has a film for each direction plays the fitting one. There is no protection here against that.
//!
//! The landmarks must be such that stay on what they are on (`follow.rs`); those that a detector gives anew in each frame
//! are where it expects those of a head, and let bent pictures pass.
//!
//! Measured on simulated sequences and on recorded faces, see `tests/a_head_turns_and_a_photo_does_not.rs` and
//! `tests/recorded_faces_turn_and_their_photos_do_not.rs`, which print the tables.

pub use zhenyin_core::challenge::Turn;

use crate::align::similarity;
use crate::resample::{Point, Similarity};

/// What has come of a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on showing frames.
    Watching,
    /// A head turned as asked.
    Turned,
    /// It turned, but another way.
    WrongWay,
    /// What turned is flat: a picture, or a screen.
    Flat,
    /// The face was lost or jumped; a slower try may succeed.
    Interrupted,
    /// Nothing turned in [`MOST_FRAMES`] frames.
    NotFollowed,
}

/// One challenge. The person should look ahead when it begins.
#[derive(Clone, Debug)]
pub struct Challenge {
    turn: Turn,
    ahead: Vec<[Point; 5]>,
    recent: Vec<Shift>,
    strongest: f32,
    flattest: f32,
    frames: usize,
    verdict: Verdict,
}

/// How the nose moved against the plane of eyes and mouth corners, in eye distances, on the upright face:
/// `x` to the right in the picture, `y` down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    pub x: f32,
    pub y: f32,
}

impl Challenge {
    pub fn new(turn: Turn) -> Self {
        let verdict = Verdict::Watching;
        Self {
            turn,
            ahead: Vec::new(),
            recent: Vec::new(),
            strongest: 0.0,
            flattest: 0.0,
            frames: 0,
            verdict,
        }
    }

    pub fn turn(&self) -> Turn {
        self.turn
    }

    /// Takes the landmarks of the next frame, `None` when there is not exactly one face. Ten frames a second
    /// are enough. After the first verdict that is not [`Verdict::Watching`] nothing changes any more.
    pub fn take(&mut self, landmarks: Option<&[Point; 5]>) -> Verdict {
        if self.verdict == Verdict::Watching {
            self.frames += 1;
            self.verdict = match landmarks {
                None => Verdict::Interrupted,
                Some(landmarks) if self.ahead.len() < AHEAD => {
                    self.ahead.push(*landmarks);
                    Verdict::Watching
                }
                Some(landmarks) => self.judge(landmarks),
            };
        }
        self.verdict
    }

    /// Greatest shift in the asked direction that was held so far, in eye distances: what the threshold
    /// [`LEAST_SHIFT`] is compared with.
    pub fn strength(&self) -> f32 {
        self.strongest
    }

    /// How much of a shift goes the asked way.
    pub(crate) fn along(&self, shift: Shift) -> f32 {
        match self.turn {
            Turn::Left => shift.x,
            Turn::Right => -shift.x,
            Turn::Up => -shift.y,
        }
    }

    fn judge(&mut self, landmarks: &[Point; 5]) -> Verdict {
        let Some(ahead) = mean_face(&self.ahead) else { return Verdict::Interrupted };
        let Some(shift) = shift(&ahead, landmarks) else { return Verdict::Interrupted };
        let last = self.recent.last().copied().unwrap_or(Shift { x: 0.0, y: 0.0 });
        if (shift.x - last.x).hypot(shift.y - last.y) > MOST_STEP {
            return Verdict::Interrupted;
        }
        self.recent.push(shift);
        let turned = foreshortening(&ahead, landmarks);
        if turned > TOO_FAR {
            return Verdict::Interrupted;
        }
        self.flattest = self.flattest.max(turned);
        let Some(held) = self.recent.len().checked_sub(HELD).map(|first| mean_shift(&self.recent[first..]))
        else {
            return Verdict::Watching;
        };
        let along = self.along(held);
        let across = if self.turn == Turn::Up { held.x } else { held.y };
        self.strongest = self.strongest.max(along);
        if along >= LEAST_SHIFT && along > across.abs() {
            Verdict::Turned
        } else if -along >= LEAST_SHIFT || across.abs() >= LEAST_SHIFT {
            Verdict::WrongWay
        } else if self.frames < MOST_FRAMES {
            Verdict::Watching
        } else if self.flattest >= TURNED_PLANE {
            Verdict::Flat
        } else {
            Verdict::NotFollowed
        }
    }
}

/// The nose of `after`, brought to `before` by the homography of the four other points, minus the nose of
/// `before`. Zero, up to noise, for a flat picture however it is turned. `None` when the points are degenerate.
pub fn shift(before: &[Point; 5], after: &[Point; 5]) -> Option<Shift> {
    let back = homography(&corners(after), &corners(before))?;
    let nose = apply(&back, after[2])?;
    let (across_x, across_y) = (before[1].x - before[0].x, before[1].y - before[0].y);
    let square = across_x * across_x + across_y * across_y;
    let (dx, dy) = (nose.x - before[2].x, nose.y - before[2].y);
    let found =
        Shift { x: (dx * across_x + dy * across_y) / square, y: (dy * across_x - dx * across_y) / square };
    (found.x.is_finite() && found.y.is_finite()).then_some(found)
}

/// Mean of the faces after each was brought onto the first by a similarity.
fn mean_face(faces: &[[Point; 5]]) -> Option<[Point; 5]> {
    let first = faces.first()?;
    let mut sum = [Point { x: 0.0, y: 0.0 }; 5];
    for face in faces {
        let onto: Similarity = similarity(face, first)?;
        for (total, point) in sum.iter_mut().zip(face) {
            let moved = onto.apply(*point);
            *total = Point { x: total.x + moved.x, y: total.y + moved.y };
        }
    }
    Some(sum.map(|p| Point { x: p.x / faces.len() as f32, y: p.y / faces.len() as f32 }))
}

fn mean_shift(shifts: &[Shift]) -> Shift {
    let count = shifts.len() as f32;
    Shift {
        x: shifts.iter().map(|s| s.x).sum::<f32>() / count,
        y: shifts.iter().map(|s| s.y).sum::<f32>() / count,
    }
}

/// How much the ratio of width to height of the four points changed: a turned plane becomes narrow or low.
fn foreshortening(before: &[Point; 5], after: &[Point; 5]) -> f32 {
    let ratio = |p: &[Point; 5]| {
        let eyes = (p[1].x - p[0].x).hypot(p[1].y - p[0].y);
        let down_x = (p[3].x + p[4].x - p[0].x - p[1].x) / 2.0;
        let down_y = (p[3].y + p[4].y - p[0].y - p[1].y) / 2.0;
        eyes / down_x.hypot(down_y)
    };
    let change = (ratio(after) / ratio(before)).ln().abs();
    if change.is_finite() { change } else { 0.0 }
}

pub(crate) fn corners(face: &[Point; 5]) -> [Point; 4] {
    [face[0], face[1], face[3], face[4]]
}

pub(crate) type Matrix = [[f64; 3]; 3];

/// The projective map that brings four points to four others (through the basis of each quadrilateral).
pub(crate) fn homography(from: &[Point; 4], to: &[Point; 4]) -> Option<Matrix> {
    Some(product(&basis(to)?, &inverse(&basis(from)?)?))
}

/// Brings the unit points and (1, 1, 1) to the four points.
fn basis(points: &[Point; 4]) -> Option<Matrix> {
    let homogeneous = points.map(|p| [f64::from(p.x), f64::from(p.y), 1.0]);
    let columns: Matrix = std::array::from_fn(|row| std::array::from_fn(|column| homogeneous[column][row]));
    let weights = times(&inverse(&columns)?, homogeneous[3]);
    Some(std::array::from_fn(|row| std::array::from_fn(|column| columns[row][column] * weights[column])))
}

fn inverse(m: &Matrix) -> Option<Matrix> {
    let minor = |r: usize, c: usize| {
        let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
        m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
    };
    let determinant = (0..3).map(|c| m[0][c] * minor(0, c)).sum::<f64>();
    let inverse = std::array::from_fn(|r| std::array::from_fn(|c| minor(c, r) / determinant));
    determinant.is_normal().then_some(inverse)
}

fn product(a: &Matrix, b: &Matrix) -> Matrix {
    std::array::from_fn(|r| std::array::from_fn(|c| (0..3).map(|k| a[r][k] * b[k][c]).sum()))
}

fn times(m: &Matrix, v: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|r| (0..3).map(|k| m[r][k] * v[k]).sum())
}

pub(crate) fn apply(m: &Matrix, p: Point) -> Option<Point> {
    let [x, y, w] = times(m, [f64::from(p.x), f64::from(p.y), 1.0]);
    w.is_normal().then_some(Point { x: (x / w) as f32, y: (y / w) as f32 })
}

/// Frames looking ahead that the turn is measured against.
pub const AHEAD: usize = 3;
/// Frames over which a turn must be held.
pub const HELD: usize = 3;
/// Four seconds at ten frames a second.
pub const MOST_FRAMES: usize = 40;
/// Least mean shift of [`HELD`] frames, in eye distances: about 15 degrees of an average head. Points that are followed by
/// the pixels about them move by up to 0.08 when a flat or bent picture is turned by 40 degrees.
pub const LEAST_SHIFT: f32 = 0.1;
/// Greatest shift between two frames: a head turns, another picture jumps.
const MOST_STEP: f32 = 0.13;
/// Change of width over height from which on a bent picture is not told from a head: of a plane turned by 42 degrees.
const TOO_FAR: f32 = 0.3;
/// Change of width over height (natural logarithm) that says something turned: a plane by about 28 degrees.
const TURNED_PLANE: f32 = 0.12;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FACE: [(f32, f32); 5] = [(0.0, 0.0), (60.0, 0.0), (30.0, 35.0), (8.0, 66.0), (52.0, 66.0)];

    fn face(nose: (f32, f32)) -> [Point; 5] {
        let mut points = FACE.map(|(x, y)| Point { x: x + 200.0, y: y + 150.0 });
        points[2] = Point { x: points[2].x + nose.0, y: points[2].y + nose.1 };
        points
    }

    /// Three frames ahead, then the nose goes to `nose` pixels in ten steps and stays.
    fn play(turn: Turn, nose: (f32, f32), steps: f32) -> Verdict {
        let mut challenge = Challenge::new(turn);
        for frame in 0..MOST_FRAMES {
            let share = ((frame as f32 - AHEAD as f32 + 1.0) / steps).clamp(0.0, 1.0);
            challenge.take(Some(&face((nose.0 * share, nose.1 * share))));
        }
        challenge.take(None)
    }

    #[test]
    fn a_turn_counts_only_in_the_asked_direction() {
        for (turn, nose, expected) in [
            (Turn::Left, (18.0, 0.0), Verdict::Turned),
            (Turn::Left, (5.5, 0.0), Verdict::NotFollowed),
            (Turn::Right, (18.0, 0.0), Verdict::WrongWay),
            (Turn::Right, (-18.0, 2.0), Verdict::Turned),
            (Turn::Up, (0.0, -18.0), Verdict::Turned),
            (Turn::Up, (0.0, 18.0), Verdict::WrongWay),
            (Turn::Up, (18.0, 0.0), Verdict::WrongWay),
            (Turn::Left, (4.0, 0.0), Verdict::NotFollowed),
        ] {
            assert_eq!(play(turn, nose, 10.0), expected, "{turn:?} {nose:?}");
        }
        assert_eq!(play(Turn::Left, (18.0, 0.0), 1.0), Verdict::Interrupted, "in one step: another picture");
    }

    #[test]
    fn a_lost_face_ends_the_challenge_for_good() {
        let mut challenge = Challenge::new(Turn::Left);
        assert_eq!(challenge.take(Some(&face((0.0, 0.0)))), Verdict::Watching);
        assert_eq!(challenge.take(None), Verdict::Interrupted);
        assert_eq!(challenge.take(Some(&face((0.0, 0.0)))), Verdict::Interrupted);
    }

    #[test]
    fn points_without_extent_give_no_shift() {
        assert_eq!(shift(&face((0.0, 0.0)), &[Point { x: 1.0, y: 1.0 }; 5]), None);
    }

    proptest! {
        #[test]
        fn no_homography_shifts_the_nose(
            a in 0.6_f32..1.6, b in -0.4_f32..0.4, c in -0.4_f32..0.4, d in 0.6_f32..1.6,
            p in -0.001_f32..0.001, q in -0.001_f32..0.001, nose in -9.0_f32..9.0
        ) {
            let turned = face((nose, 0.0)).map(|at| {
                let w = 1.0 + p * at.x + q * at.y;
                Point { x: (a * at.x + b * at.y) / w, y: (c * at.x + d * at.y) / w }
            });
            let shift = shift(&face((nose, 0.0)), &turned).unwrap();
            prop_assert!(shift.x.abs() < 2e-3 && shift.y.abs() < 2e-3, "{shift:?}");
        }
    }
}
