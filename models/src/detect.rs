//! Where the faces are: letterbox, detector, decoding, suppression of doubles, and which faces matter.
//! Never says whose face it is.

use crate::frame::Frame;
use crate::graph::{GraphError, Network};
use crate::normalise::NetworkInput;
use crate::resample::{Filter, Point, Rect, crop, resize};
use crate::spec::DetectorDecode;

/// One face, in pixels of the frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    pub bounds: Rect,
    /// Eye left in the image, eye right in the image, nose, mouth corner left, mouth corner right.
    pub landmarks: [Point; 5],
    /// 0 to 1.
    pub score: f32,
}

/// The faces of a frame that matter.
#[derive(Clone, Debug, PartialEq)]
pub enum Subjects {
    Nobody,
    One(Detection),
    Several(usize),
}

#[derive(Clone)]
pub(crate) struct Detector {
    network: Network,
    /// The same network for a small picture, where it can be made: for a face whose place is about known.
    near: Option<Network>,
    threshold: f32,
}

impl Detector {
    pub(crate) fn new(
        network: Network,
        near: Option<Network>,
        decode: DetectorDecode,
        threshold: f32,
    ) -> Self {
        let DetectorDecode::Yunet = decode;
        Self { network, near, threshold }
    }

    /// All faces at or above the threshold, largest first.
    pub(crate) fn detect(&self, frame: &Frame) -> Result<Vec<Detection>, GraphError> {
        self.detect_with(&self.network, frame)
    }

    /// The faces in the part of the frame around `bounds`, largest first; `None` when this detector cannot
    /// look at a part for less than at the whole.
    pub(crate) fn detect_near(
        &self,
        frame: &Frame,
        bounds: Rect,
    ) -> Result<Option<Vec<Detection>>, GraphError> {
        let Some(near) = &self.near else { return Ok(None) };
        let Some((left, top, width, height)) = surroundings(frame, bounds) else { return Ok(None) };
        let mut found = self.detect_with(near, &crop(frame, left, top, width, height))?;
        found.iter_mut().for_each(|face| face.shift(left as f32, top as f32));
        Ok(Some(found))
    }

    fn detect_with(&self, network: &Network, frame: &Frame) -> Result<Vec<Detection>, GraphError> {
        let input = network.input();
        let scale =
            (input.width as f32 / frame.width() as f32).min(input.height as f32 / frame.height() as f32);
        let scaled = |side: u32, limit: u32| ((side as f32 * scale).round() as u32).clamp(1, limit);
        let (width, height) = (scaled(frame.width(), input.width), scaled(frame.height(), input.height));
        let outputs = network.run(input.planes(&resize(frame, width, height, Filter::Area)))?;
        let mut found = suppressed(decode_yunet(&outputs, input.width, self.threshold));
        let back_x = frame.width() as f32 / width as f32;
        let back_y = frame.height() as f32 / height as f32;
        found.iter_mut().for_each(|face| face.stretch(back_x, back_y));
        found.sort_by(|a, b| b.bounds.area().total_cmp(&a.bounds.area()));
        Ok(found)
    }
}

/// Who stands before the camera, given all faces largest first. The largest face is the capture subject.
/// Another face matters when it is at least [`COMPARABLE`] times as wide or tall on average: such a person
/// stands about as near and could be meant as well. Smaller faces (a queue, a poster behind) do not block.
pub fn subjects(faces: &[Detection]) -> Subjects {
    let Some(first) = faces.first() else { return Subjects::Nobody };
    let floor = first.bounds.area() * COMPARABLE * COMPARABLE;
    match faces.iter().filter(|face| face.bounds.area() >= floor).count() {
        1 => Subjects::One(*first),
        count => Subjects::Several(count),
    }
}

/// The output shapes of the decoding for an input of this size, in file order.
pub(crate) fn yunet_outputs(width: u32, height: u32) -> Vec<Vec<usize>> {
    let shape = |channels: usize| {
        STRIDES.map(|stride| vec![1, (width / stride * (height / stride)) as usize, channels])
    };
    CHANNELS.iter().flat_map(|&channels| shape(channels)).collect()
}

/// `onnx`, verified for `input`, made ready for a small picture; `None` when its shapes cannot be changed.
pub(crate) fn near_network(onnx: &[u8], input: &NetworkInput) -> Option<Network> {
    if input.width.min(input.height) <= NEAR_SIDE {
        return None;
    }
    let near = NetworkInput { width: NEAR_SIDE, height: NEAR_SIDE, ..input.clone() };
    Network::load_resized(onnx, input, &near, &yunet_outputs(NEAR_SIDE, NEAR_SIDE), &STRIDES).ok()
}

impl Detection {
    fn shift(&mut self, x: f32, y: f32) {
        self.bounds = Rect { x: self.bounds.x + x, y: self.bounds.y + y, ..self.bounds };
        for point in &mut self.landmarks {
            *point = Point { x: point.x + x, y: point.y + y };
        }
    }

    fn stretch(&mut self, x: f32, y: f32) {
        let Rect { x: left, y: top, width, height } = self.bounds;
        self.bounds = Rect { x: left * x, y: top * y, width: width * x, height: height * y };
        for point in &mut self.landmarks {
            *point = Point { x: point.x * x, y: point.y * y };
        }
    }
}

/// The square of [`SURROUNDINGS`] times the greater side about the middle of `bounds`, cut at the frame's edges:
/// left, top, width, height. `None` when nothing worth a look is left.
fn surroundings(frame: &Frame, bounds: Rect) -> Option<(u32, u32, u32, u32)> {
    let side = bounds.width.max(bounds.height) * SURROUNDINGS;
    let span = |middle: f32, whole: u32| {
        let first = (middle - side / 2.0).clamp(0.0, whole as f32) as u32;
        let end = (middle + side / 2.0).clamp(0.0, whole as f32) as u32;
        (end >= first + MIN_PART).then_some((first, end - first))
    };
    let (left, width) = span(bounds.x + bounds.width / 2.0, frame.width())?;
    let (top, height) = span(bounds.y + bounds.height / 2.0, frame.height())?;
    Some((left, top, width, height))
}

fn decode_yunet(outputs: &[Vec<f32>], width: u32, threshold: f32) -> Vec<Detection> {
    let mut found = Vec::new();
    for (level, stride) in STRIDES.into_iter().enumerate() {
        let [classes, objects, boxes, points] = [0, 3, 6, 9].map(|first| &outputs[first + level]);
        let columns = (width / stride) as usize;
        for (cell, (class, object)) in classes.iter().zip(objects).enumerate() {
            let score = (class.clamp(0.0, 1.0) * object.clamp(0.0, 1.0)).sqrt();
            if score < threshold {
                continue;
            }
            let (column, row, stride) = ((cell % columns) as f32, (cell / columns) as f32, stride as f32);
            let b = &boxes[cell * 4..cell * 4 + 4];
            let k = &points[cell * 10..cell * 10 + 10];
            let (width, height) = (b[2].exp() * stride, b[3].exp() * stride);
            let (x, y) = ((column + b[0]) * stride - width / 2.0, (row + b[1]) * stride - height / 2.0);
            let landmarks = std::array::from_fn(|i| Point {
                x: (k[2 * i] + column) * stride,
                y: (k[2 * i + 1] + row) * stride,
            });
            found.push(Detection { bounds: Rect { x, y, width, height }, landmarks, score });
        }
    }
    found
}

/// Greedy non-maximum suppression: of overlapping boxes the best score stays.
fn suppressed(mut found: Vec<Detection>) -> Vec<Detection> {
    found.retain(|face| face.bounds.area().is_normal());
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Detection> = Vec::new();
    for face in found {
        if kept.iter().all(|k| k.bounds.overlap(face.bounds) <= MAX_OVERLAP) {
            kept.push(face);
        }
    }
    kept
}

const STRIDES: [u32; 3] = [8, 16, 32];
const CHANNELS: [usize; 4] = [1, 1, 4, 10];
const MAX_OVERLAP: f32 = 0.3;
/// Side of the small picture: a quarter of the work of 320 x 320.
const NEAR_SIDE: u32 = 160;
/// Side of the part that is searched over the side of the face: a face may move by half its size a frame.
const SURROUNDINGS: f32 = 2.0;
const MIN_PART: u32 = 16;
/// A face of three fifths the size stands 1.7 times as far away: behind, not beside.
const COMPARABLE: f32 = 0.6;

#[cfg(test)]
mod tests {
    use super::*;

    fn face(x: f32, side: f32, score: f32) -> Detection {
        let bounds = Rect { x, y: 0.0, width: side, height: side };
        Detection { bounds, landmarks: [Point { x, y: 0.0 }; 5], score }
    }

    #[test]
    fn background_faces_do_not_block() {
        for (second, expected) in [(100.0, 2), (61.0, 2), (59.0, 1), (10.0, 1)] {
            let seen = match subjects(&[face(0.0, 100.0, 0.9), face(200.0, second, 0.99)]) {
                Subjects::Nobody => 0,
                Subjects::One(one) => {
                    assert!((one.bounds.width - 100.0).abs() < 1e-3);
                    1
                }
                Subjects::Several(count) => count,
            };
            assert_eq!(seen, expected, "second face {second} wide");
        }
        assert_eq!(subjects(&[]), Subjects::Nobody);
    }

    #[test]
    fn doubles_are_suppressed_and_the_best_stays() {
        let kept = suppressed(vec![face(0.0, 50.0, 0.7), face(2.0, 50.0, 0.9), face(100.0, 50.0, 0.8)]);
        assert_eq!(kept.iter().map(|k| k.score).collect::<Vec<_>>(), [0.9, 0.8]);
    }

    #[test]
    fn one_cell_decodes_to_its_place() {
        let mut outputs: Vec<Vec<f32>> =
            yunet_outputs(64, 32).iter().map(|shape| vec![0.0; shape[1] * shape[2]]).collect();
        let cell = 8 + 3;
        (outputs[0][cell], outputs[3][cell]) = (0.81, 1.5);
        outputs[6][cell * 4..][..4].copy_from_slice(&[0.5, 0.25, 2.0_f32.ln(), 3.0_f32.ln()]);
        outputs[9][cell * 10..][..4].copy_from_slice(&[0.0, 0.0, 1.0, -0.5]);
        let found = decode_yunet(&outputs, 64, 0.6);
        assert_eq!(found.len(), 1);
        assert!((found[0].score - 0.9).abs() < 1e-6);
        let Rect { x, y, width, height } = found[0].bounds;
        for (got, expected) in [(x, 20.0), (y, -2.0), (width, 16.0), (height, 24.0)] {
            assert!((got - expected).abs() < 1e-3, "{got} {expected}");
        }
        assert_eq!(found[0].landmarks[1], Point { x: 32.0, y: 4.0 });
    }
}
