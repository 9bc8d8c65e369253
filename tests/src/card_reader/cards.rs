//! Synthetic social security cards: command bytes in, answer bytes out, as a T=0 card gives them.
//! Never knows how its bytes travel, and never answers a PIN command with success. Its key is a toy.

use encoding_rs::GB18030;
pub use reference_upstream::toy_cipher;

/// What is written on a synthetic card. Every field may be changed before the card is put in.
#[derive(Clone, Debug)]
pub struct CardSpec {
    /// `1.00`, `2.00` or `3.00`.
    pub version: &'static str,
    pub code: [u8; 16],
    pub number: String,
    pub id_number: String,
    pub name: String,
    /// `1` male, `2` female.
    pub sex: u8,
    /// GB 3304 code in BCD.
    pub ethnicity: u8,
    pub birthplace: [u8; 3],
    pub birth_date: [u8; 4],
    pub issued: [u8; 4],
    pub expires: [u8; 4],
    pub atr: Vec<u8>,
    /// Name split over records 09 and 4E; without it the records count on by one number less.
    pub name_extension: bool,
    /// EF06 answers 6982.
    pub holder_locked: bool,
    /// What opens EF06 when it is locked, with the toy cipher of these tests; without it nothing does.
    pub holder_key: Option<u8>,
    /// What the application says of its algorithm when it is selected: 1 3DES, 2 SSF33, 3 SM4.
    pub algorithm: Option<u8>,
    /// Record 07 answers 6982.
    pub number_locked: bool,
    /// The card has no social security application.
    pub foreign: bool,
    /// Selects files with P1=00 only.
    pub old_select: bool,
    /// The card does not answer the reset.
    pub mute: bool,
}

impl CardSpec {
    /// 张三, card version 1.0.
    pub fn version_1() -> Self {
        Self { version: "1.00", name_extension: false, ..Self::version_2() }
    }

    /// 张三, card version 2.0.
    pub fn version_2() -> Self {
        Self {
            version: "2.00",
            code: code(0x01),
            number: "A12345678".into(),
            id_number: "11010518490307007X".into(),
            name: "张三".into(),
            sex: b'1',
            ethnicity: 0x01,
            birthplace: [0x11, 0x01, 0x05],
            birth_date: [0x18, 0x49, 0x03, 0x07],
            issued: [0x20, 0x24, 0x01, 0x15],
            expires: [0x20, 0x34, 0x01, 0x15],
            atr: ATR.to_vec(),
            name_extension: true,
            holder_locked: false,
            holder_key: None,
            algorithm: None,
            number_locked: false,
            foreign: false,
            old_select: false,
            mute: false,
        }
    }

    /// 张三, card version 3.0: holder data is locked.
    pub fn version_3() -> Self {
        Self { version: "3.00", holder_locked: true, ..Self::version_2() }
    }

    /// 张三, card version 3.0 with SM4, whose holder file opens with the toy key `0x5A`.
    pub fn with_key() -> Self {
        Self { holder_key: Some(0x5A), algorithm: Some(3), ..Self::version_3() }
    }

    /// 李四, card version 2.0, every field different from 张三's.
    pub fn another_person() -> Self {
        Self {
            code: code(0x02),
            number: "B87654321".into(),
            id_number: "110105184903070029".into(),
            name: "李四".into(),
            sex: b'2',
            ..Self::version_2()
        }
    }

    /// The records of EF05 in their order.
    fn issuance(&self) -> Vec<Vec<u8>> {
        vec![
            record(0x01, &self.code),
            record(0x02, b"3"),
            record(0x03, self.version.as_bytes()),
            record(0x04, &[0x99; 12]),
            record(0x05, &self.issued),
            record(0x06, &self.expires),
            record(0x07, &filled(self.number.as_bytes(), self.number.len().max(9))),
        ]
    }

    /// The records of EF06 in their order.
    fn holder(&self) -> Vec<Vec<u8>> {
        let name = filled(&GB18030.encode(&self.name).0, 50);
        let mut records = vec![
            record(0x08, &filled(self.id_number.as_bytes(), 18)),
            record(0x09, &name[..30]),
            record(0x0A, &[self.sex]),
            record(0x0B, &[self.ethnicity]),
            record(0x0C, &self.birthplace),
            record(0x0D, &self.birth_date),
        ];
        if self.name_extension {
            records.insert(2, record(0x4E, &name[30..]));
        }
        records
    }
}

/// A card in the slot: the specification and what the card remembers between commands.
#[derive(Clone, Debug)]
pub struct SimulatedCard {
    spec: CardSpec,
    selected: Selected,
    pending: Vec<u8>,
    /// Instructions received since the card was made, for tests that something was never sent.
    instructions: Vec<u8>,
    opened: bool,
    /// Good for the next command only.
    challenge: Option<[u8; 8]>,
    challenges: u8,
    tries_left: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Selected {
    Nothing,
    Application,
    Issuance,
    Holder,
}

impl SimulatedCard {
    pub fn new(spec: CardSpec) -> Self {
        Self {
            spec,
            selected: Selected::Nothing,
            pending: Vec::new(),
            instructions: Vec::new(),
            opened: false,
            challenge: None,
            challenges: 0,
            tries_left: 3,
        }
    }

    pub fn spec(&self) -> &CardSpec {
        &self.spec
    }

    pub fn instructions(&self) -> &[u8] {
        &self.instructions
    }

    /// Becomes another card without losing what was selected: the worst exchange there can be.
    pub fn become_card(&mut self, spec: CardSpec) {
        self.spec = spec;
    }

    /// Answer to reset; `None` from a mute card.
    pub fn reset(&mut self) -> Option<Vec<u8>> {
        self.selected = Selected::Nothing;
        self.pending.clear();
        self.opened = false;
        self.challenge = None;
        (!self.spec.mute).then(|| self.spec.atr.clone())
    }

    /// One T=0 command (five bytes of head, data where the command has some) to data and status word.
    pub fn exchange(&mut self, tpdu: &[u8]) -> Vec<u8> {
        let [class, instruction, p1, p2, p3, data @ ..] = tpdu else { return status(0x6700) };
        self.instructions.push(*instruction);
        let pending = std::mem::take(&mut self.pending);
        let challenge = self.challenge.take();
        match (class, instruction) {
            (0, 0xA4) => self.select(*p1, data),
            (0, 0xB2) => self.read_record(*p1, *p2, *p3),
            (0, 0xC0) => answer(&pending, *p3),
            (0, 0x84) => {
                self.challenges += 1;
                let fresh = [0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, self.challenges];
                self.challenge = Some(fresh);
                answer(&fresh, *p3)
            }
            (0, 0x20) => status(0x63C2),
            (0, 0x88) => self.prove(data),
            (0, 0x82) => self.open(challenge, (*p1, *p2), data),
            (0, _) => status(0x6D00),
            _ => status(0x6E00),
        }
    }

    fn prove(&mut self, data: &[u8]) -> Vec<u8> {
        let (Some(key), Some((factor, source))) = (self.spec.holder_key, halves(data)) else {
            return status(0x6A88);
        };
        self.pending = toy_cipher(key, factor, source).to_vec();
        status(0x6108)
    }

    /// A right answer opens EF06 until the next reset; a wrong one costs a try.
    fn open(&mut self, challenge: Option<[u8; 8]>, key_at: (u8, u8), data: &[u8]) -> Vec<u8> {
        let Some(key) = self.spec.holder_key else { return status(0x6982) };
        let (Some(challenge), Some((result, factor)), (0x00, 0x0A)) = (challenge, halves(data), key_at)
        else {
            return status(0x6985);
        };
        if self.tries_left == 0 {
            return status(0x6983);
        }
        if result == toy_cipher(key, factor, challenge) {
            self.opened = true;
            return status(0x9000);
        }
        self.tries_left -= 1;
        status(0x63C0 | u16::from(self.tries_left))
    }

    fn select(&mut self, p1: u8, data: &[u8]) -> Vec<u8> {
        let by_file = if self.spec.old_select { p1 == 0 } else { p1 == 0 || p1 == 2 };
        match (p1, data) {
            (4, aid) if aid == SOCIAL_SECURITY && !self.spec.foreign => {
                self.selected = Selected::Application;
                self.pending = control_information(aid, self.spec.algorithm);
                status(0x6100 | self.pending.len() as u16)
            }
            (_, [0xEF, file @ (0x05 | 0x06)]) if by_file && self.selected != Selected::Nothing => {
                self.selected = if *file == 0x05 { Selected::Issuance } else { Selected::Holder };
                status(0x9000)
            }
            (2, _) if self.spec.old_select => status(0x6A86),
            _ => status(0x6A82),
        }
    }

    fn read_record(&mut self, p1: u8, p2: u8, expected: u8) -> Vec<u8> {
        let records = match self.selected {
            Selected::Nothing | Selected::Application => return status(0x6986),
            Selected::Holder if self.spec.holder_locked && !self.opened => return status(0x6982),
            Selected::Issuance => self.spec.issuance(),
            Selected::Holder => self.spec.holder(),
        };
        let by_tag = p2 == 0;
        let found = match p2 {
            0 => records.iter().find(|record| record[0] == p1),
            4 => usize::from(p1).checked_sub(1).and_then(|index| records.get(index)),
            _ => return status(0x6A86),
        };
        match found {
            Some(_) if by_tag && p1 == 0x07 && self.spec.number_locked => status(0x6982),
            Some(record) => answer(record, expected),
            None => status(0x6A83),
        }
    }
}

fn halves(data: &[u8]) -> Option<([u8; 8], [u8; 8])> {
    let (first, second) = data.split_first_chunk()?;
    Some((*first, second.try_into().ok()?))
}

/// Name of the application and, where the card tells it, its algorithm.
fn control_information(aid: &[u8], algorithm: Option<u8>) -> Vec<u8> {
    let told: Vec<u8> = match algorithm {
        Some(code) => vec![0xA5, 0x06, 0x9F, 0x0C, 0x03, 0x86, 0x01, code],
        None => Vec::new(),
    };
    [&[0x6F, (2 + aid.len() + told.len()) as u8, 0x84, aid.len() as u8], aid, &told].concat()
}

/// The data when its length was asked for exactly, otherwise the length to ask for.
fn answer(data: &[u8], expected: u8) -> Vec<u8> {
    if data.is_empty() {
        status(0x6985)
    } else if usize::from(expected) == data.len() {
        [data, &[0x90, 0x00]].concat()
    } else {
        status(0x6C00 | data.len() as u16)
    }
}

fn status(word: u16) -> Vec<u8> {
    word.to_be_bytes().to_vec()
}

fn record(tag: u8, value: &[u8]) -> Vec<u8> {
    [&[tag, value.len() as u8], value].concat()
}

fn filled(bytes: &[u8], length: usize) -> Vec<u8> {
    let mut filled = bytes.to_vec();
    filled.resize(length, 0);
    filled
}

fn code(last: u8) -> [u8; 16] {
    let mut code = *b"\x11\x01\x05\xD1\x56\x00\x00\x05\x99\x11\x01\x45\x00\x00\x00\x00";
    code[15] = last;
    code
}

/// GBK bytes of `sx1.sh.社会保障`.
const SOCIAL_SECURITY: &[u8] = b"sx1.sh.\xC9\xE7\xBB\xE1\xB1\xA3\xD5\xCF";
/// A published answer to reset: T=0, thirteen historical bytes.
const ATR: [u8; 17] = *b"\x3B\x6D\x00\x00\x00\x81\x54\x4C\x96\x86\x84\x37\x16\x00\x8F\x3D\x97";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_answers_as_a_t0_card() {
        let mut card = SimulatedCard::new(CardSpec::version_2());
        let mut check = |command: &[u8], want: &[u8]| assert_eq!(card.exchange(command), want);
        let select = [&[0, 0xA4, 4, 0, 15], SOCIAL_SECURITY].concat();
        check(&[0, 0xB2, 8, 0, 0x14], &[0x69, 0x86]);
        check(&select, &[0x61, 0x13]);
        check(&[0, 0xC0, 0, 0, 0x12], &[0x6C, 0x13]);
        check(&select, &[0x61, 0x13]);
        check(&[0, 0xC0, 0, 0, 0x13], &[&[0x6F, 0x11, 0x84, 0x0F], SOCIAL_SECURITY, &[0x90, 0x00]].concat());
        check(&[0, 0xA4, 2, 0, 2, 0xEF, 0x06], &[0x90, 0x00]);
        check(&[0, 0xB2, 8, 0, 0], &[0x6C, 0x14]);
        check(&[0, 0xB2, 8, 0, 0x14], b"\x08\x1211010518490307007X\x90\x00");
        check(&[0, 0xB2, 4, 4, 3], b"\x0A\x011\x90\x00");
        check(&[0, 0xB2, 0x4F, 0, 3], &[0x6A, 0x83]);
        check(&[0, 0x20, 0, 0, 3, 0x12, 0x34, 0x56], &[0x63, 0xC2]);
        check(&[0, 0xB0, 0, 0, 3], &[0x6D, 0x00]);
    }

    #[test]
    fn record_numbers_shift_with_the_name_extension_and_tags_do_not() {
        let sex_number =
            |spec: CardSpec| spec.holder().iter().position(|record| record[0] == 0x0A).unwrap() + 1;
        assert_eq!((sex_number(CardSpec::version_1()), sex_number(CardSpec::version_2())), (3, 4));
    }
}
