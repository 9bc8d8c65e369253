//! The writer thread: takes what is queued, commits it in one transaction, then answers for all of it.
//! Never answers before COMMIT has returned; after any error it closes the database, opens and verifies it
//! anew and tells the true end, because after a failed flush the same handle may claim what the disk has not.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use zhenyin_core::chain::{ChainState, SealedEvent};
use zhenyin_core::event::SEALED_LIMIT;
use zhenyin_core::ids::{ChainId, Sequence};
use zhenyin_core::merkle::{CompactRange, leaf_hash};
use zhenyin_core::note::Note;

use super::body::BodyKey;
use super::error::{JournalError, during};
use super::head_file::HeadFile;
use super::rows::{self, ChainRow, StoredChain};
use super::{
    Acknowledgement, Command, DurableChain, Epoch, Inbox, JournalReport, Limits, Report, database, reserve,
    scan,
};
use crate::data_key::DataKey;
use crate::durable_file::{self, FileError, private_options};

/// Largest group of one transaction.
const GROUP: usize = 256;

/// Quiet time before a checkpoint, and time between two attempts to open a failed database.
const QUIET: Duration = Duration::from_secs(1);

/// Room above the quota that receipts may still use.
const ABOVE_QUOTA: u64 = 16 << 20;

pub(super) struct Writer {
    place: Place,
    report: Report,
    epoch: Epoch,
    /// `None` after a failure, until the database is open and verified again.
    open: Option<Open>,
    /// Something was committed since the last checkpoint.
    dirty: bool,
    /// Held for as long as the writer lives.
    _lock: File,
}

struct Place {
    dir: PathBuf,
    key: DataKey,
    limits: Limits,
}

struct Open {
    connection: Connection,
    head_file: HeadFile,
    live: Option<Live>,
    /// Without the reserve a full disk could not be recovered from, so no event is taken.
    has_reserve: bool,
}

/// The current chain as of the last commit.
struct Live {
    row: ChainRow,
    chain: ChainId,
    key: BodyKey,
    state: ChainState,
    acked: u64,
}

/// What one transaction is to do.
#[derive(Default)]
struct Work {
    events: Vec<SealedEvent>,
    receipts: Vec<(Box<Acknowledgement>, Note)>,
    heads: Vec<Note>,
}

impl Writer {
    pub(super) fn open(
        dir: &Path,
        key: DataKey,
        limits: Limits,
        report: Report,
    ) -> Result<(Self, Option<DurableChain>), JournalError> {
        durable_file::private_dir(dir)?;
        let lock = lock(dir)?;
        let place = Place { dir: dir.to_owned(), key, limits };
        let (open, state) = place.open()?;
        let writer =
            Self { place, report, epoch: Epoch::default(), open: Some(open), dirty: false, _lock: lock };
        Ok((writer, state))
    }

    pub(super) fn run(mut self, inbox: &Inbox) {
        loop {
            let waits = self.dirty || self.open.is_none();
            let first = if waits {
                inbox.recv_timeout(QUIET)
            } else {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match first {
                Ok(first) => self.take(std::iter::once(first).chain(inbox.try_iter()).take(GROUP)),
                Err(RecvTimeoutError::Timeout) => self.rest(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if let Some(open) = self.open.take() {
            if let Err(error) = database::checkpoint(&open.connection) {
                tracing::warn!(error = %error, "no checkpoint at stop; the write-ahead log keeps the events");
            }
            drop(open);
        }
    }

    fn take(&mut self, commands: impl Iterator<Item = Command>) {
        let mut work = Work::default();
        for command in commands {
            match command {
                Command::Append { epoch, event } if epoch == self.epoch => work.events.push(*event),
                // Sealed upon an event that was lost; `Failed` has said so.
                Command::Append { .. } => {}
                Command::Acknowledge(receipt) => match Note::parse(&receipt.note) {
                    Ok(note) => work.receipts.push((receipt, note)),
                    Err(source) => {
                        let error = JournalError::ReceiptUnreadable(source);
                        (self.report)(JournalReport::AcknowledgementRefused { error });
                    }
                },
                Command::Head(text) => match Note::parse(&text) {
                    Ok(note) => work.heads.push(note),
                    Err(source) => {
                        let error = JournalError::HeadUnreadable(source);
                        (self.report)(JournalReport::HeadNotWritten { error });
                    }
                },
                Command::Begin { chain, grant_jws, answer } => {
                    self.commit(std::mem::take(&mut work));
                    self.begin(chain, &grant_jws, &answer);
                }
            }
        }
        self.commit(work);
    }

    fn commit(&mut self, mut work: Work) {
        self.refuse_unfit_receipts(&mut work);
        let Some(open) = self.open.as_mut().filter(|_| !work.is_empty()) else { return };
        match open.write(&self.place, &work) {
            Ok(()) => self.answer(work),
            Err(error) => self.fail(error),
        }
    }

    /// A receipt that does not fit is the sender's mistake, not the disk's: it must not fail the events.
    fn refuse_unfit_receipts(&mut self, work: &mut Work) {
        let live = self.open.as_ref().and_then(|open| open.live.as_ref());
        let (durable, mut acked) = live.map_or((0, 0), |live| (live.state.frontier.size(), live.acked));
        let report = &mut self.report;
        work.receipts.retain(|(receipt, note)| {
            let size = receipt.frontier.size();
            let (told, root) = (note.checkpoint().size, note.checkpoint().root);
            let what = if size > durable {
                "it covers events that are not durable"
            } else if told != size || root != receipt.frontier.root() {
                "its root is another"
            } else {
                let news = size > acked;
                acked = acked.max(size);
                if !news {
                    report(JournalReport::Acknowledged { size: acked });
                }
                return news;
            };
            let error = JournalError::UnfitReceipt { size, found: durable, what };
            report(JournalReport::AcknowledgementRefused { error });
            false
        });
    }

    /// After the commit: tells first, then writes the head file.
    fn answer(&mut self, work: Work) {
        let Some(Open { live: Some(live), head_file, .. }) = &mut self.open else { return };
        if let Some(last) = work.events.last() {
            self.dirty = true;
            (self.report)(JournalReport::Committed { through: last.sequence });
        }
        if !work.receipts.is_empty() {
            self.dirty = true;
            (self.report)(JournalReport::Acknowledged { size: live.acked });
        }
        let durable = live.state.frontier.size();
        let newest = work
            .receipts
            .into_iter()
            .map(|(_, note)| note)
            .chain(work.heads)
            .max_by_key(|note| note.checkpoint().size);
        if let Some(note) = newest
            && let Err(error) = head_file.advance(note, durable)
        {
            (self.report)(JournalReport::HeadNotWritten { error });
        }
    }

    fn begin(
        &mut self,
        chain: ChainId,
        grant_jws: &str,
        answer: &Sender<Result<DurableChain, JournalError>>,
    ) {
        let result = match &mut self.open {
            None => Err(JournalError::Stopped),
            Some(open) => open.begin(&self.place.key, chain, grant_jws),
        };
        // Whoever asked may have given up waiting; the chain has begun all the same.
        let _ = answer.send(result);
    }

    fn fail(&mut self, error: JournalError) {
        let was_full = error.is_full();
        tracing::error!(error = %error, cause = ?std::error::Error::source(&error), "the journal failed");
        let epoch = self.epoch;
        self.epoch = Epoch(epoch.0 + 1);
        self.open = None;
        self.dirty = false;
        (self.report)(JournalReport::Failed { epoch, error });
        self.reopen(was_full);
    }

    fn reopen(&mut self, was_full: bool) {
        let opened = self.place.open().and_then(|(open, state)| {
            // What the page cache shows may never have reached the disk. Moving it into the database file
            // writes it once more, and this flush tells the truth.
            if !was_full && !database::checkpoint(&open.connection)? {
                return Err(JournalError::NotSettled);
            }
            Ok((open, state))
        });
        match opened {
            Ok((open, state)) => {
                self.open = Some(open);
                let state = state.map(Box::new);
                (self.report)(JournalReport::Reset { epoch: self.epoch, state });
            }
            Err(error) => tracing::error!(error = %error, "the journal does not open; trying again"),
        }
    }

    /// Nothing was asked for a while.
    fn rest(&mut self) {
        let Some(open) = &self.open else { return self.reopen(false) };
        self.dirty = false;
        match database::checkpoint(&open.connection) {
            Ok(_) => {
                let size = open.live.as_ref().map_or(0, |live| live.state.frontier.size());
                (self.report)(JournalReport::Idle { size });
            }
            Err(error) => self.fail(error),
        }
    }
}

impl Place {
    fn open(&self) -> Result<(Open, Option<DurableChain>), JournalError> {
        let head_file = HeadFile::open(&self.dir)?;
        let connection = database::open_writer(&self.dir, self.limits.quota + ABOVE_QUOTA)?;
        let chains = rows::chains(&connection)?;
        scan::check_head_has_chain(&head_file, &chains)?;
        let mut open = Open { connection, head_file, live: None, has_reserve: true };
        match reserve::ensure(&self.dir, self.limits.reserve) {
            Err(error) if error.is_full() => open.has_reserve = false,
            made => made?,
        }
        let Some(chain) = chains.into_iter().next_back() else { return Ok((open, None)) };
        let state = open.adopt(&self.key, chain)?;
        Ok((open, Some(state)))
    }
}

impl Open {
    /// Verifies the end of a chain and makes it the one to write to.
    fn adopt(&mut self, key: &DataKey, chain: StoredChain) -> Result<DurableChain, JournalError> {
        let key = BodyKey::new(key, chain.id);
        let state = scan::tail(&self.connection, &chain, &key, &self.head_file)?;
        let last_receipt = rows::last_receipt(&self.connection, chain.row)?;
        self.live =
            Some(Live { row: chain.row, chain: chain.id, key, state: state.clone(), acked: chain.acked });
        Ok(DurableChain {
            chain: chain.id,
            grant_jws: chain.grant_jws,
            state,
            acked_frontier: chain.acked_frontier,
            last_receipt,
            head: self.head_file.text(),
        })
    }

    fn begin(
        &mut self,
        key: &DataKey,
        chain: ChainId,
        grant_jws: &str,
    ) -> Result<DurableChain, JournalError> {
        if rows::chains(&self.connection)?.iter().any(|known| known.id == chain) {
            return Err(JournalError::ChainExists { chain });
        }
        rows::insert_chain(&self.connection, chain, grant_jws, &BodyKey::new(key, chain).check_value())?;
        let stored = rows::current_chain(&self.connection)?.ok_or(JournalError::NoChain)?;
        self.adopt(key, stored)
    }

    /// One transaction for all of it. What this knows of the chain moves only after COMMIT.
    fn write(&mut self, place: &Place, work: &Work) -> Result<(), JournalError> {
        if work.events.is_empty() && work.receipts.is_empty() {
            return Ok(());
        }
        if !work.events.is_empty() {
            self.check_room(place)?;
        }
        let live = self.live.as_mut().ok_or(JournalError::NoChain)?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(during("begin a transaction"))?;
        let state = append_all(&transaction, live, &work.events)?;
        for (receipt, _) in &work.receipts {
            rows::insert_receipt(&transaction, live.row, &receipt.frontier, &receipt.note, receipt.at)?;
        }
        transaction.commit().map_err(during("commit"))?;
        live.state = state;
        live.acked = work.receipts.last().map_or(live.acked, |(receipt, _)| receipt.frontier.size());
        Ok(())
    }

    fn check_room(&mut self, place: &Place) -> Result<(), JournalError> {
        if !self.has_reserve {
            reserve::ensure(&place.dir, place.limits.reserve)?;
            self.has_reserve = true;
        }
        let (used, quota) = (database::used_bytes(&self.connection)?, place.limits.quota);
        if used >= quota { Err(JournalError::Full { used, quota }) } else { Ok(()) }
    }
}

impl Work {
    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.receipts.is_empty() && self.heads.is_empty()
    }
}

/// Inserts the events after checking that each is the next of its chain and says of itself what it is.
fn append_all(
    connection: &Connection,
    live: &Live,
    events: &[SealedEvent],
) -> Result<ChainState, JournalError> {
    let mut state = live.state.clone();
    for event in events {
        check_fits(&state.frontier, event)?;
        state.frontier.append(event.leaf);
        state.last_leaf = event.leaf;
        if state.frontier != event.frontier {
            return Err(JournalError::Unfit { sequence: event.sequence, what: "its frontier is another" });
        }
        let body = live.key.seal(event.sequence, &event.leaf, &event.jws);
        rows::insert_event(connection, live.row, event, &body)?;
    }
    if !events.is_empty() {
        rows::update_frontier(connection, live.row, &state.frontier)?;
    }
    tracing::trace!(chain = %live.chain, events = events.len(), "one commit");
    Ok(state)
}

fn check_fits(frontier: &CompactRange, event: &SealedEvent) -> Result<(), JournalError> {
    if event.sequence != Sequence(frontier.size()) {
        return Err(JournalError::OutOfOrder { expected: frontier.size(), found: event.sequence });
    }
    let unfit = |what| JournalError::Unfit { sequence: event.sequence, what };
    if event.jws.len() > SEALED_LIMIT {
        return Err(unfit("it is too long to be uploaded"));
    }
    if leaf_hash(event.jws.as_bytes()) != event.leaf {
        return Err(unfit("its leaf is another"));
    }
    Ok(())
}

fn lock(dir: &Path) -> Result<File, JournalError> {
    let path = dir.join("journal.lock");
    let io = |source| FileError::Io { doing: "lock", path: path.clone(), source };
    let file = private_options().create(true).truncate(false).open(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(JournalError::InUse),
        Err(std::fs::TryLockError::Error(source)) => Err(io(source).into()),
    }
}
