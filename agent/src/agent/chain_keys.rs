//! Which keys of the key file belong to the enrolled chain, and whether one has just taken over.
//! Never signs under a key that the journal's newest event does not bear out.

use anyhow::{Context as _, ensure};
use zhenyin_core::documents::Grant;
use zhenyin_core::ids::{ChainId, Sequence};
use zhenyin_core::jws::{self, Form};
use zhenyin_core::rotation::{ChainKeys, Handover, Signers, next_key_unverified};
use zhenyin_core::signer::{PublicKey, Signer as _, SoftwareSigner};

use crate::journal::{JournalError, JournalReader};
use crate::keystore::KeyStore;
use crate::known_key::KnownKey;

/// Events read at a time on the way back to a handover.
const SLICE: u64 = 500;

const OLDER: &str = "the key file is older than the journal: bring the newest one back, or enrol again with \
                     `zhenyin terminal enrol --again --code CODE`";

/// The keys of the chain as journal and key file agree on them. A handover that is in the journal and not yet in the
/// key file, because the run that made it ended in between, is made up for.
///
/// # Errors
/// When the key file is of another enrolment or older than the journal, or cannot be written; a [`JournalError`] when
/// a rotation is gone.
pub(super) fn settle(
    store: &mut KeyStore,
    grant: &Grant,
    reader: &JournalReader,
    size: u64,
) -> anyhow::Result<ChainKeys> {
    let Agreed { keys, taken_over } = agree(store, grant, reader, size)?;
    if let Some(at) = taken_over {
        store.take_over(grant.chain(), at).context("the key that has taken over cannot be kept")?;
    }
    Ok(keys)
}

/// What signs a checkpoint of all that the journal holds, where the agent does not: the key of the newest event, even
/// if the key file does not know yet that it has taken over. Changes nothing.
///
/// # Errors
/// As [`settle`]; and when the chain of the grant has not begun.
pub(crate) fn checkpoint_signer(
    store: &KeyStore,
    grant: &Grant,
    reader: &JournalReader,
) -> anyhow::Result<SoftwareSigner> {
    ensure!(
        reader.chains()?.last().is_some_and(|(chain, _)| *chain == grant.chain()),
        "the new chain of this terminal has not begun: start the agent first"
    );
    let size = reader.counters()?.size;
    let key = agree(store, grant, reader, size)?.keys.of_checkpoint(size);
    let retired = store.retired(grant.chain()).into_iter().map(|(_, signer)| signer);
    let mut held = retired.chain(store.next_signer()).chain([store.signer()]);
    held.find(|signer| signer.public_key() == key).context("the key file lacks the key of the newest event")
}

/// What journal and key file agree on.
struct Agreed {
    keys: ChainKeys,
    /// Where the key that waits in the key file has taken over already.
    taken_over: Option<u64>,
}

fn agree(store: &KeyStore, grant: &Grant, reader: &JournalReader, size: u64) -> anyhow::Result<Agreed> {
    check_rotations(store, grant.chain(), reader)?;
    let next = store.next_signer().map(|signer| signer.public_key());
    let taken_over = next.map(|next| handed_over_at(next, reader, size)).transpose()?.flatten();
    let keys = of_chain(store, grant, taken_over.zip(next))?;
    if let Some(last) = size.checked_sub(1)
        && let Some(sealed) = reader.events(last..size)?.pop().and_then(|event| event.jws)
    {
        jws::open(&sealed, Form::EVENT, &[keys.of_event(last)]).context(OLDER)?;
        // A rotation is still signed by the key before it: its signature bears out a file that does not know the next.
        ensure!(next_key_unverified(&sealed).is_none_or(|next| next == keys.newest()), OLDER);
    }
    Ok(Agreed { keys, taken_over })
}

/// Every private key that the chain may still ask for.
pub(super) fn signers(store: &KeyStore, grant: &Grant) -> Signers {
    let retired = store.retired(grant.chain()).into_iter();
    let held =
        retired.fold(Signers::new(Box::new(store.signer())), |held, (_, old)| held.with(Box::new(old)));
    match store.next_signer() {
        Some(next) => held.going_over_to(Box::new(next)),
        None => held,
    }
}

/// The same keys, to sign what is asked beside the chain.
pub(super) fn known(store: &KeyStore, chain: ChainId) -> KnownKey {
    let retired = store.retired(chain).into_iter().map(|(_, signer)| signer);
    KnownKey::new(store.signer(), store.next_signer().into_iter().chain(retired))
}

/// Every rotation that the key file knows of stands in the journal and can be read: retention never erases one, since
/// nobody could check without it what the new key signed.
///
/// # Errors
/// [`JournalError::Damaged`] at the first that does not, or what the journal says.
pub(crate) fn check_rotations(
    store: &KeyStore,
    chain: ChainId,
    reader: &JournalReader,
) -> Result<(), JournalError> {
    for (at, next) in handovers(store, chain) {
        let event = reader.events_of_chain(chain, at..at + 1)?.pop();
        if event.and_then(|event| next_key_unverified(&event.jws?)) != Some(next) {
            let what = "the rotation of the key, which never goes, is gone";
            return Err(JournalError::Damaged { sequence: Sequence(at), what });
        }
    }
    Ok(())
}

/// Where the chain has handed over, as the key file knows it, and to which key.
fn handovers(store: &KeyStore, chain: ChainId) -> Vec<(u64, PublicKey)> {
    let retired = store.retired(chain);
    let keys = retired.iter().skip(1).map(|(_, signer)| signer.public_key());
    let keys = keys.chain([store.signer().public_key()]);
    retired.iter().map(|(at, _)| *at).zip(keys).collect()
}

fn of_chain(
    store: &KeyStore,
    grant: &Grant,
    taken_over: Option<(u64, PublicKey)>,
) -> anyhow::Result<ChainKeys> {
    let first = store.retired(grant.chain()).into_iter().next().map(|(_, signer)| signer);
    ensure!(
        first.unwrap_or_else(|| store.signer()).public_key() == grant.device_key(),
        "the key file is not the one that this terminal was enrolled with: bring that one back, or enrol again \
         with `zhenyin terminal enrol --again --code CODE`"
    );
    let later = handovers(store, grant.chain()).into_iter().chain(taken_over);
    let handovers: Vec<_> = later.map(|(at, key)| Handover { at, jwk: key.to_jwk() }).collect();
    ChainKeys::restore(grant.device_key(), &handovers).context("the key file tells no order of its keys")
}

/// Where the chain has handed over to `next`: looked for from the end, no further than that key has signed.
fn handed_over_at(next: PublicKey, reader: &JournalReader, size: u64) -> anyhow::Result<Option<u64>> {
    let mut end = size;
    while end > 0 {
        let first = end.saturating_sub(SLICE);
        for event in reader.events(first..end)?.into_iter().rev() {
            // Rotations outlive their retention; whatever was erased is none.
            let Some(sealed) = event.jws else { continue };
            if next_key_unverified(&sealed) == Some(next) {
                return Ok(Some(event.sequence.0));
            }
            if jws::open(&sealed, Form::EVENT, &[next]).is_err() {
                return Ok(None);
            }
        }
        end = first;
    }
    Ok(None)
}
