//! `cargo run -p zhenyin-tests --bin bench`: the figures of one verification, all in one run.
//! With `--journal` only those of the journal; with `--backlog EVENTS` a journal that holds so many.
//! Never a test: it measures and prints; ratios of one run are the useful part.

use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use zhenyin_core::api::{Outcome, Request};
use zhenyin_models::{Frame, Pack, Pipeline, bench as models};
use zhenyin_tests::bench::backlog::backlog_bench;
use zhenyin_tests::bench::journal::journal_bench;
use zhenyin_tests::card_reader::bench::card_read;
use zhenyin_tests::card_reader::cards::CardSpec;
use zhenyin_tests::card_reader::device::Echo;
use zhenyin_tests::demo::{default_pack, shared};
use zhenyin_tests::generated::{Person, View};
use zhenyin_tests::subjects::usable;
use zhenyin_tests::world::World;

fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    if let Some(events) = backlog_asked()? {
        if events == 0 {
            return print(&journal_bench(folder.path())?.to_string());
        }
        return print(&backlog_bench(folder.path(), events)?.to_string());
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
    whole_terminal(folder.path(), &pack)
}

/// `--backlog EVENTS` measures a long journal and nothing else; 0 stands for the short one of `--journal`.
fn backlog_asked() -> anyhow::Result<Option<u64>> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("--backlog") => Ok(Some(arguments.next().context("--backlog EVENTS")?.parse()?)),
        Some("--journal") => Ok(Some(0)),
        Some(other) => anyhow::bail!("`{other}` is neither `--backlog` nor `--journal`"),
        None => Ok(None),
    }
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
