//! The feature vector of an upright crop. Never compares, never stores: the probe zeroes itself.

use zeroize::Zeroize as _;
use zhenyin_core::biometric::{ModelDigest, Probe};

use crate::frame::Frame;
use crate::graph::{GraphError, Network};
use crate::spec::EmbedderDecode;

#[derive(Clone)]
pub(crate) struct Embedder {
    network: Network,
    model: ModelDigest,
}

impl Embedder {
    pub(crate) fn new(network: Network, decode: EmbedderDecode, model: ModelDigest) -> Self {
        let EmbedderDecode::Cosine = decode;
        Self { network, model }
    }

    /// Width and height of the crop it takes.
    pub(crate) fn crop_size(&self) -> (u32, u32) {
        (self.network.input().width, self.network.input().height)
    }

    /// Mean of the crop and its mirror image, which differ in nothing that tells people apart: twice the work of
    /// [`Self::embed`]. `Ok(None)` when a vector has no direction.
    pub(crate) fn embed_both(&self, crop: &Frame) -> Result<Option<Probe>, GraphError> {
        let Some(plain) = self.embed(crop)? else { return Ok(None) };
        let Some(mirrored) = self.embed(&crop.mirrored())? else { return Ok(None) };
        Ok(Probe::fuse(&[plain, mirrored]))
    }

    /// `Ok(None)` when the vector has no direction.
    pub(crate) fn embed(&self, crop: &Frame) -> Result<Option<Probe>, GraphError> {
        let mut outputs = self.network.run(self.network.input().planes(crop))?;
        let features = outputs.swap_remove(0);
        outputs.iter_mut().for_each(|rest| rest.zeroize());
        Ok(Probe::new(self.model, features))
    }
}
