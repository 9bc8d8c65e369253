//! R5: somebody takes the whole journal away while the agent is off. The next start says so and begins nothing; the
//! chain that follows hangs from the head that the upstream has, and begins with the alarm.
//! Never an empty journal without a word: the control shows that without the mark beside the keys it would be one.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

use zhenyin::journal::JournalReader;
use zhenyin::keystore::KeyStore;
use zhenyin::terminal_enrolment::TerminalEnrolment;
use zhenyin_core::api::Status;
use zhenyin_core::event::kind_unverified;
use zhenyin_core::ids::ChainId;
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

#[test]
fn r5_a_journal_that_was_taken_away_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut world, seen) = taken_away(folder.path());
    for _ in 0..2 {
        let error = format!("{:#}", world.start_agent().unwrap_err());
        assert!(error.contains("is gone") && error.contains("enrol --again"), "{error}");
    }
    // The terminal has no receipt left; the upstream knows where the old chain ended.
    world.enrol_again().unwrap();
    world.start_agent().unwrap();
    let status = world.until("the new chain's receipts", |status| status.receipted > 1).unwrap();
    assert_ne!(status.chain, seen.chain);
    world.stop_agent();

    let state = &world.config.state;
    let keys = KeyStore::open(&state.join("keys")).unwrap();
    let prev = TerminalEnrolment::load(state).unwrap().grant.content().prev.clone();
    assert!(prev.is_some_and(|prev| prev.chain == seen.chain && prev.size >= seen.receipted));
    let reader = JournalReader::open(&state.join("journal"), keys.journal_key()).unwrap();
    let events = reader.events(0..2).unwrap();
    let kinds: Vec<_> = events.iter().map(|e| kind_unverified(e.jws.as_ref().unwrap()).unwrap()).collect();
    assert_eq!(kinds, ["log.genesis.v1", "log.integrity-alarm.v1"]);
    drop(reader);

    // What is begun now is remembered in its turn, and a start without a loss is no alarm.
    world.start_agent().unwrap();
    world.stop_agent();
    std::fs::remove_dir_all(world.config.state.join("journal")).unwrap();
    assert!(world.start_agent().is_err());
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
