//! R2 once more, on a real file system: the writer's process stands still, and what the disk under its ext4 holds at
//! that moment is mounted elsewhere. Whatever only the kernel's memory held is gone, as in a power cut.
//! Needs the right to mount; says so loudly where it has none.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::kill::{Acknowledged, WriterProcess, random_below, verify};
use crate::loop_image::LoopImage;
use crate::run::PATIENCE;

/// Cuts on one file system, so that they pile up; then a fresh one.
const CUTS_PER_IMAGE: usize = 5;

/// `ZHENYIN_LOOP_CUTS=1000` by night; `.ci/root.sh` takes 100.
#[test]
fn r2_on_a_loop_image_a_power_cut_loses_no_acknowledged_event() {
    let cuts = std::env::var("ZHENYIN_LOOP_CUTS").map_or(15, |cuts| cuts.parse().unwrap());
    let Some(figures) = cut_often(cuts, &[]).unwrap() else { return };
    println!("R2 on a loop image: {figures}");
    assert!(figures.lost.is_empty(), "{:?}", figures.lost.first());
    assert!(figures.acknowledged > cuts as u64, "the writer was cut off before it did anything: {figures}");
}

/// SQLite's other durable-looking setting, on the same disk: it must lose events, or the test above proves nothing.
#[test]
fn r2_control_on_a_loop_image_synchronous_normal_loses_events() {
    let Some(figures) = cut_often(15, &["--normal"]).unwrap() else { return };
    println!("R2 control on a loop image, synchronous=NORMAL: {figures}");
    // Of some the mark tells at the start, the others are found by who was told of the events.
    println!("R2 control: {}", figures.lost.first().expect("15 cuts of an unflushed log lost nothing"));
}

/// A row that ends early takes its writer and its disk along, though the writer stands still.
#[test]
fn r2_an_error_leaves_nothing_on_a_loop_image() {
    let Some(image) = LoopImage::make("R2 error").unwrap() else { return };
    let room = image.path().parent().unwrap().to_owned();
    let mut process = String::new();
    let error = fail_early(image, &mut process).unwrap_err();
    assert_eq!(error.to_string(), "no power to cut");
    assert!(!Path::new(&process).exists(), "the writer still stands there");
    // The kernel lets go of the device a moment after the file system.
    let begun = Instant::now();
    while is_attached(&room).unwrap() {
        assert!(begun.elapsed() < PATIENCE, "a loop device still holds the disk");
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("R2 error on a loop image: nothing is left");
}

/// That a disk is thrown away and tried again is for copies taken while the kernel wrote, not for all that fail.
#[test]
fn r2_control_discarded_copies_are_few() {
    let check = |discarded, cuts, good| assert_eq!(few(discarded, cuts), good, "{discarded} of {cuts}");
    check(10, 100, true);
    check(11, 100, false);
    check(100, 100, false);
    check(2, 15, true);
    check(3, 15, false);
}

#[derive(Default)]
struct Figures {
    cuts: usize,
    discarded: usize,
    acknowledged: u64,
    slowest_start: Duration,
    lost: Vec<String>,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cuts, discarded, acknowledged, slowest_start, lost } = self;
        write!(
            f,
            "{cuts} cuts, {discarded} copies discarded, {acknowledged} events acknowledged, {} cuts lost some, \
             slowest start {slowest_start:?}",
            lost.len()
        )
    }
}

/// `None` where there are no loop images.
fn cut_often(cuts: usize, arguments: &[&str]) -> anyhow::Result<Option<Figures>> {
    let mut figures = Figures::default();
    while figures.cuts < cuts {
        let Some(image) = LoopImage::make("R2")? else { return Ok(None) };
        let mut acknowledged = Acknowledged::new();
        for _ in 0..CUTS_PER_IMAGE {
            let writer = WriterProcess::start(&image.path().join("terminal"), arguments)?;
            std::thread::sleep(Duration::from_micros(random_below(150_000)));
            writer.stop()?;
            let cut = image.cut_power()?;
            writer.kill(&mut acknowledged)?;
            let Some(cut) = cut else {
                figures.discarded += 1;
                continue;
            };
            figures.cuts += 1;
            match verify(&cut.path().join("terminal"), &acknowledged) {
                Ok(found) => figures.slowest_start = figures.slowest_start.max(found.start),
                Err(error) => {
                    // The next cut would only find the same again.
                    figures.lost.push(format!("{error:#}"));
                    break;
                }
            }
        }
        figures.acknowledged += acknowledged.len() as u64;
        ensure!(few(figures.discarded, cuts), "{} copies do not mount", figures.discarded);
    }
    Ok(Some(figures))
}

/// Ends with an error while the writer stands still.
fn fail_early(image: LoopImage, process: &mut String) -> anyhow::Result<()> {
    let mounted = image.path();
    let writer = WriterProcess::start(&mounted.join("terminal"), &[])?;
    writer.stop()?;
    *process = format!("/proc/{}", writer.id());
    let room = mounted.parent().context("no room")?;
    ensure!(Path::new(process).exists() && is_attached(room)?, "control: nothing would be missed");
    bail!("no power to cut")
}

/// A tenth.
fn few(discarded: usize, cuts: usize) -> bool {
    discarded <= cuts.div_ceil(10)
}

/// Whether a loop device holds a disk in this folder.
fn is_attached(room: &Path) -> anyhow::Result<bool> {
    for device in std::fs::read_dir("/sys/block")? {
        // Only a device in use has one.
        let backing = std::fs::read_to_string(device?.path().join("loop/backing_file"));
        if backing.is_ok_and(|backing| Path::new(&backing).starts_with(room)) {
            return Ok(true);
        }
    }
    Ok(false)
}
