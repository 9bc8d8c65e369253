//! The command line: what may be typed, and where each command goes.
//! Never opens a device itself: acts go to the running agent through the local API; only `card …` goes to the reader.

mod acts;
mod evidence;
mod export;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use zhenyin_core::api::Request;
use zhenyin_core::enrolled::Role;
use zhenyin_core::signer::Signer as _;

use crate::agent::Agent;
use crate::card_cli::{self, CardCommand};
use crate::client::Client;
use crate::clock::Clock;
use crate::config::{Config, ConfigError, DEFAULT_PATH, ReaderChoice, ReaderCodec};
use crate::keystore::KeyStore;
use crate::models_cli::ModelsCommand;
use crate::telemetry;
use crate::terminal_enrolment::TerminalEnrolment;
use crate::upstream::Upstream;

/// 真印: identity and evidence on this workstation.
#[derive(Debug, Parser)]
#[command(name = "zhenyin", version)]
pub struct Cli {
    /// Configuration file.
    #[arg(long, global = true, default_value = DEFAULT_PATH)]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent.
    Run,
    /// The terminal itself.
    #[command(subcommand)]
    Terminal(TerminalCommand),
    /// Enrol a person at this terminal: card, consent, PIN for staff, a few good looks.
    Enrol {
        /// For staff: pharmacist, physician, nurse, cashier, agency-clerk … Without it a patient is enrolled.
        #[arg(long)]
        role: Option<String>,
        /// The person is never to be asked to turn the head; no reason is wanted.
        #[arg(long)]
        without_turning: bool,
    },
    /// Sign in by look, or by card and PIN.
    Login {
        /// Do not ask for a turn of the head, whatever the camera doubts: card and PIN go on.
        #[arg(long)]
        without_turning: bool,
    },
    /// Sign out.
    Logout,
    /// Check a patient in.
    Visit {
        /// Do not ask for a turn of the head, whatever the camera doubts: staff go on.
        #[arg(long)]
        without_turning: bool,
    },
    /// Social security cards.
    #[command(subcommand)]
    Card(CardCommand),
    /// The record of this terminal.
    #[command(subcommand)]
    Journal(evidence::JournalCommand),
    /// Write the chain, or a part of it, to a new folder that anybody can verify; an inspection goes on record.
    Export(export::ExportCommand),
    /// Verify an exported folder; needs nothing but the folder.
    Verify { folder: PathBuf },
    /// How the terminal is.
    Status {
        #[arg(long)]
        json: bool,
    },
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Model packs.
    #[command(subcommand)]
    Models(ModelsCommand),
}

#[derive(Debug, Subcommand)]
enum TerminalCommand {
    /// Trade a one-time code for this terminal's grant.
    Enrol {
        #[arg(long)]
        code: String,
        /// This terminal is enrolled already: begin a new chain, after a damaged journal was set aside.
        #[arg(long)]
        again: bool,
    },
    /// Make a new signing key. It takes over when the agent starts again; the chain goes on.
    RotateKey,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Read the configuration and say whether it is good.
    Check,
    /// Show what it means, defaults included.
    Show,
}

/// Exit status for a bad configuration (`EX_USAGE` of sysexits).
pub const EXIT_CONFIG: u8 = 64;

/// Carries out one command line.
///
/// # Errors
/// Whatever the command says; [`ConfigError`] means exit status 64.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    let config = |path: &PathBuf| -> Result<Config, ConfigError> { Config::load(path) };
    match cli.command {
        Command::Models(command) => Ok(crate::models_cli::run(command, &mut std::io::stdout())?),
        Command::Verify { folder } => evidence::verify_folder(&folder),
        Command::Config(command) => {
            let config = config(&cli.config)?;
            match command {
                ConfigCommand::Check => say(&format!("`{}` is good", cli.config.display())),
                ConfigCommand::Show => say(&config.to_string()),
            }
        }
        Command::Run => run_agent(&config(&cli.config)?),
        Command::Terminal(TerminalCommand::Enrol { code, again }) => {
            enrol_terminal(&config(&cli.config)?, &code, again)
        }
        Command::Terminal(TerminalCommand::RotateKey) => rotate_key(&config(&cli.config)?),
        Command::Journal(command) => evidence::run(command, &config(&cli.config)?),
        Command::Export(command) => export::run(command, &config(&cli.config)?),
        Command::Enrol { role, without_turning } => {
            let request = match role {
                Some(role) => Request::StaffEnrolment { role: Role::parse(&role)? },
                None => Request::PatientEnrolment,
            };
            act(&config(&cli.config)?, &request, without_turning)
        }
        Command::Login { without_turning } => {
            act(&config(&cli.config)?, &Request::StaffLogin, without_turning)
        }
        Command::Logout => act(&config(&cli.config)?, &Request::StaffLogout, false),
        Command::Visit { without_turning } => {
            act(&config(&cli.config)?, &Request::PatientVisit, without_turning)
        }
        Command::Card(command) => card(&command, &cli.config),
        Command::Status { json } => status(&config(&cli.config)?, json),
    }
}

fn run_agent(config: &Config) -> anyhow::Result<()> {
    telemetry::install(config.log)?;
    let agent = Agent::start(config)?;
    let runtime = client_runtime()?;
    runtime.block_on(stop_signal()).context("signals cannot be awaited")?;
    agent.stop();
    Ok(())
}

#[cfg(unix)]
async fn stop_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn stop_signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

fn enrol_terminal(config: &Config, code: &str, again: bool) -> anyhow::Result<()> {
    let upstream =
        config.upstream.as_ref().context("config has no `upstream.url`, so there is nobody to enrol with")?;
    let mut keys = KeyStore::open_or_create(&config.state.join("keys"))?;
    let upstream = Upstream::new(&upstream.url, upstream.ca_file.as_ref())?;
    let now = Clock::new().now();
    let (runtime, state) = (client_runtime()?, &config.state);
    let enrolment = if again {
        runtime.block_on(TerminalEnrolment::obtain_again(state, &upstream, code, &mut keys, now))?
    } else {
        runtime.block_on(TerminalEnrolment::obtain(state, &upstream, code, &mut keys, now))?
    };
    let content = enrolment.grant.content();
    say(&format!(
        "enrolled as terminal {} of {} {}",
        enrolment.grant.terminal(),
        content.institution.as_deref().unwrap_or("(no institution named)"),
        content.department.as_deref().unwrap_or(""),
    ))
}

fn rotate_key(config: &Config) -> anyhow::Result<()> {
    let mut keys = KeyStore::open(&config.state.join("keys"))?;
    let next = keys.prepare_rotation()?;
    say(&format!(
        "key {} takes over when the agent starts again; until then {} signs",
        next.public_key().key_id(),
        keys.signer().public_key().key_id()
    ))
}

/// At the reader itself, but a plain `read` goes through the agent where one runs: the reader is its.
fn card(command: &CardCommand, config: &Path) -> anyhow::Result<()> {
    let choice = match &command.at().port {
        Some(port) => {
            let configured = readers_if_configured(config)?.into_iter().find(|reader| reader.port == *port);
            configured.unwrap_or_else(|| ReaderChoice::new(port, ReaderCodec::Auto))
        }
        None => {
            let config = Config::load(config)?;
            if matches!(command, CardCommand::Read(_)) && agent_runs(&config) {
                return act(&config, &Request::CardRead, false);
            }
            let mut readers = config.readers.into_iter();
            readers.next().context("config has no `reader.port`: give the reader's port with `--port`")?
        }
    };
    Ok(card_cli::run(command, &choice, &mut std::io::stdout())?)
}

/// With a port on the command line no file is needed; one that is there must be good, or its reader would be
/// spoken to in another way than was written.
fn readers_if_configured(config: &Path) -> Result<Vec<ReaderChoice>, ConfigError> {
    match Config::load(config) {
        Ok(config) => Ok(config.readers),
        Err(ConfigError::Unreadable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

fn agent_runs(config: &Config) -> bool {
    let client = Client::new(config.listen, &config.state);
    client.is_ok_and(|client| client_runtime().is_ok_and(|runtime| runtime.block_on(client.status()).is_ok()))
}

fn act(config: &Config, request: &Request, still: bool) -> anyhow::Result<()> {
    let client = Client::new(config.listen, &config.state)?;
    client_runtime()?.block_on(acts::follow(&client, request, still))
}

fn status(config: &Config, json: bool) -> anyhow::Result<()> {
    let client = Client::new(config.listen, &config.state)?;
    let status = client_runtime()?.block_on(client.status())?;
    if json { say(&serde_json::to_string_pretty(&status)?) } else { say(&acts::status_lines(&status)) }
}

fn client_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("async runtime cannot be started")
}

/// Results go to standard output; a closed pipe is not an error worth a backtrace.
fn say(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{text}").context("standard output is closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_needs_no_config_but_a_bad_config_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let check = |config: &Path, refused: bool| {
            let port = folder.path().join("no-reader");
            let words = ["zhenyin".as_ref(), "--config".as_ref(), config.as_os_str(), "card".as_ref()];
            let port = ["probe".as_ref(), "--port".as_ref(), port.as_os_str()];
            let error = run(Cli::try_parse_from(words.into_iter().chain(port)).unwrap()).unwrap_err();
            assert_eq!(error.is::<ConfigError>(), refused, "{}: {error:#}", config.display());
        };
        check(&folder.path().join("absent.toml"), false);
        for (name, text, refused) in [
            ("good", "version = 1", false),
            ("torn", "version = ", true),
            ("later", "version = 2", true),
            ("unknown", "version = 1\nreader.prot = 'a'", true),
            ("meaningless", "version = 1\nreader = { port = 'a', codec = 'stx' }", true),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            check(&path, refused);
        }
        check(folder.path(), true);
    }
}
