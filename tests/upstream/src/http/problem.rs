//! What can go wrong with a request, and the status that says so.
//! Never tells more than the sender needs; what is ours goes to the log.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::body::BodyError;
use crate::documents::AcknowledgeError;
use crate::ingest::IngestError;
use crate::registry::RegistryError;
use crate::store::StoreError;

/// What a sender is told to wait when the store does not answer.
const STORE_WAIT_S: u64 = 5;

#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("body is not the JSON that is needed: {0}")]
    Json(serde_json::Error),
    #[error("body is no text")]
    Text,
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Acknowledge(#[from] AcknowledgeError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("chain id is no UUID")]
    ChainId,
    #[error("no document of this kind is published")]
    NoDocument,
    #[error("admin token is missing or wrong")]
    NotAdmin,
    #[error("too much to do: come again later")]
    Busy { retry_after_s: u64 },
    #[error("too many requests of this sender: come again later")]
    TooMany { retry_after_s: u64 },
    #[error("request took too long")]
    TooSlow,
    #[error("handler broke down")]
    Panic,
}

impl Problem {
    fn status(&self) -> StatusCode {
        match self {
            Self::Json(_) | Self::Text | Self::ChainId | Self::Body(BodyError::Broken(_)) => {
                StatusCode::BAD_REQUEST
            }
            Self::Body(BodyError::Encoding(_)) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Body(BodyError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Ingest(error) => ingest_status(error),
            Self::Registry(error) => registry_status(error),
            Self::Acknowledge(error) => acknowledge_status(error),
            Self::NoDocument => StatusCode::NOT_FOUND,
            Self::NotAdmin => StatusCode::UNAUTHORIZED,
            Self::Store(_) | Self::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Panic => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn retry_after_s(&self) -> Option<u64> {
        if let Self::Busy { retry_after_s } | Self::TooMany { retry_after_s } = self {
            return Some(*retry_after_s);
        }
        (self.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(STORE_WAIT_S)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_server_error() && !matches!(self, Self::Busy { .. }) {
            tracing::error!(error = &self as &dyn std::error::Error, "request failed");
        }
        let mut response = (status, Json(json!({ "error": self.to_string() }))).into_response();
        if let Some(seconds) = self.retry_after_s() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

fn ingest_status(error: &IngestError) -> StatusCode {
    match error {
        IngestError::UnknownChain => StatusCode::NOT_FOUND,
        IngestError::TooMany { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        IngestError::TooLong { .. }
        | IngestError::Checkpoint(_)
        | IngestError::CheckpointSize { .. }
        | IngestError::Signer { .. } => StatusCode::BAD_REQUEST,
        IngestError::Chain(_) | IngestError::Sign(_) => StatusCode::INTERNAL_SERVER_ERROR,
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

fn acknowledge_status(error: &AcknowledgeError) -> StatusCode {
    match error {
        AcknowledgeError::UnknownChain => StatusCode::NOT_FOUND,
        AcknowledgeError::Signature(_) => StatusCode::BAD_REQUEST,
        AcknowledgeError::Other => StatusCode::CONFLICT,
        AcknowledgeError::Chain(_) => StatusCode::INTERNAL_SERVER_ERROR,
        AcknowledgeError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
