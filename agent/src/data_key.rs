//! A 32-byte key that seals data at rest. Carries the bytes only: who uses one says with which cipher and nonce.
//! Never printed, zeroed when dropped, never leaves the process except into the key store's file.

use std::fmt;

use zeroize::{Zeroize as _, ZeroizeOnDrop};

/// Secret bytes for one purpose (journal bodies, references).
#[derive(Clone, PartialEq, Eq, zeroize::Zeroize, ZeroizeOnDrop)]
pub struct DataKey([u8; 32]);

impl DataKey {
    /// Takes the bytes over and zeroes the caller's copy.
    pub fn take(bytes: &mut [u8; 32]) -> Self {
        let key = Self(*bytes);
        bytes.zeroize();
        key
    }

    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_bytes_over_and_prints_nothing() {
        let mut bytes = [42; 32];
        let key = DataKey::take(&mut bytes);
        assert_eq!((bytes, key.expose()), ([0; 32], &[42; 32]));
        assert_eq!(format!("{key:?}"), "DataKey(…)");
    }
}
