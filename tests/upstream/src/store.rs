//! What an upstream keeps, whatever keeps it: chains, events, receipts, codes, documents, alarms.
//! Never updates or deletes an event or a receipt, and never moves a chain on but by compare-and-set.

mod embedded;
mod postgres;
mod rows;

pub(crate) use embedded::EmbeddedStore;
pub(crate) use postgres::PostgresStore;
pub(crate) use rows::{
    Acknowledgement, Advance, ChainRow, ChainRowError, CodeRow, Document, Granted, KeptEvent, NewCode,
    NewEvent, NewGap, UsedCode,
};
pub use rows::{Alarm, Counts, Gap, TerminalRow};

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use zhenyin_core::ids::{ChainId, TerminalId};
use zhenyin_core::time::WallTime;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("store `{path}` cannot be opened")]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error("database file `{}` cannot be read", path.display())]
    ConnectionFile { path: PathBuf, source: std::io::Error },
    #[error("database file `{}` can be read by others: run `chmod 600` on it", path.display())]
    ConnectionFileOpen { path: PathBuf },
    #[error(
        "database file `{}` names a host on a network, to which the connection would not be encrypted: \
         name a Unix socket or this machine, or give the database's authority by `--database-ca`", path.display()
    )]
    NotLocal { path: PathBuf },
    #[error("authority of the database cannot be read from `{}`", path.display())]
    Authority { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("database does not answer")]
    Connect(#[source] ::postgres::Error),
    #[error("SQLite {found} is older than 3.51.3, which loses data")]
    Version { found: &'static str },
    #[error("`{name}` of the store is `{found}`, not `{expected}`")]
    Setting { name: &'static str, found: String, expected: &'static str },
    #[error("store was made by another program or a newer version: `{found}`")]
    Foreign { found: i32 },
    #[error("store belongs to an upstream with other keys: give this one its key files")]
    OtherKeys,
    #[error("store failed")]
    Query(#[from] rusqlite::Error),
    #[error("database failed")]
    Database(#[from] ::postgres::Error),
    #[error("store holds a value that cannot be: `{0}`")]
    Damaged(&'static str),
}

/// A store that several processes may use at once. Whatever a call has changed is on disk when it returns.
pub(crate) trait Store: Send + Sync + fmt::Debug {
    /// Ties the store to the keys of its first upstream.
    ///
    /// # Errors
    /// [`StoreError::OtherKeys`] when it is tied to others.
    fn claim(&self, keys: &str) -> Result<(), StoreError>;

    fn chain(&self, chain: ChainId) -> Result<Option<ChainRow>, StoreError>;

    /// Appends events and their receipt and moves the chain on, all or nothing, and only if the chain still
    /// has the size `advance.before`. `false`: somebody else was first, and nothing was changed.
    fn advance(&self, advance: &Advance<'_>) -> Result<bool, StoreError>;

    /// The terminal has spoken, whatever it said.
    fn seen(&self, chain: ChainId, at: WallTime) -> Result<(), StoreError>;

    /// Stored events of a range of sequence numbers, in order.
    fn events(&self, chain: ChainId, range: Range<u64>) -> Result<Vec<KeptEvent>, StoreError>;

    fn receipt(&self, chain: ChainId, size: u64) -> Result<Option<String>, StoreError>;

    fn newest_receipt(&self, chain: ChainId) -> Result<Option<String>, StoreError>;

    /// The chains of a terminal and their newest receipts, the one that was granted last first.
    fn granted(&self, terminal: TerminalId) -> Result<Vec<Granted>, StoreError>;

    /// Keeps an alarm; the same one again changes nothing.
    fn add_alarm(&self, alarm: &Alarm, at: WallTime) -> Result<(), StoreError>;

    fn alarms(&self) -> Result<Vec<Alarm>, StoreError>;

    fn add_code(&self, code: &NewCode<'_>) -> Result<(), StoreError>;

    fn code(&self, hash: &[u8; 32]) -> Result<Option<CodeRow>, StoreError>;

    /// Marks a code as used and begins the chain of its grant. `false`: the code was used meanwhile.
    fn use_code(&self, used: &UsedCode<'_>) -> Result<bool, StoreError>;

    fn newest_document(&self, kind: &str) -> Result<Option<Document>, StoreError>;

    /// Keeps a document if its serial is above all of its kind; else `false`.
    fn add_document(&self, kind: &str, document: &Document) -> Result<bool, StoreError>;

    /// Keeps that a terminal has a document; the same again changes nothing.
    fn add_acknowledgement(
        &self,
        chain: ChainId,
        acknowledgement: &Acknowledgement,
    ) -> Result<(), StoreError>;

    /// Up to `limit` chains after one, by id.
    fn terminals(&self, after: Option<ChainId>, limit: usize) -> Result<Vec<TerminalRow>, StoreError>;

    fn gaps(&self, chain: ChainId) -> Result<Vec<Gap>, StoreError>;

    fn counts(&self) -> Result<Counts, StoreError>;
}
