//! Opening the journal's database: version, settings, schema. Every setting is read back before use.
//! Never opens with a setting that could lose a committed event, never goes back a schema version.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::error::{JournalError, during};
use crate::durable_file;

pub(super) const FILE: &str = "journal.db";
pub(super) const LOG: &str = "journal.db-wal";

/// The one connection that writes. Makes the file and its schema when there is none.
pub(super) fn open_writer(dir: &Path, most_bytes: u64) -> Result<Connection, JournalError> {
    check_version()?;
    check_not_bereft(dir)?;
    let path = dir.join(FILE);
    durable_file::touch(&path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(during("open the database"))?;
    settle(&connection, &WRITER)?;
    migrate(&mut connection)?;
    limit_pages(&connection, most_bytes)?;
    Ok(connection)
}

/// A connection that cannot write. `None` where no journal was ever begun.
pub(super) fn open_reader(dir: &Path) -> Result<Option<Connection>, JournalError> {
    check_version()?;
    check_not_bereft(dir)?;
    let path = dir.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    durable_file::check_private(&path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(during("open the database"))?;
    settle(&connection, &READER)?;
    match identity(&connection)? {
        (0, 0) => Ok(None),
        (APPLICATION_ID, NEWEST) => Ok(Some(connection)),
        (APPLICATION_ID, found) if found < NEWEST => Err(JournalError::SchemaOlder { found, known: NEWEST }),
        (APPLICATION_ID, found) => Err(JournalError::SchemaNewer { found, known: NEWEST }),
        (found, _) => Err(JournalError::NotAJournal { found }),
    }
}

/// Bytes in use by pages that hold something.
pub(super) fn used_bytes(connection: &Connection) -> Result<u64, JournalError> {
    let number = |name| -> Result<u64, JournalError> {
        let mut statement = connection.prepare_cached(name).map_err(during("read the database's size"))?;
        statement
            .query_row([], |row| row.get::<_, u32>(0))
            .map(u64::from)
            .map_err(during("read the database's size"))
    };
    let pages = number("PRAGMA page_count")?.saturating_sub(number("PRAGMA freelist_count")?);
    Ok(pages * number("PRAGMA page_size")?)
}

/// How far a checkpoint came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// A reader stood in the way.
    Part,
    /// All of it is in the database file; a reader kept the log from being emptied.
    All,
    Emptied,
}

/// Moves what the write-ahead log holds into the database file and flushes it.
pub(super) fn checkpoint(connection: &Connection) -> Result<Moved, JournalError> {
    let run = |mode: &str| {
        connection
            .query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
            })
            .map_err(during("checkpoint the write-ahead log"))
    };
    let (busy, in_log, moved) = run("PASSIVE")?;
    if busy != 0 || in_log != moved {
        return Ok(Moved::Part);
    }
    if in_log <= 0 {
        return Ok(Moved::Emptied);
    }
    // Emptying the log is a bonus: never let an append wait for a reader because of it.
    connection.busy_timeout(std::time::Duration::ZERO).map_err(during("set the timeout"))?;
    let emptied = run("TRUNCATE");
    connection.busy_timeout(BUSY).map_err(during("set the timeout"))?;
    let (busy, ..) = emptied?;
    Ok(if busy == 0 { Moved::Emptied } else { Moved::All })
}

/// Makes sure that what can be read is on the disk. A flush that failed, in this process or the one before, may
/// have left frames of the log in memory only; what is written after them would be lost with them. So everything
/// moves into the database file, and a commit begins the log anew: no old frame is valid any more.
/// `false` when a reader stood in the way.
pub(super) fn settle_all(connection: &Connection) -> Result<bool, JournalError> {
    if checkpoint(connection)? != Moved::Emptied {
        return Ok(false);
    }
    connection
        .execute_batch(&format!("PRAGMA user_version = {NEWEST}"))
        .map(|()| true)
        .map_err(during("begin the write-ahead log anew"))
}

/// `ZYJ1` in ASCII.
const APPLICATION_ID: i32 = 0x5A59_4A31;

/// Before this, two connections at a checkpoint could damage a WAL database without a word.
const LEAST_SQLITE: i32 = 3_051_003;

const MIGRATIONS: [&str; 2] = [include_str!("001_append_only.sql"), include_str!("002_retention.sql")];
const NEWEST: i32 = MIGRATIONS.len() as i32;

const BUSY: std::time::Duration = std::time::Duration::from_secs(5);

/// Name, value to set, value to read back.
type Setting = (&'static str, &'static str, &'static str);

const WRITER: [Setting; 14] = [
    ("busy_timeout", "5000", "5000"),
    ("auto_vacuum", "NONE", "0"),
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", "2"),
    ("foreign_keys", "ON", "1"),
    ("recursive_triggers", "ON", "1"),
    ("trusted_schema", "OFF", "0"),
    ("cell_size_check", "ON", "1"),
    ("secure_delete", "ON", "1"),
    ("mmap_size", "0", "0"),
    ("temp_store", "MEMORY", "2"),
    ("wal_autocheckpoint", "200", "200"),
    ("journal_size_limit", "4194304", "4194304"),
    // macOS: fsync alone leaves the data in the drive's cache. Elsewhere it changes nothing.
    ("fullfsync", "ON", "1"),
];

const READER: [Setting; 6] = [
    ("busy_timeout", "5000", "5000"),
    ("query_only", "ON", "1"),
    ("trusted_schema", "OFF", "0"),
    ("cell_size_check", "ON", "1"),
    ("mmap_size", "0", "0"),
    ("temp_store", "MEMORY", "2"),
];

/// A close moves nothing by itself: damaged files stay as they were found.
const MODES: [(&str, DbConfig); 2] = [
    ("defensive", DbConfig::SQLITE_DBCONFIG_DEFENSIVE),
    ("no_checkpoint_on_close", DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE),
];

fn check_version() -> Result<(), JournalError> {
    if rusqlite::version_number() < LEAST_SQLITE {
        return Err(JournalError::SqliteTooOld { found: rusqlite::version() });
    }
    Ok(())
}

/// SQLite deletes the write-ahead log of a database without a page, whoever opens it. The first page is on the disk
/// before any log begins, so a log without a database is what is left of a journal.
fn check_not_bereft(dir: &Path) -> Result<(), JournalError> {
    let length = |name| std::fs::metadata(dir.join(name)).map_or(0, |file| file.len());
    match (length(FILE), length(LOG)) {
        (0, log) if log > 0 => Err(JournalError::DatabaseGone { log }),
        _ => Ok(()),
    }
}

fn settle(connection: &Connection, settings: &[Setting]) -> Result<(), JournalError> {
    for (name, config) in MODES {
        let set = connection.set_db_config(config, true).map_err(during("set a database mode"))?;
        if !set {
            return Err(JournalError::Pragma { name, wanted: "1", found: "0".into() });
        }
    }
    for (name, value, _) in settings {
        // `execute_batch` takes settings that answer with a row and those that do not.
        connection
            .execute_batch(&format!("PRAGMA {name} = {value}"))
            .map_err(during("change a database setting"))?;
    }
    settings.iter().try_for_each(|(name, _, wanted)| {
        let found = setting(connection, name)?;
        if found == *wanted { Ok(()) } else { Err(JournalError::Pragma { name, wanted, found }) }
    })
}

fn setting(connection: &Connection, name: &str) -> Result<String, JournalError> {
    connection
        .query_row(&format!("PRAGMA {name}"), [], |row| {
            Ok(match row.get_ref(0)? {
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => "of another type".to_owned(),
            })
        })
        .map_err(during("read a database setting"))
}

/// Application id and schema version.
fn identity(connection: &Connection) -> Result<(i32, i32), JournalError> {
    let number = |name: &str| {
        connection
            .query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i32>(0))
            .map_err(during("read the schema version"))
    };
    Ok((number("application_id")?, number("user_version")?))
}

fn migrate(connection: &mut Connection) -> Result<(), JournalError> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(during("begin the schema change"))?;
    let (application, version) = identity(&transaction)?;
    let tables: i64 = transaction
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(during("read the schema"))?;
    let fresh = (application, version, tables) == (0, 0, 0);
    if !fresh && application != APPLICATION_ID {
        return Err(JournalError::NotAJournal { found: application });
    }
    let missing = usize::try_from(version).ok().and_then(|done| MIGRATIONS.get(done..));
    let missing = missing.ok_or(JournalError::SchemaNewer { found: version, known: NEWEST })?;
    if missing.is_empty() {
        return Ok(());
    }
    for script in missing {
        transaction.execute_batch(script).map_err(during("change the schema"))?;
    }
    transaction
        .execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {NEWEST}"))
        .map_err(during("write the schema version"))?;
    transaction.commit().map_err(during("commit the schema change"))
}

/// A last line behind the quota: SQLite itself stops growing here.
fn limit_pages(connection: &Connection, most_bytes: u64) -> Result<(), JournalError> {
    let size: u32 = connection
        .query_row("PRAGMA page_size", [], |row| row.get(0))
        .map_err(during("read the page size"))?;
    let wanted = u32::try_from(most_bytes / u64::from(size)).unwrap_or(u32::MAX - 1).max(1);
    let set: u32 = connection
        .query_row(&format!("PRAGMA max_page_count = {wanted}"), [], |row| row.get(0))
        .map_err(during("limit the database's size"))?;
    // A database that is larger already keeps its size as the limit.
    if set < wanted {
        return Err(JournalError::Pragma {
            name: "max_page_count",
            wanted: "the quota",
            found: set.to_string(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path) -> Connection {
        open_writer(dir, 1 << 30).unwrap()
    }

    #[test]
    fn bundled_sqlite_has_the_wal_reset_fix() {
        assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
    }

    #[test]
    fn a_setting_that_does_not_stick_is_named() {
        let connection = Connection::open_in_memory().unwrap();
        let error = settle(&connection, &WRITER).unwrap_err();
        assert!(
            matches!(&error, JournalError::Pragma { name: "journal_mode", wanted: "wal", found } if found == "memory"),
            "{error}"
        );
    }

    #[test]
    fn files_of_others_and_of_the_future_are_refused() {
        let check = |change: &str, want: &str| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(FILE);
            durable_file::touch(&path).unwrap();
            if !change.contains("CREATE") {
                drop(open(dir.path()));
            }
            Connection::open(&path).unwrap().execute_batch(change).unwrap();
            let error = format!("{:?}", open_writer(dir.path(), 1 << 30).unwrap_err());
            assert!(error.starts_with(want), "{change}: {error}");
        };
        check("PRAGMA application_id = 7", "NotAJournal");
        check("CREATE TABLE theirs(x)", "NotAJournal");
        check("PRAGMA user_version = 99", "SchemaNewer");
    }

    #[test]
    fn opening_twice_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let schema = |c: &Connection| -> String {
            c.query_row("SELECT group_concat(sql) FROM sqlite_schema", [], |row| row.get(0)).unwrap()
        };
        let first = schema(&open(dir.path()));
        assert_eq!(schema(&open(dir.path())), first);
        assert_eq!(identity(&open(dir.path())).unwrap(), (APPLICATION_ID, NEWEST));
    }
}
