//! Commands that somebody typed: taken when they only select or read, refused by name otherwise.
//! Never lets through what could change a card or cost its holder a try.

use super::CommandApdu;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedCommand {
    #[error(
        "command has {found} bytes, which is not class, instruction, P1, P2 and what its length byte says"
    )]
    Form { found: usize },
    #[error("{name} ({instruction:02X}) is never sent: it could change the card or cost its holder a try")]
    Forbidden { instruction: u8, name: &'static str },
    #[error("instruction {instruction:02X} is not known to only read")]
    Unknown { instruction: u8 },
    #[error("class {class:02X} is the maker's own, so nobody knows what its commands do")]
    Class { class: u8 },
}

impl CommandApdu {
    /// Takes header, P3 and data of a command that selects or reads.
    ///
    /// # Errors
    /// Says by name what is refused, and why.
    pub fn parse(bytes: &[u8]) -> Result<Self, RefusedCommand> {
        let form = RefusedCommand::Form { found: bytes.len() };
        let [class, instruction, ..] = bytes else { return Err(form) };
        if let Some(name) = forbidden(*instruction) {
            return Err(RefusedCommand::Forbidden { instruction: *instruction, name });
        }
        if *class > LAST_CHANNEL {
            return Err(RefusedCommand::Class { class: *class });
        }
        if !READING.contains(instruction) {
            return Err(RefusedCommand::Unknown { instruction: *instruction });
        }
        Self::from_bytes(bytes).ok_or(form)
    }
}

/// The name of an instruction that writes, proves or unlocks (ISO 7816-4, -8 and -9).
pub(crate) fn forbidden(instruction: u8) -> Option<&'static str> {
    FORBIDDEN.iter().find(|(code, _)| *code == instruction).map(|(_, name)| *name)
}

/// SELECT, READ BINARY, READ RECORD, GET RESPONSE, GET CHALLENGE, GET DATA: all they change is what is selected.
const READING: [u8; 9] = [0xA4, 0xB0, 0xB1, 0xB2, 0xB3, 0xC0, 0x84, 0xCA, 0xCB];
/// The last class of interindustry commands without secure messaging.
const LAST_CHANNEL: u8 = 0x03;

const FORBIDDEN: [(u8, &str); 32] = [
    (0x04, "DEACTIVATE FILE"),
    (0x0C, "ERASE RECORD"),
    (0x0E, "ERASE BINARY"),
    (0x0F, "ERASE BINARY"),
    (0x20, "VERIFY"),
    (0x21, "VERIFY"),
    (0x22, "MANAGE SECURITY ENVIRONMENT"),
    (0x24, "CHANGE REFERENCE DATA"),
    (0x25, "CHANGE REFERENCE DATA"),
    (0x26, "DISABLE VERIFICATION REQUIREMENT"),
    (0x28, "ENABLE VERIFICATION REQUIREMENT"),
    (0x2A, "PERFORM SECURITY OPERATION"),
    (0x2C, "RESET RETRY COUNTER"),
    (0x2D, "RESET RETRY COUNTER"),
    (0x44, "ACTIVATE FILE"),
    (0x46, "GENERATE KEY PAIR"),
    (0x47, "GENERATE KEY PAIR"),
    (0x82, "EXTERNAL AUTHENTICATE"),
    (0x86, "GENERAL AUTHENTICATE"),
    (0x87, "GENERAL AUTHENTICATE"),
    (0x88, "INTERNAL AUTHENTICATE"),
    (0xD0, "WRITE BINARY"),
    (0xD1, "WRITE BINARY"),
    (0xD2, "WRITE RECORD"),
    (0xD6, "UPDATE BINARY"),
    (0xD7, "UPDATE BINARY"),
    (0xDA, "PUT DATA"),
    (0xDB, "PUT DATA"),
    (0xDC, "UPDATE RECORD"),
    (0xDD, "UPDATE RECORD"),
    (0xE0, "CREATE FILE"),
    (0xE2, "APPEND RECORD"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_reads_is_taken() {
        for bytes in [
            &[0, 0xA4, 4, 0, 2, 0x73, 0x78][..],
            &[0, 0xB2, 8, 0, 0x14],
            &[0, 0x84, 0, 0, 8],
            &[0, 0xB0, 0, 0],
        ] {
            let command = CommandApdu::parse(bytes).unwrap();
            assert!(command.tpdu().starts_with(bytes), "{bytes:02X?}");
        }
    }

    #[test]
    fn what_could_change_a_card_is_refused_by_name() {
        let check = |instruction: u8, name: &str| {
            for class in [0x00, 0x04, 0x80, 0xFF] {
                let refused = CommandApdu::parse(&[class, instruction, 0, 0, 0]).unwrap_err();
                assert!(refused.to_string().starts_with(name), "{instruction:02X}: {refused}");
            }
        };
        check(0x20, "VERIFY (20)");
        check(0x82, "EXTERNAL AUTHENTICATE (82)");
        check(0xD6, "UPDATE BINARY");
        check(0xDC, "UPDATE RECORD");
        check(0xE2, "APPEND RECORD");
        check(0x24, "CHANGE REFERENCE DATA");
        check(0x2C, "RESET RETRY COUNTER");
    }

    /// Nothing but the listed instructions passes, whatever else is typed.
    #[test]
    fn everything_else_is_refused() {
        for instruction in (0..=u8::MAX).filter(|code| !READING.contains(code)) {
            assert!(CommandApdu::parse(&[0, instruction, 0, 0, 0]).is_err(), "{instruction:02X}");
        }
        let check = |bytes: &[u8], want: RefusedCommand| assert_eq!(CommandApdu::parse(bytes), Err(want));
        check(&[0x80, 0xB2, 1, 0, 0], RefusedCommand::Class { class: 0x80 });
        check(&[0, 0xFA, 1, 0, 0], RefusedCommand::Unknown { instruction: 0xFA });
        for bytes in [&[][..], &[0], &[0, 0xB2, 1], &[0, 0xA4, 4, 0, 3, 1, 2]] {
            check(bytes, RefusedCommand::Form { found: bytes.len() });
        }
    }
}
