//! The webcam: exposure, tone curve, lens softness, sharpening, noise and JPEG.
//! Never sees anything but the light it is given.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageFormat};
use zhenyin_models::Frame;

use super::mesh::V;
use super::random::Dice;

/// A webcam's faults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sensor {
    /// Deviation of the noise in steps of 255.
    pub noise: f32,
    /// 0 sharp to 1 soft.
    pub soft: f32,
    /// JPEG quality, 1 to 100; none sends raw pixels.
    pub jpeg: Option<u8>,
    /// 0 keeps the light as it is, 1 exposes every picture alike.
    pub exposure: f32,
}

impl Sensor {
    pub const WEBCAM: Self = Self { noise: 2.5, soft: 0.5, jpeg: Some(85), exposure: 0.6 };

    /// Any webcam, from good to poor.
    pub fn draw(seed: u64) -> Self {
        let mut d = Dice::new(seed, 8);
        Self {
            noise: d.between(0.8, 6.0),
            soft: d.between(0.0, 1.0),
            jpeg: d.chance(0.8).then(|| d.between(55.0, 95.0) as u8),
            exposure: d.between(0.3, 0.9),
        }
    }

    pub(super) fn capture(&self, light: &[V], width: usize, height: usize, seed: u64) -> Frame {
        let gain = self.gain(light);
        let curve = tone_curve();
        let tones: Vec<[f32; 3]> = light.iter().map(|c| c.map(|v| curve[index(v * gain)])).collect();
        let mut rgb = Vec::with_capacity(width * height * 3);
        let grain = Grain::new(seed);
        let mut at = seed as usize;
        let centre = 1.0 - self.soft * 0.55;
        let around = (1.0 - centre) / 4.0;
        for y in 0..height {
            let (above, below) = (y.saturating_sub(1) * width, (y + 1).min(height - 1) * width);
            // Each row starts elsewhere in the table of noise.
            at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut from = at >> 40;
            for x in 0..width {
                let (left, right) = (x.saturating_sub(1), (x + 1).min(width - 1));
                let row = y * width;
                let (m, l, r) = (tones[row + x], tones[row + left], tones[row + right]);
                let (u, d) = (tones[above + x], tones[below + x]);
                from += 1;
                let common = grain.at(from) * self.noise;
                for i in 0..3 {
                    let blurred = centre * m[i] + around * (l[i] + r[i] + u[i] + d[i]);
                    let own = grain.at(from * 3 + i) * self.noise * 0.6;
                    // Clamped by the conversion.
                    rgb.push((blurred + common + own + 0.5) as u8);
                }
            }
        }
        self.compressed(width, height, rgb)
    }

    fn gain(&self, light: &[V]) -> f32 {
        let some = light.iter().step_by(37);
        let count = some.len().max(1) as f32;
        let mean = some.map(|c| 0.3 * c[0].min(1.5) + 0.6 * c[1].min(1.5) + 0.1 * c[2].min(1.5)).sum::<f32>()
            / count;
        (0.30 / mean.max(0.01)).powf(self.exposure).clamp(0.4, 3.0)
    }

    fn compressed(&self, width: usize, height: usize, rgb: Vec<u8>) -> Frame {
        let (width, height) = (width as u32, height as u32);
        let Some(quality) = self.jpeg else {
            return Frame::new(width, height, rgb).expect("three bytes a pixel");
        };
        let bytes = encoded(width, height, &rgb, quality);
        let picture = image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg).expect("just encoded");
        Frame::new(width, height, picture.into_rgb8().into_raw()).expect("three bytes a pixel")
    }
}

/// The frame as a JPEG file; quality 1 to 100.
pub fn jpeg(frame: &Frame, quality: u8) -> Vec<u8> {
    encoded(frame.width(), frame.height(), frame.rgb(), quality)
}

fn encoded(width: u32, height: u32, rgb: &[u8], quality: u8) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
    image::ImageEncoder::write_image(encoder, rgb, width, height, ExtendedColorType::Rgb8)
        .expect("memory takes any picture");
    bytes.into_inner()
}

const CURVE: usize = 4096;
/// Light at the end of the curve; more is white.
const WHITE: f32 = 1.3;

fn index(light: f32) -> usize {
    ((light * (CURVE as f32 / WHITE)) as usize).min(CURVE - 1)
}

/// Gamma with a soft shoulder, 0 to 255.
fn tone_curve() -> Vec<f32> {
    (0..CURVE)
        .map(|i| {
            let light = i as f32 / CURVE as f32 * WHITE;
            let shoulder = light * (1.0 + light / (WHITE * WHITE)) / (1.0 + light);
            255.0 * (shoulder * 1.25).min(1.0).powf(1.0 / 2.1)
        })
        .collect()
}

/// A table of normal draws.
struct Grain(Vec<f32>);

impl Grain {
    fn new(seed: u64) -> Self {
        let mut d = Dice::new(seed, 9);
        Self((0..4096).map(|_| d.around(0.0, 1.0)).collect())
    }

    fn at(&self, index: usize) -> f32 {
        self.0[(index ^ (index >> 12)) & 4095]
    }
}
