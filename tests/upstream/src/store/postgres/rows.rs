//! Rows of the database as values of the store, and one step of a chain as columns.
//! Never believes a number or a hash of the wrong size.

use postgres::Row;
use uuid::Uuid;
use zhenyin_core::ids::{ChainId, TerminalId};
use zhenyin_core::merkle::{CompactRange, Hash};
use zhenyin_core::time::WallTime;

use super::links::Value;
use crate::life::Life;
use crate::registry::TerminalInfo;
use crate::store::rows::{NewGap, handovers_of};
use crate::store::{Advance, Alarm, ChainRow, CodeRow, Gap, Granted, KeptEvent, StoreError, TerminalRow};

pub(super) fn number(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::Damaged("a number above 2^63"))
}

pub(super) fn count(row: &Row, column: usize) -> Result<u64, StoreError> {
    u64::try_from(row.try_get::<_, i64>(column)?).map_err(|_| StoreError::Damaged("a number below zero"))
}

pub(super) fn granted(row: &Row) -> Result<Granted, StoreError> {
    Ok(Granted { chain: ChainId(row.try_get(0)?), newest_receipt: row.try_get(1)? })
}

pub(super) fn chain(row: &Row) -> Result<ChainRow, StoreError> {
    let last_event: Option<i64> = row.try_get(4)?;
    Ok(ChainRow {
        grant_jws: row.try_get(0)?,
        frontier: CompactRange::from_bytes(row.try_get(1)?).ok_or(StoreError::Damaged("frontier"))?,
        last_leaf: Hash::from_slice(row.try_get(2)?).ok_or(StoreError::Damaged("last_leaf"))?,
        life: Life { agent: row.try_get(3)?, last_event: last_event.map(WallTime), running: row.try_get(5)? },
        handovers: handovers_of(row.try_get(6)?)?,
    })
}

pub(super) fn event(row: &Row) -> Result<KeptEvent, StoreError> {
    Ok(KeptEvent {
        sequence: count(row, 0)?,
        leaf: Hash::from_slice(row.try_get(1)?).ok_or(StoreError::Damaged("leaf"))?,
        body: row.try_get(2)?,
        quarantine: row.try_get(3)?,
    })
}

pub(super) fn alarm(row: &Row) -> Result<Alarm, StoreError> {
    Ok(Alarm {
        chain: ChainId(row.try_get(0)?),
        kind: row.try_get(1)?,
        sequence: count(row, 2)?,
        held: row.try_get(3)?,
        found: row.try_get(4)?,
    })
}

pub(super) fn code(row: &Row) -> Result<CodeRow, StoreError> {
    let (used_by, grant): (Option<String>, Option<String>) = (row.try_get(5)?, row.try_get(6)?);
    Ok(CodeRow {
        terminal: TerminalId(row.try_get(0)?),
        info: TerminalInfo {
            terminal: None,
            institution: row.try_get(1)?,
            department: row.try_get(2)?,
            region: row.try_get(3)?,
        },
        expires: WallTime(row.try_get(4)?),
        used: used_by.zip(grant),
    })
}

/// A gap from three columns.
pub(super) fn gap(row: &Row, first: usize) -> Result<Gap, StoreError> {
    let (from, to) = (WallTime(row.try_get(first + 1)?), WallTime(row.try_get(first + 2)?));
    Ok(NewGap { sequence: count(row, first)?, from, to }.told())
}

pub(super) fn terminal(row: &Row) -> Result<TerminalRow, StoreError> {
    let last_seen: Option<i64> = row.try_get(6)?;
    let documents: String = row.try_get(14)?;
    Ok(TerminalRow {
        terminal: TerminalId(row.try_get(0)?),
        chain: ChainId(row.try_get(1)?),
        institution: row.try_get(2)?,
        department: row.try_get(3)?,
        size: count(row, 4)?,
        agent: row.try_get(5)?,
        last_seen: last_seen.map(|ms| WallTime(ms).rfc3339()),
        running: row.try_get(7)?,
        quarantined: count(row, 8)?,
        alarms: count(row, 9)?,
        gaps: count(row, 10)?,
        last_gap: if row.try_get::<_, Option<i64>>(11)?.is_some() { Some(gap(row, 11)?) } else { None },
        documents: serde_json::from_str(&documents).map_err(|_| StoreError::Damaged("documents"))?,
    })
}

/// The values of `advance.sql`, in its order.
pub(super) struct Columns<'a> {
    chain: Uuid,
    before: i64,
    after: i64,
    frontier: Vec<u8>,
    last_leaf: &'a [u8],
    at: i64,
    agent: Option<&'a str>,
    last_event: Option<i64>,
    running: bool,
    quarantined: i64,
    /// As in `202611`.
    pub(super) month: i32,
    leaves: Vec<&'a [u8]>,
    bodies: Vec<&'a str>,
    quarantines: Vec<Option<&'static str>>,
    gaps: [Vec<i64>; 3],
    kinds: Vec<&'a str>,
    serials: Vec<i64>,
    taken_at: Vec<i64>,
    proofs: Vec<&'a str>,
    receipt: &'a str,
    handovers: String,
}

impl<'a> Columns<'a> {
    pub(super) fn of(advance: &'a Advance<'_>) -> Result<Self, StoreError> {
        let gaps = advance.gaps;
        let taken = advance.acknowledgements;
        let ended = gaps.iter().map(|gap| number(gap.sequence)).collect::<Result<_, _>>()?;
        Ok(Self {
            chain: advance.chain.0,
            before: number(advance.before)?,
            after: number(advance.after())?,
            frontier: advance.frontier.to_bytes(),
            last_leaf: &advance.last_leaf.as_bytes()[..],
            at: advance.at.0,
            agent: advance.life.agent.as_deref(),
            last_event: advance.life.last_event.map(|at| at.0),
            running: advance.life.running,
            quarantined: number(advance.quarantined())?,
            month: month_of(advance.at)?,
            leaves: advance.events.iter().map(|event| &event.leaf.as_bytes()[..]).collect(),
            bodies: advance.events.iter().map(|event| event.body).collect(),
            quarantines: advance.events.iter().map(|event| event.quarantine).collect(),
            gaps: [ended, gaps.iter().map(|g| g.from.0).collect(), gaps.iter().map(|g| g.to.0).collect()],
            kinds: taken.iter().map(|taken| taken.kind.as_str()).collect(),
            serials: taken.iter().map(|taken| number(taken.serial)).collect::<Result<_, _>>()?,
            taken_at: taken.iter().map(|taken| taken.at.0).collect(),
            proofs: taken.iter().map(|taken| taken.proof.as_str()).collect(),
            receipt: advance.receipt,
            handovers: advance.handovers_text(),
        })
    }

    pub(super) fn all(&self) -> [Value<'_>; 23] {
        [
            &self.chain,
            &self.before,
            &self.after,
            &self.frontier,
            &self.last_leaf,
            &self.at,
            &self.agent,
            &self.last_event,
            &self.running,
            &self.quarantined,
            &self.month,
            &self.leaves,
            &self.bodies,
            &self.quarantines,
            &self.gaps[0],
            &self.gaps[1],
            &self.gaps[2],
            &self.kinds,
            &self.serials,
            &self.taken_at,
            &self.proofs,
            &self.receipt,
            &self.handovers,
        ]
    }
}

/// `2026-11-22T…` → `202611`.
fn month_of(at: WallTime) -> Result<i32, StoreError> {
    let text: String = at.rfc3339().chars().take(7).filter(char::is_ascii_digit).collect();
    text.parse().map_err(|_| StoreError::Damaged("a time without a month"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_numbers() {
        for (ms, month) in [(0, 197_001), (1_777_593_600_000, 202_605), (1_796_083_199_999, 202_611)] {
            assert_eq!(month_of(WallTime(ms)).unwrap(), month);
        }
    }
}
