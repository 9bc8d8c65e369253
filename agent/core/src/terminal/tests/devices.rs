//! Devices that fail and come back, as an act meets them.

use super::*;

#[test]
fn a_camera_that_failed_is_tried_again_by_a_later_act() {
    let mut desk = Desk::new();
    desk.enrol_staff(0);
    desk.begin(Request::StaffLogin);
    desk.put(Input::Camera(Err(Fault::CameraLost)));
    assert_eq!(desk.steps.last(), Some(&Step::UseCard { reason: Reason::CameraUnavailable }));
    desk.answer(Answer::Cancel);
    desk.begin(Request::StaffLogin);
    assert!(!desk.camera, "not at once");
    desk.answer(Answer::Cancel);
    desk.pass(11);
    desk.begin(Request::StaffLogin);
    assert!(desk.camera, "but after a while");
    desk.put(Input::Camera(Err(Fault::CameraAbsent)));
    assert_eq!(desk.steps.last(), Some(&Step::UseCard { reason: Reason::CameraUnavailable }));
    desk.answer(Answer::Cancel);
    desk.pass(11);
    desk.begin(Request::StaffLogin);
    desk.put(Input::Camera(Ok(())));
    desk.look(0, PadResult::BonaFide, 3);
    assert!(matches!(desk.last(), Outcome::SignedIn { .. }));
    let told = |kind: &str| desk.kinds().iter().filter(|k| *k == kind).count();
    assert_eq!((told("device.degraded.v1"), told("device.recovered.v1")), (1, 1), "one trouble, one record");
}
