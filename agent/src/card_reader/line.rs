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
    /// Speed and stop bits; of a reader behind PC/SC its name.
    pub settings: String,
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
    #[error("this build has no PC/SC: build with feature `pcsc`")]
    NoPcsc,
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
        if choice.codec == ReaderCodec::Pcsc {
            return over_pcsc(choice, key_server);
        }
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
            Ok(Device::SocialSecurity(reader(slot, choice, key_server)?))
        };
        let (device, protocol) = match spoken {
            Spoken::CcidSerial => (slot(Box::new(Receiver::new(0)))?, "ccid-serial"),
            Spoken::Acs => (slot(Box::new(AcsFraming::new()))?, "acs"),
            Spoken::Stx(framing) => (slot(framing)?, "stx"),
            Spoken::Sdt => (Device::Resident(ResidentReader::open(open(settings)?)?), "sdt"),
            Spoken::LineScan => (Device::Scanner(Scanner::new(open(settings)?, Ending::Either)), "line-scan"),
        };
        Ok(Self { device, protocol, settings: settings.to_string() })
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
        ReaderCodec::Pcsc => return Err(LineError::NoPcsc),
    })
}

fn reader(slot: Slot, choice: &ReaderChoice, key_server: Option<&KeyServer>) -> Result<Reader, LineError> {
    let opener = remote(choice, key_server)?;
    if let Some(AuthenticatorChoice::Psam { script, slot: number }) = &choice.authenticator {
        let (mut reader, sam) = Reader::open_with_sam(slot, *number)?;
        reader.set_authenticator(Some(Box::new(PsamAuthenticator::new(script.clone(), Box::new(sam)))));
        return Ok(reader);
    }
    let mut reader = Reader::open_slot(slot)?;
    reader.set_authenticator(opener);
    Ok(reader)
}

/// Whoever asks the key server, where one is to be asked and can be.
fn remote(
    choice: &ReaderChoice,
    key_server: Option<&KeyServer>,
) -> Result<Option<Box<dyn Authenticator>>, LineError> {
    let (Some(AuthenticatorChoice::Remote { patience }), Some(server)) = (&choice.authenticator, key_server)
    else {
        return Ok(None);
    };
    Ok(Some(Box::new(authenticator(server, *patience).map_err(LineError::Thread)?)))
}

#[cfg(feature = "pcsc")]
fn over_pcsc(choice: &ReaderChoice, key_server: Option<&KeyServer>) -> Result<Line, LineError> {
    use firmware_bridge::pcsc_slot::PcscSlot;

    let wanted = choice.port.to_string_lossy();
    let names = PcscSlot::readers().map_err(ReaderError::from)?;
    let name = names.into_iter().find(|name| name.starts_with(&*wanted));
    let name = name.ok_or_else(|| PortError::Absent { path: wanted.into_owned() })?;
    let slot = PcscSlot::open(&name).map_err(ReaderError::from)?;
    let mut reader = Reader::over(Box::new(slot), name.clone());
    reader.set_authenticator(remote(choice, key_server)?);
    Ok(Line { device: Device::SocialSecurity(reader), protocol: "pcsc", settings: name })
}

#[cfg(not(feature = "pcsc"))]
fn over_pcsc(_choice: &ReaderChoice, _key_server: Option<&KeyServer>) -> Result<Line, LineError> {
    Err(LineError::NoPcsc)
}

impl LineError {
    pub fn fault(&self) -> Fault {
        match self {
            Self::Shared { .. } => Fault::ReaderShared,
            Self::Port(error) | Self::ResidentReader(ResidentReaderError::Port(error)) => port_fault(error),
            Self::Probe(ProbeError::Port(error)) => port_fault(error),
            Self::Probe(ProbeError::NoProtocol { .. })
            | Self::Table(_)
            | Self::NoPcsc
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
