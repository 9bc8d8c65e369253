//! Proof that what lies on the disk is what was written: leaf hashes, places, frontier, head file.
//! SQLite's own checks see almost no flipped bit (evidence: 3 of 300), so the leaves are the checksum.
//! Never repairs anything.

use rusqlite::Connection;
use zhenyin_core::chain::ChainState;
use zhenyin_core::ids::Sequence;
use zhenyin_core::merkle::{CompactRange, Hash, leaf_hash};
use zhenyin_core::note::{Checkpoint, Note};

use super::body::BodyKey;
use super::error::JournalError;
use super::head_file::{HeadFile, names_chain};
use super::rows::{self, Next, StoredChain, StoredRow};
use crate::data_key::DataKey;

/// What a scan of all chains went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ScanReport {
    pub chains: u64,
    pub events: u64,
    /// Events of which only the leaf is left, after retention.
    pub erased: u64,
    pub receipts: u64,
}

/// How many of the last events are opened and hashed at every start.
pub(super) const TAIL: u64 = 1_000;

/// Subtrees of this many leaves are taken from the stored frontier at start; below, leaves are hashed again.
const BLOCK: u64 = 1_024;

/// Verifies the end of the current chain and the head file against it.
pub(super) fn tail(
    connection: &Connection,
    chain: &StoredChain,
    key: &BodyKey,
    head: &HeadFile,
) -> Result<ChainState, JournalError> {
    check_key(chain, key)?;
    let head = head_of(head, chain)?;
    let base = base_of(chain);
    let mut replay = Replay::new(chain, base, head);
    let first = replay.frontier.size().min(chain.size.saturating_sub(TAIL));
    rows::for_each_event(connection, chain.row, first, |row| replay.take(&row, key, first))?;
    replay.finish(connection)
}

/// Verifies every event and receipt of every chain, and the head file. Takes about 50 µs an event.
pub(super) fn full(
    connection: &Connection,
    key: &DataKey,
    head: &HeadFile,
) -> Result<ScanReport, JournalError> {
    let mut report = ScanReport::default();
    let chains = rows::chains(connection)?;
    check_head_has_chain(head, &chains)?;
    for chain in &chains {
        let body_key = BodyKey::new(key, chain.id);
        check_key(chain, &body_key)?;
        let head = head_of(head, chain)?;
        let mut replay = Replay::new(chain, CompactRange::new(), head);
        let mut receipts = rows::receipts(connection, chain.row)?.into_iter().peekable();
        rows::for_each_event(connection, chain.row, 0, |row| {
            report.erased += u64::from(row.body.is_none());
            let next = replay.take(&row, &body_key, 0)?;
            while let Some((size, note, _)) = receipts.next_if(|r| r.0 == replay.frontier.size()) {
                check_receipt(chain, &replay.frontier, size, &note)?;
                report.receipts += 1;
            }
            Ok(next)
        })?;
        if receipts.next().is_some() {
            return Err(JournalError::DamagedChain { size: chain.size, what: "the list of receipts" });
        }
        replay.finish(connection)?;
        report.chains += 1;
        report.events += chain.size;
    }
    Ok(report)
}

/// An empty database beside a head file that remembers a chain is a loss, not a fresh start.
pub(super) fn check_head_has_chain(head: &HeadFile, chains: &[StoredChain]) -> Result<(), JournalError> {
    match head.checkpoint() {
        Some(checkpoint) if !chains.iter().any(|c| names_chain(checkpoint, &c.id.to_string())) => {
            Err(JournalError::HeadOfAnotherChain { origin: checkpoint.origin.clone() })
        }
        Some(_) | None => Ok(()),
    }
}

/// Opens a body and checks it against its leaf. `None` when retention has erased it.
pub(super) fn open_body(row: &StoredRow, key: &BodyKey) -> Result<Option<String>, JournalError> {
    let Some(sealed) = row.body.clone() else { return Ok(None) };
    let damaged = |what| JournalError::Damaged { sequence: row.sequence, what };
    let jws =
        key.open(row.sequence, &row.leaf, sealed).ok_or(damaged("the body does not open at its place"))?;
    if leaf_hash(jws.as_bytes()) != row.leaf {
        return Err(damaged("the body has another leaf hash"));
    }
    Ok(Some(jws))
}

fn check_key(chain: &StoredChain, key: &BodyKey) -> Result<(), JournalError> {
    if chain.key_check != key.check_value() {
        return Err(JournalError::WrongKey { chain: chain.id });
    }
    Ok(())
}

/// The head file's checkpoint if it is about this chain, after comparing sizes.
fn head_of<'a>(head: &'a HeadFile, chain: &StoredChain) -> Result<Option<&'a Checkpoint>, JournalError> {
    let checkpoint = head.checkpoint().filter(|c| names_chain(c, &chain.id.to_string()));
    match checkpoint {
        Some(c) if c.size > chain.size => Err(JournalError::BehindHead { head: c.size, found: chain.size }),
        Some(c) if c.size == chain.acked && c.root != chain.acked_frontier.root() => {
            Err(JournalError::NotTheHead { size: c.size })
        }
        other => Ok(other),
    }
}

/// The nearest frontier from which few leaves lead to the end: the acknowledged one, or the large subtrees
/// of the stored one.
fn base_of(chain: &StoredChain) -> CompactRange {
    if chain.size - chain.acked <= BLOCK {
        return chain.acked_frontier.clone();
    }
    let size = chain.size & !(BLOCK - 1);
    let hashes = 32 * size.count_ones() as usize;
    let mut bytes = size.to_be_bytes().to_vec();
    bytes.extend_from_slice(&chain.frontier.to_bytes()[8..8 + hashes]);
    CompactRange::from_bytes(&bytes).expect("the largest subtrees come first")
}

fn check_receipt(
    chain: &StoredChain,
    frontier: &CompactRange,
    size: u64,
    note: &str,
) -> Result<(), JournalError> {
    let fits = Note::parse(note)
        .is_ok_and(|note| note.checkpoint().size == size && note.checkpoint().root == frontier.root());
    let acked = size != chain.acked || chain.acked_frontier == *frontier;
    if fits && acked {
        return Ok(());
    }
    Err(JournalError::UnfitReceipt { size, found: chain.size, what: "its root is another" })
}

/// Runs over the events of one chain in order, from some place on.
struct Replay<'a> {
    chain: &'a StoredChain,
    head: Option<&'a Checkpoint>,
    base: u64,
    frontier: CompactRange,
    last_leaf: Option<Hash>,
    expected: Option<u64>,
}

impl<'a> Replay<'a> {
    fn new(chain: &'a StoredChain, base: CompactRange, head: Option<&'a Checkpoint>) -> Self {
        Self { chain, head, base: base.size(), frontier: base, last_leaf: None, expected: None }
    }

    fn take(&mut self, row: &StoredRow, key: &BodyKey, first: u64) -> Result<Next, JournalError> {
        let expected = self.expected.unwrap_or(first);
        if row.sequence != Sequence(expected) {
            let what = "it stands where another is missing";
            return Err(JournalError::Damaged { sequence: row.sequence, what });
        }
        open_body(row, key)?;
        if expected >= self.base {
            self.check_head()?;
            self.frontier.append(row.leaf);
        }
        self.last_leaf = Some(row.leaf);
        self.expected = Some(expected + 1);
        Ok(Next::Go)
    }

    /// Compares the root at the place where the head file's checkpoint was made.
    fn check_head(&self) -> Result<(), JournalError> {
        match self.head {
            Some(head) if head.size == self.frontier.size() && head.root != self.frontier.root() => {
                Err(JournalError::NotTheHead { size: head.size })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn finish(self, connection: &Connection) -> Result<ChainState, JournalError> {
        let size = self.chain.size;
        self.check_head()?;
        if rows::count_by_events(connection, self.chain.row)? != size {
            return Err(JournalError::DamagedChain { size, what: "the number of events" });
        }
        if self.frontier != self.chain.frontier {
            return Err(JournalError::DamagedChain { size, what: "the frontier" });
        }
        let last_leaf = self.last_leaf.unwrap_or_else(|| leaf_hash(self.chain.grant_jws.as_bytes()));
        Ok(ChainState { frontier: self.frontier, last_leaf })
    }
}
