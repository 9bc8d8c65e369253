//! The demo's attack over all recorded people: a printed photo of each usable picture is refused.
//! Needs pictures beside the checkout; says that it skips without them.

use zhenyin_core::biometric::PadResult;
use zhenyin_models::{Frame, Pack, Pipeline};
use zhenyin_tests::attacks::printed_photo;
use zhenyin_tests::demo::{default_pack, shared};
use zhenyin_tests::subjects::usable;

/// The largest face of a frame, judged.
fn judged(pipeline: &Pipeline, frame: &Frame) -> Option<PadResult> {
    let faces = pipeline.detect(frame).ok()?;
    pipeline.judge(frame, faces.first()?).ok()
}

#[test]
fn printed_photos_of_recorded_people_are_refused() {
    let Some(people) = shared("faces/dev/lfw10") else {
        println!("skipped: no recorded people here");
        return;
    };
    let pipeline = Pipeline::new(&Pack::load(&default_pack()).unwrap()).unwrap();
    let pictures = usable(&people, &pipeline, 3).unwrap();
    assert!(pictures.len() >= 20, "the control: {} pictures pass as bona fide", pictures.len());
    let verdicts: Vec<_> = pictures.iter().map(|p| judged(&pipeline, &printed_photo(p))).collect();
    let accepted = verdicts.iter().filter(|v| **v == Some(PadResult::BonaFide)).count();
    let unseen = verdicts.iter().filter(|v| v.is_none()).count();
    println!("{} printed photos: {accepted} accepted, {unseen} without a face", verdicts.len());
    assert_eq!(accepted, 0);
    assert!(unseen * 10 <= verdicts.len(), "the attack must show a face to be one");
}
