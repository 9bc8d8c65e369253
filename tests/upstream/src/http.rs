//! The routes of the protocol. `http/openapi.json` describes them for others.
//! Never decides anything: it reads a request, calls one function and writes its result.

mod problem;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use zhenyin_core::documents::EnrolmentRequest;
use zhenyin_core::ids::ChainId;
use zhenyin_core::time::WallTime;
use zhenyin_core::wire::{BODY_LIMIT, SizeConflict, UploadRequest};

use crate::audit::PAGE;
use crate::body;
use crate::card_authentication::{self, CardKeys};
use crate::documents;
use crate::ingest::{self, Taken};
use crate::keys::Keys;
use crate::limits::Gate;
use crate::registry;
use crate::store::Store;
use problem::Problem;

/// What every handler works with.
pub(crate) struct Shared {
    pub(crate) store: Box<dyn Store>,
    pub(crate) keys: Keys,
    pub(crate) cards: CardKeys,
    pub(crate) gate: Gate,
    pub(crate) now: fn() -> WallTime,
}

type Context = State<Arc<Shared>>;

/// Method, path and handler of every route; the description is held against this list.
fn routes() -> [(&'static str, &'static str, MethodRouter<Arc<Shared>>); 9] {
    [
        ("post", "/v1/enrolments", post(enrol)),
        ("post", "/v1/chains/{chain}/events", post(upload)),
        ("post", "/v1/chains/{chain}/acknowledgements", post(acknowledge)),
        ("post", "/v1/chains/{chain}/card-authentications", post(card_authentication::answer)),
        ("get", "/v1/chains/{chain}", get(chain_status)),
        ("get", "/v1/chains/{chain}/gaps", get(gaps)),
        ("get", "/v1/documents/{kind}", get(document)),
        ("get", "/v1/terminals", get(terminals)),
        ("get", "/v1/openapi.json", get(openapi)),
    ]
}

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let router =
        routes().into_iter().fold(Router::new(), |router, (_, path, method)| router.route(path, method));
    router
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn_with_state(Arc::clone(&shared), bounded))
        .with_state(shared)
}

/// Room for the body before it is read, and an end to every exchange.
async fn bounded(State(shared): Context, request: Request, next: Next) -> Response {
    let limits = shared.gate.limits;
    let Some(_room) = shared.gate.admit() else {
        return Problem::Busy { retry_after_s: limits.retry_after_s }.into_response();
    };
    let done = tokio::time::timeout(limits.exchange, next.run(request)).await;
    done.unwrap_or_else(|_| Problem::TooSlow.into_response())
}

async fn enrol(State(shared): Context, body: Bytes) -> Result<Response, Problem> {
    if let Some(retry_after_s) = shared.gate.enrolment_wait() {
        return Err(Problem::TooMany { retry_after_s });
    }
    let request: EnrolmentRequest = serde_json::from_slice(&body).map_err(Problem::Json)?;
    let answer = working(shared, move |shared| {
        Ok(registry::enrol(shared.store.as_ref(), &shared.keys, &request, (shared.now)())?)
    });
    Ok(Json(answer.await?).into_response())
}

async fn upload(
    State(shared): Context,
    Path(chain): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let chain = admitted(&shared, &chain)?;
    let encoding = headers.get(header::CONTENT_ENCODING);
    let encoding = encoding.map(|value| value.to_str().unwrap_or("?").to_owned());
    let taken = working(shared, move |shared| {
        let plain = body::decode(encoding.as_deref(), &body)?;
        let request: UploadRequest = serde_json::from_slice(&plain).map_err(Problem::Json)?;
        let taken = ingest::take(shared.store.as_ref(), &shared.keys, chain, &request, (shared.now)())?;
        Ok((taken, shared.gate.pacing_ms()))
    });
    Ok(match taken.await? {
        (Taken::Receipt(mut receipt), pacing) => {
            receipt.next_ms = pacing;
            Json(receipt).into_response()
        }
        (Taken::Conflict { size }, _) => (StatusCode::CONFLICT, Json(SizeConflict { size })).into_response(),
    })
}

async fn acknowledge(
    State(shared): Context,
    Path(chain): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let chain = admitted(&shared, &chain)?;
    let token = String::from_utf8(body.to_vec()).map_err(|_| Problem::Text)?;
    let done = working(shared, move |shared| {
        Ok(documents::acknowledge(shared.store.as_ref(), &shared.keys, chain, token.trim(), (shared.now)())?)
    });
    done.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn chain_status(State(shared): Context, Path(chain): Path<String>) -> Result<Response, Problem> {
    let chain = admitted(&shared, &chain)?;
    let status = working(shared, move |shared| Ok(ingest::status(shared.store.as_ref(), chain)?));
    Ok(Json(status.await?).into_response())
}

async fn document(
    State(shared): Context,
    Path(kind): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let newest = working(shared, move |shared| Ok(shared.store.newest_document(&kind)?)).await?;
    let newest = newest.ok_or(Problem::NoDocument)?;
    let tag = format!("\"{}\"", newest.serial);
    if headers.get(header::IF_NONE_MATCH).is_some_and(|held| held.as_bytes() == tag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let head = [(header::CONTENT_TYPE, "application/jose".to_owned()), (header::ETAG, tag)];
    Ok((head, newest.token).into_response())
}

#[derive(Deserialize)]
struct Page {
    /// Chain after which the page begins.
    after: Option<String>,
}

async fn terminals(
    State(shared): Context,
    Query(page): Query<Page>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    check_admin(&shared, &headers)?;
    let after = page.after.as_deref().map(parse_chain).transpose()?;
    let rows = working(shared, move |shared| Ok(shared.store.terminals(after, PAGE)?)).await?;
    let next = rows.last().filter(|_| rows.len() == PAGE).map(|row| row.chain);
    Ok(Json(json!({ "terminals": rows, "next": next })).into_response())
}

async fn gaps(
    State(shared): Context,
    Path(chain): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    check_admin(&shared, &headers)?;
    let chain = parse_chain(&chain)?;
    let gaps = working(shared, move |shared| Ok(shared.store.gaps(chain)?)).await?;
    Ok(Json(json!({ "gaps": gaps })).into_response())
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("http/openapi.json"))
}

fn check_admin(shared: &Shared, headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if same(given, &shared.keys.admin_token) { Ok(()) } else { Err(Problem::NotAdmin) }
}

/// Compares digests, so that the time it takes says nothing about the token.
fn same(given: &str, token: &str) -> bool {
    let digest = |text: &str| ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest(given).as_ref() == digest(token).as_ref()
}

fn parse_chain(text: &str) -> Result<ChainId, Problem> {
    text.parse().map(ChainId).map_err(|_| Problem::ChainId)
}

/// The chain, unless it has asked too often.
fn admitted(shared: &Shared, chain: &str) -> Result<ChainId, Problem> {
    let id = parse_chain(chain)?;
    match shared.gate.chain_wait(&id.to_string()) {
        None => Ok(id),
        Some(retry_after_s) => Err(Problem::TooMany { retry_after_s }),
    }
}

/// Runs what needs processor and store off the network threads, when its turn comes.
async fn working<T: Send + 'static>(
    shared: Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let Some(turn) = shared.gate.turn().await else {
        return Err(Problem::Busy { retry_after_s: shared.gate.limits.retry_after_s });
    };
    // The turn goes along: work that nobody waits for any more is still work.
    let run = move || {
        let _turn = turn;
        work(&shared)
    };
    match tokio::task::spawn_blocking(run).await {
        Ok(done) => done,
        Err(_) => Err(Problem::Panic),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    #[test]
    fn the_description_has_exactly_these_routes() {
        let described: Value = serde_json::from_str(include_str!("http/openapi.json")).unwrap();
        let mut found = BTreeSet::new();
        for (path, methods) in described["paths"].as_object().unwrap() {
            found.extend(methods.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())));
        }
        let served =
            super::routes().into_iter().map(|(method, path, _)| (method.to_owned(), path.to_owned()));
        assert_eq!(found, served.collect());
    }
}
