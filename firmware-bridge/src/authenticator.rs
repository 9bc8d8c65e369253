//! Opening the holder file of a 3.0 card: a challenge of the card, an answer from whoever has the key, and one
//! EXTERNAL AUTHENTICATE. Never has a key, never sends VERIFY, never sends an answer that was not made for this
//! very challenge, and never sends a second one.

mod psam;
mod remote;

use std::fmt;
use std::time::Duration;

use zhenyin_core::card::{CardAlgorithm, CardCode};

use crate::apdu::{self, ApduError, CommandApdu, StatusWord};
use crate::card_slot::CardSlot;
use crate::slot::SlotError;

pub use psam::{PsamAuthenticator, PsamScript, PsamScriptError};
pub use remote::{RemoteAnswer, RemoteAuthenticator, RemoteQuestion, RemoteRefusal};

/// Somebody who can answer the challenge of a card: a key server over the network, or a PSAM in the reader.
pub trait Authenticator: Send {
    /// Takes one challenge of the card and gives the answer made for it. The card stays powered meanwhile.
    fn answer(&mut self, card: &mut AskedCard<'_>) -> Result<ExternalAnswer, AuthenticationError>;
}

/// What is known of a card before its holder file is open. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct CardFacts {
    pub code: CardCode,
    pub algorithm: CardAlgorithm,
    /// Historical bytes of the answer to reset.
    pub historical: Vec<u8>,
}

/// The powered card while its challenge is being answered. All it can be asked is to prove itself, and for a challenge.
pub struct AskedCard<'a> {
    slot: &'a mut dyn CardSlot,
    facts: &'a CardFacts,
    issued: u64,
}

/// Eight random bytes of a card, good for one answer. Cannot be copied and is used up by it.
pub struct Challenge {
    bytes: [u8; 8],
    number: u64,
}

/// The answer to one challenge: result and process factor, eight bytes each.
pub struct ExternalAnswer {
    challenge: Challenge,
    bytes: [u8; 16],
}

/// Why a holder file stayed closed.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    #[error("no PSAM in the reader")]
    NoPsam,
    #[error("PSAM does not know the algorithm of this card")]
    PsamAlgorithm,
    #[error("PSAM has no key for this card")]
    PsamKey,
    #[error("PSAM refused line {line} of its script with status {status}")]
    PsamRefused { line: usize, status: StatusWord },
    #[error("PSAM does not answer as it should")]
    PsamFailed { source: ApduError },
    #[error("line {line} of the PSAM script cannot be filled in for this card")]
    PsamScript { line: usize },
    #[error("no answer from the key server within {} ms", waited.as_millis())]
    Late { waited: Duration },
    #[error("key server refused with code {code}")]
    Remote { code: i32 },
    #[error("key server cannot be reached")]
    Unreachable,
    #[error("answer was made for another challenge")]
    WrongChallenge,
    #[error("card did not prove itself: its answer differs from the key server's")]
    NotGenuine,
    #[error("card refused instruction {instruction:02X} with status {status}")]
    CardRefused { instruction: u8, status: StatusWord },
    #[error("card refused the answer with status {status}; nothing is sent again")]
    Refused { status: StatusWord },
    #[error("nobody knows whether the card took the answer; nothing is sent again")]
    Unknown { source: ApduError },
    #[error("exchange failed")]
    Exchange(#[from] ApduError),
}

impl AuthenticationError {
    /// The number that the national interface gives this error, where it has one.
    pub fn national_code(&self) -> Option<i32> {
        match self {
            Self::NoPsam => Some(-2201),
            Self::PsamAlgorithm => Some(-2202),
            Self::PsamKey => Some(-2203),
            Self::Remote { code } => Some(*code),
            Self::Refused { status }
            | Self::CardRefused { status, .. }
            | Self::PsamRefused { status, .. } => Some(-i32::from(status.0)),
            Self::PsamScript { .. }
            | Self::PsamFailed { .. }
            | Self::Late { .. }
            | Self::Unreachable
            | Self::WrongChallenge
            | Self::NotGenuine
            | Self::Unknown { .. }
            | Self::Exchange(_) => None,
        }
    }

    /// How many answers the card will still take, where it said so.
    pub fn tries_left(&self) -> Option<u8> {
        if let Self::Refused { status } = self { status.tries_left() } else { None }
    }

    /// Whether an answer was sent, so that this card must not be tried again by itself.
    pub fn was_sent(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Unknown { .. })
    }
}

impl AskedCard<'_> {
    pub fn facts(&self) -> &CardFacts {
        self.facts
    }

    pub fn now(&self) -> std::time::Instant {
        self.slot.now()
    }

    /// Lets the card show that it has its key. Costs no try.
    pub fn internal_proof(
        &mut self,
        factor: [u8; 8],
        source: [u8; 8],
    ) -> Result<Vec<u8>, AuthenticationError> {
        self.done(&CommandApdu::internal_authenticate(factor, source))
    }

    /// A fresh challenge; every earlier one is void from now on.
    pub fn challenge(&mut self) -> Result<Challenge, AuthenticationError> {
        let command = CommandApdu::challenge(8);
        let data = self.done(&command)?;
        let found = data.len();
        let bytes =
            data.try_into().map_err(|_| ApduError::Short { instruction: command.instruction(), found })?;
        self.issued += 1;
        Ok(Challenge { bytes, number: self.issued })
    }

    fn done(&mut self, command: &CommandApdu) -> Result<Vec<u8>, AuthenticationError> {
        let response = apdu::exchange(self.slot, command)?;
        if response.status != StatusWord::OK {
            let (instruction, status) = (command.instruction(), response.status);
            return Err(AuthenticationError::CardRefused { instruction, status });
        }
        Ok(response.data)
    }
}

impl Challenge {
    pub fn expose(&self) -> &[u8; 8] {
        &self.bytes
    }

    /// Joins the answer to the challenge it was made for.
    pub fn answered(self, bytes: [u8; 16]) -> ExternalAnswer {
        ExternalAnswer { challenge: self, bytes }
    }
}

/// Asks `authenticator` for the answer to a challenge of the card in `slot` and gives it to the card, once.
pub(crate) fn open_holder(
    slot: &mut dyn CardSlot,
    authenticator: &mut dyn Authenticator,
    facts: &CardFacts,
) -> Result<(), AuthenticationError> {
    let mut card = AskedCard { slot, facts, issued: 0 };
    let answer = authenticator.answer(&mut card)?;
    if answer.challenge.number != card.issued {
        return Err(AuthenticationError::WrongChallenge);
    }
    // A card that was exchanged during the round trip must not be charged for an answer made for another.
    slot.check_unchanged().map_err(ApduError::from)?;
    let response = apdu::exchange_once(slot, &CommandApdu::external_authenticate(&answer.bytes))
        .map_err(|source| AuthenticationError::Unknown { source })?;
    match response.status {
        StatusWord::OK => Ok(()),
        status => Err(AuthenticationError::Refused { status }),
    }
}

impl AuthenticationError {
    /// The failure of the card's own slot, which ends the reading; every other error only leaves the file closed.
    pub(crate) fn into_slot_error(self) -> Result<SlotError, Self> {
        if let Self::Exchange(ApduError::Slot(error)) | Self::Unknown { source: ApduError::Slot(error) } =
            self
        {
            Ok(error)
        } else {
            Err(self)
        }
    }
}

impl fmt::Debug for CardFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardFacts(…)")
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Challenge(…)")
    }
}

impl fmt::Debug for ExternalAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExternalAnswer(…)")
    }
}
