//! Rows of chains, events and receipts. All calls run inside the caller's transaction.
//! Never decides whether an event is good.

use rusqlite::{OptionalExtension as _, Transaction, params};
use zhenyin_core::documents::Grant;
use zhenyin_core::ids::ChainId;
use zhenyin_core::merkle::{CompactRange, Hash};
use zhenyin_core::time::WallTime;

use super::StoreError;

/// State of one chain: what a batch is checked against.
pub(crate) struct ChainRow {
    pub(crate) grant_jws: String,
    pub(crate) frontier: CompactRange,
    pub(crate) last_leaf: Hash,
}

pub(crate) struct NewEvent<'a> {
    pub(crate) leaf: Hash,
    pub(crate) body: &'a str,
    pub(crate) quarantine: Option<&'static str>,
}

impl ChainRow {
    pub(crate) fn load(tx: &Transaction<'_>, chain: ChainId) -> Result<Option<Self>, StoreError> {
        let query = "SELECT grant_jws, frontier, last_leaf FROM chain WHERE id = ?1";
        let row = tx
            .query_row(query, [chain.to_string()], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?))
            })
            .optional()?;
        row.map(|(grant_jws, frontier, last_leaf)| {
            Ok(Self {
                grant_jws,
                frontier: CompactRange::from_bytes(&frontier).ok_or(StoreError::Damaged("frontier"))?,
                last_leaf: Hash::from_slice(&last_leaf).ok_or(StoreError::Damaged("last_leaf"))?,
            })
        })
        .transpose()
    }

    /// A new chain without events.
    pub(crate) fn insert(tx: &Transaction<'_>, grant: &Grant) -> Result<(), StoreError> {
        let content = grant.content();
        tx.execute(
            "INSERT INTO chain(id, terminal, institution, department, grant_jws, frontier, last_leaf)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                grant.chain().to_string(),
                grant.terminal().to_string(),
                content.institution.as_deref().unwrap_or_default(),
                content.department.as_deref().unwrap_or_default(),
                grant.token(),
                CompactRange::new().to_bytes(),
                grant.leaf().as_bytes(),
            ],
        )?;
        Ok(())
    }
}

/// Leaf and body of stored events in a range of sequence numbers.
pub(crate) fn stored_events(
    tx: &Transaction<'_>,
    chain: ChainId,
    first: u64,
    end: u64,
) -> Result<Vec<(Hash, String)>, StoreError> {
    let mut rows = tx.prepare_cached(
        "SELECT leaf, body FROM event WHERE chain = ?1 AND sequence >= ?2 AND sequence < ?3 ORDER BY sequence",
    )?;
    let rows = rows.query_map(params![chain.to_string(), first, end], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, String>(1)?))
    })?;
    rows.map(|row| {
        let (leaf, body) = row?;
        Ok((Hash::from_slice(&leaf).ok_or(StoreError::Damaged("leaf"))?, body))
    })
    .collect()
}

/// Appends events and moves the chain on, only if it still has the size it was loaded with.
pub(crate) fn append(
    tx: &Transaction<'_>,
    chain: ChainId,
    before: u64,
    events: &[NewEvent<'_>],
    after: &CompactRange,
    last_leaf: Hash,
) -> Result<bool, StoreError> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO event(chain, sequence, leaf, body, quarantine) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for (event, sequence) in events.iter().zip(before..) {
        insert.execute(params![
            chain.to_string(),
            sequence,
            event.leaf.as_bytes(),
            event.body,
            event.quarantine
        ])?;
    }
    let moved = tx.execute(
        "UPDATE chain SET size = ?1, frontier = ?2, last_leaf = ?3 WHERE id = ?4 AND size = ?5",
        params![after.size(), after.to_bytes(), last_leaf.as_bytes(), chain.to_string(), before],
    )?;
    Ok(moved == 1)
}

pub(crate) fn seen(tx: &Transaction<'_>, chain: ChainId, now: WallTime) -> Result<(), StoreError> {
    tx.execute("UPDATE chain SET last_seen_ms = ?1 WHERE id = ?2", params![now.0, chain.to_string()])?;
    Ok(())
}

pub(crate) fn receipt_at(
    tx: &Transaction<'_>,
    chain: ChainId,
    size: u64,
) -> Result<Option<String>, StoreError> {
    let query = "SELECT note FROM receipt WHERE chain = ?1 AND size = ?2";
    Ok(tx.query_row(query, params![chain.to_string(), size], |row| row.get(0)).optional()?)
}

pub(crate) fn newest_receipt(tx: &Transaction<'_>, chain: ChainId) -> Result<Option<String>, StoreError> {
    let query = "SELECT note FROM receipt WHERE chain = ?1 ORDER BY size DESC LIMIT 1";
    Ok(tx.query_row(query, [chain.to_string()], |row| row.get(0)).optional()?)
}

pub(crate) fn keep_receipt(
    tx: &Transaction<'_>,
    chain: ChainId,
    size: u64,
    note: &str,
    now: WallTime,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO receipt(chain, size, note, at_ms) VALUES (?1, ?2, ?3, ?4)",
        params![chain.to_string(), size, note, now.0],
    )?;
    Ok(())
}

/// Quarantined events in a range, with the reason.
pub(crate) fn quarantined(
    tx: &Transaction<'_>,
    chain: ChainId,
    first: u64,
    end: u64,
) -> Result<Vec<(u64, String)>, StoreError> {
    let mut rows = tx.prepare_cached(
        "SELECT sequence, quarantine FROM event
         WHERE chain = ?1 AND sequence >= ?2 AND sequence < ?3 AND quarantine IS NOT NULL ORDER BY sequence",
    )?;
    let rows =
        rows.query_map(params![chain.to_string(), first, end], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
