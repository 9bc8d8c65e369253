//! Limits on failed attempts (NIST SP 800-63B: five, ten with PAD, then a pause, then another factor).
//! Never counts a poor frame or a refusal as a failure.

use std::time::Duration;

use crate::time::Boottime;

/// Consecutive failures of one factor at this terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttemptLimit {
    allowed: u8,
    failures: u8,
    rests_until: Boottime,
}

const REST: Duration = Duration::from_secs(30);

impl AttemptLimit {
    pub(crate) fn new(allowed: u8) -> Self {
        Self { allowed: allowed.max(1), failures: 0, rests_until: Boottime::default() }
    }

    pub(crate) fn resting(&self, now: Boottime) -> bool {
        now < self.rests_until
    }

    /// Every failure from the limit on starts a rest; only a success clears the count.
    pub(crate) fn failed(&mut self, now: Boottime) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.allowed {
            self.rests_until = now.after(REST);
        }
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_after_the_limit_and_after_every_failure_beyond() {
        let at = |seconds| Boottime(Duration::from_secs(seconds));
        let mut limit = AttemptLimit::new(3);
        for second in 0..3 {
            assert!(!limit.resting(at(second)));
            limit.failed(at(second));
        }
        assert!(limit.resting(at(31)));
        assert!(!limit.resting(at(32)));
        limit.failed(at(40));
        assert!(limit.resting(at(69)));
        limit.succeeded();
        limit.failed(at(100));
        assert!(!limit.resting(at(100)));
    }
}
