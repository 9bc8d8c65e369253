//! How long each stage takes on this machine, in one run. A measurement, not a test: nothing fails by being slow.

use std::fmt;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use thiserror::Error;
use zhenyin_core::biometric::FaceObservation;

use crate::detect::{Detection, Subjects, subjects};
use crate::frame::Frame;
use crate::pack::{Pack, PackError};
use crate::pipeline::{ObserveError, Pipeline};
use crate::quality::{assess, measure};
use crate::rehearsal::test_card;
use crate::resample::{Point, Rect};
use crate::track::TrackState;

#[derive(Debug, Error)]
pub enum BenchError {
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error(transparent)]
    Observe(#[from] ObserveError),
}

/// Medians of `rounds` runs after `rounds / 10 + 2` warm-up runs.
#[derive(Clone, Debug)]
pub struct BenchReport {
    pub rounds: usize,
    /// Width and height of the frame.
    pub frame: (u32, u32),
    /// Whether the frame shows one face; without, all stages but `observe` run on an assumed one.
    pub face_found: bool,
    pub load: Duration,
    /// Stage and its median, in flow order; `observe` is the whole of one usable frame.
    pub stages: Vec<(&'static str, Duration)>,
    /// Resident and peak resident memory in bytes, where the system says (Linux).
    pub resident: Option<u64>,
    pub peak_resident: Option<u64>,
}

/// Loads the pack in `folder` and times its stages on `frame`, or on a test card when there is none.
pub fn run(folder: &Path, frame: Option<&Frame>, rounds: usize) -> Result<BenchReport, BenchError> {
    let started = Instant::now();
    let pack = Pack::load(folder)?;
    let pipeline = Pipeline::new(&pack)?;
    let load = started.elapsed();
    let card = test_card(640, 480);
    let frame = frame.unwrap_or(&card);
    let found = match subjects(&pipeline.detect(frame)?) {
        Subjects::One(face) => Some(face),
        Subjects::Nobody | Subjects::Several(_) => None,
    };
    let face = found.unwrap_or_else(|| assumed_face(frame));
    let crop = pipeline.align(frame, &face)?;
    let rounds = rounds.max(1);
    let stages = vec![
        ("detect", median(rounds, || pipeline.detect(frame).map(drop))?),
        ("align", median(rounds, || pipeline.align(frame, &face).map(drop))?),
        (
            "quality",
            median(rounds, || {
                black_box(assess(&measure(frame, &face, &crop)));
                Ok(())
            })?,
        ),
        ("pad", median(rounds, || pipeline.judge(frame, &face).map(drop))?),
        ("embed", median(rounds, || pipeline.embed(&crop).map(drop))?),
        ("observe", median(rounds, || pipeline.observe(frame).map(drop))?),
    ];
    Ok(BenchReport {
        rounds,
        frame: (frame.width(), frame.height()),
        face_found: found.is_some(),
        load,
        stages,
        resident: memory("VmRSS:"),
        peak_resident: memory("VmHWM:"),
    })
}

/// Whole frames, as a camera would give them one after the other.
#[derive(Clone, Copy, Debug)]
pub struct FramesReport {
    pub frames: usize,
    /// Frames that went through all stages.
    pub usable: usize,
    pub load: Duration,
    /// Every frame searched whole.
    pub observe: Cost,
    /// Faces followed from frame to frame.
    pub observe_next: Cost,
    pub resident: Option<u64>,
}

/// What one frame costs.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Median of the wall clock.
    pub wall: Duration,
    /// Mean processor time of the calling thread, where the system says (Linux): steadier on a busy machine.
    pub processor: Option<Duration>,
}

/// Loads the pack in `folder` and runs all `frames` through it, `rounds` times after one round to warm up. Every
/// frame is shown twice in a row, so that there is something to follow.
pub fn run_frames(folder: &Path, frames: &[Frame], rounds: usize) -> Result<FramesReport, BenchError> {
    let started = Instant::now();
    let pack = Pack::load(folder)?;
    let pipeline = Pipeline::new(&pack)?;
    let load = started.elapsed();
    let mut usable = 0;
    for frame in frames {
        usable += usize::from(matches!(pipeline.observe(frame)?, FaceObservation::Usable(_)));
    }
    let twice = || (0..rounds.max(1)).flat_map(|_| frames).flat_map(|frame| [frame, frame]);
    let observe = cost(twice(), |frame| pipeline.observe(frame).map(drop))?;
    let mut state = TrackState::default();
    let observe_next = cost(twice(), |frame| pipeline.observe_next(&mut state, frame).map(drop))?;
    Ok(FramesReport { frames: frames.len(), usable, load, observe, observe_next, resident: memory("VmRSS:") })
}

fn cost<'a>(
    frames: impl Iterator<Item = &'a Frame>,
    mut stage: impl FnMut(&Frame) -> Result<(), ObserveError>,
) -> Result<Cost, ObserveError> {
    let before = processor_time();
    let mut times = Vec::new();
    for frame in frames {
        let started = Instant::now();
        stage(frame)?;
        times.push(started.elapsed());
    }
    times.sort();
    let spent = before.zip(processor_time()).map(|(before, after)| after.saturating_sub(before));
    let count = u32::try_from(times.len().max(1)).unwrap_or(u32::MAX);
    Ok(Cost {
        wall: times.get(times.len() / 2).copied().unwrap_or_default(),
        processor: spent.map(|spent| spent / count),
    })
}

/// Nanoseconds this thread has run, see `Documentation/scheduler/sched-stats` of Linux.
fn processor_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

impl fmt::Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (width, height) = self.frame;
        let what = if self.face_found { "one face" } else { "no face found, `observe` stops after `detect`" };
        writeln!(f, "frame {width}x{height}, {what}; medians of {} runs, one thread", self.rounds)?;
        writeln!(f, "{:<9} {:>8.2} ms", "load", milliseconds(self.load))?;
        for (stage, time) in &self.stages {
            writeln!(f, "{stage:<9} {:>8.2} ms", milliseconds(*time))?;
        }
        for (name, bytes) in [("memory", self.resident), ("peak", self.peak_resident)] {
            if let Some(bytes) = bytes {
                writeln!(f, "{name:<9} {:>8.1} MiB", bytes as f64 / f64::from(1 << 20))?;
            }
        }
        Ok(())
    }
}

fn median(
    rounds: usize,
    mut stage: impl FnMut() -> Result<(), ObserveError>,
) -> Result<Duration, ObserveError> {
    for _ in 0..rounds / 10 + 2 {
        stage()?;
    }
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let started = Instant::now();
        stage()?;
        times.push(started.elapsed());
    }
    times.sort();
    Ok(times[rounds / 2])
}

/// A face in the middle, a third as high as the frame.
fn assumed_face(frame: &Frame) -> Detection {
    let (width, height) = (frame.width() as f32, frame.height() as f32);
    let side = height / 3.0;
    let (x, y) = ((width - side) / 2.0, (height - side) / 2.0);
    let places = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)];
    let landmarks = places.map(|(px, py)| Point { x: x + px * side, y: y + py * side });
    Detection { bounds: Rect { x, y, width: side, height: side }, landmarks, score: 1.0 }
}

fn memory(key: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
