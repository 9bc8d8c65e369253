//! A 3.0 card at a terminal whose key server is behind the upstream: opened by one answer to one question, left
//! locked by everything else. The controls are cards, servers and networks with which it must not open.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use zhenyin_core::api::{Outcome, Request as Act};
use zhenyin_core::card::CardWarning;
use zhenyin_tests::card_reader::{CardSpec, SimulatedPsam};
use zhenyin_tests::world::World;

const REMOTE: &str = "authenticator = { kind = 'remote', wait_s = 5 }\n";
const EXTERNAL_AUTHENTICATE: u8 = 0x82;
const VERIFY: u8 = 0x20;

/// Path and body of each question that came to the upstream.
type Questions = Arc<Mutex<Vec<(String, String)>>>;

/// Keeps the questions, and hands answers through `change`.
fn watched(routes: Router, seen: &Questions, change: fn(String) -> String) -> Router {
    let seen = Arc::clone(seen);
    routes.layer(from_fn(move |request: Request<Body>, next: Next| {
        let seen = Arc::clone(&seen);
        async move {
            if !request.uri().path().ends_with("/card-authentications") {
                return next.run(request).await;
            }
            let (parts, body) = request.into_parts();
            let bytes = to_bytes(body, 1 << 16).await.unwrap();
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            seen.lock().unwrap().push((parts.uri.path().to_owned(), text));
            let response: Response = next.run(Request::from_parts(parts, Body::from(bytes))).await;
            let status = response.status();
            let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
            (status, change(String::from_utf8(body.to_vec()).unwrap())).into_response()
        }
    }))
}

/// Whether the holder was read, and with which warnings.
fn read(world: &World) -> (bool, Vec<CardWarning>) {
    let reply = world.perform(&Act::CardRead, |_| None).unwrap();
    let Outcome::CardRead { locked, warnings, name, .. } = reply.outcome else { panic!("{reply:?}") };
    assert_eq!(name.is_none(), locked);
    (!locked, warnings)
}

fn times_sent(world: &World, instruction: u8) -> usize {
    world.reader.instructions().into_iter().filter(|sent| *sent == instruction).count()
}

fn post(address: SocketAddr, path: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap()
}

#[test]
fn one_question_has_one_answer_and_the_card_gets_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let seen = Questions::default();
    let mut world =
        World::build_configured(folder.path(), REMOTE, |routes| watched(routes, &seen, |answer| answer))
            .unwrap();
    world.until("the reader answering", |s| s.reader.is_none()).unwrap();
    world.reader.insert(CardSpec::with_key());
    // Without power throughout, the card would have forgotten that it was opened.
    assert_eq!(read(&world), (true, vec![]));
    assert_eq!((times_sent(&world, EXTERNAL_AUTHENTICATE), times_sent(&world, VERIFY)), (1, 0));
    assert_eq!(world.upstream().unwrap().cards_answered(), 1);
    // Another reading has a question, a challenge and an answer of its own.
    assert_eq!(read(&world), (true, vec![]));
    assert_eq!(times_sent(&world, EXTERNAL_AUTHENTICATE), 2);
    let questions = seen.lock().unwrap().clone();
    assert_eq!(questions.len(), 2);
    assert_ne!(questions[0].1, questions[1].1);

    // The same question again is refused, as is one that the terminal did not sign.
    let (path, token) = &questions[0];
    let address = world.upstream().unwrap().addr();
    let stranger = format!("/v1/chains/{}/card-authentications", "0196a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b");
    let forged = format!("{}A", &token[..token.len() - 1]);
    let forged = if forged == *token { format!("{}Q", &token[..token.len() - 1]) } else { forged };
    assert_eq!(post(address, path, token), 409);
    assert_eq!(post(address, &stranger, token), 404);
    assert_eq!(post(address, path, &forged), 403);
    assert_eq!(world.upstream().unwrap().cards_answered(), 2);

    // No network, no answer: the card stays locked and was charged nothing.
    world.cut_network();
    assert_eq!(read(&world), (false, vec![CardWarning::AuthenticationMissing]));
    assert_eq!(times_sent(&world, EXTERNAL_AUTHENTICATE), 2);
    world.stop_agent();
}

#[test]
fn a_card_that_is_not_genuine_is_given_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::build_configured(folder.path(), REMOTE, |routes| routes).unwrap();
    world.until("the reader answering", |s| s.reader.is_none()).unwrap();
    world.reader.insert(CardSpec { holder_key: Some(9), ..CardSpec::with_key() });
    assert_eq!(read(&world), (false, vec![CardWarning::AuthenticationMissing]));
    assert_eq!(times_sent(&world, EXTERNAL_AUTHENTICATE), 0);
}

#[test]
fn a_wrong_answer_costs_one_try_and_no_second() {
    let folder = tempfile::tempdir().unwrap();
    let seen = Questions::default();
    // One digit of the result is exchanged for another.
    let wrong = |answer: String| {
        let Some((head, tail)) = answer.split_once("\"external\":\"") else { return answer };
        let digit = if tail.starts_with('0') { '1' } else { '0' };
        format!("{head}\"external\":\"{digit}{}", &tail[1..])
    };
    let world =
        World::build_configured(folder.path(), REMOTE, |routes| watched(routes, &seen, wrong)).unwrap();
    world.until("the reader answering", |s| s.reader.is_none()).unwrap();
    world.reader.insert(CardSpec::with_key());
    assert_eq!(read(&world), (false, vec![CardWarning::AuthenticationRefused]));
    assert_eq!(times_sent(&world, EXTERNAL_AUTHENTICATE), 1);
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[test]
fn without_an_authenticator_nobody_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let seen = Questions::default();
    let none = "authenticator = { kind = 'none' }\n";
    let world =
        World::build_configured(folder.path(), none, |routes| watched(routes, &seen, |answer| answer))
            .unwrap();
    world.until("the reader answering", |s| s.reader.is_none()).unwrap();
    world.reader.insert(CardSpec::with_key());
    assert_eq!(read(&world), (false, vec![]));
    assert!(seen.lock().unwrap().is_empty());
    assert_eq!(times_sent(&world, EXTERNAL_AUTHENTICATE), 0);
}

const SCRIPT: &str = "psam 00 A4 00 00 02 DF 01
psam BF DE 08 01 13 {historical:0+8} {region} {challenge}
psam 80 FA 00 00 08 {challenge}
answer {result} {challenge}
";

#[test]
fn a_psam_in_the_same_reader_opens_the_card_by_its_script() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("psam.script");
    std::fs::write(&script, SCRIPT).unwrap();
    let psam = format!("authenticator = {{ kind = 'psam', script = '{}' }}\n", script.display());
    let world = World::build_configured(folder.path(), &psam, |routes| routes).unwrap();
    world.until("the reader answering", |s| s.reader.is_none()).unwrap();
    world.reader.insert(CardSpec::with_key());
    // The control: an empty SAM slot opens nothing.
    assert_eq!(read(&world), (false, vec![CardWarning::AuthenticationMissing]));
    world.reader.change(|device| device.build_in(SimulatedPsam::new(0x5A)));
    assert_eq!(read(&world), (true, vec![]));
    assert_eq!((times_sent(&world, EXTERNAL_AUTHENTICATE), times_sent(&world, VERIFY)), (1, 0));
    assert_eq!(world.upstream().unwrap().cards_answered(), 0);
}
