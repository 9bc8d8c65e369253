//! The inference thread: the newest frame in, one observation out.
//! Never queues frames (the newest wins), never keeps one after it was looked at.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use zhenyin_core::biometric::FaceObservation;
use zhenyin_core::fault::Fault;
use zhenyin_models::{Frame, Pipeline};

use crate::latest::{LatestReceiver, NoValue};

/// What the inference thread has to say.
#[derive(Debug)]
pub enum FaceReport {
    Observed(FaceObservation),
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
    mut pipeline: Pipeline,
    frames: LatestReceiver<Frame>,
    mut report: impl FnMut(FaceReport) + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    Builder::new().name("face".to_owned()).spawn(move || {
        loop {
            match frames.take(PATIENCE) {
                Ok(frame) => report(observe(&mut pipeline, &frame)),
                Err(NoValue::Timeout) => {}
                Err(NoValue::Closed) => return,
            }
        }
    })
}

/// A panic in a model's arithmetic costs one frame, not the daemon.
fn observe(pipeline: &mut Pipeline, frame: &Frame) -> FaceReport {
    match catch_unwind(AssertUnwindSafe(|| pipeline.observe(frame))) {
        Ok(Ok(observation)) => FaceReport::Observed(observation),
        Ok(Err(error)) => {
            tracing::warn!(%error, "frame could not be looked at");
            FaceReport::Fault(Fault::ModelRunFailed)
        }
        Err(_) => FaceReport::Fault(Fault::WorkerPanicked),
    }
}
