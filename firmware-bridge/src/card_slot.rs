//! What the reading of a card needs of the slot it is in, whichever way the slot is reached: over a serial line,
//! or over PC/SC. Never knows how either carries its bytes.

use std::time::Instant;

use crate::codec::ccid_serial::Counters;
use crate::slot::{Slot, SlotError, SlotState};

/// One slot of one reader. Every call ends in time; what a card says is never kept.
pub trait CardSlot: Send {
    fn status(&mut self) -> Result<SlotState, SlotError>;

    /// Powers or resets the card and returns its answer to reset, not yet parsed.
    fn power_on(&mut self) -> Result<Vec<u8>, SlotError>;

    fn power_off(&mut self) -> Result<(), SlotError>;

    /// Tells the reader the card's T=0 parameters, where it wants to know them.
    fn set_parameters(&mut self, values: [u8; 5]) -> Result<(), SlotError>;

    /// Sends one T=0 command and returns data and status word as the card gave them.
    fn transfer(&mut self, tpdu: &[u8]) -> Result<Vec<u8>, SlotError>;

    /// As [`Self::transfer`], for a command that must never reach a card twice.
    fn transfer_once(&mut self, tpdu: &[u8]) -> Result<Vec<u8>, SlotError>;

    /// Fails if the card changed since it was powered.
    fn check_unchanged(&mut self) -> Result<(), SlotError>;

    /// How often a card was put in, as far as anybody told. A changed number means another card.
    fn insertions(&self) -> u64;

    /// What the line did, for diagnosis; all zero where there is no line to count on.
    fn counters(&self) -> Counters;

    fn now(&self) -> Instant;

    /// No request waits past `limit`.
    fn set_limit(&mut self, limit: Option<Instant>);
}

impl CardSlot for Slot {
    fn status(&mut self) -> Result<SlotState, SlotError> {
        Self::status(self)
    }

    fn power_on(&mut self) -> Result<Vec<u8>, SlotError> {
        Self::power_on(self)
    }

    fn power_off(&mut self) -> Result<(), SlotError> {
        Self::power_off(self)
    }

    fn set_parameters(&mut self, values: [u8; 5]) -> Result<(), SlotError> {
        Self::set_parameters(self, values)
    }

    fn transfer(&mut self, tpdu: &[u8]) -> Result<Vec<u8>, SlotError> {
        Self::transfer(self, tpdu)
    }

    fn transfer_once(&mut self, tpdu: &[u8]) -> Result<Vec<u8>, SlotError> {
        Self::transfer_once(self, tpdu)
    }

    fn check_unchanged(&mut self) -> Result<(), SlotError> {
        Self::check_unchanged(self)
    }

    fn insertions(&self) -> u64 {
        Self::insertions(self)
    }

    fn counters(&self) -> Counters {
        Self::counters(self)
    }

    fn now(&self) -> Instant {
        Self::now(self)
    }

    fn set_limit(&mut self, limit: Option<Instant>) {
        Self::set_limit(self, limit);
    }
}
