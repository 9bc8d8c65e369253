//! A line to a simulated reader without a device: time passes only when somebody waits.
//! Never sleeps, so that a test of a thirty-second deadline takes none.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use firmware_bridge::{CardPort, PortError};

use super::cards::CardSpec;
use super::device::{Device, Echo};
use super::peer::Peer;

/// Time that passes by being waited for. Clones show the same time.
#[derive(Clone, Debug)]
pub struct VirtualClock {
    start: Instant,
    elapsed: Arc<Mutex<Duration>>,
}

impl VirtualClock {
    pub fn new() -> Self {
        Self { start: Instant::now(), elapsed: Arc::default() }
    }

    pub fn elapsed(&self) -> Duration {
        *self.elapsed.lock().expect("no test panics while it holds the clock")
    }

    pub fn now(&self) -> Instant {
        self.start + self.elapsed()
    }

    /// Lets time pass until `then`; never goes back.
    pub fn advance_to(&self, then: Instant) {
        let mut elapsed = self.elapsed.lock().expect("no test panics while it holds the clock");
        *elapsed = (*elapsed).max(then.saturating_duration_since(self.start));
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

/// Bytes that moved and calls that were made, to tell a busy loop from a wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    pub sent: u64,
    pub received: u64,
    pub calls: u64,
}

/// The host's end of a line to a simulated device in the same process.
pub struct MemoryPort<D: Peer = Device> {
    device: Arc<Mutex<D>>,
    clock: VirtualClock,
    coming: Vec<(Instant, Vec<u8>)>,
    chunk: usize,
    garbled: bool,
    traffic: Arc<Mutex<Traffic>>,
}

impl MemoryPort {
    pub fn new(echo: Echo) -> Self {
        Self::to(Device::new(echo))
    }

    pub fn insert(&self, spec: CardSpec) {
        self.lock().insert(spec);
    }
}

impl<D: Peer> MemoryPort<D> {
    pub fn to(device: D) -> Self {
        Self::shared(Arc::new(Mutex::new(device)), VirtualClock::new())
    }

    /// Another line to a device that is already there, as after closing and opening it.
    pub fn shared(device: Arc<Mutex<D>>, clock: VirtualClock) -> Self {
        Self { device, clock, coming: Vec::new(), chunk: usize::MAX, garbled: false, traffic: Arc::default() }
    }

    /// Hands over at most `chunk` bytes at a time.
    pub fn in_chunks(mut self, chunk: usize) -> Self {
        self.chunk = chunk.max(1);
        self
    }

    /// The two ends run at different speeds: what arrives is never what was sent, and every command is answered
    /// by bytes of nothing.
    pub fn garbled(mut self) -> Self {
        self.garbled = true;
        self
    }

    pub fn device(&self) -> Arc<Mutex<D>> {
        Arc::clone(&self.device)
    }

    pub fn clock(&self) -> VirtualClock {
        self.clock.clone()
    }

    pub fn traffic(&self) -> Arc<Mutex<Traffic>> {
        Arc::clone(&self.traffic)
    }

    fn lock(&self) -> MutexGuard<'_, D> {
        self.device.lock().expect("no test panics while it holds the device")
    }

    /// Takes what the device said and fails when the line is gone.
    fn listen(&mut self) -> Result<(), PortError> {
        let now = self.clock.now();
        let (said, hung_up) = {
            let mut device = self.lock();
            (device.take_output(), device.has_hung_up())
        };
        self.coming.extend(said.into_iter().map(|emission| (now + emission.after, emission.bytes)));
        // Stable: what was said first comes first.
        self.coming.sort_by_key(|(due, _)| *due);
        self.coming.retain(|(_, bytes)| !bytes.is_empty());
        if hung_up { Err(PortError::Lost { source: ErrorKind::BrokenPipe.into() }) } else { Ok(()) }
    }

    fn count(&self, sent: usize, received: usize) {
        let mut traffic = self.traffic.lock().expect("no test panics while it counts");
        traffic.sent += sent as u64;
        traffic.received += received as u64;
        traffic.calls += 1;
    }
}

impl<D: Peer> CardPort for MemoryPort<D> {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn send(&mut self, bytes: &[u8], _deadline: Instant) -> Result<(), PortError> {
        self.listen()?;
        if self.garbled {
            self.lock().receive(&garble(bytes));
            let now = self.clock.now();
            self.coming.push((now, bytes.to_vec()));
        } else {
            self.lock().receive(bytes);
        }
        self.count(bytes.len(), 0);
        self.listen()
    }

    fn receive(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<usize, PortError> {
        self.listen()?;
        let due =
            self.coming.first().map(|(due, _)| *due).filter(|due| *due <= deadline.max(self.clock.now()));
        let Some(due) = due else {
            self.clock.advance_to(deadline);
            self.count(0, 0);
            return Ok(0);
        };
        self.clock.advance_to(due);
        let (_, bytes) = &mut self.coming[0];
        let length = bytes.len().min(buffer.len()).min(self.chunk);
        buffer[..length].copy_from_slice(&bytes[..length]);
        if self.garbled {
            let garbage = garble(&buffer[..length]);
            buffer[..length].copy_from_slice(&garbage);
        }
        bytes.drain(..length);
        self.count(0, length);
        Ok(length)
    }
}

/// What a receiver at another speed makes of bytes: most bits are somebody else's.
fn garble(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte.rotate_left(3) ^ 0xE0).collect()
}
