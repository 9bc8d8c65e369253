//! The journal is told how long to keep bodies: by a policy in force only.

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn policy(serial: u64, keep_days: Option<u16>, expires_at: i64) -> PolicyContent {
    PolicyContent { keep_days, ..PolicyContent::new(serial, WallTime(0), WallTime::from_seconds(expires_at)) }
}

fn token(content: &PolicyContent) -> String {
    let authority = SoftwareSigner::from_seed(&Seed::take(&mut [2; 32]));
    Policy::seal(content, &authority).unwrap().token().to_owned()
}

#[test]
fn bodies_are_kept_for_good_until_a_policy_in_force_says_otherwise() {
    const LATE: i64 = 4_000_000_000;
    assert_eq!(Desk::new().kept, [], "control: a policy without a word, and so no word to the journal");
    assert_eq!(Desk::with_policy(policy(1, Some(400), 1)).kept, [], "lapsed");
    let mut desk = Desk::with_policy(policy(1, Some(400), LATE));
    assert_eq!(desk.kept, [Some(400 * DAY)]);
    desk.pass(3600);
    assert_eq!(desk.kept.len(), 1, "told once");

    desk.put(Input::Policy(token(&policy(2, Some(200), LATE))));
    desk.put(Input::Policy(token(&policy(3, None, LATE))));
    assert_eq!(desk.kept[1..], [Some(200 * DAY), None]);
    let soon = desk.now.wall.seconds() + 600;
    desk.put(Input::Policy(token(&policy(4, Some(400), soon))));
    assert_eq!(desk.kept.last(), Some(&Some(400 * DAY)));
    desk.pass(15 * 60);
    assert_eq!(desk.kept.last(), Some(&None), "a policy that lapses lets nothing be erased");
}

#[test]
fn a_policy_that_keeps_too_short_or_too_long_is_refused() {
    let authority = SoftwareSigner::from_seed(&Seed::take(&mut [2; 32]));
    for (days, good) in [(0, false), (183, false), (184, true), (400, true), (3653, true), (3654, false)] {
        assert_eq!(Policy::seal(&policy(1, Some(days), 1), &authority).is_ok(), good, "{days}");
    }
}

#[test]
fn a_hold_is_changed_once_it_is_on_record_and_not_before() {
    use crate::hold::HoldRequest;

    let mut desk = Desk::new();
    desk.auto_commit = false;
    let ticket = Ticket(900);
    let place = |last: u64| {
        HoldChange::Place(HoldRequest { first: Sequence(1), last: Sequence(last), reason: "2026-17".into() })
    };
    desk.put(Input::ChangeHold { ticket, change: place(0) });
    assert_eq!(desk.holds, [Err(Refusal::BadHold)]);
    desk.put(Input::ChangeHold { ticket, change: place(4) });
    desk.put(Input::ChangeHold { ticket, change: HoldChange::Lift { hold: 1 } });
    assert_eq!(desk.holds.len(), 1, "nothing is durable yet");
    desk.commit();
    assert_eq!(desk.holds[1..], [Ok(place(4)), Ok(HoldChange::Lift { hold: 1 })]);
    assert_eq!(desk.kinds().iter().filter(|kind| kind.starts_with("hold.")).count(), 2);
    desk.put(Input::ChangeHold { ticket, change: place(5) });
    desk.pending.clear();
    desk.put(Input::NotCommitted { fault: Fault::JournalCommitFailed });
    assert_eq!(desk.holds[3..], [Err(Refusal::NotRecording)]);
}
