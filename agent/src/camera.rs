//! The camera: where frames come from, why they may not come, and the thread that keeps them coming.
//! Never keeps, hashes or prints a picture, never decides anything about one, never runs unless wanted.

mod hardware;
mod pixels;
mod supervisor;

use std::error::Error;
use std::io;
use std::time::Duration;

use thiserror::Error;
use zhenyin_core::fault::Fault;
use zhenyin_models::{Frame, FrameError};

pub use hardware::{CameraSelector, NokhwaCamera, VirtualCameras};
pub use supervisor::{CameraReport, CameraThread, Patience};

/// One open camera, or whatever stands in for one. Opened, used and closed on one thread of its own, so it need
/// not be `Send`; it may block without bound in [`Self::next_frame`], for the supervisor abandons it then.
pub trait FrameSource {
    /// Waits for the next picture. After [`CameraError::is_one_frame_only`] the next call may succeed; after any
    /// other error the source is used up.
    fn next_frame(&mut self) -> Result<Frame, CameraError>;

    /// Name, size and format, for the status page and the log.
    fn describe(&self) -> String;
}

/// Why there is no picture.
#[derive(Debug, Error)]
pub enum CameraError {
    #[error("no camera found for `{selector}`")]
    Absent { selector: String },
    #[error("camera `{name}` is used by another program")]
    Busy {
        name: String,
        #[source]
        cause: Cause,
    },
    #[error("`{name}` is a virtual camera, which is refused at a real desk")]
    Virtual { name: String },
    #[error("camera `{name}` cannot be opened")]
    Unusable {
        name: String,
        #[source]
        cause: Cause,
    },
    #[error("camera `{name}` offers no usable picture format: YUYV, MJPEG, RGB or BGR is needed")]
    NoFormat { name: String },
    #[error("the camera is gone")]
    Lost(#[source] Cause),
    #[error("no picture from the camera for {after:?}")]
    Stalled { after: Duration },
    #[error("{layout} picture of {width}x{height} is cut off: {got} of {expected} bytes")]
    ShortFrame { layout: &'static str, width: u32, height: u32, expected: usize, got: usize },
    #[error("picture from the camera is unreadable")]
    Unreadable(#[source] FrameError),
    #[error("the capture thread panicked")]
    Panicked,
    #[error("the capture thread cannot be started")]
    Thread(#[source] io::Error),
}

/// What a backend says about a failure.
pub type Cause = Box<dyn Error + Send + Sync>;

impl CameraError {
    /// True when only this picture is spoiled and the source goes on.
    pub fn is_one_frame_only(&self) -> bool {
        matches!(self, Self::ShortFrame { .. } | Self::Unreadable(_))
    }

    pub fn fault(&self) -> Fault {
        match self {
            Self::Absent { .. } => Fault::CameraAbsent,
            Self::Busy { .. } => Fault::CameraBusy,
            Self::Virtual { .. } => Fault::CameraVirtual,
            Self::Unusable { .. } | Self::NoFormat { .. } => Fault::CameraUnusable,
            Self::Lost(_) => Fault::CameraLost,
            Self::Stalled { .. } => Fault::CameraStalled,
            Self::ShortFrame { .. } | Self::Unreadable(_) => Fault::FrameUnreadable,
            Self::Panicked | Self::Thread(_) => Fault::WorkerPanicked,
        }
    }
}
