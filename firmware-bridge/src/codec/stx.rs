//! One codec for the STX/LEN/BCC/ETX framings of vendor boards, described by a table.
//! Never touches a device or a clock, never on by default, and never prints what a frame carries.
//!
//! These framings number nothing: an answer that nobody waited for makes every later one doubtful, and the slot
//! refuses to go on (`answers_are_numbered`).

mod table;

use std::fmt;

use super::ccid_serial::{Answer, Counters, Received, Request, TooLong};
use super::framing::Framing;
pub use table::{
    AnswerForm, Checksum, ChecksumKind, Commands, Cover, Expansion, Length, Order, StxTable, StxTableError,
};

/// A table in use on one line.
pub struct StxFraming {
    table: StxTable,
    buffer: Vec<u8>,
    awaited: Option<Vec<u8>>,
    counters: Counters,
}

impl StxFraming {
    pub fn new(table: StxTable) -> Result<Self, StxTableError> {
        table.check()?;
        Ok(Self { table, buffer: Vec::new(), awaited: None, counters: Counters::default() })
    }

    fn step(&self) -> Step {
        match self.buffer.as_slice() {
            [] => Step::Wait,
            [first, raw @ ..] if *first == self.table.stx => self.step_frame(raw).unwrap_or_else(|step| step),
            _ => Step::Drop,
        }
    }

    /// `raw` begins after the start mark.
    fn step_frame(&self, raw: &[u8]) -> Result<Step, Step> {
        let table = &self.table;
        let unit = table.expansion.unit();
        let head_length = table.answer_head();
        let head =
            table.expansion.reduce(raw.get(..head_length * unit)).ok_or_else(|| self.unfinished(raw))?;
        if !head.get(table.answer_header_at()..).unwrap_or_default().starts_with(&table.header) {
            return Err(Step::Drop);
        }
        let rest = table.answer_rest(&head).ok_or(Step::Drop)?;
        let inner_length = head_length + rest;
        let sum_inside = usize::from(!table.checksum.after_etx);
        let marks = usize::from(table.etx.is_some()) + usize::from(table.checksum.after_etx);
        let between = (inner_length + sum_inside) * unit;
        let total = 1 + between + marks;
        let Some(frame) = self.buffer.get(..total) else { return Err(self.unfinished(raw)) };
        let inner = table.expansion.reduce(frame.get(1..=between)).ok_or(Step::Drop)?;
        if table.etx.is_some_and(|etx| frame.get(1 + between) != Some(&etx)) {
            return Err(Step::Drop);
        }
        let (inner, found) = if table.checksum.after_etx {
            (inner.as_slice(), frame.last().copied())
        } else {
            (inner.get(..inner_length).unwrap_or_default(), inner.last().copied())
        };
        if found != Some(table.sum(inner, table.answer_body_at())) {
            return Err(Step::Damaged);
        }
        let (command, status, data) = table.answer_parts(inner).ok_or(Step::Drop)?;
        Ok(Step::Frame { total, command, status, data })
    }

    /// More bytes may complete what is there, unless a byte cannot stand where it stands.
    fn unfinished(&self, raw: &[u8]) -> Step {
        let inside = raw.split(|byte| Some(*byte) == self.table.etx).next().unwrap_or_default();
        let possible = inside.iter().all(|byte| self.table.expansion.may_carry(*byte));
        if possible { Step::Wait } else { Step::Drop }
    }

    fn accept(&mut self, command: &[u8], status: &[u8], data: Vec<u8>) -> Option<Received> {
        let ours = self.awaited.as_ref().is_some_and(|awaited| awaited.starts_with(command));
        if !ours {
            self.counters.stray_frames += 1;
            return None;
        }
        self.awaited = None;
        let (bits, error) = match status.last() {
            _ if status == self.table.good => (0x00, 0x00),
            _ if status == self.table.absent => (0x42, 0xFE),
            last => (0x40, last.copied().unwrap_or_default()),
        };
        Some(Received::Answer(Answer { status: bits, error, data }))
    }
}

impl Framing for StxFraming {
    fn begin(&mut self, request: &Request<'_>, _sequence: u8) -> Result<Vec<u8>, TooLong> {
        let commands = &self.table.commands;
        let (command, data): (&[u8], &[u8]) = match request {
            Request::PowerOn(_) => (&commands.power_on, &[]),
            Request::PowerOff => (&commands.power_off, &[]),
            Request::SlotStatus => (&commands.status, &[]),
            Request::Transfer(tpdu) => (&commands.exchange, tpdu),
            // `has` says that there is no such request.
            Request::SetParameters(_) | Request::Escape(_) => (&commands.status, &[]),
        };
        let frame = self.table.frame(command, data)?;
        let awaited = command.get(..self.table.command_width).unwrap_or(command).to_vec();
        self.reset();
        self.awaited = Some(awaited);
        Ok(frame)
    }

    fn begin_again(&mut self) {}

    fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    fn poll(&mut self) -> Option<Received> {
        loop {
            let (taken, received) = match self.step() {
                Step::Wait => return None,
                Step::Drop => {
                    self.counters.dropped_bytes += 1;
                    (1, None)
                }
                Step::Damaged => {
                    self.counters.bad_checksums += 1;
                    self.counters.dropped_bytes += 1;
                    (1, Some(Received::BadChecksum))
                }
                Step::Frame { total, command, status, data } => (total, self.accept(&command, &status, data)),
            };
            self.buffer.drain(..taken.min(self.buffer.len()));
            if received.is_some() {
                return received;
            }
        }
    }

    fn reset(&mut self) {
        self.buffer.clear();
        self.awaited = None;
    }

    fn counters(&self) -> Counters {
        self.counters
    }

    /// None of the published variants has a way to ask for an answer again.
    fn ask_again(&self) -> Option<&'static [u8]> {
        None
    }

    fn has(&self, request: &Request<'_>) -> bool {
        !matches!(request, Request::Escape(_) | Request::SetParameters(_))
    }

    fn answers_are_numbered(&self) -> bool {
        false
    }
}

enum Step {
    Wait,
    Drop,
    Damaged,
    Frame { total: usize, command: Vec<u8>, status: Vec<u8>, data: Vec<u8> },
}

impl fmt::Debug for StxFraming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StxFraming({} bytes pending, {:?})", self.buffer.len(), self.counters)
    }
}

#[cfg(test)]
#[path = "stx_test.rs"]
mod tests;
