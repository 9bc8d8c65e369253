//! Two slots of one reader on one line: the card's, and a SAM's that answers for the card.
//! Never lets what the reader says of the card be lost while the SAM is asked: both ends share one [`Slot`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::card_slot::CardSlot;
use crate::codec::ccid_serial::{Answer, Counters, Request, Voltage};
use crate::slot::{Slot, SlotError, SlotState, failure};

/// The card's end.
pub struct SharedSlot(Arc<Mutex<Slot>>);

/// The SAM's end. Who holds it asks nothing while the other end is at work: both belong to one reading.
pub struct SamSlot {
    slot: Arc<Mutex<Slot>>,
    number: u8,
    limit: Option<Instant>,
}

/// Makes two ends of a slot; `number` is the SAM's in the reader's own counting.
pub fn share(slot: Slot, number: u8) -> (SharedSlot, SamSlot) {
    let slot = Arc::new(Mutex::new(slot));
    (SharedSlot(Arc::clone(&slot)), SamSlot { slot, number, limit: None })
}

impl SamSlot {
    fn ask(&mut self, request: &Request<'_>) -> Result<Answer, SlotError> {
        let mut slot = lock(&self.slot);
        let outer = slot.limit();
        slot.set_limit(match (outer, self.limit) {
            (Some(outer), Some(own)) => Some(outer.min(own)),
            (one, other) => one.or(other),
        });
        let answer = slot.ask_sam(self.number, request);
        slot.set_limit(outer);
        answer
    }

    /// The answer's data, unless it tells of a failure.
    fn good(&mut self, request: &Request<'_>) -> Result<Vec<u8>, SlotError> {
        let answer = self.ask(request)?;
        if answer.failed() { Err(failure(request.name(), &answer)) } else { Ok(answer.data) }
    }
}

impl CardSlot for SamSlot {
    fn status(&mut self) -> Result<SlotState, SlotError> {
        let answer = self.ask(&Request::SlotStatus)?;
        Ok(if answer.card_absent() { SlotState::Absent } else { SlotState::Present })
    }

    fn power_on(&mut self) -> Result<Vec<u8>, SlotError> {
        self.good(&Request::PowerOn(Voltage::Five))
    }

    fn power_off(&mut self) -> Result<(), SlotError> {
        self.ask(&Request::PowerOff).map(drop)
    }

    /// The reader's defaults do for a PSAM.
    fn set_parameters(&mut self, _values: [u8; 5]) -> Result<(), SlotError> {
        Ok(())
    }

    fn transfer(&mut self, tpdu: &[u8]) -> Result<Vec<u8>, SlotError> {
        self.good(&Request::Transfer(tpdu))
    }

    /// A PSAM script sends nothing that must not reach a PSAM twice.
    fn transfer_once(&mut self, tpdu: &[u8]) -> Result<Vec<u8>, SlotError> {
        self.transfer(tpdu)
    }

    /// Nobody takes a SAM out at the counter.
    fn check_unchanged(&mut self) -> Result<(), SlotError> {
        Ok(())
    }

    fn insertions(&self) -> u64 {
        1
    }

    fn counters(&self) -> Counters {
        lock(&self.slot).counters()
    }

    fn now(&self) -> Instant {
        lock(&self.slot).now()
    }

    fn set_limit(&mut self, limit: Option<Instant>) {
        self.limit = limit;
    }
}

impl CardSlot for SharedSlot {
    fn status(&mut self) -> Result<SlotState, SlotError> {
        lock(&self.0).status()
    }

    fn power_on(&mut self) -> Result<Vec<u8>, SlotError> {
        lock(&self.0).power_on()
    }

    fn power_off(&mut self) -> Result<(), SlotError> {
        lock(&self.0).power_off()
    }

    fn set_parameters(&mut self, values: [u8; 5]) -> Result<(), SlotError> {
        lock(&self.0).set_parameters(values)
    }

    fn transfer(&mut self, tpdu: &[u8]) -> Result<Vec<u8>, SlotError> {
        lock(&self.0).transfer(tpdu)
    }

    fn transfer_once(&mut self, tpdu: &[u8]) -> Result<Vec<u8>, SlotError> {
        lock(&self.0).transfer_once(tpdu)
    }

    fn check_unchanged(&mut self) -> Result<(), SlotError> {
        lock(&self.0).check_unchanged()
    }

    fn insertions(&self) -> u64 {
        lock(&self.0).insertions()
    }

    fn counters(&self) -> Counters {
        lock(&self.0).counters()
    }

    fn now(&self) -> Instant {
        lock(&self.0).now()
    }

    fn set_limit(&mut self, limit: Option<Instant>) {
        lock(&self.0).set_limit(limit);
    }
}

/// A panic at one end drops the reader with both; what is left of it may still be closed.
fn lock(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
