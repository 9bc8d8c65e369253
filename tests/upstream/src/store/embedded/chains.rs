//! Rows of chains, events and receipts in SQLite. All calls run inside the caller's transaction.
//! Never decides whether an event is good.

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use zhenyin_core::documents::Grant;
use zhenyin_core::ids::{ChainId, TerminalId};
use zhenyin_core::merkle::{CompactRange, Hash};
use zhenyin_core::time::WallTime;

use crate::life::Life;
use crate::store::rows::handovers_of;
use crate::store::{Acknowledgement, Advance, ChainRow, Granted, KeptEvent, StoreError};

pub(super) fn load(db: &Connection, chain: ChainId) -> Result<Option<ChainRow>, StoreError> {
    let query = "SELECT grant_jws, frontier, last_leaf, agent, last_event_ms, running, handovers FROM chain WHERE id = ?1";
    let row = db.query_row(query, [chain.to_string()], |row| {
        let life = Life {
            agent: row.get(3)?,
            last_event: row.get::<_, Option<_>>(4)?.map(WallTime),
            running: row.get(5)?,
        };
        let handovers: String = row.get(6)?;
        Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?, life, handovers))
    });
    let Some((grant_jws, frontier, last_leaf, life, handovers)) = row.optional()? else { return Ok(None) };
    Ok(Some(ChainRow {
        grant_jws,
        frontier: CompactRange::from_bytes(&frontier).ok_or(StoreError::Damaged("frontier"))?,
        last_leaf: Hash::from_slice(&last_leaf).ok_or(StoreError::Damaged("last_leaf"))?,
        life,
        handovers: handovers_of(&handovers)?,
    }))
}

/// A new chain without events.
pub(super) fn insert(tx: &Transaction<'_>, grant: &Grant) -> Result<(), StoreError> {
    let content = grant.content();
    tx.execute(
        "INSERT INTO chain(id, terminal, institution, department, grant_jws, frontier, last_leaf, granted)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, (SELECT coalesce(max(granted), 0) + 1 FROM chain))",
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

/// The chains of a terminal, the one that was granted last first.
pub(super) fn granted(db: &Connection, terminal: TerminalId) -> Result<Vec<Granted>, StoreError> {
    let mut rows = db.prepare_cached(
        "SELECT id, (SELECT note FROM receipt WHERE receipt.chain = chain.id ORDER BY size DESC LIMIT 1)
         FROM chain WHERE terminal = ?1 ORDER BY granted DESC",
    )?;
    let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get(1)?));
    rows.query_map([terminal.to_string()], read)?
        .map(|row| {
            let (id, newest_receipt) = row?;
            let chain = id.parse().map(ChainId).map_err(|_| StoreError::Damaged("chain id"))?;
            Ok(Granted { chain, newest_receipt })
        })
        .collect()
}

/// Stored events of a range, in order.
pub(super) fn events(
    db: &Connection,
    chain: ChainId,
    range: Range<u64>,
) -> Result<Vec<KeptEvent>, StoreError> {
    let mut rows = db.prepare_cached(
        "SELECT sequence, leaf, body, quarantine FROM event
         WHERE chain = ?1 AND sequence >= ?2 AND sequence < ?3 ORDER BY sequence",
    )?;
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?, row.get(2)?, row.get(3)?));
    let rows = rows.query_map(params![chain.to_string(), range.start, range.end], read)?;
    rows.map(|row| {
        let (sequence, leaf, body, quarantine) = row?;
        let leaf = Hash::from_slice(&leaf).ok_or(StoreError::Damaged("leaf"))?;
        Ok(KeptEvent { sequence, leaf, body, quarantine })
    })
    .collect()
}

/// Appends events and moves the chain on, only if it still has the size it was loaded with.
pub(super) fn advance(tx: &Transaction<'_>, advance: &Advance<'_>) -> Result<bool, StoreError> {
    let chain = advance.chain.to_string();
    let moved = tx.execute(
        "UPDATE chain SET size = ?1, frontier = ?2, last_leaf = ?3, last_seen_ms = ?4, agent = ?5,
             last_event_ms = ?6, running = ?7, quarantined = quarantined + ?8, handovers = ?9
         WHERE id = ?10 AND size = ?11",
        params![
            advance.after(),
            advance.frontier.to_bytes(),
            advance.last_leaf.as_bytes(),
            advance.at.0,
            advance.life.agent,
            advance.life.last_event.map(|at| at.0),
            advance.life.running,
            advance.quarantined(),
            advance.handovers_text(),
            chain,
            advance.before
        ],
    )?;
    if moved == 0 {
        return Ok(false);
    }
    let mut insert = tx.prepare_cached(
        "INSERT INTO event(chain, sequence, leaf, body, quarantine) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for (event, sequence) in advance.events.iter().zip(advance.before..) {
        insert.execute(params![chain, sequence, event.leaf.as_bytes(), event.body, event.quarantine])?;
    }
    for gap in advance.gaps {
        tx.execute(
            "INSERT OR IGNORE INTO gap(chain, from_ms, to_ms, sequence) VALUES (?1, ?2, ?3, ?4)",
            params![chain, gap.from.0, gap.to.0, gap.sequence],
        )?;
    }
    for taken in advance.acknowledgements {
        acknowledge(tx, advance.chain, taken)?;
    }
    // Of an empty chain the same size may be cosigned twice; the first receipt stands.
    tx.execute(
        "INSERT OR IGNORE INTO receipt(chain, size, note, at_ms) VALUES (?1, ?2, ?3, ?4)",
        params![chain, advance.after(), advance.receipt, advance.at.0],
    )?;
    Ok(true)
}

pub(super) fn acknowledge(
    tx: &Transaction<'_>,
    chain: ChainId,
    taken: &Acknowledgement,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT OR IGNORE INTO acknowledgement(chain, kind, serial, at_ms, proof) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![chain.to_string(), taken.kind, taken.serial, taken.at.0, taken.proof],
    )?;
    Ok(())
}
