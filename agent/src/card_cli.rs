//! `zhenyin card …` at the reader itself: what is on the line, what a card says, masked, and how the line did.
//! Never prints a name, a number or what a command brought back: a diagnosis can be sent to anybody.

mod resident;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use firmware_bridge::apdu::{CommandApdu, RefusedCommand};
use firmware_bridge::codec::ccid_serial::Counters;
use firmware_bridge::resident_reader::ResidentReaderError;
use firmware_bridge::{CardReadError, Reader, ReaderError, SlotState};
use serde_json::{Value, json};
use zhenyin_core::card::{CardAlgorithm, CardIdentity};

use crate::card_reader::{Device, Line, LineError, card_fault};
use crate::clock::Clock;
use crate::config::{AuthenticatorChoice, ReaderChoice};

#[derive(Debug, Subcommand)]
pub enum CardCommand {
    /// Say what is on the line: protocol, firmware, whether a card is in, its answer to reset.
    Probe(Where),
    /// Read the card in the reader and tell what it says, masked; through the agent where one runs.
    Read(Where),
    /// Tell of every card that is put in or taken out.
    Watch {
        #[command(flatten)]
        at: Where,
        /// End after so many.
        #[arg(long)]
        count: Option<u32>,
    },
    /// Send commands that only select or read; tells status words and lengths, never what came back.
    Apdu {
        #[command(flatten)]
        at: Where,
        /// Hexadecimal, one command each, as `00A4040000`.
        #[arg(required = true)]
        commands: Vec<String>,
    },
}

#[derive(Args, Clone, Debug)]
pub struct Where {
    /// The reader's port, configured or not; without it the first configured one.
    #[arg(long)]
    pub port: Option<PathBuf>,
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum CardCliError {
    #[error(transparent)]
    Line(#[from] LineError),
    #[error("reader failed")]
    Reader(#[from] ReaderError),
    #[error("card could not be read")]
    Card(#[from] CardReadError),
    #[error("resident card could not be read")]
    Resident(#[from] ResidentReaderError),
    #[error("a scanner says nothing when it is asked; scan something while the agent runs")]
    Scanner,
    #[error("a reader of resident cards takes no card commands")]
    NoCommands,
    // By position: what was typed may hold a PIN.
    #[error("command {position} is not hexadecimal")]
    NotHex { position: usize },
    #[error("command {position} is not sent")]
    Refused { position: usize, source: RefusedCommand },
    #[error("cannot print")]
    Print(#[from] io::Error),
}

impl CardCommand {
    pub fn at(&self) -> &Where {
        match self {
            Self::Probe(at) | Self::Read(at) | Self::Watch { at, .. } | Self::Apdu { at, .. } => at,
        }
    }
}

/// Runs one command at the reader; results go to `out`, also those of a command that fails.
///
/// # Errors
/// Whatever keeps the reader or the card from answering.
pub fn run(command: &CardCommand, choice: &ReaderChoice, out: &mut dyn Write) -> Result<(), CardCliError> {
    let json = command.at().json;
    // Judged before anything is opened: a refused command is never half of a session.
    let commands = match command {
        CardCommand::Apdu { commands, .. } => parse(commands)?,
        CardCommand::Probe(_) | CardCommand::Read(_) | CardCommand::Watch { .. } => Vec::new(),
    };
    let clock = Clock::new();
    let begun = clock.now().boottime;
    // The key server is asked by the running agent only: it has the terminal's key.
    let line = Line::open(choice, None)?;
    let mut report = json!({
        "port": choice.port,
        "protocol": line.protocol,
        "line": line.settings,
        "opened_ms": millis(clock.now().boottime.saturating_since(begun)),
    });
    let mut reader = match line.device {
        Device::SocialSecurity(reader) => reader,
        Device::Resident(reader) => return resident::run(command, reader, report, out),
        Device::Scanner(_) => return Err(CardCliError::Scanner),
    };
    note(&mut report, "firmware", reader.firmware());
    note(&mut report, "authenticator", authenticator(choice));
    let done = match command {
        CardCommand::Probe(_) => probe(&mut reader, &mut report),
        CardCommand::Read(_) => read(&mut reader, &mut report),
        CardCommand::Watch { count, .. } => return watch(&mut reader, *count, json, out),
        CardCommand::Apdu { .. } => exchange(&mut reader, &commands, &mut report),
    };
    note(&mut report, "counters", counters(reader.counters()));
    if let Err(error) = &done {
        note(&mut report, "error", chain_of(error));
    }
    print(&report, json, out)?;
    done
}

fn authenticator(choice: &ReaderChoice) -> &'static str {
    match choice.authenticator {
        None => "none",
        Some(AuthenticatorChoice::Psam { .. }) => "psam",
        Some(AuthenticatorChoice::Remote { .. }) => "remote, through the running agent only",
    }
}

fn probe(reader: &mut Reader, report: &mut Value) -> Result<(), CardCliError> {
    let present = reader.poll_slot()? == SlotState::Present;
    note(report, "slot", if present { "card" } else { "empty" });
    if present {
        reset(reader, report)?;
        reader.release_card();
    }
    Ok(())
}

fn reset(reader: &mut Reader, report: &mut Value) -> Result<(), CardCliError> {
    let begun = reader.now();
    let atr = reader.reset_card()?;
    note(report, "answer_to_reset", hex(&atr));
    note(report, "reset_ms", millis(reader.now() - begun));
    Ok(())
}

fn read(reader: &mut Reader, report: &mut Value) -> Result<(), CardCliError> {
    let begun = reader.now();
    let result = reader.read_card();
    note(report, "read_ms", millis(reader.now() - begun));
    if let Some(error) = reader.authentication_error() {
        note(report, "authentication", chain_of(error));
        note(report, "authentication_code", error.national_code());
        note(report, "tries_left", error.tries_left());
    }
    match result {
        Ok(identity) => {
            note(report, "card", masked(&identity));
            Ok(())
        }
        Err(error) => {
            note(report, "fault", card_fault(&error).code());
            Err(error.into())
        }
    }
}

fn exchange(reader: &mut Reader, commands: &[CommandApdu], report: &mut Value) -> Result<(), CardCliError> {
    reset(reader, report)?;
    let mut answers = Vec::new();
    let mut done = Ok(());
    for command in commands {
        let begun = reader.now();
        match reader.exchange(command) {
            Ok(response) => answers.push(json!({
                "instruction": format!("{:02X}", command.instruction()),
                "bytes": response.data.len(),
                "status": response.status.to_string(),
                "ms": millis(reader.now() - begun),
            })),
            Err(error) => {
                done = Err(CardCliError::Card(error.into()));
                break;
            }
        }
    }
    reader.release_card();
    note(report, "answers", answers);
    done
}

/// Looks ten times a second, as the agent does while a card is awaited.
fn watch(
    reader: &mut Reader,
    count: Option<u32>,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), CardCliError> {
    let mut seen = None;
    let mut told = 0;
    while count.is_none_or(|count| told < count) {
        let now = match reader.poll_slot()? {
            SlotState::Present => Some(reader.insertions()),
            SlotState::Absent => None,
        };
        if now == seen {
            std::thread::park_timeout(Duration::from_millis(100));
            continue;
        }
        let mut report = json!({ "slot": if now.is_some() { "card" } else { "empty" } });
        if now.is_some() {
            // What cannot be read is told, and the watch goes on.
            if let Err(error) = read(reader, &mut report) {
                note(&mut report, "error", chain_of(&error));
            }
        }
        seen = now.map(|_| reader.insertions());
        told += 1;
        print(&report, json, out)?;
    }
    Ok(())
}

fn parse(commands: &[String]) -> Result<Vec<CommandApdu>, CardCliError> {
    let parse = |(text, position): (&String, usize)| {
        let bytes = bytes(text).ok_or(CardCliError::NotHex { position })?;
        CommandApdu::parse(&bytes).map_err(|source| CardCliError::Refused { position, source })
    };
    commands.iter().zip(1..).map(parse).collect()
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| Some(c.to_digit(16)? as u8))
        .collect::<Option<_>>()?;
    digits.chunks(2).map(|pair| if let [high, low] = pair { Some(high << 4 | low) } else { None }).collect()
}

/// Whether things are there and what kind of card it is; nothing of its holder but the masked name.
fn masked(identity: &CardIdentity) -> Value {
    let issued = &identity.issued;
    let algorithm = match issued.algorithm {
        CardAlgorithm::TripleDes => "3des".to_owned(),
        CardAlgorithm::Ssf33 => "ssf33".to_owned(),
        CardAlgorithm::Sm4 => "sm4".to_owned(),
        CardAlgorithm::Other(code) => format!("{code:02x}"),
    };
    json!({
        "version": issued.version,
        "algorithm": algorithm,
        "region": issued.code.region(),
        "number": issued.number.is_some(),
        "holder": if identity.holder().is_some() { "read" } else { "locked" },
        "name": identity.holder().map(|holder| holder.name.masked()),
        "warnings": identity.warnings,
    })
}

fn counters(counters: Counters) -> Value {
    let Counters { dropped_bytes, bad_checksums, stray_frames, echoes, naks, time_requests } = counters;
    json!({
        "dropped_bytes": dropped_bytes,
        "bad_checksums": bad_checksums,
        "stray_frames": stray_frames,
        "echoes": echoes,
        "naks": naks,
        "time_requests": time_requests,
    })
}

fn note(report: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(fields) = report.as_object_mut() {
        fields.insert(key.to_owned(), value.into());
    }
}

fn print(report: &Value, json: bool, out: &mut dyn Write) -> Result<(), CardCliError> {
    if json {
        writeln!(out, "{report}")?;
    } else if let Some(fields) = report.as_object() {
        for (key, value) in fields {
            let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            writeln!(out, "{key:<16} {text}")?;
        }
    }
    Ok(out.flush()?)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ")
}

/// An error with all its causes.
fn chain_of(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_commands_are_read_or_refused() {
        let check = |text: &str, said: Option<&str>| {
            let result = parse(&[text.to_owned()]);
            assert_eq!(result.as_ref().err().map(|e| chain_of(e)).as_deref(), said, "{text}");
        };
        check("00B2080014", None);
        check("00 b2 08 00 14", None);
        check("00B208001", Some("command 1 is not hexadecimal"));
        check("00B2zz", Some("command 1 is not hexadecimal"));
        check(
            "0020000003123456",
            Some(
                "command 1 is not sent: VERIFY (20) is never sent: it could change the card or cost its holder a try",
            ),
        );
    }
}
