//! Records of one tag byte, one length byte and the value, as the files of the social security card hold them.
//! Never guesses: a record with another tag or another length than it says is refused.

/// Why bytes are not the record that was asked for. Carries no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlvError {
    #[error("record of {found} bytes has no tag and length")]
    Short { found: usize },
    #[error("record has tag {found:02X}, not {wanted:02X}")]
    Tag { wanted: u8, found: u8 },
    #[error("record says it holds {said} bytes and holds {found}")]
    Length { said: usize, found: usize },
}

/// The value of the one record in `bytes`, which must have `tag` and fill `bytes`.
pub fn value(bytes: &[u8], tag: u8) -> Result<&[u8], TlvError> {
    let [found_tag, length, value @ ..] = bytes else {
        return Err(TlvError::Short { found: bytes.len() });
    };
    if *found_tag != tag {
        return Err(TlvError::Tag { wanted: tag, found: *found_tag });
    }
    if usize::from(*length) != value.len() {
        return Err(TlvError::Length { said: usize::from(*length), found: value.len() });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_record_asked_for_is_taken() {
        let check = |bytes: &[u8], want: Result<&[u8], TlvError>| assert_eq!(value(bytes, 3), want);
        check(&[3, 4, 0x33, 0x2E, 0x30, 0x30], Ok(b"3.00"));
        check(&[3, 0], Ok(b""));
        check(&[], Err(TlvError::Short { found: 0 }));
        check(&[3], Err(TlvError::Short { found: 1 }));
        check(&[4, 1, 0], Err(TlvError::Tag { wanted: 3, found: 4 }));
        check(&[3, 2, 0], Err(TlvError::Length { said: 2, found: 1 }));
        check(&[3, 1, 0, 0], Err(TlvError::Length { said: 1, found: 2 }));
    }
}
