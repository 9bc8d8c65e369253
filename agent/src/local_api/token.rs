//! The secret that programs of this workstation's agent user show to the local API.
//! Never printed; lives in a file that only the agent's user can read.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use ring::rand::SecureRandom as _;

use crate::durable_file::{self, FileError};

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("api token file `{}` cannot be read: is the agent running, and are you its user?", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("api token cannot be written")]
    Unwritable(#[source] FileError),
    #[error("the system gives no random bytes")]
    Random,
}

/// 32 random bytes as base64url. Made anew at every start of the agent.
#[derive(Clone, zeroize::ZeroizeOnDrop)]
pub struct ApiToken(String);

impl ApiToken {
    /// Makes a token and writes it to `dir/api.token`, mode 0600.
    ///
    /// # Errors
    /// [`TokenError`] when there is no randomness or the file cannot be written.
    pub fn create(dir: &Path) -> Result<Self, TokenError> {
        let mut bytes = [0; 32];
        ring::rand::SystemRandom::new().fill(&mut bytes).map_err(|_| TokenError::Random)?;
        let token = Self(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes));
        let path = Self::path(dir);
        durable_file::replace(&path, token.0.as_bytes()).map_err(TokenError::Unwritable)?;
        Ok(token)
    }

    /// # Errors
    /// [`TokenError::Unreadable`] when no agent has written one.
    pub fn read(dir: &Path) -> Result<Self, TokenError> {
        let path = Self::path(dir);
        let text = std::fs::read_to_string(&path);
        text.map(Self).map_err(|source| TokenError::Unreadable { path, source })
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Takes the same time wherever the two differ.
    pub(super) fn is(&self, offered: &str) -> bool {
        self.0.len() == offered.len()
            && self.0.bytes().zip(offered.bytes()).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
    }

    fn path(dir: &Path) -> PathBuf {
        dir.join("api.token")
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_no_other_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(ApiToken::read(dir.path()), Err(TokenError::Unreadable { .. })));
        let made = ApiToken::create(dir.path()).unwrap();
        let read = ApiToken::read(dir.path()).unwrap();
        assert!(made.is(read.expose()));
        let other = ApiToken::create(dir.path()).unwrap();
        assert!(!other.is(made.expose()));
        assert!(!other.is("") && !other.is(&other.expose()[1..]));
        assert!(!format!("{other:?}").contains(other.expose()));
    }
}
