//! How much one process takes on: work in hand, bodies in memory, requests of one sender.
//! Never makes anybody wait without an end: whoever is too many is told when to come again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests of one sender: a bucket of `burst` that fills again by `per_second`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub per_second: f64,
    pub burst: f64,
}

/// Limits of one process. Behind a balancer each process has its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Requests that may use processor and store at a time.
    pub working: usize,
    /// Requests whose body may be in memory at a time, each up to the protocol's limit.
    pub waiting: usize,
    /// Longest wait for a turn before `503`.
    pub patience: Duration,
    /// Longest whole exchange: ends senders of one byte a second.
    pub exchange: Duration,
    /// What a refused sender is told to wait, in seconds.
    pub retry_after_s: u64,
    /// For each chain.
    pub chain: Rate,
    /// For all enrolments together: people type codes.
    pub enrolment: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            working: 16,
            waiting: 256,
            patience: Duration::from_secs(2),
            exchange: Duration::from_secs(30),
            retry_after_s: 5,
            chain: Rate { per_second: 200.0, burst: 400.0 },
            enrolment: Rate { per_second: 20.0, burst: 200.0 },
        }
    }
}

/// The limits at work.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) limits: Limits,
    working: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    chains: Mutex<Buckets>,
    enrolments: Mutex<Buckets>,
}

impl Gate {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            working: Arc::new(Semaphore::new(limits.working)),
            waiting: Arc::new(Semaphore::new(limits.waiting)),
            chains: Mutex::new(Buckets::new(limits.chain)),
            enrolments: Mutex::new(Buckets::new(limits.enrolment)),
        }
    }

    /// Room for a body, or `None` at once.
    pub(crate) fn admit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.waiting).try_acquire_owned().ok()
    }

    /// A turn to work, or `None` when none came in time.
    pub(crate) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.working).acquire_owned();
        tokio::time::timeout(self.limits.patience, turn).await.ok()?.ok()
    }

    /// Milliseconds that a sender should let pass before its next request: none while there is room.
    pub(crate) fn pacing_ms(&self) -> u64 {
        if self.working.available_permits() * 4 > self.limits.working { 0 } else { 500 }
    }

    /// Seconds until this chain may ask again; `None`: now.
    pub(crate) fn chain_wait(&self, chain: &str) -> Option<u64> {
        self.chains.lock().unwrap_or_else(PoisonError::into_inner).take(chain, Instant::now())
    }

    pub(crate) fn enrolment_wait(&self) -> Option<u64> {
        self.enrolments.lock().unwrap_or_else(PoisonError::into_inner).take("", Instant::now())
    }
}

/// Buckets that are full again are forgotten once there are this many, and looked for at most this often.
const BUCKETS: usize = 100_000;
const SWEEP: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Buckets {
    rate: Rate,
    levels: HashMap<String, (f64, Instant)>,
    swept: Option<Instant>,
}

impl Buckets {
    fn new(rate: Rate) -> Self {
        Self { rate, levels: HashMap::new(), swept: None }
    }

    /// Takes one from a sender's bucket, or says in how many seconds there will be one.
    fn take(&mut self, sender: &str, now: Instant) -> Option<u64> {
        let rate = self.rate;
        let level_at = |level: f64, since: Instant| {
            let filled = now.saturating_duration_since(since).as_secs_f64() * rate.per_second;
            (level + filled).min(rate.burst)
        };
        let rested = self.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP);
        if self.levels.len() >= BUCKETS && rested {
            self.swept = Some(now);
            self.levels.retain(|_, (level, since)| level_at(*level, *since) < rate.burst);
        }
        let level = self.levels.get(sender).map_or(rate.burst, |(level, since)| level_at(*level, *since));
        let taken = level >= 1.0;
        if self.levels.len() < BUCKETS || self.levels.contains_key(sender) {
            self.levels.insert(sender.to_owned(), (if taken { level - 1.0 } else { level }, now));
        }
        // Rounded up, so that whoever waits as told is let in.
        (!taken).then(|| ((1.0 - level) / rate.per_second).ceil().clamp(1.0, 3600.0) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let mut buckets = Buckets::new(Rate { per_second: 0.5, burst: 3.0 });
        let start = Instant::now();
        let mut check = |after_s: u64, sender: &str, wait: Option<u64>| {
            assert_eq!(
                buckets.take(sender, start + Duration::from_secs(after_s)),
                wait,
                "{after_s} {sender}"
            );
        };
        for _ in 0..3 {
            check(0, "a", None);
        }
        check(0, "a", Some(2));
        check(0, "b", None);
        check(1, "a", Some(1));
        check(2, "a", None);
        check(2, "a", Some(2));
        check(3600, "a", None);
    }

    #[test]
    fn memory_stays_bounded_however_many_ask() {
        let mut buckets = Buckets::new(Rate { per_second: 0.001, burst: 1.0 });
        let start = Instant::now();
        for n in 0..BUCKETS + 10 {
            buckets.take(&n.to_string(), start);
        }
        assert_eq!(buckets.levels.len(), BUCKETS);
        let later = start + Duration::from_secs(10_000);
        assert_eq!(buckets.take("new", later), None);
        assert_eq!(buckets.levels.len(), 1);
    }
}
