//! The golden vector in both directions: rebuilt byte for byte from its seeds, and verified as found;
//! then each way of tampering with it, and the name of the fault that a verifier gives.
//! Never needs anything outside this folder.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use serde_json::{Value, json};
use zhenyin_core::chain::{Chain, Head, SealedEvent};
use zhenyin_core::documents::{Grant, GrantContent};
use zhenyin_core::event::lifecycle::{LogGenesis, LogReceipt};
use zhenyin_core::event::{Draft, EventData};
use zhenyin_core::ids::{BootId, ChainId, SubjectToken, TerminalId};
use zhenyin_core::merkle::{
    CompactRange, Hash, consistency_proof, inclusion_proof, leaf_hash, verify_consistency, verify_inclusion,
};
use zhenyin_core::note::{Checkpoint, KeyRole, Note, VerifierKey};
use zhenyin_core::rotation::ChainKeys;
use zhenyin_core::signer::{Seed, Signer as _, SoftwareSigner};
use zhenyin_core::time::{Boottime, ClockTrust, Now, WallTime};
use zhenyin_core::verify::{Fault, Summary, Verifier};

const CHAIN: &str = include_str!("golden/chain.jws");
const RECEIPT_3: &str = include_str!("golden/r3.note");
const CHECKPOINT_3: &str = include_str!("golden/cp3.note");
const CHECKPOINT_4: &str = include_str!("golden/cp4.note");

const LEAVES: [&str; 4] = [
    "c4021aba526198925111a2b22ead3d6f1d676757904fe64722a7f4d4f719843c",
    "f1baf1ad2418b403d95273e825a2d8cb30b83ca63e41f4aa645b0c430a5ab3cf",
    "9260ac46ba0d94a434b6badc4155ae1d1cd93a99cbf3daeff0abdea86b609294",
    "64ad9a11a2200e885777a14e3d4a09e6387f2c62240d547f4bf39f03cd97f6e4",
];
const ROOTS: [&str; 5] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "c4021aba526198925111a2b22ead3d6f1d676757904fe64722a7f4d4f719843c",
    "677096110287610b8e6368cf0374e1a827fca7c0a8962fff8094504ca7aa4ae6",
    "76374d62f0d472d7164a5951a6f55ab17c6c20b94b2cf796ebc2bee5c3816978",
    "d4ede65775cfff65cb1742e579362a12dbe97900a3ae8b460322b179ded68fe0",
];
const INCLUSION_1_IN_4: [&str; 2] =
    [LEAVES[0], "13598d12ae68bc272162d0421119c91460229e32001a712413968b0c765fcb05"];
const CONSISTENCY_3_4: [&str; 3] = [LEAVES[2], LEAVES[3], ROOTS[2]];

fn signer(first: u8) -> SoftwareSigner {
    SoftwareSigner::from_seed(&Seed::take(&mut std::array::from_fn(|i| first + i as u8)))
}

fn device() -> SoftwareSigner {
    signer(0x00)
}

fn authority() -> SoftwareSigner {
    signer(0x20)
}

fn witness_signer() -> SoftwareSigner {
    signer(0x40)
}

fn witness() -> VerifierKey {
    VerifierKey::new("witness.example/upstream", KeyRole::Witness, witness_signer().public_key()).unwrap()
}

fn lines() -> Vec<&'static str> {
    CHAIN.lines().collect()
}

fn golden_grant() -> Grant {
    Grant::open(lines()[0], authority().public_key()).unwrap()
}

fn note(text: &str) -> Note {
    Note::parse(text).unwrap()
}

fn hash(hex: &str) -> Hash {
    let bytes = (0..32).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap());
    Hash::from_slice(&bytes.collect::<Vec<_>>()).unwrap()
}

fn hashes(hex: &[&str]) -> Vec<Hash> {
    hex.iter().map(|h| hash(h)).collect()
}

/// Seals an event at a moment given as wall time and boot time in milliseconds.
fn seal(chain: &mut Chain, draft: Draft, time: &str, boottime_ms: u64) -> SealedEvent {
    let now = Now {
        wall: WallTime::parse_rfc3339(time).unwrap(),
        boottime: Boottime(Duration::from_millis(boottime_ms)),
        trust: ClockTrust::Synced,
    };
    let boot = BootId("7d9f0c1a-2b3c-4d5e-8f60-718293a4b5c6".parse().unwrap());
    chain.seal_draft(draft, now, &boot, &device()).unwrap()
}

fn person(kind: &str, subject: &str, data: Value) -> Draft {
    Draft { kind: kind.into(), subject: SubjectToken::parse(subject), data }
}

fn of(event: &impl EventData) -> Draft {
    Draft::of(event).unwrap()
}

#[test]
fn grant_and_keys_are_rebuilt() {
    let content = GrantContent {
        chain: ChainId("0196a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b".parse().unwrap()),
        iat: 1_777_593_600,
        jwk: device().public_key().to_jwk(),
        prev: None,
        terminal: TerminalId("3f2504e0-4f89-41d3-9a0c-0305e82c3301".parse().unwrap()),
        institution: None,
        department: None,
        region: None,
        suite: None,
        log: None,
        witness: None,
        authority: None,
    };
    let grant = Grant::seal(&content, &authority()).unwrap();
    assert_eq!(grant.token(), lines()[0]);
    assert_eq!(grant, golden_grant());
    assert_eq!(grant.leaf().to_string(), "e6267ee5f0944e829fe9ce74356eb9d173150dd3331cbcf7aac7f452a5b5fe38");
    assert_eq!(
        grant.log_key().to_string(),
        "terminals.example/3f2504e0-4f89-41d3-9a0c-0305e82c3301/0196a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b\
         +5b032f4e+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
    );
    assert_eq!(
        witness().to_string(),
        "witness.example/upstream+0517c455+BCVDuS/xCVURR2rcg2nbbdyTNmWhGXjdoUBO4QZsqVWd"
    );
}

#[test]
fn events_checkpoints_and_receipt_are_rebuilt() {
    let mut chain = Chain::begin(golden_grant());
    let check = |sealed: SealedEvent, place: usize| {
        assert_eq!(sealed.jws, lines()[place + 1], "event {place}");
        assert_eq!(sealed.leaf.to_string(), LEAVES[place]);
        assert_eq!(sealed.frontier.root().to_string(), ROOTS[place + 1]);
    };
    let genesis = of(&LogGenesis { agent: "0.1.0".into(), grant: lines()[0].into() });
    check(seal(&mut chain, genesis, "2026-05-01T00:00:05.000Z", 61_000), 0);
    let login = person(
        "operator.login.v1",
        "op:a7c1KgJ_dLeSE9yaGjm6zn",
        json!({"method": "face+card", "decision": "accept", "liveness": "pass", "scorebucket": 9,
            "model": "sha256:1f3a9c0e"}),
    );
    check(seal(&mut chain, login, "2026-05-01T00:01:00.250Z", 116_250), 1);
    let visit = person(
        "patient.checkin.v1",
        "pt:PFdWuELkqQ8jdnv80XtH3e",
        json!({"method": "face+card", "decision": "reject", "reason": "face-mismatch", "card": "read-ok",
            "liveness": "pass", "scorebucket": 2, "model": "sha256:1f3a9c0e"}),
    );
    check(seal(&mut chain, visit, "2026-05-01T00:03:12.004Z", 248_004), 2);

    let mut receipt = chain.checkpoint(chain.head(), &device()).unwrap();
    assert_eq!(receipt.to_string(), CHECKPOINT_3);
    let at = note(RECEIPT_3).verify_witness(&witness()).unwrap();
    receipt.cosign(&witness(), at, &witness_signer()).unwrap();
    assert_eq!(receipt.to_string(), RECEIPT_3);

    let received = of(&LogReceipt { receipt: receipt.to_string() });
    check(seal(&mut chain, received, "2026-05-01T00:03:20.100Z", 256_100), 3);
    assert_eq!(chain.checkpoint(chain.head(), &device()).unwrap().to_string(), CHECKPOINT_4);
}

#[test]
fn proofs_are_those_of_the_vector() {
    let leaves = hashes(&LEAVES);
    assert_eq!(inclusion_proof(&leaves, 1).unwrap(), hashes(&INCLUSION_1_IN_4));
    assert_eq!(consistency_proof(&leaves, 3).unwrap(), hashes(&CONSISTENCY_3_4));
    verify_inclusion(leaves[1], 1, 4, &hashes(&INCLUSION_1_IN_4), &hash(ROOTS[4])).unwrap();
    verify_consistency(3, &hash(ROOTS[3]), 4, &hash(ROOTS[4]), &hashes(&CONSISTENCY_3_4)).unwrap();
}

fn verify(events: &[&str], notes: &[Note]) -> Result<Summary, Fault> {
    let mut verifier = Verifier::new(golden_grant(), Some(witness()), notes.to_vec());
    events.iter().try_for_each(|event| verifier.event(event).map(drop))?;
    verifier.finish()
}

#[test]
fn the_vector_verifies_as_found() {
    let notes = [note(CHECKPOINT_3), note(CHECKPOINT_4), note(RECEIPT_3)];
    let summary = verify(&lines()[1..], &notes).unwrap();
    assert_eq!(summary.root, hash(ROOTS[4]));
    assert_eq!((summary.events, summary.checkpoints, summary.receipts, summary.receipted), (4, 3, 1, 3));
    assert_eq!(summary.receipted_at.unwrap().rfc3339(), "2026-05-01T00:03:20.000Z");
}

#[test]
fn every_way_of_tampering_has_its_name() {
    let golden = lines();
    let [e0, e1, e2, e3] = golden[1..] else { panic!("four events") };
    let check = |events: &[&str], notes: &[Note], want: &str| match verify(events, notes) {
        Ok(_) => assert_eq!(want, "", "undetected"),
        Err(fault) => assert_eq!(fault.to_string(), want),
    };
    let (r3, cp4) = (note(RECEIPT_3), note(CHECKPOINT_4));
    let spoilt = e1.replacen(".eyJib290aWQi", ".eyJib290aWQj", 1);
    check(&[e0, &spoilt, e2, e3], &[], "event 1: signature");
    check(&[e0, e2, e3], &[], "event 1: sequence 2");
    check(&[e0, e2, e1, e3], &[], "event 1: sequence 2");
    check(&[e0, e1, e1, e2], &[], "event 2: sequence 1");
    check(&[e0, e1, e2], std::slice::from_ref(&cp4), "checkpoint size 4 > 3: truncated");
    check(&[e0, e1, e2], &[], "");
    check(&[e0, e1], std::slice::from_ref(&r3), "receipt size 3 > 2: truncated");

    // The key's holder writes another event 2: the chain is whole in itself, the receipt is not its.
    let mut chain = Chain::begin(golden_grant());
    let mut forged = Vec::new();
    for event in [e0, e1] {
        let mut state = chain.state().clone();
        state.last_leaf = leaf_hash(event.as_bytes());
        state.frontier.append(state.last_leaf);
        chain = Chain::resume(golden_grant(), ChainKeys::granted(device().public_key()), state);
        forged.push(event.to_owned());
    }
    let draft = person("patient.checkin.v1", "pt:PFdWuELkqQ8jdnv80XtH3e", json!({"decision": "accept"}));
    let mut elsewhere = chain.clone();
    forged.push(seal(&mut chain, draft.clone(), "2026-05-01T00:03:12.004Z", 248_004).jws);
    let forged: Vec<&str> = forged.iter().map(String::as_str).collect();
    check(&forged, &[], "");
    check(&forged, &[r3], "receipt root mismatch at size 3: rewritten history");

    // An event with the right number after another past.
    let mut state = elsewhere.state().clone();
    state.last_leaf = leaf_hash(b"another event 1");
    elsewhere.roll_back(state);
    let unlinked = seal(&mut elsewhere, draft, "2026-05-01T00:03:12.004Z", 248_004).jws;
    check(&[e0, e1, &unlinked], &[], "event 2: prevhash");
}

#[test]
fn foreign_grants_and_notes_are_named() {
    assert!(Grant::open(lines()[0], device().public_key()).is_err());
    let head = Head { size: 3, root: hash(ROOTS[3]) };
    let checkpoint = |origin: &str, root| Checkpoint { origin: origin.into(), size: head.size, root };
    let foreign = Note::sign(checkpoint("other.example/1/2", head.root), &device()).unwrap();
    let origin = golden_grant().origin();
    let by_another = Note::sign(checkpoint(&origin, head.root), &authority()).unwrap();
    for bad in [foreign, by_another] {
        let fault = verify(&lines()[1..], &[bad]).unwrap_err();
        assert_eq!(fault.to_string(), "checkpoint of size 3 cannot be believed");
    }
    let rewritten = Note::sign(checkpoint(&origin, CompactRange::new().root()), &device()).unwrap();
    let fault = verify(&lines()[1..], &[rewritten]).unwrap_err();
    assert_eq!(fault.to_string(), "checkpoint root mismatch at size 3: rewritten history");
}
