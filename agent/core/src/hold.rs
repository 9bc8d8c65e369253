//! Legal holds: events that must be kept whole until somebody lifts the hold, whatever the policy's age says.
//! Never a person in a reason: it goes on record as it is, and stands on the screen.

use serde::{Deserialize, Serialize};

use crate::api::Refusal;
use crate::ids::Sequence;

/// Longest reason in characters.
const REASON: usize = 120;

/// Asks for a hold. What comes after `last` is kept as well, for as long as it lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldRequest {
    pub first: Sequence,
    pub last: Sequence,
    /// A file number or the like, in one line.
    pub reason: String,
}

/// What is to be done about holds, once it is on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldChange {
    Place(HoldRequest),
    Lift { hold: i64 },
}

impl HoldRequest {
    /// # Errors
    /// [`Refusal::BadHold`].
    pub fn check(&self) -> Result<(), Refusal> {
        let reason = self.reason.trim();
        let good = self.first <= self.last
            && self.last.0 < 1 << 53
            && (1..=REASON).contains(&reason.chars().count())
            && !reason.chars().any(char::is_control);
        if good { Ok(()) } else { Err(Refusal::BadHold) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_names_events_in_order_and_says_why_in_a_line() {
        let check = |first, last, reason: &str, good| {
            let request =
                HoldRequest { first: Sequence(first), last: Sequence(last), reason: reason.to_owned() };
            assert_eq!(request.check().is_ok(), good, "{request:?}");
        };
        check(0, 0, "案 2026-17", true);
        check(4, 9, &"x".repeat(120), true);
        check(5, 4, "file 17", false);
        check(0, 1 << 53, "file 17", false);
        check(0, 1, " ", false);
        check(0, 1, "two\nlines", false);
        check(0, 1, &"x".repeat(121), false);
    }
}
