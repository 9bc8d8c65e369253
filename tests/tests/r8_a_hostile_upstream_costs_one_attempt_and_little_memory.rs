//! R8 on the wire: silence, one byte at a time, cut, endless and compressed bodies, redirects. Each ends within the
//! time and the memory that are meant for it. What lies in a whole answer is judged in the core's outbox tests and in
//! `an_upstream_that_talks_nonsense_is_never_believed.rs`. Never a second request without a new attempt.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use zhenyin::upstream::Upstream;
use zhenyin_core::ids::ChainId;
use zhenyin_core::wire::{UploadRequest, UpstreamAnswer};

const PATIENCE: Duration = Duration::from_secs(2);
/// The row's own limit for the whole agent.
const MEMORY: u64 = 64 << 20;

type Misdeed = fn(&mut TcpStream, SocketAddr) -> std::io::Result<()>;

/// What the other side does after it has read the request, and how the answer begins that comes of it.
const MISDEEDS: [(&str, Misdeed, &str); 12] = [
    ("control: an honest conflict", honest, "Conflict { size: 7 }"),
    ("an error", |to, _| whole(to, "500 Oops", "", b"oops"), "Nonsense(\"status 500\")"),
    ("silence", |to, _| hold(to), "Unreachable(\"no answer in time\")"),
    ("one byte at a time", loris, "Unreachable("),
    (
        "a cut body",
        |to, _| to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"si"),
        "Unreachable(",
    ),
    ("a redirect", redirect, "Nonsense(\"status 307\")"),
    ("10 MB", |to, _| whole(to, "200 OK", "", &vec![b' '; 10 << 20]), "Unreachable(\"body is longer"),
    ("an endless body", endless, "Unreachable(\"body is longer"),
    ("endless headers", endless_headers, "Unreachable("),
    ("a small bomb", |to, _| bomb(to, 150 << 20), "Nonsense("),
    ("a bomb", |to, _| bomb(to, 600 << 20), "Unreachable(\"body is longer"),
    ("no HTTP", |to, _| to.write_all(&[0x15, 3, 3, 0, 2, 2, 70]), "Unreachable("),
];

#[test]
fn r8_a_hostile_upstream_costs_one_attempt_and_little_memory() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere_addr = elsewhere.local_addr().unwrap();
    let before = peak_memory();
    for (name, misdeed, want) in MISDEEDS {
        let (addr, visits) = serve(misdeed, elsewhere_addr);
        let upstream = Upstream::with_patience(&format!("http://{addr}"), None, PATIENCE).unwrap();
        let request =
            UploadRequest { first: 0, events: vec!["a.b.c".into()], checkpoint: "x".into(), old: 0 };
        let begun = Instant::now();
        let answer = runtime.block_on(upstream.post(ChainId(uuid::Uuid::nil()), &request));
        assert!(format!("{answer:?}").starts_with(want), "{name}: {answer:?}");
        assert!(!matches!(answer, UpstreamAnswer::Accepted(_)), "{name}");
        assert!(begun.elapsed() < PATIENCE * 5, "{name} took {:?}", begun.elapsed());
        assert_eq!(visits.load(Ordering::SeqCst), 1, "{name}: one attempt is one request");
    }
    elsewhere.set_nonblocking(true).unwrap();
    assert!(elsewhere.accept().is_err(), "no event went where a redirect pointed");
    // The server's own bodies are in this process too.
    let grown = peak_memory() - before;
    println!("R8: {} misdeeds, {} MiB at most, the hostile side included", MISDEEDS.len() - 1, grown >> 20);
    assert!(grown < MEMORY, "{} MiB", grown >> 20);
}

fn serve(misdeed: Misdeed, elsewhere: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&visits);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            counted.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            // The other side hangs up in the middle: that is what is tested.
            let _ = misdeed(&mut stream, elsewhere);
        }
    });
    (addr, visits)
}

fn whole(to: &mut TcpStream, status: &str, head: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    to.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{head}\r\n").as_bytes())?;
    to.write_all(body)
}

fn honest(to: &mut TcpStream, _: SocketAddr) -> std::io::Result<()> {
    whole(to, "409 Conflict", "", b"{\"size\":7}")
}

/// Until the other side hangs up.
fn hold(to: &mut TcpStream) -> std::io::Result<()> {
    to.read_to_end(&mut Vec::new()).map(drop)
}

fn loris(to: &mut TcpStream, _: SocketAddr) -> std::io::Result<()> {
    to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")?;
    loop {
        to.write_all(b"x")?;
        thread::sleep(Duration::from_millis(100));
    }
}

fn redirect(to: &mut TcpStream, elsewhere: SocketAddr) -> std::io::Result<()> {
    whole(to, "307 Elsewhere", &format!("Location: http://{elsewhere}/v1/chains\r\n"), b"")
}

fn endless(to: &mut TcpStream, _: SocketAddr) -> std::io::Result<()> {
    to.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    loop {
        to.write_all(b"400\r\n")?;
        to.write_all(&[b' '; 1024])?;
        to.write_all(b"\r\n")?;
    }
}

fn endless_headers(to: &mut TcpStream, _: SocketAddr) -> std::io::Result<()> {
    to.write_all(b"HTTP/1.1 200 OK\r\n")?;
    loop {
        to.write_all(b"X-More: of the same\r\n")?;
    }
}

/// Zeros that shrink a thousand times, announced as compressed.
fn bomb(to: &mut TcpStream, size: usize) -> std::io::Result<()> {
    let mut packed = zstd::Encoder::new(Vec::new(), 1)?;
    let zeros = [0; 1 << 16];
    for _ in 0..size / zeros.len() {
        packed.write_all(&zeros)?;
    }
    let mut packed = packed.finish()?;
    if size > 500 << 20 {
        packed.resize(300 * 1024, 0);
    }
    whole(to, "200 OK", "Content-Encoding: zstd\r\n", &packed)
}

/// Most bytes that this process ever had in memory.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}
