//! The reader thread: owns one serial port and reads what is presented there when something is wanted.
//! Never keeps what a card said, and never gives up: a lost port is opened again with growing pauses.

mod key_server;
mod line;
mod pcscd;
mod session;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use firmware_bridge::CardReadError;
use zhenyin_core::act::CardEvent;
use zhenyin_core::fault::Fault;
use zhenyin_core::presented::ScannedCode;

use crate::config::ReaderChoice;

pub use key_server::KeyServer;
pub use line::{Device, Line, LineError};

/// What the reader thread has to say.
#[derive(Debug)]
pub enum ReaderReport {
    /// The reader answers, and calls itself this.
    Ready {
        firmware: String,
    },
    Fault(Fault),
    Card(CardEvent),
    Code(ScannedCode),
}

/// Handle on the thread. Dropping it closes the port.
pub struct CardReaderThread {
    wanted: Option<Sender<bool>>,
    thread: Option<JoinHandle<()>>,
}

impl CardReaderThread {
    /// `key_server` is asked where `choice` says `remote`.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(
        choice: ReaderChoice,
        key_server: Option<KeyServer>,
        report: impl FnMut(ReaderReport) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (wanted, wishes) = channel();
        let report = Box::new(report);
        let worker = Worker { choice, key_server, report, wishes, wanted: false, said: None };
        let thread = Builder::new().name("card-reader".to_owned()).spawn(move || worker.run())?;
        Ok(Self { wanted: Some(wanted), thread: Some(thread) })
    }

    /// Whether what is present or comes shall be read.
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

const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_secs(30);

struct Worker {
    choice: ReaderChoice,
    key_server: Option<KeyServer>,
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
        let line = match Line::open(&self.choice, self.key_server.as_ref()) {
            Ok(line) => line,
            Err(error) => {
                tracing::debug!(%error, "reader cannot be opened");
                return Ok((error.fault(), false));
            }
        };
        let fault = match line.device {
            Device::SocialSecurity(reader) => self.social_security(reader),
            Device::Resident(reader) => self.resident(reader),
            Device::Scanner(scanner) => self.scanner(scanner),
        };
        Ok((fault?, true))
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
