//! Enrolment, signed documents and the admin side, through HTTP.
//! Never a sleep: everything is done when it is answered.

use serde_json::json;
use zhenyin_core::documents::{
    EnrolmentAnswer, EnrolmentRequest, Grant, Policy, PolicyContent, PreviousChain,
};
use zhenyin_core::ids::TerminalId;
use zhenyin_core::signer::Signer as _;
use zhenyin_core::time::WallTime;

use crate::device::{Device, get, http, info, post, signer};
use crate::place::everywhere;

const NOW: WallTime = WallTime(1_777_593_600_000);

fn wish(code: &str, seed: u8, prev: Option<PreviousChain>) -> serde_json::Value {
    json!(EnrolmentRequest::new(code, prev, NOW, &signer(seed)).unwrap())
}

#[test]
fn a_code_gives_one_grant_to_one_key() {
    everywhere(|place| {
        let upstream = place.start();
        let code = upstream.mint_code(&info()).unwrap();
        let ask = |code: &str, seed: u8| post(upstream.addr(), "/v1/enrolments", &wish(code, seed, None));

        let first = ask(&code, 1);
        assert_eq!(first.status, 200);
        let answer: EnrolmentAnswer = serde_json::from_slice(&first.body).unwrap();
        let grant = Grant::open(&answer.grant, upstream.authority_key()).unwrap();
        assert_eq!(grant.content().institution.as_deref(), Some("P44010300001"));
        assert_eq!(grant.device_key(), signer(1).public_key());
        assert!(Policy::open(&answer.policy, upstream.authority_key()).is_ok());
        assert!(answer.pepper().is_some());

        let again = ask(&code.to_lowercase().replace('-', " "), 1);
        let same: EnrolmentAnswer = serde_json::from_slice(&again.body).unwrap();
        assert_eq!(same.grant, answer.grant, "a lost answer is given again, however the code is typed");
        assert_eq!(ask(&code, 2).status, 403, "another key");
        assert_eq!(ask("0000-0000-0000-0000", 1).status, 403, "an unknown code");
        let mut stolen = wish(&upstream.mint_code(&info()).unwrap(), 3, None);
        stolen["jwk"] = json!(signer(4).public_key().to_jwk());
        assert_eq!(post(upstream.addr(), "/v1/enrolments", &stolen).status, 400, "a key that is not held");
        assert_eq!(upstream.counts().unwrap().terminals, 1);
    });
}

#[test]
fn a_second_chain_begins_at_the_cosigned_end_of_the_first() {
    everywhere(|place| {
        let upstream = place.start();
        let mut device = Device::enrol(&upstream, 1);
        device.heartbeats(5);
        assert_eq!(device.drain(upstream.addr(), 0), 5);
        let head = device.receipts[0].checkpoint().clone();
        let root = head.to_string().lines().nth(2).unwrap().to_owned();
        let chain = device.chain.grant().chain();
        let terminal: TerminalId = device.chain.grant().terminal();
        let ask = |prev: PreviousChain| {
            let again = reference_upstream::TerminalInfo { terminal: Some(terminal), ..info() };
            let code = upstream.mint_code(&again).unwrap();
            post(upstream.addr(), "/v1/enrolments", &wish(&code, 2, Some(prev)))
        };
        let dropped = ask(PreviousChain { chain, size: 4, root: root.clone() });
        assert_eq!(dropped.status, 400, "history cannot be dropped");
        let answer = ask(PreviousChain { chain, size: 5, root });
        let answer: EnrolmentAnswer = serde_json::from_slice(&answer.body).unwrap();
        let grant = Grant::open(&answer.grant, upstream.authority_key()).unwrap();
        assert_eq!(grant.terminal(), terminal);
        assert_eq!(grant.content().prev.as_ref().map(|prev| prev.size), Some(5));
        assert_ne!(grant.chain(), chain);
    });
}

#[test]
fn policies_are_served_signed_and_rise() {
    everywhere(|place| {
        let upstream = place.start();
        let serial = || {
            let token = String::from_utf8(get(upstream.addr(), "/v1/documents/policy").body).unwrap();
            Policy::open(&token, upstream.authority_key()).unwrap().serial()
        };
        assert_eq!(serial(), 1);
        upstream.publish_policy(&PolicyContent::new(7, NOW, WallTime(NOW.0 + 1000))).unwrap();
        assert_eq!(serial(), 7);
        assert!(upstream.publish_policy(&PolicyContent::new(7, NOW, WallTime(NOW.0 + 1000))).is_err());
        assert_eq!(get(upstream.addr(), "/v1/documents/roster").status, 404);
    });
}

#[test]
fn the_list_of_terminals_needs_the_token() {
    everywhere(|place| {
        let upstream = place.start();
        let mut device = Device::enrol(&upstream, 1);
        device.heartbeats(3);
        device.drain(upstream.addr(), 0);
        let ask = |token: &str| {
            let bearer = format!("Bearer {token}");
            http(upstream.addr(), "GET", "/v1/terminals", &[("Authorization", &bearer)], b"")
        };
        assert_eq!(get(upstream.addr(), "/v1/terminals").status, 401);
        assert_eq!(ask("guess").status, 401);
        let rows = ask(upstream.admin_token()).json();
        assert_eq!(rows["terminals"][0]["size"], 3);
        assert!(rows["terminals"][0]["last_seen"].is_string());
    });
}
