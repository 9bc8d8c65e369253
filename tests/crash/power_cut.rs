//! R2: power fails between any two calls of the writer. Flushed bytes stay; of the others any part is there, torn at
//! sectors. Nothing acknowledged is lost and the journal opens without an alarm.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use zhenyin::journal::{JournalReport, Limits};
use zhenyin_core::time::WallTime;
use zhenyin_tests::faulty_disk::Disk;
use zhenyin_tests::generated::random::Dice;
use zhenyin_tests::sealing::{SealingChain, fixed};

use crate::run::{Files, HEAD, LIMITS, MARK, Run, Told, contents, scratch};

#[test]
fn r2_a_power_cut_loses_no_acknowledged_event() {
    let cuts = std::env::var("ZHENYIN_POWER_CUTS").map_or(600, |cuts| cuts.parse().unwrap());
    let figures = cut_often(cuts, false).unwrap();
    println!("R2: {figures}");
    assert!(figures.lost.is_empty(), "{:?}", figures.lost.first());
    assert!(figures.promised > 0 && figures.snapshots >= cuts);
}

/// What `synchronous=NORMAL` does between checkpoints: commits that were never flushed. The same cuts must find it.
#[test]
fn r2_control_without_flushes_at_commit_events_are_lost() {
    let figures = cut_often(60, true).unwrap();
    println!("R2 control: {figures}");
    assert!(!figures.lost.is_empty(), "60 cuts of an unflushed log lost nothing: {figures}");
}

struct Figures {
    snapshots: usize,
    promised: u64,
    lost: Vec<String>,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { snapshots, promised, lost } = self;
        write!(f, "{snapshots} cuts, up to {promised} events promised, {} cuts lost some", lost.len())
    }
}

/// The disk at one moment, and how many events had been reported as durable.
struct Snapshot {
    promised: u64,
    receipted: u64,
    files: BTreeMap<String, Vec<u8>>,
}

fn cut_often(cuts: usize, lazy: bool) -> anyhow::Result<Figures> {
    let mut figures = Figures { snapshots: 0, promised: 0, lost: Vec::new() };
    let mut seed = 1;
    while figures.snapshots < cuts {
        let dir = scratch();
        let (snapshots, writer) = snapshots(dir.path(), seed, lazy)?;
        for snapshot in &snapshots {
            figures.snapshots += 1;
            figures.promised = figures.promised.max(snapshot.promised);
            if let Err(error) = check(&snapshot) {
                figures.lost.push(format!("{error:#}"));
            }
        }
        writer.join().map_err(|_| anyhow::anyhow!("the scenario panicked"))??;
        seed += 1;
    }
    Ok(figures)
}

type Scenario = std::thread::JoinHandle<anyhow::Result<()>>;

/// Runs the scenario with a disk that shows itself at every few calls.
fn snapshots(dir: &Path, seed: u64, lazy: bool) -> anyhow::Result<(Receiver<Snapshot>, Scenario)> {
    let disk = Disk::attach(dir);
    if lazy {
        disk.set_lazy();
    }
    let (sender, snapshots) = sync_channel(4);
    let told = Arc::new(Told::default());
    let mut dice = Dice::new(seed, 2);
    let (promises, home) = (Arc::clone(&told), dir.to_owned());
    disk.watch(Box::new(move |_, images| {
        if dice.below(3) > 0 {
            return;
        }
        // Promises and the files beside the database first: the disk may only be further than they are.
        let (promised, receipted) = (promises.committed(), promises.acked());
        let mut files = images.cut_power(&mut dice);
        files.retain(|name, _| name.starts_with("journal.db"));
        for name in [HEAD, MARK] {
            // The mark is never flushed: an older one, or none, may be all there is.
            if let Ok(bytes) = std::fs::read(home.join(name))
                && (name == HEAD || dice.chance(0.7))
            {
                files.insert(name.to_owned(), bytes);
            }
        }
        let _nobody_looks = sender.send(Snapshot { promised, receipted, files });
    }));
    let dir = dir.to_owned();
    let scenario = std::thread::spawn(move || {
        let done = scenario(&dir, told, &mut Dice::new(seed, 3));
        disk.watch(Box::new(|_, _| {}));
        done
    });
    Ok((snapshots, scenario))
}

/// Two lives of a journal: groups of events, receipts, idle checkpoints, an orderly stop, and another start.
fn scenario(dir: &Path, told: Arc<Told>, dice: &mut Dice) -> anyhow::Result<()> {
    let limits = Limits { quiet: Duration::from_millis(2), ..LIMITS };
    for life in 1..=2 {
        let chain = SealingChain::begin(fixed(1))?;
        let mut run = Run::open_chain(dir, limits, chain, Arc::clone(&told))?;
        while run.committed < 12 * life {
            run.append_all(1 + dice.below(4))?;
            if dice.chance(0.3) {
                run.acknowledge(run.committed, WallTime(0))?;
            }
            if dice.chance(0.3) {
                while !matches!(run.reports.recv_timeout(crate::run::PATIENCE)?, JournalReport::Idle { .. }) {
                }
            }
        }
        run.journal.close();
    }
    Ok(())
}

fn check(snapshot: &Snapshot) -> anyhow::Result<()> {
    let dir = scratch();
    let files = snapshot.files.iter().map(|(name, bytes)| (name.clone(), bytes.clone()));
    Files::of(files).write(dir.path())?;
    let found = match contents(dir.path()) {
        Ok(found) => found,
        Err(zhenyin::journal::JournalError::NoChain) if snapshot.promised == 0 => return Ok(()),
        Err(error) => return Err(error).context("it does not open"),
    };
    let events = found.events.len() as u64;
    ensure!(events >= snapshot.promised, "{} events were promised, {events} are there", snapshot.promised);
    let receipted = found.receipts.last().map_or(0, |receipt| receipt.size);
    ensure!(receipted >= snapshot.receipted, "a receipt is lost");
    Ok(())
}
