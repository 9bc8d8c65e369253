//! R14: a terminal at work while its network and its process come and go. What was accepted is receipted or waiting at
//! every moment, everything is receipted in the end without anybody's hand, and memory stays flat.
//! `ZHENYIN_SOAK_SECONDS=86400` for the row's own day.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use zhenyin::journal::JournalReader;
use zhenyin::keystore::KeyStore;
use zhenyin_core::api::{Outcome, Request, Status};
use zhenyin_tests::card_reader::cards::CardSpec;
use zhenyin_tests::generated::random::Dice;
use zhenyin_tests::world::World;

const SECONDS: u64 = 20;
/// A day at one event a second.
const PACE: Duration = Duration::from_millis(250);

#[test]
fn r14_a_soak_conserves_every_event() {
    let seconds = std::env::var("ZHENYIN_SOAK_SECONDS").map_or(SECONDS, |seconds| seconds.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::build(folder.path(), None).unwrap();
    world.until("the reader answering", |s| s.reader.is_none()).unwrap();
    world.reader.insert(CardSpec::version_2());
    let (mut dice, begun) = (Dice::new(14, 0), Instant::now());
    let mut faults = BTreeMap::<&str, u64>::new();
    let (mut accepted, mut readings) = (0, 0);
    let mut memory = None;
    while begun.elapsed() < Duration::from_secs(seconds) {
        let next = Instant::now() + PACE;
        if let Some(fault) = trouble(&mut world, &mut dice) {
            *faults.entry(fault).or_default() += 1;
        }
        let reply = world.perform(&Request::CardRead, |_| None).unwrap();
        assert!(matches!(reply.outcome, Outcome::CardRead { .. }), "{reply:?}");
        (accepted, readings) = (reply.events.last().unwrap().0 + 1, readings + 1);
        let status = world.status().unwrap();
        assert!(conserved(accepted, &status), "{accepted} accepted: {status:?}");
        // The first acts fill caches.
        if readings == 10 {
            memory = Some(resident());
        }
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    if world.upstream().is_none() {
        world.restore_network().unwrap();
    }
    let status =
        world.until("everything receipted", |s| s.receipted >= accepted && s.receipted == s.events).unwrap();
    let upstream = world.upstream().unwrap().terminals().unwrap();
    assert_eq!(upstream.len(), 1, "one terminal, one chain");
    assert_eq!(upstream[0].size, status.events, "upstream has every event once");
    assert!(!conserved(status.events + 1, &status), "control: one event more would be missed");
    let grown = resident().saturating_sub(memory.unwrap_or_else(resident));
    world.stop_agent();
    let keys = KeyStore::open(&world.config.state.join("keys")).unwrap();
    let reader = JournalReader::open(&world.config.state.join("journal"), keys.journal_key()).unwrap();
    let report = reader.verify_all().unwrap();
    println!(
        "R14: {seconds} s, {readings} acts, {} events, {} receipted, faults {faults:?}, memory grew by {} MiB, 0 \
         manual steps",
        report.events,
        status.receipted,
        grown >> 20
    );
    assert!(grown < 64 << 20, "{} MiB", grown >> 20);
}

/// Accepted = receipted + pending, and nothing is receipted that was not made.
fn conserved(accepted: u64, status: &Status) -> bool {
    accepted <= status.events && status.receipted <= status.events
}

fn trouble(world: &mut World, dice: &mut Dice) -> Option<&'static str> {
    match dice.below(8) {
        0 if world.upstream().is_some() => {
            world.cut_network();
            Some("network away")
        }
        0 | 1 if world.upstream().is_none() => {
            world.restore_network().unwrap();
            Some("network back")
        }
        2 => {
            world.stop_agent();
            world.start_agent().unwrap();
            world.until("the reader answering", |s| s.reader.is_none()).unwrap();
            Some("restart")
        }
        _ => None,
    }
}

/// Resident memory of this process, upstream and simulators included, in bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * rustix::param::page_size() as u64
}
