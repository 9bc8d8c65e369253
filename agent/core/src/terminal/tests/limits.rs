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
