//! A person enrolled on this terminal: who, in which role, with which reference and PIN.
//! Never holds a reference without the consent that allowed it; never prints a name.

use serde::{Deserialize, Serialize};

use crate::biometric::Reference;
use crate::card::PersonName;
use crate::ids::{Sequence, SubjectToken};
use crate::pin::PinVerifier;
use crate::time::WallTime;

/// Role as data (pharmacist, physician, nurse, cashier, agency-clerk …): provinces differ, code must not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Role(String);

/// Why a text is no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("role `{0}` is not 1 to 32 lower-case letters and hyphens")]
pub struct RoleError(String);

impl Role {
    pub fn parse(text: &str) -> Result<Self, RoleError> {
        let well_formed = (1..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        if well_formed { Ok(Self(text.to_owned())) } else { Err(RoleError(text.to_owned())) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Role {
    type Error = RoleError;

    fn try_from(text: String) -> Result<Self, RoleError> {
        Self::parse(&text)
    }
}

impl From<Role> for String {
    fn from(role: Role) -> Self {
        role.0
    }
}

/// The person's agreement that allowed a reference: the event that recorded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consent {
    pub event: Sequence,
    pub at: WallTime,
}

/// `role` is present for staff and absent for patients.
#[derive(Clone, Debug)]
pub struct Enrolled {
    pub token: SubjectToken,
    pub name: PersonName,
    pub role: Option<Role>,
    /// Absent when the person declined face and keeps to card and PIN.
    pub reference: Option<Reference>,
    pub pin: Option<PinVerifier>,
    /// Never to be asked to turn the head: a doubt then leads straight to the other way. No reason is kept.
    pub without_challenge: bool,
    /// Present whenever `reference` is; the terminal fills it in from what it recorded.
    pub consent: Option<Consent>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_short_plain_words() {
        for good in ["pharmacist", "agency-clerk"] {
            assert_eq!(Role::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "Pharmacist", "药师", "a b", "-a", "a-", &"a".repeat(33)] {
            assert!(Role::parse(bad).is_err(), "{bad}");
        }
    }
}
