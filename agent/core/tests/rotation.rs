//! A chain over rotations of its key: what verifies, and each wrong signer by the name of its fault.
//! Every refusal stands beside the same chain with the right signer, which passes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::json;
use uuid::Uuid;
use zhenyin_core::chain::{Chain, ChainError, Head};
use zhenyin_core::documents::{Grant, GrantContent};
use zhenyin_core::event::lifecycle::KeyRotated;
use zhenyin_core::event::{Draft, Envelope, EventData as _};
use zhenyin_core::ids::{BootId, ChainId, Sequence, TerminalId};
use zhenyin_core::jws::{self, Form};
use zhenyin_core::merkle::{CompactRange, Hash, leaf_hash};
use zhenyin_core::note::{Checkpoint, Note};
use zhenyin_core::rotation::{ChainKeys, hand_over};
use zhenyin_core::signer::{Seed, Signer as _, SoftwareSigner};
use zhenyin_core::time::{Boottime, ClockTrust, Now, WallTime};
use zhenyin_core::verify::Verifier;

const CHAIN: ChainId = ChainId(Uuid::from_u128(7));
const BOOT: BootId = BootId(Uuid::from_u128(9));
const NOW: Now =
    Now { wall: WallTime(0), boottime: Boottime(std::time::Duration::ZERO), trust: ClockTrust::Synced };

fn signer(byte: u8) -> SoftwareSigner {
    SoftwareSigner::from_seed(&Seed::take(&mut [byte; 32]))
}

fn grant() -> Grant {
    let content = GrantContent {
        chain: CHAIN,
        iat: 1,
        jwk: signer(1).public_key().to_jwk(),
        prev: None,
        terminal: TerminalId(Uuid::from_u128(8)),
        institution: None,
        department: None,
        region: None,
        suite: None,
        log: None,
        witness: None,
        authority: None,
    };
    Grant::seal(&content, &signer(2)).unwrap()
}

fn draft(number: u64) -> Draft {
    Draft { kind: "a.b.v1".into(), subject: None, data: json!({ "number": number }) }
}

/// A log whose events and notes are signed by whoever the test says, right or wrong.
struct Log {
    sealed: Vec<String>,
    notes: Vec<Note>,
    frontier: CompactRange,
    last: Hash,
}

impl Log {
    fn new() -> Self {
        let last = grant().leaf();
        Self { sealed: Vec::new(), notes: Vec::new(), frontier: CompactRange::new(), last }
    }

    fn place(&self) -> Sequence {
        Sequence(self.sealed.len() as u64)
    }

    fn append(mut self, draft: Draft, by: u8) -> Self {
        let envelope = Envelope {
            kind: draft.kind,
            subject: None,
            data: draft.data,
            terminal: grant().terminal(),
            chain: CHAIN,
            sequence: self.place(),
            prev: self.last,
            boot: BOOT,
            boottime: NOW.boottime,
            clock: NOW.trust,
            time: NOW.wall,
        };
        let sealed = jws::seal(Form::EVENT, &envelope.to_payload().unwrap(), &signer(by)).unwrap();
        self.last = leaf_hash(sealed.as_bytes());
        self.frontier.append(self.last);
        self.sealed.push(sealed);
        self
    }

    fn events(self, count: u64, by: u8) -> Self {
        (0..count).fold(self, |log, number| log.append(draft(number), by))
    }

    fn rotate(self, to: u8, by: u8) -> Self {
        let event = hand_over(CHAIN, self.place(), &self.last, &signer(to)).unwrap();
        self.append(Draft::of(&event).unwrap(), by)
    }

    /// A checkpoint of everything so far.
    fn note(mut self, by: u8) -> Self {
        let (size, root) = (self.frontier.size(), self.frontier.root());
        self.notes
            .push(Note::sign(Checkpoint { origin: grant().origin(), size, root }, &signer(by)).unwrap());
        self
    }

    fn verify(&self) -> Result<u64, String> {
        let mut verifier = Verifier::new(grant(), None, self.notes.clone());
        for sealed in &self.sealed {
            verifier.event(sealed).map_err(|fault| fault.to_string())?;
        }
        verifier.finish().map(|summary| summary.events).map_err(|fault| fault.to_string())
    }
}

#[test]
fn a_chain_over_rotations_verifies_and_a_key_out_of_its_place_does_not() {
    let check = |wrong: &str, log: Log| {
        let want = if wrong.is_empty() { Ok(log.sealed.len() as u64) } else { Err(wrong.to_owned()) };
        assert_eq!(log.verify(), want);
    };
    let log = || Log::new().events(3, 1);
    check("", log().rotate(3, 1).events(2, 3).rotate(4, 3).rotate(5, 4).events(1, 5));
    check("event 4: signature", log().rotate(3, 1).events(1, 1));
    check("event 3: signature", log().rotate(3, 3).events(1, 3));
    check("event 3: signature", log().events(1, 3));
    check("event 3: signature", log().rotate(3, 9).events(1, 3));
    check("event 5: rotation of the key", log().rotate(3, 1).events(1, 3).rotate(1, 3));

    check("", log().note(1).rotate(3, 1).note(1).events(1, 3).note(3));
    check("checkpoint of size 4 cannot be believed", log().rotate(3, 1).note(3).events(1, 3));
    check("checkpoint of size 5 cannot be believed", log().rotate(3, 1).events(1, 3).note(1));
}

#[test]
fn a_rotation_without_a_good_proof_is_none() {
    let rotation = |place: u64, proof_by: u8, jwk: u8| {
        let log = Log::new().events(2, 1);
        let event = hand_over(CHAIN, Sequence(place), &log.last, &signer(proof_by)).unwrap();
        let event = KeyRotated { jwk: signer(jwk).public_key().to_jwk(), ..event };
        log.append(Draft::of(&event).unwrap(), 1).events(1, jwk).verify()
    };
    assert_eq!(rotation(2, 3, 3), Ok(4));
    let refused = Err("event 2: rotation of the key".to_owned());
    assert_eq!(rotation(1, 3, 3), refused, "proof for another place");
    assert_eq!(rotation(2, 4, 3), refused, "proof by another key");
    for data in [json!({}), json!({ "jwk": signer(3).public_key().to_jwk(), "proof": "x" })] {
        let log = Log::new().append(Draft { kind: KeyRotated::TYPE.into(), subject: None, data }, 1);
        assert_eq!(log.verify(), Err("event 0: rotation of the key".to_owned()));
    }
}

#[test]
fn the_chain_itself_signs_with_nothing_but_the_key_of_the_place() {
    let mut chain = Chain::begin(grant());
    chain.seal_draft(draft(0), NOW, &BOOT, &signer(1)).unwrap();
    let before = chain.state().clone();
    assert!(matches!(chain.rotate(&signer(3), NOW, &BOOT, &signer(3)), Err(ChainError::ForeignSigner)));
    assert!(matches!(chain.rotate(&signer(1), NOW, &BOOT, &signer(1)), Err(ChainError::Rotation(_))));
    assert_eq!(chain.state(), &before, "nothing has changed");
    chain.rotate(&signer(3), NOW, &BOOT, &signer(1)).unwrap();
    assert!(matches!(chain.seal_draft(draft(2), NOW, &BOOT, &signer(1)), Err(ChainError::ForeignSigner)));
    chain.seal_draft(draft(2), NOW, &BOOT, &signer(3)).unwrap();
    assert_eq!((chain.head().size, chain.keys().newest()), (3, signer(3).public_key()));

    // A commit that failed takes the rotation back with it; one that did not fail leaves it.
    let resumed = ChainKeys::restore(grant().device_key(), &chain.keys().handovers()).unwrap();
    let after = chain.state().clone();
    chain.roll_back(before.clone());
    assert!(matches!(chain.seal_draft(draft(1), NOW, &BOOT, &signer(3)), Err(ChainError::ForeignSigner)));
    chain.seal_draft(draft(1), NOW, &BOOT, &signer(1)).unwrap();
    let mut chain = Chain::resume(grant(), resumed, after.clone());
    chain.roll_back(after);
    chain.seal_draft(draft(3), NOW, &BOOT, &signer(3)).unwrap();
}

#[test]
fn each_size_has_one_key_for_its_checkpoint() {
    let mut chain = Chain::begin(grant());
    chain.seal_draft(draft(0), NOW, &BOOT, &signer(1)).unwrap();
    chain.rotate(&signer(3), NOW, &BOOT, &signer(1)).unwrap();
    let keys = chain.keys();
    let of = |size| if keys.of_checkpoint(size) == signer(1).public_key() { 1 } else { 3 };
    assert_eq!([0, 1, 2, 3, 1 << 52].map(of), [1, 1, 1, 3, 3]);
    assert_eq!(keys.handed_over_at(signer(3).public_key()), Some(Sequence(1)));
    assert_eq!((keys.handed_over_at(signer(1).public_key()), keys.all().count()), (None, 2));
    let head = Head { size: 2, root: chain.head().root };
    let note = chain.checkpoint(head, &signer(1)).unwrap();
    assert!(note.verify_log(&grant().log_key_of(keys.of_checkpoint(2))).is_ok());
    let twice = [keys.handovers(), keys.handovers()].concat();
    assert!(ChainKeys::restore(grant().device_key(), &twice).is_err());
}
