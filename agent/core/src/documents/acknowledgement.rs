//! A terminal's word that it has verified and taken a document: which one, and when.
//! Never by whoever fetched it: the device key of the chain signs it, over the digest of the token.

use serde::{Deserialize, Serialize};

use super::{DocumentError, open, seal};
use crate::ids::ChainId;
use crate::jws::Form;
use crate::signer::{PublicKey, Signer};

const KIND: &str = "acknowledgement";

/// What an acknowledgement says, as it stands in the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcknowledgementContent {
    pub chain: ChainId,
    /// `policy`, `roster` or `orders`.
    pub kind: String,
    pub serial: u64,
    /// SHA-256 leaf hash of the signed token, base64url.
    pub digest: String,
    /// Seconds since 1970, UTC.
    pub iat: i64,
}

/// An acknowledgement whose signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    token: String,
    content: AcknowledgementContent,
}

impl Acknowledgement {
    /// Signs an acknowledgement as the terminal.
    ///
    /// # Errors
    /// As [`Self::open`], and when the signer fails.
    pub fn seal(content: &AcknowledgementContent, device: &dyn Signer) -> Result<Self, DocumentError> {
        Self::open(&seal(KIND, content, Form::ACKNOWLEDGEMENT, device)?, device.public_key())
    }

    /// # Errors
    /// [`DocumentError`] names what is wrong with signature or content.
    pub fn open(token: &str, device: PublicKey) -> Result<Self, DocumentError> {
        let content = open(KIND, token, Form::ACKNOWLEDGEMENT, device)?;
        Ok(Self { token: token.to_owned(), content })
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    pub fn content(&self) -> &AcknowledgementContent {
        &self.content
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::{Seed, SoftwareSigner};

    #[test]
    fn only_the_terminals_own_key_acknowledges() {
        let signer = |byte: u8| SoftwareSigner::from_seed(&Seed::take(&mut [byte; 32]));
        let content = AcknowledgementContent {
            chain: ChainId("0196a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b".parse().unwrap()),
            kind: "roster".into(),
            serial: 7,
            digest: "d".into(),
            iat: 5,
        };
        let sealed = Acknowledgement::seal(&content, &signer(1)).unwrap();
        let opened = Acknowledgement::open(sealed.token(), signer(1).public_key()).unwrap();
        assert_eq!(opened.content(), &content);
        let foreign = Acknowledgement::open(sealed.token(), signer(2).public_key());
        assert!(matches!(foreign, Err(DocumentError::Signature { .. })));
    }
}
