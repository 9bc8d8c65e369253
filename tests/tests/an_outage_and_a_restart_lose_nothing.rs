//! The network goes away, the agent is restarted meanwhile, the network comes back.
//! Never a lost, doubled or reordered event: the export says so, and so does the upstream.

use zhenyin_core::api::{Outcome, Request};
use zhenyin_tests::card_reader::cards::CardSpec;
use zhenyin_tests::world::World;

#[test]
fn an_outage_and_a_restart_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::build(folder.path(), None).unwrap();
    world.until("the first receipt", |s| s.receipted > 0 && s.reader.is_none()).unwrap();
    world.cut_network();
    world.reader.insert(CardSpec::version_2());
    for _ in 0..5 {
        let reply = world.perform(&Request::CardRead, |_| None).unwrap();
        assert!(matches!(reply.outcome, Outcome::CardRead { locked: false, .. }), "{reply:?}");
    }
    let before = world.status().unwrap();
    assert!(before.events >= before.receipted + 5, "{before:?}");
    world.stop_agent();
    world.start_agent().unwrap();
    let after = world.status().unwrap();
    assert!(after.events > before.events, "the stop and the start are events, too: {after:?}");
    world.restore_network().unwrap();
    let status = world.until("everything receipted", |s| s.events == s.receipted).unwrap();
    let counts = world.upstream().unwrap().terminals().unwrap();
    assert_eq!(counts.len(), 1, "one terminal, one chain");
    world.stop_agent();
    let (counters, summary) = world.export(&folder.path().join("export")).unwrap();
    assert!(summary.events >= status.events);
    assert_eq!((counters.size, counters.acked), (summary.events, summary.receipted));
}
