//! The store of a real site: a PostgreSQL database that any number of upstream processes share.
//! Never holds a lock while it thinks: each change is one statement, and events are partitioned by month.

mod encryption;
mod links;
mod rows;
mod schema;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;
use zhenyin_core::ids::{ChainId, TerminalId};
use zhenyin_core::time::WallTime;

use super::{
    Acknowledgement, Advance, Alarm, ChainRow, CodeRow, Counts, Document, Gap, Granted, KeptEvent, NewCode,
    Store, StoreError, TerminalRow, UsedCode,
};
use links::Links;
use rows::{Columns, count, number};

#[derive(Debug)]
pub(crate) struct PostgresStore {
    links: Links,
    /// Months whose partition is known to be there.
    months: Mutex<BTreeSet<i32>>,
}

impl PostgresStore {
    /// Connects as the text of a private file says (`host=… dbname=…` or a `postgresql://` address) and makes the
    /// tables when they are missing. With an authority's file by TLS, without one on this machine only.
    pub(crate) fn open(connection_file: &Path, ca_file: Option<&Path>) -> Result<Self, StoreError> {
        let links = Links::new(connection_file, ca_file)?;
        links.with(schema::prepare)?;
        Ok(Self { links, months: Mutex::new(BTreeSet::new()) })
    }

    /// Sees that events of this month have somewhere to go.
    fn ensure_month(&self, month: i32) -> Result<(), StoreError> {
        let known = |months: &BTreeSet<i32>| months.contains(&month);
        if known(&self.months.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        self.links.with(|link| schema::add_month(link, month))?;
        self.months.lock().unwrap_or_else(PoisonError::into_inner).insert(month);
        Ok(())
    }
}

impl Store for PostgresStore {
    fn claim(&self, keys: &str) -> Result<(), StoreError> {
        let held: String = self.links.with(|link| {
            link.execute("INSERT INTO owner (id, keys) VALUES (1, $1) ON CONFLICT DO NOTHING", &[&keys])?;
            Ok(link.one("SELECT keys FROM owner", &[])?.try_get(0)?)
        })?;
        if held == keys { Ok(()) } else { Err(StoreError::OtherKeys) }
    }

    fn chain(&self, chain: ChainId) -> Result<Option<ChainRow>, StoreError> {
        let query = "SELECT grant_jws, frontier, last_leaf, agent, last_event_ms, running, handovers FROM chain WHERE id = $1";
        let row = self.links.with(|link| link.maybe(query, &[&chain.0]))?;
        row.as_ref().map(rows::chain).transpose()
    }

    fn advance(&self, advance: &Advance<'_>) -> Result<bool, StoreError> {
        let columns = Columns::of(advance)?;
        self.ensure_month(columns.month)?;
        let moved = self.links.with(|link| link.one(include_str!("postgres/advance.sql"), &columns.all()))?;
        Ok(count(&moved, 0)? == 1)
    }

    fn seen(&self, chain: ChainId, at: WallTime) -> Result<(), StoreError> {
        let change = "UPDATE chain SET last_seen_ms = $1 WHERE id = $2";
        self.links.with(|link| link.execute(change, &[&at.0, &chain.0])).map(drop)
    }

    fn events(&self, chain: ChainId, range: Range<u64>) -> Result<Vec<KeptEvent>, StoreError> {
        let query = "SELECT sequence, leaf, body, quarantine FROM event
                     WHERE chain = $1 AND sequence >= $2 AND sequence < $3 ORDER BY sequence";
        let (first, end) = (number(range.start)?, number(range.end)?);
        let found = self.links.with(|link| link.all(query, &[&chain.0, &first, &end]))?;
        found.iter().map(rows::event).collect()
    }

    fn receipt(&self, chain: ChainId, size: u64) -> Result<Option<String>, StoreError> {
        let query = "SELECT note FROM receipt WHERE chain = $1 AND size = $2";
        let size = number(size)?;
        let row = self.links.with(|link| link.maybe(query, &[&chain.0, &size]))?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    fn newest_receipt(&self, chain: ChainId) -> Result<Option<String>, StoreError> {
        let query = "SELECT note FROM receipt WHERE chain = $1 ORDER BY size DESC LIMIT 1";
        let row = self.links.with(|link| link.maybe(query, &[&chain.0]))?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    fn granted(&self, terminal: TerminalId) -> Result<Vec<Granted>, StoreError> {
        let query =
            "SELECT id, (SELECT note FROM receipt WHERE receipt.chain = chain.id ORDER BY size DESC LIMIT 1)
                     FROM chain WHERE terminal = $1 ORDER BY granted DESC";
        self.links.with(|link| link.all(query, &[&terminal.0]))?.iter().map(rows::granted).collect()
    }

    fn add_alarm(&self, alarm: &Alarm, at: WallTime) -> Result<(), StoreError> {
        let change = "INSERT INTO alarm (chain, kind, sequence, held, found, at_ms)
                      VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        let sequence = number(alarm.sequence)?;
        let row: [links::Value<'_>; 6] =
            [&alarm.chain.0, &alarm.kind, &sequence, &alarm.held, &alarm.found, &at.0];
        self.links.with(|link| link.execute(change, &row)).map(drop)
    }

    fn alarms(&self) -> Result<Vec<Alarm>, StoreError> {
        let query = "SELECT chain, kind, sequence, held, found FROM alarm ORDER BY id";
        self.links.with(|link| link.all(query, &[]))?.iter().map(rows::alarm).collect()
    }

    fn add_code(&self, code: &NewCode<'_>) -> Result<(), StoreError> {
        let change = "INSERT INTO code (hash, terminal, institution, department, region, expires_ms)
                      VALUES ($1, $2, $3, $4, $5, $6)";
        let info = code.info;
        let row: [links::Value<'_>; 6] = [
            &&code.hash[..],
            &code.terminal.0,
            &info.institution,
            &info.department,
            &info.region,
            &code.expires.0,
        ];
        self.links.with(|link| link.execute(change, &row)).map(drop)
    }

    fn code(&self, hash: &[u8; 32]) -> Result<Option<CodeRow>, StoreError> {
        let query = "SELECT terminal, institution, department, region, expires_ms, used_by, grant_jws
                     FROM code WHERE hash = $1";
        let row = self.links.with(|link| link.maybe(query, &[&&hash[..]]))?;
        row.as_ref().map(rows::code).transpose()
    }

    fn use_code(&self, used: &UsedCode<'_>) -> Result<bool, StoreError> {
        let (grant, content, leaf) = (used.grant, used.grant.content(), used.grant.leaf());
        let row: [links::Value<'_>; 9] = [
            &used.kid,
            &grant.token(),
            &&used.hash[..],
            &grant.chain().0,
            &grant.terminal().0,
            &content.institution.as_deref().unwrap_or_default(),
            &content.department.as_deref().unwrap_or_default(),
            &zhenyin_core::merkle::CompactRange::new().to_bytes(),
            &&leaf.as_bytes()[..],
        ];
        let change = "WITH used AS (
                UPDATE code SET used_by = $1, grant_jws = $2 WHERE hash = $3 AND used_by IS NULL RETURNING 1
            )
            INSERT INTO chain (id, terminal, institution, department, grant_jws, frontier, last_leaf)
            SELECT $4, $5, $6, $7, $2, $8, $9 FROM used";
        Ok(self.links.with(|link| link.execute(change, &row))? == 1)
    }

    fn newest_document(&self, kind: &str) -> Result<Option<Document>, StoreError> {
        let query = "SELECT serial, token FROM document WHERE kind = $1 ORDER BY serial DESC LIMIT 1";
        let row = self.links.with(|link| link.maybe(query, &[&kind]))?;
        row.map(|row| Ok(Document { serial: count(&row, 0)?, token: row.try_get(1)? })).transpose()
    }

    fn add_document(&self, kind: &str, document: &Document) -> Result<bool, StoreError> {
        let change = "INSERT INTO document (kind, serial, token) SELECT $1, $2, $3
                      WHERE NOT EXISTS (SELECT 1 FROM document WHERE kind = $1 AND serial >= $2)
                      ON CONFLICT DO NOTHING";
        let serial = number(document.serial)?;
        Ok(self.links.with(|link| link.execute(change, &[&kind, &serial, &document.token]))? == 1)
    }

    fn add_acknowledgement(&self, chain: ChainId, taken: &Acknowledgement) -> Result<(), StoreError> {
        let change = "INSERT INTO acknowledgement (chain, kind, serial, at_ms, proof)
                      VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        let serial = number(taken.serial)?;
        let row: [links::Value<'_>; 5] = [&chain.0, &taken.kind, &serial, &taken.at.0, &taken.proof];
        self.links.with(|link| link.execute(change, &row)).map(drop)
    }

    fn terminals(&self, after: Option<ChainId>, limit: usize) -> Result<Vec<TerminalRow>, StoreError> {
        let after = after.map_or(Uuid::nil(), |chain| chain.0);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let query = include_str!("postgres/terminals.sql");
        self.links.with(|link| link.all(query, &[&after, &limit]))?.iter().map(rows::terminal).collect()
    }

    fn gaps(&self, chain: ChainId) -> Result<Vec<Gap>, StoreError> {
        let query = "SELECT sequence, from_ms, to_ms FROM gap WHERE chain = $1 ORDER BY from_ms";
        self.links.with(|link| link.all(query, &[&chain.0]))?.iter().map(|row| rows::gap(row, 0)).collect()
    }

    fn counts(&self) -> Result<Counts, StoreError> {
        let row = self.links.with(|link| link.one(include_str!("postgres/counts.sql"), &[]))?;
        Ok(Counts {
            terminals: count(&row, 0)?,
            events: count(&row, 1)?,
            receipted: count(&row, 2)?,
            quarantined: count(&row, 3)?,
            alarms: count(&row, 4)?,
        })
    }
}
