//! PINs and their verifiers: the knowledge factor beside the card (NIST SP 800-63B memorised secret).
//! Never prints a PIN or a verifier, never makes randomness: the salt comes in.

use std::fmt;
use std::num::NonZeroU32;

use ring::pbkdf2;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Rounds for a new verifier (OWASP 2023 for PBKDF2-HMAC-SHA256). Stored with each verifier, so it can rise.
pub const PIN_ITERATIONS: NonZeroU32 = NonZeroU32::new(600_000).expect("600000 is not zero");

/// 6 to 12 ASCII digits that are not the first guess.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Pin(String);

/// Why a text is refused as PIN. Carries lengths and positions only, never a digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    #[error("pin has {found} characters, not 6 to 12")]
    Length { found: usize },
    #[error("pin has a character that is not a digit at position {position}")]
    NotADigit { position: usize },
    #[error("pin is one repeated digit or a plain sequence")]
    TooSimple,
}

impl Pin {
    pub fn parse(text: &str) -> Result<Self, PinError> {
        let found = text.chars().count();
        if !(6..=12).contains(&found) {
            return Err(PinError::Length { found });
        }
        if let Some(position) = text.chars().position(|c| !c.is_ascii_digit()) {
            return Err(PinError::NotADigit { position });
        }
        let steps = || text.as_bytes().windows(2).map(|pair| (10 + pair[1] - pair[0]) % 10);
        // One repeated digit, counting up, counting down (9 is -1 modulo 10).
        if [0, 1, 9].into_iter().any(|step| steps().all(|found| found == step)) {
            return Err(PinError::TooSimple);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(…)")
    }
}

impl Serialize for Pin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Pin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = String::deserialize(deserializer)?;
        let pin = Self::parse(&text).map_err(serde::de::Error::custom);
        text.zeroize();
        pin
    }
}

/// PBKDF2-HMAC-SHA256 of a PIN, with its salt and rounds. Belongs inside a sealed record:
/// the hash alone does not protect six digits against somebody who can try all of them.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct PinVerifier {
    #[zeroize(skip)]
    iterations: NonZeroU32,
    salt: [u8; SALT_BYTES],
    hash: [u8; HASH_BYTES],
}

impl PinVerifier {
    /// Length of [`Self::to_bytes`]: iterations (u32 big-endian), salt, hash.
    pub const BYTES: usize = 4 + SALT_BYTES + HASH_BYTES;

    /// `salt` is fresh randomness; never use one twice. Takes a fraction of a second at [`PIN_ITERATIONS`].
    pub fn new(pin: &Pin, salt: [u8; SALT_BYTES], iterations: NonZeroU32) -> Self {
        let mut hash = [0; HASH_BYTES];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, pin.0.as_bytes(), &mut hash);
        Self { iterations, salt, hash }
    }

    /// Whether this is the PIN. The comparison takes the same time whatever differs.
    pub fn verify(&self, pin: &Pin) -> bool {
        let (salt, secret) = (&self.salt, pin.0.as_bytes());
        pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA256, self.iterations, salt, secret, &self.hash).is_ok()
    }

    /// For sealing; the caller zeroes the buffer.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.iterations.get().to_be_bytes());
        bytes[4..4 + SALT_BYTES].copy_from_slice(&self.salt);
        bytes[4 + SALT_BYTES..].copy_from_slice(&self.hash);
        bytes
    }

    /// The reverse of [`Self::to_bytes`]; `None` for another length, no rounds, or so many that a check would hang.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        const MOST: u32 = 100_000_000;
        if bytes.len() != Self::BYTES {
            return None;
        }
        let iterations = NonZeroU32::new(u32::from_be_bytes(bytes[..4].try_into().ok()?))?;
        (iterations.get() <= MOST).then_some(Self {
            iterations,
            salt: bytes[4..4 + SALT_BYTES].try_into().ok()?,
            hash: bytes[4 + SALT_BYTES..].try_into().ok()?,
        })
    }
}

impl fmt::Debug for PinVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinVerifier(…)")
    }
}

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(text: &str) -> Pin {
        Pin::parse(text).unwrap()
    }

    const FEW: NonZeroU32 = NonZeroU32::new(100).unwrap();

    #[test]
    fn policy_names_what_is_wrong() {
        for (text, error) in [
            ("", PinError::Length { found: 0 }),
            ("49382", PinError::Length { found: 5 }),
            ("4938271605948", PinError::Length { found: 13 }),
            ("４９３８２７", PinError::NotADigit { position: 0 }),
            ("49a827", PinError::NotADigit { position: 2 }),
            ("777777", PinError::TooSimple),
            ("123456", PinError::TooSimple),
            ("890123", PinError::TooSimple),
            ("654321", PinError::TooSimple),
        ] {
            assert_eq!(Pin::parse(text), Err(error), "{text}");
        }
        for good in ["493827", "112233", "493827160594"] {
            assert!(Pin::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn verifier_takes_its_pin_only_and_survives_storage() {
        let verifier = PinVerifier::new(&pin("493827"), [7; 16], FEW);
        let back = PinVerifier::from_bytes(&verifier.to_bytes()).unwrap();
        assert!(back.verify(&pin("493827")));
        assert!(!back.verify(&pin("493828")));
        assert_ne!(PinVerifier::new(&pin("493827"), [8; 16], FEW), verifier);
    }

    /// RFC 7914 section 11 gives PBKDF2-HMAC-SHA256("passwd", "salt", 1); ours must be the same function.
    #[test]
    fn is_pbkdf2_hmac_sha256() {
        let mut found = [0; 8];
        let one = NonZeroU32::MIN;
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, one, b"salt", b"passwd", &mut found);
        assert_eq!(found, [0x55, 0xac, 0x04, 0x6e, 0x56, 0xe3, 0x08, 0x9f]);
    }

    #[test]
    fn stored_bytes_of_another_shape_are_refused() {
        let good = PinVerifier::new(&pin("493827"), [7; 16], FEW).to_bytes();
        assert!(PinVerifier::from_bytes(&good[1..]).is_none());
        for iterations in [0, u32::MAX] {
            let mut bad = good;
            bad[..4].copy_from_slice(&iterations.to_be_bytes());
            assert!(PinVerifier::from_bytes(&bad).is_none(), "{iterations}");
        }
    }

    #[test]
    fn nothing_is_printed_and_json_is_checked() {
        let verifier = PinVerifier::new(&pin("493827"), [7; 16], FEW);
        assert_eq!(format!("{:?} {verifier:?}", pin("493827")), "Pin(…) PinVerifier(…)");
        assert_eq!(serde_json::from_str::<Pin>("\"493827\"").unwrap(), pin("493827"));
        let refused = serde_json::from_str::<Pin>("\"12345x\"").unwrap_err().to_string();
        assert!(refused.contains("position 5") && !refused.contains("12345"), "{refused}");
        assert_eq!(serde_json::to_string(&pin("493827")).unwrap(), "\"493827\"");
    }
}
