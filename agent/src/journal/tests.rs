//! The journal through its public face, and the database behind it when a bug or a hand goes past it.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use uuid::Uuid;
use zhenyin_core::chain::{Chain, Head};
use zhenyin_core::documents::{Grant, GrantContent};
use zhenyin_core::event::Draft;
use zhenyin_core::ids::{BootId, TerminalId};
use zhenyin_core::signer::{Seed, Signer as _, SoftwareSigner};
use zhenyin_core::time::{Boottime, ClockTrust, Now};

use super::*;

mod retention;
mod triggers;

const LIMITS: Limits = Limits { quota: 1 << 30, reserve: 1 << 20, quiet: Duration::from_secs(1), keep: None };
const PATIENCE: Duration = Duration::from_secs(20);

fn key(byte: u8) -> DataKey {
    DataKey::take(&mut [byte; 32])
}

fn signer(byte: u8) -> SoftwareSigner {
    SoftwareSigner::from_seed(&Seed::take(&mut [byte; 32]))
}

/// Seals events as the core does.
struct Sealer {
    chain: Chain,
    signer: SoftwareSigner,
}

impl Sealer {
    fn new(chain: u128) -> Self {
        let signer = signer(1);
        let content = GrantContent {
            chain: ChainId(Uuid::from_u128(chain)),
            iat: 1_777_593_600,
            jwk: signer.public_key().to_jwk(),
            prev: None,
            terminal: TerminalId(Uuid::from_u128(9)),
            institution: None,
            department: None,
            region: None,
            suite: None,
            log: None,
            witness: None,
            authority: None,
        };
        Self { chain: Chain::begin(Grant::seal(&content, &self::signer(2)).unwrap()), signer }
    }

    fn seal(&mut self) -> SealedEvent {
        let number = self.chain.head().size;
        let draft = Draft {
            kind: "test.happened.v1".into(),
            subject: None,
            data: serde_json::json!({ "number": number }),
        };
        let wall = WallTime(1_777_593_600_000 + number.cast_signed());
        let now = Now { wall, boottime: Boottime::default(), trust: ClockTrust::Synced };
        self.chain.seal_draft(draft, now, &BootId(Uuid::from_u128(5)), &self.signer).unwrap()
    }

    /// Hands over to another key.
    fn rotate(&mut self, next: u8) -> SealedEvent {
        let (next, now) = (
            signer(next),
            Now { wall: WallTime(0), boottime: Boottime::default(), trust: ClockTrust::Synced },
        );
        let boot = BootId(Uuid::from_u128(5));
        let event = self.chain.rotate(&next, now, &boot, &self.signer).unwrap();
        self.signer = next;
        event
    }

    fn note(&self, frontier: &CompactRange) -> String {
        let head = Head { size: frontier.size(), root: frontier.root() };
        self.chain.checkpoint(head, &self.signer).unwrap().to_string()
    }

    fn id(&self) -> ChainId {
        self.chain.grant().chain()
    }
}

struct Open {
    journal: Journal,
    state: Option<DurableChain>,
    reports: Receiver<JournalReport>,
}

impl Open {
    fn new(dir: &Path, limits: Limits) -> Self {
        let (sender, reports) = channel();
        let report = move |report| drop(sender.send(report));
        let (journal, state) = Journal::open(dir, key(1), limits, report).unwrap();
        Self { journal, state, reports }
    }

    /// The next report that is not about idleness or room.
    fn report(&self) -> JournalReport {
        loop {
            let report = self.reports.recv_timeout(PATIENCE).unwrap();
            if !matches!(report, JournalReport::Idle { .. } | JournalReport::Room(_)) {
                return report;
            }
        }
    }

    fn append_and_wait(&self, epoch: Epoch, events: Vec<SealedEvent>) {
        let last = events.last().unwrap().sequence;
        events.into_iter().for_each(|event| self.journal.append(epoch, event).unwrap());
        loop {
            let report = self.report();
            let JournalReport::Committed { through } = report else { panic!("{report:?}") };
            if through == last {
                return;
            }
        }
    }
}

/// A closed journal of `count` events in a fresh directory, the first `acked` of them acknowledged.
fn filled(count: usize, acked: usize) -> (tempfile::TempDir, Sealer) {
    let dir = tempfile::tempdir().unwrap();
    let mut sealer = Sealer::new(1);
    let open = Open::new(dir.path(), LIMITS);
    open.journal.begin_chain(sealer.id(), sealer.chain.grant().token()).unwrap();
    let events: Vec<_> = (0..count).map(|_| sealer.seal()).collect();
    let frontier = acked.checked_sub(1).map(|last| events[last].frontier.clone());
    open.append_and_wait(Epoch(0), events);
    if let Some(frontier) = frontier {
        let note = sealer.note(&frontier);
        open.journal.acknowledge(frontier, note, WallTime(1)).unwrap();
        assert!(matches!(open.report(), JournalReport::Acknowledged { size } if size == acked as u64));
    }
    open.journal.close();
    (dir, sealer)
}

fn reopen(dir: &Path, byte: u8) -> Result<Option<DurableChain>, JournalError> {
    Journal::open(dir, key(byte), LIMITS, drop).map(|(_, state)| state)
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let (dir, sealer) = filled(1_500, 700);
    let state = reopen(dir.path(), 1).unwrap().unwrap();
    assert_eq!(&state.state, sealer.chain.state());
    assert_eq!((state.chain, state.acked_frontier.size()), (sealer.id(), 700));
    assert_eq!(state.head, state.last_receipt, "a receipt becomes the head file");
    let reader = JournalReader::open(dir.path(), key(1)).unwrap();
    let report = reader.verify_all().unwrap();
    assert_eq!(report, ScanReport { chains: 1, events: 1_500, erased: 0, receipts: 1 });
    let counters = reader.counters().unwrap();
    assert_eq!((counters.size, counters.acked), (1_500, 700));
    assert_eq!(counters.oldest_unacknowledged, Some(WallTime(1_777_593_600_700)));
    let batch = reader.batch(Sequence(700), 100, usize::MAX).unwrap();
    assert_eq!((batch.len(), batch[0].sequence), (100, Sequence(700)));
    let short = batch[0].jws.as_ref().unwrap().len() + 1;
    assert_eq!(reader.batch(Sequence(700), 100, short).unwrap().len(), 1);
    assert_eq!(reader.batch(Sequence(700), 100, 0).unwrap().len(), 1, "never stuck on a long event");
    assert_eq!(reader.events(1_499..9_999).unwrap().len(), 1);
    assert_eq!(reader.receipts(sealer.id()).unwrap().len(), 1);
}

#[test]
fn another_key_is_refused_by_name() {
    let (dir, _) = filled(1, 0);
    assert!(matches!(reopen(dir.path(), 2), Err(JournalError::WrongKey { .. })));
    assert!(reopen(dir.path(), 1).is_ok());
}

#[test]
fn a_second_process_is_refused_by_name() {
    let (dir, _) = filled(1, 0);
    let _first = Open::new(dir.path(), LIMITS);
    assert!(matches!(reopen(dir.path(), 1), Err(JournalError::InUse)));
}

#[test]
fn an_event_out_of_place_fails_its_epoch_and_the_journal_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut sealer = Sealer::new(1);
    let open = Open::new(dir.path(), LIMITS);
    open.journal.begin_chain(sealer.id(), sealer.chain.grant().token()).unwrap();
    open.append_and_wait(Epoch(0), vec![sealer.seal()]);
    let durable = sealer.chain.state().clone();
    let (_lost, next) = (sealer.seal(), sealer.seal());
    open.journal.append(Epoch(0), next).unwrap();
    let failed = open.report();
    assert!(
        matches!(
            &failed,
            JournalReport::Failed { epoch: Epoch(0), error: JournalError::OutOfOrder { expected: 1, .. } }
        ),
        "{failed:?}"
    );
    let JournalReport::Reset { epoch: Epoch(1), state: Some(state) } = open.report() else { panic!() };
    assert_eq!(state.state, durable);
    sealer.chain.roll_back(state.state);
    let good = sealer.seal();
    open.journal.append(Epoch(0), good.clone()).unwrap();
    let mut forged = good.clone();
    forged.jws.push('x');
    open.journal.append(Epoch(1), forged).unwrap();
    let failed = open.report();
    assert!(
        matches!(&failed, JournalReport::Failed { epoch: Epoch(1), error: JournalError::Unfit { .. } }),
        "the stale one was dropped, the forged one is named: {failed:?}"
    );
    assert!(matches!(open.report(), JournalReport::Reset { epoch: Epoch(2), .. }));
    open.append_and_wait(Epoch(2), vec![good]);
}

#[test]
fn a_receipt_that_does_not_fit_is_refused_and_fails_no_event() {
    let dir = tempfile::tempdir().unwrap();
    let mut sealer = Sealer::new(1);
    let open = Open::new(dir.path(), LIMITS);
    open.journal.begin_chain(sealer.id(), sealer.chain.grant().token()).unwrap();
    let events = vec![sealer.seal(), sealer.seal()];
    let frontiers: Vec<_> = events.iter().map(|event| event.frontier.clone()).collect();
    open.append_and_wait(Epoch(0), events);
    let ahead = sealer.seal().frontier;
    let refused = |frontier: &CompactRange, note: String| {
        open.journal.acknowledge(frontier.clone(), note, WallTime(1)).unwrap();
        let report = open.report();
        assert!(matches!(report, JournalReport::AcknowledgementRefused { .. }), "{report:?}");
    };
    refused(&ahead, sealer.note(&ahead));
    refused(&frontiers[0], sealer.note(&frontiers[1]));
    refused(&frontiers[0], "200 OK".to_owned());
    for frontier in [&frontiers[1], &frontiers[1], &frontiers[0]] {
        open.journal.acknowledge(frontier.clone(), sealer.note(frontier), WallTime(1)).unwrap();
        assert!(matches!(open.report(), JournalReport::Acknowledged { size: 2 }));
    }
}

#[test]
fn an_old_copy_of_the_database_beside_a_newer_head_is_noticed() {
    let (dir, mut sealer) = filled(3, 2);
    let path = dir.path().join(database::FILE);
    let old = std::fs::read(&path).unwrap();
    {
        let open = Open::new(dir.path(), LIMITS);
        open.append_and_wait(Epoch(0), vec![sealer.seal()]);
        open.journal.write_head(sealer.note(&sealer.chain.state().frontier)).unwrap();
    }
    assert!(reopen(dir.path(), 1).is_ok(), "control: the true database passes");
    std::fs::write(&path, &old).unwrap();
    let error = reopen(dir.path(), 1).unwrap_err();
    assert!(
        matches!(error, JournalError::BehindHead { head: 4, found: 3 }) && error.is_integrity(),
        "{error}"
    );

    std::fs::remove_file(&path).unwrap();
    let error = reopen(dir.path(), 1).unwrap_err();
    assert!(matches!(error, JournalError::HeadOfAnotherChain { .. }) && error.is_integrity(), "{error}");
}

#[test]
fn a_head_of_another_history_or_of_no_form_is_noticed() {
    let (dir, sealer) = filled(5, 0);
    let check = |bytes: &[u8], want: &str| {
        std::fs::write(dir.path().join(head_file::FILE), bytes).unwrap();
        let error = reopen(dir.path(), 1).unwrap_err();
        assert!(format!("{error:?}").starts_with(want) && error.is_integrity(), "{error:?}");
    };
    for size in 1..=5 {
        let other = CompactRange::of((0..size).map(|n| zhenyin_core::merkle::leaf_hash(&[n])));
        check(sealer.note(&other).as_bytes(), "NotTheHead");
    }
    check(b"", "HeadUnreadable");
    check(&[0xff; 200], "HeadUnreadable");
    let good = sealer.note(&sealer.chain.state().frontier);
    std::fs::write(dir.path().join(head_file::FILE), good).unwrap();
    assert!(reopen(dir.path(), 1).is_ok(), "control");
}

#[test]
fn a_flipped_bit_in_any_row_is_found_by_the_tail_scan() {
    let check = |sql: &str| {
        let (dir, _) = filled(40, 10);
        let connection = rusqlite::Connection::open(dir.path().join(database::FILE)).unwrap();
        // The triggers are in the way of a bug, not of a flipped bit.
        connection
            .execute_batch(
                "DROP TRIGGER event_stays_as_it_is; DROP TRIGGER event_body_only_goes; DROP TRIGGER event_stays; DROP TRIGGER receipt_stays_as_it_is;
                 DROP TRIGGER chain_acknowledges_by_receipt; DROP TRIGGER chain_size_counts_events;",
            )
            .unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        assert_eq!(reopen(dir.path(), 1).is_err(), !sql.is_empty(), "{sql}");
    };
    check("");
    check("UPDATE event SET body = CAST(x'00' || substr(body, 2) AS BLOB) WHERE seq = 39");
    check("UPDATE event SET leaf = zeroblob(32) WHERE seq = 20");
    check("DELETE FROM event WHERE seq = 20");
    check("DELETE FROM event WHERE seq = 39");
    check("UPDATE chain SET size = 39");
    check(
        "UPDATE chain SET frontier = CAST(substr(frontier, 1, 9) || x'00' || substr(frontier, 11) AS BLOB)",
    );
    check(
        "UPDATE chain SET acked_frontier = CAST(substr(acked_frontier, 1, 9) || x'00' || substr(acked_frontier, 11) AS BLOB)",
    );
}

#[test]
fn sixty_four_callers_share_commits() {
    let dir = tempfile::tempdir().unwrap();
    let mut sealer = Sealer::new(1);
    let open = Open::new(dir.path(), LIMITS);
    open.journal.begin_chain(sealer.id(), sealer.chain.grant().token()).unwrap();
    let events: Vec<_> = (0..640).map(|_| sealer.seal()).collect();
    events.into_iter().for_each(|event| open.journal.append(Epoch(0), event).unwrap());
    let (mut commits, mut through) = (0, Sequence(0));
    while through < Sequence(639) {
        let JournalReport::Committed { through: now } = open.report() else { panic!() };
        assert!(now > through || commits == 0);
        (commits, through) = (commits + 1, now);
    }
    assert!(commits < 320, "{commits} commits for 640 queued events");

    // Control: one caller that waits each time gets one commit each.
    let mut single = 0;
    for _ in 0..5 {
        open.append_and_wait(Epoch(0), vec![sealer.seal()]);
        single += 1;
    }
    assert_eq!(single, 5);
}

#[test]
fn the_mark_waits_until_everything_is_on_the_disk() {
    let (dir, _) = filled(3, 0);
    let mark = dir.path().join(mark::FILE);
    let remembered = std::fs::read(&mark).unwrap();
    let reader = rusqlite::Connection::open(dir.path().join(database::FILE)).unwrap();
    // A log that is not empty, and somebody who reads from it.
    reader.execute_batch("PRAGMA user_version = 2; BEGIN; SELECT count(*) FROM event").unwrap();
    std::fs::write(&mark, []).unwrap();
    assert!(matches!(reopen(dir.path(), 1), Err(JournalError::NotSettled)));
    assert_eq!(std::fs::read(&mark).unwrap(), [0_u8; 0]);
    reader.execute_batch("ROLLBACK").unwrap();
    reopen(dir.path(), 1).unwrap();
    assert_eq!(std::fs::read(&mark).unwrap(), remembered, "control: it is written as soon as that is so");
}

#[test]
fn a_full_quota_takes_nothing_but_receipts_and_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let mut sealer = Sealer::new(1);
    let small = Limits { quota: 200_000, ..LIMITS };
    let open = Open::new(dir.path(), small);
    open.journal.begin_chain(sealer.id(), sealer.chain.grant().token()).unwrap();
    let mut told = None;
    let (durable, error, reset) = loop {
        let event = sealer.seal();
        let frontier = event.frontier.clone();
        open.journal.append(Epoch(0), event).unwrap();
        let report = open.report();
        if let JournalReport::Committed { through } = report {
            told = Some((through, frontier));
            continue;
        }
        let JournalReport::Failed { error, .. } = report else { panic!("{report:?}") };
        let JournalReport::Reset { state: Some(state), .. } = open.report() else { panic!() };
        break (told.unwrap(), error, state);
    };
    assert!(matches!(error, JournalError::Full { quota: 200_000, .. }), "{error}");
    assert_eq!(reset.state.frontier, durable.1, "nothing was lost and nothing was added");
    open.journal.acknowledge(durable.1.clone(), sealer.note(&durable.1), WallTime(1)).unwrap();
    assert!(matches!(open.report(), JournalReport::Acknowledged { .. }), "a receipt still fits in");
    drop(open);

    let open = Open::new(dir.path(), LIMITS);
    sealer.chain.roll_back(open.state.as_ref().unwrap().state.clone());
    open.append_and_wait(Epoch(0), vec![sealer.seal()]);
    assert_eq!(sealer.chain.head().size, durable.0.0 + 2);
}

#[test]
fn a_second_chain_continues_in_the_same_file() {
    let (dir, _) = filled(3, 3);
    let mut second = Sealer::new(2);
    let open = Open::new(dir.path(), LIMITS);
    let begun = open.journal.begin_chain(second.id(), second.chain.grant().token()).unwrap();
    assert_eq!(&begun.state, second.chain.state());
    let again = open.journal.begin_chain(second.id(), second.chain.grant().token());
    assert!(matches!(again, Err(JournalError::ChainExists { .. })));
    open.append_and_wait(Epoch(0), vec![second.seal(), second.seal()]);
    drop(open);
    assert_eq!(reopen(dir.path(), 1).unwrap().unwrap().chain, second.id());
    let reader = JournalReader::open(dir.path(), key(1)).unwrap();
    assert_eq!(reader.chains().unwrap().len(), 2);
    assert_eq!(reader.verify_all().unwrap().events, 5);
}

/// S4: bodies are sealed; only leaves, sequences and times stand in clear.
#[test]
fn s4_raw_files_do_not_hold_the_events() {
    let (dir, mut sealer) = filled(3, 0);
    let open = Open::new(dir.path(), LIMITS);
    let event = sealer.seal();
    let needle = event.jws.as_bytes()[200..232].to_vec();
    let leaf = event.leaf;
    open.append_and_wait(Epoch(0), vec![event]);
    let files = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let raw: Vec<u8> = files.flat_map(|path| std::fs::read(path).unwrap()).collect();
    let contains = |needle: &[u8]| raw.windows(needle.len()).any(|window| window == needle);
    assert!(!contains(&needle));
    assert!(contains(leaf.as_bytes()), "control: the search reads the right files");
}

#[cfg(unix)]
#[test]
fn every_file_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, _) = filled(3, 2);
    let _open = Open::new(dir.path(), LIMITS);
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
}
