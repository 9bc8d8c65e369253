//! Limits on failed attempts, as an act meets them.

use super::*;

#[test]
fn many_failed_looks_give_the_face_a_rest() {
    let mut desk = Desk::new();
    desk.enrol_staff(0);
    let limit = PolicyContent::new(1, WallTime(0), WallTime(1)).attempts.face;
    for _ in 0..limit {
        desk.begin(Request::StaffLogin);
        desk.look(1, PadResult::BonaFide, 3);
        desk.answer(Answer::Cancel);
    }
    desk.begin(Request::StaffLogin);
    assert_eq!(desk.steps.last(), Some(&Step::UseCard { reason: Reason::AttemptLimit }));
    assert!(!desk.camera);
    desk.answer(Answer::Cancel);
    desk.pass(31);
    desk.begin(Request::StaffLogin);
    assert!(desk.camera);
}

impl Desk {
    /// The same desk after the agent was started again, so many seconds into this boot.
    fn restarted(self, boot: BootId, seconds: u64) -> Self {
        let payload = |e: &SealedEvent| crate::jws::payload_unverified(&e.jws).unwrap();
        let recent = self.journal.iter().map(|e| Envelope::parse(&payload(e)).unwrap()).collect();
        let now = Now { boottime: at(seconds), ..self.now };
        let mut desk = Self::started(policy(), boot, recent, now);
        desk.enrolled = self.enrolled;
        desk
    }
}

fn policy() -> PolicyContent {
    PolicyContent::new(1, WallTime(0), WallTime(i64::MAX / 4))
}

/// Whether face and card with PIN are served after `tries` and a restart.
fn check(tries: impl FnOnce(&mut Desk), boot: BootId, seconds: u64, [face, pin]: [bool; 2]) {
    let mut desk = Desk::with_policy(policy());
    desk.enrol_staff(0);
    tries(&mut desk);
    let mut desk = desk.restarted(boot, seconds);
    desk.begin(Request::StaffLogin);
    assert_eq!(desk.camera, face, "{seconds} s");
    desk.card(0);
    let asked = matches!(desk.steps.last(), Some(Step::EnterPin { .. }));
    assert_eq!(asked, pin, "{seconds} s: {:?}", desk.steps.last());
}

fn wrong_looks(desk: &mut Desk) {
    for _ in 0..3 {
        desk.begin(Request::StaffLogin);
        desk.look(1, PadResult::BonaFide, 3);
        desk.answer(Answer::Cancel);
    }
}

fn photos(desk: &mut Desk) {
    for _ in 0..3 {
        desk.begin(Request::StaffLogin);
        desk.look(0, PadResult::Attack, 3);
        desk.answer(Answer::Cancel);
    }
}

fn declined_challenges(desk: &mut Desk) {
    for _ in 0..3 {
        desk.begin(Request::StaffLogin);
        desk.look(0, PadResult::Doubtful, 3);
        desk.answer(Answer::WithoutChallenge);
        desk.answer(Answer::Cancel);
    }
}

fn cancelled_challenges(desk: &mut Desk) {
    for _ in 0..3 {
        desk.begin(Request::StaffLogin);
        desk.look(0, PadResult::Doubtful, 3);
        desk.answer(Answer::Cancel);
    }
}

fn wrong_pins(desk: &mut Desk) {
    desk.begin(Request::StaffLogin);
    desk.card(0);
    for _ in 0..3 {
        desk.pin("246802");
    }
}

fn signed_in_by_card(desk: &mut Desk) {
    desk.begin(Request::StaffLogin);
    desk.card(0);
    desk.pin("135790");
}

/// All attempts above are made ten seconds after the boot.
#[test]
fn a_rest_goes_on_after_a_restart_and_after_a_reboot() {
    let another = BootId(Uuid::from_u128(10));
    check(|_| {}, BOOT, 12, [true, true]);
    for face_fails in [wrong_looks, photos, declined_challenges, cancelled_challenges] {
        check(face_fails, BOOT, 39, [false, true]);
        check(face_fails, BOOT, 40, [true, true]);
    }
    check(wrong_looks, another, 29, [false, true]);
    check(wrong_looks, another, 30, [true, true]);
    check(wrong_pins, BOOT, 39, [true, false]);
    check(wrong_pins, BOOT, 40, [true, true]);
    check(wrong_pins, another, 29, [true, false]);
}

#[test]
fn the_count_goes_on_after_a_restart_until_a_success() {
    let once_more = |clear: bool| {
        let mut desk = Desk::with_policy(policy());
        desk.enrol_staff(0);
        wrong_pins(&mut desk);
        desk.pass(31);
        if clear {
            signed_in_by_card(&mut desk);
        }
        let mut desk = desk.restarted(BOOT, 100);
        desk.begin(Request::StaffLogin);
        desk.card(0);
        desk.pin("246802");
        desk.pin("135790");
        desk.last().clone()
    };
    assert_eq!(once_more(false), Outcome::NotSignedIn { reason: Reason::AttemptLimit });
    assert!(matches!(once_more(true), Outcome::SignedIn { .. }), "the control: a success clears the count");
}
