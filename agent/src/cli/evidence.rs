//! The record on the command line: show and verify.
//! Never changes anything itself: holds are placed and lifted by the running agent, which puts them on record.

use std::path::Path;

use anyhow::Context as _;
use clap::Subcommand;
use zhenyin_core::event::Envelope;
use zhenyin_core::hold::HoldRequest;
use zhenyin_core::ids::Sequence;
use zhenyin_core::jws::payload_unverified;
use zhenyin_core::note::Note;
use zhenyin_core::verify::{Summary, Verifier};

use crate::agent::chain_keys::check_rotations;
use crate::client::Client;
use crate::config::Config;
use crate::export;
use crate::journal::JournalReader;
use crate::keystore::KeyStore;
use crate::terminal_enrolment::TerminalEnrolment;

#[derive(Debug, Subcommand)]
pub(super) enum JournalCommand {
    /// Show the newest events.
    Show {
        /// How many.
        #[arg(long, default_value_t = 20)]
        last: u64,
        /// The whole events, one JSON a line.
        #[arg(long)]
        json: bool,
    },
    /// Check every signature, link and receipt of this terminal's chain.
    Verify,
    /// Show the legal holds.
    Holds,
    /// Keep events, and all after them, from being erased until the hold is lifted. Goes on record.
    Hold {
        first: u64,
        last: u64,
        /// A file number or the like; never a name.
        #[arg(long)]
        reason: String,
    },
    /// Lift a hold. Goes on record.
    Lift { hold: i64 },
}

pub(super) fn run(command: JournalCommand, config: &Config) -> anyhow::Result<()> {
    match command {
        JournalCommand::Show { last, json } => show(&open(config)?, last, json),
        JournalCommand::Verify => {
            let (reader, enrolment) = (open(config)?, TerminalEnrolment::load(&config.state)?);
            let keys = KeyStore::open(&config.state.join("keys"))?;
            check_rotations(&keys, enrolment.grant.chain(), &reader)?;
            verify(&reader, &enrolment)
        }
        JournalCommand::Holds => holds(&open(config)?),
        JournalCommand::Hold { first, last, reason } => {
            let request = HoldRequest { first: Sequence(first), last: Sequence(last), reason };
            request.check()?;
            let client = Client::new(config.listen, &config.state)?;
            let hold = super::client_runtime()?.block_on(client.place_hold(&request))?;
            super::say(&format!("hold {hold} keeps the events from {first} on"))
        }
        JournalCommand::Lift { hold } => {
            let client = Client::new(config.listen, &config.state)?;
            super::client_runtime()?.block_on(client.lift_hold(hold))?;
            super::say(&format!("hold {hold} is lifted"))
        }
    }
}

fn open(config: &Config) -> anyhow::Result<JournalReader> {
    let keys = KeyStore::open(&config.state.join("keys"))?;
    Ok(JournalReader::open(&config.state.join("journal"), keys.journal_key())?)
}

fn holds(reader: &JournalReader) -> anyhow::Result<()> {
    for hold in reader.holds()? {
        let lifted =
            hold.lifted.map_or_else(|| "in force".to_owned(), |at| format!("lifted {}", at.rfc3339()));
        super::say(&format!(
            "{:>4}  events {}-{}  placed {}  {lifted}  {}",
            hold.id,
            hold.first,
            hold.last,
            hold.placed.rfc3339(),
            hold.reason
        ))?;
    }
    Ok(())
}

/// `zhenyin verify FOLDER`: needs no configuration, no key and no agent.
pub(super) fn verify_folder(folder: &Path) -> anyhow::Result<()> {
    let (header, summary) = export::verify(folder)?;
    super::say(&format!(
        "{}\nauthority  {}\nwitness    {}\ncompare both keys with the published ones",
        summary_line(&summary, 0),
        header.authority.x,
        header.witness.as_deref().unwrap_or("(none)")
    ))
}

fn show(reader: &JournalReader, last: u64, json: bool) -> anyhow::Result<()> {
    let size = reader.counters()?.size;
    for event in reader.events(size.saturating_sub(last)..size)? {
        let Some(jws) = event.jws else {
            super::say(&format!("{:>8}  (erased after its retention)", event.sequence.0))?;
            continue;
        };
        let payload =
            payload_unverified(&jws).context("an event is not a JWS: run `zhenyin journal verify`")?;
        if json {
            super::say(&String::from_utf8_lossy(&payload))?;
            continue;
        }
        let envelope = Envelope::parse(&payload)?;
        let subject = envelope.subject.as_ref().map_or("-", |s| s.as_str());
        super::say(&format!(
            "{:>8}  {}  {:<22} {:<26} {}",
            envelope.sequence.0,
            envelope.time.rfc3339(),
            envelope.kind,
            subject,
            shortened(&envelope.data.to_string())
        ))?;
    }
    Ok(())
}

/// Grants and receipts are long; `--json` has them whole.
fn shortened(data: &str) -> String {
    const WIDTH: usize = 160;
    match data.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &data[..end]),
        None => data.to_owned(),
    }
}

fn verify(reader: &JournalReader, enrolment: &TerminalEnrolment) -> anyhow::Result<()> {
    reader.verify_all()?;
    let receipts = reader.receipts(enrolment.grant.chain())?;
    let notes = receipts.iter().map(|r| Note::parse(&r.note)).collect::<Result<Vec<_>, _>>()?;
    let mut verifier = Verifier::new(enrolment.grant.clone(), Some(enrolment.witness.clone()), notes);
    let (size, mut erased) = (reader.counters()?.size, 0_u64);
    for first in (0..size).step_by(500) {
        for event in reader.events(first..size.min(first + 500))? {
            match event.jws {
                Some(jws) => drop(verifier.event(&jws)?),
                // After its retention the hash is left, and holds its place under the receipts.
                None => {
                    erased += 1;
                    verifier.withheld(event.leaf)?;
                }
            }
        }
    }
    super::say(&summary_line(&verifier.finish()?, erased))
}

fn summary_line(summary: &Summary, erased: u64) -> String {
    let erased_words =
        if erased == 0 { String::new() } else { format!(" ({erased} erased after their retention)") };
    format!(
        "{}/{} signatures valid{erased_words}, chain continuous; {} receipts cover {} events",
        summary.events - erased,
        summary.events,
        summary.receipts,
        summary.receipted
    )
}
