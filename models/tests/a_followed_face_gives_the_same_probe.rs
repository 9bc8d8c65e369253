//! Detect-then-track against searching every frame whole: the same faces, the same probes, less work.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;
mod scene;

use scene::Pose;
use zhenyin_core::biometric::{FaceObservation, Probe, Reference, compare};
use zhenyin_models::detect::{Detection, Subjects};
use zhenyin_models::{Frame, Pack, Pipeline, TrackState};

/// A picture that sways before the camera: 18 frames.
fn motion(picture: &Frame) -> Vec<Frame> {
    let pose = |i: f32| Pose {
        yaw: 12.0 * (i / 4.0).sin(),
        pitch: 6.0 * (i / 3.0).cos(),
        roll: 10.0 * (i / 5.0).sin(),
    };
    (0..18).map(|i| scene::photo(picture, pose(i as f32))).collect()
}

fn pictures() -> Option<Vec<Frame>> {
    let folder = common::shared("faces/dev/lfw10")?;
    let mut people: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    people.sort();
    let first = |person: &std::path::PathBuf| {
        let mut files: Vec<_> =
            std::fs::read_dir(person).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        Frame::decode(&std::fs::read(&files[0]).unwrap()).unwrap()
    };
    Some(people.iter().take(5).map(first).collect())
}

#[test]
fn following_changes_neither_place_nor_probe() {
    let folder = tempfile::tempdir().unwrap();
    let (Some(pictures), Some(pack)) = (pictures(), common::reference_pack(folder.path())) else { return };
    let pipeline = Pipeline::new(&Pack::load(&pack).unwrap()).unwrap();
    let (mut followed, mut seen) = (0, 0);
    let (mut places, mut likeness, mut own) = (Vec::new(), Vec::new(), [0.0, 0.0]);
    let probe =
        |frame: &Frame, face: &Detection| pipeline.embed(&pipeline.align(frame, face).unwrap()).unwrap();
    for picture in &pictures {
        let enrolled = enrolled(&pipeline, picture);
        let mut state = TrackState::default();
        for frame in motion(picture) {
            let Subjects::One(face) = pipeline.track(&mut state, &frame).unwrap() else {
                panic!("the face is in every frame")
            };
            seen += 1;
            if !state.was_followed() {
                continue;
            }
            followed += 1;
            let whole = pipeline.detect(&frame).unwrap()[0];
            let eyes = whole.landmarks[1].x - whole.landmarks[0].x;
            let off = face.landmarks.iter().zip(&whole.landmarks).map(|(a, b)| (a.x - b.x).hypot(a.y - b.y));
            places.push(off.fold(0.0, f32::max) / eyes);
            let (near, whole) = (probe(&frame, &face), probe(&frame, &whole));
            own[0] += score(&near, &enrolled);
            own[1] += score(&whole, &enrolled);
            likeness.push(score(&near, &Reference::enrol(&[whole]).unwrap()));
        }
    }
    let worst = likeness.iter().copied().fold(1.0, f32::min);
    let mean = likeness.iter().sum::<f32>() / likeness.len() as f32;
    let far = places.iter().copied().fold(0.0, f32::max);
    let [near, whole] = own.map(|sum| sum / followed as f32);
    let other = motion(&pictures[4]).swap_remove(0);
    let stranger = probe(&other, &pipeline.detect(&other).unwrap()[0]);
    let stranger = score(&stranger, &enrolled(&pipeline, &pictures[0]));
    println!("{followed} of {seen} frames followed; landmarks off by at most {far:.3} eye distances");
    println!("likeness to the probe of the whole search: mean {mean:.3}, worst {worst:.3}");
    println!(
        "likeness to the enrolled person: followed {near:.3}, searched whole {whole:.3}; a stranger {stranger:.3}"
    );
    assert_eq!(followed * 3, seen * 2, "two of three frames are followed");
    assert!(far < 0.3 && mean > 0.95 && worst > 0.8, "{far} {mean} {worst}");
    assert!(near > whole - 0.02, "following costs likeness: {near} {whole}");
    assert!(stranger < 0.5, "the control: a stranger is not like the enrolled person: {stranger}");
}

/// The upright picture, enrolled from a whole search.
fn enrolled(pipeline: &Pipeline, picture: &Frame) -> Reference {
    let frame = scene::photo(picture, Pose { yaw: 0.0, pitch: 0.0, roll: 0.0 });
    let face = pipeline.detect(&frame).unwrap()[0];
    Reference::enrol(&[pipeline.embed(&pipeline.align(&frame, &face).unwrap()).unwrap()]).unwrap()
}

fn score(probe: &Probe, reference: &Reference) -> f32 {
    compare(probe, reference).unwrap().danger_expose()
}

#[test]
fn a_person_who_leaves_and_one_who_joins_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (Some(pictures), Some(pack)) = (pictures(), common::reference_pack(folder.path())) else { return };
    let pipeline = Pipeline::new(&Pack::load(&pack).unwrap()).unwrap();
    let frames = motion(&pictures[0]);
    let wall = Frame::new(640, 480, vec![120; 640 * 480 * 3]).unwrap();
    let mut state = TrackState::default();
    let mut observe = |frame: &Frame| pipeline.observe_next(&mut state, frame).unwrap();
    observe(&frames[0]);
    assert!(matches!(observe(&wall), FaceObservation::NoFace), "gone at once");
    observe(&frames[0]);
    let two = beside(&frames[1], &frames[2]);
    let count =
        (0..3).take_while(|_| !matches!(observe(&two), FaceObservation::SeveralFaces { count: 2 })).count();
    assert!(count < 3, "a second person is seen within three frames");
}

/// The middle thirds of two frames side by side, as large as a frame.
fn beside(left: &Frame, right: &Frame) -> Frame {
    let third = |frame: &Frame, x: usize, y: usize| {
        let at = (y * 640 + 160 + x) * 3;
        [frame.rgb()[at], frame.rgb()[at + 1], frame.rgb()[at + 2]]
    };
    let rgb = (0..640 * 480).flat_map(|i| {
        let (x, y) = (i % 640, i / 640);
        if x < 320 { third(left, x, y) } else { third(right, x - 320, y) }
    });
    Frame::new(640, 480, rgb.collect()).unwrap()
}
