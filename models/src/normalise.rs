//! Pixels to the numbers a network was trained on: channel order, scale, mean, deviation.
//! A wrong choice fails silently, so every pack carries a rehearsal that a wrong choice does not pass.

use serde::{Deserialize, Serialize};

use crate::frame::Frame;

/// Order of the three channel planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColourOrder {
    Rgb,
    Bgr,
}

/// What a network takes: 1 x 3 x `height` x `width`, `(pixel − mean) / deviation` with pixels 0 to 255.
/// `mean` and `deviation` stand in the same order as the planes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkInput {
    pub width: u32,
    pub height: u32,
    pub colour: ColourOrder,
    pub mean: [f32; 3],
    pub deviation: [f32; 3],
}

impl NetworkInput {
    /// Three planes, row by row, one after the other. Places that the picture does not reach (right and
    /// below) get the value of a black pixel; a picture that is larger is cut.
    pub fn planes(&self, picture: &Frame) -> Vec<f32> {
        let (width, height) = (self.width as usize, self.height as usize);
        let stride = picture.width() as usize * 3;
        let mut planes = Vec::with_capacity(width * height * 3);
        for plane in 0..3 {
            let channel = match self.colour {
                ColourOrder::Rgb => plane,
                ColourOrder::Bgr => 2 - plane,
            };
            let table: Vec<f32> =
                (0..=255_u8).map(|v| (f32::from(v) - self.mean[plane]) / self.deviation[plane]).collect();
            let black = table[0];
            for row in picture.rgb().chunks_exact(stride).take(height) {
                let end = planes.len() + width;
                let pixels = row.chunks_exact(3).take(width);
                planes.extend(pixels.map(|pixel| table[usize::from(pixel[channel])]));
                planes.resize(end, black);
            }
            planes.resize((plane + 1) * width * height, black);
        }
        planes
    }

    /// `None` when a side is 0 or beyond 2048, a deviation is not above 0, or a number is not finite.
    pub(crate) fn checked(&self) -> Option<&Self> {
        let sides = [self.width, self.height].iter().all(|s| (1..=2048).contains(s));
        let numbers = self.mean.iter().all(|m| m.is_finite())
            && self.deviation.iter().all(|d| d.is_finite() && *d > 0.0);
        (sides && numbers).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_are_ordered_scaled_and_padded() {
        let picture = Frame::crop_from(1, 2, vec![10, 20, 30, 40, 50, 60]);
        let mut input = NetworkInput {
            width: 2,
            height: 2,
            colour: ColourOrder::Rgb,
            mean: [10.0, 0.0, 0.0],
            deviation: [1.0, 10.0, 1.0],
        };
        let black = [-10.0, 0.0, 0.0];
        let rgb = [0.0, black[0], 30.0, black[0], 2.0, black[1], 5.0, black[1], 30.0, 0.0, 60.0, 0.0];
        assert_eq!(input.planes(&picture), rgb);
        input.colour = ColourOrder::Bgr;
        assert_eq!(input.planes(&picture)[..4], [20.0, -10.0, 50.0, -10.0]);
    }
}
