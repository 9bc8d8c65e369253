//! Command line of the reference upstream: serve, hand out enrolment codes, publish documents, list, audit.
//! Never does anything that the library does not do.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use reference_upstream::{Admin, Config, StoreChoice, TerminalInfo, Upstream};

#[derive(Parser)]
#[command(version, about = "The reference upstream of zhenyin")]
struct Arguments {
    /// Folder of keys and store.
    #[arg(long, default_value = "upstream-state")]
    state: PathBuf,
    /// Private file that says how to reach PostgreSQL; without it the store is a file in the state folder.
    #[arg(long)]
    database: Option<PathBuf>,
    /// Certificates (PEM) of the database's authority: the database is reached by TLS then, and only so.
    #[arg(long, requires = "database")]
    database_ca: Option<PathBuf>,
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
    /// Signs and publishes a document from a JSON file.
    Publish {
        /// `policy`, `roster` or `orders`.
        kind: String,
        file: PathBuf,
    },
    /// Prints terminals and alarms.
    Terminals,
    /// Goes over everything that is stored.
    Audit,
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
    let mut config = Config::new(arguments.state, SocketAddr::from(([127, 0, 0, 1], 0)));
    if let Some(connection_file) = arguments.database {
        config.store = StoreChoice::Postgres { connection_file, ca_file: arguments.database_ca };
    }
    if let Command::Serve { bind } = arguments.command {
        let upstream = Upstream::start(&Config { bind, ..config })?;
        writeln!(out, "listening on {}\nwitness {}", upstream.url(), upstream.witness_key())?;
        tokio::runtime::Runtime::new()?.block_on(tokio::signal::ctrl_c())?;
        upstream.shutdown();
        return Ok(());
    }
    let upstream = Admin::open(&config)?;
    match arguments.command {
        Command::Serve { .. } => {}
        Command::MintCode { institution, department, region, terminal } => {
            let terminal = terminal.map(zhenyin_core::ids::TerminalId);
            let info = TerminalInfo { terminal, institution, department, region };
            writeln!(out, "{}", upstream.mint_code(&info)?)?;
        }
        Command::Publish { kind, file } => {
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("`{}` cannot be read", file.display()))?;
            let content =
                serde_json::from_str(&text).with_context(|| format!("`{}` is no JSON", file.display()))?;
            writeln!(out, "published {kind} {}", upstream.publish(&kind, &content)?)?;
        }
        Command::Audit => {
            let audited = upstream.audit()?;
            writeln!(out, "{} chains, {} events: all in their places", audited.chains, audited.events)?;
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
