//! Faults a reader, its line or the person at the slot can cause, and when they strike.
//! Never random by itself: a test says which and when.

use std::time::Duration;

use super::cards::CardSpec;
use super::peer::Emission;

/// What goes wrong with one answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Bytes of nothing before the answer.
    Noise(Vec<u8>),
    /// The answer frame's checksum is wrong.
    WrongChecksum,
    /// `mask` is applied to byte `at` (counted round) of everything sent, echo included; the checksum stays.
    Flip { at: usize, mask: u8 },
    /// The same inside the answer frame, and the checksum is made to fit.
    FlipWithChecksum { at: usize, mask: u8 },
    /// Only the first bytes of everything sent arrive.
    Truncate { keep: usize },
    /// The answer comes this much later.
    Late(Duration),
    /// The answer comes twice.
    Duplicate,
    /// The reader asks for the command again, this many times, before it obeys.
    Nak { times: u32 },
    /// Bare time bytes before the answer.
    TimeBytes { count: u32, every: Duration },
    /// CCID time extensions before the answer.
    TimeExtensions { count: u32, every: Duration },
    /// Nothing comes.
    Silence,
    /// The card is pulled: removal event, and the command fails.
    Remove,
    /// The card is exchanged, with or without the reader noticing.
    Swap { card: Box<CardSpec>, noticed: bool },
    /// These bytes instead of the answer to reset.
    Atr(Vec<u8>),
    /// The line goes away.
    HangUp,
}

/// Which command a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The next command, whatever it is.
    Next,
    PowerOn,
    /// The `n`th exchange from now, counted from 0.
    Exchange(u32),
    /// READ RECORD with this tag; of a resident ID reader, commands with this first byte.
    Record(u8),
    /// Every command from now on.
    Always,
}

/// The faults a device has been told of.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    faults: Vec<(When, Fault)>,
    struck: u32,
}

impl FaultPlan {
    pub fn inject(&mut self, when: When, fault: Fault) {
        self.faults.push((when, fault));
    }

    /// Leaves out whatever has not struck yet.
    pub fn forget(&mut self) {
        self.faults.clear();
    }

    /// Whether a fault of this kind strikes every command.
    pub fn always(&self, kind: impl Fn(&Fault) -> bool) -> bool {
        self.faults.iter().any(|(when, fault)| *when == When::Always && kind(fault))
    }

    /// How many faults have struck.
    pub fn struck(&self) -> u32 {
        self.struck
    }

    /// The fault that strikes a command, if any. `record` is what [`When::Record`] compares.
    pub fn take(&mut self, power_on: bool, exchange: bool, record: Option<u8>) -> Option<Fault> {
        let mut hit = None;
        for (index, (when, _)) in self.faults.iter_mut().enumerate() {
            let now = match when {
                When::Next | When::Always => true,
                When::PowerOn => power_on,
                When::Record(tag) => record == Some(*tag),
                When::Exchange(0) => exchange,
                When::Exchange(left) => {
                    *left -= u32::from(exchange);
                    false
                }
            };
            if now && hit.is_none() {
                hit = Some(index);
            }
        }
        let index = hit?;
        self.struck += 1;
        match &self.faults[index] {
            (When::Always, fault) => Some(fault.clone()),
            _ => Some(self.faults.remove(index).1),
        }
    }
}

/// What arrives of an answer that `fault` strikes. `reseal` makes the checksum fit again.
pub fn spoken(mut answer: Vec<u8>, fault: Option<&Fault>, reseal: impl Fn(&mut [u8])) -> Vec<Emission> {
    let at_once = |bytes: Vec<u8>| vec![Emission { after: Duration::ZERO, bytes }];
    match fault {
        Some(Fault::Silence | Fault::HangUp) => Vec::new(),
        Some(Fault::Noise(noise)) => at_once([noise.as_slice(), &answer].concat()),
        Some(Fault::WrongChecksum) => {
            let middle = answer.len() / 2;
            answer[middle] ^= 0x55;
            at_once(answer)
        }
        Some(Fault::Flip { at, mask }) => {
            let at = at % answer.len();
            answer[at] ^= mask;
            at_once(answer)
        }
        Some(Fault::FlipWithChecksum { at, mask }) => {
            let at = at % answer.len();
            answer[at] ^= mask;
            reseal(&mut answer);
            at_once(answer)
        }
        Some(Fault::Truncate { keep }) => {
            answer.truncate(*keep);
            at_once(answer)
        }
        Some(Fault::Late(delay)) => vec![Emission { after: *delay, bytes: answer }],
        Some(Fault::Duplicate) => at_once(answer.repeat(2)),
        Some(
            Fault::Nak { .. }
            | Fault::TimeBytes { .. }
            | Fault::TimeExtensions { .. }
            | Fault::Remove
            | Fault::Swap { .. }
            | Fault::Atr(_),
        )
        | None => at_once(answer),
    }
}
