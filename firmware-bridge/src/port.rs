//! The line to a reader: bytes out, bytes in, each call bounded in time.
//! Never interprets a byte, never waits past the deadline it was given, never reopens by itself.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use serialport::{DataBits, FlowControl, Parity, SerialPort, StopBits};

/// A line to a reader, together with the clock that its deadlines are measured on.
///
/// The clock belongs to the port so that a port without a device can let time pass at once.
pub trait CardPort: Send {
    fn now(&self) -> Instant;

    /// Hands every byte to the line, or fails.
    fn send(&mut self, bytes: &[u8], deadline: Instant) -> Result<(), PortError>;

    /// Waits for at least one byte and returns how many came; 0 means that the deadline passed.
    /// A deadline that has already passed takes only what is there.
    fn receive(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<usize, PortError>;
}

#[derive(Debug, thiserror::Error)]
pub enum PortError {
    #[error("no device at `{path}`; plug the reader in or correct the path")]
    Absent { path: String },
    #[error("port `{path}` is held by another program; stop it or choose another port")]
    Busy { path: String },
    #[error("port `{path}` could not be opened")]
    Open { path: String, source: serialport::Error },
    #[error("line to the reader is gone; reopen the port")]
    Lost { source: std::io::Error },
    #[error("line took only {sent} of {length} bytes in time")]
    Stalled { sent: usize, length: usize },
}

/// A serial port, opened for this process alone.
pub struct SerialCardPort {
    line: Box<dyn SerialPort>,
}

/// Speed and stop bits of a line; always 8 data bits, no parity, no flow control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineSettings {
    pub baud: u32,
    pub two_stop_bits: bool,
}

impl LineSettings {
    /// What libccid's serial driver sets (`ccid_serial.c`).
    pub const CCID: Self = Self { baud: BAUD_RATE, two_stop_bits: true };
    /// Resident ID readers, and card readers that keep to one stop bit.
    pub const ONE_STOP_BIT: Self = Self { baud: BAUD_RATE, two_stop_bits: false };
    /// ACS readers until somebody tells them otherwise; most scanners too.
    pub const SLOW: Self = Self { baud: 9600, two_stop_bits: false };
}

impl std::fmt::Display for LineSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} 8N{}", self.baud, if self.two_stop_bits { 2 } else { 1 })
    }
}

impl SerialCardPort {
    /// Opens `path` with the settings of CCID-serial readers.
    pub fn open(path: &str) -> Result<Self, PortError> {
        Self::open_with(path, LineSettings::CCID)
    }

    pub fn open_with(path: &str, settings: LineSettings) -> Result<Self, PortError> {
        let mut line = serialport::new(path, settings.baud)
            .data_bits(DataBits::Eight)
            .parity(Parity::None)
            .stop_bits(if settings.two_stop_bits { StopBits::Two } else { StopBits::One })
            .flow_control(FlowControl::None)
            .open()
            .map_err(|source| refused(path, source))?;
        // Readers behind a USB-serial bridge want DTR; pseudo-terminals have neither line and say so.
        let _ = line.write_data_terminal_ready(true);
        let _ = line.write_request_to_send(false);
        Ok(Self { line })
    }

    fn wait_until(&mut self, deadline: Instant) -> Result<(), PortError> {
        let span = deadline.saturating_duration_since(Instant::now());
        self.line.set_timeout(span).map_err(|source| PortError::Lost { source: source.into() })
    }
}

impl CardPort for SerialCardPort {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn send(&mut self, bytes: &[u8], deadline: Instant) -> Result<(), PortError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            self.wait_until(deadline)?;
            match self.line.write(rest) {
                Ok(0) => return Err(PortError::Lost { source: ErrorKind::WriteZero.into() }),
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(source) if passing(source.kind()) && Instant::now() < deadline => {}
                Err(source) if passing(source.kind()) => {
                    return Err(PortError::Stalled { sent: bytes.len() - rest.len(), length: bytes.len() });
                }
                Err(source) => return Err(PortError::Lost { source }),
            }
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<usize, PortError> {
        loop {
            self.wait_until(deadline)?;
            match self.line.read(buffer) {
                // A serial line has no end of file: none, unless the device is gone.
                Ok(0) => return Err(PortError::Lost { source: ErrorKind::UnexpectedEof.into() }),
                Ok(count) => return Ok(count),
                Err(source) if passing(source.kind()) && Instant::now() < deadline => {}
                Err(source) if passing(source.kind()) => return Ok(0),
                Err(source) => return Err(PortError::Lost { source }),
            }
        }
    }
}

const BAUD_RATE: u32 = 115_200;

/// Longest time that one byte takes on the line: start, 8 data and 2 stop bits.
pub const BYTE_TIME: Duration = Duration::from_nanos(11 * 1_000_000_000 / BAUD_RATE as u64);

fn passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// serialport reports both a lock held elsewhere and `EBUSY` as `NoDevice`, a missing file as `NotFound`.
fn refused(path: &str, source: serialport::Error) -> PortError {
    let path = path.to_owned();
    match source.kind {
        serialport::ErrorKind::NoDevice => PortError::Busy { path },
        serialport::ErrorKind::Io(ErrorKind::NotFound) => PortError::Absent { path },
        serialport::ErrorKind::InvalidInput
        | serialport::ErrorKind::Unknown
        | serialport::ErrorKind::Io(_) => PortError::Open { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_without_a_device_is_named() {
        let error = SerialCardPort::open("/nonexistent/reader").err().expect("nothing is there");
        assert!(matches!(&error, PortError::Absent { path } if path == "/nonexistent/reader"), "{error:?}");
    }

    #[test]
    fn a_file_that_is_no_line_is_refused() {
        let error = SerialCardPort::open("/dev/null").err().expect("not a terminal");
        assert!(matches!(error, PortError::Open { .. }), "{error:?}");
    }
}
