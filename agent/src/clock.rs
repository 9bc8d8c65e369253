//! The only file that reads a clock. Gives wall time for people, boot time for intervals, and says how far the
//! wall clock can be trusted. Never sets a clock, never waits for one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use zhenyin_core::ids::BootId;
use zhenyin_core::time::{Boottime, ClockTrust, Now, WallTime};

/// Reads all clocks at once and remembers the last reading, to see a step.
pub struct Clock {
    boot_id: BootId,
    last: Mutex<Option<Reading>>,
}

impl Clock {
    pub fn new() -> Self {
        Self { boot_id: platform::boot_id(), last: Mutex::new(None) }
    }

    /// Each step of the wall clock is told once, by the first reading after it.
    pub fn now(&self) -> Now {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = platform::read();
        let now = sample(*last, reading);
        *last = Some(reading);
        now
    }

    /// Names the time since the machine was started: boot times of different names are not comparable.
    pub fn boot_id(&self) -> BootId {
        self.boot_id
    }
}

/// How far the clock that never steps has come: for how long something takes.
pub(crate) fn boottime() -> Boottime {
    platform::boottime()
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// Both clocks, and whether the system says that it follows a time source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    wall: WallTime,
    boottime: Boottime,
    synced: bool,
}

/// The two clocks may part by so much between two readings (slewing, scheduling) before it counts as a step.
const STEP: Duration = Duration::from_secs(2);

fn sample(last: Option<Reading>, reading: Reading) -> Now {
    let trust = match last {
        Some(last) if stepped(last, reading) => ClockTrust::Stepped,
        _ if reading.synced => ClockTrust::Synced,
        _ => ClockTrust::Unsynced,
    };
    Now { wall: reading.wall, boottime: reading.boottime, trust }
}

fn stepped(last: Reading, reading: Reading) -> bool {
    let elapsed = reading.boottime.saturating_since(last.boottime).as_millis();
    let expected = i128::from(last.wall.0) + i128::try_from(elapsed).unwrap_or(i128::MAX / 2);
    (i128::from(reading.wall.0) - expected).unsigned_abs() > STEP.as_millis()
}

/// Where the system does not name its boots: a name for this run of the program, which says less but never lies.
fn fresh_boot_id() -> BootId {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).expect("the system gives random bytes");
    BootId(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

#[cfg(target_os = "linux")]
mod platform {
    use std::path::Path;
    use std::time::Duration;

    use rustix::time::{ClockId, Timespec, clock_gettime};
    use zhenyin_core::ids::BootId;
    use zhenyin_core::time::{Boottime, WallTime};

    use super::{Reading, fresh_boot_id};

    pub(super) fn read() -> Reading {
        let boottime = boottime();
        let wall = clock_gettime(ClockId::Realtime);
        Reading {
            wall: WallTime(wall.tv_sec.saturating_mul(1000).saturating_add(wall.tv_nsec / 1_000_000)),
            boottime,
            synced: Path::new(SYNCHRONIZED).exists(),
        }
    }

    pub(super) fn boottime() -> Boottime {
        Boottime(since_boot(clock_gettime(ClockId::Boottime)))
    }

    pub(super) fn boot_id() -> BootId {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .map_or_else(fresh_boot_id, BootId)
    }

    /// systemd-timesyncd makes this file at its first synchronisation after start. Other time services do not,
    /// and then the clock counts as unsynced: asking the kernel (`adjtimex`) needs unsafe code.
    const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";

    fn since_boot(time: Timespec) -> Duration {
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::sync::OnceLock;
    use std::time::{Instant, SystemTime};

    use zhenyin_core::ids::BootId;
    use zhenyin_core::time::{Boottime, WallTime};

    use super::{Reading, fresh_boot_id};

    /// Counts from the start of this program and may stand still during sleep, which then looks like a step.
    pub(super) fn read() -> Reading {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Reading {
            wall: WallTime(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)),
            boottime: boottime(),
            synced: false,
        }
    }

    pub(super) fn boottime() -> Boottime {
        static START: OnceLock<Instant> = OnceLock::new();
        Boottime(START.get_or_init(Instant::now).elapsed())
    }

    pub(super) fn boot_id() -> BootId {
        fresh_boot_id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(wall_ms: i64, boot_ms: u64) -> Reading {
        Reading { wall: WallTime(wall_ms), boottime: Boottime(Duration::from_millis(boot_ms)), synced: true }
    }

    #[test]
    fn a_step_is_the_wall_clock_parting_from_boot_time() {
        let check = |wall_ms: i64, boot_ms: u64, expected: ClockTrust| {
            let now = sample(Some(reading(1_000_000, 50_000)), reading(wall_ms, boot_ms));
            assert_eq!(now.trust, expected, "wall {wall_ms}, boot {boot_ms}");
        };
        check(1_000_000, 50_000, ClockTrust::Synced);
        check(1_001_000, 51_000, ClockTrust::Synced);
        // A night asleep: both clocks go on.
        check(29_800_000, 28_850_000, ClockTrust::Synced);
        // Two seconds of difference are still slewing; a millisecond more is a step, either way.
        check(1_003_000, 51_000, ClockTrust::Synced);
        check(1_003_001, 51_000, ClockTrust::Stepped);
        check(999_000, 51_000, ClockTrust::Synced);
        check(998_999, 51_000, ClockTrust::Stepped);
        check(i64::MIN, 51_000, ClockTrust::Stepped);
        check(i64::MAX, 51_000, ClockTrust::Stepped);
    }

    #[test]
    fn without_a_reading_before_there_is_no_step() {
        assert_eq!(sample(None, reading(5, 5)).trust, ClockTrust::Synced);
        assert_eq!(sample(None, Reading { synced: false, ..reading(5, 5) }).trust, ClockTrust::Unsynced);
    }

    #[test]
    fn the_real_clocks_go_forward_and_name_one_boot() {
        let clock = Clock::new();
        let (first, second) = (clock.now(), clock.now());
        assert!(second.boottime >= first.boottime);
        assert!(first.wall > WallTime(1_700_000_000_000), "{:?}", first.wall);
        if cfg!(target_os = "linux") {
            assert_eq!(clock.boot_id(), Clock::new().boot_id());
        }
        assert_ne!(fresh_boot_id(), fresh_boot_id());
    }
}
