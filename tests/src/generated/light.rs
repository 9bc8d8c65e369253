//! Light in the room and how skin, hair and cloth throw it back.
//! Never casts shadows of one thing on another.

use super::mesh::{V, add, dot, unit};
use super::random::{Dice, mix};

/// Light of one scene; angles in degrees as seen from the person's camera.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Light {
    /// Where the main light comes from: 0 from the camera, positive from the right of the picture.
    pub azimuth: f32,
    /// Positive from above.
    pub elevation: f32,
    /// Strength of the main light, about 1.
    pub main: f32,
    /// Strength of the light from all around, about 0.4.
    pub around: f32,
    /// -1 bluish to 1 yellowish.
    pub warmth: f32,
}

impl Light {
    /// An evenly lit office.
    pub const OFFICE: Self = Self { azimuth: 15.0, elevation: 40.0, main: 0.75, around: 0.55, warmth: 0.1 };

    /// Any indoor light in which a person can work.
    pub fn draw(seed: u64) -> Self {
        let mut d = Dice::new(seed, 7);
        Self {
            azimuth: d.around(0.0, 35.0),
            elevation: d.between(5.0, 60.0),
            main: d.between(0.45, 1.1),
            around: d.between(0.3, 0.75),
            warmth: d.around(0.1, 0.4).clamp(-1.0, 1.0),
        }
    }

    pub(super) fn rig(&self) -> Rig {
        let (azimuth, elevation) = (self.azimuth.to_radians(), self.elevation.to_radians());
        let towards = [azimuth.sin() * elevation.cos(), elevation.sin(), azimuth.cos() * elevation.cos()];
        let tint = [1.0 + 0.12 * self.warmth, 1.0, 1.0 - 0.18 * self.warmth];
        Rig {
            towards,
            half: unit(add(towards, [0.0, 0.0, 1.0])),
            main: tint.map(|c| c * self.main),
            around: tint.map(|c| (0.5 + 0.5 * c) * self.around),
        }
    }
}

/// The light worked out once a frame.
pub(super) struct Rig {
    towards: V,
    half: V,
    pub(super) main: V,
    pub(super) around: V,
}

/// How far light wraps around into the shade: red goes furthest under skin.
const SKIN_WRAP: V = [0.34, 0.22, 0.17];

impl Rig {
    fn ambient(&self, normal: V, open: f32) -> V {
        let from_above = mix(0.62, 1.08, 0.5 + 0.5 * normal[1]) * (0.85 + 0.15 * normal[2]);
        self.around.map(|c| c * from_above * open)
    }

    pub(super) fn skin(&self, albedo: V, normal: V, open: f32, oily: f32, wet: f32) -> V {
        let normal = unit(normal);
        let facing = dot(normal, self.towards);
        let ambient = self.ambient(normal, open);
        let shine = dot(normal, self.half).max(0.0);
        let soft = shine.powi(14) * 0.055 * oily + shine.powi(50) * (0.03 * oily + 0.25 * wet);
        let rim = (1.0 - normal[2].clamp(0.0, 1.0)).powi(4) * 0.05;
        let shelter = open.min(1.0);
        std::array::from_fn(|i| {
            let lit = ((facing + SKIN_WRAP[i]) / (1.0 + SKIN_WRAP[i])).max(0.0);
            albedo[i] * (ambient[i] + self.main[i] * lit * shelter)
                + self.main[i] * soft * shelter
                + ambient[i] * rim
        })
    }

    pub(super) fn hair(&self, albedo: V, normal: V, open: f32) -> V {
        let normal = unit(normal);
        let lit = (dot(normal, self.towards) + 0.25).max(0.0) / 1.25;
        // Strands run down: the gleam is a band across them.
        let along = self.half[1] * (1.0 - normal[1] * normal[1]) - normal[1] * self.half[2] * 0.5;
        let gleam = (1.0 - along * along).max(0.0).powi(24) * 0.05 * normal[2].max(0.0);
        let ambient = self.ambient(normal, open);
        std::array::from_fn(|i| {
            albedo[i] * (ambient[i] + self.main[i] * lit * open)
                + self.main[i] * gleam * (0.3 + 4.0 * albedo[i])
        })
    }

    pub(super) fn cloth(&self, albedo: V, normal: V, open: f32) -> V {
        let normal = unit(normal);
        let lit = (dot(normal, self.towards) + 0.1).max(0.0) / 1.1;
        let ambient = self.ambient(normal, open);
        std::array::from_fn(|i| albedo[i] * (ambient[i] + self.main[i] * lit * open))
    }
}
