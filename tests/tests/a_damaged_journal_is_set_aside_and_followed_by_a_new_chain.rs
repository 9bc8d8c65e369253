//! The journal is damaged while the agent is off: it is reported, kept aside, and continued by a chain whose grant
//! hangs from the last receipt, after staff have enrolled the terminal again.
//! Never an empty journal without a word.

use zhenyin::journal::{JournalReader, asides};
use zhenyin::keystore::KeyStore;
use zhenyin::terminal_enrolment::TerminalEnrolment;
use zhenyin_core::api::{Outcome, Request};
use zhenyin_core::event::kind_unverified;
use zhenyin_tests::card_reader::cards::CardSpec;
use zhenyin_tests::world::World;

#[test]
fn a_damaged_journal_is_set_aside_and_followed_by_a_new_chain() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::build(folder.path(), None).unwrap();
    world.until("the reader answering", |s| s.reader.is_none()).unwrap();
    world.reader.insert(CardSpec::version_2());
    let reply = world.perform(&Request::CardRead, |_| None).unwrap();
    assert!(matches!(reply.outcome, Outcome::CardRead { .. }), "{reply:?}");
    let seen = world.until("all receipts", |s| s.events > 2 && s.receipted == s.events).unwrap();
    let error = format!("{:#}", world.enrol_again().unwrap_err());
    assert!(error.contains("stop it first"), "a running agent would go on under the old grant: {error}");
    world.stop_agent();
    world.start_agent().expect("control: an undamaged journal starts");
    world.stop_agent();

    let journal = world.config.state.join("journal");
    let database = journal.join("journal.db");
    let mut bytes = std::fs::read(&database).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0xa5);
    std::fs::write(&database, bytes).unwrap();
    let error = format!("{:#}", world.start_agent().unwrap_err());
    assert!(error.contains("damaged") && error.contains("enrol --again"), "{error}");
    let aside = asides(&journal).pop().expect("the files were kept");
    assert_eq!(aside.chain, seen.chain);
    let again = format!("{:#}", world.start_agent().unwrap_err());
    assert!(again.contains("enrol --again"), "no empty journal in silence: {again}");

    world.enrol_again().unwrap();
    world.start_agent().unwrap();
    let status = world.until("the new chain's receipts", |s| s.receipted > 1).unwrap();
    assert_ne!(status.chain, seen.chain);
    assert_eq!(status.terminal, seen.terminal);
    world.stop_agent();
    let state = &world.config.state;
    let enrolment = TerminalEnrolment::load(state).unwrap();
    let prev = enrolment.grant.content().prev.clone();
    assert!(prev.is_some_and(|prev| prev.chain == seen.chain && prev.size >= seen.receipted));
    let reader =
        JournalReader::open(&journal, KeyStore::open(&state.join("keys")).unwrap().journal_key()).unwrap();
    let kinds: Vec<_> = reader
        .events(0..3)
        .unwrap()
        .iter()
        .map(|e| kind_unverified(e.jws.as_ref().unwrap()).unwrap())
        .collect();
    assert_eq!(kinds[..2], ["log.genesis.v1", "log.integrity-alarm.v1"]);
    println!(
        "damaged journal of {} events kept in {} files; the new chain begins with the alarm",
        seen.events, aside.files
    );
}
