//! TLS to the database: the authority of one file is believed and no other, and name and time are always checked.
//! Never a choice of the server: what is not encrypted is not used.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::store::StoreError;

/// What connects under certificates of the authority in a PEM file.
///
/// # Errors
/// [`StoreError::Authority`] when the file holds none.
pub(super) fn believing(ca_file: &Path) -> Result<MakeRustlsConnect, StoreError> {
    let failed = |source| StoreError::Authority { path: ca_file.to_owned(), source };
    let certificates =
        CertificateDer::pem_file_iter(ca_file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut roots = RootCertStore::empty();
    for certificate in certificates.map_err(|error| failed(error.into()))? {
        roots.add(certificate).map_err(|error| failed(error.into()))?;
    }
    if roots.is_empty() {
        return Err(failed("no certificate in it".into()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.into()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
