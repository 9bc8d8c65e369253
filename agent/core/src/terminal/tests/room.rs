//! A terminal that runs out of room fails closed, says so, and comes back; damage found by a scan is on record.

use super::*;
use crate::jws::payload_unverified;
use crate::room::Level;

pub(super) fn grant_content(device: &SoftwareSigner) -> GrantContent {
    GrantContent {
        chain: ChainId(Uuid::from_u128(7)),
        iat: 1,
        jwk: device.public_key().to_jwk(),
        prev: None,
        terminal: TerminalId(Uuid::from_u128(8)),
        institution: None,
        department: None,
        region: None,
        suite: None,
        log: None,
        witness: None,
        authority: None,
    }
}

#[test]
fn the_end_of_the_room_is_recorded_refuses_acts_and_passes_without_a_restart() {
    let mut desk = Desk::new();
    desk.enrol_staff(0);
    for (used, level) in [(70, Level::Filling), (85, Level::Scarce), (95, Level::Critical)] {
        desk.put(Input::Room(Room::new(used, 100)));
        let status = desk.terminal.status(desk.now);
        assert_eq!((status.room.level, status.recording), (level, None));
    }
    desk.begin(Request::StaffLogin);
    desk.put(Input::Room(Room::new(100, 100)));
    assert_eq!(desk.last(), &Outcome::Failed { fault: Fault::JournalFull }, "the act under way ends");
    assert_eq!(desk.kinds().iter().filter(|kind| *kind == "log.storage-full.v1").count(), 1);
    let recorded = desk.journal.len();
    desk.begin(Request::StaffLogin);
    assert_eq!(desk.refused, [Refusal::NotRecording]);
    assert_eq!(desk.terminal.status(desk.now).recording, Some(Fault::JournalFull));
    desk.pass(3600);
    assert_eq!(desk.journal.len(), recorded, "not even a heartbeat takes room");
    desk.put(Input::Room(Room::new(60, 100)));
    desk.begin(Request::StaffLogin);
    desk.look(0, PadResult::BonaFide, 3);
    assert!(matches!(desk.last(), Outcome::SignedIn { .. }), "control: {:?}", desk.last());
}

#[test]
fn damage_found_by_a_scan_is_on_record() {
    let mut desk = Desk::new();
    let alarm = LogIntegrityAlarm {
        what: "journal is damaged at event 3".into(),
        chain: "x".into(),
        events: 0,
        receipted: 0,
        files: 0,
    };
    desk.put(Input::EvidenceDamaged(alarm));
    assert_eq!(desk.kinds().last().map(String::as_str), Some("log.integrity-alarm.v1"));
}

#[test]
fn what_the_chain_before_has_lost_is_recorded_after_a_genesis_that_came_alone_too() {
    let mut desk = Desk::new();
    let genesis = Envelope::parse(&payload_unverified(&desk.journal[0].jws).unwrap()).unwrap();
    let (what, chain) = ("journal gone".to_owned(), "the one before".to_owned());
    let lost = LogIntegrityAlarm { what, chain, events: 3, receipted: 2, files: 0 };
    let before = desk.journal.len();
    desk.terminal.started(Some(&genesis), Some(lost), desk.now);
    desk.drain();
    assert_eq!(desk.kinds()[before..], ["agent.gap.v1", "log.integrity-alarm.v1", "agent.started.v1"]);
}
