//! Publishing of signed documents. Today: the policy.
//! Never publishes a serial that does not rise.

use zhenyin_core::documents::{DocumentError, Policy, PolicyContent};
use zhenyin_core::time::WallTime;

use crate::keys::Keys;
use crate::store::{Store, StoreError, keep_document, newest_document};

pub(crate) const POLICY: &str = "policy";
/// A policy that nobody publishes anew lapses after this many seconds: 90 days.
const FIRST_POLICY_SPAN_S: i64 = 90 * 86_400;

#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("policy cannot be signed")]
    Policy(#[source] DocumentError),
    #[error("policy serial {found} is not above {held}")]
    Serial { found: u64, held: u64 },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Signs and publishes a policy.
pub(crate) fn publish_policy(
    store: &Store,
    keys: &Keys,
    content: &PolicyContent,
) -> Result<Policy, PublishError> {
    let policy = Policy::seal(content, &keys.authority).map_err(PublishError::Policy)?;
    store.change(|tx| {
        if let Some((held, _)) = newest_document(tx, POLICY)?.filter(|(held, _)| *held >= policy.serial()) {
            return Err(PublishError::Serial { found: policy.serial(), held });
        }
        keep_document(tx, POLICY, policy.serial(), policy.token())?;
        Ok(policy)
    })
}

/// Publishes a policy of defaults if there is none yet, so that the first terminal gets one.
pub(crate) fn ensure_policy(store: &Store, keys: &Keys, now: WallTime) -> Result<(), PublishError> {
    let newest = store.change(|tx| newest_document(tx, POLICY))?;
    if newest.is_none() {
        let end = WallTime::from_seconds(now.seconds() + FIRST_POLICY_SPAN_S);
        publish_policy(store, keys, &PolicyContent::new(1, now, end))?;
    }
    Ok(())
}
