//! A terminal goes over to its next key: recorded first, told once it is durable, taken back with a lost commit.

use super::*;
use crate::room::Level;
use crate::verify::Verifier;

fn key(byte: u8) -> Box<SoftwareSigner> {
    Box::new(SoftwareSigner::from_seed(&Seed::take(&mut [byte; 32])))
}

/// A desk whose key store has another key waiting.
fn waiting() -> Desk {
    let mut desk = Desk::new();
    desk.terminal.signers = Signers::new(key(1)).going_over_to(key(4));
    desk
}

fn verified(desk: &Desk) -> u64 {
    let mut verifier = Verifier::new(desk.terminal.chain.grant().clone(), None, vec![]);
    desk.journal.iter().for_each(|event| drop(verifier.event(&event.jws).unwrap()));
    verifier.finish().unwrap().events
}

#[test]
fn the_new_key_takes_over_once_and_signs_from_then_on() {
    let mut desk = waiting();
    let before = desk.journal.len() as u64;
    desk.auto_commit = false;
    desk.pass(15 * 60);
    assert_eq!(desk.rotated, [], "nothing is told before the commit");
    desk.commit();
    let taken_over = (key(4).public_key(), Sequence(before + 1));
    assert_eq!(desk.rotated, [taken_over], "the heartbeat stands before it");
    desk.auto_commit = true;
    desk.pass(3600);
    assert_eq!(desk.rotated.len(), 1);
    assert_eq!(desk.kinds().iter().filter(|kind| *kind == "key.rotated.v1").count(), 1);
    assert!(verified(&desk) > before + 2);
    assert_eq!(desk.terminal.chain.keys().newest(), key(4).public_key());
    assert_eq!(desk.terminal.known_key(), key(1).public_key(), "nobody has a receipt for it yet");
}

#[test]
fn a_lost_commit_takes_the_rotation_back_and_it_is_made_again() {
    let mut desk = waiting();
    desk.auto_commit = false;
    let durable = desk.terminal.chain.state().clone();
    desk.pass(15 * 60);
    desk.pending.clear();
    desk.put(Input::NotCommitted { fault: Fault::JournalCommitFailed });
    assert_eq!(desk.rotated, []);
    desk.put(Input::JournalReset { epoch: 1, chain: durable.clone() });
    desk.commit();
    let at = Sequence(durable.frontier.size());
    assert_eq!(desk.rotated, [(key(4).public_key(), at)], "the next chance is used");
    assert_eq!(verified(&desk), at.0 + 1);
}

#[test]
fn a_commit_that_was_only_believed_lost_keeps_the_rotation() {
    let mut desk = waiting();
    desk.auto_commit = false;
    desk.pass(15 * 60);
    let durable = desk.terminal.chain.state().clone();
    desk.journal.append(&mut desk.pending);
    desk.put(Input::NotCommitted { fault: Fault::JournalCommitFailed });
    desk.put(Input::JournalReset { epoch: 1, chain: durable });
    assert_eq!(desk.rotated.len(), 1);
    desk.auto_commit = true;
    desk.pass(15 * 60);
    assert_eq!(verified(&desk), desk.journal.len() as u64);
}

#[test]
fn without_room_the_old_key_stays() {
    let mut desk = waiting();
    desk.put(Input::Room(Room::new(100, 100)));
    desk.pass(15 * 60);
    assert_eq!(desk.terminal.status(desk.now).room.level, Level::Full);
    assert_eq!((desk.rotated.len(), desk.terminal.chain.keys().newest()), (0, key(1).public_key()));
    desk.put(Input::Room(Room::new(10, 100)));
    desk.pass(15 * 60);
    assert_eq!(desk.rotated.len(), 1);
}
