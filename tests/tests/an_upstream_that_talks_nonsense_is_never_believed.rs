//! Answers that look like success and are none: wrong body, foreign receipt, a bare 200.
//! Never a receipt counted that was not verified; everything goes up once the upstream is honest again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use zhenyin_core::fault::Fault;
use zhenyin_tests::world::World;

/// What the upstream says instead of the truth, and what the terminal makes of it.
const LIES: [(&str, StatusCode, Fault); 5] = [
    ("<html>proxy</html>", StatusCode::OK, Fault::UpstreamNonsense),
    ("{}", StatusCode::OK, Fault::UpstreamNonsense),
    (r#"{"size":2,"receipt":"x"}"#, StatusCode::OK, Fault::ReceiptWrong),
    ("", StatusCode::NO_CONTENT, Fault::UpstreamNonsense),
    ("moved", StatusCode::FOUND, Fault::UpstreamNonsense),
];

#[test]
fn an_upstream_that_talks_nonsense_is_never_believed() {
    for (body, status, fault) in LIES {
        let folder = tempfile::tempdir().unwrap();
        let told = Arc::new(AtomicUsize::new(0));
        let lie = Arc::clone(&told);
        let world = World::build_with(folder.path(), None, |routes| {
            routes.layer(from_fn(move |request: Request<Body>, next: Next| {
                let lie = Arc::clone(&lie);
                async move {
                    let upload = request.uri().path().ends_with("/events");
                    // One lie, then the truth: the terminal must come back by itself.
                    if upload && lie.fetch_add(1, Ordering::SeqCst) < 1 {
                        return (status, body).into_response();
                    }
                    let response: Response = next.run(request).await;
                    response
                }
            }))
        })
        .unwrap();
        let seen = world.until("the lie being noticed", |s| s.upstream == Some(fault)).unwrap();
        assert_eq!(seen.receipted, 0, "nothing is receipted by `{body}`");
        let healed = world.until("the truth", |s| s.upstream.is_none() && s.receipted > 0).unwrap();
        assert!(healed.receipted > 0 && told.load(Ordering::SeqCst) >= 2);
    }
}
