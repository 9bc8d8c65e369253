//! Two senders of one chain in the worst order: the second is whole between the first one's look and its step.
//! With compare-and-set every event is taken once; without it the audit finds the damage. Never about SQL.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zhenyin_core::chain::{Chain, Head};
use zhenyin_core::documents::{Grant, GrantContent};
use zhenyin_core::event::Draft;
use zhenyin_core::event::lifecycle::LogHeartbeat;
use zhenyin_core::ids::{BootId, TerminalId};
use zhenyin_core::merkle::CompactRange;
use zhenyin_core::signer::{Seed, SoftwareSigner};
use zhenyin_core::time::{Boottime, ClockTrust, Now};

use super::*;
use crate::audit::{AuditError, Audited, audit};
use crate::store::{
    Acknowledgement, CodeRow, Counts, Document, Gap, Granted, KeptEvent, NewCode, TerminalRow, UsedCode,
};

const NOW: WallTime = WallTime(1_777_593_600_000);
/// Sizes that the first and the second sender go for, each from the first event on.
const RACES: [(usize, usize); 4] = [(5, 5), (5, 7), (7, 5), (5, 0)];

#[test]
fn a_chain_moves_on_for_one_of_two_senders_only() {
    for (first, second) in RACES {
        let (taken, audited) = race(true, first, second);
        let all = first.max(second) as u64;
        assert_eq!(audited.unwrap(), Audited { chains: 1, events: all }, "{first} {second}");
        match taken {
            Taken::Receipt(receipt) => assert_eq!(receipt.size, first as u64),
            // The size in between was never cosigned; the sender goes on from there.
            Taken::Conflict { size } => assert!(size == second as u64 && first < second),
        }
    }
}

#[test]
fn control_without_compare_and_set_the_audit_finds_events_twice() {
    for (first, second) in RACES.into_iter().filter(|(_, second)| *second > 0) {
        let (_, audited) = race(false, first, second);
        let error = audited.expect_err("damage must be found");
        let found = matches!(error, AuditError::Missing { .. } | AuditError::Surplus { .. });
        assert!(found, "{first} {second}: {error:?}");
    }
}

fn race(careful: bool, first: usize, second: usize) -> (Taken, Result<Audited, AuditError>) {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::load(folder.path(), "witness.example/upstream").unwrap();
    let device = SoftwareSigner::from_seed(&Seed::take(&mut [1; 32]));
    let mut chain = Chain::begin(grant(&keys, &device));
    let id = chain.grant().chain();
    let row = ChainRow {
        grant_jws: chain.grant().token().to_owned(),
        frontier: CompactRange::new(),
        last_leaf: chain.grant().leaf(),
        handovers: Vec::new(),
        life: crate::life::Life::default(),
    };
    let (mut events, mut heads) = (Vec::new(), vec![chain.head()]);
    for uptime_s in 0..7 {
        let draft = Draft::of(&LogHeartbeat { uptime_s, unreceipted: 0 }).unwrap();
        let boottime = Boottime(Duration::from_secs(uptime_s));
        let now = Now { wall: NOW, boottime, trust: ClockTrust::Synced };
        events.push(chain.seal_draft(draft, now, &BootId(uuid::Uuid::nil()), &device).unwrap().jws);
        heads.push(chain.head());
    }
    let request = |end: usize| {
        let Head { size, root } = heads[end];
        let checkpoint = chain.checkpoint(Head { size, root }, &device).unwrap().to_string();
        UploadRequest { first: 0, events: events[..end].to_vec(), checkpoint, old: 0 }
    };
    let rival = (second > 0).then(|| request(second));
    let state = Mutex::new(Kept { row, events: Vec::new(), receipts: Vec::new() });
    let store = MemoryStore { careful, keys, chain: id, rival: Mutex::new(rival), state };
    let taken = take(&store, &store.keys, id, &request(first), NOW).unwrap();
    let audited = audit(&store, &store.keys.witness_key);
    (taken, audited)
}

fn grant(keys: &Keys, device: &SoftwareSigner) -> Grant {
    let content = GrantContent {
        chain: ChainId(uuid::Uuid::from_u128(1)),
        iat: NOW.seconds(),
        jwk: device.public_key().to_jwk(),
        prev: None,
        terminal: TerminalId(uuid::Uuid::from_u128(2)),
        institution: None,
        department: None,
        region: None,
        suite: None,
        log: None,
        witness: Some(keys.witness_key.to_string()),
        authority: None,
    };
    Grant::seal(&content, &keys.authority).unwrap()
}

#[derive(Debug)]
struct Kept {
    row: ChainRow,
    events: Vec<KeptEvent>,
    receipts: Vec<(u64, String)>,
}

/// One chain in memory.
struct MemoryStore {
    /// Compares before it sets.
    careful: bool,
    keys: Keys,
    chain: ChainId,
    /// Comes between the look and the step of whoever is first.
    rival: Mutex<Option<UploadRequest>>,
    state: Mutex<Kept>,
}

impl MemoryStore {
    fn state(&self) -> MutexGuard<'_, Kept> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl Store for MemoryStore {
    fn chain(&self, _: ChainId) -> Result<Option<ChainRow>, StoreError> {
        let row = self.state().row.clone();
        Ok(Some(row))
    }

    fn advance(&self, step: &Advance<'_>) -> Result<bool, StoreError> {
        let rival = self.rival.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(rival) = rival {
            let taken = take(self, &self.keys, self.chain, &rival, NOW);
            assert!(matches!(taken, Ok(Taken::Receipt(_))), "the rival is taken");
        }
        let mut state = self.state();
        let Kept { row, events, receipts } = &mut *state;
        if self.careful && row.frontier.size() != step.before {
            return Ok(false);
        }
        (row.frontier, row.last_leaf, row.life) = (step.frontier.clone(), step.last_leaf, step.life.clone());
        events.extend(step.events.iter().zip(step.before..).map(|(event, sequence)| KeptEvent {
            sequence,
            leaf: event.leaf,
            body: event.body.to_owned(),
            quarantine: None,
        }));
        receipts.push((step.after(), step.receipt.to_owned()));
        Ok(true)
    }

    fn events(&self, _: ChainId, range: Range<u64>) -> Result<Vec<KeptEvent>, StoreError> {
        let state = self.state();
        let mut found: Vec<_> = state.events.iter().filter(|event| range.contains(&event.sequence)).collect();
        found.sort_by_key(|event| event.sequence);
        let copy = |event: &&KeptEvent| KeptEvent {
            sequence: event.sequence,
            leaf: event.leaf,
            body: event.body.clone(),
            quarantine: None,
        };
        Ok(found.iter().map(copy).collect())
    }

    fn receipt(&self, _: ChainId, size: u64) -> Result<Option<String>, StoreError> {
        let state = self.state();
        Ok(state.receipts.iter().find(|(at, _)| *at == size).map(|(_, note)| note.clone()))
    }

    fn newest_receipt(&self, _: ChainId) -> Result<Option<String>, StoreError> {
        let state = self.state();
        Ok(state.receipts.iter().max_by_key(|(at, _)| *at).map(|(_, note)| note.clone()))
    }

    fn terminals(&self, after: Option<ChainId>, _: usize) -> Result<Vec<TerminalRow>, StoreError> {
        let row = TerminalRow {
            terminal: TerminalId(uuid::Uuid::nil()),
            chain: self.chain,
            institution: String::new(),
            department: String::new(),
            size: self.state().row.frontier.size(),
            agent: None,
            last_seen: None,
            running: true,
            quarantined: 0,
            alarms: 0,
            gaps: 0,
            last_gap: None,
            documents: BTreeMap::new(),
        };
        Ok(if after.is_none() { vec![row] } else { Vec::new() })
    }

    fn claim(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
    fn seen(&self, _: ChainId, _: WallTime) -> Result<(), StoreError> {
        Ok(())
    }
    fn granted(&self, _: TerminalId) -> Result<Vec<Granted>, StoreError> {
        Ok(Vec::new())
    }
    fn add_alarm(&self, _: &Alarm, _: WallTime) -> Result<(), StoreError> {
        Ok(())
    }
    fn alarms(&self) -> Result<Vec<Alarm>, StoreError> {
        Ok(Vec::new())
    }
    fn add_code(&self, _: &NewCode<'_>) -> Result<(), StoreError> {
        Ok(())
    }
    fn code(&self, _: &[u8; 32]) -> Result<Option<CodeRow>, StoreError> {
        Ok(None)
    }
    fn use_code(&self, _: &UsedCode<'_>) -> Result<bool, StoreError> {
        Ok(false)
    }
    fn newest_document(&self, _: &str) -> Result<Option<Document>, StoreError> {
        Ok(None)
    }
    fn add_document(&self, _: &str, _: &Document) -> Result<bool, StoreError> {
        Ok(false)
    }
    fn add_acknowledgement(&self, _: ChainId, _: &Acknowledgement) -> Result<(), StoreError> {
        Ok(())
    }
    fn gaps(&self, _: ChainId) -> Result<Vec<Gap>, StoreError> {
        Ok(Vec::new())
    }
    fn counts(&self) -> Result<Counts, StoreError> {
        Ok(Counts::default())
    }
}
