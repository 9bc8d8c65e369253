//! Whom an inspector asks about: tokens, enrolled staff by name, a typed number, a card in the reader.
//! Never takes a card's or a person's number from the command line, where other programs and the history see it, and
//! never keeps one: the terminal's pepper makes tokens of it at once.

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use zeroize::Zeroizing;
use zhenyin_core::api::{Outcome, Request};
use zhenyin_core::ids::{Pepper, SubjectToken};
use zhenyin_core::presented::TypedNumber;

use crate::client::Client;
use crate::config::Config;
use crate::keystore::KeyStore;
use crate::references::References;

/// Where a card's or a holder's number comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum NumberFrom {
    /// Typed, or one line of standard input: an identity number or the code of a social security card.
    Typed,
    /// The running agent reads the card that is put into the reader.
    Reader,
}

/// The tokens of everybody and everything that is asked about.
pub(super) fn tokens(
    config: &Config,
    keys: &KeyStore,
    operators: &[String],
    card: Option<NumberFrom>,
) -> anyhow::Result<Vec<SubjectToken>> {
    let mut tokens = enrolled(config, keys, operators)?;
    match card {
        None => {}
        Some(NumberFrom::Typed) => {
            let pepper = keys.pepper().context("the key file has no pepper: enrol this terminal anew")?;
            tokens.extend(typed(pepper, &number()?)?);
        }
        Some(NumberFrom::Reader) => tokens.extend(read(config)?),
    }
    Ok(tokens)
}

/// Staff of this terminal by their whole names.
fn enrolled(config: &Config, keys: &KeyStore, names: &[String]) -> anyhow::Result<Vec<SubjectToken>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let folder = config.state.join("references");
    if !folder.exists() {
        bail!("nobody is enrolled at this terminal");
    }
    let staff = References::open(&folder, &keys.references_key())?.staff()?;
    let token_of = |name: &String| {
        let mut found = staff.iter().filter(|person| person.name.expose() == name.trim());
        match (found.next(), found.count()) {
            (Some(person), 0) => Ok(person.token.clone()),
            (None, _) => {
                bail!("no member of staff of this name is enrolled here: give the token of the event")
            }
            (Some(_), others) => {
                bail!("{} members of staff have this name: give the token of the event", others + 1)
            }
        }
    };
    names.iter().map(token_of).collect()
}

fn typed(pepper: &Pepper, line: &str) -> anyhow::Result<Vec<SubjectToken>> {
    Ok(TypedNumber::parse(line).context("the number cannot be used")?.tokens(pepper))
}

/// A line that is shown nowhere.
fn number() -> anyhow::Result<Zeroizing<String>> {
    if std::io::stdin().is_terminal() {
        let line = rpassword::prompt_password("号码 · number (not shown): ");
        return line.map(Zeroizing::new).context("the number cannot be read from this terminal");
    }
    let mut line = Zeroizing::new(String::with_capacity(LINE));
    let read = std::io::stdin().lock().take(LINE as u64).read_line(&mut line);
    read.context("the number cannot be read from standard input")?;
    Ok(line)
}

fn read(config: &Config) -> anyhow::Result<Vec<SubjectToken>> {
    let client = Client::new(config.listen, &config.state)?;
    let reply = crate::cli::acts::reply(&client, &Request::CardRead, false);
    let reply = crate::cli::client_runtime()?.block_on(reply)?;
    match reply.outcome {
        Outcome::CardRead { tokens, .. } | Outcome::ResidentCardRead { tokens, .. } => Ok(tokens),
        Outcome::SignedIn { .. }
        | Outcome::SignedOut { .. }
        | Outcome::NotSignedIn { .. }
        | Outcome::Verified { .. }
        | Outcome::NotVerified { .. }
        | Outcome::Enrolled { .. }
        | Outcome::NotEnrolled { .. }
        | Outcome::Failed { .. } => bail!("no card was read: {}", crate::text::act::outcome(&reply.outcome)),
    }
}

/// Longer than any number; the buffer never grows, so nothing is left behind by moving it.
const LINE: usize = 256;
