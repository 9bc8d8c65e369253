//! Signed documents of the authority: what a terminal may and must do, verified before it is believed.
//! Never takes an older document over a newer one, and never an expired one as if it were in force.

mod acknowledgement;
mod enrolment;
mod grant;
mod policy;

pub use acknowledgement::{Acknowledgement, AcknowledgementContent};
pub use enrolment::{EnrolmentAnswer, EnrolmentRequest, EnrolmentWish};
pub use grant::{Grant, GrantContent, PreviousChain, SUITE};
pub use policy::{ActMode, ActPolicy, AttemptLimit, ChallengePolicy, Policy, PolicyContent};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::canonical::{self, CanonicalError};
use crate::jws::{self, Form, JwsError};
use crate::note::NoteError;
use crate::signer::{KeyError, PublicKey, Signer, SignerError};
use crate::time::WallTime;

#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    #[error("document `{kind}` is not signed as it must be")]
    Signature { kind: &'static str, source: JwsError },
    #[error("document `{kind}` has not the members it must have")]
    Content { kind: &'static str, source: serde_json::Error },
    #[error("document `{kind}` cannot be written")]
    Write { kind: &'static str, source: CanonicalError },
    #[error("document `{kind}` could not be signed")]
    Sign { kind: &'static str, source: SignerError },
    #[error("document `{kind}` has a value out of range: `{member}`")]
    Range { kind: &'static str, member: &'static str },
    #[error("document `{kind}` holds a bad key")]
    Key { kind: &'static str, source: KeyError },
    #[error("document `{kind}` names a bad witness")]
    Witness { kind: &'static str, source: NoteError },
    #[error("document `{kind}` asks for signature suite `{suite}`, this build has `{}`", SUITE)]
    Suite { kind: &'static str, suite: String },
    #[error("document `{kind}` has serial {found}, not above the {held} already in force")]
    Superseded { kind: &'static str, found: u64, held: u64 },
    #[error("document `{kind}` expired at {at}", at = .at.rfc3339())]
    Expired { kind: &'static str, at: WallTime },
}

fn open<T: DeserializeOwned>(
    kind: &'static str,
    token: &str,
    form: Form,
    key: PublicKey,
) -> Result<T, DocumentError> {
    let opened =
        jws::open(token, form, &[key]).map_err(|source| DocumentError::Signature { kind, source })?;
    serde_json::from_slice(&opened.payload).map_err(|source| DocumentError::Content { kind, source })
}

fn seal(
    kind: &'static str,
    content: &impl Serialize,
    form: Form,
    signer: &dyn Signer,
) -> Result<String, DocumentError> {
    let payload = canonical::to_string(content).map_err(|source| DocumentError::Write { kind, source })?;
    jws::seal(form, &payload, signer).map_err(|source| DocumentError::Sign { kind, source })
}
