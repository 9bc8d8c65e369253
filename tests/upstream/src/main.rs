//! Command line of the reference upstream: serve, hand out enrolment codes, publish a policy, list terminals.
//! Never does anything that the library does not do.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use reference_upstream::{Admin, Config, TerminalInfo, Upstream};
use zhenyin_core::documents::PolicyContent;

#[derive(Parser)]
#[command(version, about = "The reference upstream of zhenyin")]
struct Arguments {
    /// Folder of keys and store.
    #[arg(long, default_value = "upstream-state")]
    state: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the protocol until it is ended.
    Serve {
        #[arg(long, default_value = "127.0.0.1:8470")]
        bind: SocketAddr,
    },
    /// Prints a one-time enrolment code.
    MintCode {
        #[arg(long)]
        institution: String,
        #[arg(long, default_value = "")]
        department: String,
        /// Six digits of the region.
        #[arg(long, default_value = "")]
        region: String,
        /// Terminal to enrol again.
        #[arg(long)]
        terminal: Option<uuid::Uuid>,
    },
    /// Signs and publishes a policy from a JSON file.
    PublishPolicy { file: PathBuf },
    /// Prints terminals and alarms.
    Terminals,
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .init();
    let arguments = Arguments::parse();
    let mut out = std::io::stdout();
    if let Command::Serve { bind } = arguments.command {
        let upstream = Upstream::start(&Config::new(arguments.state, bind))?;
        writeln!(out, "listening on {}", upstream.url())?;
        writeln!(out, "witness {}", upstream.witness_key())?;
        tokio::runtime::Runtime::new()?.block_on(tokio::signal::ctrl_c())?;
        upstream.shutdown();
        return Ok(());
    }
    let upstream = Admin::open(&Config::new(arguments.state, SocketAddr::from(([127, 0, 0, 1], 0))))?;
    match arguments.command {
        Command::Serve { .. } => {}
        Command::MintCode { institution, department, region, terminal } => {
            let terminal = terminal.map(zhenyin_core::ids::TerminalId);
            let info = TerminalInfo { terminal, institution, department, region };
            writeln!(out, "{}", upstream.mint_code(&info)?)?;
        }
        Command::PublishPolicy { file } => {
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("`{}` cannot be read", file.display()))?;
            let content: PolicyContent =
                serde_json::from_str(&text).with_context(|| format!("`{}` is no policy", file.display()))?;
            writeln!(out, "published policy {}", upstream.publish_policy(&content)?.serial())?;
        }
        Command::Terminals => {
            writeln!(out, "{}", serde_json::to_string_pretty(&upstream.terminals()?)?)?;
            for alarm in upstream.alarms()? {
                writeln!(out, "alarm: {} at event {} of {}", alarm.kind, alarm.sequence, alarm.chain)?;
            }
        }
    }
    Ok(())
}
