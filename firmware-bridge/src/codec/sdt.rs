//! The serial protocol of resident ID card readers (GA 450): `AA AA AA 96 69`, length, body, exclusive-or.
//! Never touches a device or a clock, never accepts a frame whose form does not fit the command, and never
//! prints what a frame carries.
//!
//! Values: several public descriptions of the reader interface that agree with one another.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

/// What the host asks of the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Status,
    SamId,
    Reset,
    /// Looks for a card; answers whether one was found.
    Find,
    Select,
    /// Text and photo of the selected card.
    Read,
    /// The same with the fingerprint block.
    ReadWithFinger,
    /// The newest address entry.
    ReadAddress,
}

impl Command {
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::SamId => "sam id",
            Self::Reset => "reset",
            Self::Find => "find card",
            Self::Select => "select card",
            Self::Read => "read card",
            Self::ReadWithFinger => "read card with fingerprint",
            Self::ReadAddress => "read newest address",
        }
    }

    /// The frame to send.
    pub fn frame(self) -> Vec<u8> {
        let body = self.code();
        let mut frame = PREAMBLE.to_vec();
        // Body and checksum count.
        frame.extend([0, 3]);
        frame.extend(body);
        frame.push(checksum(&[0, 3]) ^ checksum(&body));
        frame
    }

    fn code(self) -> [u8; 2] {
        match self {
            Self::Reset => [0x10, 0xFF],
            Self::Status => [0x11, 0xFF],
            Self::SamId => [0x12, 0xFF],
            Self::Find => [0x20, 0x01],
            Self::Select => [0x20, 0x02],
            Self::Read => [0x30, 0x01],
            Self::ReadWithFinger => [0x30, 0x10],
            Self::ReadAddress => [0x30, 0x03],
        }
    }

    /// The code of success.
    pub fn good(self) -> u8 {
        if self == Self::Find { 0x9F } else { 0x90 }
    }

    /// Whether an answer can be one to this command. Frames carry no number; their form is all there is.
    fn fits(self, code: u8, data: &[u8]) -> bool {
        if code != self.good() {
            return data.is_empty() && (GENERAL_ERRORS.contains(&code) || self.own_errors().contains(&code));
        }
        match self {
            Self::Status | Self::Reset => data.is_empty(),
            Self::SamId => !data.is_empty() && data.len() <= 64,
            Self::Find => data.len() == 4,
            Self::Select => data.len() == 8,
            Self::Read => blocks(data, 2).is_some(),
            Self::ReadWithFinger => blocks(data, 3).is_some(),
            Self::ReadAddress => !data.is_empty() && data.len() <= 128,
        }
    }

    fn own_errors(self) -> &'static [u8] {
        match self {
            Self::Status => &[0x60, 0x66],
            Self::Find => &[0x80],
            Self::Select => &[0x81],
            Self::Read | Self::ReadWithFinger => &[0x41],
            Self::ReadAddress => &[0x41, 0x91],
            Self::SamId | Self::Reset => &[],
        }
    }
}

/// The answer to the command in hand. What it carries is zeroed when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// SW3; 90 and 9F are success.
    pub code: u8,
    pub data: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// Text and photo block of an answer to [`Command::Read`].
    pub fn text_and_photo(&self) -> Option<(&[u8], &[u8])> {
        match blocks(&self.data, 2)?.as_slice() {
            [text, photo] => Some((text, photo)),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    Answer(Answer),
    /// Something framed like an answer had a wrong checksum and was thrown away.
    BadChecksum,
    /// A frame that answers something else.
    Stray,
}

/// Cuts a byte stream into frames and keeps only what belongs to the command in hand.
#[derive(Default)]
pub struct Receiver {
    buffer: Vec<u8>,
    awaited: Option<Command>,
    dropped: u64,
}

impl Receiver {
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything pending and waits for the answer to `command`.
    pub fn await_answer(&mut self, command: Command) {
        self.reset();
        self.awaited = Some(command);
    }

    /// Bytes of a frame that was not complete count as thrown away.
    pub fn reset(&mut self) {
        self.dropped += self.buffer.len() as u64;
        self.buffer.zeroize();
        self.awaited = None;
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes thrown away so far because they belong to no frame.
    pub fn dropped_bytes(&self) -> u64 {
        self.dropped
    }

    /// Next thing in the bytes pushed so far; `None` when more bytes are needed.
    pub fn poll(&mut self) -> Option<Received> {
        loop {
            match self.step() {
                Step::Wait => return None,
                Step::Drop => {
                    self.dropped += 1;
                    self.take(1);
                }
                Step::Damaged => {
                    self.dropped += 1;
                    self.take(1);
                    return Some(Received::BadChecksum);
                }
                Step::Frame(total) => {
                    let received = self.accept(total);
                    self.take(total);
                    return Some(received);
                }
            }
        }
    }

    fn step(&self) -> Step {
        let known = PREAMBLE.len().min(self.buffer.len());
        if self.buffer.get(..known) != PREAMBLE.get(..known) {
            return Step::Drop;
        }
        let Some([high, low, rest @ ..]) = self.buffer.get(PREAMBLE.len()..) else { return Step::Wait };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if !(SHORTEST..=LONGEST).contains(&length) {
            return Step::Drop;
        }
        let Some(body) = rest.get(..length) else { return Step::Wait };
        // The exclusive-or over everything summed and its checksum is zero.
        if high ^ low ^ checksum(body) == 0 {
            Step::Frame(PREAMBLE.len() + 2 + length)
        } else {
            Step::Damaged
        }
    }

    fn accept(&mut self, total: usize) -> Received {
        let body = self.buffer.get(PREAMBLE.len() + 2..total.saturating_sub(1)).unwrap_or_default();
        let [0x00, 0x00, code, data @ ..] = body else { return Received::Stray };
        if !self.awaited.is_some_and(|command| command.fits(*code, data)) {
            return Received::Stray;
        }
        self.awaited = None;
        Received::Answer(Answer { code: *code, data: Zeroizing::new(data.to_vec()) })
    }

    fn take(&mut self, count: usize) {
        self.buffer.drain(..count.min(self.buffer.len()));
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.buffer.zeroize();
    }
}

enum Step {
    Wait,
    Drop,
    Damaged,
    Frame(usize),
}

/// `count` lengths of 16 bits, big-endian, then the blocks of these lengths, and nothing else.
fn blocks(data: &[u8], count: usize) -> Option<Vec<&[u8]>> {
    let (lengths, mut rest) = data.split_at_checked(count * 2)?;
    let mut found = Vec::new();
    for length in lengths.chunks_exact(2) {
        let length = usize::from(u16::from_be_bytes(length.try_into().ok()?));
        let (block, after) = rest.split_at_checked(length)?;
        found.push(block);
        rest = after;
    }
    let text_is_whole = found.first().is_some_and(|text| text.len() == TEXT);
    (rest.is_empty() && text_is_whole).then_some(found)
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}

const PREAMBLE: [u8; 5] = [0xAA, 0xAA, 0xAA, 0x96, 0x69];
/// Three status bytes and the checksum.
const SHORTEST: usize = 4;
/// Text, photo and fingerprint blocks with their lengths.
const LONGEST: usize = 3 + 6 + TEXT + 1024 + 1024 + 1;
const TEXT: usize = 256;
/// Checksum, length, command, unknown; mutual authentication, verification; wrong card, random number.
const GENERAL_ERRORS: [u8; 9] = [0x10, 0x11, 0x21, 0x24, 0x31, 0x32, 0x33, 0x40, 0x47];

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer(code {:02X}, {} bytes)", self.code, self.data.len())
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({} bytes pending, {} dropped)", self.buffer.len(), self.dropped)
    }
}

#[cfg(test)]
#[path = "sdt_test.rs"]
mod tests;
