//! Reading the journal while it is written: batches to upload, what to show, what to export.
//! Never writes, never hands out an event whose leaf hash does not fit, never keeps a transaction open.

use std::ops::Range;
use std::path::Path;

use rusqlite::Connection;
use zhenyin_core::ids::{ChainId, Sequence};
use zhenyin_core::merkle::{CompactRange, Hash};
use zhenyin_core::time::WallTime;

use super::body::BodyKey;
use super::database;
use super::error::JournalError;
use super::head_file::HeadFile;
use super::mark;
use super::retention::{self, Hold};
use super::rows::{self, Next, StoredChain};
use super::scan::{self, Memory, ScanReport};
use crate::data_key::DataKey;

/// An event as it was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    pub sequence: Sequence,
    pub leaf: Hash,
    /// `None` when retention has erased the body.
    pub jws: Option<String>,
    pub at: WallTime,
}

/// A stored receipt: the witness's note over the first `size` events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub size: u64,
    pub note: String,
    pub at: WallTime,
}

/// Figures for `status` and metrics; none of them needs a count of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    pub size: u64,
    pub acked: u64,
    pub oldest_unacknowledged: Option<WallTime>,
    /// Bytes of database in use, to compare with the quota.
    pub used_bytes: u64,
}

/// One read-only connection. Make one for each thread.
#[derive(Debug)]
pub struct JournalReader {
    connection: Connection,
    key: DataKey,
    dir: std::path::PathBuf,
}

impl JournalReader {
    /// # Errors
    /// [`JournalError::NoChain`] where there is no journal yet, else what is wrong with the file.
    pub fn open(dir: &Path, key: DataKey) -> Result<Self, JournalError> {
        let connection = database::open_reader(dir)?.ok_or(JournalError::NoChain)?;
        Ok(Self { connection, key, dir: dir.to_owned() })
    }

    /// Identifiers and grants of all chains, the oldest first; the last is the current one.
    ///
    /// # Errors
    /// What the database says.
    pub fn chains(&self) -> Result<Vec<(ChainId, String)>, JournalError> {
        Ok(rows::chains(&self.connection)?.into_iter().map(|c| (c.id, c.grant_jws)).collect())
    }

    /// Events of the current chain from `first` on: at most `max_events`, and no more than `max_bytes` of JWS
    /// unless the first alone is longer. Stops before an erased body.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when a body does not fit its leaf.
    pub fn batch(
        &self,
        first: Sequence,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredEvent>, JournalError> {
        let chain = self.current()?;
        let mut bytes = 0;
        self.collect(&chain, first.0, |taken, event| {
            bytes += event.jws.as_ref().map_or(usize::MAX, String::len);
            taken < max_events && event.jws.is_some() && (taken == 0 || bytes <= max_bytes)
        })
    }

    /// Events of the current chain in `range`, erased ones too. Page large ranges.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when a body does not fit its leaf.
    pub fn events(&self, range: Range<u64>) -> Result<Vec<StoredEvent>, JournalError> {
        self.events_of(&self.current()?, range)
    }

    /// As [`Self::events`], of any chain.
    ///
    /// # Errors
    /// [`JournalError::NoChain`] when the journal does not have this chain.
    pub fn events_of_chain(
        &self,
        chain: ChainId,
        range: Range<u64>,
    ) -> Result<Vec<StoredEvent>, JournalError> {
        self.events_of(&self.named(chain)?, range)
    }

    /// Receipts of a chain, the oldest first.
    ///
    /// # Errors
    /// [`JournalError::NoChain`] when the journal does not have this chain.
    pub fn receipts(&self, chain: ChainId) -> Result<Vec<Receipt>, JournalError> {
        let rows = rows::receipts(&self.connection, self.named(chain)?.row)?;
        Ok(rows.into_iter().map(|row| Receipt { size: row.size, note: row.note, at: row.at }).collect())
    }

    /// Legal holds on the current chain, lifted ones too.
    ///
    /// # Errors
    /// [`JournalError::NoChain`] before the first chain.
    pub fn holds(&self) -> Result<Vec<Hold>, JournalError> {
        retention::holds(&self.connection, self.current()?.row)
    }

    /// The tree over the first `size` events of the current chain. Reads at most some thousand leaves.
    ///
    /// # Errors
    /// [`JournalError::DamagedChain`] when there are not so many.
    pub fn frontier(&self, size: u64) -> Result<CompactRange, JournalError> {
        let chain = self.current()?;
        let nearest = [
            chain.acked_frontier,
            chain.frontier,
            retention::waypoint_below(&self.connection, chain.row, size)?,
        ];
        let mut frontier = nearest
            .into_iter()
            .filter(|range| range.size() <= size)
            .max_by_key(CompactRange::size)
            .unwrap_or_default();
        for leaf in rows::leaves(&self.connection, chain.row, frontier.size()..size)? {
            frontier.append(leaf);
        }
        if frontier.size() == size {
            Ok(frontier)
        } else {
            Err(JournalError::DamagedChain { size, what: "the number of leaves" })
        }
    }

    /// # Errors
    /// [`JournalError::NoChain`] before the first chain.
    pub fn counters(&self) -> Result<Counters, JournalError> {
        let chain = self.current()?;
        Ok(Counters {
            size: chain.size,
            acked: chain.acked,
            oldest_unacknowledged: rows::event_time(&self.connection, chain.row, chain.acked)?,
            used_bytes: database::used_bytes(&self.connection)?,
        })
    }

    /// The text of the head file: the latest signed checkpoint.
    ///
    /// # Errors
    /// [`JournalError::HeadUnreadable`].
    pub fn head(&self) -> Result<Option<String>, JournalError> {
        Ok(HeadFile::open(&self.dir)?.text())
    }

    /// Verifies every event, frontier and receipt and the head file. Slow: for `journal verify` and the
    /// background scan. Signatures are the inspector's to verify, and need no key of this terminal.
    ///
    /// # Errors
    /// The first thing that is wrong, by name and place.
    pub fn verify_all(&self) -> Result<ScanReport, JournalError> {
        self.verify_while(|| true).map(Option::unwrap_or_default)
    }

    /// As [`Self::verify_all`], as long as `go_on` says so; it is asked at every few hundred events.
    ///
    /// # Errors
    /// As [`Self::verify_all`].
    pub fn verify_while(&self, mut go_on: impl FnMut() -> bool) -> Result<Option<ScanReport>, JournalError> {
        // Head and mark first, then one snapshot: the writer goes on meanwhile.
        let head = HeadFile::open(&self.dir)?;
        let mark = mark::read(&self.dir);
        let snapshot = self.connection.unchecked_transaction().map_err(super::error::during("read"))?;
        scan::full(&snapshot, &self.key, Memory { head: &head, mark: mark.as_ref() }, &mut go_on)
    }

    fn current(&self) -> Result<StoredChain, JournalError> {
        rows::current_chain(&self.connection)?.ok_or(JournalError::NoChain)
    }

    fn named(&self, chain: ChainId) -> Result<StoredChain, JournalError> {
        let chains = rows::chains(&self.connection)?;
        chains.into_iter().find(|c| c.id == chain).ok_or(JournalError::NoChain)
    }

    fn events_of(&self, chain: &StoredChain, range: Range<u64>) -> Result<Vec<StoredEvent>, JournalError> {
        self.collect(chain, range.start, |_, event| event.sequence.0 < range.end)
    }

    fn collect(
        &self,
        chain: &StoredChain,
        first: u64,
        mut wanted: impl FnMut(usize, &StoredEvent) -> bool,
    ) -> Result<Vec<StoredEvent>, JournalError> {
        let key = BodyKey::new(&self.key, chain.id);
        let mut events = Vec::new();
        rows::for_each_event(&self.connection, chain.row, first, |row| {
            let jws = scan::open_body(&row, &key)?;
            let event = StoredEvent { sequence: row.sequence, leaf: row.leaf, jws, at: row.at };
            if !wanted(events.len(), &event) {
                return Ok(Next::Stop);
            }
            events.push(event);
            Ok(Next::Go)
        })?;
        Ok(events)
    }
}
