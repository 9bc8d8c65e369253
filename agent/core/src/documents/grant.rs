//! The enrolment grant: the authority's word that this key is this terminal's, for one chain.
//! Never believed before the authority's signature was checked; the chain's first link is its hash.

use serde::{Deserialize, Serialize};

use super::{DocumentError, open, seal};
use crate::ids::{ChainId, TerminalId};
use crate::jws::Form;
use crate::merkle::{Hash, leaf_hash};
use crate::note::{KeyRole, VerifierKey};
use crate::signer::{Jwk, PublicKey, Signer};
use crate::time::WallTime;

/// The one signature suite of this build. A new suite means a new chain.
pub const SUITE: &str = "ed25519-sha256";

/// Log domain of grants that name none.
const LOG_DOMAIN: &str = "terminals.example";
const KIND: &str = "grant";

/// What a grant says, as it stands in the token. Members unknown to this build are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantContent {
    pub chain: ChainId,
    /// Seconds since 1970, UTC.
    pub iat: i64,
    pub jwk: Jwk,
    /// The last cosigned head of the chain before this one; `null` for a terminal's first chain.
    pub prev: Option<PreviousChain>,
    pub terminal: TerminalId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub institution: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// Six digits of the 行政区划.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// First part of the chain's origin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// The witness whose cosignature is a receipt, as a verifier key string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<String>,
    /// The key of all later documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<Jwk>,
}

/// Hand-over point between two chains of one terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousChain {
    pub chain: ChainId,
    pub size: u64,
    /// Base64 with padding, as in a checkpoint.
    pub root: String,
}

/// A grant whose signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    token: String,
    content: GrantContent,
    device: PublicKey,
    witness: Option<VerifierKey>,
}

impl Grant {
    /// Signs a grant as the authority and reads it back.
    ///
    /// # Errors
    /// As [`Self::open`], and when the signer fails.
    pub fn seal(content: &GrantContent, authority: &dyn Signer) -> Result<Self, DocumentError> {
        Self::open(&seal(KIND, content, Form::GRANT, authority)?, authority.public_key())
    }

    /// # Errors
    /// [`DocumentError`] names what is wrong with signature, content, suite or keys.
    pub fn open(token: &str, authority: PublicKey) -> Result<Self, DocumentError> {
        let content: GrantContent = open(KIND, token, Form::GRANT, authority)?;
        if let Some(suite) = content.suite.as_ref().filter(|suite| *suite != SUITE) {
            return Err(DocumentError::Suite { kind: KIND, suite: suite.clone() });
        }
        let device =
            PublicKey::from_jwk(&content.jwk).map_err(|source| DocumentError::Key { kind: KIND, source })?;
        let witness = match &content.witness {
            None => None,
            Some(text) => Some(
                VerifierKey::parse(text).map_err(|source| DocumentError::Witness { kind: KIND, source })?,
            ),
        };
        if witness.as_ref().is_some_and(|key| key.role() != KeyRole::Witness) {
            return Err(DocumentError::Range { kind: KIND, member: "witness" });
        }
        let grant = Self { token: token.to_owned(), content, device, witness };
        // Makes `log_key` infallible.
        VerifierKey::new(&grant.origin(), KeyRole::Log, device)
            .map_err(|_| DocumentError::Range { kind: KIND, member: "log" })?;
        Ok(grant)
    }

    /// The token as it was signed.
    pub fn token(&self) -> &str {
        &self.token
    }

    pub fn content(&self) -> &GrantContent {
        &self.content
    }

    pub fn terminal(&self) -> TerminalId {
        self.content.terminal
    }

    pub fn chain(&self) -> ChainId {
        self.content.chain
    }

    pub fn issued_at(&self) -> WallTime {
        WallTime::from_seconds(self.content.iat)
    }

    /// The terminal's first key: it signs events and checkpoints of the chain until it hands over to another.
    pub fn device_key(&self) -> PublicKey {
        self.device
    }

    /// The pinned witness, if the grant names one.
    pub fn witness(&self) -> Option<&VerifierKey> {
        self.witness.as_ref()
    }

    /// What the first event's `prevhash` must be.
    pub fn leaf(&self) -> Hash {
        leaf_hash(self.token.as_bytes())
    }

    /// `<log domain>/<terminal id>/<chain id>`: the name of the log and of its key.
    pub fn origin(&self) -> String {
        let log = self.content.log.as_deref().unwrap_or(LOG_DOMAIN);
        format!("{log}/{}/{}", self.content.terminal, self.content.chain)
    }

    /// The key under which this chain's checkpoints are checked until the terminal hands over to another.
    pub fn log_key(&self) -> VerifierKey {
        self.log_key_of(self.device)
    }

    /// As [`Self::log_key`], for a later key of the chain.
    pub fn log_key_of(&self, key: PublicKey) -> VerifierKey {
        VerifierKey::new(&self.origin(), KeyRole::Log, key).expect("checked when the grant was opened")
    }
}
