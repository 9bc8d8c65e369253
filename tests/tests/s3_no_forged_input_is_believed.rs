//! S3: tokens, payloads, keys and notes that somebody forged, each properly signed where a signature can be had. None is
//! believed and none brings anything down. Never a random input: those are the fuzzer's (S5).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zhenyin_core::event::Envelope;
use zhenyin_core::jws::{self, Form};
use zhenyin_core::merkle::leaf_hash;
use zhenyin_core::note::{Checkpoint, KeyRole, Note, SIGNATURE_LIMIT, VerifierKey};
use zhenyin_core::signer::{PublicKey, Signer as _};
use zhenyin_core::time::WallTime;
use zhenyin_tests::sealing::{SealingChain, fixed};

const HEADER: &str =
    r#"{"alg":"EdDSA","cty":"application/cloudevents+json","kid":"KID","typ":"terminal-event+jws"}"#;

/// An event's payload as the chain seals it.
fn payload() -> String {
    let event = SealingChain::begin(fixed(1)).unwrap().seal().unwrap();
    String::from_utf8(jws::payload_unverified(&event.jws).unwrap()).unwrap()
}

/// Any header and any payload, signed by the device.
fn signed(header: &str, payload: &str) -> String {
    let header = header.replace("KID", fixed(1).public_key().key_id().as_str());
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = fixed(1).sign(text.as_bytes()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.0))
}

/// As whoever takes an event does: signature, then envelope.
fn believed(token: &str) -> bool {
    let opened = jws::open(token, Form::EVENT, &[fixed(1).public_key()]);
    opened.is_ok_and(|opened| Envelope::parse(&opened.payload).is_ok())
}

#[test]
fn s3_no_forged_token_is_believed() {
    let good = signed(HEADER, &payload());
    assert!(believed(&good), "control: an honest token is believed");
    let parts: Vec<&str> = good.split('.').collect();
    let with_signature =
        |bytes: &[u8]| format!("{}.{}.{}", parts[0], parts[1], URL_SAFE_NO_PAD.encode(bytes));
    let signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
    let header = |from: &str, to: &str| signed(&HEADER.replace(from, to), &payload());
    let data = |from: &str, to: &str| signed(HEADER, &payload().replacen(from, to, 1));
    let twin = char::from(parts[2].as_bytes()[85] + 1);
    let forged = [
        ("alg none, with a signature", header("EdDSA", "none")),
        (
            "alg none, without one",
            format!("{}.{}.", header("EdDSA", "none").split('.').next().unwrap(), parts[1]),
        ),
        ("HS256 under the public key", header("EdDSA", "HS256")),
        ("ES256", header("EdDSA", "ES256")),
        ("a key in the token", header(r#""kid""#, r#""jwk":{"kty":"OKP"},"kid""#)),
        ("a critical extension", header(r#""kid""#, r#""crit":["b64"],"b64":false,"kid""#)),
        ("a member twice in the header", header(r#""kid""#, r#""alg":"EdDSA","kid""#)),
        ("another kind", header("terminal-event", "terminal-grant")),
        ("another key's name", header("KID", "AkXIZFzonb59ZmGwyKgi3H3BwMi6amevqdKQiLZhdtc")),
        ("two tokens", format!("{good}.{good}")),
        ("two tokens with a space", format!("{good} {good}")),
        ("JSON serialization", format!(r#"{{"payload":"{}","signature":"{}"}}"#, parts[1], parts[2])),
        ("padding", format!("{good}==")),
        ("padding inside", format!("{}=.{}.{}", parts[0], parts[1], parts[2])),
        ("the other alphabet", format!("{}.{}.{}+", parts[0], parts[1], &parts[2][..85])),
        ("a second spelling of the last letter", format!("{}{twin}", &good[..good.len() - 1])),
        ("a line end", format!("{good}\n")),
        ("S plus the group's order", with_signature(&plus_group_order(&signature))),
        ("an empty signature", with_signature(&[])),
        ("a signature of zeros", with_signature(&[0; 64])),
        ("65 bytes", with_signature(&[signature.as_slice(), &[0]].concat())),
        ("a member more in the payload", data(r#"{"bootid""#, r#"{"admin":true,"bootid""#)),
        ("a member twice in the payload", data(r#""clockstate":"#, r#""clockstate":"synced","clockstate":"#)),
        (
            "a member twice in the data",
            data(r#""decision":"accept""#, r#""decision":"accept","decision":"accept""#),
        ),
        ("a space in the payload", data(r#"{"bootid""#, r#"{ "bootid""#)),
        (
            "members in another order",
            data(
                r#""decision":"accept","method":"face+card""#,
                r#""method":"face+card","decision":"accept""#,
            ),
        ),
        ("a float", data(r#""number":0"#, r#""number":0.5"#)),
        ("a number as a float", data(r#""number":0"#, r#""number":0e0"#)),
        ("another version", data(r#""specversion":"1.0""#, r#""specversion":"0.3""#)),
        ("a sequence without its zeros", data(r#""sequence":"0000"#, r#""sequence":"0"#)),
    ];
    for (name, token) in &forged {
        assert_ne!(token, &good, "{name} changes something");
        assert!(!believed(token), "{name}");
    }
    println!("S3: {} forged tokens, none believed", forged.len());
}

#[test]
fn s3_no_key_that_anybody_can_sign_for_is_taken() {
    // The points of small order on Ed25519, and two encodings above the field's prime.
    let weak = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for hex in weak {
        assert!(PublicKey::from_bytes(unhex(hex)).is_err(), "{hex}");
    }
    assert!(PublicKey::from_bytes(*fixed(9).public_key().as_bytes()).is_ok(), "control: an honest key");
    println!("S3: {} weak keys, none taken", weak.len());
}

#[test]
fn s3_no_forged_note_is_believed() {
    let log = VerifierKey::new("log.example/1", KeyRole::Log, fixed(1).public_key()).unwrap();
    let witness = VerifierKey::new("witness.example/a", KeyRole::Witness, fixed(3).public_key()).unwrap();
    let foreign = VerifierKey::new("witness.example/a", KeyRole::Witness, fixed(4).public_key()).unwrap();
    let checkpoint = Checkpoint { origin: "log.example/1".into(), size: 7, root: leaf_hash(b"x") };
    let mut note = Note::sign(checkpoint, &fixed(1)).unwrap();
    note.cosign(&witness, WallTime(1_777_593_800_000), &fixed(3)).unwrap();
    let good = note.to_string();
    let believed = |text: &str| {
        let note = Note::parse(text).ok();
        note.is_some_and(|note| note.verify_log(&log).is_ok() && note.verify_witness(&witness).is_ok())
    };
    assert!(believed(&good), "control: an honest note is believed");
    let mut by_foreign = Note::parse(&good).unwrap();
    by_foreign.cosign(&foreign, WallTime(1_777_593_900_000), &fixed(4)).unwrap();
    let by_foreign_only: String = by_foreign
        .to_string()
        .lines()
        .filter(|l| !good.lines().skip(4).any(|g| g == *l && g.contains("witness")))
        .map(|l| format!("{l}\n"))
        .collect();
    let line = good.lines().last().unwrap();
    let many: String = (0..=SIGNATURE_LIMIT)
        .map(|number| line.replace("example/a", &format!("example/{number}")) + "\n")
        .collect();
    let forged = [
        ("line ends of another system", good.replace('\n', "\r\n")),
        ("a CR in a line", good.replacen('\n', "\r\n", 1)),
        ("17 signatures", format!("{good}{many}")),
        ("a line twice", format!("{good}{line}\n")),
        ("a foreign witness of the same name", by_foreign_only),
        ("an older size", good.replace("\n7\n", "\n6\n")),
        ("a size with a zero before", good.replace("\n7\n", "\n07\n")),
        ("an extension line", good.replace("\n7\n", "\n7\nmore\n")),
        ("another log", good.replace("log.example/1\n7", "log.example/2\n7")),
        ("another dash", good.replace("— ", "- ")),
        ("no end", good.trim_end().to_owned()),
        ("a cut", good[..good.len() / 2].to_owned()),
    ];
    for (name, text) in &forged {
        assert_ne!(text, &good, "{name} changes something");
        assert!(!believed(text), "{name}");
    }
    println!("S3: {} forged notes, none believed", forged.len());
}

/// The same signature to a careless verifier, and another byte string in the log.
fn plus_group_order(signature: &[u8]) -> Vec<u8> {
    let order = unhex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut bytes = signature.to_vec();
    let mut carry = 0_u16;
    for (byte, add) in bytes[32..].iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = carry.to_le_bytes()[0];
        carry >>= 8;
    }
    bytes
}

fn unhex(hex: &str) -> [u8; 32] {
    std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
}
