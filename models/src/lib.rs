//! Image in, numbers out: one camera frame becomes one `FaceObservation`.
//! Never stores, prints or sends a picture, a crop or a feature vector.

#![forbid(unsafe_code)]
