//! Several upstream processes on one store, killed again and again while terminals send and send again, and the
//! database server with them: every event that a receipt covers is there exactly once. Never a word of the upstream is believed but its receipts.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reference_upstream::cluster::PrivateCluster;
use reference_upstream::{Admin, StoreChoice};
use zhenyin_core::signer::Signer as _;

use crate::device::{Device, try_http};
use crate::place::{Place, cluster};

const PROCESSES: usize = 3;
const TERMINALS: u8 = 6;
const EVENTS: u64 = 600;
const KILLS: usize = 12;
const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn killed_processes_on_one_store_neither_lose_nor_double_an_event() {
    hammer(&Place::embedded(), None);
    // A cluster of its own, for it is ended without warning in the middle.
    match PrivateCluster::start().expect("an installed PostgreSQL starts") {
        Some(cluster) => hammer(&Place::on(&cluster), Some(&cluster)),
        None => println!("skipped: postgres is not here, only the embedded store is tested"),
    }
}

fn hammer(place: &Place, cluster: Option<&PrivateCluster>) {
    let admin = Admin::open(&place.config).unwrap();
    let mut processes: Vec<Process> = (0..PROCESSES).map(|_| Process::start(place)).collect();
    let addresses = Arc::new(Mutex::new(processes.iter().map(|p| p.addr).collect::<Vec<_>>()));
    let (begun, resent) = (Instant::now(), AtomicUsize::new(0));
    let mut devices: Vec<Device> =
        (1..=TERMINALS).map(|seed| Device::enrol_at(&admin, processes[0].addr, seed)).collect();
    // Each hands over to another key on the way: so every process meets the new key, and some of them first.
    for (device, seed) in devices.iter_mut().zip(101..) {
        device.heartbeats(EVENTS / 2);
        device.rotate(seed);
        device.heartbeats(EVENTS / 2 - 1);
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let senders: Vec<_> = devices
            .iter_mut()
            .map(|device| scope.spawn(|| drain_anywhere(device, &addresses, &resent, begun)))
            .collect();
        let killer = scope.spawn(|| kill_in_turn(place, cluster, &mut processes, &addresses, &done));
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        done.store(true, Ordering::SeqCst);
        let kills = killer.join().unwrap();
        println!("{kills} kills, {} requests sent twice", resent.load(Ordering::SeqCst));
        assert!(kills > 0);
    });
    let all = EVENTS * u64::from(TERMINALS);
    let counts = admin.counts().unwrap();
    assert_eq!((counts.events, counts.receipted, counts.quarantined, counts.alarms), (all, all, 0, 0));
    assert_eq!(admin.audit().unwrap().events, all, "each event once and at its place");
}

/// Sends everything by whichever process answers; what was sent already is sent again now and then.
fn drain_anywhere(
    device: &mut Device,
    addresses: &Mutex<Vec<SocketAddr>>,
    resent: &AtomicUsize,
    begun: Instant,
) {
    let mut turn = usize::from(device.newest_key().public_key().as_bytes()[0]);
    let mut send = |path: &str, body: &[u8]| {
        assert!(begun.elapsed() < PATIENCE, "the terminals do not come to rest");
        turn += 1;
        let table = addresses.lock().unwrap().clone();
        let post = |n: usize| {
            let to = table[n % table.len()];
            try_http(to, "POST", path, &[("Content-Encoding", "zstd")], body)
        };
        // The same body at two processes at once: one of them is the first.
        let twice = std::thread::scope(|scope| {
            let other = turn.is_multiple_of(3).then(|| scope.spawn(|| post(turn + 1)));
            let answer = post(turn);
            if other.is_some_and(|other| other.join().unwrap().is_some()) {
                resent.fetch_add(1, Ordering::SeqCst);
            }
            answer
        });
        // What an answer got lost looks like.
        twice.filter(|_| !turn.is_multiple_of(7))
    };
    let mut acknowledged = 0;
    while acknowledged < EVENTS {
        acknowledged = device.drain_by(acknowledged, &mut send);
    }
    assert_eq!(acknowledged, EVENTS);
}

fn kill_in_turn(
    place: &Place,
    cluster: Option<&PrivateCluster>,
    processes: &mut [Process],
    addresses: &Mutex<Vec<SocketAddr>>,
    done: &AtomicBool,
) -> usize {
    let mut kills = 0;
    while kills < KILLS && !done.load(Ordering::SeqCst) {
        let n = kills % processes.len();
        processes[n] = Process::start(place);
        addresses.lock().unwrap()[n] = processes[n].addr;
        kills += 1;
        if let Some(cluster) = cluster.filter(|_| kills == KILLS / 2) {
            cluster.crash().unwrap();
        }
    }
    kills
}

/// One upstream process; replacing or dropping it kills it.
struct Process {
    child: Child,
    addr: SocketAddr,
    /// Open as long as the process, which may have more to say.
    _said: BufReader<ChildStdout>,
}

impl Process {
    fn start(place: &Place) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reference-upstream"));
        command.arg("--state").arg(place.dir.path()).env("RUST_LOG", "off");
        if let StoreChoice::Postgres { connection_file, .. } = &place.config.store {
            command.arg("--database").arg(connection_file);
        }
        let mut child =
            command.args(["serve", "--bind", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let addr = line.trim().rsplit("http://").next().unwrap().parse();
        Self { child, addr: addr.unwrap_or_else(|_| panic!("no address in `{line}`")), _said: said }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn control_the_audit_finds_what_is_lost_doubled_or_changed() {
    let Some(cluster) = cluster() else {
        println!("skipped: postgres is not here, its audit is not tested");
        return;
    };
    let free = "ALTER TABLE event DISABLE TRIGGER ALL; ALTER TABLE receipt DISABLE TRIGGER ALL;";
    let double = "CREATE TABLE event_1 PARTITION OF event FOR VALUES IN (1);
        INSERT INTO event SELECT 1, chain, sequence, leaf, body, quarantine FROM event WHERE sequence = 7";
    let beyond =
        "INSERT INTO event SELECT month, chain, 40, leaf, body, quarantine FROM event WHERE sequence = 7";
    for (spoil, refused, name) in [
        ("DELETE FROM event WHERE sequence = 7", true, "Missing"),
        ("DELETE FROM event WHERE sequence = 39", true, "Missing"),
        (double, false, "Missing"),
        (beyond, false, "Surplus"),
        ("UPDATE event SET body = body || ' ' WHERE sequence = 7", true, "Changed"),
        ("UPDATE chain SET size = 39", false, "Tree"),
        ("DELETE FROM receipt WHERE size = 40", true, "Receipt"),
    ] {
        let place = Place::postgres().unwrap();
        let upstream = place.start();
        let mut device = Device::enrol(&upstream, 1);
        device.heartbeats(20);
        device.drain(upstream.addr(), 0);
        device.heartbeats(20);
        device.drain(upstream.addr(), 20);
        assert_eq!(upstream.audit().unwrap().events, 40);
        let database = place.database.as_deref().unwrap();
        if refused {
            assert!(cluster.query(database, spoil).is_err(), "{spoil} is refused by a trigger");
        }
        cluster.query(database, &format!("{free} {spoil}")).unwrap();
        let error = upstream.audit().expect_err(spoil);
        assert!(format!("{error:?}").starts_with(name), "{spoil}: {error:?}");
    }
}
