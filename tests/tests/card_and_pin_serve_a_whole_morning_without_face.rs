//! A terminal without camera models: enrolment, login and visits by card, PIN and staff, to receipt and export.
//! Never skipped: it needs nothing but this checkout.

use zhenyin_core::api::{DocumentKind, Outcome, Request, Step};
use zhenyin_core::decision::{DocumentCheck, Method, Reason};
use zhenyin_core::enrolled::Role;
use zhenyin_tests::card_reader::cards::CardSpec;
use zhenyin_tests::world::{Script, World};

#[test]
fn card_and_pin_serve_a_whole_morning_without_face() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::build(folder.path(), None).unwrap();
    world.until("the reader answering", |s| s.reader.is_none()).unwrap();

    world.reader.insert(CardSpec::version_2());
    let role = Role::parse("pharmacist").unwrap();
    let reply = world
        .perform(
            &Request::StaffEnrolment { role },
            Script { consent: Some(false), pins: vec!["271828"], ..Script::default() }.answers(),
        )
        .unwrap();
    assert!(matches!(reply.outcome, Outcome::Enrolled { face: false, .. }), "{reply:?}");

    let wrong_then_right = Script { pins: vec!["314159", "271828"], ..Script::default() };
    let reply = world.perform(&Request::StaffLogin, wrong_then_right.answers()).unwrap();
    assert!(matches!(reply.outcome, Outcome::SignedIn { method: Method::CardPin, .. }), "{reply:?}");

    world.reader.insert(CardSpec::another_person());
    let vouched =
        Script { document: Some((DocumentKind::ResidentId, DocumentCheck::Match)), ..Script::default() };
    let reply = world.perform(&Request::PatientVisit, vouched.answers()).unwrap();
    assert!(matches!(reply.outcome, Outcome::Verified { method: Method::StaffDocument, .. }), "{reply:?}");

    // A 3.0 card keeps its holder locked; the visit goes to staff and says why.
    world.reader.insert(CardSpec::version_3());
    let mut asked = None;
    let mut leaves = Script { cancel: true, ..Script::default() }.answers();
    let reply = world
        .perform(&Request::PatientVisit, |step| {
            if let Step::AskStaff { reason } = step {
                asked = Some(*reason);
            }
            leaves(step)
        })
        .unwrap();
    assert_eq!(asked, Some(Reason::HolderLocked));
    assert_eq!(reply.outcome, Outcome::NotVerified { reason: Reason::HolderLocked });

    world.stop_agent();
    let (counters, summary) = world.export(&folder.path().join("export")).unwrap();
    assert_eq!((counters.size, counters.acked), (summary.events, summary.receipted));
    assert!(summary.events >= 12, "{summary:?}");
}
