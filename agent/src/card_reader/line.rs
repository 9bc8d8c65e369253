//! Opening a reader: is the port ours, what speaks on it, does it answer, and who opens locked cards for it.
//! Never opens a port that pcscd is set up to use: both would steal each other's answers.

use std::path::PathBuf;

use firmware_bridge::authenticator::{Authenticator, PsamAuthenticator};
use firmware_bridge::codec::acs::AcsFraming;
use firmware_bridge::codec::ccid_serial::Receiver;
use firmware_bridge::codec::framing::Framing;
use firmware_bridge::codec::line_scan::Ending;
use firmware_bridge::codec::stx::{StxFraming, StxTableError};
use firmware_bridge::probe::{ProbeError, Protocol, probe};
use firmware_bridge::resident_reader::{ResidentReader, ResidentReaderError};
use firmware_bridge::scanner::Scanner;
use firmware_bridge::slot::Slot;
use firmware_bridge::{CardPort, LineSettings, PortError, Reader, ReaderError, SerialCardPort};
use zhenyin_core::fault::Fault;

use super::key_server::{KeyServer, authenticator};
use super::pcscd;
use crate::config::{AuthenticatorChoice, ReaderChoice, ReaderCodec};

/// A reader that answers, and how it was reached.
pub struct Line {
    pub device: Device,
    pub protocol: &'static str,
    pub settings: LineSettings,
}

/// What is on a line.
pub enum Device {
    SocialSecurity(Reader),
    Resident(ResidentReader),
    Scanner(Scanner),
}

#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error("pcscd is set up to use this port in `{}`: take it out there, or choose another", file.display())]
    Shared { file: PathBuf },
    #[error(transparent)]
    Port(#[from] PortError),
    #[error("port cannot be asked what speaks on it")]
    Probe(#[source] ProbeError),
    #[error("table of the reader describes no framing")]
    Table(#[from] StxTableError),
    #[error("no thread to ask the key server with")]
    Thread(#[source] std::io::Error),
    #[error(transparent)]
    Reader(#[from] ReaderError),
    #[error(transparent)]
    ResidentReader(#[from] ResidentReaderError),
}

impl Line {
    /// `key_server` is asked where `choice` says `remote`.
    ///
    /// # Errors
    /// Names what keeps the reader from being used.
    pub fn open(choice: &ReaderChoice, key_server: Option<&KeyServer>) -> Result<Self, LineError> {
        if let Some(file) = pcscd::claims(&choice.port, &pcscd::PLACES) {
            return Err(LineError::Shared { file });
        }
        let path = choice.port.to_string_lossy();
        let open = |settings: LineSettings| -> Result<Box<dyn CardPort>, PortError> {
            Ok(Box::new(SerialCardPort::open_with(&path, settings)?))
        };
        let (spoken, usual) = spoken(&choice.codec, open)?;
        let settings = LineSettings { baud: choice.baud.unwrap_or(usual.baud), ..usual };
        let slot = |framing: Box<dyn Framing>| -> Result<Device, LineError> {
            let slot = Slot::with_framing(open(settings)?, framing);
            Ok(Device::SocialSecurity(reader(slot, choice.authenticator.as_ref(), key_server)?))
        };
        let (device, protocol) = match spoken {
            Spoken::CcidSerial => (slot(Box::new(Receiver::new(0)))?, "ccid-serial"),
            Spoken::Acs => (slot(Box::new(AcsFraming::new()))?, "acs"),
            Spoken::Stx(framing) => (slot(framing)?, "stx"),
            Spoken::Sdt => (Device::Resident(ResidentReader::open(open(settings)?)?), "sdt"),
            Spoken::LineScan => (Device::Scanner(Scanner::new(open(settings)?, Ending::Either)), "line-scan"),
        };
        Ok(Self { device, protocol, settings })
    }
}

enum Spoken {
    CcidSerial,
    Acs,
    Stx(Box<StxFraming>),
    Sdt,
    LineScan,
}

/// What the configuration says is on the line, or what answers there; and the usual settings of that.
fn spoken(
    codec: &ReaderCodec,
    open: impl FnMut(LineSettings) -> Result<Box<dyn CardPort>, PortError>,
) -> Result<(Spoken, LineSettings), LineError> {
    Ok(match codec {
        ReaderCodec::Auto => {
            let found = probe(open).map_err(|error| match error {
                ProbeError::Port(port) => LineError::Port(port),
                silent @ ProbeError::NoProtocol { .. } => LineError::Probe(silent),
            })?;
            let spoken = match found.protocol {
                Protocol::CcidSerial => Spoken::CcidSerial,
                Protocol::Acs => Spoken::Acs,
                Protocol::Sdt => Spoken::Sdt,
            };
            (spoken, found.settings)
        }
        ReaderCodec::CcidSerial => (Spoken::CcidSerial, LineSettings::CCID),
        ReaderCodec::Acs => (Spoken::Acs, LineSettings::SLOW),
        ReaderCodec::Stx(table) => {
            (Spoken::Stx(Box::new(StxFraming::new((**table).clone())?)), LineSettings::SLOW)
        }
        ReaderCodec::Sdt => (Spoken::Sdt, LineSettings::ONE_STOP_BIT),
        ReaderCodec::LineScan => (Spoken::LineScan, LineSettings::SLOW),
    })
}

fn reader(
    slot: Slot,
    choice: Option<&AuthenticatorChoice>,
    key_server: Option<&KeyServer>,
) -> Result<Reader, LineError> {
    let (mut reader, opener): (Reader, Option<Box<dyn Authenticator>>) = match (choice, key_server) {
        (Some(AuthenticatorChoice::Psam { script, slot: number }), _) => {
            let (reader, sam) = Reader::open_with_sam(slot, *number)?;
            (reader, Some(Box::new(PsamAuthenticator::new(script.clone(), Box::new(sam)))))
        }
        (Some(AuthenticatorChoice::Remote { patience }), Some(server)) => {
            let opener = authenticator(server, *patience).map_err(LineError::Thread)?;
            (Reader::open_slot(slot)?, Some(Box::new(opener)))
        }
        (Some(AuthenticatorChoice::Remote { .. }), None) | (None, _) => (Reader::open_slot(slot)?, None),
    };
    reader.set_authenticator(opener);
    Ok(reader)
}

impl LineError {
    pub fn fault(&self) -> Fault {
        match self {
            Self::Shared { .. } => Fault::ReaderShared,
            Self::Port(error) | Self::ResidentReader(ResidentReaderError::Port(error)) => port_fault(error),
            Self::Probe(ProbeError::Port(error)) => port_fault(error),
            Self::Probe(ProbeError::NoProtocol { .. })
            | Self::Table(_)
            | Self::Thread(_)
            | Self::ResidentReader(_) => Fault::ReaderSilent,
            Self::Reader(error) => reader_fault(error),
        }
    }
}

pub(super) fn port_fault(error: &PortError) -> Fault {
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
