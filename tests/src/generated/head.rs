//! The bare head and neck of one person: rings from crown to neck, and the face raised on their front.
//! Never moves: poses and expressions come later.

use std::f32::consts::PI;

use super::identity::{HeadShape, Identity};
use super::mesh::{Mesh, V, Vertex};
use super::random::{mix, step};

pub(super) const COLUMNS: usize = 137;
/// Points of the grid between two neighbouring rings: most where the face is.
const ROWS_OF_RING: [usize; 13] = [4, 5, 6, 10, 16, 20, 22, 20, 14, 8, 4, 4, 4];

/// One horizontal cut: height at the front, half width, depth to front and back, rise from front to back.
#[derive(Clone, Copy)]
pub(super) struct Ring(pub(super) [f32; 5]);

pub(super) fn rings(shape: &HeadShape) -> [Ring; 14] {
    let HeadShape { width, cheek, jaw, chin_width, chin, chin_out, crown, .. } = *shape;
    let lower = |share: f32| mix(-0.6, chin, share);
    let out = |share: f32| share * chin_out;
    [
        [crown, 0.02, 0.02, 0.02, 0.0],
        [crown * 0.95, 0.37 * width, 0.36, 0.38, 0.0],
        [crown * 0.81, 0.71 * width, 0.63, 0.68, 0.0],
        [crown * 0.57, 0.93 * width, 0.83 + shape.forehead, 0.89, 0.0],
        [0.30, width, 0.93 + shape.forehead, 0.97, 0.0],
        [0.0, mix(width, cheek, 0.4), 0.90, 0.94, 0.0],
        [-0.30, cheek, 0.88, 0.84, 0.03],
        [-0.60, mix(cheek, jaw, 0.55), 0.87 + out(0.3), 0.68, 0.10],
        [lower(0.42), jaw + 0.02, 0.86 + out(0.6), 0.58, 0.19],
        [lower(0.78), mix(jaw, chin_width, 0.5), 0.85 + out(1.0), 0.53, 0.30],
        [chin, chin_width, 0.73 + out(0.9), 0.50, 0.38],
        [chin - 0.01, chin_width + 0.03, 0.50, 0.51, 0.26],
        [chin - 0.14, 0.42, 0.33, 0.53, 0.10],
        [chin - 0.80, 0.50, 0.30, 0.58, 0.0],
    ]
    .map(Ring)
}

/// The ring at `v`, between its neighbours by a Catmull-Rom curve.
pub(super) fn ring_at(rings: &[Ring], v: f32) -> Ring {
    let v = v.clamp(0.0, (rings.len() - 1) as f32);
    let first = (v as usize).min(rings.len() - 2);
    let t = v - first as f32;
    let of = |i: isize| rings[(first as isize + i).clamp(0, rings.len() as isize - 1) as usize].0;
    let (a, b, c, d) = (of(-1), of(0), of(1), of(2));
    Ring(std::array::from_fn(|i| {
        let (a, b, c, d) = (a[i], b[i], c[i], d[i]);
        b + 0.5 * t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a)))
    }))
}

impl Ring {
    /// The point at an angle: 0 is the front, positive to the right of the picture.
    pub(super) fn at(self, angle: f32, square: f32) -> V {
        let [up, half, front, back, rise] = self.0;
        let (sin, cos) = angle.sin_cos();
        let round = |x: f32| x.signum() * x.abs().powf(2.0 / square);
        let depth = if cos > 0.0 { front } else { back };
        [half * round(sin), up + rise * (1.0 - cos) / 2.0, depth * round(cos)]
    }
}

/// Angle of a column: denser at the front.
pub(super) fn angle_of(s: f32) -> f32 {
    let s = 2.0 * s - 1.0;
    PI * (0.42 * s + 0.58 * s * s * s)
}

/// Place between the rings of a row, from the share of all rows above it.
pub(super) fn ring_of(t: f32) -> f32 {
    let all: usize = ROWS_OF_RING.iter().sum();
    let mut left = t * all as f32;
    for (ring, &rows) in ROWS_OF_RING.iter().enumerate() {
        if left <= rows as f32 {
            return ring as f32 + left / rows as f32;
        }
        left -= rows as f32;
    }
    ROWS_OF_RING.len() as f32
}

/// Head and neck. Shading coordinates of a point: where it lies in the front view.
pub(super) fn head(id: &Identity) -> Mesh {
    let rings = rings(&id.head);
    let rows = ROWS_OF_RING.iter().sum::<usize>() + 1;
    let mut mesh = Mesh::build(COLUMNS, rows, |s, t| {
        let angle = angle_of(s);
        let bare = ring_at(&rings, ring_of(t)).at(angle, id.head.square);
        Vertex { at: raised(id, bare, angle), place: [s, t, bare[0], bare[1]], open: 1.0 }
    });
    shut_in(&mut mesh);
    mesh
}

/// The surface point over a point of the front view.
pub(super) fn on_face(mesh: &Mesh, x: f32, y: f32) -> V {
    mesh.vertices[nearest(mesh, x, y)].at
}

fn nearest(mesh: &Mesh, x: f32, y: f32) -> usize {
    let distance =
        |v: &Vertex| (v.place[2] - x).hypot(v.place[3] - y) + if v.at[2] < 0.0 { 9.0 } else { 0.0 };
    let all = mesh.vertices.iter().map(distance).enumerate();
    all.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(i, _)| i)
}

/// Points of the grid at eyes, nose tip and mouth corners, in the order of the labels.
pub(super) fn marks(id: &Identity, mesh: &Mesh) -> [usize; 5] {
    let (eye, mouth) = (id.eyes.apart, id.mouth.at + id.mouth.corner);
    let tip = mesh.vertices.iter().enumerate().filter(|(_, v)| v.place[2].abs() < 0.1 && v.place[3] < -0.2);
    let tip =
        tip.filter(|(_, v)| v.place[3] > id.mouth.at + 0.15).max_by(|a, b| a.1.at[2].total_cmp(&b.1.at[2]));
    [
        nearest(mesh, -eye, 0.0),
        nearest(mesh, eye, 0.0),
        tip.map_or(0, |(i, _)| i),
        nearest(mesh, -id.mouth.half, mouth),
        nearest(mesh, id.mouth.half, mouth),
    ]
}

/// Whether a point belongs to the face a detector should box.
pub(super) fn is_face(id: &Identity, vertex: &Vertex) -> bool {
    let [_, _, x, y] = vertex.place;
    vertex.at[2] > 0.25 && y < 0.6 && y >= id.head.chin && x.abs() < 0.68 && vertex.place[1] < 0.84
}

fn raised(id: &Identity, bare: V, angle: f32) -> V {
    let front = step(0.05, 0.55, angle.cos());
    if front <= 0.0 {
        return bare;
    }
    let (x, y) = (bare[0], bare[1]);
    let fullness = id.head.full * bump(x.abs(), y, 0.45, -0.5, 0.3, 0.3);
    let cheekbone = id.head.cheekbone * bump(x.abs(), y, 0.47, -0.2, 0.18, 0.15);
    let side = x.signum() * (fullness + 0.6 * cheekbone);
    [x + side * front, y, bare[2] + (relief(id, x, y) + fullness + cheekbone) * front]
}

/// How far the face stands out over the bare head at a point of the front view.
fn relief(id: &Identity, x: f32, y: f32) -> f32 {
    let (eyes, side) = (&id.eyes, x.abs());
    let socket = -eyes.socket * bump(side, y, eyes.apart, 0.03, 0.21, 0.13)
        - 0.05 * bump(side, y, 0.14, 0.01, 0.07, 0.09)
        + eyes.bulge * bump(side, y, eyes.apart, 0.0, 0.135, 0.08)
        - 0.012 * bump(side, y, eyes.apart, -0.125, 0.13, 0.03) * (0.5 + id.skin.age);
    let brow = id.brows.ridge * bump(side, y, 0.27, id.brows.up - 0.03, 0.22, 0.07);
    let temple = -0.04 * bump(side, y, 0.68, 0.2, 0.12, 0.25);
    socket + brow + temple + nose(id, x, y) + mouth(id, x, y)
}

fn nose(id: &Identity, x: f32, y: f32) -> f32 {
    let nose = &id.nose;
    let root = 0.09;
    let t = (root - y) / (root - nose.tip);
    let x = x - nose.aside * t.clamp(0.0, 1.0);
    let along = t.clamp(0.0, 1.0);
    let height = mix(nose.bridge * 0.45, nose.out, along.powf(1.15)) + nose.hook * (PI * along).sin();
    let above = if t < 0.0 { (-(t * 3.0) * (t * 3.0)).exp() } else { 1.0 };
    let below = 1.0 - step(0.015, 0.125, nose.tip - y);
    let wide = mix(nose.ridge, nose.ridge + 0.045, along);
    let ridge = height * above * below * (-(x.abs() / wide).powf(1.9)).exp();
    let wing_at = nose.tip - 0.045;
    let wings = nose.out * 0.5 * bump(x.abs(), y, nose.width - 0.05, wing_at, 0.055, 0.058);
    let ball = nose.ball * bump(x, y, 0.0, nose.tip, 0.085, 0.075);
    let holes = -0.05 * bump(x.abs(), y, 0.065, nose.tip - 0.095, 0.035, 0.02);
    ridge + wings + ball + holes
}

fn mouth(id: &Identity, x: f32, y: f32) -> f32 {
    let m = &id.mouth;
    let line = mouth_line(id, x);
    let inside = (1.0 - (x / (m.half * 1.02)).powi(2)).max(0.0);
    let muzzle = id.head.muzzle * bump(x, y, 0.0, m.at + 0.03, 0.30, 0.2);
    let upper = 0.045 * inside * bump(0.0, y, 0.0, line + m.upper * 0.55, 1.0, m.upper * 0.75);
    let lower = 0.06 * inside * bump(0.0, y, 0.0, line - m.lower * 0.5, 1.0, m.lower * 0.7);
    let groove = -0.045 * inside.sqrt() * bump(0.0, y, 0.0, line, 1.0, 0.018);
    let corners = -0.03 * bump(x.abs(), y, m.half + 0.015, m.at + m.corner, 0.04, 0.04);
    let philtrum = -0.018 * bump(x, y, 0.0, m.at + 0.13, 0.03, 0.06);
    let under = -0.04 * bump(x, y, 0.0, m.at - m.lower - 0.085, 0.2, 0.05);
    let chin = 0.06 * bump(x, y, 0.0, id.head.chin + 0.17, 0.18, 0.11);
    let fold_x = mix(id.nose.width + 0.03, m.half + 0.07, ((id.nose.tip - y) / 0.3).clamp(0.0, 1.2));
    let fold = -(0.012 + 0.022 * id.skin.age)
        * bump(x.abs(), 0.0, fold_x, 0.0, 0.035, 1.0)
        * bump(0.0, y, 0.0, m.at + 0.14, 1.0, 0.16);
    muzzle + upper + lower + groove + corners + philtrum + under + chin + fold
}

/// Height of the line between the lips.
pub(super) fn mouth_line(id: &Identity, x: f32) -> f32 {
    let m = &id.mouth;
    let part = (x / m.half).clamp(-1.2, 1.2);
    m.at + m.corner * part * part - 0.012 * m.bow * (-(x / 0.06).powi(2)).exp()
}

pub(super) fn bump(x: f32, y: f32, at_x: f32, at_y: f32, wide: f32, high: f32) -> f32 {
    let (dx, dy) = ((x - at_x) / wide, (y - at_y) / high);
    (-(dx * dx + dy * dy)).exp()
}

/// Hollows get less light from around: depth below the neighbourhood's mean, near and wide.
fn shut_in(mesh: &mut Mesh) {
    let (columns, rows) = (mesh.columns, mesh.rows());
    let depth: Vec<f32> = mesh.vertices.iter().map(|v| v.at[2]).collect();
    for (reach, strength) in [(3_usize, 3.2_f32), (9, 1.5)] {
        for row in reach..rows - reach {
            for column in columns / 6 + reach..columns - columns / 6 - reach {
                let around = [
                    (row - reach) * columns + column,
                    (row + reach) * columns + column,
                    row * columns + column - reach,
                    row * columns + column + reach,
                ];
                let mean = around.iter().map(|&i| depth[i]).sum::<f32>() / 4.0;
                let vertex = &mut mesh.vertices[row * columns + column];
                vertex.open *= (1.0 - strength * (mean - depth[row * columns + column])).clamp(0.45, 1.08);
            }
        }
    }
    // Chin and jaw hang over the throat.
    for vertex in &mut mesh.vertices {
        vertex.open *= mix(1.0, 0.45, step(0.80, 0.90, vertex.place[1]));
    }
}
