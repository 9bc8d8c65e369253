//! R2 once more, on a real file system: the writer's process stands still, and what the disk under its ext4 holds at
//! that moment is mounted elsewhere. Whatever only the kernel's memory held is gone, as in a power cut.
//! Needs the right to mount; says so loudly where it has none.

use std::time::Duration;

use crate::kill::{Acknowledged, WriterProcess, random_below, verify};
use crate::loop_image::LoopImage;

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
        anyhow::ensure!(figures.discarded <= cuts, "no copy mounts");
    }
    Ok(Some(figures))
}
