//! The same synthetic cards through PC/SC and over our own serial code: equal field by field. `.ci/peers.sh` starts
//! pcscd with vpcd, and with libccid's serial driver on our simulated readers; without a service this says so.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::Write as _;
use std::time::{Duration, Instant};

use firmware_bridge::pcsc_slot::PcscSlot;
use firmware_bridge::{CardReadError, Reader, SlotState};
use zhenyin::card_reader::{Device, Line};
use zhenyin::config::{ReaderChoice, ReaderCodec};
use zhenyin_core::card::{CardIdentity, HolderData};
use zhenyin_tests::card_reader::vpcd::PORT;
use zhenyin_tests::card_reader::{CardSpec, Echo, MemoryPort, VpcdCard};

fn over_serial(spec: CardSpec) -> CardIdentity {
    let port = MemoryPort::new(Echo::On);
    port.insert(spec);
    Reader::open(Box::new(port)).unwrap().read_card().unwrap()
}

fn skipped(why: &str) {
    let _closed = writeln!(std::io::stderr(), "skipped: {why}");
}

/// Readers of the service whose name begins like this, first slots only.
fn readers(begin: &str) -> Vec<String> {
    match PcscSlot::readers() {
        Ok(names) => {
            names.into_iter().filter(|name| name.starts_with(begin) && name.ends_with(" 00")).collect()
        }
        Err(error) => {
            skipped(&format!("no PC/SC service here: {error}"));
            Vec::new()
        }
    }
}

fn open(name: &str) -> Reader {
    Reader::over(Box::new(PcscSlot::open(name).unwrap()), name.to_owned())
}

/// The service looks at its virtual readers about twice a second.
fn until(reader: &mut Reader, state: SlotState) {
    let begun = Instant::now();
    while reader.poll_slot().unwrap() != state {
        assert!(begun.elapsed() < Duration::from_secs(10), "no {state:?} card seen");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

#[test]
fn cards_in_vpcd_are_read_as_over_the_line() {
    let Some(name) = readers("Virtual PCD").into_iter().next() else {
        return skipped("no vpcd reader in the PC/SC service");
    };
    let mut reader = open(&name);
    let specs =
        [CardSpec::version_1(), CardSpec::version_2(), CardSpec::version_3(), CardSpec::another_person()];
    for spec in specs {
        until(&mut reader, SlotState::Absent);
        assert!(matches!(reader.read_card(), Err(CardReadError::NoCard)));
        let before = reader.insertions();
        let card = VpcdCard::insert(spec.clone(), PORT).unwrap();
        until(&mut reader, SlotState::Present);
        assert_ne!(reader.insertions(), before);
        assert_eq!(reader.read_card().unwrap(), over_serial(spec.clone()), "{}", spec.version);
        drop(card);
    }
}

#[test]
fn cards_behind_libccid_are_read_as_over_the_line() {
    let names = [readers("GemPCTwin"), readers("GemCoreSIMPro")].concat();
    if names.len() < 2 {
        return skipped("no two serial readers in the PC/SC service");
    }
    for name in names {
        // As the agent opens it from its configuration.
        let choice = ReaderChoice::new(&name, ReaderCodec::Pcsc);
        let Device::SocialSecurity(mut reader) = Line::open(&choice, None).unwrap().device else {
            panic!("{name} is not a reader of social security cards");
        };
        let identity = reader.read_card().unwrap();
        assert!(matches!(identity.holder, HolderData::Read(_)), "{name}");
        assert_eq!(identity, over_serial(CardSpec::version_2()), "{name}");
    }
}
