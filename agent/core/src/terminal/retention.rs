//! How long the journal keeps what was receipted: as the policy in force says, and for good without its word.
//! Never shortens it by a policy that has lapsed, and never erases anything itself.

use std::time::Duration;

use super::{Output, Terminal};
use crate::documents::Policy;
use crate::time::Now;

const DAY: Duration = Duration::from_secs(86_400);

impl Terminal {
    /// Tells the journal when that has changed.
    pub(super) fn tell_retention(&mut self, now: Now) {
        let days = self.policy.as_ref().filter(|_| self.policy_in_force(now)).map(Policy::content);
        let days = days.and_then(|content| content.keep_days);
        if self.keep_days != days {
            self.keep_days = days;
            self.outputs.push_back(Output::Keep(days.map(|days| DAY * u32::from(days))));
        }
    }
}
