//! A resident ID card reader on a serial line: find, select, read, each within its own deadline.
//! Never gives an answer to an earlier command as one to a later: the protocol numbers nothing, so every reading
//! ends with a question for the reader's status, and a byte too many before that is answered makes it an error.

use std::time::{Duration, Instant};

use crate::codec::sdt::{Answer, Command, Received, Receiver};
use crate::port::{CardPort, PortError};
use crate::resident_id::{ResidentId, ResidentIdError};

/// An SDT reader that has answered.
pub struct ResidentReader {
    port: Box<dyn CardPort>,
    receiver: Receiver,
    strays: u64,
    limit: Option<Instant>,
}

#[derive(Debug, thiserror::Error)]
pub enum ResidentReaderError {
    #[error("line to the reader failed")]
    Port(#[from] PortError),
    #[error("reader did not answer `{command}` within {} ms", waited.as_millis())]
    Timeout { command: &'static str, waited: Duration },
    #[error("answer to `{command}` came with a wrong checksum")]
    Checksum { command: &'static str },
    #[error("reader gave an answer that nobody waited for")]
    OutOfStep,
    #[error("reader is not authorised or failed its own test: code {code:02X}; call its maker")]
    Unfit { code: u8 },
    #[error("reader failed `{command}` with code {code:02X}")]
    Failed { command: &'static str, code: u8 },
    #[error("no card on the reader; lay one on it")]
    NoCard,
    #[error("card was taken away while it was read; lay it on the reader again")]
    Removed,
    #[error("blocks of the reader are no card")]
    Content(#[from] ResidentIdError),
}

impl ResidentReader {
    /// Asks the reader whether it is fit to work.
    pub fn open(port: Box<dyn CardPort>) -> Result<Self, ResidentReaderError> {
        let mut reader = Self { port, receiver: Receiver::new(), strays: 0, limit: None };
        reader.settle()?;
        Ok(reader)
    }

    /// Number of the security module, as the reader gives it.
    pub fn sam_id(&mut self) -> Result<Vec<u8>, ResidentReaderError> {
        Ok(self.good(Command::SamId)?.data.to_vec())
    }

    /// Whether a card was found that was not there before. Ask again every 200 to 300 ms; a card that was read
    /// is found again only after it was lifted.
    pub fn find(&mut self) -> Result<bool, ResidentReaderError> {
        let answer = self.command(Command::Find)?;
        match answer.code {
            0x9F => Ok(true),
            0x80 => Ok(false),
            code => Err(ResidentReaderError::Failed { command: Command::Find.name(), code }),
        }
    }

    /// Finds and reads a card, within fifteen seconds whatever happens.
    pub fn read_card(&mut self) -> Result<ResidentId, ResidentReaderError> {
        self.limited(|reader| {
            reader.settle()?;
            if reader.find()? { reader.read_selecting() } else { Err(ResidentReaderError::NoCard) }
        })
    }

    /// Reads the card that [`Self::find`] just found, within fifteen seconds whatever happens.
    pub fn read_found(&mut self) -> Result<ResidentId, ResidentReaderError> {
        self.limited(Self::read_selecting)
    }

    fn limited<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        self.limit = Some(self.port.now() + LIMIT);
        let result = work(self);
        self.limit = None;
        result
    }

    /// A damaged or missing answer to the reading itself is asked for once more.
    fn read_selecting(&mut self) -> Result<ResidentId, ResidentReaderError> {
        let selected = self.command(Command::Select)?;
        match selected.code {
            0x90 => {}
            0x81 => return Err(ResidentReaderError::Removed),
            code => return Err(ResidentReaderError::Failed { command: Command::Select.name(), code }),
        }
        let answer = match self.read_in_step() {
            Err(
                ResidentReaderError::Checksum { .. }
                | ResidentReaderError::Timeout { .. }
                | ResidentReaderError::OutOfStep,
            ) => {
                self.settle()?;
                self.read_in_step()?
            }
            other => other?,
        };
        match answer.code {
            0x90 => {}
            0x41 => return Err(ResidentReaderError::Removed),
            code => return Err(ResidentReaderError::Failed { command: Command::Read.name(), code }),
        }
        let (text, photo) = answer.text_and_photo().unwrap_or_default();
        Ok(ResidentId::parse(text, photo)?)
    }

    /// Bytes thrown away so far because they belong to no frame.
    pub fn dropped_bytes(&self) -> u64 {
        self.receiver.dropped_bytes()
    }

    pub fn now(&self) -> Instant {
        self.port.now()
    }

    /// A reader works off its commands one after another: once it has said how it is, nothing older can come.
    /// Anything besides the two answers may mean that the first was an older one.
    fn read_in_step(&mut self) -> Result<Answer, ResidentReaderError> {
        let odd = |reader: &Self| reader.strays + reader.receiver.dropped_bytes();
        let before = odd(self);
        let answer = self.command(Command::Read)?;
        self.settle()?;
        if odd(self) == before { Ok(answer) } else { Err(ResidentReaderError::OutOfStep) }
    }

    fn settle(&mut self) -> Result<(), ResidentReaderError> {
        let answer = match self.command(Command::Status) {
            Err(ResidentReaderError::Checksum { .. } | ResidentReaderError::Timeout { .. }) => {
                self.command(Command::Status)?
            }
            other => other?,
        };
        if answer.code == Command::Status.good() {
            Ok(())
        } else {
            Err(ResidentReaderError::Unfit { code: answer.code })
        }
    }

    fn good(&mut self, command: Command) -> Result<Answer, ResidentReaderError> {
        let answer = self.command(command)?;
        if answer.code == command.good() {
            Ok(answer)
        } else {
            Err(ResidentReaderError::Failed { command: command.name(), code: answer.code })
        }
    }

    fn command(&mut self, command: Command) -> Result<Answer, ResidentReaderError> {
        self.drain()?;
        let started = self.port.now();
        let reading = matches!(command, Command::Read | Command::ReadWithFinger);
        let span = started + if reading { READ } else { CONTROL };
        let deadline = self.limit.map_or(span, |limit| limit.min(span));
        self.receiver.await_answer(command);
        self.port.send(&command.frame(), deadline)?;
        let mut buffer = zeroize::Zeroizing::new([0; CHUNK]);
        let mut damaged = false;
        while self.port.now() < deadline {
            let count = self.port.receive(buffer.as_mut_slice(), deadline)?;
            self.receiver.push(buffer.get(..count).unwrap_or_default());
            while let Some(received) = self.receiver.poll() {
                match received {
                    Received::Answer(answer) => {
                        self.count_strays();
                        self.receiver.reset();
                        return Ok(answer);
                    }
                    Received::BadChecksum => damaged = true,
                    Received::Stray => self.strays += 1,
                }
            }
            if damaged {
                break;
            }
        }
        self.receiver.reset();
        let command = command.name();
        if damaged {
            return Err(ResidentReaderError::Checksum { command });
        }
        let waited = self.port.now().saturating_duration_since(started);
        Err(ResidentReaderError::Timeout { command, waited })
    }

    /// Takes everything already on the line, so that no old byte meets a new command; whole frames are counted.
    fn drain(&mut self) -> Result<(), ResidentReaderError> {
        let mut buffer = zeroize::Zeroizing::new([0; CHUNK]);
        self.receiver.reset();
        for _ in 0..DRAIN_READS {
            let now = self.port.now();
            let count = self.port.receive(buffer.as_mut_slice(), now)?;
            if count == 0 {
                break;
            }
            self.receiver.push(buffer.get(..count).unwrap_or_default());
            self.count_strays();
        }
        self.receiver.reset();
        Ok(())
    }

    /// Frames on the line that no command waits for.
    fn count_strays(&mut self) {
        while let Some(received) = self.receiver.poll() {
            self.strays += u64::from(received != Received::BadChecksum);
        }
    }
}

const CONTROL: Duration = Duration::from_secs(2);
/// An answer takes 112 ms at 115200 baud and 1.4 s at 9600, and the reader needs time with the card.
const READ: Duration = Duration::from_secs(5);
const LIMIT: Duration = Duration::from_secs(15);
const CHUNK: usize = 512;
/// A line that never falls silent is not drained for ever.
const DRAIN_READS: usize = 32;
