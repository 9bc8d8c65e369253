//! Resident ID cards through the simulated SDT reader: in memory with every fault, and over a pseudo-terminal.
//! Never a real person: the numbers have the birth year 1849.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firmware_bridge::resident_id::{ResidentContent, ResidentId};
use firmware_bridge::resident_reader::{ResidentReader, ResidentReaderError};
use firmware_bridge::{LineSettings, SerialCardPort};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use zhenyin_tests::card_reader::memory::VirtualClock;
use zhenyin_tests::card_reader::transcript::{Chunks, Turn};
use zhenyin_tests::card_reader::{
    Fault, MemoryPort, PtyReader, ResidentCard, ResidentDevice, TranscriptPort, TranscriptRecorder, When,
};

struct Desk {
    reader: ResidentReader,
    device: Arc<Mutex<ResidentDevice>>,
    clock: VirtualClock,
}

impl Desk {
    fn new(card: ResidentCard) -> Self {
        let port = MemoryPort::to(ResidentDevice::new()).in_chunks(64);
        let (device, clock) = (port.device(), port.clock());
        let reader = ResidentReader::open(Box::new(port)).unwrap();
        device.lock().unwrap().lay(card);
        Self { reader, device, clock }
    }

    fn inject(&self, when: When, fault: Fault) {
        self.device.lock().unwrap().inject(when, fault);
    }

    fn read(&mut self) -> (Result<ResidentId, ResidentReaderError>, Duration) {
        let before = self.clock.elapsed();
        (self.reader.read_card(), self.clock.elapsed() - before)
    }
}

fn good() -> ResidentId {
    Desk::new(ResidentCard::one_person()).read().0.unwrap()
}

fn number(id: &ResidentId) -> &str {
    match &id.content {
        ResidentContent::Citizen(citizen) => citizen.id_number.expose(),
        other @ (ResidentContent::Foreigner(_) | ResidentContent::Unknown { .. }) => panic!("{other:?}"),
    }
}

const SECOND: Duration = Duration::from_secs(1);
/// READ has this first byte.
const READ: When = When::Record(0x30);

#[test]
fn a_card_is_read_over_a_pseudo_terminal() {
    let reader = PtyReader::start_with(ResidentDevice::new()).unwrap();
    let path = reader.path().to_str().unwrap();
    let port = SerialCardPort::open_with(path, LineSettings::ONE_STOP_BIT).unwrap();
    let mut host = ResidentReader::open(Box::new(port)).unwrap();
    assert_eq!(host.sam_id().unwrap().len(), 16);
    assert!(!host.find().unwrap());
    assert!(matches!(host.read_card(), Err(ResidentReaderError::NoCard)));
    reader.change(|device| device.lay(ResidentCard::one_person()));
    assert_eq!(host.read_card().unwrap(), good());
    assert!(!host.find().unwrap(), "a card that was read is found again only after it was lifted");
    reader.change(|device| device.lay(ResidentCard::another_person()));
    let other = host.read_card().unwrap();
    assert_eq!(number(&other), "110105184903070029");
    assert_eq!(other.photo(), [0x5A; 1024]);
    reader.hang_up();
    let lost = host.read_card();
    assert!(matches!(lost, Err(ResidentReaderError::Port(_))), "{lost:?}");
}

#[test]
fn one_fault_on_the_line_is_got_over() {
    let check = |name: &str, when: When, fault: Fault, limit: Duration| {
        let mut desk = Desk::new(ResidentCard::one_person());
        desk.inject(when, fault);
        let (result, took) = desk.read();
        assert_eq!(result.as_ref().ok(), Some(&good()), "{name}: {result:?}");
        assert!(took <= limit, "{name}: took {took:?}");
        assert_eq!(desk.device.lock().unwrap().struck(), 1, "{name}: the fault never struck");
    };
    check("two noise bytes", READ, Fault::Noise(vec![0xC3, 0x17]), Duration::ZERO);
    check("noise like a frame", READ, Fault::Noise(vec![0xAA, 0xAA, 0xAA, 0x96, 0x69, 5]), 6 * SECOND);
    check("wrong checksum", READ, Fault::WrongChecksum, Duration::ZERO);
    check("one bit", READ, Fault::Flip { at: 400, mask: 0x10 }, Duration::ZERO);
    check("repeated answer", READ, Fault::Duplicate, Duration::ZERO);
    check("silence", READ, Fault::Silence, 6 * SECOND);
    check("truncated", READ, Fault::Truncate { keep: 700 }, 6 * SECOND);
    check("slow answer", READ, Fault::Late(4 * SECOND), 4 * SECOND);
    check("answer too late", READ, Fault::Late(6 * SECOND), 12 * SECOND);
    check("no answer to status", When::Exchange(0), Fault::Silence, 3 * SECOND);
}

#[test]
fn what_cannot_be_got_over_is_said() {
    use ResidentReaderError as Error;
    let check = |name: &str, when: When, fault: Fault, expected: fn(&Error) -> bool| {
        let mut desk = Desk::new(ResidentCard::one_person());
        desk.inject(when, fault);
        let (result, took) = desk.read();
        assert!(result.as_ref().is_err_and(expected), "{name}: {result:?}");
        assert!(took <= 16 * SECOND, "{name}: took {took:?}");
        assert_ne!(desk.device.lock().unwrap().struck(), 0, "{name}: the fault never struck");
    };
    check("lifted before select", When::Exchange(2), Fault::Remove, |e| matches!(e, Error::Removed));
    check("lifted before read", READ, Fault::Remove, |e| matches!(e, Error::Removed));
    check("hang-up", READ, Fault::HangUp, |e| matches!(e, Error::Port(_)));
    check("silence for ever", When::Always, Fault::Silence, |e| matches!(e, Error::Timeout { .. }));
    check("always a wrong checksum", When::Always, Fault::WrongChecksum, |e| {
        matches!(e, Error::Checksum { .. } | Error::Timeout { .. })
    });
    let port = MemoryPort::to(ResidentDevice::new()).garbled();
    let clock = port.clock();
    let other_speed = ResidentReader::open(Box::new(port)).err();
    assert!(matches!(other_speed, Some(Error::Timeout { .. })), "{other_speed:?}");
    assert!(clock.elapsed() <= 5 * SECOND);
}

/// The answer about the first card comes whenever it likes while the second is read.
#[test]
fn a_late_answer_about_another_card_is_never_taken() {
    let mut read = 0;
    for late in (5_000_u64..12_000).step_by(37).map(Duration::from_millis) {
        let mut desk = Desk::new(ResidentCard::one_person());
        desk.inject(READ, Fault::Late(late));
        desk.inject(READ, Fault::Silence);
        let _ = desk.read();
        desk.device.lock().unwrap().lay(ResidentCard::another_person());
        if let Ok(id) = desk.read().0 {
            assert_eq!(number(&id), "110105184903070029", "{late:?}");
            read += 1;
        }
    }
    assert!(read > 100, "only {read} of 190 readings succeeded");
}

/// The control: an answer that is only asked for, without the question after it, can be an older one. With the
/// late answer timed to arrive together with the right one, a host that takes the first frame takes the wrong.
#[test]
fn a_host_that_takes_the_first_frame_takes_the_wrong_one() {
    let texts = [ResidentCard::one_person(), ResidentCard::another_person()].map(|card| card.text());
    let frame = |text: &[u8]| {
        let mut frame = vec![0xAA, 0xAA, 0xAA, 0x96, 0x69, 0x05, 0x08, 0, 0, 0x90, 1, 0, 4, 0];
        frame.extend(text);
        frame.extend([0; 1024]);
        frame.push(frame[5..].iter().fold(0, |sum, byte| sum ^ byte));
        frame
    };
    let mut receiver = firmware_bridge::codec::sdt::Receiver::new();
    receiver.await_answer(firmware_bridge::codec::sdt::Command::Read);
    receiver.push(&[frame(&texts[0]), frame(&texts[1])].concat());
    let Some(firmware_bridge::codec::sdt::Received::Answer(first)) = receiver.poll() else { panic!() };
    assert_eq!(first.text_and_photo().unwrap().0, texts[0], "the codec alone cannot tell");
    // The reader can: the same two frames make a reading fail or give the second card.
    let turns = late_then_right(&frame(&texts[0]), &frame(&texts[1]));
    let mut host = ResidentReader::open(Box::new(TranscriptPort::new(&turns, Chunks::Whole))).unwrap();
    let result = host.read_card();
    assert!(result.as_ref().map_or(true, |id| number(id) == "110105184903070029"), "{result:?}");
}

fn late_then_right(late: &[u8], right: &[u8]) -> Vec<Turn> {
    use firmware_bridge::codec::sdt::Command;
    let hex = |text: &str| -> Vec<u8> {
        text.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    };
    let status = hex("AA AA AA 96 69 00 04 00 00 90 94");
    let ask = |command: Command, answer: Vec<u8>| [Turn::Host(command.frame()), Turn::Reader(answer)];
    [
        ask(Command::Status, status.clone()),
        ask(Command::Status, status.clone()),
        ask(Command::Find, hex("AA AA AA 96 69 00 08 00 00 9F 00 00 00 00 97")),
        ask(Command::Select, hex("AA AA AA 96 69 00 0C 00 00 90 00 00 00 00 00 00 00 00 9C")),
        ask(Command::Read, [late, right].concat()),
        ask(Command::Status, status.clone()),
        ask(Command::Status, status.clone()),
        ask(Command::Read, right.to_vec()),
        ask(Command::Status, status),
    ]
    .concat()
}

#[test]
fn a_session_replays_split_and_ends_truncated_in_an_error() {
    let port = MemoryPort::to(ResidentDevice::new());
    port.device().lock().unwrap().lay(ResidentCard::one_person());
    let recorder = TranscriptRecorder::new(Box::new(port));
    let turns = recorder.turns();
    ResidentReader::open(Box::new(recorder)).unwrap().read_card().unwrap();
    let turns = turns.lock().unwrap().clone();
    let said: usize = turns.iter().map(|t| if let Turn::Reader(bytes) = t { bytes.len() } else { 0 }).sum();
    let session = |port: TranscriptPort| {
        let clock = port.clock();
        let result = ResidentReader::open(Box::new(port)).and_then(|mut reader| reader.read_card());
        (result, clock.elapsed())
    };
    for cut in 1..said {
        let (result, took) = session(TranscriptPort::new(&turns, Chunks::CutAt(cut)));
        assert_eq!(result.unwrap(), good(), "{cut}");
        assert_eq!(took, Duration::ZERO, "{cut}: nothing had to be waited for");
        let (result, took) = session(TranscriptPort::new(&turns, Chunks::Whole).truncated(cut));
        assert!(result.is_err(), "{cut}");
        assert!(took <= 20 * SECOND, "{cut}: {took:?}");
    }
}

#[test]
fn a_reading_is_right_or_an_error() {
    let when = prop_oneof![1 => (0..6_u32).prop_map(When::Exchange), 1 => Just(READ)];
    let fault = prop_oneof![
        proptest::collection::vec(any::<u8>(), 1..40).prop_map(Fault::Noise),
        (0..1295_usize, 1..=255_u8).prop_map(|(at, mask)| Fault::Flip { at, mask }),
        (0..1295_usize).prop_map(|keep| Fault::Truncate { keep }),
        (1..20_u64).prop_map(|seconds| Fault::Late(Duration::from_secs(seconds))),
        Just(Fault::Duplicate),
        Just(Fault::WrongChecksum),
    ];
    let (expected, read) = (good(), Cell::new(0));
    let config = Config { cases: 1000, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let result = runner.run(&(when, fault), |(when, fault)| {
        let mut desk = Desk::new(ResidentCard::one_person());
        desk.inject(when, fault);
        let (result, took) = desk.read();
        prop_assert!(took <= 16 * SECOND, "took {:?}", took);
        if let Ok(id) = result {
            prop_assert!(id == expected, "other data");
            read.set(read.get() + 1);
        }
        Ok(())
    });
    result.unwrap();
    assert!(read.get() > 600, "one trouble is mostly got over, but only {} of 1000 were", read.get());
}
