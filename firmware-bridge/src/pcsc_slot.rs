//! A card slot of the system's PC/SC service: USB readers, and whatever else has a driver there.
//! Never shares a card while it reads, never goes on after the service says that the card changed. How long one
//! exchange takes at most is the driver's choice; nothing is begun past the limit given.

use std::ffi::CString;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use pcsc::{
    Card, Context, Disposition, Error, MAX_BUFFER_SIZE, Protocols, ReaderState, Scope, ShareMode, State,
};

use crate::card_slot::CardSlot;
use crate::codec::ccid_serial::{Counters, SlotEvent};
use crate::port::PortError;
use crate::slot::{SlotError, SlotState};

/// One reader of the service.
pub struct PcscSlot {
    context: Context,
    reader: CString,
    card: Option<Card>,
    /// The service's count of insertions and removals when the card was powered.
    powered_at: Option<u32>,
    seen: Option<u32>,
    insertions: u64,
    limit: Option<Instant>,
}

impl PcscSlot {
    /// Names of the readers that the service has now.
    ///
    /// # Errors
    /// When there is no service.
    pub fn readers() -> Result<Vec<String>, SlotError> {
        let context = Context::establish(Scope::System).map_err(|e| failure("list readers", "", e))?;
        match context.list_readers_owned() {
            Ok(names) => Ok(names.iter().map(|name| name.to_string_lossy().into_owned()).collect()),
            Err(Error::NoReadersAvailable) => Ok(Vec::new()),
            Err(error) => Err(failure("list readers", "", error)),
        }
    }

    /// # Errors
    /// When the service has no reader of this name.
    pub fn open(reader: &str) -> Result<Self, SlotError> {
        let context = Context::establish(Scope::System).map_err(|e| failure("open", reader, e))?;
        let name = CString::new(reader).map_err(|_| failure("open", reader, Error::UnknownReader))?;
        let slot = Self {
            context,
            reader: name,
            card: None,
            powered_at: None,
            seen: None,
            insertions: 0,
            limit: None,
        };
        slot.look()?;
        Ok(slot)
    }

    /// State of the slot and the service's count of changes.
    fn look(&self) -> Result<(State, u32), SlotError> {
        let mut states = [ReaderState::new(self.reader.clone(), State::UNAWARE)];
        self.context
            .get_status_change(Duration::ZERO, &mut states)
            .map_err(|error| self.failure("slot status", error))?;
        let [state] = &states;
        if state.event_state().intersects(State::UNKNOWN | State::UNAVAILABLE | State::IGNORE) {
            return Err(self.failure("slot status", Error::ReaderUnavailable));
        }
        Ok((state.event_state(), state.event_count()))
    }

    /// Looks, and counts a card that was not there before.
    fn see(&mut self) -> Result<(SlotState, u32), SlotError> {
        let (state, count) = self.look()?;
        let present = state.contains(State::PRESENT);
        if present && self.seen != Some(count) {
            self.insertions += 1;
        }
        self.seen = Some(count);
        Ok((if present { SlotState::Present } else { SlotState::Absent }, count))
    }

    fn send(&mut self, tpdu: &[u8]) -> Result<Vec<u8>, SlotError> {
        if self.limit.is_some_and(|limit| Instant::now() >= limit) {
            return Err(SlotError::Timeout { request: "exchange", waited: Duration::ZERO });
        }
        let card = self.card.as_ref().ok_or(SlotError::NoCard)?;
        let mut buffer = [0; MAX_BUFFER_SIZE];
        let answer = card.transmit(tpdu, &mut buffer).map(<[u8]>::to_vec);
        answer.map_err(|error| self.failure("exchange", error))
    }

    fn failure(&self, request: &'static str, error: Error) -> SlotError {
        failure(request, &self.reader.to_string_lossy(), error)
    }
}

impl CardSlot for PcscSlot {
    fn status(&mut self) -> Result<SlotState, SlotError> {
        Ok(self.see()?.0)
    }

    fn power_on(&mut self) -> Result<Vec<u8>, SlotError> {
        let (state, count) = self.see()?;
        if state == SlotState::Absent {
            return Err(SlotError::NoCard);
        }
        let held = self.card.take().map(|mut card| {
            let again = card.reconnect(ShareMode::Exclusive, Protocols::T0, Disposition::UnpowerCard);
            again.map(|()| card)
        });
        let card = match held {
            Some(Ok(card)) => card,
            Some(Err(_)) | None => self
                .context
                .connect(&self.reader, ShareMode::Exclusive, Protocols::T0)
                .map_err(|error| self.failure("power on", error))?,
        };
        let atr = card.status2_owned().map(|status| status.atr().to_vec());
        let atr = atr.map_err(|error| self.failure("power on", error))?;
        self.card = Some(card);
        self.powered_at = Some(count);
        self.check_unchanged()?;
        Ok(atr)
    }

    fn power_off(&mut self) -> Result<(), SlotError> {
        let Some(card) = self.card.take() else { return Ok(()) };
        card.disconnect(Disposition::UnpowerCard).map_err(|(_, error)| self.failure("power off", error))
    }

    /// The driver negotiates by itself.
    fn set_parameters(&mut self, _values: [u8; 5]) -> Result<(), SlotError> {
        Ok(())
    }

    fn transfer(&mut self, tpdu: &[u8]) -> Result<Vec<u8>, SlotError> {
        self.send(tpdu)
    }

    /// The service repeats nothing that reached a card.
    fn transfer_once(&mut self, tpdu: &[u8]) -> Result<Vec<u8>, SlotError> {
        self.send(tpdu)
    }

    fn check_unchanged(&mut self) -> Result<(), SlotError> {
        let (state, count) = self.see()?;
        match (state, self.powered_at) {
            (SlotState::Absent, _) => Err(SlotError::Changed { event: SlotEvent::Removed }),
            (SlotState::Present, Some(then)) if then != count => {
                Err(SlotError::Changed { event: SlotEvent::Inserted })
            }
            (SlotState::Present, _) => Ok(()),
        }
    }

    fn insertions(&self) -> u64 {
        self.insertions
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn set_limit(&mut self, limit: Option<Instant>) {
        self.limit = limit;
    }
}

/// CCID 1.1, table 6.2-2: the code of a protocol that the card does not speak.
const NO_SUCH_PROTOCOL: u8 = 0xF6;

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "PC/SC has seventy errors; these few differ in what to do"
)]
fn failure(request: &'static str, reader: &str, error: Error) -> SlotError {
    let path = || if reader.is_empty() { "PC/SC service".to_owned() } else { reader.to_owned() };
    match error {
        Error::NoSmartcard => SlotError::NoCard,
        Error::RemovedCard => SlotError::Changed { event: SlotEvent::Removed },
        // Somebody else's reset, or a card pulled and pushed back in: what was selected is gone.
        Error::ResetCard => SlotError::Changed { event: SlotEvent::Inserted },
        Error::UnresponsiveCard | Error::UnpoweredCard => SlotError::Mute,
        Error::ProtoMismatch => SlotError::Failed { request, code: NO_SUCH_PROTOCOL },
        Error::SharingViolation => SlotError::Port(PortError::Busy { path: path() }),
        Error::NoService | Error::ServiceStopped | Error::UnknownReader | Error::ReaderUnavailable => {
            SlotError::Port(PortError::Lost { source: std::io::Error::new(ErrorKind::NotConnected, error) })
        }
        Error::Timeout => SlotError::Timeout { request, waited: Duration::ZERO },
        _ => SlotError::Port(PortError::Lost { source: std::io::Error::other(error) }),
    }
}
