//! The fault table of the card specification, each row injected and judged, in virtual time.
//! Never sleeps: a deadline of thirty seconds passes by being waited for.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use firmware_bridge::slot::SlotError;
use firmware_bridge::{CardReadError, Reader, ReaderError, SlotState};
use zhenyin_core::card::CardIdentity;
use zhenyin_tests::card_reader::device::Device;
use zhenyin_tests::card_reader::memory::{Traffic, VirtualClock};
use zhenyin_tests::card_reader::{CardSpec, Echo, Fault, MemoryPort, When};

struct Desk {
    reader: Reader,
    device: Arc<Mutex<Device>>,
    clock: VirtualClock,
    traffic: Arc<Mutex<Traffic>>,
}

impl Desk {
    fn new(echo: Echo, spec: CardSpec) -> Self {
        let port = MemoryPort::new(echo);
        let (device, clock, traffic) = (port.device(), port.clock(), port.traffic());
        let reader = Reader::open(Box::new(port)).unwrap();
        device.lock().unwrap().insert(spec);
        Self { reader, device, clock, traffic }
    }

    fn inject(&self, when: When, fault: Fault) {
        self.device.lock().unwrap().inject(when, fault);
    }

    /// Reads and says how much time that took.
    fn read(&mut self) -> (Result<CardIdentity, CardReadError>, Duration) {
        let before = self.clock.elapsed();
        (self.reader.read_card(), self.clock.elapsed() - before)
    }
}

fn good() -> CardIdentity {
    Desk::new(Echo::Off, CardSpec::version_2()).read().0.unwrap()
}

const SECOND: Duration = Duration::from_secs(1);

/// Faults after which the right data comes, at the latest after `limit`, in both echo modes.
fn check_read(name: &str, when: When, fault: &Fault, limit: Duration) {
    for echo in [Echo::On, Echo::Off] {
        let mut desk = Desk::new(echo, CardSpec::version_2());
        desk.inject(when, fault.clone());
        let (result, took) = desk.read();
        assert_eq!(result.as_ref().ok(), Some(&good()), "{name}, echo {echo:?}: {result:?}");
        assert!(took <= limit, "{name}, echo {echo:?}: took {took:?}");
        assert_eq!(desk.device.lock().unwrap().struck(), 1, "{name}: the fault never struck");
    }
}

#[test]
fn one_fault_on_the_line_is_got_over() {
    let read_08 = When::Record(0x08);
    let at_once = Duration::ZERO;
    check_read("two noise bytes", read_08, &Fault::Noise(vec![0xC3, 0x17]), at_once);
    check_read("noise like a frame", read_08, &Fault::Noise(vec![3, 6, 0x80, 2, 0]), 6 * SECOND);
    check_read("wrong checksum", read_08, &Fault::WrongChecksum, at_once);
    check_read("repeated answer", read_08, &Fault::Duplicate, at_once);
    check_read("silence", read_08, &Fault::Silence, 6 * SECOND);
    check_read("truncated", read_08, &Fault::Truncate { keep: 20 }, 6 * SECOND);
    check_read("slow answer", read_08, &Fault::Late(4 * SECOND), 4 * SECOND);
    check_read("answer too late", read_08, &Fault::Late(6 * SECOND), 6 * SECOND);
    check_read("other sequence", read_08, &Fault::FlipWithChecksum { at: 8, mask: 1 }, 6 * SECOND);
    check_read("other slot", read_08, &Fault::FlipWithChecksum { at: 7, mask: 1 }, 6 * SECOND);
    check_read("other type", read_08, &Fault::FlipWithChecksum { at: 2, mask: 1 }, 6 * SECOND);
    check_read("other tag", read_08, &Fault::FlipWithChecksum { at: 12, mask: 1 }, 6 * SECOND);
    check_read("other length", read_08, &Fault::FlipWithChecksum { at: 13, mask: 1 }, 6 * SECOND);
    check_read("garbled answer to reset", When::PowerOn, &Fault::Atr(vec![0xFF, 0, 0x13, 0x37]), at_once);
}

#[test]
fn repeats_and_time_requests_are_obeyed() {
    let read_08 = When::Record(0x08);
    for times in 1..=3 {
        let mut desk = Desk::new(Echo::On, CardSpec::version_2());
        desk.inject(read_08, Fault::Nak { times });
        assert_eq!(desk.read().0.ok(), Some(good()), "{times}");
        assert_eq!(desk.device.lock().unwrap().struck(), times);
    }
    let every = 4 * SECOND;
    check_read("time bytes", read_08, &Fault::TimeBytes { count: 3, every }, 16 * SECOND);
    check_read("time extensions", read_08, &Fault::TimeExtensions { count: 3, every }, 16 * SECOND);
}

/// Faults that a second reading cannot mend: what comes out, and within which time.
fn check_error(
    name: &str,
    when: When,
    fault: &Fault,
    limit: Duration,
    expected: impl Fn(&CardReadError) -> bool,
) {
    for echo in [Echo::On, Echo::Off] {
        let mut desk = Desk::new(echo, CardSpec::version_2());
        desk.inject(when, fault.clone());
        let (result, took) = desk.read();
        assert!(result.as_ref().is_err_and(&expected), "{name}, echo {echo:?}: {result:?}");
        assert!(took <= limit, "{name}, echo {echo:?}: took {took:?}");
        assert_ne!(desk.device.lock().unwrap().struck(), 0, "{name}: the fault never struck");
    }
}

#[test]
fn what_happened_to_the_card_is_said() {
    let swap = |noticed| Fault::Swap { card: Box::new(CardSpec::another_person()), noticed };
    let at_once = Duration::ZERO;
    for when in [When::Exchange(0), When::Record(0x01), When::Record(0x08), When::Record(0x0D)] {
        check_error("removed", when, &Fault::Remove, at_once, |e| matches!(e, CardReadError::Removed));
        check_error("exchanged, noticed", when, &swap(true), at_once, |e| {
            matches!(e, CardReadError::Removed | CardReadError::Swapped)
        });
    }
    for when in [When::Record(0x03), When::Record(0x08), When::Record(0x0D)] {
        check_error("exchanged, unnoticed", when, &swap(false), at_once, |e| {
            matches!(e, CardReadError::Swapped)
        });
    }
}

#[test]
fn a_reader_that_tells_of_no_change_hides_none() {
    let mut desk = Desk::new(Echo::Off, CardSpec::version_2());
    desk.device.lock().unwrap().be_quiet();
    let first = desk.read().0.unwrap();
    let seen = desk.reader.insertions();
    desk.inject(When::Record(0x09), Fault::Remove);
    assert!(matches!(desk.read().0, Err(CardReadError::Removed)));
    assert_eq!(desk.reader.poll_slot().unwrap(), SlotState::Absent);
    desk.device.lock().unwrap().insert(CardSpec::another_person());
    assert_eq!(desk.reader.poll_slot().unwrap(), SlotState::Present);
    assert_ne!(desk.reader.insertions(), seen);
    desk.inject(When::Record(0x09), Fault::Swap { card: Box::new(CardSpec::version_2()), noticed: true });
    // Seen as a card that fell silent. The second try meets another card than the first began with, and says so.
    assert!(matches!(desk.read().0, Err(CardReadError::Swapped)));
    assert_eq!(desk.read().0.unwrap(), first);
}

#[test]
fn what_is_wrong_with_the_line_is_said() {
    let always = When::Always;
    check_error("hang-up", When::Record(8), &Fault::HangUp, Duration::ZERO, |e| {
        matches!(e, CardReadError::PortLost { .. })
    });
    check_error("silence for ever", always, &Fault::Silence, 10 * SECOND, |e| {
        matches!(e, CardReadError::Timeout { .. })
    });
    check_error("always a wrong checksum", always, &Fault::WrongChecksum, 10 * SECOND, |e| {
        matches!(e, CardReadError::Transmission { .. })
    });
    check_error("repeats for ever", always, &Fault::Nak { times: 1 }, 10 * SECOND, |e| {
        matches!(e, CardReadError::Transmission { .. })
    });
}

#[test]
fn time_that_is_asked_for_without_end_is_not_given() {
    let fault = Fault::TimeBytes { count: 90, every: 4 * SECOND };
    let mut desk = Desk::new(Echo::On, CardSpec::version_2());
    desk.inject(When::Record(8), fault.clone());
    desk.inject(When::Record(8), fault);
    let (result, took) = desk.read();
    assert!(matches!(result, Err(CardReadError::Timeout { .. })), "{result:?}");
    // Thirty seconds for each of two tries; the reader's late answers keep nobody waiting longer.
    assert!((58 * SECOND..=62 * SECOND).contains(&took), "{took:?}");
    let calls = desk.traffic.lock().unwrap().calls;
    assert!(calls < 300, "a wait is not a busy loop: {calls} calls");
}

#[test]
fn what_is_wrong_with_the_card_is_said() {
    let check = |spec: CardSpec, expected: fn(&CardReadError) -> bool| {
        let mut desk = Desk::new(Echo::On, spec);
        let (result, took) = desk.read();
        assert!(result.as_ref().is_err_and(expected), "{result:?}");
        assert_eq!(took, Duration::ZERO);
    };
    let base = CardSpec::version_2;
    check(CardSpec { foreign: true, ..base() }, |e| matches!(e, CardReadError::NotSocialSecurity { .. }));
    check(CardSpec { mute: true, ..base() }, |e| matches!(e, CardReadError::Mute));
    check(CardSpec { atr: vec![0xFF, 0, 0x13, 0x37], ..base() }, |e| matches!(e, CardReadError::Atr { .. }));
    check(CardSpec { atr: base().atr[..14].to_vec(), ..base() }, |e| matches!(e, CardReadError::Atr { .. }));
    check(CardSpec { atr: vec![0x3B, 0x80, 0x01, 0x81], ..base() }, |e| matches!(e, CardReadError::Protocol));
    check(CardSpec { id_number: "110105184903070071".into(), ..base() }, |e| {
        matches!(e, CardReadError::IdNumber(_))
    });
    check(CardSpec { version: "?.00", ..base() }, |e| matches!(e, CardReadError::Version));
}

#[test]
fn an_empty_slot_and_a_new_card_are_told_apart() {
    let mut desk = Desk::new(Echo::On, CardSpec::version_2());
    assert_eq!(desk.reader.poll_slot().unwrap(), SlotState::Present);
    let first = desk.reader.insertions();
    assert!(desk.read().0.is_ok());
    assert_eq!(desk.reader.poll_slot().unwrap(), SlotState::Present);
    assert_eq!(desk.reader.insertions(), first, "the same card stays the same insertion");
    desk.device.lock().unwrap().insert(CardSpec::another_person());
    assert_eq!(desk.reader.poll_slot().unwrap(), SlotState::Present);
    assert_ne!(desk.reader.insertions(), first, "an exchange between two polls shows");
    desk.device.lock().unwrap().remove();
    assert_eq!(desk.reader.poll_slot().unwrap(), SlotState::Absent);
    assert!(matches!(desk.read().0, Err(CardReadError::NoCard)));
}

#[test]
fn a_reading_after_a_failed_one_is_good() {
    for fault in [Fault::Remove, Fault::Late(20 * SECOND), Fault::Silence, Fault::Truncate { keep: 3 }] {
        let mut desk = Desk::new(Echo::On, CardSpec::version_2());
        desk.inject(When::Record(9), fault.clone());
        desk.inject(When::Record(8), Fault::Late(20 * SECOND));
        let _ = desk.read();
        desk.device.lock().unwrap().insert(CardSpec::another_person());
        let identity = desk.read().0.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(identity.issued.number.unwrap().expose(), "B87654321", "{fault:?}");
    }
}

#[test]
fn a_line_without_the_protocol_is_named_in_time() {
    let check = |fault: Fault, noisy: bool| {
        let port = MemoryPort::new(Echo::Off);
        let clock = port.clock();
        port.device().lock().unwrap().inject(When::Always, fault.clone());
        match Reader::open(Box::new(port)).err() {
            Some(ReaderError::NoProtocol { noise, source: SlotError::Timeout { .. } }) => {
                assert_eq!(noise > 0, noisy, "{fault:?}");
            }
            other => panic!("{fault:?}: {other:?}"),
        }
        assert!(clock.elapsed() <= 5 * SECOND);
    };
    check(Fault::Silence, false);
    check(Fault::FlipWithChecksum { at: 0, mask: 0x40 }, true);
}
