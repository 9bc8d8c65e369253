//! A terminal's key hands over to another: what signs where, through HTTP and on every store.
//! Every refusal stands beside the same request with the right key, which is taken.

use reference_upstream::{Config, Upstream};
use serde_json::json;
use zhenyin_core::documents::{Acknowledgement, AcknowledgementContent};
use zhenyin_core::event::{Draft, encode_hash};
use zhenyin_core::jws::{self, Form};
use zhenyin_core::merkle::{CompactRange, leaf_hash};
use zhenyin_core::note::{Checkpoint, Note};
use zhenyin_core::rotation::hand_over;
use zhenyin_core::wire::UploadRequest;

use crate::device::{Device, http, signer};
use crate::place::{Place, everywhere};

/// The same request with its last event and its checkpoint signed by whoever the test says.
fn forged(request: &UploadRequest, device: &Device, event_by: u8, checkpoint_by: u8) -> UploadRequest {
    let mut forged = request.clone();
    let last = forged.events.last_mut().unwrap();
    let payload = String::from_utf8(jws::payload_unverified(last).unwrap()).unwrap();
    *last = jws::seal(Form::EVENT, &payload, &signer(event_by)).unwrap();
    let before = device.events[..request.first as usize].iter().map(|event| event.leaf);
    let leaves = before.chain(forged.events.iter().map(|event| leaf_hash(event.as_bytes())));
    let range = CompactRange::of(leaves);
    let head = Checkpoint { origin: device.chain.origin(), size: range.size(), root: range.root() };
    forged.checkpoint = Note::sign(head, &signer(checkpoint_by)).unwrap().to_string();
    forged
}

#[test]
fn the_new_key_signs_on_and_the_old_one_is_refused() {
    everywhere(|place| {
        let upstreams = [place.start(), place.start()];
        let [one, other] = [upstreams[0].addr(), upstreams[1].addr()];
        let mut device = Device::enrol(&upstreams[0], 1);
        device.heartbeats(5);
        device.rotate(11);
        assert_eq!(device.drain(one, 0), 6, "the rotation's own checkpoint is still the old key's");
        device.heartbeats(4);
        let request = device.request(6, 10, 6);
        for (event_by, checkpoint_by) in [(1, 1), (11, 1)] {
            let refused = device.send(other, &forged(&request, &device, event_by, checkpoint_by));
            assert_eq!(refused.status, 400, "{event_by} {checkpoint_by}");
        }
        let alarms = upstreams[0].alarms().unwrap();
        assert_eq!((alarms.len(), alarms[0].kind.as_str(), alarms[0].sequence), (2, "retired_key", 10));
        assert_eq!(upstreams[0].counts().unwrap().events, 6, "nothing was taken");
        assert_eq!(device.send(other, &request).receipt().size, 10, "by the other process on the same store");

        // One old event among new ones: kept as what it is, and nobody's.
        device.heartbeats(1);
        let mixed = forged(&device.request(10, 11, 10), &device, 1, 11);
        let receipt = device.send(one, &mixed).receipt();
        assert_eq!(receipt.quarantined["10"].err, "signature_invalid");
        // What was cosigned before is answered as before.
        device.send(other, &device.request(0, 6, 0)).receipt();
    });
}

#[test]
fn a_rotation_is_the_old_keys_word_or_none() {
    everywhere(|place| {
        let upstream = place.start();
        let addr = upstream.addr();
        let mut device = Device::enrol(&upstream, 1);
        device.heartbeats(3);
        device.drain(addr, 0);
        device.rotate(11);
        let rotation = device.request(3, 4, 3);
        let events = || upstream.counts().unwrap().events;
        assert_eq!(
            device.send(addr, &forged(&rotation, &device, 11, 11)).status,
            400,
            "by the new key alone"
        );
        assert_eq!(
            device.send(addr, &forged(&rotation, &device, 1, 11)).status,
            400,
            "its checkpoint is the old one's"
        );
        assert_eq!(device.send(addr, &forged(&rotation, &device, 9, 9)).status, 400, "by a stranger");
        device.heartbeats(2);
        let batch = device.request(3, 6, 3);
        assert_eq!(
            device.send(addr, &forged(&batch, &device, 11, 1)).status,
            400,
            "after it the old key is over"
        );
        assert_eq!((events(), upstream.counts().unwrap().quarantined), (3, 0));
        device.send(addr, &batch).receipt();
        assert_eq!((events(), upstream.counts().unwrap().quarantined), (6, 0));
    });
}

#[test]
fn a_rotation_without_a_good_proof_changes_nothing() {
    everywhere(|place| {
        let upstream = place.start();
        let mut device = Device::enrol(&upstream, 1);
        let chain = device.chain.grant().chain();
        let last = device.chain.state().last_leaf;
        // Sealed as something else, because a chain of our own refuses to seal it.
        device.append(Draft { kind: "a.b.v1".into(), subject: None, data: json!({}) });
        let event = hand_over(chain, zhenyin_core::ids::Sequence(1), &last, &signer(11)).unwrap();
        let mut request = device.request(0, 1, 0);
        let payload = String::from_utf8(jws::payload_unverified(&request.events[0]).unwrap()).unwrap();
        let payload = payload.replace("a.b.v1", "key.rotated.v1");
        let payload = payload.replace("\"data\":{}", &format!("\"data\":{}", json!(event)));
        request.events[0] = jws::seal(Form::EVENT, &payload, &signer(1)).unwrap();
        let receipt = device.send(upstream.addr(), &forged(&request, &device, 1, 1)).receipt();
        assert_eq!(receipt.quarantined["0"].err, "rotation_invalid");
    });
}

#[test]
fn what_is_asked_beside_the_chain_is_signed_by_the_key_that_is_known() {
    everywhere(|place| {
        let upstream = place.start();
        let mut device = Device::enrol(&upstream, 1);
        device.heartbeats(2);
        device.drain(upstream.addr(), 0);
        upstream.publish("orders", &json!({"serial": 3})).unwrap();
        let token = crate::device::get(upstream.addr(), "/v1/documents/orders").body;
        let chain = device.chain.grant().chain();
        let digest = encode_hash(&leaf_hash(&token));
        let content = AcknowledgementContent { chain, kind: "orders".into(), serial: 3, digest, iat: 1 };
        let send = |seed: u8| {
            let signed = Acknowledgement::seal(&content, &signer(seed)).unwrap();
            let path = format!("/v1/chains/{chain}/acknowledgements");
            http(upstream.addr(), "POST", &path, &[], signed.token().as_bytes()).status
        };
        assert_eq!([send(11), send(1)], [400, 204]);
        device.rotate(11);
        device.drain(upstream.addr(), 2);
        assert_eq!([send(1), send(11)], [400, 204]);
    });
}

/// Somebody restores yesterday's backup, from before the rotation: the old key's checkpoints are made once more.
#[test]
fn an_upstream_that_lost_the_rotation_gets_it_again() {
    let place = Place::embedded();
    let upstream = place.start();
    let addr = upstream.addr();
    let mut device = Device::enrol(&upstream, 1);
    device.heartbeats(150);
    device.drain(addr, 0);
    upstream.shutdown();
    let (database, backup) = (place.dir.path().join("upstream.db"), place.dir.path().join("backup.db"));
    std::fs::copy(&database, &backup).unwrap();

    let again = || Upstream::start(&Config { bind: addr, ..place.config.clone() }).unwrap();
    let upstream = again();
    device.heartbeats(250);
    device.rotate(11);
    device.heartbeats(50);
    assert_eq!(device.drain(addr, 150), 451);
    upstream.shutdown();
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(place.dir.path().join(format!("upstream.db{suffix}")));
    }
    std::fs::copy(&backup, &database).unwrap();

    let upstream = again();
    device.heartbeats(1);
    assert_eq!(device.drain(addr, 451), 452);
    let counts = upstream.counts().unwrap();
    assert_eq!((counts.events, counts.quarantined, counts.alarms), (452, 0, 0));
}
