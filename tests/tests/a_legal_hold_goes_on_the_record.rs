//! A legal hold through the running agent: on record first, then in force, lifted once, still there after a restart.
//! The controls are holds that are not well formed and one that does not exist: neither leaves a trace.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use zhenyin::client::ClientError;
use zhenyin::journal::{Hold, JournalReader};
use zhenyin::keystore::KeyStore;
use zhenyin_core::event::kind_unverified;
use zhenyin_core::hold::HoldRequest;
use zhenyin_core::ids::Sequence;
use zhenyin_tests::world::World;

fn reader(world: &World) -> JournalReader {
    let state = &world.config.state;
    let keys = KeyStore::open(&state.join("keys")).unwrap();
    JournalReader::open(&state.join("journal"), keys.journal_key()).unwrap()
}

fn holds(world: &World) -> Vec<Hold> {
    reader(world).holds().unwrap()
}

/// Events of this area, in order.
fn recorded(world: &World) -> Vec<String> {
    let reader = reader(world);
    let events = reader.events(0..reader.counters().unwrap().size).unwrap().into_iter();
    let kinds = events.map(|event| kind_unverified(event.jws.as_ref().unwrap()).unwrap());
    kinds.filter(|kind| kind.starts_with("hold.")).collect()
}

fn request(first: u64, last: u64) -> HoldRequest {
    HoldRequest { first: Sequence(first), last: Sequence(last), reason: "2026-17".to_owned() }
}

fn title(error: ClientError) -> String {
    if let ClientError::Refused { title, .. } = error { title } else { panic!("{error}") }
}

#[test]
fn a_legal_hold_goes_on_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::build(folder.path(), None).unwrap();
    world.until("events", |status| status.events > 1).unwrap();
    let (client, runtime) = world.client();
    let refused = runtime.block_on(client.place_hold(&request(3, 2))).unwrap_err();
    assert_eq!(title(refused), "bad-hold");
    assert_eq!(title(runtime.block_on(client.lift_hold(1)).unwrap_err()), "no-such-hold");
    assert!(recorded(&world).is_empty() && holds(&world).is_empty());

    let hold = runtime.block_on(client.place_hold(&request(1, 4))).unwrap();
    let placed = holds(&world);
    assert_eq!((placed.len(), placed[0].id, placed[0].first, placed[0].last), (1, hold, 1, 4));
    assert_eq!((placed[0].reason.as_str(), placed[0].lifted), ("2026-17", None));
    assert_eq!(recorded(&world), ["hold.placed.v1"]);

    world.stop_agent();
    world.start_agent().unwrap();
    assert_eq!(holds(&world), placed);
    let (client, runtime) = world.client();
    runtime.block_on(client.lift_hold(hold)).unwrap();
    assert!(holds(&world)[0].lifted.is_some());
    assert_eq!(title(runtime.block_on(client.lift_hold(hold)).unwrap_err()), "no-such-hold");
    assert_eq!(recorded(&world), ["hold.placed.v1", "hold.lifted.v1"]);
    let all = world.until("all receipts", |status| status.receipted == status.events).unwrap();
    let counts = world.upstream().unwrap().counts().unwrap();
    assert_eq!((counts.receipted, counts.quarantined), (all.events, 0));
}
