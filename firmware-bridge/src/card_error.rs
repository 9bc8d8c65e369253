//! What can prevent the reading of one card, told apart by what somebody should do about it.
//! Never carries anything a card said about its holder.

use zhenyin_core::card::IdNumberError;

use crate::apdu::{ApduError, StatusWord};
use crate::atr::AtrError;
use crate::codec::ccid_serial::SlotEvent;
use crate::port::PortError;
use crate::slot::SlotError;
use crate::tlv::TlvError;

#[derive(Debug, thiserror::Error)]
pub enum CardReadError {
    #[error("no card in the reader; put one in")]
    NoCard,
    #[error("card was taken out while it was read; put it in again")]
    Removed,
    #[error("another card was put in while one was read; leave one card in")]
    Swapped,
    #[error("card does not answer; put it in the right way round")]
    Mute,
    #[error("answer to reset cannot be read: `{bytes}`; clean the card or try another")]
    Atr { bytes: String, source: AtrError },
    #[error("card does not speak T=0")]
    Protocol,
    #[error("card is not a social security card: status {status}")]
    NotSocialSecurity { status: StatusWord },
    #[error("card refused {step} with status {status}")]
    Refused { step: Step, status: StatusWord },
    #[error("record {tag:02X} of the card is not as it should be")]
    Record { tag: u8, source: TlvError },
    #[error("record {tag:02X} of the card has {found} bytes, not {wanted}")]
    RecordLength { tag: u8, wanted: usize, found: usize },
    #[error("specification version on the card is not a version")]
    Version,
    #[error("identity number on the card is not one")]
    IdNumber(#[from] IdNumberError),
    #[error("reader or card did not answer in time; put the card in again")]
    Timeout { source: SlotError },
    #[error("answers of the reader are damaged; check its cable")]
    Transmission { source: Box<ApduError> },
    #[error("reader is gone")]
    PortLost { source: PortError },
}

/// Where in the reading a card refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    SelectFile(u16),
    ReadRecord(u8),
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SelectFile(file) => write!(f, "SELECT {file:04X}"),
            Self::ReadRecord(tag) => write!(f, "READ RECORD {tag:02X}"),
        }
    }
}

impl CardReadError {
    /// Whether reading the same card again from the first SELECT, after powering it anew, may help.
    /// Everything sent while reading changes nothing on the card, so trying again costs nothing.
    pub(crate) fn worth_another_try(&self) -> bool {
        match self {
            Self::Mute
            | Self::Atr { .. }
            | Self::Record { .. }
            | Self::RecordLength { .. }
            | Self::Timeout { .. }
            | Self::Transmission { .. } => true,
            Self::NoCard
            | Self::Removed
            | Self::Swapped
            | Self::Protocol
            | Self::NotSocialSecurity { .. }
            | Self::Refused { .. }
            | Self::Version
            | Self::IdNumber(_)
            | Self::PortLost { .. } => false,
        }
    }
}

impl From<SlotError> for CardReadError {
    fn from(error: SlotError) -> Self {
        match error {
            SlotError::Port(source) => Self::PortLost { source },
            SlotError::Timeout { .. } => Self::Timeout { source: error },
            SlotError::Changed { event: SlotEvent::Removed } => Self::Removed,
            // An insertion while a card is powered means that it was taken out unseen.
            SlotError::Changed { event: SlotEvent::Inserted } => Self::Swapped,
            SlotError::NoCard => Self::Removed,
            SlotError::Mute => Self::Mute,
            SlotError::Frame(_)
            | SlotError::Checksum { .. }
            | SlotError::Refusing { .. }
            | SlotError::Failed { .. }
            | SlotError::OutOfStep
            | SlotError::NoSam { .. } => Self::Transmission { source: Box::new(ApduError::Slot(error)) },
        }
    }
}

impl From<ApduError> for CardReadError {
    fn from(error: ApduError) -> Self {
        match error {
            ApduError::Slot(error) => error.into(),
            ApduError::Short { .. } | ApduError::Long { .. } | ApduError::Unending { .. } => {
                Self::Transmission { source: Box::new(error) }
            }
        }
    }
}
