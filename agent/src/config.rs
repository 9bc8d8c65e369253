//! The one configuration file: what was written (raw), turned once into what is meant, before any device opens.
//! Never holds a secret: secrets are named by file path.

mod reader;
mod stx_table;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use reader::RawReaders;
use serde::Deserialize;

pub use reader::{AuthenticatorChoice, ReaderChoice, ReaderCodec, ReaderConfigError};

/// Where packages put the file.
pub const DEFAULT_PATH: &str = "/etc/zhenyin/config.toml";

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("config file `{}` cannot be read: give another with `--config`", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("config file `{}` is not as it should be: {reason}", path.display())]
    Malformed { path: PathBuf, reason: String },
    #[error("config has version {found}, this build reads version 1")]
    Version { found: u32 },
    #[error("what the config says of reader {position} cannot be meant")]
    Reader { position: usize, source: ReaderConfigError },
    #[error("config value `{key}` is {value}: {want}")]
    Value { key: &'static str, value: String, want: &'static str },
}

/// What is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Journal, keys, references: everything that must survive.
    pub state: PathBuf,
    /// Directory of the model pack; absent means that face is off, by decision.
    pub pack: Option<PathBuf>,
    /// `auto`, a number, a path, or a part of a name; absent means no camera, by decision.
    pub camera: Option<String>,
    /// Readers and scanners, in their order; none is a decision too.
    pub readers: Vec<ReaderChoice>,
    pub upstream: Option<Upstream>,
    /// Loopback address of the local API.
    pub listen: SocketAddr,
    pub log: LogFormat,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Base address, without a trailing slash.
    pub url: String,
    /// The one certificate authority that is believed (PEM); absent means those of the system.
    pub ca_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

impl Config {
    /// # Errors
    /// [`ConfigError`] names file, key and what is wanted instead.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Parses the text of a file; `path` is only named in errors.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let raw: Raw = toml::from_str(text).map_err(|error| ConfigError::Malformed {
            path: path.to_owned(),
            reason: error.to_string().trim_end().to_owned(),
        })?;
        raw.mean()
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = || "none".to_owned();
        writeln!(f, "state     {}", self.state.display())?;
        writeln!(f, "pack      {}", self.pack.as_ref().map_or_else(none, |p| p.display().to_string()))?;
        writeln!(f, "camera    {}", self.camera.clone().unwrap_or_else(none))?;
        for reader in &self.readers {
            writeln!(f, "reader    {}", reader.port.display())?;
        }
        if self.readers.is_empty() {
            writeln!(f, "reader    {}", none())?;
        }
        writeln!(f, "upstream  {}", self.upstream.as_ref().map_or_else(none, |u| u.url.clone()))?;
        write!(f, "listen    {}", self.listen)
    }
}

/// What was written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    version: u32,
    #[serde(default = "default_state")]
    state: PathBuf,
    #[serde(default)]
    models: RawModels,
    #[serde(default)]
    camera: RawCamera,
    #[serde(default)]
    reader: RawReaders,
    upstream: Option<RawUpstream>,
    #[serde(default)]
    api: RawApi,
    #[serde(default)]
    log: RawLog,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawModels {
    pack: PathBuf,
    enabled: bool,
}

impl Default for RawModels {
    fn default() -> Self {
        Self { pack: PathBuf::from("/usr/lib/zhenyin/models/default"), enabled: true }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawCamera {
    device: String,
    enabled: bool,
}

impl Default for RawCamera {
    fn default() -> Self {
        Self { device: "auto".to_owned(), enabled: true }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUpstream {
    url: String,
    ca_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawApi {
    listen: SocketAddr,
}

impl Default for RawApi {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 7780)) }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLog {
    format: LogFormat,
}

fn default_state() -> PathBuf {
    PathBuf::from("/var/lib/zhenyin")
}

impl Raw {
    fn mean(self) -> Result<Config, ConfigError> {
        if self.version != 1 {
            return Err(ConfigError::Version { found: self.version });
        }
        if !self.api.listen.ip().is_loopback() {
            return Err(ConfigError::Value {
                key: "api.listen",
                value: format!("`{}`", self.api.listen),
                want: "a loopback address; the local API is for this workstation only",
            });
        }
        let upstream = self.upstream.map(RawUpstream::mean).transpose()?;
        let readers = self.reader.mean(upstream.is_some());
        let readers = readers.map_err(|(position, source)| ConfigError::Reader { position, source })?;
        Ok(Config {
            state: self.state,
            pack: self.models.enabled.then_some(self.models.pack),
            camera: self.camera.enabled.then_some(self.camera.device),
            readers,
            upstream,
            listen: self.api.listen,
            log: self.log.format,
        })
    }
}

impl RawUpstream {
    fn mean(self) -> Result<Upstream, ConfigError> {
        let url = self.url.trim_end_matches('/').to_owned();
        // Plain HTTP would show the pepper at enrolment; on loopback there is nobody to see it.
        let loopback = ["http://127.0.0.1", "http://localhost", "http://[::1]"].iter().any(|prefix| {
            url.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        });
        if !url.starts_with("https://") && !loopback {
            return Err(ConfigError::Value {
                key: "upstream.url",
                value: format!("`{url}`"),
                want: "an https address (plain http only to loopback)",
            });
        }
        Ok(Upstream { url, ca_file: self.ca_file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("test.toml"))
    }

    #[test]
    fn one_line_is_a_whole_config() {
        let config = parse("version = 1").unwrap();
        assert_eq!(config.camera, Some("auto".into()));
        assert_eq!(config.listen.to_string(), "127.0.0.1:7780");
        assert_eq!((config.readers, config.upstream), (vec![], None));
    }

    #[test]
    fn a_full_config_means_what_it_says() {
        let config = parse(
            "version = 1\nstate = '/tmp/z'\nmodels.pack = '/p'\ncamera.device = '/dev/video2'\n\
             reader.port = '/dev/ttyUSB0'\nupstream.url = 'https://up.example/'\napi.listen = '127.0.0.1:1'\n\
             log.format = 'json'",
        )
        .unwrap();
        assert_eq!(config.camera, Some("/dev/video2".into()));
        assert_eq!(config.upstream.unwrap().url, "https://up.example");
        assert_eq!(config.readers, [ReaderChoice::new("/dev/ttyUSB0", ReaderCodec::Auto)]);
        let named = parse("version = 1\nreader = { port = 'COM3', codec = 'acs' }").unwrap();
        assert_eq!(named.readers[0].codec, ReaderCodec::Acs);
        assert_eq!(config.log, LogFormat::Json);
        assert!(parse("version = 1\ncamera.enabled = false\nmodels.enabled = false").unwrap().pack.is_none());
    }

    #[test]
    fn bad_configs_are_refused_by_name() {
        let check = |text: &str, part: &str| {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        };
        check("", "missing field `version`");
        check("version = 2", "version 2");
        check("version = 1\ncammera.device = 'x'", "cammera");
        check("version = 1\ncamera.devise = 'x'", "devise");
        check("version = 1\napi.listen = '0.0.0.0:80'", "api.listen");
        check("version = 1\nupstream.url = 'http://up.example'", "upstream.url");
        check("version = 1\nupstream.url = 'http://127.0.0.1.evil.example'", "upstream.url");
        check("version = 1\nreader = {}", "port");
        check("version = 1\nreader = { port = 'COM3', codec = 'usb' }", "usb");
    }
}
