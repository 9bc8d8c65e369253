//! The one crypto provider of this program: ring, installed once before the first HTTP client is made.
//! Never another one: two providers in one process make rustls refuse to choose.

use std::sync::Once;

/// Call before building any HTTP client; the second call does nothing.
pub(crate) fn install_crypto_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that one is installed already, which does as well.
        let _installed = rustls::crypto::ring::default_provider().install_default();
    });
}
