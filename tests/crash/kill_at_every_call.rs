//! R1 where random kills seldom fall: erasing, the change from an old schema, setting a damaged journal aside. The
//! process dies at every single call of each, and power fails there too. Never by timing.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use zhenyin::journal::{Journal, Limits, asides, set_aside};
use zhenyin_core::time::WallTime;
use zhenyin_tests::faulty_disk::Disk;
use zhenyin_tests::generated::random::Dice;
use zhenyin_tests::sealing::{SealingChain, fixed};

use crate::run::{Contents, DATABASE, Files, HEAD, Killed, LIMITS, MARK, Run, WAL, contents, key, scratch};
use crate::small_files::{Calls, Fault};

/// In the journal that is erased from or taken over from an old schema.
const EVENTS: u64 = 12;
/// Of those, these have a receipt.
const RECEIPTED: u64 = 9;

#[test]
fn r1_dying_at_any_call_of_erasing_loses_nothing() {
    let found = erase(false).unwrap();
    println!("R1 erasing: {found}");
    assert!(found.pictures > 40, "{found}");
    assert!(found.broken.is_empty(), "{:?}", found.broken.first());
}

/// On a disk that lies, bodies that were reported as erased come back.
#[test]
fn r1_control_erasing_on_a_disk_that_lies_is_caught() {
    let found = erase(true).unwrap();
    println!("R1 erasing, control: {found}");
    assert!(!found.broken.is_empty());
}

#[test]
fn r1_dying_at_any_call_of_a_schema_change_loses_nothing() {
    let (old, want) = schema_1().unwrap();
    let dir = scratch();
    old.write(dir.path()).unwrap();
    let disk = Disk::attach(dir.path());
    let pictures = photograph(&disk, dir.path(), &Arc::default());
    let (journal, state) = Journal::open(dir.path(), key(), LIMITS, drop).unwrap();
    assert_eq!(state.unwrap().state.frontier.size(), EVENTS);
    journal.close();
    let pictures = std::mem::take(&mut *pictures.lock().unwrap());
    for (number, picture) in pictures.iter().enumerate() {
        let found = look(&picture.files).with_context(|| format!("picture {number}")).unwrap();
        assert_eq!(found, want, "picture {number}");
    }
    println!("R1 schema change: {} pictures, 0 lost", pictures.len());
    assert!(pictures.len() > 20);
}

/// A schema that says it is new and is not: the comparison above would fail.
#[test]
fn r1_control_half_a_schema_change_is_caught() {
    let (old, _) = schema_1().unwrap();
    let dir = scratch();
    old.write(dir.path()).unwrap();
    let new = scratch();
    Run::open(new.path(), LIMITS).unwrap().journal.close();
    let [old, new] = [&dir, &new].map(|dir| rusqlite::Connection::open(dir.path().join(DATABASE)).unwrap());
    let newest: i32 = new.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    old.execute_batch(&format!("PRAGMA user_version = {newest}")).unwrap();
    drop(old);
    let error = contents(dir.path()).expect_err("half a schema");
    println!("R1 schema change, control: {error}");
}

#[test]
fn r1_dying_at_any_call_of_setting_aside_loses_nothing() {
    let killed = Killed::make().unwrap();
    let mut deaths = 0;
    while die_setting_aside(&killed, deaths + 1, |_| {})
        .with_context(|| format!("call {}", deaths + 1))
        .unwrap()
    {
        deaths += 1;
    }
    println!("R1 setting aside: dead at each of {deaths} calls, every file kept");
    assert!(deaths >= 15, "{deaths} calls only");
}

/// Somebody who tidies up after the death is caught by the same comparison.
#[test]
fn r1_control_a_file_lost_while_setting_aside_is_caught() {
    let killed = Killed::make().unwrap();
    let lose = |dir: &Path| {
        for folder in asides(dir).into_iter().map(|aside| aside.folder).chain([dir.to_owned()]) {
            let _not_there = std::fs::remove_file(folder.join(WAL));
        }
    };
    let error = die_setting_aside(&killed, 8, lose).expect_err("a lost log");
    println!("R1 setting aside, control: {error:#}");
}

/// The files at one moment, and up to where bodies had been reported as erased.
struct Picture {
    erased: u64,
    files: Files,
}

struct Found {
    pictures: usize,
    broken: Vec<String>,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} pictures, {} with something lost or back again", self.pictures, self.broken.len())
    }
}

fn erase(lying: bool) -> anyhow::Result<Found> {
    let dir = scratch();
    let disk = Disk::attach(dir.path());
    let mut run = Run::open(dir.path(), Limits { quiet: Duration::from_millis(2), ..LIMITS })?;
    run.append_all(EVENTS)?;
    for size in [3, 6, RECEIPTED] {
        run.acknowledge(size, WallTime(i64::try_from(size)? * 1_000))?;
    }
    run.settle()?;
    let whole = look(&Files::read(dir.path()))?;
    let erased = Arc::<AtomicU64>::default();
    if lying {
        disk.set_lazy();
    }
    let pictures = photograph(&disk, dir.path(), &erased);
    // Everything with a receipt goes, in three steps.
    for (keep, through) in [(5_000, 3), (2_000, 6), (0, RECEIPTED)] {
        run.journal.keep(Duration::from_millis(keep))?;
        run.wait_for("the erasing", |run| run.erased >= through)?;
        erased.store(through, Ordering::SeqCst);
        run.append_all(1)?;
    }
    run.journal.close();
    let mut album = pictures.lock().unwrap_or_else(PoisonError::into_inner);
    let pictures = std::mem::take(&mut *album);
    let check = |picture: &Picture| -> anyhow::Result<()> {
        let found = look(&picture.files)?;
        ensure!(found.receipts == whole.receipts, "a receipt is lost");
        ensure!(found.events.len() >= whole.events.len(), "{} events are there", found.events.len());
        for (there, was) in found.events.iter().zip(&whole.events) {
            ensure!((there.leaf, there.at) == (was.leaf, was.at), "event {} is another", was.sequence);
            let gone = there.jws.is_none();
            ensure!(
                !gone || was.sequence.0 < RECEIPTED,
                "event {} was erased without a receipt",
                was.sequence
            );
            ensure!(gone || was.sequence.0 >= picture.erased, "the body of event {} is back", was.sequence);
        }
        Ok(())
    };
    let broken = pictures.iter().filter_map(|picture| Some(format!("{:#}", check(picture).err()?)));
    Ok(Found { pictures: pictures.len(), broken: broken.collect() })
}

/// Takes two pictures before each call: what a kill leaves, and what a power cut leaves.
fn photograph(disk: &Disk, dir: &Path, erased: &Arc<AtomicU64>) -> Arc<Mutex<Vec<Picture>>> {
    let pictures = Arc::<Mutex<Vec<Picture>>>::default();
    let (album, erased, home) = (Arc::clone(&pictures), Arc::clone(erased), dir.to_owned());
    let mut dice = Dice::new(1, 9);
    disk.watch(Box::new(move |_, images| {
        let told = erased.load(Ordering::SeqCst);
        for mut files in [images.as_written(), images.cut_power(&mut dice)] {
            files.retain(|name, _| name.starts_with("journal.db"));
            // What SQLite has not opened yet is as it was before.
            let untouched = [DATABASE, WAL].into_iter().filter(|name| !files.contains_key(*name));
            for name in untouched.collect::<Vec<_>>().into_iter().chain([HEAD, MARK]) {
                files.extend(std::fs::read(home.join(name)).map(|bytes| (name.to_owned(), bytes)));
            }
            let picture = Picture { erased: told, files: Files::of(files.into_iter()) };
            album.lock().unwrap_or_else(PoisonError::into_inner).push(picture);
        }
    }));
    pictures
}

fn look(files: &Files) -> anyhow::Result<Contents> {
    let dir = scratch();
    files.write(dir.path())?;
    Ok(contents(dir.path())?)
}

/// A journal as the first version left it, and what it holds.
fn schema_1() -> anyhow::Result<(Files, Contents)> {
    let (new, old) = (scratch(), scratch());
    let mut run = Run::open(new.path(), LIMITS)?;
    run.append_all(EVENTS)?;
    run.acknowledge(RECEIPTED, WallTime(9_000))?;
    run.journal.close();
    let want = contents(new.path())?;
    Files::read(new.path()).with(DATABASE, Vec::new()).without(&[WAL]).write(old.path())?;
    let database = rusqlite::Connection::open(old.path().join(DATABASE))?;
    database.execute_batch("PRAGMA journal_mode = WAL")?;
    database.execute_batch(include_str!("../../agent/src/journal/001_append_only.sql"))?;
    let path = new.path().join(DATABASE);
    database.execute("ATTACH ?1 AS new", [path.to_str().context("a path in UTF-8")?])?;
    database.execute_batch(
        "INSERT INTO chain SELECT id, uuid, grant_jws, key_check, 0, frontier, 0, acked_frontier FROM new.chain;
         INSERT INTO event SELECT chain, seq, leaf, body, at_ms FROM new.event ORDER BY seq;
         INSERT INTO receipt SELECT chain, size, note, at_ms FROM new.receipt ORDER BY size;
         UPDATE chain SET acked = (SELECT acked FROM new.chain);
         DETACH new;
         PRAGMA application_id = 1515801137; PRAGMA user_version = 1",
    )?;
    drop(database);
    Ok((Files::read(old.path()), want))
}

/// Sets a journal aside and dies at the `nth` call; then `meanwhile`, and the next start. `false` when there are not so
/// many calls.
fn die_setting_aside(killed: &Killed, nth: u64, meanwhile: impl Fn(&Path)) -> anyhow::Result<bool> {
    let dir = scratch();
    killed.files.write(dir.path())?;
    let chain = SealingChain::begin(fixed(1))?.grant().chain();
    let calls = Calls::attach(dir.path());
    calls.fail(nth, Fault::Dead);
    let done = set_aside(dir.path(), chain, WallTime(0));
    let died = calls.heal().is_some();
    ensure!(died || done.is_ok(), "it says {done:?}");
    meanwhile(dir.path());
    let moved = !dir.path().join(MARK).exists();
    match contents(dir.path()) {
        Ok(found) => {
            ensure!(found == killed.contents, "half a journal looks whole");
            return Ok(died);
        }
        Err(error) if error.is_integrity() => {
            set_aside(dir.path(), chain, WallTime(1)).context("the next start")?;
        }
        Err(error) => ensure!(moved, "it is neither damaged nor gone: {error}"),
    }
    for name in [DATABASE, WAL, HEAD, MARK] {
        let mut folders = asides(dir.path()).into_iter().map(|aside| aside.folder);
        let kept = folders
            .any(|folder| std::fs::read(folder.join(name)).is_ok_and(|b| b == killed.files.file(name)));
        ensure!(kept, "`{name}` is not kept as it was");
    }
    Ok(died)
}
