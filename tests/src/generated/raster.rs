//! Draws grids of points into a picture with depth.
//! Never knows what it draws: a closure gives every point its colour.

use super::mesh::{Mesh, V, add, times};

/// Light gathered per pixel (linear), and how near the nearest surface is.
pub(super) struct Canvas {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) light: Vec<V>,
    pub(super) nearness: Vec<f32>,
}

/// One visible point of a surface.
pub(super) struct Spot {
    pub(super) normal: V,
    pub(super) place: [f32; 4],
    pub(super) open: f32,
}

/// A point in the picture: x, y in pixels, and 1 / distance.
pub(super) type Projected = [f32; 3];

impl Canvas {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self { width, height, light: vec![[0.0; 3]; width * height], nearness: vec![0.0; width * height] }
    }

    /// Draws the side of the mesh that faces the camera; `places` are its points before the camera, `project` puts
    /// one into the picture. Where `shade` gives nothing the surface has a hole.
    pub(super) fn draw(
        &mut self,
        mesh: &Mesh,
        places: &[V],
        project: impl Fn(V) -> Projected,
        shade: impl Fn(&Spot) -> Option<V>,
    ) {
        let normals = mesh.normals(places);
        let seen: Vec<Projected> = places.iter().map(|&p| project(p)).collect();
        let columns = mesh.columns;
        for row in 0..mesh.rows() - 1 {
            for column in 0..columns - 1 {
                let first = row * columns + column;
                let (right, below) = (first + 1, first + columns);
                for corners in [[first, right, below], [right, below + 1, below]] {
                    if area(corners.map(|i| seen[i])) <= 1e-6 {
                        continue;
                    }
                    self.triangle(corners.map(|i| (seen[i], &normals[i], &mesh.vertices[i])), &shade);
                }
            }
        }
    }

    /// Draws the side that faces away from the camera.
    pub(super) fn draw_inside(
        &mut self,
        mesh: &Mesh,
        places: &[V],
        project: impl Fn(V) -> Projected,
        shade: impl Fn(&Spot) -> Option<V>,
    ) {
        let turned = |v: Vec<V>| -> Vec<V> {
            v.chunks(mesh.columns).flat_map(|row| row.iter().rev().copied()).collect()
        };
        let vertices = mesh.vertices.chunks(mesh.columns).flat_map(|row| row.iter().rev().copied()).collect();
        self.draw(&Mesh { columns: mesh.columns, vertices }, &turned(places.to_vec()), project, shade);
    }

    fn triangle(
        &mut self,
        corners: [(Projected, &V, &super::mesh::Vertex); 3],
        shade: &impl Fn(&Spot) -> Option<V>,
    ) {
        let [a, b, c] = corners.map(|(p, _, _)| p);
        let low = |i: usize| a[i].min(b[i]).min(c[i]).ceil().max(0.0) as usize;
        let high = |i: usize, most: usize| {
            let end = a[i].max(b[i]).max(c[i]).floor();
            if end < 0.0 { None } else { Some((end as usize).min(most - 1)) }
        };
        let (Some(right), Some(bottom)) = (high(0, self.width), high(1, self.height)) else { return };
        let scale = 1.0 / area([a, b, c]);
        // Shares of the corners change by the same amount from pixel to pixel.
        let (slope_a, slope_b) = ((b[1] - c[1]) * scale, (c[1] - a[1]) * scale);
        let (left, top) = (low(0), low(1));
        if left > right {
            return;
        }
        for y in top..=bottom {
            let (px, py) = (left as f32, y as f32);
            let mut wa = ((b[0] - px) * (c[1] - py) - (b[1] - py) * (c[0] - px)) * scale;
            let mut wb = ((c[0] - px) * (a[1] - py) - (c[1] - py) * (a[0] - px)) * scale;
            for index in y * self.width + left..=y * self.width + right {
                let wc = 1.0 - wa - wb;
                if wa >= 0.0 && wb >= 0.0 && wc >= 0.0 {
                    let near = wa * a[2] + wb * b[2] + wc * c[2];
                    if near > self.nearness[index]
                        && let Some(light) = shade(&between(&corners, [wa, wb, wc]))
                    {
                        self.light[index] = light;
                        self.nearness[index] = near;
                    }
                }
                (wa, wb) = (wa + slope_a, wb + slope_b);
            }
        }
    }
}

/// Twice the area, positive where the surface faces the camera.
fn area([a, b, c]: [Projected; 3]) -> f32 {
    (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
}

fn between(corners: &[(Projected, &V, &super::mesh::Vertex); 3], share: [f32; 3]) -> Spot {
    let [(_, na, a), (_, nb, b), (_, nc, c)] = corners;
    let normal = add(add(times(**na, share[0]), times(**nb, share[1])), times(**nc, share[2]));
    let place =
        std::array::from_fn(|i| a.place[i] * share[0] + b.place[i] * share[1] + c.place[i] * share[2]);
    Spot { normal, place, open: a.open * share[0] + b.open * share[1] + c.open * share[2] }
}
