//! What a resident identity card says: the fixed text layouts, and the photo block as it came.
//! Never guesses a layout it does not know, never decodes the photo, never prints a field; everything is zeroed
//! when dropped.
//!
//! Layouts: offsets that several public programs for these readers agree on. UTF-16LE, filled with spaces.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};
use zhenyin_core::card::{CalendarDate, CardWarning, IdNumber, IdNumberError, PersonName, Sex};

/// One reading of one card.
#[derive(Clone, PartialEq, Eq)]
pub struct ResidentId {
    pub content: ResidentContent,
    pub warnings: Vec<CardWarning>,
    text: Zeroizing<Vec<u8>>,
    photo: Zeroizing<Vec<u8>>,
}

/// The text, as far as its layout is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResidentContent {
    Citizen(Box<Citizen>),
    Foreigner(Box<Foreigner>),
    /// A layout nobody has described: only the bytes are there. The letter is what stands at offset 248.
    Unknown {
        layout: char,
    },
}

/// 居民身份证.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Citizen {
    pub id_number: IdNumber,
    pub name: PersonName,
    pub sex: Option<Sex>,
    /// GB 3304 code.
    pub ethnicity: Option<u8>,
    pub birth_date: Option<CalendarDate>,
    pub address: MaskedText,
    pub issuer: String,
    pub valid_from: Option<CalendarDate>,
    pub valid_until: Option<Validity>,
}

/// 外国人永久居留身份证, the layout of 2017.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreigner {
    /// Fifteen characters, not a citizen's number.
    pub number: MaskedText,
    pub english_name: PersonName,
    pub chinese_name: PersonName,
    pub sex: Option<Sex>,
    /// Three letters, ISO 3166-1.
    pub nationality: String,
    pub birth_date: Option<CalendarDate>,
    pub valid_from: Option<CalendarDate>,
    pub valid_until: Option<Validity>,
}

impl Foreigner {
    /// The name to call the holder by: the Chinese one, or the English one where the card has no Chinese.
    pub fn spoken_name(&self) -> &PersonName {
        if self.chinese_name.expose().is_empty() { &self.english_name } else { &self.chinese_name }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    Until(CalendarDate),
    /// 长期.
    LongTerm,
}

/// A text that identifies somebody.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct MaskedText(String);

impl MaskedText {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Why the blocks of a reader are no card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResidentIdError {
    #[error("text block has {found} bytes, not {TEXT}")]
    TextLength { found: usize },
    #[error("photo block has {found} bytes, more than {PHOTO}")]
    PhotoLength { found: usize },
    #[error("identity number on the card is not one")]
    IdNumber(#[from] IdNumberError),
    #[error("card has no number")]
    NoNumber,
}

impl ResidentId {
    /// Takes the text block of 256 bytes and the photo block of at most 1024.
    pub fn parse(text: &[u8], photo: &[u8]) -> Result<Self, ResidentIdError> {
        let block: &[u8; TEXT] =
            text.try_into().map_err(|_| ResidentIdError::TextLength { found: text.len() })?;
        if photo.len() > PHOTO {
            return Err(ResidentIdError::PhotoLength { found: photo.len() });
        }
        let mut fields = Fields { block, warnings: Vec::new() };
        let content = match fields.layout() {
            None => ResidentContent::Citizen(Box::new(fields.citizen()?)),
            Some('I') => ResidentContent::Foreigner(Box::new(fields.foreigner()?)),
            Some(layout) => ResidentContent::Unknown { layout },
        };
        let warnings = fields.warnings;
        Ok(Self {
            content,
            warnings,
            text: Zeroizing::new(text.to_vec()),
            photo: Zeroizing::new(photo.to_vec()),
        })
    }

    /// The text block as the reader gave it.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The photo block, in a compression that only a closed library reads; empty where the reader gave none.
    pub fn photo(&self) -> &[u8] {
        &self.photo
    }
}

/// The text block, and what was odd in it.
struct Fields<'a> {
    block: &'a [u8; TEXT],
    warnings: Vec<CardWarning>,
}

impl Fields<'_> {
    /// The letter of the layout; `None` for the first layout, which leaves that place empty.
    fn layout(&self) -> Option<char> {
        let unit = self.block.get(LAYOUT_AT..LAYOUT_AT + 2)?;
        let unit = u16::from_le_bytes(unit.try_into().ok()?);
        match char::from_u32(u32::from(unit)) {
            Some(' ' | '\0') => None,
            Some(letter) => Some(letter),
            None => Some(char::REPLACEMENT_CHARACTER),
        }
    }

    fn citizen(&mut self) -> Result<Citizen, ResidentIdError> {
        let number = Zeroizing::new(self.text(122, 36));
        let id_number = IdNumber::parse(&number)?;
        let name = PersonName::new(self.text(0, 30));
        let sex = self.sex(30);
        let birth_date = self.date(36);
        if birth_date.is_some_and(|date| date != id_number.birth_date()) {
            self.warn(CardWarning::BirthDateDiffers);
        }
        if sex.is_some_and(|sex| sex != id_number.sex()) {
            self.warn(CardWarning::SexDiffers);
        }
        Ok(Citizen {
            id_number,
            name,
            sex,
            ethnicity: self.ethnicity(),
            birth_date,
            address: MaskedText(self.text(52, 70)),
            issuer: self.text(158, 30),
            valid_from: self.date(188),
            valid_until: self.validity(204),
        })
    }

    fn foreigner(&mut self) -> Result<Foreigner, ResidentIdError> {
        let number = MaskedText(self.text(122, 30));
        if number.expose().is_empty() {
            return Err(ResidentIdError::NoNumber);
        }
        Ok(Foreigner {
            number,
            english_name: PersonName::new(self.text(0, 120)),
            chinese_name: PersonName::new(self.text(158, 30)),
            sex: self.sex(120),
            nationality: self.text(152, 6),
            birth_date: self.date(220),
            valid_from: self.date(188),
            valid_until: self.validity(204),
        })
    }

    /// A field without the spaces and zeros that fill it.
    fn text(&mut self, at: usize, length: usize) -> String {
        let bytes = self.block.get(at..at + length).unwrap_or_default();
        let units = bytes.chunks_exact(2).map(|unit| match unit {
            [low, high] => u16::from_le_bytes([*low, *high]),
            _ => 0,
        });
        let mut damaged = false;
        let mut text: String = char::decode_utf16(units)
            .map(|unit| {
                damaged |= unit.is_err();
                unit.unwrap_or(char::REPLACEMENT_CHARACTER)
            })
            .collect();
        text.truncate(text.trim_end_matches([' ', '\0']).len());
        if damaged || text.chars().any(char::is_control) {
            self.warn(CardWarning::NameEncoding);
        }
        text
    }

    fn sex(&mut self, at: usize) -> Option<Sex> {
        match self.text(at, 2).as_str() {
            "1" => Some(Sex::Male),
            "2" => Some(Sex::Female),
            "" | "0" | "9" => None,
            _ => self.unreadable(),
        }
    }

    fn ethnicity(&mut self) -> Option<u8> {
        let text = self.text(32, 4);
        let two_digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        if text.is_empty() || two_digits { text.parse().ok() } else { self.unreadable() }
    }

    fn date(&mut self, at: usize) -> Option<CalendarDate> {
        let text = self.text(at, 16);
        if text.is_empty() {
            return None;
        }
        CalendarDate::parse_digits(&text).or_else(|| self.unreadable())
    }

    fn validity(&mut self, at: usize) -> Option<Validity> {
        if self.text(at, 16) == LONG_TERM {
            return Some(Validity::LongTerm);
        }
        self.date(at).map(Validity::Until)
    }

    fn unreadable<T>(&mut self) -> Option<T> {
        self.warn(CardWarning::FieldUnreadable);
        None
    }

    fn warn(&mut self, warning: CardWarning) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

const TEXT: usize = 256;
const PHOTO: usize = 1024;
const LAYOUT_AT: usize = 248;
const LONG_TERM: &str = "长期";

impl fmt::Debug for MaskedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskedText(…)")
    }
}

impl fmt::Debug for ResidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { content, warnings, .. } = self;
        let kind = match content {
            ResidentContent::Citizen(_) => "citizen",
            ResidentContent::Foreigner(_) => "foreigner",
            ResidentContent::Unknown { .. } => "unknown layout",
        };
        write!(f, "ResidentId({kind}, {warnings:?}, photo of {} bytes)", self.photo.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(fields: &[(&str, usize, usize)]) -> Vec<u8> {
        let mut block = [0x20, 0x00].repeat(TEXT / 2);
        for (text, at, length) in fields {
            let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            assert!(bytes.len() <= *length, "{text}");
            block[*at..at + bytes.len()].copy_from_slice(&bytes);
        }
        block
    }

    const CITIZEN: [(&str, usize, usize); 9] = [
        ("张三", 0, 30),
        ("1", 30, 2),
        ("01", 32, 4),
        ("18490307", 36, 16),
        ("测试省测试市测试路1号", 52, 70),
        ("11010518490307007X", 122, 36),
        ("测试市公安局", 158, 30),
        ("20200101", 188, 16),
        ("20400101", 204, 16),
    ];

    fn citizen(change: Option<(&str, usize, usize)>) -> (Citizen, Vec<CardWarning>) {
        let fields: Vec<_> = CITIZEN
            .into_iter()
            .map(|field| change.filter(|(_, at, _)| *at == field.1).unwrap_or(field))
            .collect();
        let id = ResidentId::parse(&block(&fields), &[0; PHOTO]).unwrap();
        match id.content {
            ResidentContent::Citizen(citizen) => (*citizen, id.warnings),
            content @ (ResidentContent::Foreigner(_) | ResidentContent::Unknown { .. }) => {
                panic!("{content:?}")
            }
        }
    }

    #[test]
    fn a_citizens_card_is_read() {
        let (citizen, warnings) = citizen(None);
        assert_eq!(citizen.id_number.expose(), "11010518490307007X");
        assert_eq!(citizen.name.expose(), "张三");
        assert_eq!((citizen.sex, citizen.ethnicity), (Some(Sex::Male), Some(1)));
        assert_eq!(citizen.birth_date, CalendarDate::new(1849, 3, 7));
        assert_eq!(citizen.address.expose(), "测试省测试市测试路1号");
        assert_eq!(citizen.issuer, "测试市公安局");
        assert_eq!(citizen.valid_from, CalendarDate::new(2020, 1, 1));
        assert_eq!(citizen.valid_until, CalendarDate::new(2040, 1, 1).map(Validity::Until));
        assert_eq!(warnings, []);
    }

    #[test]
    fn what_does_not_fit_warns() {
        let check = |change: (&str, usize, usize), want: &[CardWarning]| {
            assert_eq!(citizen(Some(change)).1, want, "{change:?}");
        };
        check(("2", 30, 2), &[CardWarning::SexDiffers]);
        check(("x", 30, 2), &[CardWarning::FieldUnreadable]);
        check(("xx", 32, 4), &[CardWarning::FieldUnreadable]);
        check(("18490308", 36, 16), &[CardWarning::BirthDateDiffers]);
        check(("18490230", 36, 16), &[CardWarning::FieldUnreadable]);
        check(("张\u{1}三", 0, 30), &[CardWarning::NameEncoding]);
        check(("长期", 204, 16), &[]);
        assert_eq!(citizen(Some(("长期", 204, 16))).0.valid_until, Some(Validity::LongTerm));
        assert_eq!(citizen(Some(("", 204, 16))).0.valid_until, None);
        assert_eq!(citizen(Some(("𠮷", 0, 30))).0.name.expose(), "𠮷");
    }

    #[test]
    fn a_number_that_is_no_identity_number_stops_the_reading() {
        for number in ["110105184903070071", "11010518490307007", "", "１10105184903070010"] {
            let result = ResidentId::parse(&block(&[(number, 122, 36)]), &[]);
            assert!(matches!(result, Err(ResidentIdError::IdNumber(_))), "{number}");
        }
    }

    #[test]
    fn a_foreigners_card_is_read() {
        let text = block(&[
            ("ZHANG, SAN", 0, 120),
            ("2", 120, 2),
            ("ABC110105490307", 122, 30),
            ("ABC", 152, 6),
            ("张三", 158, 30),
            ("20200101", 188, 16),
            ("20300101", 204, 16),
            ("18490307", 220, 16),
            ("01", 236, 4),
            ("1500", 240, 8),
            ("I", 248, 2),
        ]);
        let id = ResidentId::parse(&text, &[]).unwrap();
        let ResidentContent::Foreigner(person) = &id.content else { panic!("{id:?}") };
        assert_eq!(person.english_name.expose(), "ZHANG, SAN");
        assert_eq!(person.chinese_name.expose(), "张三");
        assert_eq!(person.number.expose(), "ABC110105490307");
        assert_eq!((person.sex, person.nationality.as_str()), (Some(Sex::Female), "ABC"));
        assert_eq!(person.birth_date, CalendarDate::new(1849, 3, 7));
        assert_eq!(id.warnings, []);
        assert_eq!(person.spoken_name(), &person.chinese_name);
        let abroad = block(&[("ZHANG, SAN", 0, 120), ("ABC110105490307", 122, 30), ("I", 248, 2)]);
        let id = ResidentId::parse(&abroad, &[]).unwrap();
        let ResidentContent::Foreigner(person) = &id.content else { panic!("{id:?}") };
        assert_eq!(person.spoken_name().expose(), "ZHANG, SAN");
        let nameless = block(&[("I", 248, 2)]);
        assert_eq!(ResidentId::parse(&nameless, &[]), Err(ResidentIdError::NoNumber));
    }

    #[test]
    fn an_unknown_layout_is_kept_as_bytes_only() {
        for letter in ["J", "Y", "\u{7}"] {
            let text = block(&[("张三", 0, 30), (letter, LAYOUT_AT, 2)]);
            let id = ResidentId::parse(&text, &[7; 10]).unwrap();
            let layout = letter.chars().next().unwrap();
            assert_eq!(id.content, ResidentContent::Unknown { layout });
            assert_eq!((id.text(), id.photo()), (&text[..], &[7; 10][..]));
        }
    }

    #[test]
    fn blocks_of_another_size_are_refused() {
        let text = block(&CITIZEN);
        assert_eq!(ResidentId::parse(&text[1..], &[]), Err(ResidentIdError::TextLength { found: 255 }));
        let photo = [0; PHOTO + 1];
        assert_eq!(ResidentId::parse(&text, &photo), Err(ResidentIdError::PhotoLength { found: 1025 }));
    }

    #[test]
    fn nothing_of_a_person_is_printed() {
        let id = ResidentId::parse(&block(&CITIZEN), &[0x41; 16]).unwrap();
        let text = format!("{id:?} {:?}", id.content);
        for secret in ["张", "110105", "测试省", "65, 65"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
