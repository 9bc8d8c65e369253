//! The active challenge as the acts know it: which way to look, what the frames showed, how it ended.
//! Never judges a picture: that is done where the frames are. Asked on doubt only, never the only way.

use serde::{Deserialize, Serialize};

use crate::biometric::Probe;

/// Where to look, as the person before the camera understands it; a picture that is not mirrored is assumed.
/// There is no "down": landmarks are least sure there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turn {
    Left,
    Right,
    Up,
}

impl Turn {
    /// The directions that are asked for. Not up: detectors move the nose of a raised head by a third of what its
    /// shape would, too little to tell it from a picture.
    pub const DRAWN: [Self; 2] = [Self::Left, Self::Right];

    /// The direction for a random byte.
    pub fn drawn(byte: u8) -> Self {
        Self::DRAWN[usize::from(byte) % Self::DRAWN.len()]
    }
}

/// What the frames of one challenge showed.
#[derive(Clone, Debug)]
pub enum Turned {
    /// The head turned as asked; probes of the very frames in which it was seen turned, so that the face can be
    /// compared with the one that was looked at before.
    AsAsked(Vec<Probe>),
    WrongWay,
    /// What turned is a picture or a screen.
    Flat,
    /// The face was lost or jumped; a slower try may succeed.
    Interrupted,
    /// Nothing turned.
    NotFollowed,
}

/// How a challenge ended, for the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChallengeEnd {
    Passed,
    WrongWay,
    Flat,
    Interrupted,
    NotFollowed,
    /// A head turned, but not that of the face that was in doubt.
    AnotherFace,
    TimedOut,
    /// The person wants none. An ordinary outcome.
    Declined,
    /// The policy or the person's own note forbids it.
    NotAsked,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_direction_is_as_likely() {
        for turn in Turn::DRAWN {
            let bytes = (0..=255).filter(|byte| Turn::drawn(*byte) == turn).count();
            assert_eq!(bytes, 128, "{turn:?}");
        }
    }
}
