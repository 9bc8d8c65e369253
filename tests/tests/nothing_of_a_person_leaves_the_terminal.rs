//! S4: everything the terminal sends and stores is searched for names, numbers and PINs.
//! Never trusts the search alone: the same search finds what it looks for where it must be.

use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use zhenyin_core::api::{DocumentKind, Outcome, Request as Act};
use zhenyin_core::decision::DocumentCheck;
use zhenyin_core::enrolled::Role;
use zhenyin_tests::card_reader::cards::CardSpec;
use zhenyin_tests::world::{Script, World};

fn contains(bytes: &[u8], secret: &[u8]) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret)
}

/// Every file below a folder, but for the ones that hold the terminal's own secrets on purpose.
fn stored(folder: &Path, into: &mut Vec<u8>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            stored(&path, into)?;
        } else {
            into.extend(std::fs::read(&path)?);
        }
    }
    Ok(())
}

/// Bodies as sent, and what is inside them once decompressed.
fn plain(bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut all = Vec::new();
    for body in bodies {
        all.extend_from_slice(body);
        if let Ok(mut decoder) = zstd::Decoder::new(body.as_slice()) {
            // A body that is not compressed has been taken as it is.
            let _not_zstd = decoder.read_to_end(&mut all);
        }
    }
    // Payloads are base64url inside the JSON; look into them as well.
    let text = String::from_utf8_lossy(&all).into_owned();
    for part in text.split(['"', '.', ',']) {
        use base64::Engine as _;
        if let Ok(inner) = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part) {
            all.extend(inner);
        }
    }
    all
}

#[test]
fn s4_nothing_of_a_person_leaves_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&bodies);
    let mut world = World::build_with(folder.path(), None, |routes| {
        routes.layer(from_fn(move |request: Request<Body>, next: Next| {
            let sink = Arc::clone(&sink);
            async move {
                let (parts, body) = request.into_parts();
                let bytes = to_bytes(body, 16 << 20).await.unwrap();
                sink.lock().unwrap().push(bytes.to_vec());
                next.run(Request::from_parts(parts, Body::from(bytes))).await
            }
        }))
    })
    .unwrap();
    world.until("the reader answering", |s| s.reader.is_none()).unwrap();
    let staff = CardSpec::version_2();
    let patient = CardSpec::another_person();
    world.reader.insert(staff.clone());
    let enrol = Act::StaffEnrolment { role: Role::parse("nurse").unwrap() };
    let enrols = Script { consent: Some(false), pins: vec!["60221407"], ..Script::default() };
    let reply = world.perform(&enrol, enrols.answers());
    assert!(matches!(reply.unwrap().outcome, Outcome::Enrolled { .. }));
    let types = Script { pins: vec!["60221407"], ..Script::default() };
    let reply = world.perform(&Act::StaffLogin, types.answers());
    assert!(matches!(reply.unwrap().outcome, Outcome::SignedIn { .. }));
    world.reader.insert(patient.clone());
    let vouches =
        Script { document: Some((DocumentKind::Passport, DocumentCheck::Match)), ..Script::default() };
    let reply = world.perform(&Act::PatientVisit, vouches.answers());
    assert!(matches!(reply.unwrap().outcome, Outcome::Verified { .. }));
    world.until("everything receipted", |s| s.events == s.receipted).unwrap();
    world.stop_agent();

    let sent = plain(&bodies.lock().unwrap());
    let mut kept = Vec::new();
    stored(&world.config.state, &mut kept).unwrap();
    for card in [&staff, &patient] {
        for secret in [card.id_number.as_bytes(), card.number.as_bytes(), card.name.as_bytes(), b"60221407"] {
            assert!(!contains(&sent, secret), "sent: {}", String::from_utf8_lossy(secret));
            assert!(!contains(&kept, secret), "stored: {}", String::from_utf8_lossy(secret));
        }
    }
    // The controls: the search does see what was sent and what is stored.
    assert!(contains(&sent, b"visit.verified.v1") && contains(&sent, b"staff-document"));
    assert!(contains(&kept, b"SQLite format 3"));
    println!("S4: {} bytes sent and {} stored, nothing of two people in them", sent.len(), kept.len());
}
