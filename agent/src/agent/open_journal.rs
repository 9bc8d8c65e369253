//! Opens the journal at start, sets a damaged one aside, and looks through all of it now and then.
//! Never begins the chain of a damaged or missing journal anew, never begins another one without a grant that continues it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use zhenyin_core::documents::Grant;
use zhenyin_core::event::Envelope;
use zhenyin_core::event::lifecycle::LogIntegrityAlarm;
use zhenyin_core::ids::ChainId;
use zhenyin_core::note::Note;
use zhenyin_core::rotation::ChainKeys;
use zhenyin_core::terminal::JournalState;
use zhenyin_core::time::WallTime;

use super::chain_keys;
use crate::journal::{
    Aside, DurableChain, Journal, JournalError, JournalReader, JournalReport, Limits, asides, set_aside,
};
use crate::keystore::KeyStore;
use crate::terminal_enrolment::TerminalEnrolment;

/// How long after the start the whole journal is looked through, and how often from then on.
const FIRST_SCAN: Duration = Duration::from_secs(20);
const NEXT_SCAN: Duration = Duration::from_secs(24 * 3600);

/// The journal of the enrolled chain.
pub(super) struct OpenJournal {
    pub(super) journal: Journal,
    pub(super) durable: DurableChain,
    pub(super) reader: JournalReader,
    /// The keys of the chain up to now.
    pub(super) chain_keys: ChainKeys,
    /// What the chain before this one has lost, if its journal was set aside.
    pub(super) lost: Option<LogIntegrityAlarm>,
}

/// # Errors
/// Whatever the journal says. A damaged one is set aside first; the error says where and what to do.
pub(super) fn open(
    dir: &Path,
    keys: &mut KeyStore,
    enrolment: &TerminalEnrolment,
    now: WallTime,
    report: impl FnMut(JournalReport) + Send + 'static,
) -> anyhow::Result<OpenJournal> {
    let chain = enrolment.grant.chain();
    let aside = |cause: anyhow::Error| -> anyhow::Error {
        match set_aside(dir, chain, now) {
            Ok(aside) => {
                tracing::error!(folder = %aside.folder.display(), cause = %format!("{cause:#}"), "journal is damaged");
                cause.context(damaged(&aside))
            }
            Err(error) => cause.context(error),
        }
    };
    let (journal, durable) = match Journal::open(dir, keys.journal_key(), Limits::default(), report) {
        Err(error) if error.is_integrity() => return Err(aside(error.into())),
        other => other?,
    };
    let durable = match durable {
        Some(durable) if durable.chain == chain => durable,
        _ => {
            if let Some(known) = asides(dir).into_iter().find(|aside| aside.chain == chain) {
                bail!(damaged(&known));
            }
            ensure!(
                keys.begun() != Some(chain),
                "journal of chain {chain} is gone from `{}`, though it had begun: tell IT, bring it back, or enrol \
                 again with `zhenyin terminal enrol --again --code CODE`",
                dir.display()
            );
            journal.begin_chain(chain, enrolment.grant.token())?
        }
    };
    let reader = JournalReader::open(dir, keys.journal_key())?;
    let settled = chain_keys::settle(keys, &enrolment.grant, &reader, durable.state.frontier.size());
    let is_damage = |error: &anyhow::Error| error.downcast_ref().is_some_and(JournalError::is_integrity);
    let chain_keys = match settled {
        Err(error) if is_damage(&error) => {
            journal.close();
            return Err(aside(error));
        }
        other => other?,
    };
    if let Err(error) = verify_head(&durable, &enrolment.grant, &chain_keys) {
        journal.close();
        return Err(aside(error));
    }
    let size = durable.state.frontier.size();
    let lost = if size >= KeyStore::BEGUN { None } else { lost(dir, keys, &reader, enrolment)? };
    if let Err(error) = keys.remember_begun(chain, size) {
        tracing::error!(%error, "it cannot be kept that the journal has begun; the next start tries again");
    }
    Ok(OpenJournal { journal, durable, reader, chain_keys, lost })
}

/// What the chain that was begun last has lost: its journal was set aside, or is there no more. It need not be the
/// one that this enrolment replaces, of which perhaps nothing was ever written.
fn lost(
    dir: &Path,
    keys: &KeyStore,
    reader: &JournalReader,
    enrolment: &TerminalEnrolment,
) -> anyhow::Result<Option<LogIntegrityAlarm>> {
    let begun = keys.begun();
    let Some(old) = begun.or(enrolment.replaces).filter(|old| *old != enrolment.grant.chain()) else {
        return Ok(None);
    };
    if let Some(aside) = asides(dir).into_iter().rfind(|aside| aside.chain == old) {
        return Ok(Some(alarm_of(&aside)));
    }
    // Key files of before tell of no chain that has begun: then one that is not here may never have.
    if begun.is_none() || reader.chains()?.iter().any(|(chain, _)| *chain == old) {
        return Ok(None);
    }
    let known = enrolment.grant.content().prev.as_ref().filter(|prev| prev.chain == old);
    let receipted = known.map_or(0, |prev| prev.size);
    let (what, chain) = ("journal gone".to_owned(), old.to_string());
    Ok(Some(LogIntegrityAlarm { what, chain, events: receipted, receipted, files: 0 }))
}

fn damaged(aside: &Aside) -> String {
    format!(
        "journal of chain {} is damaged; its files are kept in `{}`: tell IT, then enrol again with \
         `zhenyin terminal enrol --again --code CODE`",
        aside.chain,
        aside.folder.display()
    )
}

fn alarm_of(aside: &Aside) -> LogIntegrityAlarm {
    let (events, receipted) = aside.known.unwrap_or_default();
    LogIntegrityAlarm {
        what: "journal set aside".to_owned(),
        chain: aside.chain.to_string(),
        events,
        receipted,
        files: aside.files,
    }
}

/// The head file is the newest checkpoint this terminal signed; a forged one must not hide a cut journal.
fn verify_head(durable: &DurableChain, grant: &Grant, keys: &ChainKeys) -> anyhow::Result<()> {
    let Some(text) = &durable.head else { return Ok(()) };
    let note = Note::parse(text).context("head file of the journal is damaged")?;
    note.verify_log(&grant.log_key_of(keys.of_checkpoint(note.checkpoint().size)))
        .context("head file of the journal was not signed by this terminal")
}

pub(super) fn journal_state(durable: &DurableChain, reader: &JournalReader) -> anyhow::Result<JournalState> {
    let size = durable.state.frontier.size();
    let events = reader.events(size.saturating_sub(RECENT)..size)?;
    let recent = events.iter().filter_map(|e| e.jws.as_deref()).map(envelope).collect::<Result<_, _>>()?;
    let acknowledged = durable.acked_frontier.clone();
    Ok(JournalState { chain: durable.state.clone(), acknowledged, recent })
}

fn envelope(jws: &str) -> anyhow::Result<Envelope> {
    let payload =
        zhenyin_core::jws::payload_unverified(jws).context("an event of the journal is not a JWS")?;
    Ok(Envelope::parse(&payload)?)
}

/// How many of the last events are read for what the attempt limits must remember. To push out the failures that
/// brought a rest takes far longer than the rest. Failures still below the limit do drop out, after 256 ordinary
/// events and a restart: whoever failed less often than the limit begins at nothing again.
const RECENT: u64 = 256;

/// Looks through the whole journal while the agent runs. Dropping it ends the thread.
pub(super) struct Scan {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Scan {
    /// `found` is told of damage below the folder `state`, once.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(
        state: PathBuf,
        key: crate::data_key::DataKey,
        chain: ChainId,
        found: impl FnOnce(LogIntegrityAlarm) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("journal-scan".into()).spawn(move || {
            if let Some(alarm) = look_until_damaged(&state, &key, chain, &stopped) {
                found(alarm);
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

fn look_until_damaged(
    state: &Path,
    key: &crate::data_key::DataKey,
    chain: ChainId,
    stopped: &Receiver<()>,
) -> Option<LogIntegrityAlarm> {
    let pause = |time| stopped.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
    let mut next = FIRST_SCAN;
    while pause(next) {
        next = NEXT_SCAN;
        // A pause at every few hundred events leaves the processor to the people at the desk.
        let scanned = JournalReader::open(&state.join("journal"), key.clone()).and_then(|reader| {
            let report = reader.verify_while(|| pause(Duration::from_millis(1)))?;
            // A key file that cannot be read now is the next start's to judge.
            if let Ok(keys) = KeyStore::open(&state.join("keys")) {
                chain_keys::check_rotations(&keys, chain, &reader)?;
            }
            Ok(report)
        });
        match scanned {
            Ok(None) => return None,
            Ok(Some(report)) => tracing::info!(events = report.events, "journal looked through"),
            Err(error) if error.is_integrity() => return Some(alarm_of_scan(&error, chain)),
            Err(error) => tracing::warn!(%error, "journal cannot be looked through now"),
        }
    }
    None
}

fn alarm_of_scan(error: &JournalError, chain: ChainId) -> LogIntegrityAlarm {
    tracing::error!(%error, "journal is damaged");
    LogIntegrityAlarm { what: error.to_string(), chain: chain.to_string(), events: 0, receipted: 0, files: 0 }
}
