//! How long to wait after a failure: full jitter over an exponential window, and never less than was asked.
//! Never reads a clock or a random source.

use std::time::Duration;

use crate::time::Boottime;

const BASE: Duration = Duration::from_secs(2);
const CAP: Duration = Duration::from_secs(300);
/// Longest wait that an upstream may impose, so that a wrong header does not silence a terminal for ever.
const ASKED_LIMIT: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Time of the next attempt after one more failure.
    pub(super) fn next(&mut self, now: Boottime, random: u64) -> Boottime {
        let window = BASE.saturating_mul(2_u32.saturating_pow(self.failures)).min(CAP);
        self.failures = self.failures.saturating_add(1);
        now.after(part(window, random))
    }

    /// As [`Self::next`], but not before the time that the upstream asked for.
    pub(super) fn after(&mut self, asked: Duration, now: Boottime, random: u64) -> Boottime {
        self.next(now.after(asked.min(ASKED_LIMIT)), random)
    }
}

/// The pause between two good requests that an upstream asked for.
pub(super) fn pacing(next_ms: u64) -> Duration {
    Duration::from_millis(next_ms).min(ASKED_LIMIT)
}

fn part(window: Duration, random: u64) -> Duration {
    let millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random % (millis + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_within_a_window_that_doubles_up_to_the_cap(randoms in prop::collection::vec(any::<u64>(), 1..50)) {
            let mut backoff = Backoff::default();
            for (failure, random) in randoms.into_iter().enumerate() {
                let window = Duration::from_secs(2 << failure.min(8)).min(CAP);
                prop_assert!(backoff.next(Boottime::default(), random).0 <= window);
            }
        }

        #[test]
        fn never_comes_back_before_the_time_asked(asked in 0_u64..100_000, random: u64) {
            let asked = Duration::from_secs(asked);
            let until = Backoff::default().after(asked, Boottime::default(), random);
            prop_assert!(until.0 >= asked.min(ASKED_LIMIT));
        }
    }
}
