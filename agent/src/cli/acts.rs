//! Acts on the command line: shows each step in two languages, asks what must be asked, tells the end.
//! Never echoes a PIN.

use std::io::{BufRead as _, Write as _};

use anyhow::{Context as _, bail};
use zhenyin_core::api::{Answer, DocumentKind, Outcome, Reply, Request, Status, Step};
use zhenyin_core::decision::DocumentCheck;
use zhenyin_core::pin::Pin;

use crate::client::{Client, Event, Session};
use crate::text;

/// Begins the act and sees it to its end. An outcome that is not a success makes the command fail.
/// With `still` the person is not asked to turn the head.
pub(super) async fn follow(client: &Client, request: &Request, still: bool) -> anyhow::Result<()> {
    tell(&reply(client, request, still).await?)
}

/// As [`follow`], for whoever makes something of the outcome.
pub(super) async fn reply(client: &Client, request: &Request, still: bool) -> anyhow::Result<Reply> {
    let mut session = client.begin(request).await?;
    let id = session.id;
    let ended = tokio::select! {
        ended = see_to_its_end(client, &mut session, still) => ended,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    if ended.is_err() {
        // Else the act would hold the workstation until its deadline. An act that is over refuses, which is fine.
        let _over = client.answer(id, &Answer::Cancel).await;
    }
    ended
}

async fn see_to_its_end(client: &Client, session: &mut Session, mut still: bool) -> anyhow::Result<Reply> {
    let mut shown = None;
    while let Some(event) = session.next().await? {
        match event {
            Event::Step(step) => {
                let sentence = text::act::step(&step);
                if shown.as_ref() != Some(&sentence) {
                    super::say(&sentence.to_string())?;
                    shown = Some(sentence);
                }
                if still && matches!(step, Step::AskConsent | Step::Look { .. }) {
                    client.answer(session.id, &Answer::WithoutChallenge).await?;
                    still = false;
                }
                if let Some(answer) = ask(step).await? {
                    client.answer(session.id, &answer).await?;
                }
            }
            Event::Done(reply) => return Ok(reply),
        }
    }
    bail!("the agent stopped before the act ended; nothing was accepted")
}

fn tell(reply: &Reply) -> anyhow::Result<()> {
    let sentence = text::act::outcome(&reply.outcome);
    let events: Vec<String> = reply.events.iter().map(ToString::to_string).collect();
    super::say(&format!("{sentence}  [events {}]", events.join(", ")))?;
    match &reply.outcome {
        Outcome::SignedIn { .. }
        | Outcome::SignedOut { .. }
        | Outcome::Verified { .. }
        | Outcome::Enrolled { .. } => Ok(()),
        Outcome::CardRead { name, region, version, .. } => super::say(&format!(
            "name {}  region {region}  version {version}",
            name.as_deref().unwrap_or("(locked)")
        )),
        Outcome::ResidentCardRead { name, .. } => super::say(&format!("name {name}")),
        Outcome::NotSignedIn { .. }
        | Outcome::NotVerified { .. }
        | Outcome::NotEnrolled { .. }
        | Outcome::Failed { .. } => bail!("not done"),
    }
}

/// The answer that a step wants from the keyboard; most want none.
async fn ask(step: Step) -> anyhow::Result<Option<Answer>> {
    let answer = tokio::task::spawn_blocking(move || -> anyhow::Result<Option<Answer>> {
        Ok(match step {
            Step::AskConsent => Some(Answer::Consent { agree: yes("同意 agree? [y/N] ")? }),
            Step::ChoosePin | Step::EnterPin { .. } => Some(Answer::Pin { pin: pin()? }),
            Step::AskStaff { .. } => {
                let check = if yes("本人与证件相符 person matches the document? [y/N] ")? {
                    DocumentCheck::Match
                } else {
                    DocumentCheck::NoMatch
                };
                Some(Answer::Document { document: DocumentKind::ResidentId, check })
            }
            Step::LookOrPresentCard
            | Step::PresentCard
            | Step::PresentCardAgain { .. }
            | Step::Look { .. }
            | Step::Turn { .. }
            | Step::UseCard { .. }
            | Step::CodeTaken { .. } => None,
        })
    });
    answer.await.context("the question was not answered")?
}

fn yes(question: &str) -> anyhow::Result<bool> {
    write!(std::io::stderr(), "{question}")?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes" | "是"))
}

fn pin() -> anyhow::Result<Pin> {
    loop {
        let typed =
            rpassword::prompt_password("PIN: ").context("the PIN cannot be read from this terminal")?;
        match Pin::parse(typed.trim()) {
            Ok(pin) => return Ok(pin),
            Err(error) => writeln!(std::io::stderr(), "{error}")?,
        }
    }
}

/// `zhenyin status` for people: one line each, numbers first.
pub(super) fn status_lines(status: &Status) -> String {
    let fault = |fault: Option<zhenyin_core::fault::Fault>| match fault {
        None => "working".to_owned(),
        Some(fault) => format!("{} ({})", text::sentence(fault), fault.code()),
    };
    let operator = status
        .operator
        .as_ref()
        .map_or_else(|| "nobody".to_owned(), |(name, role)| format!("{name} ({})", role.as_str()));
    let policy = match (status.policy_serial, status.policy_in_force) {
        (Some(serial), true) => format!("{serial}, in force"),
        (Some(serial), false) => format!("{serial}, past its end: a person decides"),
        (None, _) => "none: a person decides".to_owned(),
    };
    let camera = match status.face_pack {
        Some(_) => match status.challenge {
            Some(turn) => text::act::turn(turn).to_string(),
            None => fault(status.camera),
        },
        None => "not in use".to_owned(),
    };
    [
        format!("events     {} ({} receipted)", status.events, status.receipted),
        format!("recording  {}", fault(status.recording)),
        format!("storage    {} of {} bytes", status.room.used_bytes, status.room.limit_bytes),
        format!("upstream   {}", fault(status.upstream)),
        format!("camera     {camera}"),
        format!("reader     {}", fault(status.reader)),
        format!("model      {}", status.face_pack.as_deref().unwrap_or("none: face is off")),
        format!("policy     {policy}"),
        format!("clock      {}", status.clock.as_str()),
        format!("signed in  {operator}"),
        format!("terminal   {}", status.terminal),
        format!("chain      {}", status.chain),
    ]
    .join("\n")
}
