//! The routes of the protocol and the statuses of what can go wrong.
//! Never decides anything: it reads a request, calls one function and writes its result.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use zhenyin_core::documents::EnrolmentRequest;
use zhenyin_core::ids::ChainId;
use zhenyin_core::time::WallTime;
use zhenyin_core::wire::{BODY_LIMIT, SizeConflict, UploadRequest};

use crate::body::{self, BodyError};
use crate::card_authentication::{self, CardKeys};
use crate::ingest::{self, IngestError, Taken};
use crate::keys::Keys;
use crate::registry::{self, RegistryError};
use crate::store::{Store, StoreError, newest_document};

/// What every handler works with.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) keys: Keys,
    pub(crate) cards: CardKeys,
    pub(crate) now: fn() -> WallTime,
}

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/enrolments", post(enrol))
        .route("/v1/chains/{chain}/events", post(upload))
        .route("/v1/chains/{chain}", get(chain_status))
        .route("/v1/chains/{chain}/card-authentications", post(card_authentication::answer))
        .route("/v1/documents/{kind}", get(document))
        .route("/v1/terminals", get(terminals))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(shared)
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("body is not the JSON that is needed: {0}")]
    Json(serde_json::Error),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("chain id is no UUID")]
    ChainId,
    #[error("no document of this kind is published")]
    NoDocument,
    #[error("admin token is missing or wrong")]
    NotAdmin,
    #[error("handler broke down")]
    Panic,
}

impl Problem {
    fn status(&self) -> StatusCode {
        match self {
            Self::Json(_) | Self::ChainId | Self::Body(BodyError::Broken(_)) => StatusCode::BAD_REQUEST,
            Self::Body(BodyError::Encoding(_)) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Body(BodyError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Ingest(error) => ingest_status(error),
            Self::Registry(error) => registry_status(error),
            Self::NoDocument => StatusCode::NOT_FOUND,
            Self::NotAdmin => StatusCode::UNAUTHORIZED,
            Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Panic => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

fn ingest_status(error: &IngestError) -> StatusCode {
    match error {
        IngestError::UnknownChain => StatusCode::NOT_FOUND,
        IngestError::TooMany { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        IngestError::TooLong { .. } | IngestError::Checkpoint(_) | IngestError::CheckpointSize { .. } => {
            StatusCode::BAD_REQUEST
        }
        IngestError::Grant(_) | IngestError::Sign(_) => StatusCode::INTERNAL_SERVER_ERROR,
        IngestError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn registry_status(error: &RegistryError) -> StatusCode {
    match error {
        RegistryError::Code => StatusCode::FORBIDDEN,
        RegistryError::Proof(_) | RegistryError::Previous => StatusCode::BAD_REQUEST,
        RegistryError::Grant(_) | RegistryError::NoPolicy | RegistryError::Key(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        RegistryError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_server_error() {
            tracing::error!(error = &self as &dyn std::error::Error, "request failed");
        }
        let mut response = (status, Json(json!({ "error": self.to_string() }))).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
        }
        response
    }
}

async fn enrol(State(shared): State<Arc<Shared>>, body: Bytes) -> Result<Response, Problem> {
    let request: EnrolmentRequest = serde_json::from_slice(&body).map_err(Problem::Json)?;
    let answer = blocking(move || {
        registry::enrol(&shared.store, &shared.keys, &request, (shared.now)()).map_err(Problem::from)
    });
    Ok(Json(answer.await?).into_response())
}

async fn upload(
    State(shared): State<Arc<Shared>>,
    Path(chain): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let chain = parse_chain(&chain)?;
    let encoding = headers.get(header::CONTENT_ENCODING);
    let encoding = encoding.map(|value| value.to_str().unwrap_or("?").to_owned());
    let taken = blocking(move || {
        let plain = body::decode(encoding.as_deref(), &body)?;
        let request: UploadRequest = serde_json::from_slice(&plain).map_err(Problem::Json)?;
        Ok(ingest::take(&shared.store, &shared.keys, chain, &request, (shared.now)())?)
    });
    Ok(match taken.await? {
        Taken::Receipt(receipt) => Json(receipt).into_response(),
        Taken::Conflict { size } => (StatusCode::CONFLICT, Json(SizeConflict { size })).into_response(),
    })
}

async fn chain_status(
    State(shared): State<Arc<Shared>>,
    Path(chain): Path<String>,
) -> Result<Response, Problem> {
    let chain = parse_chain(&chain)?;
    let status = blocking(move || Ok(ingest::status(&shared.store, chain)?));
    Ok(Json(status.await?).into_response())
}

async fn document(State(shared): State<Arc<Shared>>, Path(kind): Path<String>) -> Result<Response, Problem> {
    let newest = blocking(move || Ok(shared.store.change(|tx| newest_document(tx, &kind))?)).await?;
    let (_, token) = newest.ok_or(Problem::NoDocument)?;
    Ok(([(header::CONTENT_TYPE, "application/jose")], token).into_response())
}

async fn terminals(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Result<Response, Problem> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if !same(given, &shared.keys.admin_token) {
        return Err(Problem::NotAdmin);
    }
    let rows = blocking(move || Ok(shared.store.terminals()?));
    Ok(Json(json!({ "terminals": rows.await? })).into_response())
}

/// Compares digests, so that the time it takes says nothing about the token.
fn same(given: &str, token: &str) -> bool {
    let digest = |text: &str| ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest(given).as_ref() == digest(token).as_ref()
}

fn parse_chain(text: &str) -> Result<ChainId, Problem> {
    text.parse().map(ChainId).map_err(|_| Problem::ChainId)
}

/// Runs what waits for the disk off the network threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(_) => Err(Problem::Panic),
    }
}
