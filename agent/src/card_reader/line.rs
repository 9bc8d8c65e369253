//! Opening a reader: is the port ours, what speaks on it, and does it answer.
//! Never opens a port that pcscd is set up to use: both would steal each other's answers.

use std::path::PathBuf;

use firmware_bridge::codec::acs::AcsFraming;
use firmware_bridge::probe::{Attempt, ProbeError, Protocol, probe};
use firmware_bridge::slot::Slot;
use firmware_bridge::{CardPort, LineSettings, PortError, Reader, ReaderError, SerialCardPort};
use zhenyin_core::fault::Fault;

use super::pcscd;
use crate::config::{ReaderChoice, ReaderCodec};

/// A reader that answers, and how it was reached.
pub struct Line {
    pub reader: Reader,
    pub spoken: Attempt,
}

#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error("pcscd is set up to use this port in `{}`: take it out there, or choose another", file.display())]
    Shared { file: PathBuf },
    #[error(transparent)]
    Port(#[from] PortError),
    #[error("port cannot be asked what speaks on it")]
    Probe(#[source] ProbeError),
    #[error("a reader for {found} is on the line, which reads no social security cards")]
    OtherReader { found: Protocol },
    #[error(transparent)]
    Reader(#[from] ReaderError),
}

impl Line {
    /// # Errors
    /// Names what keeps the reader from being used.
    pub fn open(choice: &ReaderChoice) -> Result<Self, LineError> {
        if let Some(file) = pcscd::claims(&choice.port, &pcscd::PLACES) {
            return Err(LineError::Shared { file });
        }
        let path = choice.port.to_string_lossy();
        let open = |settings: LineSettings| -> Result<Box<dyn CardPort>, PortError> {
            Ok(Box::new(SerialCardPort::open_with(&path, settings)?))
        };
        let spoken = match choice.codec {
            ReaderCodec::Auto => probe(open).map_err(|error| match error {
                ProbeError::Port(port) => LineError::Port(port),
                silent @ ProbeError::NoProtocol { .. } => LineError::Probe(silent),
            })?,
            ReaderCodec::CcidSerial => {
                Attempt { protocol: Protocol::CcidSerial, settings: LineSettings::CCID }
            }
            ReaderCodec::Acs => Attempt { protocol: Protocol::Acs, settings: LineSettings::SLOW },
        };
        let slot = match spoken.protocol {
            Protocol::CcidSerial => Slot::new(open(spoken.settings)?),
            Protocol::Acs => Slot::with_framing(open(spoken.settings)?, Box::new(AcsFraming::new())),
            Protocol::Sdt => return Err(LineError::OtherReader { found: spoken.protocol }),
        };
        Ok(Self { reader: Reader::open_slot(slot)?, spoken })
    }
}

impl LineError {
    pub fn fault(&self) -> Fault {
        match self {
            Self::Shared { .. } => Fault::ReaderShared,
            Self::Port(error) => port_fault(error),
            Self::Probe(ProbeError::Port(error)) => port_fault(error),
            Self::Probe(ProbeError::NoProtocol { .. }) | Self::OtherReader { .. } => Fault::ReaderSilent,
            Self::Reader(error) => reader_fault(error),
        }
    }
}

fn port_fault(error: &PortError) -> Fault {
    match error {
        PortError::Absent { .. } => Fault::ReaderAbsent,
        PortError::Busy { .. } => Fault::ReaderBusy,
        PortError::Open { .. } | PortError::Lost { .. } | PortError::Stalled { .. } => Fault::ReaderLost,
    }
}

pub(super) fn reader_fault(error: &ReaderError) -> Fault {
    match error {
        ReaderError::PortLost { .. } => Fault::ReaderLost,
        ReaderError::NoProtocol { .. } | ReaderError::Faulty { .. } => Fault::ReaderSilent,
    }
}
