//! `cargo run -p reference-upstream --example drain`: how fast a backlog goes up, every event verified, on each
//! store, and how much of that the bare verification of the same events takes. Never a test: it measures and prints; needs an installed PostgreSQL for the store of a real site.

#![expect(clippy::unwrap_used, reason = "a measurement that fails has nothing else to do")]
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

#[path = "../tests/protocol/device.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod device;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use device::Device;
use reference_upstream::cluster::PrivateCluster;
use reference_upstream::{Config, StoreChoice, Upstream};
use zhenyin_core::verify::check_event;

/// Terminals that come back at the same time, and what each has to say.
const TERMINALS: u8 = 8;
const EVENTS: u64 = 3_000;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::new(folder.path().join("a"), SocketAddr::from(([127, 0, 0, 1], 0)));
    measure("embedded", &config, &|| Duration::ZERO);
    match PrivateCluster::start().unwrap() {
        None => println!("postgres: skipped, it is not installed here"),
        Some(cluster) => {
            let connection_file = cluster.database("drain", folder.path()).unwrap();
            let state_dir = folder.path().join("b");
            let store = StoreChoice::Postgres { connection_file, ca_file: None };
            measure("postgres", &Config { state_dir, store, ..config }, &|| {
                cluster.processor_time().unwrap()
            });
        }
    }
}

/// All terminals at once, then one alone.
fn measure(name: &str, config: &Config, server: &dyn Fn() -> Duration) {
    let upstream = Upstream::start(config).unwrap();
    let mut devices: Vec<Device> = (1..=TERMINALS).map(|seed| Device::enrol(&upstream, seed)).collect();
    let sealing = Instant::now();
    devices.iter_mut().for_each(|device| device.heartbeats(EVENTS));
    let sealed = sealing.elapsed();
    let bare = bare_verification(&devices);
    let (together, rest) = devices.split_at_mut(usize::from(TERMINALS) - 1);
    let several = drain(&upstream, together, server);
    let one = drain(&upstream, rest, server);
    let all = EVENTS * u64::from(TERMINALS);
    assert_eq!(upstream.audit().unwrap().events, all);
    println!(
        "{name}: {} terminals {}; one alone {}; of that the bare verification takes {:.0} µs, as two cores do {:.0} \
         events/s; sealing took {:.0} µs an event",
        together.len(),
        several,
        one,
        bare * 1e6,
        2.0 / bare,
        sealed.as_secs_f64() * 1e6 / all as f64
    );
}

/// Processor time of one thread to verify signature and envelope of an event, in seconds.
fn bare_verification(devices: &[Device]) -> f64 {
    let used = processor_time();
    for device in devices {
        for (event, number) in device.events.iter().zip(0..) {
            check_event(device.chain.grant().device_key(), number, &event.jws).unwrap();
        }
    }
    let events = devices.iter().map(|device| device.events.len()).sum::<usize>();
    (processor_time() - used).as_secs_f64() / events as f64
}

fn drain(upstream: &Upstream, devices: &mut [Device], server: &dyn Fn() -> Duration) -> String {
    let (begun, used) = (Instant::now(), processor_time() + server());
    let to = upstream.addr();
    std::thread::scope(|scope| {
        for device in devices.iter_mut() {
            scope.spawn(move || assert_eq!(device.drain(to, 0), EVENTS));
        }
    });
    let events = (devices.len() as u64 * EVENTS) as f64;
    let (wall, used) = (begun.elapsed(), processor_time() + server() - used);
    let each = used.as_secs_f64() / events;
    format!(
        "{:.0} events/s, {:.0} µs of processor time an event with sender and database: {:.0} events/s on two cores \
         of one's own",
        events / wall.as_secs_f64(),
        each * 1e6,
        2.0 / each
    )
}

/// User and system time of this process, from the kernel's 100 ticks a second.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
