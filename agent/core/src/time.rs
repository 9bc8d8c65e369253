//! Time as values: wall time for people, boot time for intervals, and how far the wall clock is trusted.
//! Never reads a clock.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Unix time in milliseconds, UTC. May step in either direction; never used to measure an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallTime(pub i64);

impl WallTime {
    /// RFC 3339 in UTC with three decimals and `Z`, the form of every event.
    /// Times outside the years 0 to 9999 print as the nearest of the two ends.
    pub fn rfc3339(self) -> String {
        const FORM: &[time::format_description::BorrowedFormatItem<'static>] = time::macros::format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        );
        const YEAR_0_MS: i64 = -62_167_219_200_000;
        const YEAR_9999_END_MS: i64 = 253_402_300_799_999;
        let clamped = i128::from(self.0.clamp(YEAR_0_MS, YEAR_9999_END_MS));
        time::OffsetDateTime::from_unix_timestamp_nanos(clamped * 1_000_000)
            .ok()
            .and_then(|t| t.format(FORM).ok())
            .unwrap_or_default()
    }

    /// Reads what [`Self::rfc3339`] writes (any RFC 3339 offset is taken).
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let parsed =
            time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
        i64::try_from(parsed.unix_timestamp_nanos() / 1_000_000).ok().map(Self)
    }

    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }
}

/// Time since boot, sleep included. Never steps; measures every interval and deadline.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Boottime(pub Duration);

impl Boottime {
    pub fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(delay))
    }
}

impl fmt::Debug for Boottime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "boot+{:?}", self.0)
    }
}

/// What is known about the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockTrust {
    /// The kernel says that it follows a time source.
    Synced,
    /// Nothing vouches for it.
    Unsynced,
    /// It jumped against boot time since the last event.
    Stepped,
}

impl ClockTrust {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Unsynced => "unsynced",
            Self::Stepped => "stepped",
        }
    }
}

/// One reading of all clocks, passed into every call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub wall: WallTime,
    pub boottime: Boottime,
    pub trust: ClockTrust,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prints_the_form_of_the_golden_vector() {
        assert_eq!(WallTime(1_777_593_660_250).rfc3339(), "2026-05-01T00:01:00.250Z");
        assert_eq!(WallTime(0).rfc3339(), "1970-01-01T00:00:00.000Z");
    }

    proptest! {
        #[test]
        fn never_panics_and_reads_back(ms in any::<i64>()) {
            let text = WallTime(ms).rfc3339();
            prop_assert_eq!(text.len(), 24);
            let back = WallTime::parse_rfc3339(&text).unwrap();
            if (-62_167_219_200_000..=253_402_300_799_999).contains(&ms) {
                prop_assert_eq!(back, WallTime(ms));
            }
        }
    }
}
