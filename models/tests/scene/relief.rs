//! A picture of one face laid over a surface in space and turned before the camera: over the form of a head, a sheet,
//! or a bent sheet. Units are eye distances on the face: x to its right in the picture, y down, from between the eyes.

use zhenyin_models::Frame;
use zhenyin_models::resample::Point;

use super::{FOCAL, HEIGHT, Pose, WIDTH, pixel};

/// What the picture is laid over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Surface {
    /// A head; the ridge of the nose stands out by this much, its tip by about 0.2 more over the eyes.
    Head { ridge: f32 },
    /// A sheet bent about the upright axis: one over the radius, 0 for a flat one.
    Sheet { bend: f32 },
}

/// One picture, to be seen again and again.
pub(crate) struct Relief<'a> {
    picture: &'a Frame,
    /// Between the eyes, in the picture's pixels.
    middle: Point,
    /// One eye distance along the face's x in the picture's pixels.
    along: (f32, f32),
    nose: (f32, f32),
}

impl<'a> Relief<'a> {
    pub(crate) fn new(picture: &'a Frame, landmarks: &[Point; 5]) -> Self {
        let [left, right, nose, ..] = landmarks;
        let along = (right.x - left.x, right.y - left.y);
        let middle = Point { x: (left.x + right.x) / 2.0, y: (left.y + right.y) / 2.0 };
        let square = along.0 * along.0 + along.1 * along.1;
        let (dx, dy) = (nose.x - middle.x, nose.y - middle.y);
        let nose = ((dx * along.0 + dy * along.1) / square, (dy * along.0 - dx * along.1) / square);
        Self { picture, middle, along, nose }
    }

    /// 640 x 480 pixels of the surface before a grey wall, turned as a head or as a sheet turns.
    pub(crate) fn seen(&self, surface: Surface, pose: Pose) -> Frame {
        let mut canvas = Canvas::new();
        let nodes: Vec<Node> = (0..NODES * NODES)
            .map(|i| {
                let place = |step: usize| REACH * (2.0 * step as f32 / (NODES - 1) as f32 - 1.0);
                self.node(surface, pose, place(i % NODES), place(i / NODES) + FACE_MIDDLE)
            })
            .collect();
        for row in 0..NODES - 1 {
            for column in 0..NODES - 1 {
                let at = row * NODES + column;
                let [a, b, c, d] = [at, at + 1, at + NODES, at + NODES + 1].map(|i| nodes[i]);
                canvas.fill(self.picture, [a, b, c]);
                canvas.fill(self.picture, [b, c, d]);
            }
        }
        Frame::new(WIDTH, HEIGHT, canvas.rgb).unwrap()
    }

    fn node(&self, surface: Surface, pose: Pose, x: f32, y: f32) -> Node {
        let down = (-self.along.1, self.along.0);
        let (u, v) =
            (self.middle.x + x * self.along.0 + y * down.0, self.middle.y + x * self.along.1 + y * down.1);
        // A head turns about the neck, a sheet about itself.
        let (point, behind) = match surface {
            Surface::Head { ridge } => ([x, y - FACE_MIDDLE, self.depth(ridge, x, y) - NECK], NECK),
            Surface::Sheet { bend } if bend < 1e-3 => ([x, y - FACE_MIDDLE, 0.0], 0.0),
            Surface::Sheet { bend } => {
                ([(x * bend).sin() / bend, y - FACE_MIDDLE, (1.0 - (x * bend).cos()) / bend], 0.0)
            }
        };
        let [px, py, pz] = pose.turn(point);
        let depth = DISTANCE + behind + pz;
        let (x, y) = (WIDTH as f32 / 2.0 + FOCAL * px / depth, HEIGHT as f32 / 2.0 + FOCAL * py / depth);
        Node { x, y, depth, u, v }
    }

    /// Away from the camera: an ellipsoid as wide and high as a head, and the nose on it.
    fn depth(&self, ridge: f32, x: f32, y: f32) -> f32 {
        let (across, down) = (x / 1.2, (y - FACE_MIDDLE) / 1.75);
        let head = 1.3 * (1.0 - (1.0 - across * across - down * down).max(0.0).sqrt());
        let (beside, along) = (x - self.nose.0 * y / self.nose.1, y / self.nose.1);
        // From nothing between the eyes to all of it at the tip, and back to nothing soon below.
        let height = if along < 1.0 { along.max(0.0) } else { (1.0 - (along - 1.0) / 0.3).max(0.0) };
        head - ridge * height * (-(beside / 0.17).powi(2)).exp()
    }
}

#[derive(Clone, Copy)]
struct Node {
    x: f32,
    y: f32,
    depth: f32,
    u: f32,
    v: f32,
}

struct Canvas {
    rgb: Vec<u8>,
    depth: Vec<f32>,
}

impl Canvas {
    fn new() -> Self {
        let pixels = (WIDTH * HEIGHT) as usize;
        Self { rgb: vec![120; pixels * 3], depth: vec![f32::INFINITY; pixels] }
    }

    /// One triangle, where nothing nearer is.
    fn fill(&mut self, picture: &Frame, [a, b, c]: [Node; 3]) {
        let area = (b.x - a.x) * (c.y - a.y) - (c.x - a.x) * (b.y - a.y);
        let span = |p: f32, q: f32, r: f32, end: u32| {
            let (least, most) = (p.min(q).min(r).max(0.0), p.max(q).max(r).min(end as f32 - 1.0));
            least.ceil() as u32..(most.floor() + 1.0).max(0.0) as u32
        };
        for y in span(a.y, b.y, c.y, HEIGHT) {
            for x in span(a.x, b.x, c.x, WIDTH) {
                let (dx, dy) = (x as f32 - a.x, y as f32 - a.y);
                let to_b = (dx * (c.y - a.y) - (c.x - a.x) * dy) / area;
                let to_c = ((b.x - a.x) * dy - dx * (b.y - a.y)) / area;
                // A little beyond the edge, so that no pixel falls between two triangles.
                if !(to_b >= -1e-3 && to_c >= -1e-3 && to_b + to_c <= 1.001) {
                    continue;
                }
                let mix = |of: fn(&Node) -> f32| of(&a) + to_b * (of(&b) - of(&a)) + to_c * (of(&c) - of(&a));
                let (at, depth) = ((y * WIDTH + x) as usize, mix(|n| n.depth));
                if depth < self.depth[at] {
                    self.depth[at] = depth;
                    let colour =
                        pixel(picture, [picture.width(), picture.height()], mix(|n| n.u), mix(|n| n.v));
                    self.rgb[at * 3..at * 3 + 3].copy_from_slice(&colour);
                }
            }
        }
    }
}

/// Nodes a side of the mesh.
const NODES: usize = 90;
/// Half of its side.
const REACH: f32 = 2.2;
/// From between the eyes to the middle of the face.
const FACE_MIDDLE: f32 = 0.5;
/// From the face back to what a head turns about.
const NECK: f32 = 1.4;
/// From the camera to the eyes.
const DISTANCE: f32 = 9.0;
