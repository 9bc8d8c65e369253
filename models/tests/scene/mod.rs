//! Heads and sheets of paper as points in space, seen by a camera. Units are eye distances; the camera looks along z.
//! Repeatable: all chance comes from a seed.

#![allow(dead_code, reason = "every test file uses its own part; an expectation would fail in some")]

pub(crate) mod relief;

use zhenyin_models::Frame;
use zhenyin_models::resample::Point;

/// A small generator (SplitMix64): the same sequences on every machine.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn between(&mut self, least: f32, most: f32) -> f32 {
        least + (most - least) * (self.next() >> 40) as f32 / (1_u64 << 24) as f32
    }

    pub(crate) fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    /// Normal distribution: twelve uniform numbers.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.between(-0.5, 0.5)).sum()
    }
}

/// Degrees about the upright axis (positive: the person's left), the axis through the ears (positive: up) and the view.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pose {
    pub(crate) yaw: f32,
    pub(crate) pitch: f32,
    pub(crate) roll: f32,
}

impl Pose {
    pub(crate) fn times(self, share: f32) -> Self {
        Self { yaw: self.yaw * share, pitch: self.pitch * share, roll: self.roll * share }
    }

    /// Turns a point: x right in the picture, y down, z away from the camera.
    fn turn(self, [x, y, z]: [f32; 3]) -> [f32; 3] {
        let (sin, cos) = (-self.yaw).to_radians().sin_cos();
        let (x, z) = (cos * x + sin * z, cos * z - sin * x);
        let (sin, cos) = self.pitch.to_radians().sin_cos();
        let (y, z) = (cos * y + sin * z, cos * z - sin * y);
        let (sin, cos) = self.roll.to_radians().sin_cos();
        [cos * x - sin * y, sin * x + cos * y, z]
    }
}

/// Five landmarks of one person. The nose stands out by 0.38 to 0.52 eye distances (24 to 33 mm) over the eyes.
pub(crate) fn head(chance: &mut Chance) -> [[f32; 3]; 5] {
    let mouth = chance.between(0.34, 0.44);
    let (nose_down, mouth_down) = (chance.between(0.5, 0.65), chance.between(1.0, 1.2));
    let (nose_out, mouth_out) = (chance.between(0.38, 0.52), chance.between(0.02, 0.14));
    let aside = chance.between(-0.03, 0.03);
    let points = [
        [-0.5, 0.0, 0.0],
        [0.5, 0.0, 0.0],
        [aside, nose_down, -nose_out],
        [-mouth, mouth_down, -mouth_out],
        [mouth, mouth_down, -mouth_out],
    ];
    // Turned about the middle of the head, 1.4 eye distances behind the face.
    points.map(|[x, y, z]| [x, y - 0.5, z - 1.4])
}

/// A sheet that shows a head from the front, bent into a cylinder about the upright axis.
pub(crate) struct Sheet {
    /// One over the radius; an eye distance is 63 mm, so 0.7 is a radius of 9 cm.
    pub(crate) bend: f32,
}

impl Sheet {
    /// The head's points as printed.
    pub(crate) fn printed(&self, head: &[[f32; 3]; 5]) -> [[f32; 3]; 5] {
        head.map(|[x, y, z]| {
            // Photographed from 14 eye distances: what stands out is a little larger.
            let (x, y) = (x * 14.0 / (14.0 + z + 1.4), y * 14.0 / (14.0 + z + 1.4));
            if self.bend < 1e-3 {
                return [x, y, 0.0];
            }
            let radius = 1.0 / self.bend;
            [radius * (x / radius).sin(), y, radius * (1.0 - (x / radius).cos())]
        })
    }
}

/// What the camera sees from `place` (middle of the face in pixels, distance in eye distances).
pub(crate) fn project(points: &[[f32; 3]; 5], pose: Pose, place: (f32, f32, f32)) -> [Point; 5] {
    points.map(|point| {
        let [x, y, z] = pose.turn(point);
        let depth = place.2 + z;
        Point { x: place.0 + FOCAL * x / depth, y: place.1 + FOCAL * y / depth }
    })
}

/// Landmarks as a detector gives them: each coordinate off by `noise` eye distances (standard deviation).
pub(crate) fn seen(points: [Point; 5], noise: f32, chance: &mut Chance) -> [Point; 5] {
    let eyes = (points[1].x - points[0].x).hypot(points[1].y - points[0].y);
    points.map(|p| Point { x: p.x + eyes * noise * chance.normal(), y: p.y + eyes * noise * chance.normal() })
}

/// A square picture held before the camera on a grey wall, turned by `pose`, in perspective.
pub(crate) fn photo(picture: &Frame, pose: Pose) -> Frame {
    let side = picture.width().min(picture.height());
    let (right, down) = (pose.turn([1.0, 0.0, 0.0]), pose.turn([0.0, 1.0, 0.0]));
    let normal = pose.turn([0.0, 0.0, 1.0]);
    let rgb = (0..WIDTH * HEIGHT).flat_map(|i| {
        let ray = [
            ((i % WIDTH) as f32 - WIDTH as f32 / 2.0) / FOCAL,
            ((i / WIDTH) as f32 - HEIGHT as f32 / 2.0) / FOCAL,
            1.0,
        ];
        // Where the ray meets the plane through (0, 0, 9), in eye distances of a picture that is 5.6 of them wide.
        let t = 9.0 * normal[2] / dot(ray, normal);
        let on_sheet = [ray[0] * t, ray[1] * t, t - 9.0];
        let place = |along| (dot(on_sheet, along) / 5.6 + 0.5) * side as f32;
        pixel(picture, [side; 2], place(right), place(down))
    });
    Frame::new(WIDTH, HEIGHT, rgb.collect()).unwrap()
}

/// As a camera in poor light gives it: every value off by up to 8, all of them up to 6 % lighter or darker.
pub(crate) fn noisy(frame: &Frame, chance: &mut Chance) -> Frame {
    let light = chance.between(0.94, 1.06);
    let rgb = frame.rgb().iter().map(|&v| (f32::from(v) * light + chance.between(-8.0, 8.0)) as u8).collect();
    Frame::new(frame.width(), frame.height(), rgb).unwrap()
}

/// The frame slid to the right by so many pixels.
pub(crate) fn slid(frame: &Frame, right: f32) -> Frame {
    let (width, height) = (frame.width(), frame.height());
    let place = |i: u32| pixel(frame, [width, height], (i % width) as f32 - right, (i / width) as f32);
    Frame::new(width, height, (0..width * height).flat_map(place).collect()).unwrap()
}

/// Dark upright strokes held before the camera at these places.
pub(crate) fn marked(frame: &Frame, places: [Point; 2], wide: u32, high: u32) -> Frame {
    let on = |x: u32, y: u32| {
        places.iter().any(|p| {
            (x as f32 - p.x).abs() <= wide as f32 / 2.0 && (y as f32 - p.y).abs() <= high as f32 / 2.0
        })
    };
    let mut rgb = frame.rgb().to_vec();
    for (i, pixel) in (0..).zip(rgb.as_chunks_mut::<3>().0) {
        if on(i % frame.width(), i / frame.width()) {
            *pixel = [20; 3];
        }
    }
    Frame::new(frame.width(), frame.height(), rgb).unwrap()
}

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn pixel(picture: &Frame, [width, height]: [u32; 2], x: f32, y: f32) -> [u8; 3] {
    let inside = (0.0..width as f32 - 1.0).contains(&x) && (0.0..height as f32 - 1.0).contains(&y);
    if !inside {
        return [120; 3];
    }
    let (left, top) = (x as u32, y as u32);
    let (right_share, lower_share) = (x - left as f32, y - top as f32);
    std::array::from_fn(|channel| {
        let at =
            |x: u32, y: u32| f32::from(picture.rgb()[((y * picture.width() + x) * 3) as usize + channel]);
        let upper = at(left, top) * (1.0 - right_share) + at(left + 1, top) * right_share;
        let lower = at(left, top + 1) * (1.0 - right_share) + at(left + 1, top + 1) * right_share;
        (upper * (1.0 - lower_share) + lower * lower_share) as u8
    })
}

const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
/// Focal length in pixels: 60 degrees across.
const FOCAL: f32 = 554.0;
