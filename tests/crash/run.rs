//! A journal under test: appends sealed events, waits for what is said of them, and compares what is found later.
//! Never forgets what was promised: that is what every row holds the journal to.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use zhenyin::data_key::DataKey;
use zhenyin::journal::{
    DurableChain, Epoch, Journal, JournalError, JournalReader, JournalReport, Limits, Receipt, StoredEvent,
};
use zhenyin_core::ids::{ChainId, Sequence};
use zhenyin_core::merkle::CompactRange;
use zhenyin_core::note::{Note, VerifierKey};
use zhenyin_core::room::Level;
use zhenyin_core::time::WallTime;
use zhenyin_tests::sealing::{SealingChain, fixed};

/// No quota, a small reserve, and no chores unless a row asks for them.
pub(crate) const LIMITS: Limits =
    Limits { quota: 1 << 30, reserve: 4096, quiet: Duration::from_secs(3600), keep: None };
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The key of every journal here.
pub(crate) fn key() -> DataKey {
    DataKey::take(&mut [7; 32])
}

/// A folder in memory where there is one: thousands of small journals are written and thrown away.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(crate) struct Run {
    pub(crate) journal: Journal,
    pub(crate) reports: Receiver<JournalReport>,
    pub(crate) chain: SealingChain,
    pub(crate) epoch: Epoch,
    /// Events that were reported as durable.
    pub(crate) committed: u64,
    pub(crate) acked: u64,
    /// Bodies below this were reported as erased.
    pub(crate) erased: u64,
    /// Something was committed since the last checkpoint of a quiet moment.
    unsettled: bool,
    /// Place and leaf of the last event that was sealed, durable or not.
    pub(crate) sealed: (u64, String),
    /// The tree at every size that was reached since this run began.
    frontiers: BTreeMap<u64, CompactRange>,
}

impl Run {
    /// Opens a journal as the agent would, and begins the chain where there is none.
    pub(crate) fn open(dir: &Path, limits: Limits) -> anyhow::Result<Self> {
        Self::open_chain(dir, limits, SealingChain::begin(fixed(1))?, Arc::default())
    }

    /// The same for a chain of one's own. `told` is kept up by the writer itself, so that it is true at any moment.
    pub(crate) fn open_chain(
        dir: &Path,
        limits: Limits,
        chain: SealingChain,
        told: Arc<Told>,
    ) -> anyhow::Result<Self> {
        let (sender, reports) = channel();
        let report = move |report| {
            told.take(&report);
            drop(sender.send(report));
        };
        let (journal, state) = Journal::open(dir, key(), limits, report)?;
        let state = match state {
            Some(state) if state.chain == chain.grant().chain() => state,
            _ => journal.begin_chain(chain.grant().chain(), chain.grant().token())?,
        };
        let mut run = Self {
            journal,
            reports,
            chain,
            epoch: Epoch::default(),
            committed: state.state.frontier.size(),
            acked: state.acked_frontier.size(),
            erased: 0,
            unsettled: false,
            sealed: (0, String::new()),
            frontiers: BTreeMap::new(),
        };
        run.chain.roll_back(state.state);
        Ok(run)
    }

    /// Appends one event and waits. Tells why it was refused, if it was; the chain then goes back to what is
    /// durable, as the core's does.
    pub(crate) fn append(&mut self) -> anyhow::Result<Option<JournalError>> {
        let event = self.chain.seal()?;
        self.frontiers.insert(event.frontier.size(), event.frontier.clone());
        self.sealed = (event.sequence.0, event.leaf.to_string());
        self.journal.append(self.epoch, event)?;
        let mut refusal = None;
        loop {
            let report = self.reports.recv_timeout(PATIENCE)?;
            if let JournalReport::Committed { through } = report {
                ensure!(refusal.is_none(), "committed after a failure");
                (self.committed, self.unsettled) = (through.0 + 1, true);
                return Ok(None);
            } else if let JournalReport::Reset { epoch, state } = report {
                self.reset(epoch, *state.context("the chain is gone")?)?;
                return Ok(refusal);
            } else if let JournalReport::Failed { error, .. } = report {
                refusal = Some(error);
            } else {
                self.note(&report);
            }
        }
    }

    /// Appends `count` events, each of which must be taken.
    pub(crate) fn append_all(&mut self, count: u64) -> anyhow::Result<()> {
        (0..count).try_for_each(|_| match self.append()? {
            None => Ok(()),
            Some(error) => Err(error.into()),
        })
    }

    /// The first attempts after a trouble may still meet it.
    pub(crate) fn append_until_committed(&mut self, count: u64) -> anyhow::Result<()> {
        let goal = self.committed + count;
        for _ in 0..count + 5 {
            if self.committed < goal {
                self.append()?;
            }
        }
        ensure!(self.committed == goal, "{} of {goal} events are committed", self.committed);
        Ok(())
    }

    /// Stores a receipt for the first `size` events, at the given time of the witness.
    pub(crate) fn acknowledge(&mut self, size: u64, at: WallTime) -> anyhow::Result<()> {
        let frontier = self.frontiers.get(&size).context("no event of this run ends there")?.clone();
        let note = self.chain.receipt(&frontier)?;
        self.journal.acknowledge(frontier, note, at)?;
        self.wait_for("the receipt", |run| run.acked >= size)
    }

    /// Takes reports until something has come about.
    pub(crate) fn wait_for(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        while !done(self) {
            let report = self.reports.recv_timeout(PATIENCE).with_context(|| format!("{what} never came"))?;
            if let JournalReport::Failed { error, .. } = report {
                return Err(error).with_context(|| format!("waiting for {what}"));
            }
            self.note(&report);
        }
        Ok(())
    }

    /// Waits until the journal says that there is room again.
    pub(crate) fn wait_for_room(&mut self) -> anyhow::Result<()> {
        loop {
            let report = self.reports.recv_timeout(PATIENCE).context("no room came")?;
            if matches!(&report, JournalReport::Room(room) if room.level < Level::Full) {
                return Ok(());
            }
            self.note(&report);
        }
    }

    /// Appends one event that fails while the journal cannot even be opened again.
    pub(crate) fn append_in_vain(&mut self) -> anyhow::Result<()> {
        self.journal.append(self.epoch, self.chain.seal()?)?;
        loop {
            let report = self.reports.recv_timeout(PATIENCE).context("it did not fail")?;
            ensure!(
                !matches!(report, JournalReport::Committed { .. }),
                "committed on a disk that takes nothing"
            );
            if matches!(report, JournalReport::Failed { .. }) {
                return Ok(());
            }
        }
    }

    /// Waits until the journal has opened again.
    pub(crate) fn wait_for_reset(&mut self) -> anyhow::Result<()> {
        loop {
            let report = self.reports.recv_timeout(PATIENCE).context("it did not come back")?;
            if let JournalReport::Reset { epoch, state } = report {
                return self.reset(epoch, *state.context("the chain is gone")?);
            }
        }
    }

    /// Waits for the checkpoint of a quiet moment, or for the failure of it and the way back.
    pub(crate) fn settle(&mut self) -> anyhow::Result<()> {
        while self.unsettled {
            let report = self.reports.recv_timeout(PATIENCE).context("no quiet moment came")?;
            if let JournalReport::Reset { epoch, state } = report {
                self.reset(epoch, *state.context("the chain is gone")?)?;
            } else {
                self.note(&report);
            }
        }
        Ok(())
    }

    fn note(&mut self, report: &JournalReport) {
        if let JournalReport::Acknowledged { size } = report {
            (self.acked, self.unsettled) = (*size, true);
        } else if let JournalReport::Erased { through } = report {
            (self.erased, self.unsettled) = (*through, true);
        } else if matches!(report, JournalReport::Idle { .. }) {
            self.unsettled = false;
        }
    }

    fn reset(&mut self, epoch: Epoch, state: DurableChain) -> anyhow::Result<()> {
        let size = state.state.frontier.size();
        ensure!(size >= self.committed, "{size} events are durable, {} were told", self.committed);
        self.committed = size;
        self.unsettled = false;
        self.epoch = epoch;
        self.chain.roll_back(state.state);
        Ok(())
    }
}

/// What the writer has promised so far: events that are durable and events that a stored receipt covers.
#[derive(Debug, Default)]
pub(crate) struct Told {
    committed: AtomicU64,
    acked: AtomicU64,
}

impl Told {
    fn take(&self, report: &JournalReport) {
        if let JournalReport::Committed { through } = report {
            self.committed.store(through.0 + 1, Ordering::SeqCst);
        } else if let JournalReport::Acknowledged { size } = report {
            self.acked.store(*size, Ordering::SeqCst);
        }
    }

    /// What was promised before, by an earlier writer.
    pub(crate) fn set(&self, committed: u64, acked: u64) {
        self.committed.store(committed, Ordering::SeqCst);
        self.acked.store(acked, Ordering::SeqCst);
    }

    pub(crate) fn committed(&self) -> u64 {
        self.committed.load(Ordering::SeqCst)
    }

    pub(crate) fn acked(&self) -> u64 {
        self.acked.load(Ordering::SeqCst)
    }
}

/// Everything that a journal holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) chains: Vec<(ChainId, String)>,
    pub(crate) events: Vec<StoredEvent>,
    pub(crate) receipts: Vec<Receipt>,
}

fn log_key() -> VerifierKey {
    SealingChain::begin(fixed(1)).unwrap().grant().log_key()
}

/// Opens a journal as the agent would and scans all of it, the head file's signature too.
///
/// # Errors
/// Whatever the start or the scan reports.
pub(crate) fn contents(dir: &Path) -> Result<Contents, JournalError> {
    let (journal, state) = Journal::open(dir, key(), LIMITS, drop)?;
    let Some(state) = state else { return Err(JournalError::NoChain) };
    if let Some(head) = &state.head {
        let note = Note::parse(head).map_err(JournalError::HeadUnreadable)?;
        note.verify_log(&log_key()).map_err(JournalError::HeadUnreadable)?;
    }
    let reader = JournalReader::open(dir, key())?;
    reader.verify_all()?;
    let contents = Contents {
        chains: reader.chains()?,
        events: reader.events(0..state.state.frontier.size())?,
        receipts: reader.receipts(state.chain)?,
    };
    drop(reader);
    journal.close();
    Ok(contents)
}

/// The files of a journal, as a killed process leaves them.
#[derive(Clone)]
pub(crate) struct Files(BTreeMap<String, Vec<u8>>);

pub(crate) const DATABASE: &str = "journal.db";
pub(crate) const WAL: &str = "journal.db-wal";
pub(crate) const SHM: &str = "journal.db-shm";
pub(crate) const HEAD: &str = "head";
pub(crate) const MARK: &str = "journal.mark";

impl Files {
    /// Reads them while the journal is open: nothing is flushed or moved for the sake of this copy.
    pub(crate) fn read(dir: &Path) -> Self {
        let names = [DATABASE, WAL, HEAD, MARK];
        Self::of(
            names.into_iter().filter_map(|name| Some((name.to_owned(), std::fs::read(dir.join(name)).ok()?))),
        )
    }

    pub(crate) fn of(files: impl Iterator<Item = (String, Vec<u8>)>) -> Self {
        Self(files.collect())
    }

    /// Writes them into an empty folder.
    pub(crate) fn write(&self, dir: &Path) -> anyhow::Result<()> {
        self.0.iter().try_for_each(|(name, bytes)| put(dir, name, bytes))
    }

    pub(crate) fn file(&self, name: &str) -> &[u8] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn with(&self, name: &str, bytes: Vec<u8>) -> Self {
        let mut files = self.clone();
        files.0.insert(name.to_owned(), bytes);
        files
    }

    pub(crate) fn without(&self, names: &[&str]) -> Self {
        let mut files = self.clone();
        files.0.retain(|name, _| !names.contains(&name.as_str()));
        files
    }
}

fn put(dir: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut file = zhenyin::durable_file::private_options().create(true).open(dir.join(name))?;
    Ok(file.write_all(bytes)?)
}

/// A journal with receipts, a part of it only in the write-ahead log, as a kill leaves it.
pub(crate) struct Killed {
    /// After `EARLY` events, in order.
    pub(crate) early: Files,
    pub(crate) files: Files,
    /// The same events after an orderly stop.
    pub(crate) closed: Files,
    pub(crate) contents: Contents,
}

pub(crate) const EARLY: u64 = 60;
pub(crate) const SETTLED: u64 = 140;
pub(crate) const ALL: u64 = 180;

impl Killed {
    pub(crate) fn make() -> anyhow::Result<Self> {
        let dir = scratch();
        let grow = |to: u64| -> anyhow::Result<Run> {
            let mut run = Run::open(dir.path(), LIMITS)?;
            while run.committed < to {
                run.append_all(1)?;
                if run.committed % 20 == 0 {
                    run.acknowledge(run.committed, WallTime(run.committed.cast_signed()))?;
                }
            }
            Ok(run)
        };
        grow(EARLY)?.journal.close();
        let early = Files::read(dir.path());
        grow(SETTLED)?.journal.close();
        let run = grow(ALL)?;
        let files = Files::read(dir.path());
        run.journal.close();
        let contents = contents(dir.path())?;
        Ok(Self { early, files, closed: Files::read(dir.path()), contents })
    }
}

/// The sequence after the last of `events`.
pub(crate) fn end_of(events: &[StoredEvent]) -> Sequence {
    Sequence(events.len() as u64)
}
