//! The table that describes one vendor's framing: marks, lengths, checksum, digits, status, commands.
//! Never holds a default: no board is spoken to that nobody configured.

use crate::codec::ccid_serial::{MAX_DATA, TooLong};

/// One vendor's framing, start mark first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StxTable {
    pub stx: u8,
    pub etx: Option<u8>,
    /// Fixed bytes after the start mark.
    pub header: Vec<u8>,
    pub order: Order,
    pub length: Length,
    pub checksum: Checksum,
    pub expansion: Expansion,
    pub answer: AnswerForm,
    /// Bytes of a command that name it; the rest of an entry in `commands` are fixed parameters.
    pub command_width: usize,
    /// Status of success; its length is the width of every status. Empty where there is none.
    pub good: Vec<u8>,
    /// Status that says that no card is in the slot.
    pub absent: Vec<u8>,
    pub commands: Commands,
    /// The same for the SAM slot, where the board has one.
    pub sam: Option<Commands>,
}

/// What comes first after the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    LengthFirst,
    CommandFirst,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// One or two bytes.
    pub width: usize,
    pub little_endian: bool,
    /// Whether command (in answers: command and status after the length) counts besides the data.
    pub counts_command: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum {
    pub kind: ChecksumKind,
    pub cover: Cover,
    pub after_etx: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumKind {
    Xor,
    /// Sum of the bytes, low eight bits.
    Sum,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cover {
    /// From the command (in answers: from what stands after the length) to the last data byte.
    Body,
    /// Everything between start mark and checksum.
    Inside,
    /// Start mark, everything inside, end mark.
    WithMarks,
}

/// How bytes between the marks are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expansion {
    None,
    /// Two bytes for each: high and low nibble, 0x30 added.
    Nibbles,
    /// Two upper-case hexadecimal digits for each.
    Hex,
}

/// Where an answer has command and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerForm {
    /// Status after the start mark, the command where a command has it.
    StatusFirst,
    /// The command where a command has it, status after it.
    CommandThenStatus,
    /// Status in place of the command.
    StatusOnly,
}

/// Command and fixed parameters of each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands {
    pub power_on: Vec<u8>,
    pub power_off: Vec<u8>,
    pub status: Vec<u8>,
    /// The command bytes for the card follow as data.
    pub exchange: Vec<u8>,
}

/// Why a table describes no framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StxTableError {
    #[error("start and end mark are both {mark:02X}")]
    Marks { mark: u8 },
    #[error("mark {mark:02X} is a digit of the expansion")]
    MarkIsDigit { mark: u8 },
    #[error("length field of {width} bytes; one or two are possible")]
    LengthWidth { width: usize },
    #[error("command `{name}` has {found} bytes, fewer than {wanted}")]
    Command { name: &'static str, wanted: usize, found: usize },
    #[error("status of success has {good} bytes, that of an empty slot {absent}")]
    Status { good: usize, absent: usize },
    #[error("an answer without the command has no status either")]
    Nameless,
    #[error("checksum stands after an end mark that there is not")]
    NoEndMark,
}

impl StxTable {
    pub fn check(&self) -> Result<(), StxTableError> {
        if self.etx == Some(self.stx) {
            return Err(StxTableError::Marks { mark: self.stx });
        }
        let digit = |mark: &u8| self.expansion.value(*mark).is_some();
        if let Some(mark) = [Some(self.stx), self.etx].into_iter().flatten().find(digit) {
            return Err(StxTableError::MarkIsDigit { mark });
        }
        if !matches!(self.length.width, 1 | 2) {
            return Err(StxTableError::LengthWidth { width: self.length.width });
        }
        if self.good.len() != self.absent.len() {
            return Err(StxTableError::Status { good: self.good.len(), absent: self.absent.len() });
        }
        if self.answer == AnswerForm::StatusOnly && self.good.is_empty() {
            return Err(StxTableError::Nameless);
        }
        if self.checksum.after_etx && self.etx.is_none() {
            return Err(StxTableError::NoEndMark);
        }
        let wanted = self.command_width.max(1);
        let mut named =
            [Some(&self.commands), self.sam.as_ref()].into_iter().flatten().flat_map(Commands::named);
        let short = named.find(|(_, bytes)| bytes.len() < wanted);
        short.map_or(Ok(()), |(name, bytes)| Err(StxTableError::Command { name, wanted, found: bytes.len() }))
    }

    /// The frame of one command.
    pub fn frame(&self, command: &[u8], data: &[u8]) -> Result<Vec<u8>, TooLong> {
        let (name, parameters) = command.split_at(self.command_width.min(command.len()));
        let counted = parameters.len() + data.len() + if self.length.counts_command { name.len() } else { 0 };
        let too_long = TooLong { length: data.len() };
        if data.len() > MAX_DATA {
            return Err(too_long);
        }
        let length = self.length.bytes(counted).ok_or(too_long)?;
        let mut inner = self.header.clone();
        let body_at = match self.order {
            Order::LengthFirst => {
                inner.extend(length);
                inner.len()
            }
            Order::CommandFirst => inner.len(),
        };
        inner.extend(name);
        if self.order == Order::CommandFirst {
            inner.extend(self.length.bytes(counted).ok_or(too_long)?);
        }
        inner.extend(parameters);
        inner.extend(data);
        Ok(self.wrap(&inner, body_at))
    }

    fn wrap(&self, inner: &[u8], body_at: usize) -> Vec<u8> {
        let sum = self.sum(inner, body_at);
        let mut frame = vec![self.stx];
        self.expansion.extend(&mut frame, inner);
        if !self.checksum.after_etx {
            self.expansion.extend(&mut frame, &[sum]);
        }
        frame.extend(self.etx);
        if self.checksum.after_etx {
            frame.push(sum);
        }
        frame
    }

    /// The checksum of a frame with these bytes between its marks.
    pub(super) fn sum(&self, inner: &[u8], body_at: usize) -> u8 {
        let kind = self.checksum.kind;
        match self.checksum.cover {
            Cover::Body => kind.over(inner.get(body_at..).unwrap_or_default()),
            Cover::Inside => kind.over(inner),
            Cover::WithMarks => {
                kind.join(kind.join(self.stx, kind.over(inner)), self.etx.unwrap_or_default())
            }
        }
    }

    /// What an answer has where a command has its name.
    fn answer_name(&self) -> usize {
        match self.answer {
            AnswerForm::StatusFirst | AnswerForm::CommandThenStatus => self.command_width,
            AnswerForm::StatusOnly => self.good.len(),
        }
    }

    pub(super) fn answer_header_at(&self) -> usize {
        if self.answer == AnswerForm::StatusFirst { self.good.len() } else { 0 }
    }

    /// Bytes of an answer up to the end of its length field.
    pub(super) fn answer_head(&self) -> usize {
        let name = if self.order == Order::CommandFirst { self.answer_name() } else { 0 };
        self.answer_header_at() + self.header.len() + name + self.length.width
    }

    pub(super) fn answer_body_at(&self) -> usize {
        match self.order {
            Order::LengthFirst => self.answer_head(),
            Order::CommandFirst => self.answer_header_at() + self.header.len(),
        }
    }

    /// Bytes between the length field and the checksum; `None` for a length that no answer has.
    pub(super) fn answer_rest(&self, head: &[u8]) -> Option<usize> {
        let said = self.length.value(head.get(head.len().checked_sub(self.length.width)?..)?);
        let name = self.answer_name();
        let data = if self.length.counts_command { said.checked_sub(name)? } else { said };
        let status = if self.answer == AnswerForm::CommandThenStatus { self.good.len() } else { 0 };
        if data < status || data > MAX_DATA + status {
            return None;
        }
        Some(match self.order {
            Order::LengthFirst => name + data,
            Order::CommandFirst => data,
        })
    }

    /// Command (empty where an answer names none), status and data.
    pub(super) fn answer_parts(&self, inner: &[u8]) -> Option<(Vec<u8>, Vec<u8>, Vec<u8>)> {
        let header_at = self.answer_header_at();
        let name_at = header_at
            + self.header.len()
            + if self.order == Order::LengthFirst { self.length.width } else { 0 };
        let (name, after) = inner.get(name_at..)?.split_at_checked(self.answer_name())?;
        let after = if self.order == Order::CommandFirst { after.get(self.length.width..)? } else { after };
        let (command, status, data) = match self.answer {
            AnswerForm::StatusFirst => (name, inner.get(..header_at)?, after),
            AnswerForm::CommandThenStatus => {
                let (status, data) = after.split_at_checked(self.good.len())?;
                (name, status, data)
            }
            AnswerForm::StatusOnly => (&[][..], name, after),
        };
        Some((command.to_vec(), status.to_vec(), data.to_vec()))
    }
}

impl Commands {
    fn named(&self) -> [(&'static str, &Vec<u8>); 4] {
        [
            ("power on", &self.power_on),
            ("power off", &self.power_off),
            ("status", &self.status),
            ("exchange", &self.exchange),
        ]
    }
}

impl Length {
    fn bytes(self, value: usize) -> Option<Vec<u8>> {
        let value = u16::try_from(value).ok()?;
        match (self.width, self.little_endian) {
            (1, _) => Some(vec![u8::try_from(value).ok()?]),
            (_, true) => Some(value.to_le_bytes().to_vec()),
            (_, false) => Some(value.to_be_bytes().to_vec()),
        }
    }

    fn value(self, bytes: &[u8]) -> usize {
        let add = |sum: usize, byte: &u8| sum << 8 | usize::from(*byte);
        if self.little_endian { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) }
    }
}

impl ChecksumKind {
    fn over(self, bytes: &[u8]) -> u8 {
        bytes.iter().fold(0, |sum, byte| self.join(sum, *byte))
    }

    fn join(self, sum: u8, byte: u8) -> u8 {
        match self {
            Self::Xor => sum ^ byte,
            Self::Sum => sum.wrapping_add(byte),
        }
    }
}

impl Expansion {
    /// Bytes on the line for one byte of a frame.
    pub(super) fn unit(self) -> usize {
        if self == Self::None { 1 } else { 2 }
    }

    fn extend(self, frame: &mut Vec<u8>, bytes: &[u8]) {
        for byte in bytes {
            match self {
                Self::None => frame.push(*byte),
                Self::Nibbles => frame.extend([0x30 + (byte >> 4), 0x30 + (byte & 0x0F)]),
                Self::Hex => frame.extend(format!("{byte:02X}").into_bytes()),
            }
        }
    }

    /// The bytes that these digits stand for; `None` where one is no digit or there are too few.
    pub(super) fn reduce(self, digits: Option<&[u8]>) -> Option<Vec<u8>> {
        let digits = digits?;
        if self == Self::None {
            return Some(digits.to_vec());
        }
        let pair = |pair: &[u8]| match pair {
            [high, low] => Some(self.value(*high)? << 4 | self.value(*low)?),
            _ => None,
        };
        digits.chunks(2).map(pair).collect()
    }

    pub(super) fn may_carry(self, byte: u8) -> bool {
        self == Self::None || self.value(byte).is_some()
    }

    fn value(self, digit: u8) -> Option<u8> {
        match (self, digit) {
            (Self::Nibbles, 0x30..=0x3F) | (Self::Hex, b'0'..=b'9') => Some(digit & 0x0F),
            (Self::Hex, b'A'..=b'F') => Some(digit - b'A' + 10),
            _ => None,
        }
    }
}
