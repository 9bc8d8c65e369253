//! Legal holds on the record: the event first, then the hold itself.
//! Never changes a hold that is not on record.

use super::recording::After;
use super::{Output, Terminal, Ticket};
use crate::api::Refusal;
use crate::event::lifecycle::{HoldLifted, HoldPlaced};
use crate::hold::{HoldChange, HoldRequest};
use crate::ids::Sequence;
use crate::time::Now;

impl Terminal {
    pub(super) fn change_hold(&mut self, ticket: Ticket, change: HoldChange, now: Now) {
        match self.record_hold(&change, now) {
            Ok(sequence) => self.after(Some(sequence), After::ChangeHold { ticket, change }),
            Err(refusal) => self.outputs.push_back(Output::ChangeHold { ticket, result: Err(refusal) }),
        }
    }

    fn record_hold(&mut self, change: &HoldChange, now: Now) -> Result<Sequence, Refusal> {
        let operator = self.operator.as_ref().map(|who| who.operator.clone());
        let recorded = match change {
            HoldChange::Place(request) => {
                request.check()?;
                let HoldRequest { first, last, reason } = request.clone();
                self.record(&HoldPlaced { first, last, reason, operator }, now)
            }
            HoldChange::Lift { hold } => self.record(&HoldLifted { hold: *hold, operator }, now),
        };
        recorded.ok_or(Refusal::NotRecording)
    }
}
