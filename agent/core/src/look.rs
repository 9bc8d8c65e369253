//! One look into the camera: collects consecutive good probes, or finds a presentation attack, or a doubt.
//! Never accepts a probe across a suspicious frame: each attack verdict starts the collection anew. Never ends on
//! a frame that was not searched whole: nobody else may stand in the picture when it is decided.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::biometric::{FaceObservation, FaceSample, PadResult, Probe, QualityHint};

/// The one thing to tell the person in front of the camera now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hint {
    NobodyInView,
    OneAtATime,
    TooDark,
    TooBright,
    LowContrast,
    Blurred,
    ComeCloser,
    MoveBack,
    MoveToCentre,
    FaceTheScreen,
    Uncover,
    HoldStill,
}

impl From<QualityHint> for Hint {
    fn from(hint: QualityHint) -> Self {
        match hint {
            QualityHint::TooDark => Self::TooDark,
            QualityHint::TooBright => Self::TooBright,
            QualityHint::LowContrast => Self::LowContrast,
            QualityHint::Blurred => Self::Blurred,
            QualityHint::ComeCloser => Self::ComeCloser,
            QualityHint::MoveBack => Self::MoveBack,
            QualityHint::MoveToCentre => Self::MoveToCentre,
            QualityHint::FaceTheScreen => Self::FaceTheScreen,
            QualityHint::Uncover => Self::Uncover,
        }
    }
}

/// Attack verdicts within one look that end it. One alone may be a false alarm and only costs time.
const ATTACKS_THAT_END_A_LOOK: u8 = 3;
/// Doubtful frames within one look that end it in doubt.
const DOUBTS_THAT_END_A_LOOK: u8 = 3;

/// Collects `wanted` consecutive bona fide probes.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    wanted: u8,
    /// The newest probes, `wanted` at most, and whether each is free of doubt.
    newest: VecDeque<(Probe, bool)>,
    attacks: u8,
    doubts: u8,
}

/// What a frame did to a look.
#[derive(Debug)]
pub(crate) enum Looked {
    More(Hint),
    Done(Vec<Probe>),
    /// Good frames enough, and presentation attack detection is in doubt about them.
    Doubt(Vec<Probe>),
    Attack,
}

/// What a finished look rests on.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) probes: Vec<Probe>,
    pub(crate) pad: PadResult,
    /// The face while the head was turned as asked, after a doubt.
    pub(crate) turned: Option<Probe>,
}

impl Look {
    pub(crate) fn new(wanted: u8) -> Self {
        Self { wanted: wanted.max(1), newest: VecDeque::new(), attacks: 0, doubts: 0 }
    }

    /// Good frames in a row so far, none of them doubtful.
    pub(crate) fn taken(&self) -> u8 {
        let clean = self.newest.iter().rev().take_while(|(_, clean)| *clean).count();
        u8::try_from(clean).unwrap_or(u8::MAX)
    }

    pub(crate) fn wanted(&self) -> u8 {
        self.wanted
    }

    pub(crate) fn take(&mut self, observation: FaceObservation) -> Looked {
        match observation {
            FaceObservation::NoFace => {
                // Whoever comes into view next may be somebody else.
                self.newest.clear();
                Looked::More(Hint::NobodyInView)
            }
            FaceObservation::SeveralFaces { .. } => {
                // Another person's frame must not slip between two probes.
                self.newest.clear();
                Looked::More(Hint::OneAtATime)
            }
            FaceObservation::Unusable { hint, .. } => Looked::More(hint.into()),
            FaceObservation::Usable(sample) => self.usable(sample),
        }
    }

    fn usable(&mut self, sample: FaceSample) -> Looked {
        let clean = match sample.pad {
            PadResult::Attack => {
                self.newest.clear();
                self.attacks += 1;
                let ends = self.attacks >= ATTACKS_THAT_END_A_LOOK;
                return if ends { Looked::Attack } else { Looked::More(Hint::HoldStill) };
            }
            PadResult::Doubtful => {
                self.doubts += 1;
                false
            }
            PadResult::BonaFide => true,
        };
        if self.newest.len() >= usize::from(self.wanted) {
            self.newest.pop_front();
        }
        self.newest.push_back((sample.probe, clean));
        if self.newest.len() < usize::from(self.wanted) || !sample.alone {
            return Looked::More(Hint::HoldStill);
        }
        if self.newest.iter().all(|(_, clean)| *clean) {
            Looked::Done(self.probes())
        } else if self.doubts >= DOUBTS_THAT_END_A_LOOK {
            Looked::Doubt(self.probes())
        } else {
            Looked::More(Hint::HoldStill)
        }
    }

    fn probes(&mut self) -> Vec<Probe> {
        self.newest.drain(..).map(|(probe, _)| probe).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::biometric::{ModelDigest, Quality};

    fn frame(code: char) -> FaceObservation {
        let sample = |pad, alone| {
            let probe = Probe::new(ModelDigest([0; 32]), vec![1.0, 0.5]).unwrap();
            FaceObservation::Usable(FaceSample { probe, pad, quality: Quality::new(80), alone })
        };
        match code {
            'g' => sample(PadResult::BonaFide, true),
            'f' => sample(PadResult::BonaFide, false),
            'd' => sample(PadResult::Doubtful, true),
            'e' => sample(PadResult::Doubtful, false),
            'a' => sample(PadResult::Attack, true),
            'n' => FaceObservation::NoFace,
            's' => FaceObservation::SeveralFaces { count: 2 },
            _ => FaceObservation::Unusable { hint: QualityHint::TooDark, quality: Quality::new(5) },
        }
    }

    /// Plays frames into a look of three: `.` more, `D` done, `?` doubt, `A` attack.
    fn play(frames: &str) -> String {
        let mut look = Look::new(3);
        frames
            .chars()
            .map(|code| match look.take(frame(code)) {
                Looked::More(_) => '.',
                Looked::Done(probes) | Looked::Doubt(probes) if probes.len() != 3 => '!',
                Looked::Done(_) => 'D',
                Looked::Doubt(_) => '?',
                Looked::Attack => 'A',
            })
            .collect()
    }

    #[test]
    fn three_good_frames_in_a_row_are_a_look() {
        for (frames, want) in [
            ("ggg", "..D"),
            ("guggu", "...D."),
            ("ggng", "...."),
            ("ggnggg", ".....D"),
            ("ggagg", "....."),
            ("ggaggg", ".....D"),
            ("ggsggg", ".....D"),
            ("aaa", "..A"),
            ("gagaga", ".....A"),
            ("nnn", "..."),
        ] {
            assert_eq!(play(frames), want, "{frames}");
        }
    }

    #[test]
    fn doubtful_frames_end_in_doubt_and_never_in_a_look() {
        for (frames, want) in [
            ("ddd", "..?"),
            ("dggg", "...D"),
            ("gdggg", "....D"),
            ("gdgdgd", ".....?"),
            ("ddaddd", ".....?"),
            ("deeng", "....."),
            // The control: the face was never out of view.
            ("deeg", "...?"),
            ("dada", "...."),
            ("dadada", ".....A"),
        ] {
            assert_eq!(play(frames), want, "{frames}");
        }
    }

    #[test]
    fn nothing_is_decided_on_a_frame_that_may_hide_a_second_person() {
        for (frames, want) in [
            ("gff", "..."),
            ("gffg", "...D"),
            ("gffs", "...."),
            ("gffsgff", "......."),
            ("dee", "..."),
            ("deed", "...?"),
            // The control: frames that were searched whole end it at once.
            ("ggg", "..D"),
        ] {
            assert_eq!(play(frames), want, "{frames}");
        }
    }
}
