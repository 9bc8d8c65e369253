//! What is presented at the desk besides a social security card: a resident identity card, a scanned code, a number
//! that somebody types to look it up.
//! Never prints a number, a name or a code; they are zeroed when dropped. A code is opaque: nothing here reads it.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::card::{CardWarning, IdNumber, IdNumberError, PersonName};
use crate::ids::{Pepper, SubjectKind, SubjectToken};

/// The holder as a resident identity card names them.
#[derive(Clone, PartialEq, Eq)]
pub struct ResidentHolder {
    /// A citizen's identity number, or the fifteen characters of a foreigner's card.
    number: HolderNumber,
    pub name: PersonName,
    pub warnings: Vec<CardWarning>,
}

impl ResidentHolder {
    /// `number` has been checked by whoever read the card.
    pub fn new(number: &str, name: PersonName, warnings: Vec<CardWarning>) -> Self {
        Self { number: HolderNumber(number.to_owned()), name, warnings }
    }

    /// The person: the same as with their social security card, where both carry the same number.
    pub fn patient(&self, pepper: &Pepper) -> SubjectToken {
        pepper.token(SubjectKind::Patient, &self.number.0)
    }

    /// The card as an object. It has no number of its own that a reader could tell.
    pub fn card(&self, pepper: &Pepper) -> SubjectToken {
        resident_card(&self.number.0, pepper)
    }

    /// Every token under which events may tell of this person or card.
    pub fn tokens(&self, pepper: &Pepper) -> Vec<SubjectToken> {
        holder_tokens(&self.number.0, pepper)
    }
}

/// A number that was typed to find what the record says of a person or a card: the identity number of the holder, or
/// the code of a social security card. It is good for its tokens only.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct TypedNumber {
    /// As tokens are made from it.
    text: String,
    is_card_code: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypedNumberError {
    #[error("identity number was mistyped")]
    Identity(#[source] IdNumberError),
    #[error(
        "it is neither an identity number of 18 or 15 characters nor a card code of 32 hexadecimal digits; \
         the number printed on a social security card is in no event"
    )]
    Form,
}

impl TypedNumber {
    /// Spaces and the case of letters do not count.
    ///
    /// # Errors
    /// [`TypedNumberError`]; nothing of what was typed is in it.
    pub fn parse(typed: &str) -> Result<Self, TypedNumberError> {
        // Sized at once: growing would leave parts of the number behind.
        let mut text = String::with_capacity(typed.len());
        text.extend(typed.split_whitespace());
        text.make_ascii_uppercase();
        // A foreigner's permanent residence card: three letters of the country, twelve digits.
        let foreign = |bytes: &[u8]| {
            bytes.len() == 15
                && bytes[..3].iter().all(u8::is_ascii_uppercase)
                && bytes[3..].iter().all(u8::is_ascii_digit)
        };
        let is_card_code = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let typed = Self { text, is_card_code };
        if typed.text.len() == 18 {
            IdNumber::parse(&typed.text).map_err(TypedNumberError::Identity)?;
        } else if !is_card_code && !foreign(typed.text.as_bytes()) {
            return Err(TypedNumberError::Form);
        }
        Ok(typed)
    }

    /// Every token under which events may tell of this person or card.
    pub fn tokens(&self, pepper: &Pepper) -> Vec<SubjectToken> {
        if self.is_card_code {
            vec![pepper.token(SubjectKind::Card, &self.text)]
        } else {
            holder_tokens(&self.text, pepper)
        }
    }
}

/// As patient, as a member of staff, and the resident card that carries the number.
pub(crate) fn holder_tokens(number: &str, pepper: &Pepper) -> Vec<SubjectToken> {
    let person = [SubjectKind::Patient, SubjectKind::Operator].map(|kind| pepper.token(kind, number));
    person.into_iter().chain([resident_card(number, pepper)]).collect()
}

fn resident_card(number: &str, pepper: &Pepper) -> SubjectToken {
    let mut text = format!("resident-id/{number}");
    let token = pepper.token(SubjectKind::Card, &text);
    text.zeroize();
    token
}

/// What a scanner read: a code of the medical insurance or a trace code on a box. Who can tell which does not sit here:
/// the text goes to whoever follows the visit, once, and no event has it.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScannedCode(String);

impl ScannedCode {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// For whoever can ask what the code means; never to be logged or kept.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// All that is ever kept of a code: the same code has the same token, and no token leads back to its code.
    pub fn token(&self, pepper: &Pepper) -> SubjectToken {
        let mut text = format!("code/{}", self.0);
        let token = pepper.token(SubjectKind::Card, &text);
        text.zeroize();
        token
    }
}

#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
struct HolderNumber(String);

impl fmt::Debug for ResidentHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResidentHolder(…, {:?})", self.warnings)
    }
}

impl fmt::Debug for TypedNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypedNumber(…)")
    }
}

impl fmt::Debug for ScannedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScannedCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBER: &str = "11010518490307007X";

    #[test]
    fn a_person_is_the_same_whichever_card_they_show() {
        let pepper = Pepper::new([7; 32]);
        let holder = ResidentHolder::new(NUMBER, PersonName::new("张三"), vec![]);
        assert_eq!(holder.patient(&pepper), pepper.token(SubjectKind::Patient, NUMBER));
        // The card's token must not lead to the person's by its prefix alone.
        assert_ne!(holder.card(&pepper).as_str()[3..], holder.patient(&pepper).as_str()[3..]);
    }

    #[test]
    fn a_typed_number_finds_what_the_card_left() {
        let pepper = Pepper::new([7; 32]);
        let holder = ResidentHolder::new(NUMBER, PersonName::new("张三"), vec![]);
        let operator = pepper.token(SubjectKind::Operator, NUMBER);
        for typed in [NUMBER, "110105 18490307 007x", " 11010518490307007x\n"] {
            let tokens = TypedNumber::parse(typed).unwrap().tokens(&pepper);
            assert_eq!(tokens, holder.tokens(&pepper), "{typed}");
            assert_eq!(tokens, [holder.patient(&pepper), operator.clone(), holder.card(&pepper)]);
        }
        let code = crate::card::CardCode::new([0xAB; 16]);
        let card = pepper.token(SubjectKind::Card, &code.to_hex());
        assert_eq!(TypedNumber::parse(&"ab".repeat(16)).unwrap().tokens(&pepper), [card]);
        assert_eq!(TypedNumber::parse("ABC184903070071").unwrap().tokens(&pepper).len(), 3);
        let printed = format!("{:?}", TypedNumber::parse(NUMBER).unwrap());
        assert_eq!(printed, "TypedNumber(…)");
    }

    #[test]
    fn a_mistyped_number_is_named_and_not_repeated() {
        let check = |typed: &str, identity: bool| {
            let error = TypedNumber::parse(typed).unwrap_err();
            assert_eq!(matches!(error, TypedNumberError::Identity(_)), identity, "{typed}");
            let mut said = format!("{error} {error:?}");
            said += &std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            assert!(typed.is_empty() || !said.contains(typed), "{said}");
        };
        check("110105184903070079", true);
        check("11010518490337007X", true);
        check("1101051849030700ⅩX", false);
        check("A12345678", false);
        check(&"g".repeat(32), false);
        check("AB1184903070071", false);
        check("", false);
    }

    #[test]
    fn codes_are_told_apart_and_never_printed() {
        let pepper = Pepper::new([7; 32]);
        let code = |text: &str| ScannedCode::new(text).token(&pepper);
        assert_eq!(code("2800011101"), code("2800011101"));
        assert_ne!(code("2800011101"), code("2800011102"));
        assert_ne!(code(NUMBER), pepper.token(SubjectKind::Card, NUMBER));
        let holder = ResidentHolder::new(NUMBER, PersonName::new("张三"), vec![]);
        let printed = format!("{:?} {holder:?}", ScannedCode::new("2800011101"));
        assert_eq!(printed, "ScannedCode(…) ResidentHolder(…, [])");
    }
}
