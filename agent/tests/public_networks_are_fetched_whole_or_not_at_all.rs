//! `models get` against a server on this machine that resumes, lies, never ends, or is not there.

#![expect(clippy::unwrap_used, clippy::unwrap_in_result, reason = "a test stops at the first surprise")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use zhenyin::models_get::{GetError, OFFERS, Pinned, get, offer};

const BODY: &[u8] = b"weights, weights, weights; a few bytes of them";
/// SHA-256 of `BODY`, computed with sha256sum.
const HASH: &str = "bdc20ba3ea65808f2ea947b8713496d6c6d02733cf306370302ca97b121720c9";

/// How the server behaves.
#[derive(Clone, Copy)]
enum Server {
    /// Sends what is asked for.
    Honest,
    /// Says the whole length and stops after so many bytes.
    Cuts(usize),
    /// Ignores ranges.
    Whole,
    /// Sends other bytes of the same length.
    Wrong,
    /// Sends until the other side hangs up.
    Endless,
    Missing,
}

/// Answers every request that way until the test ends; gives the address.
fn serve(server: Server) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/weights.onnx", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that hangs up in the middle is what some cases are about.
            let _ = answer(stream.unwrap(), server);
        }
    });
    url
}

fn answer(mut stream: TcpStream, server: Server) -> std::io::Result<()> {
    let mut from = 0;
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?.to_ascii_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let head = |status: &str, length: usize, more: &str| {
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{more}\r\n")
    };
    let partial = format!("content-range: bytes {from}-{}/{}\r\n", BODY.len() - 1, BODY.len());
    match server {
        Server::Honest if from > 0 => {
            stream.write_all(head("206 Partial Content", BODY.len() - from, &partial).as_bytes())?;
            stream.write_all(&BODY[from..])
        }
        Server::Honest | Server::Whole => {
            stream.write_all(head("200 OK", BODY.len(), "").as_bytes())?;
            stream.write_all(BODY)
        }
        Server::Cuts(after) => {
            stream.write_all(head("200 OK", BODY.len(), "").as_bytes())?;
            stream.write_all(&BODY[..after])
        }
        Server::Wrong => {
            stream.write_all(head("200 OK", BODY.len(), "").as_bytes())?;
            stream.write_all(&BODY.to_ascii_uppercase())
        }
        Server::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
            loop {
                stream.write_all(BODY)?;
            }
        }
        Server::Missing => stream.write_all(head("404 Not Found", 0, "").as_bytes()),
    }
}

fn fetch(folder: &Path, urls: &[String]) -> Result<u64, GetError> {
    let pinned = Pinned { file: "weights.onnx", urls: urls.to_vec(), sha256: HASH, bytes: BODY.len() as u64 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut seen = 0;
    let path = runtime.block_on(get(&pinned, folder, &mut |bytes| seen = bytes))?;
    assert_eq!(std::fs::read(path).unwrap(), BODY);
    Ok(seen)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn an_interrupted_download_goes_on_where_it_stopped() {
    for second in [Server::Honest, Server::Whole] {
        let folder = tempfile::tempdir().unwrap();
        let error = fetch(folder.path(), &[serve(Server::Cuts(20))]).unwrap_err();
        assert!(matches!(error, GetError::Broken { got: 20, .. }), "{error}");
        assert_eq!(names(folder.path()), ["weights.onnx.part"]);
        assert_eq!(fetch(folder.path(), &[serve(second)]).unwrap(), BODY.len() as u64);
        assert_eq!(names(folder.path()), ["weights.onnx"]);
        let nobody = "http://127.0.0.1:1/".to_owned();
        assert_eq!(fetch(folder.path(), &[nobody]).unwrap(), 0, "what is there is not fetched again");
    }
}

#[test]
fn a_file_that_is_not_the_pinned_one_is_not_kept() {
    let check = |server: Server, expected: fn(&GetError) -> bool| {
        let folder = tempfile::tempdir().unwrap();
        let error = fetch(folder.path(), &[serve(server)]).unwrap_err();
        assert!(expected(&error), "{error}");
        assert!(names(folder.path()).is_empty(), "{:?}", names(folder.path()));
    };
    check(Server::Wrong, |error| matches!(error, GetError::Hash { .. }));
    check(Server::Endless, |error| matches!(error, GetError::TooLong { .. }));
    check(Server::Missing, |error| matches!(error, GetError::Status { status: 404, .. }));
}

#[test]
fn the_next_address_is_tried_and_no_network_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = || {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        format!("http://127.0.0.1:{port}/weights.onnx")
    };
    let error = fetch(folder.path(), &[nobody()]).unwrap_err();
    assert!(error.to_string().contains("on a stick"), "{error}");
    assert!(fetch(folder.path(), &[nobody(), serve(Server::Missing), serve(Server::Honest)]).is_ok());
}

#[test]
fn every_offer_is_pinned_and_has_its_recipe() {
    for one in OFFERS {
        assert_eq!(one.sha256.len(), 64, "{}", one.name);
        assert!(one.urls.iter().all(|url| url.starts_with("https://") && url.ends_with(one.file)));
        assert!(zhenyin_models::recipe::network_names().any(|name| name == one.recipe), "{}", one.recipe);
    }
    assert!(offer("retina").unwrap_err().to_string().contains("`yunet`, `sface`"));
}
