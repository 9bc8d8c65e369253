//! The real camera, through nokhwa. Never copies the driver's buffer, never opens a virtual camera at a real desk.
//!
//! Of nokhwa's ways, three shape this file: a frame may be waited for without end (the supervisor's matter); the
//! buffer is longer than the frame and its tail is stale (pixels are decoded straight out of it, nothing is
//! kept); and its own MJPEG decoder needs a C library (ours is used).

use std::borrow::Cow;
use std::path::Path;

use nokhwa::Camera;
use nokhwa::utils::{
    ApiBackend, CameraFormat, CameraInfo, FrameFormat, RequestedFormat, RequestedFormatType,
};
use zeroize::Zeroize;
use zhenyin_models::Frame;

use super::pixels::Layout;
use super::{CameraError, FrameSource};

/// Which camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CameraSelector {
    /// The first one that gives pictures.
    Auto,
    /// `/dev/videoN`.
    Index(u32),
    /// A device node or a stable link to one, such as `/dev/v4l/by-id/…`.
    Path(String),
    /// A part of the name it gives itself.
    Name(String),
}

impl CameraSelector {
    /// Reads the word in the configuration: `auto`, a number, a path, or a part of a name.
    pub fn parse(word: &str) -> Self {
        match word.parse() {
            Ok(index) => Self::Index(index),
            Err(_) if word == "auto" || word.is_empty() => Self::Auto,
            Err(_) if word.starts_with('/') => Self::Path(word.to_owned()),
            Err(_) => Self::Name(word.to_owned()),
        }
    }

    fn word(&self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::Index(index) => index.to_string(),
            Self::Path(word) | Self::Name(word) => word.clone(),
        }
    }

    fn matches(&self, info: &CameraInfo) -> bool {
        let index = info.index().as_index().ok();
        match self {
            Self::Auto => true,
            Self::Index(wanted) => index == Some(*wanted),
            Self::Path(path) => index.is_some() && index == index_of_node(path),
            Self::Name(part) => info.human_name().contains(part.as_str()),
        }
    }
}

/// What to do with cameras that are programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VirtualCameras {
    /// At a desk: a program could play a recording of somebody.
    Refuse,
    /// In a source checkout, where the demonstration has nothing to protect.
    Allow,
}

/// A camera that is open and streaming; the light is on while this value lives.
pub struct NokhwaCamera {
    camera: Camera,
    layout: Layout,
    description: String,
}

impl NokhwaCamera {
    /// Opens the first camera that fits. With several candidates the reason of the last one is told.
    pub fn open(selector: &CameraSelector, virtuals: VirtualCameras) -> Result<Self, CameraError> {
        let absent = || CameraError::Absent { selector: selector.word() };
        let mut found = nokhwa::query(ApiBackend::Auto).map_err(|_| absent())?;
        found.retain(|info| selector.matches(info));
        found.sort_by_key(|info| info.index().as_index().unwrap_or(u32::MAX));
        let mut reason = absent();
        for info in found {
            match Self::open_one(&info, virtuals) {
                Ok(camera) => return Ok(camera),
                Err(error) => reason = error,
            }
        }
        Err(reason)
    }

    fn open_one(info: &CameraInfo, virtuals: VirtualCameras) -> Result<Self, CameraError> {
        let name = info.human_name();
        refuse_virtual(virtuals, &name, &[&name, info.description()])?;
        let any = RequestedFormat::with_formats(RequestedFormatType::None, &DECODABLE);
        let mut camera = Camera::new(info.index().clone(), any).map_err(|cause| cannot_open(&name, cause))?;
        // Only the open device tells its driver and bus.
        let opened = camera.info();
        refuse_virtual(virtuals, &name, &[&opened.human_name(), opened.description(), &opened.misc()])?;
        let offered = camera.compatible_camera_formats().map_err(|cause| cannot_open(&name, cause))?;
        if let Some(best) = best_format(&offered)
            && best != camera.camera_format()
            && camera.set_camera_requset(exactly(best)).is_err()
        {
            // A camera that offers a format and then refuses it still has the one it came with.
            camera.refresh_camera_format().map_err(|cause| cannot_open(&name, cause))?;
        }
        let format = camera.camera_format();
        let layout = layout_of(format.format()).ok_or(CameraError::NoFormat { name: name.clone() })?;
        camera.open_stream().map_err(|cause| cannot_open(&name, cause))?;
        let description = format!(
            "{name}, {}x{} {} at {}/s",
            format.width(),
            format.height(),
            layout.name(),
            format.frame_rate()
        );
        Ok(Self { camera, layout, description })
    }
}

impl FrameSource for NokhwaCamera {
    fn next_frame(&mut self) -> Result<Frame, CameraError> {
        let (width, height) = (self.camera.resolution().width(), self.camera.resolution().height());
        let buffer = self.camera.frame_raw().map_err(|cause| CameraError::Lost(cause.into()))?;
        let frame = self.layout.decode(width, height, &buffer);
        if let Cow::Owned(mut copy) = buffer {
            copy.zeroize();
        }
        frame
    }

    fn describe(&self) -> String {
        self.description.clone()
    }
}

const DECODABLE: [FrameFormat; 4] =
    [FrameFormat::YUYV, FrameFormat::MJPEG, FrameFormat::RAWRGB, FrameFormat::RAWBGR];

/// Parts of names, drivers and buses of cameras that are programs, in lower case.
const VIRTUAL_PARTS: [&str; 12] = [
    "akvcam",
    "droidcam",
    "dummy video",
    "iriun",
    "loopback",
    "manycam",
    "snap camera",
    "v4l2 loopback",
    "vcam",
    "virtual",
    "vivid",
    "xsplit",
];
/// As above, but too short to be looked for inside other words.
const VIRTUAL_WORDS: [&str; 4] = ["ndi", "obs", "vimc", "fake"];

fn refuse_virtual(virtuals: VirtualCameras, name: &str, told: &[&str]) -> Result<(), CameraError> {
    if virtuals == VirtualCameras::Refuse && told.iter().any(|text| is_virtual(text)) {
        return Err(CameraError::Virtual { name: name.to_owned() });
    }
    Ok(())
}

fn is_virtual(text: &str) -> bool {
    let text = text.to_lowercase();
    let mut words = text.split(|c: char| !c.is_alphanumeric());
    VIRTUAL_PARTS.iter().any(|part| text.contains(part)) || words.any(|word| VIRTUAL_WORDS.contains(&word))
}

/// nokhwa hands on the system's sentence only; the number at its end is the part that does not change.
fn cannot_open(name: &str, cause: nokhwa::NokhwaError) -> CameraError {
    let (name, text) = (name.to_owned(), cause.to_string());
    let cause = cause.into();
    if text.contains("(os error 16)") {
        return CameraError::Busy { name, cause };
    }
    if text.contains("(os error 2)") || text.contains("(os error 19)") {
        return CameraError::Absent { selector: name };
    }
    CameraError::Unusable { name, cause }
}

fn layout_of(format: FrameFormat) -> Option<Layout> {
    match format {
        FrameFormat::MJPEG => Some(Layout::Mjpeg),
        FrameFormat::YUYV => Some(Layout::Yuyv),
        FrameFormat::RAWRGB => Some(Layout::Rgb),
        FrameFormat::RAWBGR => Some(Layout::Bgr),
        FrameFormat::NV12 | FrameFormat::GRAY => None,
    }
}

/// Smooth enough first, then tall enough, then near 640x480 (a face at arm's length is some 150 pixels wide
/// there, and the networks want 112), then the cheapest to decode.
fn best_format(offered: &[CameraFormat]) -> Option<CameraFormat> {
    let rank = |format: &CameraFormat| {
        let pixels = i64::from(format.width()) * i64::from(format.height());
        let cheap = DECODABLE.iter().position(|f| *f == format.format()).map_or(0, |at| DECODABLE.len() - at);
        let rate = format.frame_rate().min(30);
        (format.frame_rate() >= 10, format.height() >= 480, -(pixels - 640 * 480).abs(), cheap, rate)
    };
    offered.iter().filter(|format| DECODABLE.contains(&format.format())).copied().max_by_key(rank)
}

fn exactly(format: CameraFormat) -> RequestedFormat<'static> {
    RequestedFormat::with_formats(RequestedFormatType::Exact(format), &DECODABLE)
}

/// The number of a device node, links followed.
fn index_of_node(path: &str) -> Option<u32> {
    let node = Path::new(path).canonicalize().ok()?;
    node.file_name()?.to_str()?.strip_prefix("video")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use nokhwa::utils::Resolution;

    use super::*;

    #[test]
    fn virtual_cameras_are_known_by_name_driver_or_bus() {
        let refused = [
            "vivid",
            "OBS Virtual Camera",
            "OBS Camera",
            "v4l2 loopback",
            "platform:v4l2loopback-000 (6, 1, 0)",
            "Dummy video device (0x0000)",
            "Virtual_Camera",
            "DroidCam",
            "NDI Video",
        ];
        for name in refused {
            assert!(is_virtual(name), "{name}");
            let error = refuse_virtual(VirtualCameras::Refuse, name, &[name]).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            assert!(refuse_virtual(VirtualCameras::Allow, name, &[name]).is_ok());
        }
        for name in ["HD Pro Webcam C920", "Integrated Camera: Integrated C", "uvcvideo", "Jobs Indigo Cam"] {
            assert!(!is_virtual(name), "{name}");
        }
    }

    #[test]
    fn the_word_in_the_configuration_is_understood() {
        let check = |word: &str, expected: CameraSelector| assert_eq!(CameraSelector::parse(word), expected);
        check("auto", CameraSelector::Auto);
        check("2", CameraSelector::Index(2));
        check("/dev/v4l/by-id/x", CameraSelector::Path("/dev/v4l/by-id/x".to_owned()));
        check("C920", CameraSelector::Name("C920".to_owned()));
    }

    #[test]
    fn the_best_format_is_smooth_then_tall_then_near() {
        let format = |w, h, kind, rate| CameraFormat::new(Resolution::new(w, h), kind, rate);
        let vga = format(640, 480, FrameFormat::YUYV, 30);
        let check = |offered: &[CameraFormat], expected| assert_eq!(best_format(offered), expected);
        check(&[], None);
        check(&[format(640, 480, FrameFormat::NV12, 30)], None);
        let slow = format(640, 480, FrameFormat::YUYV, 5);
        let small = format(320, 240, FrameFormat::YUYV, 30);
        let large = format(1920, 1080, FrameFormat::MJPEG, 30);
        let same_as_jpeg = format(640, 480, FrameFormat::MJPEG, 30);
        check(&[slow, small, large], Some(large));
        check(&[slow, small], Some(small));
        check(&[large, same_as_jpeg, vga, slow], Some(vga));
    }

    #[test]
    fn a_camera_that_is_not_there_is_absent() {
        let selector = CameraSelector::Name("no camera has this name".to_owned());
        let error = NokhwaCamera::open(&selector, VirtualCameras::Refuse).map(|_| ()).unwrap_err();
        assert!(matches!(error, CameraError::Absent { .. }), "{error:?}");
        assert_eq!(error.to_string(), "no camera found for `no camera has this name`");
    }

    #[test]
    fn the_systems_reason_decides_what_to_tell() {
        let check = |text: &str, expected: fn(&CameraError) -> bool| {
            let error = cannot_open("X", nokhwa::NokhwaError::OpenStreamError(text.to_owned()));
            assert!(expected(&error), "{error:?}");
        };
        check("Device or resource busy (os error 16)", |e| matches!(e, CameraError::Busy { .. }));
        check("No such device (os error 19)", |e| matches!(e, CameraError::Absent { .. }));
        check("Permission denied (os error 13)", |e| matches!(e, CameraError::Unusable { .. }));
    }
}
