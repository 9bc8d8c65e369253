//! R7: random lives of a terminal against a model of what was promised: appends, uploads that are answered, lost,
//! shortened, doubled or refused, kills, power cuts, erasing, holds, clock jumps, rotations of the key, new enrolments.
//! Never compares with the journal's own word: the model remembers what was sealed, told and receipted.

mod life;
mod upstream;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use life::Life;

/// `ZHENYIN_MODEL_CASES=10000 cargo test -p zhenyin-tests --test crash r7` for a release.
const CASES: u64 = 600;
const THREADS: usize = 4;

#[test]
fn r7_no_random_life_breaks_a_promise() {
    let cases = std::env::var("ZHENYIN_MODEL_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    let tally = lives(cases, false);
    println!("R7: {cases} lives, {tally:?}");
    let missing: Vec<_> =
        life::ACTIONS.iter().filter(|action| !tally.actions.contains_key(*action)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}");
    assert!(tally.broken.is_empty(), "{:#?}", tally.broken);
}

/// On a disk that answers flushes without doing them, the same lives break promises.
#[test]
fn r7_control_a_disk_that_lies_breaks_promises() {
    let tally = lives(60, true);
    println!("R7 control: {} of 60 lives broke a promise", tally.broken.len());
    assert!(!tally.broken.is_empty());
}

#[derive(Debug, Default)]
struct Tally {
    events: u64,
    receipted: u64,
    actions: BTreeMap<&'static str, u64>,
    broken: Vec<String>,
}

fn lives(cases: u64, lazy: bool) -> Tally {
    let (next, tally) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let case = next.fetch_add(1, Ordering::SeqCst);
                    if case >= cases {
                        return;
                    }
                    let mut life = Life::begin(case, lazy).unwrap();
                    let lived = life.live();
                    let mut tally = tally.lock().unwrap();
                    tally.events += life.events();
                    tally.receipted += life.receipted();
                    life.log.iter().for_each(|action| *tally.actions.entry(action).or_default() += 1);
                    if let Err(error) = lived {
                        tally.broken.push(format!("life {case}: {error:#}; after {:?}", life.log));
                    }
                }
            });
        }
    });
    tally.into_inner().unwrap()
}
