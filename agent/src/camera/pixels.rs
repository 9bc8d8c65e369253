//! Camera layouts to RGB. Never reads past the picture: a driver's buffer is longer than the picture in it, and
//! what follows can be an earlier person's.

use zhenyin_models::Frame;

use super::CameraError;

/// How a camera packs its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// One JPEG a frame.
    Mjpeg,
    /// Two pixels in four bytes: Y0 U Y1 V, BT.601, limited range (the V4L2 default for cameras).
    Yuyv,
    Rgb,
    Bgr,
}

impl Layout {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mjpeg => "MJPEG",
            Self::Yuyv => "YUYV",
            Self::Rgb => "RGB",
            Self::Bgr => "BGR",
        }
    }

    /// Makes a frame from the start of `buffer`; rows follow one another without padding.
    pub(super) fn decode(self, width: u32, height: u32, buffer: &[u8]) -> Result<Frame, CameraError> {
        let pixels = width as usize * height as usize;
        let picture = |length: usize| {
            buffer.get(..length).ok_or(CameraError::ShortFrame {
                layout: self.name(),
                width,
                height,
                expected: length,
                got: buffer.len(),
            })
        };
        let frame = match self {
            Self::Mjpeg => Frame::decode(buffer),
            Self::Yuyv => Frame::new(width, height, yuyv_to_rgb(picture(pixels * 2)?)),
            Self::Rgb => Frame::new(width, height, picture(pixels * 3)?.to_vec()),
            Self::Bgr => Frame::new(width, height, bgr_to_rgb(picture(pixels * 3)?)),
        };
        frame.map_err(CameraError::Unreadable)
    }
}

fn yuyv_to_rgb(yuyv: &[u8]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(yuyv.len() / 2 * 3);
    for pair in yuyv.as_chunks::<4>().0 {
        let [y0, u, y1, v] = *pair;
        rgb.extend_from_slice(&bt601(y0, u, v));
        rgb.extend_from_slice(&bt601(y1, u, v));
    }
    rgb
}

/// ITU-R BT.601 limited range to RGB in 8-bit fixed point.
fn bt601(y: u8, u: u8, v: u8) -> [u8; 3] {
    let luma = 298 * (i32::from(y) - 16);
    let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
    let clamp = |value: i32| ((value + 128) >> 8).clamp(0, 255) as u8;
    [clamp(luma + 409 * v), clamp(luma - 100 * u - 208 * v), clamp(luma + 516 * u)]
}

fn bgr_to_rgb(bgr: &[u8]) -> Vec<u8> {
    let mut rgb = bgr.to_vec();
    for pixel in rgb.as_chunks_mut::<3>().0 {
        pixel.swap(0, 2);
    }
    rgb
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: u32 = 32;
    const PIXELS: usize = 32 * 32;

    fn check(layout: Layout, unit: &[u8], expected: [u8; 3]) {
        let pixels_a_unit = if layout == Layout::Yuyv { 2 } else { 1 };
        let mut buffer = unit.repeat(PIXELS / pixels_a_unit);
        buffer.extend([0xEE; 500]);
        let frame = layout.decode(SIDE, SIDE, &buffer).unwrap();
        assert_eq!(frame.rgb(), expected.repeat(PIXELS), "{}", layout.name());
    }

    #[test]
    fn every_layout_gives_rgb_and_leaves_the_stale_tail_alone() {
        check(Layout::Rgb, &[1, 2, 3], [1, 2, 3]);
        check(Layout::Bgr, &[3, 2, 1], [1, 2, 3]);
        // Colour bars of BT.601: white, black, red, green, blue.
        check(Layout::Yuyv, &[235, 128, 235, 128], [255, 255, 255]);
        check(Layout::Yuyv, &[16, 128, 16, 128], [0, 0, 0]);
        check(Layout::Yuyv, &[81, 90, 81, 240], [255, 0, 0]);
        check(Layout::Yuyv, &[145, 54, 145, 34], [0, 255, 1]);
        check(Layout::Yuyv, &[41, 240, 41, 110], [0, 0, 255]);
    }

    #[test]
    fn a_short_buffer_is_named_not_padded() {
        let error = Layout::Yuyv.decode(SIDE, SIDE, &[0; 2047]).unwrap_err();
        assert_eq!(error.to_string(), "YUYV picture of 32x32 is cut off: 2047 of 2048 bytes");
        assert!(error.is_one_frame_only());
    }

    #[test]
    fn bytes_that_are_no_picture_spoil_one_frame() {
        let error = Layout::Mjpeg.decode(SIDE, SIDE, b"not a picture").unwrap_err();
        assert!(error.is_one_frame_only());
        assert!(std::error::Error::source(&error).is_some());
    }
}
