//! How fast a package is verified, beside how fast this machine verifies bare signatures in the same run.
//! Never a figure without the machine's own: the ratio is what says something of us.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::time::{ClockId, clock_gettime};
use zhenyin::export::Selection;
use zhenyin_core::signer::Signer as _;

use crate::packages::Journalled;
use crate::sealing::fixed;

/// Two, whatever the machine has: the target is for a terminal's two cores.
const THREADS: usize = 2;
/// A package and bare signatures in turns.
const ROUNDS: usize = 3;
const SIGNATURES: usize = 8000;
/// About an event.
const MESSAGE: usize = 1000;

/// Rates in events or signatures each second.
pub struct VerificationFigures {
    pub events: u64,
    /// By the clock, on two threads of a machine that may do other things, too.
    wall: f64,
    raw_wall: f64,
    /// Processor time of one.
    each: Duration,
    raw_each: Duration,
}

/// Builds a package of so many events and verifies it.
///
/// # Errors
/// When it cannot be built, or does not hold.
pub fn verification_bench(events: u64) -> anyhow::Result<VerificationFigures> {
    let journal = Journalled::build(events, events)?;
    let package = journal.export("package", &Selection::default(), &[])?;
    let (mut whole, mut raw) = (Spent::default(), Spent::default());
    for _ in 0..ROUNDS {
        raw.add(|| bare_signatures(SIGNATURES))?;
        whole.add(|| {
            let verified = zhenyin_verify::verify(&package, THREADS)?;
            ensure!(verified.summary.receipted == events, "not everything was verified");
            Ok(())
        })?;
    }
    let (wall, each) = whole.rate(events as f64);
    let (raw_wall, raw_each) = raw.rate(SIGNATURES as f64);
    Ok(VerificationFigures { events, wall, raw_wall, each, raw_each })
}

impl fmt::Display for VerificationFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = |each: Duration| THREADS as f64 / each.as_secs_f64();
        let line = |wall: f64, each: Duration| {
            format!(
                "{wall:>7.0}/s by the clock, {:>5.1} µs of processor = {:>6.0}/s on two cores of one's own",
                each.as_secs_f64() * 1e6,
                own(each)
            )
        };
        writeln!(f, "package of {} events  {}", self.events, line(self.wall, self.each))?;
        writeln!(f, "bare Ed25519            {}", line(self.raw_wall, self.raw_each))?;
        write!(
            f,
            "ratio to the bare rate  {:.2} by the clock, {:.2} by processor time (target 20000/s on two cores: {})",
            self.wall / self.raw_wall,
            self.raw_each.as_secs_f64() / self.each.as_secs_f64(),
            if own(self.each) >= 20_000.0 { "met" } else { "missed" }
        )
    }
}

#[derive(Default)]
struct Spent {
    wall: Duration,
    processor: Duration,
}

impl Spent {
    fn add(&mut self, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let (begun, used) = (Instant::now(), processor_time());
        work()?;
        self.wall += begun.elapsed();
        self.processor += processor_time().saturating_sub(used);
        Ok(())
    }

    /// By the clock each second, and processor time of one.
    fn rate(&self, of_a_round: f64) -> (f64, Duration) {
        let done = of_a_round * ROUNDS as f64;
        (done / self.wall.as_secs_f64(), self.processor.div_f64(done))
    }
}

fn bare_signatures(count: usize) -> anyhow::Result<()> {
    let signer = fixed(1);
    let message = vec![7; MESSAGE];
    let signature = signer.sign(&message)?;
    let key = signer.public_key();
    std::thread::scope(|scope| {
        let work = || (0..count / THREADS).try_for_each(|_| key.verify(&message, &signature));
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| {
            let done = thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?;
            done.context("a signature of our own does not hold")
        })
    })
}

fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}
