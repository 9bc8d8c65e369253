//! The terminal's own enrolment: a one-time code is traded for grant, pepper, policy and pinned keys.
//! Never takes a grant that is not for this terminal's key. The pepper goes into the keystore, not here.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zhenyin_core::documents::{DocumentError, EnrolmentAnswer, EnrolmentRequest, Grant, PreviousChain};
use zhenyin_core::ids::{ChainId, TerminalId};
use zhenyin_core::note::{NoteError, VerifierKey};
use zhenyin_core::signer::{Jwk, KeyError, PublicKey, Signer as _};
use zhenyin_core::time::Now;
use zhenyin_core::verify::ExportHeader;

use crate::durable_file::{self, FileError};
use crate::journal::{self, JournalError, JournalReader, asides};
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
    #[error("agent is at work with the enrolment that is to be replaced: stop it first")]
    AtWork(#[source] JournalError),
    #[error("pepper is not 32 bytes")]
    Pepper,
    #[error("pepper cannot be kept")]
    Keys(#[source] KeyStoreError),
    #[error("grant is for another key than this terminal's")]
    ForeignKey,
    #[error("code is for another terminal than this one")]
    ForeignTerminal,
}

/// What a terminal holds after its enrolment.
pub struct TerminalEnrolment {
    pub grant: Grant,
    /// The policy that came with the grant; a newer one may be kept beside it.
    pub policy: String,
    pub authority: PublicKey,
    pub witness: VerifierKey,
    /// The chain that this enrolment follows, if the terminal was enrolled again.
    pub replaces: Option<ChainId>,
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
        let enrolment = exchange(upstream, code, keys, None, now).await?;
        enrolment.keep(state)
    }

    /// Trades `code` for a grant of a new chain, which hangs from the last head of the one before that the upstream has. For a
    /// journal that was set aside, and for a terminal that is given to somebody else.
    ///
    /// # Errors
    /// [`TerminalEnrolmentError::AtWork`] beside a running agent, before the code is used; else
    /// [`TerminalEnrolmentError`]; the terminal is enrolled as it was before.
    pub async fn obtain_again(
        state: &Path,
        upstream: &Upstream,
        code: &str,
        keys: &mut KeyStore,
        now: Now,
    ) -> Result<Self, TerminalEnrolmentError> {
        let held = Self::load(state)?;
        let chain = held.grant.chain();
        // The grant will name the key that signs now: nobody may rotate it until that is kept.
        let folder = state.join("journal");
        durable_file::private_dir(&folder).map_err(TerminalEnrolmentError::File)?;
        let _idle = journal::lock(&folder).map_err(TerminalEnrolmentError::AtWork)?;
        let prev = last_receipted(&folder, keys, chain);
        let mut enrolment = exchange(upstream, code, keys, Some((held.grant.terminal(), prev)), now).await?;
        enrolment.replaces = Some(chain);
        let old = std::fs::read(file(state))
            .map_err(|source| TerminalEnrolmentError::Unreadable { path: file(state), source })?;
        let aside = state.join("keys").join(format!("enrolment-{chain}.json"));
        durable_file::replace(&aside, &old).map_err(TerminalEnrolmentError::File)?;
        enrolment.keep(state)
    }
}

/// Asks the upstream, and keeps the pepper that comes with the answer.
async fn exchange(
    upstream: &Upstream,
    code: &str,
    keys: &mut KeyStore,
    again: Option<(TerminalId, Option<PreviousChain>)>,
    now: Now,
) -> Result<Kept, TerminalEnrolmentError> {
    let device = keys.signer();
    let (terminal, prev) = again.unzip();
    let request = EnrolmentRequest::new(code, prev.flatten(), now.wall, &device)
        .map_err(TerminalEnrolmentError::Request)?;
    let answer = upstream.enrol(&request).await.map_err(TerminalEnrolmentError::Upstream)?;
    let pepper = answer.pepper().ok_or(TerminalEnrolmentError::Pepper)?;
    let EnrolmentAnswer { grant, policy, witness, authority, .. } = answer;
    let kept = Kept { grant, policy, witness, authority, replaces: None };
    let enrolment = kept.open()?;
    if enrolment.grant.device_key() != device.public_key() {
        return Err(TerminalEnrolmentError::ForeignKey);
    }
    if terminal.is_some_and(|terminal| terminal != enrolment.grant.terminal()) {
        return Err(TerminalEnrolmentError::ForeignTerminal);
    }
    keys.set_pepper(pepper).map_err(TerminalEnrolmentError::Keys)?;
    Ok(kept)
}

/// The newest receipt of a chain, from its journal or from what was set aside of it, if there is one left: the upstream
/// compares it with its own and grants what follows its own newest one.
fn last_receipted(journal: &Path, keys: &KeyStore, chain: ChainId) -> Option<PreviousChain> {
    let set_aside = asides(journal).into_iter().rfind(|aside| aside.chain == chain);
    let folders = [Some(journal), set_aside.as_ref().map(|aside| aside.folder.as_path())];
    folders.into_iter().flatten().find_map(|folder| {
        let reader = JournalReader::open(folder, keys.journal_key()).ok()?;
        let receipt = reader.receipts(chain).ok()?.pop()?;
        let root = receipt.note.lines().nth(2)?.to_owned();
        Some(PreviousChain { chain, size: receipt.size, root })
    })
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaces: Option<ChainId>,
}

impl Kept {
    fn text(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts can be written as JSON")
    }

    fn keep(&self, state: &Path) -> Result<TerminalEnrolment, TerminalEnrolmentError> {
        let enrolment = self.open()?;
        durable_file::replace(&file(state), &self.text()).map_err(TerminalEnrolmentError::File)?;
        Ok(enrolment)
    }

    fn open(&self) -> Result<TerminalEnrolment, TerminalEnrolmentError> {
        let authority = PublicKey::from_jwk(&self.authority).map_err(TerminalEnrolmentError::Authority)?;
        Ok(TerminalEnrolment {
            grant: Grant::open(&self.grant, authority).map_err(TerminalEnrolmentError::Grant)?,
            witness: VerifierKey::parse(&self.witness).map_err(TerminalEnrolmentError::Witness)?,
            policy: self.policy.clone(),
            authority,
            replaces: self.replaces,
        })
    }
}

fn file(state: &Path) -> PathBuf {
    state.join("keys").join("enrolment.json")
}
