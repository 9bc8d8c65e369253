//! Generated people: the same number is the same picture, labels are exact, and a pack takes them for people, tells
//! them apart and refuses pictures of them: the project's own pack always, the reference pack where its models are, and
//! of that only printed photos are asked.
//! The figures say nothing about real people.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test steps may panic, and a skip must be seen"
)]

use zhenyin_core::biometric::{FaceObservation, PadResult, Probe, Reference, compare};
use zhenyin_models::import::{ImportOptions, import};
use zhenyin_models::{Frame, Pack, Pipeline};
use zhenyin_tests::attacks::{cut_mask, on_screen, on_sheet, phone_replay, printed_photo};
use zhenyin_tests::demo::{default_pack, shared};
use zhenyin_tests::generated::{Labels, Person, View, sequence, views};
use zhenyin_tests::subjects::generated_cast;

#[test]
fn a_number_is_a_person_and_a_view_is_a_picture() {
    let view = View::draw(5, 1.0);
    let once = Person::new(3).frame(&view);
    assert!(once == Person::new(3).frame(&view));
    assert!(once != Person::new(4).frame(&view), "the control: another person looks different");
    assert!(once != Person::new(3).frame(&View { noise_seed: 6, ..view }), "the control: another moment");
    assert_eq!((once.width(), once.height()), (640, 480));
}

#[test]
fn labels_lie_in_the_frame_and_in_order() {
    for number in 0..12 {
        let person = Person::new(number);
        for view in (0..6).map(|i| View::draw(number * 100 + i, 1.0)) {
            let Labels { face: [left, top, width, height], points } = person.labels(&view);
            let inside = |[x, y]: [f32; 2]| {
                (left..left + width).contains(&x)
                    && (top..top + height).contains(&y)
                    && x < 640.0
                    && y < 480.0
            };
            assert!(points.iter().all(|p| inside(*p)), "{number} {view:?} {points:?}");
            let [left_eye, right_eye, nose, left_mouth, right_mouth] = points;
            assert!(left_eye[0] < right_eye[0] && left_mouth[0] < right_mouth[0]);
            assert!(left_eye[1].max(right_eye[1]) < nose[1] && nose[1] < left_mouth[1].max(right_mouth[1]));
        }
    }
}

#[test]
fn labels_follow_the_head() {
    let person = Person::new(1);
    let nose = |view: View| person.labels(&view).points[2];
    let straight = nose(View::default());
    assert!(nose(View { yaw: 20.0, ..View::default() })[0] > straight[0] + 8.0);
    assert!(nose(View { pitch: 15.0, ..View::default() })[1] > straight[1] + 4.0);
    let [left_eye, right_eye, ..] = person.labels(&View { roll: 15.0, ..View::default() }).points;
    let tilt = (right_eye[1] - left_eye[1]).atan2(right_eye[0] - left_eye[0]).to_degrees();
    assert!((tilt - 15.0).abs() < 2.5, "{tilt}");
}

#[test]
fn attacks_show_a_point_where_the_labels_say() {
    let spot = [300.0, 200.0];
    let mut rgb = vec![0; 640 * 480 * 3];
    for y in 195..=205 {
        rgb[(y * 640 + 295) * 3..(y * 640 + 306) * 3].fill(255);
    }
    let picture = Frame::new(640, 480, rgb).unwrap();
    let bright = |frame: &Frame, [x, y]: [f32; 2]| frame.rgb()[(y as usize * 640 + x as usize) * 3 + 1];
    let on_paper = on_sheet(&picture, spot);
    let printed = printed_photo(&picture);
    assert!(bright(&printed, on_paper) > bright(&printed, [on_paper[0] + 14.0, on_paper[1]]) + 60);
    let on_glass = on_screen(&picture, spot).unwrap();
    let replayed = phone_replay(&picture);
    assert!(bright(&replayed, on_glass) > bright(&replayed, [on_glass[0] + 14.0, on_glass[1]]) + 60);
    assert!(on_screen(&picture, [10.0, 200.0]).is_none(), "cut off by the telephone's narrow screen");
}

#[test]
fn a_sequence_moves_and_blinks() {
    let all = views(&View::default(), 60);
    assert!(all.iter().any(|view| view.blink > 0.9) && all.iter().any(|view| view.blink < 0.1));
    assert!(all.windows(2).all(|two| (two[0].yaw - two[1].yaw).abs() < 1.0), "heads do not jump");
    let frames = sequence(&Person::new(1), &View::default(), 2);
    assert!(frames.len() == 2 && frames[0] != frames[1]);
}

/// The packs that judge. The reference one was made by others, from pictures of people, and never saw a render; the
/// project's own was trained on renders too, of other people than those here.
fn packs() -> Vec<(Pack, Pipeline)> {
    let folder = tempfile::tempdir().unwrap();
    let mut packs = vec![Pack::load(&default_pack()).unwrap()];
    match shared("models") {
        Some(models) => {
            packs.push(import(&models, &folder.path().join("pack"), ImportOptions::default()).unwrap());
        }
        None => println!("skipped: no reference models here, the project's own pack judges alone"),
    }
    packs
        .into_iter()
        .map(|pack| (Pipeline::new(&pack).unwrap(), pack))
        .map(|(line, pack)| (pack, line))
        .collect()
}

/// The project's own pack by its name.
const OWN: &str = "default";
const PEOPLE: u64 = 8;
const VIEWS: u64 = 4;

#[test]
fn a_pack_finds_them_and_tells_them_apart() {
    for (pack, pipeline) in packs() {
        finds_them_and_tells_them_apart(pack.name(), &pipeline);
    }
}

fn finds_them_and_tells_them_apart(pack: &str, pipeline: &Pipeline) {
    let (mut usable, mut live, mut worst) = (0, 0, 0.0_f32);
    let mut probes: Vec<(u64, Probe)> = Vec::new();
    for number in 0..PEOPLE {
        let person = Person::new(number);
        for view in (0..VIEWS).map(|i| View::draw(number * 1000 + i, 0.8)) {
            let frame = person.frame(&view);
            worst = worst.max(points_off(pipeline, &frame, &person.labels(&view)));
            if let Ok(FaceObservation::Usable(sample)) = pipeline.observe(&frame) {
                usable += 1;
                live += u64::from(sample.pad == PadResult::BonaFide);
                probes.push((number, sample.probe));
            }
        }
    }
    let all = PEOPLE * VIEWS;
    let (same, mixed) =
        (equal_error(&probes, |a, b| a == b), equal_error(&probes, |a, b| (a + b) % PEOPLE == 1));
    println!(
        "`{pack}`: {all} views of {PEOPLE} people: {usable} usable, {live} bona fide, equal error {:.1} %, landmarks at most \
         {worst:.2} eye distances off",
        same * 100.0
    );
    assert!(usable * 10 >= all * 9, "{usable} of {all} are usable");
    assert!(worst < 0.4, "{worst}");
    assert!(same < 0.12, "equal error {same}");
    assert!(mixed > 0.3, "the control: wrong names are not told apart, yet the equal error is {mixed}");
}

/// Greatest distance of a detected point from its label, in eye distances; infinite when no face is found.
fn points_off(pipeline: &Pipeline, frame: &Frame, labels: &Labels) -> f32 {
    let Some(face) = pipeline.detect(frame).unwrap().first().copied() else { return f32::INFINITY };
    let [left, right, ..] = labels.points;
    let eyes = (right[0] - left[0]).hypot(right[1] - left[1]);
    let off = face.landmarks.iter().zip(&labels.points).map(|(p, l)| (p.x - l[0]).hypot(p.y - l[1]) / eyes);
    off.fold(0.0, f32::max)
}

/// Where as many pairs of `same` are refused as other pairs are accepted.
fn equal_error(probes: &[(u64, Probe)], same: impl Fn(u64, u64) -> bool) -> f32 {
    let (mut genuine, mut impostor) = (Vec::new(), Vec::new());
    for (i, (one, probe)) in probes.iter().enumerate() {
        for (other, later) in &probes[i + 1..] {
            let reference = Reference::enrol(std::slice::from_ref(later)).unwrap();
            let score = compare(probe, &reference).unwrap().danger_expose();
            if same(*one, *other) { genuine.push(score) } else { impostor.push(score) }
        }
    }
    let share = |scores: &[f32], of: &dyn Fn(f32) -> bool| {
        scores.iter().filter(|s| of(**s)).count() as f32 / scores.len() as f32
    };
    let at = |t: f32| (share(&genuine, &|s| s < t)).max(share(&impostor, &|s| s >= t));
    (0..200).map(|i| at(i as f32 / 200.0)).fold(1.0, f32::min)
}

#[test]
fn pictures_of_generated_people_are_judged() {
    for (pack, pipeline) in packs() {
        pictures_are_judged(pack.name(), &pipeline);
    }
}

fn pictures_are_judged(pack: &str, pipeline: &Pipeline) {
    let judged = |frame: &Frame| {
        let faces = pipeline.detect(frame).unwrap();
        faces.first().map(|face| pipeline.judge(frame, face).unwrap())
    };
    let mut verdicts = [const { Vec::new() }; 4];
    for number in 20..28 {
        let (person, wearer) = (Person::new(number), Person::new(number + 100));
        let view = View::draw(number, 0.5);
        let frame = person.frame(&view);
        let (face, under) = (person.labels(&view).points, wearer.labels(&view).points);
        verdicts[0].push(judged(&frame));
        verdicts[1].push(judged(&printed_photo(&frame)));
        verdicts[2].push(judged(&phone_replay(&frame)));
        verdicts[3].push(judged(&cut_mask(&frame, &face, &wearer.frame(&view), &under)));
    }
    let accepted = verdicts.each_ref().map(|v| v.iter().filter(|v| **v == Some(PadResult::BonaFide)).count());
    let seen = verdicts.each_ref().map(|v| v.iter().flatten().count());
    println!("`{pack}`: live, print, telephone, mask: seen {seen:?}, bona fide {accepted:?} of 8");
    assert!(accepted[0] >= 6, "the control: live renders pass, {accepted:?}");
    assert_eq!(accepted[1], 0, "printed photos");
    // An attack in which no face is found was never judged. The reference pack finds a face in few masks and lets
    // some of those pass, so it answers for printed photos alone.
    if pack == OWN {
        assert_eq!(accepted[2..], [0, 0], "telephones and masks");
        assert!(seen[1..].iter().all(|seen| *seen >= 7), "attacks are seen, {seen:?}");
    }
}

#[test]
fn a_cast_can_be_made_of_them() {
    for (pack, pipeline) in packs() {
        let cast = generated_cast(&pack, &pipeline).unwrap();
        println!(
            "`{}`: {}, {}, {}",
            pack.name(),
            cast.pharmacist.name,
            cast.patient.name,
            cast.stranger.name
        );
        assert!([&cast.pharmacist, &cast.patient, &cast.stranger].iter().all(|s| s.frames.len() >= 6));
    }
}
