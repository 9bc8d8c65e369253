//! The reader thread: owns the serial port, watches the slot, reads a card when one is wanted.
//! Never keeps what a card said, and never gives up: a lost port is opened again with growing pauses.

mod line;
mod pcscd;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use firmware_bridge::{CardReadError, SlotState};
use zhenyin_core::act::CardEvent;
use zhenyin_core::fault::Fault;

use crate::config::ReaderChoice;

pub use line::{Line, LineError};

/// What the reader thread has to say.
#[derive(Debug)]
pub enum ReaderReport {
    /// The reader answers, and calls itself this.
    Ready {
        firmware: String,
    },
    Fault(Fault),
    Card(CardEvent),
}

/// Handle on the thread. Dropping it closes the port.
pub struct CardReaderThread {
    wanted: Option<Sender<bool>>,
    thread: Option<JoinHandle<()>>,
}

impl CardReaderThread {
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(
        choice: ReaderChoice,
        report: impl FnMut(ReaderReport) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (wanted, wishes) = channel();
        let worker = Worker { choice, report: Box::new(report), wishes, wanted: false, said: None };
        let thread = Builder::new().name("card-reader".to_owned()).spawn(move || worker.run())?;
        Ok(Self { wanted: Some(wanted), thread: Some(thread) })
    }

    /// Whether a card that is present or comes shall be read.
    pub fn set_wanted(&self, wanted: bool) {
        if let Some(sender) = &self.wanted {
            // The worker is only ever gone when the handle is.
            let _gone = sender.send(wanted);
        }
    }
}

impl Drop for CardReaderThread {
    fn drop(&mut self) {
        drop(self.wanted.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by the panic hook.
            let _panicked = thread.join();
        }
    }
}

/// Between two looks at the slot: quick while a card is awaited, easy on the line otherwise.
const POLL_WANTED: Duration = Duration::from_millis(100);
const POLL_IDLE: Duration = Duration::from_secs(2);
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_secs(30);

struct Worker {
    choice: ReaderChoice,
    report: Box<dyn FnMut(ReaderReport) + Send>,
    wishes: Receiver<bool>,
    wanted: bool,
    /// The fault last reported, so that a missing reader is said once and not every half second.
    said: Option<Fault>,
}

/// The owner is gone.
struct Stop;

impl Worker {
    fn run(mut self) {
        let mut pause = RETRY_FIRST;
        loop {
            let worked = catch_unwind(AssertUnwindSafe(|| self.session()));
            let fault = match worked {
                Ok(Err(Stop)) => return,
                Ok(Ok((fault, answered))) => {
                    if answered {
                        pause = RETRY_FIRST;
                    }
                    fault
                }
                Err(_) => Fault::WorkerPanicked,
            };
            if self.said != Some(fault) {
                self.said = Some(fault);
                (self.report)(ReaderReport::Fault(fault));
            }
            if self.wait(pause).is_err() {
                return;
            }
            pause = (pause * 2).min(RETRY_MOST);
        }
    }

    /// From opening the port to losing it; says why it ended and whether the reader ever answered.
    fn session(&mut self) -> Result<(Fault, bool), Stop> {
        let mut reader = match Line::open(&self.choice) {
            Ok(line) => line.reader,
            Err(error) => {
                tracing::debug!(%error, "card reader cannot be opened");
                return Ok((error.fault(), false));
            }
        };
        self.said = None;
        (self.report)(ReaderReport::Ready { firmware: reader.firmware().to_owned() });
        let mut read = None;
        loop {
            self.wait(if self.wanted { POLL_WANTED } else { POLL_IDLE })?;
            match reader.poll_slot() {
                Err(error) => return Ok((line::reader_fault(&error), true)),
                Ok(SlotState::Absent) => {
                    if read.take().is_some() {
                        (self.report)(ReaderReport::Card(CardEvent::Removed));
                    }
                }
                // One insertion is read once for each wish; a changed count means another card.
                Ok(SlotState::Present) if self.wanted && read != Some(reader.insertions()) => {
                    let event = match reader.read_card() {
                        Ok(identity) => CardEvent::Read(Box::new(identity)),
                        Err(CardReadError::NoCard) => continue,
                        Err(CardReadError::PortLost { .. }) => return Ok((Fault::ReaderLost, true)),
                        Err(error) => {
                            tracing::info!(%error, "card could not be read");
                            CardEvent::Failed(card_fault(&error))
                        }
                    };
                    read = Some(reader.insertions());
                    (self.report)(ReaderReport::Card(event));
                }
                Ok(SlotState::Present) => {
                    if !self.wanted {
                        read = None;
                    }
                }
            }
        }
    }

    /// Sleeps until the time is over or the wish changes.
    fn wait(&mut self, pause: Duration) -> Result<(), Stop> {
        match self.wishes.recv_timeout(pause) {
            Ok(wanted) => {
                self.wanted = wanted;
                Ok(())
            }
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(Stop),
        }
    }
}

/// What a failed reading is called in events and on the screen.
pub fn card_fault(error: &CardReadError) -> Fault {
    match error {
        CardReadError::NoCard | CardReadError::Removed => Fault::CardRemoved,
        CardReadError::Swapped => Fault::CardSwapped,
        CardReadError::Mute | CardReadError::Atr { .. } | CardReadError::Protocol => Fault::CardUnanswering,
        CardReadError::NotSocialSecurity { .. } => Fault::CardForeign,
        CardReadError::Refused { .. }
        | CardReadError::Record { .. }
        | CardReadError::RecordLength { .. }
        | CardReadError::Version
        | CardReadError::IdNumber(_) => Fault::CardDamaged,
        CardReadError::Timeout { .. } => Fault::CardTimeout,
        CardReadError::Transmission { .. } => Fault::CardTransmission,
        CardReadError::PortLost { .. } => Fault::ReaderLost,
    }
}
