//! The routes: sessions, their answers and events, and the status page.
//! Never holds state; every question goes to the event loop.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use zhenyin_core::api::{Answer, Request, Status};
use zhenyin_core::hold::{HoldChange, HoldRequest};
use zhenyin_core::ids::{Sequence, SessionId};
use zhenyin_core::inspection::{InspectionClosing, InspectionRequest};

use super::guard::{self, Guard};
use super::problem::Problem;
use super::{ApiToken, Ask, Asks, Progress};

pub(super) fn router(asks: Asks, token: ApiToken, address: SocketAddr) -> Router {
    let guard = Guard { token, address };
    Router::new()
        .route("/v1/sessions", post(begin))
        .route("/v1/sessions/{session}/answers", post(answer))
        .route("/v1/sessions/{session}/events", get(follow))
        .route("/v1/inspections", post(inspect))
        .route("/v1/inspections/{opened}/closing", post(close_inspection))
        .route("/v1/holds", post(place_hold))
        .route("/v1/holds/{hold}/lifting", post(lift_hold))
        .route("/v1/status", get(status))
        .route("/", get(page))
        .route("/status.js", get(script))
        .route("/status.css", get(style))
        .with_state(asks)
        .layer(axum::extract::DefaultBodyLimit::max(BODY_LIMIT))
        .layer(axum::middleware::from_fn_with_state(guard, guard::check))
}

/// Holds the longest list of tokens and event types that an inspection may ask for.
const BODY_LIMIT: usize = 16_384;

/// Puts a question to the event loop and waits for its answer.
async fn ask<T>(asks: &Asks, make: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Problem> {
    let (back, answer) = oneshot::channel();
    if !asks(make(back)) {
        return Err(Problem::stopping());
    }
    answer.await.map_err(|_| Problem::stopping())
}

/// Takes a body only when it says nothing beyond what the call knows: serde alone lets further members of a
/// body without fields pass.
fn strict<T: Serialize + DeserializeOwned>(body: Result<Json<Value>, JsonRejection>) -> Result<T, Problem> {
    // The rejection's own text may quote the body, and the body may hold a PIN.
    let refuse =
        |status| Problem::new(status, "bad-body", "the body is not JSON of the form that this call takes");
    let Json(value) = body.map_err(|rejection| refuse(rejection.status()))?;
    let meant = T::deserialize(&value).map_err(|_| refuse(StatusCode::UNPROCESSABLE_ENTITY))?;
    let whole = serde_json::to_value(&meant).is_ok_and(|written| written == value);
    if whole { Ok(meant) } else { Err(refuse(StatusCode::UNPROCESSABLE_ENTITY)) }
}

async fn begin(
    State(asks): State<Asks>,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<Response, Problem> {
    let request = strict::<Request>(body)?;
    let session = ask(&asks, |back| Ask::Begin { request, back }).await??;
    let events = format!("/v1/sessions/{}/events", session.0);
    let body = Json(serde_json::json!({ "session": session, "events_url": events }));
    Ok((StatusCode::CREATED, [(header::LOCATION, events)], body).into_response())
}

async fn answer(
    State(asks): State<Asks>,
    Path(session): Path<SessionId>,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let answer = strict::<Answer>(body)?;
    ask(&asks, |back| Ask::Answer { session, answer, back }).await??;
    Ok(StatusCode::NO_CONTENT)
}

async fn follow(
    State(asks): State<Asks>,
    Path(session): Path<SessionId>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let progress = ask(&asks, |back| Ask::Follow { session, back }).await?;
    let progress = progress.ok_or(zhenyin_core::api::Refusal::NoSuchSession)?;
    let events = UnboundedReceiverStream::new(progress).map(|progress| {
        let event = match &progress {
            Progress::Step(step) => Event::default().event("state").json_data(step),
            Progress::Done(reply) => Event::default().event("done").json_data(reply),
        };
        Ok(event.unwrap_or_default())
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

async fn inspect(
    State(asks): State<Asks>,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<Response, Problem> {
    let request = strict::<InspectionRequest>(body)?;
    let open = ask(&asks, |back| Ask::Inspect { request, back }).await??;
    let closing = format!("/v1/inspections/{}/closing", open.opened);
    Ok((StatusCode::CREATED, [(header::LOCATION, closing)], Json(open)).into_response())
}

async fn close_inspection(
    State(asks): State<Asks>,
    Path(opened): Path<Sequence>,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let closing = strict::<InspectionClosing>(body)?;
    let closed = ask(&asks, |back| Ask::CloseInspection { opened, closing, back }).await??;
    Ok(Json(serde_json::json!({ "closed": closed })))
}

async fn place_hold(
    State(asks): State<Asks>,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<Response, Problem> {
    let change = HoldChange::Place(strict::<HoldRequest>(body)?);
    let hold = ask(&asks, |back| Ask::ChangeHold { change, back }).await??;
    let lifting = format!("/v1/holds/{hold}/lifting");
    let body = Json(serde_json::json!({ "hold": hold }));
    Ok((StatusCode::CREATED, [(header::LOCATION, lifting)], body).into_response())
}

async fn lift_hold(State(asks): State<Asks>, Path(hold): Path<i64>) -> Result<Json<Value>, Problem> {
    let change = HoldChange::Lift { hold };
    let hold = ask(&asks, |back| Ask::ChangeHold { change, back }).await??;
    Ok(Json(serde_json::json!({ "hold": hold })))
}

async fn status(State(asks): State<Asks>) -> Result<Json<Status>, Problem> {
    Ok(Json(ask(&asks, |back| Ask::Status { back }).await?))
}

const CSP: (HeaderName, HeaderValue) = (
    header::CONTENT_SECURITY_POLICY,
    HeaderValue::from_static(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    ),
);

async fn page() -> impl IntoResponse {
    ([CSP], Html(include_str!("../../ui/status.html")))
}

async fn script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("../../ui/status.js"))
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("../../ui/status.css"))
}
