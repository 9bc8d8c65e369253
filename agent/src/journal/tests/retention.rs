//! Retention, legal holds, waypoints, warnings before the end of the room, and a journal set aside.

use zhenyin_core::room::Level;

use super::*;
use crate::durable_file;

const QUICK: Limits = Limits { quota: 1 << 30, reserve: 4096, quiet: Duration::from_millis(1), keep: None };

/// A journal of ten events with receipts for 3, 6 and 9 of them, a second apart by the witness's time.
fn receipted(dir: &Path) -> (Open, Sealer) {
    let mut sealer = Sealer::new(1);
    let open = Open::new(dir, QUICK);
    open.journal.begin_chain(sealer.id(), sealer.chain.grant().token()).unwrap();
    let events: Vec<_> = (0..10).map(|_| sealer.seal()).collect();
    let frontiers: Vec<_> = events.iter().map(|event| event.frontier.clone()).collect();
    open.append_and_wait(Epoch(0), events);
    for size in [3, 6, 9] {
        let frontier = &frontiers[size - 1];
        let at = WallTime(1_000 * i64::try_from(size).unwrap());
        open.journal.acknowledge(frontier.clone(), sealer.note(frontier), at).unwrap();
        assert!(matches!(open.report(), JournalReport::Acknowledged { .. }));
    }
    (open, sealer)
}

fn erased(open: &Open) -> u64 {
    let report = open.report();
    let JournalReport::Erased { through } = report else { panic!("{report:?}") };
    through
}

fn bodies(dir: &Path) -> Vec<bool> {
    let reader = JournalReader::open(dir, key(1)).unwrap();
    reader.verify_all().expect("leaves, root and receipts hold without the bodies");
    reader.events(0..10).unwrap().into_iter().map(|event| event.jws.is_some()).collect()
}

#[test]
fn only_receipted_events_of_the_age_are_erased_and_the_chain_still_holds() {
    let dir = tempfile::tempdir().unwrap();
    let (open, mut sealer) = receipted(dir.path());
    // The newest receipt is of 9 s; what was receipted 3 s before or earlier goes.
    open.journal.keep(Duration::from_secs(3)).unwrap();
    assert_eq!(erased(&open), 6);
    assert_eq!(bodies(dir.path()), [[false; 6].as_slice(), &[true; 4]].concat());
    // However short the time, what has no receipt stays.
    open.journal.keep(Duration::ZERO).unwrap();
    assert_eq!(erased(&open), 9);
    open.append_and_wait(Epoch(0), vec![sealer.seal()]);
    drop(open);
    let state = reopen(dir.path(), 1).unwrap().unwrap();
    assert_eq!(&state.state, sealer.chain.state());
    let reader = JournalReader::open(dir.path(), key(1)).unwrap();
    assert_eq!(reader.verify_all().unwrap().erased, 9);
    assert_eq!(reader.batch(Sequence(9), 5, usize::MAX).unwrap().len(), 2, "the rest still goes up");
}

#[test]
fn erasing_stops_before_a_damaged_event_and_work_goes_on() {
    for (damage, expected) in [(false, 9), (true, 4)] {
        let dir = tempfile::tempdir().unwrap();
        let (open, mut sealer) = receipted(dir.path());
        if damage {
            let database = rusqlite::Connection::open(dir.path().join("journal.db")).unwrap();
            let flip =
                "DROP TRIGGER event_body_only_goes; UPDATE event SET body = zeroblob(40) WHERE seq = 4";
            database.execute_batch(flip).unwrap();
        }
        open.journal.keep(Duration::ZERO).unwrap();
        assert_eq!(erased(&open), expected, "damaged: {damage}");
        // Every body below went, what is damaged stays, and the journal takes the next event as before.
        open.append_and_wait(Epoch(0), vec![sealer.seal()]);
    }
}

#[test]
fn a_rotation_of_the_key_outlives_its_retention() {
    let dir = tempfile::tempdir().unwrap();
    let mut sealer = Sealer::new(1);
    let open = Open::new(dir.path(), QUICK);
    open.journal.begin_chain(sealer.id(), sealer.chain.grant().token()).unwrap();
    let mut events: Vec<_> = (0..3).map(|_| sealer.seal()).collect();
    events.extend([sealer.rotate(8), sealer.rotate(9)]);
    events.extend((5..10).map(|_| sealer.seal()));
    let frontier = events[9].frontier.clone();
    open.append_and_wait(Epoch(0), events);
    open.journal.acknowledge(frontier.clone(), sealer.note(&frontier), WallTime(1)).unwrap();
    assert!(matches!(open.report(), JournalReport::Acknowledged { .. }));
    open.journal.keep(Duration::ZERO).unwrap();
    assert_eq!(erased(&open), 10);
    let left: Vec<_> = (0..10).map(|place| (3..5).contains(&place)).collect();
    assert_eq!(bodies(dir.path()), left);
    drop(open);
    // Control: any other body in the erased part is an alarm, and so is a rotation that is not as it was.
    for change in ["SET body = zeroblob(40) WHERE seq = 7", "SET body = zeroblob(40) WHERE seq = 3"] {
        let database = rusqlite::Connection::open(dir.path().join("journal.db")).unwrap();
        let kept: Vec<(i64, Option<Vec<u8>>)> = database
            .prepare("SELECT seq, body FROM event")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        database.execute_batch("DROP TRIGGER IF EXISTS event_body_only_goes").unwrap();
        database.execute_batch(&format!("UPDATE event {change}")).unwrap();
        let scanned = JournalReader::open(dir.path(), key(1)).unwrap().verify_all();
        assert!(scanned.is_err_and(|error| error.is_integrity()), "{change}");
        for (seq, body) in kept {
            database
                .execute("UPDATE event SET body = ?2 WHERE seq = ?1", rusqlite::params![seq, body])
                .unwrap();
        }
    }
    assert_eq!(bodies(dir.path()), left);
}

#[test]
fn a_hold_keeps_what_it_names_and_all_after_it_until_it_is_lifted() {
    let dir = tempfile::tempdir().unwrap();
    let (open, _) = receipted(dir.path());
    let id = open.journal.hold(Sequence(4), Sequence(4), "inspection", WallTime(7)).unwrap();
    open.journal.keep(Duration::ZERO).unwrap();
    assert_eq!(erased(&open), 4);
    assert!(matches!(open.journal.lift_hold(id + 1, WallTime(8)), Err(JournalError::NoHold { .. })));
    open.journal.lift_hold(id, WallTime(8)).unwrap();
    assert_eq!(erased(&open), 9);
    let holds = JournalReader::open(dir.path(), key(1)).unwrap().holds().unwrap();
    assert_eq!((holds[0].first, holds[0].lifted), (4, Some(WallTime(8))));
}

fn until_idle(open: &Open) -> Vec<JournalReport> {
    std::iter::from_fn(|| Some(open.reports.recv_timeout(PATIENCE).unwrap()))
        .take_while(|report| !matches!(report, JournalReport::Idle { .. }))
        .collect()
}

#[test]
fn nothing_is_erased_until_somebody_asks_for_it() {
    assert_eq!(Limits::default().keep, None);
    let dir = tempfile::tempdir().unwrap();
    let (open, _) = receipted(dir.path());
    // Each hold makes one quiet moment, with its chores before the next one.
    for _ in 0..2 {
        open.journal.hold(Sequence(9), Sequence(9), "a moment", WallTime(7)).unwrap();
        let seen = until_idle(&open);
        assert!(!seen.iter().any(|report| matches!(report, JournalReport::Erased { .. })), "{seen:?}");
    }
    open.journal.keep(Duration::ZERO).unwrap();
    assert_eq!(erased(&open), 9, "control: it was due all the time");
}

#[test]
fn receipts_of_schema_1_tell_no_age() {
    let dir = tempfile::tempdir().unwrap();
    let (open, _) = receipted(dir.path());
    drop(open);
    let database = rusqlite::Connection::open(dir.path().join(database::FILE)).unwrap();
    let forget = "DROP TRIGGER receipt_stays_as_it_is; UPDATE receipt SET digest = NULL WHERE size > 3";
    database.execute_batch(forget).unwrap();
    drop(database);
    let open = Open::new(dir.path(), QUICK);
    open.journal.keep(Duration::ZERO).unwrap();
    assert_eq!(erased(&open), 3, "where all receipts count it is 9");
}

#[test]
fn a_hold_that_the_database_fails_fails_the_journal_and_a_refused_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let (open, mut sealer) = receipted(dir.path());
    let error = open.journal.hold(Sequence(4), Sequence(3), "backwards", WallTime(7)).unwrap_err();
    assert!(matches!(error, JournalError::Sqlite { .. }), "{error}");
    open.append_and_wait(Epoch(0), vec![sealer.seal()]);
    let database = rusqlite::Connection::open(dir.path().join(database::FILE)).unwrap();
    database.execute_batch("ALTER TABLE hold RENAME TO gone").unwrap();
    drop(database);
    let error = open.journal.hold(Sequence(4), Sequence(4), "inspection", WallTime(7)).unwrap_err();
    assert!(matches!(error, JournalError::HoldUnsure), "{error}");
    assert!(matches!(open.report(), JournalReport::Failed { .. }));
    assert!(matches!(open.report(), JournalReport::Reset { .. }));
    open.append_and_wait(Epoch(1), vec![sealer.seal()]);
}

#[test]
fn a_chain_that_the_database_fails_to_begin_fails_the_journal_and_a_refused_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let (open, mut sealer) = receipted(dir.path());
    let begin = |sealer: &Sealer| open.journal.begin_chain(sealer.id(), sealer.chain.grant().token());
    assert!(matches!(begin(&sealer), Err(JournalError::ChainExists { .. })));
    open.append_and_wait(Epoch(0), vec![sealer.seal()]);
    let database = rusqlite::Connection::open(dir.path().join(database::FILE)).unwrap();
    let broken = "CREATE TRIGGER broken AFTER INSERT ON chain BEGIN INSERT INTO nowhere VALUES(1); END";
    database.execute_batch(broken).unwrap();
    drop(database);
    assert!(matches!(begin(&Sealer::new(2)), Err(JournalError::BeginUnsure)));
    assert!(matches!(open.report(), JournalReport::Failed { .. }));
    let JournalReport::Reset { state: Some(state), .. } = open.report() else { panic!("no reset") };
    assert_eq!((state.chain, &state.state), (sealer.id(), sealer.chain.state()));
    open.append_and_wait(Epoch(1), vec![sealer.seal()]);
}

/// What 400 days of a busy terminal take, with a quarter more: retention must end before the room does.
#[test]
fn the_default_quota_holds_more_than_the_time_that_is_looked_back_on() {
    // Bytes of database for an event: a sealed body of 1,200, its leaf and its row.
    let events: u64 = 400 * 2_000;
    assert!(Limits::default().quota >= events * 1_400 * 5 / 4);
}

#[test]
fn the_tree_at_any_size_is_a_few_leaves_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut sealer = Sealer::new(1);
    let open = Open::new(dir.path(), LIMITS);
    open.journal.begin_chain(sealer.id(), sealer.chain.grant().token()).unwrap();
    let events: Vec<_> = (0..5_000).map(|_| sealer.seal()).collect();
    let frontiers: Vec<_> = events.iter().map(|event| event.frontier.clone()).collect();
    open.append_and_wait(Epoch(0), events);
    let reader = JournalReader::open(dir.path(), key(1)).unwrap();
    for size in [0_usize, 1, 4_095, 4_096, 4_097, 4_999, 5_000] {
        let want = size.checked_sub(1).map_or_else(CompactRange::new, |last| frontiers[last].clone());
        assert_eq!(reader.frontier(size as u64).unwrap(), want, "{size}");
    }
    assert!(reader.frontier(5_001).is_err());
    drop(open);
    let database = rusqlite::Connection::open(dir.path().join(database::FILE)).unwrap();
    let kept: i64 = database.query_row("SELECT size FROM waypoint", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 4_096);
    database
        .execute_batch("DROP TRIGGER waypoint_stays_as_it_is; UPDATE waypoint SET frontier = x'00'")
        .unwrap();
    assert!(reader.verify_all().is_err(), "control: the scan looks at waypoints");
}

#[test]
fn warnings_come_at_70_85_and_95_and_then_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut sealer = Sealer::new(1);
    let open = Open::new(dir.path(), Limits { quota: 600_000, ..QUICK });
    open.journal.begin_chain(sealer.id(), sealer.chain.grant().token()).unwrap();
    let mut levels = Vec::new();
    while levels.last().is_none_or(|room: &Room| room.level != Level::Full) {
        open.journal.append(Epoch(0), sealer.seal()).unwrap();
        loop {
            let report = open.reports.recv_timeout(PATIENCE).unwrap();
            if let JournalReport::Room(room) = report {
                levels.push(room);
            } else if matches!(report, JournalReport::Committed { .. }) {
                break;
            } else {
                assert!(matches!(report, JournalReport::Idle { .. }), "{report:?}");
            }
        }
    }
    let percents = levels.iter().map(|room| room.used_bytes * 100 / room.limit_bytes);
    assert!(percents.is_sorted_by(|a, b| a < b), "told once a percent, from the start on: {levels:?}");
    levels.dedup_by_key(|room| room.level);
    assert_eq!(levels.remove(0).level, Level::Ample);
    let told: Vec<_> =
        levels.iter().map(|room| (room.level, room.used_bytes * 100 / room.limit_bytes)).collect();
    let want = [(Level::Filling, 70), (Level::Scarce, 85), (Level::Critical, 95), (Level::Full, 100)];
    assert!(told.iter().zip(want).all(|(a, b)| a.0 == b.0 && a.1.abs_diff(b.1) <= 2), "{told:?}");
    open.append_and_wait(Epoch(0), vec![sealer.seal()]);
}

#[test]
fn a_journal_of_schema_1_is_taken_over_as_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    durable_file::touch(&dir.path().join(database::FILE)).unwrap();
    let old = rusqlite::Connection::open(dir.path().join(database::FILE)).unwrap();
    old.execute_batch(include_str!("../001_append_only.sql")).unwrap();
    old.execute_batch("PRAGMA application_id = 1515801137; PRAGMA user_version = 1").unwrap();
    assert!(matches!(
        JournalReader::open(dir.path(), key(1)),
        Err(JournalError::SchemaOlder { found: 1, known: 2 })
    ));
    drop(old);
    let mut sealer = Sealer::new(1);
    let open = Open::new(dir.path(), LIMITS);
    open.journal.begin_chain(sealer.id(), sealer.chain.grant().token()).unwrap();
    open.append_and_wait(Epoch(0), vec![sealer.seal()]);
    assert_eq!(JournalReader::open(dir.path(), key(1)).unwrap().verify_all().unwrap().events, 1);
}
