//! Tells the story: numbered steps in plain words, and what the record says about each.
//! Never says a thing before it has happened.

use std::io::Write as _;

use zhenyin_core::api::{Outcome, Reply};
use zhenyin_core::decision::{Method, Reason};

/// Counts the steps.
#[derive(Debug, Default)]
pub(super) struct Narrator {
    step: u32,
}

impl Narrator {
    pub(super) fn step(&mut self, text: &str) -> anyhow::Result<()> {
        self.step += 1;
        line(&format!("\n{}. {text}", self.step))
    }

    pub(super) fn tell(&self, text: &str) -> anyhow::Result<()> {
        line(&format!("   {text}"))
    }
}

pub(super) fn line(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// What an outcome means, for somebody who sees it for the first time.
pub(super) fn plain(reply: &Reply) -> String {
    match &reply.outcome {
        Outcome::SignedIn { name, role, method, .. } => {
            format!("{name} has the workstation as {}, {}", role.as_str(), by(*method))
        }
        Outcome::SignedOut { .. } => "signed out".to_owned(),
        Outcome::NotSignedIn { reason } => format!("not signed in: {}", because(*reason)),
        Outcome::Verified { name, method, .. } => {
            format!("{} is verified, {}", name.as_deref().unwrap_or("the holder"), by(*method))
        }
        Outcome::NotVerified { reason } => format!("not verified: {}", because(*reason)),
        Outcome::Enrolled { name, face, .. } => {
            format!("{name} is enrolled {}", if *face { "with face, by consent" } else { "without face" })
        }
        Outcome::NotEnrolled { reason } => format!("not enrolled: {}", because(*reason)),
        Outcome::CardRead { .. } | Outcome::ResidentCardRead { .. } => "the card was read".to_owned(),
        Outcome::Failed { fault } => format!("nothing was decided: {fault}"),
    }
}

fn by(method: Method) -> &'static str {
    match method {
        Method::Face => "by one look",
        Method::CardPin => "by card and PIN",
        Method::CardFace => "by card and face",
        Method::StaffDocument => "by staff who compared the person with a document",
    }
}

/// The codes that the story does not meet are told as the operator's screen tells them.
fn because(reason: Reason) -> String {
    if reason == Reason::PresentationAttack {
        return "that was not a live face".to_owned();
    }
    if reason == Reason::DocumentMismatch {
        return "staff found that person and document do not match".to_owned();
    }
    zhenyin::text::act::reason(reason).en.into_owned()
}
