//! Turns a face upright: five points to fixed places by the least-squares similarity (Umeyama 1991).
//! Never mirrors, never shears: what is not a similarity is left in the picture.

use crate::frame::Frame;
use crate::resample::{Point, Similarity, warp};
use crate::spec::Alignment;

/// Upright crop of `width` x `height`; `None` when the five points have no extent.
pub(crate) fn align(
    frame: &Frame,
    landmarks: &[Point; 5],
    alignment: Alignment,
    width: u32,
    height: u32,
) -> Option<Frame> {
    let Alignment::Arcface = alignment;
    Some(warp(frame, places(landmarks, width, height)?, width, height))
}

/// From the places of a crop of `width` x `height` to those of the frame. `None` when the five points have no extent.
pub(crate) fn places(landmarks: &[Point; 5], width: u32, height: u32) -> Option<Similarity> {
    let (scale_x, scale_y) = (width as f32 / 112.0, height as f32 / 112.0);
    let places = ARCFACE.map(|(x, y)| Point { x: x * scale_x, y: y * scale_y });
    similarity(landmarks, &places)?.inverse()
}

/// The similarity without reflection that brings `from` nearest to `to` in the sum of squares.
/// `None` when `from` has no extent.
pub(crate) fn similarity(from: &[Point; 5], to: &[Point; 5]) -> Option<Similarity> {
    let (from_mean, to_mean) = (mean(from), mean(to));
    let (mut along, mut across, mut spread) = (0.0, 0.0, 0.0);
    for (p, q) in from.iter().zip(to) {
        let (px, py) = (p.x - from_mean.x, p.y - from_mean.y);
        let (qx, qy) = (q.x - to_mean.x, q.y - to_mean.y);
        along += px * qx + py * qy;
        across += px * qy - py * qx;
        spread += px * px + py * py;
    }
    let (a, b) = (along / spread, across / spread);
    let turn = Similarity { a, b, tx: 0.0, ty: 0.0 };
    let turned = turn.apply(from_mean);
    let found = Similarity { a, b, tx: to_mean.x - turned.x, ty: to_mean.y - turned.y };
    (spread.is_normal() && found.scale().is_normal()).then_some(found)
}

fn mean(points: &[Point; 5]) -> Point {
    let sum = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.x, y + p.y));
    Point { x: sum.0 / 5.0, y: sum.1 / 5.0 }
}

/// The places of the ArcFace training crops, 112 x 112.
const ARCFACE: [(f32, f32); 5] =
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_similarity_is_found_again(
            a in -3.0_f32..3.0, b in 0.1_f32..3.0, tx in -200.0_f32..200.0, ty in -200.0_f32..200.0
        ) {
            let truth = Similarity { a, b, tx, ty };
            let from = ARCFACE.map(|(x, y)| Point { x, y });
            let found = similarity(&from, &from.map(|p| truth.apply(p))).unwrap();
            for (got, expected) in [(found.a, a), (found.b, b), (found.tx, tx), (found.ty, ty)] {
                prop_assert!((got - expected).abs() < 0.02, "{found:?} {truth:?}");
            }
        }
    }

    #[test]
    fn mirrored_points_are_not_mirrored_back() {
        let from = ARCFACE.map(|(x, y)| Point { x: -x, y });
        let found = similarity(&from, &ARCFACE.map(|(x, y)| Point { x, y })).unwrap();
        let eyes = (found.apply(from[0]).x, found.apply(from[1]).x);
        assert!(eyes.0 > eyes.1 || found.scale() < 0.5, "{eyes:?}");
    }

    #[test]
    fn points_without_extent_are_refused() {
        let spot = [Point { x: 3.0, y: 4.0 }; 5];
        assert!(similarity(&spot, &ARCFACE.map(|(x, y)| Point { x, y })).is_none());
    }

    #[test]
    fn crop_puts_the_eye_where_it_belongs() {
        let mut rgb = vec![0; 200 * 200 * 3];
        let landmarks = ARCFACE.map(|(x, y)| Point { x: x.round() + 50.0, y: y.round() + 60.0 });
        let at = (112 * 200 + 88) * 3;
        rgb[at..at + 3].copy_from_slice(&[255; 3]);
        let crop = align(&Frame::crop_from(200, 200, rgb), &landmarks, Alignment::Arcface, 112, 112).unwrap();
        let brightest = (0..112 * 112).max_by_key(|i| crop.rgb()[i * 3]).unwrap();
        let (x, y) = (brightest % 112, brightest / 112);
        assert!((37..=39).contains(&x) && (51..=52).contains(&y), "{x} {y}");
    }
}
