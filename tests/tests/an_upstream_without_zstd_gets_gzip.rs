//! An upstream that does not know zstd: the first batch is sent again with gzip, all later ones only so, until the
//! agent starts again and asks anew. The control is an ordinary upstream, which never sees gzip.
//! Never a lost or doubled event for it.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse as _;
use zhenyin_tests::world::World;

/// Encodings of the batches that came, in order.
type Seen = Arc<Mutex<Vec<String>>>;

/// An upstream that refuses every encoding of `refused`, and what came to it.
fn world(folder: &Path, refused: &'static str) -> (World, Seen) {
    let seen = Seen::default();
    let kept = Arc::clone(&seen);
    let wrap = move |routes: Router| {
        routes.layer(from_fn(move |request: Request, next: Next| {
            let encoding = request.headers().get(header::CONTENT_ENCODING);
            let encoding = encoding.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
            let batch = request.uri().path().ends_with("/events");
            let refuse = batch && refused.split(' ').any(|word| word == encoding);
            if batch {
                kept.lock().unwrap().push(encoding);
            }
            async move {
                if refuse {
                    return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
                }
                next.run(request).await
            }
        }))
    };
    (World::build_with(folder, None, wrap).unwrap(), seen)
}

fn receipted(world: &World, more_than: u64) -> u64 {
    let all = world.until("all receipts", |s| s.events > more_than && s.receipted == s.events);
    all.unwrap().events
}

#[test]
fn an_upstream_without_zstd_gets_gzip() {
    let folder = tempfile::tempdir().unwrap();
    let (mut world, seen) = world(folder.path(), "zstd");
    let first = receipted(&world, 1);
    world.stop_agent();
    let encodings = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(encodings[0], "zstd");
    assert!(encodings.len() > 2 && encodings[1..].iter().all(|word| word == "gzip"), "{encodings:?}");
    world.start_agent().unwrap();
    receipted(&world, first + 1);
    world.stop_agent();
    let encodings = seen.lock().unwrap().clone();
    assert_eq!(encodings.iter().filter(|word| *word == "zstd").count(), 1, "once more after a start");
    let counts = world.upstream().unwrap().counts().unwrap();
    assert_eq!((counts.receipted, counts.quarantined, counts.alarms), (counts.events, 0, 0));
}

#[test]
fn control_an_ordinary_upstream_gets_zstd_only() {
    let folder = tempfile::tempdir().unwrap();
    let (mut world, seen) = world(folder.path(), "");
    receipted(&world, 1);
    world.stop_agent();
    assert!(seen.lock().unwrap().iter().all(|word| word == "zstd"));
}

#[test]
fn who_refuses_both_is_reported_and_costs_one_more_request_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut world, seen) = world(folder.path(), "zstd gzip");
    world.until("the fault", |status| status.upstream.is_some() && status.receipted == 0).unwrap();
    world.stop_agent();
    let encodings = seen.lock().unwrap().clone();
    assert_eq!(encodings.iter().filter(|word| *word == "zstd").count(), 1, "{encodings:?}");
}
