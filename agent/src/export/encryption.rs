//! Encryption of a package to the inspectors' own keys, in the age format (age-encryption.org/v1, X25519).
//! Never writes a byte in clear; a build without the feature `age` refuses instead.

use std::fs::File;
use std::io::{self, Write};

use super::ExportError;

/// A file that is encrypted while it is written.
pub(super) struct Encrypted(
    #[cfg(feature = "age")] age::stream::StreamWriter<File>,
    #[cfg(not(feature = "age"))] std::convert::Infallible,
);

/// Public keys, each as `age-keygen` prints it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipients(Vec<String>);

impl Recipients {
    /// # Errors
    /// [`ExportError::Recipient`] names the first that is not a key, [`ExportError::CannotEncrypt`] is for all in a
    /// build without encryption.
    pub fn parse(keys: Vec<String>) -> Result<Self, ExportError> {
        keys.iter().try_for_each(|key| check(key))?;
        Ok(Self(keys))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn keys(&self) -> &[String] {
        &self.0
    }
}

#[cfg(feature = "age")]
mod with_age {
    use super::{Encrypted, ExportError, File, Recipients, Write, io};

    fn parsed(key: &str) -> Result<age::x25519::Recipient, ExportError> {
        key.parse().map_err(|what: &'static str| ExportError::Recipient { key: key.to_owned(), what })
    }

    pub(super) fn check(key: &str) -> Result<(), ExportError> {
        parsed(key).map(drop)
    }

    impl Encrypted {
        pub(in super::super) fn begin(to: File, recipients: &Recipients) -> Result<Self, ExportError> {
            let keys: Vec<_> = recipients.0.iter().map(|key| parsed(key)).collect::<Result<_, _>>()?;
            let keys = keys.iter().map(|key| key as &dyn age::Recipient);
            let encryptor = age::Encryptor::with_recipients(keys).map_err(|_| ExportError::NoRecipient)?;
            encryptor.wrap_output(to).map(Self).map_err(ExportError::Encrypt)
        }

        pub(in super::super) fn finish(self) -> io::Result<File> {
            self.0.finish()
        }
    }

    impl Write for Encrypted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }
}

#[cfg(feature = "age")]
use with_age::check;

#[cfg(not(feature = "age"))]
fn check(_key: &str) -> Result<(), ExportError> {
    Err(ExportError::CannotEncrypt)
}

#[cfg(not(feature = "age"))]
impl Encrypted {
    pub(super) fn begin(_to: File, _recipients: &Recipients) -> Result<Self, ExportError> {
        Err(ExportError::CannotEncrypt)
    }

    pub(super) fn finish(self) -> io::Result<File> {
        match self.0 {}
    }
}

#[cfg(not(feature = "age"))]
impl Write for Encrypted {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0 {}
    }
}
