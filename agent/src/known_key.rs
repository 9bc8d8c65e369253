//! The key of this terminal that the upstream knows: the one that signs questions asked beside the chain.
//! Never the newest one merely because it is newer: until the upstream has the rotation, it believes the old one.

use std::sync::atomic::{AtomicUsize, Ordering};

use zhenyin_core::signer::{PublicKey, Signer as _, SoftwareSigner};

/// Shared by the event loop, which moves it, and the threads that ask.
#[derive(Debug)]
pub struct KnownKey {
    signers: Vec<SoftwareSigner>,
    known: AtomicUsize,
}

impl KnownKey {
    /// Of `signer` and the others that the chain knows or will know, `signer` is the known one until [`Self::set`] says
    /// otherwise.
    pub fn new(signer: SoftwareSigner, others: impl IntoIterator<Item = SoftwareSigner>) -> Self {
        let signers = std::iter::once(signer).chain(others).collect();
        Self { signers, known: AtomicUsize::new(0) }
    }

    pub fn set(&self, key: PublicKey) {
        if let Some(known) = self.signers.iter().position(|signer| signer.public_key() == key) {
            self.known.store(known, Ordering::Release);
        }
    }

    pub fn signer(&self) -> &SoftwareSigner {
        &self.signers[self.known.load(Ordering::Acquire)]
    }
}
