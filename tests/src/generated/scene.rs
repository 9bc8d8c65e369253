//! One frame: the person posed before the camera, lit and drawn in front of the room.
//! Never keeps anything between two frames.

use super::eye::{Look, eye};
use super::hair::cloth;
use super::head::bump;
use super::light::Rig;
use super::mesh::{Mesh, V, add, sub};
use super::random::{mix, step};
use super::raster::{Canvas, Projected, Spot};
use super::room::Room;
use super::skin::tone;
use super::{Person, View};

/// Samples a side for every pixel.
const FINE: usize = 2;
/// Width of the picture over the focal length: about 58 degrees.
const WIDE: f32 = 1.1;
/// The head turns about the top of the neck.
const PIVOT: V = [0.0, -0.85, -0.25];

/// Where the camera stands and how the person holds head and body.
pub(super) struct Pose {
    head: Turn,
    body: Turn,
    moved: V,
    distance: f32,
    scale: f32,
    middle: [f32; 2],
    smile: f32,
}

struct Turn([V; 3]);

impl Turn {
    /// Angles in degrees: yaw turns the nose to the right of the picture, pitch downwards, roll tilts clockwise.
    fn new(yaw: f32, pitch: f32, roll: f32) -> Self {
        let ((sy, cy), (sp, cp), (sr, cr)) =
            (yaw.to_radians().sin_cos(), pitch.to_radians().sin_cos(), roll.to_radians().sin_cos());
        let turned = |p: V| {
            let [x, y, z] = [p[0], p[1] * cp - p[2] * sp, p[1] * sp + p[2] * cp];
            let [x, z] = [x * cy + z * sy, z * cy - x * sy];
            [x * cr + y * sr, y * cr - x * sr, z]
        };
        Self([turned([1.0, 0.0, 0.0]), turned([0.0, 1.0, 0.0]), turned([0.0, 0.0, 1.0])])
    }

    fn of(&self, p: V) -> V {
        let p = sub(p, PIVOT);
        let [a, b, c] = &self.0;
        add(std::array::from_fn(|i| a[i] * p[0] + b[i] * p[1] + c[i] * p[2]), PIVOT)
    }
}

impl Pose {
    pub(super) fn new(view: &View) -> Self {
        let distance = view.distance * 10.0;
        Self {
            head: Turn::new(view.yaw, view.pitch, view.roll),
            body: Turn::new(view.yaw * 0.25, 0.0, view.roll * 0.15),
            moved: [view.aside[0] * 10.0, view.aside[1] * 10.0, 0.0],
            distance,
            scale: view.width as f32 / WIDE,
            middle: [view.width as f32 / 2.0, view.height as f32 / 2.0],
            smile: view.expression,
        }
    }

    /// A point of the head or, far down, of the neck, before the camera. `x`, `y`: its place in the front view.
    pub(super) fn head_point(&self, at: V, x: f32, y: f32) -> V {
        let at = self.expressed(at, x, y);
        let stiff = step(-1.1, -1.75, at[1]);
        let turned = self.head.of(at);
        let moved = if stiff > 0.0 {
            let body = self.body.of(at);
            std::array::from_fn(|i| mix(turned[i], body[i], stiff))
        } else {
            turned
        };
        add(moved, self.moved)
    }

    fn body_point(&self, at: V) -> V {
        add(self.body.of(at), self.moved)
    }

    /// A smile draws the corners of the mouth out and up and lifts the cheeks.
    fn expressed(&self, at: V, x: f32, y: f32) -> V {
        if self.smile == 0.0 || at[2] < 0.0 || y > 0.1 {
            return at;
        }
        let corner = self.smile * bump(x.abs(), y, 0.27, -0.72, 0.16, 0.13);
        let cheek = self.smile * bump(x.abs(), y, 0.40, -0.36, 0.18, 0.16);
        [
            at[0] + x.signum() * 0.07 * corner,
            at[1] + 0.055 * corner + 0.035 * cheek,
            at[2] - 0.035 * corner + 0.035 * cheek,
        ]
    }

    /// Pixels of the picture, and nearness.
    pub(super) fn project(&self, p: V) -> Projected {
        let near = 1.0 / (self.distance - p[2]).max(0.5);
        [self.middle[0] + self.scale * p[0] * near, self.middle[1] - self.scale * p[1] * near, near]
    }

    fn project_fine(&self, p: V) -> Projected {
        let [x, y, near] = self.project(p);
        [(x + 0.5) * FINE as f32 - 0.5, (y + 0.5) * FINE as f32 - 0.5, near]
    }
}

/// Light at every pixel of the picture.
pub(super) fn draw(person: &Person, view: &View) -> Vec<V> {
    let (width, height) = (view.width as usize, view.height as usize);
    let pose = Pose::new(view);
    let rig = view.light.rig();
    let mut canvas = Canvas::new(width * FINE, height * FINE);
    // From the front backwards, so that what is hidden is not shaded.
    draw_around(&mut canvas, person, &pose, &rig);
    draw_head(&mut canvas, person, view, &pose, &rig);
    draw_body(&mut canvas, person, &pose, &rig);
    let bright: V = std::array::from_fn(|i| 0.35 * rig.main[i] + rig.around[i]);
    let room = Room::paint(view.place, width, height, bright);
    let mut light = Vec::with_capacity(width * height);
    for y in 0..height {
        for x in 0..width {
            light.push(gathered(&canvas, x, y, || room.at(x, y)));
        }
    }
    light
}

/// Mean of a pixel's samples; samples that hit nothing see the room.
fn gathered(canvas: &Canvas, x: usize, y: usize, room: impl Fn() -> V) -> V {
    let (mut sum, mut hits) = ([0.0; 3], 0);
    for dy in 0..FINE {
        let first = (y * FINE + dy) * canvas.width + x * FINE;
        for i in first..first + FINE {
            if canvas.nearness[i] > 0.0 {
                sum = add(sum, canvas.light[i]);
                hits += 1;
            }
        }
    }
    let all = FINE * FINE;
    if hits < all {
        let behind = room();
        sum = std::array::from_fn(|i| sum[i] + behind[i] * (all - hits) as f32);
    }
    sum.map(|s| s / all as f32)
}

fn draw_head(canvas: &mut Canvas, person: &Person, view: &View, pose: &Pose, rig: &Rig) {
    let id = &person.identity;
    // People look at the screen: the eyes turn against the head.
    let look = Look {
        shut: (view.blink + 0.22 * view.expression.max(0.0)).clamp(0.0, 1.0),
        aside: -0.075 * (view.yaw.to_radians() * 1.2).sin(),
        up: 0.05 * (view.pitch.to_radians() * 1.2).sin(),
    };
    let places: Vec<V> =
        person.head.vertices.iter().map(|v| pose.head_point(v.at, v.place[2], v.place[3])).collect();
    canvas.draw(
        &person.head,
        &places,
        |p| pose.project_fine(p),
        |spot| {
            let [s, t, x, y] = spot.place;
            let skin = person.skin.at(s, t);
            let (albedo, wet) = if spot.place[3].abs() < 0.2 && (s - 0.5).abs() < 0.3 {
                eye(id, look, skin, x, y).unwrap_or((skin, 0.0))
            } else {
                (skin, 0.0)
            };
            Some(rig.skin(albedo, spot.normal, spot.open, id.skin.oily, wet))
        },
    );
}

fn draw_around(canvas: &mut Canvas, person: &Person, pose: &Pose, rig: &Rig) {
    let id = &person.identity;
    let skin = tone(id);
    let head_points =
        |mesh: &Mesh| -> Vec<V> { mesh.vertices.iter().map(|v| pose.head_point(v.at, 0.0, 1.0)).collect() };
    for (part, colour) in person.glasses.iter().zip(std::iter::repeat(id.glasses.as_ref().map(|g| g.colour)))
    {
        let colour = colour.unwrap_or([0.0; 3]);
        canvas.draw(
            part,
            &head_points(part),
            |p| pose.project_fine(p),
            |spot| Some(rig.skin(colour, spot.normal, 1.0, 1.0, 0.6)),
        );
    }
    if let Some(hair) = &person.hair {
        let places = head_points(hair);
        let shade = |spot: &Spot| {
            let [s, t, _, over] = spot.place;
            Some(rig.hair(person.strands.at(id, s, t, over)?, spot.normal, spot.open))
        };
        canvas.draw(hair, &places, |p| pose.project_fine(p), shade);
        if id.hair.cut.is_long() {
            // Seen from the front, long hair behind the neck shows its inside.
            let inside = |spot: &Spot| Some(shade(spot)?.map(|c| c * 0.6));
            canvas.draw_inside(hair, &places, |p| pose.project_fine(p), inside);
        }
    }
    for ear in &person.ears {
        canvas.draw(
            ear,
            &head_points(ear),
            |p| pose.project_fine(p),
            |spot| {
                let flushed = [skin[0], skin[1] * 0.84, skin[2] * 0.82];
                Some(rig.skin(flushed, spot.normal, spot.open, id.skin.oily * 0.5, 0.0))
            },
        );
    }
}

fn draw_body(canvas: &mut Canvas, person: &Person, pose: &Pose, rig: &Rig) {
    let (id, torso) = (&person.identity, &person.torso);
    let skin = tone(id);
    let places: Vec<V> = torso.vertices.iter().map(|v| pose.body_point(v.at)).collect();
    let shade = |spot: &Spot| {
        let [s, _, x, y] = spot.place;
        let front = (s - 0.5).abs() < 0.25;
        Some(rig.cloth(cloth(id, skin, x, y, front), spot.normal, spot.open))
    };
    canvas.draw(torso, &places, |p| pose.project_fine(p), shade);
    // The inside of the collar, behind the neck.
    canvas.draw_inside(torso, &places, |p| pose.project_fine(p), |spot| Some(shade(spot)?.map(|c| c * 0.6)));
}
