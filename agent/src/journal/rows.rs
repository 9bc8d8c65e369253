//! The rows of the journal as values, and the only statements that read or write them.
//! Never decides whether a row is true: `scan` does.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;
use zhenyin_core::chain::SealedEvent;
use zhenyin_core::ids::{ChainId, Sequence};
use zhenyin_core::merkle::{CompactRange, Hash, leaf_hash};
use zhenyin_core::time::WallTime;

use super::error::{JournalError, during};

/// Row number of a chain in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChainRow(i64);

impl ChainRow {
    pub(super) fn number(self) -> i64 {
        self.0
    }
}

#[derive(Debug)]
pub(super) struct StoredChain {
    pub(super) row: ChainRow,
    pub(super) id: ChainId,
    pub(super) grant_jws: String,
    pub(super) key_check: [u8; 16],
    pub(super) size: u64,
    pub(super) frontier: CompactRange,
    pub(super) acked: u64,
    pub(super) acked_frontier: CompactRange,
    /// Bodies below this sequence were erased.
    pub(super) erased: u64,
}

/// An event as it lies on the disk.
pub(super) struct StoredRow {
    pub(super) sequence: Sequence,
    pub(super) leaf: Hash,
    pub(super) body: Option<Vec<u8>>,
    pub(super) at: WallTime,
}

/// All chains, the oldest first.
pub(super) fn chains(connection: &Connection) -> Result<Vec<StoredChain>, JournalError> {
    const SQL: &str = "SELECT id, uuid, grant_jws, key_check, size, frontier, acked, acked_frontier,
          (SELECT coalesce(max(through), 0) FROM erasure WHERE erasure.chain = chain.id)
        FROM chain ORDER BY id";
    let mut statement = connection.prepare_cached(SQL).map_err(during("read the chains"))?;
    let rows = statement.query_map([], raw_chain).map_err(during("read the chains"))?;
    rows.map(|row| row.map_err(during("read a chain"))?.parse()).collect()
}

/// The chain that is written to.
pub(super) fn current_chain(connection: &Connection) -> Result<Option<StoredChain>, JournalError> {
    Ok(chains(connection)?.pop())
}

pub(super) fn insert_chain(
    connection: &Connection,
    chain: ChainId,
    grant_jws: &str,
    key_check: &[u8; 16],
) -> Result<(), JournalError> {
    const SQL: &str =
        "INSERT INTO chain(id, uuid, grant_jws, key_check, size, frontier, acked, acked_frontier)
        VALUES((SELECT coalesce(max(id), 0) + 1 FROM chain), ?1, ?2, ?3, 0, ?4, 0, ?4)";
    let empty = CompactRange::new().to_bytes();
    connection
        .execute(SQL, params![chain.to_string(), grant_jws, key_check, empty])
        .map(|_| ())
        .map_err(during("begin a chain"))
}

pub(super) fn insert_event(
    connection: &Connection,
    row: ChainRow,
    event: &SealedEvent,
    body: &[u8],
) -> Result<(), JournalError> {
    const SQL: &str = "INSERT INTO event(chain, seq, leaf, body, at_ms) VALUES(?1, ?2, ?3, ?4, ?5)";
    let mut statement = connection.prepare_cached(SQL).map_err(during("append an event"))?;
    statement
        .execute(params![row.0, event.sequence.0.cast_signed(), event.leaf.as_bytes(), body, event.at.0])
        .map(|_| ())
        .map_err(during("append an event"))
}

pub(super) fn update_frontier(
    connection: &Connection,
    row: ChainRow,
    frontier: &CompactRange,
) -> Result<(), JournalError> {
    let mut statement = connection
        .prepare_cached("UPDATE chain SET frontier = ?2 WHERE id = ?1")
        .map_err(during("move the frontier"))?;
    statement.execute(params![row.0, frontier.to_bytes()]).map(|_| ()).map_err(during("move the frontier"))
}

pub(super) fn insert_receipt(
    connection: &Connection,
    row: ChainRow,
    frontier: &CompactRange,
    note: &str,
    at: WallTime,
) -> Result<(), JournalError> {
    let size = frontier.size().cast_signed();
    connection
        .execute(
            "INSERT INTO receipt(chain, size, note, at_ms, digest) VALUES(?1, ?2, ?3, ?4, ?5)",
            params![row.0, size, note, at.0, receipt_digest(frontier.size(), note, at).as_bytes()],
        )
        .and_then(|_| {
            connection.execute(
                "UPDATE chain SET acked = ?2, acked_frontier = ?3 WHERE id = ?1",
                params![row.0, size, frontier.to_bytes()],
            )
        })
        .map(|_| ())
        .map_err(during("store a receipt"))
}

/// Calls `each` for the events from `first` on, in order, until it says stop.
pub(super) fn for_each_event(
    connection: &Connection,
    row: ChainRow,
    first: u64,
    mut each: impl FnMut(StoredRow) -> Result<Next, JournalError>,
) -> Result<(), JournalError> {
    const SQL: &str = "SELECT seq, leaf, body, at_ms FROM event WHERE chain = ?1 AND seq >= ?2 ORDER BY seq";
    let mut statement = connection.prepare_cached(SQL).map_err(during("read events"))?;
    let mut rows = statement.query(params![row.0, first.cast_signed()]).map_err(during("read events"))?;
    while let Some(row) = rows.next().map_err(during("read events"))? {
        let stored = raw_event(row).map_err(during("read an event"))?;
        if each(stored)? == Next::Stop {
            break;
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Go,
    Stop,
}

/// Number of events by their highest sequence, whatever the chain's row says.
pub(super) fn count_by_events(connection: &Connection, row: ChainRow) -> Result<u64, JournalError> {
    connection
        .query_row("SELECT coalesce(max(seq), -1) + 1 FROM event WHERE chain = ?1", [row.0], |row| {
            row.get::<_, i64>(0).map(i64::cast_unsigned)
        })
        .map_err(during("count the events"))
}

/// When the event with this sequence was made.
pub(super) fn event_time(
    connection: &Connection,
    row: ChainRow,
    sequence: u64,
) -> Result<Option<WallTime>, JournalError> {
    connection
        .query_row(
            "SELECT at_ms FROM event WHERE chain = ?1 AND seq = ?2",
            [row.0, sequence.cast_signed()],
            |row| row.get(0).map(WallTime),
        )
        .optional()
        .map_err(during("read an event's time"))
}

/// A receipt as it lies on the disk.
pub(super) struct ReceiptRow {
    pub(super) size: u64,
    pub(super) note: String,
    pub(super) at: WallTime,
    digest: Option<[u8; 32]>,
}

impl ReceiptRow {
    /// Whether the row is what was stored. Rows of schema 1 cannot tell.
    pub(super) fn is_whole(&self) -> bool {
        self.digest.is_none_or(|digest| Hash(digest) == receipt_digest(self.size, &self.note, self.at))
    }
}

/// All receipts, the oldest first.
pub(super) fn receipts(connection: &Connection, row: ChainRow) -> Result<Vec<ReceiptRow>, JournalError> {
    let mut statement = connection
        .prepare_cached("SELECT size, note, at_ms, digest FROM receipt WHERE chain = ?1 ORDER BY size")
        .map_err(during("read the receipts"))?;
    let rows = statement
        .query_map([row.0], |row| {
            Ok(ReceiptRow {
                size: row.get::<_, i64>(0)?.cast_unsigned(),
                note: row.get(1)?,
                at: WallTime(row.get(2)?),
                digest: row.get(3)?,
            })
        })
        .map_err(during("read the receipts"))?;
    rows.collect::<Result<_, _>>().map_err(during("read a receipt"))
}

/// Leaves of the events in a range, bodies unread.
pub(super) fn leaves(
    connection: &Connection,
    row: ChainRow,
    range: std::ops::Range<u64>,
) -> Result<Vec<Hash>, JournalError> {
    let mut statement = connection
        .prepare_cached("SELECT leaf FROM event WHERE chain = ?1 AND seq >= ?2 AND seq < ?3 ORDER BY seq")
        .map_err(during("read leaves"))?;
    let rows = statement
        .query_map([row.0, range.start.cast_signed(), range.end.cast_signed()], |row| row.get(0).map(Hash))
        .map_err(during("read leaves"))?;
    rows.collect::<Result<_, _>>().map_err(during("read a leaf"))
}

pub(super) fn last_receipt(connection: &Connection, row: ChainRow) -> Result<Option<String>, JournalError> {
    connection
        .query_row("SELECT note FROM receipt WHERE chain = ?1 ORDER BY size DESC LIMIT 1", [row.0], |row| {
            row.get(0)
        })
        .optional()
        .map_err(during("read the last receipt"))
}

fn receipt_digest(size: u64, note: &str, at: WallTime) -> Hash {
    let mut bytes = size.to_be_bytes().to_vec();
    bytes.extend_from_slice(&at.0.to_be_bytes());
    bytes.extend_from_slice(note.as_bytes());
    leaf_hash(&bytes)
}

struct RawChain {
    row: i64,
    uuid: String,
    grant_jws: String,
    key_check: [u8; 16],
    size: i64,
    frontier: Vec<u8>,
    acked: i64,
    acked_frontier: Vec<u8>,
    erased: i64,
}

fn raw_chain(row: &Row<'_>) -> rusqlite::Result<RawChain> {
    Ok(RawChain {
        row: row.get(0)?,
        uuid: row.get(1)?,
        grant_jws: row.get(2)?,
        key_check: row.get(3)?,
        size: row.get(4)?,
        frontier: row.get(5)?,
        acked: row.get(6)?,
        acked_frontier: row.get(7)?,
        erased: row.get(8)?,
    })
}

fn raw_event(row: &Row<'_>) -> rusqlite::Result<StoredRow> {
    Ok(StoredRow {
        sequence: Sequence(row.get::<_, i64>(0)?.cast_unsigned()),
        leaf: Hash(row.get(1)?),
        body: row.get(2)?,
        at: WallTime(row.get(3)?),
    })
}

impl RawChain {
    fn parse(self) -> Result<StoredChain, JournalError> {
        let (size, acked) = (self.size.cast_unsigned(), self.acked.cast_unsigned());
        let damaged = |what| JournalError::DamagedChain { size, what };
        let range = |bytes: &[u8], wanted: u64, what| {
            CompactRange::from_bytes(bytes).filter(|range| range.size() == wanted).ok_or(damaged(what))
        };
        Ok(StoredChain {
            row: ChainRow(self.row),
            id: ChainId(Uuid::try_parse(&self.uuid).map_err(|_| damaged("the identifier"))?),
            frontier: range(&self.frontier, size, "the frontier")?,
            acked_frontier: range(&self.acked_frontier, acked, "the acknowledged frontier")?,
            grant_jws: self.grant_jws,
            key_check: self.key_check,
            size,
            acked,
            erased: self.erased.cast_unsigned(),
        })
    }
}
