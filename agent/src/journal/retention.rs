//! Erasing of bodies that nobody needs any more: receipted, older than the policy asks, under no legal hold.
//! Rotations of the terminal's key stay: nobody could check what the new key signed without them.
//! Never goes by this machine's clock: age is the time between two receipts, by the witness's word. Never erases
//! a leaf, so the chain, its root and every proof stay as they were.

use std::ops::Range;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use zhenyin_core::event::lifecycle::KeyRotated;
use zhenyin_core::event::{EventData as _, kind_unverified};
use zhenyin_core::merkle::CompactRange;
use zhenyin_core::time::WallTime;

use super::body::BodyKey;
use super::error::{JournalError, during};
use super::rows::{self, ChainRow, Next};
use super::scan;

/// Most bodies of one transaction: 16 ms for 1,000 where 100,000 take 1.6 s.
const SLICE: u64 = 1_000;

/// Sizes whose tree is kept.
pub(super) const WAYPOINT: u64 = 4_096;

/// Events from `first` to `last` that must be kept whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub id: i64,
    pub first: u64,
    pub last: u64,
    pub reason: String,
    pub placed: WallTime,
    pub lifted: Option<WallTime>,
}

/// Erases the next slice of what is due. Gives the new end of the erased part; `None` when nothing is due.
pub(super) fn erase_slice(
    connection: &mut Connection,
    (row, key): (ChainRow, &BodyKey),
    keep: Duration,
) -> Result<Option<u64>, JournalError> {
    let erased = erased(connection, row)?;
    let Some((through, now)) = due(connection, row, erased, keep)? else { return Ok(None) };
    let through = through.min(erased + SLICE);
    let (staying, through) = rotations(connection, (row, key), erased..through)?;
    if through == erased {
        return Ok(None);
    }
    let starts = std::iter::once(erased).chain(staying.iter().map(|place| place + 1));
    let ends = staying.iter().copied().chain(std::iter::once(through));
    let going: Vec<(u64, u64)> = starts.zip(ends).collect();
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(during("begin to erase bodies"))?;
    transaction
        .execute(
            "INSERT INTO erasure(chain, through, at_ms) VALUES(?1, ?2, ?3)",
            params![row.number(), through.cast_signed(), now.0],
        )
        .and_then(|_| {
            going.iter().try_for_each(|(first, end)| {
                transaction
                    .execute(
                        "UPDATE event SET body = NULL WHERE chain = ?1 AND seq >= ?2 AND seq < ?3",
                        params![row.number(), first.cast_signed(), end.cast_signed()],
                    )
                    .map(drop)
            })
        })
        .map_err(during("erase bodies"))?;
    transaction.commit().map_err(during("commit the erasure"))?;
    Ok(Some(through))
}

/// Where in a range the terminal's key was rotated, and up to where the range is sound. What is damaged stays, and all
/// after it: somebody has to look first. The alarm about it is the slow scan's.
fn rotations(
    connection: &Connection,
    (row, key): (ChainRow, &BodyKey),
    range: Range<u64>,
) -> Result<(Vec<u64>, u64), JournalError> {
    let (mut found, mut sound) = (Vec::new(), range.end);
    rows::for_each_event(connection, row, range.start, |event| {
        if event.sequence.0 >= range.end {
            return Ok(Next::Stop);
        }
        match scan::open_body(&event, key) {
            Ok(Some(sealed)) if is_rotation(&sealed) => found.push(event.sequence.0),
            Ok(_) => {}
            Err(error @ JournalError::Damaged { .. }) => {
                tracing::error!(%error, "nothing is erased from here on");
                sound = event.sequence.0;
                return Ok(Next::Stop);
            }
            Err(error) => return Err(error),
        }
        Ok(Next::Go)
    })?;
    Ok((found, sound))
}

/// Whether an event outlives its retention.
pub(super) fn is_rotation(sealed: &str) -> bool {
    kind_unverified(sealed).is_some_and(|kind| kind == KeyRotated::TYPE)
}

/// Bodies below this sequence are erased, but for rotations.
pub(super) fn erased(connection: &Connection, row: ChainRow) -> Result<u64, JournalError> {
    connection
        .query_row("SELECT coalesce(max(through), 0) FROM erasure WHERE chain = ?1", [row.number()], |row| {
            row.get::<_, i64>(0).map(i64::cast_unsigned)
        })
        .map_err(during("read how much was erased"))
}

/// Up to where bodies may go, and the witness's newest time. Receipts of schema 1 have no digest, and the time of
/// this machine's clock: they tell no age.
fn due(
    connection: &Connection,
    row: ChainRow,
    erased: u64,
    keep: Duration,
) -> Result<Option<(u64, WallTime)>, JournalError> {
    let doing = "read the receipts for retention";
    let newest: Option<i64> = connection
        .query_row(
            "SELECT at_ms FROM receipt WHERE chain = ?1 AND digest IS NOT NULL ORDER BY size DESC LIMIT 1",
            [row.number()],
            |row| row.get(0),
        )
        .optional()
        .map_err(during(doing))?;
    let Some(newest) = newest else { return Ok(None) };
    let limit = newest.saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
    let mut statement = connection
        .prepare_cached(
            "SELECT size, at_ms FROM receipt WHERE chain = ?1 AND size > ?2 AND digest IS NOT NULL
               ORDER BY size LIMIT ?3",
        )
        .map_err(during(doing))?;
    let old_enough = statement
        .query_map(params![row.number(), erased.cast_signed(), SLICE.cast_signed()], |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?))
        })
        .map_err(during(doing))?
        .take_while(|receipt| receipt.as_ref().map_or(true, |(_, at)| *at <= limit))
        .last();
    let Some(receipt) = old_enough else { return Ok(None) };
    let (size, _) = receipt.map_err(during(doing))?;
    let held: Option<i64> = connection
        .query_row(
            "SELECT min(first) FROM hold WHERE chain = ?1 AND lifted_ms IS NULL AND last >= ?2",
            [row.number(), erased.cast_signed()],
            |row| row.get(0),
        )
        .map_err(during("read the holds"))?;
    let through = held.map_or(size, |first| size.min(first.cast_unsigned()));
    Ok((through > erased).then_some((through, WallTime(newest))))
}

pub(super) fn place_hold(
    connection: &Connection,
    row: ChainRow,
    range: (u64, u64),
    reason: &str,
    at: WallTime,
) -> Result<i64, JournalError> {
    connection
        .execute(
            "INSERT INTO hold(chain, first, last, reason, placed_ms) VALUES(?1, ?2, ?3, ?4, ?5)",
            params![row.number(), range.0.cast_signed(), range.1.cast_signed(), reason, at.0],
        )
        .map(|_| connection.last_insert_rowid())
        .map_err(during("place a hold"))
}

/// `false` when there is no such hold, or it was lifted before.
pub(super) fn lift_hold(connection: &Connection, id: i64, at: WallTime) -> Result<bool, JournalError> {
    connection
        .execute("UPDATE hold SET lifted_ms = ?2 WHERE id = ?1 AND lifted_ms IS NULL", [id, at.0])
        .map(|changed| changed == 1)
        .map_err(during("lift a hold"))
}

pub(super) fn holds(connection: &Connection, row: ChainRow) -> Result<Vec<Hold>, JournalError> {
    let mut statement = connection
        .prepare(
            "SELECT id, first, last, reason, placed_ms, lifted_ms FROM hold WHERE chain = ?1 ORDER BY id",
        )
        .map_err(during("read the holds"))?;
    let rows = statement
        .query_map([row.number()], |row| {
            Ok(Hold {
                id: row.get(0)?,
                first: row.get::<_, i64>(1)?.cast_unsigned(),
                last: row.get::<_, i64>(2)?.cast_unsigned(),
                reason: row.get(3)?,
                placed: WallTime(row.get(4)?),
                lifted: row.get::<_, Option<i64>>(5)?.map(WallTime),
            })
        })
        .map_err(during("read the holds"))?;
    rows.collect::<Result<_, _>>().map_err(during("read a hold"))
}

pub(super) fn insert_waypoint(
    connection: &Connection,
    row: ChainRow,
    frontier: &CompactRange,
) -> Result<(), JournalError> {
    connection
        .prepare_cached("INSERT INTO waypoint(chain, size, frontier) VALUES(?1, ?2, ?3)")
        .and_then(|mut statement| {
            statement.execute(params![row.number(), frontier.size().cast_signed(), frontier.to_bytes()])
        })
        .map(|_| ())
        .map_err(during("keep a waypoint"))
}

/// The largest kept tree that is not above `size`; the empty one when there is none.
pub(super) fn waypoint_below(
    connection: &Connection,
    row: ChainRow,
    size: u64,
) -> Result<CompactRange, JournalError> {
    let kept: Option<(i64, Vec<u8>)> = connection
        .query_row(
            "SELECT size, frontier FROM waypoint WHERE chain = ?1 AND size <= ?2 ORDER BY size DESC LIMIT 1",
            [row.number(), size.cast_signed()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
        .map_err(during("read a waypoint"))?;
    let Some((kept_size, bytes)) = kept else { return Ok(CompactRange::new()) };
    CompactRange::from_bytes(&bytes)
        .filter(|range| range.size() == kept_size.cast_unsigned())
        .ok_or(JournalError::DamagedChain { size: kept_size.cast_unsigned(), what: "a waypoint" })
}

/// All kept trees, the smallest first.
pub(super) fn waypoints(connection: &Connection, row: ChainRow) -> Result<Vec<(u64, Vec<u8>)>, JournalError> {
    let mut statement = connection
        .prepare("SELECT size, frontier FROM waypoint WHERE chain = ?1 ORDER BY size")
        .map_err(during("read the waypoints"))?;
    let rows = statement
        .query_map([row.number()], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?)))
        .map_err(during("read the waypoints"))?;
    rows.collect::<Result<_, _>>().map_err(during("read a waypoint"))
}
