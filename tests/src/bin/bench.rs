//! `cargo run -p zhenyin-tests --bin bench`: the figures of one verification, all in one run.
//! With `--journal` only those of the journal; with `--backlog EVENTS` a journal that holds so many; with
//! `--verify EVENTS` the verification of a package of so many.
//! Never a test: it measures and prints; ratios of one run are the useful part.

use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use zhenyin_core::api::{Outcome, Request};
use zhenyin_models::{Frame, Pack, Pipeline, bench as models};
use zhenyin_tests::bench::backlog::backlog_bench;
use zhenyin_tests::bench::journal::journal_bench;
use zhenyin_tests::bench::verification::verification_bench;
use zhenyin_tests::card_reader::bench::card_read;
use zhenyin_tests::card_reader::cards::CardSpec;
use zhenyin_tests::card_reader::device::Echo;
use zhenyin_tests::demo::{default_pack, shared};
use zhenyin_tests::generated::{Person, View};
use zhenyin_tests::subjects::usable;
use zhenyin_tests::world::World;

fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    match asked()? {
        Some(Asked::Journal) => return print(&journal_bench(folder.path())?.to_string()),
        Some(Asked::Backlog(events)) => return print(&backlog_bench(folder.path(), events)?.to_string()),
        Some(Asked::Verify(events)) => return print(&verification_bench(events)?.to_string()),
        None => {}
    }
    print("frame → observation (one thread)")?;
    let pack = default_pack();
    print(&models::run(&pack, face(&pack)?.as_ref(), 50)?.to_string())?;
    print("\nnumber → generated person → frame")?;
    print(&rendering())?;
    print("\ncard → identity")?;
    for (name, echo) in [("echo", Echo::On), ("no echo", Echo::Off)] {
        let read = card_read(echo, 50)?;
        print(&format!(
            "{name:<8} {} bytes, line {:?} + overhead {:?} = {:.2} x line; processor {:?}",
            read.bytes,
            read.line_time,
            read.overhead,
            read.ratio(),
            read.processor
        ))?;
    }
    print("\nappend → durable")?;
    print(&journal_bench(folder.path())?.to_string())?;
    print("\npackage → verified")?;
    print(&verification_bench(20_000)?.to_string())?;
    whole_terminal(folder.path(), &pack)
}

/// One part of the figures alone.
enum Asked {
    Journal,
    Backlog(u64),
    Verify(u64),
}

fn asked() -> anyhow::Result<Option<Asked>> {
    let mut arguments = std::env::args().skip(1);
    let word = arguments.next();
    let mut events = || Ok::<u64, anyhow::Error>(arguments.next().context("how many EVENTS?")?.parse()?);
    Ok(match word.as_deref() {
        Some("--journal") => Some(Asked::Journal),
        Some("--backlog") => Some(Asked::Backlog(events()?)),
        Some("--verify") => Some(Asked::Verify(events()?)),
        Some(other) => anyhow::bail!("`{other}` is none of `--journal`, `--backlog` and `--verify`"),
        None => None,
    })
}

/// A frame that shows a face: of a recorded person, or else of a generated one.
fn face(pack: &Path) -> anyhow::Result<Option<Frame>> {
    let Some(people) = shared("faces/dev/lfw10") else {
        return Ok(Some(Person::new(1).frame(&View::default())));
    };
    let pipeline = Pipeline::new(&Pack::load(pack)?)?;
    Ok(usable(&people, &pipeline, 1)?.into_iter().next())
}

/// The least time is the renderer's own; the rest is what else the machine does.
fn rendering() -> String {
    let least = |work: &mut dyn FnMut(u64)| {
        let spans = (0..20).map(|number| {
            let begun = Instant::now();
            work(number);
            begun.elapsed()
        });
        spans.min().unwrap_or_default()
    };
    let person = Person::new(1);
    let made = least(&mut |number| drop(Person::new(number)));
    let drawn = least(&mut |number| drop(person.frame(&View::draw(number, 1.0))));
    format!("person {made:?}, frame of 640x480 {drawn:?}, each the least of 20")
}

fn whole_terminal(folder: &Path, pack: &Path) -> anyhow::Result<()> {
    let before = resident()?;
    let mut world = World::build(&folder.join("world"), Some(pack))?;
    world.until("the reader answering", |s| s.reader.is_none())?;
    world.reader.insert(CardSpec::version_2());
    let mut spans = Vec::new();
    for _ in 0..20 {
        let reply = world.perform(&Request::CardRead, |_| None)?;
        anyhow::ensure!(matches!(reply.outcome, Outcome::CardRead { .. }), "unexpected: {reply:?}");
        let last = reply.events.last().context("a reading without a record")?.0;
        let begun = Instant::now();
        world.until("the receipt", |s| s.receipted > last)?;
        spans.push(begun.elapsed());
    }
    spans.sort_unstable();
    print(&format!(
        "\nreply → receipt  p50 {:?}, worst {:?}  (a first event waits up to 200 ms for company)",
        spans[10], spans[19]
    ))?;
    print(&format!(
        "memory           {} MiB with upstream and simulators, {} MiB before",
        resident()? >> 20,
        before >> 20
    ))?;
    world.stop_agent();
    let begun = Instant::now();
    world.start_agent()?;
    world.status()?;
    print(&format!("start → ready    {:?}", begun.elapsed()))?;
    world.stop_agent();
    Ok(())
}

/// Resident memory of this process in bytes.
fn resident() -> anyhow::Result<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = pages.split(' ').nth(1).context("statm without resident pages")?.parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}

fn print(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("standard output is closed")
}
