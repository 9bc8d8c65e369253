//! R14: a terminal at work while its network goes away, and its process stops or is killed. What was accepted is there at
//! every moment, everything is receipted in the end without anybody's hand, and memory stays flat.
//! Never content with counts: each accepted event is looked for, by kind and leaf, in the journal and at the upstream.
//! `ZHENYIN_SOAK_SECONDS=86400` for the row's own day.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use zhenyin::agent::Agent;
use zhenyin::config::Config;
use zhenyin::journal::JournalReader;
use zhenyin::keystore::KeyStore;
use zhenyin_core::api::{Outcome, Request, Status};
use zhenyin_core::event::Envelope;
use zhenyin_core::jws::payload_unverified;
use zhenyin_core::merkle::{Hash, leaf_hash};
use zhenyin_tests::card_reader::cards::CardSpec;
use zhenyin_tests::generated::random::Dice;
use zhenyin_tests::world::World;

const SECONDS: u64 = 20;
/// A day at one event a second.
const PACE: Duration = Duration::from_millis(250);
/// Events read from a journal at a time.
const PAGE: u64 = 1000;
/// Names the configuration to the process that is killed.
const AGENT: &str = "ZHENYIN_SOAK_AGENT";
const LISTENS: &str = "listens at ";

/// The agent in a process of its own, until it is killed or its input ends. Does nothing elsewhere.
#[test]
fn as_agent() {
    let Ok(config) = std::env::var(AGENT) else { return };
    let agent = Agent::start(&Config::load(Path::new(&config)).unwrap()).unwrap();
    println!("{LISTENS}{}", agent.address());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Kind and leaf of events, by place.
type Events = BTreeMap<u64, (String, Hash)>;

struct Site {
    folder: tempfile::TempDir,
    world: World,
    /// What somebody was told of.
    accepted: Events,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = World::build(folder.path(), None).unwrap();
        world.until("the reader answering", |s| s.reader.is_none()).unwrap();
        world.reader.insert(CardSpec::version_2());
        Self { folder, world, accepted: Events::new() }
    }

    /// Reads the card; places of the events that record it.
    fn read_card(&self) -> Vec<u64> {
        let reply = self.world.perform(&Request::CardRead, |_| None).unwrap();
        assert!(matches!(reply.outcome, Outcome::CardRead { .. }), "{reply:?}");
        assert!(!reply.events.is_empty(), "{reply:?}");
        reply.events.iter().map(|sequence| sequence.0).collect()
    }

    /// Keeps what was accepted at these places, as it stands there now.
    fn keep(&mut self, places: Vec<u64>) {
        let journal = self.journal();
        for place in places {
            let found = entries(&journal, place, place + 1).remove(&place);
            let event = found.unwrap_or_else(|| panic!("accepted event {place} is not there"));
            assert_eq!(event.0, "card.read.v1", "at place {place}");
            self.accepted.insert(place, event);
        }
    }

    fn events_accepted(&self) -> u64 {
        self.accepted.last_key_value().map_or(0, |(place, _)| place + 1)
    }

    fn journal(&self) -> JournalReader {
        let state = &self.world.config.state;
        let keys = KeyStore::open(&state.join("keys")).unwrap();
        JournalReader::open(&state.join("journal"), keys.journal_key()).unwrap()
    }

    fn in_journal(&self) -> Events {
        let journal = self.journal();
        entries(&journal, 0, journal.counters().unwrap().size)
    }

    fn in_upstream(&self) -> Events {
        let path = self.folder.path().join("upstream/upstream.db");
        let store = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let mut rows = store.prepare("SELECT sequence, body FROM event").unwrap();
        let rows = rows.query_map((), |row| Ok((row.get(0)?, row.get::<_, String>(1)?))).unwrap();
        rows.map(Result::unwrap).map(|(place, jws)| (place, entry(&jws))).collect()
    }

    /// Stops the agent in order and starts it again.
    fn restart(&mut self) {
        self.world.stop_agent();
        self.start();
    }

    fn start(&mut self) {
        self.world.start_agent().unwrap();
        self.world.until("the reader answering", |s| s.reader.is_none()).unwrap();
    }

    /// The agent in a process of its own reads a card, and is killed as soon as it has said so.
    fn kill(&mut self) {
        self.world.stop_agent();
        let (mut child, address) = spawn(&self.folder.path().join("config.toml"));
        self.world.attach(address).unwrap();
        self.world.until("the reader answering", |s| s.reader.is_none()).unwrap();
        let places = self.read_card();
        child.kill().unwrap();
        child.wait().unwrap();
        self.keep(places);
        self.start();
    }

    fn trouble(&mut self, dice: &mut Dice) -> Option<&'static str> {
        match dice.below(8) {
            0 if self.world.upstream().is_some() => {
                self.world.cut_network();
                Some("network away")
            }
            0 | 1 if self.world.upstream().is_none() => {
                self.world.restore_network().unwrap();
                Some("network back")
            }
            2 => {
                self.restart();
                Some("restart")
            }
            3 => {
                self.kill();
                Some("kill")
            }
            _ => None,
        }
    }

    /// With the network back, everything goes up without anybody's hand.
    fn settle(&mut self) -> Status {
        if self.world.upstream().is_none() {
            self.world.restore_network().unwrap();
        }
        let accepted = self.events_accepted();
        self.world
            .until("everything receipted", |s| s.receipted >= accepted && s.receipted == s.events)
            .unwrap()
    }
}

#[test]
fn r14_a_soak_conserves_every_event() {
    let seconds = std::env::var("ZHENYIN_SOAK_SECONDS").map_or(SECONDS, |seconds| seconds.parse().unwrap());
    let mut site = Site::new();
    let (mut dice, begun) = (Dice::new(14, 0), Instant::now());
    let mut faults = BTreeMap::<&str, u64>::new();
    let (mut readings, mut memory) = (0, 0);
    while begun.elapsed() < Duration::from_secs(seconds) {
        let next = Instant::now() + PACE;
        if let Some(fault) = site.trouble(&mut dice) {
            *faults.entry(fault).or_default() += 1;
        }
        let places = site.read_card();
        site.keep(places);
        readings += 1;
        let (accepted, status) = (site.events_accepted(), site.world.status().unwrap());
        assert!(conserved(accepted, &status), "{accepted} accepted: {status:?}");
        // The first acts fill caches.
        if readings <= 10 {
            memory = resident();
        }
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let status = site.settle();
    let upstream = site.world.upstream().unwrap().terminals().unwrap();
    assert_eq!(upstream.len(), 1, "one terminal, one chain");
    assert_eq!(upstream[0].size, status.events, "upstream has every event once");
    assert!(!conserved(status.events + 1, &status), "control: one event more would be missed");
    let grown = resident().saturating_sub(memory);
    site.world.stop_agent();
    assert_eq!(lost(&site.accepted, &site.in_journal()), [0; 0], "accepted, and not in the journal");
    assert_eq!(lost(&site.accepted, &site.in_upstream()), [0; 0], "accepted, and not at the upstream");
    let report = site.journal().verify_all().unwrap();
    println!(
        "R14: {seconds} s, {readings} acts, {} events, {} accepted and all found, {} receipted, faults {faults:?}, \
         memory grew by {} MiB, 0 manual steps",
        report.events,
        site.accepted.len(),
        status.receipted,
        grown >> 20
    );
    assert!(grown < 64 << 20, "{} MiB", grown >> 20);
}

/// A disk that goes back to an earlier state loses an accepted event, and another takes its place: every count is
/// right, everything is receipted, and the search must still find what is missing, or the soak proves nothing.
#[test]
fn r14_control_a_replaced_event_is_missed() {
    let mut site = Site::new();
    let places = site.read_card();
    site.keep(places);
    site.world.cut_network();
    site.world.stop_agent();
    let (state, before) = (site.world.config.state.clone(), site.folder.path().join("before"));
    assert!(Command::new("cp").arg("-a").args([&state, &before]).status().unwrap().success());
    site.start();
    let replaced = site.read_card();
    site.keep(replaced.clone());
    site.world.stop_agent();
    assert_eq!(lost(&site.accepted, &site.in_journal()), [0; 0]);
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::rename(&before, &state).unwrap();
    site.start();
    site.read_card();
    let status = site.settle();
    assert!(conserved(site.events_accepted(), &status), "the counts see nothing: {status:?}");
    site.world.stop_agent();
    assert_eq!(lost(&site.accepted, &site.in_journal()), replaced);
    assert_eq!(lost(&site.accepted, &site.in_upstream()), replaced);
}

/// Accepted = receipted + pending, and nothing is receipted that was not made.
fn conserved(accepted: u64, status: &Status) -> bool {
    accepted <= status.events && status.receipted <= status.events
}

/// Places of what was accepted where that event does not stand any more.
fn lost(accepted: &Events, kept: &Events) -> Vec<u64> {
    accepted.iter().filter(|(place, event)| kept.get(place) != Some(event)).map(|(place, _)| *place).collect()
}

fn entries(journal: &JournalReader, first: u64, end: u64) -> Events {
    let pages = (first..end).step_by(PAGE as usize);
    let events = pages.flat_map(|page| journal.events(page..end.min(page + PAGE)).unwrap());
    events.map(|event| (event.sequence.0, entry(&event.jws.unwrap()))).collect()
}

fn entry(jws: &str) -> (String, Hash) {
    let envelope = Envelope::parse(&payload_unverified(jws).unwrap()).unwrap();
    (envelope.kind, leaf_hash(jws.as_bytes()))
}

/// Starts [`as_agent`]; where it listens.
fn spawn(config: &Path) -> (Child, SocketAddr) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "as_agent", "--nocapture"])
        .env(AGENT, config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Anywhere in a line: the harness around the test prints, too, and not always ends its line.
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let address = lines.into_iter().find_map(|line| line.split_once(LISTENS)?.1.parse().ok());
    (child, address.expect("the agent says where it listens"))
}

/// Resident memory of this process, upstream and simulators included, in bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * rustix::param::page_size() as u64
}
