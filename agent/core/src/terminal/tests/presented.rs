//! Acts with a resident identity card and with scanned codes, and readers told apart.
//! Never a code in clear: what a journal has of one is its token.

use super::*;
use crate::event::Envelope;
use crate::presented::{ResidentHolder, ScannedCode};

const CODE: &str = "2800011101051849030700000001";

pub(super) fn resident(person: usize) -> CardEvent {
    let identity = identity(person);
    let holder = identity.holder().unwrap();
    let holder = ResidentHolder::new(holder.id_number.expose(), holder.name.clone(), vec![]);
    CardEvent::Resident(Box::new(holder))
}

pub(super) fn scan(text: &str) -> Input {
    Input::Code { reader: ReaderId(3), code: ScannedCode::new(text) }
}

impl Desk {
    fn lay(&mut self, person: usize) {
        self.put(Input::Card { reader: ReaderId(2), event: resident(person) });
    }

    fn signed_in() -> Self {
        let mut desk = Self::new();
        desk.enrol_staff(0);
        desk.begin(Request::StaffLogin);
        desk.look(0, PadResult::BonaFide, 3);
        desk
    }

    fn document_matches(&mut self) {
        let (document, check) = (DocumentKind::InsuranceCode, DocumentCheck::Match);
        self.answer(Answer::Document { document, check });
    }

    fn envelopes(&self) -> Vec<Envelope> {
        let open = |event: &SealedEvent| {
            Envelope::parse(&crate::jws::payload_unverified(&event.jws).unwrap()).unwrap()
        };
        self.journal.iter().map(open).collect()
    }
}

#[test]
fn a_resident_card_names_the_same_patient_as_the_insurance_card() {
    let mut desk = Desk::signed_in();
    let mut subjects = Vec::new();
    for resident in [false, true] {
        desk.begin(Request::PatientVisit);
        if resident {
            desk.lay(1)
        } else {
            desk.card(1)
        }
        desk.document_matches();
        let Outcome::Verified { subject, name, .. } = desk.last() else { panic!("{:?}", desk.last()) };
        assert_eq!(name.as_deref(), Some("张*三"));
        subjects.push(subject.clone());
    }
    assert_eq!(subjects[0], subjects[1]);
    let read: Vec<_> = desk.envelopes().into_iter().filter(|e| e.kind == "card.read.v1").collect();
    let last = read.last().unwrap();
    assert_eq!((&last.data["card"], &last.data["reader"]), (&"resident-id".into(), &2.into()));
    assert_ne!(last.subject, read[read.len() - 2].subject, "two cards");
    assert_eq!(read[0].data["reader"], 1);
}

#[test]
fn a_resident_card_is_told_masked_and_opens_neither_login_nor_enrolment() {
    let mut desk = Desk::signed_in();
    desk.begin(Request::CardRead);
    desk.lay(2);
    assert!(matches!(desk.last(), Outcome::ResidentCardRead { name, .. } if name == "张*三"));
    for request in [Request::StaffLogin, Request::PatientEnrolment] {
        desk.begin(request);
        desk.lay(0);
        assert_eq!(desk.steps.last(), Some(&Step::PresentCardAgain { fault: Fault::CardForeign }));
        desk.answer(Answer::Cancel);
    }
}

#[test]
fn a_code_instead_of_a_card_is_for_staff_and_further_codes_belong_to_the_visit() {
    let mut desk = Desk::signed_in();
    desk.begin(Request::PatientVisit);
    desk.put(scan(CODE));
    assert_eq!(desk.steps.last(), Some(&Step::AskStaff { reason: Reason::CodeOnly }));
    desk.put(scan("81234560000000000001"));
    let told = |step: &&Step| matches!(step, Step::CodeTaken { .. });
    let told: Vec<_> =
        desk.steps.iter().filter(told).map(|step| serde_json::to_value(step).unwrap()).collect();
    assert_eq!(told[0], serde_json::json!({ "step": "code-taken", "code": CODE }));
    assert_eq!(told.len(), 2);
    desk.document_matches();
    assert!(matches!(desk.last(), Outcome::Verified { method: Method::StaffDocument, name: None, .. }));
    let bound: Vec<_> = desk.envelopes().into_iter().filter(|e| e.kind == "code.bound.v1").collect();
    assert_eq!(bound.len(), 2);
    assert_eq!(bound[0].subject, bound[1].subject);
    assert_ne!(bound[0].data["code"], bound[1].data["code"]);
    assert!(desk.journal.iter().all(|event| {
        let payload = crate::jws::payload_unverified(&event.jws).unwrap();
        !String::from_utf8(payload).unwrap().contains(CODE)
    }));
    // Nobody asks for a code between acts.
    let before = desk.journal.len();
    desk.put(scan(CODE));
    assert_eq!(desk.journal.len(), before);
}

#[test]
fn one_reader_that_fails_is_told_from_the_others() {
    let mut desk = Desk::new();
    let mut put = |reader: u8, state| desk.put(Input::Reader { reader: ReaderId(reader), state });
    put(1, Ok(()));
    put(2, Err(Fault::ReaderLost));
    put(1, Err(Fault::ReaderBusy));
    put(2, Ok(()));
    assert_eq!(desk.terminal.status(desk.now).reader, Some(Fault::ReaderBusy));
    let told: Vec<_> = desk
        .envelopes()
        .iter()
        .filter(|e| e.kind.starts_with("device."))
        .map(|e| (e.kind.clone(), e.data["reader"].as_u64()))
        .collect();
    let want = [("device.degraded.v1", 2), ("device.degraded.v1", 1), ("device.recovered.v1", 2)];
    assert_eq!(told, want.map(|(kind, reader)| (kind.to_owned(), Some(reader))));
}
