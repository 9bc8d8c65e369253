//! The eye opening: lids, lashes, white, iris, pupil, glint.
//! Painted over the skin where the eye is; opens and shuts, looks where told.

use super::identity::{Eyes, Identity};
use super::mesh::V;
use super::random::{mix, noise, step};

/// What the eyes do in one frame.
#[derive(Clone, Copy)]
pub(super) struct Look {
    /// 0 open, 1 shut; a smile narrows them.
    pub(super) shut: f32,
    /// Where the iris lies beside the middle.
    pub(super) aside: f32,
    pub(super) up: f32,
}

/// Colour at a point of the front view; `None` where there is only skin. The second value is wetness.
pub(super) fn eye(id: &Identity, look: Look, skin: V, x: f32, y: f32) -> Option<(V, f32)> {
    let eyes = &id.eyes;
    let outward = x.abs() - eyes.apart;
    if outward.abs() > 0.24 || y.abs() > 0.16 {
        return None;
    }
    let y = y - eyes.tilt * outward;
    let t = outward / eyes.half;
    let (upper, lower) = lids(eyes, t, look.shut);
    let opening = step(-0.008, 0.008, upper - y) * step(-0.006, 0.006, y - lower) * step(1.02, 0.96, t.abs());
    let skin = around(eyes, skin, t, y, upper, lower, look.shut);
    if opening <= 0.0 {
        return Some((skin, 0.0));
    }
    let inner =
        ball(id, look, outward * x.signum() - look.aside, outward / eyes.half, y - look.up, upper - y);
    let wet = opening * 0.9;
    Some((std::array::from_fn(|i| mix(skin[i], inner[i], opening)), wet))
}

/// Heights of the upper and lower lid; `t` runs from the inner (-1) to the outer corner (1).
fn lids(eyes: &Eyes, t: f32, shut: f32) -> (f32, f32) {
    let inside = (1.0 - t * t).max(0.0);
    let high = eyes.open * inside.powf(0.62) * (1.0 - 0.18 * t);
    let low = -0.62 * eyes.open * inside.powf(0.8) * (1.0 + 0.15 * t);
    (mix(high, low + 0.004, shut), low)
}

/// Lash lines and the crease above.
fn around(eyes: &Eyes, skin: V, t: f32, y: f32, upper: f32, lower: f32, shut: f32) -> V {
    let within = step(1.15, 0.95, t.abs());
    let lash = step(0.020 + 0.012 * t.max(0.0), 0.004, (y - upper - 0.004).abs()) * within * eyes.lashes;
    let lower_lash = step(0.012, 0.002, (y - lower + 0.003).abs()) * within * 0.35;
    let crease_at = upper + eyes.crease * (1.0 - 0.35 * t * t) * (1.0 + 1.2 * shut);
    let crease = step(0.014, 0.002, (y - crease_at).abs()) * within * mix(0.15, 0.55, eyes.fold);
    let lid = step(0.0, 0.01, y - upper) * step(0.005, -0.005, y - crease_at) * 0.12;
    let dark = 1.0 - (1.0 - 0.93 * lash) * (1.0 - lower_lash) * (1.0 - crease) * (1.0 - lid);
    let deep = [0.016, 0.010, 0.008];
    std::array::from_fn(|i| mix(skin[i], deep[i], dark))
}

fn ball(id: &Identity, look: Look, dx: f32, t: f32, dy: f32, under_lid: f32) -> V {
    let eyes = &id.eyes;
    let radius = dx.hypot(dy) / eyes.iris;
    let white = [0.62, 0.56, 0.52].map(|w| w * (1.0 - 0.25 * t * t));
    let veins = 0.05 * noise(dx * 60.0, dy * 60.0, id.grain ^ 71).max(0.0);
    let white = [white[0], white[1] * (1.0 - veins), white[2] * (1.0 - veins)];
    let corner = step(-0.78, -0.95, t);
    let white: V = std::array::from_fn(|i| mix(white[i], [0.45, 0.2, 0.18][i], corner));
    let rays = 1.0 + 0.35 * noise(dy.atan2(dx) * 9.0, radius * 3.0, id.grain ^ 72);
    let rim = mix(1.25, 0.35, step(0.72, 1.0, radius));
    let iris = eyes.colour.map(|c| c * rays * rim);
    let pupil = step(0.46, 0.38, radius);
    let iris: V = std::array::from_fn(|i| mix(iris[i], 0.004, pupil));
    let seen = step(1.05, 0.93, radius);
    let shade = mix(0.45, 1.0, step(0.0, 0.045, under_lid)) * (1.0 - 0.3 * look.shut);
    let glint = step(0.020, 0.009, (dx - 0.016).hypot(dy - 0.022)) * 0.7;
    std::array::from_fn(|i| mix(white[i], iris[i], seen) * shade + glint * 0.8)
}
