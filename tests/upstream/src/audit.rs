//! Goes over the whole store: every event at its place exactly once, every root as it was cosigned.
//! Never changes anything, and never trusts a column that can be computed.

use zhenyin_core::ids::ChainId;
use zhenyin_core::merkle::{CompactRange, leaf_hash};
use zhenyin_core::note::{Note, NoteError, VerifierKey};

use crate::store::{Store, StoreError};

/// Events read at a time.
const SLICE: u64 = 1000;
/// Chains read at a time.
pub(crate) const PAGE: usize = 500;

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("chain {chain}: event {expected} is missing, {found:?} stands there")]
    Missing { chain: ChainId, expected: u64, found: Option<u64> },
    #[error("chain {chain}: event {sequence} is not the one that was taken")]
    Changed { chain: ChainId, sequence: u64 },
    #[error("chain {chain}: {surplus} events are stored beyond or beside its {size}")]
    Surplus { chain: ChainId, size: u64, surplus: usize },
    #[error("chain {chain}: the tree over its events is not the stored one")]
    Tree { chain: ChainId },
    #[error("chain {chain}: its newest receipt is not for what is stored")]
    Receipt { chain: ChainId },
    #[error("chain {chain}: its newest receipt cannot be believed")]
    Note { chain: ChainId, source: NoteError },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was gone over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audited {
    pub chains: u64,
    pub events: u64,
}

pub(crate) fn audit(store: &dyn Store, witness: &VerifierKey) -> Result<Audited, AuditError> {
    let mut audited = Audited::default();
    let mut after = None;
    loop {
        let page = store.terminals(after, PAGE)?;
        let Some(last) = page.last() else { return Ok(audited) };
        after = Some(last.chain);
        for row in &page {
            audited.chains += 1;
            let size = audit_chain(store, row.chain, witness)?;
            if size != row.size {
                return Err(AuditError::Tree { chain: row.chain });
            }
            audited.events += size;
        }
    }
}

fn audit_chain(store: &dyn Store, chain: ChainId, witness: &VerifierKey) -> Result<u64, AuditError> {
    let Some(row) = store.chain(chain)? else { return Ok(0) };
    let size = row.frontier.size();
    let mut tree = CompactRange::new();
    while tree.size() < size {
        let range = tree.size()..size.min(tree.size() + SLICE);
        let (wanted, mut places) = (range.end - range.start, range.clone());
        let events = store.events(chain, range)?;
        for event in &events {
            let Some(expected) = places.next() else { break };
            if event.sequence != expected {
                return Err(AuditError::Missing { chain, expected, found: Some(event.sequence) });
            }
            if leaf_hash(event.body.as_bytes()) != event.leaf {
                return Err(AuditError::Changed { chain, sequence: expected });
            }
            tree.append(event.leaf);
        }
        if let Some(expected) = places.next() {
            return Err(AuditError::Missing { chain, expected, found: None });
        }
        let surplus = events.len() - usize::try_from(wanted).unwrap_or(0);
        if surplus > 0 {
            return Err(AuditError::Surplus { chain, size, surplus });
        }
    }
    let beyond = store.events(chain, size..1 << 53)?.len();
    if beyond > 0 {
        return Err(AuditError::Surplus { chain, size, surplus: beyond });
    }
    if tree != row.frontier {
        return Err(AuditError::Tree { chain });
    }
    let Some(receipt) = store.newest_receipt(chain)? else {
        return if size == 0 { Ok(0) } else { Err(AuditError::Receipt { chain }) };
    };
    let note = Note::parse(&receipt).map_err(|source| AuditError::Note { chain, source })?;
    note.verify_witness(witness).map_err(|source| AuditError::Note { chain, source })?;
    let head = note.checkpoint();
    if (head.size, head.root) == (size, tree.root()) { Ok(size) } else { Err(AuditError::Receipt { chain }) }
}
