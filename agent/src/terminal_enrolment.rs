//! The terminal's own enrolment: a one-time code is traded for grant, pepper, policy and pinned keys.
//! Never takes a grant that is not for this terminal's key. The pepper goes into the keystore, not here.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zhenyin_core::documents::{DocumentError, EnrolmentAnswer, EnrolmentRequest, Grant};
use zhenyin_core::note::{NoteError, VerifierKey};
use zhenyin_core::signer::{Jwk, KeyError, PublicKey, Signer as _};
use zhenyin_core::time::Now;
use zhenyin_core::verify::ExportHeader;

use crate::durable_file::{self, FileError};
use crate::keystore::{KeyStore, KeyStoreError};
use crate::upstream::{Upstream, UpstreamError};

#[derive(Debug, thiserror::Error)]
pub enum TerminalEnrolmentError {
    #[error("this terminal is not enrolled: run `zhenyin terminal enrol --code CODE` first")]
    NotEnrolled,
    #[error("this terminal is enrolled already, as {terminal}")]
    Enrolled { terminal: String },
    #[error("enrolment file `{}` cannot be read", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("enrolment file `{}` is damaged: {what}", path.display())]
    Damaged { path: PathBuf, what: &'static str },
    #[error("enrolment file cannot be used")]
    File(#[source] FileError),
    #[error("enrolment request cannot be made")]
    Request(#[source] DocumentError),
    #[error("upstream gave no enrolment")]
    Upstream(#[source] UpstreamError),
    #[error("grant is not valid")]
    Grant(#[source] DocumentError),
    #[error("authority key is not valid")]
    Authority(#[source] KeyError),
    #[error("witness key is not valid")]
    Witness(#[source] NoteError),
    #[error("pepper is not 32 bytes")]
    Pepper,
    #[error("pepper cannot be kept")]
    Keys(#[source] KeyStoreError),
    #[error("grant is for another key than this terminal's")]
    ForeignKey,
}

/// What a terminal holds after its enrolment.
pub struct TerminalEnrolment {
    pub grant: Grant,
    /// The policy that came with the grant; a newer one may be kept beside it.
    pub policy: String,
    pub authority: PublicKey,
    pub witness: VerifierKey,
}

impl TerminalEnrolment {
    /// # Errors
    /// [`TerminalEnrolmentError::NotEnrolled`] when there is none yet.
    pub fn load(state: &Path) -> Result<Self, TerminalEnrolmentError> {
        let path = file(state);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(TerminalEnrolmentError::NotEnrolled);
            }
            Err(source) => return Err(TerminalEnrolmentError::Unreadable { path, source }),
            Ok(text) => text,
        };
        durable_file::check_private(&path).map_err(TerminalEnrolmentError::File)?;
        let kept: Kept = serde_json::from_slice(&text)
            .map_err(|_| TerminalEnrolmentError::Damaged { path, what: "not the JSON that was written" })?;
        kept.open()
    }

    /// Trades `code` for a grant and keeps what comes.
    ///
    /// # Errors
    /// [`TerminalEnrolmentError`]; the terminal is as enrolled or not as it was before.
    pub async fn obtain(
        state: &Path,
        upstream: &Upstream,
        code: &str,
        keys: &mut KeyStore,
        now: Now,
    ) -> Result<Self, TerminalEnrolmentError> {
        if let Ok(held) = Self::load(state) {
            return Err(TerminalEnrolmentError::Enrolled { terminal: held.grant.terminal().to_string() });
        }
        let device = keys.signer();
        let request =
            EnrolmentRequest::new(code, None, now.wall, &device).map_err(TerminalEnrolmentError::Request)?;
        let answer = upstream.enrol(&request).await.map_err(TerminalEnrolmentError::Upstream)?;
        let pepper = answer.pepper().ok_or(TerminalEnrolmentError::Pepper)?;
        let EnrolmentAnswer { grant, policy, witness, authority, .. } = answer;
        let kept = Kept { grant, policy, witness, authority };
        let enrolment = kept.open()?;
        if enrolment.grant.device_key() != device.public_key() {
            return Err(TerminalEnrolmentError::ForeignKey);
        }
        keys.set_pepper(pepper).map_err(TerminalEnrolmentError::Keys)?;
        let text = serde_json::to_vec(&kept).expect("four texts can be written as JSON");
        durable_file::replace(&file(state), &text).map_err(TerminalEnrolmentError::File)?;
        Ok(enrolment)
    }
}

impl TerminalEnrolment {
    /// What a verifier must hold beside events and notes.
    pub fn export_header(&self) -> ExportHeader {
        ExportHeader {
            authority: self.authority.to_jwk(),
            grant: self.grant.token().to_owned(),
            origin: self.grant.origin(),
            witness: Some(self.witness.to_string()),
        }
    }
}

/// The file's content: nothing secret, everything pinned.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    grant: String,
    policy: String,
    witness: String,
    authority: Jwk,
}

impl Kept {
    fn open(&self) -> Result<TerminalEnrolment, TerminalEnrolmentError> {
        let authority = PublicKey::from_jwk(&self.authority).map_err(TerminalEnrolmentError::Authority)?;
        Ok(TerminalEnrolment {
            grant: Grant::open(&self.grant, authority).map_err(TerminalEnrolmentError::Grant)?,
            witness: VerifierKey::parse(&self.witness).map_err(TerminalEnrolmentError::Witness)?,
            policy: self.policy.clone(),
            authority,
        })
    }
}

fn file(state: &Path) -> PathBuf {
    state.join("keys").join("enrolment.json")
}
