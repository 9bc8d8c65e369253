//! How much room is left for events, as a value: what the journal measures, the core decides by, the status shows.
//! Never measures anything.

use serde::{Deserialize, Serialize};

/// How near the end of its room the journal is. The first three are warnings; at [`Self::Full`] no act begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    #[default]
    Ample,
    /// 70 of 100.
    Filling,
    /// 85 of 100.
    Scarce,
    /// 95 of 100.
    Critical,
    /// The quota is reached, or the disk is full.
    Full,
}

/// Bytes in use, bytes allowed, and what that means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Room {
    pub used_bytes: u64,
    pub limit_bytes: u64,
    pub level: Level,
}

impl Room {
    pub fn new(used_bytes: u64, limit_bytes: u64) -> Self {
        let percent = |percent: u128| u128::from(used_bytes) * 100 >= u128::from(limit_bytes) * percent;
        let level = [(100, Level::Full), (95, Level::Critical), (85, Level::Scarce), (70, Level::Filling)]
            .into_iter()
            .find_map(|(least, level)| percent(least).then_some(level));
        Self { used_bytes, limit_bytes, level: level.unwrap_or_default() }
    }

    /// The disk is full, whatever the quota says.
    pub fn full(used_bytes: u64, limit_bytes: u64) -> Self {
        Self { used_bytes, limit_bytes, level: Level::Full }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_begin_where_they_say() {
        for (used, level) in [
            (0, Level::Ample),
            (699, Level::Ample),
            (700, Level::Filling),
            (849, Level::Filling),
            (850, Level::Scarce),
            (950, Level::Critical),
            (999, Level::Critical),
            (1000, Level::Full),
            (5000, Level::Full),
        ] {
            assert_eq!(Room::new(used, 1000).level, level, "{used}");
        }
        assert_eq!(Room::new(u64::MAX, u64::MAX).level, Level::Full, "no overflow");
        assert_eq!(Room::full(1, 1000).level, Level::Full);
    }
}
