//! One reader at work, from its first answer to its loss: a slot, a plate for resident cards, or a scanner.
//! Never keeps what a card or a code said, and never takes what came before somebody asked.

use std::time::Duration;

use firmware_bridge::resident_id::{ResidentContent, ResidentId};
use firmware_bridge::resident_reader::{ResidentReader, ResidentReaderError};
use firmware_bridge::scanner::Scanner;
use firmware_bridge::{CardReadError, PortError, Reader, SlotState};
use zhenyin_core::act::CardEvent;
use zhenyin_core::fault::Fault;
use zhenyin_core::presented::{ResidentHolder, ScannedCode};

use super::line::{port_fault, reader_fault};
use super::{ReaderReport, Stop, Worker, card_fault};

/// Between two looks at the slot: quick while a card is awaited, easy on the line otherwise.
const POLL_WANTED: Duration = Duration::from_millis(100);
const POLL_IDLE: Duration = Duration::from_secs(2);
/// Readers of resident cards want to be asked this often (GA 450 programs: 200 to 300 ms).
const POLL_FIND: Duration = Duration::from_millis(250);

impl Worker {
    /// Says why it ended.
    pub(super) fn social_security(&mut self, mut reader: Reader) -> Result<Fault, Stop> {
        self.ready(reader.firmware());
        let mut read = None;
        loop {
            self.wait(if self.wanted { POLL_WANTED } else { POLL_IDLE })?;
            match reader.poll_slot() {
                Err(error) => return Ok(reader_fault(&error)),
                Ok(SlotState::Absent) => {
                    if read.take().is_some() {
                        self.tell(CardEvent::Removed);
                    }
                }
                // One insertion is read once for each wish; a changed count means another card.
                Ok(SlotState::Present) if self.wanted && read != Some(reader.insertions()) => {
                    let event = match reader.read_card() {
                        Ok(identity) => CardEvent::Read(Box::new(identity)),
                        Err(CardReadError::NoCard) => continue,
                        Err(CardReadError::PortLost { .. }) => return Ok(Fault::ReaderLost),
                        Err(error) => {
                            tracing::info!(%error, "card could not be read");
                            CardEvent::Failed(card_fault(&error))
                        }
                    };
                    if let Some(error) = reader.authentication_error() {
                        tracing::warn!(%error, code = error.national_code(), "holder data stay locked");
                    }
                    read = Some(reader.insertions());
                    self.tell(event);
                }
                Ok(SlotState::Present) => {
                    if !self.wanted {
                        read = None;
                    }
                }
            }
        }
    }

    /// A card that was read is found again only after it was lifted: the reader sees to that by itself.
    pub(super) fn resident(&mut self, mut reader: ResidentReader) -> Result<Fault, Stop> {
        self.ready("resident card reader");
        loop {
            self.wait(if self.wanted { POLL_FIND } else { POLL_IDLE })?;
            let read = if self.wanted {
                match reader.find() {
                    Ok(true) => Some(reader.read_found()),
                    Ok(false) => None,
                    Err(error) => return Ok(lost(&error)),
                }
            } else {
                // Only to notice that it is gone: looking for a card is for when somebody wants one.
                match reader.sam_id() {
                    Ok(_) => None,
                    Err(error) => return Ok(lost(&error)),
                }
            };
            match read {
                None | Some(Err(ResidentReaderError::NoCard)) => {}
                Some(Ok(id)) => self.tell(resident_event(&id)),
                Some(Err(error @ (ResidentReaderError::Port(_) | ResidentReaderError::Unfit { .. }))) => {
                    return Ok(lost(&error));
                }
                Some(Err(error)) => {
                    tracing::info!(%error, "resident card could not be read");
                    self.tell(CardEvent::Failed(resident_fault(&error)));
                }
            }
        }
    }

    pub(super) fn scanner(&mut self, mut scanner: Scanner) -> Result<Fault, Stop> {
        self.ready("scanner");
        let lost = |error: PortError| port_fault(&error);
        loop {
            let wanted_before = self.wanted;
            self.wait(if self.wanted { Duration::ZERO } else { POLL_IDLE })?;
            if !(self.wanted && wanted_before)
                && let Err(error) = scanner.forget()
            {
                return Ok(lost(error));
            }
            if !self.wanted {
                continue;
            }
            match scanner.scan(scanner.now() + POLL_WANTED) {
                Ok(None) => {}
                Ok(Some(Ok(token))) => {
                    let code = token.expose(scanner.now()).map(ScannedCode::new);
                    if let Some(code) = code {
                        (self.report)(ReaderReport::Code(code));
                    }
                }
                Ok(Some(Err(error))) => tracing::info!(%error, "scan thrown away"),
                Err(error) => return Ok(lost(error)),
            }
        }
    }

    fn ready(&mut self, firmware: &str) {
        self.said = None;
        (self.report)(ReaderReport::Ready { firmware: firmware.to_owned() });
    }

    fn tell(&mut self, event: CardEvent) {
        (self.report)(ReaderReport::Card(event));
    }
}

fn lost(error: &ResidentReaderError) -> Fault {
    if let ResidentReaderError::Port(error) = error { port_fault(error) } else { Fault::ReaderSilent }
}

/// A layout that nobody has described names nobody: that card is foreign to the agent.
fn resident_event(id: &ResidentId) -> CardEvent {
    let (number, name) = match &id.content {
        ResidentContent::Citizen(citizen) => (citizen.id_number.expose(), &citizen.name),
        ResidentContent::Foreigner(person) => (person.number.expose(), person.spoken_name()),
        ResidentContent::Unknown { .. } => return CardEvent::Failed(Fault::CardForeign),
    };
    CardEvent::Resident(Box::new(ResidentHolder::new(number, name.clone(), id.warnings.clone())))
}

fn resident_fault(error: &ResidentReaderError) -> Fault {
    match error {
        ResidentReaderError::NoCard | ResidentReaderError::Removed => Fault::CardRemoved,
        ResidentReaderError::Timeout { .. } => Fault::CardTimeout,
        ResidentReaderError::Checksum { .. } | ResidentReaderError::OutOfStep => Fault::CardTransmission,
        ResidentReaderError::Failed { .. } => Fault::CardUnanswering,
        ResidentReaderError::Content(_) => Fault::CardDamaged,
        ResidentReaderError::Port(_) | ResidentReaderError::Unfit { .. } => Fault::ReaderLost,
    }
}
