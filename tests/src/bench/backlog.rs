//! A journal with a long backlog beside a fresh one: how long it takes to open, what it holds in memory, and whether
//! an append notices. Never part of `cargo test`: a million events take minutes and 1.5 GB of disk.

use std::fmt;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use zhenyin::journal::{Epoch, Journal, JournalReader, JournalReport, Limits};
use zhenyin::keystore::KeyStore;
use zhenyin_core::ids::Sequence;

use super::journal::{Latency, latency};
use crate::sealing::SealingChain;

/// Figures of one run.
#[derive(Clone, Copy, Debug)]
pub struct BacklogFigures {
    pub events: u64,
    pub filled: Duration,
    pub open: Duration,
    /// Looking through all of it, as an open that believed nothing would have to.
    pub scan: Duration,
    /// The tree at half of the events, as after a 409.
    pub frontier: Duration,
    /// The first batch to upload.
    pub batch: Duration,
    pub fresh: Latency,
    pub backlog: Latency,
    /// Memory of the process after all of it, in bytes.
    pub resident: u64,
}

/// Fills a journal in `dir` and measures.
///
/// # Errors
/// What the journal or the file system says.
pub fn backlog_bench(dir: &Path, events: u64) -> anyhow::Result<BacklogFigures> {
    let (mut long, mut short) = (Store::new(&dir.join("long"))?, Store::new(&dir.join("short"))?);
    let begun = Instant::now();
    long.fill(events)?;
    let filled = begun.elapsed();
    long.close();
    let begun = Instant::now();
    long.open()?;
    let open = begun.elapsed();
    let reader = JournalReader::open(&long.dir.join("journal"), long.keys.journal_key())?;
    let begun = Instant::now();
    anyhow::ensure!(reader.verify_all()?.events == events);
    let scan = begun.elapsed();
    let begun = Instant::now();
    anyhow::ensure!(reader.frontier(events / 2 + 1)?.size() == events / 2 + 1);
    let frontier = begun.elapsed();
    let begun = Instant::now();
    anyhow::ensure!(reader.batch(Sequence(0), 100, usize::MAX)?.len() == 100);
    let batch = begun.elapsed();
    short.fill(1)?;
    let (mut quick, mut slow) = (Vec::new(), Vec::new());
    // In turns, so that a slow minute of the disk hits both.
    for _ in 0..20 {
        for _ in 0..25 {
            quick.push(short.append()?);
        }
        for _ in 0..25 {
            slow.push(long.append()?);
        }
    }
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = pages.split(' ').nth(1).context("statm without resident pages")?.parse()?;
    Ok(BacklogFigures {
        events,
        filled,
        open,
        scan,
        frontier,
        batch,
        fresh: latency(quick),
        backlog: latency(slow),
        resident: pages * rustix::param::page_size() as u64,
    })
}

impl fmt::Display for BacklogFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ratio = self.backlog.p99.as_secs_f64() / self.fresh.p99.as_secs_f64();
        writeln!(f, "{} events filled in {:.1?}", self.events, self.filled)?;
        writeln!(
            f,
            "open {:.1?} (looking through all of it {:.1?}), tree at the half {:.1?}, first batch {:.1?}",
            self.open, self.scan, self.frontier, self.batch
        )?;
        writeln!(f, "append, fresh      p50 {:.2?}  p99 {:.2?}", self.fresh.p50, self.fresh.p99)?;
        writeln!(
            f,
            "append, backlog    p50 {:.2?}  p99 {:.2?} ({ratio:.2} x fresh)",
            self.backlog.p50, self.backlog.p99
        )?;
        write!(f, "resident           {} MiB", self.resident >> 20)
    }
}

struct Store {
    dir: std::path::PathBuf,
    keys: KeyStore,
    chain: SealingChain,
    open: Option<(Journal, std::sync::mpsc::Receiver<JournalReport>)>,
}

impl Store {
    fn new(dir: &Path) -> anyhow::Result<Self> {
        let keys = KeyStore::open_or_create(&dir.join("keys"))?;
        let chain = SealingChain::begin(keys.signer())?;
        let mut store = Self { dir: dir.to_owned(), keys, chain, open: None };
        store.open()?;
        Ok(store)
    }

    fn open(&mut self) -> anyhow::Result<()> {
        let (sender, reports) = channel();
        let report = move |report| drop(sender.send(report));
        let limits = Limits { quota: 16 << 30, ..Limits::default() };
        let (journal, state) =
            Journal::open(&self.dir.join("journal"), self.keys.journal_key(), limits, report)?;
        if state.is_none() {
            journal.begin_chain(self.chain.grant().chain(), self.chain.grant().token())?;
        }
        self.open = Some((journal, reports));
        Ok(())
    }

    fn close(&mut self) {
        if let Some((journal, _)) = self.open.take() {
            journal.close();
        }
    }

    fn fill(&mut self, events: u64) -> anyhow::Result<()> {
        let (journal, reports) = self.open.as_ref().context("the journal is closed")?;
        let mut sent = 0;
        let mut durable = 0;
        while durable < events {
            // As much as one group holds is under way, so that the queue stays short.
            while sent < events && sent < durable + 512 {
                journal.append(Epoch::default(), self.chain.seal()?)?;
                sent += 1;
            }
            if let JournalReport::Committed { through } = reports.recv()? {
                durable = through.0 + 1;
            }
        }
        Ok(())
    }

    fn append(&mut self) -> anyhow::Result<Duration> {
        let (journal, reports) = self.open.as_ref().context("the journal is closed")?;
        let event = self.chain.seal()?;
        let (begun, wanted) = (Instant::now(), event.sequence);
        journal.append(Epoch::default(), event)?;
        loop {
            if let JournalReport::Committed { through } = reports.recv_timeout(Duration::from_secs(60))?
                && through == wanted
            {
                return Ok(begun.elapsed());
            }
        }
    }
}
