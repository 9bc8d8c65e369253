//! Parsers of what comes from the upstream, from a file or from the local API: tokens, notes, answers, envelopes,
//! requests. Never judges data, except where only one answer can be right.

use zhenyin_core::api;
use zhenyin_core::documents::{Grant, Policy};
use zhenyin_core::event::Envelope;
use zhenyin_core::jws::{self, Form};
use zhenyin_core::note::{Note, VerifierKey};
use zhenyin_core::signer::{PublicKey, Seed, Signer as _, SoftwareSigner};
use zhenyin_core::wire::{ChainStatus, SizeConflict, UploadReceipt, UploadRequest};

/// The key that the seeds are signed with.
fn known() -> [PublicKey; 1] {
    [SoftwareSigner::from_seed(&Seed::take(&mut [1; 32])).public_key()]
}

pub fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = jws::payload_unverified(text).map(|payload| envelope(&payload));
    let _ = (Grant::open(text, known()[0]), Policy::open(text, known()[0]));
    if let Ok(opened) = jws::open(text, Form::EVENT, &known()) {
        assert_eq!(jws::payload_unverified(text), Some(opened.payload), "what was signed is what is read");
    }
}

pub fn note(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let key = VerifierKey::parse(text);
    if let Ok(key) = &key {
        assert_eq!(VerifierKey::parse(&key.to_string()).as_ref().ok(), Some(key));
    }
    if let Ok(note) = Note::parse(text) {
        assert_eq!(note.to_string(), text, "a note has one form");
    }
}

/// Answers of the upstream, and the request that it takes.
pub fn answer(data: &[u8]) {
    if let Ok(receipt) = serde_json::from_slice::<UploadReceipt>(data) {
        note(receipt.receipt.as_bytes());
    }
    let _ = serde_json::from_slice::<SizeConflict>(data);
    let _ = serde_json::from_slice::<ChainStatus>(data);
    if let Ok(request) = serde_json::from_slice::<UploadRequest>(data) {
        request.events.iter().for_each(|event| token(event.as_bytes()));
    }
}

pub fn envelope(data: &[u8]) {
    if let Ok(envelope) = Envelope::parse(data) {
        let again = envelope.to_payload().expect("what was read can be written");
        assert_eq!(again.as_bytes(), data, "a payload has one form");
    }
}

/// What the local API takes.
pub fn api_request(data: &[u8]) {
    let _ = serde_json::from_slice::<api::Request>(data);
    let _ = serde_json::from_slice::<api::Answer>(data);
}
