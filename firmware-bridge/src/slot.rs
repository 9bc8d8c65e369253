//! One card slot of a reader: power, status, exchange, each within its own deadline.
//! Never returns an answer to another request, never goes on after the card changed, never waits without end.

use std::time::{Duration, Instant};

use crate::codec::ccid_serial::{Answer, Counters, Received, Receiver, Request, SlotEvent, TooLong, Voltage};
use crate::codec::framing::Framing;
use crate::port::{CardPort, PortError};

/// What the reader says is in the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    Absent,
    Present,
}

#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    #[error("line to the reader failed")]
    Port(#[from] PortError),
    #[error("request cannot be framed")]
    Frame(#[from] TooLong),
    #[error("reader did not answer `{request}` within {} ms", waited.as_millis())]
    Timeout { request: &'static str, waited: Duration },
    #[error("answer to `{request}` came with a wrong checksum {times} times")]
    Checksum { request: &'static str, times: u32 },
    #[error("reader asked {times} times to repeat `{request}`")]
    Refusing { request: &'static str, times: u32 },
    #[error("card in the slot changed: {event:?}")]
    Changed { event: SlotEvent },
    #[error("no card in the slot")]
    NoCard,
    #[error("card does not answer")]
    Mute,
    #[error("reader failed `{request}` with code {code:02X}")]
    Failed { request: &'static str, code: u8 },
    #[error("reader gave an answer that nobody waited for, and its answers have no numbers")]
    OutOfStep,
    #[error("reader has no SAM slot {slot}")]
    NoSam { slot: u8 },
}

/// The single slot of a reader on a serial line.
pub struct Slot {
    port: Box<dyn CardPort>,
    receiver: Box<dyn Framing>,
    sequence: u8,
    changed: Option<SlotEvent>,
    insertions: u64,
    empty: bool,
    /// Whether the request in hand must not be sent a second time.
    once: bool,
    /// Whether answers may belong to earlier requests, until the card is powered anew.
    out_of_step: bool,
    limit: Option<Instant>,
}

impl Slot {
    /// A reader that speaks CCID-serial.
    pub fn new(port: Box<dyn CardPort>) -> Self {
        Self::with_framing(port, Box::new(Receiver::new(SLOT)))
    }

    pub fn with_framing(port: Box<dyn CardPort>, framing: Box<dyn Framing>) -> Self {
        Self {
            port,
            receiver: framing,
            sequence: 0,
            changed: None,
            insertions: 0,
            empty: true,
            once: false,
            out_of_step: false,
            limit: None,
        }
    }

    /// What the reader calls itself; empty when it does not know the question but speaks the protocol.
    pub fn firmware(&mut self) -> Result<String, SlotError> {
        let request = Request::Escape(&[0x02]);
        if !self.receiver.has(&request) {
            return self.status().map(|_| String::new());
        }
        let answer = self.command(&request)?;
        let text = if answer.failed() { Vec::new() } else { answer.data };
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Asks the reader to tell of card changes by itself. Readers that cannot are polled only.
    pub fn notify_changes(&mut self) -> Result<(), SlotError> {
        let request = Request::Escape(&[0x01, 0x01, 0x01]);
        if !self.receiver.has(&request) {
            return Ok(());
        }
        match self.command(&request) {
            Ok(_) | Err(SlotError::Timeout { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub fn status(&mut self) -> Result<SlotState, SlotError> {
        let answer = self.command(&Request::SlotStatus)?;
        if answer.failed() && !answer.card_absent() {
            return Err(failure(Request::SlotStatus.name(), &answer));
        }
        self.see(!answer.card_absent());
        Ok(if answer.card_absent() { SlotState::Absent } else { SlotState::Present })
    }

    /// Powers the card and returns its answer to reset, not yet parsed. A card that changes meanwhile, as one
    /// just being pushed in does, is powered once more; from then on a change is an error.
    pub fn power_on(&mut self) -> Result<Vec<u8>, SlotError> {
        let request = Request::PowerOn(Voltage::Five);
        self.drain()?;
        self.changed = None;
        self.out_of_step = false;
        let mut answer = self.command(&request)?;
        if matches!(self.check_unchanged(), Err(SlotError::Changed { .. })) {
            self.changed = None;
            answer = self.command(&request)?;
        }
        self.check_unchanged()?;
        if answer.failed() {
            return Err(failure(request.name(), &answer));
        }
        self.see(true);
        Ok(answer.data)
    }

    pub fn power_off(&mut self) -> Result<(), SlotError> {
        self.command(&Request::PowerOff).map(drop)
    }

    /// Tells the reader the card's T=0 parameters. Readers that cannot take them keep their defaults.
    pub fn set_parameters(&mut self, values: [u8; 5]) -> Result<(), SlotError> {
        let request = Request::SetParameters(values);
        if self.receiver.has(&request) { self.command(&request).map(drop) } else { Ok(()) }
    }

    /// Sends one T=0 command and returns data and status word as the card gave them.
    pub fn transfer(&mut self, tpdu: &[u8]) -> Result<Vec<u8>, SlotError> {
        let request = Request::Transfer(tpdu);
        let answer = self.command(&request)?;
        if answer.failed() { Err(failure(request.name(), &answer)) } else { Ok(answer.data) }
    }

    /// As [`Self::transfer`], for a command that must never reach a card twice: a reader that asks for it again
    /// is not obeyed.
    pub fn transfer_once(&mut self, tpdu: &[u8]) -> Result<Vec<u8>, SlotError> {
        self.once = true;
        let result = self.transfer(tpdu);
        self.once = false;
        result
    }

    /// Takes in what the reader said meanwhile and fails if the card changed since it was powered.
    pub fn check_unchanged(&mut self) -> Result<(), SlotError> {
        self.drain()?;
        if self.out_of_step {
            return Err(SlotError::OutOfStep);
        }
        self.changed.map_or(Ok(()), |event| Err(SlotError::Changed { event }))
    }

    /// How often a card was put in, as the reader told or as the slot was found full after it was empty.
    /// A changed number means another card.
    pub fn insertions(&self) -> u64 {
        self.insertions
    }

    pub fn counters(&self) -> Counters {
        self.receiver.counters()
    }

    pub fn now(&self) -> Instant {
        self.port.now()
    }

    pub(crate) fn limit(&self) -> Option<Instant> {
        self.limit
    }

    /// No request waits past `limit`, whatever extensions the card asks for.
    pub fn set_limit(&mut self, limit: Option<Instant>) {
        self.limit = limit;
    }

    /// Reads and judges everything already on the line, so that no old byte meets a new request.
    fn drain(&mut self) -> Result<(), SlotError> {
        self.receiver.reset();
        let strays = self.receiver.counters().stray_frames;
        let mut buffer = [0; CHUNK];
        for _ in 0..DRAIN_READS {
            let now = self.port.now();
            let count = self.port.receive(&mut buffer, now)?;
            if count == 0 {
                break;
            }
            self.receiver.push(buffer.get(..count).unwrap_or_default());
            while let Some(received) = self.receiver.poll() {
                self.note(&received);
            }
        }
        self.receiver.reset();
        self.check_in_step(strays);
        Ok(())
    }

    fn check_in_step(&mut self, strays_before: u64) {
        let stray = self.receiver.counters().stray_frames != strays_before;
        self.out_of_step |= stray && !self.receiver.answers_are_numbered();
    }

    fn note(&mut self, received: &Received) {
        let Received::SlotEvent(event) = received else { return };
        self.changed = Some(*event);
        self.empty = true;
        self.see(*event == SlotEvent::Inserted);
    }

    /// Takes note of whether a card is in the slot.
    fn see(&mut self, present: bool) {
        self.insertions += u64::from(present && self.empty);
        self.empty = !present;
    }

    fn command(&mut self, request: &Request<'_>) -> Result<Answer, SlotError> {
        self.drain()?;
        let bound_to_card = matches!(request, Request::Transfer(_) | Request::SetParameters(_));
        if let (true, Some(event)) = (bound_to_card, self.changed) {
            return Err(SlotError::Changed { event });
        }
        if bound_to_card && self.out_of_step {
            return Err(SlotError::OutOfStep);
        }
        self.ask(request, bound_to_card)
    }

    /// One request to the SAM in another slot of the same reader. What the reader says of the card meanwhile is
    /// noted as ever, and is for whoever reads the card.
    pub(crate) fn ask_sam(&mut self, slot: u8, request: &Request<'_>) -> Result<Answer, SlotError> {
        self.drain()?;
        if self.out_of_step {
            return Err(SlotError::OutOfStep);
        }
        if !self.receiver.address(slot) {
            return Err(SlotError::NoSam { slot });
        }
        let answer = self.ask(request, false);
        self.receiver.address(SLOT);
        answer
    }

    fn ask(&mut self, request: &Request<'_>, bound_to_card: bool) -> Result<Answer, SlotError> {
        let strays = self.receiver.counters().stray_frames;
        let outgoing = self.receiver.begin(request, self.sequence)?;
        self.sequence = self.sequence.wrapping_add(1);
        let started = self.port.now();
        let cap = self.limit.map_or(started + CAP, |limit| limit.min(started + CAP));
        let span = if matches!(request, Request::Transfer(_)) { EXCHANGE } else { CONTROL };
        let mut wait = Wait { started, cap, span, deadline: cap.min(started + span), naks: 0, damaged: 0 };
        self.port.send(&outgoing, wait.deadline)?;
        let result = self.await_answer(request, &outgoing, &mut wait, bound_to_card);
        self.check_in_step(strays);
        self.receiver.reset();
        result
    }

    fn await_answer(
        &mut self,
        request: &Request<'_>,
        outgoing: &[u8],
        wait: &mut Wait,
        bound_to_card: bool,
    ) -> Result<Answer, SlotError> {
        let mut buffer = [0; CHUNK];
        loop {
            let damaged_before = wait.damaged;
            while let Some(received) = self.receiver.poll() {
                self.note(&received);
                match received {
                    Received::Answer(answer) => return Ok(answer),
                    Received::SlotEvent(event) if bound_to_card => return Err(SlotError::Changed { event }),
                    Received::SlotEvent(_) => {}
                    Received::MoreTime => wait.extend(self.port.now()),
                    Received::BadChecksum => wait.damaged += 1,
                    Received::Nak => self.repeat(request, outgoing, wait)?,
                }
            }
            // Asked once only: what we send reads and changes nothing, but a second wrong answer is a bad line.
            if let (0, 1.., Some(again)) = (damaged_before, wait.damaged, self.receiver.ask_again()) {
                self.port.send(again, wait.deadline)?;
            }
            if self.port.now() >= wait.deadline {
                return Err(wait.expired(request, self.port.now()));
            }
            let count = self.port.receive(&mut buffer, wait.deadline)?;
            self.receiver.push(buffer.get(..count).unwrap_or_default());
        }
    }

    fn repeat(&mut self, request: &Request<'_>, outgoing: &[u8], wait: &mut Wait) -> Result<(), SlotError> {
        wait.naks += 1;
        if self.once || wait.naks > REPEATS {
            return Err(SlotError::Refusing { request: request.name(), times: wait.naks });
        }
        self.receiver.begin_again();
        wait.extend(self.port.now());
        Ok(self.port.send(outgoing, wait.deadline)?)
    }
}

/// How long one request may still take.
struct Wait {
    started: Instant,
    cap: Instant,
    span: Duration,
    deadline: Instant,
    naks: u32,
    damaged: u32,
}

impl Wait {
    /// Starts the span anew, never past the cap.
    fn extend(&mut self, now: Instant) {
        self.deadline = self.cap.min(now + self.span);
    }

    fn expired(&self, request: &Request<'_>, now: Instant) -> SlotError {
        let request = request.name();
        match self.damaged {
            0 => SlotError::Timeout { request, waited: now.saturating_duration_since(self.started) },
            times => SlotError::Checksum { request, times },
        }
    }
}

/// The card's.
const SLOT: u8 = 0;
const CONTROL: Duration = Duration::from_secs(2);
const EXCHANGE: Duration = Duration::from_secs(5);
const CAP: Duration = Duration::from_secs(30);
const REPEATS: u32 = 3;
const CHUNK: usize = 512;
/// A line that never falls silent is not drained for ever: 16 KiB are more than a reader can have pending.
const DRAIN_READS: usize = 32;

/// Codes: CCID 1.1, table 6.2-2.
pub(crate) fn failure(request: &'static str, answer: &Answer) -> SlotError {
    match answer.error {
        0xFE | 0xFB if answer.card_absent() => SlotError::NoCard,
        0xFE => SlotError::Mute,
        code => SlotError::Failed { request, code },
    }
}
