//! The upload protocol through HTTP: receipts, replays, conflicts, quarantine, limits, restarts.
//! Never a sleep: everything is done when it is answered.

use std::net::SocketAddr;

use reference_upstream::{Config, Upstream};
use serde_json::json;
use zhenyin_core::event::Draft;
use zhenyin_core::wire::{BODY_LIMIT, PLAIN_LIMIT};

use crate::device::{Device, get, http, post, signer};
use crate::place::everywhere;

fn draft(kind: &str, filling: usize) -> Draft {
    Draft { kind: kind.into(), subject: None, data: json!({"filling": "x".repeat(filling)}) }
}

#[test]
fn everything_sent_is_receipted_and_survives_a_restart() {
    everywhere(|place| {
        let upstream = place.start();
        let addr = upstream.addr();
        let mut device = Device::enrol(&upstream, 1);
        device.heartbeats(250);
        assert_eq!(device.drain(addr, 0), 250);
        assert_eq!(device.receipts.len(), 3, "100 events a batch");
        let counts = upstream.counts().unwrap();
        assert_eq!((counts.events, counts.receipted, counts.quarantined, counts.alarms), (250, 250, 0, 0));
        let witness = upstream.witness_key().clone();
        upstream.shutdown();
        assert!(std::net::TcpStream::connect(addr).is_err(), "the network is gone");

        let upstream =
            Upstream::start(&Config { bind: addr, ..place.config.clone() }).expect("the same port again");
        assert_eq!(upstream.witness_key(), &witness);
        device.heartbeats(10);
        assert_eq!(device.drain(upstream.addr(), 250), 260);
        let status = get(addr, &format!("/v1/chains/{}", device.chain.grant().chain())).json();
        assert_eq!(status["size"], 260);
        assert_eq!(status["receipt"], device.receipts.last().unwrap().to_string());
    });
}

#[test]
fn plain_gzip_and_zstd_bodies_are_taken() {
    everywhere(|place| {
        let upstream = place.start();
        let mut device = Device::enrol(&upstream, 1);
        device.heartbeats(3);
        let body = |n: usize| json!(device.request(n, n + 1, n as u64)).to_string().into_bytes();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, &body(1)).unwrap();
        for (encoding, body) in [
            ("identity", body(0)),
            ("gzip", gzip.finish().unwrap()),
            ("zstd", zstd::encode_all(&body(2)[..], 3).unwrap()),
        ] {
            http(upstream.addr(), "POST", &device.path(), &[("Content-Encoding", encoding)], &body).receipt();
        }
        assert_eq!(upstream.counts().unwrap().receipted, 3);
    });
}

#[test]
fn a_replay_gives_the_same_receipt_and_an_overlap_goes_on() {
    everywhere(|place| {
        let upstream = place.start();
        let mut device = Device::enrol(&upstream, 1);
        device.heartbeats(9);
        let first = device.send(upstream.addr(), &device.request(0, 5, 0)).receipt();
        let again = device.send(upstream.addr(), &device.request(0, 5, 0)).receipt();
        assert_eq!(first.receipt, again.receipt);
        let longer = device.send(upstream.addr(), &device.request(2, 8, 5)).receipt();
        assert_eq!(longer.size, 8);
        let checkpoint_only = device.send(upstream.addr(), &device.request(8, 8, 8)).receipt();
        assert_eq!(checkpoint_only.receipt, longer.receipt);
        let middle = device.send(upstream.addr(), &device.request(0, 3, 0));
        assert_eq!(middle.conflict(), 8, "a size that was never cosigned");
        assert_eq!(upstream.counts().unwrap().events, 8);
    });
}

#[test]
fn a_gap_is_answered_with_the_size() {
    everywhere(|place| {
        let upstream = place.start();
        let mut device = Device::enrol(&upstream, 1);
        device.heartbeats(9);
        assert_eq!(device.send(upstream.addr(), &device.request(4, 9, 4)).conflict(), 0);
        assert_eq!(device.drain(upstream.addr(), 4), 9, "the outbox goes back and sends all");
        assert_eq!(upstream.counts().unwrap().alarms, 0);
    });
}

#[test]
fn two_histories_of_one_terminal_are_kept_as_proof() {
    everywhere(|place| {
        let upstream = place.start();
        let mut device = Device::enrol(&upstream, 1);
        device.heartbeats(3);
        let honest = device.chain.state().clone();
        device.append(draft("log.heartbeat.v1", 1));
        device.send(upstream.addr(), &device.request(0, 4, 0)).receipt();

        // The holder of the key takes event 3 back and writes another.
        let mut forger = Device::enrol(&upstream, 1);
        forger.chain = device.chain.clone();
        forger.chain.roll_back(honest);
        forger.events = device.events[..3].to_vec();
        let mut forged = device.request(0, 4, 0);
        forger.append(draft("log.heartbeat.v1", 2));
        forged.events[3] = forger.events[3].jws.clone();
        let head = forger.chain.checkpoint(forger.chain.head(), &signer(1)).unwrap();
        forged.checkpoint = head.to_string();
        assert_eq!(device.send(upstream.addr(), &forged).conflict(), 4);
        assert_eq!(device.send(upstream.addr(), &forged).conflict(), 4);
        let alarms = upstream.alarms().unwrap();
        assert_eq!(alarms.len(), 1, "the same proof once");
        assert_eq!((alarms[0].kind.as_str(), alarms[0].sequence), ("equivocation", 3));
        assert_eq!((&alarms[0].held, &alarms[0].found), (&device.events[3].jws, &forged.events[3]));

        // A new event after the rewritten one fits no root that was cosigned.
        forger.append(draft("log.heartbeat.v1", 3));
        let mut after = forged.clone();
        (after.first, after.old) = (4, 4);
        after.events = vec![forger.events[4].jws.clone()];
        after.checkpoint = forger.chain.checkpoint(forger.chain.head(), &signer(1)).unwrap().to_string();
        assert_eq!(device.send(upstream.addr(), &after).conflict(), 4);
        assert_eq!(upstream.alarms().unwrap()[1].kind, "rewritten");
        assert_eq!(upstream.counts().unwrap().events, 4);
    });
}

#[test]
fn events_that_are_not_understood_are_set_aside_and_block_nothing() {
    everywhere(|place| {
        let upstream = place.start();
        let mut device = Device::enrol(&upstream, 1);
        device.heartbeats(1);
        device.append(draft("somebody.invented.v9", 1));
        device.heartbeats(1);
        let receipt = device.send(upstream.addr(), &device.request(0, 3, 0)).receipt();
        assert_eq!(receipt.size, 3);
        let errors: Vec<_> = receipt.quarantined.iter().map(|(n, q)| (n.as_str(), q.err.as_str())).collect();
        assert_eq!(errors, [("1", "schema_unknown")]);
        let again = device.send(upstream.addr(), &device.request(0, 3, 0)).receipt();
        assert_eq!(again.quarantined, receipt.quarantined);
        assert_eq!(upstream.counts().unwrap().quarantined, 1);
    });
}

#[test]
fn what_breaks_the_protocol_is_refused_and_changes_nothing() {
    everywhere(|place| {
        let upstream = place.start();
        let addr = upstream.addr();
        let mut device = Device::enrol(&upstream, 1);
        device.heartbeats(501);
        let check = |status: u16, headers: &[(&str, &str)], body: &[u8]| {
            let got = http(addr, "POST", &device.path(), headers, body);
            assert_eq!(got.status, status, "{}", String::from_utf8_lossy(&got.body));
        };
        let good = json!(device.request(0, 2, 0));
        let with = |member: &str, value: serde_json::Value| {
            let mut body = good.clone();
            body[member] = value;
            body.to_string().into_bytes()
        };
        check(400, &[], b"");
        check(400, &[], b"{}");
        check(400, &[], &with("surplus", json!(1)));
        check(400, &[], &with("first", json!(1)));
        check(400, &[], &with("first", json!(u64::MAX)));
        check(400, &[], &with("checkpoint", json!("no note")));
        check(400, &[], &with("events", json!(["x".repeat(16_385), "y"])));
        check(400, &[("Content-Encoding", "zstd")], good.to_string().as_bytes());
        check(415, &[("Content-Encoding", "br")], good.to_string().as_bytes());
        check(413, &[], &vec![b' '; BODY_LIMIT + 1]);
        let bomb = zstd::encode_all(&vec![b' '; PLAIN_LIMIT + 1][..], 1).unwrap();
        check(413, &[("Content-Encoding", "zstd")], &bomb);
        let many = zstd::encode_all(json!(device.request(0, 501, 0)).to_string().as_bytes(), 1).unwrap();
        check(413, &[("Content-Encoding", "zstd")], &many);
        let mut foreign = device.request(0, 2, 0);
        let head = zhenyin_core::chain::Head { size: 2, root: device.chain.head().root };
        foreign.checkpoint = device.chain.checkpoint(head, &signer(9)).unwrap().to_string();
        check(400, &[], json!(foreign).to_string().as_bytes());
        let elsewhere = "/v1/chains/00000000-0000-0000-0000-000000000000/events";
        assert_eq!(post(addr, elsewhere, &good).status, 404);
        assert_eq!(post(addr, "/v1/chains/x/events", &good).status, 400);
        assert_eq!(get(addr, "/v1/else").status, 404);
        assert_eq!(upstream.counts().unwrap().events, 0);
        device.send(addr, &device.request(0, 2, 0)).receipt();
    });
}

#[test]
fn two_servers_on_one_store_neither_lose_nor_double() {
    everywhere(|place| {
        let upstreams = [place.start(), place.start()];
        let mut device = Device::enrol(&upstreams[0], 1);
        device.heartbeats(40);
        let post_all = |addr: SocketAddr| {
            for n in 0..40 {
                let got = device.send(addr, &device.request(n, n + 1, 0));
                assert!(matches!(got.status, 200 | 409), "{}", String::from_utf8_lossy(&got.body));
            }
        };
        std::thread::scope(|scope| {
            upstreams.iter().for_each(|upstream| drop(scope.spawn(|| post_all(upstream.addr()))));
        });
        for upstream in &upstreams {
            let counts = upstream.counts().unwrap();
            assert!(counts.events == counts.receipted && counts.alarms == 0, "{counts:?}");
        }
        assert_eq!(device.drain(upstreams[1].addr(), 0), 40);
        assert_eq!(upstreams[0].counts().unwrap().events, 40);
    });
}

#[test]
fn layers_of_the_caller_stand_before_the_routes() {
    use axum::extract::Request;
    use axum::http::StatusCode;
    use axum::middleware::{Next, from_fn};
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(dir.path(), SocketAddr::from(([127, 0, 0, 1], 0)));
    let upstream = Upstream::start_with(&config, |routes| {
        routes.layer(from_fn(|_: Request, _: Next| async { StatusCode::BAD_GATEWAY }))
    });
    assert_eq!(get(upstream.unwrap().addr(), "/v1/documents/policy").status, 502);
}
