//! Each terminal's own moment for a backlog: a district that has its power back must not send everything at once.
//! Never by chance: whoever restarts a terminal finds it waiting for the same time again.

use std::time::Duration;

use crate::ids::TerminalId;
use crate::merkle::leaf_hash;

/// Over this time the backlogs of all terminals are spread.
pub(super) const WINDOW: Duration = Duration::from_secs(120);

/// From the terminal's identifier, evenly over the window.
pub(super) fn offset(terminal: TerminalId) -> Duration {
    let hash = leaf_hash(terminal.0.as_bytes());
    let number = u64::from_be_bytes(*hash.0.first_chunk().expect("a hash has 32 bytes"));
    let window = u64::try_from(WINDOW.as_millis()).expect("two minutes are few milliseconds");
    Duration::from_millis(number % window)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::super::*;
    use super::*;
    use crate::merkle::CompactRange;
    use crate::note::KeyRole;
    use crate::signer::{Seed, Signer as _, SoftwareSigner};

    const START: Boottime = Boottime(Duration::from_secs(1000));
    const TERMINALS: usize = 1000;
    /// Of a thousand terminals eight a second are expected; more than this has odds of one in 10^9.
    const IN_A_SECOND: usize = 32;

    fn outbox(backlog: u64) -> Outbox {
        let key = SoftwareSigner::from_seed(&Seed::take(&mut [2; 32])).public_key();
        let witness = VerifierKey::new("witness.example", KeyRole::Witness, key).unwrap();
        let mut outbox = Outbox::resume("log.example/t/c".into(), witness, backlog, CompactRange::new());
        outbox.handle_durable(backlog, START);
        outbox
    }

    /// Seconds after a common start at which each terminal has its first batch to load.
    fn seconds(terminals: &[Uuid], spread: bool) -> Vec<u64> {
        let first = |id: &Uuid| {
            let outbox = outbox(BATCH as u64);
            let outbox = if spread { outbox.spread(TerminalId(*id), START) } else { outbox };
            outbox.next_timeout().unwrap().saturating_since(START).as_secs()
        };
        terminals.iter().map(first).collect()
    }

    fn most_in_a_second(seconds: &[u64]) -> usize {
        let count = |second| seconds.iter().filter(|found| **found == second).count();
        (0..WINDOW.as_secs()).map(count).max().unwrap_or(0)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_thousand_backlogs_never_come_at_once(ids in prop::collection::hash_set(any::<u128>(), TERMINALS)) {
            let terminals: Vec<Uuid> = ids.into_iter().map(Uuid::from_u128).collect();
            let begun = seconds(&terminals, true);
            prop_assert!(begun.iter().all(|second| *second < WINDOW.as_secs()));
            prop_assert!(most_in_a_second(&begun) <= IN_A_SECOND);
            prop_assert_eq!(&begun, &seconds(&terminals, true), "the same after every start");
            prop_assert_eq!(most_in_a_second(&seconds(&terminals, false)), TERMINALS, "control");
        }

        /// After that, failures are spread by chance: nobody comes sooner for the offset.
        #[test]
        fn retries_keep_their_full_jitter(id: u128, randoms in prop::collection::vec(any::<u64>(), 2..20)) {
            let (mut plain, mut spread) = (outbox(1), outbox(1).spread(TerminalId(Uuid::from_u128(id)), START));
            for random in randoms {
                let fail = |outbox: &mut Outbox| {
                    let now = outbox.next_timeout().unwrap();
                    assert!(matches!(outbox.poll(now), Some(OutboxAction::LoadBatch { .. })));
                    outbox.phase = Phase::Posting(Sending { start: CompactRange::new(), leaves: vec![], quiet: true });
                    outbox.handle_answer(UpstreamAnswer::Unreachable("no".into()), now, random);
                    outbox.next_timeout().unwrap()
                };
                prop_assert_eq!(fail(&mut plain), fail(&mut spread));
            }
        }
    }

    #[test]
    fn fewer_events_than_a_batch_go_at_once_and_what_was_lost_again_waits() {
        let terminal = (0..).map(|n| TerminalId(Uuid::from_u128(n)));
        let terminal = terminal.into_iter().find(|id| offset(*id) > Duration::from_secs(60)).unwrap();
        let due = |backlog| outbox(backlog).spread(terminal, START).next_timeout().unwrap();
        assert!(due(BATCH as u64 - 1) <= START.after(LINGER));
        assert_eq!(due(BATCH as u64), START.after(offset(terminal)));

        let lost = |acknowledged: u64| {
            let mut outbox = outbox(1).spread(terminal, START);
            (outbox.durable, outbox.acknowledged) = (500, acknowledged);
            outbox.position = CompactRange::of((0..acknowledged).map(|n| leaf_hash(&n.to_be_bytes())));
            outbox.phase =
                Phase::Posting(Sending { start: outbox.position.clone(), leaves: vec![], quiet: true });
            outbox.handle_answer(UpstreamAnswer::Conflict { size: 10 }, START, 0);
            outbox.next_timeout().unwrap()
        };
        assert_eq!(lost(400), START.after(offset(terminal)));
        assert!(lost(50) <= START.after(LINGER), "a few events are sent again at once");
    }
}
