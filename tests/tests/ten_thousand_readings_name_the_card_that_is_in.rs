//! Ten thousand readings in a row while one command in a hundred meets a fault: never another card's data, never a
//! mixture, never a wait without end, nothing left open. The harness knows which card is in at every moment.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use firmware_bridge::{CardReadError, Reader, SerialCardPort};
use zhenyin_core::card::CardIdentity;
use zhenyin_tests::card_reader::{CardSpec, Echo, Fault, MemoryPort, PtyReader, When};

/// Exchanges of a reading without faults: SELECT, GET RESPONSE, SELECT EF05, READ 01 and fifteen more.
const EXCHANGES: u32 = 19;
/// The exchange that gives the 卡识别码 first.
const CODE_READ: u32 = 3;
/// A minute for the reading, two seconds for the power off after it.
const LONGEST: Duration = Duration::from_secs(63);

/// Same numbers every time: xorshift64*.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end
    }

    fn fault(&mut self, other: &CardSpec) -> Fault {
        let at = self.below(60) as usize;
        let mask = 1 + self.below(255) as u8;
        match self.below(12) {
            0 => Fault::Noise((0..=at).map(|_| self.below(256) as u8).collect()),
            1 => Fault::WrongChecksum,
            2 | 3 => Fault::Flip { at, mask },
            4 => Fault::Truncate { keep: at },
            5 => Fault::Late(Duration::from_secs(1 + self.below(12))),
            6 => Fault::Duplicate,
            7 => Fault::Nak { times: 1 + self.below(5) as u32 },
            8 => Fault::Silence,
            9 => Fault::Remove,
            n => Fault::Swap { card: Box::new(other.clone()), noticed: n == 10 },
        }
    }
}

/// Two people whose cards differ in every field, and what a reading of each gives.
struct People {
    specs: [CardSpec; 2],
    identities: [CardIdentity; 2],
}

impl People {
    fn new() -> Self {
        let specs = [CardSpec::version_2(), CardSpec::another_person()];
        let identities = specs.clone().map(|spec| {
            let port = MemoryPort::new(Echo::Off);
            port.insert(spec);
            Reader::open(Box::new(port)).unwrap().read_card().unwrap()
        });
        Self { specs, identities }
    }
}

/// What was done to one reading, and what came of it.
struct Reading {
    began_with: usize,
    ended_with: Option<usize>,
    faults: Vec<(u32, Fault)>,
    result: Result<CardIdentity, CardReadError>,
}

impl Reading {
    /// Whether the first card's code was read for certain before the other card came in.
    fn code_was_read(&self) -> bool {
        let swap = self.faults.iter().filter(|(_, fault)| matches!(fault, Fault::Swap { .. }));
        let first_swap = swap.map(|(at, _)| *at).min();
        let undisturbed = self.faults.iter().all(|(at, fault)| *at > CODE_READ || harmless(fault));
        undisturbed && first_swap.is_none_or(|at| at > CODE_READ)
    }

    /// A complaint when the reading names a card that it must not name.
    fn complaint(&self, people: &People) -> Option<String> {
        let identity = self.result.as_ref().ok()?;
        let named = people.identities.iter().position(|person| person == identity);
        let wrong = match named {
            None => "a mixture",
            Some(named) if Some(named) != self.ended_with => "a card that is not in",
            Some(named) if named != self.began_with && self.code_was_read() => {
                "a card that came in on the way"
            }
            Some(_) => return None,
        };
        Some(format!("{wrong}: {:?}", self.faults))
    }
}

/// Faults after which the reading goes on without beginning again.
fn harmless(fault: &Fault) -> bool {
    matches!(fault, Fault::Duplicate)
}

fn one_percent(dice: &mut Dice, other: &CardSpec) -> Vec<(u32, Fault)> {
    let hit: Vec<u32> = (0..EXCHANGES).filter(|_| dice.below(100) == 0).collect();
    hit.into_iter().map(|at| (at, dice.fault(other))).collect()
}

/// Reads `count` times; how the readings ended, by name.
fn readings(count: u32, people: &People) -> BTreeMap<&'static str, u32> {
    let mut ends = BTreeMap::new();
    let mut dice = Dice(0x1849_0307);
    let port = MemoryPort::new(Echo::On);
    let (device, clock, traffic) = (port.device(), port.clock(), port.traffic());
    let mut reader = Reader::open(Box::new(port)).unwrap();
    let mut inside = 0;
    device.lock().unwrap().insert(people.specs[inside].clone());
    for number in 0..count {
        if dice.below(10) == 0 || device.lock().unwrap().card().is_none() {
            inside = dice.below(2) as usize;
            device.lock().unwrap().insert(people.specs[inside].clone());
        }
        let faults = one_percent(&mut dice, &people.specs[1 - inside]);
        for (at, fault) in &faults {
            device.lock().unwrap().inject(When::Exchange(*at), fault.clone());
        }
        let (begun, calls) = (clock.elapsed(), traffic.lock().unwrap().calls);
        let result = reader.read_card();
        let took = clock.elapsed() - begun;
        assert!(took <= LONGEST, "reading {number} took {took:?}: {faults:?}");
        let calls = traffic.lock().unwrap().calls - calls;
        assert!(calls < 1500, "reading {number} is a busy loop of {calls} calls: {faults:?}");
        let now_in = device.lock().unwrap().card().map(|card| card.spec().code);
        let ended_with = people.specs.iter().position(|spec| Some(spec.code) == now_in);
        *ends.entry(name(&result)).or_default() += 1;
        let reading = Reading { began_with: inside, ended_with, faults, result };
        assert_eq!(reading.complaint(people), None, "reading {number}");
        // What did not strike this reading must not strike a card that the harness does not know of.
        device.lock().unwrap().forget_faults();
        inside = ended_with.unwrap_or(inside);
    }
    ends
}

fn name(result: &Result<CardIdentity, CardReadError>) -> &'static str {
    match result {
        Ok(_) => "read",
        Err(CardReadError::Removed | CardReadError::NoCard) => "removed",
        Err(CardReadError::Swapped) => "swapped",
        Err(CardReadError::Timeout { .. }) => "timeout",
        Err(CardReadError::Transmission { .. }) => "transmission",
        Err(_) => "other",
    }
}

/// Descriptors and threads of this process.
fn open_things() -> (usize, usize) {
    let count = |folder: &str| std::fs::read_dir(folder).unwrap().count();
    (count("/proc/self/fd"), count("/proc/self/task"))
}

fn readings_over_a_terminal(rounds: u32) {
    for round in 0..rounds {
        let simulated = PtyReader::start(if round % 2 == 0 { Echo::On } else { Echo::Off }).unwrap();
        simulated.insert(CardSpec::version_2());
        let port = SerialCardPort::open(simulated.path().to_str().unwrap()).unwrap();
        let mut reader = Reader::open(Box::new(port)).unwrap();
        simulated.inject(When::Record(0x08), Fault::WrongChecksum);
        reader.read_card().unwrap();
        simulated.inject(When::Record(0x09), Fault::HangUp);
        assert!(matches!(reader.read_card(), Err(CardReadError::PortLost { .. })));
    }
}

/// One test, so that nothing else of this process opens or closes things meanwhile.
#[test]
fn readings_are_right_and_leave_nothing_behind() {
    let people = People::new();
    readings_over_a_terminal(2);
    let before = open_things();
    let count = std::env::var("ZHENYIN_READINGS").map_or(10_000, |text| text.parse().unwrap());
    let ends = readings(count, &people);
    // Shown with `--nocapture`.
    writeln!(std::io::stderr(), "{count} readings: {ends:?}").unwrap();
    readings_over_a_terminal(40);
    assert_eq!(open_things(), before, "descriptors and threads");
    assert!(ends["read"] > count * 8 / 10, "{ends:?}");
    assert!(ends["swapped"] > count / 1000 && ends["removed"] > count / 1000, "{ends:?}");
    control(&people);
}

/// The judge itself: what it must complain of, and what not.
fn control(people: &People) {
    let swap = |at| (at, Fault::Swap { card: Box::new(people.specs[1].clone()), noticed: false });
    let check = |faults: Vec<(u32, Fault)>, ended_with: usize, named: usize, complains: bool| {
        let result = Ok(people.identities[named].clone());
        let reading = Reading { began_with: 0, ended_with: Some(ended_with), faults, result };
        assert_eq!(reading.complaint(people).is_some(), complains, "{:?}", reading.faults);
    };
    check(vec![], 0, 0, false);
    check(vec![], 0, 1, true);
    check(vec![swap(0)], 1, 1, false);
    check(vec![swap(5)], 1, 1, true);
    check(vec![swap(5)], 1, 0, true);
    check(vec![swap(5), (8, Fault::Silence)], 1, 1, true);
    let mut mixed = people.identities[0].clone();
    mixed.issued.number = people.identities[1].issued.number.clone();
    let reading = Reading { began_with: 0, ended_with: Some(0), faults: vec![], result: Ok(mixed) };
    assert!(reading.complaint(people).is_some());
}
