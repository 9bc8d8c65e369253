//! The wire to the upstream: enrols the terminal, posts batches, fetches documents.
//! Never believes an answer (the core does, by receipt) and never follows a redirect with our events.

mod card_authentication;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::{Client, Response, StatusCode, header};
use zhenyin_core::documents::{EnrolmentAnswer, EnrolmentRequest};
use zhenyin_core::ids::ChainId;
use zhenyin_core::wire::{UploadRequest, UpstreamAnswer};

#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("certificate file `{}` of the upstream cannot be read", path.display())]
    CaFile { path: PathBuf, source: io::Error },
    #[error("certificate file `{}` of the upstream is not PEM", path.display())]
    CaFormat { path: PathBuf, source: reqwest::Error },
    #[error("http client cannot be set up")]
    Client(#[source] reqwest::Error),
    #[error("upstream does not answer: check network and `upstream.url`")]
    Unreachable(#[source] reqwest::Error),
    #[error("upstream refuses the enrolment code: ask for a new one (status {status})")]
    CodeRefused { status: u16 },
    #[error("upstream answers with status {status}, which is no enrolment")]
    Status { status: u16 },
    #[error("upstream's answer is not of the protocol: {what}")]
    Nonsense { what: &'static str },
}

/// One upstream.
#[derive(Clone, Debug)]
pub struct Upstream {
    client: Client,
    url: String,
    /// It has refused zstd. Shared by every clone; asked anew after the next start.
    without_zstd: Arc<AtomicBool>,
}

/// Longest whole exchange; a batch of 1 MiB on a slow line fits.
const TOTAL: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);
/// Answers are receipts and documents of a few kilobytes.
const ANSWER_LIMIT: usize = 256 * 1024;

impl Upstream {
    /// With a `ca_file` only that authority is believed, else those of the system.
    ///
    /// # Errors
    /// [`UpstreamError`] when the certificate file is not usable.
    pub fn new(url: &str, ca_file: Option<&PathBuf>) -> Result<Self, UpstreamError> {
        Self::with_patience(url, ca_file, TOTAL)
    }

    /// With another limit than the usual for a whole exchange.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_patience(
        url: &str,
        ca_file: Option<&PathBuf>,
        patience: Duration,
    ) -> Result<Self, UpstreamError> {
        crate::tls::install_crypto_provider();
        let mut builder = Client::builder()
            .connect_timeout(CONNECT)
            .timeout(patience)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("zhenyin/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = ca_file {
            let pem =
                std::fs::read(path).map_err(|source| UpstreamError::CaFile { path: path.clone(), source })?;
            let certificate = reqwest::Certificate::from_pem(&pem)
                .map_err(|source| UpstreamError::CaFormat { path: path.clone(), source })?;
            // Only this one: an authority that somebody added to the machine could read along.
            builder = builder.tls_certs_only([certificate]);
        }
        let client = builder.build().map_err(UpstreamError::Client)?;
        Ok(Self { client, url: url.to_owned(), without_zstd: Arc::default() })
    }

    /// Trades a one-time code for a grant.
    ///
    /// # Errors
    /// [`UpstreamError`] says whether code, network or upstream is at fault.
    pub async fn enrol(&self, request: &EnrolmentRequest) -> Result<EnrolmentAnswer, UpstreamError> {
        let sent = self.client.post(format!("{}/v1/enrolments", self.url)).json(request).send().await;
        let response = sent.map_err(UpstreamError::Unreachable)?;
        let status = response.status();
        if matches!(
            status,
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::GONE
        ) {
            return Err(UpstreamError::CodeRefused { status: status.as_u16() });
        }
        if !status.is_success() {
            return Err(UpstreamError::Status { status: status.as_u16() });
        }
        let body = bounded(response).await.map_err(|what| UpstreamError::Nonsense { what })?;
        serde_json::from_slice(&body)
            .map_err(|_| UpstreamError::Nonsense { what: "body is not an enrolment" })
    }

    /// Posts one batch and says what came of it. Where zstd is not understood, it is sent again with gzip, and from
    /// then on with gzip only.
    pub async fn post(&self, chain: ChainId, request: &UploadRequest) -> UpstreamAnswer {
        let Ok(plain) = serde_json::to_vec(request) else {
            return UpstreamAnswer::Nonsense("request cannot be written".to_owned());
        };
        let mut sent = Err(None);
        if !self.without_zstd.load(Ordering::Relaxed) {
            // Level 3: 7.5 times smaller at 4 µs an event.
            sent = self.send(chain, "zstd", zstd::bulk::compress(&plain, 3)).await;
            let refused = sent.as_ref().is_ok_and(|got| got.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE);
            self.without_zstd.store(refused, Ordering::Relaxed);
        }
        if self.without_zstd.load(Ordering::Relaxed) {
            sent = self.send(chain, "gzip", gzip(&plain)).await;
        }
        let response = match sent {
            Ok(response) => response,
            Err(Some(error)) => return refused_or_unreachable(&error),
            Err(None) => return UpstreamAnswer::Nonsense("request cannot be compressed".to_owned()),
        };
        let status = response.status().as_u16();
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|v| v.to_str().ok()).map(str::to_owned);
        match bounded(response).await {
            Ok(body) => UpstreamAnswer::from_http(status, retry_after.as_deref(), &body),
            Err(what) => UpstreamAnswer::Unreachable(what.to_owned()),
        }
    }

    /// `None` when there is no body to send.
    async fn send(
        &self,
        chain: ChainId,
        encoding: &'static str,
        body: io::Result<Vec<u8>>,
    ) -> Result<Response, Option<reqwest::Error>> {
        let sent = self
            .client
            .post(format!("{}/v1/chains/{chain}/events", self.url))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_ENCODING, encoding)
            .body(body.map_err(|_| None)?)
            .send()
            .await;
        sent.map_err(Some)
    }

    /// The newest document of a kind, as a signed token; `None` when there is none or no answer.
    pub async fn document(&self, kind: &str) -> Option<String> {
        let sent = self.client.get(format!("{}/v1/documents/{kind}", self.url)).send().await;
        let response = sent.ok().filter(|r| r.status() == StatusCode::OK)?;
        String::from_utf8(bounded(response).await.ok()?).ok()
    }
}

/// At the least effort: 6 times smaller at 11 µs an event.
fn gzip(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain)?;
    encoder.finish()
}

/// Reads a body up to the limit.
async fn bounded(mut response: Response) -> Result<Vec<u8>, &'static str> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| "body was cut off")? {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            return Err("body is longer than any answer");
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Whether the other side was not there, or was there and was not believed.
fn refused_or_unreachable(error: &reqwest::Error) -> UpstreamAnswer {
    match tls_error(error) {
        Some(error) => UpstreamAnswer::Untrusted(tls_word(error).to_owned()),
        None => UpstreamAnswer::Unreachable(kind_of(error).to_owned()),
    }
}

/// The error of the TLS layer, wherever in the chain of causes it is wrapped.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // An `io::Error` does not name what it wraps as its source, but that one's source.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let found = error.downcast_ref().or_else(|| wrapped.and_then(|inner| inner.downcast_ref()));
        if found.is_some() {
            return found;
        }
        cause = match wrapped {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

fn tls_word(error: &rustls::Error) -> &'static str {
    use rustls::{CertificateError, Error};
    let Error::InvalidCertificate(error) = error else {
        let old = matches!(error, Error::PeerIncompatible(_) | Error::PeerMisbehaved(_));
        return if old { "no TLS 1.2 or 1.3 that we take" } else { "no TLS at all, or a broken one" };
    };
    if matches!(error, CertificateError::Expired | CertificateError::ExpiredContext { .. }) {
        "certificate has expired"
    } else if matches!(error, CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) {
        "certificate is not valid yet"
    } else if matches!(
        error,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
    ) {
        "certificate is for another name"
    } else if matches!(error, CertificateError::UnknownIssuer) {
        "certificate is of an unknown authority"
    } else {
        "certificate is not valid"
    }
}

/// A word for the log without the address, which reqwest's own text repeats.
fn kind_of(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "connection broke"
    }
}
