//! Enrolment: a one-time code and a proof that the sender holds the key it asks a grant for.
//! Never contains a secret of the terminal; the answer contains the pepper and travels over TLS only.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{DocumentError, PreviousChain, open, seal};
use crate::ids::Pepper;
use crate::jws::Form;
use crate::signer::{Jwk, PublicKey, Signer};
use crate::time::WallTime;

const KIND: &str = "enrolment";

/// What the terminal's key signs to prove that it is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentWish {
    pub code: String,
    /// Seconds since 1970 by the terminal's clock.
    pub iat: i64,
    /// Last cosigned head of the chain that this enrolment replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<PreviousChain>,
}

/// Body of `POST /v1/enrolments`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentRequest {
    pub code: String,
    pub jwk: Jwk,
    /// [`EnrolmentWish`], signed by that key.
    pub proof: String,
}

impl EnrolmentRequest {
    /// # Errors
    /// When the signer fails.
    pub fn new(
        code: &str,
        prev: Option<PreviousChain>,
        now: WallTime,
        signer: &dyn Signer,
    ) -> Result<Self, DocumentError> {
        let wish = EnrolmentWish { code: code.to_owned(), iat: now.seconds(), prev };
        let proof = seal(KIND, &wish, Form::ENROLMENT, signer)?;
        Ok(Self { code: wish.code, jwk: signer.public_key().to_jwk(), proof })
    }

    /// Checks that the sender holds the key and meant this code.
    ///
    /// # Errors
    /// [`DocumentError`] when key, proof or code do not belong together.
    pub fn verify(&self) -> Result<(PublicKey, EnrolmentWish), DocumentError> {
        let key =
            PublicKey::from_jwk(&self.jwk).map_err(|source| DocumentError::Key { kind: KIND, source })?;
        let wish: EnrolmentWish = open(KIND, &self.proof, Form::ENROLMENT, key)?;
        if wish.code != self.code {
            return Err(DocumentError::Range { kind: KIND, member: "code" });
        }
        Ok((key, wish))
    }
}

/// Answer to an enrolment. The caller pins `authority` and `witness` for the life of the chain.
#[derive(Clone, Serialize, Deserialize)]
pub struct EnrolmentAnswer {
    pub grant: String,
    /// Base64url of the tenant's 32 secret bytes.
    pub pepper: String,
    pub policy: String,
    pub witness: String,
    pub authority: Jwk,
}

impl EnrolmentAnswer {
    pub fn encode_pepper(pepper: &Pepper) -> String {
        URL_SAFE_NO_PAD.encode(pepper.expose())
    }

    /// `None` when it is not 32 bytes of base64url.
    pub fn pepper(&self) -> Option<Pepper> {
        Some(Pepper::new(URL_SAFE_NO_PAD.decode(&self.pepper).ok()?.try_into().ok()?))
    }
}

impl fmt::Debug for EnrolmentAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolmentAnswer").field("grant", &self.grant).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::{Seed, SoftwareSigner};

    fn signer(byte: u8) -> SoftwareSigner {
        SoftwareSigner::from_seed(&Seed::take(&mut [byte; 32]))
    }

    #[test]
    fn the_proof_binds_key_and_code() {
        let request = EnrolmentRequest::new("A-1", None, WallTime(5000), &signer(1)).unwrap();
        let (key, wish) = request.verify().unwrap();
        assert_eq!((key, wish.code.as_str(), wish.iat), (signer(1).public_key(), "A-1", 5));

        let other_code = EnrolmentRequest { code: "A-2".into(), ..request.clone() };
        assert!(matches!(other_code.verify(), Err(DocumentError::Range { member: "code", .. })));
        let other_key = EnrolmentRequest { jwk: signer(2).public_key().to_jwk(), ..request };
        assert!(matches!(other_key.verify(), Err(DocumentError::Signature { .. })));
    }

    #[test]
    fn the_pepper_travels_and_never_prints() {
        let answer = EnrolmentAnswer {
            grant: "g".into(),
            pepper: EnrolmentAnswer::encode_pepper(&Pepper::new([9; 32])),
            policy: "p".into(),
            witness: "w".into(),
            authority: signer(1).public_key().to_jwk(),
        };
        assert_eq!(answer.pepper().unwrap().expose(), &[9; 32]);
        assert!(!format!("{answer:?}").contains(&answer.pepper));
    }
}
