//! What is presented at the desk besides a social security card: a resident identity card, a scanned code.
//! Never prints a number, a name or a code; they are zeroed when dropped. A code is opaque: nothing here reads it.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::card::{CardWarning, PersonName};
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
        let mut text = format!("resident-id/{}", self.number.0);
        let token = pepper.token(SubjectKind::Card, &text);
        text.zeroize();
        token
    }
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
