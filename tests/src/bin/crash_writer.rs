//! Appends events from 64 callers until it is killed and prints each event that was acknowledged to a caller.
//! With `--cheat` it prints before the commit, with `--normal` its database runs with `synchronous=NORMAL`: controls
//! that the crash tests must catch.
//!
//! Never stops by itself before its deadline, never prints an event that was not appended.

#![deny(unsafe_code)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use zhenyin::journal::{Epoch, Journal, JournalReport, Limits};
use zhenyin::keystore::KeyStore;
use zhenyin_core::ids::Sequence;
use zhenyin_core::merkle::{CompactRange, Hash};
use zhenyin_core::time::WallTime;
use zhenyin_tests::faulty_disk::relaxed;
use zhenyin_tests::sealing::SealingChain;

const CALLERS: usize = 64;

/// An orphan must not run for ever.
const DEADLINE: Duration = Duration::from_secs(30);

/// A receipt after this many events, so that kills also fall into receipts and head files.
const RECEIPT_EVERY: u64 = 50;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let dir = PathBuf::from(arguments.next().context("usage: crash_writer DIR [--cheat|--normal]")?);
    let manner = match arguments.next().as_deref().and_then(|manner| manner.to_str()) {
        None => Manner::Honest,
        Some("--cheat") => Manner::Cheat,
        Some("--normal") => Manner::Normal,
        Some(other) => anyhow::bail!("`{other}` is neither `--cheat` nor `--normal`"),
    };
    let writer = Arc::new(Writer::open(&dir, manner)?);
    say("ready")?;
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let writer = Arc::clone(&writer);
            std::thread::spawn(move || writer.call_until(Instant::now() + DEADLINE))
        })
        .collect();
    for caller in callers {
        caller.join().map_err(|_| anyhow::anyhow!("a caller panicked"))??;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Honest,
    Cheat,
    Normal,
}

struct Writer {
    core: Mutex<Core>,
    durable: Arc<Durable>,
    manner: Manner,
}

/// Sealing and queueing happen together, as in the agent's event loop: the order of the chain is the order
/// of the queue.
struct Core {
    chain: SealingChain,
    journal: Journal,
}

/// Number of events that the journal has reported as durable.
#[derive(Default)]
struct Durable {
    size: Mutex<u64>,
    moved: Condvar,
}

impl Writer {
    fn open(dir: &Path, manner: Manner) -> anyhow::Result<Self> {
        let keys = KeyStore::open_or_create(&dir.join("keys"))?;
        let durable = Arc::new(Durable::default());
        let told = Arc::clone(&durable);
        if manner == Manner::Normal {
            relaxed::remember_connection();
        }
        let mut relaxed = manner != Manner::Normal;
        let report = move |report| {
            if !relaxed {
                relax();
                relaxed = true;
            }
            told.take(&report);
        };
        let limits = Limits { reserve: 1 << 20, ..Limits::default() };
        let (journal, state) = Journal::open(&dir.join("journal"), keys.journal_key(), limits, report)?;
        let chain = match state {
            Some(found) => SealingChain::resume(keys.signer(), found.state)?,
            None => {
                let chain = SealingChain::begin(keys.signer())?;
                journal.begin_chain(chain.grant().chain(), chain.grant().token())?;
                chain
            }
        };
        Ok(Self { core: Mutex::new(Core { chain, journal }), durable, manner })
    }

    fn call_until(&self, deadline: Instant) -> anyhow::Result<()> {
        while Instant::now() < deadline {
            let (sequence, leaf, frontier) = self.append()?;
            if self.manner != Manner::Cheat {
                self.durable.wait_for(sequence);
            }
            say(&format!("acknowledged {sequence} {leaf}"))?;
            if sequence.0 % RECEIPT_EVERY == 0 {
                self.durable.wait_for(sequence);
                let core = lock(&self.core);
                let note = core.chain.receipt(&frontier)?;
                core.journal.acknowledge(frontier, note, WallTime(0))?;
            }
        }
        Ok(())
    }

    fn append(&self) -> anyhow::Result<(Sequence, Hash, CompactRange)> {
        let mut core = lock(&self.core);
        let event = core.chain.seal()?;
        let told = (event.sequence, event.leaf, event.frontier.clone());
        core.journal.append(Epoch::default(), event)?;
        Ok(told)
    }
}

/// The journal has set its connection up, has told of its room, and does nothing else until this returns.
#[expect(unsafe_code, reason = "the journal does not let anybody else have its connection")]
fn relax() {
    // SAFETY: this is the writer's thread, the connection is its own, and no other was ever opened here.
    unsafe { relaxed::relax_connection() }
}

impl Durable {
    fn take(&self, report: &JournalReport) {
        match report {
            JournalReport::Committed { through } => {
                *lock(&self.size) = through.0 + 1;
                self.moved.notify_all();
            }
            JournalReport::Acknowledged { .. }
            | JournalReport::Erased { .. }
            | JournalReport::Room(_)
            | JournalReport::Idle { .. } => {}
            JournalReport::Failed { .. }
            | JournalReport::Reset { .. }
            | JournalReport::AcknowledgementRefused { .. }
            | JournalReport::HeadNotWritten { .. } => {
                // Nothing of this may happen here; the parent sees the exit code.
                std::process::exit(3);
            }
        }
    }

    fn wait_for(&self, sequence: Sequence) {
        let size = lock(&self.size);
        drop(self.moved.wait_while(size, |size| *size <= sequence.0));
    }
}

/// One line, one write: a pipe never shows half of it.
fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
