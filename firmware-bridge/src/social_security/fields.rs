//! From raw record values to the fields of a card identity.
//! Never fails on a field that is only informative: it is left out and a warning says so.

use encoding_rs::GB18030;
use zhenyin_core::card::{
    CalendarDate, CardAlgorithm, CardCode, CardNumber, CardWarning, Holder, IdNumber, IssuedCard, PersonName,
    Sex,
};

use crate::card_error::CardReadError;

/// Values of EF05 as read.
pub(super) struct IssuanceRecords {
    pub(super) algorithm: CardAlgorithm,
    pub(super) code: Vec<u8>,
    pub(super) version: Vec<u8>,
    pub(super) issued: Option<Vec<u8>>,
    pub(super) expires: Option<Vec<u8>>,
    pub(super) number: Option<Vec<u8>>,
}

impl IssuanceRecords {
    /// The first two characters of the version: `3.` is a card whose holder file has a lock.
    pub(super) fn generation(&self) -> &[u8] {
        self.version.get(..2).unwrap_or_default()
    }

    pub(super) fn decode(self, warnings: &mut Vec<CardWarning>) -> Result<IssuedCard, CardReadError> {
        let found = self.code.len();
        let code = <[u8; 16]>::try_from(self.code).map_err(|_| CardReadError::RecordLength {
            tag: 0x01,
            wanted: 16,
            found,
        })?;
        Ok(IssuedCard {
            code: CardCode::new(code),
            version: version(&self.version).ok_or(CardReadError::Version)?,
            algorithm: self.algorithm,
            number: self.number.and_then(|bytes| card_number(&bytes, warnings)),
            issued: self.issued.and_then(|bytes| date(&bytes, warnings)),
            expires: self.expires.and_then(|bytes| date(&bytes, warnings)),
        })
    }
}

/// Values of EF06 as read; `name` holds record 09 and record 4E joined.
pub(super) struct HolderRecords {
    pub(super) id_number: Vec<u8>,
    pub(super) name: Vec<u8>,
    pub(super) sex: Vec<u8>,
    pub(super) ethnicity: Vec<u8>,
    pub(super) birthplace: Vec<u8>,
    pub(super) birth_date: Vec<u8>,
}

impl HolderRecords {
    pub(super) fn decode(self, warnings: &mut Vec<CardWarning>) -> Result<Holder, CardReadError> {
        // A byte outside ASCII becomes a character that no identity number has.
        let id_number = IdNumber::parse(&String::from_utf8_lossy(unpadded(&self.id_number)))?;
        let name = name(&self.name, warnings);
        let sex = sex(&self.sex, warnings);
        let birth_date = date(&self.birth_date, warnings);
        if birth_date.is_some_and(|date| date != id_number.birth_date()) {
            warn(warnings, CardWarning::BirthDateDiffers);
        }
        if sex.is_some_and(|sex| sex != id_number.sex()) {
            warn(warnings, CardWarning::SexDiffers);
        }
        let ethnicity = digits(&self.ethnicity, warnings).and_then(|text| text.parse().ok());
        let birthplace = digits(&self.birthplace, warnings);
        Ok(Holder { id_number, name, sex, birth_date, ethnicity, birthplace })
    }
}

fn warn(warnings: &mut Vec<CardWarning>, warning: CardWarning) {
    if !warnings.contains(&warning) {
        warnings.push(warning);
    }
}

/// Without the zeros and spaces that fill a text record.
fn unpadded(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !matches!(byte, 0x00 | 0x20)).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}

/// Card text is of the GBK family; GB18030 covers all of it, rare characters of names too.
fn name(bytes: &[u8], warnings: &mut Vec<CardWarning>) -> PersonName {
    let (text, damaged) = GB18030.decode_without_bom_handling(unpadded(bytes));
    if damaged || text.chars().any(char::is_control) {
        warn(warnings, CardWarning::NameEncoding);
    }
    PersonName::new(text)
}

/// `d.dd`
fn version(bytes: &[u8]) -> Option<String> {
    match bytes {
        [major, b'.', minor, patch] if [major, minor, patch].iter().all(|digit| digit.is_ascii_digit()) => {
            String::from_utf8(bytes.to_vec()).ok()
        }
        _ => None,
    }
}

/// The number proper is the first nine characters; what some cards store after it is theirs.
fn card_number(bytes: &[u8], warnings: &mut Vec<CardWarning>) -> Option<CardNumber> {
    let text = unpadded(bytes.get(..9).unwrap_or(bytes));
    if text.is_empty() || text.iter().all(|byte| *byte == 0xFF) {
        return None;
    }
    if !text.iter().all(u8::is_ascii_graphic) {
        warn(warnings, CardWarning::FieldUnreadable);
        return None;
    }
    String::from_utf8(text.to_vec()).ok().map(CardNumber::new)
}

fn date(bytes: &[u8], warnings: &mut Vec<CardWarning>) -> Option<CalendarDate> {
    let text = digits(bytes, warnings)?;
    let date = CalendarDate::parse_digits(&text);
    if date.is_none() {
        warn(warnings, CardWarning::FieldUnreadable);
    }
    date
}

/// GB/T 2261.1: 1 male, 2 female, 0 and 9 say nothing.
fn sex(bytes: &[u8], warnings: &mut Vec<CardWarning>) -> Option<Sex> {
    match unpadded(bytes) {
        b"1" => Some(Sex::Male),
        b"2" => Some(Sex::Female),
        b"" | b"0" | b"9" | b"\xFF" => None,
        _ => {
            warn(warnings, CardWarning::FieldUnreadable);
            None
        }
    }
}

/// Two decimal digits a byte; `None` for a field that was never written (all F or all 0).
fn digits(bytes: &[u8], warnings: &mut Vec<CardWarning>) -> Option<String> {
    if bytes.iter().all(|byte| *byte == 0xFF) || bytes.iter().all(|byte| *byte == 0) {
        return None;
    }
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0F]);
    let text: Option<String> = nibbles.map(|nibble| char::from_digit(u32::from(nibble), 10)).collect();
    if text.is_none() {
        warn(warnings, CardWarning::FieldUnreadable);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(edit: impl FnOnce(&mut HolderRecords)) -> (Result<Holder, CardReadError>, Vec<CardWarning>) {
        let mut records = HolderRecords {
            id_number: b"11010518490307007X".to_vec(),
            name: [&b"\xD5\xC5\xC8\xFD"[..], &[0; 46]].concat(),
            sex: b"1".to_vec(),
            ethnicity: vec![0x01],
            birthplace: vec![0x11, 0x01, 0x05],
            birth_date: vec![0x18, 0x49, 0x03, 0x07],
        };
        edit(&mut records);
        let mut warnings = Vec::new();
        let holder = records.decode(&mut warnings);
        (holder, warnings)
    }

    #[test]
    fn a_holder_is_decoded() {
        let (holder, warnings) = holder(|_| {});
        let holder = holder.unwrap();
        assert_eq!(holder.id_number.expose(), "11010518490307007X");
        assert_eq!(holder.name.expose(), "张三");
        assert_eq!((holder.sex, holder.ethnicity), (Some(Sex::Male), Some(1)));
        assert_eq!(holder.birthplace.as_deref(), Some("110105"));
        assert_eq!(holder.birth_date, CalendarDate::new(1849, 3, 7));
        assert_eq!(warnings, []);
    }

    #[test]
    fn what_does_not_fit_warns() {
        let check = |edit: fn(&mut HolderRecords), want: &[CardWarning]| {
            let (holder, warnings) = holder(edit);
            assert!(holder.is_ok());
            assert_eq!(warnings, want);
        };
        check(|r| r.sex = b"2".to_vec(), &[CardWarning::SexDiffers]);
        check(|r| r.sex = b"0".to_vec(), &[]);
        check(|r| r.sex = b"x".to_vec(), &[CardWarning::FieldUnreadable]);
        check(|r| r.birth_date = vec![0x18, 0x49, 0x03, 0x08], &[CardWarning::BirthDateDiffers]);
        check(|r| r.birth_date = vec![0x18, 0x49, 0x02, 0x30], &[CardWarning::FieldUnreadable]);
        check(|r| r.birth_date = vec![0xFF; 4], &[]);
        check(|r| r.birthplace = vec![0x11, 0x0A, 0x05], &[CardWarning::FieldUnreadable]);
        check(|r| r.name = b"\xD5\xC5\xC8".to_vec(), &[CardWarning::NameEncoding]);
        check(|r| r.name = b"\xD5\xC5\0\0\xC8\xFD".to_vec(), &[CardWarning::NameEncoding]);
    }

    #[test]
    fn rare_characters_and_padding_are_understood() {
        let check = |bytes: &[u8], want: &str| {
            let mut warnings = Vec::new();
            assert_eq!(name(bytes, &mut warnings).expose(), want);
            assert_eq!(warnings, []);
        };
        check(b"\x95\x34\xB2\x35\x00\x00", "𠮷");
        check(b"\xFE\x9F  \x00 ", "䶮");
        check(b"", "");
    }

    #[test]
    fn a_number_that_is_no_identity_number_stops_the_reading() {
        for bytes in [&b"11010518490307007"[..], b"110105184903070071", &[0; 18], &[0xFF; 18]] {
            let (holder, _) = holder(|records| records.id_number = bytes.to_vec());
            assert!(matches!(holder, Err(CardReadError::IdNumber(_))), "{bytes:02X?}");
        }
    }

    #[test]
    fn issuance_fields_are_decoded() {
        let check = |bytes: &[u8], want: Option<&str>| assert_eq!(version(bytes).as_deref(), want);
        check(b"3.00", Some("3.00"));
        check(b"3,00", None);
        check(b"\0\0\0\0", None);
        let check = |bytes: &[u8], want: Option<&str>, warned: usize| {
            let mut warnings = Vec::new();
            assert_eq!(card_number(bytes, &mut warnings), want.map(CardNumber::new));
            assert_eq!(warnings.len(), warned);
        };
        check(b"A12345678", Some("A12345678"), 0);
        check(b"A12345678 and more", Some("A12345678"), 0);
        check(b"A1234\0\0\0\0", Some("A1234"), 0);
        check(&[0xFF; 9], None, 0);
        check(&[0; 9], None, 0);
        check(b"A\x80\x80\x80\x80\x80\x80\x80\x80", None, 1);
    }
}
