//! The terminal's secrets in one private file: device key, data keys, and the pepper that enrolment brings.
//! Never exports a key, never makes a new one where an old one is damaged, never prints any of them.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;
use zhenyin_core::ids::Pepper;
use zhenyin_core::signer::{Seed, SoftwareSigner};

use crate::data_key::DataKey;
use crate::durable_file::{self, FileError};

#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    #[error("there is no key file `{}`; enrol this terminal, or bring its own key file back", path.display())]
    Missing { path: PathBuf },
    #[error("key file `{}` is damaged: {what}; the terminal must be enrolled anew", path.display())]
    Damaged { path: PathBuf, what: &'static str },
    #[error("the system gives no random bytes")]
    NoRandomness,
    #[error("the key file cannot be used")]
    File(#[from] FileError),
}

/// What protects the keys at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// A file that only the service's user can read.
    File,
}

/// All secrets of this terminal.
#[derive(Debug)]
pub struct KeyStore {
    path: PathBuf,
    keys: Keys,
}

impl KeyStore {
    /// Opens the key file in `dir`, or makes one with fresh keys when there is none.
    ///
    /// # Errors
    /// [`KeyStoreError`]; a damaged or readable-by-others file is never replaced.
    pub fn open_or_create(dir: &Path) -> Result<Self, KeyStoreError> {
        match Self::open(dir) {
            Err(KeyStoreError::Missing { path }) => Self::create(dir, path),
            opened => opened,
        }
    }

    /// Opens the key file in `dir`.
    ///
    /// # Errors
    /// [`KeyStoreError::Missing`] when there is none.
    pub fn open(dir: &Path) -> Result<Self, KeyStoreError> {
        let path = dir.join(FILE);
        if !path.exists() {
            return Err(KeyStoreError::Missing { path });
        }
        durable_file::private_dir(dir)?;
        durable_file::check_private(&path)?;
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(source) => return Err(FileError::Io { doing: "read", path, source }.into()),
        };
        match Keys::parse(&bytes) {
            Ok(keys) => Ok(Self { path, keys }),
            Err(what) => Err(KeyStoreError::Damaged { path, what }),
        }
    }

    /// Signs as this terminal.
    pub fn signer(&self) -> SoftwareSigner {
        SoftwareSigner::from_seed(&self.keys.device)
    }

    pub fn journal_key(&self) -> DataKey {
        self.keys.journal.clone()
    }

    pub fn references_key(&self) -> DataKey {
        self.keys.references.clone()
    }

    /// The tenant's secret for pseudonyms; `None` before enrolment.
    pub fn pepper(&self) -> Option<&Pepper> {
        self.keys.pepper.as_ref()
    }

    /// Keeps the pepper that enrolment brought.
    ///
    /// # Errors
    /// [`KeyStoreError::File`]; the file is as it was then.
    pub fn set_pepper(&mut self, pepper: Pepper) -> Result<(), KeyStoreError> {
        let old = self.keys.pepper.replace(pepper);
        if let Err(error) = durable_file::replace(&self.path, self.keys.to_text().as_bytes()) {
            self.keys.pepper = old;
            return Err(error.into());
        }
        Ok(())
    }

    pub fn sealing(&self) -> Sealing {
        Sealing::File
    }

    fn create(dir: &Path, path: PathBuf) -> Result<Self, KeyStoreError> {
        durable_file::private_dir(dir)?;
        let keys = Keys::generate()?;
        match durable_file::create(&path, keys.to_text().as_bytes()) {
            Ok(()) => Ok(Self { path, keys }),
            // Another process was faster: its keys are the terminal's.
            Err(FileError::Exists { .. }) => Self::open(dir),
            Err(error) => Err(error.into()),
        }
    }
}

const FILE: &str = "keys";

/// First line of the file.
const FORM: &str = "zhenyin keys v1";

#[derive(Debug)]
struct Keys {
    device: Seed,
    journal: DataKey,
    references: DataKey,
    pepper: Option<Pepper>,
}

impl Keys {
    fn generate() -> Result<Self, KeyStoreError> {
        let random = SystemRandom::new();
        let fresh = || {
            let mut bytes = [0; 32];
            random.fill(&mut bytes).map_err(|_| KeyStoreError::NoRandomness).map(|()| bytes)
        };
        Ok(Self {
            device: Seed::take(&mut fresh()?),
            journal: DataKey::take(&mut fresh()?),
            references: DataKey::take(&mut fresh()?),
            pepper: None,
        })
    }

    /// The form, one `name base64` line a key, and a last line `check` over all before it.
    fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(512));
        text.push_str(FORM);
        text.push('\n');
        let mut line = |name: &str, bytes: &[u8; 32]| {
            text.push_str(name);
            text.push(' ');
            STANDARD.encode_string(bytes, &mut text);
            text.push('\n');
        };
        line("device", self.device.expose());
        line("journal", self.journal.expose());
        line("references", self.references.expose());
        if let Some(pepper) = &self.pepper {
            line("pepper", pepper.expose());
        }
        let check = check_of(&text);
        text.push_str(&check);
        text
    }

    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is no text")?;
        let cut = text.rfind("check ").ok_or("its last line is missing")?;
        let (body, check) = text.split_at(cut);
        if check_of(body) != check {
            return Err("its check does not fit");
        }
        let mut lines = body.lines();
        if lines.next() != Some(FORM) {
            return Err("it has another form");
        }
        let mut key = |name: &str| -> Option<Result<Zeroizing<[u8; 32]>, &'static str>> {
            let line = lines.next()?;
            Some(
                line.strip_prefix(name)
                    .and_then(|rest| decode(rest.strip_prefix(' ')?))
                    .ok_or("a key is malformed"),
            )
        };
        let keys = Self {
            device: Seed::take(&mut *key("device").ok_or("the device key is missing")??),
            journal: DataKey::take(&mut *key("journal").ok_or("the journal key is missing")??),
            references: DataKey::take(&mut *key("references").ok_or("the key of references is missing")??),
            pepper: key("pepper").transpose()?.map(|bytes| Pepper::new(*bytes)),
        };
        if lines.next().is_some() { Err("it has a line too many") } else { Ok(keys) }
    }
}

fn decode(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    // The estimate for 44 characters is 33 bytes; a slice of 32 would be refused.
    let mut room = Zeroizing::new([0; 36]);
    let length = STANDARD.decode_slice(text, room.as_mut_slice()).ok()?;
    bytes.copy_from_slice(room.get(..length).filter(|found| found.len() == 32)?);
    Some(bytes)
}

fn check_of(body: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, body.as_bytes());
    format!("check {}\n", STANDARD.encode(digest))
}

#[cfg(test)]
mod tests {
    use zhenyin_core::signer::Signer as _;

    use super::*;

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn keys_stay_the_same_from_run_to_run_and_differ_from_terminal_to_terminal() {
        let (here, there) = (dir(), dir());
        let first = KeyStore::open_or_create(here.path()).unwrap();
        let again = KeyStore::open_or_create(here.path()).unwrap();
        let other = KeyStore::open_or_create(there.path()).unwrap();
        assert_eq!(first.signer().public_key().key_id(), again.signer().public_key().key_id());
        assert_eq!(first.journal_key(), again.journal_key());
        assert_ne!(first.journal_key(), first.references_key());
        assert_ne!(first.signer().public_key().key_id(), other.signer().public_key().key_id());
        assert_ne!(first.references_key(), other.references_key());
        assert_eq!(first.sealing(), Sealing::File);
    }

    #[test]
    fn the_pepper_comes_later_and_stays() {
        let dir = dir();
        let mut store = KeyStore::open_or_create(dir.path()).unwrap();
        let key = store.journal_key();
        assert!(store.pepper().is_none());
        store.set_pepper(Pepper::new([9; 32])).unwrap();
        let again = KeyStore::open(dir.path()).unwrap();
        assert_eq!(again.pepper().unwrap().expose(), &[9; 32]);
        assert_eq!(again.journal_key(), key);
    }

    #[test]
    fn every_damage_is_named_and_nothing_is_replaced() {
        let dir = dir();
        let path = dir.path().join(FILE);
        assert!(matches!(KeyStore::open(dir.path()), Err(KeyStoreError::Missing { .. })));
        KeyStore::open_or_create(dir.path()).unwrap();
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            let result = KeyStore::open_or_create(dir.path());
            assert!(matches!(result, Err(KeyStoreError::Damaged { .. })), "byte {at}");
            assert_eq!(std::fs::read(&path).unwrap(), bad);
        }
        for length in [0, good.len() / 2, good.len() - 1] {
            std::fs::write(&path, &good[..length]).unwrap();
            assert!(matches!(KeyStore::open(dir.path()), Err(KeyStoreError::Damaged { .. })), "{length}");
        }
        std::fs::write(&path, &good).unwrap();
        KeyStore::open(dir.path()).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = dir();
        KeyStore::open_or_create(dir.path()).unwrap();
        let path = dir.path().join(FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = KeyStore::open_or_create(dir.path()).unwrap_err();
        assert!(matches!(error, KeyStoreError::File(FileError::Mode { mode: 0o644, .. })), "{error}");
    }

    #[test]
    fn nothing_secret_is_printed() {
        let dir = dir();
        let store = KeyStore::open_or_create(dir.path()).unwrap();
        let printed = format!("{store:?}");
        let text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        for line in text.lines().filter_map(|l| l.split_once(' ').map(|p| p.1)) {
            assert!(!printed.contains(line), "{printed}");
        }
    }
}
