//! One look into the camera: collects consecutive good probes, or finds a presentation attack.
//! Never accepts a probe across a suspicious frame: each attack verdict starts the collection anew.

use serde::{Deserialize, Serialize};

use crate::biometric::{FaceObservation, PadResult, Probe, QualityHint};

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

/// Collects `wanted` consecutive bona fide probes.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    wanted: u8,
    probes: Vec<Probe>,
    attacks: u8,
}

/// What a frame did to a look.
#[derive(Debug)]
pub(crate) enum Looked {
    More(Hint),
    Done(Vec<Probe>),
    Attack,
}

impl Look {
    pub(crate) fn new(wanted: u8) -> Self {
        Self { wanted: wanted.max(1), probes: Vec::new(), attacks: 0 }
    }

    pub(crate) fn taken(&self) -> u8 {
        u8::try_from(self.probes.len()).unwrap_or(u8::MAX)
    }

    pub(crate) fn wanted(&self) -> u8 {
        self.wanted
    }

    pub(crate) fn take(&mut self, observation: FaceObservation) -> Looked {
        match observation {
            FaceObservation::NoFace => Looked::More(Hint::NobodyInView),
            FaceObservation::SeveralFaces { .. } => {
                // Another person's frame must not slip between two probes.
                self.probes.clear();
                Looked::More(Hint::OneAtATime)
            }
            FaceObservation::Unusable { hint, .. } => Looked::More(hint.into()),
            FaceObservation::Usable(sample) => match sample.pad {
                PadResult::Attack => {
                    self.probes.clear();
                    self.attacks += 1;
                    if self.attacks >= ATTACKS_THAT_END_A_LOOK {
                        Looked::Attack
                    } else {
                        Looked::More(Hint::HoldStill)
                    }
                }
                PadResult::BonaFide => {
                    self.probes.push(sample.probe);
                    if self.probes.len() >= usize::from(self.wanted) {
                        Looked::Done(std::mem::take(&mut self.probes))
                    } else {
                        Looked::More(Hint::HoldStill)
                    }
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::biometric::{FaceSample, ModelDigest, Quality};

    fn frame(code: char) -> FaceObservation {
        let sample = |pad| {
            let probe = Probe::new(ModelDigest([0; 32]), vec![1.0, 0.5]).unwrap();
            FaceObservation::Usable(FaceSample { probe, pad, quality: Quality::new(80) })
        };
        match code {
            'g' => sample(PadResult::BonaFide),
            'a' => sample(PadResult::Attack),
            'n' => FaceObservation::NoFace,
            's' => FaceObservation::SeveralFaces { count: 2 },
            _ => FaceObservation::Unusable { hint: QualityHint::TooDark, quality: Quality::new(5) },
        }
    }

    /// Plays frames into a look of three and writes `.` for more, `D` for done, `A` for attack.
    fn play(frames: &str) -> String {
        let mut look = Look::new(3);
        frames
            .chars()
            .map(|code| match look.take(frame(code)) {
                Looked::More(_) => '.',
                Looked::Done(probes) => {
                    assert_eq!(probes.len(), 3);
                    'D'
                }
                Looked::Attack => 'A',
            })
            .collect()
    }

    #[test]
    fn three_good_frames_in_a_row_are_a_look() {
        for (frames, want) in [
            ("ggg", "..D"),
            ("gnuggu", "....D."),
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
}
