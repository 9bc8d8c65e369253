//! The program `zhenyin`: reads the command line, prints what went wrong, sets the exit status.
//! Never more than that.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use zhenyin::cli::{Cli, EXIT_CONFIG, run};
use zhenyin::config::ConfigError;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when standard error is closed as well.
            let _closed = writeln!(std::io::stderr(), "error: {error:#}");
            let bad_config = error.downcast_ref::<ConfigError>().is_some();
            if bad_config { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}
