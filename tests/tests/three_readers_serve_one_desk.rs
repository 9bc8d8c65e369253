//! A reader of social security cards, one of resident cards and a scanner at the same desk: whichever the patient
//! shows something to, it is the same visit. Never a code, a number or a name in what is kept.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;
use zhenyin_core::api::{DocumentKind, Outcome, Reply, Request, Step};
use zhenyin_core::decision::{DocumentCheck, Reason};
use zhenyin_core::enrolled::Role;
use zhenyin_core::fault::Fault;
use zhenyin_tests::card_reader::{CardSpec, PtyReader, ResidentCard, ResidentDevice, ScannerDevice};
use zhenyin_tests::world::{Script, World};

const CODE: &str = "2800011101051849030700000001";

struct Desk {
    world: World,
    plate: PtyReader<ResidentDevice>,
    scanner: PtyReader<ScannerDevice>,
    /// What whoever follows the visits was told of codes.
    codes: RefCell<Vec<String>>,
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plate = PtyReader::start_with(ResidentDevice::new()).unwrap();
        let scanner = PtyReader::start_with(ScannerDevice::new("\r")).unwrap();
        let more = format!(
            "[[reader]]\nport = '{}'\ncodec = 'sdt'\n[[reader]]\nport = '{}'\ncodec = 'line-scan'\n",
            plate.path().display(),
            scanner.path().display()
        );
        let world = World::build_configured(folder.path(), &more, |routes| routes).unwrap();
        world.until("the readers answering", |s| s.reader.is_none()).unwrap();
        let desk = Self { world, plate, scanner, codes: RefCell::default(), folder };
        desk.sign_in();
        desk
    }

    fn sign_in(&self) {
        self.world.reader.insert(CardSpec::version_2());
        let role = Role::parse("pharmacist").unwrap();
        let enrols = Script { consent: Some(false), pins: vec!["271828"], ..Script::default() };
        let reply = self.world.perform(&Request::StaffEnrolment { role }, enrols.answers()).unwrap();
        assert!(matches!(reply.outcome, Outcome::Enrolled { .. }), "{reply:?}");
        let types = Script { pins: vec!["271828"], ..Script::default() };
        let reply = self.world.perform(&Request::StaffLogin, types.answers()).unwrap();
        assert!(matches!(reply.outcome, Outcome::SignedIn { .. }), "{reply:?}");
        self.world.reader.remove();
    }

    /// A visit in which `show` is done when something is asked for, and staff agree; says why staff were asked.
    fn visit(&self, show: impl Fn(&Self)) -> (Reply, Option<Reason>) {
        let document = Some((DocumentKind::InsuranceCode, DocumentCheck::Match));
        let mut vouches = Script { document, ..Script::default() }.answers();
        let mut asked = None;
        let reply = self.world.perform(&Request::PatientVisit, |step| {
            if let Step::PresentCard = step {
                show(self);
            } else if let Step::CodeTaken { code } = step {
                self.codes.borrow_mut().push(code.expose().to_owned());
            } else if let Step::AskStaff { reason } = step {
                asked = Some(*reason);
            }
            vouches(step)
        });
        (reply.unwrap(), asked)
    }

    /// Data of every event of the chain, with its type.
    fn events(&mut self) -> Vec<(String, Value)> {
        self.world.stop_agent();
        let folder = self.folder.path().join("export");
        self.world.export(&folder).unwrap();
        let sealed = std::fs::read_to_string(folder.join("events.jws")).unwrap();
        let payload = |line: &str| -> Value {
            let part = line.split('.').nth(1).unwrap();
            serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap())
                .unwrap()
        };
        let event = |line: &str| {
            let payload = payload(line);
            (payload["type"].as_str().unwrap().to_owned(), payload)
        };
        sealed.lines().filter(|line| !line.is_empty()).map(event).collect()
    }
}

fn verified(reply: &Reply) -> (String, Option<String>) {
    let Outcome::Verified { subject, name, .. } = &reply.outcome else { panic!("{reply:?}") };
    (subject.as_str().to_owned(), name.clone())
}

#[test]
fn whatever_the_patient_shows_it_is_their_visit() {
    let mut desk = Desk::new();
    let (by_card, _) = desk.visit(|desk| desk.world.reader.insert(CardSpec::another_person()));
    desk.world.reader.remove();
    let lay = |desk: &Desk| desk.plate.change(|plate| plate.lay(ResidentCard::another_person()));
    let (by_resident_card, asked) = desk.visit(lay);
    assert_eq!(verified(&by_card), verified(&by_resident_card));
    assert_eq!((verified(&by_card).1.as_deref(), asked), (Some("李*"), Some(Reason::CameraUnavailable)));

    // A scanner that hears only now that a code is wanted throws the first one away; people scan again.
    let (by_code, asked) = desk.visit(|desk| {
        desk.scanner.change(|scanner| {
            scanner.scan(Duration::ZERO, CODE, None);
            scanner.scan(Duration::from_secs(3), CODE, None);
        });
    });
    assert_eq!((verified(&by_code).1, asked), (None, Some(Reason::CodeOnly)));
    assert_ne!(verified(&by_code).0, verified(&by_card).0);
    assert_eq!(desk.codes.borrow().first().map(String::as_str), Some(CODE));

    // One of them gone is nothing to the others.
    desk.plate.hang_up();
    desk.world.until("the loss being noticed", |s| s.reader == Some(Fault::ReaderLost)).unwrap();
    let (again, _) = desk.visit(|desk| desk.world.reader.insert(CardSpec::another_person()));
    assert_eq!(verified(&again), verified(&by_card));

    let events = desk.events();
    let readers = |kind: &str| -> BTreeSet<u64> {
        let of = events.iter().filter(|(found, _)| found == kind);
        of.filter_map(|(_, event)| event["data"]["reader"].as_u64()).collect()
    };
    assert_eq!(readers("card.read.v1"), BTreeSet::from([1, 2]));
    assert_eq!(readers("code.bound.v1"), BTreeSet::from([3]));
    assert_eq!(readers("device.degraded.v1"), BTreeSet::from([2]));
    let text: String = events.iter().map(|(_, event)| event.to_string()).collect();
    for secret in [CODE, "110105184903070029", "李四", "李*"] {
        assert!(!text.contains(secret), "{secret}");
    }
    // The control: the search sees what is there.
    assert!(text.contains("resident-id") && text.contains("code.bound.v1"));
    let mut heard = 0;
    desk.scanner.change(|scanner| heard = scanner.heard());
    assert_eq!(heard, 0, "nothing is ever sent to a scanner");
}
