//! The outbox against an upstream in memory that follows the protocol, fails, lies and forgets.
//! Never a network: answers are made by hand.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::chain::Chain;
use crate::documents::{Grant, GrantContent};
use crate::event::Draft;
use crate::ids::{BootId, ChainId, TerminalId};
use crate::note::KeyRole;
use crate::signer::{Seed, Signer as _, SoftwareSigner};
use crate::time::{ClockTrust, Now, WallTime};

const WITNESS: &str = "witness.example/test";

fn signer(byte: u8) -> SoftwareSigner {
    SoftwareSigner::from_seed(&Seed::take(&mut [byte; 32]))
}

fn witness() -> VerifierKey {
    VerifierKey::new(WITNESS, KeyRole::Witness, signer(2).public_key()).unwrap()
}

fn seconds(n: u64) -> Boottime {
    Boottime(Duration::from_secs(n))
}

fn chain() -> Chain {
    let content = GrantContent {
        chain: ChainId(Uuid::from_u128(1)),
        iat: 0,
        jwk: signer(1).public_key().to_jwk(),
        prev: None,
        terminal: TerminalId(Uuid::from_u128(2)),
        institution: None,
        department: None,
        region: None,
        suite: None,
        log: None,
        witness: None,
        authority: None,
    };
    Chain::begin(Grant::seal(&content, &signer(3)).unwrap())
}

/// Journal and upstream around one outbox.
struct World {
    chain: Chain,
    events: Vec<StoredEvent>,
    outbox: Outbox,
    upstream: Vec<Hash>,
    now: u64,
}

impl World {
    fn new(events: usize) -> Self {
        let chain = chain();
        let outbox = Outbox::resume(chain.origin(), witness(), 0, CompactRange::new());
        let mut world = Self { chain, events: Vec::new(), outbox, upstream: Vec::new(), now: 10_000 };
        world.append("a.b.v1", events);
        world
    }

    fn append(&mut self, kind: &str, count: usize) {
        for _ in 0..count {
            let draft = Draft { kind: kind.into(), subject: None, data: json!({}) };
            let now = Now { wall: WallTime(0), boottime: seconds(self.now), trust: ClockTrust::Synced };
            let boot = BootId(Uuid::from_u128(3));
            let sealed = self.chain.seal_draft(draft, now, &boot, &signer(1)).unwrap();
            self.events.push(StoredEvent { jws: sealed.jws, leaf: sealed.leaf });
        }
        self.outbox.handle_durable(self.events.len() as u64, seconds(self.now));
    }

    /// Plays the journal until there is a request; `None` when there is nothing to send.
    fn request(&mut self) -> Option<UploadRequest> {
        loop {
            if let Some(when) = self.outbox.next_timeout() {
                self.now = self.now.max(when.0.as_secs() + 1);
            }
            let now = seconds(self.now);
            match self.outbox.poll(now)? {
                OutboxAction::LoadFrontier { size } => {
                    let leaves = self.events.iter().take(size as usize).map(|event| event.leaf);
                    self.outbox.handle_frontier(CompactRange::of(leaves), now).unwrap();
                }
                OutboxAction::LoadBatch { first, max } => {
                    let events = self.events.iter().skip(first as usize).take(max).cloned().collect();
                    self.outbox
                        .handle_batch(first, events, now, |head| Note::sign(head, &signer(1)))
                        .unwrap();
                }
                OutboxAction::Post(request) => {
                    assert!(self.outbox.poll(now).is_none(), "one request in flight");
                    return Some(request);
                }
            }
        }
    }

    fn answer(&mut self, answer: UpstreamAnswer) -> Option<OutboxNotice> {
        self.outbox.handle_answer(answer, seconds(self.now), 7)
    }

    /// What an honest upstream says.
    fn honest(&mut self, request: &UploadRequest) -> UpstreamAnswer {
        let (first, size) = (request.first as usize, self.upstream.len());
        let leaves: Vec<_> = request.events.iter().map(|e| leaf_hash(e.as_bytes())).collect();
        let known = size.saturating_sub(first).min(leaves.len());
        let end = first + leaves.len();
        if first > size || end < size || leaves[..known] != self.upstream[first..first + known] {
            return UpstreamAnswer::Conflict { size: size as u64 };
        }
        self.upstream.extend(&leaves[known..]);
        UpstreamAnswer::Accepted(receipt(&request.checkpoint, 2))
    }

    fn exchange(&mut self) -> Option<OutboxNotice> {
        let request = self.request()?;
        let answer = self.honest(&request);
        self.answer(answer)
    }

    fn drain(&mut self) {
        for _ in 0..100 {
            let Some(request) = self.request() else { return };
            let answer = self.honest(&request);
            self.answer(answer);
        }
        panic!("does not come to rest");
    }
}

fn receipt(checkpoint: &str, by: u8) -> UploadReceipt {
    let mut note = Note::parse(checkpoint).unwrap();
    let key = VerifierKey::new(WITNESS, KeyRole::Witness, signer(by).public_key()).unwrap();
    note.cosign(&key, WallTime(5000), &signer(by)).unwrap();
    UploadReceipt {
        size: note.checkpoint().size,
        receipt: note.to_string(),
        quarantined: [("1".into(), crate::wire::Quarantine { err: "schema_unknown".into() })].into(),
        time: String::new(),
        next_ms: 0,
    }
}

#[test]
fn a_verified_receipt_acknowledges_and_a_long_backlog_goes_in_batches() {
    let mut world = World::new(250);
    let request = world.request().unwrap();
    assert_eq!((request.first, request.events.len(), request.old), (0, 100, 0));
    let answer = world.honest(&request);
    let Some(OutboxNotice::Acknowledged(done)) = world.answer(answer) else { panic!("acknowledged") };
    assert_eq!((done.size(), done.witnessed_at, done.quiet), (100, WallTime(5000), false));
    assert_eq!(done.quarantined, [(Sequence(1), "schema_unknown".into())]);
    assert_eq!(done.frontier, CompactRange::of(world.events[..100].iter().map(|e| e.leaf)));
    world.drain();
    assert_eq!((world.outbox.acknowledged(), world.upstream.len()), (250, 250));
    assert_eq!(world.outbox.next_timeout(), None);
}

#[test]
fn a_new_event_leaves_within_a_second() {
    let mut world = World::new(1);
    assert_eq!(world.outbox.poll(seconds(world.now)), None, "waits for company");
    assert!(world.outbox.next_timeout().unwrap() <= seconds(world.now + 1));
}

#[test]
fn receipts_that_do_not_hold_acknowledge_nothing() {
    let check = |spoil: fn(&World, UploadReceipt) -> UploadReceipt, want: &str| {
        let mut world = World::new(5);
        let request = world.request().unwrap();
        let good = receipt(&request.checkpoint, 2);
        let bad = spoil(&world, good);
        let Some(OutboxNotice::Alarm(OutboxAlarm::FalseReceipt(error))) =
            world.answer(UpstreamAnswer::Accepted(bad))
        else {
            panic!("{want}: no alarm");
        };
        assert!(format!("{error:?}").contains(want), "{want}: {error:?}");
        assert_eq!(world.outbox.acknowledged(), 0);
        world.drain();
        assert_eq!(world.outbox.acknowledged(), 5, "goes on by itself");
    };
    /// A receipt under the right witness key for any head.
    fn other(origin: &str, size: u64, root: Hash) -> UploadReceipt {
        let origin = origin.to_owned();
        let note = Note::sign(Checkpoint { origin, size, root }, &signer(1)).unwrap();
        receipt(&note.to_string(), 2)
    }
    check(|_, r| UploadReceipt { receipt: "200 OK".into(), ..r }, "Form");
    check(|w, _| receipt(&w.chain.checkpoint(w.chain.head(), &signer(1)).unwrap().to_string(), 9), "Missing");
    check(|w, r| UploadReceipt { size: w.chain.head().size, ..r.clone() }.flip(), "Signature");
    check(|w, _| other("another.log/1/2", 5, w.chain.head().root), "Origin");
    check(|w, _| other(&w.chain.origin(), 5, leaf_hash(b"x")), "Root");
    check(|w, _| UploadReceipt { size: 5, ..other(&w.chain.origin(), 4, w.chain.head().root) }, "Size");
    check(|w, _| other(&w.chain.origin(), 6, w.chain.head().root), "Size");
    check(|w, _| other(&w.chain.origin(), 0, CompactRange::new().root()), "Size");
}

impl UploadReceipt {
    /// Spoils the witness's signature.
    fn flip(mut self) -> Self {
        let at = self.receipt.len() - 10;
        let other = if self.receipt.as_bytes()[at] == b'A' { "B" } else { "A" };
        self.receipt.replace_range(at..=at, other);
        self
    }
}

#[test]
fn a_receipt_for_a_part_of_the_batch_counts_for_that_part() {
    let mut world = World::new(5);
    let request = world.request().unwrap();
    world.upstream = world.events[..3].iter().map(|e| e.leaf).collect();
    let root = CompactRange::of(world.upstream.iter().copied()).root();
    let part = world.chain.checkpoint(Head { size: 3, root }, &signer(1)).unwrap();
    assert_eq!(request.events.len(), 5);
    world.answer(UpstreamAnswer::Accepted(receipt(&part.to_string(), 2)));
    assert_eq!(world.outbox.acknowledged(), 3);
    assert_eq!(world.request().unwrap().first, 3);
}

#[test]
fn an_upstream_that_is_further_gives_the_receipt_that_was_lost() {
    // The answer to all five was lost and the journal was restarted with nothing acknowledged.
    let mut world = World::new(5);
    world.upstream = world.events.iter().map(|e| e.leaf).collect();
    world.request().unwrap();
    assert!(world.answer(UpstreamAnswer::Conflict { size: 5 }).is_none());
    let request = world.request().unwrap();
    assert_eq!((request.first, request.events.len()), (5, 0), "only the checkpoint");
    let answer = world.honest(&request);
    assert!(matches!(world.answer(answer), Some(OutboxNotice::Acknowledged(a)) if a.size() == 5));
}

#[test]
fn an_upstream_that_lost_data_gets_it_again_and_people_hear_of_it() {
    let mut world = World::new(120);
    world.drain();
    world.upstream.truncate(7);
    world.append("a.b.v1", 3);
    let alarm = world.exchange();
    assert!(matches!(
        alarm,
        Some(OutboxNotice::Alarm(OutboxAlarm::UpstreamLost { upstream: 7, acknowledged: 120 }))
    ));
    assert_eq!(world.request().unwrap().first, 7);
    assert_eq!(world.outbox.acknowledged(), 120, "what was receipted stays receipted");
    world.answer(UpstreamAnswer::Unreachable("cut".into()));
    world.drain();
    assert_eq!((world.outbox.acknowledged(), world.upstream.len()), (123, 123));
}

/// It lost data, got it again, and the answer was lost. Then the bodies reach the end of their retention.
#[test]
fn erased_events_that_are_wanted_again_do_not_stop_what_comes_after_them() {
    let mut world = World::new(20);
    world.drain();
    let all = world.upstream.clone();
    world.upstream.truncate(7);
    world.append("a.b.v1", 1);
    world.exchange();
    let now = seconds(world.now + 1);
    assert_eq!(world.outbox.poll(now), Some(OutboxAction::LoadFrontier { size: 7 }));
    world.outbox.handle_frontier(CompactRange::of(all[..7].iter().copied()), now).unwrap();
    assert!(matches!(world.outbox.poll(now), Some(OutboxAction::LoadBatch { first: 7, .. })));
    let erased = world.outbox.handle_batch(7, Vec::new(), now, |head| Note::sign(head, &signer(1)));
    assert!(matches!(erased, Err(OutboxError::Erased { first: 7 })));
    world.upstream = all;
    assert_eq!(world.request().unwrap().first, 20, "it asks from where there once was a receipt");
    world.answer(UpstreamAnswer::Unreachable("cut".into()));
    world.drain();
    assert_eq!((world.outbox.acknowledged(), world.upstream.len()), (21, 21));
}

#[test]
fn an_upstream_that_knows_more_than_the_journal_raises_an_alarm() {
    let mut world = World::new(5);
    world.request().unwrap();
    let alarm = world.answer(UpstreamAnswer::Conflict { size: 9 });
    assert!(matches!(alarm, Some(OutboxNotice::Alarm(OutboxAlarm::UpstreamAhead { upstream: 9, local: 5 }))));
    assert!(world.outbox.next_timeout().unwrap() >= seconds(world.now + 300));
}

#[test]
fn a_refusal_at_the_same_place_raises_an_alarm_and_slows_down() {
    let mut world = World::new(5);
    world.request().unwrap();
    let alarm = world.answer(UpstreamAnswer::Conflict { size: 0 });
    assert!(matches!(alarm, Some(OutboxNotice::Alarm(OutboxAlarm::Refused { size: 0 }))));
    assert!(world.outbox.next_timeout().unwrap() >= seconds(world.now + 300));
}

#[test]
fn too_large_is_split_until_it_fits() {
    let mut world = World::new(100);
    let mut sizes = Vec::new();
    for _ in 0..4 {
        sizes.push(world.request().unwrap().events.len());
        world.answer(UpstreamAnswer::TooLarge);
    }
    assert_eq!(sizes, [100, 50, 25, 12]);
    world.drain();
    assert_eq!(world.outbox.acknowledged(), 100);
}

#[test]
fn a_body_stays_below_its_limit() {
    let mut world = World::new(0);
    let draft = |n: usize| Draft { kind: "a.b.v1".into(), subject: None, data: json!({"x": "y".repeat(n)}) };
    for _ in 0..100 {
        let now = Now { wall: WallTime(0), boottime: seconds(1), trust: ClockTrust::Synced };
        let sealed = world.chain.seal_draft(draft(11_000), now, &BootId(Uuid::nil()), &signer(1)).unwrap();
        world.events.push(StoredEvent { jws: sealed.jws, leaf: sealed.leaf });
    }
    world.append("a.b.v1", 1);
    let request = world.request().unwrap();
    assert!(serde_json::to_vec(&request).unwrap().len() <= BODY_LIMIT && request.events.len() > 60);
    let answer = world.honest(&request);
    world.answer(answer);
    world.drain();
    assert_eq!(world.outbox.acknowledged(), 101);
}

#[test]
fn retry_after_binds_and_failures_spread() {
    let mut world = World::new(1);
    world.request().unwrap();
    world.answer(UpstreamAnswer::RetryAfter(Duration::from_secs(77)));
    assert!(world.outbox.next_timeout().unwrap() >= seconds(world.now + 77));
    assert_eq!(world.outbox.failures(), 1);
    world.drain();
    assert_eq!(world.outbox.failures(), 0);
}

#[test]
fn a_batch_of_receipts_and_heartbeats_is_quiet() {
    let check = |kinds: &[&str], quiet: bool| {
        let mut world = World::new(0);
        kinds.iter().for_each(|kind| world.append(kind, 1));
        assert!(matches!(world.exchange(), Some(OutboxNotice::Acknowledged(a)) if a.quiet == quiet));
    };
    check(&["log.receipt.v1", "log.heartbeat.v1"], true);
    check(&["log.receipt.v1", "visit.verified.v1"], false);
}

#[test]
fn a_damaged_event_stops_the_outbox_by_name() {
    let mut world = World::new(3);
    world.now += 1;
    let now = seconds(world.now);
    assert_eq!(world.outbox.poll(now), Some(OutboxAction::LoadBatch { first: 0, max: 3 }));
    let mut events = world.events.clone();
    events[1].jws.push('x');
    let error = world.outbox.handle_batch(0, events, now, |head| Note::sign(head, &signer(1))).unwrap_err();
    assert_eq!(error.to_string(), "event 1 in the journal is damaged");
    assert_eq!((world.outbox.poll(seconds(1 << 30)), world.outbox.next_timeout()), (None, None));
}

#[derive(Clone, Debug)]
enum Move {
    Append(usize),
    Honest,
    LoseAnswer,
    LoseRequest,
    Lie,
    TooLarge,
    Wait(u64),
    UpstreamForgets(usize),
    Restart,
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        (1_usize..40).prop_map(Move::Append),
        Just(Move::Honest),
        Just(Move::LoseAnswer),
        Just(Move::LoseRequest),
        Just(Move::Lie),
        Just(Move::TooLarge),
        (0_u64..1000).prop_map(Move::Wait),
        (1_usize..100).prop_map(Move::UpstreamForgets),
        Just(Move::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_all_is_sent_once_and_acknowledged_only_when_receipted(moves in prop::collection::vec(moves(), 1..30)) {
        let mut world = World::new(3);
        let mut saved = CompactRange::new();
        let mut receipted = 0;
        for one in moves {
            let before = world.outbox.acknowledged();
            let mut taken = None;
            match one {
                Move::Append(n) => world.append("a.b.v1", n),
                Move::UpstreamForgets(n) => world.upstream.truncate(world.upstream.len().saturating_sub(n)),
                Move::Restart => {
                    world.outbox = Outbox::resume(world.chain.origin(), witness(), world.events.len() as u64, saved.clone());
                }
                Move::Honest | Move::LoseAnswer | Move::LoseRequest | Move::Lie | Move::TooLarge | Move::Wait(_) => {
                    let Some(request) = world.request() else { continue };
                    let answer = match one {
                        Move::Honest => world.honest(&request),
                        Move::LoseAnswer => { world.honest(&request); UpstreamAnswer::Unreachable("cut".into()) }
                        Move::Lie => UpstreamAnswer::Accepted(receipt(&request.checkpoint, 9)),
                        Move::TooLarge => UpstreamAnswer::TooLarge,
                        Move::Wait(s) => UpstreamAnswer::RetryAfter(Duration::from_secs(s)),
                        Move::LoseRequest | Move::Append(_) | Move::UpstreamForgets(_) | Move::Restart => {
                            UpstreamAnswer::Unreachable("cut".into())
                        }
                    };
                    taken = world.answer(answer);
                }
            }
            if let Some(OutboxNotice::Acknowledged(done)) = taken {
                receipted = done.size();
                saved = done.frontier;
            }
            prop_assert_eq!(world.outbox.acknowledged(), receipted);
            prop_assert!(receipted >= before.min(receipted) && receipted <= world.events.len() as u64);
        }
        world.drain();
        let leaves: Vec<_> = world.events.iter().map(|e| e.leaf).collect();
        prop_assert_eq!(world.outbox.acknowledged(), leaves.len() as u64);
        prop_assert!(world.upstream.len() == leaves.len() || receipted == leaves.len() as u64);
        prop_assert!(leaves.starts_with(&world.upstream));
    }
}
