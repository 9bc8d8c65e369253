//! The journal: sealed events made durable, in order, before anybody is told of them.
//! Never reports an event before its COMMIT, never changes or deletes one, never retries a COMMIT on a
//! connection that failed, never starts empty where a head file remembers events.
//!
//! One writer thread owns the only write connection and drains what is queued into one transaction (natural
//! group commit). Answers come back through the report function given to [`Journal::open`].

mod aside;
mod body;
mod database;
mod error;
mod head_file;
mod mark;
mod reader;
mod reserve;
mod retention;
mod rows;
mod scan;
mod store;
mod writer;

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use zhenyin_core::chain::{ChainState, SealedEvent};
use zhenyin_core::ids::{ChainId, Sequence};
use zhenyin_core::merkle::CompactRange;
use zhenyin_core::room::Room;
use zhenyin_core::time::WallTime;

pub use self::aside::{Aside, asides, set_aside};
pub use self::error::JournalError;
pub use self::reader::{Counters, JournalReader, Receipt, StoredEvent};
pub use self::retention::Hold;
pub use self::scan::ScanReport;
pub(crate) use self::writer::{at_work, lock};
use crate::data_key::DataKey;

/// Counts the failures of the journal. An append says under which epoch its event was sealed, so that what was
/// sealed upon a lost event is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Epoch(pub u64);

/// How much the journal may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of database from which on nothing is taken but what must be recorded of that. Receipts still fit in
    /// above it.
    pub quota: u64,
    /// Bytes kept in a file of real blocks, so that a full disk can be recovered from.
    pub reserve: u64,
    /// Quiet time before a checkpoint, and time between two attempts to open a failed database.
    pub quiet: Duration,
    /// How long bodies are kept after their receipt, by the witness's time. Without it none is ever erased.
    pub keep: Option<Duration>,
}

impl Default for Limits {
    /// 2 GiB (about 780 days at 2,000 events a day, where institutions and physicians are looked back on for 12
    /// months), 16 MiB, a second, and bodies for good: erasing cannot be taken back, so somebody has to ask for it.
    fn default() -> Self {
        Self { quota: 2 << 30, reserve: 16 << 20, quiet: Duration::from_secs(1), keep: None }
    }
}

/// A chain as it stands on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurableChain {
    pub chain: ChainId,
    pub grant_jws: String,
    /// Where the next event goes; `state.frontier.size()` events are durable.
    pub state: ChainState,
    /// The events that a verified receipt covers.
    pub acked_frontier: CompactRange,
    pub last_receipt: Option<String>,
    /// The note in the head file if it is about this chain: its size and root were compared, its signature was
    /// not verified.
    pub head: Option<String>,
}

/// What the writer thread has to say. All events up to `through` are durable after `Committed`.
#[derive(Debug)]
pub enum JournalReport {
    Committed {
        through: Sequence,
    },
    /// Nothing of `epoch` that was not reported as committed will be; a [`Self::Reset`] follows as soon as the
    /// database is open again and verified.
    Failed {
        epoch: Epoch,
        error: JournalError,
    },
    /// The true durable state after a failure. Appends are taken again under this epoch.
    Reset {
        epoch: Epoch,
        state: Option<Box<DurableChain>>,
    },
    /// The receipt is stored; `size` is what the journal holds as acknowledged.
    Acknowledged {
        size: u64,
    },
    /// A receipt that does not fit this chain was not stored.
    AcknowledgementRefused {
        error: JournalError,
    },
    /// The head file could not be written or would be ahead of the journal. No event is affected.
    HeadNotWritten {
        error: JournalError,
    },
    /// Bodies below this sequence are erased: their retention has ended.
    Erased {
        through: u64,
    },
    /// The room for events: at the start, and whenever its level or its whole percent has changed.
    Room(Room),
    /// Quiet for a while and everything is in the main file: the moment to sign a checkpoint for the head file.
    Idle {
        size: u64,
    },
}

/// Handle to the writer. Every call returns at once, except [`Self::begin_chain`] and [`Self::close`].
#[derive(Debug)]
pub struct Journal {
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    /// Opens or makes the journal in `dir`, verifies its tail and starts the writer.
    /// `report` is called on the writer's thread and must not block.
    ///
    /// # Errors
    /// Any [`JournalError`]; nothing was changed then. [`JournalError::is_integrity`] tells whether evidence was
    /// damaged.
    pub fn open(
        dir: &Path,
        key: DataKey,
        limits: Limits,
        report: impl FnMut(JournalReport) + Send + 'static,
    ) -> Result<(Self, Option<DurableChain>), JournalError> {
        let (writer, state) = writer::Writer::open(dir, key, limits, Box::new(report))?;
        let (commands, inbox) = channel();
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run(&inbox))
            .map_err(|source| JournalError::Thread { source })?;
        Ok((Self { commands: Some(commands), thread: Some(thread) }, state))
    }

    /// Begins a chain under a grant; it becomes the current one. Waits for the disk.
    ///
    /// # Errors
    /// [`JournalError::BeginUnsure`] after a failure of the database: the next start tells. What else it says: no chain
    /// has begun then.
    pub fn begin_chain(&self, chain: ChainId, grant_jws: &str) -> Result<DurableChain, JournalError> {
        let (answer, answered) = channel();
        self.send(Command::Begin { chain, grant_jws: grant_jws.to_owned(), answer })?;
        answered.recv().map_err(|_| JournalError::Stopped)?
    }

    /// Queues an event sealed under `epoch`. An event of an older epoch is dropped: its failure was reported.
    ///
    /// # Errors
    /// [`JournalError::Stopped`] when there is no writer any more.
    pub fn append(&self, epoch: Epoch, event: SealedEvent) -> Result<(), JournalError> {
        self.send(Command::Append { epoch, event: Box::new(event) })
    }

    /// Queues a verified receipt for the first `frontier.size()` events. Its text also becomes the head file.
    ///
    /// # Errors
    /// [`JournalError::Stopped`] when there is no writer any more.
    pub fn acknowledge(
        &self,
        frontier: CompactRange,
        note: String,
        at: WallTime,
    ) -> Result<(), JournalError> {
        self.send(Command::Acknowledge(Box::new(Acknowledgement { frontier, note, at })))
    }

    /// Queues a signed checkpoint for the head file.
    ///
    /// # Errors
    /// [`JournalError::Stopped`] when there is no writer any more.
    pub fn write_head(&self, note: String) -> Result<(), JournalError> {
        self.send(Command::Head(note))
    }

    /// From now on bodies are kept this long after their receipt, and erased then.
    ///
    /// # Errors
    /// [`JournalError::Stopped`] when there is no writer any more.
    pub fn keep(&self, keep: Duration) -> Result<(), JournalError> {
        self.send(Command::Keep(keep))
    }

    /// Keeps the events of the current chain from `first` to `last`, and all later ones, from being erased until
    /// the hold is lifted. Waits for the disk and gives the hold's number.
    ///
    /// # Errors
    /// [`JournalError::HoldUnsure`] after a failure of the database: the reader's holds tell. What else it says: there
    /// is no hold then.
    pub fn hold(
        &self,
        first: Sequence,
        last: Sequence,
        reason: &str,
        at: WallTime,
    ) -> Result<i64, JournalError> {
        let (first, last, reason) = (first.0, last.0, reason.to_owned());
        self.change_hold(HoldChange::Place { first, last, reason, at })
    }

    /// # Errors
    /// [`JournalError::NoHold`]; or as with [`Self::hold`].
    pub fn lift_hold(&self, id: i64, at: WallTime) -> Result<(), JournalError> {
        self.change_hold(HoldChange::Lift { id, at }).map(|_| ())
    }

    fn change_hold(&self, change: HoldChange) -> Result<i64, JournalError> {
        let (answer, answered) = channel();
        self.send(Command::Hold { change, answer })?;
        answered.recv().map_err(|_| JournalError::Stopped)?
    }

    /// Lets the writer finish what is queued, checkpoint and stop.
    pub fn close(mut self) {
        self.stop();
    }

    fn send(&self, command: Command) -> Result<(), JournalError> {
        let commands = self.commands.as_ref().ok_or(JournalError::Stopped)?;
        commands.send(command).map_err(|_| JournalError::Stopped)
    }

    fn stop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the journal's writer had panicked");
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the writer is asked to do.
enum Command {
    Begin { chain: ChainId, grant_jws: String, answer: Answer<DurableChain> },
    Append { epoch: Epoch, event: Box<SealedEvent> },
    Acknowledge(Box<Acknowledgement>),
    Head(String),
    Keep(Duration),
    Hold { change: HoldChange, answer: Answer<i64> },
}

enum HoldChange {
    Place { first: u64, last: u64, reason: String, at: WallTime },
    Lift { id: i64, at: WallTime },
}

struct Acknowledgement {
    frontier: CompactRange,
    note: String,
    at: WallTime,
}

type Answer<T> = Sender<Result<T, JournalError>>;
type Inbox = Receiver<Command>;
type Report = Box<dyn FnMut(JournalReport) + Send>;

#[cfg(test)]
mod tests;
