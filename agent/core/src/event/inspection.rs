//! Events of an inspection: that it was opened, by whom and for what, the inspectors' own challenge, how it ended.
//! Never an inspector's name or warrant number: tokens only.

use serde::Serialize;

use super::{Draft, EventData, EventKind};
use crate::ids::{Sequence, SubjectToken};
use crate::inspection::{Asked, InspectionClosing};

/// Somebody asked for the record.
#[derive(Clone, Debug, Serialize)]
pub struct InspectionOpened {
    /// Two or more; none when the institution exports for itself.
    pub inspectors: Vec<SubjectToken>,
    pub asked: Asked,
    /// Who was signed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<SubjectToken>,
}

/// A text that the inspectors made up on the spot: whoever signed it held the terminal's key then.
#[derive(Clone, Debug, Serialize)]
pub struct InspectionChallenge {
    /// The event that opened the inspection.
    pub opened: Sequence,
    pub nonce: String,
}

/// What was handed over, or that nothing was.
#[derive(Clone, Debug, Serialize)]
pub struct InspectionClosed {
    pub opened: Sequence,
    #[serde(flatten)]
    pub closing: InspectionClosing,
}

impl EventData for InspectionOpened {
    const TYPE: &'static str = "inspection.opened.v1";
}

impl EventData for InspectionChallenge {
    const TYPE: &'static str = "inspection.challenge.v1";
}

impl EventData for InspectionClosed {
    const TYPE: &'static str = "inspection.closed.v1";
}

/// Every type of this file with an example.
pub const KINDS: &[EventKind] = &[
    EventKind { name: InspectionOpened::TYPE, example: opened },
    EventKind { name: InspectionChallenge::TYPE, example: challenge },
    EventKind { name: InspectionClosed::TYPE, example: closed },
];

fn opened() -> Draft {
    let token = |text| SubjectToken::parse(text).expect("a token");
    let asked = Asked {
        from: Some("2026-11-01T00:00:00.000Z".into()),
        to: Some("2026-12-01T00:00:00.000Z".into()),
        tokens: vec![token("op:a7c1KgJ_dLeSE9yaGjm6zn")],
        kinds: vec!["visit.verified".into()],
        sample: Some(50),
        seed: Some("index 3211.98".into()),
    };
    let inspectors = vec![token("in:a7c1KgJ_dLeSE9yaGjm6zn"), token("in:b7c1KgJ_dLeSE9yaGjm6zn")];
    of(&InspectionOpened { inspectors, asked, operator: Some(token("op:a7c1KgJ_dLeSE9yaGjm6zn")) })
}

fn challenge() -> Draft {
    of(&InspectionChallenge { opened: Sequence(7), nonce: "9f31c2".into() })
}

fn closed() -> Draft {
    use crate::inspection::InspectionEnd::HandedOver;
    let closing = InspectionClosing {
        end: HandedOver,
        sha256: Some("0".repeat(64)),
        events: 2731,
        shown: 50,
        recipients: vec!["age1x".into()],
    };
    of(&InspectionClosed { opened: Sequence(7), closing })
}

fn of(event: &impl EventData) -> Draft {
    Draft::of(event).expect("examples are objects of whole numbers")
}
