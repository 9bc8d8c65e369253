//! Follows one face from frame to frame, so that the detector need not search every whole frame.
//! Never trusts a track for long: every third frame is searched whole, and an act decides on such a frame only, so a
//! second person is seen at the latest then. Keeps a place, never a picture or a feature vector.

use crate::detect::{Detection, Subjects, subjects};
use crate::resample::Rect;

/// Where the face was in the last frame of one camera. Start with `default()`; forget it by starting anew when
/// frames were missed.
#[derive(Clone, Debug, Default)]
pub struct TrackState {
    last: Option<Track>,
}

#[derive(Clone, Copy, Debug)]
struct Track {
    face: Detection,
    frame: (u32, u32),
    /// Frames since one was searched whole.
    followed: u8,
}

impl TrackState {
    /// The face of the last frame, while there is exactly one that matters.
    pub fn face(&self) -> Option<&Detection> {
        self.last.as_ref().map(|track| &track.face)
    }

    /// Whether the last frame was searched near the last place only.
    pub fn was_followed(&self) -> bool {
        self.last.is_some_and(|track| track.followed > 0)
    }

    /// The faces that matter in a frame of this size. `near` searches around a place (`None`: it cannot),
    /// `whole` searches everything.
    pub(crate) fn next<E>(
        &mut self,
        frame: (u32, u32),
        near: impl FnOnce(Rect) -> Result<Option<Vec<Detection>>, E>,
        whole: impl FnOnce() -> Result<Vec<Detection>, E>,
    ) -> Result<Subjects, E> {
        // Taken out, so that an error leaves no track.
        if let Some(track) = self.last.take()
            && track.followed + 1 < WHOLE_EVERY
            && track.frame == frame
            && let Some(found) = near(track.face.bounds)?
            && let Some(face) = same(&track.face, &found)
        {
            self.last = Some(Track { face, frame, followed: track.followed + 1 });
            return Ok(Subjects::One(face));
        }
        let found = subjects(&whole()?);
        if let Subjects::One(face) = &found {
            self.last = Some(Track { face: *face, frame, followed: 0 });
        }
        Ok(found)
    }
}

/// The one face that goes on from `last`; `None` when it is gone, jumped, or is not alone in sight.
fn same(last: &Detection, found: &[Detection]) -> Option<Detection> {
    match subjects(found) {
        Subjects::One(face) if face.bounds.overlap(last.bounds) >= LEAST_OVERLAP => Some(face),
        Subjects::One(_) | Subjects::Nobody | Subjects::Several(_) => None,
    }
}

/// One whole search in so many frames.
const WHOLE_EVERY: u8 = 3;
/// A face that moves by a quarter of its size both ways still overlaps by 0.39 of the union.
const LEAST_OVERLAP: f32 = 0.35;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resample::Point;

    fn face(x: f32, side: f32) -> Detection {
        let bounds = Rect { x, y: 50.0, width: side, height: side };
        Detection { bounds, landmarks: [Point { x, y: 60.0 }; 5], score: 0.9 }
    }

    /// Plays scenes (faces as place and side) and writes `w` for a whole search, `n` for a near one, then how
    /// many faces matter.
    fn play(scenes: &[&[(f32, f32)]], can_look_near: bool) -> String {
        let mut state = TrackState::default();
        let mut story = String::new();
        for scene in scenes {
            let all: Vec<_> = scene.iter().map(|&(x, side)| face(x, side)).collect();
            let near = |place: Rect| {
                let reach = Rect { x: place.x - place.width / 2.0, width: place.width * 2.0, ..place };
                let inside = all.iter().filter(|f| f.bounds.overlap(reach) > 0.2).copied().collect();
                Ok::<_, ()>(can_look_near.then_some(inside))
            };
            let mut searched = 'n';
            let whole = || {
                searched = 'w';
                Ok(all.clone())
            };
            let found = state.next((640, 480), near, whole).unwrap();
            assert_eq!(state.was_followed(), searched == 'n');
            let count = match found {
                Subjects::Nobody => 0,
                Subjects::One(_) => 1,
                Subjects::Several(count) => count,
            };
            story += &format!("{searched}{count} ");
        }
        story.trim_end().to_owned()
    }

    #[test]
    fn every_third_frame_is_searched_whole() {
        let still: &[(f32, f32)] = &[(100.0, 80.0)];
        assert_eq!(play(&[still; 7], true), "w1 n1 n1 w1 n1 n1 w1");
        assert_eq!(play(&[still; 3], false), "w1 w1 w1", "a detector without a near form");
    }

    #[test]
    fn a_lost_face_is_searched_at_once() {
        let (here, gone, there): (&[_], &[_], &[_]) = (&[(100.0, 80.0)], &[], &[(400.0, 80.0)]);
        assert_eq!(play(&[here, gone, gone, here], true), "w1 w0 w0 w1");
        assert_eq!(play(&[here, there, there], true), "w1 w1 n1");
        assert_eq!(play(&[here, &[(150.0, 80.0)]], true), "w1 w1", "a jump is not followed");
        assert_eq!(play(&[here, &[(115.0, 80.0)]], true), "w1 n1");
    }

    #[test]
    fn a_second_person_is_seen_within_three_frames() {
        let (alone, far): (&[_], &[_]) = (&[(100.0, 80.0)], &[(100.0, 80.0), (500.0, 80.0)]);
        assert_eq!(play(&[alone, far, far, far], true), "w1 n1 n1 w2");
        assert_eq!(play(&[alone, &[(100.0, 80.0), (150.0, 80.0)]], true), "w1 w2", "beside: at once");
    }

    #[test]
    fn an_error_or_another_frame_size_ends_the_track() {
        let mut state = TrackState::default();
        let whole = || Ok::<_, &str>(vec![face(100.0, 80.0)]);
        state.next((640, 480), |_| Ok(None), whole).unwrap();
        assert!(state.face().is_some());
        let near = |_| -> Result<Option<Vec<Detection>>, &str> { panic!("the place means nothing here") };
        state.next((320, 240), near, whole).unwrap();
        assert_eq!(state.next((320, 240), |_| Err("broken"), whole), Err("broken"));
        assert!(state.face().is_none());
    }
}
