//! Answer to reset of a contact card, ISO 7816-3 clause 8.
//! Never repairs one: a byte too few or too many, or a wrong check byte, is an error.

/// A well-formed answer to reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Atr {
    historical: Vec<u8>,
    inverse: bool,
    /// TA1, only where TA2 makes it binding.
    rate: Option<u8>,
    guard_time: u8,
    waiting: u8,
    offers_t0: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AtrError {
    #[error("answer to reset is empty")]
    Empty,
    #[error("answer to reset begins with {found:02X}, not 3B or 3F")]
    Convention { found: u8 },
    #[error("answer to reset ends after {found} bytes")]
    Truncated { found: usize },
    #[error("answer to reset has {found} bytes, {wanted} are announced")]
    Length { found: usize, wanted: usize },
    #[error("answer to reset has a wrong check byte")]
    CheckByte,
}

impl Atr {
    pub fn parse(bytes: &[u8]) -> Result<Self, AtrError> {
        let (ts, rest) = bytes.split_first().ok_or(AtrError::Empty)?;
        if bytes.len() > LONGEST {
            return Err(AtrError::Length { found: bytes.len(), wanted: LONGEST });
        }
        if !matches!(ts, 0x3B | 0x3F) {
            return Err(AtrError::Convention { found: *ts });
        }
        let mut cursor = Cursor { rest: rest.iter(), total: bytes.len() };
        let format = cursor.take()?;
        let interface = Interface::parse(format, &mut cursor)?;
        let historical = (0..format & 0x0F).map(|_| cursor.take()).collect::<Result<Vec<u8>, _>>()?;
        if interface.needs_check_byte {
            cursor.take()?;
        }
        let spare = cursor.rest.len();
        if spare != 0 {
            return Err(AtrError::Length { found: bytes.len(), wanted: bytes.len() - spare });
        }
        if interface.needs_check_byte && rest.iter().fold(0, |sum, byte| sum ^ byte) != 0 {
            return Err(AtrError::CheckByte);
        }
        Ok(Self {
            historical,
            inverse: *ts == 0x3F,
            rate: interface.rate.filter(|_| interface.specific),
            guard_time: interface.guard_time,
            waiting: interface.waiting,
            offers_t0: interface.offers_t0,
        })
    }

    pub fn historical(&self) -> &[u8] {
        &self.historical
    }

    /// Whether the card speaks T=0.
    pub fn offers_t0(&self) -> bool {
        self.offers_t0
    }

    /// The CCID T=0 parameter structure that belongs to this card. A card that leaves its rate open stays at
    /// the rate of the answer to reset.
    pub fn t0_parameters(&self) -> [u8; 5] {
        [self.rate.unwrap_or(DEFAULT_RATE), u8::from(self.inverse) << 1, self.guard_time, self.waiting, 0]
    }
}

/// What the interface bytes said.
struct Interface {
    rate: Option<u8>,
    specific: bool,
    guard_time: u8,
    waiting: u8,
    offers_t0: bool,
    needs_check_byte: bool,
}

impl Interface {
    fn parse(format: u8, cursor: &mut Cursor<'_>) -> Result<Self, AtrError> {
        let mut interface = Self {
            rate: None,
            specific: false,
            guard_time: 0,
            waiting: DEFAULT_WAITING,
            offers_t0: format & 0x80 == 0,
            needs_check_byte: false,
        };
        let mut present = format >> 4;
        for group in 1_u8.. {
            if present & 1 != 0 {
                let ta = cursor.take()?;
                match group {
                    1 => interface.rate = Some(ta),
                    // Bit 5 set means implicit parameters, which nobody can set for the card.
                    2 => interface.specific = ta & 0x10 == 0,
                    _ => {}
                }
            }
            if present & 2 != 0 {
                cursor.take()?;
            }
            if present & 4 != 0 {
                let tc = cursor.take()?;
                match group {
                    1 => interface.guard_time = tc,
                    2 => interface.waiting = tc,
                    _ => {}
                }
            }
            if present & 8 == 0 {
                break;
            }
            let td = cursor.take()?;
            interface.offers_t0 |= td & 0x0F == 0;
            interface.needs_check_byte |= td & 0x0F != 0;
            present = td >> 4;
        }
        Ok(interface)
    }
}

struct Cursor<'a> {
    rest: std::slice::Iter<'a, u8>,
    total: usize,
}

impl Cursor<'_> {
    fn take(&mut self) -> Result<u8, AtrError> {
        self.rest.next().copied().ok_or(AtrError::Truncated { found: self.total })
    }
}

const LONGEST: usize = 33;
const DEFAULT_RATE: u8 = 0x11;
const DEFAULT_WAITING: u8 = 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAMPLE: [u8; 17] = [
        0x3B, 0x6D, 0x00, 0x00, 0x00, 0x81, 0x54, 0x4C, 0x96, 0x86, 0x84, 0x37, 0x16, 0x00, 0x8F, 0x3D, 0x97,
    ];

    #[test]
    fn a_published_card_is_read() {
        let atr = Atr::parse(&SAMPLE).unwrap();
        assert_eq!(atr.historical(), &SAMPLE[4..]);
        assert!(atr.offers_t0());
        assert_eq!(atr.t0_parameters(), [0x11, 0x00, 0x00, 0x0A, 0x00]);
    }

    #[test]
    fn interface_bytes_are_understood() {
        let check = |bytes: &[u8], offers_t0: bool, parameters: [u8; 5]| {
            let atr = Atr::parse(bytes).unwrap();
            assert_eq!((atr.offers_t0(), atr.t0_parameters()), (offers_t0, parameters), "{bytes:02X?}");
        };
        check(&[0x3B, 0x00], true, [0x11, 0, 0, 10, 0]);
        check(&[0x3F, 0x00], true, [0x11, 2, 0, 10, 0]);
        // TA1 alone only offers a rate; TA2 makes it binding.
        check(&[0x3B, 0x10, 0x95], true, [0x11, 0, 0, 10, 0]);
        check(&[0x3B, 0x90, 0x95, 0x10, 0x00], true, [0x95, 0, 0, 10, 0]);
        check(&[0x3B, 0xC0, 0xFF, 0x40, 0x01], true, [0x11, 0, 0xFF, 1, 0]);
        // T=1 only, with its check byte.
        check(&[0x3B, 0x80, 0x01, 0x81], false, [0x11, 0, 0, 10, 0]);
    }

    #[test]
    fn broken_answers_are_named() {
        let check = |bytes: &[u8], want: AtrError| assert_eq!(Atr::parse(bytes), Err(want), "{bytes:02X?}");
        check(&[], AtrError::Empty);
        check(&[0xFF, 0x00, 0x13, 0x37], AtrError::Convention { found: 0xFF });
        check(&[0x3B], AtrError::Truncated { found: 1 });
        check(&SAMPLE[..16], AtrError::Truncated { found: 16 });
        check(&[&SAMPLE[..], &[0]].concat(), AtrError::Length { found: 18, wanted: 17 });
        check(&[0x3B, 0x80, 0x01, 0x80], AtrError::CheckByte);
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in any::<Vec<u8>>()) {
            if let Ok(atr) = Atr::parse(&bytes) {
                prop_assert!(atr.historical().len() <= 15 && bytes.len() <= LONGEST);
            }
        }
    }
}
