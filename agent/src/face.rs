//! The inference thread: the newest frame in, one observation out, with the time of its capture.
//! Never queues frames (the newest wins), never keeps one after it was looked at: only the face's place, to find it
//! again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use zhenyin_core::biometric::FaceObservation;
use zhenyin_core::fault::Fault;
use zhenyin_core::time::Boottime;
use zhenyin_models::{Frame, Pipeline, TrackState};

use crate::latest::{LatestReceiver, NoValue};

/// What the inference thread has to say.
#[derive(Debug)]
pub enum FaceReport {
    Observed {
        captured: Boottime,
        observation: FaceObservation,
    },
    /// One frame could not be looked at; the next one may.
    Fault(Fault),
}

/// How often the thread looks whether the camera's side is gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// Starts the thread. It ends when the sending side of `frames` is dropped. `report` must not block.
///
/// # Errors
/// When the system has no thread to give.
pub fn start(
    pipeline: Pipeline,
    frames: LatestReceiver<(Boottime, Frame)>,
    mut report: impl FnMut(FaceReport) + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    Builder::new().name("face".to_owned()).spawn(move || {
        let mut track = TrackState::default();
        loop {
            match frames.take(PATIENCE) {
                Ok((captured, frame)) => report(observe(&pipeline, &mut track, captured, &frame)),
                // Frames were missed: whoever comes next is looked for anew.
                Err(NoValue::Timeout) => track = TrackState::default(),
                Err(NoValue::Closed) => return,
            }
        }
    })
}

/// A panic in a model's arithmetic costs one frame, not the daemon.
fn observe(pipeline: &Pipeline, track: &mut TrackState, captured: Boottime, frame: &Frame) -> FaceReport {
    match catch_unwind(AssertUnwindSafe(|| pipeline.observe_next(track, frame))) {
        Ok(Ok(observation)) => FaceReport::Observed { captured, observation },
        Ok(Err(error)) => {
            tracing::warn!(%error, "frame could not be looked at");
            FaceReport::Fault(Fault::ModelRunFailed)
        }
        Err(_) => FaceReport::Fault(Fault::WorkerPanicked),
    }
}
