//! Pixels at other places: similarity warp, upright resize, crop. Rounds to 8 bits like the code the networks
//! were trained with. Never looks at what a picture shows.

use crate::frame::Frame;

/// Place in a picture, in pixels; (0, 0) is the centre of the top left pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub x: f32,
    pub y: f32,
}

/// Upright rectangle in pixels; may reach beyond the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rect {
    pub x: f32,
    pub y: f32,
    pub width: f32,
    pub height: f32,
}

impl Rect {
    pub fn area(self) -> f32 {
        self.width.max(0.0) * self.height.max(0.0)
    }

    /// Overlap divided by union, 0 to 1.
    pub(crate) fn overlap(self, other: Self) -> f32 {
        let width = (self.x + self.width).min(other.x + other.width) - self.x.max(other.x);
        let height = (self.y + self.height).min(other.y + other.height) - self.y.max(other.y);
        let shared = width.max(0.0) * height.max(0.0);
        let union = self.area() + other.area() - shared;
        if union > 0.0 { shared / union } else { 0.0 }
    }
}

/// Rotation, uniform scale and shift: x' = a·x − b·y + tx, y' = b·x + a·y + ty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Similarity {
    pub(crate) a: f32,
    pub(crate) b: f32,
    pub(crate) tx: f32,
    pub(crate) ty: f32,
}

impl Similarity {
    pub(crate) fn apply(self, p: Point) -> Point {
        Point { x: self.a * p.x - self.b * p.y + self.tx, y: self.b * p.x + self.a * p.y + self.ty }
    }

    pub(crate) fn scale(self) -> f32 {
        self.a.hypot(self.b)
    }

    /// `None` when the scale is zero or not finite.
    pub(crate) fn inverse(self) -> Option<Self> {
        let square = self.a * self.a + self.b * self.b;
        if !square.is_normal() {
            return None;
        }
        let (a, b) = (self.a / square, -self.b / square);
        let tx = -(a * self.tx - b * self.ty);
        let ty = -(b * self.tx + a * self.ty);
        Some(Self { a, b, tx, ty })
    }
}

/// Fills `width` x `height` pixels by reading `frame` at `to_source` of each; black outside the picture.
/// Bilinear; where several source pixels fall on one, the mean of as many bilinear taps, against aliasing.
pub(crate) fn warp(frame: &Frame, to_source: Similarity, width: u32, height: u32) -> Frame {
    let taps = (to_source.scale() - 0.25).ceil().clamp(1.0, MAX_TAPS) as u32;
    let offset = |tap: u32| (tap as f32 + 0.5) / taps as f32 - 0.5;
    let mut rgb = Vec::with_capacity(width as usize * height as usize * 3);
    for y in 0..height {
        for x in 0..width {
            let mut sum = [0.0_f32; 3];
            for (ty, tx) in (0..taps).flat_map(|ty| (0..taps).map(move |tx| (ty, tx))) {
                let place = Point { x: x as f32 + offset(tx), y: y as f32 + offset(ty) };
                let seen = bilinear(frame, to_source.apply(place));
                sum.iter_mut().zip(seen).for_each(|(s, v)| *s += v);
            }
            rgb.extend(sum.map(|s| round(s / (taps * taps) as f32)));
        }
    }
    Frame::crop_from(width, height, rgb)
}

/// The pixels from (`left`, `top`), which must lie inside the picture with their `width` and `height`.
pub(crate) fn crop(frame: &Frame, left: u32, top: u32, width: u32, height: u32) -> Frame {
    let stride = frame.width() as usize * 3;
    let (from, length) = (left as usize * 3, width as usize * 3);
    let rows = frame.rgb().chunks_exact(stride).skip(top as usize).take(height as usize);
    let rgb = rows.flat_map(|row| &row[from..from + length]).copied().collect();
    Frame::crop_from(width, height, rgb)
}

/// How a resize weighs source pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// Two taps a direction, aliasing when it shrinks: what plain `resize` of common vision code does.
    Bilinear,
    /// Mean of the covered area when it shrinks, bilinear when it grows.
    Area,
}

/// Stretches the whole picture to `width` x `height`.
pub(crate) fn resize(frame: &Frame, width: u32, height: u32, filter: Filter) -> Frame {
    let columns = weights(frame.width(), width, filter);
    let rows = weights(frame.height(), height, filter);
    let stride = frame.width() as usize * 3;
    let mut line = vec![0.0_f32; stride];
    let mut rgb = Vec::with_capacity(width as usize * height as usize * 3);
    for (first, row_weights) in &rows {
        line.fill(0.0);
        for (row, &weight) in frame.rgb().chunks_exact(stride).skip(*first).zip(row_weights) {
            line.iter_mut().zip(row).for_each(|(sum, &v)| *sum += weight * f32::from(v));
        }
        for (first, column_weights) in &columns {
            let mut sum = [0.0_f32; 3];
            for (pixel, &weight) in line[first * 3..].chunks_exact(3).zip(column_weights) {
                sum.iter_mut().zip(pixel).for_each(|(s, v)| *s += weight * v);
            }
            rgb.extend(sum.map(round));
        }
    }
    Frame::crop_from(width, height, rgb)
}

fn bilinear(frame: &Frame, at: Point) -> [f32; 3] {
    let (left, top) = (at.x.floor(), at.y.floor());
    let (right_share, lower_share) = (at.x - left, at.y - top);
    let (left, top) = (left as i64, top as i64);
    let mut sum = [0.0; 3];
    for (dx, dy, share) in [
        (0, 0, (1.0 - right_share) * (1.0 - lower_share)),
        (1, 0, right_share * (1.0 - lower_share)),
        (0, 1, (1.0 - right_share) * lower_share),
        (1, 1, right_share * lower_share),
    ] {
        if let Some(pixel) = pixel(frame, left + dx, top + dy) {
            sum.iter_mut().zip(pixel).for_each(|(s, &v)| *s += share * f32::from(v));
        }
    }
    sum
}

fn pixel(frame: &Frame, x: i64, y: i64) -> Option<&[u8]> {
    let (width, height) = (i64::from(frame.width()), i64::from(frame.height()));
    if !(0..width).contains(&x) || !(0..height).contains(&y) {
        return None;
    }
    let at = (y * width + x) as usize * 3;
    frame.rgb().get(at..at + 3)
}

/// For every target pixel: the first source pixel and the weights from there on, which sum to one.
fn weights(source: u32, target: u32, filter: Filter) -> Vec<(usize, Vec<f32>)> {
    let step = f64::from(source) / f64::from(target);
    let last = f64::from(source) - 1.0;
    (0..target)
        .map(|i| {
            if filter == Filter::Area && step > 1.0 {
                return area_weights(f64::from(i) * step, (f64::from(i) + 1.0) * step, source);
            }
            let at = ((f64::from(i) + 0.5) * step - 0.5).clamp(0.0, last);
            let share = (at - at.floor()) as f32;
            let taps = if share > 0.0 { vec![1.0 - share, share] } else { vec![1.0] };
            (at.floor() as usize, taps)
        })
        .collect()
}

fn area_weights(from: f64, to: f64, source: u32) -> (usize, Vec<f32>) {
    let (first, end) = (from.floor() as u32, (to.ceil() as u32).min(source));
    let covered = |p: u32| (to.min(f64::from(p) + 1.0) - from.max(f64::from(p))).max(0.0);
    let whole: f64 = (first..end).map(covered).sum();
    (first as usize, (first..end).map(|p| (covered(p) / whole) as f32).collect())
}

fn round(value: f32) -> u8 {
    (value + 0.5) as u8
}

/// More taps a direction gain nothing visible on a 112-pixel crop.
const MAX_TAPS: f32 = 8.0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ramp(width: u32, height: u32) -> Frame {
        let rgb = (0..height).flat_map(|y| (0..width).flat_map(move |x| [x as u8, y as u8, 7])).collect();
        Frame::crop_from(width, height, rgb)
    }

    #[test]
    fn same_size_changes_nothing() {
        for filter in [Filter::Bilinear, Filter::Area] {
            assert!(resize(&ramp(40, 33), 40, 33, filter) == ramp(40, 33));
        }
        let identity = Similarity { a: 1.0, b: 0.0, tx: 0.0, ty: 0.0 };
        assert!(warp(&ramp(40, 33), identity, 40, 33) == ramp(40, 33));
    }

    #[test]
    fn area_averages_what_bilinear_skips() {
        let stripes: Vec<u8> = (0..64 * 64).flat_map(|i| [if i % 4 == 0 { 200 } else { 0 }; 3]).collect();
        let stripes = Frame::crop_from(64, 64, stripes);
        assert!(resize(&stripes, 16, 16, Filter::Area).rgb().iter().all(|&v| v == 50));
        assert!(resize(&stripes, 16, 16, Filter::Bilinear).rgb().iter().all(|&v| v != 50));
    }

    #[test]
    fn crop_keeps_the_pixels() {
        let part = crop(&ramp(40, 33), 5, 6, 3, 2);
        assert_eq!(part.rgb(), [5, 6, 7, 6, 6, 7, 7, 6, 7, 5, 7, 7, 6, 7, 7, 7, 7, 7]);
    }

    proptest! {
        #[test]
        fn inverse_undoes(a in 0.1_f32..3.0, b in -3.0_f32..3.0, tx in -99.0_f32..99.0, x in -99.0_f32..99.0) {
            let forth = Similarity { a, b, tx, ty: -tx };
            let back = forth.inverse().unwrap().apply(forth.apply(Point { x, y: 3.0 }));
            prop_assert!((back.x - x).abs() < 0.01 && (back.y - 3.0).abs() < 0.01);
        }

        #[test]
        fn flat_colour_stays(width in 1_u32..90, height in 1_u32..90, value: u8) {
            let flat = Frame::crop_from(37, 41, vec![value; 37 * 41 * 3]);
            for filter in [Filter::Bilinear, Filter::Area] {
                prop_assert!(resize(&flat, width, height, filter).rgb().iter().all(|&v| v == value));
            }
        }
    }
}
