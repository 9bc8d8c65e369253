//! A terminal's sending side for the tests here: a chain, its events and the smallest HTTP client.
//! Never an own idea of the protocol: requests are built by the core's outbox.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use zhenyin_core::chain::{Chain, SealedEvent};
use zhenyin_core::documents::{EnrolmentAnswer, EnrolmentRequest, Grant};
use zhenyin_core::event::lifecycle::LogHeartbeat;
use zhenyin_core::event::{Draft, EventData as _};
use zhenyin_core::ids::BootId;
use zhenyin_core::merkle::CompactRange;
use zhenyin_core::note::{Checkpoint, Note, VerifierKey};
use zhenyin_core::outbox::{Outbox, OutboxAction, OutboxNotice, StoredEvent};
use zhenyin_core::signer::{PublicKey, Seed, Signer as _, SignerError, SoftwareSigner};
use zhenyin_core::time::{Boottime, ClockTrust, Now, WallTime};
use zhenyin_core::wire::{UploadReceipt, UploadRequest, UpstreamAnswer};

use reference_upstream::{Admin, Config, TerminalInfo, Upstream};

pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    pub(crate) fn receipt(&self) -> UploadReceipt {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).expect("a receipt")
    }

    pub(crate) fn conflict(&self) -> u64 {
        assert_eq!(self.status, 409, "{}", String::from_utf8_lossy(&self.body));
        self.json()["size"].as_u64().expect("a size")
    }
}

/// One request on a connection of its own.
pub(crate) fn http(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    try_http(to, method, path, headers, body).expect("a whole answer")
}

/// The same; `None` when nobody listens or the answer breaks off.
pub(crate) fn try_http(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<Response> {
    let mut stream = TcpStream::connect(to).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: upstream\r\nConnection: close\r\n");
    head += &format!("Content-Length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    // A body that is refused by its length may not be read to its end.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let cut = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8(answer[..cut].to_vec()).ok()?;
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers: HashMap<_, _> = headers.map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned())).collect();
    let body = answer[cut + 4..].to_vec();
    let whole = headers.get("content-length").is_none_or(|length| *length == body.len().to_string());
    whole.then_some(Response { status: head.get(9..12)?.parse().ok()?, headers, body })
}

/// Status of a request whose body never comes.
pub(crate) fn stalled(to: SocketAddr, path: &str) -> u16 {
    let mut stream = TcpStream::connect(to).unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: upstream\r\nContent-Length: 1000\r\n\r\n{{");
    stream.write_all(head.as_bytes()).unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    String::from_utf8(start[9..].to_vec()).unwrap().parse().unwrap()
}

pub(crate) fn get(to: SocketAddr, path: &str) -> Response {
    http(to, "GET", path, &[], b"")
}

pub(crate) fn post(to: SocketAddr, path: &str, body: &Value) -> Response {
    http(to, "POST", path, &[("Content-Type", "application/json")], body.to_string().as_bytes())
}

pub(crate) fn info() -> TerminalInfo {
    TerminalInfo {
        terminal: None,
        institution: "P44010300001".into(),
        department: "counter 1".into(),
        region: "440103".into(),
    }
}

pub(crate) fn start(state: &std::path::Path) -> Upstream {
    Upstream::start(&config(state)).expect("starts")
}

pub(crate) fn config(state: &std::path::Path) -> Config {
    Config::new(state, SocketAddr::from(([127, 0, 0, 1], 0)))
}

pub(crate) fn signer(byte: u8) -> SoftwareSigner {
    SoftwareSigner::from_seed(&Seed::take(&mut [byte; 32]))
}

/// A terminal that keeps its events in memory.
pub(crate) struct Device {
    /// Seeds of its keys, the newest last.
    seeds: Vec<u8>,
    pub(crate) chain: Chain,
    pub(crate) events: Vec<StoredEvent>,
    pub(crate) receipts: Vec<Note>,
    pub(crate) authority: PublicKey,
    pub(crate) witness: VerifierKey,
    frontiers: Vec<CompactRange>,
    /// Seconds that have passed without an event.
    skipped: u64,
}

impl Device {
    pub(crate) fn enrol(upstream: &Upstream, seed: u8) -> Self {
        Self::enrol_at(upstream, upstream.addr(), seed)
    }

    /// With a code of `admin` at the process that listens there.
    pub(crate) fn enrol_at(admin: &Admin, to: SocketAddr, seed: u8) -> Self {
        let code = admin.mint_code(&info()).unwrap();
        let request = EnrolmentRequest::new(&code, None, WallTime(0), &signer(seed)).unwrap();
        let answer = post(to, "/v1/enrolments", &json!(request));
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let answer: EnrolmentAnswer = serde_json::from_slice(&answer.body).unwrap();
        let authority = PublicKey::from_jwk(&answer.authority).unwrap();
        let grant = Grant::open(&answer.grant, authority).unwrap();
        let witness = VerifierKey::parse(&answer.witness).unwrap();
        assert_eq!((grant.witness(), authority), (Some(&witness), admin.authority_key()));
        Self {
            seeds: vec![seed],
            chain: Chain::begin(grant),
            events: Vec::new(),
            receipts: Vec::new(),
            authority,
            witness,
            frontiers: vec![CompactRange::new()],
            skipped: 0,
        }
    }

    pub(crate) fn heartbeats(&mut self, count: u64) {
        for uptime_s in 0..count {
            self.append(Draft::of(&LogHeartbeat { uptime_s, unreceipted: count }).unwrap());
        }
        assert_eq!(LogHeartbeat::TYPE, "log.heartbeat.v1");
    }

    /// Lets time pass until the next event.
    pub(crate) fn skip(&mut self, seconds: u64) {
        self.skipped += seconds;
    }

    pub(crate) fn append(&mut self, draft: Draft) {
        let (now, boot) = self.moment();
        let sealed = self.chain.seal_draft(draft, now, &boot, &self.newest_key()).unwrap();
        self.keep(sealed);
    }

    /// Hands over to another key.
    pub(crate) fn rotate(&mut self, seed: u8) {
        let (now, boot) = self.moment();
        let sealed = self.chain.rotate(&signer(seed), now, &boot, &self.newest_key()).unwrap();
        self.seeds.push(seed);
        self.keep(sealed);
    }

    pub(crate) fn newest_key(&self) -> SoftwareSigner {
        signer(*self.seeds.last().expect("a device has a key"))
    }

    fn keep(&mut self, sealed: SealedEvent) {
        self.events.push(StoredEvent { jws: sealed.jws, leaf: sealed.leaf });
        self.frontiers.push(sealed.frontier);
    }

    fn moment(&self) -> (Now, BootId) {
        let n = self.events.len() as u64 + self.skipped;
        let now = Now {
            wall: WallTime(1_777_593_600_000 + 1000 * n as i64),
            boottime: Boottime(Duration::from_secs(n)),
            trust: ClockTrust::Synced,
        };
        let boot = BootId("7d9f0c1a-2b3c-4d5e-8f60-718293a4b5c6".parse().unwrap());
        (now, boot)
    }

    /// The checkpoint of a size, signed by the key of that size.
    fn signed(&self, checkpoint: Checkpoint) -> Result<Note, SignerError> {
        let key = self.chain.keys().of_checkpoint(checkpoint.size);
        let held = self.seeds.iter().map(|seed| signer(*seed)).find(|held| held.public_key() == key);
        Note::sign(checkpoint, &held.expect("every key is held"))
    }

    pub(crate) fn path(&self) -> String {
        format!("/v1/chains/{}/events", self.chain.grant().chain())
    }

    /// A request for events `first` to `end`, whatever the upstream may have.
    pub(crate) fn request(&self, first: usize, end: usize, old: u64) -> UploadRequest {
        let range = &self.frontiers[end];
        let checkpoint = Checkpoint { origin: self.chain.origin(), size: range.size(), root: range.root() };
        UploadRequest {
            first: first as u64,
            events: self.events[first..end].iter().map(|event| event.jws.clone()).collect(),
            checkpoint: self.signed(checkpoint).unwrap().to_string(),
            old,
        }
    }

    pub(crate) fn send(&self, to: SocketAddr, request: &UploadRequest) -> Response {
        post(to, &self.path(), &json!(request))
    }

    /// Lets the outbox send everything, from `acknowledged` on.
    pub(crate) fn drain(&mut self, to: SocketAddr, acknowledged: u64) -> u64 {
        let mut turns = 0;
        self.drain_by(acknowledged, |path, body| {
            turns += 1;
            assert!(turns < 1000, "the outbox does not come to rest");
            Some(http(to, "POST", path, &[("Content-Encoding", "zstd")], body))
        })
    }

    /// The same by any way of sending; `None` stands for no answer.
    pub(crate) fn drain_by(
        &mut self,
        acknowledged: u64,
        mut send: impl FnMut(&str, &[u8]) -> Option<Response>,
    ) -> u64 {
        let start = self.frontiers[acknowledged as usize].clone();
        let durable = self.events.len() as u64;
        let mut outbox = Outbox::resume(self.chain.origin(), self.witness.clone(), durable, start);
        let mut now = Boottime::default();
        while let Some(action) = outbox.poll(now) {
            match action {
                OutboxAction::LoadFrontier { size } => {
                    outbox.handle_frontier(self.frontiers[size as usize].clone(), now).unwrap();
                }
                OutboxAction::LoadBatch { first, max } => {
                    let events = self.events.iter().skip(first as usize).take(max).cloned().collect();
                    outbox.handle_batch(first, events, now, |head| self.signed(head)).unwrap();
                }
                OutboxAction::Post(request) => {
                    let body = zstd::encode_all(json!(request).to_string().as_bytes(), 3).unwrap();
                    let answer = match send(&self.path(), &body) {
                        None => UpstreamAnswer::Unreachable("no answer".into()),
                        Some(got) => {
                            let wait = got.headers.get("retry-after").map(String::as_str);
                            UpstreamAnswer::from_http(got.status, wait, &got.body)
                        }
                    };
                    if let Some(OutboxNotice::Acknowledged(done)) = outbox.handle_answer(answer, now, 1) {
                        self.receipts.push(done.receipt);
                    }
                }
            }
            now = outbox.next_timeout().unwrap_or(now).max(now);
        }
        outbox.acknowledged()
    }
}
