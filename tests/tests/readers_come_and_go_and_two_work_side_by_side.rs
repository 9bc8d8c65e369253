//! The reader thread of the agent on real terminal devices: plugged in late, pulled, plugged in again at the same
//! path, held by somebody else, and two at once. Every wait ends with a report or fails.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use firmware_bridge::SerialCardPort;
use zhenyin::card_reader::{CardReaderThread, ReaderReport};
use zhenyin::config::{ReaderChoice, ReaderCodec};
use zhenyin_core::act::CardEvent;
use zhenyin_core::fault::Fault as CardFault;
use zhenyin_tests::card_reader::{CardSpec, Echo, Fault, PtyReader, ResidentCard, ResidentDevice, When};

/// Longer than the pauses of the thread and the questions of `auto` on a machine under load.
const PATIENCE: Duration = Duration::from_secs(20);

struct Desk {
    thread: CardReaderThread,
    reports: Receiver<ReaderReport>,
}

impl Desk {
    fn at(port: &Path, codec: ReaderCodec) -> Self {
        let (tell, reports) = channel();
        let choice = ReaderChoice::new(port, codec);
        let thread = CardReaderThread::start(choice, None, move |report| drop(tell.send(report))).unwrap();
        Self { thread, reports }
    }

    fn next(&self) -> ReaderReport {
        self.reports.recv_timeout(PATIENCE).unwrap()
    }

    fn ready(&self) {
        let report = self.next();
        assert!(
            matches!(&report, ReaderReport::Ready { firmware } if firmware.contains("GemTwin")),
            "{report:?}"
        );
    }

    fn fault(&self, want: CardFault) {
        let report = self.next();
        assert!(matches!(report, ReaderReport::Fault(found) if found == want), "{report:?}, not {want}");
    }

    fn number(&self) -> String {
        let report = self.next();
        let ReaderReport::Card(CardEvent::Read(identity)) = report else { panic!("no card: {report:?}") };
        identity.issued.number.as_ref().unwrap().expose().to_owned()
    }

    fn removed(&self) {
        let report = self.next();
        assert!(matches!(report, ReaderReport::Card(CardEvent::Removed)), "{report:?}");
    }
}

#[test]
fn a_reader_is_found_whenever_it_is_plugged_in_at_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("usb-reader");
    let desk = Desk::at(&link, ReaderCodec::Auto);
    desk.thread.set_wanted(true);
    desk.fault(CardFault::ReaderAbsent);
    for echo in [Echo::On, Echo::Off] {
        let simulated = PtyReader::start(echo).unwrap();
        simulated.link(&link).unwrap();
        desk.ready();
        simulated.insert(CardSpec::version_2());
        assert_eq!(desk.number(), "A12345678");
        simulated.remove();
        desk.removed();
        std::fs::remove_file(&link).unwrap();
        drop(simulated);
        desk.fault(CardFault::ReaderLost);
        // No path any more is another thing to say, and is said once.
        desk.fault(CardFault::ReaderAbsent);
    }
    // A missing reader is asked for with growing pauses and is not reported again.
    assert!(desk.reports.recv_timeout(Duration::from_millis(1500)).is_err());
}

#[test]
fn a_port_that_somebody_holds_is_busy_until_it_is_free() {
    let simulated = PtyReader::start(Echo::On).unwrap();
    let held = SerialCardPort::open(simulated.path().to_str().unwrap()).unwrap();
    let desk = Desk::at(simulated.path(), ReaderCodec::CcidSerial);
    desk.fault(CardFault::ReaderBusy);
    drop(held);
    desk.ready();
}

#[test]
fn a_card_pulled_while_it_is_read_is_a_fault_and_then_gone() {
    let simulated = PtyReader::start(Echo::On).unwrap();
    let desk = Desk::at(simulated.path(), ReaderCodec::CcidSerial);
    desk.ready();
    simulated.inject(When::Record(0x08), Fault::Remove);
    simulated.insert(CardSpec::version_2());
    desk.thread.set_wanted(true);
    let report = desk.next();
    let pulled = matches!(&report, ReaderReport::Card(CardEvent::Failed(CardFault::CardRemoved)));
    assert!(pulled, "{report:?}");
    // The next card is read as if nothing had been.
    simulated.insert(CardSpec::another_person());
    let report = desk.next();
    let report = if matches!(report, ReaderReport::Card(CardEvent::Removed)) { desk.next() } else { report };
    let ReaderReport::Card(CardEvent::Read(identity)) = report else { panic!("no card: {report:?}") };
    assert_eq!(identity.issued.number.as_ref().unwrap().expose(), "B87654321");
}

#[test]
fn a_reader_of_resident_cards_is_found_by_asking() {
    let plate = PtyReader::start_with(ResidentDevice::new()).unwrap();
    let desk = Desk::at(plate.path(), ReaderCodec::Auto);
    let report = desk.next();
    assert!(
        matches!(&report, ReaderReport::Ready { firmware } if firmware.contains("resident")),
        "{report:?}"
    );
    plate.change(|plate| plate.lay(ResidentCard::one_person()));
    desk.thread.set_wanted(true);
    let report = desk.next();
    let ReaderReport::Card(CardEvent::Resident(holder)) = report else { panic!("no card: {report:?}") };
    assert_eq!(holder.name.expose(), "张三");
    drop(plate);
    desk.fault(CardFault::ReaderLost);
}

#[test]
fn two_readers_work_side_by_side() {
    let simulated = [PtyReader::start(Echo::On).unwrap(), PtyReader::start(Echo::Off).unwrap()];
    let desks = simulated.each_ref().map(|reader| Desk::at(reader.path(), ReaderCodec::Auto));
    for desk in &desks {
        desk.ready();
        desk.thread.set_wanted(true);
    }
    let specs = [CardSpec::version_2(), CardSpec::another_person()];
    for round in 0..4 {
        for (reader, at) in simulated.iter().zip(0..) {
            reader.insert(specs[(round + at) % 2].clone());
        }
        for (desk, at) in desks.iter().zip(0..) {
            assert_eq!(desk.number(), specs[(round + at) % 2].number, "round {round}, reader {at}");
        }
        for (reader, desk) in simulated.iter().zip(&desks) {
            reader.remove();
            desk.removed();
        }
    }
    // One of them gone is nothing to the other.
    let [first, second] = simulated;
    drop(first);
    desks[0].fault(CardFault::ReaderLost);
    second.insert(CardSpec::version_2());
    assert_eq!(desks[1].number(), "A12345678");
}
