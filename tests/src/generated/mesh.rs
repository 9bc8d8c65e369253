//! Points in space and grids of them, the only kind of surface that is drawn.
//! Never knows what it depicts.

pub(super) type V = [f32; 3];

pub(super) fn add(a: V, b: V) -> V {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

pub(super) fn sub(a: V, b: V) -> V {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

pub(super) fn times(a: V, k: f32) -> V {
    [a[0] * k, a[1] * k, a[2] * k]
}

pub(super) fn dot(a: V, b: V) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(super) fn cross(a: V, b: V) -> V {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

pub(super) fn unit(a: V) -> V {
    times(a, 1.0 / dot(a, a).sqrt().max(1e-9))
}

/// One point of a surface.
#[derive(Clone, Copy)]
pub(super) struct Vertex {
    pub(super) at: V,
    /// Place in the texture, 0 to 1 each, and two coordinates for whoever shades this surface.
    pub(super) place: [f32; 4],
    /// Share of ambient light that gets here.
    pub(super) open: f32,
}

/// Rows of points; neighbours span the surface. Seen from outside, columns go right and rows go down.
#[derive(Clone)]
pub(super) struct Mesh {
    pub(super) columns: usize,
    pub(super) vertices: Vec<Vertex>,
}

impl Mesh {
    /// `point` gets column and row as shares of the whole, 0 to 1.
    pub(super) fn build(columns: usize, rows: usize, point: impl Fn(f32, f32) -> Vertex) -> Self {
        let vertices = (0..columns * rows)
            .map(|i| ((i % columns) as f32 / (columns - 1) as f32, (i / columns) as f32 / (rows - 1) as f32))
            .map(|(s, t)| point(s, t))
            .collect();
        Self { columns, vertices }
    }

    pub(super) fn rows(&self) -> usize {
        self.vertices.len() / self.columns
    }

    /// Outward normal at every point of the grid once its points lie at `places`.
    pub(super) fn normals(&self, places: &[V]) -> Vec<V> {
        let (columns, rows) = (self.columns, self.rows());
        let mut normals = Vec::with_capacity(places.len());
        for row in 0..rows {
            let (above, below) = (row.saturating_sub(1) * columns, (row + 1).min(rows - 1) * columns);
            for column in 0..columns {
                let (left, right) = (column.saturating_sub(1), (column + 1).min(columns - 1));
                let across = sub(places[row * columns + right], places[row * columns + left]);
                let down = sub(places[below + column], places[above + column]);
                normals.push(unit(cross(down, across)));
            }
        }
        normals
    }
}
