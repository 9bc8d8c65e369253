//! The record on the command line: show and verify.
//! Never changes anything; works beside a running agent and without one.

use std::path::Path;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use zhenyin_core::event::Envelope;
use zhenyin_core::jws::payload_unverified;
use zhenyin_core::note::Note;
use zhenyin_core::verify::{Summary, Verifier};

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
}

pub(super) fn run(command: JournalCommand, config: &Config) -> anyhow::Result<()> {
    let keys = KeyStore::open(&config.state.join("keys"))?;
    let reader = JournalReader::open(&config.state.join("journal"), keys.journal_key())?;
    match command {
        JournalCommand::Show { last, json } => show(&reader, last, json),
        JournalCommand::Verify => verify(&reader, &TerminalEnrolment::load(&config.state)?),
    }
}

/// `zhenyin verify FOLDER`: needs no configuration, no key and no agent.
pub(super) fn verify_folder(folder: &Path) -> anyhow::Result<()> {
    let (header, summary) = export::verify(folder)?;
    super::say(&format!(
        "{}\nauthority  {}\nwitness    {}\ncompare both keys with the published ones",
        summary_line(&summary),
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
    let size = reader.counters()?.size;
    for first in (0..size).step_by(500) {
        for event in reader.events(first..size.min(first + 500))? {
            let Some(jws) = event.jws else {
                bail!("event {} has been erased after its retention; only its hash is left", event.sequence.0)
            };
            verifier.event(&jws)?;
        }
    }
    super::say(&summary_line(&verifier.finish()?))
}

fn summary_line(summary: &Summary) -> String {
    format!(
        "{}/{} signatures valid, chain continuous; {} receipts cover {} events",
        summary.events, summary.events, summary.receipts, summary.receipted
    )
}
