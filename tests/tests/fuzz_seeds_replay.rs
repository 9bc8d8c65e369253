//! S5: every committed seed of every fuzz target is played through it, whole, cut short, with one byte changed, and
//! changed at random for a moment; `ZHENYIN_FUZZ_SECONDS=60` for the row's own minute each.
//! Never searches by coverage: that is the fuzzer's work (`tests/fuzz/Cargo.toml` has the command).

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use zhenyin_core::jws::payload_unverified;
use zhenyin_tests::card_reader::{Peer, ResidentCard, ResidentDevice};
use zhenyin_tests::fuzz_targets::TARGETS;
use zhenyin_tests::generated::random::Dice;
use zhenyin_tests::sealing::{SealingChain, fixed};

fn folder(target: &str) -> PathBuf {
    zhenyin_tests::demo::package().join("fuzz/seeds").join(target)
}

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// What a simulated ID reader says to find, select and read.
fn resident_frames() -> Vec<Vec<u8>> {
    let mut device = ResidentDevice::new();
    device.lay(ResidentCard::one_person());
    ["20 01 22", "20 02 21", "30 01 32"]
        .map(|command| {
            device.receive(&hex(&format!("AA AA AA 96 69 00 03 {command}")));
            device.take_output().into_iter().flat_map(|emission| emission.bytes).collect()
        })
        .to_vec()
}

/// The first seeds, made from synthetic cards; more may lie beside them, such as what the fuzzer once found.
fn first_seeds() -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    let record_08 = "08 12 31 31 30 31 30 35 31 38 34 39 30 33 30 37 30 30 37 58";
    let [found, selected, read] = resident_frames().try_into().unwrap();
    let with = |choice: u8, bytes: &[u8]| [&[choice], bytes].concat();
    let card: Vec<Vec<u8>> = [
        "90 00",
        "90 00",
        "01 10 11 01 05 D1 56 00 00 05 99 11 01 45 00 00 00 01 90 00",
        "03 04 32 2E 30 30 90 00",
        "05 04 20 24 01 15 90 00",
        "06 04 20 34 01 15 90 00",
        "07 09 41 31 32 33 34 35 36 37 38 90 00",
        "90 00",
        &format!("{record_08} 90 00"),
    ]
    .iter()
    .map(|answer| with(hex(answer).len() as u8, &hex(answer)))
    .collect();
    let text = ResidentCard::one_person().text();
    let mut foreigner = text.clone();
    foreigner[248] = b'I';
    BTreeMap::from([
        (
            "ccid_serial",
            vec![
                hex(&format!("09 05 03 06 80 16 00 00 00 00 09 00 00 00 {record_08} 90 00 7B")),
                hex("07 02 85 03 06 80 00 00 00 00 00 07 80 05 00 07 50 02 03 15 16"),
            ],
        ),
        (
            "acs",
            vec![
                hex("0A 04 02 00 00 03 02 80 02 00 00 00 00 0A 00 00 00 6C 14 F0 03"),
                hex("09 00 02 FF FF 03 02 FE FE 03"),
            ],
        ),
        ("stx", vec![hex("10 00 00 09 00 03 51 90 00 C1 0D"), hex("08 00 00 02 30 30 30 34 30 30 32 32 03")]),
        ("sdt", vec![with(3, &found), with(4, &selected), with(5, &read)]),
        ("line_scan", vec![hex("00 00 32 00 38 01 30 00 0D"), hex("02 00 41 FF 42 00 0A")]),
        ("atr", vec![hex("3B 6D 00 00 00 81 54 4C 96 86 84 37 16 00 8F 3D 97"), hex("3B 80 01 81")]),
        ("tlv", vec![hex(&format!("08 {record_08}")), hex("03 03 04 33 2E 30 30")]),
        ("card_records", vec![card.concat(), hex("02 61 05 02 6C 13 02 6A 82")]),
        ("resident_id", vec![text, foreigner]),
        (
            "result_string",
            vec![
                b"371600|||371600D156000005004B9CF763FBBE5C||0081544C9686843716008F3D97|3.00|20220224|20320224|||"
                    .to_vec(),
                "110105|11010518490307007X|A12345678|||||||T01|D02|".into(),
            ],
        ),
    ])
}

/// The same of what comes from the upstream or the local API, by fixed keys.
fn first_seeds_of_evidence() -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    let mut chain = SealingChain::begin(fixed(1)).unwrap();
    let event = chain.seal().unwrap();
    let (receipt, event) = (chain.receipt(&event.frontier).unwrap(), event.jws);
    BTreeMap::from([
        ("token", vec![event.clone().into_bytes(), chain.grant().token().into()]),
        ("note", vec![receipt.clone().into_bytes(), chain.grant().log_key().to_string().into_bytes()]),
        (
            "answer",
            vec![
                json!({"size": 1, "receipt": receipt, "setErrs": {"0": {"err": "schema_unknown"}}})
                    .to_string()
                    .into(),
                json!({"size": 7}).to_string().into(),
                json!({"first": 0, "events": [event], "checkpoint": receipt, "old": 0}).to_string().into(),
            ],
        ),
        ("envelope", vec![payload_unverified(&event).unwrap()]),
        (
            "api_request",
            vec![
                br#"{"purpose":"staff-enrolment","role":"pharmacist"}"#.to_vec(),
                br#"{"answer":"consent","agree":true}"#.to_vec(),
            ],
        ),
    ])
}

/// With `ZHENYIN_BLESS` set, writes the first seeds anew.
#[test]
fn s5_every_target_survives_its_seeds() {
    let (mut first, mut inputs) = (first_seeds(), 0);
    first.append(&mut first_seeds_of_evidence());
    for (name, target) in TARGETS {
        let folder = folder(name);
        let made = first.remove(name).unwrap();
        if std::env::var_os("ZHENYIN_BLESS").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            for (number, seed) in made.iter().enumerate() {
                std::fs::write(folder.join(format!("first-{number}")), seed).unwrap();
            }
        }
        let mut seeds: Vec<Vec<u8>> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect();
        assert!(made.iter().all(|seed| seeds.contains(seed)), "{name}: a first seed is missing");
        seeds.push(Vec::new());
        inputs += replay(target, &seeds);
        let time = std::env::var("ZHENYIN_FUZZ_SECONDS")
            .map_or(Duration::from_millis(300), |seconds| Duration::from_secs(seconds.parse().unwrap()));
        inputs += change(target, &seeds, time);
    }
    assert!(first.is_empty(), "seeds without a target: {:?}", first.keys());
    println!("S5: {} targets, {inputs} inputs, no panic", TARGETS.len());
}

/// Whole, cut short at every place, one byte changed at every place.
fn replay(target: impl Fn(&[u8]), seeds: &[Vec<u8>]) -> u64 {
    for seed in seeds {
        target(seed);
        for at in 0..seed.len() {
            target(&seed[..at]);
            let mut changed = seed.clone();
            changed[at] ^= 0x41;
            target(&changed);
        }
    }
    seeds.iter().map(|seed| 1 + 2 * seed.len() as u64).sum()
}

/// One seed after the other with some bytes changed, put in, taken out or brought from another seed.
fn change(target: impl Fn(&[u8]), seeds: &[Vec<u8>], time: Duration) -> u64 {
    let (begun, mut dice, mut inputs) = (Instant::now(), Dice::new(5, 0), 0);
    while begun.elapsed() < time {
        let mut input = seeds[usize::try_from(dice.below(seeds.len() as u64)).unwrap()].clone();
        for _ in 0..=dice.below(4) {
            let at = usize::try_from(dice.below(input.len() as u64 + 1)).unwrap();
            let byte = dice.draw().to_le_bytes()[0];
            match dice.below(4) {
                0 => input.insert(at, byte),
                1 => input.truncate(at),
                2 => {
                    let other = &seeds[usize::try_from(dice.below(seeds.len() as u64)).unwrap()];
                    input.splice(at.., other.iter().skip(at).copied());
                }
                _ if at < input.len() => input[at] = byte,
                _ => input.push(byte),
            }
        }
        target(&input);
        inputs += 1;
    }
    inputs
}

/// A target that cannot stand one byte at one place is found by the replay and by the changes.
#[test]
fn s5_control_a_fragile_target_is_found() {
    let fragile = |data: &[u8]| assert_ne!(data.get(2), Some(&0x43));
    let found = |run: &dyn Fn() -> u64| std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err();
    assert!(found(&|| replay(fragile, &[vec![0, 1, 2]])), "2 becomes 0x43 in the replay");
    assert!(found(&|| change(fragile, &[vec![0; 4]], Duration::from_secs(30))));
    assert!(!found(&|| replay(fragile, &[vec![0, 1]])), "and one that stands it is not");
}
