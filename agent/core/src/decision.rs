//! From evidence to a decision, with every reason named. A pure function: the same evidence and policy give
//! the same decision for ever.
//! Never accepts without a comparison and PAD, a verified PIN, or a member of staff who vouches.

use serde::{Deserialize, Serialize};

use crate::biometric::{ComparisonScore, PadResult, ScoreBucket, Threshold};

/// How somebody was verified. Goes into events and into the answer of the local API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Face among the staff enrolled on this terminal.
    Face,
    /// Own card and PIN.
    CardPin,
    /// Card, and face against the reference of that card's holder.
    CardFace,
    /// A member of staff compared the person with a document.
    StaffDocument,
}

/// Why a decision is not a plain accept. Codes are stable; `text.rs` has the sentences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The comparison score is below the threshold.
    NonMatch,
    /// Two enrolled people are too alike to tell apart by face.
    Ambiguous,
    /// Presentation attack detection refused.
    PresentationAttack,
    /// Presentation attack detection was in doubt, and no challenge settled it.
    LivenessInDoubt,
    /// No frame was good enough within the time given.
    NoUsableFace,
    /// Nobody of that identity is enrolled here.
    NotEnrolled,
    /// The person chose not to use the face. An ordinary outcome.
    FaceDeclined,
    /// Too many failed looks in a row; face rests for a while.
    AttemptLimit,
    /// The camera is not there or not working.
    CameraUnavailable,
    WrongPin,
    /// The person has no PIN on this terminal.
    NoPin,
    /// The card keeps its holder data locked (3.0 without an authenticator).
    HolderLocked,
    /// A code was shown instead of a card: whose it is, only the insurance can tell.
    CodeOnly,
    /// Staff: person and document do not match.
    DocumentMismatch,
    /// Staff: not sure.
    DocumentUnsure,
    /// Staff vouching needs somebody signed in.
    NobodySignedIn,
    /// The policy is missing or past its end; a human decides.
    PolicyNotInForce,
    /// Face is not used for people under 14 without a guardian's consent.
    UnderFourteen,
    /// Looks like somebody already enrolled; a supervisor checks.
    SimilarToEnrolled,
    Cancelled,
    TimedOut,
}

/// The result of one face act: the fused probe against one reference, with the margin to the next best.
#[derive(Clone, Copy, Debug)]
pub struct FaceEvidence {
    pub score: ComparisonScore,
    pub threshold: Threshold,
    pub pad: PadResult,
    /// The head turned as asked, after a doubt.
    pub turned: bool,
    /// For identification among staff: whether the best is clearly ahead of the second.
    pub unambiguous: bool,
}

impl FaceEvidence {
    pub fn bucket(&self) -> ScoreBucket {
        self.score.bucket(self.threshold)
    }
}

/// What a member of staff said after comparing person and document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DocumentCheck {
    Match,
    NoMatch,
    Unsure,
}

/// Everything a decision may rest on. What was not done is absent.
#[derive(Clone, Copy, Debug)]
pub enum Evidence {
    Face(FaceEvidence),
    CardFace(FaceEvidence),
    CardPin { pin_verified: bool },
    StaffDocument { check: DocumentCheck, operator_signed_in: bool },
}

impl Evidence {
    pub fn method(&self) -> Method {
        match self {
            Self::Face(_) => Method::Face,
            Self::CardFace(_) => Method::CardFace,
            Self::CardPin { .. } => Method::CardPin,
            Self::StaffDocument { .. } => Method::StaffDocument,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Accept,
    Reject(Reason),
    /// A human goes on from here.
    Refer(Reason),
}

/// `policy_in_force` is false when there is no policy or it has ended: then a machine accepts nobody,
/// while the staff-verified path stays open (fail open on care).
pub fn decide(evidence: &Evidence, policy_in_force: bool) -> Decision {
    match *evidence {
        Evidence::StaffDocument { operator_signed_in: false, .. } => Decision::Refer(Reason::NobodySignedIn),
        Evidence::StaffDocument { check, .. } => match check {
            DocumentCheck::Match => Decision::Accept,
            DocumentCheck::NoMatch => Decision::Reject(Reason::DocumentMismatch),
            DocumentCheck::Unsure => Decision::Refer(Reason::DocumentUnsure),
        },
        Evidence::Face(face) | Evidence::CardFace(face) if face.pad == PadResult::Attack => {
            Decision::Reject(Reason::PresentationAttack)
        }
        Evidence::Face(face) | Evidence::CardFace(face)
            if face.pad == PadResult::Doubtful && !face.turned =>
        {
            Decision::Reject(Reason::LivenessInDoubt)
        }
        Evidence::Face(face) | Evidence::CardFace(face) if !face.score.matches(face.threshold) => {
            Decision::Reject(Reason::NonMatch)
        }
        Evidence::Face(face) if !face.unambiguous => Decision::Refer(Reason::Ambiguous),
        Evidence::CardPin { pin_verified: false } => Decision::Reject(Reason::WrongPin),
        Evidence::Face(_) | Evidence::CardFace(_) | Evidence::CardPin { .. } if !policy_in_force => {
            Decision::Refer(Reason::PolicyNotInForce)
        }
        Evidence::Face(_) | Evidence::CardFace(_) | Evidence::CardPin { .. } => Decision::Accept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::biometric::{ModelDigest, Probe, Reference, compare};

    fn face(cosine: f32, pad: PadResult, unambiguous: bool) -> FaceEvidence {
        let model = ModelDigest([0; 32]);
        let reference = Reference::enrol(&[Probe::new(model, vec![1.0, 0.0]).unwrap()]).unwrap();
        let probe = Probe::new(model, vec![cosine, (1.0 - cosine * cosine).sqrt()]).unwrap();
        FaceEvidence {
            score: compare(&probe, &reference).unwrap(),
            threshold: Threshold::new(0.5).unwrap(),
            pad,
            turned: false,
            unambiguous,
        }
    }

    #[test]
    fn every_row_of_the_decision_table() {
        use Decision::{Accept, Refer, Reject};
        use PadResult::{Attack, BonaFide, Doubtful};
        let check = |evidence: Evidence, in_force: bool, want: Decision| {
            assert_eq!(decide(&evidence, in_force), want, "{evidence:?} {in_force}");
        };
        check(Evidence::CardFace(face(0.8, BonaFide, true)), true, Accept);
        check(Evidence::CardFace(face(0.8, BonaFide, false)), true, Accept);
        check(Evidence::CardFace(face(0.3, BonaFide, true)), true, Reject(Reason::NonMatch));
        check(Evidence::CardFace(face(0.99, Attack, true)), true, Reject(Reason::PresentationAttack));
        check(Evidence::CardFace(face(0.8, BonaFide, true)), false, Refer(Reason::PolicyNotInForce));
        check(Evidence::CardFace(face(0.3, BonaFide, true)), false, Reject(Reason::NonMatch));
        check(Evidence::Face(face(0.8, BonaFide, true)), true, Accept);
        check(Evidence::Face(face(0.8, BonaFide, false)), true, Refer(Reason::Ambiguous));
        check(Evidence::Face(face(0.8, Attack, true)), true, Reject(Reason::PresentationAttack));
        let turned = |evidence| FaceEvidence { turned: true, ..evidence };
        for (cosine, pad, want) in [
            (0.8, Doubtful, Accept),
            (0.3, Doubtful, Reject(Reason::NonMatch)),
            (0.8, Attack, Reject(Reason::PresentationAttack)),
        ] {
            check(Evidence::CardFace(turned(face(cosine, pad, true))), true, want);
        }
        check(Evidence::CardFace(face(0.8, Doubtful, true)), true, Reject(Reason::LivenessInDoubt));
        check(Evidence::Face(face(0.8, Doubtful, true)), true, Reject(Reason::LivenessInDoubt));
        check(Evidence::CardPin { pin_verified: true }, true, Accept);
        check(Evidence::CardPin { pin_verified: false }, true, Reject(Reason::WrongPin));
        check(Evidence::CardPin { pin_verified: true }, false, Refer(Reason::PolicyNotInForce));
        let staff = |check, operator_signed_in| Evidence::StaffDocument { check, operator_signed_in };
        check(staff(DocumentCheck::Match, true), true, Accept);
        check(staff(DocumentCheck::Match, true), false, Accept);
        check(staff(DocumentCheck::Match, false), true, Refer(Reason::NobodySignedIn));
        check(staff(DocumentCheck::NoMatch, true), true, Reject(Reason::DocumentMismatch));
        check(staff(DocumentCheck::Unsure, true), true, Refer(Reason::DocumentUnsure));
    }
}
