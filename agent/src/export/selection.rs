//! Which events an inspector asked for: a period, persons, cards, kinds, or a sample that anybody can draw again.
//! Never hides that there are others: a package with a selection has the hashes of all events.

use ring::digest::{SHA256, digest};
use zhenyin_core::event::Envelope;
use zhenyin_core::ids::SubjectToken;
use zhenyin_core::inspection::Asked;
use zhenyin_core::merkle::Hash;
use zhenyin_core::time::WallTime;

/// What is asked for. Empty lists and absent ends ask for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    pub from: Option<WallTime>,
    /// The first moment that is asked for no more.
    pub to: Option<WallTime>,
    /// Tokens of operators, cards or patients, as they stand in events.
    pub tokens: Vec<SubjectToken>,
    /// Event types; `rule.hit` stands for all versions of it.
    pub kinds: Vec<String>,
    pub sample: Option<Sample>,
}

/// A double-random sample: of what was asked for otherwise, the `count` events that come first when all are ordered
/// by SHA-256 of the seed and their leaf hash. Whoever has the seed and the hashes draws the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pub seed: String,
    pub count: usize,
}

impl Selection {
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// The selection as it goes on record.
    pub fn asked(&self) -> Asked {
        let (sample, seed) = self.sample.as_ref().map(|s| (s.count as u64, s.seed.clone())).unzip();
        Asked {
            from: self.from.map(WallTime::rfc3339),
            to: self.to.map(WallTime::rfc3339),
            tokens: self.tokens.clone(),
            kinds: self.kinds.clone(),
            sample,
            seed,
        }
    }

    /// Whether an event is asked for, the sample aside.
    pub fn takes(&self, envelope: &Envelope) -> bool {
        self.from.is_none_or(|from| envelope.time >= from)
            && self.to.is_none_or(|to| envelope.time < to)
            && (self.tokens.is_empty() || self.tokens.iter().any(|token| concerns(envelope, token)))
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| is_kind(&envelope.kind, kind)))
    }
}

impl Sample {
    /// Of these events, by sequence number and leaf, the drawn ones in order.
    pub fn draw(&self, events: &[(u64, Hash)]) -> Vec<u64> {
        let rank = |leaf: &Hash| {
            let mut text = self.seed.clone().into_bytes();
            text.extend(leaf.as_bytes());
            digest(&SHA256, &text).as_ref().to_vec()
        };
        let mut ranked: Vec<_> = events.iter().map(|(sequence, leaf)| (rank(leaf), *sequence)).collect();
        ranked.sort_unstable();
        let mut drawn: Vec<u64> = ranked.into_iter().take(self.count).map(|(_, sequence)| sequence).collect();
        drawn.sort_unstable();
        drawn
    }
}

/// The subject, or any member of the data that is this token.
fn concerns(envelope: &Envelope, token: &SubjectToken) -> bool {
    let members = envelope.data.as_object();
    let mut values = members.into_iter().flat_map(|members| members.values());
    envelope.subject.as_ref().is_some_and(|subject| subject == token)
        || values.any(|value| value.as_str() == Some(token.as_str()))
}

fn is_kind(found: &str, asked: &str) -> bool {
    found == asked || found.strip_prefix(asked).is_some_and(|rest| rest.starts_with(".v"))
}

#[cfg(test)]
mod tests {
    use zhenyin_core::merkle::leaf_hash;

    use super::*;

    #[test]
    fn a_sample_is_the_same_for_everybody_with_the_seed() {
        let events: Vec<_> = (0..1000_u64).map(|n| (n, leaf_hash(&n.to_be_bytes()))).collect();
        let draw = |seed: &str, count| Sample { seed: seed.into(), count }.draw(&events);
        let drawn = draw("2026-11-22 08:00 index 3211.98", 20);
        assert_eq!(drawn, draw("2026-11-22 08:00 index 3211.98", 20));
        assert_ne!(drawn, draw("another", 20));
        assert!(drawn.is_sorted() && drawn.len() == 20);
        assert_eq!(draw("s", 5000).len(), 1000);
        let shuffled: Vec<_> = events.iter().rev().copied().collect();
        assert_eq!(Sample { seed: "another".into(), count: 20 }.draw(&shuffled), draw("another", 20));
    }

    #[test]
    fn kinds_match_all_their_versions_and_no_others() {
        assert!(is_kind("rule.hit.v1", "rule.hit"));
        assert!(is_kind("rule.hit.v1", "rule.hit.v1"));
        assert!(!is_kind("rule.hitlist.v1", "rule.hit"));
        assert!(!is_kind("rule.hit.v1", "rule"));
    }
}
