//! For any noise before and any one changed byte in any answer: the right data or an error, never other data.
//! Never trusts itself: a host that is as lenient as libccid goes through the same property and must fail it.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::cell::Cell;
use std::time::Duration;

use firmware_bridge::codec::ccid_serial::{Outgoing, Request, Voltage};
use firmware_bridge::{CardPort, Reader};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use zhenyin_core::card::CardIdentity;
use zhenyin_tests::card_reader::{CardSpec, Echo, Fault, MemoryPort, When};

/// One thing that goes wrong on the line, at one exchange or at power on.
#[derive(Clone, Debug)]
struct Trouble {
    echo: Echo,
    when: When,
    fault: Fault,
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let echo = prop_oneof![Just(Echo::On), Just(Echo::Off)];
    let when = prop_oneof![1 => Just(When::PowerOn), 1 => Just(When::Next), 9 => (0..19_u32).prop_map(When::Exchange)];
    let fault = prop_oneof![
        proptest::collection::vec(any::<u8>(), 1..40).prop_map(Fault::Noise),
        (0..80_usize, 1..=255_u8).prop_map(|(at, mask)| Fault::Flip { at, mask }),
        (0..40_usize).prop_map(|keep| Fault::Truncate { keep }),
        (1..20_u64).prop_map(|seconds| Fault::Late(Duration::from_secs(seconds))),
        Just(Fault::Duplicate),
        Just(Fault::WrongChecksum),
    ];
    (echo, when, fault).prop_map(|(echo, when, fault)| Trouble { echo, when, fault })
}

fn port_in(trouble: &Trouble) -> MemoryPort {
    let port = MemoryPort::new(trouble.echo);
    port.device().lock().unwrap().insert(CardSpec::version_2());
    port
}

fn strict(trouble: &Trouble) -> Option<CardIdentity> {
    let port = port_in(trouble);
    let device = port.device();
    let mut reader = Reader::open(Box::new(port)).unwrap();
    device.lock().unwrap().inject(trouble.when, trouble.fault.clone());
    reader.read_card().ok()
}

#[test]
fn a_reading_is_right_or_an_error() {
    let expected = strict(&Trouble { echo: Echo::On, when: When::Exchange(900), fault: Fault::Silence });
    assert!(expected.is_some());
    let good = Cell::new(0);
    let result = runner(4000).run(&trouble(), |trouble| {
        let read = strict(&trouble);
        prop_assert!(read.is_none() || read == expected, "other data");
        good.set(good.get() + u32::from(read.is_some()));
        Ok(())
    });
    result.unwrap();
    assert!(good.get() > 3000, "one trouble is mostly got over, but only {} of 4000 were", good.get());
}

/// The control: the same troubles and the same card, read by a host that believes every frame. If the property
/// could not fail, this test would.
#[test]
fn a_lenient_host_gives_other_data() {
    let calm = Trouble { echo: Echo::Off, when: When::Exchange(900), fault: Fault::Silence };
    let expected = lenient(&calm).unwrap();
    assert_eq!(expected.len(), 3, "the control reads the card when nothing is wrong");
    let mut wrong = 0;
    let mut runner = runner(2000);
    for _ in 0..2000 {
        let mut trouble = trouble().new_tree(&mut runner).unwrap().current();
        trouble.echo = Echo::Off;
        if let When::Exchange(number) = &mut trouble.when {
            *number %= 5;
        }
        wrong += u32::from(lenient(&trouble).is_some_and(|read| read != expected));
    }
    assert!(wrong > 50, "only {wrong} of 2000 troubles fooled the lenient host");
    // One bit of the identity number: the lenient host believes it, ours asks again.
    let flip =
        Trouble { fault: Fault::Flip { at: 20, mask: 0x01 }, when: When::Record(0x08), ..calm.clone() };
    assert_ne!(lenient(&flip).unwrap(), expected);
    assert_eq!(strict(&flip), strict(&calm));
}

/// Reads three records of EF06 as libccid would: frame by its length, checksum and sequence not looked at.
fn lenient(trouble: &Trouble) -> Option<Vec<Vec<u8>>> {
    let port = port_in(trouble);
    let device = port.device();
    let mut port: Box<dyn CardPort> = Box::new(port);
    // Only the insertion event is there, and even this host knows it.
    let now = port.now();
    port.receive(&mut [0; 2], now).unwrap();
    device.lock().unwrap().inject(trouble.when, trouble.fault.clone());
    let mut sequence = 0;
    ask(port.as_mut(), &Request::PowerOn(Voltage::Five), &mut sequence)?;
    let select = b"\x00\xA4\x04\x00\x0Fsx1.sh.\xC9\xE7\xBB\xE1\xB1\xA3\xD5\xCF";
    ask(port.as_mut(), &Request::Transfer(select), &mut sequence)?;
    ask(port.as_mut(), &Request::Transfer(&[0, 0xA4, 2, 0, 2, 0xEF, 6]), &mut sequence)?;
    let mut records = Vec::new();
    for (tag, length) in [(0x08, 0x14), (0x09, 0x20), (0x0D, 0x06)] {
        let answer = ask(port.as_mut(), &Request::Transfer(&[0, 0xB2, tag, 0, length]), &mut sequence)?;
        records.push(answer.strip_suffix(&[0x90, 0x00])?.get(2..)?.to_vec());
    }
    Some(records)
}

fn ask(port: &mut dyn CardPort, request: &Request<'_>, sequence: &mut u8) -> Option<Vec<u8>> {
    let outgoing = Outgoing::new(request, 0, *sequence).unwrap();
    *sequence += 1;
    let deadline = port.now() + Duration::from_secs(5);
    port.send(outgoing.bytes(), deadline).unwrap();
    let mut head = [0; 12];
    fill(port, &mut head)?;
    let mut rest = vec![0; usize::from(head[3]) + 1];
    fill(port, &mut rest)?;
    rest.pop();
    Some(rest)
}

fn fill(port: &mut dyn CardPort, mut buffer: &mut [u8]) -> Option<()> {
    let deadline = port.now() + Duration::from_secs(5);
    while !buffer.is_empty() {
        let count = port.receive(buffer, deadline).unwrap();
        if count == 0 {
            return None;
        }
        buffer = &mut buffer[count..];
    }
    Some(())
}

/// The same troubles every time, so that the control cannot fail by luck.
fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}
