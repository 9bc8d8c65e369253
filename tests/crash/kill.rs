//! R1: kill -9 at random instants, 64 callers; nothing acknowledged is lost and no manual step is needed.
//! Never checks timing: start times are printed.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, WaitOptions};
use zhenyin::journal::{Journal, JournalReader, Limits};
use zhenyin::keystore::KeyStore;
use zhenyin_core::note::Note;
use zhenyin_core::verify::Verifier;
use zhenyin_tests::sealing::SealingChain;

/// Runs on one directory, so that crashes pile up; then a fresh one, so that verifying stays short.
const RUNS_PER_DIRECTORY: usize = 10;

#[test]
fn r1_kill_nine_loses_no_acknowledged_event() {
    let runs = std::env::var("ZHENYIN_CRASH_RUNS").map_or(200, |runs| runs.parse().unwrap());
    let figures = kill_loop(runs, &[]).unwrap();
    println!("R1: {runs} kills, {figures}");
    assert!(figures.acknowledged > runs as u64, "the writer was killed before it did anything: {figures}");
}

/// A writer that answers before the commit must be caught, or the test above proves nothing.
#[test]
fn r1_control_answering_before_commit_is_caught() {
    let error = kill_loop(40, &["--cheat"]).expect_err("40 kills of a cheating writer lost nothing");
    assert!(format!("{error:#}").contains("lost"), "{error:#}");
}

#[derive(Debug, Default)]
struct Figures {
    acknowledged: u64,
    durable: u64,
    receipted: u64,
    slowest_start: Duration,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { acknowledged, durable, receipted, slowest_start } = self;
        write!(
            f,
            "{acknowledged} events acknowledged, {durable} durable, {receipted} receipted, 0 lost, \
             slowest start {slowest_start:?}"
        )
    }
}

fn kill_loop(runs: usize, arguments: &[&str]) -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    let mut done = 0;
    while done < runs {
        let dir = tempfile::tempdir()?;
        let mut acknowledged = Acknowledged::new();
        let mut last = Found::default();
        for run in done..(done + RUNS_PER_DIRECTORY).min(runs) {
            kill_one(dir.path(), arguments, &mut acknowledged).with_context(|| format!("run {run}"))?;
            last = verify(dir.path(), &acknowledged).with_context(|| format!("after kill {run}"))?;
            figures.slowest_start = figures.slowest_start.max(last.start);
        }
        figures.acknowledged += acknowledged.len() as u64;
        figures.durable += last.events;
        figures.receipted += last.receipted;
        done += RUNS_PER_DIRECTORY;
    }
    Ok(figures)
}

/// Lets the writer run for 0 to 150 ms after it is ready, kills it, and keeps what it said to be acknowledged.
fn kill_one(dir: &Path, arguments: &[&str], acknowledged: &mut Acknowledged) -> anyhow::Result<()> {
    let writer = WriterProcess::start(dir, arguments)?;
    std::thread::sleep(Duration::from_micros(random_below(150_000)));
    writer.kill(acknowledged)
}

/// Leaves of events that the writer said to be acknowledged, by place.
pub(crate) type Acknowledged = BTreeMap<u64, String>;

/// A process that appends until it is killed, or dropped: one that stands still never comes to its own deadline.
pub(crate) struct WriterProcess {
    child: Child,
    said: Option<JoinHandle<std::io::Result<Vec<String>>>>,
}

impl WriterProcess {
    pub(crate) fn start(dir: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let child = Command::new(env!("CARGO_BIN_EXE_crash_writer"))
            .arg(dir)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut writer = Self { child, said: None };
        let mut lines = BufReader::new(writer.child.stdout.take().context("no pipe")?).lines();
        ensure!(lines.next().transpose()?.as_deref() == Some("ready"), "the writer did not start");
        writer.said = Some(std::thread::spawn(move || lines.collect()));
        Ok(writer)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stands still from now on, with all that it has said in the pipe.
    pub(crate) fn stop(&self) -> anyhow::Result<()> {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, Signal::STOP)?;
        let stopped = rustix::process::waitpid(Some(pid), WaitOptions::UNTRACED)?;
        ensure!(stopped.is_some_and(|(_, status)| status.stopped()), "the writer ended by itself");
        Ok(())
    }

    /// Ends it and adds what it has said.
    pub(crate) fn kill(mut self, acknowledged: &mut Acknowledged) -> anyhow::Result<()> {
        self.child.kill()?;
        let status = self.child.wait()?;
        ensure!(status.code().is_none(), "the writer ended by itself: {status}");
        let said = self.said.take().context("nobody listens to the writer")?;
        let lines = said.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
        for line in lines {
            let parts: Vec<_> = line.split(' ').collect();
            // The kill may cut the last line.
            if let ["acknowledged", sequence, leaf] = parts[..]
                && leaf.len() == 64
            {
                acknowledged.insert(sequence.parse()?, leaf.to_owned());
            }
        }
        Ok(())
    }
}

impl Drop for WriterProcess {
    fn drop(&mut self) {
        // Both say so when it has ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a journal holds, and how long it took to open.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) events: u64,
    pub(crate) receipted: u64,
    pub(crate) start: Duration,
}

/// Opens the journal as the agent would and checks everything in it, signatures too.
pub(crate) fn verify(dir: &Path, acknowledged: &Acknowledged) -> anyhow::Result<Found> {
    let keys = KeyStore::open(&dir.join("keys"))?;
    let journal_dir = dir.join("journal");
    let limits = Limits { reserve: 1 << 20, ..Limits::default() };
    let begun = Instant::now();
    let (journal, state) = Journal::open(&journal_dir, keys.journal_key(), limits, drop)?;
    let start = begun.elapsed();
    let size = state.map_or(0, |state| state.state.frontier.size());
    journal.close();
    if let Some((sequence, _)) = acknowledged.range(size..).next() {
        anyhow::bail!("acknowledged event {sequence} is lost: the journal ends at {size}");
    }
    let reader = JournalReader::open(&journal_dir, keys.journal_key())?;
    let grant = SealingChain::begin(keys.signer())?.grant().clone();
    let Some((chain, token)) = reader.chains()?.pop() else {
        return Ok(Found { start, ..Found::default() });
    };
    ensure!(token == grant.token(), "another chain");
    ensure!(reader.verify_all()?.events == size, "the slow scan counts otherwise");
    let notes = reader.receipts(chain)?.into_iter().map(|receipt| Note::parse(&receipt.note));
    let mut verifier = Verifier::new(grant, None, notes.collect::<Result<_, _>>()?);
    for event in reader.events(0..size)? {
        let leaf = event.leaf.to_string();
        let said = acknowledged.get(&event.sequence.0);
        ensure!(
            said.is_none_or(|said| *said == leaf),
            "acknowledged event {} is lost: another stands there",
            event.sequence
        );
        verifier.event(&event.jws.context("a body is erased")?)?;
    }
    let summary = verifier.finish()?;
    ensure!(summary.events == size, "the verifier counts {} events", summary.events);
    Ok(Found { events: size, receipted: summary.receipted, start })
}

/// Randomness from the hasher's seed: good enough to choose an instant.
pub(crate) fn random_below(end: u64) -> u64 {
    std::hash::RandomState::new().build_hasher().finish() % end
}
