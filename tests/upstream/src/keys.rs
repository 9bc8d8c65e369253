//! The upstream's secrets: authority key, witness key, tenant pepper and admin token, each in its own file.
//! Never overwrites a key, never reads one that other users can read, never prints one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::{Zeroize as _, Zeroizing};
use zhenyin_core::ids::Pepper;
use zhenyin_core::note::{KeyRole, NoteError, VerifierKey};
use zhenyin_core::signer::{Seed, Signer as _, SoftwareSigner};

#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("key file `{path}` cannot be used")]
    File { path: PathBuf, source: io::Error },
    #[error("key file `{path}` can be read by others: run `chmod 600` on it")]
    Open { path: PathBuf },
    #[error("key file `{path}` does not hold 64 hexadecimal digits; put the saved copy back")]
    Content { path: PathBuf },
    #[error("the system gives no random bytes")]
    Random,
    #[error("witness name cannot be used")]
    Witness(#[source] NoteError),
}

/// All secrets of one upstream.
pub(crate) struct Keys {
    pub(crate) authority: SoftwareSigner,
    pub(crate) witness: SoftwareSigner,
    pub(crate) witness_key: VerifierKey,
    pub(crate) pepper: Pepper,
    pub(crate) admin_token: Zeroizing<String>,
}

impl Keys {
    /// Reads the key files of a state directory; makes what is missing.
    pub(crate) fn load(state_dir: &Path, witness_name: &str) -> Result<Self, KeyFileError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(state_dir)
            .map_err(|source| KeyFileError::File { path: state_dir.to_owned(), source })?;
        let authority = SoftwareSigner::from_seed(&Seed::take(&mut *secret(state_dir, "authority.key")?));
        let witness = SoftwareSigner::from_seed(&Seed::take(&mut *secret(state_dir, "witness.key")?));
        let witness_key = VerifierKey::new(witness_name, KeyRole::Witness, witness.public_key())
            .map_err(KeyFileError::Witness)?;
        let pepper = Pepper::new(*secret(state_dir, "pepper.key")?);
        let admin_token = Zeroizing::new(to_hex(&*secret(state_dir, "admin.token")?));
        sync_dir(state_dir).map_err(|source| KeyFileError::File { path: state_dir.to_owned(), source })?;
        Ok(Self { authority, witness, witness_key, pepper, admin_token })
    }
}

/// Fresh random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], KeyFileError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| KeyFileError::Random)?;
    Ok(bytes)
}

fn secret(state_dir: &Path, name: &str) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let path = state_dir.join(name);
    match OpenOptions::new().read(true).open(&path) {
        Ok(file) => read(file, path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(path),
        Err(source) => Err(KeyFileError::File { path, source }),
    }
}

fn read(mut file: File, path: PathBuf) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let failed = |source| KeyFileError::File { path: path.clone(), source };
    if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(KeyFileError::Open { path });
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(failed)?;
    from_hex(text.trim()).ok_or(KeyFileError::Content { path })
}

fn create(path: PathBuf) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let mut bytes = random()?;
    let secret = Zeroizing::new(bytes);
    bytes.zeroize();
    let text = Zeroizing::new(to_hex(&*secret) + "\n");
    // Written beside and linked, so that a power cut leaves a whole key or none, and of several processes
    // that make the same key at once all take the first one's.
    let beside = path.with_extension(format!("new.{}", to_hex(&random::<8>()?)));
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        let linked = fs::hard_link(&beside, &path);
        fs::remove_file(&beside)?;
        linked
    };
    match write() {
        Ok(()) => Ok(secret),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let first = File::open(&path);
            read(first.map_err(|source| KeyFileError::File { path: path.clone(), source })?, path)
        }
        Err(source) => Err(KeyFileError::File { path, source }),
    }
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != 32 || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let first = Keys::load(&state, "w.example/a").unwrap();
        let second = Keys::load(&state, "w.example/a").unwrap();
        assert_eq!(first.authority.public_key(), second.authority.public_key());
        assert_eq!(first.witness_key, second.witness_key);
        assert_ne!(first.authority.public_key(), first.witness.public_key());
        for name in ["authority.key", "witness.key", "pepper.key", "admin.token"] {
            let mode = fs::metadata(state.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn open_or_damaged_key_files_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        Keys::load(dir.path(), "w.example/a").unwrap();
        let path = dir.path().join("witness.key");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Keys::load(dir.path(), "w.example/a"), Err(KeyFileError::Open { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "not a key").unwrap();
        assert!(matches!(Keys::load(dir.path(), "w.example/a"), Err(KeyFileError::Content { .. })));
    }
}
