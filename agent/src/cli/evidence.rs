//! The record on the command line: show, verify, export.
//! Never changes anything; works beside a running agent and without one.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use zhenyin_core::event::Envelope;
use zhenyin_core::jws::payload_unverified;
use zhenyin_core::note::Note;
use zhenyin_core::time::WallTime;
use zhenyin_core::verify::{Summary, Verifier};

use crate::clock::Clock;
use crate::config::Config;
use crate::export::{self, Inspection, Inspector, Sample, Selection};
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
    /// Write the chain, or a part of it, to a new folder that anybody can verify.
    Export {
        folder: PathBuf,
        #[command(flatten)]
        asked: Asked,
    },
}

/// What an inspection asks for; without any of it everything is written.
#[derive(Debug, clap::Args)]
pub(super) struct Asked {
    /// First moment, RFC 3339.
    #[arg(long, value_parser = moment)]
    from: Option<WallTime>,
    /// First moment that is not asked for any more, RFC 3339.
    #[arg(long, value_parser = moment)]
    to: Option<WallTime>,
    /// Token of an operator, a card or a patient; may come several times.
    #[arg(long)]
    token: Vec<String>,
    /// Event type, as `rule.hit` or `visit.verified.v1`; may come several times.
    #[arg(long)]
    kind: Vec<String>,
    /// Draws this many of what is asked for.
    #[arg(long, requires = "seed")]
    sample: Option<usize>,
    /// The published seed of the sample.
    #[arg(long, requires = "sample")]
    seed: Option<String>,
    /// `NAME/WARRANT` of an inspector; two or none.
    #[arg(long, value_parser = inspector)]
    inspector: Vec<Inspector>,
}

pub(super) fn run(command: JournalCommand, config: &Config) -> anyhow::Result<()> {
    let keys = KeyStore::open(&config.state.join("keys"))?;
    let reader = JournalReader::open(&config.state.join("journal"), keys.journal_key())?;
    match command {
        JournalCommand::Show { last, json } => show(&reader, last, json),
        JournalCommand::Verify => verify(&reader, &TerminalEnrolment::load(&config.state)?),
        JournalCommand::Export { folder, asked } => {
            let enrolment = TerminalEnrolment::load(&config.state)?;
            let chain = enrolment.grant.chain();
            let inspection = asked.inspection();
            let header = enrolment.export_header();
            let exported = export::write_inspection(&reader, chain, &header, &inspection, &folder)?;
            super::say(&format!(
                "{} events and {} receipts written to `{}`",
                exported.events,
                exported.receipts,
                folder.display()
            ))
        }
    }
}

impl Asked {
    fn inspection(self) -> Inspection {
        let sample = self.sample.zip(self.seed).map(|(count, seed)| Sample { seed, count });
        let selection =
            Selection { from: self.from, to: self.to, tokens: self.token, kinds: self.kind, sample };
        Inspection { selection, inspectors: self.inspector, at: Some(Clock::new().now().wall) }
    }
}

fn moment(text: &str) -> Result<WallTime, String> {
    WallTime::parse_rfc3339(text).ok_or_else(|| format!("`{text}` is not like 2026-11-22T08:00:00Z"))
}

fn inspector(text: &str) -> Result<Inspector, String> {
    let (name, warrant) = text
        .split_once('/')
        .filter(|(name, warrant)| !name.is_empty() && !warrant.is_empty())
        .ok_or_else(|| format!("`{text}` is not `NAME/WARRANT`"))?;
    Ok(Inspector { name: name.to_owned(), warrant: warrant.to_owned() })
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
