//! The device side of CCID over a serial line: frames in, frames out, with faults on order.
//! Never waits: what it says carries its delay, and the line that moves the bytes keeps the time.

use std::time::Duration;

use firmware_bridge::card_slot::CardSlot as _;

use super::cards::{CardSpec, SimulatedCard};
use super::fault::{Fault, FaultPlan, When};
use super::peer::{Emission, Peer};
use super::psam::SimulatedPsam;

/// Whether the reader repeats every command before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    On,
    Off,
}

/// A reader with a slot for cards and one for a PSAM.
pub struct Device {
    echo: Echo,
    card: Option<SimulatedCard>,
    psam: Option<SimulatedPsam>,
    card_leaves_with_psam: bool,
    powered: bool,
    inbox: Vec<u8>,
    last_answer: Vec<u8>,
    faults: FaultPlan,
    output: Vec<Emission>,
    hung_up: bool,
    quiet: bool,
}

impl Device {
    pub fn new(echo: Echo) -> Self {
        Self {
            echo,
            card: None,
            psam: None,
            card_leaves_with_psam: false,
            powered: false,
            inbox: Vec::new(),
            last_answer: Vec::new(),
            faults: FaultPlan::default(),
            output: Vec::new(),
            hung_up: false,
            quiet: false,
        }
    }

    /// Puts a card in, in place of one that is there, and tells the host.
    pub fn insert(&mut self, spec: CardSpec) {
        if self.card.is_some() {
            self.remove();
        }
        self.card = Some(SimulatedCard::new(spec));
        self.powered = false;
        self.tell(vec![0x50, 0x03]);
    }

    /// Takes the card out and tells the host.
    pub fn remove(&mut self) {
        if self.card.take().is_some() {
            self.powered = false;
            self.tell(vec![0x50, 0x02]);
        }
    }

    /// Builds a PSAM into slot 1.
    pub fn build_in(&mut self, psam: SimulatedPsam) {
        self.psam = Some(psam);
    }

    /// The card is pulled while the PSAM is asked.
    pub fn pull_card_with_psam(&mut self) {
        self.card_leaves_with_psam = true;
    }

    /// Says nothing of card changes from now on, as some readers never do.
    pub fn be_quiet(&mut self) {
        self.quiet = true;
    }

    pub fn inject(&mut self, when: When, fault: Fault) {
        self.faults.inject(when, fault);
    }

    /// Leaves out whatever has not struck yet.
    pub fn forget_faults(&mut self) {
        self.faults.forget();
    }

    /// How many faults have struck, so that a test can tell that its fault did.
    pub fn struck(&self) -> u32 {
        self.faults.struck()
    }

    pub fn card(&self) -> Option<&SimulatedCard> {
        self.card.as_ref()
    }

    /// Puts bytes on the line that nobody asked for.
    pub fn say(&mut self, after: Duration, bytes: Vec<u8>) {
        self.output.push(Emission { after, bytes });
    }

    fn tell(&mut self, event: Vec<u8>) {
        if !self.quiet {
            self.say(Duration::ZERO, event);
        }
    }

    fn obey(&mut self, command: &[u8]) {
        let kind = command[2];
        let data = &command[12..command.len() - 1];
        // Escapes and parameters concern the reader as a whole.
        if command[7] != 0 && matches!(kind, 0x62 | 0x63 | 0x65 | 0x6F) {
            return self.obey_sam(command);
        }
        let fault = self.take_fault(kind, data);
        let before = self.card_events(fault.as_ref());
        if let Some(Fault::Nak { times }) = fault {
            if times > 1 {
                self.faults.inject(When::Next, Fault::Nak { times: times - 1 });
            }
            return self.say(Duration::ZERO, NAK.to_vec());
        }
        let mut answer = self.answer(kind, command[8], data, fault.as_ref());
        self.last_answer.clone_from(&answer);
        if let Some(Fault::FlipWithChecksum { at, mask }) = &fault {
            let last = answer.len() - 1;
            answer[at % last] ^= mask;
            answer[last] = checksum(&answer[..last]);
        }
        if matches!(fault, Some(Fault::WrongChecksum)) {
            *answer.last_mut().expect("a frame has a checksum") ^= 0x55;
        }
        let mut echo = if self.echo == Echo::On { command.to_vec() } else { Vec::new() };
        echo.extend(before.iter().filter(|_| !self.quiet));
        self.put_on_line(command[8], echo, answer, fault);
    }

    /// No fault strikes the SAM's slot.
    fn obey_sam(&mut self, command: &[u8]) {
        let (kind, sequence, data) = (command[2], command[8], &command[12..command.len() - 1]);
        let there = self.psam.is_some();
        let said = match (&mut self.psam, kind) {
            (Some(psam), 0x62) => psam.power_on().ok(),
            (Some(psam), 0x6F) => psam.transfer(data).ok(),
            (None, 0x62 | 0x6F) => None,
            _ => Some(Vec::new()),
        };
        if kind == 0x6F && std::mem::take(&mut self.card_leaves_with_psam) {
            self.remove();
        }
        let answer_kind = if matches!(kind, 0x62 | 0x6F) { 0x80 } else { 0x81 };
        let mut answer = match said {
            Some(data) => frame(answer_kind, sequence, [if there { 0 } else { 2 }, 0, 0], &data),
            None => frame(answer_kind, sequence, [0x42, 0xFE, 0], &[]),
        };
        // The slot stands where the card's 0 is, and in the checksum.
        answer[7] = command[7];
        *answer.last_mut().expect("a frame has a checksum") ^= command[7];
        self.last_answer.clone_from(&answer);
        let echo = if self.echo == Echo::On { command.to_vec() } else { Vec::new() };
        self.say(Duration::ZERO, [echo, answer].concat());
    }

    /// Sends echo and answer as the fault wants them sent.
    fn put_on_line(&mut self, sequence: u8, echo: Vec<u8>, answer: Vec<u8>, fault: Option<Fault>) {
        let mut all = [echo.as_slice(), &answer].concat();
        match fault {
            Some(Fault::Silence) => {}
            Some(Fault::HangUp) => self.hung_up = true,
            Some(Fault::Noise(noise)) => self.say(Duration::ZERO, [echo, noise, answer].concat()),
            Some(Fault::Flip { at, mask }) => {
                let at = at % all.len();
                all[at] ^= mask;
                self.say(Duration::ZERO, all);
            }
            Some(Fault::Truncate { keep }) => {
                all.truncate(keep);
                self.say(Duration::ZERO, all);
            }
            Some(Fault::Late(delay)) => {
                self.say(Duration::ZERO, echo);
                self.say(delay, answer);
            }
            Some(Fault::Duplicate) => self.say(Duration::ZERO, [all, answer].concat()),
            Some(Fault::TimeBytes { count, every }) => {
                self.say_slowly(echo, vec![0x85], count, every, answer)
            }
            Some(Fault::TimeExtensions { count, every }) => {
                let more = frame(0x80, sequence, [0x80, 0x05, 0x00], &[]);
                self.say_slowly(echo, more, count, every, answer);
            }
            Some(
                Fault::WrongChecksum
                | Fault::FlipWithChecksum { .. }
                | Fault::Nak { .. }
                | Fault::Remove
                | Fault::Swap { .. }
                | Fault::Atr(_),
            )
            | None => self.say(Duration::ZERO, all),
        }
    }

    fn say_slowly(&mut self, echo: Vec<u8>, more: Vec<u8>, count: u32, every: Duration, answer: Vec<u8>) {
        self.say(Duration::ZERO, echo);
        for step in 1..=count {
            self.say(every * step, more.clone());
        }
        self.say(every * (count + 1), answer);
    }

    /// What the person at the slot does during this command; returns the events the reader tells of it.
    fn card_events(&mut self, fault: Option<&Fault>) -> Vec<u8> {
        match fault {
            Some(Fault::Remove) => {
                self.card = None;
                self.powered = false;
                vec![0x50, 0x02]
            }
            Some(Fault::Swap { card, noticed: true }) => {
                self.card = Some(SimulatedCard::new((**card).clone()));
                self.powered = false;
                vec![0x50, 0x02, 0x50, 0x03]
            }
            Some(Fault::Swap { card, noticed: false }) => {
                if let Some(inside) = &mut self.card {
                    inside.become_card((**card).clone());
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn take_fault(&mut self, kind: u8, data: &[u8]) -> Option<Fault> {
        let exchange = kind == 0x6F;
        let record = if let (true, [_, 0xB2, tag, ..]) = (exchange, data) { Some(*tag) } else { None };
        self.faults.take(kind == 0x62, exchange, record)
    }

    fn answer(&mut self, kind: u8, sequence: u8, data: &[u8], fault: Option<&Fault>) -> Vec<u8> {
        let icc = match (&self.card, self.powered) {
            (None, _) => 2,
            (Some(_), false) => 1,
            (Some(_), true) => 0,
        };
        let failed = |kind: u8, error: u8| frame(kind, sequence, [0x40 | icc, error, 0], &[]);
        match kind {
            0x62 => match self.card.as_mut().and_then(SimulatedCard::reset) {
                Some(atr) => {
                    self.powered = true;
                    let atr = if let Some(Fault::Atr(bytes)) = fault { bytes } else { &atr };
                    frame(0x80, sequence, [0, 0, 0], atr)
                }
                None => failed(0x80, 0xFE),
            },
            0x63 => {
                self.powered = false;
                frame(0x81, sequence, [icc.max(1), 0, 0], &[])
            }
            0x65 => frame(0x81, sequence, [icc, 0, 0], &[]),
            0x6F => match &mut self.card {
                Some(card) if self.powered => frame(0x80, sequence, [0, 0, 0], &card.exchange(data)),
                Some(_) | None => failed(0x80, 0xFE),
            },
            0x61 => frame(0x82, sequence, [icc, 0, 0], data),
            0x6B if data == [0x02] => frame(0x83, sequence, [icc, 0, 0], FIRMWARE),
            0x6B if data == [0x01, 0x01, 0x01] => frame(0x83, sequence, [icc, 0, 0], &[]),
            0x6B => failed(0x83, 0x0A),
            _ => failed(0x81, 0x00),
        }
    }
}

impl Peer for Device {
    fn hang_up(&mut self) {
        self.hung_up = true;
    }

    fn has_hung_up(&self) -> bool {
        self.hung_up
    }

    fn take_output(&mut self) -> Vec<Emission> {
        std::mem::take(&mut self.output)
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.inbox.extend(bytes);
        while !self.hung_up {
            match self.inbox.as_slice() {
                [] | [0x03] | [0x03, 0x15] => return,
                [0x03, 0x15, 0x16, ..] => {
                    self.inbox.drain(..3);
                    let mut again = self.last_answer.clone();
                    if self.faults.always(|fault| matches!(fault, Fault::WrongChecksum)) {
                        again.pop();
                        again.push(!checksum(&again));
                    }
                    self.say(Duration::ZERO, again);
                }
                [0x03, 0x06, message @ ..] => {
                    let [_, l0, l1, l2, l3, ..] = message else { return };
                    let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
                    if length > MAX_DATA {
                        self.inbox.remove(0);
                        continue;
                    }
                    if self.inbox.len() < OVERHEAD + length {
                        return;
                    }
                    let frame: Vec<u8> = self.inbox.drain(..OVERHEAD + length).collect();
                    if checksum(&frame) == 0 {
                        self.obey(&frame);
                    } else {
                        self.say(Duration::ZERO, NAK.to_vec());
                    }
                }
                _ => {
                    self.inbox.remove(0);
                }
            }
        }
    }
}

fn frame(kind: u8, sequence: u8, [status, error, extra]: [u8; 3], data: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x03, 0x06, kind];
    frame.extend((data.len() as u32).to_le_bytes());
    frame.extend([0, sequence, status, error, extra]);
    frame.extend(data);
    frame.push(checksum(&frame));
    frame
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}

const FIRMWARE: &[u8] = b"GemTwin-V2.00-GF05";
const NAK: [u8; 3] = [0x03, 0x15, 0x16];
const MAX_DATA: usize = 261;
const OVERHEAD: usize = 13;

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    /// What the device says to `command`, without delays.
    fn reply(device: &mut Device, command: &str) -> Vec<u8> {
        device.receive(&hex(command));
        device.take_output().into_iter().flat_map(|emission| emission.bytes).collect()
    }

    #[test]
    fn frames_are_those_of_the_specification() {
        let mut device = Device::new(Echo::Off);
        device.insert(CardSpec::version_2());
        let mut check =
            |command: &str, want: &str| assert_eq!(reply(&mut device, command), hex(want), "{command}");
        check(
            "03 06 6B 01 00 00 00 00 00 00 00 00 02 6D",
            "50 03 03 06 83 12 00 00 00 00 00 01 00 00 47 65 6D 54 77 69 6E 2D 56 32 2E 30 30 2D 47 46 30 35 B0",
        );
        check("03 06 6B 03 00 00 00 00 01 00 00 00 01 01 01 6D", "03 06 83 00 00 00 00 00 01 01 00 00 86");
        check("03 06 65 00 00 00 00 00 02 00 00 00 62", "03 06 81 00 00 00 00 00 02 01 00 00 87");
        check(
            "03 06 62 00 00 00 00 00 03 01 00 00 65",
            "03 06 80 11 00 00 00 00 03 00 00 00 3B 6D 00 00 00 81 54 4C 96 86 84 37 16 00 8F 3D 97 C8",
        );
        check(
            "03 06 6F 14 00 00 00 00 16 00 00 00 00 A4 04 00 0F 73 78 31 2E 73 68 2E C9 E7 BB E1 B1 A3 D5 CF 9A",
            "03 06 80 02 00 00 00 00 16 00 00 00 61 13 E3",
        );
        check("03 15 16", "03 06 80 02 00 00 00 00 16 00 00 00 61 13 E3");
        check("03 06 65 00 00 00 00 00 02 00 00 00 63", "03 15 16");
    }

    #[test]
    fn an_echoing_reader_repeats_the_command_first() {
        let mut device = Device::new(Echo::On);
        assert_eq!(
            reply(&mut device, "03 06 65 00 00 00 00 00 02 00 00 00 62"),
            hex("03 06 65 00 00 00 00 00 02 00 00 00 62 03 06 81 00 00 00 00 00 02 02 00 00 84")
        );
    }

    #[test]
    fn faults_strike_when_told_to() {
        let mut device = Device::new(Echo::Off);
        device.inject(When::Exchange(1), Fault::Silence);
        let exchange = "03 06 6F 05 00 00 00 00 18 00 00 00 00 B2 08 00 14 D9";
        assert!(!reply(&mut device, exchange).is_empty());
        assert!(!reply(&mut device, "03 06 65 00 00 00 00 00 02 00 00 00 62").is_empty());
        assert!(reply(&mut device, exchange).is_empty());
        assert!(!reply(&mut device, exchange).is_empty());
        assert_eq!(device.struck(), 1);
    }
}
