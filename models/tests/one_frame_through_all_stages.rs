//! A frame becomes one observation, stage by stage, with the tiny pack: red squares are faces, green around
//! them is bona fide, blue is an attack.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use zhenyin_core::biometric::{FaceObservation, PadResult, QualityHint, Reference, compare};
use zhenyin_models::{Frame, Pack, Pipeline};

const SIDE: i64 = 320;

/// A frame of one background colour with textured red squares of 44 pixels at `faces`.
fn frame(background: [u8; 3], faces: &[(i64, i64)], light: u8) -> Frame {
    let colour = |x: i64, y: i64| {
        if faces.iter().any(|&(fx, fy)| (x - fx).abs() <= 22 && (y - fy).abs() <= 22) {
            return [255, 0, 0];
        }
        let texture = if (x / 3 + y / 5) % 2 == 0 { 0 } else { 90 };
        background.map(|c| if c == 0 { 0 } else { light.saturating_add(texture).min(c) })
    };
    let rgb = (0..SIDE * SIDE).flat_map(|i| colour(i % SIDE, i / SIDE)).collect();
    Frame::new(SIDE as u32, SIDE as u32, rgb).unwrap()
}

fn pipeline() -> (Pack, Pipeline) {
    let pack = Pack::load(&common::tiny_pack()).unwrap();
    let pipeline = Pipeline::new(&pack).unwrap();
    (pack, pipeline)
}

const GREEN: [u8; 3] = [140, 255, 120];
const BLUE: [u8; 3] = [140, 120, 255];
const MIDDLE: (i64, i64) = (175, 175);

#[test]
fn nobody_one_and_several() {
    let (_, pipeline) = pipeline();
    assert!(matches!(pipeline.observe(&frame(GREEN, &[], 120)).unwrap(), FaceObservation::NoFace));
    let two = pipeline.observe(&frame(GREEN, &[(79, 175), (271, 175)], 120)).unwrap();
    assert!(matches!(two, FaceObservation::SeveralFaces { count: 2 }), "{two:?}");
    let one = pipeline.observe(&frame(GREEN, &[MIDDLE], 120)).unwrap();
    assert!(matches!(one, FaceObservation::Usable(_)), "{one:?}");
}

#[test]
fn pad_decides_by_what_surrounds_the_face() {
    let (_, pipeline) = pipeline();
    for (background, expected) in [(GREEN, PadResult::BonaFide), (BLUE, PadResult::Attack)] {
        match pipeline.observe(&frame(background, &[MIDDLE], 120)).unwrap() {
            FaceObservation::Usable(sample) => assert_eq!(sample.pad, expected),
            other @ (FaceObservation::NoFace
            | FaceObservation::SeveralFaces { .. }
            | FaceObservation::Unusable { .. }) => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_unusable_face_is_not_embedded_and_says_what_to_mend() {
    let (_, pipeline) = pipeline();
    let at_the_edge = pipeline.observe(&frame(GREEN, &[(15, 175)], 120)).unwrap();
    assert!(
        matches!(at_the_edge, FaceObservation::Unusable { hint: QualityHint::MoveToCentre, .. }),
        "{at_the_edge:?}"
    );
}

#[test]
fn the_same_frame_gives_the_same_probe() {
    let (pack, pipeline) = pipeline();
    let probe = |frame: &Frame| match pipeline.observe(frame).unwrap() {
        FaceObservation::Usable(sample) => sample.probe,
        other @ (FaceObservation::NoFace
        | FaceObservation::SeveralFaces { .. }
        | FaceObservation::Unusable { .. }) => panic!("{other:?}"),
    };
    let reference = Reference::enrol(&[probe(&frame(GREEN, &[MIDDLE], 120))]).unwrap();
    assert_eq!(reference.model(), pack.digest());
    let again = compare(&probe(&frame(GREEN, &[MIDDLE], 120)), &reference).unwrap();
    assert!(again.matches(pack.thresholds().comparison));
    let other = compare(&probe(&frame(BLUE, &[MIDDLE], 60)), &reference).unwrap();
    assert!(other < again);
}
