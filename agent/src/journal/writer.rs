//! The writer thread: takes what is queued, commits it in one transaction, then answers for all of it.
//! Never answers before COMMIT has returned; after any error it closes the database, opens and verifies it
//! anew and tells the true end, because after a failed flush the same handle may claim what the disk has not.

use std::fs::File;
use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use zhenyin_core::ids::ChainId;
use zhenyin_core::note::Note;
use zhenyin_core::room::Level;
use zhenyin_core::time::Boottime;

use super::error::JournalError;
use super::store::{Open, Place, Reserve, Work};
use super::{
    Answer, Command, DurableChain, Epoch, HoldChange, Inbox, JournalReport, Limits, Report, database,
    reserve, retention,
};
use crate::clock;
use crate::data_key::DataKey;
use crate::durable_file::{self, FileError, private_options};

/// Largest group of one transaction.
const GROUP: usize = 256;

/// Callers who do not come within this time after the one before are not waited for.
const GAP: Duration = Duration::from_micros(200);

pub(super) struct Writer {
    place: Place,
    report: Report,
    epoch: Epoch,
    /// `None` after a failure, until the database is open and verified again.
    open: Option<Open>,
    /// The reserve that the failure took, by the bytes in use then.
    gone: Option<u64>,
    /// Something was committed since the last checkpoint.
    dirty: bool,
    /// There may be bodies whose retention has ended.
    erasing: bool,
    /// How long the next group may wait for company; `None` after a commit for one caller.
    patience: Option<Duration>,
    /// Level and whole percent that were told last.
    told: Option<(Level, u64)>,
    /// Held for as long as the writer lives.
    _lock: Lock,
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
        let (open, state) = place.open(None)?;
        let writer = Self {
            place,
            report,
            epoch: Epoch::default(),
            open: Some(open),
            gone: None,
            dirty: false,
            erasing: limits.keep.is_some(),
            patience: None,
            told: None,
            _lock: lock,
        };
        Ok((writer, state))
    }

    pub(super) fn run(mut self, inbox: &Inbox) {
        self.tell_room();
        loop {
            let first = if self.has_chores() {
                inbox.recv_timeout(self.place.limits.quiet)
            } else {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match first {
                Ok(first) => {
                    let group = self.gather(first, inbox);
                    self.take(group.into_iter());
                }
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

    /// What is queued. Where several callers wait at a time, those of the last commit are about to ask again: a part of
    /// the time that a commit takes is well spent on them, as long as they keep coming. A single caller never waits.
    fn gather(&self, first: Command, inbox: &Inbox) -> Vec<Command> {
        let mut group = vec![first];
        group.extend(inbox.try_iter().take(GROUP - 1));
        let Some(patience) = self.patience else { return group };
        let begun = clock::boottime();
        while group.len() < GROUP
            && let Some(left) = patience.checked_sub(since(begun))
            && let Ok(next) = inbox.recv_timeout(left.min(GAP))
        {
            group.push(next);
            group.extend(inbox.try_iter().take(GROUP - group.len()));
        }
        group
    }

    fn has_chores(&self) -> bool {
        let lacks_reserve = |open: &Open| matches!(open.reserve, Reserve::Gone { .. });
        self.dirty || self.erasing || self.open.as_ref().is_none_or(lacks_reserve)
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
                Command::Keep(keep) => {
                    self.place.limits.keep = Some(keep);
                    self.erasing = true;
                }
                Command::Hold { change, answer } => {
                    self.commit(std::mem::take(&mut work));
                    self.hold(change, &answer);
                }
            }
        }
        self.commit(work);
    }

    fn commit(&mut self, mut work: Work) {
        self.refuse_unfit_receipts(&mut work);
        let Some(open) = self.open.as_mut().filter(|_| !work.is_empty()) else { return };
        let begun = clock::boottime();
        match open.write(&self.place, &work) {
            Ok(()) => {
                self.patience = (work.events.len() > 1).then(|| since(begun) / 2);
                self.answer(work);
                self.tell_room();
            }
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
            (self.dirty, self.erasing) = (true, true);
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

    fn begin(&mut self, chain: ChainId, grant_jws: &str, answer: &Answer<DurableChain>) {
        let result = match &mut self.open {
            None => Err(JournalError::Stopped),
            Some(open) => open.begin(&self.place.key, chain, grant_jws),
        };
        let result = match result {
            Err(error @ (JournalError::Stopped | JournalError::ChainExists { .. })) => Err(error),
            Err(error) if error.is_refusal() => Err(error),
            Err(error) => {
                self.fail(error);
                Err(JournalError::BeginUnsure)
            }
            begun => begun,
        };
        // Whoever asked may have given up waiting; the chain has begun all the same.
        let _ = answer.send(result);
    }

    fn hold(&mut self, change: HoldChange, answer: &Answer<i64>) {
        let live = self.open.as_ref().and_then(|open| Some((&open.connection, open.live.as_ref()?)));
        let result = match (live, change) {
            (None, _) => Err(JournalError::Stopped),
            (Some((connection, live)), HoldChange::Place { first, last, reason, at }) => {
                retention::place_hold(connection, live.row, (first, last), &reason, at)
            }
            (Some((connection, _)), HoldChange::Lift { id, at }) => {
                match retention::lift_hold(connection, id, at) {
                    Ok(false) => Err(JournalError::NoHold { id }),
                    done => done.map(|_| id),
                }
            }
        };
        let result = match result {
            Err(error @ (JournalError::Stopped | JournalError::NoHold { .. })) => Err(error),
            Err(error) if error.is_refusal() => Err(error),
            Err(error) => {
                self.fail(error);
                Err(JournalError::HoldUnsure)
            }
            Ok(id) => {
                (self.dirty, self.erasing) = (true, true);
                Ok(id)
            }
        };
        // As above: nobody may be waiting any more.
        let _ = answer.send(result);
    }

    fn fail(&mut self, error: JournalError) {
        let was_full = error.is_full();
        tracing::error!(error = %error, cause = ?std::error::Error::source(&error), "the journal failed");
        let epoch = self.epoch;
        self.epoch = Epoch(epoch.0 + 1);
        let used = self.open.as_ref().map(|open| (open.reserve, database::used_bytes(&open.connection)));
        if let Some((Reserve::Gone { used }, _) | (Reserve::There, Ok(used))) = used {
            self.gone = Some(used);
        }
        self.open = None;
        self.dirty = false;
        if was_full && !matches!(error, JournalError::Full { .. }) {
            // What must be recorded now, and the erasing that makes room, need a little of it.
            reserve::release(&self.place.dir);
        }
        (self.report)(JournalReport::Failed { epoch, error });
        self.reopen();
    }

    fn reopen(&mut self) {
        match self.place.open(self.gone) {
            Ok((open, state)) => {
                self.open = Some(open);
                let state = state.map(Box::new);
                (self.report)(JournalReport::Reset { epoch: self.epoch, state });
                self.tell_room();
            }
            Err(error) => tracing::error!(error = %error, "the journal does not open; trying again"),
        }
    }

    /// Nothing was asked for a while.
    fn rest(&mut self) {
        if self.open.is_none() {
            return self.reopen();
        }
        if let Err(error) = self.do_chores() {
            self.fail(error);
        }
    }

    fn do_chores(&mut self) -> Result<(), JournalError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if self.dirty {
            database::checkpoint(&open.connection)?;
            self.dirty = false;
            let size = open.live.as_ref().map_or(0, |live| live.state.frontier.size());
            (self.report)(JournalReport::Idle { size });
        }
        if matches!(open.reserve, Reserve::Gone { .. }) {
            open.seek_reserve(&self.place, self.gone)?;
        }
        if self.erasing {
            let slice = match (&open.live, self.place.limits.keep) {
                (Some(live), Some(keep)) => {
                    retention::erase_slice(&mut open.connection, (live.row, &live.key), keep)?
                }
                (None, _) | (_, None) => None,
            };
            (self.erasing, self.dirty) = (slice.is_some(), slice.is_some());
            if let Some(through) = slice {
                (self.report)(JournalReport::Erased { through });
            }
        }
        self.tell_room();
        Ok(())
    }

    /// Says how much room there is: first of all, and when that has changed by a percent.
    fn tell_room(&mut self) {
        let Some(open) = &self.open else { return };
        match open.room(&self.place) {
            Ok(room) => {
                let percent = room.used_bytes.saturating_mul(100) / room.limit_bytes.max(1);
                if self.told.replace((room.level, percent)) != Some((room.level, percent)) {
                    (self.report)(JournalReport::Room(room));
                }
            }
            Err(error) => tracing::warn!(%error, "the size of the journal cannot be told"),
        }
    }
}

fn since(begun: Boottime) -> Duration {
    clock::boottime().0.saturating_sub(begun.0)
}

/// One writer at a time.
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // A child that was started at this moment still shares the file: closing ours would not be enough.
        let _ = self.0.unlock();
    }
}

/// Whether an agent has the journal in this folder open.
pub(crate) fn at_work(dir: &Path) -> Result<bool, JournalError> {
    match lock(dir) {
        Ok(_) => Ok(false),
        Err(JournalError::InUse) => Ok(true),
        Err(error) => Err(error),
    }
}

pub(crate) fn lock(dir: &Path) -> Result<Lock, JournalError> {
    let path = dir.join("journal.lock");
    let io = |source| FileError::Io { doing: "lock", path: path.clone(), source };
    let file = private_options().create(true).truncate(false).open(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(std::fs::TryLockError::WouldBlock) => Err(JournalError::InUse),
        Err(std::fs::TryLockError::Error(source)) => Err(io(source).into()),
    }
}
