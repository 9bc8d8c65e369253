//! Card sessions as text: recorded from any port, replayed whole, in pieces, or cut short.
//! Never answers a command that differs from the recorded one: from there on the line is silent.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context as _, bail};
use firmware_bridge::{CardPort, PortError};

use super::memory::VirtualClock;

/// One direction's bytes until the other side speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    Host(Vec<u8>),
    Reader(Vec<u8>),
}

/// Lines `> hex` for the host, `< hex` for the reader; everything else explains.
pub fn parse(text: &str) -> anyhow::Result<Vec<Turn>> {
    let spoken = text.lines().map(str::trim).filter(|line| line.starts_with(['>', '<']));
    spoken
        .map(|line| {
            let bytes = line[1..]
                .split_whitespace()
                .map(|byte| u8::from_str_radix(byte, 16).with_context(|| format!("not hex: `{byte}`")))
                .collect::<anyhow::Result<Vec<u8>>>()?;
            if bytes.is_empty() {
                bail!("empty line in transcript");
            }
            Ok(if line.starts_with('>') { Turn::Host(bytes) } else { Turn::Reader(bytes) })
        })
        .collect()
}

pub fn format(turns: &[Turn]) -> String {
    turns.iter().fold(String::new(), |mut text, turn| {
        let (sign, bytes) = match turn {
            Turn::Host(bytes) => ('>', bytes),
            Turn::Reader(bytes) => ('<', bytes),
        };
        text.push(sign);
        for byte in bytes {
            let _ = write!(text, " {byte:02X}");
        }
        text.push('\n');
        text
    })
}

/// Passes everything through to another port and remembers it.
pub struct TranscriptRecorder {
    inner: Box<dyn CardPort>,
    turns: Arc<Mutex<Vec<Turn>>>,
}

impl TranscriptRecorder {
    pub fn new(inner: Box<dyn CardPort>) -> Self {
        Self { inner, turns: Arc::default() }
    }

    pub fn turns(&self) -> Arc<Mutex<Vec<Turn>>> {
        Arc::clone(&self.turns)
    }

    fn remember(&self, turn: Turn) {
        let mut turns = self.turns.lock().expect("no test panics while it records");
        match (turns.last_mut(), turn) {
            (Some(Turn::Reader(said)), Turn::Reader(more)) => said.extend(more),
            (_, turn) => turns.push(turn),
        }
    }
}

impl CardPort for TranscriptRecorder {
    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn send(&mut self, bytes: &[u8], deadline: Instant) -> Result<(), PortError> {
        self.remember(Turn::Host(bytes.to_vec()));
        self.inner.send(bytes, deadline)
    }

    fn receive(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<usize, PortError> {
        let count = self.inner.receive(buffer, deadline)?;
        if count > 0 {
            self.remember(Turn::Reader(buffer[..count].to_vec()));
        }
        Ok(count)
    }
}

/// Plays the reader's part of a transcript.
pub struct TranscriptPort {
    turns: VecDeque<Turn>,
    ready: Vec<u8>,
    /// How many more of the reader's bytes arrive at all.
    left: usize,
    chunks: Chunks,
    clock: VirtualClock,
    faithful: Arc<AtomicBool>,
}

/// How the reader's bytes are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunks {
    Whole,
    /// The stream is cut once, after this many bytes.
    CutAt(usize),
    Of(usize),
}

impl TranscriptPort {
    pub fn new(turns: &[Turn], chunks: Chunks) -> Self {
        Self {
            turns: turns.iter().cloned().collect(),
            ready: Vec::new(),
            left: usize::MAX,
            chunks,
            clock: VirtualClock::new(),
            faithful: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Only the reader's first `length` bytes arrive.
    pub fn truncated(mut self, length: usize) -> Self {
        self.left = length;
        self
    }

    pub fn clock(&self) -> VirtualClock {
        self.clock.clone()
    }

    /// Whether the host has sent only what the transcript has, in its order.
    pub fn faithful(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.faithful)
    }
}

impl CardPort for TranscriptPort {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn send(&mut self, bytes: &[u8], _deadline: Instant) -> Result<(), PortError> {
        if self.turns.pop_front() != Some(Turn::Host(bytes.to_vec())) {
            self.faithful.store(false, Ordering::Relaxed);
            self.turns.clear();
            return Ok(());
        }
        while let Some(Turn::Reader(said)) = self.turns.front().cloned() {
            self.turns.pop_front();
            let arriving = said.len().min(self.left);
            self.left -= arriving;
            self.ready.extend(&said[..arriving]);
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<usize, PortError> {
        let most = match &mut self.chunks {
            Chunks::Whole => usize::MAX,
            Chunks::Of(length) => (*length).max(1),
            Chunks::CutAt(0) => usize::MAX,
            Chunks::CutAt(left) => *left,
        };
        let length = self.ready.len().min(buffer.len()).min(most);
        if let Chunks::CutAt(left) = &mut self.chunks {
            *left = left.saturating_sub(length);
        }
        if length == 0 {
            self.clock.advance_to(deadline);
            return Ok(0);
        }
        buffer[..length].copy_from_slice(&self.ready[..length]);
        self.ready.drain(..length);
        Ok(length)
    }
}
