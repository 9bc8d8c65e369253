//! Where the five points of a face go from frame to frame, by the pixels about them (Lucas and Kanade 1981, coarse to
//! fine). A detector says where the points of a face should be, and for a picture that is turned it says where those of a
//! head would be; the pixels of a picture stay on the picture. Keeps a small grey crop of the first and of the newest
//! frame while one face is followed, zeroed when dropped; never looks at whose face it is.

use std::sync::Arc;

use zeroize::{Zeroize as _, Zeroizing};

use crate::align::places;
use crate::challenge::{Matrix, apply, corners, homography};
use crate::detect::Detection;
use crate::frame::Frame;
use crate::resample::{Point, Similarity, warp};

/// One face, followed.
#[derive(Default)]
pub(crate) struct Follower {
    first: Option<Arc<Look>>,
    last: Option<Arc<Look>>,
}

/// A face upright, at several sizes, and where its points are: in the largest of them, and in the frame.
struct Look {
    sizes: Vec<Grey>,
    points: [Point; 5],
    in_frame: [Point; 5],
}

impl Follower {
    /// The five points in pixels of `frame`; those of the detector in the first frame. `None` when they are lost or are
    /// not those of the face that the detector sees.
    pub(crate) fn next(&mut self, frame: &Frame, face: &Detection) -> Option<[Point; 5]> {
        // What was followed moves steadily; what a detector gives of a turning face jumps.
        let before = self.last.as_ref().map_or(&face.landmarks, |last| &last.in_frame);
        let to_source = places(before, SIDE, SIDE)?;
        let to_crop = to_source.inverse()?;
        let guess = before.map(|point| to_crop.apply(point));
        let sizes = sizes(frame, to_source);
        let points = match &self.last {
            None => guess,
            Some(last) => followed(last, &sizes, guess)?,
        };
        let in_frame = points.map(|point| to_source.apply(point));
        let seen = points.iter().all(|&point| in_crop(point)) && in_frame.iter().all(|&p| inside(frame, p));
        (seen && same_place(&in_frame, &face.landmarks)).then(|| {
            let look = Arc::new(Look { sizes, points, in_frame });
            self.first.get_or_insert_with(|| Arc::clone(&look));
            self.last = Some(look);
            in_frame
        })
    }

    /// Whether what the nose was in the first frame is in the last one where it was followed to, and not where it would
    /// be on a plane through eyes and mouth: regular patterns, such as those of print, lead a follower astray. `None` when
    /// it cannot be told, or the eyes are not there any more.
    pub(crate) fn stands_out(&self) -> Option<bool> {
        let (first, last) = (self.first.as_ref()?, self.last.as_ref()?);
        let plane = homography(&corners(&first.points), &corners(&last.points))?;
        for &eye in &first.points[..2] {
            let before = first.sizes[0].window(eye);
            if unlike(&before, &last.shown(&plane, eye, NOWHERE)?) > ALIKE * own(&before) {
                return None;
            }
        }
        let nose = first.points[2];
        let on_plane = apply(&plane, nose)?;
        let off = Point { x: last.points[2].x - on_plane.x, y: last.points[2].y - on_plane.y };
        let before = first.sizes[0].window(nose);
        let followed = unlike(&before, &last.shown(&plane, nose, off)?);
        let flat = unlike(&before, &last.shown(&plane, nose, NOWHERE)?);
        Some(followed < CLEARLY * flat)
    }
}

impl Look {
    /// The window about `at` of an earlier look, where a plane brought it, and `off` from there.
    fn shown(&self, plane: &Matrix, at: Point, off: Point) -> Option<Patch> {
        let mut shown = patch();
        for place in about(at) {
            let place = apply(plane, place)?;
            shown.push(self.sizes[0].at(Point { x: place.x + off.x, y: place.y + off.y }));
        }
        Some(shown)
    }
}

fn in_crop(point: Point) -> bool {
    let within = REACH as f32..SIDE as f32 - REACH as f32;
    within.contains(&point.x) && within.contains(&point.y)
}

fn inside(frame: &Frame, point: Point) -> bool {
    (0.0..frame.width() as f32).contains(&point.x) && (0.0..frame.height() as f32).contains(&point.y)
}

/// Sum of the squares of how far values lie from their mean.
fn own(values: &[f32]) -> f32 {
    let mean = mean(values);
    values.iter().map(|v| (v - mean) * (v - mean)).sum()
}

/// Sum of squared differences when the light of the whole window may change.
fn unlike(before: &[f32], after: &[f32]) -> f32 {
    let light = mean(before) - mean(after);
    before.iter().zip(after).map(|(b, a)| (b - a - light) * (b - a - light)).sum()
}

/// Whether the corners have the form of those that a detector saw and lie about there. It may see a turned face aside
/// of where it is.
fn same_place(followed: &[Point; 5], seen: &[Point; 5]) -> bool {
    let eyes = distance(seen[0], seen[1]);
    let off = CORNERS.map(|i| Point { x: followed[i].x - seen[i].x, y: followed[i].y - seen[i].y });
    let sum = off.iter().fold((0.0, 0.0), |(x, y), p| (x + p.x, y + p.y));
    let mean = Point { x: sum.0 / off.len() as f32, y: sum.1 / off.len() as f32 };
    mean.x.hypot(mean.y) <= MOST_ASIDE * eyes && off.iter().all(|&p| distance(p, mean) <= MOST_APART * eyes)
}

fn sizes(frame: &Frame, to_source: Similarity) -> Vec<Grey> {
    let first = Grey::of(&warp(frame, to_source, SIDE, SIDE));
    let halves = std::iter::successors(Some(first), |grey| Some(grey.half()));
    halves.take(SIZES).collect()
}

fn followed(last: &Look, sizes: &[Grey], guess: [Point; 5]) -> Option<[Point; 5]> {
    let mut points = guess;
    for (point, from) in points.iter_mut().zip(last.points) {
        let mut moved = Point { x: point.x - from.x, y: point.y - from.y };
        for (size, (before, after)) in last.sizes.iter().zip(sizes).enumerate().rev() {
            let scale = 1.0 / (1 << size) as f32;
            let at = Point { x: (from.x + 0.5) * scale - 0.5, y: (from.y + 0.5) * scale - 0.5 };
            let found = displacement(before, after, at, Point { x: moved.x * scale, y: moved.y * scale })?;
            moved = Point { x: found.x / scale, y: found.y / scale };
        }
        *point = Point { x: from.x + moved.x, y: from.y + moved.y };
    }
    Some(points)
}

/// How far what `before` shows about `at` has moved in `after`, beginning with `guess`: the least sum of squares, when
/// the light of the whole window may change. `None` when nothing there can be followed, or it goes out of sight.
fn displacement(before: &Grey, after: &Grey, at: Point, guess: Point) -> Option<Point> {
    let window = Window::of(before, at);
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for [dx, dy] in window.slopes.iter() {
        (xx, xy, yy) = (xx + dx * dx, xy + dx * dy, yy + dy * dy);
    }
    let determinant = xx * yy - xy * xy;
    // A blank window has neither slopes nor a determinant.
    if determinant <= LEAST_DETAIL * (xx + yy) || !determinant.is_normal() {
        return None;
    }
    let mut moved = guess;
    for _ in 0..MOST_STEPS {
        let shown = after.window(Point { x: at.x + moved.x, y: at.y + moved.y });
        let light = mean(&window.values) - mean(&shown);
        let (mut bx, mut by) = (0.0, 0.0);
        for ((value, new), [dx, dy]) in window.values.iter().zip(shown.iter()).zip(window.slopes.iter()) {
            let off = value - new - light;
            (bx, by) = (bx + off * dx, by + off * dy);
        }
        let step = Point { x: (yy * bx - xy * by) / determinant, y: (xx * by - xy * bx) / determinant };
        moved = Point { x: moved.x + step.x, y: moved.y + step.y };
        let length = moved.x.hypot(moved.y);
        if length > MOST_MOVED || length.is_nan() {
            return None;
        }
        if step.x.hypot(step.y) < ENOUGH {
            break;
        }
    }
    Some(moved)
}

/// Pixels about a point, row by row.
type Patch = Zeroizing<Vec<f32>>;

fn patch() -> Patch {
    Zeroizing::new(Vec::with_capacity(((2 * REACH + 1) * (2 * REACH + 1)) as usize))
}

/// The pixels about a point and their slopes.
struct Window {
    values: Patch,
    slopes: Zeroizing<Vec<[f32; 2]>>,
}

impl Window {
    fn of(grey: &Grey, at: Point) -> Self {
        let slope = |p: Point| {
            let [left, right] = [-1.0, 1.0].map(|d| grey.at(Point { x: p.x + d, ..p }));
            let [above, below] = [-1.0, 1.0].map(|d| grey.at(Point { y: p.y + d, ..p }));
            [(right - left) / 2.0, (below - above) / 2.0]
        };
        let mut slopes = Zeroizing::new(Vec::with_capacity(patch().capacity()));
        slopes.extend(about(at).map(slope));
        Self { values: grey.window(at), slopes }
    }
}

fn about(at: Point) -> impl Iterator<Item = Point> {
    let steps = -REACH..=REACH;
    steps
        .clone()
        .flat_map(move |dy| steps.clone().map(move |dx| Point { x: at.x + dx as f32, y: at.y + dy as f32 }))
}

/// Luma, 0 to 255.
struct Grey {
    side: usize,
    values: Vec<f32>,
}

impl Grey {
    fn of(crop: &Frame) -> Self {
        let luma =
            |[r, g, b]: &[u8; 3]| 0.299 * f32::from(*r) + 0.587 * f32::from(*g) + 0.114 * f32::from(*b);
        let values = crop.rgb().as_chunks::<3>().0.iter().map(luma).collect();
        Self { side: crop.width() as usize, values }
    }

    fn half(&self) -> Self {
        let side = self.side / 2;
        let mean = |x: usize, y: usize| {
            let at = 2 * y * self.side + 2 * x;
            let four = [at, at + 1, at + self.side, at + self.side + 1].map(|i| self.values[i]);
            four.iter().sum::<f32>() / 4.0
        };
        Self { side, values: (0..side * side).map(|i| mean(i % side, i / side)).collect() }
    }

    /// Bilinear; the nearest pixel of the edge beyond it.
    fn at(&self, p: Point) -> f32 {
        let most = self.side as f32 - 1.001;
        let (x, y) = (p.x.clamp(0.0, most), p.y.clamp(0.0, most));
        let (left, top) = (x as usize, y as usize);
        let (right_share, lower_share) = (x - left as f32, y - top as f32);
        let at = top * self.side + left;
        let row = |at: usize| self.values[at] + right_share * (self.values[at + 1] - self.values[at]);
        row(at) + lower_share * (row(at + self.side) - row(at))
    }

    fn window(&self, at: Point) -> Patch {
        let mut values = patch();
        values.extend(about(at).map(|p| self.at(p)));
        values
    }
}

impl Drop for Grey {
    fn drop(&mut self) {
        self.values.zeroize();
    }
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len() as f32
}

fn distance(a: Point, b: Point) -> f32 {
    (a.x - b.x).hypot(a.y - b.y)
}

/// Side of the upright crop; the eyes are 45 pixels apart in it.
const SIDE: u32 = 144;
/// Of the crop, each half of the one before.
const SIZES: usize = 3;
/// The window is twice as many pixels wide and one: 0.38 eye distances.
const REACH: i32 = 8;
const MOST_STEPS: usize = 20;
/// Pixels of a step that changes nothing any more.
const ENOUGH: f32 = 0.02;
/// Pixels from one frame to the next, in the crop: half an eye distance is another picture.
const MOST_MOVED: f32 = 22.0;
/// Least of the smaller sum of squared slopes of a window, about: below it there is nothing to hold on to.
const LEAST_DETAIL: f32 = 50.0;
/// Eye distances between where the corners are in the mean and where the detector sees them.
const MOST_ASIDE: f32 = 0.7;
/// Eye distances of a corner beside that.
const MOST_APART: f32 = 0.2;
const NOWHERE: Point = Point { x: 0.0, y: 0.0 };
/// Most that an eye may differ from what it was, over what is in its window; a mouth may speak.
const ALIKE: f32 = 0.5;
/// Of the difference on the plane, where the nose was followed to.
const CLEARLY: f32 = 0.7;
/// Eyes and corners of the mouth.
const CORNERS: [usize; 4] = [0, 1, 3, 4];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resample::Rect;

    const FACE: [(f32, f32); 5] = [(0.0, 0.0), (60.0, 0.0), (30.0, 35.0), (8.0, 66.0), (52.0, 66.0)];

    fn face(x: f32, y: f32) -> Detection {
        let landmarks = FACE.map(|(dx, dy)| Point { x: x + dx, y: y + dy });
        let bounds = Rect { x: x - 20.0, y: y - 40.0, width: 100.0, height: 140.0 };
        Detection { bounds, landmarks, score: 0.9 }
    }

    /// Something to hold on to everywhere, moved to the right and down.
    fn picture(right: f32, down: f32) -> Frame {
        let value = |x: u32, y: u32| {
            let (x, y) = (x as f32 - right, y as f32 - down);
            (127.0 + 50.0 * (x * 0.21 + y * 0.13).sin() + 50.0 * (x * 0.09 - y * 0.23).cos()) as u8
        };
        let rgb = (0..240).flat_map(|y| (0..320).flat_map(move |x| [value(x, y); 3])).collect();
        Frame::crop_from(320, 240, rgb)
    }

    #[test]
    fn points_go_with_the_pixels_and_not_with_the_detector() {
        let mut follower = Follower::default();
        assert!(follower.next(&picture(0.0, 0.0), &face(120.0, 80.0)).is_some());
        for step in 1..12 {
            let (right, down) = (step as f32 * 3.3, step as f32 * -1.7);
            let jitter = if step % 2 == 0 { 6.0 } else { -6.0 };
            let seen = face(120.0 + right + jitter, 80.0 + down);
            let followed = follower.next(&picture(right, down), &seen).unwrap();
            for (point, (x, y)) in followed.iter().zip(FACE) {
                let off = (point.x - 120.0 - right - x).hypot(point.y - 80.0 - down - y);
                assert!(off < 0.5, "{off} at step {step}");
            }
        }
        assert_eq!(follower.stands_out(), Some(false), "nothing moved against anything");
    }

    /// A picture on which the nose, and nothing else, moves to the right.
    fn with_nose(right: f32) -> Frame {
        let plain = picture(0.0, 0.0);
        let mut rgb = plain.rgb().to_vec();
        for (i, pixel) in rgb.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let (x, y) = ((i % 320) as f32 - 150.0 - right, (i / 320) as f32 - 115.0);
            if x.hypot(y) < 14.0 {
                *pixel = [(127.0 + 60.0 * (x * 0.4).sin() + 60.0 * (y * 0.35).cos()) as u8; 3];
            }
        }
        Frame::crop_from(320, 240, rgb)
    }

    #[test]
    fn a_nose_that_moves_against_the_face_stands_out() {
        for (most, expected) in [(9.0, Some(true)), (0.0, Some(false))] {
            let mut follower = Follower::default();
            for step in 0..=6 {
                assert!(follower.next(&with_nose(most * step as f32 / 6.0), &face(120.0, 80.0)).is_some());
            }
            assert_eq!(follower.stands_out(), expected, "moved by {most}");
        }
    }

    #[test]
    fn what_cannot_be_followed_is_lost() {
        let blank = Frame::crop_from(320, 240, vec![90; 320 * 240 * 3]);
        let begun = || {
            let mut follower = Follower::default();
            follower.next(&picture(0.0, 0.0), &face(120.0, 80.0));
            follower
        };
        assert!(begun().next(&picture(1.0, 0.0), &face(121.0, 80.0)).is_some(), "the control");
        assert!(begun().next(&picture(1.0, 0.0), &face(180.0, 80.0)).is_none(), "a face elsewhere");
        let mut follower = Follower::default();
        assert!(follower.next(&blank, &face(120.0, 80.0)).is_some());
        assert!(follower.next(&blank, &face(120.0, 80.0)).is_none(), "nothing to hold on to");
    }
}
