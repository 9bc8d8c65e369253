//! What an inspection asks of the terminal and what it is told: who came, what they asked for, how it ended.
//! Never prints an inspector's name or warrant number: in events they are keyed tokens, in clear they stand on the
//! receipt that both sides sign, and nowhere else.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::api::Refusal;
use crate::canonical::NUMBER_LIMIT;
use crate::ids::{Pepper, Sequence, SubjectKind, SubjectToken};

/// One of the people who came to inspect.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
pub struct Inspector {
    pub name: String,
    pub warrant: String,
}

/// The part of the chain that was asked for, as it goes on record. What is absent or empty was not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// First moment, and first moment that is not asked for any more; RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<SubjectToken>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// Size of a double-random sample and its published seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
}

/// Opens an inspection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectionRequest {
    /// Two or more, or none when nobody inspects and the institution exports for itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inspectors: Vec<Inspector>,
    #[serde(default)]
    pub asked: Asked,
    /// A text that the inspectors have just made up: the signature over it shows that the key is here now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// An open inspection. Given out only after its event is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenInspection {
    /// The event that records it; names it when it is closed.
    pub opened: Sequence,
    /// A checkpoint signed just now; it covers every event up to the opening.
    pub checkpoint: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InspectionEnd {
    HandedOver,
    /// No package was handed over.
    Abandoned,
}

/// Closes an inspection: what was handed over, or that nothing was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectionClosing {
    pub end: InspectionEnd,
    /// SHA-256 of the list of the package's files, 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Events that the package speaks of, and those of them whose content is in it.
    pub events: u64,
    pub shown: u64,
    /// Public keys that the package is encrypted to; none when it is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
}

impl Inspector {
    /// The inspector in events: by the warrant number, which is one person's.
    pub fn token(&self, pepper: &Pepper) -> SubjectToken {
        pepper.token(SubjectKind::Inspector, self.warrant.trim())
    }
}

impl InspectionRequest {
    /// # Errors
    /// [`Refusal::TwoInspectors`] for one inspector, or one who comes twice, or one without name or warrant;
    /// [`Refusal::AskedTooMuch`] for what would not fit into an event or is not of its form.
    pub fn check(&self) -> Result<(), Refusal> {
        let warrants: BTreeSet<&str> = self.inspectors.iter().map(|one| one.warrant.trim()).collect();
        let whole = |one: &Inspector| is_line(one.name.trim()) && is_line(one.warrant.trim());
        if self.inspectors.len() == 1
            || warrants.len() != self.inspectors.len()
            || !self.inspectors.iter().all(whole)
        {
            return Err(Refusal::TwoInspectors);
        }
        let Asked { from, to, tokens, kinds, sample, seed } = &self.asked;
        let texts = [from, to, seed, &self.nonce].into_iter().flatten().chain(kinds);
        let formed = texts.into_iter().all(|text| is_line(text))
            && tokens.iter().all(|token| SubjectToken::parse(token.as_str()).is_some());
        let few = [self.inspectors.len(), tokens.len(), kinds.len()].into_iter().all(|count| count <= MANY);
        let fits = sample.is_none_or(|count| count <= MOST)
            && serde_json::to_string(&self.asked).is_ok_and(|text| text.len() <= ASKED_BYTES);
        if formed && few && fits { Ok(()) } else { Err(Refusal::AskedTooMuch) }
    }
}

impl InspectionClosing {
    /// # Errors
    /// [`Refusal::AskedTooMuch`] when a digest or a recipient is not of its form.
    pub fn check(&self) -> Result<(), Refusal> {
        let lower = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
        let digest = self.sha256.as_ref().is_none_or(|text| text.len() == 64 && lower(text));
        let recipients =
            self.recipients.len() <= MANY && self.recipients.iter().all(|r| is_line(r) && lower(r));
        let counts = self.events <= MOST && self.shown <= MOST;
        if digest && recipients && counts { Ok(()) } else { Err(Refusal::AskedTooMuch) }
    }
}

/// Of each thing that can come several times.
const MANY: usize = 64;
const LINE_BYTES: usize = 128;
/// Most that a count in an event may be: numbers of canonical JSON are exact to here.
const MOST: u64 = NUMBER_LIMIT - 1;
/// What is asked, as JSON: with 64 tokens of inspectors beside it, it fits into an event.
const ASKED_BYTES: usize = 8_192;

fn is_line(text: &str) -> bool {
    !text.is_empty() && text.len() <= LINE_BYTES && !text.chars().any(char::is_control)
}

impl fmt::Debug for Inspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inspector(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspectors(pairs: &[(&str, &str)]) -> Vec<Inspector> {
        let one =
            |(name, warrant): &(&str, &str)| Inspector { name: (*name).into(), warrant: (*warrant).into() };
        pairs.iter().map(one).collect()
    }

    #[test]
    fn two_different_inspectors_or_none() {
        let check = |pairs: &[(&str, &str)], want: Result<(), Refusal>| {
            let request = InspectionRequest { inspectors: inspectors(pairs), ..InspectionRequest::default() };
            assert_eq!(request.check(), want, "{pairs:?}");
        };
        let refused = Err(Refusal::TwoInspectors);
        check(&[], Ok(()));
        check(&[("甲", "1"), ("乙", "2")], Ok(()));
        check(&[("甲", "1"), ("乙", "2"), ("丙", "3")], Ok(()));
        check(&[("甲", "1")], refused);
        check(&[("甲", "1"), ("甲", "1")], refused);
        check(&[("甲", "1"), ("乙", " 1 ")], refused);
        check(&[("甲", "1"), ("乙", "2"), ("丙", "2")], refused);
        check(&[("甲", "1"), ("乙", " ")], refused);
        check(&[("甲", "1"), ("", "2")], refused);
        check(&[("甲", "1"), ("乙\n", "2"), ("丙\u{7}丁", "3")], refused);
    }

    #[test]
    fn what_does_not_fit_an_event_is_refused() {
        let check = |asked: Asked, nonce: Option<&str>, good: bool| {
            let request = InspectionRequest { asked, nonce: nonce.map(str::to_owned), inspectors: vec![] };
            assert_eq!(request.check().is_ok(), good, "{request:?}");
        };
        let token = SubjectToken::parse("op:a7c1KgJ_dLeSE9yaGjm6zn").unwrap();
        let kinds = |count| Asked { kinds: vec!["a.b".into(); count], ..Asked::default() };
        let tokens = |count| Asked { tokens: vec![token.clone(); count], ..Asked::default() };
        let seed = |text: &str| Asked { seed: Some(text.into()), ..Asked::default() };
        check(kinds(64), Some("9f3"), true);
        check(kinds(65), None, false);
        check(tokens(64), None, true);
        check(tokens(65), None, false);
        check(seed(&"7".repeat(128)), None, true);
        check(seed(&"7".repeat(129)), None, false);
        check(seed("two\nlines"), None, false);
        check(Asked::default(), Some(""), false);
        let sample = |count| Asked { sample: Some(count), ..Asked::default() };
        check(sample(MOST), None, true);
        check(sample(MOST + 1), None, false);
        // Each of these takes two bytes in JSON.
        let quotes = |count| Asked { kinds: vec!["\"".repeat(128); count], ..Asked::default() };
        check(quotes(31), None, true);
        check(quotes(32), None, false);
        let foreign: SubjectToken = serde_json::from_str("\"11010518490307007X\"").unwrap();
        check(Asked { tokens: vec![foreign], ..Asked::default() }, None, false);
    }

    #[test]
    fn nothing_of_an_inspector_is_printed() {
        let request = InspectionRequest {
            inspectors: inspectors(&[("甲", "执-001")]),
            ..InspectionRequest::default()
        };
        let printed = format!("{request:?}");
        assert!(!printed.contains('甲') && !printed.contains("001"), "{printed}");
        assert!(printed.contains("Inspector(…)"));
    }
}
