//! CCID messages in the serial framing of ACS readers: `02`, one message, exclusive-or over it, `03`; before each
//! answer a frame of four bytes says how the command arrived.
//! Never touches a device or a clock, never accepts a frame that is not the answer to what was asked, and never
//! prints what a frame carries.
//!
//! Values: reference manuals of ACR122S, ACR1281S and ACR122L (9600 baud, 8N1).

use std::fmt;

use super::ccid_serial::{
    Answer, Counters, DATA_BLOCK, ESCAPE, MAX_DATA, PARAMETERS, Received, Request, SLOT_STATUS, TooLong,
    checksum, message,
};
use super::framing::{Framing, Pending, Step};

/// Cuts a byte stream into frames and keeps only what belongs to the request in hand.
#[derive(Default)]
pub struct AcsFraming {
    pending: Pending,
    expected: Expected,
}

/// The request in hand, if any, and the slot it is for.
#[derive(Default)]
struct Expected {
    slot: u8,
    awaited: Option<Awaited>,
}

struct Awaited {
    sequence: u8,
    answers: &'static [u8],
}

impl AcsFraming {
    pub fn new() -> Self {
        Self::default()
    }
}

impl Expected {
    fn judge(&mut self, bytes: &[u8]) -> Step {
        match bytes {
            [] | [STX] => Step::Wait,
            [STX, DATA_BLOCK | SLOT_STATUS | PARAMETERS | ESCAPE, rest @ ..] => self.judge_frame(bytes, rest),
            [STX, 0x00 | 0xFC..=0xFF] => Step::Wait,
            [STX, first @ (0x00 | 0xFC..=0xFF), second] if first == second => Step::Wait,
            [STX, 0x00, 0x00, ETX, ..] => Step::Passed(STATUS_FRAME),
            [STX, first @ 0xFC..=0xFF, second, ETX, ..] if first == second => {
                Step::Told(STATUS_FRAME, Received::Nak)
            }
            _ => Step::Drop,
        }
    }

    /// `rest` begins after the message type: length, slot, sequence, status, error, chaining, data, checksum.
    fn judge_frame(&mut self, bytes: &[u8], rest: &[u8]) -> Step {
        let [l0, l1, l2, l3, slot, _, _, _, _, tail @ ..] = rest else { return Step::Wait };
        let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
        if length > MAX_DATA || *slot != self.slot {
            return Step::Drop;
        }
        if tail.len() < length + 2 {
            return Step::Wait;
        }
        let frame = bytes.get(..OVERHEAD + length).unwrap_or_default();
        match frame {
            [_, summed @ .., ETX] if checksum(summed) == 0 => self.accept(frame),
            [.., ETX] => Step::Damaged,
            _ => Step::Drop,
        }
    }

    /// A frame with a good checksum: is it the answer?
    fn accept(&mut self, frame: &[u8]) -> Step {
        let total = frame.len();
        let [_, kind, _, _, _, _, _, sequence, status, error, _, data @ .., _, _] = frame else {
            return Step::Drop;
        };
        let ours = self.awaited.as_ref().is_some_and(|a| a.sequence == *sequence && a.answers.contains(kind));
        if !ours {
            return Step::Stray(total);
        }
        if status & 0xC0 == 0x80 {
            return Step::Told(total, Received::MoreTime);
        }
        let answer = Answer { status: *status, error: *error, data: data.to_vec() };
        self.awaited = None;
        Step::Told(total, Received::Answer(answer))
    }
}

impl Framing for AcsFraming {
    fn begin(&mut self, request: &Request<'_>, sequence: u8) -> Result<Vec<u8>, TooLong> {
        let message = message(request, self.expected.slot, sequence)?;
        self.reset();
        self.expected.awaited = Some(Awaited { sequence, answers: request.answers() });
        Ok([&[STX], message.as_slice(), &[checksum(&message), ETX]].concat())
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

    fn ask_again(&self) -> Option<&'static [u8]> {
        Some(&NAK)
    }

    /// The escapes in use are those of another maker.
    fn has(&self, request: &Request<'_>) -> bool {
        !matches!(request, Request::Escape(_))
    }

    fn address(&mut self, slot: u8) -> bool {
        self.expected.slot = slot;
        true
    }
}

const STX: u8 = 0x02;
const ETX: u8 = 0x03;
/// Eleven zeros between the marks.
const NAK: [u8; 13] = [STX, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ETX];
const STATUS_FRAME: usize = 4;
/// Marks, ten bytes of message head, checksum.
const OVERHEAD: usize = 13;

impl fmt::Debug for AcsFraming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AcsFraming({} bytes pending, {:?})", self.pending.len(), self.counters())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ccid_serial::Voltage;
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    const READ_08: [u8; 5] = [0x00, 0xB2, 0x08, 0x00, 0x14];

    /// Tag 08 of the synthetic card, in answer to sequence 9.
    fn answer_08() -> Vec<u8> {
        let mut frame = hex("02 80 16 00 00 00 00 09 00 00 00 08 12");
        frame.extend(b"11010518490307007X\x90\x00");
        frame.push(checksum(&frame[1..]));
        frame.push(ETX);
        frame
    }

    fn reading(sequence: u8) -> AcsFraming {
        let mut framing = AcsFraming::new();
        framing.begin(&Request::Transfer(&READ_08), sequence).unwrap();
        framing
    }

    fn all(framing: &mut AcsFraming, bytes: &[u8]) -> Vec<Received> {
        framing.push(bytes);
        std::iter::from_fn(|| framing.poll()).collect()
    }

    #[test]
    fn requests_are_those_of_the_specification() {
        let check = |request: Request<'_>, sequence: u8, want: &str| {
            assert_eq!(AcsFraming::new().begin(&request, sequence).unwrap(), hex(want), "{request:?}");
        };
        check(Request::PowerOn(Voltage::Five), 1, "02 62 00 00 00 00 00 01 01 00 00 62 03");
        check(Request::PowerOff, 2, "02 63 00 00 00 00 00 02 00 00 00 61 03");
        check(
            Request::Transfer(&hex("00 A4 00 00 02 EF 05")),
            2,
            "02 6F 07 00 00 00 00 02 00 00 00 00 A4 00 00 02 EF 05 26 03",
        );
        let data = [0; MAX_DATA + 1];
        assert!(AcsFraming::new().begin(&Request::Transfer(&data), 0).is_err());
    }

    #[test]
    fn the_status_frame_comes_before_the_answer() {
        let received = all(&mut reading(9), &[&hex("02 00 00 03")[..], &answer_08()].concat());
        assert!(matches!(received.as_slice(), [Received::Answer(a)] if a.data.len() == 22), "{received:?}");
        for refused in ["02 FF FF 03", "02 FE FE 03", "02 FD FD 03", "02 FC FC 03"] {
            assert_eq!(all(&mut reading(9), &hex(refused)), [Received::Nak], "{refused}");
        }
    }

    #[test]
    fn only_the_answer_to_the_request_is_taken() {
        let mut framing = reading(10);
        assert_eq!(all(&mut framing, &answer_08()), []);
        assert_eq!(framing.counters().stray_frames, 1);
        let mut framing = reading(9);
        assert_eq!(all(&mut framing, &answer_08().repeat(2)).len(), 1);
        assert_eq!(framing.counters().stray_frames, 1);
        let mut damaged = answer_08();
        damaged[20] ^= 1;
        assert_eq!(all(&mut reading(9), &damaged), [Received::BadChecksum]);
        let more_time = hex("02 80 00 00 00 00 00 09 80 05 00 0C 03");
        assert_eq!(all(&mut reading(9), &more_time), [Received::MoreTime]);
    }

    #[test]
    fn an_answer_may_come_in_pieces_but_not_in_part() {
        let stream = [&hex("02 00 00 03")[..], &answer_08()].concat();
        for cut in 0..stream.len() {
            let mut framing = reading(9);
            assert_eq!(all(&mut framing, &stream[..cut]), [], "{cut}");
            assert_eq!(all(&mut framing, &stream[cut..]).len(), 1, "{cut}");
            assert_eq!(framing.counters().dropped_bytes, 0, "{cut}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn one_changed_byte_is_never_taken_for_data(at in 0_usize..35, mask in 1_u8.., prefix in any::<Vec<u8>>()) {
            let mut frame = answer_08();
            frame[at] ^= mask;
            for received in all(&mut reading(9), &[prefix, frame].concat()) {
                if let Received::Answer(answer) = received {
                    prop_assert_ne!(answer.data.len(), 22);
                }
            }
        }

        #[test]
        fn noise_before_an_answer_never_changes_it(prefix in proptest::collection::vec(any::<u8>(), 0..64)) {
            for received in all(&mut reading(9), &[prefix, answer_08()].concat()) {
                if let Received::Answer(answer) = received {
                    prop_assert_eq!(&answer.data[..], &answer_08()[11..33]);
                }
            }
        }
    }
}
