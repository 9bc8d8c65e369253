//! R4 in the running agent: one bit of an old event flips on the disk while the terminal is at work. The slow scan finds
//! it by itself, and the alarm goes on record. Beside it an untouched terminal, whose scan has nothing to say.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use zhenyin::journal::JournalReader;
use zhenyin::keystore::KeyStore;
use zhenyin_core::api::{Outcome, Request};
use zhenyin_core::event::kind_unverified;
use zhenyin_tests::card_reader::cards::CardSpec;
use zhenyin_tests::world::World;

/// So many that the first ones lie in pages which nothing is written to any more.
const READINGS: usize = 8;
/// The event whose body is spoilt.
const OLD: u64 = 1;

#[test]
fn r4_the_slow_scan_finds_a_flipped_bit_while_the_agent_runs() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [sound, spoilt] = [terminal(folders[0].path()), terminal(folders[1].path())];
    let before = spoilt.until("a quiet terminal", |s| s.receipted == s.events).unwrap().events;
    spoilt.until("everything in the database", |_| body_place(&spoilt).is_some()).unwrap();
    let begun = Instant::now();
    flip(&journal(&spoilt).join("journal.db"), body_place(&spoilt).unwrap());
    spoilt.until("the alarm", |_| alarms(&spoilt, before) > 0).unwrap();
    let found = begun.elapsed();
    assert_eq!(alarms(&spoilt, before), 1);
    // Its scan was due before the other one's.
    assert_eq!(alarms(&sound, 0), 0, "control: nothing is found where nothing is spoilt");
    let after = spoilt.until("the alarm upstream", |s| s.receipted > before).unwrap();
    println!(
        "R4: one bit of event {OLD} of {before} flipped, on record after {found:.1?}, {} events now",
        after.events
    );
}

/// A terminal that has read cards.
fn terminal(folder: &Path) -> World {
    let world = World::build(folder, None).unwrap();
    world.until("the reader answering", |s| s.reader.is_none()).unwrap();
    world.reader.insert(CardSpec::version_2());
    for _ in 0..READINGS {
        let reply = world.perform(&Request::CardRead, |_| None).unwrap();
        assert!(matches!(reply.outcome, Outcome::CardRead { .. }), "{reply:?}");
    }
    world
}

fn journal(world: &World) -> PathBuf {
    world.config.state.join("journal")
}

/// How many events from `first` on say that the journal is damaged.
fn alarms(world: &World, first: u64) -> usize {
    let keys = KeyStore::open(&world.config.state.join("keys")).unwrap();
    let reader = JournalReader::open(&journal(world), keys.journal_key()).unwrap();
    let events = reader.events(first..u64::MAX).unwrap();
    let kinds = events.iter().filter_map(|event| kind_unverified(event.jws.as_ref()?));
    kinds.filter(|kind| kind == "log.integrity-alarm.v1").count()
}

/// Where the body stands in the database file; `None` while it is in the write-ahead log only.
fn body_place(world: &World) -> Option<u64> {
    let path = journal(world).join("journal.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    let body: Vec<u8> = database
        .query_row("SELECT body FROM event WHERE seq = ?1", [OLD.cast_signed()], |row| row.get(0))
        .unwrap();
    let part = &body[..64];
    let file = std::fs::read(path).unwrap();
    file.windows(part.len()).position(|window| window == part).map(|at| at as u64)
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}
