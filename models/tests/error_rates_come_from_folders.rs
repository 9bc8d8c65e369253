//! Folders of pictures to error rates, with the tiny pack: red squares are faces, green around them is bona fide,
//! blue is an attack; the shade of the square is who it is.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::fs;
use std::path::Path;

use zhenyin_models::calibrate::{CalibrateError, calibrate};
use zhenyin_models::eval::{EvalError, EvalOptions, evaluate, evaluate_attacks, holds_attacks};
use zhenyin_models::{Pack, Pipeline, plot};

const SIDE: i64 = 320;
const GREEN: [u8; 3] = [140, 255, 120];
const BLUE: [u8; 3] = [140, 120, 255];

/// A PNM picture: a square of 44 pixels in `face` on a background.
fn picture(file: &Path, background: [u8; 3], face: Option<[u8; 3]>) {
    let colour = |x: i64, y: i64| match face {
        Some(face) if (x - 175).abs() <= 22 && (y - 175).abs() <= 22 => face,
        Some(_) | None => background,
    };
    let mut bytes = format!("P6\n{SIDE} {SIDE}\n255\n").into_bytes();
    bytes.extend((0..SIDE * SIDE).flat_map(|i| colour(i % SIDE, i / SIDE)));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, bytes).unwrap();
}

fn pipeline() -> (Pack, Pipeline) {
    let pack = Pack::load(&common::tiny_pack()).unwrap();
    let pipeline = Pipeline::new(&pack).unwrap();
    (pack, pipeline)
}

const RED: [u8; 3] = [255, 0, 0];

#[test]
fn attacks_are_counted_by_species_with_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    assert!(!holds_attacks(folder.path()));
    for i in 0..4 {
        picture(&at(&format!("bona-fide/{i}.ppm")), GREEN, Some(RED));
        picture(&at(&format!("attack-blue/{i}.ppm")), BLUE, Some(RED));
    }
    let (_, pipeline) = pipeline();
    let judge = || evaluate_attacks(&pipeline, folder.path(), &mut |_| {});
    // The control: a good picture among the attacks is an error of that species, an empty wall is none.
    picture(&at("attack-green/0.ppm"), GREEN, Some(RED));
    picture(&at("attack-green/1.ppm"), GREEN, None);
    fs::write(at("attack-green/2.ppm"), "no picture").unwrap();
    let report = judge().unwrap();
    assert_eq!((report.bona_fide.judged, report.bona_fide.errors), (4, 0));
    let [blue, green] = &report.attacks[..] else { panic!("{report:?}") };
    assert_eq!((blue.name.as_str(), blue.judged, blue.errors), ("blue", 4, 0));
    assert!(
        (blue.error_bound() - 0.527).abs() < 0.01,
        "no error in four says little: {}",
        blue.error_bound()
    );
    assert_eq!((green.judged, green.errors, green.no_face, green.unreadable), (1, 1, 1, 1));
    assert_eq!(green.error_rate(), Some(1.0));
    assert!(report.to_string().contains("APCER"), "{report}");
    for species in ["attack-blue", "attack-green"] {
        fs::remove_dir_all(at(species)).unwrap();
    }
    assert!(matches!(judge(), Err(EvalError::NoAttacks { .. })));
}

/// Three people, five pictures each; a person is a shade.
fn people(folder: &Path) {
    for person in 0..3_u8 {
        for i in 0..5_u8 {
            let file = folder.join(format!("person{person}/face_{}{i}.ppm", i % 2));
            picture(&file, [140 - person * 40, 255 - i, 120 + person * 30], Some([255, i, person * 9]));
        }
    }
}

#[test]
fn sets_give_curves_and_fused_figures() {
    let folder = tempfile::tempdir().unwrap();
    people(folder.path());
    let (pack, pipeline) = pipeline();
    let options = EvalOptions { fuse: vec![2], ..EvalOptions::default() };
    let threshold = pack.thresholds().comparison.cosine();
    let report = evaluate(&pipeline, threshold, folder.path(), &options, &mut |_| {}).unwrap();
    let set = &report.sets[0];
    assert_eq!((set.identities, set.genuine, set.impostor), (3, 30, 75));
    assert!(set.fused.iter().all(|fused| fused.identities == 3 && fused.impostor == 6), "{:?}", set.fused);
    assert!(plot::svg(&report).contains("<polyline"));
    assert!(report.to_string().contains("2 frames, mean"), "{report}");
}

#[test]
fn a_small_site_gets_no_threshold() {
    let folder = tempfile::tempdir().unwrap();
    people(folder.path());
    let (pack, pipeline) = pipeline();
    let ask = |wanted| calibrate(&pack, &pipeline, folder.path(), wanted, &mut |_| {});
    let error = ask(0.001).unwrap_err();
    assert!(matches!(error, CalibrateError::TooFewPairs { people: 3, pairs: 3, .. }), "{error}");
    assert!(error.to_string().contains("bring pictures of 78 people"), "{error}");
    assert!(matches!(ask(0.5), Err(CalibrateError::Rate { .. })));
}
