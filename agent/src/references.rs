//! Enrolled people at rest: references, PIN verifiers, names and the consent behind them, sealed one by one.
//! Never on disk in clear: only the keyed pseudonym and the digest of the model are. Never logged, never sent.

mod record;

use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};
use zeroize::Zeroizing;
use zhenyin_core::biometric::ModelDigest;
use zhenyin_core::enrolled::Enrolled;
use zhenyin_core::ids::SubjectToken;

use crate::data_key::DataKey;
use crate::durable_file::{self, FileError};

#[derive(Debug, thiserror::Error)]
pub enum ReferencesError {
    #[error("record of `{token:?}` does not open: it was changed, or sealed by another key")]
    Damaged { token: SubjectToken },
    #[error("`{}` is not a file of references of this version: version {found}", path.display())]
    Version { path: PathBuf, found: i32 },
    #[error("database setting `{name}` is `{found}` where `{wanted}` is needed")]
    Setting { name: &'static str, wanted: &'static str, found: String },
    #[error("the system gives no random bytes")]
    NoRandomness,
    #[error("could not {doing} in the file of references")]
    Sqlite { doing: &'static str, source: rusqlite::Error },
    #[error("the file of references cannot be used")]
    File(#[from] FileError),
}

/// The store of enrolled people. One owner, one connection.
pub struct References {
    connection: Connection,
    key: LessSafeKey,
    random: SystemRandom,
}

impl References {
    /// Opens or makes the store in `dir`.
    ///
    /// # Errors
    /// [`ReferencesError`]; a file of another kind is left alone.
    pub fn open(dir: &Path, key: &DataKey) -> Result<Self, ReferencesError> {
        durable_file::private_dir(dir)?;
        let path = dir.join(FILE);
        durable_file::touch(&path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(during("open"))?;
        settle(&connection)?;
        let found = setting(&connection, "user_version")?;
        if found == "0" {
            connection.execute_batch(SCHEMA).map_err(during("make the table"))?;
        } else if found != VERSION.to_string() {
            return Err(ReferencesError::Version { path, found: found.parse().unwrap_or(-1) });
        }
        Ok(Self { connection, key: cipher(key), random: SystemRandom::new() })
    }

    /// Keeps a person, in place of what was kept under the same token.
    ///
    /// # Errors
    /// [`ReferencesError`]; the old record stays then.
    pub fn put(&self, person: &Enrolled) -> Result<(), ReferencesError> {
        self.write(&person.token, person)
    }

    /// # Errors
    /// [`ReferencesError::Damaged`] when the record was changed.
    pub fn get(&self, token: &SubjectToken) -> Result<Option<Enrolled>, ReferencesError> {
        self.read(token)
    }

    /// Everybody enrolled with a role.
    ///
    /// # Errors
    /// [`ReferencesError::Damaged`] names the first record that was changed.
    pub fn staff(&self) -> Result<Vec<Enrolled>, ReferencesError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT token FROM enrolled WHERE token GLOB 'op:*' ORDER BY token")
            .map_err(during("list staff"))?;
        let tokens = statement.query_map([], |row| row.get::<_, String>(0)).map_err(during("list staff"))?;
        let mut staff = Vec::new();
        for token in tokens {
            let token = SubjectToken::parse(&token.map_err(during("list staff"))?);
            if let Some(token) = token
                && let Some(person) = self.get(&token)?
            {
                staff.push(person);
            }
        }
        Ok(staff)
    }

    /// Forgets a person; tells whether there was one. The bytes are overwritten before this returns.
    ///
    /// # Errors
    /// What the database says.
    pub fn delete(&self, token: &SubjectToken) -> Result<bool, ReferencesError> {
        let deleted = self
            .connection
            .execute("DELETE FROM enrolled WHERE token = ?1", [token.as_str()])
            .map_err(during("delete a person"))?;
        self.overwrite()?;
        Ok(deleted > 0)
    }

    /// How many people are enrolled.
    ///
    /// # Errors
    /// What the database says.
    pub fn count(&self) -> Result<u64, ReferencesError> {
        self.connection
            .query_row("SELECT count(*) FROM enrolled", [], |row| row.get::<_, i64>(0))
            .map(i64::cast_unsigned)
            .map_err(during("count people"))
    }

    fn write(&self, token: &SubjectToken, person: &Enrolled) -> Result<(), ReferencesError> {
        let model = record::model(person);
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| ReferencesError::NoRandomness)?;
        let blob = self.seal(token, nonce, person);
        self.connection
            .execute(
                "INSERT INTO enrolled(token, model, sealed) VALUES(?1, ?2, ?3)
                 ON CONFLICT(token) DO UPDATE SET model = excluded.model, sealed = excluded.sealed",
                params![token.as_str(), model.0, blob],
            )
            .map_err(during("keep a person"))?;
        self.overwrite()
    }

    fn read(&self, token: &SubjectToken) -> Result<Option<Enrolled>, ReferencesError> {
        let row = self
            .connection
            .query_row("SELECT model, sealed FROM enrolled WHERE token = ?1", [token.as_str()], |row| {
                Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, Vec<u8>>(1)?))
            })
            .optional()
            .map_err(during("read a person"))?;
        let Some((model, blob)) = row else { return Ok(None) };
        let model = ModelDigest(model);
        let person = self.unseal(token, &model, blob);
        person.map(Some).ok_or_else(|| ReferencesError::Damaged { token: token.clone() })
    }

    /// Nonce, sealed record, tag.
    fn seal(&self, token: &SubjectToken, nonce: [u8; NONCE_LEN], person: &Enrolled) -> Vec<u8> {
        // The plain text is sealed where it stands, so no copy of it is left behind.
        let mut sealed = record::to_bytes(person);
        let aad = aad(token, &record::model(person));
        let tag = self
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, sealed.as_mut_slice())
            .expect("a record is shorter than AES-GCM's limit");
        [&nonce, sealed.as_slice(), tag.as_ref()].concat()
    }

    fn unseal(&self, token: &SubjectToken, model: &ModelDigest, blob: Vec<u8>) -> Option<Enrolled> {
        let mut blob = Zeroizing::new(blob);
        let (nonce, sealed) = blob.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.key.open_in_place(nonce, aad(token, model), sealed).ok()?;
        record::from_bytes(token, *model, plain)
    }

    /// `secure_delete` zeroes freed bytes in the pages; this brings the pages into the file and empties the
    /// write-ahead log, which still holds the old ones.
    fn overwrite(&self) -> Result<(), ReferencesError> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(during("overwrite what was deleted"))
    }
}

impl std::fmt::Debug for References {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("References(…)")
    }
}

const FILE: &str = "references.db";

/// Part of what each record is bound to; another layout of the record is another version.
const VERSION: u8 = 1;

const SCHEMA: &str = "BEGIN;
CREATE TABLE enrolled(
  token TEXT PRIMARY KEY,
  model BLOB NOT NULL CHECK(length(model) = 32),
  sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;
COMMIT;";

/// Name, value to set, value to read back.
const SETTINGS: [(&str, &str, &str); 5] = [
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", "2"),
    ("secure_delete", "ON", "1"),
    ("trusted_schema", "OFF", "0"),
    ("temp_store", "MEMORY", "2"),
];

fn cipher(key: &DataKey) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.expose()).expect("AES-256 takes 32 bytes"))
}

/// Token, model digest, version.
fn aad(token: &SubjectToken, model: &ModelDigest) -> Aad<Vec<u8>> {
    Aad::from([token.as_str().as_bytes(), &model.0, &[VERSION]].concat())
}

fn settle(connection: &Connection) -> Result<(), ReferencesError> {
    connection.busy_timeout(Duration::from_secs(5)).map_err(during("set the timeout"))?;
    for (name, value, wanted) in SETTINGS {
        connection.execute_batch(&format!("PRAGMA {name} = {value}")).map_err(during("change a setting"))?;
        let found = setting(connection, name)?;
        if found != wanted {
            return Err(ReferencesError::Setting { name, wanted, found });
        }
    }
    Ok(())
}

fn setting(connection: &Connection, name: &str) -> Result<String, ReferencesError> {
    use rusqlite::types::ValueRef;
    connection
        .query_row(&format!("PRAGMA {name}"), [], |row| {
            Ok(match row.get_ref(0)? {
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => String::new(),
            })
        })
        .map_err(during("read a setting"))
}

fn during(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> ReferencesError {
    move |source| ReferencesError::Sqlite { doing, source }
}

#[cfg(test)]
mod tests;
