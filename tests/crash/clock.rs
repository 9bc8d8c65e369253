//! R12: the wall clock jumps, the machine sleeps, a second leaps, a boot comes without time. Events are recorded all
//! the same and in order, a step is on record, and retries go by the clock that never steps.

use std::time::Duration;

use uuid::Uuid;
use zhenyin_core::chain::{Chain, SealedEvent};
use zhenyin_core::event::Envelope;
use zhenyin_core::fault::Fault;
use zhenyin_core::ids::{BootId, Pepper, ReaderId};
use zhenyin_core::jws::payload_unverified;
use zhenyin_core::merkle::CompactRange;
use zhenyin_core::outbox::StoredEvent;
use zhenyin_core::rotation::{ChainKeys, Signers};
use zhenyin_core::signer::Signer as _;
use zhenyin_core::terminal::{Input, JournalState, Output, Setup, Terminal};
use zhenyin_core::time::{Boottime, ClockTrust, Now, WallTime};
use zhenyin_core::verify::Verifier;
use zhenyin_core::wire::UpstreamAnswer;
use zhenyin_tests::sealing::{SealingChain, fixed};

const DAY: i64 = 86_400_000;
const START: WallTime = WallTime(1_777_593_600_000);

/// A terminal whose clocks are ours, and everything it has recorded.
struct Clocked {
    terminal: Terminal,
    now: Now,
    events: Vec<SealedEvent>,
    posts: u32,
}

impl Clocked {
    fn start(at: WallTime, trust: ClockTrust) -> Self {
        Self::start_on(Vec::new(), at, trust, 1)
    }

    /// Starts on what an earlier run has recorded, in another boot.
    fn start_on(events: Vec<SealedEvent>, at: WallTime, trust: ClockTrust, boot: u128) -> Self {
        let grant = SealingChain::begin(fixed(1)).unwrap().grant().clone();
        let mut chain = Chain::begin(grant.clone()).state().clone();
        if let Some(last) = events.last() {
            (chain.frontier, chain.last_leaf) = (last.frontier.clone(), last.leaf);
        }
        let recent = events.iter().map(envelope).collect();
        let now = Now { wall: at, boottime: Boottime(Duration::from_secs(60)), trust };
        let setup = Setup {
            authority: fixed(2).public_key(),
            witness: grant.witness().unwrap().clone(),
            grant,
            journal: JournalState { chain, acknowledged: CompactRange::new(), recent },
            lost: None,
            keys: ChainKeys::granted(fixed(1).public_key()),
            signers: Signers::new(Box::new(fixed(1))),
            boot: BootId(Uuid::from_u128(boot)),
            pepper: Pepper::new([5; 32]),
            policy: None,
            face: None,
            jitter: 1,
            agent: "test".into(),
        };
        let mut clocked = Self { terminal: Terminal::new(setup, now), now, events, posts: 0 };
        clocked.drain();
        clocked
    }

    fn put(&mut self, input: Input) {
        self.terminal.handle(input, self.now);
        self.drain();
    }

    /// Boot time passes; wall time moves by `wall_ms`.
    fn pass(&mut self, boot: Duration, wall_ms: i64) {
        self.now.boottime = self.now.boottime.after(boot);
        self.now.wall = WallTime(self.now.wall.0 + wall_ms);
        self.put(Input::Tick);
    }

    /// Something worth an event happens; the event must be recorded at once.
    fn record(&mut self) {
        let before = self.events.len();
        self.put(Input::Reader { reader: ReaderId(1), state: Err(Fault::ReaderAbsent) });
        self.put(Input::Reader { reader: ReaderId(1), state: Ok(()) });
        assert_eq!(self.events.len(), before + 2, "the clock has kept an event from being recorded");
    }

    fn drain(&mut self) {
        while let Some(output) = self.terminal.poll_output() {
            if let Output::Append { event, .. } = output {
                let through = event.sequence;
                self.events.push(event);
                self.terminal.handle(Input::Committed { through }, self.now);
            } else if let Output::LoadBatch { first, max } = output {
                let batch = &self.events[usize::try_from(first).unwrap()..][..max];
                let stored = |event: &SealedEvent| StoredEvent { jws: event.jws.clone(), leaf: event.leaf };
                let events = batch.iter().map(stored).collect();
                self.terminal.handle(Input::BatchLoaded { first, events }, self.now);
            } else if matches!(output, Output::Post(_)) {
                self.posts += 1;
            }
        }
    }

    fn steps(&self) -> usize {
        self.events.iter().filter(|event| envelope(event).kind == "clock.stepped.v1").count()
    }

    /// Everything in order by sequence, whatever the times say.
    fn verify(&self) {
        let grant = SealingChain::begin(fixed(1)).unwrap().grant().clone();
        let mut verifier = Verifier::new(grant, None, Vec::new());
        for event in &self.events {
            verifier.event(&event.jws).unwrap();
        }
    }
}

fn envelope(event: &SealedEvent) -> Envelope {
    Envelope::parse(&payload_unverified(&event.jws).unwrap()).unwrap()
}

#[test]
fn r12_jumps_are_recorded_and_never_stop_an_event() {
    let second = Duration::from_secs(1);
    let hours = Duration::from_secs(8 * 3600);
    let cases = [
        ("a month ahead", second, 30 * DAY, 1),
        ("a month back", second, -30 * DAY, 1),
        ("ten years ahead", second, 3650 * DAY, 1),
        ("an hour back, as for winter time", second, -3_600_000, 1),
        ("asleep over night", hours, 8 * 3_600_000, 0),
        ("a leap second", second, 0, 0),
        ("a second twice", second, 2000, 0),
        ("slewed by a time service", Duration::from_secs(3600), 3_600_500, 0),
    ];
    for (name, boot, wall, steps) in cases {
        let mut clocked = Clocked::start(START, ClockTrust::Synced);
        clocked.record();
        clocked.pass(boot, wall);
        clocked.record();
        assert_eq!(clocked.steps(), steps, "{name}");
        clocked.verify();
    }
    println!("R12: {} jumps, none stopped an event, all in order", cases.len());
}

#[test]
fn r12_a_boot_without_time_records_and_says_so() {
    let mut clocked = Clocked::start(START, ClockTrust::Synced);
    clocked.record();
    // The battery is empty: 1970, and nobody vouches for it.
    let mut woken = Clocked::start_on(clocked.events, WallTime(0), ClockTrust::Unsynced, 2);
    woken.record();
    let last = envelope(woken.events.last().unwrap());
    assert_eq!((last.clock, last.time), (ClockTrust::Unsynced, WallTime(0)));
    assert_eq!(woken.steps(), 1, "time went back while the agent was off");
    // The network comes, and with it the time.
    woken.now.trust = ClockTrust::Synced;
    woken.pass(Duration::from_secs(5), START.0 + DAY);
    woken.record();
    assert_eq!(woken.steps(), 2);
    woken.verify();

    let mut sound = Clocked::start_on(woken.events, WallTime(START.0 + 2 * DAY), ClockTrust::Synced, 3);
    sound.record();
    assert_eq!(sound.steps(), 2, "control: a sound start records no step");
    println!("R12: a start in 1970 and the way back are two steps on record");
}

#[test]
fn r12_retries_go_by_the_clock_that_never_steps() {
    for jump in [-30 * DAY, 30 * DAY, 3650 * DAY] {
        let mut clocked = Clocked::start(START, ClockTrust::Synced);
        clocked.pass(Duration::from_secs(1), 1_000);
        assert_eq!(clocked.posts, 1);
        clocked.put(Input::Upstream(UpstreamAnswer::RetryAfter(Duration::from_secs(60))));
        clocked.pass(Duration::from_millis(1), jump);
        clocked.pass(Duration::from_secs(58), 58_000);
        assert_eq!(clocked.posts, 1, "{jump}: the wall clock has shortened the wait");
        // The window after the time asked for is 2 s wide at the first failure.
        clocked.pass(Duration::from_secs(4), 4_000);
        assert_eq!(clocked.posts, 2, "{jump}: the wall clock has lengthened the wait");
    }
    println!("R12: three jumps of the wall clock moved no retry");
}
