//! Three wrong PINs bring a pause, the agent is started again, and the pause still holds.
//! Never skipped: it needs nothing but this checkout.

#![expect(clippy::unwrap_used, reason = "test steps may panic")]

use std::time::Instant;

use zhenyin_core::api::{Outcome, Request, Step};
use zhenyin_core::decision::{Method, Reason};
use zhenyin_core::enrolled::Role;
use zhenyin_tests::card_reader::cards::CardSpec;
use zhenyin_tests::world::{Script, World};

/// The pause is this long and may end on a machine that needs so long for a restart.
const REST_S: u64 = 30;

/// What a login with the right PIN comes to after `pins` and a restart, and the reasons shown on the way.
fn after_a_restart(pins: &[&'static str]) -> (Outcome, Vec<Reason>, u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::build(folder.path(), None).unwrap();
    world.until("the reader answering", |s| s.reader.is_none()).unwrap();
    world.reader.insert(CardSpec::version_2());
    let role = Role::parse("pharmacist").unwrap();
    let enrolling = Script { consent: Some(false), pins: vec!["271828"], ..Script::default() };
    world.perform(&Request::StaffEnrolment { role }, enrolling.answers()).unwrap();
    let login = Script { pins: pins.to_vec(), ..Script::default() };
    world.perform(&Request::StaffLogin, login.answers()).unwrap();
    let tried = Instant::now();
    world.stop_agent();
    world.start_agent().unwrap();
    world.until("the reader answering again", |s| s.reader.is_none()).unwrap();
    let mut reasons = vec![];
    let mut answers = Script { pins: vec!["271828"], cancel: false, ..Script::default() }.answers();
    let reply = world
        .perform(&Request::StaffLogin, |step| {
            if let Step::UseCard { reason } = step {
                reasons.push(*reason);
                // Without models the card is asked for at once; the pause is told once the card was read.
                return (*reason == Reason::AttemptLimit).then_some(zhenyin_core::api::Answer::Cancel);
            }
            answers(step)
        })
        .unwrap();
    (reply.outcome, reasons, tried.elapsed().as_secs())
}

#[test]
fn three_wrong_pins_are_remembered() {
    let (outcome, reasons, after_s) = after_a_restart(&["314159", "314159", "314159"]);
    if after_s < REST_S {
        assert!(reasons.contains(&Reason::AttemptLimit), "{reasons:?}");
        assert_eq!(outcome, Outcome::NotSignedIn { reason: Reason::AttemptLimit });
    } else {
        assert!(matches!(outcome, Outcome::SignedIn { .. }), "the pause is over: {outcome:?}");
    }
}

#[test]
fn the_control_a_terminal_without_failures_has_no_pause() {
    let (outcome, reasons, _) = after_a_restart(&["271828"]);
    assert!(matches!(outcome, Outcome::SignedIn { method: Method::CardPin, .. }), "{outcome:?}");
    assert!(!reasons.contains(&Reason::AttemptLimit), "{reasons:?}");
}
