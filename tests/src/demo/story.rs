//! The story, step by step.
//! Never tells what did not happen: every line is made from an answer of the agent.

use anyhow::{Context as _, ensure};
use zhenyin_core::api::{DocumentKind, Outcome, Reply, Request};
use zhenyin_core::decision::{DocumentCheck, Reason};
use zhenyin_core::enrolled::Role;

use super::narrator::{Narrator, line, plain};
use crate::attacks::printed_photo;
use crate::card_reader::cards::CardSpec;
use crate::subjects::Cast;
use crate::world::{Script, World};

pub(super) fn play(mut world: World, cast: Option<&Cast>, stay: bool) -> anyhow::Result<()> {
    line(
        "真印 zhenyin: one workstation, one story. Everything below is real but the hardware and the people.",
    )?;
    let mut narrator = Narrator::default();
    world.until("the card reader's first answer", |s| s.reader.is_none() && s.receipted > 0)?;
    match cast {
        Some(cast) => {
            staff(&world, cast, &mut narrator)?;
            patient(&world, cast, &mut narrator)?;
            attack(&world, cast, &mut narrator)?;
        }
        None => without_face(&world, &mut narrator)?,
    }
    outage(&mut world, cast, &mut narrator)?;
    if stay {
        wait_for_interrupt(&world)?;
    }
    inspection(world, &mut narrator)
}

fn staff(world: &World, cast: &Cast, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.step("A pharmacist is enrolled: own card, consent, a PIN, and a few looks at the camera.")?;
    world.reader.insert(CardSpec::version_2());
    world.stage.show(cast.pharmacist.enrolment());
    let role = Role::parse("pharmacist")?;
    let reply = world.perform(&Request::StaffEnrolment { role }, agree().answers())?;
    world.reader.remove();
    told(world, narrator, &reply, matches!(reply.outcome, Outcome::Enrolled { face: true, .. }))?;

    narrator.step("The pharmacist sits down and looks at the screen. Nothing else is needed.")?;
    world.stage.show(cast.pharmacist.later());
    let reply = world.perform(&Request::StaffLogin, |_| None)?;
    world.stage.clear();
    told(world, narrator, &reply, matches!(reply.outcome, Outcome::SignedIn { .. }))
}

fn patient(world: &World, cast: &Cast, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.step("A patient agrees to be recognised at later visits.")?;
    world.reader.insert(CardSpec::another_person());
    world.stage.show(cast.patient.enrolment());
    let reply = world.perform(&Request::PatientEnrolment, agree().answers())?;
    told(world, narrator, &reply, matches!(reply.outcome, Outcome::Enrolled { face: true, .. }))?;

    narrator.step("The patient checks in with card and face.")?;
    world.stage.show(cast.patient.later());
    let reply = world.perform(&Request::PatientVisit, |_| None)?;
    told(world, narrator, &reply, matches!(reply.outcome, Outcome::Verified { .. }))?;

    narrator.step("A stranger comes with the same card. Nobody is accused: staff look at the document.")?;
    world.stage.show(cast.stranger.later());
    let reply = world.perform(&Request::PatientVisit, staff_says(DocumentCheck::NoMatch).answers())?;
    world.stage.clear();
    let refused = matches!(reply.outcome, Outcome::NotVerified { reason: Reason::DocumentMismatch });
    told(world, narrator, &reply, refused)
}

fn attack(world: &World, cast: &Cast, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.step("Somebody holds a printed photo of the pharmacist before the camera.")?;
    world.reader.remove();
    world.stage.show(cast.pharmacist.later().iter().map(printed_photo).collect());
    let leaves = Script { cancel: true, ..Script::default() };
    let reply = world.perform(&Request::StaffLogin, leaves.answers())?;
    world.stage.clear();
    let refused = matches!(reply.outcome, Outcome::NotSignedIn { reason: Reason::PresentationAttack });
    told(world, narrator, &reply, refused)?;
    narrator.tell("The screen said the same as to any stranger: use card and PIN.")
}

fn without_face(world: &World, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator
        .step("A pharmacist is enrolled without face: own card and a PIN. An equal way, not a lesser one.")?;
    world.reader.insert(CardSpec::version_2());
    let declines = Script { consent: Some(false), pins: vec!["271828"], ..Script::default() };
    let role = Role::parse("pharmacist")?;
    let reply = world.perform(&Request::StaffEnrolment { role }, declines.answers())?;
    told(world, narrator, &reply, matches!(reply.outcome, Outcome::Enrolled { face: false, .. }))?;

    narrator.step("The pharmacist signs in with card and PIN; the first try has a slip of the finger.")?;
    let slips = Script { pins: vec!["271829", "271828"], ..Script::default() };
    let reply = world.perform(&Request::StaffLogin, slips.answers())?;
    world.reader.remove();
    told(world, narrator, &reply, matches!(reply.outcome, Outcome::SignedIn { .. }))?;

    narrator
        .step("A stranger comes with a patient's card. Nobody is accused: staff look at the document.")?;
    world.reader.insert(CardSpec::another_person());
    let reply = world.perform(&Request::PatientVisit, staff_says(DocumentCheck::NoMatch).answers())?;
    world.reader.remove();
    let refused = matches!(reply.outcome, Outcome::NotVerified { reason: Reason::DocumentMismatch });
    told(world, narrator, &reply, refused)
}

fn outage(world: &mut World, cast: Option<&Cast>, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.step("The network goes away. The work does not: a patient checks in.")?;
    world.cut_network();
    world.reader.insert(CardSpec::another_person());
    if let Some(cast) = cast {
        world.stage.show(cast.patient.later());
    }
    let reply = world.perform(&Request::PatientVisit, staff_says(DocumentCheck::Match).answers())?;
    world.stage.clear();
    world.reader.remove();
    ensure!(matches!(reply.outcome, Outcome::Verified { .. }), "unexpected outcome: {:?}", reply.outcome);
    let status = world.until("the missing network being noticed", |s| s.upstream.is_some())?;
    narrator.tell(&plain(&reply))?;
    let waiting = status.events - status.receipted;
    narrator.tell(&format!("{}; {waiting} events wait for the network", events(&reply)))?;

    narrator.step("The network comes back.")?;
    world.restore_network()?;
    let status = world.until("the backlog going up", |s| s.upstream.is_none() && s.events == s.receipted)?;
    narrator.tell(&format!("everything is receipted again: {} of {} events", status.receipted, status.events))
}

fn inspection(mut world: World, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.step("The agent stops, and an inspector verifies an export without it, offline.")?;
    world.stop_agent();
    let folder = world.config.state.join("export");
    let (counters, summary) = world.export(&folder)?;
    narrator.tell(&format!(
        "{}/{} signatures valid, chain continuous, {} receipts",
        summary.events, counters.size, summary.receipts
    ))?;
    ensure!(
        counters.size == counters.acked
            && counters.size == summary.events
            && summary.receipted == summary.events,
        "the counts differ: {counters:?} {summary:?}"
    );
    line(&format!(
        "\nevents appended {}, receipted {}, verified offline {}",
        counters.size, counters.acked, summary.events
    ))
}

/// Says what came of an act, and waits for the receipt that covers it.
fn told(world: &World, narrator: &Narrator, reply: &Reply, expected: bool) -> anyhow::Result<()> {
    ensure!(expected, "unexpected outcome: {:?}", reply.outcome);
    narrator.tell(&plain(reply))?;
    let last = reply.events.last().context("an act without a record")?.0;
    let status = world.until("the receipt", |s| s.receipted > last)?;
    narrator.tell(&format!("{}; the receipt covers {} events", events(reply), status.receipted))
}

fn events(reply: &Reply) -> String {
    let numbers: Vec<String> = reply.events.iter().map(ToString::to_string).collect();
    format!("recorded as event {}", numbers.join(", "))
}

fn agree() -> Script {
    Script { consent: Some(true), pins: vec!["271828"], ..Script::default() }
}

fn staff_says(check: DocumentCheck) -> Script {
    Script { document: Some((DocumentKind::ResidentId, check)), ..Script::default() }
}

fn wait_for_interrupt(world: &World) -> anyhow::Result<()> {
    line(&format!("\nstatus page: {}  (Ctrl-C ends the story)", world.page().unwrap_or_default()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::signal::ctrl_c())?;
    Ok(())
}
