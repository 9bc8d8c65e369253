//! Inspections on the record: opened before anything is written, closed with the digest of what was handed over.
//! Never tells anybody that an inspection is on record before its event is durable.

use std::collections::BTreeSet;

use super::recording::After;
use super::{Output, Terminal, Ticket};
use crate::api::Refusal;
use crate::chain::Head;
use crate::event::inspection::{InspectionChallenge, InspectionClosed, InspectionOpened};
use crate::ids::Sequence;
use crate::inspection::{InspectionClosing, InspectionRequest, OpenInspection};
use crate::time::Now;

/// Inspections that can still be closed; more are never open at one desk.
const OPEN: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Inspections(BTreeSet<Sequence>);

impl Terminal {
    pub(super) fn inspect(&mut self, ticket: Ticket, request: &InspectionRequest, now: Now) {
        match self.open_inspection(request, now) {
            Ok((opened, last, head)) => self.after(Some(last), After::Inspect { ticket, opened, head }),
            Err(refusal) => {
                self.outputs.push_back(Output::InspectionOpened { ticket, result: Err(refusal) });
            }
        }
    }

    /// The event that opened it, the last event of the opening, and the chain that ends with that.
    fn open_inspection(
        &mut self,
        request: &InspectionRequest,
        now: Now,
    ) -> Result<(Sequence, Sequence, Head), Refusal> {
        request.check()?;
        let event = InspectionOpened {
            inspectors: request.inspectors.iter().map(|one| one.token(&self.pepper)).collect(),
            asked: request.asked.clone(),
            operator: self.operator.as_ref().map(|who| who.operator.clone()),
        };
        let opened = self.record(&event, now).ok_or(Refusal::NotRecording)?;
        let challenge = |nonce: &String| InspectionChallenge { opened, nonce: nonce.clone() };
        let last = match request.nonce.as_ref().map(challenge) {
            Some(challenge) => self.record(&challenge, now).ok_or(Refusal::NotRecording)?,
            None => opened,
        };
        Ok((opened, last, self.chain.head()))
    }

    pub(super) fn inspection_opened(&mut self, ticket: Ticket, opened: Sequence, head: Head) {
        let signer = self.signers.find(self.chain.keys().of_checkpoint(head.size));
        let signed = signer.and_then(|signer| self.chain.checkpoint(head, signer));
        let result = signed.map_err(|_| Refusal::NotRecording).map(|note| {
            self.inspections.0.insert(opened);
            while self.inspections.0.len() > OPEN {
                self.inspections.0.pop_first();
            }
            OpenInspection { opened, checkpoint: note.to_string() }
        });
        self.outputs.push_back(Output::InspectionOpened { ticket, result });
    }

    pub(super) fn close_inspection(
        &mut self,
        ticket: Ticket,
        opened: Sequence,
        closing: InspectionClosing,
        now: Now,
    ) {
        let result = closing.check().and_then(|()| {
            let known = self.inspections.0.contains(&opened);
            known.then_some(()).ok_or(Refusal::NoSuchInspection)?;
            self.record(&InspectionClosed { opened, closing }, now).ok_or(Refusal::NotRecording)
        });
        match result {
            Ok(closed) => {
                self.inspections.0.remove(&opened);
                self.after(Some(closed), After::CloseInspection { ticket, closed });
            }
            Err(refusal) => self.outputs.push_back(Output::InspectionClosed { ticket, result: Err(refusal) }),
        }
    }
}
