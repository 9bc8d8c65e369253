//! How long an event takes to be durable, beside the machine's own floor measured in the same run.
//! Never compares with another run: the disk of a busy machine changes from minute to minute.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use zhenyin::journal::{Epoch, Journal, JournalReport, Limits};
use zhenyin::keystore::KeyStore;
use zhenyin_core::ids::Sequence;

use crate::sealing::SealingChain;

/// Median and 99th percentile of single operations.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    pub p50: Duration,
    pub p99: Duration,
}

/// Figures of one run.
#[derive(Clone, Copy, Debug)]
pub struct JournalFigures {
    /// Appending one event's bytes to a plain file and `fdatasync`.
    pub raw: Latency,
    /// One sealed event from `append` to `Committed`, one caller.
    pub append: Latency,
    /// Medians of a round by the raw median of that round; in the middle of all rounds.
    pub append_ratio: f64,
    /// The same of two flushes: what a journal that flushed twice an event would take at least.
    pub twice_ratio: f64,
    /// Processor time to seal one event.
    pub seal: Duration,
    pub single_per_second: f64,
    /// 64 callers, each waiting for its own event.
    pub callers_per_second: f64,
    pub events_per_commit: f64,
}

/// Measures in `dir`, which should lie on the disk that matters. Takes some seconds.
///
/// # Errors
/// What the journal or the file system says.
pub fn journal_bench(dir: &Path) -> anyhow::Result<JournalFigures> {
    let mut bench = Bench::open(dir)?;
    let mut plain = File::create(dir.join("plain"))?;
    let mut many = Callers::default();
    let (mut raw, mut append) = (Vec::new(), Vec::new());
    let (mut append_ratios, mut twice_ratios) = (Vec::new(), Vec::new());
    // In turns, so that a slow minute of the disk hits all of them.
    for _ in 0..ROUNDS {
        let bare = round(|| raw_append(&mut plain))?;
        let twice = round(|| Ok(raw_append(&mut plain)? + raw_append(&mut plain)?))?;
        let one = round(|| bench.append())?;
        let floor = latency(bare.clone()).p50.as_secs_f64();
        twice_ratios.push(latency(twice).p50.as_secs_f64() / floor);
        append_ratios.push(latency(one.clone()).p50.as_secs_f64() / floor);
        raw.extend(bare);
        append.extend(one);
        bench.callers(CALLERS, CALLER_EVENTS / ROUNDS as u64, &mut many)?;
    }
    let single_per_second = append.len() as f64 / append.iter().sum::<Duration>().as_secs_f64();
    Ok(JournalFigures {
        raw: latency(raw),
        append: latency(append),
        append_ratio: median(append_ratios),
        twice_ratio: median(twice_ratios),
        seal: bench.sealed / u32::try_from(bench.count)?,
        single_per_second,
        callers_per_second: many.events / many.time.as_secs_f64(),
        events_per_commit: many.events / many.commits,
    })
}

impl fmt::Display for JournalFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
        writeln!(f, "raw fdatasync      p50 {:.2?}  p99 {:.2?}", self.raw.p50, self.raw.p99)?;
        writeln!(
            f,
            "append -> durable  p50 {:.2?} ({:.2} x raw)  p99 {:.2?} ({:.2} x raw)",
            self.append.p50,
            ratio(self.append.p50, self.raw.p50),
            self.append.p99,
            ratio(self.append.p99, self.raw.p99),
        )?;
        writeln!(f, "seal one event     {:.1?}", self.seal)?;
        write!(
            f,
            "1 caller {:.0}/s, {CALLERS} callers {:.0}/s ({:.1} x), {:.1} events a commit; one chain is sealed event by \
             event, so no more than {:.0}/s ({:.1} x) can be had here",
            self.single_per_second,
            self.callers_per_second,
            self.callers_per_second / self.single_per_second,
            self.events_per_commit,
            1.0 / self.seal.as_secs_f64(),
            1.0 / self.seal.as_secs_f64() / self.single_per_second,
        )
    }
}

const ROUNDS: usize = 20;
const ROUND: usize = 25;
const CALLERS: u64 = 64;
const CALLER_EVENTS: u64 = 19_200;
const PATIENCE: Duration = Duration::from_secs(60);

struct Bench {
    chain: SealingChain,
    journal: Journal,
    reports: Receiver<JournalReport>,
    sealed: Duration,
    count: u64,
}

impl Bench {
    fn open(dir: &Path) -> anyhow::Result<Self> {
        let keys = KeyStore::open_or_create(&dir.join("keys"))?;
        let chain = SealingChain::begin(keys.signer())?;
        let (sender, reports) = channel();
        let report = move |report| drop(sender.send(report));
        let (journal, _) =
            Journal::open(&dir.join("journal"), keys.journal_key(), Limits::default(), report)?;
        journal.begin_chain(chain.grant().chain(), chain.grant().token())?;
        Ok(Self { chain, journal, reports, sealed: Duration::ZERO, count: 0 })
    }

    fn append(&mut self) -> anyhow::Result<Duration> {
        let (start, last) = self.send()?;
        while self.committed()? < last {}
        Ok(start.elapsed())
    }

    /// The moment before and the place of an event that is queued now.
    fn send(&mut self) -> anyhow::Result<(Instant, Sequence)> {
        let start = Instant::now();
        let event = self.chain.seal()?;
        self.sealed += start.elapsed();
        self.count += 1;
        let (start, sequence) = (Instant::now(), event.sequence);
        self.journal.append(Epoch::default(), event)?;
        Ok((start, sequence))
    }

    fn committed(&self) -> anyhow::Result<Sequence> {
        loop {
            match self.reports.recv_timeout(PATIENCE).context("the journal does not answer")? {
                JournalReport::Committed { through } => return Ok(through),
                JournalReport::Failed { error, .. } => return Err(error).context("the journal failed"),
                JournalReport::Reset { .. }
                | JournalReport::Acknowledged { .. }
                | JournalReport::AcknowledgementRefused { .. }
                | JournalReport::HeadNotWritten { .. }
                | JournalReport::Erased { .. }
                | JournalReport::Room(_)
                | JournalReport::Idle { .. } => {}
            }
        }
    }

    /// `callers` requests are always under way: each commit lets its callers ask again.
    fn callers(&mut self, callers: u64, events: u64, to: &mut Callers) -> anyhow::Result<()> {
        let (start, first) = (Instant::now(), self.count);
        for _ in 0..callers {
            self.send()?;
        }
        let mut answered = first;
        while answered < first + events {
            let through = self.committed()?.0 + 1;
            // The last ones do not ask again, so that the next round begins with nothing under way.
            for _ in answered..through.min(first + events - callers) {
                self.send()?;
            }
            to.commits += 1.0;
            answered = through;
        }
        to.events += (answered - first) as f64;
        to.time += start.elapsed();
        Ok(())
    }
}

/// What many callers came to, in all rounds.
#[derive(Default)]
struct Callers {
    events: f64,
    commits: f64,
    time: Duration,
}

/// As many bytes as an event has, appended and flushed.
fn raw_append(file: &mut File) -> anyhow::Result<Duration> {
    let start = Instant::now();
    file.write_all(&[0x5a; 1_200])?;
    file.sync_data()?;
    Ok(start.elapsed())
}

fn round(mut one: impl FnMut() -> anyhow::Result<Duration>) -> anyhow::Result<Vec<Duration>> {
    (0..ROUND).map(|_| one()).collect()
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

pub(super) fn latency(mut samples: Vec<Duration>) -> Latency {
    samples.sort_unstable();
    let at = |part: usize| samples[(samples.len() - 1) * part / 100];
    Latency { p50: at(50), p99: at(99) }
}
