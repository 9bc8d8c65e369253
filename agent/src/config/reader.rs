//! The readers of the configuration: what was written, and what is meant by it.
//! Never holds a key: a PSAM has its own, a key server too.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use firmware_bridge::authenticator::{PsamScript, PsamScriptError};
use firmware_bridge::codec::stx::{StxTable, StxTableError};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::stx_table::RawStx;

/// One reader or scanner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderChoice {
    /// A serial device; prefer `/dev/serial/by-id/…`, which survives re-plugging. With PC/SC the reader's name there,
    /// or its beginning.
    pub port: PathBuf,
    pub codec: ReaderCodec,
    /// Speed of the line, where it is not the usual one of the protocol.
    pub baud: Option<u32>,
    /// Who opens the holder data of 3.0 cards; without one they stay locked.
    pub authenticator: Option<AuthenticatorChoice>,
}

impl ReaderChoice {
    /// A reader at its usual speed, without an authenticator.
    pub fn new(port: impl Into<PathBuf>, codec: ReaderCodec) -> Self {
        Self { port: port.into(), codec, baud: None, authenticator: None }
    }
}

/// What is on the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReaderCodec {
    /// Asked of the reader, with questions that harm no other.
    Auto,
    CcidSerial,
    Acs,
    /// A vendor's framing.
    Stx(Box<StxTable>),
    /// Resident identity cards.
    Sdt,
    /// A barcode scanner.
    LineScan,
    /// A reader behind the system's PC/SC service.
    Pcsc,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthenticatorChoice {
    /// A key server behind the upstream, and how long a card waits for it.
    Remote { patience: Duration },
    /// A PSAM in a slot of the same reader.
    Psam { script: PsamScript, slot: u8 },
}

/// Why what is written about a reader cannot be meant.
#[derive(Debug, thiserror::Error)]
pub enum ReaderConfigError {
    #[error("codec is `stx`, but there is no table `reader.stx`")]
    TableMissing,
    #[error("there is a table `reader.stx`, but codec is not `stx`")]
    TableUnused,
    #[error("table `reader.stx` describes no framing")]
    Table(#[from] StxTableError),
    #[error("`{key}` cannot be given with {with}, which has no use for it")]
    KeyUnused { key: &'static str, with: &'static str },
    #[error("`baud` is 0, which is no speed")]
    BaudZero,
    #[error("codec is `pcsc`, but this build has no PC/SC: build with feature `pcsc`")]
    NoPcsc,
    #[error("`authenticator` is `psam`, which a reader behind PC/SC cannot reach")]
    PsamOverPcsc,
    #[error("`authenticator` is for readers of social security cards")]
    NothingToAuthenticate,
    #[error("`authenticator` is `remote`, but there is no `upstream.url`")]
    NoUpstream,
    #[error("`wait_s` is {found}, not 1 to {LONGEST_WAIT_S}: a reading ends within a minute")]
    Wait { found: u64 },
    #[error("`slot` is 0, which is the card's own")]
    SlotOfCard,
    #[error("`authenticator` is `psam`, but the table `reader.stx` has no `sam`")]
    NoSamCommands,
    #[error("`authenticator` is `psam`, but no `script` is named")]
    NoScript,
    #[error("PSAM script `{}` cannot be read", path.display())]
    ScriptUnreadable { path: PathBuf, source: std::io::Error },
    #[error("PSAM script `{}` cannot be meant", path.display())]
    Script { path: PathBuf, source: PsamScriptError },
    #[error("another reader has port `{}`", port.display())]
    SamePort { port: PathBuf },
}

/// One `[reader]`, or several `[[reader]]`.
#[derive(Debug, Default)]
pub(super) struct RawReaders(Vec<RawReader>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReader {
    port: PathBuf,
    #[serde(default)]
    codec: RawCodec,
    baud: Option<u32>,
    stx: Option<RawStx>,
    authenticator: Option<RawAuthenticator>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawCodec {
    #[default]
    Auto,
    CcidSerial,
    Acs,
    Stx,
    Sdt,
    LineScan,
    Pcsc,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAuthenticator {
    kind: RawKind,
    wait_s: Option<u64>,
    script: Option<PathBuf>,
    slot: Option<u8>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawKind {
    None,
    Remote,
    Psam,
}

const DEFAULT_WAIT_S: u64 = 10;
/// A reader counts the card's slot as 0.
const DEFAULT_SLOT: u8 = 1;
/// A reading ends within a minute; whoever waits for a key server must leave time for the card.
const LONGEST_WAIT_S: u64 = 30;

impl RawReaders {
    /// The error comes with the number of its reader, counted from 1.
    pub(super) fn mean(self, upstream: bool) -> Result<Vec<ReaderChoice>, (usize, ReaderConfigError)> {
        let mut choices: Vec<ReaderChoice> = Vec::new();
        for (raw, position) in self.0.into_iter().zip(1..) {
            let choice = raw.mean(upstream).map_err(|error| (position, error))?;
            if choices.iter().any(|other| other.port == choice.port) {
                return Err((position, ReaderConfigError::SamePort { port: choice.port }));
            }
            choices.push(choice);
        }
        Ok(choices)
    }
}

impl RawReader {
    fn mean(self, upstream: bool) -> Result<ReaderChoice, ReaderConfigError> {
        let baud = speed(self.codec, self.baud)?;
        let table = self.stx.map(RawStx::mean).transpose()?;
        let codec = match (self.codec, table) {
            (RawCodec::Stx, Some(table)) => ReaderCodec::Stx(Box::new(table)),
            (RawCodec::Stx, None) => return Err(ReaderConfigError::TableMissing),
            (_, Some(_)) => return Err(ReaderConfigError::TableUnused),
            (RawCodec::Auto, None) => ReaderCodec::Auto,
            (RawCodec::CcidSerial, None) => ReaderCodec::CcidSerial,
            (RawCodec::Acs, None) => ReaderCodec::Acs,
            (RawCodec::Sdt, None) => ReaderCodec::Sdt,
            (RawCodec::LineScan, None) => ReaderCodec::LineScan,
            (RawCodec::Pcsc, None) if cfg!(feature = "pcsc") => ReaderCodec::Pcsc,
            (RawCodec::Pcsc, None) => return Err(ReaderConfigError::NoPcsc),
        };
        let authenticator = self.authenticator.map_or(Ok(None), |raw| raw.mean(upstream))?;
        if authenticator.is_some() && matches!(codec, ReaderCodec::Sdt | ReaderCodec::LineScan) {
            return Err(ReaderConfigError::NothingToAuthenticate);
        }
        if matches!(authenticator, Some(AuthenticatorChoice::Psam { .. })) {
            match &codec {
                ReaderCodec::Pcsc => return Err(ReaderConfigError::PsamOverPcsc),
                ReaderCodec::Stx(table) if table.sam.is_none() => {
                    return Err(ReaderConfigError::NoSamCommands);
                }
                ReaderCodec::Stx(_)
                | ReaderCodec::Auto
                | ReaderCodec::CcidSerial
                | ReaderCodec::Acs
                | ReaderCodec::Sdt
                | ReaderCodec::LineScan => {}
            }
        }
        Ok(ReaderChoice { port: self.port, codec, baud, authenticator })
    }
}

impl RawAuthenticator {
    fn mean(self, upstream: bool) -> Result<Option<AuthenticatorChoice>, ReaderConfigError> {
        let (with, own): (_, &[&str]) = match self.kind {
            RawKind::None => ("authenticator `none`", &[]),
            RawKind::Remote => ("authenticator `remote`", &["wait_s"]),
            RawKind::Psam => ("authenticator `psam`", &["script", "slot"]),
        };
        let given = [
            ("wait_s", self.wait_s.is_some()),
            ("script", self.script.is_some()),
            ("slot", self.slot.is_some()),
        ];
        if let Some((key, _)) = given.into_iter().find(|(key, given)| *given && !own.contains(key)) {
            return Err(ReaderConfigError::KeyUnused { key, with });
        }
        let (wait_s, slot) = (self.wait_s.unwrap_or(DEFAULT_WAIT_S), self.slot.unwrap_or(DEFAULT_SLOT));
        match self.kind {
            RawKind::None => Ok(None),
            RawKind::Remote if !upstream => Err(ReaderConfigError::NoUpstream),
            RawKind::Remote if !(1..=LONGEST_WAIT_S).contains(&wait_s) => {
                Err(ReaderConfigError::Wait { found: wait_s })
            }
            RawKind::Remote => {
                Ok(Some(AuthenticatorChoice::Remote { patience: Duration::from_secs(wait_s) }))
            }
            RawKind::Psam if slot == 0 => Err(ReaderConfigError::SlotOfCard),
            RawKind::Psam => {
                let script = script(&self.script.ok_or(ReaderConfigError::NoScript)?)?;
                Ok(Some(AuthenticatorChoice::Psam { script, slot }))
            }
        }
    }
}

fn speed(codec: RawCodec, baud: Option<u32>) -> Result<Option<u32>, ReaderConfigError> {
    match (codec, baud) {
        (RawCodec::Auto, Some(_)) => Err(ReaderConfigError::KeyUnused { key: "baud", with: "codec `auto`" }),
        (RawCodec::Pcsc, Some(_)) => Err(ReaderConfigError::KeyUnused { key: "baud", with: "codec `pcsc`" }),
        (_, Some(0)) => Err(ReaderConfigError::BaudZero),
        (_, baud) => Ok(baud),
    }
}

fn script(path: &Path) -> Result<PsamScript, ReaderConfigError> {
    let path = path.to_owned();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(ReaderConfigError::ScriptUnreadable { path, source }),
    };
    PsamScript::parse(&text).map_err(|source| ReaderConfigError::Script { path, source })
}

impl<'de> Deserialize<'de> for RawReaders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = RawReaders;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one table `[reader]` or several `[[reader]]`")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawReaders, A::Error> {
                RawReader::deserialize(MapAccessDeserializer::new(map)).map(|one| RawReaders(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<RawReaders, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(RawReaders)
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

#[cfg(test)]
mod tests {
    use firmware_bridge::codec::stx::{Cover, Order};

    use super::super::{Config, ConfigError};
    use super::*;

    const UPSTREAM: &str = "upstream.url = 'https://up.example'";

    fn readers(text: &str) -> Result<Vec<ReaderChoice>, String> {
        let whole = format!("version = 1\n{UPSTREAM}\n{text}");
        Config::parse(&whole, Path::new("test.toml")).map(|config| config.readers).map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            format!("{error}: {cause}")
        })
    }

    const TABLE: &str = "
        [reader.stx]
        stx = '09'
        etx = '0D'
        order = 'length-first'
        length = { width = 1, counts_command = true }
        checksum = { kind = 'xor', cover = 'body' }
        expansion = 'none'
        answer = 'status-first'
        command_width = 1
        good = '00'
        absent = '02'
        commands = { power_on = '50', power_off = '52', status = '53', exchange = '51 07' }
        sam = { power_on = '60', power_off = '62', status = '63', exchange = '61 07' }
        ";

    #[test]
    fn readers_stand_in_their_order() {
        let found = readers(
            "[[reader]]\nport = 'a'\n[[reader]]\nport = 'b'\ncodec = 'sdt'\n[[reader]]\nport = 'c'\n\
             codec = 'line-scan'\nbaud = 115200",
        )
        .unwrap();
        let want = [
            ReaderChoice::new("a", ReaderCodec::Auto),
            ReaderChoice::new("b", ReaderCodec::Sdt),
            ReaderChoice { baud: Some(115_200), ..ReaderChoice::new("c", ReaderCodec::LineScan) },
        ];
        assert_eq!(found, want);
    }

    #[test]
    fn a_vendors_table_is_taken_from_the_file() {
        let found = readers(&format!("[reader]\nport = 'a'\ncodec = 'stx'\nbaud = 9600\n{TABLE}")).unwrap();
        let ReaderCodec::Stx(table) = &found[0].codec else { panic!("{found:?}") };
        assert_eq!((table.stx, table.etx, table.order), (0x09, Some(0x0D), Order::LengthFirst));
        assert_eq!((table.checksum.cover, table.commands.exchange.as_slice()), (Cover::Body, &[0x51, 7][..]));
        assert_eq!(table.sam.as_ref().unwrap().power_on, [0x60]);
    }

    #[test]
    fn authenticators_are_chosen_by_kind() {
        let one = |text: &str| readers(&format!("[reader]\nport = 'a'\nauthenticator = {{ {text} }}"));
        assert_eq!(one("kind = 'none'").unwrap()[0].authenticator, None);
        let patience = Duration::from_secs(10);
        let remote = Some(AuthenticatorChoice::Remote { patience });
        assert_eq!(one("kind = 'remote'").unwrap()[0].authenticator, remote);
        assert!(one("kind = 'remote', wait_s = 31").unwrap_err().contains("`wait_s` is 31"));
        assert!(one("kind = 'psam', slot = 0, script = 'x'").unwrap_err().contains("card's own"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script");
        let psam = || one(&format!("kind = 'psam', slot = 2, script = '{}'", path.display()));
        assert!(psam().unwrap_err().contains("cannot be read"));
        std::fs::write(&path, "psam 00 20 00 00\nanswer {result}").unwrap();
        assert!(psam().unwrap_err().contains("cannot be meant"));
        std::fs::write(&path, "psam 00 84 00 00 08\nanswer {result}").unwrap();
        let found = psam().unwrap();
        assert!(matches!(found[0].authenticator, Some(AuthenticatorChoice::Psam { slot: 2, .. })));
        let psam = format!("authenticator = {{ kind = 'psam', script = '{}' }}", path.display());
        let board = |table: &str| readers(&format!("[reader]\nport = 'a'\ncodec = 'stx'\n{psam}\n{table}"));
        assert!(board(TABLE).is_ok());
        let table: String =
            TABLE.lines().filter(|line| !line.contains("sam =")).map(|l| format!("{l}\n")).collect();
        assert!(board(&table).unwrap_err().contains("no `sam`"));
    }

    #[test]
    fn a_key_without_use_is_refused() {
        let check = |keys: &str, key: &str, with: &str| {
            let message =
                readers(&format!("[[reader]]\nport = 'a'\n[[reader]]\nport = 'b'\n{keys}")).unwrap_err();
            let want = [format!("`{key}` cannot be given with {with}"), "reader 2".to_owned()];
            assert!(want.iter().all(|part| message.contains(part)), "{keys}: {message}");
        };
        check("baud = 9600", "baud", "codec `auto`");
        check("codec = 'pcsc'\nbaud = 9600", "baud", "codec `pcsc`");
        let keys = [("wait_s", "5"), ("script", "'x'"), ("slot", "1")];
        for (kind, own) in [("none", vec![]), ("remote", vec!["wait_s"]), ("psam", vec!["script", "slot"])] {
            for (key, value) in keys.iter().filter(|(key, _)| !own.contains(key)) {
                let text = format!("authenticator = {{ kind = '{kind}', {key} = {value} }}");
                check(&text, key, &format!("authenticator `{kind}`"));
            }
        }
        let own = "[reader]\nport = 'a'\nauthenticator = { kind = 'remote', wait_s = 5 }";
        assert!(readers(own).is_ok(), "the control: a kind's own key");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let check = |text: &str, part: &str| {
            let message = readers(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        };
        check("[reader]\nport = 'a'\ncodec = 'stx'", "no table");
        check(&format!("[reader]\nport = 'a'\n{TABLE}"), "codec is not `stx`");
        let table = TABLE.replace("etx = '0D'", "etx = '09'");
        check(&format!("[reader]\nport = 'a'\ncodec = 'stx'\n{table}"), "describes no framing");
        let table = TABLE.replace("'51 07'", "'5107'");
        check(&format!("[reader]\nport = 'a'\ncodec = 'stx'\n{table}"), "hexadecimal");
        check("[reader]\nport = 'a'\ncodec = 'sdt'\nbaud = 0", "`baud` is 0");
        check("[[reader]]\nport = 'a'\n[[reader]]\nport = 'a'", "reader 2");
        check("[reader]\nport = 'a'\ncodec = 'sdt'\nauthenticator = { kind = 'remote' }", "social security");
        check("[reader]\nport = 'a'\nauthenticator = { kind = 'psam' }", "no `script`");
        check("[reader]\nport = 'a'\nauthenticator = { kind = 'key' }", "key");
        check("reader = 3", "[[reader]]");
        #[cfg(not(feature = "pcsc"))]
        check("[reader]\nport = 'ACS'\ncodec = 'pcsc'", "no PC/SC");
        let alone = "version = 1\n[reader]\nport = 'a'\nauthenticator = { kind = 'remote' }";
        let error = Config::parse(alone, Path::new("test.toml")).unwrap_err();
        let source = ReaderConfigError::NoUpstream.to_string();
        assert!(matches!(error, ConfigError::Reader { position: 1, source: e } if e.to_string() == source));
    }
}
