//! A reader with one slot: opened, asked whether a card is in it, asked to read that card.
//! Never keeps anything of a card after the reading, and never reopens its port: that is its owner's choice.

use std::time::Duration;

use zhenyin_core::card::CardIdentity;

use crate::atr::Atr;
use crate::card_error::CardReadError;
use crate::codec::ccid_serial::Counters;
use crate::port::{CardPort, PortError};
use crate::slot::{Slot, SlotError, SlotState};
use crate::social_security;

/// A CCID-serial reader that has answered.
pub struct Reader {
    slot: Slot,
    firmware: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    #[error("line to the reader is gone")]
    PortLost { source: PortError },
    #[error("nothing on the line speaks CCID-serial; {noise} bytes of something else came")]
    NoProtocol { noise: u64, source: SlotError },
    #[error("reader does not answer as it should")]
    Faulty { source: SlotError },
}

impl Reader {
    /// Asks who is on the line; one more time when the first answer was noise.
    pub fn open(port: Box<dyn CardPort>) -> Result<Self, ReaderError> {
        let mut slot = Slot::new(port);
        let mut answer = slot.firmware();
        if answer.is_err() && slot.counters() != Counters::default() {
            answer = slot.firmware();
        }
        let noise = slot.counters().dropped_bytes;
        let firmware = answer.map_err(|error| match ReaderError::from(error) {
            ReaderError::Faulty { source } => ReaderError::NoProtocol { noise, source },
            lost @ (ReaderError::PortLost { .. } | ReaderError::NoProtocol { .. }) => lost,
        })?;
        slot.notify_changes()?;
        Ok(Self { slot, firmware })
    }

    /// What the reader calls itself; empty when it does not say.
    pub fn firmware(&self) -> &str {
        &self.firmware
    }

    /// Whether a card is in the slot. Takes a few milliseconds; two seconds when the reader says nothing.
    pub fn poll_slot(&mut self) -> Result<SlotState, ReaderError> {
        Ok(self.slot.status()?)
    }

    /// Counts the cards put in. A number that changed since the last reading means another card, even when no
    /// poll found the slot empty in between, as far as the reader tells of changes.
    pub fn insertions(&self) -> u64 {
        self.slot.insertions()
    }

    /// What the line did so far, for diagnosis.
    pub fn counters(&self) -> Counters {
        self.slot.counters()
    }

    /// Reads the card in the slot, within a minute whatever happens. A reading that failed on the way is begun
    /// once more from the reset; a card that was taken out or exchanged is not.
    pub fn read_card(&mut self) -> Result<CardIdentity, CardReadError> {
        self.slot.set_limit(Some(self.slot.now() + LIMIT));
        let mut result = self.read_once();
        if result.as_ref().is_err_and(CardReadError::worth_another_try)
            && matches!(self.slot.status(), Ok(SlotState::Present))
        {
            result = self.read_once();
        }
        self.slot.set_limit(None);
        result
    }

    fn read_once(&mut self) -> Result<CardIdentity, CardReadError> {
        let result = self.power_and_read();
        // The reading stands whatever the reader says to this, and the next one begins with a reset anyway.
        let _ = self.slot.power_off();
        result
    }

    fn power_and_read(&mut self) -> Result<CardIdentity, CardReadError> {
        let bytes = self.slot.power_on().map_err(|error| {
            if matches!(error, SlotError::NoCard) { CardReadError::NoCard } else { error.into() }
        })?;
        let atr = Atr::parse(&bytes).map_err(|source| CardReadError::Atr { bytes: hex(&bytes), source })?;
        if !atr.offers_t0() {
            return Err(CardReadError::Protocol);
        }
        self.slot.set_parameters(atr.t0_parameters())?;
        social_security::read(&mut self.slot)
    }
}

/// The bytes an answer to reset can have at most; a longer one is cut for the eye.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(33).map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ")
}

const LIMIT: Duration = Duration::from_secs(60);

impl From<SlotError> for ReaderError {
    fn from(error: SlotError) -> Self {
        match error {
            SlotError::Port(source) => Self::PortLost { source },
            SlotError::Frame(_)
            | SlotError::Timeout { .. }
            | SlotError::Checksum { .. }
            | SlotError::Refusing { .. }
            | SlotError::Changed { .. }
            | SlotError::NoCard
            | SlotError::Mute
            | SlotError::Failed { .. }
            | SlotError::OutOfStep => Self::Faulty { source: error },
        }
    }
}
