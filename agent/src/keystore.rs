//! The terminal's secrets in one private file: device key, data keys, and the pepper that enrolment brings.
//! Never exports a key, never makes a new one where an old one is damaged, never prints any of them.

use std::fs::File;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;
use zhenyin_core::ids::{ChainId, Pepper};
use zhenyin_core::signer::{Seed, Signer as _, SoftwareSigner};

use crate::data_key::DataKey;
use crate::durable_file::{self, FileError};

#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    #[error("there is no key file `{}`; enrol this terminal, or bring its own key file back", path.display())]
    Missing { path: PathBuf },
    #[error("key file `{}` is damaged: {what}; the terminal must be enrolled anew", path.display())]
    Damaged { path: PathBuf, what: &'static str },
    #[error("a new key waits already; it takes over when the agent starts again")]
    RotationWaits,
    #[error("no new key waits to take over")]
    NoRotation,
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
        self.change(|keys| {
            keys.pepper = Some(pepper);
            Ok(())
        })
    }

    /// Makes the key that is to take over from the one that signs now, and gives its public half. Whoever owns the
    /// chain hands over to it and then says so with [`Self::take_over`]; until then the old key signs.
    ///
    /// # Errors
    /// [`KeyStoreError::RotationWaits`] when one waits already; the file is as it was then.
    pub fn prepare_rotation(&mut self) -> Result<SoftwareSigner, KeyStoreError> {
        let next = Seed::take(&mut fresh()?);
        let signer = SoftwareSigner::from_seed(&next);
        self.change(|keys| keys.next.replace(next).map_or(Ok(()), |_| Err(KeyStoreError::RotationWaits)))?;
        Ok(signer)
    }

    /// The key that is to take over.
    pub fn next_signer(&self) -> Option<SoftwareSigner> {
        self.keys.next.as_ref().map(SoftwareSigner::from_seed)
    }

    /// The chain has handed over with its event `at`, which is durable. The old key stays: an upstream that has lost
    /// events asks for checkpoints of its time again. Keys of earlier chains go.
    ///
    /// # Errors
    /// [`KeyStoreError::NoRotation`], or [`KeyStoreError::File`]; the file is as it was then.
    pub fn take_over(&mut self, chain: ChainId, at: u64) -> Result<(), KeyStoreError> {
        let known = self.next_signer().ok_or(KeyStoreError::NoRotation)?.public_key();
        self.change(|keys| {
            let waits = |next: &mut Seed| SoftwareSigner::from_seed(next).public_key() == known;
            let device = keys.next.take_if(waits).ok_or(KeyStoreError::NoRotation)?;
            keys.retired.retain(|retired| retired.chain == chain);
            keys.retired.push(Retired { chain, at, seed: std::mem::replace(&mut keys.device, device) });
            Ok(())
        })
    }

    /// The keys that signed in `chain` before, the oldest first, each with the place of the event by which it handed
    /// over.
    pub fn retired(&self, chain: ChainId) -> Vec<(u64, SoftwareSigner)> {
        let retired = self.keys.retired.iter().filter(|retired| retired.chain == chain);
        retired.map(|retired| (retired.at, SoftwareSigner::from_seed(&retired.seed))).collect()
    }

    /// The chain whose journal was begun last: should that journal be gone, it was taken away.
    pub fn begun(&self) -> Option<ChainId> {
        self.keys.begun
    }

    /// Events that a chain has begun with: the first, and what it has to say of the chain before it.
    pub const BEGUN: u64 = 2;

    /// Remembers that a chain has begun, as soon as so many of its events are durable that nothing is to be said of the
    /// chain before any more. Until then that one must not be gone without a word.
    ///
    /// # Errors
    /// As [`Self::set_begun`].
    pub fn remember_begun(&mut self, chain: ChainId, size: u64) -> Result<(), KeyStoreError> {
        if size < Self::BEGUN || self.keys.begun == Some(chain) {
            return Ok(());
        }
        self.set_begun(chain)
    }

    /// Remembers that the journal of a chain has begun.
    ///
    /// # Errors
    /// [`KeyStoreError::File`]; the file is as it was then.
    pub fn set_begun(&mut self, chain: ChainId) -> Result<(), KeyStoreError> {
        self.change(|keys| {
            keys.begun = Some(chain);
            Ok(())
        })
    }

    pub fn sealing(&self) -> Sealing {
        Sealing::File
    }

    /// Changes the file as it stands now: since this process has read it, another one may have changed something else.
    fn change(
        &mut self,
        change: impl FnOnce(&mut Keys) -> Result<(), KeyStoreError>,
    ) -> Result<(), KeyStoreError> {
        let dir = self.path.parent().expect("the key file stands in a folder");
        let _lock = Lock::take(dir)?;
        let mut keys = Self::open(dir)?.keys;
        change(&mut keys)?;
        durable_file::replace(&self.path, keys.to_text().as_bytes())?;
        self.keys = keys;
        Ok(())
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

/// One process at a time changes the key file; for the moment that it takes, the others wait.
struct Lock(File);

impl Lock {
    fn take(dir: &Path) -> Result<Self, FileError> {
        let path = dir.join("keys.lock");
        let opened = durable_file::private_options().create(true).truncate(false).open(&path);
        let locked = opened.and_then(|file| file.lock().map(|()| file));
        locked.map(Self).map_err(|source| FileError::Io { doing: "lock", path, source })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A child that was started at this moment still shares the file: closing ours would not be enough.
        let _ = self.0.unlock();
    }
}

/// First line of the file.
const FORM: &str = "zhenyin keys v1";

#[derive(Clone, Debug)]
struct Keys {
    device: Seed,
    journal: DataKey,
    references: DataKey,
    pepper: Option<Pepper>,
    next: Option<Seed>,
    retired: Vec<Retired>,
    begun: Option<ChainId>,
}

/// A key that has signed the events of a chain up to and with one place.
#[derive(Clone, Debug)]
struct Retired {
    chain: ChainId,
    at: u64,
    seed: Seed,
}

impl Keys {
    fn generate() -> Result<Self, KeyStoreError> {
        Ok(Self {
            device: Seed::take(&mut fresh()?),
            journal: DataKey::take(&mut fresh()?),
            references: DataKey::take(&mut fresh()?),
            pepper: None,
            next: None,
            retired: Vec::new(),
            begun: None,
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
        if let Some(next) = &self.next {
            line("next", next.expose());
        }
        for Retired { chain, at, seed } in &self.retired {
            line(&format!("retired {chain} {at}"), seed.expose());
        }
        if let Some(chain) = self.begun {
            text.push_str(&format!("begun {chain}\n"));
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
        let mut keys = Self {
            device: Seed::take(&mut *key("device").ok_or("the device key is missing")??),
            journal: DataKey::take(&mut *key("journal").ok_or("the journal key is missing")??),
            references: DataKey::take(&mut *key("references").ok_or("the key of references is missing")??),
            pepper: None,
            next: None,
            retired: Vec::new(),
            begun: None,
        };
        lines.try_for_each(|line| keys.take_line(line).ok_or("a line is malformed"))?;
        Ok(keys)
    }

    /// One of the lines that are not always there.
    fn take_line(&mut self, line: &str) -> Option<()> {
        if let Some(chain) = line.strip_prefix("begun ").filter(|_| self.begun.is_none()) {
            self.begun = Some(ChainId(chain.parse().ok()?));
            return Some(());
        }
        let (name, key) = line.rsplit_once(' ')?;
        let mut key = decode(key)?;
        let words: Vec<&str> = name.split(' ').collect();
        match words[..] {
            ["pepper"] if self.pepper.is_none() => self.pepper = Some(Pepper::new(*key)),
            ["next"] if self.next.is_none() => self.next = Some(Seed::take(&mut key)),
            ["retired", chain, at] => {
                let (chain, at) = (ChainId(chain.parse().ok()?), at.parse().ok()?);
                self.retired.push(Retired { chain, at, seed: Seed::take(&mut key) });
            }
            _ => return None,
        }
        Some(())
    }
}

fn fresh() -> Result<[u8; 32], KeyStoreError> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| KeyStoreError::NoRandomness)?;
    Ok(bytes)
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

    #[test]
    fn a_new_key_takes_over_and_the_old_one_stays_for_its_own_chain() {
        let dir = dir();
        let [one, two] = [1, 2].map(|n| ChainId(uuid::Uuid::from_u128(n)));
        let key = |signer: SoftwareSigner| signer.public_key();
        let mut store = KeyStore::open_or_create(dir.path()).unwrap();
        let first = key(store.signer());
        assert!(matches!(store.take_over(one, 7), Err(KeyStoreError::NoRotation)));
        let second = key(store.prepare_rotation().unwrap());
        assert!(matches!(store.prepare_rotation(), Err(KeyStoreError::RotationWaits)));
        let mut store = KeyStore::open(dir.path()).unwrap();
        assert_eq!((key(store.signer()), store.next_signer().map(key)), (first, Some(second)));
        store.take_over(one, 7).unwrap();
        let mut store = KeyStore::open(dir.path()).unwrap();
        assert_eq!((key(store.signer()), store.next_signer().map(key)), (second, None));
        let retired = |store: &KeyStore, chain| -> Vec<_> {
            store.retired(chain).into_iter().map(|(at, signer)| (at, key(signer))).collect()
        };
        assert_eq!((retired(&store, one), retired(&store, two)), (vec![(7, first)], vec![]));
        store.prepare_rotation().unwrap();
        assert_eq!(store.begun(), None);
        store.set_begun(two).unwrap();
        store.take_over(two, 9).unwrap();
        let store = KeyStore::open(dir.path()).unwrap();
        assert_eq!((retired(&store, one), retired(&store, two)), (vec![], vec![(9, second)]));
        assert_eq!(store.begun(), Some(two));
    }

    #[test]
    fn what_another_process_has_changed_meanwhile_stays() {
        let dir = dir();
        let chain = ChainId(uuid::Uuid::from_u128(1));
        let key = |signer: SoftwareSigner| signer.public_key();
        let open = || KeyStore::open(dir.path()).unwrap();
        let mut agent = KeyStore::open_or_create(dir.path()).unwrap();
        let next = key(open().prepare_rotation().unwrap());
        agent.set_begun(chain).unwrap();
        assert_eq!((open().next_signer().map(key), open().begun()), (Some(next), Some(chain)));
        let mut enrolling = open();
        open().set_pepper(Pepper::new([9; 32])).unwrap();
        agent.take_over(chain, 7).unwrap();
        assert_eq!((key(open().signer()), open().retired(chain).len()), (next, 1));
        assert_eq!(open().pepper().unwrap().expose(), &[9; 32]);
        let waiting = key(open().prepare_rotation().unwrap());
        assert!(matches!(enrolling.take_over(chain, 8), Err(KeyStoreError::NoRotation)), "another key waits");
        assert_eq!((key(open().signer()), open().next_signer().map(key)), (next, Some(waiting)));
    }

    #[test]
    fn changes_at_the_same_time_are_all_kept() {
        const CHANGES: u128 = 12;
        let dir = dir();
        let chain = |n| ChainId(uuid::Uuid::from_u128(n));
        let open = || KeyStore::open(dir.path()).unwrap();
        KeyStore::open_or_create(dir.path()).unwrap();
        let (mut rotating, mut beginning) = (open(), open());
        std::thread::scope(|threads| {
            threads.spawn(|| {
                for at in 0..CHANGES {
                    rotating.prepare_rotation().unwrap();
                    rotating.take_over(chain(0), at as u64).unwrap();
                }
            });
            threads.spawn(|| (1..=CHANGES).for_each(|n| beginning.set_begun(chain(n)).unwrap()));
        });
        assert_eq!(open().retired(chain(0)).len() as u128, CHANGES);
        assert_eq!(open().begun(), Some(chain(CHANGES)));
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
