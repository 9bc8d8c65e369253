//! `zhenyin export`: an inspection from its opening to its closing.
//! Never writes a package before the agent has put the inspection on record; where no agent runs, says that nothing
//! was recorded.

mod whom;

use std::path::{Path, PathBuf};

use tokio::runtime::Runtime;
use zhenyin_core::ids::SubjectToken;
use zhenyin_core::inspection::{
    InspectionClosing, InspectionEnd, InspectionRequest, Inspector, OpenInspection,
};
use zhenyin_core::note::Note;
use zhenyin_core::time::WallTime;

use crate::agent::chain_keys;
use crate::client::{Client, ClientError};
use crate::clock::Clock;
use crate::config::Config;
use crate::export::{self, ExportError, Exported, Inspection, Recipients, Sample, Selection};
use crate::journal::{self, JournalReader};
use crate::keystore::KeyStore;
use crate::terminal_enrolment::TerminalEnrolment;
use whom::NumberFrom;

/// What an inspection asks for; without any of it everything is written.
#[derive(Debug, clap::Args)]
pub(super) struct ExportCommand {
    /// The new folder that the package is written to; with `--recipient` the new file.
    path: PathBuf,
    /// First moment, RFC 3339.
    #[arg(long, value_parser = moment)]
    from: Option<WallTime>,
    /// First moment that is not asked for any more, RFC 3339.
    #[arg(long, value_parser = moment)]
    to: Option<WallTime>,
    /// Token of an operator, a card or a patient; may come several times.
    #[arg(long, value_parser = token)]
    token: Vec<SubjectToken>,
    /// Name of an enrolled member of staff; may come several times.
    #[arg(long)]
    operator: Vec<String>,
    /// A card or its holder, by a number that is never on the command line.
    #[arg(long, value_enum)]
    card: Option<NumberFrom>,
    /// Event type, as `rule.hit` or `visit.verified.v1`; may come several times.
    #[arg(long)]
    kind: Vec<String>,
    /// Draws this many of what is asked for.
    #[arg(long, requires = "seed")]
    sample: Option<usize>,
    /// The published seed of the sample.
    #[arg(long, requires = "sample")]
    seed: Option<String>,
    /// `NAME/WARRANT` of an inspector; two or more, or none.
    #[arg(long, value_parser = inspector)]
    inspector: Vec<Inspector>,
    /// Public key, `age1…`, that the package is encrypted to; may come several times. Open it with
    /// `age -d -i KEYFILE FILE | tar x`.
    #[arg(long)]
    recipient: Vec<String>,
    /// A text that the inspectors have just made up; the terminal signs it at once.
    #[arg(long)]
    nonce: Option<String>,
}

pub(super) fn run(command: ExportCommand, config: &Config) -> anyhow::Result<()> {
    let keys = KeyStore::open(&config.state.join("keys"))?;
    let reader = JournalReader::open(&config.state.join("journal"), keys.journal_key())?;
    let enrolment = TerminalEnrolment::load(&config.state)?;
    let ExportCommand { path, from, to, token, operator, card, kind, .. } = command;
    let ExportCommand { sample, seed, inspector, recipient, nonce, .. } = command;
    let recipients = Recipients::parse(recipient)?;
    let sample = sample.zip(seed).map(|(count, seed)| Sample { seed, count });
    let tokens = [token, whom::tokens(config, &keys, &operator, card)?].concat();
    let selection = Selection { from, to, tokens, kinds: kind, sample };
    let request = InspectionRequest { inspectors: inspector, asked: selection.asked(), nonce };
    // The same look as the agent's: nothing wrong gets as far as the record.
    request.check()?;
    if path.exists() {
        return Err(ExportError::Exists { path }.into());
    }
    let recorder = Recorder::open(config, &request)?;
    let header = enrolment.export_header();
    let (opened, checkpoint) = match &recorder {
        Some(recorder) => (Some(recorder.open.opened), Note::parse(&recorder.open.checkpoint)?),
        None => {
            let signer = chain_keys::checkpoint_signer(&keys, &enrolment.grant, &reader)?;
            (None, export::checkpoint(&reader, &header.origin, &signer)?)
        }
    };
    let at = Clock::new().now().wall;
    let inspectors = request.inspectors;
    let inspection = Inspection { selection, inspectors, at, opened, checkpoint, recipients };
    let written = export::write(&reader, enrolment.grant.chain(), &header, &inspection, &path);
    let recipients = inspection.recipients.keys();
    let closed = recorder.map(|recorder| recorder.close(written.as_ref().ok(), recipients)).transpose();
    let exported = written?;
    tell(&exported, &path, recipients)?;
    match closed? {
        Some(record) => super::say(&record),
        None => super::say(
            "检查未记入本链：代理未运行或不能记录，只读取了日志，包内有说明\n\
             this export is on no record: the agent does not run or cannot record, the journal was only read, and \
             the package says so",
        ),
    }
}

fn tell(exported: &Exported, path: &Path, recipients: &[String]) -> anyhow::Result<()> {
    let Exported { size, shown, receipts, digest, receipt } = exported;
    let written = format!(
        "{shown} of {size} events and {receipts} receipts written to `{}`\nSHA256SUMS {digest}",
        path.display()
    );
    super::say(&written)?;
    if recipients.is_empty() {
        return super::say(&format!("print `receipt.txt`; verify with `zhenyin-verify {}`", path.display()));
    }
    // Nobody here can read the one in the archive.
    super::say(&format!("打印回执，双方签字 · print the receipt, both sides sign:\n\n{receipt}"))
}

/// The running agent, which keeps the record of the inspection.
struct Recorder {
    client: Client,
    runtime: Runtime,
    open: OpenInspection,
}

impl Recorder {
    /// `None` when no agent runs, or when it says itself that it cannot record: an inspector is never sent away for that.
    /// One that is at work and does not answer is an error: it may have put the inspection on record already.
    fn open(config: &Config, request: &InspectionRequest) -> anyhow::Result<Option<Self>> {
        let runtime = super::client_runtime()?;
        let opened = Client::new(config.listen, &config.state)
            .and_then(|client| runtime.block_on(client.inspect(request)).map(|open| (client, open)));
        match opened {
            Ok((client, open)) => Ok(Some(Self { client, runtime, open })),
            Err(ClientError::Refused { title, .. }) if title == "not-recording" => Ok(None),
            Err(error @ (ClientError::NoAgent { .. } | ClientError::Token(_))) => {
                match journal::at_work(&config.state.join("journal"))? {
                    true => {
                        Err(anyhow::Error::new(error).context("the agent is at work but cannot be asked"))
                    }
                    false => Ok(None),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Records what was handed over, or that nothing was; says it in a line.
    fn close(self, exported: Option<&Exported>, recipients: &[String]) -> anyhow::Result<String> {
        let closing = match exported {
            Some(Exported { size, shown, digest, .. }) => InspectionClosing {
                end: InspectionEnd::HandedOver,
                sha256: Some(digest.clone()),
                events: *size,
                shown: *shown,
                recipients: recipients.to_vec(),
            },
            None => InspectionClosing {
                end: InspectionEnd::Abandoned,
                sha256: None,
                events: 0,
                shown: 0,
                recipients: Vec::new(),
            },
        };
        let opened = self.open.opened;
        let closed = self.runtime.block_on(self.client.close_inspection(opened, &closing))?;
        Ok(format!(
            "检查已记入本链 · the inspection is on record: opened by event {opened}, closed by event {closed}"
        ))
    }
}

fn moment(text: &str) -> Result<WallTime, String> {
    WallTime::parse_rfc3339(text).ok_or_else(|| format!("`{text}` is not like 2026-11-22T08:00:00Z"))
}

fn token(text: &str) -> Result<SubjectToken, String> {
    SubjectToken::parse(text).ok_or_else(|| "it is not a token as events have them, like `op:…`".to_owned())
}

fn inspector(text: &str) -> Result<Inspector, String> {
    let (name, warrant) = text.split_once('/').ok_or_else(|| "it is not `NAME/WARRANT`".to_owned())?;
    Ok(Inspector { name: name.to_owned(), warrant: warrant.to_owned() })
}
