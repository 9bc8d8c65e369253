//! Turns away whoever has no business here, before any handler runs.
//! Never lets a web page in: neither by DNS rebinding (foreign `Host`) nor by a form or script (`Origin`).

use std::net::SocketAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use super::token::ApiToken;

#[derive(Clone, Debug)]
pub(super) struct Guard {
    pub(super) token: ApiToken,
    pub(super) address: SocketAddr,
}

/// Pages and numbers that hold nothing personal and change nothing; all else needs the token.
const OPEN: [&str; 4] = ["/", "/status.js", "/status.css", "/v1/status"];

pub(super) async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let open = request.method() == Method::GET && OPEN.contains(&request.uri().path());
    match guard.refuses(request.headers(), open) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

impl Guard {
    fn refuses(&self, headers: &HeaderMap, open: bool) -> Option<Problem> {
        let text = |name| headers.get(name).and_then(|v: &axum::http::HeaderValue| v.to_str().ok());
        let port = self.address.port();
        let hosts = [format!("{}", self.address), format!("localhost:{port}")];
        if !text(header::HOST).is_some_and(|host| hosts.iter().any(|ours| ours == host)) {
            let detail = "this API answers to its loopback address only";
            return Some(Problem::new(StatusCode::FORBIDDEN, "foreign-host", detail));
        }
        let own_page = format!("http://{}", self.address);
        if headers.get(header::ORIGIN).is_some_and(|origin| !open || origin.as_bytes() != own_page.as_bytes())
        {
            let detail = "web pages may not call this API";
            return Some(Problem::new(StatusCode::FORBIDDEN, "foreign-origin", detail));
        }
        let bearer = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        if !open && !bearer.is_some_and(|offered| self.token.is(offered)) {
            let detail = "send the token of `api.token` as bearer token";
            return Some(Problem::new(StatusCode::UNAUTHORIZED, "no-token", detail));
        }
        None
    }
}
