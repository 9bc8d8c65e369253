//! Vectors and properties of the CCID-serial codec. Frames are the verified ones of the card specification;
//! never a real person's data.

use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

const SELECT_SSSE: &str = "00 A4 04 00 0F 73 78 31 2E 73 68 2E C9 E7 BB E1 B1 A3 D5 CF";
const ANSWER_TAG_08: &str = "03 06 80 16 00 00 00 00 09 00 00 00 08 12 31 31 30 31 30 35 31 38 34 39 30 33 30 37 \
                             30 30 37 58 90 00 7B";

fn outgoing(request: Request<'_>, sequence: u8) -> Outgoing {
    Outgoing::new(&request, 0, sequence).unwrap()
}

/// A receiver that waits for the answer to a READ RECORD sent with `sequence`.
fn reading(sequence: u8) -> (Receiver, Outgoing) {
    let request = outgoing(Request::Transfer(&[0x00, 0xB2, 0x08, 0x00, 0x14]), sequence);
    let mut receiver = Receiver::new(0);
    receiver.await_answer(request.clone());
    (receiver, request)
}

fn all(receiver: &mut Receiver) -> Vec<Received> {
    std::iter::from_fn(|| receiver.poll()).collect()
}

#[test]
fn requests_are_encoded_as_libccid_sends_them() {
    let check = |request: Request<'_>, sequence: u8, want: &str| {
        assert_eq!(outgoing(request, sequence).bytes(), hex(want), "{request:?}");
    };
    check(Request::Escape(&[0x02]), 0, "03 06 6B 01 00 00 00 00 00 00 00 00 02 6D");
    check(Request::Escape(&[1, 1, 1]), 1, "03 06 6B 03 00 00 00 00 01 00 00 00 01 01 01 6D");
    check(Request::SlotStatus, 2, "03 06 65 00 00 00 00 00 02 00 00 00 62");
    check(Request::PowerOn(Voltage::Five), 8, "03 06 62 00 00 00 00 00 08 01 00 00 6E");
    check(Request::PowerOn(Voltage::Automatic), 3, "03 06 62 00 00 00 00 00 03 00 00 00 64");
    check(Request::PowerOff, 0x0B, "03 06 63 00 00 00 00 00 0B 00 00 00 6D");
    check(
        Request::Transfer(&hex(SELECT_SSSE)),
        0x16,
        "03 06 6F 14 00 00 00 00 16 00 00 00 00 A4 04 00 0F 73 78 31 2E 73 68 2E C9 E7 BB E1 B1 A3 D5 CF 9A",
    );
    check(
        Request::Transfer(&hex("00 A4 00 00 02 EF 05")),
        6,
        "03 06 6F 07 00 00 00 00 06 00 00 00 00 A4 00 00 02 EF 05 27",
    );
    check(
        Request::Transfer(&hex("00 B2 08 00 14")),
        0x18,
        "03 06 6F 05 00 00 00 00 18 00 00 00 00 B2 08 00 14 D9",
    );
    check(
        Request::SetParameters([0x11, 0, 0, 0x0A, 0]),
        0x20,
        "03 06 61 05 00 00 00 00 20 00 00 00 11 00 00 0A 00 5A",
    );
}

#[test]
fn a_message_that_does_not_fit_is_refused() {
    let data = [0; MAX_DATA + 1];
    assert!(Outgoing::new(&Request::Transfer(&data[1..]), 0, 0).is_ok());
    assert_eq!(Outgoing::new(&Request::Transfer(&data), 0, 0), Err(TooLong { length: 262 }));
}

#[test]
fn answers_are_decoded() {
    let check = |request: Request<'_>, sequence: u8, frame: &str, status: u8, error: u8, data: &str| {
        let mut receiver = Receiver::new(0);
        receiver.await_answer(outgoing(request, sequence));
        receiver.push(&hex(frame));
        let want = Answer { status, error, data: hex(data) };
        assert_eq!(all(&mut receiver), [Received::Answer(want)], "{frame}");
    };
    let read = Request::Transfer(&[0, 0xB2, 8, 0, 0x14]);
    check(
        Request::Escape(&[2]),
        0,
        "03 06 83 12 00 00 00 00 00 01 00 00 47 65 6D 54 77 69 6E 2D 56 32 2E 30 30 2D 47 46 30 35 B0",
        1,
        0,
        "47 65 6D 54 77 69 6E 2D 56 32 2E 30 30 2D 47 46 30 35",
    );
    check(Request::Escape(&[1, 1, 1]), 1, "03 06 83 00 00 00 00 00 01 01 00 00 86", 1, 0, "");
    check(Request::SlotStatus, 2, "03 06 81 00 00 00 00 00 02 01 00 00 87", 1, 0, "");
    check(
        Request::PowerOn(Voltage::Five),
        3,
        "03 06 80 11 00 00 00 00 03 00 00 00 3B 6D 00 00 00 81 54 4C 96 86 84 37 16 00 8F 3D 97 C8",
        0,
        0,
        "3B 6D 00 00 00 81 54 4C 96 86 84 37 16 00 8F 3D 97",
    );
    check(read, 0x16, "03 06 80 02 00 00 00 00 16 00 00 00 61 13 E3", 0, 0, "61 13");
    check(read, 0x0A, "03 06 80 02 00 00 00 00 0A 00 00 00 6C 14 F5", 0, 0, "6C 14");
    check(read, 9, ANSWER_TAG_08, 0, 0, "08 12 31 31 30 31 30 35 31 38 34 39 30 33 30 37 30 30 37 58 90 00");
    check(read, 0x0B, "03 06 80 00 00 00 00 00 0B 42 FE 00 32", 0x42, 0xFE, "");
}

#[test]
fn time_extensions_naks_and_slot_events_are_told_apart() {
    let check = |bytes: &str, want: Received| {
        let (mut receiver, _) = reading(7);
        receiver.push(&hex(bytes));
        assert_eq!(all(&mut receiver), [want], "{bytes}");
    };
    check("03 06 80 00 00 00 00 00 07 80 05 00 07", Received::MoreTime);
    check("85", Received::MoreTime);
    check("03 15 16", Received::Nak);
    check("50 02", Received::SlotEvent(SlotEvent::Removed));
    check("50 03", Received::SlotEvent(SlotEvent::Inserted));
}

#[test]
fn a_time_byte_means_something_only_during_an_exchange() {
    let mut receiver = Receiver::new(0);
    receiver.await_answer(outgoing(Request::SlotStatus, 2));
    receiver.push(&[0x85]);
    assert_eq!(all(&mut receiver), []);
    assert_eq!(receiver.counters().dropped_bytes, 1);
}

#[test]
fn an_echo_is_swallowed_once() {
    let (mut receiver, request) = reading(9);
    receiver.push(request.bytes());
    receiver.push(&hex(ANSWER_TAG_08));
    assert!(matches!(all(&mut receiver).as_slice(), [Received::Answer(_)]));
    assert_eq!(receiver.counters().echoes, 1);
    assert_eq!(receiver.counters().dropped_bytes, 0);
}

#[test]
fn frames_of_another_request_are_dropped() {
    let check = |sequence: u8, name: &str, frame: &[u8]| {
        let (mut receiver, _) = reading(sequence);
        receiver.push(frame);
        assert_eq!(all(&mut receiver), [], "{name}");
        assert_eq!(receiver.counters().stray_frames, 1, "{name}");
    };
    check(10, "earlier sequence", &hex(ANSWER_TAG_08));
    check(2, "slot status for an exchange", &hex("03 06 81 00 00 00 00 00 02 01 00 00 87"));
    let mut other_slot = hex(ANSWER_TAG_08);
    other_slot[7] = 1;
    *other_slot.last_mut().unwrap() ^= 1;
    let (mut receiver, _) = reading(9);
    receiver.push(&other_slot);
    assert_eq!(all(&mut receiver).iter().filter(|r| matches!(r, Received::Answer(_))).count(), 0);
}

#[test]
fn a_repeated_answer_is_taken_once() {
    let (mut receiver, _) = reading(9);
    receiver.push(&hex(ANSWER_TAG_08).repeat(2));
    assert_eq!(all(&mut receiver).len(), 1);
    assert_eq!(receiver.counters().stray_frames, 1);
}

#[test]
fn an_answer_split_at_every_byte_is_the_same() {
    let (_, request) = reading(9);
    let stream = [request.bytes(), &[0x85], &hex(ANSWER_TAG_08)].concat();
    for cut in 0..=stream.len() {
        let (mut receiver, _) = reading(9);
        receiver.push(&stream[..cut]);
        let mut received = all(&mut receiver);
        receiver.push(&stream[cut..]);
        received.extend(all(&mut receiver));
        assert!(
            matches!(received.as_slice(), [Received::MoreTime, Received::Answer(a)] if a.data.len() == 22),
            "{cut}"
        );
        assert_eq!(receiver.counters().dropped_bytes, 0, "{cut}");
    }
}

#[test]
fn an_answer_truncated_at_every_byte_is_no_answer() {
    let frame = hex(ANSWER_TAG_08);
    for length in 0..frame.len() {
        let (mut receiver, _) = reading(9);
        receiver.push(&frame[..length]);
        assert_eq!(all(&mut receiver), [], "{length}");
    }
}

#[test]
fn nothing_of_a_card_is_printed() {
    let (mut receiver, request) = reading(9);
    receiver.push(&hex(ANSWER_TAG_08));
    let text = format!("{receiver:?} {request:?} {:?}", receiver.poll());
    for secret in ["110105", "49, 49", "31, 31", "B2, "] {
        assert!(!text.contains(secret), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// One changed byte never yields data of the same length that differs: the exclusive-or sees it.
    #[test]
    fn one_changed_byte_is_never_taken_for_data(at in 0_usize..35, mask in 1_u8.., prefix in any::<Vec<u8>>()) {
        let good = hex(ANSWER_TAG_08);
        let mut frame = good.clone();
        frame[at] ^= mask;
        let (mut receiver, _) = reading(9);
        receiver.push(&prefix);
        receiver.push(&frame);
        for received in all(&mut receiver) {
            if let Received::Answer(answer) = received {
                prop_assert_ne!(answer.data.len(), 22);
            }
        }
    }

    #[test]
    fn noise_before_an_answer_never_changes_it(prefix in proptest::collection::vec(any::<u8>(), 0..64)) {
        let (mut receiver, _) = reading(9);
        receiver.push(&prefix);
        receiver.push(&hex(ANSWER_TAG_08));
        for received in all(&mut receiver) {
            if let Received::Answer(answer) = received {
                prop_assert_eq!(&answer.data[..], &hex(ANSWER_TAG_08)[12..34]);
            }
        }
    }

    #[test]
    fn any_bytes_end_in_a_wait(bytes in any::<Vec<u8>>()) {
        let (mut receiver, _) = reading(9);
        receiver.push(&bytes);
        prop_assert!(all(&mut receiver).len() <= bytes.len());
    }
}
