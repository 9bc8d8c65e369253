//! Somebody wears another person's printed face, cut out, with holes for the eyes.
//! Never fits better than paper does: it is flat and follows the wearer's eyes and mouth by one similarity.

use zhenyin_models::Frame;

use super::{printed, sample};

/// Where the five points of a face lie: eyes, nose tip, mouth corners, each left to right in the picture.
pub type Points = [[f32; 2]; 5];

/// The wearer's frame with the printed face of `picture` over the wearer's.
pub fn cut_mask(picture: &Frame, face: &Points, wearer: &Frame, wearer_face: &Points) -> Frame {
    let (from, to) = (axes(wearer_face), axes(face));
    let mut rgb = wearer.rgb().to_vec();
    for y in 0..wearer.height() {
        for x in 0..wearer.width() {
            // In units of the wearer's face: eyes at (-1, 0) and (1, 0), mouth about (0, 2.2).
            let place = from.inside([x as f32, y as f32]);
            let Some(edge) = on_mask(place) else { continue };
            let [px, py] = to.outside(place);
            let (u, v) = (px / (picture.width() - 1) as f32, py / (picture.height() - 1) as f32);
            let inside = (0.0..=1.0).contains(&u) && (0.0..=1.0).contains(&v);
            let ink = if inside { sample(picture, u, v) } else { [235.0; 3] };
            let shade = if edge < 0.05 { 0.6 } else { 1.0 };
            let at = (y * wearer.width() + x) as usize * 3;
            rgb[at..at + 3].copy_from_slice(&printed(ink, x as f32, y as f32, shade));
        }
    }
    Frame::new(wearer.width(), wearer.height(), rgb).expect("three bytes a pixel")
}

/// How far inside the cut a place lies; `None` outside and in the holes for the eyes.
fn on_mask([x, y]: [f32; 2]) -> Option<f32> {
    let oval = 1.0 - (x / 1.95).powi(2) - ((y - 0.85) / 2.75).powi(2);
    let hole = ((x.abs() - 1.0) / 0.5).powi(2) + (y / 0.27).powi(2) - 1.0;
    let edge = oval.min(hole);
    (edge > 0.0).then_some(edge)
}

/// Middle between the eyes and the two half axes of a face.
struct Axes {
    middle: [f32; 2],
    across: [f32; 2],
}

fn axes(face: &Points) -> Axes {
    let [left, right, ..] = *face;
    Axes {
        middle: [(left[0] + right[0]) / 2.0, (left[1] + right[1]) / 2.0],
        across: [(right[0] - left[0]) / 2.0, (right[1] - left[1]) / 2.0],
    }
}

impl Axes {
    fn inside(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let ([ax, ay], [dx, dy]) = (self.across, [x - self.middle[0], y - self.middle[1]]);
        let size = (ax * ax + ay * ay).max(1e-6);
        [(dx * ax + dy * ay) / size, (dy * ax - dx * ay) / size]
    }

    fn outside(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let [ax, ay] = self.across;
        [self.middle[0] + x * ax - y * ay, self.middle[1] + x * ay + y * ax]
    }
}
