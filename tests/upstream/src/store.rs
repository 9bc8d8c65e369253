//! The upstream's SQLite file: chains, events, receipts, codes, documents, alarms.
//! Never updates or deletes an event or a receipt; triggers guard it against our own mistakes.

pub(crate) mod chains;

pub(crate) use chains::{ChainRow, NewEvent};

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use zhenyin_core::ids::{ChainId, TerminalId};
use zhenyin_core::time::WallTime;

/// First SQLite without the WAL-reset bug, which loses committed rows in silence.
const SQLITE_NEEDED: i32 = 3_051_003;
const APPLICATION_ID: i32 = 0x7a75_7001;
const SCHEMA_VERSION: i32 = 1;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("store `{path}` cannot be opened")]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error("SQLite {found} is older than 3.51.3, which loses data")]
    Version { found: &'static str },
    #[error("`{pragma}` of the store is `{found}`, not `{expected}`")]
    Pragma { pragma: &'static str, found: String, expected: &'static str },
    #[error("store was made by another program or a newer version: `{found}`")]
    Foreign { found: i32 },
    #[error("store failed")]
    Query(#[from] rusqlite::Error),
    #[error("store holds a value that cannot be: `{0}`")]
    Damaged(&'static str),
}

/// How much the upstream holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub terminals: u64,
    pub events: u64,
    /// Events below the largest receipt of their chain.
    pub receipted: u64,
    pub quarantined: u64,
    pub alarms: u64,
}

/// One chain in the list of terminals.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TerminalRow {
    pub terminal: TerminalId,
    pub chain: ChainId,
    pub institution: String,
    pub department: String,
    pub size: u64,
    /// RFC 3339; `null` before the first upload.
    pub last_seen: Option<String>,
    pub quarantined: u64,
    pub alarms: u64,
}

/// Something that people must look at. Kept for ever, with its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    pub chain: ChainId,
    pub kind: String,
    pub sequence: u64,
    /// What the upstream has, and what came instead.
    pub held: String,
    pub found: String,
}

/// The store. One connection; every change is one transaction that is on disk before it returns.
#[derive(Debug)]
pub(crate) struct Store {
    connection: Mutex<Connection>,
}

impl Store {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        if rusqlite::version_number() < SQLITE_NEEDED {
            return Err(StoreError::Version { found: rusqlite::version() });
        }
        let failed = |source| StoreError::Open { path: path.to_owned(), source };
        let connection = Connection::open(path).map_err(failed)?;
        connection.execute_batch(include_str!("store/open.sql")).map_err(failed)?;
        check_pragma(&connection, "journal_mode", "wal")?;
        check_pragma(&connection, "synchronous", "2")?;
        let store = Self { connection: Mutex::new(connection) };
        store.change(migrate)?;
        Ok(store)
    }

    /// Runs `work` in one write transaction. An error undoes all of it.
    pub(crate) fn change<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(StoreError::Query)?;
        let done = work(&transaction)?;
        transaction.commit().map_err(StoreError::Query)?;
        Ok(done)
    }

    pub(crate) fn counts(&self) -> Result<Counts, StoreError> {
        self.change(|tx| Ok(tx.query_row(include_str!("store/counts.sql"), [], read_counts)?))
    }

    pub(crate) fn terminals(&self) -> Result<Vec<TerminalRow>, StoreError> {
        self.change(|tx| {
            let mut rows = tx.prepare(include_str!("store/terminals.sql"))?;
            let rows = rows.query_map([], read_terminal)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    pub(crate) fn alarms(&self) -> Result<Vec<Alarm>, StoreError> {
        self.change(|tx| {
            let mut rows = tx.prepare("SELECT chain, kind, sequence, held, found FROM alarm ORDER BY id")?;
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
        })
    }
}

/// Serial and token of the newest document of a kind.
pub(crate) fn newest_document(tx: &Transaction<'_>, kind: &str) -> Result<Option<(u64, String)>, StoreError> {
    let query = "SELECT serial, token FROM document WHERE kind = ?1 ORDER BY serial DESC LIMIT 1";
    Ok(tx.query_row(query, [kind], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

pub(crate) fn keep_document(
    tx: &Transaction<'_>,
    kind: &str,
    serial: u64,
    token: &str,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO document(kind, serial, token) VALUES (?1, ?2, ?3)",
        params![kind, serial, token],
    )?;
    Ok(())
}

/// Keeps an alarm; the same one again changes nothing.
pub(crate) fn keep_alarm(tx: &Transaction<'_>, alarm: &Alarm, now: WallTime) -> Result<(), StoreError> {
    tx.execute(
        "INSERT OR IGNORE INTO alarm(chain, kind, sequence, held, found, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![alarm.chain.to_string(), alarm.kind, alarm.sequence, alarm.held, alarm.found, now.0],
    )?;
    Ok(())
}

fn check_pragma(
    connection: &Connection,
    pragma: &'static str,
    expected: &'static str,
) -> Result<(), StoreError> {
    let found: rusqlite::types::Value = connection.pragma_query_value(None, pragma, |row| row.get(0))?;
    let found = match found {
        rusqlite::types::Value::Text(text) => text,
        rusqlite::types::Value::Integer(number) => number.to_string(),
        rusqlite::types::Value::Null | rusqlite::types::Value::Real(_) | rusqlite::types::Value::Blob(_) => {
            String::new()
        }
    };
    if found == expected { Ok(()) } else { Err(StoreError::Pragma { pragma, found, expected }) }
}

fn migrate(tx: &Transaction<'_>) -> Result<(), StoreError> {
    let application: i32 = tx.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i32 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match (application, version) {
        (0, 0) => {
            tx.execute_batch(include_str!("store/schema.sql"))?;
            tx.pragma_update(None, "application_id", APPLICATION_ID)?;
            tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            Ok(())
        }
        (APPLICATION_ID, SCHEMA_VERSION) => Ok(()),
        (APPLICATION_ID, found) | (found, _) => Err(StoreError::Foreign { found }),
    }
}

fn read_counts(row: &rusqlite::Row<'_>) -> rusqlite::Result<Counts> {
    Ok(Counts {
        terminals: row.get(0)?,
        events: row.get(1)?,
        receipted: row.get(2)?,
        quarantined: row.get(3)?,
        alarms: row.get(4)?,
    })
}

fn read_terminal(row: &rusqlite::Row<'_>) -> rusqlite::Result<TerminalRow> {
    Ok(TerminalRow {
        terminal: TerminalId(row.get::<_, String>(0)?.parse().unwrap_or_default()),
        chain: ChainId(row.get::<_, String>(1)?.parse().unwrap_or_default()),
        institution: row.get(2)?,
        department: row.get(3)?,
        size: row.get(4)?,
        last_seen: row.get::<_, Option<i64>>(5)?.map(|ms| WallTime(ms).rfc3339()),
        quarantined: row.get(6)?,
        alarms: row.get(7)?,
    })
}
