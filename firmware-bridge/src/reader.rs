//! A reader with one slot: opened, asked whether a card is in it, asked to read that card.
//! Never keeps anything of a card after the reading, and never reopens its port: that is its owner's choice.

use std::time::{Duration, Instant};

use zhenyin_core::card::CardIdentity;

use crate::apdu::{self, ApduError, CommandApdu, ResponseApdu};
use crate::atr::Atr;
use crate::authenticator::{AuthenticationError, Authenticator};
use crate::card_error::CardReadError;
use crate::card_slot::CardSlot;
use crate::codec::ccid_serial::Counters;
use crate::port::{CardPort, PortError};
use crate::sam_slot::{self, SamSlot};
use crate::slot::{Slot, SlotError, SlotState};
use crate::social_security::{self, Progress};

/// A reader that has answered.
pub struct Reader {
    slot: Box<dyn CardSlot>,
    firmware: String,
    authenticator: Option<Box<dyn Authenticator>>,
    authentication: Option<AuthenticationError>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    #[error("line to the reader is gone")]
    PortLost { source: PortError },
    #[error("nothing on the line speaks the reader's protocol; {noise} bytes of something else came")]
    NoProtocol { noise: u64, source: SlotError },
    #[error("reader does not answer as it should")]
    Faulty { source: SlotError },
}

impl Reader {
    /// Asks who is on the line; one more time when the first answer was noise.
    pub fn open(port: Box<dyn CardPort>) -> Result<Self, ReaderError> {
        Self::open_slot(Slot::new(port))
    }

    /// The same for a slot with another framing than CCID-serial.
    pub fn open_slot(mut slot: Slot) -> Result<Self, ReaderError> {
        let firmware = greet(&mut slot)?;
        Ok(Self::over(Box::new(slot), firmware))
    }

    /// A reader with a SAM in its slot `number`, which the second value reaches.
    pub fn open_with_sam(mut slot: Slot, number: u8) -> Result<(Self, SamSlot), ReaderError> {
        let firmware = greet(&mut slot)?;
        let (card, sam) = sam_slot::share(slot, number);
        Ok((Self::over(Box::new(card), firmware), sam))
    }

    /// A slot that has answered by itself already, such as one of PC/SC.
    pub fn over(slot: Box<dyn CardSlot>, firmware: String) -> Self {
        Self { slot, firmware, authenticator: None, authentication: None }
    }

    /// Who opens the holder file of 3.0 cards from now on; without one it stays locked.
    pub fn set_authenticator(&mut self, authenticator: Option<Box<dyn Authenticator>>) {
        self.authenticator = authenticator;
    }

    /// Why the last reading left the holder file locked although somebody was asked to open it.
    pub fn authentication_error(&self) -> Option<&AuthenticationError> {
        self.authentication.as_ref()
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
    /// once more from the reset, unless the card was taken out or exchanged meanwhile, or was given an answer to
    /// its challenge: a second reading never tells of another card than the first one began with.
    pub fn read_card(&mut self) -> Result<CardIdentity, CardReadError> {
        self.slot.set_limit(Some(self.slot.now() + LIMIT));
        self.authentication = None;
        let mut first = Attempt::default();
        let mut result = self.read_once(&mut first);
        if result.as_ref().is_err_and(CardReadError::worth_another_try)
            && !first.progress.answer_sent
            && matches!(self.slot.status(), Ok(SlotState::Present))
        {
            let mut second = Attempt::default();
            result = self.read_once(&mut second);
            if second.is_of_another_card(&first) {
                result = Err(CardReadError::Swapped);
            }
            first = second;
        }
        self.authentication = first.progress.authentication;
        self.slot.set_limit(None);
        result
    }

    /// The clock that deadlines are measured on.
    pub fn now(&self) -> Instant {
        self.slot.now()
    }

    /// Powers the card and returns its answer to reset.
    pub fn reset_card(&mut self) -> Result<Vec<u8>, CardReadError> {
        let bytes = self.slot.power_on().map_err(|error| {
            if matches!(error, SlotError::NoCard) { CardReadError::NoCard } else { error.into() }
        })?;
        let atr = Atr::parse(&bytes).map_err(|source| CardReadError::Atr { bytes: hex(&bytes), source })?;
        if !atr.offers_t0() {
            return Err(CardReadError::Protocol);
        }
        self.slot.set_parameters(atr.t0_parameters())?;
        Ok(bytes)
    }

    /// One command to the card that was reset, for diagnosis.
    pub fn exchange(&mut self, command: &CommandApdu) -> Result<ResponseApdu, ApduError> {
        apdu::exchange(self.slot.as_mut(), command)
    }

    /// Takes the power from the card.
    pub fn release_card(&mut self) {
        // Whatever the reader says to this: the next reading begins with a reset anyway.
        let _ = self.slot.power_off();
    }

    fn read_once(&mut self, attempt: &mut Attempt) -> Result<CardIdentity, CardReadError> {
        let result = self.power_and_read(attempt);
        self.release_card();
        result
    }

    fn power_and_read(&mut self, attempt: &mut Attempt) -> Result<CardIdentity, CardReadError> {
        let bytes = self.reset_card()?;
        attempt.insertions = Some(self.slot.insertions());
        let atr = Atr::parse(&bytes).map_err(|source| CardReadError::Atr { bytes: hex(&bytes), source })?;
        let authenticator = self.authenticator.as_mut().map(|inner| inner.as_mut() as &mut dyn Authenticator);
        social_security::read(self.slot.as_mut(), atr.historical(), authenticator, &mut attempt.progress)
    }
}

/// Asks who is on the line; one more time when the first answer was noise.
fn greet(slot: &mut Slot) -> Result<String, ReaderError> {
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
    Ok(firmware)
}

/// One way through a card, from the reset on.
#[derive(Default)]
struct Attempt {
    /// Count of insertions when the card answered its reset.
    insertions: Option<u64>,
    progress: Progress,
}

impl Attempt {
    /// Whether anything says that the card changed since `earlier`.
    fn is_of_another_card(&self, earlier: &Self) -> bool {
        let differs = |(now, then)| now != then;
        self.insertions.zip(earlier.insertions).is_some_and(differs)
            || self.progress.code.as_ref().zip(earlier.progress.code.as_ref()).is_some_and(|(a, b)| a != b)
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
            | SlotError::OutOfStep
            | SlotError::NoSam { .. } => Self::Faulty { source: error },
        }
    }
}
