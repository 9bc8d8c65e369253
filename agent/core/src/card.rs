//! What a card told the reader, and how much of it was proved.
//! Never prints a number or a name: `Debug` is masked, and the values are zeroed when dropped.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::time::WallTime;

/// Citizen identity number, 18 characters with a correct check character (GB 11643).
#[derive(Clone, PartialEq, Eq, Hash, Zeroize, ZeroizeOnDrop)]
pub struct IdNumber(String);

/// Why a text is not an identity number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdNumberError {
    #[error("identity number has {found} characters, not 18")]
    Length { found: usize },
    #[error("identity number has a character that is not a digit at position {position}")]
    NotADigit { position: usize },
    #[error("identity number has no such birth date")]
    BirthDate,
    #[error("identity number has a wrong check character")]
    CheckCharacter,
}

impl IdNumber {
    /// Takes 17 digits and a check character; a lower-case `x` is normalised.
    ///
    /// Region codes are not checked: 81, 82, 83 (residence permits) and 9 (foreign residents) are valid.
    pub fn parse(text: &str) -> Result<Self, IdNumberError> {
        let bytes = text.as_bytes();
        if bytes.len() != 18 {
            return Err(IdNumberError::Length { found: text.chars().count() });
        }
        if let Some(position) = bytes[..17].iter().position(|b| !b.is_ascii_digit()) {
            return Err(IdNumberError::NotADigit { position });
        }
        let date = CalendarDate::parse_digits(&text[6..14]).ok_or(IdNumberError::BirthDate)?;
        debug_assert!(date.month >= 1);
        let found = bytes[17].to_ascii_uppercase();
        if found != check_character(&bytes[..17]) {
            return Err(IdNumberError::CheckCharacter);
        }
        Ok(Self(text.to_ascii_uppercase()))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn birth_date(&self) -> CalendarDate {
        CalendarDate::parse_digits(&self.0[6..14]).expect("checked when parsed")
    }

    /// Seventeenth digit: odd means male.
    pub fn sex(&self) -> Sex {
        if self.0.as_bytes()[16] % 2 == 1 { Sex::Male } else { Sex::Female }
    }
}

/// ISO 7064 MOD 11-2 over 17 digits.
fn check_character(digits: &[u8]) -> u8 {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(d, w)| u32::from(d - b'0') * w).sum();
    b"10X98765432"[(sum % 11) as usize]
}

impl fmt::Debug for IdNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdNumber(…)")
    }
}

/// A person's name as the card spells it.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct PersonName(String);

impl PersonName {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    /// First and last character with stars between: `张*三`, `张*` for two characters.
    pub fn masked(&self) -> String {
        let chars: Vec<char> = self.0.chars().collect();
        match chars.as_slice() {
            [] => String::new(),
            [first] | [first, _] => format!("{first}*"),
            [first, middle @ .., last] => format!("{first}{}{last}", "*".repeat(middle.len())),
        }
    }
}

impl fmt::Debug for PersonName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonName(…)")
    }
}

/// 社会保障卡 card number (EF05, tag 07): nine characters on most cards, sometimes more.
#[derive(Clone, PartialEq, Eq, Hash, Zeroize, ZeroizeOnDrop)]
pub struct CardNumber(String);

impl CardNumber {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CardNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardNumber(…)")
    }
}

/// 卡识别码 (EF05, tag 01): 16 bytes that name one card; the first three are the issuing region.
#[derive(Clone, PartialEq, Eq, Hash, Zeroize, ZeroizeOnDrop)]
pub struct CardCode([u8; 16]);

impl CardCode {
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub fn expose(&self) -> &[u8; 16] {
        &self.0
    }

    /// Upper-case hexadecimal, the form that tokens are made from.
    pub fn to_hex(&self) -> String {
        use std::fmt::Write as _;
        self.0.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02X}");
            text
        })
    }

    /// Six digits of the issuing 行政区划.
    pub fn region(&self) -> String {
        self.to_hex()[..6].to_owned()
    }
}

impl fmt::Debug for CardCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardCode(…)")
    }
}

/// A calendar date as cards store it; always a real date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CalendarDate {
    pub year: u16,
    pub month: u8,
    pub day: u8,
}

impl CalendarDate {
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let month_name = time::Month::try_from(month).ok()?;
        time::Date::from_calendar_date(i32::from(year), month_name, day).ok()?;
        Some(Self { year, month, day })
    }

    /// `YYYYMMDD`.
    pub fn parse_digits(text: &str) -> Option<Self> {
        if text.len() != 8 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Self::new(text[..4].parse().ok()?, text[4..6].parse().ok()?, text[6..].parse().ok()?)
    }

    /// The date on a calendar in China (UTC+8, no daylight saving) at `wall`; `None` outside years 0 to 9999.
    pub fn in_china(wall: WallTime) -> Option<Self> {
        let text = WallTime(wall.0.saturating_add(8 * 3_600_000)).rfc3339();
        Self::new(text.get(..4)?.parse().ok()?, text.get(5..7)?.parse().ok()?, text.get(8..10)?.parse().ok()?)
    }

    /// Whole years from this date to `today`; 0 when `today` lies before it.
    pub fn years_until(self, today: Self) -> u16 {
        let had_birthday = (today.month, today.day) >= (self.month, self.day);
        today.year.saturating_sub(self.year).saturating_sub(u16::from(!had_birthday))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sex {
    Male,
    Female,
}

/// The block cipher of a card's keys, as its application says when it is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardAlgorithm {
    /// Also what a card means that says nothing.
    TripleDes,
    Ssf33,
    Sm4,
    Other(u8),
}

impl CardAlgorithm {
    /// The byte after `9F 0C 03 86 01` in the application's file control information.
    pub fn from_code(code: u8) -> Self {
        match code {
            1 => Self::TripleDes,
            2 => Self::Ssf33,
            3 => Self::Sm4,
            other => Self::Other(other),
        }
    }

    pub fn code(self) -> u8 {
        match self {
            Self::TripleDes => 1,
            Self::Ssf33 => 2,
            Self::Sm4 => 3,
            Self::Other(code) => code,
        }
    }
}

/// Issuance data (EF05). Readable without authentication on every known card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCard {
    pub code: CardCode,
    /// `1.00`, `2.00` or `3.00`.
    pub version: String,
    pub algorithm: CardAlgorithm,
    pub number: Option<CardNumber>,
    pub issued: Option<CalendarDate>,
    pub expires: Option<CalendarDate>,
}

/// Holder data (EF06).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub id_number: IdNumber,
    pub name: PersonName,
    pub sex: Option<Sex>,
    pub birth_date: Option<CalendarDate>,
    /// GB 3304 code, two digits.
    pub ethnicity: Option<u8>,
    /// Six digits of the region of birth.
    pub birthplace: Option<String>,
}

/// What is known of the holder. A 3.0 card without an authenticator keeps it locked; that is said, not hidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HolderData {
    Read(Holder),
    Locked,
}

/// Something odd that does not stop the reading and goes into the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CardWarning {
    /// Bytes of the name are not valid GB18030.
    NameEncoding,
    /// Birth date on the card differs from the one in the identity number.
    BirthDateDiffers,
    /// Sex on the card differs from the one in the identity number.
    SexDiffers,
    /// The holder file stayed locked because nobody answered the card's challenge; no try was spent.
    AuthenticationMissing,
    /// The holder file stayed locked because the card refused the answer to its challenge, which costs a try.
    AuthenticationRefused,
    /// A date, region or code besides the identity number and the name is not in its format and was left out.
    FieldUnreadable,
}

/// One complete reading of one card: nothing in it was mixed from two cards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardIdentity {
    pub issued: IssuedCard,
    pub holder: HolderData,
    pub warnings: Vec<CardWarning>,
}

impl CardIdentity {
    pub fn holder(&self) -> Option<&Holder> {
        match &self.holder {
            HolderData::Read(holder) => Some(holder),
            HolderData::Locked => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_numbers_of_the_standard_are_accepted() {
        for text in [
            "11010519491231002X",
            "440524188001010014",
            "110105184903070010",
            "110105184903070029",
            "110105184903070037",
            "110105184903070045",
            "110105184903070053",
            "110105184903070061",
            "11010518490307007X",
            "110105184903070088",
            "110105184903070096",
            "110105184903070184",
            "110105184903070192",
            "810000184903070019",
            "820000184903070010",
            "830000184903070012",
            "911156184903070010",
        ] {
            assert!(IdNumber::parse(text).is_ok(), "{text}");
        }
        assert_eq!(IdNumber::parse("11010518490307007x").unwrap().expose(), "11010518490307007X");
        assert_eq!(IdNumber::parse("110105184903070010").unwrap().sex(), Sex::Male);
        assert_eq!(IdNumber::parse("110105184903070029").unwrap().sex(), Sex::Female);
    }

    #[test]
    fn bad_identity_numbers_are_named() {
        let check = |text: &str, want: IdNumberError| assert_eq!(IdNumber::parse(text), Err(want), "{text}");
        check("110105184903070011", IdNumberError::CheckCharacter);
        check("110105184903070", IdNumberError::Length { found: 15 });
        check("", IdNumberError::Length { found: 0 });
        check("110105190102290010", IdNumberError::BirthDate);
        check("11010518490A070010", IdNumberError::NotADigit { position: 11 });
        check("１10105184903070010", IdNumberError::Length { found: 18 });
    }

    #[test]
    fn age_counts_whole_years_on_chinas_calendar() {
        let birth = CalendarDate::new(2012, 11, 22).unwrap();
        let day_before = WallTime::parse_rfc3339("2026-11-21T15:59:59.999Z").unwrap();
        let birthday = WallTime::parse_rfc3339("2026-11-21T16:00:00.000Z").unwrap();
        assert_eq!(birth.years_until(CalendarDate::in_china(day_before).unwrap()), 13);
        assert_eq!(birth.years_until(CalendarDate::in_china(birthday).unwrap()), 14);
        assert_eq!(CalendarDate::new(2030, 1, 1).unwrap().years_until(birth), 0);
    }

    #[test]
    fn an_algorithm_is_its_code() {
        for code in 0..=u8::MAX {
            assert_eq!(CardAlgorithm::from_code(code).code(), code);
        }
        assert_eq!(CardAlgorithm::from_code(3), CardAlgorithm::Sm4);
    }

    #[test]
    fn masked_name_keeps_its_ends() {
        let check = |name: &str, want: &str| assert_eq!(PersonName::new(name).masked(), want);
        check("张三", "张*");
        check("张小三", "张*三");
        check("阿卜杜拉", "阿**拉");
        check("", "");
    }

    #[test]
    fn identity_prints_without_its_secrets() {
        let identity = CardIdentity {
            issued: IssuedCard {
                code: CardCode::new([0x33; 16]),
                version: "2.00".into(),
                algorithm: CardAlgorithm::TripleDes,
                number: Some(CardNumber::new("A12345678")),
                issued: None,
                expires: None,
            },
            holder: HolderData::Read(Holder {
                id_number: IdNumber::parse("11010518490307007X").unwrap(),
                name: PersonName::new("张三"),
                sex: Some(Sex::Male),
                birth_date: None,
                ethnicity: None,
                birthplace: None,
            }),
            warnings: vec![],
        };
        let text = format!("{identity:?}");
        for secret in ["110105", "张", "A1234", "3333"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
