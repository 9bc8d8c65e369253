//! R5: files of the journal deleted, renamed, cut or put back from an old copy. What is missing is reported and the
//! rest kept aside; an old copy of everything is noticed by the upstream, which remembers more.

use std::path::Path;

use zhenyin::journal::{Journal, JournalError, JournalReader, asides, set_aside};
use zhenyin_core::merkle::CompactRange;
use zhenyin_core::note::{KeyRole, Note, VerifierKey};
use zhenyin_core::outbox::{Outbox, OutboxAction, OutboxAlarm, OutboxNotice, StoredEvent};
use zhenyin_core::signer::Signer as _;
use zhenyin_core::time::{Boottime, WallTime};
use zhenyin_core::wire::UpstreamAnswer;
use zhenyin_tests::sealing::{SealingChain, fixed};

use crate::run::{
    ALL, DATABASE, EARLY, Files, HEAD, Killed, LIMITS, MARK, SHM, WAL, contents, end_of, key, scratch,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Reported,
    Whole,
}

#[test]
fn r5_missing_and_old_files_are_reported_and_kept_aside() {
    use Want::{Reported, Whole};
    let killed = Killed::make().unwrap();
    let (now, old) = (&killed.files, &killed.early);
    let half = now.file(DATABASE)[..now.file(DATABASE).len() / 2].to_vec();
    let cut_log = now.file(WAL)[..now.file(WAL).len() * 2 / 3].to_vec();
    let cases = [
        ("untouched", now.clone(), Whole),
        ("log deleted", now.without(&[WAL]), Reported),
        ("log cut", now.with(WAL, cut_log), Reported),
        ("log emptied", now.with(WAL, Vec::new()), Reported),
        ("index of the log left over", now.with(SHM, vec![0xff; 32_768]), Whole),
        ("database deleted", now.without(&[DATABASE]), Reported),
        ("database and log deleted", now.without(&[DATABASE, WAL]), Reported),
        ("database deleted, head and mark too", now.without(&[DATABASE, HEAD, MARK]), Reported),
        (
            "database emptied, head and mark too",
            now.with(DATABASE, Vec::new()).without(&[HEAD, MARK]),
            Reported,
        ),
        ("database emptied", now.with(DATABASE, Vec::new()), Reported),
        ("database cut", now.with(DATABASE, half), Reported),
        ("database of an old copy", now.with(DATABASE, old.file(DATABASE).to_vec()), Reported),
        ("database of an old copy, no log", old_database(now, old), Reported),
        ("database is another file", now.with(DATABASE, now.file(WAL).to_vec()), Reported),
        ("head deleted", now.without(&[HEAD]), Whole),
        ("head of an old copy", now.with(HEAD, old.file(HEAD).to_vec()), Whole),
        ("mark deleted", now.without(&[MARK]), Whole),
        ("mark emptied", now.with(MARK, Vec::new()), Whole),
        ("head and mark deleted", now.without(&[HEAD, MARK]), Whole),
        ("head deleted, log deleted", now.without(&[HEAD, WAL]), Reported),
        ("mark deleted, log deleted", now.without(&[MARK, WAL]), Reported),
        ("head emptied", now.with(HEAD, Vec::new()), Reported),
    ];
    let reported = cases.iter().filter(|case| case.2 == Reported).count();
    for (name, files, want) in &cases {
        check(name, files, *want, &killed);
    }
    println!("R5: {} cases, {reported} reported and kept aside, none silent", cases.len());
}

fn check(name: &str, files: &Files, want: Want, killed: &Killed) {
    let dir = scratch();
    files.write(dir.path()).unwrap();
    match (contents(dir.path()), want) {
        (Ok(found), Want::Whole) => assert_eq!(found, killed.contents, "{name}"),
        (Err(error), Want::Reported) => {
            assert!(error.is_integrity(), "{name}: {error:?}");
            kept_aside(name, dir.path(), files);
        }
        (Ok(found), Want::Reported) => panic!("{name}: not reported; ends at {}", end_of(&found.events)),
        (Err(error), Want::Whole) => panic!("{name}: {error:?}"),
    }
}

/// The damaged files move away whole, and a new chain can begin in their place.
fn kept_aside(name: &str, dir: &Path, files: &Files) {
    let chain = SealingChain::begin(fixed(1)).unwrap().grant().chain();
    let aside = set_aside(dir, chain, WallTime(0)).unwrap();
    let kept = |file| std::fs::read(aside.folder.join(file)).unwrap_or_default();
    assert!(kept(DATABASE).len() >= files.file(DATABASE).len(), "{name}: the database was kept");
    let log = files.file(WAL);
    assert!(log.is_empty() || kept(WAL) == log, "{name}: the log was kept as it was found");
    if let Some(known) = aside.known {
        assert_eq!(known, (ALL, ALL), "{name}: the mark tells what there was");
    }
    assert_eq!(asides(dir), [aside], "{name}: it is found again");
    let (journal, state) = Journal::open(dir, key(), LIMITS, drop).unwrap();
    assert!(state.is_none(), "{name}: nothing of the damaged journal is left in its place");
    journal.close();
    assert!(matches!(contents(dir), Err(JournalError::NoChain)), "{name}");
}

fn old_database(now: &Files, old: &Files) -> Files {
    now.with(DATABASE, old.file(DATABASE).to_vec()).without(&[WAL])
}

/// Setting aside was cut after its first step: what is left is reported, and whoever only reads changes nothing.
#[test]
fn r5_a_log_without_its_database_is_not_even_deleted_by_a_reader() {
    let killed = Killed::make().unwrap();
    for files in [killed.files.without(&[DATABASE]), killed.files.with(DATABASE, Vec::new())] {
        let dir = scratch();
        files.write(dir.path()).unwrap();
        let error = JournalReader::open(dir.path(), key()).map(drop).unwrap_err();
        assert!(matches!(error, JournalError::DatabaseGone { .. }), "{error:?}");
        assert!(std::fs::read(dir.path().join(WAL)).unwrap() == killed.files.file(WAL));
    }
}

/// Without the memory beside the database the same loss is silent: the comparison above can fail.
#[test]
fn r5_control_without_any_memory_a_deleted_log_is_silent() {
    let killed = Killed::make().unwrap();
    let dir = scratch();
    killed.files.without(&[WAL, HEAD, MARK]).write(dir.path()).unwrap();
    let found = contents(dir.path()).unwrap();
    assert!(found.events.len() < killed.contents.events.len());
    println!("R5 control: {} events gone without a word", killed.contents.events.len() - found.events.len());
}

#[test]
fn r5_an_old_copy_of_everything_is_noticed_by_the_upstream() {
    let killed = Killed::make().unwrap();
    let dir = scratch();
    killed.early.write(dir.path()).unwrap();
    let old = contents(dir.path()).expect("an old copy of everything agrees with itself");
    assert_eq!(end_of(&old.events).0, EARLY);
    let leaves: Vec<_> = old.events.iter().map(|event| event.leaf).collect();
    let device = fixed(1);
    let origin = SealingChain::begin(fixed(1)).unwrap().grant().origin();
    let witness =
        VerifierKey::new("witness.example/upstream", KeyRole::Witness, fixed(3).public_key()).unwrap();
    let acknowledged = CompactRange::of(leaves[..40].iter().copied());
    let mut outbox = Outbox::resume(origin, witness, EARLY, acknowledged);
    let now = Boottime::default();
    let Some(OutboxAction::LoadBatch { first, max }) = outbox.poll(now) else { panic!("nothing to send") };
    let batch = old.events[usize::try_from(first).unwrap()..][..max]
        .iter()
        .map(|event| StoredEvent { jws: event.jws.clone().unwrap(), leaf: event.leaf })
        .collect();
    outbox.handle_batch(first, batch, now, |head| Note::sign(head, &device)).unwrap();
    assert!(matches!(outbox.poll(now), Some(OutboxAction::Post(_))));
    let notice = outbox.handle_answer(UpstreamAnswer::Conflict { size: ALL }, now, 0);
    assert!(
        matches!(
            notice,
            Some(OutboxNotice::Alarm(OutboxAlarm::UpstreamAhead { upstream: ALL, local: EARLY }))
        ),
        "{notice:?}"
    );
    println!("R5: a copy {} events old is alarmed by the first upload", ALL - EARLY);
}
