//! R9: foreign and expired certificates, other names, old and downgraded TLS, no TLS at all. No event leaves the
//! terminal, and each is told apart from an upstream that is merely not there. Never a real name or authority.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use rustls::version::{TLS12, TLS13};
use zhenyin::config::Config;
use zhenyin::upstream::Upstream;
use zhenyin_core::ids::ChainId;
use zhenyin_core::wire::{UploadRequest, UpstreamAnswer};
use zhenyin_tests::tls::{Authority, Front, Server};

const NOW: std::ops::Range<i32> = 2020..2099;

#[test]
fn r9_no_event_leaves_by_a_link_that_cannot_prove_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (site, foreign) = (Authority::new("site").unwrap(), Authority::new("foreign").unwrap());
    let forger = Authority::new("site").unwrap();
    let ca_file = site.write(folder.path()).unwrap();
    let both = [&TLS13, &TLS12];
    let tls = |by: &Authority, name: &str, years| Front::Tls(by.certify(name, years, &both).unwrap());
    let old = |versions: &[&'static _]| Front::Tls(site.certify("localhost", NOW, versions).unwrap());
    let taken = "Conflict { size: 7 }";
    let untrusted = |word: &str| format!("Untrusted(\"{word}\")");
    let mut refused = 0;
    for (what, front, want) in [
        ("control: the right certificate", tls(&site, "localhost", NOW), taken.to_owned()),
        ("control: TLS 1.2 is enough", old(&[&TLS12]), taken.to_owned()),
        (
            "a foreign authority, or a proxy that reads along",
            tls(&foreign, "localhost", NOW),
            untrusted("certificate is of an unknown authority"),
        ),
        ("a forger of the same name", tls(&forger, "localhost", NOW), untrusted("certificate is not valid")),
        ("an expired one", tls(&site, "localhost", 2020..2021), untrusted("certificate has expired")),
        ("one of the future", tls(&site, "localhost", 2090..2099), untrusted("certificate is not valid yet")),
        ("another name", tls(&site, "other.example", NOW), untrusted("certificate is for another name")),
        (
            "TLS 1.1",
            Front::Raw(server_hello(0x0302, *b"12345678")),
            untrusted("no TLS 1.2 or 1.3 that we take"),
        ),
        (
            "TLS 1.2 with the mark of a downgrade",
            Front::Raw(server_hello(0x0303, *b"DOWNGRD\x01")),
            untrusted("no TLS 1.2 or 1.3 that we take"),
        ),
        (
            "plain HTTP",
            Front::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec()),
            untrusted("no TLS at all, or a broken one"),
        ),
    ] {
        let server = Server::start(front).unwrap();
        let answer = post(&format!("https://localhost:{}", server.addr.port()), &ca_file);
        assert_eq!(format!("{answer:?}"), want, "{what}");
        assert_eq!(server.heard() > 0, want == taken, "{what}: bytes that were entrusted");
        refused += u32::from(want != taken);
    }
    println!("R9: {refused} links that cannot prove themselves, nothing entrusted to any");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let answer = post(&format!("https://localhost:{}", nobody.port()), &ca_file);
    assert_eq!(answer, UpstreamAnswer::Unreachable("no connection".into()), "nobody is there");
}

#[test]
fn r9_a_plain_address_is_refused_before_anything_starts() {
    let check = |url: &str, good: bool| {
        let text = format!("version = 1\nupstream.url = '{url}'");
        assert_eq!(Config::parse(&text, Path::new("c.toml")).is_ok(), good, "{url}");
    };
    check("https://upstream.example", true);
    check("http://upstream.example", false);
    check("HTTP://upstream.example", false);
    check("ftp://upstream.example", false);
    check("http://127.0.0.1:8470", true);
}

fn post(url: &str, ca_file: &Path) -> UpstreamAnswer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let upstream = Upstream::new(url, Some(&ca_file.to_owned())).unwrap();
    let request = UploadRequest { first: 0, events: vec!["a.b.c".into()], checkpoint: "x".into(), old: 0 };
    runtime.block_on(upstream.post(ChainId(uuid::Uuid::nil()), &request))
}

/// A ServerHello (RFC 5246, 7.4.1.3) of some version, without extensions; `tail` ends its random.
fn server_hello(version: u16, tail: [u8; 8]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 24]);
    body.extend(tail);
    // No session, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, no compression.
    body.extend([0, 0xC0, 0x2F, 0]);
    let mut message = vec![2, 0, 0, body.len() as u8];
    message.extend(body);
    let mut record = vec![0x16, 3, 3, 0, message.len() as u8];
    record.extend(message);
    record
}
