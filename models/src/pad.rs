//! Presentation attack detection: is this a face before the camera, or a print or a screen showing one?
//! Passive and per frame. Fails closed: whatever is not clearly bona fide is an attack, or in doubt where the pack
//! says from which share on.

use zhenyin_core::biometric::PadResult;

use crate::frame::Frame;
use crate::graph::{GraphError, Network};
use crate::resample::{Filter, Rect, crop, resize};
use crate::spec::PadSpec;

/// The networks of a pack that vote, and the shares they must reach.
#[derive(Clone)]
pub(crate) struct Pad {
    voters: Vec<Voter>,
    floors: Floors,
}

/// Bona fide shares, 0 to 1.
#[derive(Clone, Copy)]
pub(crate) struct Floors {
    /// Least mean of all networks.
    pub(crate) mean: f32,
    /// Least of every network; below it no doubt is left.
    pub(crate) each: f32,
    /// Least mean that leaves a doubt; at `mean` there is none.
    pub(crate) doubt: f32,
}

#[derive(Clone)]
pub(crate) struct Voter {
    network: Network,
    crop_scale: f32,
    bona_fide: usize,
}

impl Voter {
    pub(crate) fn new(network: Network, spec: &PadSpec) -> Self {
        Self { network, crop_scale: spec.crop_scale, bona_fide: spec.bona_fide }
    }

    /// Share of the bona fide class, 0 to 1.
    fn share(&self, frame: &Frame, face: Rect) -> Result<f32, GraphError> {
        let input = self.network.input();
        let (left, top, width, height) = region(frame, face, self.crop_scale);
        let picture =
            resize(&crop(frame, left, top, width, height), input.width, input.height, Filter::Bilinear);
        let logits = self.network.run(input.planes(&picture))?;
        Ok(softmax(&logits[0]).get(self.bona_fide).copied().unwrap_or(0.0))
    }
}

impl Pad {
    pub(crate) fn new(voters: Vec<Voter>, floors: Floors) -> Self {
        Self { voters, floors }
    }

    /// Bona fide only when the mean share of all networks reaches the pack's threshold and no single network
    /// is below its own floor: one network fooled is not enough, one network certain of an attack is.
    pub(crate) fn judge(&self, frame: &Frame, face: Rect) -> Result<PadResult, GraphError> {
        Ok(self.decide(&self.shares(frame, face)?))
    }

    /// The share of every network, in pack order.
    pub(crate) fn shares(&self, frame: &Frame, face: Rect) -> Result<Vec<f32>, GraphError> {
        self.voters.iter().map(|voter| voter.share(frame, face)).collect()
    }

    fn decide(&self, shares: &[f32]) -> PadResult {
        let mean = shares.iter().sum::<f32>() / shares.len() as f32;
        // An empty list gives NaN, which reaches no floor.
        let Floors { mean: floor, each, doubt } = self.floors;
        if !shares.iter().all(|&s| s >= each) {
            PadResult::Attack
        } else if mean >= floor {
            PadResult::BonaFide
        } else if mean >= doubt {
            PadResult::Doubtful
        } else {
            PadResult::Attack
        }
    }
}

/// The face box grown about its centre by `scale`, or as far as the frame allows, then shifted inside:
/// left, top, width, height, never empty.
fn region(frame: &Frame, face: Rect, scale: f32) -> (u32, u32, u32, u32) {
    let (frame_width, frame_height) = (frame.width() as f32, frame.height() as f32);
    let scale = scale.min((frame_height - 1.0) / face.height).min((frame_width - 1.0) / face.width);
    let (width, height) = (face.width * scale, face.height * scale);
    let span = |start: f32, size: f32, whole: f32| {
        let left = (start - size / 2.0).clamp(0.0, (whole - 1.0 - size).max(0.0));
        let first = left.floor().min(whole - 1.0);
        let last = (left + size).floor().min(whole - 1.0);
        (first as u32, (last - first) as u32 + 1)
    };
    let (left, columns) = span(face.x + face.width / 2.0, width, frame_width);
    let (top, rows) = span(face.y + face.height / 2.0, height, frame_height);
    (left, top, columns, rows)
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|l| (l - greatest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|p| p / sum).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whatever_is_not_clearly_bona_fide_is_an_attack() {
        let pad = |doubt| Pad::new(Vec::new(), Floors { mean: 0.5, each: 0.2, doubt });
        for (shares, bona_fide) in [
            (&[0.9, 0.9][..], true),
            (&[0.8, 0.21], true),
            (&[0.5], true),
            (&[0.99, 0.19], false),
            (&[0.4, 0.55], false),
            (&[], false),
            (&[f32::NAN, 0.9], false),
        ] {
            let expected = if bona_fide { PadResult::BonaFide } else { PadResult::Attack };
            assert_eq!(pad(0.5).decide(shares), expected, "{shares:?}");
        }
        for (shares, expected) in [
            (&[0.5, 0.5][..], PadResult::BonaFide),
            (&[0.6, 0.39], PadResult::Doubtful),
            (&[0.3, 0.3], PadResult::Doubtful),
            (&[0.3, 0.29], PadResult::Attack),
            (&[0.75, 0.19], PadResult::Attack),
            (&[], PadResult::Attack),
            (&[f32::NAN, 0.9], PadResult::Attack),
        ] {
            assert_eq!(pad(0.3).decide(shares), expected, "{shares:?}");
        }
    }

    #[test]
    fn softmax_survives_great_logits() {
        let shares = softmax(&[1000.0, 1000.0, -1000.0]);
        assert_eq!(shares, [0.5, 0.5, 0.0]);
    }

    proptest! {
        #[test]
        fn region_stays_inside(
            x in -500.0_f32..900.0, y in -500.0_f32..900.0, width in 1.0_f32..900.0, height in 1.0_f32..900.0,
            scale in 1.0_f32..5.0
        ) {
            let frame = Frame::crop_from(64, 48, vec![0; 64 * 48 * 3]);
            let (left, top, columns, rows) = region(&frame, Rect { x, y, width, height }, scale);
            prop_assert!(columns >= 1 && rows >= 1 && left + columns <= 64 && top + rows <= 48);
        }
    }
}
