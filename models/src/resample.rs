//! Pixels at other places: similarity warp, upright resize, crop. Rounds to 8 bits like the code the networks
//! were trained with. Never looks at what a picture shows.

use zeroize::Zeroize as _;

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
/// Bilinear. Where several source pixels fall on one, against aliasing, squares of them are averaged first, and what is
/// left of the reduction, if it is much, is the mean of several bilinear taps.
pub(crate) fn warp(frame: &Frame, to_source: Similarity, width: u32, height: u32) -> Frame {
    let side = (to_source.scale() + 0.25).clamp(1.0, MAX_SQUARE) as usize;
    if side == 1 {
        return sample(frame, to_source, width, height);
    }
    let (first, count) = squares_under(frame, to_source, (width, height), side);
    let reduced = mean_of_squares(frame, first, count, side);
    // The middle of a square of pixels 0 to side - 1 is (side - 1) / 2.
    let (scale, middle) = (1.0 / side as f32, (side as f32 - 1.0) / 2.0);
    let to_reduced = Similarity {
        a: to_source.a * scale,
        b: to_source.b * scale,
        tx: (to_source.tx - middle) * scale - first[0] as f32,
        ty: (to_source.ty - middle) * scale - first[1] as f32,
    };
    sample(&reduced, to_reduced, width, height)
}

/// First column and row, and count of columns and rows, of the squares of the frame that a warp reads.
fn squares_under(
    frame: &Frame,
    to_source: Similarity,
    (width, height): (u32, u32),
    side: usize,
) -> ([usize; 2], [usize; 2]) {
    let (right, bottom) = (width as f32, height as f32);
    let corners = [(-1.0, -1.0), (right, -1.0), (-1.0, bottom), (right, bottom)]
        .map(|(x, y)| to_source.apply(Point { x, y }));
    let span = |along: fn(Point) -> f32, pixels: u32| {
        let squares = (pixels as usize).div_ceil(side);
        let (least, greatest) = corners
            .into_iter()
            .map(|corner| along(corner) / side as f32)
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), at| (low.min(at), high.max(at)));
        // One square more on either side for the bilinear neighbour; a cast stops at zero.
        let first = ((least - 1.0) as usize).min(squares - 1);
        (first, ((greatest + 2.0) as usize).clamp(first + 1, squares) - first)
    };
    let ((left, columns), (top, rows)) = (span(|p| p.x, frame.width()), span(|p| p.y, frame.height()));
    ([left, top], [columns, rows])
}

/// Every pixel the mean of a square of `side` pixels; what of a square lies outside the picture is black.
fn mean_of_squares(
    frame: &Frame,
    [left, top]: [usize; 2],
    [columns, rows]: [usize; 2],
    side: usize,
) -> Frame {
    let stride = frame.width() as usize * 3;
    let from = left * side * 3;
    let to = (from + columns * side * 3).min(stride);
    let area = (side * side) as u32;
    let mut rgb = Vec::with_capacity(columns * rows * 3);
    let mut sums = vec![0_u16; columns * side * 3];
    let mut lines = frame.rgb().chunks_exact(stride).skip(top * side);
    for _ in 0..rows {
        sums.fill(0);
        for line in lines.by_ref().take(side) {
            sums.iter_mut().zip(&line[from..to]).for_each(|(sum, &v)| *sum += u16::from(v));
        }
        for square in sums.chunks_exact(side * 3) {
            let mut sum = [area / 2; 3];
            for pixel in square.as_chunks::<3>().0 {
                sum.iter_mut().zip(pixel).for_each(|(s, &v)| *s += u32::from(v));
            }
            rgb.extend(sum.map(|s| (s / area) as u8));
        }
    }
    sums.zeroize();
    Frame::crop_from(columns as u32, rows as u32, rgb)
}

/// The warp itself, for a small reduction.
fn sample(frame: &Frame, to_source: Similarity, width: u32, height: u32) -> Frame {
    let taps = (to_source.scale() - 0.25).ceil().clamp(1.0, MAX_TAPS) as u32;
    let offset = |tap: u32| (tap as f32 + 0.5) / taps as f32 - 0.5;
    let offsets: Vec<_> =
        (0..taps).flat_map(|ty| (0..taps).map(move |tx| (offset(tx), offset(ty)))).collect();
    let mut rgb = Vec::with_capacity(width as usize * height as usize * 3);
    for y in 0..height {
        for x in 0..width {
            let mut sum = [0.0_f32; 3];
            for (dx, dy) in &offsets {
                let seen = bilinear(frame, to_source.apply(Point { x: x as f32 + dx, y: y as f32 + dy }));
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
    let mut rgb = Vec::with_capacity(length * height as usize);
    rows.for_each(|row| rgb.extend_from_slice(&row[from..from + length]));
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
    // One value more than a row has: pixels are summed as four values, the fourth being the next pixel's first.
    let mut line = vec![0.0_f32; stride + 1];
    let mut resized = Vec::with_capacity(width as usize * 3);
    let mut rgb = Vec::with_capacity(width as usize * height as usize * 3);
    for (first, row_weights) in &rows {
        line.fill(0.0);
        for (row, &weight) in frame.rgb().chunks_exact(stride).skip(*first).zip(row_weights) {
            line.iter_mut().zip(row).for_each(|(sum, &v)| *sum += weight * f32::from(v));
        }
        for (first, column_weights) in &columns {
            let mut sum = [0.0_f32; 4];
            for (four, &weight) in line[first * 3..].windows(4).step_by(3).zip(column_weights) {
                sum.iter_mut().zip(four).for_each(|(s, v)| *s += weight * v);
            }
            resized.extend_from_slice(&sum[..3]);
        }
        rgb.extend(resized.iter().copied().map(round));
        resized.clear();
    }
    line.zeroize();
    resized.zeroize();
    Frame::crop_from(width, height, rgb)
}

fn bilinear(frame: &Frame, at: Point) -> [f32; 3] {
    let (left, top) = (floor(at.x), floor(at.y));
    let (right_share, lower_share) = (at.x - left as f32, at.y - top as f32);
    let shares = [
        (1.0 - right_share) * (1.0 - lower_share),
        right_share * (1.0 - lower_share),
        (1.0 - right_share) * lower_share,
        right_share * lower_share,
    ];
    let pixels = four_inside(frame, left, top).unwrap_or_else(|| {
        [(0, 0), (1, 0), (0, 1), (1, 1)]
            .map(|(dx, dy)| pixel(frame, left.saturating_add(dx), top.saturating_add(dy)).unwrap_or([0; 3]))
    });
    let mut sum = [0.0; 3];
    for (pixel, share) in pixels.iter().zip(shares) {
        sum.iter_mut().zip(pixel).for_each(|(s, &v)| *s += share * f32::from(v));
    }
    sum
}

/// The pixel at (`left`, `top`) and those right of it, below it and both, when none of them lies outside.
fn four_inside(frame: &Frame, left: i32, top: i32) -> Option<[[u8; 3]; 4]> {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let (left, top) = (usize::try_from(left).ok()?, usize::try_from(top).ok()?);
    if left + 1 >= width || top + 1 >= height {
        return None;
    }
    let from = &frame.rgb().as_chunks::<3>().0[top * width + left..][..width + 2];
    Some([from[0], from[1], from[width], from[width + 1]])
}

fn pixel(frame: &Frame, x: i32, y: i32) -> Option<[u8; 3]> {
    let (x, y) = (u32::try_from(x).ok()?, u32::try_from(y).ok()?);
    let inside = x < frame.width() && y < frame.height();
    inside.then(|| frame.rgb().as_chunks::<3>().0[(y * frame.width() + x) as usize])
}

/// As [`f32::floor`], which is a call on processors without the instruction.
fn floor(value: f32) -> i32 {
    let cut = value as i32;
    cut.saturating_sub(i32::from(cut as f32 > value))
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

/// Sums of a column of a square stay within 16 bits up to 257.
const MAX_SQUARE: f32 = 64.0;
/// More taps a direction gain nothing visible on a 112-pixel crop.
const MAX_TAPS: f32 = 8.0;

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

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

    /// Every pixel the mean of 16 x 16 bilinear taps: right, and too slow for a camera.
    fn dense(frame: &Frame, to_source: Similarity, side: u32) -> Vec<f32> {
        let offset = |tap: u32| (tap as f32 + 0.5) / 16.0 - 0.5;
        let mean = |x: u32, y: u32| {
            let mut sum = [0.0_f32; 3];
            for tap in 0..256 {
                let place = Point { x: x as f32 + offset(tap % 16), y: y as f32 + offset(tap / 16) };
                let seen = bilinear(frame, to_source.apply(place));
                sum.iter_mut().zip(seen).for_each(|(s, v)| *s += v / 256.0);
            }
            sum
        };
        (0..side).flat_map(|y| (0..side).flat_map(move |x| mean(x, y))).collect()
    }

    fn distance(got: &Frame, expected: &[f32]) -> f32 {
        let sum: f32 = got.rgb().iter().zip(expected).map(|(&g, e)| (f32::from(g) - e).abs()).sum();
        sum / expected.len() as f32
    }

    #[test]
    fn a_reducing_warp_averages_what_falls_on_a_pixel() {
        // Waves of many lengths as a picture has them, the shortest below what a reduced one can hold.
        let wave = |length: f32, x: u32, y: u32| (TAU / length * (0.8 * x as f32 + 0.6 * y as f32)).sin();
        let waves = [(50.0, 50.0), (30.0, 17.0), (20.0, 6.1), (15.0, 2.3)];
        let value =
            |x, y| waves.iter().fold(127.0, |sum, (height, length)| sum + height * wave(*length, x, y)) as u8;
        let rgb = (0..600).flat_map(|y| (0..600).flat_map(move |x| [value(x, y); 3])).collect();
        let frame = Frame::crop_from(600, 600, rgb);
        for scale in [1.0_f32, 1.3, 1.8, 2.0, 2.6, 3.4, 5.0, 9.0] {
            let (a, b) = (scale * 0.9, scale * 0.436);
            let to_source = Similarity { a, b, tx: 300.0 - 20.0 * (a - b), ty: 300.0 - 20.0 * (a + b) };
            let expected = dense(&frame, to_source, 40);
            let off = distance(&warp(&frame, to_source, 40, 40), &expected);
            assert!(off < 8.0, "{off} at {scale}");
            let control = distance(&one_tap(&frame, to_source), &expected);
            assert!(scale < 1.2 || control > 1.3 * off, "{control} {off} at {scale}");
        }
    }

    /// What a warp without averaging gives.
    fn one_tap(frame: &Frame, to_source: Similarity) -> Frame {
        let seen = |x: u32, y: u32| bilinear(frame, to_source.apply(Point { x: x as f32, y: y as f32 }));
        let rgb = (0..40).flat_map(|y| (0..40).flat_map(move |x| seen(x, y).map(round))).collect();
        Frame::crop_from(40, 40, rgb)
    }

    #[test]
    fn crop_keeps_the_pixels() {
        let part = crop(&ramp(40, 33), 5, 6, 3, 2);
        assert_eq!(part.rgb(), [5, 6, 7, 6, 6, 7, 7, 6, 7, 5, 7, 7, 6, 7, 7, 7, 7, 7]);
    }

    proptest! {
        #[test]
        fn any_warp_of_a_flat_picture_is_flat_or_black_beside_it(
            scale in 0.1_f32..90.0, turn in 0.0_f32..6.3,
            tx in prop_oneof![3 => -300.0_f32..300.0, 1 => -1e12_f32..1e12], ty in -300.0_f32..300.0
        ) {
            let flat = Frame::crop_from(97, 61, vec![200; 97 * 61 * 3]);
            let to_source = Similarity { a: scale * turn.cos(), b: scale * turn.sin(), tx, ty };
            let warped = warp(&flat, to_source, 24, 24);
            let reach = scale.max(1.0) * 2.0;
            for (i, pixel) in warped.rgb().as_chunks::<3>().0.iter().enumerate() {
                let at = to_source.apply(Point { x: (i % 24) as f32, y: (i / 24) as f32 });
                let depth = at.x.min(96.0 - at.x).min(at.y).min(60.0 - at.y);
                prop_assert!(depth < reach || *pixel == [200; 3], "{pixel:?} {depth} inside");
                prop_assert!(depth > -reach || *pixel == [0; 3], "{pixel:?} {depth} outside");
            }
        }

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
