//! What can go wrong with the journal, by name and with values.
//! Never carries an event, a name or a number of a person.

use zhenyin_core::fault::Fault;
use zhenyin_core::ids::{ChainId, Sequence};

use crate::durable_file::FileError;

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the journal is full: {used} of {quota} bytes are used; no new event is taken")]
    Full { used: u64, quota: u64 },
    #[error("the disk of the journal is full; no new event is taken")]
    DiskFull,
    #[error("sqlite {found} is too old for the journal: 3.51.3 mended a bug that damages data")]
    SqliteTooOld { found: &'static str },
    #[error("database setting `{name}` is `{found}` where `{wanted}` is needed")]
    Pragma { name: &'static str, wanted: &'static str, found: String },
    #[error("the database is missing or empty, but its write-ahead log has {log} bytes")]
    DatabaseGone { log: u64 },
    #[error("the file is no journal: application id {found:#010x}")]
    NotAJournal { found: i32 },
    #[error("the journal was written by a newer version: schema {found}, known is {known}")]
    SchemaNewer { found: i32, known: i32 },
    #[error(
        "the journal was written by an older version: schema {found}, known is {known}; start the agent once"
    )]
    SchemaOlder { found: i32, known: i32 },
    #[error("the journal is in use by another process")]
    InUse,
    #[error("the key does not open the journal of chain {chain}")]
    WrongKey { chain: ChainId },
    #[error("no chain has begun yet")]
    NoChain,
    #[error("chain {chain} has begun before")]
    ChainExists { chain: ChainId },
    #[error("event {found} came where {expected} is next")]
    OutOfOrder { expected: u64, found: Sequence },
    #[error("event {sequence} does not fit its chain: {what}")]
    Unfit { sequence: Sequence, what: &'static str },
    #[error("receipt for {size} events does not fit a chain of {found}: {what}")]
    UnfitReceipt { size: u64, found: u64, what: &'static str },
    #[error("the receipt is not a checkpoint note")]
    ReceiptUnreadable(#[source] zhenyin_core::note::NoteError),
    #[error("journal is damaged at event {sequence}: {what}")]
    Damaged { sequence: Sequence, what: &'static str },
    #[error("journal is damaged: {what} of a chain of {size} events")]
    DamagedChain { size: u64, what: &'static str },
    #[error("the head file tells of {head} events, the journal has {found}: it was cut or is an old copy")]
    BehindHead { head: u64, found: u64 },
    #[error("the head file tells of chain `{origin}`, which the journal does not have")]
    HeadOfAnotherChain { origin: String },
    #[error("the first {size} events are not those that the head file tells of")]
    NotTheHead { size: u64 },
    #[error("the head file is not a checkpoint")]
    HeadUnreadable(#[source] zhenyin_core::note::NoteError),
    #[error("the mark tells of {told} {what}, the journal has {found}: it was cut or is an old copy")]
    BehindMark { what: &'static str, told: u64, found: u64 },
    #[error("the mark tells of chain {chain}, which the journal does not have")]
    MarkOfAnotherChain { chain: ChainId },
    #[error("the first {size} events are not those that the mark tells of")]
    NotTheMark { size: u64 },
    #[error("there is no hold {id} to lift")]
    NoHold { id: i64 },
    #[error("the journal failed while a hold was changed; the list of holds tells whether it was")]
    HoldUnsure,
    #[error("checkpoint for {size} events is ahead of the {found} durable ones")]
    HeadAhead { size: u64, found: u64 },
    #[error("the journal failed while a chain was begun; the next start tells whether it has")]
    BeginUnsure,
    #[error("a reader kept the database from being settled after a failure")]
    NotSettled,
    #[error("the journal has stopped")]
    Stopped,
    #[error("could not start the writer thread of the journal")]
    Thread { source: std::io::Error },
    #[error("could not {doing}")]
    Sqlite { doing: &'static str, source: rusqlite::Error },
    #[error("could not use the files of the journal")]
    File(#[from] FileError),
}

impl JournalError {
    /// The entry in the table of faults.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Full { .. } | Self::DiskFull => Fault::JournalFull,
            Self::File(error) if error.is_no_space() => Fault::JournalFull,
            Self::SqliteTooOld { .. } | Self::SchemaNewer { .. } => Fault::JournalEngineOld,
            Self::InUse => Fault::JournalInUse,
            Self::Damaged { .. }
            | Self::DamagedChain { .. }
            | Self::BehindHead { .. }
            | Self::HeadOfAnotherChain { .. }
            | Self::NotTheHead { .. }
            | Self::HeadUnreadable(_)
            | Self::BehindMark { .. }
            | Self::MarkOfAnotherChain { .. }
            | Self::NotTheMark { .. }
            | Self::DatabaseGone { .. }
            | Self::NotAJournal { .. } => Fault::JournalDamaged,
            Self::Sqlite { source, .. } => fault_of(source),
            Self::WrongKey { .. } => Fault::KeyDamaged,
            Self::Pragma { .. }
            | Self::NoChain
            | Self::ChainExists { .. }
            | Self::OutOfOrder { .. }
            | Self::Unfit { .. }
            | Self::UnfitReceipt { .. }
            | Self::ReceiptUnreadable(_)
            | Self::HeadAhead { .. }
            | Self::SchemaOlder { .. }
            | Self::NoHold { .. }
            | Self::HoldUnsure
            | Self::BeginUnsure
            | Self::NotSettled
            | Self::Stopped
            | Self::Thread { .. }
            | Self::File(_) => Fault::JournalCommitFailed,
        }
    }

    /// Whether room on the disk or in the quota would mend it.
    pub fn is_full(&self) -> bool {
        self.fault() == Fault::JournalFull
    }

    /// Whether what was asked is at odds with the schema; the database itself is well.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Sqlite { source, .. }
            if source.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation))
    }

    /// Whether evidence was changed or lost, so that a person has to look before work goes on.
    pub fn is_integrity(&self) -> bool {
        self.fault() == Fault::JournalDamaged
    }
}

fn fault_of(error: &rusqlite::Error) -> Fault {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Fault::JournalDamaged,
        Some(ErrorCode::ReadOnly) => Fault::JournalReadOnly,
        Some(_) | None => Fault::JournalCommitFailed,
    }
}

/// For `map_err`: names the action, and a full disk by its own name.
pub(super) fn during(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> JournalError {
    move |source| match source.sqlite_error() {
        // The shared-memory file of the WAL could not grow: SQLite calls that an I/O error.
        Some(error)
            if error.code == rusqlite::ErrorCode::DiskFull
                || error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE =>
        {
            JournalError::DiskFull
        }
        _ => JournalError::Sqlite { doing, source },
    }
}
