//! Is this face good enough to compare, and if not, the one thing to mend (elements after ISO/IEC 29794-5).
//! Judges light, contrast, sharpness, size, place, pose and whether the mouth is covered; never who it is, never whether it is alive.

use zhenyin_core::biometric::{Quality, QualityHint};

use crate::detect::Detection;
use crate::frame::Frame;

/// What was measured on one face, in the units of each field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measures {
    /// Mean luma of the crop's middle, 0 to 255.
    pub brightness: f32,
    /// Standard deviation of that luma.
    pub contrast: f32,
    /// Share of the crop's fine detail in its contrast, 0 (smooth) upwards.
    pub sharpness: f32,
    /// Distance between the eyes in frame pixels.
    pub eye_distance: f32,
    /// Face height over frame height.
    pub fill: f32,
    /// Share of the face box inside the frame, 0 to 1.
    pub inside: f32,
    /// How far the nose lies beside the middle between the eyes, in eye distances; 0 looks straight ahead.
    pub yaw: f32,
    /// How far down between eye line and mouth line the nose lies, 0 to 1; about 0.55 looks straight ahead.
    pub pitch: f32,
    /// Tilt of the line between the eyes in degrees.
    pub roll: f32,
    /// Detector score; low on covered faces.
    pub detection: f32,
    /// Detail from top to bottom about the mouth over that about the eyes; low when something smooth covers the mouth.
    pub mouth: f32,
}

/// Judgement of one face: usable when `hint` is `None`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assessment {
    pub quality: Quality,
    pub hint: Option<QualityHint>,
}

/// Measures one face on its frame and on its upright crop.
pub fn measure(frame: &Frame, face: &Detection, crop: &Frame) -> Measures {
    let luma = luma_of_middle(crop);
    let count = luma.values.len().max(1) as f32;
    let brightness = luma.values.iter().sum::<f32>() / count;
    let variance = luma.values.iter().map(|v| (v - brightness) * (v - brightness)).sum::<f32>() / count;
    let contrast = variance.sqrt();
    let [left_eye, right_eye, nose, left_mouth, right_mouth] = face.landmarks;
    let (across_x, across_y) = (right_eye.x - left_eye.x, right_eye.y - left_eye.y);
    let eye_distance = across_x.hypot(across_y).max(1e-3);
    let (along_x, along_y) = (across_x / eye_distance, across_y / eye_distance);
    let middle = ((left_eye.x + right_eye.x) / 2.0, (left_eye.y + right_eye.y) / 2.0);
    let mouth = ((left_mouth.x + right_mouth.x) / 2.0, (left_mouth.y + right_mouth.y) / 2.0);
    let below_eyes = |x: f32, y: f32| (y - middle.1) * along_x - (x - middle.0) * along_y;
    let beside = |x: f32, y: f32| (x - middle.0) * along_x + (y - middle.1) * along_y;
    let mouth_depth = below_eyes(mouth.0, mouth.1).max(1e-3);
    let bounds = face.bounds;
    let inside_x = (bounds.x + bounds.width).min(frame.width() as f32) - bounds.x.max(0.0);
    let inside_y = (bounds.y + bounds.height).min(frame.height() as f32) - bounds.y.max(0.0);
    Measures {
        brightness,
        contrast,
        // Fine detail of a smaller crop is coarser: four-neighbour differences grow with the square of the step.
        sharpness: luma.detail() / contrast.max(1.0) * (crop.width() as f32 / 112.0).powi(2),
        eye_distance,
        fill: bounds.height / frame.height() as f32,
        inside: inside_x.max(0.0) * inside_y.max(0.0) / bounds.area().max(1e-3),
        yaw: beside(nose.x, nose.y) / eye_distance,
        pitch: below_eyes(nose.x, nose.y) / mouth_depth,
        roll: across_y.atan2(across_x).to_degrees(),
        detection: face.score,
        mouth: detail_down(crop, MOUTH) / detail_down(crop, EYES).max(1.0),
    }
}

/// The weakest measure decides the quality; the first failing one, in the order in which a person can mend
/// them (place, then light, then pose, then detail), decides the hint.
pub fn assess(m: &Measures) -> Assessment {
    // Half of the pictures of a set of masked faces and under 1 % of those of bare ones have a `mouth` below 0.45.
    let uncovered = share(m.detection, 0.7, 0.9).min(share(m.mouth, 0.3, 0.9));
    // A face that hardly fits into the frame looks covered to the detector.
    let (fits, uncovered) = if m.fill > 0.6 { (uncovered, 1.0) } else { (1.0, uncovered) };
    let checks = [
        (QualityHint::ComeCloser, share(m.eye_distance, 18.0, 60.0)),
        (QualityHint::MoveBack, share(-m.fill, -1.1, -0.7)),
        (QualityHint::MoveToCentre, share(m.inside, 0.7, 0.95)),
        (QualityHint::TooDark, share(m.brightness, 30.0, 90.0)),
        (QualityHint::TooBright, share(-m.brightness, -235.0, -180.0)),
        (QualityHint::LowContrast, share(m.contrast, 10.0, 35.0)),
        (QualityHint::FaceTheScreen, share(-m.yaw.abs(), -0.4, -0.1)),
        (QualityHint::FaceTheScreen, share(-(m.pitch - 0.55).abs(), -0.35, -0.1)),
        (QualityHint::FaceTheScreen, share(-m.roll.abs(), -40.0, -10.0)),
        (QualityHint::Blurred, share(m.sharpness, 0.05, 0.25)),
        (QualityHint::MoveBack, fits),
        (QualityHint::Uncover, uncovered),
    ];
    let weakest = checks.iter().map(|(_, share)| *share).fold(1.0, f32::min);
    let hint = checks.iter().find(|(_, share)| *share < USABLE).map(|(hint, _)| *hint);
    Assessment { quality: Quality::new((weakest * 100.0) as u8), hint }
}

/// Where `value` lies from `worst` (0) to `good` (1).
fn share(value: f32, worst: f32, good: f32) -> f32 {
    let share = (value - worst) / (good - worst);
    if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
}

struct Luma {
    values: Vec<f32>,
    width: usize,
}

impl Luma {
    /// Root mean square of the four-neighbour Laplacian.
    fn detail(&self) -> f32 {
        let rows: Vec<&[f32]> = self.values.chunks_exact(self.width).collect();
        let mut sum = 0.0;
        let mut count = 0.0_f32;
        for three in rows.windows(3) {
            for x in 1..self.width.saturating_sub(1) {
                let around = three[0][x] + three[2][x] + three[1][x - 1] + three[1][x + 1];
                let edge = around - 4.0 * three[1][x];
                sum += edge * edge;
                count += 1.0;
            }
        }
        (sum / count.max(1.0)).sqrt()
    }
}

/// Luma (BT.601) of the middle three quarters in width and height: hair and background count less there.
fn luma_of_middle(crop: &Frame) -> Luma {
    let (width, height) = (crop.width() as usize, crop.height() as usize);
    let (columns, rows) = (width / 8..width - width / 8, height / 8..height - height / 8);
    let values = rows
        .flat_map(|y| columns.clone().map(move |x| (y * width + x) * 3))
        .map(|at| &crop.rgb()[at..at + 3])
        .map(luma)
        .collect();
    Luma { values, width: columns.len() }
}

/// Left, top, right and bottom of a part of the upright crop, in its hundred-and-twelfths (the ArcFace places).
const EYES: [usize; 4] = [26, 42, 86, 62];
const MOUTH: [usize; 4] = [36, 82, 76, 104];

/// Mean difference of luma between the rows above and below, over a part of the crop.
fn detail_down(crop: &Frame, [left, top, right, bottom]: [usize; 4]) -> f32 {
    let (width, height) = (crop.width() as usize, crop.height() as usize);
    let (left, right) = (left * width / 112, right * width / 112);
    let (top, bottom) = ((top * height / 112).max(1), (bottom * height / 112).min(height.saturating_sub(1)));
    let at = |x: usize, y: usize| luma(&crop.rgb()[(y * width + x) * 3..][..3]);
    let differences = (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y)));
    let (sum, count) = differences.fold((0.0, 0.0_f32), |(sum, count), (x, y)| {
        (sum + (at(x, y + 1) - at(x, y - 1)).abs(), count + 1.0)
    });
    sum / count.max(1.0)
}

/// Luma (BT.601) of one pixel.
fn luma(pixel: &[u8]) -> f32 {
    0.299 * f32::from(pixel[0]) + 0.587 * f32::from(pixel[1]) + 0.114 * f32::from(pixel[2])
}

/// Share from which on a measure is good enough.
const USABLE: f32 = 0.25;

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Measures = Measures {
        brightness: 130.0,
        contrast: 45.0,
        sharpness: 0.4,
        eye_distance: 80.0,
        fill: 0.5,
        inside: 1.0,
        yaw: 0.02,
        pitch: 0.56,
        roll: 2.0,
        detection: 0.95,
        mouth: 0.9,
    };

    fn check(measures: Measures, expected: Option<QualityHint>) {
        let Assessment { quality, hint } = assess(&measures);
        assert_eq!(hint, expected, "{measures:?}");
        assert_eq!(hint.is_none(), quality.value() >= 25, "{measures:?}");
    }

    #[test]
    fn one_hint_for_what_is_wrong() {
        check(GOOD, None);
        check(Measures { brightness: 20.0, ..GOOD }, Some(QualityHint::TooDark));
        check(Measures { brightness: 250.0, ..GOOD }, Some(QualityHint::TooBright));
        check(Measures { contrast: 5.0, ..GOOD }, Some(QualityHint::LowContrast));
        check(Measures { sharpness: 0.01, ..GOOD }, Some(QualityHint::Blurred));
        check(Measures { eye_distance: 15.0, ..GOOD }, Some(QualityHint::ComeCloser));
        check(Measures { fill: 1.2, ..GOOD }, Some(QualityHint::MoveBack));
        check(Measures { inside: 0.6, ..GOOD }, Some(QualityHint::MoveToCentre));
        check(Measures { yaw: -0.5, ..GOOD }, Some(QualityHint::FaceTheScreen));
        check(Measures { pitch: 0.95, ..GOOD }, Some(QualityHint::FaceTheScreen));
        check(Measures { detection: 0.74, fill: 0.65, ..GOOD }, Some(QualityHint::MoveBack));
        check(Measures { roll: 45.0, ..GOOD }, Some(QualityHint::FaceTheScreen));
        check(Measures { detection: 0.74, ..GOOD }, Some(QualityHint::Uncover));
        check(Measures { mouth: 0.3, ..GOOD }, Some(QualityHint::Uncover));
        check(Measures { sharpness: f32::NAN, ..GOOD }, Some(QualityHint::Blurred));
    }

    #[test]
    fn place_is_mended_before_light() {
        check(Measures { eye_distance: 10.0, brightness: 5.0, ..GOOD }, Some(QualityHint::ComeCloser));
    }
}
