//! A telephone held before the camera with somebody's picture on its screen.
//! Never a recorded attack: a drawing of what screens do in front of sensors.

use std::f32::consts::TAU;

use zhenyin_models::Frame;

use super::{HEIGHT, WIDTH, sample, tilted, wall};

/// The lit screen in the frame, and the black rim around it.
const SCREEN: [f32; 2] = [258.0, 440.0];
const RIM: f32 = 9.0;
const CORNER: f32 = 22.0;
const TILT: f32 = -0.05;
/// Pixels of the sensor for one pixel of the screen: close to a whole number, so that they beat (moiré).
const PITCH: f32 = 2.07;
/// Height of one refresh band in sensor rows.
const BAND: f32 = 130.0;

/// A picture replayed on a telephone: black rim, screen grid out of step with the sensor, own gamma and white,
/// refresh bands, a reflection.
pub fn phone_replay(picture: &Frame) -> Frame {
    let (sin, cos) = TILT.sin_cos();
    let mut rgb = Vec::with_capacity((WIDTH * HEIGHT * 3) as usize);
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let (dx, dy) = (x as f32 - WIDTH as f32 / 2.0, y as f32 - HEIGHT as f32 / 2.0);
            let (u, v) = (cos * dx + sin * dy, cos * dy - sin * dx);
            rgb.extend(match beyond_edge(u, v) {
                out if out > RIM => wall(x, y),
                out if out > 0.0 => [14, 14, 16],
                _ => glow(picture, u, v, y as f32),
            });
        }
    }
    Frame::new(WIDTH, HEIGHT, rgb).expect("three bytes a pixel")
}

/// Where [`phone_replay`] shows a point of the picture; `None` when the screen is too narrow for it.
pub fn on_screen(picture: &Frame, [x, y]: [f32; 2]) -> Option<[f32; 2]> {
    let u = (x / (picture.width() - 1) as f32 - 0.5) / breadth(picture) * SCREEN[0];
    let v = (y / (picture.height() - 1) as f32 - 0.5) * SCREEN[1];
    (beyond_edge(u, v) < 0.0).then(|| tilted([u, v], TILT))
}

/// Share of the picture's width that is on the screen; its height fills the screen.
fn breadth(picture: &Frame) -> f32 {
    SCREEN[0] / SCREEN[1] * picture.height() as f32 / picture.width() as f32
}

/// How far a point lies outside the screen with its round corners; negative inside.
fn beyond_edge(u: f32, v: f32) -> f32 {
    let (x, y) = (u.abs() - SCREEN[0] / 2.0 + CORNER, v.abs() - SCREEN[1] / 2.0 + CORNER);
    x.max(0.0).hypot(y.max(0.0)) + x.max(y).min(0.0) - CORNER
}

fn glow(picture: &Frame, u: f32, v: f32, row: f32) -> [u8; 3] {
    let part = breadth(picture);
    let light =
        sample(picture, (0.5 + u / SCREEN[0] * part).clamp(0.0, 1.0), (0.5 + v / SCREEN[1]).clamp(0.0, 1.0));
    let band = 1.0 - 0.16 * (0.5 + 0.5 * (TAU * row / BAND).sin());
    let reflection = 26.0 * (-((u + 0.6 * v - 60.0) / 45.0).powi(2)).exp();
    let across = 0.5 * (TAU * v / (PITCH * 1.01)).cos();
    std::array::from_fn(|channel| {
        let stripe = (TAU * (u / PITCH + channel as f32 / 3.0)).cos();
        let grid = 1.0 + 0.13 * (stripe + across);
        let shown = (light[channel] / 255.0).powf(0.82) * [0.90, 0.98, 1.10][channel];
        (shown * grid * band * 245.0 + reflection + 8.0).clamp(0.0, 255.0) as u8
    })
}
