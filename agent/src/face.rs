//! The inference thread: the newest frame in, one observation out, with the time of its capture; during a challenge
//! what a series of frames showed.
//! Never queues frames (the newest wins), never keeps one after it was looked at: only the face's place, to find it
//! again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use zhenyin_core::biometric::FaceObservation;
use zhenyin_core::challenge::{Turn, Turned};
use zhenyin_core::fault::Fault;
use zhenyin_core::time::Boottime;
use zhenyin_models::{Frame, ObserveError, Pipeline, TrackState, Turning};

use crate::latest::{LatestReceiver, NoValue};

/// What frames are wanted for from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaceTask {
    /// With more care for an enrolment: what is kept for long is worth twice the work.
    Look { enrolling: bool },
    /// Only frames captured since `asked` count.
    Challenge { asked: Boottime, turn: Turn },
}

/// What the inference thread has to say.
#[derive(Debug)]
pub enum FaceReport {
    Observed {
        captured: Boottime,
        observation: FaceObservation,
    },
    /// The end of the challenge of this time; one word for each.
    Turned {
        asked: Boottime,
        turned: Turned,
    },
    /// One frame could not be looked at; the next one may.
    Fault(Fault),
}

/// How often the thread looks whether the camera's side is gone.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time between two frames of a challenge: a challenge counts frames, ten a second, whatever the camera gives.
const PACE: Duration = Duration::from_millis(90);

/// Starts the thread. It ends when the sending side of `frames` is dropped. `report` must not block.
///
/// # Errors
/// When the system has no thread to give.
pub fn start(
    pipeline: Pipeline,
    frames: LatestReceiver<(Boottime, Frame)>,
    tasks: Receiver<FaceTask>,
    mut report: impl FnMut(FaceReport) + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    Builder::new().name("face".to_owned()).spawn(move || {
        let mut eye = Eye { pipeline, track: TrackState::default(), enrolling: false, challenge: None };
        loop {
            let taken = frames.take(PATIENCE);
            tasks.try_iter().for_each(|task| eye.begin(task));
            let said = match taken {
                Ok((captured, frame)) => eye.see(captured, &frame),
                Err(NoValue::Timeout) => eye.missed(),
                Err(NoValue::Closed) => return,
            };
            said.into_iter().for_each(&mut report);
        }
    })
}

struct Eye {
    pipeline: Pipeline,
    track: TrackState,
    enrolling: bool,
    challenge: Option<Underway>,
}

struct Underway {
    asked: Boottime,
    turning: Turning,
    /// The next frame that counts is captured then or later.
    due: Boottime,
}

impl Eye {
    fn begin(&mut self, task: FaceTask) {
        self.track = TrackState::default();
        self.challenge = match task {
            FaceTask::Look { enrolling } => {
                self.enrolling = enrolling;
                None
            }
            FaceTask::Challenge { asked, turn } => {
                Some(Underway { asked, turning: Turning::new(turn), due: asked })
            }
        };
    }

    /// A panic in a model's arithmetic costs one frame, not the daemon.
    fn see(&mut self, captured: Boottime, frame: &Frame) -> Option<FaceReport> {
        match catch_unwind(AssertUnwindSafe(|| self.look_at(captured, frame))) {
            Ok(Ok(report)) => report,
            Ok(Err(error)) => {
                tracing::warn!(%error, "frame could not be looked at");
                Some(FaceReport::Fault(Fault::ModelRunFailed))
            }
            Err(_) => Some(FaceReport::Fault(Fault::WorkerPanicked)),
        }
    }

    fn look_at(&mut self, captured: Boottime, frame: &Frame) -> Result<Option<FaceReport>, ObserveError> {
        let Some(underway) = &mut self.challenge else {
            let observation = if self.enrolling {
                self.pipeline.enrol_next(&mut self.track, frame)?
            } else {
                self.pipeline.observe_next(&mut self.track, frame)?
            };
            return Ok(Some(FaceReport::Observed { captured, observation }));
        };
        if captured < underway.due {
            return Ok(None);
        }
        underway.due = captured.after(PACE);
        let turned = underway.turning.take(&self.pipeline, frame)?;
        Ok(turned.and_then(|turned| self.ended(turned)))
    }

    /// No frame for a while: whoever comes next is looked for anew, and a turn with a gap is none.
    fn missed(&mut self) -> Option<FaceReport> {
        self.track = TrackState::default();
        self.ended(Turned::Interrupted)
    }

    fn ended(&mut self, turned: Turned) -> Option<FaceReport> {
        self.challenge.take().map(|Underway { asked, .. }| FaceReport::Turned { asked, turned })
    }
}
