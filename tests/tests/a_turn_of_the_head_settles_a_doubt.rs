//! A doubtful look is settled by a turn of the head that was asked for: generated people pass, pictures of them turned
//! by hand do not, and both have another way. The control is the same desk without a band of doubt.
#![expect(clippy::unwrap_used, reason = "test steps may panic")]

use std::path::{Path, PathBuf};

use zhenyin_core::api::{Answer, Outcome, Reply, Request, Step};
use zhenyin_core::challenge::{Turn, Turned};
use zhenyin_core::decision::{Method, Reason};
use zhenyin_core::enrolled::Role;
use zhenyin_core::pin::Pin;
use zhenyin_models::{Frame, Pack, Pipeline, Turning};
use zhenyin_tests::attacks::{phone_replay, printed_photo, turned_by_hand};
use zhenyin_tests::card_reader::cards::CardSpec;
use zhenyin_tests::demo::default_pack;
use zhenyin_tests::generated::{Person, View, aside, glance, sequence};
use zhenyin_tests::world::World;

/// How far people turn when asked to look aside.
const FAR: f32 = 30.0;
/// How far their pictures are turned: at most, with some nod, as an attacker would try.
const PICTURE: [f32; 2] = [1.2, 0.5];

fn facing(number: u64) -> View {
    View { noise_seed: number, place: number, ..View::default() }
}

fn turned(view: &View, [yaw, pitch]: [f32; 2]) -> View {
    View { yaw: view.yaw + yaw, pitch: view.pitch + pitch, ..*view }
}

/// Every third frame of a glance, as a challenge takes them.
fn judged(pipeline: &Pipeline, turn: Turn, frames: impl IntoIterator<Item = Frame>) -> Option<Turned> {
    let mut turning = Turning::new(turn);
    frames.into_iter().step_by(3).find_map(|frame| turning.take(pipeline, &frame).unwrap())
}

#[test]
fn heads_turn_and_their_pictures_do_not() {
    let pipeline = Pipeline::new(&Pack::load(&default_pack()).unwrap()).unwrap();
    let (mut heads, mut elsewhere, mut pictures) = (0, 0, 0);
    let people = 1..=2_u64;
    for (number, turn) in people.clone().flat_map(|n| Turn::DRAWN.map(|turn| (n, turn))) {
        let (person, view) = (Person::new(number), facing(number));
        let frames = glance(turn, FAR, |pose| person.frame(&turned(&view, pose)));
        let other = if turn == Turn::Left { Turn::Right } else { Turn::Left };
        elsewhere +=
            usize::from(matches!(judged(&pipeline, other, frames.clone()), Some(Turned::AsAsked(_))));
        let verdict = judged(&pipeline, turn, frames);
        heads += usize::from(matches!(&verdict, Some(Turned::AsAsked(probes)) if probes.len() == 3));
        let frame = person.frame(&view);
        for attack in [printed_photo(&frame), phone_replay(&frame)] {
            for nod in [0.0, PICTURE[1]] {
                let hand = |[yaw, _]: [f32; 2]| [PICTURE[0] * yaw, nod * yaw];
                let frames = glance(turn, FAR, |pose| turned_by_hand(&attack, hand(pose)));
                let verdict = judged(&pipeline, turn, frames);
                pictures += usize::from(matches!(verdict, Some(Turned::AsAsked(_))));
            }
        }
    }
    let all = people.count() * Turn::DRAWN.len();
    println!(
        "{all} glances: {heads} heads pass, {elsewhere} when asked elsewhere, {pictures} of {} pictures",
        4 * all
    );
    assert!(heads + 1 >= all, "{heads} of {all}");
    assert_eq!((elsewhere, pictures), (0, 0));
}

/// The pack in a folder of its own with these PAD thresholds.
fn with_pad(pack: &Path, folder: PathBuf, pad: &str, doubt: &str) -> PathBuf {
    std::fs::create_dir(&folder).unwrap();
    for entry in std::fs::read_dir(pack).unwrap() {
        let file = entry.unwrap().path();
        std::fs::copy(&file, folder.join(file.file_name().unwrap())).unwrap();
    }
    let text = std::fs::read_to_string(pack.join("pack.toml")).unwrap();
    let lines =
        text.lines().filter(|line| !line.starts_with("pad_doubt")).map(|line| match line.split_once(" = ") {
            Some(("pad", _)) => format!("pad = {pad}\npad_doubt = {doubt}"),
            Some(("pad_each", _)) => "pad_each = 1e-30".to_owned(),
            _ => line.to_owned(),
        });
    std::fs::write(folder.join("pack.toml"), lines.collect::<Vec<_>>().join("\n")).unwrap();
    folder
}

/// A subject before the camera: as it stands there, and what it shows when asked to look aside.
struct Shown {
    still: Vec<Frame>,
    /// Drawn beforehand: a challenge lasts seconds, and a busy machine draws slowly.
    aside: Vec<(Turn, Vec<Frame>)>,
}

impl Shown {
    fn new(still: Vec<Frame>, seen: impl Fn([f32; 2]) -> Frame) -> Self {
        let drawn = |turn| {
            let mut frames = vec![];
            glance(turn, FAR, |pose| frames.push(seen(pose)));
            (turn, frames)
        };
        Self { still, aside: Turn::DRAWN.into_iter().map(drawn).collect() }
    }

    fn glance(&self, turn: Turn) -> Vec<Frame> {
        let (_, drawn) = self.aside.iter().find(|(drawn, _)| *drawn == turn).unwrap();
        let mut drawn = drawn.iter();
        glance(turn, FAR, |_| drawn.next().unwrap().clone())
    }
}

/// A login that shows the subject, and comes with the card once the face is out of it.
fn login(world: &World, shown: &Shown) -> (Reply, Vec<Step>) {
    world.reader.remove();
    perform(world, &Request::StaffLogin, shown)
}

fn perform(world: &World, request: &Request, shown: &Shown) -> (Reply, Vec<Step>) {
    world.stage.show(shown.still.clone());
    let mut steps = Vec::new();
    let reply = world.perform(request, |step| {
        steps.push(step.clone());
        match step {
            Step::Turn { turn, .. } => world.stage.show(shown.glance(*turn)),
            Step::UseCard { .. } => world.reader.insert(CardSpec::version_2()),
            Step::AskConsent => return Some(Answer::Consent { agree: true }),
            Step::ChoosePin | Step::EnterPin { .. } => {
                return Some(Answer::Pin { pin: Pin::parse("271828").unwrap() });
            }
            Step::LookOrPresentCard
            | Step::PresentCard
            | Step::PresentCardAgain { .. }
            | Step::Look { .. }
            | Step::AskStaff { .. }
            | Step::CodeTaken { .. } => {}
        }
        None
    });
    world.stage.clear();
    (reply.unwrap(), steps)
}

fn was_asked(steps: &[Step]) -> bool {
    steps.iter().any(|step| matches!(step, Step::Turn { .. }))
}

#[test]
fn a_desk_in_doubt_asks_for_a_turn_and_has_another_way() {
    let folder = tempfile::tempdir().unwrap();
    // Everything is in doubt, the living too: what follows rests on the challenge alone.
    let doubtful = with_pad(&default_pack(), folder.path().join("doubtful"), "0.9999999", "1e-30");
    let mut world = World::build(folder.path(), Some(&doubtful)).unwrap();
    world.until("the reader answering", |s| s.reader.is_none()).unwrap();
    let (person, view) = (Person::new(1), facing(1));
    let living = Shown::new(sequence(&person, &view, 8), |pose| person.frame(&turned(&view, pose)));

    world.reader.insert(CardSpec::version_2());
    let role = Role::parse("pharmacist").unwrap();
    let (reply, steps) = perform(&world, &Request::StaffEnrolment { role }, &living);
    assert!(matches!(reply.outcome, Outcome::Enrolled { face: true, .. }), "{reply:?} {steps:?}");
    assert!(was_asked(&steps));

    let (reply, steps) = login(&world, &living);
    assert!(matches!(reply.outcome, Outcome::SignedIn { method: Method::Face, .. }), "{reply:?} {steps:?}");
    assert!(was_asked(&steps));

    let frame = person.frame(&view);
    for attack in [printed_photo(&frame), phone_replay(&frame)] {
        let picture = Shown::new(vec![attack.clone()], |pose| turned_by_hand(&attack, pose));
        let (reply, steps) = login(&world, &picture);
        assert!(was_asked(&steps), "{steps:?}");
        assert!(steps.contains(&Step::UseCard { reason: Reason::LivenessInDoubt }), "{steps:?}");
        let other_way = matches!(reply.outcome, Outcome::SignedIn { method: Method::CardPin, .. });
        assert!(other_way, "never a dead end: {reply:?}");
    }

    // The control: without a band of doubt the very same photo opens the desk.
    world.stop_agent();
    let trusting = with_pad(&default_pack(), folder.path().join("trusting"), "1e-30", "1e-30");
    std::fs::copy(trusting.join("pack.toml"), doubtful.join("pack.toml")).unwrap();
    world.start_agent().unwrap();
    world.until("the reader answering", |s| s.reader.is_none()).unwrap();
    let photo = printed_photo(&frame);
    let (reply, _) = login(&world, &Shown { still: vec![photo], aside: vec![] });
    assert!(
        matches!(reply.outcome, Outcome::SignedIn { method: Method::Face, .. }),
        "the control: {reply:?}"
    );

    world.stop_agent();
    let (counters, summary) = world.export(&folder.path().join("export")).unwrap();
    assert_eq!(counters.size, summary.events);
    let told = told(&folder.path().join("export/events.jws"));
    let count = |part: &str| told.iter().filter(|event| event.contains(part)).count();
    assert_eq!(count(r#""challenge":"passed""#), 1, "the login; an enrolment records no comparison");
    assert_eq!(count("pad.doubted.v1"), 2, "{told:#?}");
}

/// The payloads of exported events.
fn told(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let payload = |line| String::from_utf8(zhenyin_core::jws::payload_unverified(line)?).ok();
    text.lines().filter_map(payload).collect()
}

#[test]
fn a_glance_goes_there_and_comes_back() {
    let poses = glance(Turn::Up, FAR, |pose| pose);
    assert!(poses.windows(2).all(|two| (two[1][1] - two[0][1]).abs() < 2.1), "nothing jumps");
    assert!(poses.contains(&aside(Turn::Up, FAR)) && poses.first() == Some(&[0.0, 0.0]));
    assert!(poses.len() >= 100, "long enough to be seen");
}
