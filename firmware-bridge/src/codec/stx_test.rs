//! The published variants of the STX framing as tables, their frames, and properties of each.
//! Never a real vendor's command set: codes that no document gives are made up here.

use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// (a) `09 LEN CMD DATA BCC 0D`, status after the start mark of an answer.
fn variant_a() -> StxTable {
    StxTable {
        stx: 0x09,
        etx: Some(0x0D),
        header: Vec::new(),
        order: Order::LengthFirst,
        length: Length { width: 1, little_endian: false, counts_command: true },
        checksum: Checksum { kind: ChecksumKind::Xor, cover: Cover::Body, after_etx: false },
        expansion: Expansion::None,
        answer: AnswerForm::StatusFirst,
        command_width: 1,
        good: vec![0x00],
        absent: vec![0x02],
        commands: Commands {
            power_on: vec![0x50],
            power_off: vec![0x52],
            status: vec![0x53],
            exchange: vec![0x51, 0x07],
        },
        sam: None,
    }
}

/// (b) `02 LEN16 CMD16 data LRC 03`, nibbles, LRC over what follows the length.
fn variant_b() -> StxTable {
    StxTable {
        stx: 0x02,
        etx: Some(0x03),
        length: Length { width: 2, little_endian: false, counts_command: true },
        expansion: Expansion::Nibbles,
        answer: AnswerForm::StatusOnly,
        command_width: 2,
        good: vec![0x00, 0x00],
        absent: vec![0x20, 0x01],
        commands: Commands {
            power_on: vec![0x00, 0x22, 0x00, 0x00],
            power_off: vec![0x00, 0x25],
            status: vec![0x00, 0x21],
            exchange: vec![0x00, 0x23],
        },
        ..variant_a()
    }
}

/// (c) `STX LEN16 CM PM data ETX BCC`, BCC over everything before it.
fn variant_c() -> StxTable {
    StxTable {
        expansion: Expansion::None,
        checksum: Checksum { kind: ChecksumKind::Xor, cover: Cover::WithMarks, after_etx: true },
        answer: AnswerForm::CommandThenStatus,
        command_width: 1,
        good: vec![0x59],
        absent: vec![0x45],
        commands: Commands {
            power_on: vec![0x37, 0x40],
            power_off: vec![0x37, 0x42],
            status: vec![0x31, 0x40],
            exchange: vec![0x38, 0x43],
        },
        ..variant_b()
    }
}

/// (d) hexadecimal digits between the marks, a fixed head, length of the data only.
fn variant_d() -> StxTable {
    StxTable {
        header: vec![0x01],
        order: Order::CommandFirst,
        length: Length { width: 1, little_endian: false, counts_command: false },
        checksum: Checksum { kind: ChecksumKind::Xor, cover: Cover::Inside, after_etx: false },
        expansion: Expansion::Hex,
        answer: AnswerForm::StatusOnly,
        command_width: 1,
        good: vec![0x90, 0x00],
        absent: vec![0x60, 0x01],
        commands: Commands {
            power_on: vec![0x80],
            power_off: vec![0x81],
            status: vec![0x01],
            exchange: vec![0xA0],
        },
        ..variant_b()
    }
}

type Variant = (&'static str, fn() -> StxTable);

const VARIANTS: [Variant; 4] = [("a", variant_a), ("b", variant_b), ("c", variant_c), ("d", variant_d)];

const READ_08: [u8; 5] = [0x00, 0xB2, 0x08, 0x00, 0x14];
const RECORD_08: &[u8] = b"\x08\x1211010518490307007X\x90\x00";

/// What a board that follows `table` says, in answer to the command that begins with `name`.
fn answer(table: &StxTable, name: &[u8], status: &[u8], data: &[u8]) -> Vec<u8> {
    let name = &name[..table.command_width];
    let (first, middle) = match table.answer {
        AnswerForm::StatusFirst => (name, &[][..]),
        AnswerForm::CommandThenStatus => (name, status),
        AnswerForm::StatusOnly => (status, &[][..]),
    };
    let counted = middle.len() + data.len() + if table.length.counts_command { first.len() } else { 0 };
    let length = if table.length.width == 1 { vec![counted as u8] } else { vec![0, counted as u8] };
    let before = if table.answer == AnswerForm::StatusFirst { status } else { &[] };
    let parts: [&[u8]; 6] = match table.order {
        Order::LengthFirst => [before, &table.header, &length, first, middle, data],
        Order::CommandFirst => [before, &table.header, first, &length, middle, data],
    };
    let inner = parts.concat();
    let body_at =
        before.len() + table.header.len() + if table.order == Order::LengthFirst { length.len() } else { 0 };
    let sum_of = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum ^ byte);
    let sum = match table.checksum.cover {
        Cover::Body => sum_of(&inner[body_at..]),
        Cover::Inside => sum_of(&inner),
        Cover::WithMarks => sum_of(&inner) ^ table.stx ^ table.etx.unwrap(),
    };
    let digits = |bytes: &[u8]| -> Vec<u8> {
        match table.expansion {
            Expansion::None => bytes.to_vec(),
            Expansion::Nibbles => bytes.iter().flat_map(|b| [0x30 + (b >> 4), 0x30 + (b & 15)]).collect(),
            Expansion::Hex => bytes.iter().flat_map(|b| format!("{b:02X}").into_bytes()).collect(),
        }
    };
    let (inside, outside) = if table.checksum.after_etx { (vec![], vec![sum]) } else { (vec![sum], vec![]) };
    [vec![table.stx], digits(&inner), digits(&inside), vec![table.etx.unwrap()], outside].concat()
}

fn good_answer(table: &StxTable) -> Vec<u8> {
    answer(table, &table.commands.exchange, &table.good, RECORD_08)
}

fn reading(table: &StxTable) -> StxFraming {
    let mut framing = StxFraming::new(table.clone()).unwrap();
    framing.begin(&Request::Transfer(&READ_08), 0).unwrap();
    framing
}

fn all(framing: &mut StxFraming, bytes: &[u8]) -> Vec<Received> {
    framing.push(bytes);
    std::iter::from_fn(|| framing.poll()).collect()
}

#[test]
fn commands_are_those_of_the_published_documents() {
    let check = |table: StxTable, command: &str, data: &str, want: &str| {
        assert_eq!(table.frame(&hex(command), &hex(data)).unwrap(), hex(want));
    };
    let challenge = "07 0A 00 00 84 00 00 04";
    check(variant_a(), "51 07", challenge, "09 0A 51 07 07 0A 00 00 84 00 00 04 DB 0D");
    check(variant_b(), "00 22", "00 00", "02 30 30 30 34 30 30 32 32 30 30 30 30 32 32 03");
    check(variant_c(), "37 40", "", "02 00 02 37 40 03 74");
    check(variant_d(), "80", "", "02 30 31 38 30 30 30 38 31 03");
    let long = [0; 256];
    assert!(variant_a().frame(&[0x51], &long).is_err());
    assert!(variant_b().frame(&[0x00, 0x23], &long).is_ok());
}

#[test]
fn answers_of_every_variant_are_decoded() {
    for (name, table) in VARIANTS {
        let table = table();
        let check = |status: &[u8], data: &[u8], bits: u8, error: u8| {
            let frame = answer(&table, &table.commands.exchange, status, data);
            let want = Answer { status: bits, error, data: data.to_vec() };
            assert_eq!(all(&mut reading(&table), &frame), [Received::Answer(want)], "{name}");
        };
        check(&table.good, RECORD_08, 0x00, 0x00);
        check(&table.absent, &[], 0x42, 0xFE);
        let other = vec![0x07; table.good.len()];
        check(&other, &[], 0x40, 0x07);
    }
}

#[test]
fn an_answer_that_names_another_command_is_stray() {
    for (name, table) in [VARIANTS[0], VARIANTS[2]] {
        let table = table();
        let mut framing = reading(&table);
        let frame = answer(&table, &table.commands.status, &table.good, &[]);
        assert_eq!(all(&mut framing, &frame), [], "{name}");
        assert_eq!(framing.counters().stray_frames, 1, "{name}");
    }
}

#[test]
fn a_repeated_answer_shows_as_stray() {
    for (name, table) in VARIANTS {
        let table = table();
        let mut framing = reading(&table);
        assert_eq!(all(&mut framing, &good_answer(&table).repeat(2)).len(), 1, "{name}");
        assert_eq!(framing.counters().stray_frames, 1, "{name}");
    }
}

#[test]
fn an_answer_may_come_in_pieces_but_not_in_part() {
    for (name, table) in VARIANTS {
        let table = table();
        let frame = good_answer(&table);
        for cut in 0..frame.len() {
            let mut framing = reading(&table);
            assert_eq!(all(&mut framing, &frame[..cut]), [], "{name} {cut}");
            assert_eq!(all(&mut framing, &frame[cut..]).len(), 1, "{name} {cut}");
            assert_eq!(framing.counters().dropped_bytes, 0, "{name} {cut}");
        }
    }
}

#[test]
fn the_sam_slot_has_commands_of_its_own() {
    let mut plain = StxFraming::new(variant_a()).unwrap();
    assert!(!plain.address(1) && plain.address(0));
    let sam = Commands {
        power_on: vec![0x60],
        power_off: vec![0x62],
        status: vec![0x63],
        exchange: vec![0x61, 0x07],
    };
    let mut framing = StxFraming::new(StxTable { sam: Some(sam.clone()), ..variant_a() }).unwrap();
    let mut check = |slot: u8, want: &str| {
        assert!(framing.address(slot));
        assert_eq!(framing.begin(&Request::Transfer(&[0x00, 0x84]), 0).unwrap(), hex(want), "slot {slot}");
    };
    check(0, "09 04 51 07 00 84 D2 0D");
    check(1, "09 04 61 07 00 84 E2 0D");
    check(0, "09 04 51 07 00 84 D2 0D");
    let short = Some(Commands { power_off: vec![], ..sam });
    let refused = StxTableError::Command { name: "power off", wanted: 1, found: 0 };
    assert_eq!(StxTable { sam: short, ..variant_a() }.check(), Err(refused));
}

#[test]
fn tables_that_describe_no_framing_are_refused() {
    let check = |table: StxTable, want: StxTableError| assert_eq!(StxFraming::new(table).err(), Some(want));
    check(StxTable { etx: Some(0x09), ..variant_a() }, StxTableError::Marks { mark: 0x09 });
    check(StxTable { stx: 0x31, ..variant_b() }, StxTableError::MarkIsDigit { mark: 0x31 });
    let length = Length { width: 3, ..variant_a().length };
    check(StxTable { length, ..variant_a() }, StxTableError::LengthWidth { width: 3 });
    check(StxTable { absent: vec![], ..variant_a() }, StxTableError::Status { good: 1, absent: 0 });
    check(StxTable { good: vec![], absent: vec![], ..variant_b() }, StxTableError::Nameless);
    check(StxTable { etx: None, ..variant_c() }, StxTableError::NoEndMark);
    let commands = Commands { status: vec![], ..variant_a().commands };
    check(
        StxTable { commands, ..variant_a() },
        StxTableError::Command { name: "status", wanted: 1, found: 0 },
    );
    for (_, table) in VARIANTS {
        assert_eq!(table().check(), Ok(()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// One changed byte never yields other data of the same length. The status of (a) stands outside its
    /// checksum: there a changed byte may turn success into an error, never the data into other data.
    #[test]
    fn one_changed_byte_is_never_taken_for_other_data(
        variant in 0_usize..4, at in 0_usize..80, mask in 1_u8.., prefix in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let table = VARIANTS[variant].1();
        let mut frame = good_answer(&table);
        let at = at % frame.len();
        frame[at] ^= mask;
        for received in all(&mut reading(&table), &[prefix, frame].concat()) {
            if let Received::Answer(answer) = received {
                prop_assert!(answer.data.len() != RECORD_08.len() || answer.data == RECORD_08);
            }
        }
    }

    #[test]
    fn any_bytes_end_in_a_wait(variant in 0_usize..4, bytes in any::<Vec<u8>>()) {
        let table = VARIANTS[variant].1();
        prop_assert!(all(&mut reading(&table), &bytes).len() <= bytes.len());
    }
}
