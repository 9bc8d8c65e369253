//! What a site needs beside the upload: status of terminals, documents, limits, the description of it all.
//! Never a status code that the description does not have.

use std::time::Duration;

use reference_upstream::{Limits, Rate, TerminalInfo};
use serde_json::{Value, json};
use zhenyin_core::documents::{Acknowledgement, AcknowledgementContent};
use zhenyin_core::event::{Draft, encode_hash};
use zhenyin_core::merkle::leaf_hash;

use crate::device::{Device, get, http, post, signer, stalled};
use crate::place::{Place, everywhere};

fn draft(kind: &str, data: Value) -> Draft {
    Draft { kind: kind.into(), subject: None, data }
}

#[test]
fn terminals_are_listed_with_version_gaps_and_documents() {
    everywhere(|place| {
        let upstream = place.start();
        let mut device = Device::enrol(&upstream, 1);
        device.append(draft("agent.started.v1", json!({"agent": "0.9.1", "policy_serial": 1})));
        device.heartbeats(2);
        // An hour of nothing, then the agent says that it was cut off.
        device.skip(3600);
        let since = "2026-05-01T00:00:02.000Z";
        device.append(draft("agent.gap.v1", json!({"since": since, "rebooted": true})));
        device.drain(upstream.addr(), 0);
        let bearer = format!("Bearer {}", upstream.admin_token());
        let ask = |path: &str| http(upstream.addr(), "GET", path, &[("Authorization", &bearer)], b"").json();
        let row = ask("/v1/terminals")["terminals"][0].clone();
        assert_eq!(
            (&row["agent"], &row["running"], &row["gaps"]),
            (&json!("0.9.1"), &json!(true), &json!(1))
        );
        assert_eq!(row["last_gap"]["from"], since);
        assert_eq!(row["documents"], json!({"policy": 1}));
        assert_eq!(row["size"], 4);
        let chain = device.chain.grant().chain();
        let gaps = ask(&format!("/v1/chains/{chain}/gaps"));
        assert_eq!(gaps["gaps"][0]["sequence"], 3);
        device.append(draft("agent.stopped.v1", json!({"reason": "asked"})));
        device.skip(86_400);
        device.append(draft("agent.started.v1", json!({"agent": "0.9.2", "policy_serial": 1})));
        device.drain(upstream.addr(), 4);
        let row = &ask("/v1/terminals")["terminals"][0];
        assert_eq!((&row["agent"], &row["gaps"]), (&json!("0.9.2"), &json!(1)), "a day off is no gap");
    });
}

#[test]
fn documents_of_all_kinds_are_published_fetched_and_acknowledged() {
    everywhere(|place| {
        let upstream = place.start();
        let device = Device::enrol(&upstream, 1);
        let chain = device.chain.grant().chain();
        for kind in ["roster", "orders"] {
            let path = format!("/v1/documents/{kind}");
            assert_eq!(get(upstream.addr(), &path).status, 404);
            assert_eq!(upstream.publish(kind, &json!({"serial": 3, "entries": ["a"]})).unwrap(), 3);
            assert!(upstream.publish(kind, &json!({"serial": 3})).is_err(), "a serial that does not rise");
            assert!(upstream.publish(kind, &json!({"entries": []})).is_err(), "no serial");
            let got = get(upstream.addr(), &path);
            let token = String::from_utf8(got.body).unwrap();
            let same = http(upstream.addr(), "GET", &path, &[("If-None-Match", &got.headers["etag"])], b"");
            assert_eq!((same.status, same.body.len()), (304, 0));
            let digest = encode_hash(&leaf_hash(token.as_bytes()));
            let content =
                AcknowledgementContent { chain, kind: kind.into(), serial: 3, digest, iat: 1_777_593_600 };
            let send = |content: &AcknowledgementContent, seed: u8| {
                let signed = Acknowledgement::seal(content, &signer(seed)).unwrap();
                let path = format!("/v1/chains/{chain}/acknowledgements");
                http(upstream.addr(), "POST", &path, &[], signed.token().as_bytes()).status
            };
            assert_eq!(send(&content, 2), 400, "another key");
            assert_eq!(send(&AcknowledgementContent { serial: 2, ..content.clone() }, 1), 409);
            assert_eq!(send(&AcknowledgementContent { digest: "x".into(), ..content.clone() }, 1), 409);
            assert_eq!(send(&content, 1), 204);
            assert_eq!(send(&content, 1), 204, "again changes nothing");
        }
        assert!(upstream.publish("diary", &json!({"serial": 1})).is_err());
        assert_eq!(
            json!(upstream.terminals().unwrap()[0].documents),
            json!({"orders": 3, "roster": 3}),
            "the policy was not acknowledged"
        );
    });
}

#[test]
fn whoever_asks_too_often_is_told_when_to_come_again() {
    let place = Place::embedded();
    let slow = Rate { per_second: 0.01, burst: 5.0 };
    let upstream = place.with_limits(Limits { chain: slow, enrolment: slow, ..Limits::default() });
    let mut device = Device::enrol(&upstream, 1);
    device.heartbeats(10);
    let mut other = Device::enrol(&upstream, 2);
    other.heartbeats(1);
    for n in 0..5 {
        device.send(upstream.addr(), &device.request(n, n + 1, 0)).receipt();
    }
    let refused = device.send(upstream.addr(), &device.request(5, 6, 0));
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.headers["retry-after"].parse().unwrap();
    assert!((90..=100).contains(&wait), "{wait}");
    other.send(upstream.addr(), &other.request(0, 1, 0)).receipt();
    let codes = (0..5).map(|_| post(upstream.addr(), "/v1/enrolments", &json!({})).status);
    assert_eq!(codes.collect::<Vec<_>>(), [400, 400, 400, 429, 429]);
    assert_eq!(upstream.counts().unwrap().events, 6);
}

#[test]
fn with_no_room_left_requests_are_sent_away_and_nothing_is_lost() {
    let place = Place::embedded();
    let none = Limits { working: 0, patience: Duration::from_millis(10), ..Limits::default() };
    let upstream = place.with_limits(none);
    let path = "/v1/documents/policy";
    for (upstream, what) in [
        (&upstream, "no turn to work"),
        (&place.with_limits(Limits { waiting: 0, ..Limits::default() }), "no room for a body"),
    ] {
        let got = get(upstream.addr(), path);
        assert_eq!((got.status, got.headers["retry-after"].as_str()), (503, "5"), "{what}");
    }
    let upstream = place.start();
    assert_eq!(get(upstream.addr(), path).status, 200, "control: with room it is answered");
    // One byte a second never ends by itself; the exchange does.
    let short = Limits { exchange: Duration::from_millis(200), ..Limits::default() };
    let upstream = place.with_limits(short);
    assert_eq!(post(upstream.addr(), "/v1/enrolments", &json!({})).status, 400, "control: in one go");
    assert_eq!(stalled(upstream.addr(), "/v1/enrolments"), 408);
}

#[test]
fn a_store_serves_only_the_keys_that_made_it() {
    everywhere(|place| {
        place.start().shutdown();
        let other = tempfile::tempdir().unwrap();
        let mut config = place.config.clone();
        if place.database.is_none() {
            std::fs::copy(config.state_dir.join("upstream.db"), other.path().join("upstream.db")).unwrap();
        }
        config.state_dir = other.path().to_owned();
        let error = reference_upstream::Upstream::start(&config).err().expect("refused");
        assert!(format!("{error:?}").contains("OtherKeys"), "{error:?}");
    });
}

#[test]
fn answers_are_as_the_description_says() {
    let place = Place::embedded();
    let upstream = place.start();
    let description = get(upstream.addr(), "/v1/openapi.json").json();
    let mut device = Device::enrol(&upstream, 1);
    device.heartbeats(3);
    let chain = device.chain.grant().chain().to_string();
    upstream.publish("roster", &json!({"serial": 1})).unwrap();
    let bearer = format!("Bearer {}", upstream.admin_token());
    let admin = [("Authorization", bearer.as_str())];
    let batch = json!(device.request(0, 2, 0)).to_string();
    let late = json!(device.request(3, 3, 0)).to_string();
    let again = TerminalInfo { terminal: None, ..TerminalInfo::default() };
    let code = upstream.mint_code(&again).unwrap();
    let wish = zhenyin_core::documents::EnrolmentRequest::new(
        &code,
        None,
        zhenyin_core::time::WallTime(0),
        &signer(5),
    );
    let wish = json!(wish.unwrap()).to_string();
    let none = "00000000-0000-0000-0000-000000000000";
    let br = [("Content-Encoding", "br")];
    let held = [("If-None-Match", "\"1\"")];
    let check = |method: &str, path: &str, id: &str, headers: &[(&str, &str)], body: &str, status: u16| {
        let real = path.replace("{chain}", id).replace("{kind}", id);
        let got = http(upstream.addr(), method, &real, headers, body.as_bytes());
        assert_eq!(got.status, status, "{method} {real}: {}", String::from_utf8_lossy(&got.body));
        let operation = &description["paths"][path][method.to_lowercase()];
        let answer = &operation["responses"][status.to_string()];
        assert!(answer.is_object(), "{method} {path} does not describe {status}");
        let schema = &answer["content"]["application/json"]["schema"];
        if schema.is_object() && !path.ends_with("openapi.json") {
            let wrong = complaints(&description, schema, &got.json(), "body");
            assert_eq!(wrong, Vec::<String>::new(), "{method} {real}");
        }
    };
    let events = "/v1/chains/{chain}/events";
    check("POST", "/v1/enrolments", "", &[], &wish, 200);
    check("POST", "/v1/enrolments", "", &[], "{}", 400);
    check("POST", events, &chain, &[], &late, 409);
    check("POST", events, &chain, &[], &batch, 200);
    check("POST", events, &chain, &[], "{}", 400);
    check("POST", events, &chain, &br, &batch, 415);
    check("POST", events, none, &[], &batch, 404);
    check("POST", "/v1/chains/{chain}/acknowledgements", &chain, &[], "x", 400);
    check("POST", "/v1/chains/{chain}/acknowledgements", none, &[], "x", 404);
    check("GET", "/v1/chains/{chain}", &chain, &[], "", 200);
    check("GET", "/v1/chains/{chain}", none, &[], "", 404);
    check("GET", "/v1/chains/{chain}", "x", &[], "", 400);
    check("GET", "/v1/chains/{chain}/gaps", &chain, &admin, "", 200);
    check("GET", "/v1/chains/{chain}/gaps", &chain, &[], "", 401);
    check("GET", "/v1/documents/{kind}", "roster", &[], "", 200);
    check("GET", "/v1/documents/{kind}", "roster", &held, "", 304);
    check("GET", "/v1/documents/{kind}", "orders", &[], "", 404);
    check("GET", "/v1/terminals", "", &admin, "", 200);
    check("GET", "/v1/terminals", "", &[], "", 401);
    check("GET", "/v1/openapi.json", "", &[], "", 200);
}

/// What of a value is not as its schema says: type, required members, members of known names.
fn complaints(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let target = root.pointer(&name[1..]).unwrap_or_else(|| panic!("{name} is not described"));
        return complaints(root, target, value, at);
    }
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed = &schema["type"];
    let fits = allowed.as_array().map_or(allowed == found, |many| many.iter().any(|one| one == found));
    let mut wrong = if fits { Vec::new() } else { vec![format!("{at} is {found}, not {allowed}")] };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            wrong.push(format!("{at} has no `{name}`"));
        }
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        match schema["properties"].get(name) {
            Some(schema) => wrong.extend(complaints(root, schema, member, &format!("{at}.{name}"))),
            None if schema["properties"].is_object() => {
                wrong.push(format!("{at}.{name} is not described"));
            }
            None => {}
        }
    }
    for item in value.as_array().into_iter().flatten() {
        wrong.extend(complaints(root, &schema["items"], item, &format!("{at}[]")));
    }
    wrong
}

#[test]
fn control_a_wrong_answer_is_found() {
    let root = json!({"components": {"a": {"type": "object", "required": ["n"], "properties":
        {"n": {"type": "integer"}, "l": {"type": "array", "items": {"type": ["string", "null"]}}}}}});
    let schema = json!({"$ref": "#/components/a"});
    let check = |value: Value, count: usize| {
        assert_eq!(complaints(&root, &schema, &value, "body").len(), count, "{value}");
    };
    check(json!({"n": 1, "l": ["x", null]}), 0);
    check(json!({"n": "1"}), 1);
    check(json!({"l": [1]}), 2);
    check(json!({"n": 1, "m": 1}), 1);
    check(json!([]), 2);
}
