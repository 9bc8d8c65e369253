//! JWS Compact Serialization (RFC 7515) with Ed25519 (RFC 8037): seal, and open strictly.
//! Never takes the algorithm or the key from the token alone: the caller says which kind and which keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::signer::{KeyError, KeyId, PublicKey, Signature, Signer, SignerError};

/// Kind of a token: what its header says in `typ` and `cty`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    pub typ: &'static str,
    pub cty: &'static str,
}

impl Form {
    pub const EVENT: Self = Self { typ: "terminal-event+jws", cty: "application/cloudevents+json" };
    pub const GRANT: Self = Self { typ: "terminal-grant+jws", cty: "application/json" };
    pub const POLICY: Self = Self { typ: "terminal-policy+jws", cty: "application/json" };
    pub const ROSTER: Self = Self { typ: "terminal-roster+jws", cty: "application/json" };
    pub const ORDERS: Self = Self { typ: "terminal-orders+jws", cty: "application/json" };
    pub const ACKNOWLEDGEMENT: Self = Self { typ: "terminal-acknowledgement+jws", cty: "application/json" };
    pub const ROTATION: Self = Self { typ: "terminal-rotation+jws", cty: "application/json" };
    pub const ENROLMENT: Self = Self { typ: "terminal-enrolment+jws", cty: "application/json" };
}

#[derive(Debug, thiserror::Error)]
pub enum JwsError {
    #[error("token has {found} parts instead of 3")]
    Parts { found: usize },
    #[error("{part} is not base64url without padding")]
    Encoding { part: &'static str },
    #[error("header is not the known set of members")]
    Header(#[source] serde_json::Error),
    #[error("`{member}` is `{found}` where `{expected}` is needed")]
    Kind { member: &'static str, found: String, expected: &'static str },
    #[error("algorithm `{0}` is not allowed")]
    Algorithm(String),
    #[error("key {0} is not among the keys allowed here")]
    UnknownKey(String),
    #[error("signature has {found} bytes instead of 64")]
    SignatureLength { found: usize },
    #[error("signature is false")]
    Signature(#[source] KeyError),
}

/// A token whose signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub payload: Vec<u8>,
    pub key: PublicKey,
}

/// Signs a payload. The header is written byte for byte in the order `alg, cty, kid, typ`.
///
/// # Errors
/// Whatever the signer says.
pub fn seal(form: Form, payload: &str, signer: &dyn Signer) -> Result<String, SignerError> {
    let header = format!(
        r#"{{"alg":"EdDSA","cty":"{}","kid":"{}","typ":"{}"}}"#,
        form.cty,
        signer.public_key().key_id(),
        form.typ
    );
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut token);
    let signature = signer.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature.0, &mut token);
    Ok(token)
}

/// Verifies a token of one form under one of the allowed keys.
///
/// # Errors
/// [`JwsError`] names the first thing that is wrong; nothing of the payload may be used then.
pub fn open(token: &str, form: Form, allowed: &[PublicKey]) -> Result<Opened, JwsError> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        return Err(JwsError::Parts { found: parts.len() });
    };
    let key = check_header(&decode("header", header)?, form, allowed)?;
    let signature = decode("signature", signature)?;
    let signature =
        signature.try_into().map_err(|s: Vec<u8>| JwsError::SignatureLength { found: s.len() })?;
    let signed = &token.as_bytes()[..header.len() + 1 + payload.len()];
    key.verify(signed, &Signature(signature)).map_err(JwsError::Signature)?;
    Ok(Opened { payload: decode("payload", payload)?, key })
}

/// The payload without any check of the signature: only for what was checked before, or to choose a key.
pub fn payload_unverified(token: &str) -> Option<Vec<u8>> {
    decode("payload", token.split('.').nth(1)?).ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    cty: String,
    kid: KeyId,
    typ: String,
}

fn check_header(bytes: &[u8], form: Form, allowed: &[PublicKey]) -> Result<PublicKey, JwsError> {
    let header: Header = serde_json::from_slice(bytes).map_err(JwsError::Header)?;
    if !matches!(header.alg.as_str(), "EdDSA" | "Ed25519") {
        return Err(JwsError::Algorithm(header.alg));
    }
    for (member, found, expected) in [("typ", header.typ, form.typ), ("cty", header.cty, form.cty)] {
        if found != expected {
            return Err(JwsError::Kind { member, found, expected });
        }
    }
    allowed
        .iter()
        .find(|key| key.key_id() == header.kid)
        .copied()
        .ok_or_else(|| JwsError::UnknownKey(header.kid.as_str().to_owned()))
}

fn decode(part: &'static str, text: &str) -> Result<Vec<u8>, JwsError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| JwsError::Encoding { part })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::signer::{Seed, SoftwareSigner};

    fn signer() -> SoftwareSigner {
        SoftwareSigner::from_seed(&Seed::take(&mut [7; 32]))
    }

    fn allowed() -> [PublicKey; 1] {
        [signer().public_key()]
    }

    /// A token with any header at all, properly signed.
    fn token(header: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode("{}"));
        let signature = signer().sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.0))
    }

    fn header(alg: &str, more: &str) -> String {
        let kid = signer().public_key().key_id();
        format!(
            r#"{{"alg":"{alg}","cty":"application/json","kid":"{kid}","typ":"terminal-grant+jws"{more}}}"#
        )
    }

    #[test]
    fn both_names_of_the_algorithm_open() {
        for alg in ["EdDSA", "Ed25519"] {
            assert_eq!(open(&token(&header(alg, "")), Form::GRANT, &allowed()).unwrap().payload, b"{}");
        }
        assert_eq!(
            seal(Form::GRANT, "{}", &signer()).unwrap(),
            token(&header("EdDSA", "")),
            "sealed tokens carry exactly this header"
        );
    }

    #[test]
    fn forged_headers_are_refused_though_signed() {
        let check = |text: String, want: &str| {
            let error = open(&token(&text), Form::GRANT, &allowed()).unwrap_err();
            assert!(format!("{error:?}").starts_with(want), "{text}: {error:?}");
        };
        check(header("none", ""), "Algorithm");
        check(header("HS256", ""), "Algorithm");
        check(header("EdDSA", r#","crit":["b64"],"b64":false"#), "Header");
        check(header("EdDSA", r#","alg":"EdDSA""#), "Header");
        check(header("EdDSA", r#","jwk":{}"#), "Header");
        check(header("EdDSA", "").replace("grant", "event"), "Kind");
        check(header("EdDSA", "").replace("application/json", "text/plain"), "Kind");
        check(header("EdDSA", "").replace(signer().public_key().key_id().as_str(), "x"), "UnknownKey");
        check(String::new(), "Header");
    }

    #[test]
    fn other_shapes_are_refused() {
        let good = token(&header("EdDSA", ""));
        let parts: Vec<&str> = good.split('.').collect();
        for bad in [
            String::new(),
            format!("{good}.x"),
            format!("{good}="),
            format!("{}.{}", parts[0], parts[1]),
            format!("{}.{}=.{}", parts[0], parts[1], parts[2]),
            format!("{}.{}. {}", parts[0], parts[1], parts[2]),
            format!("{}.{}.{}", parts[0], parts[1], &parts[2][..43]),
            format!("{}.{}.", parts[0], parts[1]),
        ] {
            assert!(open(&bad, Form::GRANT, &allowed()).is_err(), "{bad}");
        }
        let other = SoftwareSigner::from_seed(&Seed::take(&mut [8; 32])).public_key();
        assert!(matches!(open(&good, Form::GRANT, &[other]), Err(JwsError::UnknownKey(_))));
    }

    #[test]
    fn a_second_spelling_of_the_last_character_is_refused() {
        let good = token(&header("EdDSA", ""));
        // The last character of a 64-byte signature carries 2 bits; the other 4 must be zero.
        let last = good.chars().last().unwrap();
        let twin = char::from(last as u8 + 1);
        assert!(open(&format!("{}{twin}", &good[..good.len() - 1]), Form::GRANT, &allowed()).is_err());
    }

    proptest! {
        #[test]
        fn any_changed_byte_is_noticed(at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let mut bytes = seal(Form::EVENT, r#"{"a":1}"#, &signer()).unwrap().into_bytes();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != to);
            bytes[at] = to;
            if let Ok(text) = String::from_utf8(bytes) {
                prop_assert!(open(&text, Form::EVENT, &allowed()).is_err());
            }
        }
    }
}
