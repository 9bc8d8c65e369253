//! A resident ID card reader: SDT frames in, SDT frames out, with faults on order.
//! Never holds data of a real person, and never a photo: the block is filled with a pattern.

use std::time::Duration;

use super::fault::{Fault, FaultPlan, When, spoken};
use super::peer::{Emission, Peer};

/// What is written on a synthetic card: the fields of the citizen layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResidentCard {
    pub name: &'static str,
    pub sex: &'static str,
    pub birth_date: &'static str,
    pub address: &'static str,
    pub id_number: &'static str,
    pub photo: u8,
}

impl ResidentCard {
    /// 张三.
    pub fn one_person() -> Self {
        Self {
            name: "张三",
            sex: "1",
            birth_date: "18490307",
            address: "测试省测试市测试路1号",
            id_number: "11010518490307007X",
            photo: 0x00,
        }
    }

    /// 李四, every field different.
    pub fn another_person() -> Self {
        Self {
            name: "李四",
            sex: "2",
            address: "测试省测试市测试路2号",
            id_number: "110105184903070029",
            photo: 0x5A,
            ..Self::one_person()
        }
    }

    /// The text block of 256 bytes.
    pub fn text(&self) -> Vec<u8> {
        let fields = [
            (self.name, 30),
            (self.sex, 2),
            ("01", 4),
            (self.birth_date, 16),
            (self.address, 70),
            (self.id_number, 36),
            ("测试市公安局", 30),
            ("20200101", 16),
            ("20400101", 16),
            ("", 36),
        ];
        let mut text = Vec::new();
        for (field, length) in fields {
            let end = text.len() + length;
            text.extend(field.encode_utf16().flat_map(u16::to_le_bytes));
            while text.len() < end {
                text.extend([0x20, 0x00]);
            }
        }
        text
    }
}

/// The reader. Commands must come in their order: find, select, read.
#[derive(Default)]
pub struct ResidentDevice {
    card: Option<ResidentCard>,
    stage: Stage,
    inbox: Vec<u8>,
    output: Vec<Emission>,
    faults: FaultPlan,
    /// Commands obeyed, for tests that something was never executed.
    obeyed: u32,
    hung_up: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    Found,
    Selected,
    /// Read; the card is found again after it was lifted.
    Spent,
}

impl ResidentDevice {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn lay(&mut self, card: ResidentCard) {
        self.card = Some(card);
        self.stage = Stage::Idle;
    }

    pub fn lift(&mut self) {
        self.card = None;
        self.stage = Stage::Idle;
    }

    pub fn inject(&mut self, when: When, fault: Fault) {
        self.faults.inject(when, fault);
    }

    /// How many faults have struck.
    pub fn struck(&self) -> u32 {
        self.faults.struck()
    }

    pub fn obeyed(&self) -> u32 {
        self.obeyed
    }

    fn obey(&mut self, command: [u8; 2]) {
        self.obeyed += 1;
        let fault = self.faults.take(false, true, Some(command[0]));
        match fault {
            Some(Fault::Remove) => self.lift(),
            Some(Fault::HangUp) => self.hung_up = true,
            _ => {}
        }
        let answer = frame(&self.answer(command));
        self.output.extend(spoken(answer, fault.as_ref(), reseal));
    }

    fn answer(&mut self, command: [u8; 2]) -> Vec<u8> {
        let refused = |code: u8| vec![0, 0, code];
        match (command, self.stage, &self.card) {
            ([0x10 | 0x11, 0xFF], _, _) => refused(0x90),
            ([0x12, 0xFF], _, _) => [&[0, 0, 0x90][..], &[0x05; 16]].concat(),
            ([0x20, 0x01], Stage::Idle | Stage::Found | Stage::Selected, Some(_)) => {
                self.stage = Stage::Found;
                vec![0, 0, 0x9F, 0, 0, 0, 0]
            }
            ([0x20, 0x01], _, _) => refused(0x80),
            ([0x20, 0x02], Stage::Found, Some(_)) => {
                self.stage = Stage::Selected;
                vec![0, 0, 0x90, 0, 0, 0, 0, 0, 0, 0, 0]
            }
            ([0x20, 0x02], _, _) => refused(0x81),
            ([0x30, 0x01], Stage::Selected | Stage::Spent, Some(card)) => {
                self.stage = Stage::Spent;
                [&[0, 0, 0x90, 1, 0, 4, 0][..], &card.text(), &[card.photo; 1024]].concat()
            }
            ([0x30, 0x01], _, _) => refused(0x41),
            _ => refused(0x21),
        }
    }
}

impl Peer for ResidentDevice {
    fn receive(&mut self, bytes: &[u8]) {
        self.inbox.extend(bytes);
        while !self.hung_up && !self.inbox.is_empty() {
            let known = PREAMBLE.len().min(self.inbox.len());
            if self.inbox[..known] != PREAMBLE[..known] {
                self.inbox.remove(0);
                continue;
            }
            let [_, _, _, _, _, 0, 3, command, parameter, sum, ..] = self.inbox[..] else {
                if self.inbox.len() < 10 {
                    return;
                }
                self.inbox.remove(0);
                continue;
            };
            self.inbox.drain(..10);
            if 3 ^ command ^ parameter == sum {
                self.obey([command, parameter]);
            } else {
                self.output.push(Emission { after: Duration::ZERO, bytes: frame(&[0, 0, 0x10]) });
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

fn frame(body: &[u8]) -> Vec<u8> {
    let mut frame = PREAMBLE.to_vec();
    frame.extend(((body.len() + 1) as u16).to_be_bytes());
    frame.extend(body);
    frame.push(0);
    reseal(&mut frame);
    frame
}

fn reseal(frame: &mut [u8]) {
    if let [_, _, _, _, _, summed @ .., sum] = frame {
        *sum = summed.iter().fold(0, |sum, byte| sum ^ byte);
    }
}

const PREAMBLE: [u8; 5] = [0xAA, 0xAA, 0xAA, 0x96, 0x69];
