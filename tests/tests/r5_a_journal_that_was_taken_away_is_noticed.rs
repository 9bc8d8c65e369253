//! R5: somebody takes the whole journal away while the agent is off. The next start says so and begins nothing; the
//! chain that follows hangs from the head that the upstream has, and begins with the alarm.
//! Never an empty journal without a word: the control shows that without the mark beside the keys it would be one.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::net::TcpListener;
use std::path::Path;

use zhenyin::journal::JournalReader;
use zhenyin::keystore::KeyStore;
use zhenyin::terminal_enrolment::TerminalEnrolment;
use zhenyin_core::api::Status;
use zhenyin_core::event::Envelope;
use zhenyin_core::ids::ChainId;
use zhenyin_core::jws::payload_unverified;
use zhenyin_tests::world::World;

/// A terminal with receipts, stopped, whose journal is gone.
fn taken_away(folder: &Path) -> (World, Status) {
    let mut world = World::build(folder, None).unwrap();
    let all = |status: &Status| status.events > 1 && status.receipted == status.events;
    world.until("all receipts", all).unwrap();
    world.stop_agent();
    world.start_agent().expect("an ordinary start is no alarm");
    let seen = world.until("all receipts", all).unwrap();
    world.stop_agent();
    std::fs::remove_dir_all(world.config.state.join("journal")).unwrap();
    (world, seen)
}

/// What may come between the loss and the first start of the new chain that goes well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    Nothing,
    /// The first start ends when the chain has begun and has no event yet.
    StartThatFails,
    /// Enrolled once more, so that the enrolment replaces a chain which nothing was ever written of.
    Enrolment,
}

#[test]
fn r5_a_journal_that_was_taken_away_is_noticed() {
    for between in [Between::Nothing, Between::StartThatFails, Between::Enrolment] {
        check(between);
    }
}

fn check(between: Between) {
    let folder = tempfile::tempdir().unwrap();
    let (mut world, seen) = taken_away(folder.path());
    for _ in 0..2 {
        let error = format!("{:#}", world.start_agent().unwrap_err());
        assert!(error.contains("is gone") && error.contains("enrol --again"), "{error}");
    }
    // The terminal has no receipt left; the upstream knows where the old chain ended.
    world.enrol_again().unwrap();
    match between {
        Between::Nothing => {}
        Between::StartThatFails => start_in_vain(&mut world),
        Between::Enrolment => world.enrol_again().unwrap(),
    }
    world.start_agent().unwrap();
    let status = world.until("the new chain's receipts", |status| status.receipted > 1).unwrap();
    assert_ne!(status.chain, seen.chain);
    world.stop_agent();

    let state = &world.config.state;
    let prev = TerminalEnrolment::load(state).unwrap().grant.content().prev.clone();
    assert!(prev.is_some_and(|prev| prev.chain == seen.chain && prev.size >= seen.receipted));
    let lost = alarms(state);
    assert!(matches!(&lost[..], [(1, chain)] if *chain == seen.chain.to_string()), "{between:?}: {lost:?}");

    // What is begun now is remembered in its turn, and a start without a loss is no alarm.
    world.start_agent().unwrap();
    world.stop_agent();
    assert_eq!(alarms(&world.config.state).len(), 1, "{between:?}");
    std::fs::remove_dir_all(world.config.state.join("journal")).unwrap();
    assert!(world.start_agent().is_err());
}

/// Somebody else has the port.
fn start_in_vain(world: &mut World) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = std::mem::replace(&mut world.config.listen, taken.local_addr().unwrap());
    world.start_agent().unwrap_err();
    world.config.listen = listen;
    let keys = KeyStore::open(&world.config.state.join("keys")).unwrap();
    let reader = JournalReader::open(&world.config.state.join("journal"), keys.journal_key()).unwrap();
    assert_eq!(reader.counters().unwrap().size, 0, "the chain has begun, and nothing is in it");
}

/// Places of the alarms of the current chain, and the chains that they are about.
fn alarms(state: &Path) -> Vec<(u64, String)> {
    let keys = KeyStore::open(&state.join("keys")).unwrap();
    let reader = JournalReader::open(&state.join("journal"), keys.journal_key()).unwrap();
    let events = reader.events(0..u64::MAX).unwrap().into_iter();
    let envelopes = events.map(|event| Envelope::parse(&payload_unverified(&event.jws?)?).ok());
    envelopes
        .map(Option::unwrap)
        .filter(|event| event.kind == "log.integrity-alarm.v1")
        .map(|event| (event.sequence.0, event.data["chain"].as_str().unwrap().to_owned()))
        .collect()
}

#[test]
fn r5_control_without_the_mark_the_same_chain_begins_again_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let (mut world, seen) = taken_away(folder.path());
    // A mark that speaks of another chain says nothing of this one.
    let mut keys = KeyStore::open(&world.config.state.join("keys")).unwrap();
    keys.set_begun(ChainId(uuid::Uuid::nil())).unwrap();
    world.start_agent().unwrap();
    let status = world.status().unwrap();
    assert_eq!(status.chain, seen.chain);
    assert!(status.events <= seen.events);
    println!("R5 control: {} events were gone without a word at the terminal", seen.events);
}
