//! Colour of the skin of one person over the whole head: tone, blush, lips, brows, beard, folds, moles.
//! Never shaded: light falls on it later. Colours are linear, 0 to 1.

use super::head::{angle_of, bump, mouth_line, ring_at, ring_of, rings};
use super::identity::Identity;
use super::mesh::V;
use super::random::{mix, noise, rough, step};

/// Side of the square texture.
const SIDE: usize = 512;

/// Texture over the head's grid.
pub(super) struct Skin {
    texels: Vec<V>,
}

impl Skin {
    pub(super) fn paint(id: &Identity) -> Self {
        let rings = rings(&id.head);
        let mut texels = Vec::with_capacity(SIDE * SIDE);
        for row in 0..SIDE {
            let ring = ring_at(&rings, ring_of(row as f32 / (SIDE - 1) as f32));
            for column in 0..SIDE {
                let angle = angle_of(column as f32 / (SIDE - 1) as f32);
                let [x, y, z] = ring.at(angle, id.head.square);
                texels.push(colour(id, x, y, angle, z > 0.0));
            }
        }
        Self { texels }
    }

    /// Bilinear between texels.
    pub(super) fn at(&self, s: f32, t: f32) -> V {
        let scale = (SIDE - 1) as f32;
        let (x, y) = ((s * scale).clamp(0.0, scale - 1.001), (t * scale).clamp(0.0, scale - 1.001));
        let (column, row) = (x as usize, y as usize);
        let (fx, fy) = (x - column as f32, y - row as f32);
        let first = row * SIDE + column;
        let (a, b) = (&self.texels[first..first + 2], &self.texels[first + SIDE..first + SIDE + 2]);
        std::array::from_fn(|i| mix(mix(a[0][i], a[1][i], fx), mix(b[0][i], b[1][i], fx), fy))
    }
}

/// Skin without anything on it, from fair to dark.
pub(super) fn tone(id: &Identity) -> V {
    const TONES: [V; 5] = [
        [0.70, 0.45, 0.34],
        [0.60, 0.36, 0.24],
        [0.46, 0.255, 0.155],
        [0.25, 0.125, 0.072],
        [0.11, 0.055, 0.034],
    ];
    let place = id.skin.tone * (TONES.len() - 1) as f32;
    let first = (place as usize).min(TONES.len() - 2);
    let part = place - first as f32;
    let warm = 1.0 + 0.06 * (id.skin.red - 0.5);
    let [r, g, b] = std::array::from_fn(|i| mix(TONES[first][i], TONES[first + 1][i], part));
    [r * warm, g, b / warm]
}

fn colour(id: &Identity, x: f32, y: f32, angle: f32, front: bool) -> V {
    let grain = id.grain;
    let skin = &id.skin;
    let blotch = rough(angle * 5.0, y * 5.0, grain) * 0.07 * skin.mottled;
    let pores =
        noise(angle * 60.0, y * 75.0, grain ^ 5) * 0.035 + noise(angle * 25.0, y * 30.0, grain ^ 9) * 0.03;
    let mut c = tone(id).map(|c| c * (1.0 + blotch + pores));
    if !front {
        return c;
    }
    let side = x.abs();
    let blush = 0.5 * skin.red * bump(side, y, 0.42, -0.32, 0.2, 0.17)
        + 0.45 * bump(x, y, 0.0, id.nose.tip, 0.14, 0.12)
        + 0.15 * rough(x * 4.0, y * 4.0, grain ^ 77).max(0.0);
    c = towards(c, [c[0] * 1.02, c[1] * 0.74, c[2] * 0.72], blush.min(1.0));
    let tired = skin.shadows * bump(side, y, id.eyes.apart - 0.03, -0.115, 0.13, 0.045)
        + 0.35 * bump(side, y, 0.15, 0.02, 0.07, 0.09)
        + 0.25 * bump(side, y, id.eyes.apart, 0.07, 0.17, 0.05);
    c = towards(c, [c[0] * 0.62, c[1] * 0.52, c[2] * 0.55], tired.min(0.8));
    c = folds(id, c, x, y);
    c = spots(id, c, x, y);
    c = lips(id, c, x, y);
    c = beard(id, c, x, y, angle);
    brow(id, c, x, y)
}

fn towards(from: V, to: V, share: f32) -> V {
    std::array::from_fn(|i| mix(from[i], to[i], share))
}

fn folds(id: &Identity, c: V, x: f32, y: f32) -> V {
    let (side, age) = (x.abs(), id.skin.age);
    let wave = 0.02 * noise(x * 5.0, 3.0, id.grain ^ 3);
    let forehead: f32 = [0.36, 0.45, 0.54].iter().map(|at| bump(0.0, y + wave, 0.0, *at, 1.0, 0.009)).sum();
    let forehead = forehead * step(0.5, 0.3, side) * (age - 0.35).max(0.0);
    let feet = (0.5 + 0.5 * ((y * 55.0) + side * 9.0).sin()) * bump(side, y, 0.56, -0.01, 0.06, 0.09);
    let frown = bump(side, y, 0.035, 0.17, 0.01, 0.07) * age;
    let nostrils = bump(side, y, 0.066, id.nose.tip - 0.088, 0.038, 0.019) * 0.94;
    let wing = bump(side, y, id.nose.width + 0.015, id.nose.tip - 0.04, 0.016, 0.06) * 0.5;
    let dark = 0.35 * forehead + 0.4 * feet * (age - 0.4).max(0.0) + 0.25 * frown + nostrils + wing;
    towards(c, [c[0] * 0.25, c[1] * 0.14, c[2] * 0.12], dark.clamp(0.0, 0.95))
}

fn spots(id: &Identity, mut c: V, x: f32, y: f32) -> V {
    if id.skin.freckles > 0.0 {
        let strewn = step(0.45, 0.8, noise(x * 34.0, y * 34.0, id.grain ^ 31));
        let where_ = bump(x.abs(), y, 0.22, -0.22, 0.35, 0.22);
        c = towards(c, [c[0] * 0.6, c[1] * 0.45, c[2] * 0.35], strewn * where_ * id.skin.freckles);
    }
    for &[at_x, at_y, size] in &id.skin.moles {
        let mole = step(size, size * 0.5, (x - at_x).hypot(y - at_y));
        c = towards(c, [0.05, 0.025, 0.018], mole * 0.85);
    }
    c
}

fn lips(id: &Identity, c: V, x: f32, y: f32) -> V {
    let m = &id.mouth;
    let line = mouth_line(id, x);
    let part = (x / m.half).abs().min(1.0);
    let arch = (1.0 - part * part).max(0.0);
    let dip = 1.0 - m.bow * (-(x / 0.045).powi(2)).exp();
    let top = line + m.upper * arch.powf(0.8) * dip;
    let bottom = line - m.lower * arch.powf(0.7);
    let edge = 0.012;
    let inside =
        step(top + edge, top - edge, y) * step(bottom - edge, bottom + edge, y) * step(0.0, 0.08, arch);
    let creases = 1.0 + 0.10 * noise(x * 70.0, y * 8.0, id.grain ^ 41);
    let flush = [c[0] * 0.82, c[1] * 0.42, c[2] * 0.46].map(|v| v * creases);
    let painted = [0.42, 0.075, 0.08].map(|v: f32| v * creases);
    let colour = towards(flush, painted, (m.red - 0.6).max(0.0) * 1.2);
    let c = towards(c, colour, inside * (0.62 + 0.35 * m.red));
    let gap = bump(0.0, y, 0.0, line, 1.0, 0.011) * step(1.12, 0.95, (x / m.half).abs());
    towards(c, [c[0] * 0.12, c[1] * 0.05, c[2] * 0.05], gap * 0.85)
}

fn beard(id: &Identity, c: V, x: f32, y: f32, angle: f32) -> V {
    let b = &id.skin.beard;
    let side = x.abs();
    let lip = id.mouth.at + id.mouth.upper;
    let droop = (side / (id.mouth.half + 0.07)).powi(2);
    let top = mix(id.nose.tip - 0.11, lip - 0.03, droop);
    let moustache = step(lip - 0.02 - 0.05 * droop, lip + 0.01 - 0.05 * droop, y)
        * step(top + 0.02, top - 0.03, y)
        * step(1.1, 0.75, droop);
    let below = step(id.mouth.at - id.mouth.lower, id.mouth.at - id.mouth.lower - 0.04, y);
    let chin = below * step(0.40, 0.18, side + 0.12 * noise(x * 6.0, y * 6.0, id.grain ^ 52));
    let cheek_line = mix(-0.85, -0.25, step(0.3, 0.72, side));
    let sides = step(cheek_line + 0.06, cheek_line - 0.06, y) * step(0.22, 0.36, side);
    let strands = 0.5 + 0.5 * noise(angle * 130.0, y * 45.0, id.grain ^ 51);
    let whole = (b.moustache * moustache).max(b.chin * chin).max(b.sides * sides.max(chin * 0.7));
    let zone = moustache.max(chin).max(sides);
    let throat = step(id.head.chin - 0.12, id.head.chin + 0.1, y);
    let stubble = b.stubble * zone * (0.35 + 0.5 * strands);
    let c = towards(c, [c[0] * 0.45, c[1] * 0.47, c[2] * 0.52], stubble * throat);
    towards(c, id.hair.colour.map(|h| h * 0.9 + 0.006), whole * (0.55 + 0.45 * strands) * throat)
}

fn brow(id: &Identity, c: V, x: f32, y: f32) -> V {
    let b = &id.brows;
    let t = (x.abs() - b.from) / b.length;
    if !(-0.1..1.1).contains(&t) {
        return c;
    }
    let middle =
        b.up + b.uneven * x.signum() + b.tilt * (t - 0.4) * 0.5 + b.arch * (1.0 - (1.6 * (t - 0.62)).powi(2))
            - 0.03;
    let thick = b.thick * mix(1.1, 0.35, step(0.45, 1.05, t)) * step(-0.08, 0.12, t) * step(1.08, 0.9, t);
    let strands =
        0.5 + 0.5 * noise(x * 42.0 - x.signum() * y * 30.0, y * 60.0 + x.abs() * 25.0, id.grain ^ 61);
    let over = step(thick * 1.35 + 0.012, thick * 0.45, (y - middle).abs());
    towards(c, id.hair.colour.map(|h| h.min(0.12) * 0.8 + 0.004), over * b.dark * (0.72 + 0.28 * strands))
}
