//! Enrolment of terminals: one-time codes out, grants back.
//! Never grants twice for one code, except the same grant to the same key again.

use rusqlite::{OptionalExtension as _, Transaction, params};
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
use crate::store::{ChainRow, Store, StoreError, chains, newest_document};

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
    #[error("previous chain is not the newest receipt of that chain")]
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
pub(crate) fn mint_code(store: &Store, info: &TerminalInfo, now: WallTime) -> Result<String, RegistryError> {
    let terminal = match info.terminal {
        Some(terminal) => terminal,
        None => TerminalId(uuid::Builder::from_random_bytes(random()?).into_uuid()),
    };
    let digits: [u8; 16] = random()?;
    let digits: Vec<char> = digits.iter().map(|byte| char::from(DIGITS[usize::from(byte % 32)])).collect();
    let code = digits.chunks(4).map(String::from_iter).collect::<Vec<_>>().join("-");
    store.change(|tx| -> Result<(), StoreError> {
        tx.execute(
            "INSERT INTO code(hash, terminal, institution, department, region, expires_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                code_hash(&code),
                terminal.to_string(),
                info.institution,
                info.department,
                info.region,
                now.0 + CODE_SPAN_MS
            ],
        )?;
        Ok(())
    })?;
    Ok(code)
}

/// Gives a grant for a code to whoever proves to hold the key.
pub(crate) fn enrol(
    store: &Store,
    keys: &Keys,
    request: &EnrolmentRequest,
    now: WallTime,
) -> Result<EnrolmentAnswer, RegistryError> {
    let (device, wish) = request.verify().map_err(RegistryError::Proof)?;
    store.change(|tx| {
        let code = CodeRow::load(tx, &request.code)?.ok_or(RegistryError::Code)?;
        let kid = device.key_id();
        let grant = match (&code.used_by, code.grant_jws) {
            // The answer was lost on its way: the same key gets the same grant again.
            (Some(used_by), Some(grant)) if used_by == kid.as_str() => grant,
            (None, None) if now.0 < code.expires_ms => {
                let previous = wish.prev.as_ref().map(|prev| check_previous(tx, prev)).transpose()?;
                let content = grant_content(&code.info, code.terminal, device, previous, keys, now)?;
                let grant = Grant::seal(&content, &keys.authority).map_err(RegistryError::Grant)?;
                ChainRow::insert(tx, &grant)?;
                tx.execute(
                    "UPDATE code SET used_by = ?1, grant_jws = ?2 WHERE hash = ?3",
                    params![kid.as_str(), grant.token(), code_hash(&request.code)],
                )
                .map_err(StoreError::Query)?;
                grant.token().to_owned()
            }
            _ => return Err(RegistryError::Code),
        };
        let (_, policy) = newest_document(tx, POLICY)?.ok_or(RegistryError::NoPolicy)?;
        Ok(EnrolmentAnswer {
            grant,
            pepper: EnrolmentAnswer::encode_pepper(&keys.pepper),
            policy,
            witness: keys.witness_key.to_string(),
            authority: keys.authority.public_key().to_jwk(),
        })
    })
}

struct CodeRow {
    info: TerminalInfo,
    terminal: TerminalId,
    expires_ms: i64,
    used_by: Option<String>,
    grant_jws: Option<String>,
}

impl CodeRow {
    fn load(tx: &Transaction<'_>, code: &str) -> Result<Option<Self>, StoreError> {
        let query = "SELECT terminal, institution, department, region, expires_ms, used_by, grant_jws
                     FROM code WHERE hash = ?1";
        let row = tx.query_row(query, [code_hash(code)], |row| {
            Ok(Self {
                terminal: TerminalId(row.get::<_, String>(0)?.parse().unwrap_or_default()),
                info: TerminalInfo {
                    terminal: None,
                    institution: row.get(1)?,
                    department: row.get(2)?,
                    region: row.get(3)?,
                },
                expires_ms: row.get(4)?,
                used_by: row.get(5)?,
                grant_jws: row.get(6)?,
            })
        });
        Ok(row.optional()?)
    }
}

/// Takes lower case and missing hyphens too: codes are typed by people.
fn code_hash(code: &str) -> [u8; 32] {
    let typed: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    leaf_hash(typed.to_ascii_uppercase().as_bytes()).0
}

/// The hand-over point must be the newest head that this witness has signed for that chain.
fn check_previous(tx: &Transaction<'_>, prev: &PreviousChain) -> Result<PreviousChain, RegistryError> {
    let newest = chains::newest_receipt(tx, prev.chain)?.ok_or(RegistryError::Previous)?;
    let note = Note::parse(&newest).map_err(|_| StoreError::Damaged("receipt"))?;
    let root = note.checkpoint().to_string().lines().nth(2).map(str::to_owned);
    let same = note.checkpoint().size == prev.size && root.as_ref() == Some(&prev.root);
    if same { Ok(prev.clone()) } else { Err(RegistryError::Previous) }
}

fn grant_content(
    info: &TerminalInfo,
    terminal: TerminalId,
    device: PublicKey,
    prev: Option<PreviousChain>,
    keys: &Keys,
    now: WallTime,
) -> Result<GrantContent, RegistryError> {
    let millis = u64::try_from(now.0).unwrap_or_default();
    let chain: Uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random()?).into_uuid();
    Ok(GrantContent {
        chain: ChainId(chain),
        iat: now.seconds(),
        jwk: device.to_jwk(),
        prev,
        terminal,
        institution: Some(info.institution.clone()),
        department: Some(info.department.clone()),
        region: Some(info.region.clone()),
        suite: Some(SUITE.into()),
        log: Some(LOG_DOMAIN.into()),
        witness: Some(keys.witness_key.to_string()),
        authority: Some(keys.authority.public_key().to_jwk()),
    })
}
