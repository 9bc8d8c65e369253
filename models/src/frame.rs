//! One picture in memory: decoded by content, turned upright, bounded in size, zeroed when dropped.
//! Never prints its pixels, never trusts a file name, never allocates by what a header claims.

use std::fmt;
use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::jpeg::{self, JpegFault};

/// Pixels, row by row from the top left, three bytes each: red, green, blue.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Frame {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

/// Why bytes are not a frame. Nothing is kept of a refused picture.
#[derive(Debug, Error)]
pub enum FrameError {
    #[error("picture is empty: 0 bytes")]
    Empty,
    #[error("picture file is too big: {bytes} bytes, at most {MAX_FILE_BYTES}")]
    TooManyBytes { bytes: usize },
    #[error("not a JPEG, PNG or PNM picture")]
    UnknownFormat,
    #[error("picture is {width}x{height}, at most {MAX_SIDE} a side are accepted")]
    TooLarge { width: u32, height: u32 },
    #[error("picture is {width}x{height}, at least {MIN_SIDE} a side are needed")]
    TooSmall { width: u32, height: u32 },
    #[error("picture is cut off: the JPEG ends before its end marker")]
    Truncated,
    #[error("picture is in print colours (CMYK): save it as RGB")]
    PrintColours,
    #[error("{width}x{height} RGB needs {expected} bytes, got {got}")]
    WrongLength { width: u32, height: u32, expected: usize, got: usize },
    #[error("picture cannot be decoded")]
    Undecodable(#[source] ImageError),
}

impl Frame {
    /// Takes `width * height * 3` bytes of 8-bit RGB. Sides must be within 32 to 8192 pixels.
    pub fn new(width: u32, height: u32, mut rgb: Vec<u8>) -> Result<Self, FrameError> {
        let expected = width as usize * height as usize * 3;
        let checked = check_size(width, height);
        if checked.is_ok() && rgb.len() == expected {
            return Ok(Self { width, height, rgb });
        }
        let got = rgb.len();
        rgb.zeroize();
        checked?;
        Err(FrameError::WrongLength { width, height, expected, got })
    }

    /// Decodes JPEG, PNG or PNM by what the bytes say. Bytes after a JPEG's end marker (a camera's stale
    /// buffer tail) are ignored; EXIF orientation is applied; grey and 16-bit become 8-bit RGB; alpha is dropped.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        if bytes.is_empty() {
            return Err(FrameError::Empty);
        }
        if bytes.len() > MAX_FILE_BYTES {
            return Err(FrameError::TooManyBytes { bytes: bytes.len() });
        }
        let format = image::guess_format(bytes).map_err(|_| FrameError::UnknownFormat)?;
        let bytes = if format == ImageFormat::Jpeg { jpeg_body(bytes)? } else { bytes };
        if !matches!(format, ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::Pnm) {
            return Err(FrameError::UnknownFormat);
        }
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        let mut limits = Limits::default();
        limits.max_alloc = Some(MAX_ALLOC_BYTES);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(FrameError::Undecodable)?;
        let (width, height) = decoder.dimensions();
        check_size(width, height)?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut picture = DynamicImage::from_decoder(decoder).map_err(FrameError::Undecodable)?;
        picture.apply_orientation(orientation);
        Self::from_picture(picture)
    }

    pub fn width(&self) -> u32 {
        self.width
    }

    pub fn height(&self) -> u32 {
        self.height
    }

    /// All pixels, `width * height * 3` bytes.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// A crop made by this crate: no lower bound on its size.
    pub(crate) fn crop_from(width: u32, height: u32, rgb: Vec<u8>) -> Self {
        debug_assert_eq!(rgb.len(), width as usize * height as usize * 3);
        Self { width, height, rgb }
    }

    /// Left and right exchanged.
    pub(crate) fn mirrored(&self) -> Self {
        let rows = self.rgb.chunks_exact(self.width as usize * 3);
        let rgb = rows.flat_map(|row| row.chunks_exact(3).rev().flatten().copied()).collect();
        Self::crop_from(self.width, self.height, rgb)
    }

    fn from_picture(picture: DynamicImage) -> Result<Self, FrameError> {
        if let DynamicImage::ImageRgb8(rgb) = picture {
            return Self::new(rgb.width(), rgb.height(), rgb.into_raw());
        }
        let rgb = picture.to_rgb8();
        wipe(picture);
        Self::new(rgb.width(), rgb.height(), rgb.into_raw())
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({}x{}, …)", self.width, self.height)
    }
}

fn check_size(width: u32, height: u32) -> Result<(), FrameError> {
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(FrameError::TooLarge { width, height });
    }
    if width < MIN_SIDE || height < MIN_SIDE {
        return Err(FrameError::TooSmall { width, height });
    }
    Ok(())
}

fn jpeg_body(bytes: &[u8]) -> Result<&[u8], FrameError> {
    let extent = jpeg::extent(bytes).map_err(|fault| match fault {
        JpegFault::NoEndMarker => FrameError::Truncated,
        JpegFault::NotSegments => FrameError::UnknownFormat,
    })?;
    if extent.components == 4 {
        return Err(FrameError::PrintColours);
    }
    Ok(&bytes[..extent.end])
}

/// Zeroes the decoder's picture after conversion; the conversion made a copy.
fn wipe(mut picture: DynamicImage) {
    if let Some(pixels) = picture.as_mut_luma8() {
        pixels.zeroize();
    } else if let Some(pixels) = picture.as_mut_luma_alpha8() {
        pixels.zeroize();
    } else if let Some(pixels) = picture.as_mut_rgba8() {
        pixels.zeroize();
    } else if let Some(pixels) = picture.as_mut_luma16() {
        pixels.zeroize();
    } else if let Some(pixels) = picture.as_mut_luma_alpha16() {
        pixels.zeroize();
    } else if let Some(pixels) = picture.as_mut_rgb16() {
        pixels.zeroize();
    } else if let Some(pixels) = picture.as_mut_rgba16() {
        pixels.zeroize();
    }
}

const MAX_SIDE: u32 = 8192;
/// Below this no network can find a face.
const MIN_SIDE: u32 = 32;
const MAX_FILE_BYTES: usize = 64 << 20;
/// 8192 x 8192 RGB is 192 MiB.
const MAX_ALLOC_BYTES: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_exchanges_left_and_right_only() {
        let frame = Frame::crop_from(3, 2, (0..18).collect());
        let mirrored = frame.mirrored();
        assert_eq!(mirrored.rgb()[..9], [6, 7, 8, 3, 4, 5, 0, 1, 2]);
        assert!(mirrored.mirrored() == frame);
    }

    #[test]
    fn pixels_are_never_printed() {
        let frame = Frame::new(32, 32, vec![123; 32 * 32 * 3]).unwrap();
        assert_eq!(format!("{frame:?}"), "Frame(32x32, …)");
    }

    #[test]
    fn length_must_fit_the_sides() {
        let error = Frame::new(40, 32, vec![0; 7]).unwrap_err();
        assert_eq!(error.to_string(), "40x32 RGB needs 3840 bytes, got 7");
        assert!(matches!(Frame::new(9000, 32, Vec::new()), Err(FrameError::TooLarge { .. })));
        assert!(matches!(Frame::new(32, 31, Vec::new()), Err(FrameError::TooSmall { .. })));
    }
}
