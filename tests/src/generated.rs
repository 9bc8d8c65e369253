//! People who do not exist, drawn before a webcam: for the demo, the tests and the training of packs.
//! Never a picture of anybody: everything follows from a number. Never a measure of how a pack does on real people.

mod eye;
mod hair;
mod head;
mod identity;
mod light;
mod mesh;
pub mod random;
mod raster;
mod room;
mod scene;
mod sensor;
mod skin;

use zhenyin_core::challenge::Turn;
use zhenyin_models::Frame;

pub use light::Light;
pub use sensor::{Sensor, jpeg};

use hair::Strands;
use identity::Identity;
use mesh::Mesh;
use random::Dice;
use skin::Skin;

/// One person; the same number is always the same person.
pub struct Person {
    identity: Identity,
    head: Mesh,
    skin: Skin,
    ears: [Mesh; 2],
    hair: Option<Mesh>,
    strands: Strands,
    glasses: Vec<Mesh>,
    torso: Mesh,
    marks: [usize; 5],
}

/// How a person is seen in one frame. Angles in degrees, lengths in metres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Positive turns the nose to the right of the picture.
    pub yaw: f32,
    /// Positive turns the nose down.
    pub pitch: f32,
    /// Positive tilts the head clockwise.
    pub roll: f32,
    pub light: Light,
    /// 0 open eyes, 1 shut.
    pub blink: f32,
    /// 0 neutral, 1 a broad smile, -1 displeased.
    pub expression: f32,
    /// From the camera to the ears.
    pub distance: f32,
    /// How far right and up of the picture's middle the eyes are.
    pub aside: [f32; 2],
    /// Which room.
    pub place: u64,
    pub sensor: Sensor,
    pub noise_seed: u64,
    pub width: u32,
    pub height: u32,
}

/// Where the face lies in the frame, in pixels, worked out from the shape and so without error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Labels {
    /// Left, top, width, height: from the brow's upper end of the forehead to the chin, without ears and hair.
    pub face: [f32; 4],
    /// Eye left in the picture, eye right, nose tip, mouth corner left, mouth corner right.
    pub points: [[f32; 2]; 5],
}

impl Labels {
    /// The labels in a picture of this picture; `None` when a part of the face is not seen there.
    pub fn carried(&self, to: impl Fn([f32; 2]) -> Option<[f32; 2]>) -> Option<Self> {
        let [left, top, width, height] = self.face;
        let [west, east] = [to([left, top + height / 2.0])?, to([left + width, top + height / 2.0])?];
        let [north, south] = [to([left + width / 2.0, top])?, to([left + width / 2.0, top + height])?];
        let face = [west[0], north[1], east[0] - west[0], south[1] - north[1]];
        let mut points = self.points;
        for point in &mut points {
            *point = to(*point)?;
        }
        Some(Self { face, points })
    }
}

impl Default for View {
    fn default() -> Self {
        Self {
            yaw: 0.0,
            pitch: 0.0,
            roll: 0.0,
            light: Light::OFFICE,
            blink: 0.0,
            expression: 0.0,
            distance: 0.6,
            aside: [0.0, 0.0],
            place: 1,
            sensor: Sensor::WEBCAM,
            noise_seed: 1,
            width: 640,
            height: 480,
        }
    }
}

impl View {
    /// Any view in which a person who wants to be recognised might be seen; `spread` 0 always the same, 1 all that
    /// a pack should bear, more than that beyond it.
    pub fn draw(seed: u64, spread: f32) -> Self {
        let mut d = Dice::new(seed, 2);
        Self {
            yaw: d.around(0.0, 11.0 * spread),
            pitch: d.around(0.0, 7.0 * spread),
            roll: d.around(0.0, 5.0 * spread),
            light: Light::draw(d.next()),
            blink: if d.chance(0.06 * spread) { d.unit() } else { d.between(0.0, 0.15) },
            expression: if d.chance(0.4) { d.between(-0.4, 1.0) * spread.min(1.0) } else { 0.0 },
            distance: d.between(0.6 - 0.15 * spread.min(1.5), 0.6 + 0.3 * spread),
            aside: [d.around(0.0, 0.045 * spread), d.around(0.0, 0.03 * spread)],
            place: d.next(),
            sensor: Sensor::draw(d.next()),
            noise_seed: d.next(),
            ..Self::default()
        }
    }
}

impl Person {
    pub fn new(seed: u64) -> Self {
        let identity = Identity::draw(seed);
        let head = head::head(&identity);
        let glasses = identity.glasses.as_ref();
        Self {
            skin: Skin::paint(&identity),
            ears: [hair::ear(&identity, -1.0), hair::ear(&identity, 1.0)],
            hair: hair::hair(&identity),
            strands: Strands::comb(&identity),
            glasses: glasses.map_or_else(Vec::new, |g| hair::glasses(g, &identity, &head)),
            torso: hair::torso(&identity),
            marks: head::marks(&identity, &head),
            head,
            identity,
        }
    }

    /// What the webcam sees.
    pub fn frame(&self, view: &View) -> Frame {
        let light = scene::draw(self, view);
        view.sensor.capture(&light, view.width as usize, view.height as usize, view.noise_seed)
    }

    /// Where the face lies in that frame.
    pub fn labels(&self, view: &View) -> Labels {
        let pose = scene::Pose::new(view);
        let seen = |i: usize| {
            let vertex = &self.head.vertices[i];
            let [x, y, _] = pose.project(pose.head_point(vertex.at, vertex.place[2], vertex.place[3]));
            [x, y]
        };
        let face =
            (0..self.head.vertices.len()).filter(|&i| head::is_face(&self.identity, &self.head.vertices[i]));
        let (mut low, mut high) = ([f32::MAX; 2], [f32::MIN; 2]);
        for [x, y] in face.map(seen) {
            low = [low[0].min(x), low[1].min(y)];
            high = [high[0].max(x), high[1].max(y)];
        }
        Labels { face: [low[0], low[1], high[0] - low[0], high[1] - low[1]], points: self.marks.map(seen) }
    }
}

/// A few seconds before the camera: the head sways and turns a little, the eyes blink, room and light stay.
pub fn sequence(person: &Person, start: &View, frames: usize) -> Vec<Frame> {
    views(start, frames).iter().map(|view| person.frame(view)).collect()
}

/// Where a head is turned, in degrees of yaw and pitch, that looks as far as this in a direction.
pub fn aside(turn: Turn, degrees: f32) -> [f32; 2] {
    match turn {
        Turn::Left => [degrees, 0.0],
        Turn::Right => [-degrees, 0.0],
        Turn::Up => [0.0, -degrees],
    }
}

/// A pose over time, as somebody does who is asked to look aside: ahead for a moment, there, holding, and back.
/// At 20 frames a second each part takes a second and a half.
pub fn glance<T: Clone>(turn: Turn, degrees: f32, mut seen: impl FnMut([f32; 2]) -> T) -> Vec<T> {
    let ahead = seen([0.0, 0.0]);
    let there: Vec<T> = (1..=STEPS).map(|i| seen(aside(turn, degrees * i as f32 / STEPS as f32))).collect();
    let held = there.last().cloned().unwrap_or_else(|| ahead.clone());
    let slowly = |steps: Vec<T>| steps.into_iter().flat_map(|step| [step.clone(), step]);
    let back = slowly(there.iter().rev().cloned().collect());
    let there = slowly(there);
    let wait = |frame: T| std::iter::repeat_n(frame, 2 * STEPS as usize);
    wait(ahead).chain(there).chain(wait(held)).chain(back).collect()
}

const STEPS: u16 = 15;

/// The views of [`sequence`].
pub fn views(start: &View, frames: usize) -> Vec<View> {
    let mut d = Dice::new(start.noise_seed, 4);
    let (phase, blink_at) = (d.between(0.0, 6.0), d.next() as usize % 50);
    (0..frames)
        .map(|i| {
            let t = i as f32 / 20.0;
            let sway = |speed: f32, size: f32, shift: f32| size * (t * speed + phase + shift).sin();
            let since_blink = (i + blink_at) % 60;
            View {
                yaw: start.yaw + sway(1.7, 3.0, 0.0) + sway(4.1, 0.6, 1.0),
                pitch: start.pitch + sway(1.3, 1.8, 2.0),
                roll: start.roll + sway(0.9, 1.5, 3.0),
                aside: [start.aside[0] + sway(1.1, 0.008, 4.0), start.aside[1] + sway(0.7, 0.004, 5.0)],
                blink: [0.6, 1.0, 0.7, 0.3].get(since_blink).copied().unwrap_or(start.blink),
                noise_seed: start.noise_seed.wrapping_add(i as u64 * 7919),
                ..*start
            }
        })
        .collect()
}
