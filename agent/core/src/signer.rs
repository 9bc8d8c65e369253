//! Ed25519 keys and signatures: the one signature suite of today, and the seam to whatever holds a key.
//! Never prints a private key, and never takes a public key that verifies for everybody (small order).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, ZeroizeOnDrop};

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("public key is not 32 bytes of base64url")]
    Encoding,
    #[error("public key is no point that an honest device would make")]
    Point,
    #[error("key is not of type `OKP` on curve `Ed25519`: `{kty}`, `{crv}`")]
    Kind { kty: String, crv: String },
    #[error("signature does not fit the message and key {key}")]
    Signature { key: KeyId },
}

/// RFC 7638 thumbprint of a public key, 43 characters of base64url.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A public key as JSON Web Key (RFC 8037). Members beyond these three are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    pub crv: String,
    pub kty: String,
    pub x: String,
}

/// An Ed25519 public key that is safe to verify with.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// # Errors
    /// [`KeyError::Point`] when the bytes are a point of small order or not in reduced form.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        let mut y = bytes;
        y[31] &= 0x7f;
        if SMALL_ORDER.contains(&y) || !is_reduced(&y) {
            return Err(KeyError::Point);
        }
        Ok(Self(bytes))
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// # Errors
    /// [`KeyError::Kind`] for any other kind of key, else as [`Self::from_bytes`].
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, KeyError> {
        if jwk.kty != "OKP" || jwk.crv != "Ed25519" {
            return Err(KeyError::Kind { kty: jwk.kty.clone(), crv: jwk.crv.clone() });
        }
        let bytes = URL_SAFE_NO_PAD.decode(&jwk.x).map_err(|_| KeyError::Encoding)?;
        Self::from_bytes(bytes.try_into().map_err(|_| KeyError::Encoding)?)
    }

    pub fn to_jwk(&self) -> Jwk {
        Jwk { crv: "Ed25519".into(), kty: "OKP".into(), x: URL_SAFE_NO_PAD.encode(self.0) }
    }

    pub fn key_id(&self) -> KeyId {
        let x = URL_SAFE_NO_PAD.encode(self.0);
        let text = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        KeyId(URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, text.as_bytes())))
    }

    /// # Errors
    /// [`KeyError::Signature`] when the signature was not made by this key over this message.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), KeyError> {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(message, &signature.0)
            .map_err(|_| KeyError::Signature { key: self.key_id() })
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.key_id())
    }
}

/// Ed25519 signature, 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl Signature {
    fn of(bytes: ring::signature::Signature) -> Self {
        Self(bytes.as_ref().try_into().expect("an Ed25519 signature has 64 bytes"))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(…)")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The key store answered with an error, or is gone.
    #[error("key {key} could not sign")]
    Unavailable { key: KeyId, source: Box<dyn std::error::Error + Send + Sync> },
}

/// Holds one private key and signs with it. The key may live in a file, a TPM or an HSM.
pub trait Signer {
    fn public_key(&self) -> PublicKey;

    /// # Errors
    /// [`SignerError`] when the key store refuses or is gone; nothing was signed then.
    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError>;
}

/// A key held in this process's memory.
pub struct SoftwareSigner {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

/// 32 secret bytes from which an Ed25519 key pair follows. Zeroed when dropped.
#[derive(Clone, zeroize::Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 32]);

impl Seed {
    /// Takes the bytes over and zeroes the caller's copy.
    pub fn take(bytes: &mut [u8; 32]) -> Self {
        let seed = Self(*bytes);
        bytes.zeroize();
        seed
    }

    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

impl SoftwareSigner {
    pub fn from_seed(seed: &Seed) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed.0).expect("every 32 bytes are a seed");
        let public = PublicKey(pair.public_key().as_ref().try_into().expect("a public key has 32 bytes"));
        Self { pair, public }
    }
}

impl Signer for SoftwareSigner {
    fn public_key(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        Ok(Signature::of(self.pair.sign(message)))
    }
}

impl fmt::Debug for SoftwareSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SoftwareSigner({})", self.public.key_id())
    }
}

/// The y coordinates (little-endian, sign bit clear) of the eight points of small order.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    hex32("0100000000000000000000000000000000000000000000000000000000000000"),
    hex32("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    hex32("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    hex32("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
];

/// Whether y is below 2^255 − 19, so that each key has one encoding only.
fn is_reduced(y: &[u8; 32]) -> bool {
    !(y[31] == 0x7f && y[1..31].iter().all(|b| *b == 0xff) && y[0] >= 0xed)
}

const fn hex32(text: &str) -> [u8; 32] {
    const fn digit(c: u8) -> u8 {
        if c <= b'9' { c - b'0' } else { c - b'a' + 10 }
    }
    let text = text.as_bytes();
    let mut bytes = [0; 32];
    let mut at = 0;
    while at < 32 {
        bytes[at] = digit(text[2 * at]) * 16 + digit(text[2 * at + 1]);
        at += 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_thumbprints_are_those_of_the_golden_vector() {
        let check = |first: u8, public: &str, kid: &str| {
            let mut bytes: [u8; 32] = std::array::from_fn(|i| first + i as u8);
            let signer = SoftwareSigner::from_seed(&Seed::take(&mut bytes));
            assert_eq!(bytes, [0; 32], "the caller's copy is zeroed");
            assert_eq!(signer.public_key().as_bytes(), &hex32(public));
            assert_eq!(signer.public_key().key_id().as_str(), kid);
        };
        check(
            0,
            "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
            "1IG2tMH7J2wbJZnOf8LJzQitKf7LMvoAElsuDMVM54Y",
        );
        check(
            32,
            "29acbae141bccaf0b22e1a94d34d0bc7361e526d0bfe12c89794bc9322966dd7",
            "AkXIZFzonb59ZmGwyKgi3H3BwMi6amevqdKQiLZhdtc",
        );
    }

    #[test]
    fn keys_that_anybody_can_sign_for_are_refused() {
        for y in SMALL_ORDER {
            let mut signed = y;
            signed[31] |= 0x80;
            assert!(PublicKey::from_bytes(y).is_err() && PublicKey::from_bytes(signed).is_err());
        }
        for low in [0xed, 0xee, 0xff] {
            let mut y = [0xff; 32];
            y[0] = low;
            y[31] = 0x7f;
            assert!(PublicKey::from_bytes(y).is_err(), "{low:x}");
        }
        let honest = SoftwareSigner::from_seed(&Seed::take(&mut [9; 32])).public_key();
        assert!(PublicKey::from_bytes(*honest.as_bytes()).is_ok());
    }

    #[test]
    fn a_signature_fits_one_message_and_one_key_and_has_one_form() {
        let signer = SoftwareSigner::from_seed(&Seed::take(&mut [1; 32]));
        let other = SoftwareSigner::from_seed(&Seed::take(&mut [2; 32]));
        let signature = signer.sign(b"message").unwrap();
        assert!(signer.public_key().verify(b"message", &signature).is_ok());
        assert!(signer.public_key().verify(b"massage", &signature).is_err());
        assert!(other.public_key().verify(b"message", &signature).is_err());
        assert!(signer.public_key().verify(b"message", &plus_group_order(signature)).is_err());
    }

    /// The same signature with S + L: equal for a careless verifier, another byte string in the log.
    fn plus_group_order(signature: Signature) -> Signature {
        let order = hex32("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
        let mut bytes = signature.0;
        let mut carry = 0_u16;
        for (byte, add) in bytes[32..].iter_mut().zip(order) {
            carry += u16::from(*byte) + u16::from(add);
            *byte = (carry & 0xff) as u8;
            carry >>= 8;
        }
        Signature(bytes)
    }
}
