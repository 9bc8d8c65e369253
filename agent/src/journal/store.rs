//! The open journal: one connection, the files beside it, and the current chain as of the last commit.
//! Never moves what it knows of the chain before COMMIT has returned.

use std::path::PathBuf;

use rusqlite::{Connection, TransactionBehavior};
use zhenyin_core::chain::{ChainState, SealedEvent};
use zhenyin_core::event::SEALED_LIMIT;
use zhenyin_core::ids::{ChainId, Sequence};
use zhenyin_core::merkle::{CompactRange, leaf_hash};
use zhenyin_core::note::Note;
use zhenyin_core::room::Room;

use super::body::BodyKey;
use super::error::{JournalError, during};
use super::head_file::HeadFile;
use super::mark::{Mark, Marked};
use super::retention;
use super::rows::{self, ChainRow, StoredChain};
use super::scan::{self, Memory};
use super::{Acknowledgement, DurableChain, Limits, database, reserve};
use crate::data_key::DataKey;

/// Room above the quota that receipts may still use.
const ABOVE_QUOTA: u64 = 16 << 20;

/// Most of the quota that may be used above it to record that it is reached.
const URGENT: u64 = 1 << 20;

pub(super) struct Place {
    pub(super) dir: PathBuf,
    pub(super) key: DataKey,
    pub(super) limits: Limits,
}

pub(super) struct Open {
    pub(super) connection: Connection,
    pub(super) head_file: HeadFile,
    mark: Mark,
    pub(super) live: Option<Live>,
    pub(super) reserve: Reserve,
}

/// Without a reserve a full disk could not be recovered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reserve {
    There,
    /// Given up when so many bytes were in use: only what must be recorded of that is still taken.
    Gone {
        used: u64,
    },
}

/// The current chain as of the last commit.
pub(super) struct Live {
    pub(super) row: ChainRow,
    pub(super) chain: ChainId,
    pub(super) key: BodyKey,
    pub(super) state: ChainState,
    pub(super) acked: u64,
}

/// What one transaction is to do.
#[derive(Default)]
pub(super) struct Work {
    pub(super) events: Vec<SealedEvent>,
    pub(super) receipts: Vec<(Box<Acknowledgement>, Note)>,
    pub(super) heads: Vec<Note>,
}

impl Place {
    /// `gone` when the reserve was given up by the run that failed.
    pub(super) fn open(&self, gone: Option<u64>) -> Result<(Open, Option<DurableChain>), JournalError> {
        let head_file = HeadFile::open(&self.dir)?;
        let mark = Mark::open(&self.dir)?;
        let connection = database::open_writer(&self.dir, self.limits.quota + ABOVE_QUOTA)?;
        let chains = rows::chains(&connection)?;
        Memory { head: &head_file, mark: mark.found() }.check_chains(&chains)?;
        let mut open = Open { connection, head_file, mark, live: None, reserve: Reserve::There };
        open.seek_reserve(self, gone)?;
        let state = match chains.into_iter().next_back() {
            None => None,
            Some(chain) => Some(open.adopt(&self.key, chain)?),
        };
        // Only now: a damaged journal stays as it was found.
        match database::settle_all(&open.connection) {
            // Sooner, the mark could tell of more than the disk has.
            Ok(true) => open.remember(),
            Ok(false) => return Err(JournalError::NotSettled),
            // On a full disk nothing was left in memory only: there was no room for it.
            Err(error) if error.is_full() => {}
            Err(error) => return Err(error),
        }
        Ok((open, state))
    }
}

impl Open {
    /// Verifies the end of a chain and makes it the one to write to.
    fn adopt(&mut self, key: &DataKey, chain: StoredChain) -> Result<DurableChain, JournalError> {
        let key = BodyKey::new(key, chain.id);
        let memory = Memory { head: &self.head_file, mark: self.mark.found() };
        let state = scan::tail(&self.connection, &chain, &key, memory)?;
        let last_receipt = rows::last_receipt(&self.connection, chain.row)?;
        self.live =
            Some(Live { row: chain.row, chain: chain.id, key, state: state.clone(), acked: chain.acked });
        Ok(DurableChain {
            head: self.head_file.text_of(&chain.id.to_string()),
            chain: chain.id,
            grant_jws: chain.grant_jws,
            state,
            acked_frontier: chain.acked_frontier,
            last_receipt,
        })
    }

    pub(super) fn begin(
        &mut self,
        key: &DataKey,
        chain: ChainId,
        grant_jws: &str,
    ) -> Result<DurableChain, JournalError> {
        if rows::chains(&self.connection)?.iter().any(|known| known.id == chain) {
            return Err(JournalError::ChainExists { chain });
        }
        rows::insert_chain(&self.connection, chain, grant_jws, &BodyKey::new(key, chain).check_value())?;
        let stored = rows::current_chain(&self.connection)?.ok_or(JournalError::NoChain)?;
        let begun = self.adopt(key, stored)?;
        self.remember();
        Ok(begun)
    }

    /// One transaction for all of it. What this knows of the chain moves only after COMMIT.
    pub(super) fn write(&mut self, place: &Place, work: &Work) -> Result<(), JournalError> {
        if work.events.is_empty() && work.receipts.is_empty() {
            return Ok(());
        }
        if !work.events.is_empty() {
            self.check_room(place)?;
        }
        let live = self.live.as_mut().ok_or(JournalError::NoChain)?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(during("begin a transaction"))?;
        let state = append_all(&transaction, live, &work.events)?;
        for (receipt, _) in &work.receipts {
            rows::insert_receipt(&transaction, live.row, &receipt.frontier, &receipt.note, receipt.at)?;
        }
        transaction.commit().map_err(during("commit"))?;
        live.state = state;
        live.acked = work.receipts.last().map_or(live.acked, |(receipt, _)| receipt.frontier.size());
        self.remember();
        Ok(())
    }

    /// How much of the quota is used; a disk without room for the reserve is full.
    pub(super) fn room(&self, place: &Place) -> Result<Room, JournalError> {
        let (used, quota) = (database::used_bytes(&self.connection)?, place.limits.quota);
        Ok(match self.reserve {
            Reserve::There => Room::new(used, quota),
            Reserve::Gone { .. } => Room::full(used, quota),
        })
    }

    /// Makes the reserve where it is missing and there is room for it.
    pub(super) fn seek_reserve(&mut self, place: &Place, gone: Option<u64>) -> Result<(), JournalError> {
        match reserve::ensure(&place.dir, place.limits.reserve) {
            Ok(()) => self.reserve = Reserve::There,
            Err(error) if error.is_full() => {
                if self.reserve == Reserve::There {
                    let used = gone.map_or_else(|| database::used_bytes(&self.connection), Ok)?;
                    self.reserve = Reserve::Gone { used };
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn check_room(&self, place: &Place) -> Result<(), JournalError> {
        let (used, quota) = (database::used_bytes(&self.connection)?, place.limits.quota);
        match self.reserve {
            Reserve::There if used >= quota + URGENT.min(quota / 64) => {
                Err(JournalError::Full { used, quota })
            }
            Reserve::Gone { used: before } if used >= before + place.limits.reserve / 8 => {
                Err(JournalError::DiskFull)
            }
            Reserve::There | Reserve::Gone { .. } => Ok(()),
        }
    }

    fn remember(&mut self) {
        if let Some(live) = &self.live {
            let frontier = &live.state.frontier;
            let (size, root) = (frontier.size(), frontier.root());
            self.mark.write(Marked { chain: live.chain, size, root, acked: live.acked });
        }
    }
}

impl Work {
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.receipts.is_empty() && self.heads.is_empty()
    }
}

/// Inserts the events after checking that each is the next of its chain and says of itself what it is.
fn append_all(
    connection: &Connection,
    live: &Live,
    events: &[SealedEvent],
) -> Result<ChainState, JournalError> {
    let mut state = live.state.clone();
    for event in events {
        check_fits(&state.frontier, event)?;
        state.frontier.append(event.leaf);
        state.last_leaf = event.leaf;
        if state.frontier != event.frontier {
            return Err(JournalError::Unfit { sequence: event.sequence, what: "its frontier is another" });
        }
        let body = live.key.seal(event.sequence, &event.leaf, &event.jws);
        rows::insert_event(connection, live.row, event, &body)?;
        if state.frontier.size().is_multiple_of(retention::WAYPOINT) {
            retention::insert_waypoint(connection, live.row, &state.frontier)?;
        }
    }
    if !events.is_empty() {
        rows::update_frontier(connection, live.row, &state.frontier)?;
    }
    tracing::trace!(chain = %live.chain, events = events.len(), "one commit");
    Ok(state)
}

fn check_fits(frontier: &CompactRange, event: &SealedEvent) -> Result<(), JournalError> {
    if event.sequence != Sequence(frontier.size()) {
        return Err(JournalError::OutOfOrder { expected: frontier.size(), found: event.sequence });
    }
    let unfit = |what| JournalError::Unfit { sequence: event.sequence, what };
    if event.jws.len() > SEALED_LIMIT {
        return Err(unfit("it is too long to be uploaded"));
    }
    if leaf_hash(event.jws.as_bytes()) != event.leaf {
        return Err(unfit("its leaf is another"));
    }
    Ok(())
}
