//! The test card every network runs on when a pack is loaded, and the numbers it must give.
//! The numbers in `pack.toml` were made with another engine, so a wrong normalisation, a wrong channel order, a
//! damaged network or a processor that computes differently does not load. The card shows no person.

use crate::frame::Frame;

/// `width` x `height` pixels of a fixed pattern that uses the whole range of all three channels unevenly.
/// Pixel (x, y): red 3x + 5y, green x + (7y / 2), blue x·y / 4 + 40, all modulo 256.
pub fn test_card(width: u32, height: u32) -> Frame {
    let pixel = |x: u32, y: u32| [(3 * x + 5 * y) as u8, (x + 7 * y / 2) as u8, (x * y / 4 + 40) as u8];
    let rgb = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
    Frame::crop_from(width, height, rgb)
}

/// First place where `outputs` differ from `expected`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    pub place: usize,
    pub expected: f32,
    pub got: f32,
}

/// The values a rehearsal compares: up to four of every output, evenly spread.
pub fn samples(outputs: &[Vec<f32>]) -> Vec<f32> {
    let pick = |values: &Vec<f32>| -> Vec<f32> {
        let count = values.len().min(SAMPLES);
        (0..count).map(|i| values[i * (values.len() - 1) / (count - 1).max(1)]).collect()
    };
    outputs.iter().flat_map(pick).collect()
}

/// `None` when every sample is as expected, within the rounding that engines differ by.
pub(crate) fn difference(outputs: &[Vec<f32>], expected: &[f32]) -> Option<Difference> {
    let got = samples(outputs);
    let missing = f32::NAN;
    (0..got.len().max(expected.len())).find_map(|place| {
        let expected = expected.get(place).copied().unwrap_or(missing);
        let got = got.get(place).copied().unwrap_or(missing);
        let near = (got - expected).abs() <= TOLERANCE * (1.0 + expected.abs());
        (!near).then_some(Difference { place, expected, got })
    })
}

const SAMPLES: usize = 4;
const TOLERANCE: f32 = 5e-4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_is_the_formula() {
        let card = test_card(112, 112);
        let at = (10 * 112 + 20) * 3;
        assert_eq!(card.rgb()[at..at + 3], [110, 55, 90]);
    }

    #[test]
    fn samples_are_spread_evenly() {
        let outputs = [(0..128).map(|v| v as f32).collect(), vec![5.0, 6.0, 7.0], vec![9.0]];
        assert_eq!(samples(&outputs), [0.0, 42.0, 84.0, 127.0, 5.0, 6.0, 7.0, 9.0]);
    }

    #[test]
    fn every_difference_counts() {
        let outputs = [vec![1.0, 2.0]];
        assert_eq!(difference(&outputs, &[1.0, 2.0005]), None);
        for expected in [&[1.0, 2.1][..], &[1.0], &[1.0, 2.0, 3.0], &[1.0, f32::NAN]] {
            assert!(difference(&outputs, expected).is_some(), "{expected:?}");
        }
    }
}
