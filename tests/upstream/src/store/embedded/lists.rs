//! What people ask of the embedded store: terminals, gaps, alarms, counts.
//! Never changes anything.

use rusqlite::{Connection, Row, params};
use zhenyin_core::ids::{ChainId, TerminalId};
use zhenyin_core::time::WallTime;

use crate::store::rows::NewGap;
use crate::store::{Alarm, Counts, Gap, StoreError, TerminalRow};

pub(super) fn counts(db: &Connection) -> Result<Counts, StoreError> {
    Ok(db.query_row(include_str!("counts.sql"), [], |row| {
        Ok(Counts {
            terminals: row.get(0)?,
            events: row.get(1)?,
            receipted: row.get(2)?,
            quarantined: row.get(3)?,
            alarms: row.get(4)?,
        })
    })?)
}

pub(super) fn terminals(
    db: &Connection,
    after: Option<ChainId>,
    limit: usize,
) -> Result<Vec<TerminalRow>, StoreError> {
    let mut rows = db.prepare(include_str!("terminals.sql"))?;
    let after = after.map(|chain| chain.to_string()).unwrap_or_default();
    let rows = rows.query_map(params![after, limit], read_terminal)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn gaps(db: &Connection, chain: ChainId) -> Result<Vec<Gap>, StoreError> {
    let mut rows =
        db.prepare("SELECT sequence, from_ms, to_ms FROM gap WHERE chain = ?1 ORDER BY from_ms")?;
    let rows = rows.query_map([chain.to_string()], |row| {
        let gap = NewGap { sequence: row.get(0)?, from: WallTime(row.get(1)?), to: WallTime(row.get(2)?) };
        Ok(gap.told())
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn alarms(db: &Connection) -> Result<Vec<Alarm>, StoreError> {
    let mut rows = db.prepare("SELECT chain, kind, sequence, held, found FROM alarm ORDER BY id")?;
    let rows = rows.query_map([], |row| {
        Ok(Alarm {
            chain: ChainId(row.get::<_, String>(0)?.parse().unwrap_or_default()),
            kind: row.get(1)?,
            sequence: row.get(2)?,
            held: row.get(3)?,
            found: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read_terminal(row: &Row<'_>) -> rusqlite::Result<TerminalRow> {
    let last_gap = match row.get(11)? {
        None => None,
        Some(sequence) => {
            let gap = NewGap { sequence, from: WallTime(row.get(12)?), to: WallTime(row.get(13)?) };
            Some(gap.told())
        }
    };
    Ok(TerminalRow {
        terminal: TerminalId(row.get::<_, String>(0)?.parse().unwrap_or_default()),
        chain: ChainId(row.get::<_, String>(1)?.parse().unwrap_or_default()),
        institution: row.get(2)?,
        department: row.get(3)?,
        size: row.get(4)?,
        agent: row.get(5)?,
        last_seen: row.get::<_, Option<i64>>(6)?.map(|ms| WallTime(ms).rfc3339()),
        running: row.get(7)?,
        quarantined: row.get(8)?,
        alarms: row.get(9)?,
        gaps: row.get(10)?,
        last_gap,
        documents: serde_json::from_str(&row.get::<_, String>(14)?).unwrap_or_default(),
    })
}
