//! The diagnostic log: where it goes and how much of it. It may be dropped; the journal may not.
//! Never carries pixels, probes, references, card numbers, names or APDU data, at any level: the types that
//! hold them print masked.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::LogFormat;

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("log filter in `ZHENYIN_LOG` cannot be read")]
    Filter(#[source] ParseError),
}

/// One line for each verification and each change of state.
const DEFAULT_FILTER: &str = "info";

/// Sends the log to standard error. `ZHENYIN_LOG` takes a filter such as `zhenyin=debug`.
///
/// # Errors
/// [`TelemetryError::Filter`] when `ZHENYIN_LOG` is not a filter.
pub fn install(format: LogFormat) -> Result<(), TelemetryError> {
    let wanted = std::env::var("ZHENYIN_LOG").unwrap_or_else(|_| DEFAULT_FILTER.to_owned());
    let filter = EnvFilter::try_new(wanted).map_err(TelemetryError::Filter)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error means that a log is installed already, as in a test; that one stays.
    let _installed = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    Ok(())
}
