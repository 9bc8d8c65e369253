//! Faults a reader, its line or the person at the slot can cause, and when they strike.
//! Never random by itself: a test says which and when.

use std::time::Duration;

use super::cards::CardSpec;

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
    /// READ RECORD with this tag.
    Record(u8),
    /// Every command from now on.
    Always,
}
