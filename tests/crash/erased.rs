//! S4: a body whose retention has ended is in no file any more, not even sealed. Never trusts the search alone: it finds
//! the same bytes before.

use std::path::Path;
use std::time::Duration;

use zhenyin_core::time::WallTime;

use crate::run::{DATABASE, LIMITS, Run, scratch};

const EVENTS: u64 = 40;
const RECEIPTED: u64 = 30;

#[test]
fn s4_an_erased_body_is_in_no_file() {
    let dir = scratch();
    let mut run =
        Run::open(dir.path(), zhenyin::journal::Limits { quiet: Duration::from_millis(2), ..LIMITS })
            .unwrap();
    run.append_all(EVENTS).unwrap();
    run.acknowledge(RECEIPTED, WallTime(0)).unwrap();
    run.settle().unwrap();
    let bodies = bodies(dir.path());
    assert_eq!(found(dir.path(), &bodies), EVENTS, "control: they are found while they are there");
    run.journal.keep(Duration::ZERO).unwrap();
    run.wait_for("the erasing", |run| run.erased >= RECEIPTED).unwrap();
    run.settle().unwrap();
    assert_eq!(found(dir.path(), &bodies), EVENTS - RECEIPTED);
    println!("S4: {RECEIPTED} of {EVENTS} bodies erased, none of them in a file");
}

/// As they are stored: sealed.
fn bodies(dir: &Path) -> Vec<Vec<u8>> {
    let database = rusqlite::Connection::open(dir.join(DATABASE)).unwrap();
    let mut statement = database.prepare("SELECT body FROM event ORDER BY seq").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// How many of them have a part in some file.
fn found(dir: &Path, bodies: &[Vec<u8>]) -> u64 {
    let files = std::fs::read_dir(dir).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    let raw: Vec<u8> = files.flatten().collect();
    let there = |part: &[u8]| raw.windows(part.len()).any(|window| window == part);
    bodies.iter().filter(|body| there(&body[..48]) || there(&body[body.len() - 48..])).count() as u64
}
