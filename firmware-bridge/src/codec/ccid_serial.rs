//! CCID over a serial line: `03 06`, one USB CCID message, exclusive-or of everything before.
//! Never touches a device or a clock, never accepts a frame that is not the answer to what was asked, and
//! never prints what a frame carries.
//!
//! Layout and values: CCID 1.1 (bulk messages) and the GemPC serial framing as libccid's `ccid_serial.c` has it.

use std::fmt;

use super::framing::{Framing, Pending, Step};

/// Longest data part of one message: a short APDU and its head.
pub const MAX_DATA: usize = 261;
/// Asks the other side to repeat its last frame.
pub const NAK: [u8; 3] = [SYNC, NAK_CONTROL, 0x16];

/// What the host asks of the reader.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    PowerOn(Voltage),
    PowerOff,
    SlotStatus,
    Transfer(&'a [u8]),
    /// T=0 structure: Fi/Di, convention, guard time, waiting integer, clock stop.
    SetParameters([u8; 5]),
    Escape(&'a [u8]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voltage {
    Automatic,
    Five,
    Three,
    OnePointEight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message of {length} bytes does not fit a frame of {MAX_DATA}")]
pub struct TooLong {
    pub length: usize,
}

/// One encoded request and what will count as its answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    bytes: Vec<u8>,
    answers: &'static [u8],
    sequence: u8,
    extensible: bool,
}

impl Outgoing {
    pub fn new(request: &Request<'_>, slot: u8, sequence: u8) -> Result<Self, TooLong> {
        let mut bytes = vec![SYNC, FRAME_CONTROL];
        bytes.extend(message(request, slot, sequence)?);
        bytes.push(checksum(&bytes));
        Ok(Self {
            bytes,
            answers: request.answers(),
            sequence,
            extensible: matches!(request, Request::Transfer(_)),
        })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The CCID message of a request, without the framing of any line.
pub(super) fn message(request: &Request<'_>, slot: u8, sequence: u8) -> Result<Vec<u8>, TooLong> {
    let (kind, option, data): (u8, u8, &[u8]) = match request {
        Request::PowerOn(voltage) => (0x62, *voltage as u8, &[]),
        Request::PowerOff => (0x63, 0, &[]),
        Request::SlotStatus => (0x65, 0, &[]),
        Request::Transfer(tpdu) => (0x6F, 0, tpdu),
        Request::SetParameters(values) => (0x61, 0, values),
        Request::Escape(data) => (0x6B, 0, data),
    };
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    if data.len() > MAX_DATA {
        return Err(TooLong { length: data.len() });
    }
    let mut bytes = vec![kind];
    bytes.extend(length.to_le_bytes());
    bytes.extend([slot, sequence, option, 0, 0]);
    bytes.extend(data);
    Ok(bytes)
}

impl Request<'_> {
    pub fn name(&self) -> &'static str {
        match self {
            Self::PowerOn(_) => "power on",
            Self::PowerOff => "power off",
            Self::SlotStatus => "slot status",
            Self::Transfer(_) => "exchange",
            Self::SetParameters(_) => "set parameters",
            Self::Escape(_) => "escape",
        }
    }

    /// Message types that answer this request. Some emulators give the answer to reset in a slot status.
    pub(super) fn answers(&self) -> &'static [u8] {
        match self {
            Self::PowerOn(_) => &[DATA_BLOCK, SLOT_STATUS],
            Self::PowerOff | Self::SlotStatus => &[SLOT_STATUS],
            Self::Transfer(_) => &[DATA_BLOCK],
            Self::SetParameters(_) => &[PARAMETERS],
            Self::Escape(_) => &[ESCAPE],
        }
    }
}

/// The answer to the request in hand: right type, slot, sequence and checksum.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u8,
    pub error: u8,
    pub data: Vec<u8>,
}

impl Answer {
    pub fn failed(&self) -> bool {
        self.status & 0xC0 != 0
    }

    /// What the reader says about the card. Advisory: some readers say absent and work.
    pub fn card_absent(&self) -> bool {
        self.status & 0x03 == 2
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotEvent {
    Removed,
    Inserted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    Answer(Answer),
    SlotEvent(SlotEvent),
    /// The reader or the card asks for more time.
    MoreTime,
    /// The reader wants the last frame again.
    Nak,
    /// Something framed like an answer had a wrong checksum and was thrown away.
    BadChecksum,
}

/// What the line did, for diagnosis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub dropped_bytes: u64,
    pub bad_checksums: u64,
    /// Valid frames that answered something else: late, repeated, or of another type.
    pub stray_frames: u64,
    pub echoes: u64,
    pub naks: u64,
    pub time_requests: u64,
}

/// Cuts a byte stream into frames and keeps only what belongs to the request in hand.
pub struct Receiver {
    pending: Pending,
    expected: Expected,
}

/// The request in hand and what of its answer is still to come.
struct Expected {
    slot: u8,
    awaited: Option<Outgoing>,
    echo_due: bool,
}

impl Receiver {
    pub fn new(slot: u8) -> Self {
        Self { pending: Pending::default(), expected: Expected { slot, awaited: None, echo_due: false } }
    }

    pub fn counters(&self) -> Counters {
        self.pending.counters()
    }

    /// Forgets everything pending and waits for the answer to `request`, echoed first or not.
    pub fn await_answer(&mut self, request: Outgoing) {
        self.reset();
        self.expected.awaited = Some(request);
        self.expected.echo_due = true;
    }

    /// Forgets bytes of an unfinished frame and the request in hand.
    pub fn reset(&mut self) {
        self.pending.reset();
        self.expected.awaited = None;
        self.expected.echo_due = false;
    }

    /// The same request was sent again: it may be echoed again.
    pub fn expect_echo(&mut self) {
        self.expected.echo_due = true;
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.push(bytes);
    }

    /// Next thing in the bytes pushed so far; `None` when more bytes are needed.
    pub fn poll(&mut self) -> Option<Received> {
        self.pending.poll(|bytes| self.expected.judge(bytes))
    }
}

impl Expected {
    fn judge(&mut self, bytes: &[u8]) -> Step {
        let extensible = self.awaited.as_ref().is_some_and(|request| request.extensible);
        match bytes {
            [] | [SYNC] | [SYNC, FRAME_CONTROL | NAK_CONTROL] | [SLOT_CHANGE] => Step::Wait,
            [SYNC, NAK_CONTROL, 0x16, ..] => Step::Told(3, Received::Nak),
            [SYNC, FRAME_CONTROL, kind, ..] if kind & 0x80 == 0 => self.judge_echo(bytes),
            [SYNC, FRAME_CONTROL, DATA_BLOCK | SLOT_STATUS | PARAMETERS | ESCAPE, rest @ ..] => {
                self.judge_frame(bytes, rest)
            }
            [SLOT_CHANGE, 0x02, ..] => Step::Told(2, Received::SlotEvent(SlotEvent::Removed)),
            [SLOT_CHANGE, 0x03, ..] => Step::Told(2, Received::SlotEvent(SlotEvent::Inserted)),
            [0x80..=0xFF, ..] if extensible => Step::Told(1, Received::MoreTime),
            _ => Step::Drop,
        }
    }

    fn judge_echo(&mut self, bytes: &[u8]) -> Step {
        let sent = self.awaited.as_ref().filter(|_| self.echo_due).map(Outgoing::bytes).unwrap_or_default();
        let length = sent.len();
        if bytes.starts_with(sent) && length > 0 {
            self.echo_due = false;
            Step::Echo(length)
        } else if sent.starts_with(bytes) {
            Step::Wait
        } else {
            Step::Drop
        }
    }

    /// `rest` begins after the message type: length, slot, sequence, status, error, chaining, data, checksum.
    fn judge_frame(&mut self, bytes: &[u8], rest: &[u8]) -> Step {
        let [l0, l1, l2, l3, slot, _, _, _, _, tail @ ..] = rest else { return Step::Wait };
        let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
        if length > MAX_DATA || *slot != self.slot {
            return Step::Drop;
        }
        if tail.len() <= length {
            return Step::Wait;
        }
        let frame = bytes.get(..OVERHEAD + length).unwrap_or_default();
        // The exclusive-or over a frame and its own checksum is zero.
        if checksum(frame) == 0 { self.accept(frame) } else { Step::Damaged }
    }

    /// A frame with a good checksum: is it the answer?
    fn accept(&mut self, frame: &[u8]) -> Step {
        let total = frame.len();
        let [_, _, kind, _, _, _, _, _, sequence, status, error, _, data @ .., _] = frame else {
            return Step::Drop;
        };
        let ours = self
            .awaited
            .as_ref()
            .is_some_and(|request| request.sequence == *sequence && request.answers.contains(kind));
        if !ours {
            return Step::Stray(total);
        }
        self.echo_due = false;
        if status & 0xC0 == 0x80 {
            return Step::Told(total, Received::MoreTime);
        }
        let answer = Answer { status: *status, error: *error, data: data.to_vec() };
        self.awaited = None;
        Step::Told(total, Received::Answer(answer))
    }
}

impl Framing for Receiver {
    fn begin(&mut self, request: &Request<'_>, sequence: u8) -> Result<Vec<u8>, TooLong> {
        let outgoing = Outgoing::new(request, self.expected.slot, sequence)?;
        let bytes = outgoing.bytes.clone();
        self.await_answer(outgoing);
        Ok(bytes)
    }

    fn begin_again(&mut self) {
        self.expect_echo();
    }

    fn push(&mut self, bytes: &[u8]) {
        self.push(bytes);
    }

    fn poll(&mut self) -> Option<Received> {
        self.poll()
    }

    fn reset(&mut self) {
        self.reset();
    }

    fn counters(&self) -> Counters {
        self.counters()
    }

    fn ask_again(&self) -> Option<&'static [u8]> {
        Some(&NAK)
    }

    fn has(&self, _request: &Request<'_>) -> bool {
        true
    }

    fn address(&mut self, slot: u8) -> bool {
        self.expected.slot = slot;
        true
    }
}

const SYNC: u8 = 0x03;
const FRAME_CONTROL: u8 = 0x06;
const NAK_CONTROL: u8 = 0x15;
const SLOT_CHANGE: u8 = 0x50;
pub(super) const DATA_BLOCK: u8 = 0x80;
pub(super) const SLOT_STATUS: u8 = 0x81;
pub(super) const PARAMETERS: u8 = 0x82;
pub(super) const ESCAPE: u8 = 0x83;
/// Sync, control, ten bytes of message head, checksum.
const OVERHEAD: usize = 13;

pub(super) fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({})", self.name())
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outgoing(sequence {}, {} bytes)", self.sequence, self.bytes.len())
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, error, data } = self;
        write!(f, "Answer(status {status:02X}, error {error:02X}, {} bytes)", data.len())
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({} bytes pending, {:?})", self.pending.len(), self.counters())
    }
}

#[cfg(test)]
#[path = "ccid_serial_test.rs"]
mod tests;
