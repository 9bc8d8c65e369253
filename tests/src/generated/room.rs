//! What stands behind the person: a wall, shelves with boxes, a window.
//! Never in focus and never the same in two places.

use super::mesh::V;
use super::random::{Dice, mix, noise};

/// The room is painted this many times smaller than the picture, and so out of focus.
const COARSE: usize = 4;

/// Width over which edges blur.
const EDGE: f32 = 0.012;

/// Light from the room at every pixel of a picture.
pub(super) struct Room {
    width: usize,
    light: Vec<V>,
}

struct Box {
    left: f32,
    top: f32,
    right: f32,
    bottom: f32,
    colour: V,
}

impl Room {
    pub(super) fn paint(place: u64, width: usize, height: usize, bright: V) -> Self {
        let mut d = Dice::new(place, 3);
        let wall = d.between(0.18, 0.7);
        let wall = [wall * d.between(0.88, 1.08), wall, wall * d.between(0.85, 1.1)];
        let (slope, drop) = (d.between(-0.35, 0.35), d.between(-0.2, 0.3));
        let things = things(&mut d);
        let grain = d.next() as u32;
        let (columns, rows) = (width / COARSE + 2, height / COARSE + 2);
        let mut light = Vec::with_capacity(columns * rows);
        for row in 0..rows {
            for column in 0..columns {
                let (x, y) = (column as f32 / columns as f32, row as f32 / rows as f32);
                let mut c = wall.map(|w| w * (1.0 + slope * (x - 0.5) - drop * (y - 0.5)));
                for thing in &things {
                    if x < thing.left - EDGE || x > thing.right + EDGE {
                        continue;
                    }
                    let inside = soft(thing.left, thing.right, x) * soft(thing.top, thing.bottom, y);
                    c = std::array::from_fn(|i| mix(c[i], thing.colour[i], inside));
                }
                let stain = 1.0 + 0.04 * noise(x * 9.0, y * 9.0, grain);
                light.push(std::array::from_fn(|i| c[i] * stain * bright[i]));
            }
        }
        Self { width: columns, light }
    }

    pub(super) fn at(&self, x: usize, y: usize) -> V {
        let (column, row) = (x / COARSE, y / COARSE);
        let (fx, fy) = ((x % COARSE) as f32 / COARSE as f32, (y % COARSE) as f32 / COARSE as f32);
        let first = row * self.width + column;
        let (a, b) = (&self.light[first..first + 2], &self.light[first + self.width..first + self.width + 2]);
        std::array::from_fn(|i| mix(mix(a[0][i], a[1][i], fx), mix(b[0][i], b[1][i], fx), fy))
    }
}

fn soft(from: f32, to: f32, value: f32) -> f32 {
    ((value - from) / EDGE + 0.5).clamp(0.0, 1.0) * ((to - value) / EDGE + 0.5).clamp(0.0, 1.0)
}

fn things(d: &mut Dice) -> Vec<Box> {
    let mut things = Vec::new();
    if d.chance(0.6) {
        shelves(d, &mut things);
    }
    if d.chance(0.35) {
        let (left, top) = (d.between(-0.1, 0.9), d.between(-0.2, 0.3));
        let colour = [d.between(0.8, 1.3), d.between(0.9, 1.3), d.between(0.9, 1.4)];
        things.push(Box {
            left,
            top,
            right: left + d.between(0.15, 0.4),
            bottom: top + d.between(0.3, 0.6),
            colour,
        });
    }
    if d.chance(0.4) {
        let left = d.between(0.0, 0.9);
        let grey = d.between(0.03, 0.4);
        things.push(Box {
            left,
            top: -0.1,
            right: left + d.between(0.05, 0.3),
            bottom: 1.2,
            colour: [grey, grey * 0.9, grey * 0.8],
        });
    }
    things
}

fn shelves(d: &mut Dice, things: &mut Vec<Box>) {
    let (rows, wood) = (2 + (d.next() % 3) as usize, d.between(0.1, 0.5));
    let high = 1.0 / rows as f32;
    let (start, end) = (d.between(-0.2, 0.3), d.between(0.6, 1.2));
    for row in 0..rows {
        let floor = (row as f32 + 0.9) * high;
        things.push(Box {
            left: start,
            top: floor,
            right: end,
            bottom: floor + 0.025,
            colour: [wood, wood * 0.9, wood * 0.75],
        });
        let mut left = start + d.between(0.0, 0.05);
        while left < end - 0.03 {
            let right = (left + d.between(0.025, 0.10)).min(end);
            let colour = [d.between(0.05, 0.8), d.between(0.05, 0.8), d.between(0.05, 0.8)];
            if d.chance(0.8) {
                things.push(Box {
                    left,
                    top: floor - high * d.between(0.3, 0.75),
                    right: right - 0.005,
                    bottom: floor,
                    colour,
                });
            }
            left = right;
        }
    }
}
