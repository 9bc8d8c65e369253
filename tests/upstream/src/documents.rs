//! Publishing of signed documents and the terminals' word that they have taken them.
//! Never publishes a serial that does not rise, and never believes an acknowledgement by another key.

use serde_json::Value;
use zhenyin_core::canonical::{self, CanonicalError};
use zhenyin_core::documents::{
    Acknowledgement as SignedAcknowledgement, DocumentError, Policy, PolicyContent,
};
use zhenyin_core::event::encode_hash;
use zhenyin_core::ids::ChainId;
use zhenyin_core::jws::{self, Form};
use zhenyin_core::merkle::leaf_hash;
use zhenyin_core::signer::{Signer as _, SignerError};
use zhenyin_core::time::WallTime;

use crate::keys::Keys;
use crate::store::{Acknowledgement, ChainRowError, Document, Store, StoreError};

pub(crate) const POLICY: &str = "policy";
/// What can be published, and how it is signed.
const FORMS: [(&str, Form); 3] = [(POLICY, Form::POLICY), ("roster", Form::ROSTER), ("orders", Form::ORDERS)];
/// A policy that nobody publishes anew lapses after this many seconds: 90 days.
const FIRST_POLICY_SPAN_S: i64 = 90 * 86_400;

#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("`{0}` is none of `policy`, `roster`, `orders`")]
    Kind(String),
    #[error("policy has not the members it must have")]
    PolicyContent(#[source] serde_json::Error),
    #[error("policy cannot be signed")]
    Policy(#[source] DocumentError),
    #[error("document is no JSON object with a whole number `serial`")]
    NoSerial,
    #[error("document cannot be written in canonical form")]
    Write(#[source] CanonicalError),
    #[error("document could not be signed")]
    Sign(#[source] SignerError),
    #[error("{kind} serial {found} is not above the newest one")]
    Serial { kind: String, found: u64 },
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum AcknowledgeError {
    #[error("chain is unknown: enrol first")]
    UnknownChain,
    #[error("stored chain cannot be read")]
    Chain(#[source] ChainRowError),
    #[error("acknowledgement is not this terminal's")]
    Signature(#[source] DocumentError),
    #[error("acknowledgement is for another chain, kind, serial or content than the newest document")]
    Other,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Signs and publishes a document of any kind; gives its serial.
pub(crate) fn publish(
    store: &dyn Store,
    keys: &Keys,
    kind: &str,
    content: &Value,
) -> Result<u64, PublishError> {
    let form = FORMS.iter().find(|(known, _)| *known == kind);
    let (_, form) = form.ok_or_else(|| PublishError::Kind(kind.to_owned()))?;
    if kind == POLICY {
        let content: PolicyContent =
            serde_json::from_value(content.clone()).map_err(PublishError::PolicyContent)?;
        return Ok(publish_policy(store, keys, &content)?.serial());
    }
    let serial = content.get("serial").and_then(Value::as_u64).ok_or(PublishError::NoSerial)?;
    let payload = canonical::to_string(content).map_err(PublishError::Write)?;
    let token = jws::seal(*form, &payload, &keys.authority).map_err(PublishError::Sign)?;
    keep(store, kind, Document { serial, token })?;
    Ok(serial)
}

/// Signs and publishes a policy.
pub(crate) fn publish_policy(
    store: &dyn Store,
    keys: &Keys,
    content: &PolicyContent,
) -> Result<Policy, PublishError> {
    let policy = Policy::seal(content, &keys.authority).map_err(PublishError::Policy)?;
    keep(store, POLICY, Document { serial: policy.serial(), token: policy.token().to_owned() })?;
    Ok(policy)
}

/// Publishes a policy of defaults if there is none yet, so that the first terminal gets one.
pub(crate) fn ensure_policy(store: &dyn Store, keys: &Keys, now: WallTime) -> Result<(), PublishError> {
    if store.newest_document(POLICY)?.is_some() {
        return Ok(());
    }
    let end = WallTime::from_seconds(now.seconds() + FIRST_POLICY_SPAN_S);
    match publish_policy(store, keys, &PolicyContent::new(1, now, end)) {
        // Another process was faster.
        Err(PublishError::Serial { .. }) => Ok(()),
        done => done.map(drop),
    }
}

/// Records that a terminal has taken the newest document of a kind.
pub(crate) fn acknowledge(
    store: &dyn Store,
    keys: &Keys,
    chain: ChainId,
    token: &str,
    now: WallTime,
) -> Result<(), AcknowledgeError> {
    let row = store.chain(chain)?.ok_or(AcknowledgeError::UnknownChain)?;
    let (_, chain_keys) = row.open(keys.authority.public_key()).map_err(AcknowledgeError::Chain)?;
    let signed =
        SignedAcknowledgement::open(token, chain_keys.newest()).map_err(AcknowledgeError::Signature)?;
    let said = signed.content();
    let newest = store.newest_document(&said.kind)?.ok_or(AcknowledgeError::Other)?;
    let same = said.chain == chain
        && said.serial == newest.serial
        && said.digest == encode_hash(&leaf_hash(newest.token.as_bytes()));
    if !same {
        return Err(AcknowledgeError::Other);
    }
    let (kind, serial, proof) = (said.kind.clone(), said.serial, signed.token().to_owned());
    Ok(store.add_acknowledgement(chain, &Acknowledgement { kind, serial, at: now, proof })?)
}

fn keep(store: &dyn Store, kind: &str, document: Document) -> Result<(), PublishError> {
    if store.add_document(kind, &document)? {
        return Ok(());
    }
    Err(PublishError::Serial { kind: kind.to_owned(), found: document.serial })
}
