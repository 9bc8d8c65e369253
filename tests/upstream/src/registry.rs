//! Enrolment of terminals: one-time codes out, grants back.
//! Never grants twice for one code, except the same grant to the same key again. A chain that follows another one
//! hangs from the newest head that was cosigned of that, whatever the terminal says it has.

use uuid::Uuid;
use zhenyin_core::documents::{
    DocumentError, EnrolmentAnswer, EnrolmentRequest, Grant, GrantContent, PreviousChain, SUITE,
};
use zhenyin_core::ids::{ChainId, TerminalId};
use zhenyin_core::merkle::leaf_hash;
use zhenyin_core::note::Note;
use zhenyin_core::signer::{PublicKey, Signer as _};
use zhenyin_core::time::WallTime;

use crate::documents::POLICY;
use crate::keys::{KeyFileError, Keys, random};
use crate::store::{Alarm, CodeRow, NewCode, Store, StoreError, UsedCode};

/// A code lapses after a day: it is typed in while somebody stands at the terminal.
const CODE_SPAN_MS: i64 = 86_400_000;
/// First part of every origin.
const LOG_DOMAIN: &str = "terminals.example";
/// Crockford's digits: none can be taken for another.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("code is unknown, used or lapsed: ask for a new one")]
    Code,
    #[error("request does not prove that its key is held")]
    Proof(#[source] DocumentError),
    #[error("grant could not be signed")]
    Grant(#[source] DocumentError),
    #[error("previous chain is another terminal's than the code's")]
    Previous,
    #[error("no policy is published")]
    NoPolicy,
    #[error(transparent)]
    Key(#[from] KeyFileError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which terminal a code is for.
#[derive(Clone, Debug, Default)]
pub struct TerminalInfo {
    /// An existing terminal that is enrolled again; `None` for a new one.
    pub terminal: Option<TerminalId>,
    pub institution: String,
    pub department: String,
    /// Six digits of the 行政区划.
    pub region: String,
}

/// Makes a one-time code: 16 digits of base 32 (80 bits) in groups of four.
pub(crate) fn mint_code(
    store: &dyn Store,
    info: &TerminalInfo,
    now: WallTime,
) -> Result<String, RegistryError> {
    let terminal = match info.terminal {
        Some(terminal) => terminal,
        None => TerminalId(uuid::Builder::from_random_bytes(random()?).into_uuid()),
    };
    let digits: [u8; 16] = random()?;
    let digits: Vec<char> = digits.iter().map(|byte| char::from(DIGITS[usize::from(byte % 32)])).collect();
    let code = digits.chunks(4).map(String::from_iter).collect::<Vec<_>>().join("-");
    let expires = WallTime(now.0 + CODE_SPAN_MS);
    store.add_code(&NewCode { hash: code_hash(&code), terminal, info, expires })?;
    Ok(code)
}

/// Gives a grant for a code to whoever proves to hold the key.
pub(crate) fn enrol(
    store: &dyn Store,
    keys: &Keys,
    request: &EnrolmentRequest,
    now: WallTime,
) -> Result<EnrolmentAnswer, RegistryError> {
    let (device, wish) = request.verify().map_err(RegistryError::Proof)?;
    let hash = code_hash(&request.code);
    let code = store.code(&hash)?.ok_or(RegistryError::Code)?;
    let kid = device.key_id();
    let grant = match &code.used {
        // The answer was lost on its way: the same key gets the same grant again.
        Some((used_by, grant)) if used_by == kid.as_str() => grant.clone(),
        Some(_) => return Err(RegistryError::Code),
        None if now.0 >= code.expires.0 => return Err(RegistryError::Code),
        None => {
            let previous = previous(store, keys, code.terminal, wish.prev.as_ref(), now)?;
            let grant = Grant::seal(&grant_content(&code, device, previous, keys, now)?, &keys.authority)
                .map_err(RegistryError::Grant)?;
            if store.use_code(&UsedCode { hash, kid: kid.as_str(), grant: &grant })? {
                grant.token().to_owned()
            } else {
                // Somebody was faster; if it was the same key, its grant is this one's too.
                let used = store.code(&hash)?.and_then(|code| code.used);
                let mine = used.filter(|(used_by, _)| used_by == kid.as_str());
                mine.map(|(_, grant)| grant).ok_or(RegistryError::Code)?
            }
        }
    };
    Ok(EnrolmentAnswer {
        grant,
        pepper: EnrolmentAnswer::encode_pepper(&keys.pepper),
        policy: store.newest_document(POLICY)?.ok_or(RegistryError::NoPolicy)?.token,
        witness: keys.witness_key.to_string(),
        authority: keys.authority.public_key().to_jwk(),
    })
}

/// Takes lower case and missing hyphens too: codes are typed by people.
fn code_hash(code: &str) -> [u8; 32] {
    let typed: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    leaf_hash(typed.to_ascii_uppercase().as_bytes()).0
}

/// The newest head that was cosigned of the terminal's last chain: so that a terminal which has lost its own receipts,
/// or shows an old one, begins anew and leaves nothing out. What it says for itself is only compared. A chain since then
/// of which nothing was cosigned is nothing to hang from, and an alarm.
fn previous(
    store: &dyn Store,
    keys: &Keys,
    terminal: TerminalId,
    said: Option<&PreviousChain>,
    now: WallTime,
) -> Result<Option<PreviousChain>, RegistryError> {
    if let Some(said) = said {
        compare(store, keys, terminal, said, now)?;
    }
    for granted in store.granted(terminal)? {
        match &granted.newest_receipt {
            Some(newest) => return Ok(Some(head_of(granted.chain, newest)?)),
            None => without_receipt(store, granted.chain, now)?,
        }
    }
    Ok(None)
}

/// What a chain holds of which nothing ever came here may be lost with it, and no later chain names it: kept as an
/// alarm, once.
fn without_receipt(store: &dyn Store, chain: ChainId, now: WallTime) -> Result<(), RegistryError> {
    tracing::warn!(%chain, "terminal is enrolled again, and of this chain of it nothing ever came");
    let (held, found) = (String::new(), "no receipt".to_owned());
    let kind = "chain_without_receipt".to_owned();
    Ok(store.add_alarm(&Alarm { chain, kind, sequence: 0, held, found }, now)?)
}

/// A head that this witness has not signed is nothing to hang a chain from, and nothing to refuse a terminal for: it
/// is kept as an alarm, since one of both sides has lost something.
fn compare(
    store: &dyn Store,
    keys: &Keys,
    terminal: TerminalId,
    said: &PreviousChain,
    now: WallTime,
) -> Result<(), RegistryError> {
    let row = store.chain(said.chain)?;
    let opened = row.map(|row| row.open(keys.authority.public_key())).transpose();
    let opened = opened.map_err(|_| StoreError::Damaged("grant or keys of a chain"))?;
    if opened.is_some_and(|(grant, _)| grant.terminal() != terminal) {
        return Err(RegistryError::Previous);
    }
    let receipt = store.receipt(said.chain, said.size)?;
    let signed = receipt.map(|receipt| head_of(said.chain, &receipt)).transpose()?;
    if signed.as_ref() == Some(said) {
        return Ok(());
    }
    tracing::warn!(chain = %said.chain, size = said.size, "terminal names a head that was not cosigned here");
    let held = store.newest_receipt(said.chain)?.unwrap_or_default();
    let found = format!("{} {} {}", said.chain, said.size, said.root);
    let kind = "previous_unknown".to_owned();
    Ok(store.add_alarm(&Alarm { chain: said.chain, kind, sequence: said.size, held, found }, now)?)
}

fn head_of(chain: ChainId, receipt: &str) -> Result<PreviousChain, RegistryError> {
    let damaged = || StoreError::Damaged("receipt");
    let note = Note::parse(receipt).map_err(|_| damaged())?;
    let root = receipt.lines().nth(2).ok_or_else(damaged)?.to_owned();
    Ok(PreviousChain { chain, size: note.checkpoint().size, root })
}

fn grant_content(
    code: &CodeRow,
    device: PublicKey,
    prev: Option<PreviousChain>,
    keys: &Keys,
    now: WallTime,
) -> Result<GrantContent, RegistryError> {
    let info = &code.info;
    let millis = u64::try_from(now.0).unwrap_or_default();
    let chain: Uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random()?).into_uuid();
    Ok(GrantContent {
        chain: ChainId(chain),
        iat: now.seconds(),
        jwk: device.to_jwk(),
        prev,
        terminal: code.terminal,
        institution: Some(info.institution.clone()),
        department: Some(info.department.clone()),
        region: Some(info.region.clone()),
        suite: Some(SUITE.into()),
        log: Some(LOG_DOMAIN.into()),
        witness: Some(keys.witness_key.to_string()),
        authority: Some(keys.authority.public_key().to_jwk()),
    })
}

#[cfg(test)]
mod tests {
    use zhenyin_core::documents::PolicyContent;
    use zhenyin_core::signer::{Seed, SoftwareSigner};

    use super::*;
    use crate::store::{Document, EmbeddedStore};

    /// The clock of the upstream goes back between two grants, and the identifiers with it.
    #[test]
    fn the_newest_chain_is_the_one_granted_last_whatever_the_clock_said() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::load(folder.path(), "witness.example/upstream").unwrap();
        let store = EmbeddedStore::open(&folder.path().join("store.db")).unwrap();
        let policy = PolicyContent::new(1, WallTime(0), WallTime(1_000_000));
        let token =
            zhenyin_core::documents::Policy::seal(&policy, &keys.authority).unwrap().token().to_owned();
        store.add_document(POLICY, &Document { serial: 1, token }).unwrap();
        let terminal = TerminalId(Uuid::from_u128(7));
        let device = SoftwareSigner::from_seed(&Seed::take(&mut [1; 32]));
        let chains = [3_000_000, 1_000_000, 2_000_000].map(|ms| {
            let now = WallTime(ms);
            let info = TerminalInfo { terminal: Some(terminal), ..TerminalInfo::default() };
            let code = mint_code(&store, &info, now).unwrap();
            let request = EnrolmentRequest::new(&code, None, now, &device).unwrap();
            let answer = enrol(&store, &keys, &request, now).unwrap();
            Grant::open(&answer.grant, keys.authority.public_key()).unwrap().chain()
        });
        let mut listed: Vec<_> =
            store.granted(terminal).unwrap().iter().map(|granted| granted.chain).collect();
        listed.reverse();
        assert_eq!(listed, chains);
        assert!(chains[0] > chains[1], "control: by its identifier the first one is the newest");
    }
}
