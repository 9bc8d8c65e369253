//! Vectors and properties of the SDT codec. Frames are those of the card specification; never a real person's.

use proptest::prelude::*;
use ring::digest::{SHA256, digest};

use super::*;

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

fn answer(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 1).unwrap().to_be_bytes();
    let sum = checksum(&length) ^ checksum(body);
    [&PREAMBLE, &length[..], body, &[sum]].concat()
}

/// The specification's example text: fixed fields in UTF-16LE, filled with spaces.
fn example_text() -> Vec<u8> {
    let fields = [
        ("张三", 30),
        ("1", 2),
        ("01", 4),
        ("19900307", 16),
        ("测试省测试市测试路1号", 70),
        ("99000019900307003X", 36),
        ("测试市公安局", 30),
        ("20200101", 16),
        ("20400101", 16),
        ("", 36),
    ];
    let mut text = Vec::new();
    for (field, length) in fields {
        let end = text.len() + length;
        text.extend(field.encode_utf16().flat_map(u16::to_le_bytes));
        while text.len() < end {
            text.extend([0x20, 0x00]);
        }
    }
    text
}

fn example_frame() -> Vec<u8> {
    answer(&[&[0, 0, 0x90, 1, 0, 4, 0][..], &example_text(), &[0; 1024]].concat())
}

fn all(command: Command, bytes: &[u8]) -> Vec<Received> {
    let mut receiver = Receiver::new();
    receiver.await_answer(command);
    receiver.push(bytes);
    std::iter::from_fn(|| receiver.poll()).collect()
}

fn answers(received: Vec<Received>) -> Vec<Answer> {
    received.into_iter().filter_map(|r| if let Received::Answer(a) = r { Some(a) } else { None }).collect()
}

#[test]
fn commands_are_those_of_the_specification() {
    let check = |command: Command, want: &str| assert_eq!(command.frame(), hex(want), "{command:?}");
    check(Command::Status, "AA AA AA 96 69 00 03 11 FF ED");
    check(Command::SamId, "AA AA AA 96 69 00 03 12 FF EE");
    check(Command::Reset, "AA AA AA 96 69 00 03 10 FF EC");
    check(Command::Find, "AA AA AA 96 69 00 03 20 01 22");
    check(Command::Select, "AA AA AA 96 69 00 03 20 02 21");
    check(Command::Read, "AA AA AA 96 69 00 03 30 01 32");
    check(Command::ReadWithFinger, "AA AA AA 96 69 00 03 30 10 23");
    check(Command::ReadAddress, "AA AA AA 96 69 00 03 30 03 30");
}

#[test]
fn answers_are_decoded() {
    let check = |command: Command, frame: &str, code: u8, length: usize| {
        let found = answers(all(command, &hex(frame)));
        assert!(matches!(found.as_slice(), [a] if a.code == code && a.data.len() == length), "{frame}");
    };
    check(Command::Status, "AA AA AA 96 69 00 04 00 00 90 94", 0x90, 0);
    check(Command::Find, "AA AA AA 96 69 00 08 00 00 9F 00 00 00 00 97", 0x9F, 4);
    check(Command::Find, "AA AA AA 96 69 00 04 00 00 80 84", 0x80, 0);
    check(Command::Select, "AA AA AA 96 69 00 0C 00 00 90 00 00 00 00 00 00 00 00 9C", 0x90, 8);
    check(Command::Select, "AA AA AA 96 69 00 04 00 00 81 85", 0x81, 0);
    check(Command::Read, "AA AA AA 96 69 00 04 00 00 41 45", 0x41, 0);
}

#[test]
fn the_check_vector_is_reproduced() {
    let frame = example_frame();
    assert_eq!((frame.len(), frame.last()), (1295, Some(&0x8F)));
    assert_eq!(frame[14..20], [0x20, 0x5F, 0x09, 0x4E, 0x20, 0x00]);
    let digest: String = digest(&SHA256, &frame).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, "0c24ccb6661850152412f8f38824f0fbda30ae18e141240c56ad41601978ee62");
    let found = answers(all(Command::Read, &frame));
    let (text, photo) = found[0].text_and_photo().unwrap();
    assert_eq!((text, photo), (&example_text()[..], &[0; 1024][..]));
}

#[test]
fn an_answer_of_another_form_is_not_taken() {
    let check = |command: Command, frame: &[u8]| assert_eq!(all(command, frame), [Received::Stray]);
    check(Command::Status, &example_frame());
    check(Command::Select, &example_frame());
    check(Command::Read, &answer(&[0, 0, 0x90]));
    check(Command::Read, &answer(&[0, 0, 0x80]));
    check(Command::Find, &answer(&[0, 0, 0x41]));
    check(Command::Status, &answer(&[0, 1, 0x90]));
    let mut other_length = example_frame()[7..1294].to_vec();
    other_length[3] = 0;
    check(Command::Read, &answer(&other_length));
}

#[test]
fn a_repeated_answer_is_taken_once() {
    let received = all(Command::Read, &example_frame().repeat(2));
    assert!(matches!(received.as_slice(), [Received::Answer(_), Received::Stray]), "{received:?}");
}

#[test]
fn an_answer_may_come_in_pieces_but_not_in_part() {
    let frame = example_frame();
    for cut in 0..frame.len() {
        let mut receiver = Receiver::new();
        receiver.await_answer(Command::Read);
        receiver.push(&frame[..cut]);
        assert_eq!(receiver.poll(), None, "{cut}");
        receiver.push(&frame[cut..]);
        assert!(matches!(receiver.poll(), Some(Received::Answer(_))), "{cut}");
        assert_eq!(receiver.dropped_bytes(), 0, "{cut}");
    }
}

#[test]
fn nothing_of_a_card_is_printed() {
    let text = format!("{:?}", all(Command::Read, &example_frame()));
    assert_eq!(text, "[Answer(Answer(code 90, 1284 bytes))]");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn one_changed_byte_is_never_taken_for_data(
        at in 0_usize..1295, mask in 1_u8.., prefix in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut frame = example_frame();
        frame[at] ^= mask;
        prop_assert_eq!(answers(all(Command::Read, &[prefix, frame].concat())), []);
    }

    #[test]
    fn noise_before_an_answer_never_changes_it(prefix in proptest::collection::vec(any::<u8>(), 0..64)) {
        for answer in answers(all(Command::Read, &[prefix, example_frame()].concat())) {
            prop_assert_eq!(&answer.data[4..260], &example_text()[..]);
        }
    }
}
