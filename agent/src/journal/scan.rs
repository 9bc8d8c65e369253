//! Proof that what lies on the disk is what was written: leaf hashes, places, frontier, head file.
//! SQLite's own checks see almost no flipped bit (evidence: 3 of 300), so the leaves are the checksum.
//! Never repairs anything.

use rusqlite::Connection;
use serde::Deserialize;
use zhenyin_core::chain::ChainState;
use zhenyin_core::event::encode_hash;
use zhenyin_core::ids::Sequence;
use zhenyin_core::jws::payload_unverified;
use zhenyin_core::merkle::{CompactRange, Hash, leaf_hash};
use zhenyin_core::note::Note;
use zhenyin_core::time::WallTime;

use super::body::BodyKey;
use super::error::JournalError;
use super::head_file::{HeadFile, names_chain};
use super::mark::Marked;
use super::retention;
use super::rows::{self, Next, ReceiptRow, StoredChain, StoredRow};
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

/// Events between two questions whether to go on.
const PAUSE: u64 = 256;

/// Subtrees of this many leaves are taken from the stored frontier at start; below, leaves are hashed again.
const BLOCK: u64 = 1_024;

/// What is remembered outside the database.
#[derive(Clone, Copy)]
pub(super) struct Memory<'a> {
    pub(super) head: &'a HeadFile,
    pub(super) mark: Option<&'a Marked>,
}

/// Verifies the end of the current chain and the memory of it.
pub(super) fn tail(
    connection: &Connection,
    chain: &StoredChain,
    key: &BodyKey,
    memory: Memory<'_>,
) -> Result<ChainState, JournalError> {
    check_key(chain, key)?;
    let claims = memory.claims(chain)?;
    let mut replay = Replay::new(chain, base_of(chain), claims);
    let first = replay.frontier.size().min(chain.size.saturating_sub(TAIL));
    rows::for_each_event(connection, chain.row, first, |row| {
        replay.take(&row, key, first)?;
        Ok(Next::Go)
    })?;
    replay.finish(connection)
}

/// Verifies every event, receipt and waypoint of every chain, and the memory of them. Takes about 50 µs an event.
pub(super) fn full(
    connection: &Connection,
    key: &DataKey,
    memory: Memory<'_>,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Option<ScanReport>, JournalError> {
    let mut report = ScanReport::default();
    let chains = rows::chains(connection)?;
    memory.check_chains(&chains)?;
    for chain in &chains {
        if scan_chain(connection, chain, key, memory, (&mut report, go_on))? == Next::Stop {
            return Ok(None);
        }
    }
    Ok(Some(report))
}

fn scan_chain(
    connection: &Connection,
    chain: &StoredChain,
    key: &DataKey,
    memory: Memory<'_>,
    (report, go_on): (&mut ScanReport, &mut dyn FnMut() -> bool),
) -> Result<Next, JournalError> {
    let key = BodyKey::new(key, chain.id);
    check_key(chain, &key)?;
    let mut replay = Replay::new(chain, CompactRange::new(), memory.claims(chain)?);
    let mut receipts = rows::receipts(connection, chain.row)?.into_iter().peekable();
    let mut waypoints = retention::waypoints(connection, chain.row)?.into_iter().peekable();
    let mut stopped = false;
    rows::for_each_event(connection, chain.row, 0, |row| {
        if row.sequence.0 % PAUSE == PAUSE - 1 && !go_on() {
            stopped = true;
            return Ok(Next::Stop);
        }
        report.erased += u64::from(row.body.is_none());
        if let Some(jws) = replay.take(&row, &key, 0)? {
            check_clear(&jws, &row, chain)?;
        }
        let frontier = &replay.frontier;
        while let Some(receipt) = receipts.next_if(|r| r.size == frontier.size()) {
            check_receipt(chain, frontier, &receipt)?;
            report.receipts += 1;
        }
        while let Some((size, bytes)) = waypoints.next_if(|(size, _)| *size == frontier.size()) {
            if bytes != frontier.to_bytes() {
                return Err(JournalError::DamagedChain { size, what: "a waypoint" });
            }
        }
        Ok(Next::Go)
    })?;
    if stopped {
        return Ok(Next::Stop);
    }
    let ended = [
        (receipts.next().is_none(), "the list of receipts"),
        (waypoints.next().is_none(), "the list of waypoints"),
    ];
    if let Some((_, what)) = ended.into_iter().find(|(ended, _)| !ended) {
        return Err(JournalError::DamagedChain { size: chain.size, what });
    }
    replay.finish(connection)?;
    report.chains += 1;
    report.events += chain.size;
    Ok(Next::Go)
}

impl Memory<'_> {
    /// An empty database beside files that remember a chain is a loss, not a fresh start.
    pub(super) fn check_chains(&self, chains: &[StoredChain]) -> Result<(), JournalError> {
        if let Some(head) = self.head.checkpoint()
            && !chains.iter().any(|chain| names_chain(head, &chain.id.to_string()))
        {
            return Err(JournalError::HeadOfAnotherChain { origin: head.origin.clone() });
        }
        if let Some(mark) = self.mark
            && !chains.iter().any(|chain| chain.id == mark.chain)
        {
            return Err(JournalError::MarkOfAnotherChain { chain: mark.chain });
        }
        Ok(())
    }

    /// What must be the root at which size of this chain, after comparing sizes.
    fn claims(&self, chain: &StoredChain) -> Result<Vec<Claim>, JournalError> {
        let mut claims = Vec::new();
        if let Some(head) = self.head.checkpoint().filter(|c| names_chain(c, &chain.id.to_string())) {
            if head.size > chain.size {
                return Err(JournalError::BehindHead { head: head.size, found: chain.size });
            }
            claims.push(Claim { size: head.size, root: head.root, by: Claimant::Head });
        }
        if let Some(mark) = self.mark.filter(|mark| mark.chain == chain.id) {
            for (what, told, found) in
                [("events", mark.size, chain.size), ("acknowledged events", mark.acked, chain.acked)]
            {
                if told > found {
                    return Err(JournalError::BehindMark { what, told, found });
                }
            }
            claims.push(Claim { size: mark.size, root: mark.root, by: Claimant::Mark });
        }
        for claim in &claims {
            claim.check(&chain.acked_frontier)?;
        }
        Ok(claims)
    }
}

#[derive(Clone, Copy)]
enum Claimant {
    Head,
    Mark,
}

struct Claim {
    size: u64,
    root: Hash,
    by: Claimant,
}

impl Claim {
    fn check(&self, frontier: &CompactRange) -> Result<(), JournalError> {
        if self.size != frontier.size() || self.root == frontier.root() {
            return Ok(());
        }
        Err(match self.by {
            Claimant::Head => JournalError::NotTheHead { size: self.size },
            Claimant::Mark => JournalError::NotTheMark { size: self.size },
        })
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
    receipt: &ReceiptRow,
) -> Result<(), JournalError> {
    let size = receipt.size;
    let fits = Note::parse(&receipt.note)
        .is_ok_and(|note| note.checkpoint().size == size && note.checkpoint().root == frontier.root());
    let acked = size != chain.acked || chain.acked_frontier == *frontier;
    if fits && acked && receipt.is_whole() {
        return Ok(());
    }
    Err(JournalError::UnfitReceipt { size, found: chain.size, what: "it is not what was stored" })
}

/// What stands in clear beside an event must be what the event says: its time, and for the first the grant.
fn check_clear(jws: &str, row: &StoredRow, chain: &StoredChain) -> Result<(), JournalError> {
    #[derive(Deserialize)]
    struct Clear {
        time: String,
        prevhash: String,
    }
    let damaged = |what| JournalError::Damaged { sequence: row.sequence, what };
    let payload = payload_unverified(jws).ok_or(damaged("it is no JWS"))?;
    let clear: Clear = serde_json::from_slice(&payload).map_err(|_| damaged("it is no event"))?;
    if WallTime::parse_rfc3339(&clear.time) != Some(row.at) {
        return Err(damaged("its row has another time"));
    }
    if row.sequence == Sequence(0) && clear.prevhash != encode_hash(&leaf_hash(chain.grant_jws.as_bytes())) {
        return Err(damaged("the grant is not the one it continues"));
    }
    Ok(())
}

/// Runs over the events of one chain in order, from some place on.
struct Replay<'a> {
    chain: &'a StoredChain,
    claims: Vec<Claim>,
    base: u64,
    frontier: CompactRange,
    last_leaf: Option<Hash>,
    expected: Option<u64>,
}

impl<'a> Replay<'a> {
    fn new(chain: &'a StoredChain, base: CompactRange, claims: Vec<Claim>) -> Self {
        Self { chain, claims, base: base.size(), frontier: base, last_leaf: None, expected: None }
    }

    /// Gives the event unless retention has erased it.
    fn take(&mut self, row: &StoredRow, key: &BodyKey, first: u64) -> Result<Option<String>, JournalError> {
        let expected = self.expected.unwrap_or(first);
        if row.sequence != Sequence(expected) {
            let what = "it stands where another is missing";
            return Err(JournalError::Damaged { sequence: row.sequence, what });
        }
        let jws = open_body(row, key)?;
        let stays = expected >= self.chain.erased || jws.as_deref().is_some_and(retention::is_rotation);
        if jws.is_some() != stays {
            let what = "its body is gone, or is there, against the list of erasures";
            return Err(JournalError::Damaged { sequence: row.sequence, what });
        }
        if expected >= self.base {
            self.check_claims()?;
            self.frontier.append(row.leaf);
        }
        self.last_leaf = Some(row.leaf);
        self.expected = Some(expected + 1);
        Ok(jws)
    }

    /// Compares the root at each place where somebody remembers one.
    fn check_claims(&self) -> Result<(), JournalError> {
        self.claims.iter().try_for_each(|claim| claim.check(&self.frontier))
    }

    fn finish(self, connection: &Connection) -> Result<ChainState, JournalError> {
        let size = self.chain.size;
        self.check_claims()?;
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
