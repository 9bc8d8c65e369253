//! The embedded store: one SQLite file, for a trial and for tests.
//! Never updates or deletes an event or a receipt; triggers guard it against our own mistakes.

mod chains;
mod lists;

use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use zhenyin_core::ids::{ChainId, TerminalId};
use zhenyin_core::time::WallTime;

use super::{
    Acknowledgement, Advance, Alarm, ChainRow, CodeRow, Counts, Document, Gap, Granted, KeptEvent, NewCode,
    Store, StoreError, TerminalRow, UsedCode,
};
use crate::registry::TerminalInfo;

/// First SQLite without the WAL-reset bug, which loses committed rows in silence.
const SQLITE_NEEDED: i32 = 3_051_003;
const APPLICATION_ID: i32 = 0x7a75_7001;
/// What makes each version of the schema out of the one before.
const MIGRATIONS: [&str; 4] = [
    include_str!("embedded/001_chains.sql"),
    include_str!("embedded/002_life.sql"),
    include_str!("embedded/003_handovers.sql"),
    include_str!("embedded/004_granted.sql"),
];

/// One connection; every change is one transaction that is on disk before it returns.
#[derive(Debug)]
pub(crate) struct EmbeddedStore {
    connection: Mutex<Connection>,
}

impl EmbeddedStore {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        if rusqlite::version_number() < SQLITE_NEEDED {
            return Err(StoreError::Version { found: rusqlite::version() });
        }
        let failed = |source| StoreError::Open { path: path.to_owned(), source };
        let connection = Connection::open(path).map_err(failed)?;
        connection.execute_batch(include_str!("embedded/open.sql")).map_err(failed)?;
        check_pragma(&connection, "journal_mode", "wal")?;
        check_pragma(&connection, "synchronous", "2")?;
        let store = Self { connection: Mutex::new(connection) };
        store.change(migrate)?;
        Ok(store)
    }

    /// Runs `work` in one write transaction. An error undoes all of it.
    fn change<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        work(&self.connection.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store for EmbeddedStore {
    fn claim(&self, keys: &str) -> Result<(), StoreError> {
        let held: String = self.change(|tx| {
            tx.execute("INSERT OR IGNORE INTO owner(id, keys) VALUES (1, ?1)", [keys])?;
            Ok(tx.query_row("SELECT keys FROM owner", [], |row| row.get(0))?)
        })?;
        if held == keys { Ok(()) } else { Err(StoreError::OtherKeys) }
    }

    fn chain(&self, chain: ChainId) -> Result<Option<ChainRow>, StoreError> {
        self.read(|db| chains::load(db, chain))
    }

    fn advance(&self, advance: &Advance<'_>) -> Result<bool, StoreError> {
        self.change(|tx| chains::advance(tx, advance))
    }

    fn seen(&self, chain: ChainId, at: WallTime) -> Result<(), StoreError> {
        self.change(|tx| {
            tx.execute("UPDATE chain SET last_seen_ms = ?1 WHERE id = ?2", params![at.0, chain.to_string()])?;
            Ok(())
        })
    }

    fn events(&self, chain: ChainId, range: Range<u64>) -> Result<Vec<KeptEvent>, StoreError> {
        self.read(|db| chains::events(db, chain, range))
    }

    fn receipt(&self, chain: ChainId, size: u64) -> Result<Option<String>, StoreError> {
        let query = "SELECT note FROM receipt WHERE chain = ?1 AND size = ?2";
        self.read(|db| {
            Ok(db.query_row(query, params![chain.to_string(), size], |row| row.get(0)).optional()?)
        })
    }

    fn newest_receipt(&self, chain: ChainId) -> Result<Option<String>, StoreError> {
        let query = "SELECT note FROM receipt WHERE chain = ?1 ORDER BY size DESC LIMIT 1";
        self.read(|db| Ok(db.query_row(query, [chain.to_string()], |row| row.get(0)).optional()?))
    }

    fn granted(&self, terminal: TerminalId) -> Result<Vec<Granted>, StoreError> {
        self.read(|db| chains::granted(db, terminal))
    }

    fn add_alarm(&self, alarm: &Alarm, at: WallTime) -> Result<(), StoreError> {
        self.change(|tx| {
            tx.execute(
                "INSERT OR IGNORE INTO alarm(chain, kind, sequence, held, found, at_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![alarm.chain.to_string(), alarm.kind, alarm.sequence, alarm.held, alarm.found, at.0],
            )?;
            Ok(())
        })
    }

    fn alarms(&self) -> Result<Vec<Alarm>, StoreError> {
        self.read(lists::alarms)
    }

    fn add_code(&self, code: &NewCode<'_>) -> Result<(), StoreError> {
        self.change(|tx| {
            tx.execute(
                "INSERT INTO code(hash, terminal, institution, department, region, expires_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    code.hash,
                    code.terminal.to_string(),
                    code.info.institution,
                    code.info.department,
                    code.info.region,
                    code.expires.0
                ],
            )?;
            Ok(())
        })
    }

    fn code(&self, hash: &[u8; 32]) -> Result<Option<CodeRow>, StoreError> {
        let query = "SELECT terminal, institution, department, region, expires_ms, used_by, grant_jws
                     FROM code WHERE hash = ?1";
        self.read(|db| Ok(db.query_row(query, [hash], read_code).optional()?))
    }

    fn use_code(&self, used: &UsedCode<'_>) -> Result<bool, StoreError> {
        self.change(|tx| {
            let marked = tx.execute(
                "UPDATE code SET used_by = ?1, grant_jws = ?2 WHERE hash = ?3 AND used_by IS NULL",
                params![used.kid, used.grant.token(), used.hash],
            )?;
            if marked == 1 {
                chains::insert(tx, used.grant)?;
            }
            Ok(marked == 1)
        })
    }

    fn newest_document(&self, kind: &str) -> Result<Option<Document>, StoreError> {
        let query = "SELECT serial, token FROM document WHERE kind = ?1 ORDER BY serial DESC LIMIT 1";
        self.read(|db| {
            let read = |row: &rusqlite::Row<'_>| Ok(Document { serial: row.get(0)?, token: row.get(1)? });
            Ok(db.query_row(query, [kind], read).optional()?)
        })
    }

    fn add_document(&self, kind: &str, document: &Document) -> Result<bool, StoreError> {
        self.change(|tx| {
            let kept = tx.execute(
                "INSERT INTO document(kind, serial, token) SELECT ?1, ?2, ?3
                 WHERE NOT EXISTS (SELECT 1 FROM document WHERE kind = ?1 AND serial >= ?2)",
                params![kind, document.serial, document.token],
            )?;
            Ok(kept == 1)
        })
    }

    fn add_acknowledgement(&self, chain: ChainId, taken: &Acknowledgement) -> Result<(), StoreError> {
        self.change(|tx| chains::acknowledge(tx, chain, taken))
    }

    fn terminals(&self, after: Option<ChainId>, limit: usize) -> Result<Vec<TerminalRow>, StoreError> {
        self.read(|db| lists::terminals(db, after, limit))
    }

    fn gaps(&self, chain: ChainId) -> Result<Vec<Gap>, StoreError> {
        self.read(|db| lists::gaps(db, chain))
    }

    fn counts(&self) -> Result<Counts, StoreError> {
        self.read(lists::counts)
    }
}

fn read_code(row: &rusqlite::Row<'_>) -> rusqlite::Result<CodeRow> {
    let used_by: Option<String> = row.get(5)?;
    Ok(CodeRow {
        terminal: TerminalId(row.get::<_, String>(0)?.parse().unwrap_or_default()),
        info: TerminalInfo {
            terminal: None,
            institution: row.get(1)?,
            department: row.get(2)?,
            region: row.get(3)?,
        },
        expires: WallTime(row.get(4)?),
        used: used_by.zip(row.get(6)?),
    })
}

fn check_pragma(
    connection: &Connection,
    name: &'static str,
    expected: &'static str,
) -> Result<(), StoreError> {
    let found: rusqlite::types::Value = connection.pragma_query_value(None, name, |row| row.get(0))?;
    let found = match found {
        rusqlite::types::Value::Text(text) => text,
        rusqlite::types::Value::Integer(number) => number.to_string(),
        rusqlite::types::Value::Null | rusqlite::types::Value::Real(_) | rusqlite::types::Value::Blob(_) => {
            String::new()
        }
    };
    if found == expected { Ok(()) } else { Err(StoreError::Setting { name, found, expected }) }
}

fn migrate(tx: &Transaction<'_>) -> Result<(), StoreError> {
    let application: i32 = tx.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i32 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let made = usize::try_from(version).unwrap_or(usize::MAX);
    let fresh = (application, version) == (0, 0);
    if !fresh && (application != APPLICATION_ID || made > MIGRATIONS.len()) {
        return Err(StoreError::Foreign {
            found: if application == APPLICATION_ID { version } else { application },
        });
    }
    for migration in &MIGRATIONS[made..] {
        tx.execute_batch(migration)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", MIGRATIONS.len())?;
    Ok(())
}
