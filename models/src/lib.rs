//! Image in, numbers out: one camera frame becomes one `FaceObservation`.
//! Never stores, prints or sends a picture, a crop or a feature vector.
//!
//! Files stand in flow order: a frame is decoded, a face detected, aligned, assessed, judged and embedded.

#![forbid(unsafe_code)]

mod jpeg;
pub mod frame;
pub mod resample;
pub mod normalise;
pub mod spec;
pub mod rehearsal;
mod resized;
pub mod graph;
pub mod detect;
mod align;
pub mod quality;
mod pad;
mod embed;
pub mod pack;
pub mod recipe;
pub mod import;
pub mod roc;
pub mod eval;
pub mod plot;
pub mod calibrate;
pub mod bench;
pub mod pipeline;
pub mod track;
pub mod challenge;
mod follow;
pub mod turning;

pub use frame::{Frame, FrameError};
pub use pack::{Pack, PackError, Thresholds};
pub use pipeline::{ObserveError, Pipeline};
pub use track::TrackState;
pub use turning::Turning;
