//! A PSAM with the toy key of the synthetic cards, in a slot of its own.
//! Never holds a real key, and never knows how its bytes would travel.

use std::time::Instant;

use firmware_bridge::card_slot::CardSlot;
use firmware_bridge::codec::ccid_serial::Counters;
use firmware_bridge::slot::{SlotError, SlotState};

use super::cards::toy_cipher;

/// Answers `80 FA 00 00 08` with the result for the challenge in it, once its directory DF01 is selected and the
/// key was derived with `BF DE`. The factor is the challenge itself.
pub struct SimulatedPsam {
    /// `None`: the slot is empty.
    key: Option<u8>,
    /// Whether the key can be derived.
    has_key: bool,
    ready: bool,
    pending: Vec<u8>,
}

impl SimulatedPsam {
    pub fn new(key: u8) -> Self {
        Self { key: Some(key), has_key: true, ready: false, pending: Vec::new() }
    }

    /// A slot without a PSAM.
    pub fn absent() -> Self {
        Self { key: None, ..Self::new(0) }
    }

    /// A PSAM of somebody else's.
    pub fn without_key() -> Self {
        Self { has_key: false, ..Self::new(0) }
    }
}

impl CardSlot for SimulatedPsam {
    fn status(&mut self) -> Result<SlotState, SlotError> {
        Ok(if self.key.is_some() { SlotState::Present } else { SlotState::Absent })
    }

    fn power_on(&mut self) -> Result<Vec<u8>, SlotError> {
        self.ready = false;
        self.key.map(|_| vec![0x3B, 0x00]).ok_or(SlotError::NoCard)
    }

    fn power_off(&mut self) -> Result<(), SlotError> {
        self.ready = false;
        Ok(())
    }

    fn set_parameters(&mut self, _values: [u8; 5]) -> Result<(), SlotError> {
        Ok(())
    }

    fn transfer(&mut self, tpdu: &[u8]) -> Result<Vec<u8>, SlotError> {
        let key = self.key.ok_or(SlotError::NoCard)?;
        let pending = std::mem::take(&mut self.pending);
        Ok(match tpdu {
            [0x00, 0xA4, 0, 0, 2, 0xDF, 0x01] => vec![0x90, 0x00],
            [0xBF, 0xDE, ..] if !self.has_key => vec![0x6A, 0x88],
            [0xBF, 0xDE, ..] => {
                self.ready = true;
                vec![0x90, 0x00]
            }
            [0x80, 0xFA, 0, 0, 8, challenge @ ..] if self.ready => {
                let challenge = <[u8; 8]>::try_from(challenge).unwrap_or_default();
                self.pending = toy_cipher(key, challenge, challenge).to_vec();
                vec![0x61, 0x08]
            }
            [0x00, 0xC0, ..] => [pending.as_slice(), &[0x90, 0x00]].concat(),
            _ => vec![0x69, 0x85],
        })
    }

    fn transfer_once(&mut self, tpdu: &[u8]) -> Result<Vec<u8>, SlotError> {
        self.transfer(tpdu)
    }

    fn check_unchanged(&mut self) -> Result<(), SlotError> {
        Ok(())
    }

    fn insertions(&self) -> u64 {
        1
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn set_limit(&mut self, _limit: Option<Instant>) {}
}
