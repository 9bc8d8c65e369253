//! R1: kill -9 at random instants, 64 callers; nothing acknowledged is lost and no manual step is needed.
//! Never checks timing: start times are printed.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
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
        let mut acknowledged = BTreeMap::new();
        let mut last = (0, 0);
        for run in done..(done + RUNS_PER_DIRECTORY).min(runs) {
            kill_one(dir.path(), arguments, &mut acknowledged).with_context(|| format!("run {run}"))?;
            let start = Instant::now();
            last = verify(dir.path(), &acknowledged).with_context(|| format!("after kill {run}"))?;
            figures.slowest_start = figures.slowest_start.max(start.elapsed());
        }
        figures.acknowledged += acknowledged.len() as u64;
        figures.durable += last.0;
        figures.receipted += last.1;
        done += RUNS_PER_DIRECTORY;
    }
    Ok(figures)
}

/// Starts the writer, kills it 0 to 150 ms after it is ready, and keeps what it said to be acknowledged.
fn kill_one(dir: &Path, arguments: &[&str], acknowledged: &mut BTreeMap<u64, String>) -> anyhow::Result<()> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_crash_writer"))
        .arg(dir)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("no pipe")?).lines();
    ensure!(lines.next().transpose()?.as_deref() == Some("ready"), "the writer did not start");
    let reader = std::thread::spawn(move || lines.collect::<Result<Vec<_>, _>>());
    std::thread::sleep(Duration::from_micros(random_below(150_000)));
    child.kill()?;
    let status = child.wait()?;
    ensure!(status.code().is_none(), "the writer ended by itself: {status}");
    let lines = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
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

/// Opens the journal as the agent would and checks everything in it, signatures too. Gives the number of
/// events and how many of them a receipt covers.
fn verify(dir: &Path, acknowledged: &BTreeMap<u64, String>) -> anyhow::Result<(u64, u64)> {
    let keys = KeyStore::open(&dir.join("keys"))?;
    let journal_dir = dir.join("journal");
    let limits = Limits { reserve: 1 << 20, ..Limits::default() };
    let (journal, state) = Journal::open(&journal_dir, keys.journal_key(), limits, drop)?;
    let size = state.map_or(0, |state| state.state.frontier.size());
    journal.close();
    if let Some((sequence, _)) = acknowledged.range(size..).next() {
        anyhow::bail!("acknowledged event {sequence} is lost: the journal ends at {size}");
    }
    let reader = JournalReader::open(&journal_dir, keys.journal_key())?;
    let grant = SealingChain::begin(keys.signer())?.grant().clone();
    let Some((chain, token)) = reader.chains()?.pop() else { return Ok((0, 0)) };
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
    Ok((size, summary.receipted))
}

/// Randomness from the hasher's seed: good enough to choose an instant.
fn random_below(end: u64) -> u64 {
    std::hash::RandomState::new().build_hasher().finish() % end
}
