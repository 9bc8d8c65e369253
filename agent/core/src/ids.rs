//! Identifiers as types, so that a card token can never stand where an operator token is meant.
//! Never prints a whole subject token: `Debug` is masked.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One enrolled workstation. Given by the authority in the grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TerminalId(pub Uuid);

/// One enrolment epoch of a terminal: one transparency log, one signature suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChainId(pub Uuid);

/// One act at the desk, from its first request to its answer. Counted up by the terminal, not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub u64);

/// One run of the kernel, as the kernel names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub Uuid);

/// Position of an event in its chain, from 0 without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

/// One reader of a terminal, counted from 1 in the order of its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReaderId(pub u8);

impl ReaderId {
    pub const FIRST: Self = Self(1);
}

impl fmt::Display for TerminalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whom a pseudonym stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SubjectKind {
    /// A member of staff (`op:`).
    Operator,
    /// A patient or insured person (`pt:`).
    Patient,
    /// A card as an object (`cd:`).
    Card,
    /// Somebody who came to inspect, by the number of the warrant (`in:`).
    Inspector,
}

impl SubjectKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Operator => "op:",
            Self::Patient => "pt:",
            Self::Card => "cd:",
            Self::Inspector => "in:",
        }
    }
}

/// Keyed pseudonym: prefix and 22 characters of base64url(HMAC-SHA-256(tenant pepper, number)).
///
/// A plain hash would not do: all 18-digit identity numbers can be enumerated in hours.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubjectToken(String);

impl SubjectToken {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes a token read back from our own store or from a signed document.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = ["op:", "pt:", "cd:", "in:"].iter().find_map(|p| text.strip_prefix(p))?;
        let well_formed =
            rest.len() == 22 && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        well_formed.then(|| Self(text.to_owned()))
    }
}

impl fmt::Debug for SubjectToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.0.get(..7).unwrap_or("?"))
    }
}

/// The tenant's secret for pseudonyms. Comes with the enrolment, never enters an event.
#[derive(Clone, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct Pepper([u8; 32]);

impl Pepper {
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn token(&self, kind: SubjectKind, number: &str) -> SubjectToken {
        use base64::Engine as _;
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.0);
        let tag = ring::hmac::sign(&key, number.as_bytes());
        let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(tag.as_ref());
        SubjectToken(format!("{}{}", kind.prefix(), &text[..22]))
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_keyed_by_kind_and_pepper_and_prints_masked() {
        let pepper = Pepper::new([7; 32]);
        let operator = pepper.token(SubjectKind::Operator, "11010518490307007X");
        assert_eq!(operator.as_str().len(), 25);
        assert_eq!(SubjectToken::parse(operator.as_str()).as_ref(), Some(&operator));
        assert_ne!(operator, Pepper::new([8; 32]).token(SubjectKind::Operator, "11010518490307007X"));
        assert!(!format!("{operator:?}").contains(&operator.as_str()[8..]));
        assert!(!format!("{pepper:?}").contains('7'));
    }

    #[test]
    fn token_of_another_shape_is_refused() {
        for text in
            ["", "op:", "xx:a7c1KgJ_dLeSE9yaGjm6zn", "op:a7c1KgJ_dLeSE9yaGjm6z", "op:a7c1KgJ_dLeSE9yaGjm6z="]
        {
            assert_eq!(SubjectToken::parse(text), None, "{text}");
        }
    }
}
