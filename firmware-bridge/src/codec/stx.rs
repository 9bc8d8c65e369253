//! One codec for the STX/LEN/BCC/ETX framings of vendor boards, described by a table.
//! Never touches a device or a clock, never on by default, and never prints what a frame carries.
//!
//! These framings number nothing: an answer that nobody waited for makes every later one doubtful, and the slot
//! refuses to go on (`answers_are_numbered`).

mod table;

use std::fmt;

use super::ccid_serial::{Answer, Counters, Received, Request, TooLong};
use super::framing::{Framing, Pending, Step};
pub use table::{
    AnswerForm, Checksum, ChecksumKind, Commands, Cover, Expansion, Length, Order, StxTable, StxTableError,
};

/// A table in use on one line.
pub struct StxFraming {
    pending: Pending,
    expected: Expected,
}

/// The table, whether the SAM's commands of it are meant, and the name of the command in hand.
struct Expected {
    table: StxTable,
    to_sam: bool,
    awaited: Option<Vec<u8>>,
}

impl StxFraming {
    pub fn new(table: StxTable) -> Result<Self, StxTableError> {
        table.check()?;
        Ok(Self { pending: Pending::default(), expected: Expected { table, to_sam: false, awaited: None } })
    }
}

impl Expected {
    fn judge(&mut self, bytes: &[u8]) -> Step {
        match bytes {
            [] => Step::Wait,
            [first, raw @ ..] if *first == self.table.stx => {
                self.judge_frame(bytes, raw).unwrap_or_else(|step| step)
            }
            _ => Step::Drop,
        }
    }

    /// `raw` begins after the start mark.
    fn judge_frame(&mut self, bytes: &[u8], raw: &[u8]) -> Result<Step, Step> {
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
        let Some(frame) = bytes.get(..total) else { return Err(self.unfinished(raw)) };
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
        Ok(self.accept(total, &command, &status, data))
    }

    /// More bytes may complete what is there, unless a byte cannot stand where it stands.
    fn unfinished(&self, raw: &[u8]) -> Step {
        let inside = raw.split(|byte| Some(*byte) == self.table.etx).next().unwrap_or_default();
        let possible = inside.iter().all(|byte| self.table.expansion.may_carry(*byte));
        if possible { Step::Wait } else { Step::Drop }
    }

    fn accept(&mut self, total: usize, command: &[u8], status: &[u8], data: Vec<u8>) -> Step {
        let ours = self.awaited.as_ref().is_some_and(|awaited| awaited.starts_with(command));
        if !ours {
            return Step::Stray(total);
        }
        self.awaited = None;
        let (bits, error) = match status.last() {
            _ if status == self.table.good => (0x00, 0x00),
            _ if status == self.table.absent => (0x42, 0xFE),
            last => (0x40, last.copied().unwrap_or_default()),
        };
        Step::Told(total, Received::Answer(Answer { status: bits, error, data }))
    }
}

impl Framing for StxFraming {
    fn begin(&mut self, request: &Request<'_>, _sequence: u8) -> Result<Vec<u8>, TooLong> {
        let table = &self.expected.table;
        let commands = table.sam.as_ref().filter(|_| self.expected.to_sam).unwrap_or(&table.commands);
        let (command, data): (&[u8], &[u8]) = match request {
            Request::PowerOn(_) => (&commands.power_on, &[]),
            Request::PowerOff => (&commands.power_off, &[]),
            Request::SlotStatus => (&commands.status, &[]),
            Request::Transfer(tpdu) => (&commands.exchange, tpdu),
            // `has` says that there is no such request.
            Request::SetParameters(_) | Request::Escape(_) => (&commands.status, &[]),
        };
        let frame = table.frame(command, data)?;
        let awaited = command.get(..table.command_width).unwrap_or(command).to_vec();
        self.reset();
        self.expected.awaited = Some(awaited);
        Ok(frame)
    }

    fn begin_again(&mut self) {}

    fn push(&mut self, bytes: &[u8]) {
        self.pending.push(bytes);
    }

    fn poll(&mut self) -> Option<Received> {
        self.pending.poll(|bytes| self.expected.judge(bytes))
    }

    fn reset(&mut self) {
        self.pending.reset();
        self.expected.awaited = None;
    }

    fn counters(&self) -> Counters {
        self.pending.counters()
    }

    /// None of the published variants has a way to ask for an answer again.
    fn ask_again(&self) -> Option<&'static [u8]> {
        None
    }

    fn has(&self, request: &Request<'_>) -> bool {
        !matches!(request, Request::Escape(_) | Request::SetParameters(_))
    }

    /// A table knows one SAM slot, whatever its number.
    fn address(&mut self, slot: u8) -> bool {
        self.expected.to_sam = slot != 0 && self.expected.table.sam.is_some();
        slot == 0 || self.expected.to_sam
    }

    fn answers_are_numbered(&self) -> bool {
        false
    }
}

impl fmt::Debug for StxFraming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StxFraming({} bytes pending, {:?})", self.pending.len(), self.counters())
    }
}

#[cfg(test)]
#[path = "stx_test.rs"]
mod tests;
