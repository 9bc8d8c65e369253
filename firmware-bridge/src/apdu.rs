//! Commands and responses of ISO 7816-4 and their exchange under T=0.
//! Never builds VERIFY, builds EXTERNAL AUTHENTICATE for `authenticator` alone and sends it once, and never prints
//! more of a command than its instruction and length, or of a response than its length and status word.

mod judged;

pub use judged::RefusedCommand;
pub(crate) use judged::forbidden;

use std::fmt;

use crate::card_slot::CardSlot;
use crate::slot::SlotError;

/// A command. One that anybody outside this crate can make only selects or reads.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandApdu {
    header: [u8; 4],
    body: Body,
}

#[derive(Clone, PartialEq, Eq)]
enum Body {
    Data(Vec<u8>),
    /// Data that go there and an answer that comes back, of a length not known.
    Exchange(Vec<u8>),
    /// Length wanted; 0 means 256 or "whatever there is".
    Expected(u8),
}

impl CommandApdu {
    pub fn select_application(aid: &[u8]) -> Self {
        Self { header: [0x00, SELECT, 0x04, 0x00], body: Body::Data(aid.to_vec()) }
    }

    /// `p1` is 02 (file under the current application) or 00 (by identifier); both are in use.
    pub fn select_file(p1: u8, file: u16) -> Self {
        Self { header: [0x00, SELECT, p1, 0x00], body: Body::Data(file.to_be_bytes().to_vec()) }
    }

    /// Reads the record whose tag is `tag`; `expected` counts tag, length and value.
    pub fn read_record(tag: u8, expected: u8) -> Self {
        Self { header: [0x00, READ_RECORD, tag, 0x00], body: Body::Expected(expected) }
    }

    pub fn challenge(length: u8) -> Self {
        Self { header: [0x00, GET_CHALLENGE, 0x00, 0x00], body: Body::Expected(length) }
    }

    pub(crate) fn internal_authenticate(factor: [u8; 8], source: [u8; 8]) -> Self {
        let data = [factor, source].concat();
        Self { header: [0x00, INTERNAL_AUTHENTICATE, 0x00, 0x00], body: Body::Exchange(data) }
    }

    /// `0A` is the key that opens the holder file. Only ever given to [`exchange_once`].
    pub(crate) fn external_authenticate(answer: &[u8; 16]) -> Self {
        let header = [0x00, EXTERNAL_AUTHENTICATE, 0x00, HOLDER_KEY];
        Self { header, body: Body::Data(answer.to_vec()) }
    }

    /// Header, P3 and data; `None` when P3 and the data do not fit one another.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<4>()?;
        let body = match rest {
            [] => Body::Expected(0),
            [expected] => Body::Expected(*expected),
            [length, data @ ..] if usize::from(*length) == data.len() => Body::Exchange(data.to_vec()),
            [..] => return None,
        };
        Some(Self { header: *header, body })
    }

    pub fn instruction(&self) -> u8 {
        let [_, instruction, _, _] = self.header;
        instruction
    }

    fn response(expected: u8) -> Self {
        Self { header: [0x00, GET_RESPONSE, 0x00, 0x00], body: Body::Expected(expected) }
    }

    fn expecting(&self, expected: u8) -> Self {
        Self { header: self.header, body: Body::Expected(expected) }
    }

    /// T=0 form: header, P3, data.
    fn tpdu(&self) -> Vec<u8> {
        let mut bytes = self.header.to_vec();
        match &self.body {
            Body::Data(data) | Body::Exchange(data) => {
                bytes.push(u8::try_from(data.len()).expect("command data fit their one length byte"));
                bytes.extend(data);
            }
            Body::Expected(length) => bytes.push(*length),
        }
        bytes
    }

    fn longest_answer(&self) -> usize {
        match self.body {
            Body::Data(_) => 0,
            Body::Expected(0) | Body::Exchange(_) => 256,
            Body::Expected(length) => usize::from(length),
        }
    }
}

/// SW1-SW2.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StatusWord(pub u16);

impl StatusWord {
    pub const OK: Self = Self(0x9000);
    pub const SECURITY_NOT_SATISFIED: Self = Self(0x6982);
    pub const FILE_NOT_FOUND: Self = Self(0x6A82);
    pub const RECORD_NOT_FOUND: Self = Self(0x6A83);
    pub const KEY_NOT_FOUND: Self = Self(0x6A88);
    pub const NOT_SUPPORTED: Self = Self(0x6A81);
    pub const WRONG_PARAMETERS: Self = Self(0x6A86);
    pub const WRONG_OFFSET: Self = Self(0x6B00);

    /// How many wrong tries the card will still bear, where it said so.
    pub fn tries_left(self) -> Option<u8> {
        match self.0 {
            0x63C0..=0x63CF => Some((self.0 & 0x0F) as u8),
            0x6983 => Some(0),
            _ => None,
        }
    }

    fn meaning(self) -> &'static str {
        match self.0 {
            0x9000 => "done",
            0x6281 => "data may be damaged",
            0x6283 => "file is blocked",
            0x6700 => "wrong length",
            0x6981 => "wrong file structure",
            0x6982 => "security status not satisfied",
            0x6983 => "PIN or key is blocked",
            0x6984 | 0x6985 => "conditions of use not satisfied",
            0x6986 => "no file selected",
            0x6A81 => "card or application is locked",
            0x6A82 => "no such file",
            0x6A83 => "no such record",
            0x6A86 => "wrong parameters",
            0x6A88 => "no such key",
            0x6B00 => "wrong offset",
            0x6D00 => "unknown instruction",
            0x6E00 => "unknown class",
            0x9303 => "application is locked for ever",
            0x63C0..=0x63CF => "wrong PIN or answer",
            _ => "not in the list",
        }
    }
}

impl fmt::Display for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X} ({})", self.0, self.meaning())
    }
}

impl fmt::Debug for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X}", self.0)
    }
}

#[derive(Clone, PartialEq, Eq)]
pub struct ResponseApdu {
    pub data: Vec<u8>,
    pub status: StatusWord,
}

#[derive(Debug, thiserror::Error)]
pub enum ApduError {
    #[error("exchange failed")]
    Slot(#[from] SlotError),
    #[error("card answered instruction {instruction:02X} with {found} bytes, fewer than a status word")]
    Short { instruction: u8, found: usize },
    #[error("card answered instruction {instruction:02X} with {found} bytes, {allowed} were allowed")]
    Long { instruction: u8, found: usize, allowed: usize },
    #[error("card announced more data for instruction {instruction:02X} {times} times")]
    Unending { instruction: u8, times: u8 },
}

/// Exchanges one command under T=0: fetches announced data (61xx), repeats once with the right length (6Cxx).
pub fn exchange(slot: &mut dyn CardSlot, command: &CommandApdu) -> Result<ResponseApdu, ApduError> {
    let mut current = command.clone();
    let mut data = Vec::new();
    let mut corrected = false;
    for _ in 0..MOST_PARTS {
        let response = split(&current, slot.transfer(&current.tpdu())?)?;
        let [sw1, sw2] = response.status.0.to_be_bytes();
        match sw1 {
            0x6C if !corrected && response.data.is_empty() => {
                corrected = true;
                current = current.expecting(sw2);
            }
            0x61 => {
                data.extend(response.data);
                current = CommandApdu::response(sw2);
            }
            _ => {
                data.extend(response.data);
                return Ok(ResponseApdu { data, status: response.status });
            }
        }
    }
    Err(ApduError::Unending { instruction: command.instruction(), times: MOST_PARTS })
}

/// Exchanges one command that must not reach the card twice: nothing is repeated or corrected.
pub(crate) fn exchange_once(
    slot: &mut dyn CardSlot,
    command: &CommandApdu,
) -> Result<ResponseApdu, ApduError> {
    split(command, slot.transfer_once(&command.tpdu())?)
}

fn split(command: &CommandApdu, mut bytes: Vec<u8>) -> Result<ResponseApdu, ApduError> {
    let instruction = command.instruction();
    let found = bytes.len();
    let short = ApduError::Short { instruction, found };
    let status = match bytes.as_slice() {
        [.., sw1, sw2] => StatusWord(u16::from_be_bytes([*sw1, *sw2])),
        [] | [_] => return Err(short),
    };
    bytes.truncate(found - 2);
    let allowed = command.longest_answer();
    if bytes.len() > allowed {
        return Err(ApduError::Long { instruction, found: bytes.len(), allowed });
    }
    Ok(ResponseApdu { data: bytes, status })
}

const SELECT: u8 = 0xA4;
const READ_RECORD: u8 = 0xB2;
const GET_RESPONSE: u8 = 0xC0;
const GET_CHALLENGE: u8 = 0x84;
const INTERNAL_AUTHENTICATE: u8 = 0x88;
const EXTERNAL_AUTHENTICATE: u8 = 0x82;
const HOLDER_KEY: u8 = 0x0A;
/// A short response has at most 256 bytes; a card that announces more parts than this plays for time.
const MOST_PARTS: u8 = 8;

impl fmt::Debug for CommandApdu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandApdu(instruction {:02X}, {} bytes)", self.instruction(), self.tpdu().len())
    }
}

impl fmt::Debug for ResponseApdu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseApdu({} bytes, {:?})", self.data.len(), self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_their_t0_form() {
        let check = |command: CommandApdu, want: &[u8]| assert_eq!(command.tpdu(), want, "{command:?}");
        check(CommandApdu::select_application(b"\x73\x78"), &[0, 0xA4, 4, 0, 2, 0x73, 0x78]);
        check(CommandApdu::select_file(2, 0xEF05), &[0, 0xA4, 2, 0, 2, 0xEF, 0x05]);
        check(CommandApdu::read_record(8, 0x14), &[0, 0xB2, 8, 0, 0x14]);
        check(CommandApdu::read_record(8, 0).expecting(9), &[0, 0xB2, 8, 0, 9]);
        check(CommandApdu::response(0x13), &[0, 0xC0, 0, 0, 0x13]);
    }

    #[test]
    fn answers_are_split_or_refused() {
        let read = CommandApdu::read_record(3, 6);
        let ok = split(&read, vec![3, 4, 1, 2, 3, 4, 0x90, 0]).unwrap();
        assert_eq!((ok.data.len(), ok.status), (6, StatusWord::OK));
        assert!(matches!(split(&read, vec![0x90]), Err(ApduError::Short { found: 1, .. })));
        assert!(matches!(split(&read, vec![0; 9]), Err(ApduError::Long { found: 7, allowed: 6, .. })));
        let select = CommandApdu::select_file(2, 0xEF05);
        assert!(matches!(split(&select, vec![0; 3]), Err(ApduError::Long { found: 1, allowed: 0, .. })));
    }

    #[test]
    fn nothing_of_a_card_is_printed() {
        let response = ResponseApdu { data: b"11010518490307007X".to_vec(), status: StatusWord::OK };
        let text = format!("{response:?} {:?} {}", CommandApdu::read_record(8, 20), StatusWord(0x6982));
        assert_eq!(
            text,
            "ResponseApdu(18 bytes, 9000) CommandApdu(instruction B2, 5 bytes) 6982 (security status not satisfied)"
        );
    }
}
