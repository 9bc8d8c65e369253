//! What is wrong with a frame reaches the screen as one hint: generated people seen badly in one way each, through the
//! pipeline, the core's hint, the step of the local API and the sentence in two languages.

#![expect(clippy::unwrap_used, reason = "test steps may panic")]

use std::collections::BTreeSet;

use zhenyin::text;
use zhenyin_core::api::Step;
use zhenyin_core::biometric::FaceObservation;
use zhenyin_core::look::Hint;
use zhenyin_models::{Frame, Pack, Pipeline};
use zhenyin_tests::demo::default_pack;
use zhenyin_tests::generated::{Person, View};

fn toned(frame: &Frame, tone: impl Fn(f32) -> f32) -> Frame {
    let rgb = frame.rgb().iter().map(|&c| tone(f32::from(c)).clamp(0.0, 255.0) as u8).collect();
    Frame::new(frame.width(), frame.height(), rgb).unwrap()
}

/// Mean of the neighbours within `reach` pixels, along the rows and then along the columns.
fn blurred(frame: &Frame, reach: i32) -> Frame {
    let (width, height) = (frame.width() as i32, frame.height() as i32);
    let pass = |rgb: &[u8], along: (i32, i32)| -> Vec<u8> {
        let at = |x: i32, y: i32, c: i32| {
            u32::from(rgb[((y.clamp(0, height - 1) * width + x.clamp(0, width - 1)) * 3 + c) as usize])
        };
        let mean = |x: i32, y: i32, c: i32| {
            let sum: u32 = (-reach..=reach).map(|d| at(x + d * along.0, y + d * along.1, c)).sum();
            (sum / (2 * reach + 1) as u32) as u8
        };
        let mean = &mean;
        (0..height).flat_map(|y| (0..width).flat_map(move |x| (0..3).map(move |c| mean(x, y, c)))).collect()
    };
    let rgb = pass(&pass(frame.rgb(), (1, 0)), (0, 1));
    Frame::new(frame.width(), frame.height(), rgb).unwrap()
}

/// A cloth before part of the face: shares of its box from the left, the top, and how wide and high.
fn covered(person: &Person, part: [f32; 4]) -> Frame {
    let view = View::default();
    let (frame, [left, top, width, height]) = (person.frame(&view), person.labels(&view).face);
    let within = |v: f32, from: f32, size: f32| (from..from + size).contains(&v);
    let mut rgb = frame.rgb().to_vec();
    for (i, pixel) in rgb.chunks_exact_mut(3).enumerate() {
        let (x, y) = ((i as u32 % frame.width()) as f32, (i as u32 / frame.width()) as f32);
        if within((x - left) / width, part[0], part[2]) && within((y - top) / height, part[1], part[3]) {
            let weave = if (x as u32 / 2 + y as u32 / 2).is_multiple_of(2) { 20 } else { 0 };
            pixel.copy_from_slice(&[110 + weave, 120 + weave, 135 + weave]);
        }
    }
    Frame::new(frame.width(), frame.height(), rgb).unwrap()
}

/// The hint that a frame leads to; `None` when it is good enough.
fn hint(pipeline: &Pipeline, frame: &Frame) -> Option<Hint> {
    match pipeline.observe(frame).unwrap() {
        FaceObservation::NoFace => Some(Hint::NobodyInView),
        FaceObservation::SeveralFaces { .. } => Some(Hint::OneAtATime),
        FaceObservation::Unusable { hint, .. } => Some(hint.into()),
        FaceObservation::Usable(_) => None,
    }
}

#[test]
fn one_hint_at_a_time_from_frame_to_sentence() {
    let pipeline = Pipeline::new(&Pack::load(&default_pack()).unwrap()).unwrap();
    let person = Person::new(1);
    let seen = |view: View| person.frame(&view);
    let good = seen(View::default());
    let empty = Frame::new(640, 480, vec![120; 640 * 480 * 3]).unwrap();
    let cases = [
        (None, good.clone()),
        (Some(Hint::NobodyInView), empty),
        (Some(Hint::TooDark), toned(&good, |c| c * 0.2)),
        (Some(Hint::TooBright), toned(&good, |c| 255.0 - (255.0 - c) * 0.18)),
        (Some(Hint::LowContrast), toned(&good, |c| 128.0 + (c - 128.0) * 0.2)),
        (Some(Hint::Blurred), blurred(&good, 6)),
        (Some(Hint::ComeCloser), seen(View { distance: 1.5, ..View::default() })),
        (Some(Hint::MoveBack), seen(View { distance: 0.24, ..View::default() })),
        // To the other side the pack's small detector takes this person's turn for a lesser one.
        (Some(Hint::FaceTheScreen), seen(View { yaw: -42.0, ..View::default() })),
    ];
    let found: Vec<_> = cases.iter().map(|(wanted, frame)| (*wanted, hint(&pipeline, frame))).collect();
    println!("wanted and found: {found:?}");
    let mut sentences = BTreeSet::new();
    for (wanted, found) in found {
        assert_eq!(wanted, found);
        sentences.insert(sentence(found));
    }
    let down = (14..24).map(|i| seen(View { aside: [0.0, -0.01 * i as f32], ..View::default() }));
    let sinking: Vec<_> = down.filter_map(|frame| hint(&pipeline, &frame)).collect();
    assert!(sinking.contains(&Hint::MoveToCentre), "on the way out of the picture: {sinking:?}");
    sentences.extend([Hint::MoveToCentre, Hint::Uncover].map(|hint| sentence(Some(hint))));
    // "Look at the screen" serves both who is good enough to begin and who is not there.
    assert_eq!(sentences.len(), cases.len() + 1, "{sentences:?}");
}

#[test]
fn a_covered_face_is_not_sent_about() {
    let pipeline = Pipeline::new(&Pack::load(&default_pack()).unwrap()).unwrap();
    let person = Person::new(1);
    // A cloth from the chin up.
    let told: Vec<_> = [0.6, 0.45, 0.32, 0.31, 0.3, 0.295, 0.29, 0.285, 0.28, 0.1]
        .map(|top| (top, hint(&pipeline, &covered(&person, [-0.1, top, 1.2, 1.2]))))
        .into();
    println!("cloth from the chin up to this share of the face: {told:?}");
    // A plain cloth takes the contrast away, too.
    let fits = |hint: Option<Hint>| {
        matches!(hint, None | Some(Hint::Uncover | Hint::NobodyInView | Hint::LowContrast))
    };
    assert!(told.iter().all(|(_, hint)| fits(*hint)), "never to another place or pose: {told:?}");
    assert_eq!(told[0].1, Some(Hint::Uncover), "over mouth and chin");
    assert_ne!(told.last().unwrap().1, None, "nothing of the face is left to see");
}

/// What a person reads, after the hint went through the local API as one word.
fn sentence(hint: Option<Hint>) -> String {
    let step = Step::Look { hint, taken: 0, wanted: 3 };
    let told = serde_json::to_value(&step).unwrap();
    assert_eq!(told["hint"], serde_json::to_value(hint).unwrap(), "one word, not a list");
    text::act::step(&step).to_string()
}
