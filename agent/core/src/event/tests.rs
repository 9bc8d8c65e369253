//! Tests that walk every event type: names, whole numbers, nothing biometric; and the strict envelope.
//! Never lists the types by hand: a new one is walked because it is in the registry.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;

/// Parts of member names that would mean a biometric value. `scorebucket` is the one thing allowed.
const DENIED: [&str; 16] = [
    "score", "similar", "cosine", "distance", "embed", "vector", "feature", "landmark", "image", "picture",
    "photo", "crop", "frame", "template", "probe", "biometr",
];
/// Member names that contain a denied part and are harmless.
const ALLOWED: [&str; 2] = ["scorebucket", "frames"];

fn envelope(draft: Draft) -> Envelope {
    Envelope {
        kind: draft.kind,
        subject: draft.subject,
        data: draft.data,
        terminal: TerminalId(Uuid::from_u128(1)),
        chain: ChainId(Uuid::from_u128(2)),
        sequence: Sequence(7),
        prev: Hash([9; 32]),
        boot: BootId(Uuid::from_u128(3)),
        boottime: Boottime(Duration::from_millis(5)),
        clock: ClockTrust::Synced,
        time: WallTime(1_777_593_660_250),
    }
}

fn draft(data: Value) -> Draft {
    Draft { kind: "a.b.v1".into(), subject: None, data }
}

fn denied_members(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, inner) in members {
                let lower = name.to_lowercase();
                if !ALLOWED.contains(&lower.as_str()) && DENIED.iter().any(|d| lower.contains(d)) {
                    found.push(name.clone());
                }
                if lower == "scorebucket" && inner.as_u64().is_none_or(|n| n > 10) {
                    found.push(format!("{name} = {inner}"));
                }
                denied_members(inner, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| denied_members(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn no_event_type_has_a_biometric_member_or_a_float() {
    let mut names = BTreeSet::new();
    for kind in kinds() {
        let draft = (kind.example)();
        assert_eq!(draft.kind, kind.name);
        assert!(is_kind(kind.name), "{}", kind.name);
        assert!(names.insert(kind.name), "{} is listed twice", kind.name);
        let mut found = Vec::new();
        denied_members(&draft.data, &mut found);
        assert!(found.is_empty(), "{}: {found:?}", kind.name);
        let payload = envelope(draft).to_payload().unwrap();
        assert_eq!(Envelope::parse(payload.as_bytes()).unwrap().kind, kind.name);
    }
    assert!(names.contains("log.genesis.v1"));
}

#[test]
fn the_deny_list_can_fail() {
    for data in [
        json!({"score": 1}),
        json!({"a": [{"faceEmbedding": ""}]}),
        json!({"image": ""}),
        json!({"scorebucket": 11}),
        json!({"scorebucket": "0.731"}),
    ] {
        let mut found = Vec::new();
        denied_members(&data, &mut found);
        assert_eq!(found.len(), 1, "{data}");
    }
    let float = envelope(draft(json!({"a": 0.5}))).to_payload();
    assert!(matches!(float, Err(EventError::Data(CanonicalError::Number(_)))));
}

#[test]
fn other_spellings_of_an_envelope_are_refused() {
    let good = envelope(draft(json!({"n": 1, "text": "ü"}))).to_payload().unwrap();
    assert!(Envelope::parse(good.as_bytes()).is_ok());
    for (from, to) in [
        ("{\"bootid\"", "{ \"bootid\""),
        ("\"n\":1", "\"n\":1.0"),
        ("\"n\":1", "\"n\":2,\"n\":1"),
        ("ü", "\\u00fc"),
        ("00000000000000000007", "7"),
        ("/7\"", "/8\""),
        ("\"specversion\":\"1.0\"", "\"specversion\":\"1.1\""),
        (".250Z", ".25Z"),
        (".250Z", ".250+00:00"),
        ("\"type\"", "\"traceparent\":\"x\",\"type\""),
        ("\"5000000\"", "\"05000000\""),
        ("synced", "fine"),
        ("a.b.v1", "a.b"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        assert!(Envelope::parse(bad.as_bytes()).is_err(), "{to}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Envelope::parse(&bytes);
    }

    #[test]
    fn envelopes_read_back(text in ".*", n in -9_007_199_254_740_991_i64..=9_007_199_254_740_991, seq: u64, ns: u64) {
        let mut one = envelope(draft(json!({"text": text, "n": n})));
        one.sequence = Sequence(seq);
        one.boottime = Boottime(Duration::from_nanos(ns));
        one.subject = (seq % 2 == 0).then(|| SubjectToken::parse("op:a7c1KgJ_dLeSE9yaGjm6zn").unwrap());
        let payload = one.to_payload().unwrap();
        prop_assert_eq!(Envelope::parse(payload.as_bytes()).unwrap(), one);
        let tree: Value = serde_json::from_str(&payload).unwrap();
        prop_assert_eq!(crate::canonical::to_string(&tree).unwrap(), payload, "written as the general writer would");
    }
}
