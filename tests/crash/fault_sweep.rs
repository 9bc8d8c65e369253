//! R3: every single call of SQLite, and every call about the files beside its database, fails once, in each way a disk
//! can fail. Nothing is accepted without a durable row, nobody panics, nothing is taken for damage, and the journal
//! comes back by itself or on the next start.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use zhenyin::journal::{JournalError, Limits};
use zhenyin_core::time::WallTime;
use zhenyin_tests::faulty_disk::{Disk, Failure};
use zhenyin_tests::generated::random::Dice;

use crate::run::{Contents, Files, HEAD, LIMITS, MARK, Run, contents, scratch};
use crate::small_files::{Calls, Fault};

#[test]
fn r3_every_call_fails_once_and_nothing_promised_is_lost() {
    for failure in [Failure::Io, Failure::NoSpace, Failure::ShortWrite, Failure::LostFlush] {
        let tally = sweep(failure, Promise::AfterCommit).unwrap();
        println!("R3: {failure:?}: {tally}");
        assert!(tally.failed > 10, "{failure:?} was met by {} calls only", tally.failed);
    }
}

/// Head (written anew and renamed), mark, reserve, lock, and their folder.
#[test]
fn r3_every_call_about_the_small_files_fails_once_and_nothing_promised_is_lost() {
    for fault in [Fault::Io, Fault::NoSpace] {
        let tally = sweep_small_files(fault).unwrap();
        println!("R3: {fault:?} of the files beside the database: {tally}");
        for call in
            ["rename head.tmp", "fsync head.tmp", "fsync .", "write journal.mark", "open64 journal.reserve"]
        {
            assert!(tally.by_call.contains_key(call), "{fault:?} never met `{call}`");
        }
    }
}

/// A caller that is told before the commit is caught by the same sweep.
#[test]
fn r3_control_promises_before_the_commit_are_broken() {
    let error = sweep(Failure::Io, Promise::BeforeCommit).err().map(|error| format!("{error:#}"));
    println!("R3 control: {error:?}");
    assert!(error.expect("no promise was broken").contains("promised"));
}

/// A head file that is written in place and not renamed: the same look at the end finds what a failed write leaves.
#[test]
fn r3_control_a_head_written_in_place_is_caught() {
    let dir = scratch();
    let mut tally = Tally::default();
    Life { promise: Promise::AfterCommit, tally: &mut tally }.run(dir.path()).unwrap();
    contents(dir.path()).unwrap();
    let head = dir.path().join(HEAD);
    let whole = std::fs::read(&head).unwrap();
    std::fs::write(&head, &whole[..whole.len() / 2]).unwrap();
    let error = contents(dir.path()).expect_err("half a head file");
    println!("R3 control: {error}");
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Promise {
    AfterCommit,
    BeforeCommit,
}

#[derive(Default)]
struct Tally {
    failed: u64,
    refused: u64,
    restarts: u64,
    by_call: BTreeMap<String, u64>,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { failed, refused, restarts, by_call } = self;
        write!(
            f,
            "{failed} calls failed {by_call:?}, {refused} appends refused, {restarts} starts failed, 0 lost"
        )
    }
}

/// The `nth` call fails, for every `nth` until the scenario ends without having met it.
fn sweep(failure: Failure, promise: Promise) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    for nth in 1.. {
        let dir = scratch();
        let disk = Disk::attach(dir.path());
        disk.fail(nth, failure);
        let promised = Life { promise, tally: &mut tally }
            .run(dir.path())
            .with_context(|| format!("{failure:?} of call {nth}"))?;
        let met = disk.calls() >= nth;
        let Some(call) = disk.heal() else {
            if met {
                continue;
            }
            return Ok(tally);
        };
        tally.failed += 1;
        *tally.by_call.entry(call.to_owned()).or_default() += 1;
        let at = || format!("{failure:?} of call {nth}, a {call}");
        // First as a power cut leaves it: what was lost by a failed flush must have been written anew.
        let cut = scratch();
        let mut files: Vec<_> =
            disk.look(|images| images.cut_power(&mut Dice::new(nth, 3))).into_iter().collect();
        files.retain(|(name, _)| name.starts_with("journal.db"));
        for name in [HEAD, MARK] {
            files.extend(std::fs::read(dir.path().join(name)).map(|bytes| (name.to_owned(), bytes)));
        }
        Files::of(files.into_iter()).write(cut.path())?;
        kept(&contents(cut.path()).with_context(at)?, &promised).with_context(at).context("power cut")?;
        kept(&contents(dir.path()).with_context(at)?, &promised).with_context(at)?;
    }
    Ok(tally)
}

/// The same for calls that do not come through SQLite.
fn sweep_small_files(fault: Fault) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    for nth in 1.. {
        let dir = scratch();
        let calls = Calls::attach(dir.path());
        calls.fail(nth, fault);
        let promised = Life { promise: Promise::AfterCommit, tally: &mut tally }
            .run(dir.path())
            .with_context(|| format!("{fault:?} of call {nth}, {:?}", calls.heal()))?;
        let met = calls.count() >= nth;
        let Some(call) = calls.heal() else {
            if met {
                continue;
            }
            return Ok(tally);
        };
        let found = contents(dir.path()).with_context(|| format!("{fault:?} of `{call}`"))?;
        kept(&found, &promised).with_context(|| format!("{fault:?} of `{call}`"))?;
        tally.failed += 1;
        *tally.by_call.entry(call).or_default() += 1;
    }
    Ok(tally)
}

/// Leaves of promised events, by place.
type Promised = BTreeMap<u64, String>;

struct Life<'a> {
    promise: Promise,
    tally: &'a mut Tally,
}

impl Life<'_> {
    /// Start, events, a receipt, an idle checkpoint, stop, start, more events.
    fn run(&mut self, dir: &std::path::Path) -> anyhow::Result<Promised> {
        let mut promised = Promised::new();
        for goal in [4, 7] {
            let mut run = self.start(dir)?;
            let mut attempts = 0;
            while run.committed < goal {
                attempts += 1;
                ensure!(attempts < 20, "the journal did not come back by itself");
                let refusal = run.append()?;
                self.tally.refused += u64::from(refusal.is_some());
                if refusal.is_none() || self.promise == Promise::BeforeCommit {
                    let (place, leaf) = run.sealed.clone();
                    promised.entry(place).or_insert(leaf);
                }
            }
            if goal == 4 && run.acknowledge(3, WallTime(1)).is_err() {
                self.tally.refused += 1;
            }
            run.settle()?;
            run.journal.close();
        }
        Ok(promised)
    }

    /// A start that fails is the end of a process; the next one starts.
    fn start(&mut self, dir: &std::path::Path) -> anyhow::Result<Run> {
        let limits = Limits { quiet: Duration::from_millis(2), ..LIMITS };
        let first = match Run::open(dir, limits) {
            Ok(run) => return Ok(run),
            Err(error) => error,
        };
        let cause = first.downcast_ref::<JournalError>();
        ensure!(cause.is_none_or(|cause| !cause.is_integrity()), "taken for damage: {first:#}");
        self.tally.restarts += 1;
        Run::open(dir, limits).with_context(|| format!("the second start failed too, after: {first:#}"))
    }
}

fn kept(found: &Contents, promised: &Promised) -> anyhow::Result<()> {
    for (place, leaf) in promised {
        let event = found.events.get(usize::try_from(*place)?);
        let there = event.map(|event| event.leaf.to_string());
        ensure!(there.as_ref() == Some(leaf), "event {place} was promised and {there:?} is there");
    }
    Ok(())
}
