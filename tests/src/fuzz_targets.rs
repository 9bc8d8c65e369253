//! Every parser of bytes from a line, from the upstream or from the local API, as a plain function of bytes: for the fuzzer and for the replay of its corpus.
//! Never judges data, except where only one answer can be right; a panic or an endless loop is the failure.

#[path = "fuzz_targets/evidence.rs"]
pub mod evidence;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use firmware_bridge::atr::Atr;
use firmware_bridge::codec::acs::AcsFraming;
use firmware_bridge::codec::ccid_serial::{self, Request};
use firmware_bridge::codec::framing::Framing;
use firmware_bridge::codec::line_scan::{Ending, LineScanner};
use firmware_bridge::codec::sdt;
use firmware_bridge::codec::stx::{
    AnswerForm, Checksum, ChecksumKind, Commands, Cover, Expansion, Length, Order, StxFraming, StxTable,
};
use firmware_bridge::resident_id::ResidentId;
use firmware_bridge::result_string::CardResult;
use firmware_bridge::{CardPort, PortError, Reader, tlv};

/// A target and its name, which is the name of its corpus folder too.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 15] = [
    ("ccid_serial", ccid_serial),
    ("sdt", sdt),
    ("line_scan", line_scan),
    ("acs", acs),
    ("stx", stx),
    ("atr", atr),
    ("tlv", tlv),
    ("card_records", card_records),
    ("resident_id", resident_id),
    ("result_string", result_string),
    ("token", evidence::token),
    ("note", evidence::note),
    ("answer", evidence::answer),
    ("envelope", evidence::envelope),
    ("api_request", evidence::api_request),
];

/// The first byte is the sequence number of the request, the second cuts the stream.
pub fn ccid_serial(data: &[u8]) {
    framed(&mut ccid_serial::Receiver::new(0), data);
}

pub fn acs(data: &[u8]) {
    framed(&mut AcsFraming::new(), data);
}

/// The first byte chooses the table.
pub fn stx(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let mut framing = StxFraming::new(table(*choice)).expect("every choice is a table");
    framed(&mut framing, data);
}

pub fn sdt(data: &[u8]) {
    use sdt::Command::{Find, Read, ReadAddress, ReadWithFinger, Reset, SamId, Select, Status};
    let Some((choice, data)) = data.split_first() else { return };
    let commands = [Status, SamId, Reset, Find, Select, Read, ReadWithFinger, ReadAddress];
    let mut receiver = sdt::Receiver::new();
    receiver.await_answer(commands[usize::from(*choice) % commands.len()]);
    receiver.push(data);
    let mut answers = 0;
    while let Some(received) = receiver.poll() {
        if let sdt::Received::Answer(answer) = received {
            let _ = answer.text_and_photo().map(|(text, photo)| ResidentId::parse(text, photo));
            answers += 1;
        }
    }
    assert!(answers <= 1, "one command has one answer");
}

/// Pairs of a pause (16 ms a step) and a byte; the first byte chooses how lines end.
pub fn line_scan(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let ending = [Ending::LineEnd, Ending::Pause, Ending::Either][usize::from(*choice) % 3];
    let mut scanner = LineScanner::new(ending);
    let mut now = Instant::now();
    let mut polls = 0;
    let mut look = |scanner: &mut LineScanner, now: Instant| {
        while let Some(scanned) = scanner.poll(now) {
            if let Ok(token) = scanned {
                let text = token.expose(now).unwrap_or_default();
                assert!(text.len() <= 512 && text.bytes().all(|byte| matches!(byte, 0x20..=0x7E)));
            }
        }
        polls += 1;
        assert!(polls <= 4 * data.len() + 8, "every look has a reason");
    };
    for pair in data.chunks_exact(2) {
        let next = now + Duration::from_millis(u64::from(pair[0]) * 16);
        while let Some(due) = scanner.due().filter(|due| *due < next) {
            now = due;
            look(&mut scanner, now);
        }
        now = next;
        scanner.push(&pair[1..], now);
        look(&mut scanner, now);
    }
}

pub fn atr(data: &[u8]) {
    if let Ok(atr) = Atr::parse(data) {
        assert!(atr.historical().len() <= 15);
        let _ = atr.t0_parameters();
    }
}

pub fn tlv(data: &[u8]) {
    let Some((tag, record)) = data.split_first() else { return };
    if let Ok(value) = tlv::value(record, *tag) {
        assert_eq!(record, [&[*tag, value.len() as u8], value].concat());
    }
}

/// A card that answers with these bytes: each answer is a length byte and as many bytes.
pub fn card_records(data: &[u8]) {
    let port =
        ScriptedCard { script: data.to_vec(), ready: Vec::new(), now: Instant::now(), sent: Arc::default() };
    let sent = Arc::clone(&port.sent);
    if let Ok(mut reader) = Reader::open(Box::new(port)) {
        let _ = reader.read_card();
    }
    let instructions = sent.lock().expect("nobody else has it");
    assert!(instructions.iter().all(|instruction| [0xA4, 0xB2, 0xC0].contains(instruction)));
}

/// 256 bytes of text, the rest is the photo.
pub fn resident_id(data: &[u8]) {
    let (text, photo) = data.split_at(data.len().min(256));
    if let Ok(id) = ResidentId::parse(text, photo) {
        assert_eq!((id.text(), id.photo()), (text, photo));
    }
}

pub fn result_string(data: &[u8]) {
    let Ok(line) = std::str::from_utf8(data) else { return };
    if let Ok(result) = CardResult::parse(line) {
        let written = result.line().expect("what was read can be written");
        assert_eq!(CardResult::parse(&written), Ok(result));
    }
}

fn framed(framing: &mut dyn Framing, data: &[u8]) {
    let [sequence, cut, stream @ ..] = data else { return };
    let _ = framing.begin(&Request::Transfer(&[0x00, 0xB2, 0x08, 0x00, 0x14]), *sequence);
    let (first, second) = stream.split_at(usize::from(*cut).min(stream.len()));
    let mut answers = 0;
    for part in [first, second] {
        framing.push(part);
        let mut polls = 0;
        while let Some(received) = framing.poll() {
            answers += u32::from(matches!(received, ccid_serial::Received::Answer(_)));
            polls += 1;
            assert!(polls <= stream.len(), "every step takes a byte");
        }
    }
    assert!(answers <= 1, "one request has one answer");
}

fn table(choice: u8) -> StxTable {
    let bit = |place: u8| choice >> place & 1 == 1;
    StxTable {
        stx: 0x02,
        etx: Some(0x03),
        header: if bit(0) { vec![0x01] } else { Vec::new() },
        order: if bit(1) { Order::CommandFirst } else { Order::LengthFirst },
        length: Length { width: if bit(2) { 2 } else { 1 }, little_endian: bit(3), counts_command: bit(4) },
        checksum: Checksum {
            kind: if bit(5) { ChecksumKind::Sum } else { ChecksumKind::Xor },
            cover: [Cover::Body, Cover::Inside, Cover::WithMarks][usize::from(choice) % 3],
            after_etx: bit(3),
        },
        expansion: [Expansion::None, Expansion::Nibbles, Expansion::Hex][usize::from(choice >> 2) % 3],
        answer: [AnswerForm::StatusFirst, AnswerForm::CommandThenStatus, AnswerForm::StatusOnly]
            [usize::from(choice >> 4) % 3],
        command_width: 1,
        good: vec![0x00],
        absent: vec![0x02],
        commands: Commands {
            power_on: vec![0x50],
            power_off: vec![0x52],
            status: vec![0x53],
            exchange: vec![0x51, 0x07],
        },
        sam: None,
    }
}

/// A reader in perfect order around a card that says what the script says.
struct ScriptedCard {
    script: Vec<u8>,
    ready: Vec<u8>,
    now: Instant,
    /// Instructions that reached the card.
    sent: Arc<Mutex<Vec<u8>>>,
}

impl ScriptedCard {
    fn remember(&self, instruction: Option<&u8>) {
        self.sent.lock().expect("nobody else has it").extend(instruction);
    }
}

impl CardPort for ScriptedCard {
    fn now(&self) -> Instant {
        self.now
    }

    fn send(&mut self, bytes: &[u8], _deadline: Instant) -> Result<(), PortError> {
        let [0x03, 0x06, kind, _, _, _, _, _, sequence, _, _, _, data @ ..] = bytes else { return Ok(()) };
        let (kind, answer) = match kind {
            0x62 => (0x80, b"\x3B\x6D\x00\x00\x00\x81\x54\x4C\x96\x86\x84\x37\x16\x00\x8F\x3D\x97".to_vec()),
            0x6F => {
                self.remember(data.get(1));
                let length = self.script.first().map_or(0, |length| usize::from(*length) + 1);
                let said: Vec<u8> = self.script.drain(..length.min(self.script.len())).skip(1).collect();
                (0x80, said)
            }
            0x61 => (0x82, Vec::new()),
            0x6B => (0x83, Vec::new()),
            _ => (0x81, Vec::new()),
        };
        let mut frame = vec![0x03, 0x06, kind];
        frame.extend((answer.len() as u32).to_le_bytes());
        frame.extend([0, *sequence, 0, 0, 0]);
        frame.extend(answer);
        frame.push(frame.iter().fold(0, |sum, byte| sum ^ byte));
        self.ready.extend(frame);
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<usize, PortError> {
        let length = self.ready.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.ready[..length]);
        self.ready.drain(..length);
        if length == 0 {
            self.now = self.now.max(deadline);
        }
        Ok(length)
    }
}
