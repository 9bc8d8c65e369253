//! Inspection packages of made-up chains, for tests and benches of whoever writes and reads them.
//! Never a real identity: the events carry a number and nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use zhenyin::export::{self, ExportError, Exported, Inspection, Recipients, Selection};
use zhenyin::journal::{Epoch, Journal, JournalReader, JournalReport, Limits};
use zhenyin::keystore::KeyStore;
use zhenyin_core::ids::ChainId;
use zhenyin_core::inspection::Inspector;
use zhenyin_core::note::Note;
use zhenyin_core::signer::Signer as _;
use zhenyin_core::time::WallTime;
use zhenyin_core::verify::ExportHeader;

use crate::sealing::{SealingChain, fixed};

/// Time of the first event; each is a millisecond later than the one before.
pub const BEGIN: i64 = 1_777_593_600_000;

/// A journal with events and two receipts, and what an export needs to say of it.
pub struct Journalled {
    folder: tempfile::TempDir,
    pub header: ExportHeader,
}

impl Journalled {
    /// The newest receipt covers `receipted` events, the one before it half of them.
    ///
    /// # Errors
    /// What the journal says.
    pub fn build(events: u64, receipted: u64) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let keys = KeyStore::open_or_create(&folder.path().join("keys"))?;
        let mut chain = SealingChain::begin(keys.signer())?;
        let (sender, reports) = channel();
        let report = move |report| drop(sender.send(report));
        let path = folder.path().join("journal");
        let (journal, _) = Journal::open(&path, keys.journal_key(), Limits::default(), report)?;
        journal.begin_chain(chain.grant().chain(), chain.grant().token())?;
        for number in 1..=events {
            let event = chain.seal()?;
            let frontier = event.frontier.clone();
            journal.append(Epoch::default(), event)?;
            if number == receipted || number == receipted / 2 {
                until(&reports, number)?;
                let note = chain.receipt(&frontier)?;
                journal.acknowledge(frontier, note, WallTime(BEGIN))?;
            }
        }
        if events != receipted {
            until(&reports, events)?;
        }
        journal.close();
        let header = ExportHeader {
            authority: fixed(2).public_key().to_jwk(),
            grant: chain.grant().token().to_owned(),
            origin: chain.grant().origin(),
            witness: chain.grant().witness().map(ToString::to_string),
        };
        Ok(Self { folder, header })
    }

    /// A name for something beside the journal.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// # Errors
    /// What keys and journal say.
    pub fn open(&self) -> anyhow::Result<(KeyStore, JournalReader, ChainId)> {
        let keys = KeyStore::open(&self.path("keys"))?;
        let reader = JournalReader::open(&self.path("journal"), keys.journal_key())?;
        let chain = reader.chains()?.first().context("a journal without a chain")?.0;
        Ok((keys, reader, chain))
    }

    /// Writes a package and gives its folder.
    ///
    /// # Errors
    /// Whatever the export says.
    pub fn export(
        &self,
        name: &str,
        selection: &Selection,
        inspectors: &[Inspector],
    ) -> anyhow::Result<PathBuf> {
        let package = self.path(name);
        self.try_export(&package, selection, inspectors, None)??;
        Ok(package)
    }

    /// Up to a checkpoint signed now, or up to the one that is given.
    ///
    /// # Errors
    /// What keys and journal say; inside, what the export says.
    pub fn try_export(
        &self,
        package: &Path,
        selection: &Selection,
        inspectors: &[Inspector],
        checkpoint: Option<Note>,
    ) -> anyhow::Result<Result<Exported, ExportError>> {
        let (keys, reader, chain) = self.open()?;
        let checkpoint = match checkpoint {
            Some(checkpoint) => checkpoint,
            None => export::checkpoint(&reader, &self.header.origin, &keys.signer())?,
        };
        let inspection = Inspection {
            selection: selection.clone(),
            inspectors: inspectors.to_vec(),
            at: WallTime(BEGIN),
            opened: None,
            checkpoint,
            recipients: Recipients::default(),
        };
        Ok(export::write(&reader, chain, &self.header, &inspection, package))
    }
}

/// Writes the list of files anew, as whoever has changed one would.
///
/// # Errors
/// When the list cannot be read or written.
pub fn relist(package: &Path) -> anyhow::Result<()> {
    let list = package.join("SHA256SUMS");
    let text = std::fs::read_to_string(&list)?;
    let names = text.lines().filter_map(|line| line.split_once("  ")).map(|(_, name)| name);
    let names = names.filter(|name| package.join(name).is_file());
    let output = Command::new("sha256sum").args(names).current_dir(package).output()?;
    ensure!(output.status.success(), "sha256sum: {}", String::from_utf8_lossy(&output.stderr));
    Ok(std::fs::write(list, output.stdout)?)
}

fn until(reports: &Receiver<JournalReport>, size: u64) -> anyhow::Result<()> {
    loop {
        let report = reports.recv_timeout(Duration::from_secs(60)).context("the journal does not answer")?;
        ensure!(!matches!(report, JournalReport::Failed { .. }), "{report:?}");
        if matches!(report, JournalReport::Committed { through } if through.0 + 1 >= size) {
            return Ok(());
        }
    }
}
