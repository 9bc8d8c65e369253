//! The one-line result of the national reader libraries: eleven fields, each ended by a bar.
//! Never prints a field, and never writes a field that would break the line.
//!
//! Order: 发卡地区行政区划代码|社会保障号码|卡号|卡识别码|姓名|卡复位信息|规范版本|发卡日期|卡有效期|终端机编号|终端设备号|, as
//! several public programs take it from `iReadCardBas`. Any field may be empty.

use std::fmt;

use zeroize::Zeroizing;
use zhenyin_core::card::{
    CalendarDate, CardCode, CardIdentity, CardNumber, IdNumber, IdNumberError, PersonName,
};

/// The fields of one result. `None` and empty text are empty fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CardResult {
    /// Six digits of the issuing region.
    pub region: Option<String>,
    pub id_number: Option<IdNumber>,
    pub card_number: Option<CardNumber>,
    pub code: Option<CardCode>,
    pub name: Option<PersonName>,
    /// Historical bytes of the answer to reset.
    pub historical: Vec<u8>,
    /// `1.00`, `2.00` or `3.00`.
    pub version: Option<String>,
    pub issued: Option<CalendarDate>,
    pub expires: Option<CalendarDate>,
    /// Number of the terminal and of the reader in it, as the maker gives them.
    pub terminal: String,
    pub device: String,
}

/// Why a line is no result, or fields make none. Carries no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CardResultError {
    #[error("result has {found} fields, not {FIELDS}")]
    Fields { found: usize },
    #[error("result does not end with a bar")]
    End,
    #[error("field `{field}` of the result is not in its format")]
    Field { field: &'static str },
    #[error("identity number in the result is not one")]
    IdNumber(#[from] IdNumberError),
    #[error("region in the result is not the one of the card code")]
    Region,
}

impl CardResult {
    /// What was read of a card; `historical` are the historical bytes of its answer to reset.
    pub fn of(identity: &CardIdentity, historical: &[u8]) -> Self {
        let issued = &identity.issued;
        let holder = identity.holder();
        Self {
            region: Some(issued.code.region()),
            id_number: holder.map(|holder| holder.id_number.clone()),
            card_number: issued.number.clone(),
            code: Some(issued.code.clone()),
            name: holder.map(|holder| holder.name.clone()),
            historical: historical.to_vec(),
            version: Some(issued.version.clone()),
            issued: issued.issued,
            expires: issued.expires,
            terminal: String::new(),
            device: String::new(),
        }
    }

    pub fn parse(line: &str) -> Result<Self, CardResultError> {
        let fields: Vec<&str> = line.split('|').collect();
        let Some(("", fields)) = fields.split_last().map(|(last, fields)| (*last, fields)) else {
            return Err(CardResultError::End);
        };
        let [region, id, number, code, name, historical, version, issued, expires, terminal, device] = fields
        else {
            return Err(CardResultError::Fields { found: fields.len() });
        };
        let result = Self {
            region: optional("region", region, |text| digits(text, 6))?,
            id_number: if id.is_empty() { None } else { Some(IdNumber::parse(id)?) },
            card_number: optional("card number", number, |text| {
                text.bytes().all(|byte| byte.is_ascii_graphic()).then(|| CardNumber::new(text))
            })?,
            code: optional("card code", code, |text| {
                <[u8; 16]>::try_from(bytes(text)?.as_slice()).ok().map(CardCode::new)
            })?,
            name: optional("name", name, |text| free(text).map(PersonName::new))?,
            historical: optional("historical bytes", historical, |text| {
                bytes(text).filter(|found| found.len() <= MOST_HISTORICAL)
            })?
            .unwrap_or_default(),
            version: optional("version", version, self::version)?,
            issued: optional("issued", issued, CalendarDate::parse_digits)?,
            expires: optional("expires", expires, CalendarDate::parse_digits)?,
            terminal: optional("terminal", terminal, free)?.unwrap_or_default(),
            device: optional("device", device, free)?.unwrap_or_default(),
        };
        match (&result.region, &result.code) {
            (Some(region), Some(code)) if *region != code.region() => Err(CardResultError::Region),
            _ => Ok(result),
        }
    }

    /// The line. It holds everything there is to know of a person: show it to nobody but its receiver.
    pub fn line(&self) -> Result<Zeroizing<String>, CardResultError> {
        let checked = |field: &'static str, text: &str| {
            if text.is_empty() || free(text).is_some() {
                Ok(text.to_owned())
            } else {
                Err(CardResultError::Field { field })
            }
        };
        let fields = [
            checked("region", self.region.as_deref().unwrap_or_default())?,
            self.id_number.as_ref().map(|number| number.expose().to_owned()).unwrap_or_default(),
            checked("card number", self.card_number.as_ref().map_or("", CardNumber::expose))?,
            self.code.as_ref().map(CardCode::to_hex).unwrap_or_default(),
            checked("name", self.name.as_ref().map_or("", PersonName::expose))?,
            self.historical.iter().map(|byte| format!("{byte:02X}")).collect(),
            checked("version", self.version.as_deref().unwrap_or_default())?,
            self.issued.map(date).unwrap_or_default(),
            self.expires.map(date).unwrap_or_default(),
            checked("terminal", &self.terminal)?,
            checked("device", &self.device)?,
        ]
        .map(Zeroizing::new);
        Ok(Zeroizing::new(fields.iter().fold(String::with_capacity(256), |line, field| line + field + "|")))
    }
}

fn optional<T>(
    field: &'static str,
    text: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, CardResultError> {
    if text.is_empty() {
        return Ok(None);
    }
    parse(text).map(Some).ok_or(CardResultError::Field { field })
}

/// A text that does not break the line.
fn free(text: &str) -> Option<String> {
    let fits = text.chars().all(|character| character != '|' && !character.is_control());
    fits.then(|| text.to_owned())
}

fn digits(text: &str, length: usize) -> Option<String> {
    (text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.to_owned())
}

/// `d.dd`
fn version(text: &str) -> Option<String> {
    let (major, minor) = text.split_once('.')?;
    (digits(major, 1).is_some() && digits(minor, 2).is_some()).then(|| text.to_owned())
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

fn date(date: CalendarDate) -> String {
    let CalendarDate { year, month, day } = date;
    format!("{year:04}{month:02}{day:02}")
}

const FIELDS: usize = 11;
/// Four bits hold the count.
const MOST_HISTORICAL: usize = 15;

impl fmt::Display for CardResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "card result, holder {}", if self.id_number.is_some() { "read" } else { "not read" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The published example of a card that nobody was entered on.
    const EMPTY_CARD: &str =
        "371600|||371600D156000005004B9CF763FBBE5C||0081544C9686843716008F3D97|3.00|20220224|20320224|||";
    const FULL: &str = "110105|11010518490307007X|A12345678|110105D1560000059911014500000001|张三|\
                        0081544C9686843716008F3D97|2.00|20240115|20340115|T01|D02|";

    #[test]
    fn lines_are_read_and_written_back() {
        for line in [EMPTY_CARD, FULL, "|||||||||||"] {
            let result = CardResult::parse(line).unwrap();
            assert_eq!(result.line().unwrap().as_str(), line);
        }
        let full = CardResult::parse(FULL).unwrap();
        assert_eq!(full.name.unwrap().expose(), "张三");
        assert_eq!(full.expires, CalendarDate::new(2034, 1, 15));
        let empty = CardResult::parse(EMPTY_CARD).unwrap();
        assert_eq!((empty.id_number, empty.historical.len()), (None, 13));
    }

    #[test]
    fn broken_lines_are_named() {
        let check =
            |line: &str, want: CardResultError| assert_eq!(CardResult::parse(line), Err(want), "{line}");
        check("", CardResultError::Fields { found: 0 });
        check(&FULL[..FULL.len() - 1], CardResultError::End);
        check(&format!("{FULL}|"), CardResultError::Fields { found: 12 });
        check(&FULL.replace("110105D1", "110106D1"), CardResultError::Region);
        check(&FULL.replace("07007X", "070071"), IdNumberError::CheckCharacter.into());
        check(&FULL.replace("20240115", "20240230"), CardResultError::Field { field: "issued" });
        check(&FULL.replace("2.00", "2,00"), CardResultError::Field { field: "version" });
        check(&FULL.replace("D156", "D15"), CardResultError::Field { field: "card code" });
        check(&FULL.replace("3D97|", "3D97000000|"), CardResultError::Field { field: "historical bytes" });
        check(&FULL.replace("张三", "张\u{1b}三"), CardResultError::Field { field: "name" });
    }

    #[test]
    fn a_field_that_would_break_the_line_is_not_written() {
        let broken = CardResult { name: Some(PersonName::new("张|三")), ..CardResult::default() };
        assert_eq!(broken.line(), Err(CardResultError::Field { field: "name" }));
        let broken = CardResult { terminal: "T\r\n".into(), ..CardResult::default() };
        assert_eq!(broken.line(), Err(CardResultError::Field { field: "terminal" }));
    }

    #[test]
    fn nothing_of_a_person_is_printed() {
        let result = CardResult::parse(FULL).unwrap();
        let text = format!("{result} {result:?}");
        for secret in ["11010518", "张", "A1234"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_back_the_same(line in "([0-9A-F.x张]{0,18}\\|){11}") {
            if let Ok(result) = CardResult::parse(&line) {
                let written = result.line().unwrap();
                prop_assert_eq!(CardResult::parse(&written).unwrap(), result);
            }
        }
    }
}
