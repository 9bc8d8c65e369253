//! R4: one flipped bit in database, write-ahead log, head file, mark or receipt. It is reported at start or by the
//! scan, or it has changed nothing that was recorded.

use std::fmt;

use zhenyin_tests::generated::random::Dice;

use crate::run::{DATABASE, Files, HEAD, Killed, MARK, WAL, contents, scratch};

#[test]
fn r4_no_flipped_bit_changes_or_loses_anything_in_silence() {
    let killed = Killed::make().unwrap();
    let mut random = Dice::new(4, 0);
    let mut all = 0;
    for (name, flips) in [(DATABASE, 200), (WAL, 400), (HEAD, 60), (MARK, 60)] {
        let length = killed.files.file(name).len() as u64;
        let tally = flip(&killed, &killed.files, name, (0..flips).map(|_| random.below(length * 8)));
        println!("R4: {name}: {tally}");
        assert_eq!(tally.silent, 0, "{name}");
        all += flips;
    }
    let length = killed.closed.file(DATABASE).len() as u64;
    let tally = flip(&killed, &killed.closed, DATABASE, (0..250).map(|_| random.below(length * 8)));
    println!("R4: {DATABASE} after a stop: {tally}");
    assert_eq!(tally.silent, 0, "{DATABASE} after a stop");
    all += tally.flips;
    // Receipts once more by themselves: one page of the database holds few of them.
    let places = receipt_bits(&killed, &mut random, 150);
    let tally = flip(&killed, &killed.closed, DATABASE, places.into_iter());
    println!("R4: receipts: {tally}");
    assert_eq!(tally.silent, 0, "receipts");
    assert_eq!(tally.reported, tally.flips, "every bit of a receipt counts");
    println!("R4: {} flips, 0 silent", all + tally.flips);
}

/// Without head and mark the same flips in the log shorten the journal, and nobody says a word.
#[test]
fn r4_control_without_head_and_mark_the_log_ends_in_silence() {
    let killed = Killed::make().unwrap();
    let bare = killed.files.without(&[HEAD, MARK]);
    let length = bare.file(WAL).len() as u64;
    let mut random = Dice::new(44, 0);
    let tally = flip(&killed, &bare, WAL, (0..40).map(|_| random.below(length * 8)));
    println!("R4 control: {tally}");
    assert!(tally.silent > 0, "the comparison cannot see a loss: {tally}");
}

/// SQLite's own check sees next to nothing of what the leaves see.
#[test]
fn r4_control_sqlites_own_check_is_not_enough() {
    let killed = Killed::make().unwrap();
    let settled = killed.closed.without(&[WAL]);
    let mut random = Dice::new(444, 0);
    let mut seen = 0;
    for _ in 0..60 {
        let dir = scratch();
        let place = random.below(settled.file(DATABASE).len() as u64 * 8);
        flipped(&settled, DATABASE, place).write(dir.path()).unwrap();
        let database = rusqlite::Connection::open(dir.path().join(DATABASE)).unwrap();
        let said = database.query_row("PRAGMA quick_check", [], |row| row.get::<_, String>(0));
        seen += u32::from(said.is_err() || said.is_ok_and(|said| said != "ok"));
    }
    println!("R4 control: `quick_check` saw {seen} of 60 flips");
    assert!(seen < 30, "{seen}");
}

#[derive(Default)]
struct Tally {
    flips: u64,
    reported: u64,
    harmless: u64,
    silent: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flips, reported, harmless, silent } = self;
        write!(f, "{flips} flips: {reported} reported, {harmless} changed nothing, {silent} silent")
    }
}

fn flip(killed: &Killed, files: &Files, name: &'static str, places: impl Iterator<Item = u64>) -> Tally {
    let mut tally = Tally::default();
    for place in places {
        let dir = scratch();
        flipped(files, name, place).write(dir.path()).unwrap();
        tally.flips += 1;
        match contents(dir.path()) {
            Err(_) => tally.reported += 1,
            Ok(found) if found == killed.contents => tally.harmless += 1,
            Ok(_) => tally.silent += 1,
        }
    }
    tally
}

fn flipped(files: &Files, name: &'static str, bit: u64) -> Files {
    let mut bytes = files.file(name).to_vec();
    bytes[usize::try_from(bit / 8).unwrap()] ^= 1 << (bit % 8);
    files.with(name, bytes)
}

/// Bits of the stored texts of receipts, which stand in the database in clear.
fn receipt_bits(killed: &Killed, random: &mut Dice, count: u64) -> Vec<u64> {
    let database = killed.closed.file(DATABASE);
    let settled: Vec<_> = killed
        .contents
        .receipts
        .iter()
        .filter_map(|receipt| {
            let note = receipt.note.as_bytes();
            let at = database.windows(note.len()).rposition(|window| window == note)?;
            Some((at as u64, note.len() as u64))
        })
        .collect();
    assert!(settled.len() >= 5, "{} receipts lie in one piece", settled.len());
    let bit = |_| {
        let (at, length) = settled[usize::try_from(random.below(settled.len() as u64)).unwrap()];
        at * 8 + random.below(length * 8)
    };
    (0..count).map(bit).collect()
}
