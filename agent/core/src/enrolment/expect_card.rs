//! Waits for the card that says who is being enrolled, and for the list of staff.
//! Never enrols from a card whose holder data is locked.

use super::{Candidate, Enrolment, ExpectConsent, ended};
use crate::act::{ActInput, CardEvent, Effect, Out, Scene};
use crate::api::{Answer, Refusal, Step};
use crate::card::{CalendarDate, CardIdentity};
use crate::decision::Reason;
use crate::enrolled::{Enrolled, Role};
use crate::event::act::{CardFault, CardRead};
use crate::fault::Fault;
use crate::ids::SubjectKind;

#[derive(Debug)]
pub(crate) struct ExpectCard {
    role: Option<Role>,
    staff: Option<Vec<Enrolled>>,
    /// A card may be read before the list of staff arrives.
    identity: Option<Box<CardIdentity>>,
}

const WAIT_S: u64 = 90;
const ADULT_ENOUGH_FOR_FACE: u16 = 14;

impl ExpectCard {
    pub(super) fn enter(role: Option<Role>, out: &mut Out) -> Self {
        out.step(Step::PresentCard);
        out.push(Effect::ListStaff);
        out.deadline(WAIT_S);
        Self { role, staff: None, identity: None }
    }

    pub(super) fn handle(mut self, input: ActInput, scene: &Scene<'_>, out: &mut Out) -> Enrolment {
        match input {
            ActInput::Staff(staff) => {
                // The first person of a terminal needs nobody to vouch; every later one does.
                if !staff.is_empty() && scene.operator.is_none() {
                    return ended(Reason::NobodySignedIn, out);
                }
                self.staff = Some(staff);
                self.go_on(scene, out)
            }
            ActInput::Card(CardEvent::Read(identity)) => {
                out.record(&CardRead::of(&identity, scene.pepper, scene.reader));
                self.identity = Some(identity);
                self.go_on(scene, out)
            }
            ActInput::Card(CardEvent::Failed(fault)) => self.again(fault, scene, out),
            // An enrolment rests on the card that later acts ask for.
            ActInput::Card(CardEvent::Resident(_)) => self.again(Fault::CardForeign, scene, out),
            ActInput::Answer(Answer::Cancel) => ended(Reason::Cancelled, out),
            ActInput::Deadline => ended(Reason::TimedOut, out),
            ActInput::Answer(_) => {
                out.refuse(Refusal::NotAsked);
                Enrolment::ExpectCard(self)
            }
            ActInput::Card(CardEvent::Removed)
            | ActInput::Code(_)
            | ActInput::Face(_)
            | ActInput::Turned(_)
            | ActInput::CameraGone
            | ActInput::Found(_)
            | ActInput::Stored(_) => Enrolment::ExpectCard(self),
        }
    }

    fn again(self, fault: Fault, scene: &Scene<'_>, out: &mut Out) -> Enrolment {
        out.record(&CardFault { subject: None, reader: scene.reader, fault });
        out.step(Step::PresentCardAgain { fault });
        Enrolment::ExpectCard(self)
    }

    fn go_on(mut self, scene: &Scene<'_>, out: &mut Out) -> Enrolment {
        let (staff, identity) = match (self.staff.take(), self.identity.take()) {
            (Some(staff), Some(identity)) => (staff, identity),
            (staff, identity) => {
                return Enrolment::ExpectCard(Self { role: self.role, staff, identity });
            }
        };
        let Some(holder) = identity.holder() else { return ended(Reason::HolderLocked, out) };
        let kind = if self.role.is_some() { SubjectKind::Operator } else { SubjectKind::Patient };
        let token = scene.pepper.token(kind, holder.id_number.expose());
        let under_fourteen = CalendarDate::in_china(scene.now.wall)
            .is_none_or(|today| holder.id_number.birth_date().years_until(today) < ADULT_ENOUGH_FOR_FACE);
        let name = holder.name.clone();
        let role = self.role;
        ExpectConsent::enter(
            Candidate { token, name, role, pin: None, under_fourteen, without_challenge: false, staff },
            out,
        )
    }
}
