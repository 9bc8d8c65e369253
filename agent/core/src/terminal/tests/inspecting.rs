//! Inspections: on record before anybody is told, covered by a checkpoint, closed once.
//! Never with an inspector's name or warrant in an event.

use super::*;
use crate::inspection::{Asked, InspectionClosing, InspectionEnd, InspectionRequest, Inspector};
use crate::jws::payload_unverified;

fn two() -> InspectionRequest {
    let one = |name: &str, warrant: &str| Inspector { name: name.into(), warrant: warrant.into() };
    InspectionRequest {
        inspectors: vec![one("甲", "执-001"), one("乙", "执-002")],
        asked: Asked { kinds: vec!["visit.verified".into()], ..Asked::default() },
        nonce: None,
    }
}

fn handed_over() -> InspectionClosing {
    let sha256 = Some("ab".repeat(32));
    InspectionClosing { end: InspectionEnd::HandedOver, sha256, events: 3, shown: 1, recipients: vec![] }
}

impl Desk {
    fn inspect(&mut self, request: InspectionRequest) {
        self.put(Input::Inspect { ticket: Ticket(77), request });
    }

    fn close_inspection(&mut self, opened: Sequence, closing: InspectionClosing) {
        self.put(Input::CloseInspection { ticket: Ticket(78), opened, closing });
    }

    fn payload(&self, sequence: Sequence) -> String {
        let event = &self.journal[sequence.0 as usize];
        String::from_utf8(payload_unverified(&event.jws).unwrap()).unwrap()
    }
}

#[test]
fn an_inspection_is_told_of_once_its_event_is_durable() {
    let mut desk = Desk::new();
    desk.auto_commit = false;
    desk.inspect(two());
    assert!(desk.inspections.is_empty() && desk.refused.is_empty(), "nothing is durable yet");
    desk.commit();
    let open = desk.inspections[0].clone();
    let note = Note::parse(&open.checkpoint).unwrap();
    assert_eq!(note.checkpoint().size, open.opened.0 + 1);
    note.verify_log(&desk.terminal.chain.grant().log_key()).unwrap();
    let leaves = desk.journal.iter().map(|event| event.leaf);
    assert_eq!(note.checkpoint().root, CompactRange::of(leaves).root());
    desk.auto_commit = true;
    desk.close_inspection(open.opened, handed_over());
    let closed = desk.closings[0];
    let said = desk.payload(closed);
    assert!(said.contains("inspection.closed.v1") && said.contains(&"ab".repeat(32)), "{said}");
    assert!(said.contains("\"end\":\"handed-over\"") && said.contains("\"opened\":2"), "{said}");
}

#[test]
fn the_checkpoint_ends_with_the_inspection_whatever_follows_it() {
    let mut desk = Desk::new();
    desk.auto_commit = false;
    desk.inspect(InspectionRequest { nonce: Some("9f31c2".into()), ..two() });
    desk.inspect(two());
    desk.commit();
    let sizes: Vec<u64> =
        desk.inspections.iter().map(|o| Note::parse(&o.checkpoint).unwrap().checkpoint().size).collect();
    assert_eq!(sizes, [4, 5]);
    assert_eq!(desk.inspections[0].opened, Sequence(2));
    let challenge = desk.payload(Sequence(3));
    assert!(challenge.contains("inspection.challenge.v1") && challenge.contains("9f31c2"), "{challenge}");
}

#[test]
fn events_name_inspectors_by_token_only() {
    let mut desk = Desk::new();
    desk.inspect(two());
    let said = desk.payload(desk.inspections[0].opened);
    for secret in ["甲", "乙", "执-"] {
        assert!(!said.contains(secret), "{said}");
    }
    let token = desk.terminal.pepper.token(crate::ids::SubjectKind::Inspector, "执-001");
    assert!(said.contains(token.as_str()), "{said}");
    assert!(said.contains("visit.verified"), "{said}");
}

#[test]
fn an_inspection_that_cannot_be_recorded_is_not_open() {
    let one =
        InspectionRequest { inspectors: two().inspectors[..1].to_vec(), ..InspectionRequest::default() };
    let mut desk = Desk::new();
    let before = desk.journal.len();
    desk.inspect(one);
    assert_eq!(desk.refused, [Refusal::TwoInspectors]);
    assert_eq!(desk.journal.len(), before, "a refused inspection leaves no event");

    desk.auto_commit = false;
    desk.inspect(two());
    desk.put(Input::NotCommitted { fault: Fault::JournalCommitFailed });
    assert_eq!(desk.refused, [Refusal::TwoInspectors, Refusal::NotRecording]);
    assert!(desk.inspections.is_empty());
    desk.close_inspection(Sequence(before as u64), handed_over());
    assert_eq!(desk.refused.last(), Some(&Refusal::NoSuchInspection));
}

#[test]
fn an_inspection_is_closed_once() {
    let mut desk = Desk::new();
    desk.close_inspection(Sequence(0), handed_over());
    assert_eq!(desk.refused, [Refusal::NoSuchInspection]);
    desk.inspect(two());
    let opened = desk.inspections[0].opened;
    desk.close_inspection(opened, InspectionClosing { sha256: Some("AB".repeat(32)), ..handed_over() });
    assert_eq!(desk.refused.last(), Some(&Refusal::AskedTooMuch));
    desk.close_inspection(opened, handed_over());
    assert_eq!(desk.closings.len(), 1, "the control: a good closing is taken");
    desk.close_inspection(opened, handed_over());
    assert_eq!((desk.closings.len(), desk.refused.last()), (1, Some(&Refusal::NoSuchInspection)));
}
