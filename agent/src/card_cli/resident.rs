//! `zhenyin card …` at a reader of resident identity cards.
//! Never tells more of a person than the masked name, and nothing of the photo but its length.

use std::io::Write;
use std::time::Duration;

use firmware_bridge::resident_id::{ResidentContent, ResidentId};
use firmware_bridge::resident_reader::{ResidentReader, ResidentReaderError};
use serde_json::{Value, json};

use super::{CardCliError, CardCommand, chain_of, millis, note, print};

pub(super) fn run(
    command: &CardCommand,
    mut reader: ResidentReader,
    mut report: Value,
    out: &mut dyn Write,
) -> Result<(), CardCliError> {
    let json = command.at().json;
    let done = match command {
        // A reader that tells the number of its security module is in order; the number is nobody's business.
        CardCommand::Probe(_) => reader.sam_id().map(|_| note(&mut report, "security_module", true)),
        CardCommand::Read(_) => {
            let begun = reader.now();
            let read = reader.read_card();
            note(&mut report, "read_ms", millis(reader.now() - begun));
            read.map(|id| note(&mut report, "card", masked(&id)))
        }
        CardCommand::Watch { count, .. } => return watch(&mut reader, *count, json, out),
        CardCommand::Apdu { .. } => return Err(CardCliError::NoCommands),
    };
    note(&mut report, "dropped_bytes", reader.dropped_bytes());
    if let Err(error) = &done {
        note(&mut report, "error", chain_of(error));
    }
    print(&report, json, out)?;
    Ok(done?)
}

/// Tells of every card laid on the reader; the reader itself waits until it was lifted.
fn watch(
    reader: &mut ResidentReader,
    count: Option<u32>,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), CardCliError> {
    let mut told = 0;
    while count.is_none_or(|count| told < count) {
        if !reader.find()? {
            std::thread::park_timeout(Duration::from_millis(250));
            continue;
        }
        let mut report = json!({ "slot": "card" });
        match reader.read_found() {
            Ok(id) => note(&mut report, "card", masked(&id)),
            Err(error @ ResidentReaderError::Port(_)) => return Err(error.into()),
            // What cannot be read is told, and the watch goes on.
            Err(error) => note(&mut report, "error", chain_of(&error)),
        }
        told += 1;
        print(&report, json, out)?;
    }
    Ok(())
}

fn masked(id: &ResidentId) -> Value {
    let (kind, name) = match &id.content {
        ResidentContent::Citizen(citizen) => ("citizen".to_owned(), Some(citizen.name.masked())),
        ResidentContent::Foreigner(person) => ("foreigner".to_owned(), Some(person.spoken_name().masked())),
        ResidentContent::Unknown { layout } => (format!("unknown layout {layout:?}"), None),
    };
    json!({ "kind": kind, "name": name, "warnings": id.warnings, "photo_bytes": id.photo().len() })
}
