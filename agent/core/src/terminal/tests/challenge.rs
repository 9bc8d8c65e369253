//! A doubt about liveness: asked to look aside, judged, and never without another way.

use super::*;
use crate::challenge::{Turn, Turned};
use crate::documents::ChallengePolicy;

impl Desk {
    /// The frames of the challenge under way showed this.
    pub(super) fn turned(&mut self, turned: Turned) {
        if let Some((asked, _)) = self.challenge {
            self.put(Input::Turned { asked, turned });
        }
    }

    fn doubt(&mut self, person: usize) {
        self.look(person, PadResult::Doubtful, 3);
    }

    /// The newest event of this kind, as JSON.
    fn event(&self, kind: &str) -> String {
        let mut of_kind =
            self.journal.iter().rev().filter(|e| kind_unverified(&e.jws).as_deref() == Some(kind));
        let event = of_kind.next().unwrap_or_else(|| panic!("no {kind}"));
        String::from_utf8(crate::jws::payload_unverified(&event.jws).unwrap()).unwrap()
    }
}

fn as_asked(person: usize) -> Turned {
    Turned::AsAsked(vec![probe(person), probe(person), probe(person)])
}

/// A desk with one member of staff and one patient who uses the face.
fn desk_with_people(policy: ChallengePolicy) -> Desk {
    desk_that_looks(policy, 3)
}

/// The same, with so many frames to a look.
fn desk_that_looks(challenge: ChallengePolicy, frames: u8) -> Desk {
    let content = PolicyContent::new(1, WallTime(0), WallTime(i64::MAX / 4));
    let mut desk = Desk::with_policy(PolicyContent { challenge, probe_frames: Some(frames), ..content });
    desk.enrol_staff(0);
    desk.begin(Request::StaffLogin);
    desk.look(0, PadResult::BonaFide, usize::from(frames));
    desk.begin(Request::PatientEnrolment);
    desk.card(1);
    desk.answer(Answer::Consent { agree: true });
    desk.look(1, PadResult::BonaFide, 3);
    assert!(matches!(desk.last(), Outcome::Enrolled { face: true, .. }));
    desk
}

fn visit(desk: &mut Desk) {
    desk.begin(Request::PatientVisit);
    desk.card(1);
}

/// What is shown and told after a doubtful look and `then`.
fn check(policy: ChallengePolicy, then: impl FnOnce(&mut Desk), recorded: &str) {
    let mut desk = desk_with_people(policy);
    visit(&mut desk);
    desk.doubt(1);
    then(&mut desk);
    assert_eq!(desk.steps.last(), Some(&Step::AskStaff { reason: Reason::LivenessInDoubt }), "{recorded}");
    assert!(!desk.camera && desk.challenge.is_none(), "{recorded}");
    let event = desk.event("pad.doubted.v1");
    assert!(event.contains(&format!(r#""challenge":"{recorded}""#)), "{event}");
    desk.answer(Answer::Document { document: DocumentKind::ResidentId, check: DocumentCheck::Match });
    assert!(matches!(desk.last(), Outcome::Verified { method: Method::StaffDocument, .. }), "no dead end");

    let mut desk = desk_with_people(policy);
    desk.begin(Request::StaffLogin);
    desk.doubt(0);
    desk.card(0);
    desk.pin("135790");
    assert!(matches!(desk.last(), Outcome::SignedIn { method: Method::CardPin, .. }), "no dead end");
}

#[test]
fn a_doubt_is_settled_by_the_head_that_turns_as_asked() {
    let mut desk = desk_with_people(ChallengePolicy::default());
    visit(&mut desk);
    desk.doubt(1);
    assert!(matches!(desk.steps.last(), Some(Step::Turn { .. })));
    assert_eq!(desk.terminal.status(desk.now).challenge, desk.challenge.map(|(_, turn)| turn));
    desk.turned(as_asked(1));
    assert!(matches!(desk.last(), Outcome::Verified { method: Method::CardFace, .. }));
    let event = desk.event("visit.verified.v1");
    assert!(event.contains(r#""challenge":"passed""#) && event.contains(r#""pad":"doubt""#), "{event}");

    desk.begin(Request::StaffLogin);
    desk.doubt(0);
    desk.turned(as_asked(0));
    assert!(matches!(desk.last(), Outcome::SignedIn { method: Method::Face, .. }));
    assert_eq!(desk.terminal.status(desk.now).challenge, None);
}

#[test]
fn a_doubt_that_is_not_settled_leads_to_the_other_way() {
    use Turned::{Flat, Interrupted, NotFollowed, WrongWay};
    let on = ChallengePolicy::default();
    check(on, |d| d.turned(WrongWay), "wrong-way");
    check(on, |d| d.turned(Flat), "flat");
    check(on, |d| (0..3).for_each(|_| d.turned(Interrupted)), "interrupted");
    check(on, |d| (0..3).for_each(|_| d.turned(NotFollowed)), "not-followed");
    check(on, |d| d.turned(as_asked(2)), "another-face");
    check(on, |d| d.turned(Turned::AsAsked(vec![])), "another-face");
    check(on, |d| d.pass(u64::from(on.seconds)), "timed-out");
    check(on, |d| d.answer(Answer::WithoutChallenge), "declined");
    check(ChallengePolicy { allowed: false, ..on }, |_| {}, "not-asked");
}

#[test]
fn a_late_or_foreign_turn_counts_for_nothing() {
    let mut desk = desk_with_people(ChallengePolicy::default());
    visit(&mut desk);
    desk.doubt(1);
    let (asked, _) = desk.challenge.unwrap();
    desk.put(Input::Turned { asked: asked.after(Duration::from_nanos(1)), turned: as_asked(1) });
    desk.look(1, PadResult::BonaFide, 10);
    assert!(matches!(desk.steps.last(), Some(Step::Turn { .. })), "nor does a look");
    desk.pass(20);
    desk.put(Input::Turned { asked, turned: as_asked(1) });
    assert_eq!(desk.steps.last(), Some(&Step::AskStaff { reason: Reason::LivenessInDoubt }));
}

#[test]
fn a_turn_does_not_make_a_stranger_known() {
    let mut desk = desk_with_people(ChallengePolicy::default());
    visit(&mut desk);
    for _ in 0..2 {
        desk.doubt(2);
        assert!(matches!(desk.steps.last(), Some(Step::Turn { .. })), "asked whether known or not");
        desk.turned(as_asked(2));
    }
    assert_eq!(desk.steps.last(), Some(&Step::AskStaff { reason: Reason::NonMatch }));
}

/// Looks of six frames: three doubtful ones of `before`, then `between`, then living ones of `after`, who turns.
fn look_of_two([before, after]: [usize; 2], between: impl Fn(&mut Desk), turns: usize) -> Desk {
    let mut desk = desk_that_looks(ChallengePolicy::default(), 6);
    desk.begin(Request::StaffLogin);
    desk.look(before, PadResult::Doubtful, 3);
    between(&mut desk);
    desk.look(after, PadResult::BonaFide, 3);
    desk.turned(as_asked(turns));
    desk
}

#[test]
fn nobody_turns_the_head_for_a_photo_of_another() {
    let lowered = |desk: &mut Desk| desk.frame(FaceObservation::NoFace);
    let blurred = |desk: &mut Desk| {
        let (hint, quality) = (QualityHint::Blurred, Quality::new(5));
        desk.frame(FaceObservation::Unusable { hint, quality });
    };
    for turns in [0, 1] {
        for desk in [
            look_of_two([0, 1], |_| {}, turns),
            look_of_two([0, 1], blurred, turns),
            look_of_two([1, 0], |_| {}, turns),
        ] {
            assert_eq!(desk.steps.last(), Some(&Step::UseCard { reason: Reason::LivenessInDoubt }));
            assert!(desk.event("pad.doubted.v1").contains(r#""challenge":"another-face""#));
        }
        let mut desk = look_of_two([0, 1], lowered, turns);
        assert!(matches!(desk.steps.last(), Some(Step::Look { taken: 3, .. })), "{:?}", desk.steps.last());
        desk.look(1, PadResult::BonaFide, 3);
        assert_eq!(desk.steps.last(), Some(&Step::UseCard { reason: Reason::NonMatch }));
    }
    let desk = look_of_two([0, 0], |_| {}, 0);
    assert!(matches!(desk.last(), Outcome::SignedIn { method: Method::Face, .. }), "the control: one person");
}

/// A face between two people, near enough to both.
fn between(one: usize, other: usize) -> Probe {
    Probe::fuse(&[probe(one), probe(other)]).unwrap()
}

#[test]
fn the_turned_head_is_compared_with_the_reference_too() {
    for (person, accepted) in [(0, true), (2, false)] {
        let mut desk = desk_with_people(ChallengePolicy::default());
        desk.begin(Request::StaffLogin);
        for _ in 0..3 {
            let sample = FaceSample { probe: between(0, 2), ..sample(0, PadResult::Doubtful) };
            desk.frame(FaceObservation::Usable(sample));
        }
        desk.turned(as_asked(person));
        let signed_in = matches!(desk.last(), Outcome::SignedIn { .. }) && desk.replies.len() > 3;
        assert_eq!(signed_in, accepted, "{:?}", desk.steps.last());
    }
}

#[test]
fn whoever_said_so_is_never_asked_to_turn() {
    let mut desk = Desk::new();
    desk.begin(Request::StaffEnrolment { role: Role::parse("nurse").unwrap() });
    desk.card(0);
    desk.answer(Answer::WithoutChallenge);
    desk.answer(Answer::Consent { agree: true });
    desk.pin("135790");
    desk.look(0, PadResult::BonaFide, 3);
    desk.begin(Request::StaffLogin);
    desk.doubt(0);
    assert_eq!(desk.steps.last(), Some(&Step::UseCard { reason: Reason::LivenessInDoubt }));
    desk.answer(Answer::Cancel);
    desk.begin(Request::StaffLogin);
    desk.look(0, PadResult::BonaFide, 3);
    assert!(matches!(desk.last(), Outcome::SignedIn { method: Method::Face, .. }), "the face still works");
}

#[test]
fn declining_does_not_draw_the_direction_again_and_again() {
    let mut desk = desk_with_people(ChallengePolicy::default());
    let limit = PolicyContent::new(1, WallTime(0), WallTime(1)).attempts.face;
    for _ in 0..limit {
        visit(&mut desk);
        desk.doubt(1);
        assert!(matches!(desk.steps.last(), Some(Step::Turn { .. })));
        desk.answer(Answer::Cancel);
    }
    desk.begin(Request::StaffLogin);
    assert_eq!(desk.steps.last(), Some(&Step::UseCard { reason: Reason::AttemptLimit }));
}

#[test]
fn every_challenge_that_was_left_is_on_record_once() {
    type Does = fn(&mut Desk);
    let begins: [Does; 3] = [
        |d| d.begin(Request::StaffLogin),
        visit,
        |d| {
            d.begin(Request::PatientEnrolment);
            d.card(3);
            d.answer(Answer::Consent { agree: true });
        },
    ];
    let ends: [(Does, &str); 3] = [
        (|d| d.answer(Answer::Cancel), "declined"),
        (|d| d.answer(Answer::WithoutFace), "declined"),
        (|d| d.put(Input::Camera(Err(Fault::CameraLost))), "interrupted"),
    ];
    for (person, begin) in [0, 1, 3].into_iter().zip(begins) {
        for (end, word) in ends {
            let mut desk = desk_with_people(ChallengePolicy::default());
            begin(&mut desk);
            desk.doubt(person);
            assert!(matches!(desk.steps.last(), Some(Step::Turn { .. })), "{person}");
            end(&mut desk);
            let doubts = desk.kinds().iter().filter(|kind| *kind == "pad.doubted.v1").count();
            assert_eq!(doubts, 1, "{person} {word}");
            assert!(desk.event("pad.doubted.v1").contains(&format!(r#""challenge":"{word}""#)), "{person}");
        }
    }
    let desk = card_that_came_and_went(|d| d.doubt(0));
    assert!(desk.event("pad.doubted.v1").contains(r#""challenge":"declined""#), "a card on the reader");
}

/// A login in which a card was laid on the reader and taken away again after `before`.
fn card_that_came_and_went(before: impl FnOnce(&mut Desk)) -> Desk {
    let mut desk = desk_with_people(ChallengePolicy::default());
    desk.begin(Request::StaffLogin);
    before(&mut desk);
    desk.card(0);
    assert!(matches!(desk.steps.last(), Some(Step::EnterPin { .. })), "the card is an equal way");
    desk.card_event(CardEvent::Removed);
    desk
}

#[test]
fn a_card_that_comes_and_goes_undoes_nothing() {
    let (doubtful, bona_fide) = (PadResult::Doubtful, PadResult::BonaFide);
    for (before, reason) in [
        (&|d: &mut Desk| d.doubt(0), Reason::LivenessInDoubt),
        (&|d: &mut Desk| d.look(2, bona_fide, 3), Reason::NonMatch),
        (&|d: &mut Desk| d.look(0, PadResult::Attack, 3), Reason::PresentationAttack),
    ] as [(&dyn Fn(&mut Desk), Reason); 3]
    {
        let mut desk = card_that_came_and_went(before);
        assert_eq!(desk.steps.last(), Some(&Step::UseCard { reason }));
        desk.look(0, bona_fide, 3);
        assert!(!desk.camera && desk.challenge.is_none() && desk.replies.len() == 3, "{reason:?}");
        desk.card(0);
        desk.pin("135790");
        assert!(matches!(desk.last(), Outcome::SignedIn { method: Method::CardPin, .. }), "no dead end");
    }

    let mut desk = card_that_came_and_went(|d| d.answer(Answer::WithoutChallenge));
    desk.look(0, doubtful, 3);
    assert_eq!(desk.steps.last(), Some(&Step::UseCard { reason: Reason::LivenessInDoubt }), "still unasked");

    let mut desk = card_that_came_and_went(|d| d.look(0, bona_fide, 2));
    desk.look(0, bona_fide, 3);
    assert!(matches!(desk.last(), Outcome::SignedIn { method: Method::Face, .. }), "the control");
}

#[test]
fn nobody_is_enrolled_from_a_doubtful_look_that_does_not_turn() {
    for (turned, enrolled) in [(as_asked(3), true), (Turned::Flat, false)] {
        let mut desk = desk_with_people(ChallengePolicy::default());
        desk.begin(Request::PatientEnrolment);
        desk.card(3);
        desk.answer(Answer::Consent { agree: true });
        desk.doubt(3);
        desk.turned(turned);
        assert_eq!(matches!(desk.last(), Outcome::Enrolled { face: true, .. }), enrolled);
    }
}

#[test]
fn the_direction_is_drawn_from_the_random_bytes_of_the_act() {
    let mut turns = BTreeSet::new();
    for byte in 0..3 {
        let mut desk = desk_with_people(ChallengePolicy::default());
        desk.put(Input::Begin { ticket: Ticket(99), request: Request::StaffLogin, entropy: [byte; 16] });
        desk.doubt(0);
        turns.extend(desk.challenge.map(|(_, turn)| format!("{turn:?}")));
    }
    assert_eq!(turns.len(), Turn::DRAWN.len());
}
