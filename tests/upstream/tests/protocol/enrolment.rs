//! Enrolment, signed documents and the admin side, through HTTP.
//! Never a sleep: everything is done when it is answered.

use reference_upstream::Upstream;
use serde_json::json;
use zhenyin_core::documents::{
    EnrolmentAnswer, EnrolmentRequest, Grant, Policy, PolicyContent, PreviousChain,
};
use zhenyin_core::ids::{ChainId, TerminalId};
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

/// Whatever the terminal has left of the chain before: the grant names the head that was cosigned last.
#[test]
fn a_new_chain_hangs_from_the_newest_cosigned_head() {
    everywhere(|place| {
        let upstream = place.start();
        let mut device = Device::enrol(&upstream, 1);
        device.heartbeats(5);
        device.drain(upstream.addr(), 0);
        device.heartbeats(4);
        assert_eq!(device.drain(upstream.addr(), 5), 9);
        let [older, newest] = [&device.receipts[0], &device.receipts[1]].map(|receipt| {
            let text = receipt.to_string();
            let chain = device.chain.grant().chain();
            let root = text.lines().nth(2).unwrap().to_owned();
            PreviousChain { chain, size: receipt.checkpoint().size, root }
        });
        let terminal: TerminalId = device.chain.grant().terminal();
        let again = reference_upstream::TerminalInfo { terminal: Some(terminal), ..info() };
        let ask = |said: Option<&PreviousChain>| {
            let code = upstream.mint_code(&again).unwrap();
            post(upstream.addr(), "/v1/enrolments", &wish(&code, 2, said.cloned()))
        };
        let alarms = || upstream.alarms().unwrap().len();
        let check = |said: Option<&PreviousChain>, alarmed: usize| {
            let (before, silent) = (alarms(), silent(&upstream).len());
            let answer = ask(said);
            assert_eq!(answer.status, 200, "{said:?}: {}", String::from_utf8_lossy(&answer.body));
            let answer: EnrolmentAnswer = serde_json::from_slice(&answer.body).unwrap();
            let grant = Grant::open(&answer.grant, upstream.authority_key()).unwrap();
            assert_eq!(
                (grant.terminal(), grant.content().prev.as_ref()),
                (terminal, Some(&newest)),
                "{said:?}"
            );
            assert_ne!(grant.chain(), newest.chain);
            let without_receipt = self::silent(&upstream).len() - silent;
            assert_eq!(alarms() - before - without_receipt, alarmed, "{said:?}");
        };
        // Its own newest receipt, an older one, and none at all because the newest one was lost.
        check(Some(&newest), 0);
        check(Some(&older), 0);
        check(None, 0);
        // A tail that was cut, a head ahead of ours, and another root are alarms and change nothing in the grant.
        check(Some(&PreviousChain { size: 4, ..newest.clone() }), 1);
        check(Some(&PreviousChain { size: 12, ..newest.clone() }), 1);
        check(Some(&PreviousChain { root: older.root.clone(), ..newest.clone() }), 1);
        let elsewhere = TerminalId(uuid::Uuid::from_u128(7));
        check(Some(&PreviousChain { chain: zhenyin_core::ids::ChainId(elsewhere.0), ..newest.clone() }), 1);
        let kinds = upstream.alarms().unwrap().into_iter().map(|alarm| alarm.kind);
        assert_eq!(kinds.filter(|kind| kind == "previous_unknown").count(), 4);

        // Of a chain of another terminal nothing hangs here, and a terminal without a chain begins at nothing.
        let stranger = Device::enrol(&upstream, 3);
        let foreign = PreviousChain { chain: stranger.chain.grant().chain(), ..newest.clone() };
        assert_eq!(ask(Some(&foreign)).status, 400);
        assert_eq!(stranger.chain.grant().content().prev, None);
    });
}

/// Chains that an alarm says nothing ever came of.
fn silent(upstream: &Upstream) -> Vec<ChainId> {
    let alarms = upstream.alarms().unwrap().into_iter();
    alarms.filter(|alarm| alarm.kind == "chain_without_receipt").map(|alarm| alarm.chain).collect()
}

/// A terminal worked behind a broken link and was enrolled again: what it recorded there is named by no later chain.
#[test]
fn a_chain_of_which_nothing_ever_came_is_an_alarm_when_the_next_is_granted() {
    everywhere(|place| {
        let upstream = place.start();
        let mut first = Device::enrol(&upstream, 1);
        first.heartbeats(3);
        first.drain(upstream.addr(), 0);
        let terminal = first.chain.grant().terminal();
        let again = || {
            let info = reference_upstream::TerminalInfo { terminal: Some(terminal), ..info() };
            let code = upstream.mint_code(&info).unwrap();
            let answer = post(upstream.addr(), "/v1/enrolments", &wish(&code, 2, None));
            let answer: EnrolmentAnswer = serde_json::from_slice(&answer.body).unwrap();
            Grant::open(&answer.grant, upstream.authority_key()).unwrap()
        };
        let second = again();
        assert_eq!(silent(&upstream), [], "control: the chain before has a receipt");
        let third = again();
        assert_eq!(silent(&upstream), [second.chain()]);
        let fourth = again();
        assert_eq!(silent(&upstream), [second.chain(), third.chain()], "each of them, once");
        let hangs_from = |grant: &Grant| grant.content().prev.as_ref().map(|prev| prev.chain);
        assert_eq!(hangs_from(&fourth), Some(first.chain.grant().chain()));
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
