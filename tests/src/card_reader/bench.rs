//! How long a card reading takes besides the time that its bytes need on the line.
//! Never a test: it measures and reports, and judges nothing.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use firmware_bridge::port::BYTE_TIME;
use firmware_bridge::{Reader, SerialCardPort};
use rustix::time::{ClockId, clock_gettime};

use super::cards::CardSpec;
use super::device::Echo;
use super::memory::{MemoryPort, Traffic};
use super::pty::PtyReader;

/// Figures of reading a 2.0 card, power on to identity.
#[derive(Clone, Copy, Debug)]
pub struct CardReadFigures {
    pub readings: usize,
    /// Bytes of one reading, both directions.
    pub bytes: u64,
    /// What these bytes take at 115200 baud, 8N2, one direction at a time.
    pub line_time: Duration,
    /// Median of one reading over a pseudo-terminal, which has no baud rate: everything but the line.
    pub overhead: Duration,
    /// Processor time of one reading, simulated reader included.
    pub processor: Duration,
}

impl CardReadFigures {
    /// Line and overhead together, in terms of the line alone.
    pub fn ratio(&self) -> f64 {
        (self.line_time + self.overhead).as_secs_f64() / self.line_time.as_secs_f64()
    }
}

/// Reads one card `readings` times.
pub fn card_read(echo: Echo, readings: usize) -> anyhow::Result<CardReadFigures> {
    let bytes = bytes_of_one_reading(echo)?;
    let simulated = PtyReader::start(echo)?;
    simulated.insert(CardSpec::version_2());
    let path = simulated.path().to_str().context("pty path is not text")?;
    let mut reader = Reader::open(Box::new(SerialCardPort::open(path)?))?;
    let mut spans = Vec::with_capacity(readings);
    let processor_before = processor_time();
    for _ in 0..readings {
        let begun = Instant::now();
        reader.read_card()?;
        spans.push(begun.elapsed());
    }
    let processor = processor_time().saturating_sub(processor_before) / readings.max(1) as u32;
    spans.sort_unstable();
    let overhead = *spans.get(readings / 2).context("no readings")?;
    let line_time = BYTE_TIME * u32::try_from(bytes)?;
    Ok(CardReadFigures { readings, bytes, line_time, overhead, processor })
}

fn bytes_of_one_reading(echo: Echo) -> anyhow::Result<u64> {
    let port = MemoryPort::new(echo);
    port.insert(CardSpec::version_2());
    let traffic = port.traffic();
    let mut reader = Reader::open(Box::new(port))?;
    let before = total(&traffic);
    reader.read_card()?;
    Ok(total(&traffic) - before)
}

fn total(traffic: &Mutex<Traffic>) -> u64 {
    let traffic = traffic.lock().expect("no test panics while it counts");
    traffic.sent + traffic.received
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
