//! R10: a journal with a long backlog. A million events, as the row asks, are for
//! `cargo run -p zhenyin-tests --bin bench -- --backlog 1000000`; here so many that looking through them would show.

use std::time::Duration;

use zhenyin_tests::bench::backlog::backlog_bench;

/// `ZHENYIN_BACKLOG=1000000` takes minutes and 1.5 GB of disk.
const EVENTS: u64 = 20_000;

#[test]
fn r10_a_long_backlog_opens_at_once_and_appends_like_a_short_one() {
    let events = std::env::var("ZHENYIN_BACKLOG").map_or(EVENTS, |events| events.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let figures = backlog_bench(folder.path(), events).unwrap();
    println!("R10: {figures}");
    assert!(figures.open < Duration::from_secs(1), "it opens in {:?}", figures.open);
    assert!(figures.scan > figures.open * 3, "control: an open that reads all of it would be noticed");
    assert!(figures.resident < 120 << 20, "{} MiB in memory", figures.resident >> 20);
    // Medians in turns: the 99th percentile of a shared disk is printed, not judged.
    assert!(figures.backlog.p50 < figures.fresh.p50 * 3 / 2, "{:?} an append", figures.backlog.p50);
}
