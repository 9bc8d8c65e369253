//! One frame through all stages: detect, align, quality, PAD, embedding. The order is the rule: a face that is
//! not good enough is neither judged nor embedded. Never keeps anything of a frame between two calls; the place of
//! the face is kept by the caller.

use thiserror::Error;
use zhenyin_core::biometric::{FaceObservation, FaceSample, PadResult, Probe};

use crate::align::align;
use crate::detect::{Detection, Detector, Subjects, subjects};
use crate::embed::Embedder;
use crate::frame::Frame;
use crate::graph::GraphError;
use crate::pack::{Pack, PackError};
use crate::pad::Pad;
use crate::quality::{Assessment, Measures, assess, measure};
use crate::spec::Alignment;
use crate::track::TrackState;

/// Why a frame gave no observation. Such an error is never an accept and never a rejection.
#[derive(Debug, Error)]
pub enum ObserveError {
    #[error("the {stage} stage failed")]
    Stage {
        stage: Stage,
        #[source]
        source: GraphError,
    },
    #[error("the face has no extent")]
    NoExtent,
    #[error("the feature vector has no direction")]
    NoDirection,
}

/// A stage that runs a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Detect,
    Pad,
    Embed,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Detect => "`detect`",
            Self::Pad => "`pad`",
            Self::Embed => "`embed`",
        })
    }
}

/// All stages of one pack, ready to run. Runs on the calling thread only.
#[derive(Clone)]
pub struct Pipeline {
    detector: Detector,
    alignment: Alignment,
    pad: Pad,
    embedder: Embedder,
}

impl Pipeline {
    /// Shares the weights that [`Pack::load`] verified and rehearsed.
    pub fn new(pack: &Pack) -> Result<Self, PackError> {
        let (detector, alignment, pad, embedder) = pack.stages();
        Ok(Self { detector, alignment, pad, embedder })
    }

    /// What the frame shows. Takes one to a few network runs; blocks the calling thread meanwhile.
    pub fn observe(&self, frame: &Frame) -> Result<FaceObservation, ObserveError> {
        self.look_at(frame, subjects(&self.detect(frame)?), true, Self::embed)
    }

    /// As [`Self::observe`] for the next frame of one camera: finds the face near its last place where that is
    /// enough, and searches the whole frame otherwise. What is done with the face is the same.
    pub fn observe_next(
        &self,
        state: &mut TrackState,
        frame: &Frame,
    ) -> Result<FaceObservation, ObserveError> {
        let found = self.track(state, frame)?;
        self.look_at(frame, found, !state.was_followed(), Self::embed)
    }

    /// As [`Self::observe_next`], with the more careful probe of an enrolment: [`Self::embed_both`].
    pub fn enrol_next(&self, state: &mut TrackState, frame: &Frame) -> Result<FaceObservation, ObserveError> {
        let found = self.track(state, frame)?;
        self.look_at(frame, found, !state.was_followed(), Self::embed_both)
    }

    /// The detection part of [`Self::observe_next`] alone, for an active challenge or a preview.
    pub fn track(&self, state: &mut TrackState, frame: &Frame) -> Result<Subjects, ObserveError> {
        let failed = |source| ObserveError::Stage { stage: Stage::Detect, source };
        let near = |bounds| self.detector.detect_near(frame, bounds);
        let whole = || self.detector.detect(frame);
        state.next((frame.width(), frame.height()), near, whole).map_err(failed)
    }

    /// `alone`: the whole frame was searched.
    fn look_at(
        &self,
        frame: &Frame,
        found: Subjects,
        alone: bool,
        embed: impl FnOnce(&Self, &Frame) -> Result<Probe, ObserveError>,
    ) -> Result<FaceObservation, ObserveError> {
        let face = match found {
            Subjects::Nobody => return Ok(FaceObservation::NoFace),
            Subjects::Several(count) => {
                return Ok(FaceObservation::SeveralFaces { count: u8::try_from(count).unwrap_or(u8::MAX) });
            }
            Subjects::One(face) => face,
        };
        let crop = self.align(frame, &face)?;
        let Assessment { quality, hint } = assess(&measure(frame, &face, &crop));
        if let Some(hint) = hint {
            return Ok(FaceObservation::Unusable { hint, quality });
        }
        let pad = self.judge(frame, &face)?;
        let probe = embed(self, &crop)?;
        Ok(FaceObservation::Usable(FaceSample { probe, pad, quality, alone }))
    }

    /// All faces, largest first.
    pub fn detect(&self, frame: &Frame) -> Result<Vec<Detection>, ObserveError> {
        self.detector.detect(frame).map_err(|source| ObserveError::Stage { stage: Stage::Detect, source })
    }

    /// Upright crop of one face, of the size the embedding network takes.
    pub fn align(&self, frame: &Frame, face: &Detection) -> Result<Frame, ObserveError> {
        let (width, height) = self.embedder.crop_size();
        align(frame, &face.landmarks, self.alignment, width, height).ok_or(ObserveError::NoExtent)
    }

    /// What the quality stage measures on one face.
    pub fn measure(&self, frame: &Frame, face: &Detection) -> Result<Measures, ObserveError> {
        Ok(measure(frame, face, &self.align(frame, face)?))
    }

    /// Presentation attack detection of one face.
    pub fn judge(&self, frame: &Frame, face: &Detection) -> Result<PadResult, ObserveError> {
        self.pad.judge(frame, face.bounds).map_err(|source| ObserveError::Stage { stage: Stage::Pad, source })
    }

    /// Bona fide share of every PAD network, in pack order: for tools that evaluate packs, never for live
    /// outcomes.
    pub fn danger_pad_shares(&self, frame: &Frame, face: &Detection) -> Result<Vec<f32>, ObserveError> {
        self.pad
            .shares(frame, face.bounds)
            .map_err(|source| ObserveError::Stage { stage: Stage::Pad, source })
    }

    /// Probe of an upright crop made by [`Self::align`].
    pub fn embed(&self, crop: &Frame) -> Result<Probe, ObserveError> {
        embedded(self.embedder.embed(crop))
    }

    /// Mean of the probes of a crop and of its mirror image: twice the work, for what is kept for long.
    pub fn embed_both(&self, crop: &Frame) -> Result<Probe, ObserveError> {
        embedded(self.embedder.embed_both(crop))
    }
}

fn embedded(probe: Result<Option<Probe>, GraphError>) -> Result<Probe, ObserveError> {
    probe
        .map_err(|source| ObserveError::Stage { stage: Stage::Embed, source })?
        .ok_or(ObserveError::NoDirection)
}
