//! The active challenge against simulated heads and pictures, with the error rates it reaches. Heads are five points
//! in space seen in perspective; pictures are the same five points printed flat or bent. Landmarks are noisy.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;
mod scene;

use scene::{Chance, Pose, Sheet, head, project, seen};
use zhenyin_models::challenge::{AHEAD, Challenge, LEAST_SHIFT, MOST_FRAMES, Turn, Verdict};
use zhenyin_models::resample::Point;
use zhenyin_models::{Frame, Pack, Pipeline};

const RUNS: usize = 1000;

/// What is held before the camera.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Subject {
    /// A head that does as asked, by 25 to 40 degrees.
    Head,
    /// A head that does something else.
    OtherWay,
    /// A flat picture, turned by up to 40 degrees about any axis, moved and scaled.
    Flat,
    /// The same, bent about the upright axis while it is shown, up to a radius of 9 cm.
    Bent,
}

const TURNS: [Turn; 3] = [Turn::Left, Turn::Right, Turn::Up];

/// One sequence: the strength that was reached, and the verdict.
fn play(subject: Subject, noise: f32, chance: &mut Chance) -> (f32, Verdict) {
    let turn = TURNS[chance.below(3)];
    let mut challenge = Challenge::new(turn);
    let mut verdict = Verdict::Watching;
    let (head, goal, bend) = (head(chance), goal(subject, turn, chance), chance.between(0.0, 0.7));
    let speed = chance.between(5.0, 12.0);
    let place = (chance.between(280.0, 360.0), chance.between(200.0, 280.0), chance.between(7.0, 13.0));
    for frame in 0..MOST_FRAMES {
        let share = ((frame as f32 + 1.0 - AHEAD as f32) / speed).clamp(0.0, 1.0);
        let pose = goal.times(share);
        let points = match subject {
            Subject::Head | Subject::OtherWay => project(&head, pose, place),
            Subject::Flat => project(&Sheet { bend: 0.0 }.printed(&head), pose, place),
            Subject::Bent => project(&Sheet { bend: bend * share }.printed(&head), pose, place),
        };
        verdict = challenge.take(Some(&seen(points, noise, chance)));
    }
    (challenge.strength(), verdict)
}

fn goal(subject: Subject, turn: Turn, chance: &mut Chance) -> Pose {
    let small = |chance: &mut Chance| chance.between(-4.0, 4.0);
    let asked = match turn {
        Turn::Left => (1.0, 0.0),
        Turn::Right => (-1.0, 0.0),
        Turn::Up => (0.0, 1.0),
    };
    let (yaw, pitch) = match subject {
        Subject::Head => {
            let much = chance.between(25.0, 40.0);
            (asked.0 * much + small(chance), asked.1 * much + small(chance))
        }
        Subject::OtherWay => {
            let much = chance.between(25.0, 40.0);
            (-asked.0 * much + small(chance), -asked.1 * much + small(chance))
        }
        Subject::Flat | Subject::Bent => (chance.between(-40.0, 40.0), chance.between(-30.0, 30.0)),
    };
    Pose { yaw, pitch, roll: chance.between(-10.0, 10.0) }
}

/// Share of sequences that pass as a head.
fn passing(subject: Subject, noise: f32) -> f64 {
    let mut chance = Chance::new(7);
    let passed = (0..RUNS).filter(|_| play(subject, noise, &mut chance).1 == Verdict::Turned).count();
    passed as f64 / RUNS as f64
}

#[test]
fn heads_pass_and_pictures_do_not() {
    println!(
        "noise  head  other way  flat  bent   (share that passes at {LEAST_SHIFT}, {RUNS} sequences each)"
    );
    for (noise, least_heads, most_flat, most_bent) in [(0.01, 0.97, 0.002, 0.02), (0.02, 0.93, 0.005, 0.02)] {
        let [heads, other, flat, bent] =
            [Subject::Head, Subject::OtherWay, Subject::Flat, Subject::Bent].map(|s| passing(s, noise));
        println!("{noise:.3}  {heads:.3}  {other:.3}      {flat:.3}  {bent:.3}");
        assert!(heads >= least_heads, "{heads} of heads at noise {noise}");
        assert!(other <= 0.002, "{other} of heads that look elsewhere at noise {noise}");
        assert!(flat <= most_flat, "{flat} of flat pictures at noise {noise}");
        assert!(bent <= most_bent, "{bent} of bent pictures at noise {noise}");
    }
}

#[test]
fn the_threshold_stands_where_both_errors_are_small() {
    let noise = 0.02;
    let mut chance = Chance::new(11);
    let [heads, flat, bent] = [Subject::Head, Subject::Flat, Subject::Bent]
        .map(|s| (0..RUNS).map(|_| play(s, noise, &mut chance).0).collect::<Vec<_>>());
    let share = |all: &[f32], least: f32| all.iter().filter(|&&s| s >= least).count() as f64 / RUNS as f64;
    println!("threshold  BPCER  APCER flat  APCER bent   (shift alone, noise {noise})");
    for threshold in [0.02, 0.04, 0.06, 0.08, 0.10, 0.12, LEAST_SHIFT] {
        let (bpcer, flat, bent) =
            (1.0 - share(&heads, threshold), share(&flat, threshold), share(&bent, threshold));
        println!("{threshold:.2}       {bpcer:.3}  {flat:.3}       {bent:.3}");
    }
    // The control: at a threshold of noise height flat pictures do pass.
    assert!(share(&flat, 0.02) > 0.1, "the simulation never comes near the threshold");
    assert!(share(&flat, LEAST_SHIFT) < 0.01);
}

/// Real detector, real pictures, shown as a photo that is turned before the camera.
#[test]
fn real_photos_turned_by_hand_do_not_pass() {
    let Some(pictures) = common::shared("faces/dev/lfw10") else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some(pack) = common::reference_pack(folder.path()) else { return };
    let pipeline = Pipeline::new(&Pack::load(&pack).unwrap()).unwrap();
    let mut chance = Chance::new(3);
    let mut strengths = Vec::new();
    for identity in std::fs::read_dir(pictures).unwrap().take(8) {
        let file = std::fs::read_dir(identity.unwrap().path()).unwrap().next().unwrap().unwrap();
        let picture = Frame::decode(&std::fs::read(file.path()).unwrap()).unwrap();
        let turn = TURNS[chance.below(3)];
        let mut challenge = Challenge::new(turn);
        let goal = goal(Subject::Flat, turn, &mut chance);
        for frame in 0..18 {
            let share = ((frame as f32 + 1.0 - AHEAD as f32) / 10.0).clamp(0.0, 1.0);
            let landmarks = landmarks(&pipeline, &scene::photo(&picture, goal.times(share)));
            let verdict = challenge.take(landmarks.as_ref());
            assert_ne!(verdict, Verdict::Turned, "{turn:?} {goal:?} {}", challenge.strength());
        }
        strengths.push(challenge.strength());
    }
    println!("strengths of real photos, threshold {LEAST_SHIFT}: {strengths:.3?}");
    assert!(strengths.len() >= 5);
}

fn landmarks(pipeline: &Pipeline, frame: &Frame) -> Option<[Point; 5]> {
    pipeline.detect(frame).unwrap().first().map(|face| face.landmarks)
}
