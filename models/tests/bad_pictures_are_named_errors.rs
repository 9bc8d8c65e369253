//! Pictures that are damaged, hostile or unusual give a proper frame or a named error, never a panic and never
//! an allocation by what a header claims.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat};
use proptest::prelude::*;
use zhenyin_models::rehearsal::test_card;
use zhenyin_models::{Frame, FrameError};

type Expected = fn(&FrameError) -> bool;

fn card() -> DynamicImage {
    let card = test_card(64, 48);
    DynamicImage::ImageRgb8(image::RgbImage::from_raw(64, 48, card.rgb().to_vec()).unwrap())
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn jpeg() -> Vec<u8> {
    encoded(&card(), ImageFormat::Jpeg)
}

fn size_of(bytes: &[u8]) -> (u32, u32) {
    let frame = Frame::decode(bytes).unwrap();
    (frame.width(), frame.height())
}

/// A PNG that claims to be `side` x `side` and holds next to nothing.
fn png_header(side: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(side.to_be_bytes());
    bytes.extend(side.to_be_bytes());
    bytes.extend([8, 2, 0, 0, 0]);
    let crc = crc32(&bytes[12..]);
    bytes.extend(crc.to_be_bytes());
    bytes.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 })
    })
}

/// The EXIF segment that says "turn by a quarter", put behind the start marker.
fn with_orientation_six(jpeg: &[u8]) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
    let length = (exif.len() + 2) as u16;
    let mut bytes = jpeg[..2].to_vec();
    bytes.extend([0xff, 0xe1]);
    bytes.extend(length.to_be_bytes());
    bytes.append(&mut exif);
    bytes.extend(&jpeg[2..]);
    bytes
}

#[test]
fn unusual_but_whole_pictures_become_frames() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Pnm] {
        assert_eq!(size_of(&encoded(&card(), format)), (64, 48), "{format:?}");
    }
    let variants = [
        DynamicImage::ImageRgba8(card().to_rgba8()),
        DynamicImage::ImageLuma8(card().to_luma8()),
        DynamicImage::ImageLumaA8(card().to_luma_alpha8()),
        DynamicImage::ImageLuma16(card().to_luma16()),
        DynamicImage::ImageRgb16(card().to_rgb16()),
        DynamicImage::ImageRgba16(card().to_rgba16()),
    ];
    for picture in variants {
        assert_eq!(size_of(&encoded(&picture, ImageFormat::Png)), (64, 48), "{:?}", picture.color());
    }
    let mut grey = Vec::new();
    JpegEncoder::new(&mut grey).encode_image(&card().to_luma8()).unwrap();
    assert_eq!(size_of(&grey), (64, 48));
    assert_eq!(size_of(&with_orientation_six(&jpeg())), (48, 64), "a quarter turn swaps the sides");
}

#[test]
fn a_stale_tail_changes_nothing() {
    let clean = Frame::decode(&jpeg()).unwrap();
    let mut with_tail = jpeg();
    with_tail.extend(std::iter::repeat_n([0xff, 0xd8, 0x5a, 0xff, 0xd9], 20_000).flatten());
    assert!(Frame::decode(&with_tail).unwrap() == clean);
}

#[test]
fn damage_has_a_name() {
    let print_colours = {
        let mut bytes = jpeg();
        let header = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        bytes[header + 9] = 4;
        bytes
    };
    let half = jpeg()[..jpeg().len() / 2].to_vec();
    let tiny = encoded(&card().crop_imm(0, 0, 1, 1), ImageFormat::Png);
    let mut wrong_sum = encoded(&card(), ImageFormat::Png);
    wrong_sum[20] ^= 1;
    let cases: [(&str, Vec<u8>, Expected); 10] = [
        ("empty", Vec::new(), |e| matches!(e, FrameError::Empty)),
        ("text", b"this is not a picture".to_vec(), |e| matches!(e, FrameError::UnknownFormat)),
        ("gif", b"GIF89a\x10\0\x10\0".to_vec(), |e| matches!(e, FrameError::UnknownFormat)),
        ("cut in half", half, |e| matches!(e, FrameError::Truncated)),
        ("start marker only", jpeg()[..20].to_vec(), |e| matches!(e, FrameError::Truncated)),
        ("print colours", print_colours, |e| matches!(e, FrameError::PrintColours)),
        ("huge header", png_header(60_000), |e| matches!(e, FrameError::TooLarge { width: 60_000, .. })),
        ("one pixel", tiny, |e| matches!(e, FrameError::TooSmall { width: 1, height: 1 })),
        ("wrong checksum", wrong_sum, |e| matches!(e, FrameError::Undecodable(_))),
        ("header without picture", png_header(64), |e| matches!(e, FrameError::Undecodable(_))),
    ];
    for (name, bytes, expected) in cases {
        let error = Frame::decode(&bytes).expect_err(name);
        assert!(expected(&error), "{name}: {error:?}");
    }
    let pnm = Frame::decode(b"P6 60000 60000 255\n").unwrap_err();
    assert!(matches!(pnm, FrameError::TooLarge { .. } | FrameError::Undecodable(_)), "{pnm:?}");
}

#[test]
fn the_shared_folder_of_bad_pictures_gives_frames_or_names() {
    let Some(folder) = common::shared("faces/dev/bad") else { return };
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let result = Frame::decode(&std::fs::read(&path).unwrap());
        let refused = ["badcrc", "bomb", "cmyk", "empty", "text", "tiny", "truncated"];
        if refused.iter().any(|part| name.starts_with(part)) {
            let error = result.expect_err(&name).to_string();
            assert!(!error.is_empty(), "{name}");
        } else {
            let frame = result.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!((frame.width(), frame.height()), (250, 250), "{name}");
        }
        seen += 1;
    }
    assert!(seen >= 15, "only {seen} bad pictures");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn flipped_bytes_never_panic(at in proptest::collection::vec((0_usize..3000, any::<u8>()), 1..20), png: bool) {
        let mut bytes = encoded(&card(), if png { ImageFormat::Png } else { ImageFormat::Jpeg });
        for (place, value) in at {
            let place = place % bytes.len();
            bytes[place] = value;
        }
        if let Ok(frame) = Frame::decode(&bytes) {
            prop_assert_eq!(frame.rgb().len(), (frame.width() * frame.height() * 3) as usize);
        }
    }

    #[test]
    fn every_cut_is_refused(cut in 0_usize..2000) {
        let bytes = jpeg();
        let cut = cut % bytes.len();
        prop_assert!(Frame::decode(&bytes[..cut]).is_err());
    }
}
