//! The framing of a vendor's board as the configuration writes it: bytes in hexadecimal, choices by name.
//! Never a default that decides what goes over the line.

use firmware_bridge::codec::stx::{
    AnswerForm, Checksum, ChecksumKind, Commands, Cover, Expansion, Length, Order, StxTable, StxTableError,
};
use serde::{Deserialize, Deserializer, de::Error as _};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStx {
    #[serde(deserialize_with = "byte")]
    stx: u8,
    #[serde(default, deserialize_with = "some_byte")]
    etx: Option<u8>,
    #[serde(default, deserialize_with = "hex")]
    header: Vec<u8>,
    #[serde(with = "RawOrder")]
    order: Order,
    length: RawLength,
    checksum: RawChecksum,
    #[serde(with = "RawExpansion")]
    expansion: Expansion,
    #[serde(with = "RawAnswer")]
    answer: AnswerForm,
    command_width: usize,
    #[serde(deserialize_with = "hex")]
    good: Vec<u8>,
    #[serde(deserialize_with = "hex")]
    absent: Vec<u8>,
    commands: RawCommands,
    sam: Option<RawCommands>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLength {
    width: usize,
    #[serde(default)]
    little_endian: bool,
    counts_command: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawChecksum {
    #[serde(with = "RawChecksumKind")]
    kind: ChecksumKind,
    #[serde(with = "RawCover")]
    cover: Cover,
    #[serde(default)]
    after_etx: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCommands {
    #[serde(deserialize_with = "hex")]
    power_on: Vec<u8>,
    #[serde(deserialize_with = "hex")]
    power_off: Vec<u8>,
    #[serde(deserialize_with = "hex")]
    status: Vec<u8>,
    #[serde(deserialize_with = "hex")]
    exchange: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(remote = "Order", rename_all = "kebab-case")]
enum RawOrder {
    LengthFirst,
    CommandFirst,
}

#[derive(Deserialize)]
#[serde(remote = "ChecksumKind", rename_all = "kebab-case")]
enum RawChecksumKind {
    Xor,
    Sum,
}

#[derive(Deserialize)]
#[serde(remote = "Cover", rename_all = "kebab-case")]
enum RawCover {
    Body,
    Inside,
    WithMarks,
}

#[derive(Deserialize)]
#[serde(remote = "Expansion", rename_all = "kebab-case")]
enum RawExpansion {
    None,
    Nibbles,
    Hex,
}

#[derive(Deserialize)]
#[serde(remote = "AnswerForm", rename_all = "kebab-case")]
enum RawAnswer {
    StatusFirst,
    CommandThenStatus,
    StatusOnly,
}

impl RawStx {
    pub(super) fn mean(self) -> Result<StxTable, StxTableError> {
        let RawLength { width, little_endian, counts_command } = self.length;
        let RawChecksum { kind, cover, after_etx } = self.checksum;
        let table = StxTable {
            stx: self.stx,
            etx: self.etx,
            header: self.header,
            order: self.order,
            length: Length { width, little_endian, counts_command },
            checksum: Checksum { kind, cover, after_etx },
            expansion: self.expansion,
            answer: self.answer,
            command_width: self.command_width,
            good: self.good,
            absent: self.absent,
            commands: self.commands.mean(),
            sam: self.sam.map(RawCommands::mean),
        };
        table.check()?;
        Ok(table)
    }
}

impl RawCommands {
    fn mean(self) -> Commands {
        let Self { power_on, power_off, status, exchange } = self;
        Commands { power_on, power_off, status, exchange }
    }
}

fn hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let byte = |digits: &str| if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None };
    let bytes: Option<Vec<u8>> = text.split_whitespace().map(byte).collect();
    bytes.ok_or_else(|| D::Error::custom(format!("`{text}` is not bytes in hexadecimal, as in `51 07`")))
}

fn byte<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    match hex(deserializer)?.as_slice() {
        [byte] => Ok(*byte),
        bytes => Err(D::Error::custom(format!("{} bytes where one is needed", bytes.len()))),
    }
}

fn some_byte<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    byte(deserializer).map(Some)
}
