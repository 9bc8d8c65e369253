//! A camera that plays recorded frames: whoever the stage shows is "in front of it".
//! Never part of a shipped program; the agent takes it through the same seam as a real camera.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zhenyin::camera::{CameraError, FrameSource};
use zhenyin_models::Frame;

/// What the camera sees. Clones share the same stage.
#[derive(Clone, Default)]
pub struct Stage {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    scene: Mutex<Scene>,
    changed: Condvar,
}

#[derive(Default)]
struct Scene {
    frames: Vec<Frame>,
    next: usize,
    /// The camera is pulled out.
    gone: bool,
}

/// Frame period: 20 frames a second, as an ordinary webcam indoors.
const PERIOD: Duration = Duration::from_millis(50);

impl Stage {
    /// Plays these frames round and round.
    pub fn show(&self, frames: Vec<Frame>) {
        self.change(|scene| *scene = Scene { frames, next: 0, gone: false });
    }

    /// Nobody in view.
    pub fn clear(&self) {
        self.show(Vec::new());
    }

    /// Pulls the camera out, or puts it back.
    pub fn unplug(&self, gone: bool) {
        self.change(|scene| scene.gone = gone);
    }

    /// Opens a camera on this stage.
    pub fn open(&self) -> Result<Box<dyn FrameSource>, CameraError> {
        if self.lock().gone {
            return Err(CameraError::Absent { selector: "recorded".to_owned() });
        }
        Ok(Box::new(RecordedCamera { stage: self.clone() }))
    }

    fn change(&self, change: impl FnOnce(&mut Scene)) {
        change(&mut self.lock());
        self.shared.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Scene> {
        self.shared.scene.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct RecordedCamera {
    stage: Stage,
}

impl FrameSource for RecordedCamera {
    fn next_frame(&mut self) -> Result<Frame, CameraError> {
        // One period passes as on a real sensor; a change of scene ends it early.
        let scene = self.stage.lock();
        let waited = self.stage.shared.changed.wait_timeout(scene, PERIOD);
        let (mut scene, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if scene.gone {
            return Err(CameraError::Lost("the recorded camera was pulled out".into()));
        }
        if scene.frames.is_empty() {
            return Ok(empty_room());
        }
        let index = scene.next % scene.frames.len();
        scene.next += 1;
        Ok(scene.frames[index].clone())
    }

    fn describe(&self) -> String {
        "recorded subjects".to_owned()
    }
}

/// A grey wall with soft light from one side.
fn empty_room() -> Frame {
    let (width, height) = (320_u32, 240_u32);
    let rgb = (0..width * height)
        .flat_map(|i| {
            let shade = 120 + u8::try_from((i % width) * 40 / width).unwrap_or(0);
            [shade, shade, shade.saturating_sub(6)]
        })
        .collect();
    Frame::new(width, height, rgb).expect("three bytes a pixel")
}
