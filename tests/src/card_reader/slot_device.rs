//! Readers with one slot that do not speak CCID-serial: the ACS framing and one vendor's STX framing.
//! Never knows what a card means; faults strike the bytes of whole answers.

use std::time::Duration;

use firmware_bridge::codec::acs::AcsFraming;
use firmware_bridge::codec::framing::Framing;
use firmware_bridge::codec::stx::{
    AnswerForm, Checksum, ChecksumKind, Commands, Cover, Expansion, Length, Order, StxFraming, StxTable,
};

use super::cards::{CardSpec, SimulatedCard};
use super::fault::{Fault, FaultPlan, When, spoken};
use super::peer::{Emission, Peer};

/// What the reader speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// `02`, CCID message, exclusive-or, `03`; a status frame before each answer.
    Acs,
    /// `09 LEN CMD DATA BCC 0D`, status after the start mark of an answer: 50 power on, 51 07 exchange,
    /// 52 power off, 53 status.
    Stx,
}

impl Wire {
    /// What the host must be told to speak with such a reader.
    pub fn framing(self) -> Box<dyn Framing> {
        match self {
            Self::Acs => Box::new(AcsFraming::new()),
            Self::Stx => Box::new(StxFraming::new(stx_table()).expect("this table describes a framing")),
        }
    }
}

/// The table of [`Wire::Stx`].
pub fn stx_table() -> StxTable {
    StxTable {
        stx: 0x09,
        etx: Some(0x0D),
        header: Vec::new(),
        order: Order::LengthFirst,
        length: Length { width: 1, little_endian: false, counts_command: true },
        checksum: Checksum { kind: ChecksumKind::Xor, cover: Cover::Body, after_etx: false },
        expansion: Expansion::None,
        answer: AnswerForm::StatusFirst,
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

/// The reader.
pub struct SlotDevice {
    wire: Wire,
    card: Option<SimulatedCard>,
    powered: bool,
    inbox: Vec<u8>,
    last_answer: Vec<u8>,
    output: Vec<Emission>,
    faults: FaultPlan,
    obeyed: u32,
    hung_up: bool,
}

/// What a command wants, whatever it is framed in.
enum Wish {
    PowerOn,
    PowerOff,
    Status,
    Exchange(Vec<u8>),
    SetParameters(Vec<u8>),
    Unknown,
}

/// How a command ended.
enum Outcome {
    Done(Vec<u8>),
    NoCard,
    Failed,
}

impl SlotDevice {
    pub fn new(wire: Wire) -> Self {
        Self {
            wire,
            card: None,
            powered: false,
            inbox: Vec::new(),
            last_answer: Vec::new(),
            output: Vec::new(),
            faults: FaultPlan::default(),
            obeyed: 0,
            hung_up: false,
        }
    }

    /// Puts a card in, in place of one that is there. These readers tell nobody.
    pub fn insert(&mut self, spec: CardSpec) {
        self.card = Some(SimulatedCard::new(spec));
        self.powered = false;
    }

    pub fn inject(&mut self, when: When, fault: Fault) {
        self.faults.inject(when, fault);
    }

    /// How many faults have struck.
    pub fn struck(&self) -> u32 {
        self.faults.struck()
    }

    /// Commands obeyed, for tests that something was never executed.
    pub fn obeyed(&self) -> u32 {
        self.obeyed
    }

    fn obey(&mut self, wish: Wish, frame: impl Fn(&Outcome, u8) -> Vec<u8>) {
        self.obeyed += 1;
        let tpdu = if let Wish::Exchange(tpdu) = &wish { tpdu.as_slice() } else { &[] };
        let tag = if let [_, 0xB2, tag, ..] = tpdu { Some(*tag) } else { None };
        let power_on = matches!(wish, Wish::PowerOn);
        let fault = self.faults.take(power_on, matches!(wish, Wish::Exchange(_)), tag);
        self.strike(fault.as_ref());
        let outcome = self.grant(wish, fault.as_ref());
        let icc = match (&self.card, self.powered) {
            (None, _) => 2,
            (Some(_), false) => 1,
            (Some(_), true) => 0,
        };
        let answer = frame(&outcome, icc);
        self.last_answer.clone_from(&answer);
        let wire = self.wire;
        self.output.extend(spoken(answer, fault.as_ref(), |frame| reseal(wire, frame)));
    }

    /// What the fault does to the card and the line.
    fn strike(&mut self, fault: Option<&Fault>) {
        match fault {
            Some(Fault::HangUp) => self.hung_up = true,
            Some(Fault::Remove) => {
                self.card = None;
                self.powered = false;
            }
            Some(Fault::Swap { card, noticed: true }) => self.insert((**card).clone()),
            Some(Fault::Swap { card, noticed: false }) => {
                if let Some(inside) = &mut self.card {
                    inside.become_card((**card).clone());
                }
            }
            _ => {}
        }
    }

    fn grant(&mut self, wish: Wish, fault: Option<&Fault>) -> Outcome {
        let Some(card) = &mut self.card else { return Outcome::NoCard };
        match wish {
            Wish::PowerOn => match (card.reset(), fault) {
                (Some(_), Some(Fault::Atr(bytes))) => Outcome::Done(bytes.clone()),
                (Some(atr), _) => {
                    self.powered = true;
                    Outcome::Done(atr)
                }
                (None, _) => Outcome::Failed,
            },
            Wish::PowerOff => {
                self.powered = false;
                Outcome::Done(Vec::new())
            }
            Wish::Status => Outcome::Done(Vec::new()),
            Wish::Exchange(tpdu) if self.powered => Outcome::Done(card.exchange(&tpdu)),
            Wish::SetParameters(values) => Outcome::Done(values),
            Wish::Exchange(_) | Wish::Unknown => Outcome::Failed,
        }
    }

    /// One command of the ACS framing off the inbox; false when more bytes are needed.
    fn step_acs(&mut self) -> bool {
        let [0x02, kind, l0, l1, l2, l3, ..] = self.inbox[..] else {
            return self.skip_unless(0x02, 6);
        };
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if length > 261 {
            self.inbox.remove(0);
            return true;
        }
        if self.inbox.len() < 13 + length {
            return false;
        }
        let frame: Vec<u8> = self.inbox.drain(..13 + length).collect();
        let at_once = |bytes: Vec<u8>| Emission { after: Duration::ZERO, bytes };
        if frame[12 + length] != 0x03 {
            self.output.push(at_once(vec![0x02, 0xFD, 0xFD, 0x03]));
        } else if kind == 0 {
            self.output.push(at_once(self.last_answer.clone()));
        } else if xor(&frame[1..12 + length]) != 0 {
            self.output.push(at_once(vec![0x02, 0xFF, 0xFF, 0x03]));
        } else {
            let data = frame[11..11 + length].to_vec();
            let (wish, kind) = match kind {
                0x62 => (Wish::PowerOn, 0x80),
                0x63 => (Wish::PowerOff, 0x81),
                0x65 => (Wish::Status, 0x81),
                0x6F => (Wish::Exchange(data), 0x80),
                0x61 => (Wish::SetParameters(data), 0x82),
                _ => (Wish::Unknown, 0x81),
            };
            self.obey(wish, |outcome, icc| acs_answer(kind, frame[7], outcome, icc));
        }
        true
    }

    /// One command of the STX framing off the inbox; false when more bytes are needed.
    fn step_stx(&mut self) -> bool {
        let [0x09, length, ..] = self.inbox[..] else { return self.skip_unless(0x09, 2) };
        let length = usize::from(length);
        if self.inbox.len() < length + 4 {
            return false;
        }
        if length == 0 || self.inbox[length + 3] != 0x0D || xor(&self.inbox[2..length + 3]) != 0 {
            self.inbox.remove(0);
            return true;
        }
        let frame: Vec<u8> = self.inbox.drain(..length + 4).collect();
        let body = &frame[2..length + 2];
        let wish = match body {
            [0x50] => Wish::PowerOn,
            [0x52] => Wish::PowerOff,
            [0x53] => Wish::Status,
            [0x51, 0x07, tpdu @ ..] => Wish::Exchange(tpdu.to_vec()),
            _ => Wish::Unknown,
        };
        self.obey(wish, |outcome, _| stx_answer(body[0], outcome));
        true
    }

    /// Drops a byte that begins no command; false when there are too few bytes to tell.
    fn skip_unless(&mut self, mark: u8, head: usize) -> bool {
        if self.inbox.is_empty() || (self.inbox[0] == mark && self.inbox.len() < head) {
            return false;
        }
        self.inbox.remove(0);
        true
    }
}

impl Peer for SlotDevice {
    fn receive(&mut self, bytes: &[u8]) {
        self.inbox.extend(bytes);
        while !self.hung_up {
            let more = match self.wire {
                Wire::Acs => self.step_acs(),
                Wire::Stx => self.step_stx(),
            };
            if !more {
                return;
            }
        }
    }

    fn take_output(&mut self) -> Vec<Emission> {
        std::mem::take(&mut self.output)
    }

    fn hang_up(&mut self) {
        self.hung_up = true;
    }

    fn has_hung_up(&self) -> bool {
        self.hung_up
    }
}

fn acs_answer(kind: u8, sequence: u8, outcome: &Outcome, icc: u8) -> Vec<u8> {
    let (status, error, data): (u8, u8, &[u8]) = match outcome {
        Outcome::Done(data) => (icc, 0, data),
        // Power off and status tell of an empty slot without failing.
        Outcome::NoCard if kind == 0x81 => (2, 0, &[]),
        Outcome::NoCard => (0x42, 0xFE, &[]),
        Outcome::Failed => (0x40 | icc, 0xFE, &[]),
    };
    let mut frame = vec![0x02, 0x00, 0x00, 0x03, 0x02, kind];
    frame.extend((data.len() as u32).to_le_bytes());
    frame.extend([0, sequence, status, error, 0]);
    frame.extend(data);
    frame.extend([0, 0x03]);
    reseal(Wire::Acs, &mut frame);
    frame
}

fn stx_answer(command: u8, outcome: &Outcome) -> Vec<u8> {
    let (status, data): (u8, &[u8]) = match outcome {
        Outcome::Done(data) => (0x00, data),
        Outcome::NoCard => (0x02, &[]),
        Outcome::Failed => (0xFE, &[]),
    };
    let mut frame = vec![0x09, status, data.len() as u8 + 1, command];
    frame.extend(data);
    frame.extend([0, 0x0D]);
    reseal(Wire::Stx, &mut frame);
    frame
}

/// The checksum stands before the end mark.
fn reseal(wire: Wire, frame: &mut [u8]) {
    let from = match wire {
        Wire::Acs => 5,
        Wire::Stx => 3,
    };
    let last = frame.len() - 2;
    frame[last] = xor(&frame[from..last]);
}

fn xor(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}
