//! Presentation attack instruments made from pictures, as a camera would see them (ISO/IEC 30107: PAI species).
//! Never a measure of security: they show that the wiring refuses, not that every attacker fails.

mod mask;
mod phone;

use zhenyin_models::Frame;

pub use mask::{Points, cut_mask};
pub use phone::{on_screen, phone_replay};

/// Size of the frame that shows the attack.
const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
/// Side of the sheet of paper in that frame, and its white border.
const SHEET: f32 = 430.0;
const BORDER: f32 = 26.0;
/// Nobody holds a sheet quite straight.
const TILT: f32 = 0.09;
/// Pixels of one halftone cell: an office printer seen from an arm's length.
const CELL: f32 = 3.2;

/// A printed photo held before the camera: sheet with border, pale inks, halftone dots, a hand's tilt.
pub fn printed_photo(picture: &Frame) -> Frame {
    let (sin, cos) = TILT.sin_cos();
    let mut rgb = Vec::with_capacity((WIDTH * HEIGHT * 3) as usize);
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let (dx, dy) = (x as f32 - WIDTH as f32 / 2.0, y as f32 - HEIGHT as f32 / 2.0);
            let (u, v) = (cos * dx + sin * dy + SHEET / 2.0, cos * dy - sin * dx + SHEET / 2.0);
            rgb.extend(if (0.0..SHEET).contains(&u) && (0.0..SHEET).contains(&v) {
                sheet(picture, u, v)
            } else {
                wall(x, y)
            });
        }
    }
    Frame::new(WIDTH, HEIGHT, rgb).expect("three bytes a pixel")
}

/// What the camera sees when the whole scene of an attack is one flat thing and is turned about its middle by hand:
/// yaw and pitch in degrees, with the signs of a head.
pub fn turned_by_hand(scene: &Frame, [yaw, pitch]: [f32; 2]) -> Frame {
    let (sin_yaw, cos_yaw) = yaw.to_radians().sin_cos();
    let (sin_pitch, cos_pitch) = pitch.to_radians().sin_cos();
    let (width, height) = (scene.width(), scene.height());
    let middle = (width as f32 / 2.0, height as f32 / 2.0);
    let mut rgb = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            let (x, y) = ((x as f32 - middle.0) / ARM, (y as f32 - middle.1) / ARM);
            // The ray (x, y, 1) meets the turned plane through (0, 0, 1).
            let right = [cos_yaw, 0.0, sin_yaw];
            let down = [sin_yaw * sin_pitch, cos_pitch, -cos_yaw * sin_pitch];
            let normal = [-sin_yaw * cos_pitch, sin_pitch, cos_yaw * cos_pitch];
            let depth = normal[2] / (normal[0] * x + normal[1] * y + normal[2]);
            let along = |axis: [f32; 3]| axis[0] * x * depth + axis[1] * y * depth + axis[2] * (depth - 1.0);
            let (u, v) = (middle.0 + ARM * along(right), middle.1 + ARM * along(down));
            let (u, v) = (u / (width - 1) as f32, v / (height - 1) as f32);
            let inside = depth > 0.0 && (0.0..=1.0).contains(&u) && (0.0..=1.0).contains(&v);
            rgb.extend(if inside { sample(scene, u, v).map(|c| c as u8) } else { [110; 3] });
        }
    }
    Frame::new(width, height, rgb).expect("three bytes a pixel")
}

/// Focal length of the camera in pixels: 60 degrees across.
const ARM: f32 = 554.0;

/// Where [`printed_photo`] shows a point of the picture.
pub fn on_sheet(picture: &Frame, [x, y]: [f32; 2]) -> [f32; 2] {
    let scale = SHEET - 2.0 * BORDER;
    let (u, v) = (x / (picture.width() - 1) as f32 - 0.5, y / (picture.height() - 1) as f32 - 0.5);
    tilted([u / breadth(picture) * scale, v * scale], TILT)
}

/// Share of the picture's width that fills a square sheet: nobody prints a face squashed.
fn breadth(picture: &Frame) -> f32 {
    (picture.height() as f32 / picture.width() as f32).min(1.0)
}

/// The place in the frame of a point of something held in its middle.
fn tilted([u, v]: [f32; 2], tilt: f32) -> [f32; 2] {
    let (sin, cos) = tilt.sin_cos();
    [WIDTH as f32 / 2.0 + cos * u - sin * v, HEIGHT as f32 / 2.0 + sin * u + cos * v]
}

fn wall(x: u32, y: u32) -> [u8; 3] {
    let shade = (105 + (x * 30 / WIDTH) + (y * 12 / HEIGHT)) as u8;
    [shade, shade - 4, shade - 12]
}

fn sheet(picture: &Frame, u: f32, v: f32) -> [u8; 3] {
    // Light falls on the sheet from one side; paper is never evenly bright.
    let light = 1.0 - 0.12 * (u / SHEET) + 0.05 * (v / SHEET);
    let picture_area = BORDER..SHEET - BORDER;
    if !picture_area.contains(&u) || !picture_area.contains(&v) {
        return [236.0, 234.0, 226.0].map(|paper| (paper * light).clamp(0.0, 255.0) as u8);
    }
    let scale = SHEET - 2.0 * BORDER;
    // The middle of a broad picture fills the sheet.
    let ink = sample(picture, 0.5 + ((u - BORDER) / scale - 0.5) * breadth(picture), (v - BORDER) / scale);
    printed(ink, u, v, light)
}

/// What an office printer and a sheet of paper make of a colour at a place.
fn printed(ink: [f32; 3], u: f32, v: f32, light: f32) -> [u8; 3] {
    // Dots on a grid turned by 45 degrees: strong in the middle tones, none in white.
    let (p, q) = ((u + v) / CELL, (u - v) / CELL);
    let dots = (std::f32::consts::PI * p).sin() * (std::f32::consts::PI * q).sin();
    std::array::from_fn(|channel| {
        let tone = ink[channel] / 255.0;
        let pale = 0.20 + 0.62 * tone;
        let dotted = pale + 0.16 * dots * (4.0 * tone * (1.0 - tone));
        (dotted * light * 255.0).clamp(0.0, 255.0) as u8
    })
}

/// Bilinear sample at a place given in parts of width and height.
fn sample(picture: &Frame, u: f32, v: f32) -> [f32; 3] {
    let (width, height) = (picture.width(), picture.height());
    let (x, y) = (u * (width - 1) as f32, v * (height - 1) as f32);
    let (left, top) = (x as u32, y as u32);
    let (fx, fy) = (x - left as f32, y - top as f32);
    let pixel = |x: u32, y: u32, channel: usize| {
        let index = (y.min(height - 1) * width + x.min(width - 1)) as usize * 3 + channel;
        f32::from(picture.rgb()[index])
    };
    std::array::from_fn(|channel| {
        let upper = pixel(left, top, channel) * (1.0 - fx) + pixel(left + 1, top, channel) * fx;
        let lower = pixel(left, top + 1, channel) * (1.0 - fx) + pixel(left + 1, top + 1, channel) * fx;
        upper * (1.0 - fy) + lower * fy
    })
}
