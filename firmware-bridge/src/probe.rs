//! Finds out what speaks on an unknown line: each protocol is asked its own harmless question.
//! Never sends what another protocol would execute, never waits past two seconds for one answer, and never
//! guesses: an answer in the asked protocol's own form, or nothing.
//!
//! Not found this way: scanners, which answer nothing, and vendor framings, which only a table describes.

use std::fmt;
use std::time::Duration;

use crate::codec::acs::AcsFraming;
use crate::codec::ccid_serial::{self, Received, Request};
use crate::codec::framing::Framing;
use crate::codec::sdt;
use crate::port::{CardPort, LineSettings, PortError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    CcidSerial,
    /// Resident ID card reader.
    Sdt,
    Acs,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CcidSerial => "ccid-serial",
            Self::Sdt => "sdt",
            Self::Acs => "acs",
        })
    }
}

/// One question on one setting of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub protocol: Protocol,
    pub settings: LineSettings,
}

/// An attempt without an answer, and how many bytes of something came instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent {
    pub attempt: Attempt,
    pub noise: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("line could not be opened or is gone")]
    Port(#[from] PortError),
    #[error("nothing on the line speaks a known protocol: {}", listed(tried))]
    NoProtocol { tried: Vec<Silent> },
}

/// Every question, in the order of asking.
pub const ATTEMPTS: [Attempt; 4] = [
    Attempt { protocol: Protocol::CcidSerial, settings: LineSettings::CCID },
    Attempt { protocol: Protocol::CcidSerial, settings: LineSettings::ONE_STOP_BIT },
    Attempt { protocol: Protocol::Sdt, settings: LineSettings::ONE_STOP_BIT },
    Attempt { protocol: Protocol::Acs, settings: LineSettings::SLOW },
];

/// Asks every question until one is answered. `open` opens the line with the settings it is given; the line is
/// closed again before the next is opened and before this returns.
pub fn probe(
    mut open: impl FnMut(LineSettings) -> Result<Box<dyn CardPort>, PortError>,
) -> Result<Attempt, ProbeError> {
    let mut tried = Vec::new();
    for attempt in ATTEMPTS {
        let mut port = open(attempt.settings)?;
        let noise = match attempt.protocol {
            Protocol::CcidSerial => {
                ask_slot(port.as_mut(), &mut ccid_serial::Receiver::new(0), &Request::Escape(&[0x02]))?
            }
            Protocol::Sdt => ask_sdt(port.as_mut())?,
            Protocol::Acs => ask_slot(port.as_mut(), &mut AcsFraming::new(), &Request::PowerOff)?,
        };
        match noise {
            None => return Ok(attempt),
            Some(noise) => tried.push(Silent { attempt, noise }),
        }
    }
    Err(ProbeError::NoProtocol { tried })
}

/// `None` when the question was answered, otherwise the bytes of something else.
fn ask_slot(
    port: &mut dyn CardPort,
    framing: &mut dyn Framing,
    request: &Request<'_>,
) -> Result<Option<u64>, PortError> {
    // Nothing that is asked here is longer than a frame.
    let Ok(question) = framing.begin(request, SEQUENCE) else { return Ok(Some(0)) };
    ask(port, &question, |bytes| {
        framing.push(bytes);
        // A slot event may come before the answer.
        std::iter::from_fn(|| framing.poll()).any(|received| matches!(received, Received::Answer(_)))
    })
}

fn ask_sdt(port: &mut dyn CardPort) -> Result<Option<u64>, PortError> {
    let mut receiver = sdt::Receiver::new();
    receiver.await_answer(sdt::Command::Status);
    ask(port, &sdt::Command::Status.frame(), |bytes| {
        receiver.push(bytes);
        std::iter::from_fn(|| receiver.poll()).any(|received| matches!(received, sdt::Received::Answer(_)))
    })
}

fn ask(
    port: &mut dyn CardPort,
    question: &[u8],
    mut answered: impl FnMut(&[u8]) -> bool,
) -> Result<Option<u64>, PortError> {
    let mut buffer = [0; 512];
    let mut heard = 0;
    let deadline = port.now() + SPAN;
    discard(port)?;
    port.send(question, deadline)?;
    while port.now() < deadline {
        let count = port.receive(&mut buffer, deadline)?;
        if answered(buffer.get(..count).unwrap_or_default()) {
            return Ok(None);
        }
        heard += count as u64;
        if heard > MOST_NOISE {
            break;
        }
    }
    Ok(Some(heard))
}

/// Throws away what an earlier question left on the line.
fn discard(port: &mut dyn CardPort) -> Result<(), PortError> {
    let mut buffer = [0; 512];
    for _ in 0..DISCARD_READS {
        let now = port.now();
        if port.receive(&mut buffer, now)? == 0 {
            break;
        }
    }
    Ok(())
}

fn listed(tried: &[Silent]) -> String {
    let one = |Silent { attempt: Attempt { protocol, settings }, noise }: &Silent| {
        format!("{protocol} at {settings}: {noise} bytes of something else")
    };
    tried.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Not zero, which is what many other answers have there.
const SEQUENCE: u8 = 0x5A;
const SPAN: Duration = Duration::from_secs(2);
/// A line that never falls silent is not listened to for ever.
const MOST_NOISE: u64 = 64 * 1024;
const DISCARD_READS: usize = 32;
