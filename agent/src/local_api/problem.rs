//! Errors of the local API in the form of RFC 9457.
//! Never tells more than a code and one sentence.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use zhenyin_core::api::Refusal;

/// One `application/problem+json` body.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into() }
    }

    pub(super) fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the agent is stopping: try again in a moment")
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = match refusal {
            Refusal::Busy => (StatusCode::CONFLICT, "busy"),
            Refusal::NoSuchSession => (StatusCode::NOT_FOUND, "no-such-session"),
            Refusal::NotAsked => (StatusCode::CONFLICT, "not-asked"),
            Refusal::NobodySignedIn => (StatusCode::FORBIDDEN, "nobody-signed-in"),
            Refusal::NotRecording => (StatusCode::SERVICE_UNAVAILABLE, "not-recording"),
            Refusal::TwoInspectors => (StatusCode::UNPROCESSABLE_ENTITY, "two-inspectors"),
            Refusal::AskedTooMuch => (StatusCode::UNPROCESSABLE_ENTITY, "asked-too-much"),
            Refusal::NoSuchInspection => (StatusCode::NOT_FOUND, "no-such-inspection"),
            Refusal::BadHold => (StatusCode::UNPROCESSABLE_ENTITY, "bad-hold"),
            Refusal::NoSuchHold => (StatusCode::NOT_FOUND, "no-such-hold"),
            Refusal::HoldUnsure => (StatusCode::SERVICE_UNAVAILABLE, "hold-unsure"),
        };
        Self::new(status, code, refusal.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::json!({
            "type": format!("urn:zhenyin:problem:{}", self.code),
            "title": self.code,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        (self.status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
    }
}
