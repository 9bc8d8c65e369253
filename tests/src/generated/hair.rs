//! Hair, ears, glasses and clothes of one person, as surfaces around the head.
//! Never decides their look: lengths and colours come from the identity.

use std::f32::consts::PI;

use super::head::{Ring, angle_of, bump, on_face, ring_at, rings};
use super::identity::{Cut, Glasses, Identity};
use super::mesh::{Mesh, V, Vertex, add, cross, sub, times, unit};
use super::random::{mix, noise, rough, step};

/// Hair as a second skin over the head; `None` when there is none. Shading coordinates: angle, and height over
/// the edge of the hair (negative: nothing there).
pub(super) fn hair(id: &Identity) -> Option<Mesh> {
    if id.hair.cut == Cut::Bald {
        return None;
    }
    let long = id.hair.cut.is_long();
    let mut rings: Vec<Ring> = rings(&id.head).to_vec();
    if long {
        let tail = if id.hair.cut == Cut::Long { [-1.1, -1.9] } else { [-0.75, -1.05] };
        rings.truncate(7);
        let wide = id.head.width;
        rings.push(Ring([mix(-0.3, tail[0], 0.6), wide * 1.02, 0.62, 0.84, 0.0]));
        rings.push(Ring([tail[0], wide * 1.02, 0.55, 0.82, 0.0]));
        rings.push(Ring([tail[1], wide * 0.98, 0.50, 0.76, 0.0]));
    } else {
        rings.truncate(9);
    }
    let last = (rings.len() - 1) as f32;
    Some(Mesh::build(85, 60, |s, t| {
        let angle = angle_of(s);
        let at = ring_at(&rings, t.powf(0.9) * last).at(angle, id.head.square);
        let over = at[1] - edge(id, angle);
        let curls = rough(angle * 3.0, at[1] * 3.0, id.grain ^ 81) * 0.035;
        let body = id.hair.thick * if long { 1.1 } else { 1.0 };
        let crown = step(0.2, 0.9, at[1]);
        let thick = mix(0.012, body * mix(0.55, 1.0, crown) + curls, step(-0.02, 0.28, over));
        let out = unit([at[0], (at[1] - 0.15).max(0.0) * 0.9, at[2]]);
        Vertex {
            at: add(at, times(out, thick)),
            place: [s, t, angle, over],
            open: mix(0.55, 1.0, step(-0.9, 0.5, at[1])),
        }
    }))
}

/// Height of the hair's edge at an angle from the front.
fn edge(id: &Identity, angle: f32) -> f32 {
    let hair = &id.hair;
    let degrees = angle.abs() * 180.0 / PI;
    let front = if hair.fringe > 0.0 { hair.fringe } else { hair.line };
    let part = 0.06
        * (-(angle - hair.parting).powi(2) * 12.0).exp()
        * if hair.cut == Cut::Parted { 1.0 } else { 0.0 };
    let end = if hair.cut.is_long() { -3.0 } else { -0.62 };
    let side = if hair.cut.is_long() { -3.0 } else { -0.12 };
    let curve = [
        (0.0, front + part),
        (28.0, front - 0.01),
        (45.0, mix(front, hair.line, 0.5) - 0.10),
        (58.0, 0.22),
        (70.0, side),
        (92.0, if side < -1.0 { side } else { 0.12 }),
        (115.0, end * 0.6),
        (150.0, end),
        (181.0, end),
    ];
    let next = curve.iter().position(|(at, _)| *at > degrees).unwrap_or(curve.len() - 1).max(1);
    let ((from, low), (to, high)) = (curve[next - 1], curve[next]);
    let share = step(from, to, degrees);
    mix(low, high, share) + 0.025 * noise(angle * 14.0, 1.0, id.grain ^ 82)
}

/// Strands all around the head: how bright, and how ragged the edge is.
pub(super) struct Strands(Vec<[f32; 2]>);

/// Texels around the head and from crown to tips.
const STRANDS: (usize, usize) = (768, 96);

impl Strands {
    pub(super) fn comb(id: &Identity) -> Self {
        let texel = |i: usize| {
            let angle = angle_of((i % STRANDS.0) as f32 / (STRANDS.0 - 1) as f32);
            let t = (i / STRANDS.0) as f32 / (STRANDS.1 - 1) as f32;
            let ragged = 0.05 * noise(angle * 45.0, 2.0, id.grain ^ 83)
                + 0.03 * noise(angle * 110.0, 5.0, id.grain ^ 84);
            let fine = noise(angle * 90.0 + 2.0 * noise(angle * 6.0, t * 5.0, 9), t * 7.0, id.grain ^ 85);
            let coarse = noise(angle * 22.0, t * 4.0, id.grain ^ 86);
            [1.0 + 0.45 * fine + 0.3 * coarse, ragged]
        };
        Self((0..STRANDS.0 * STRANDS.1).map(texel).collect())
    }

    /// Colour of the hair at a place of its grid, `over` its edge: none beyond.
    pub(super) fn at(&self, id: &Identity, s: f32, t: f32, over: f32) -> Option<V> {
        let column = (s * (STRANDS.0 - 1) as f32 + 0.5) as usize;
        let row = (t * (STRANDS.1 - 1) as f32 + 0.5) as usize;
        let [bright, ragged] = self.0[row.min(STRANDS.1 - 1) * STRANDS.0 + column.min(STRANDS.0 - 1)];
        (over >= ragged).then(|| id.hair.colour.map(|c| c * bright + 0.002))
    }
}

/// One ear; `side` is 1 on the right of the picture, -1 on the left.
pub(super) fn ear(id: &Identity, side: f32) -> Mesh {
    let middle = [side * (id.head.width - 0.005), -0.13, -0.04];
    let turned = 0.45_f32;
    Mesh::build(19, 15, |s, t| {
        let (a, b) = (2.0 * PI * (s - 0.5), PI * (t - 0.5));
        let (x, y, z) = (0.055 * a.sin() * b.cos(), -0.30 * b.sin(), 0.175 * a.cos() * b.cos());
        let z = z * (1.0 - 0.3 * step(0.0, -0.3, y));
        let (sin, cos) = turned.sin_cos();
        let at = [middle[0] + side * (x * side * cos + 0.10 - z * sin), middle[1] + y, middle[2] + z * cos];
        let dent =
            1.0 - 0.55 * bump(y, z, 0.0, 0.05, 0.16, 0.08) - 0.15 * bump(y, z, 0.15, -0.02, 0.06, 0.06);
        Vertex { at, place: [s, t, y, z], open: dent }
    })
}

/// Frame and temples as tubes. Shading coordinates are not used.
pub(super) fn glasses(glasses: &Glasses, id: &Identity, face: &Mesh) -> Vec<Mesh> {
    let front = on_face(face, 0.0, 0.06)[2] + 0.05;
    let apart = id.eyes.apart.max(glasses.half_width + 0.045);
    let lens = |side: f32| {
        let points: Vec<V> = (0..=28)
            .map(|i| {
                let (sin, cos) = (2.0 * PI * i as f32 / 28.0).sin_cos();
                let round = |v: f32| v.signum() * v.abs().powf(2.0 / glasses.round);
                let x = side * apart + glasses.half_width * round(cos);
                [x, -0.02 + glasses.half_height * round(sin), front - 0.22 * x * x]
            })
            .collect();
        tube(&points, glasses.rim)
    };
    let inner = apart - glasses.half_width;
    let bridge: Vec<V> = (0..=6)
        .map(|i| i as f32 / 3.0 - 1.0)
        .map(|u| [u * inner, 0.07 - 0.04 * u * u, front + 0.02])
        .collect();
    let outer = apart + glasses.half_width;
    let temple = |side: f32| {
        let back = [side * (id.head.width + 0.03), 0.05, -0.05];
        let start = [side * outer, 0.06, front - 0.22 * outer * outer];
        let points: Vec<V> =
            (0..=8).map(|i| i as f32 / 8.0).map(|u| add(start, times(sub(back, start), u))).collect();
        tube(&points, glasses.rim * 0.8)
    };
    vec![lens(-1.0), lens(1.0), tube(&bridge, glasses.rim), temple(-1.0), temple(1.0)]
}

fn tube(points: &[V], radius: f32) -> Mesh {
    const AROUND: usize = 7;
    let mut vertices = Vec::with_capacity(points.len() * AROUND);
    for (i, &point) in points.iter().enumerate() {
        let along = unit(sub(points[(i + 1).min(points.len() - 1)], points[i.saturating_sub(1)]));
        let side = unit(cross(along, [0.0, 0.3, 1.0]));
        let up = cross(side, along);
        for k in 0..AROUND {
            let (sin, cos) = (2.0 * PI * k as f32 / (AROUND - 1) as f32).sin_cos();
            let at = add(point, add(times(side, radius * cos), times(up, radius * sin)));
            vertices.push(Vertex { at, place: [0.0; 4], open: 1.0 });
        }
    }
    Mesh { columns: AROUND, vertices }
}

/// Shoulders and chest. Shading coordinates: front view.
pub(super) fn torso(id: &Identity) -> Mesh {
    let base = id.head.chin - 0.2;
    let broad = id.clothes.broad;
    let rings = [
        Ring([base - 0.12, 0.50, 0.40, 0.60, 0.16]),
        Ring([base - 0.24, 0.68, 0.48, 0.66, 0.14]),
        Ring([base - 0.36, 1.15 * broad, 0.56, 0.66, 0.08]),
        Ring([base - 0.55, 1.72 * broad, 0.66, 0.68, 0.0]),
        Ring([base - 0.95, 2.02 * broad, 0.78, 0.7, 0.0]),
        Ring([base - 2.6, 2.05 * broad, 0.85, 0.7, 0.0]),
    ];
    Mesh::build(61, 36, |s, t| {
        let angle = PI * (2.0 * s - 1.0);
        let mut at = ring_at(&rings, t * 5.0).at(angle, 2.3);
        at[2] -= 0.12;
        let creases = 0.02 * rough(at[0] * 2.5, at[1] * 2.5, id.grain ^ 91);
        at[2] += creases;
        let weave = 1.0 + 0.10 * noise(at[0] * 9.0, at[1] * 9.0, id.grain ^ 92);
        let place = [s, t, at[0], at[1] - base];
        Vertex { at, place, open: weave * mix(0.5, 1.0, step(0.0, 0.25, t)) }
    })
}

/// Cloth, or skin in the neckline, at a point of the front view; height is counted from the collar.
pub(super) fn cloth(id: &Identity, skin: V, x: f32, y: f32, front: bool) -> V {
    let clothes = &id.clothes;
    let (side, low) = (x.abs(), -0.14 - clothes.neckline);
    if front && side < (y - low) * 0.75 {
        return skin.map(|c| c * 0.9);
    }
    if clothes.coat {
        let lapel = (y + 1.6) * 0.30;
        if front && side < lapel {
            return clothes.inner;
        }
        let seam = if front && (side - lapel - 0.16).abs() < 0.012 { 0.7 } else { 1.0 };
        return clothes.colour.map(|c| c * seam);
    }
    clothes.colour
}
