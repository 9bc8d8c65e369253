//! The fault table of the card specification for readers that speak ACS serial or a vendor's STX framing.
//! Never sleeps; the property has a control that believes every frame and must fail it.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firmware_bridge::slot::{Slot, SlotError};
use firmware_bridge::{CardPort, CardReadError, Reader, ReaderError, SlotState};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use zhenyin_core::card::CardIdentity;
use zhenyin_tests::card_reader::memory::VirtualClock;
use zhenyin_tests::card_reader::{CardSpec, Fault, MemoryPort, SlotDevice, When, Wire};

struct Desk {
    reader: Reader,
    device: Arc<Mutex<SlotDevice>>,
    clock: VirtualClock,
}

impl Desk {
    fn new(wire: Wire, spec: CardSpec) -> Self {
        let port = MemoryPort::to(SlotDevice::new(wire)).in_chunks(7);
        let (device, clock) = (port.device(), port.clock());
        let reader = Reader::open_slot(Slot::with_framing(Box::new(port), wire.framing())).unwrap();
        device.lock().unwrap().insert(spec);
        Self { reader, device, clock }
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

const WIRES: [Wire; 2] = [Wire::Acs, Wire::Stx];
const SECOND: Duration = Duration::from_secs(1);

fn good() -> CardIdentity {
    Desk::new(Wire::Acs, CardSpec::version_2()).read().0.unwrap()
}

#[test]
fn a_card_reads_the_same_in_every_framing() {
    for spec in [CardSpec::version_1(), CardSpec::version_2(), CardSpec::version_3()] {
        let [acs, stx] = WIRES.map(|wire| Desk::new(wire, spec.clone()).read().0.unwrap());
        assert_eq!(acs, stx);
        let port = MemoryPort::new(zhenyin_tests::card_reader::Echo::Off);
        port.insert(spec);
        assert_eq!(Reader::open(Box::new(port)).unwrap().read_card().unwrap(), acs);
    }
}

#[test]
fn one_fault_on_the_line_is_got_over() {
    let check = |name: &str, when: When, fault: &Fault, limit: Duration| {
        for wire in WIRES {
            let mut desk = Desk::new(wire, CardSpec::version_2());
            desk.inject(when, fault.clone());
            let (result, took) = desk.read();
            assert_eq!(result.as_ref().ok(), Some(&good()), "{name}, {wire:?}: {result:?}");
            assert!(took <= limit, "{name}, {wire:?}: took {took:?}");
            assert_eq!(desk.device.lock().unwrap().struck(), 1, "{name}: the fault never struck");
        }
    };
    let read_08 = When::Record(0x08);
    check("two noise bytes", read_08, &Fault::Noise(vec![0xC3, 0x17]), Duration::ZERO);
    check("noise like a frame", read_08, &Fault::Noise(vec![0x02, 0x80, 0x09, 0x00]), 6 * SECOND);
    check("wrong checksum", read_08, &Fault::WrongChecksum, 6 * SECOND);
    check("one bit", read_08, &Fault::Flip { at: 12, mask: 0x01 }, 6 * SECOND);
    check("repeated answer", read_08, &Fault::Duplicate, 6 * SECOND);
    check("silence", read_08, &Fault::Silence, 6 * SECOND);
    check("truncated", read_08, &Fault::Truncate { keep: 12 }, 6 * SECOND);
    check("slow answer", read_08, &Fault::Late(4 * SECOND), 4 * SECOND);
    check("answer too late", read_08, &Fault::Late(6 * SECOND), 6 * SECOND);
    check("garbled answer to reset", When::PowerOn, &Fault::Atr(vec![0xFF, 0, 0x13, 0x37]), 6 * SECOND);
}

#[test]
fn what_cannot_be_got_over_is_said() {
    let check = |name: &str, when: When, fault: Fault, expected: fn(&CardReadError) -> bool| {
        for wire in WIRES {
            let mut desk = Desk::new(wire, CardSpec::version_2());
            desk.inject(when, fault.clone());
            let (result, took) = desk.read();
            assert!(result.as_ref().is_err_and(expected), "{name}, {wire:?}: {result:?}");
            assert!(took <= 12 * SECOND, "{name}, {wire:?}: took {took:?}");
        }
    };
    let swap = |noticed| Fault::Swap { card: Box::new(CardSpec::another_person()), noticed };
    check("removed", When::Record(8), Fault::Remove, |e| {
        matches!(e, CardReadError::Removed | CardReadError::Mute)
    });
    check("exchanged, unnoticed", When::Record(8), swap(false), |e| matches!(e, CardReadError::Swapped));
    check("hang-up", When::Record(8), Fault::HangUp, |e| matches!(e, CardReadError::PortLost { .. }));
    check("silence for ever", When::Always, Fault::Silence, |e| matches!(e, CardReadError::Timeout { .. }));
    check("always a wrong checksum", When::Always, Fault::WrongChecksum, |e| {
        matches!(e, CardReadError::Transmission { .. } | CardReadError::Timeout { .. })
    });
}

#[test]
fn a_line_without_the_protocol_is_named_in_time() {
    for wire in WIRES {
        for garbled in [false, true] {
            let mut device = SlotDevice::new(wire);
            device.inject(When::Always, Fault::Silence);
            let port = MemoryPort::to(device);
            let port = if garbled { port.garbled() } else { port };
            let clock = port.clock();
            let result = Reader::open_slot(Slot::with_framing(Box::new(port), wire.framing()));
            match result.err() {
                Some(ReaderError::NoProtocol { noise, source: SlotError::Timeout { .. } }) => {
                    assert_eq!(noise > 0, garbled, "{wire:?}");
                }
                other => panic!("{wire:?} {garbled}: {other:?}"),
            }
            assert!(clock.elapsed() <= 5 * SECOND);
        }
    }
}

#[test]
fn an_empty_slot_is_told_from_a_full_one() {
    for wire in WIRES {
        let port = MemoryPort::to(SlotDevice::new(wire));
        let device = port.device();
        let mut reader = Reader::open_slot(Slot::with_framing(Box::new(port), wire.framing())).unwrap();
        assert_eq!(reader.poll_slot().unwrap(), SlotState::Absent, "{wire:?}");
        assert!(matches!(reader.read_card(), Err(CardReadError::NoCard)), "{wire:?}");
        device.lock().unwrap().insert(CardSpec::version_2());
        assert_eq!(reader.poll_slot().unwrap(), SlotState::Present, "{wire:?}");
        assert_eq!(reader.read_card().unwrap(), good(), "{wire:?}");
    }
}

/// The answer about the first card comes while the second is read: nothing in either framing may take it.
#[test]
fn a_late_answer_about_another_card_is_never_taken() {
    for wire in WIRES {
        let late_by = [5_001_u64, 5_010, 6_000, 8_000].map(Duration::from_millis);
        for (tag, late) in [0x01, 0x08, 0x09, 0x0D].into_iter().flat_map(|t| late_by.map(|l| (t, l))) {
            let mut desk = Desk::new(wire, CardSpec::version_2());
            desk.inject(When::Record(tag), Fault::Late(late));
            desk.inject(When::Record(tag), Fault::Silence);
            let _ = desk.read();
            desk.device.lock().unwrap().insert(CardSpec::another_person());
            if let Ok(identity) = desk.read().0 {
                let holder = identity.holder().unwrap();
                assert_eq!(holder.id_number.expose(), "110105184903070029", "{wire:?} {tag} {late:?}");
                assert_eq!(holder.name.expose(), "李四", "{wire:?} {tag} {late:?}");
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Trouble {
    wire: Wire,
    when: When,
    fault: Fault,
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let wire = prop_oneof![Just(Wire::Acs), Just(Wire::Stx)];
    let when = prop_oneof![1 => Just(When::PowerOn), 9 => (0..19_u32).prop_map(When::Exchange)];
    let fault = prop_oneof![
        proptest::collection::vec(any::<u8>(), 1..40).prop_map(Fault::Noise),
        (0..80_usize, 1..=255_u8).prop_map(|(at, mask)| Fault::Flip { at, mask }),
        (0..40_usize).prop_map(|keep| Fault::Truncate { keep }),
        (1..20_u64).prop_map(|seconds| Fault::Late(Duration::from_secs(seconds))),
        Just(Fault::Duplicate),
        Just(Fault::WrongChecksum),
    ];
    (wire, when, fault).prop_map(|(wire, when, fault)| Trouble { wire, when, fault })
}

fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn a_reading_is_right_or_an_error() {
    let (expected, read) = (good(), Cell::new(0));
    let result = runner(3000).run(&trouble(), |Trouble { wire, when, fault }| {
        let mut desk = Desk::new(wire, CardSpec::version_2());
        desk.inject(when, fault);
        let (result, took) = desk.read();
        prop_assert!(took <= Duration::from_secs(61), "took {:?}", took);
        if let Ok(identity) = result {
            prop_assert!(identity == expected, "other data");
            read.set(read.get() + 1);
        }
        Ok(())
    });
    result.unwrap();
    assert!(read.get() > 2000, "one trouble is mostly got over, but only {} of 3000 were", read.get());
}

/// The control: the same flips, judged by a host that looks at nothing but the place of the bytes.
#[test]
fn a_lenient_host_gives_other_data() {
    let mut wrong = 0;
    for (wire, head) in [(Wire::Acs, 15), (Wire::Stx, 4)] {
        for mask in [0x01, 0x80] {
            let device = SlotDevice::new(wire);
            let mut port = MemoryPort::to(device);
            port.device().lock().unwrap().insert(CardSpec::version_2());
            let read = |port: &mut MemoryPort<SlotDevice>| {
                let mut framing = wire.framing();
                let power = firmware_bridge::codec::ccid_serial::Request::SlotStatus;
                let question = framing.begin(&power, 1).unwrap();
                let now = port.now();
                port.send(&question, now).unwrap();
                let mut buffer = [0; 64];
                let count = port.receive(&mut buffer, now).unwrap();
                buffer[head.min(count)..count].to_vec()
            };
            let good = read(&mut port);
            port.device().lock().unwrap().inject(When::Always, Fault::Flip { at: head, mask });
            wrong += u32::from(read(&mut port) != good);
        }
    }
    assert_eq!(wrong, 4, "flips reach the host");
}
