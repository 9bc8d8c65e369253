//! The agent's real serial code against the simulated reader, both ways of echoing, on a real terminal device.
//! Never waits for luck: every wait ends with an answer or with the reader's own deadline.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use firmware_bridge::{CardReadError, PortError, Reader, ReaderError, SerialCardPort, SlotState};
use zhenyin_core::card::{CalendarDate, CardIdentity, HolderData, Sex};
use zhenyin_tests::card_reader::{CardSpec, Echo, Fault, PtyReader, When};

fn open(simulated: &PtyReader) -> Reader {
    let port = SerialCardPort::open(simulated.path().to_str().unwrap()).unwrap();
    Reader::open(Box::new(port)).unwrap()
}

fn read(echo: Echo, spec: CardSpec) -> CardIdentity {
    let simulated = PtyReader::start(echo).unwrap();
    let mut reader = open(&simulated);
    assert_eq!(reader.firmware(), "GemTwin-V2.00-GF05");
    assert_eq!(reader.poll_slot().unwrap(), SlotState::Absent);
    simulated.insert(spec);
    assert_eq!(reader.poll_slot().unwrap(), SlotState::Present);
    let identity = reader.read_card().unwrap();
    assert_eq!(reader.poll_slot().unwrap(), SlotState::Present, "the card is left in, without power");
    let sent = simulated.instructions();
    assert!(
        !sent.contains(&0x20) && !sent.contains(&0x82),
        "no PIN or key command is ever sent: {sent:02X?}"
    );
    simulated.remove();
    assert_eq!(reader.poll_slot().unwrap(), SlotState::Absent);
    identity
}

fn check(spec: &CardSpec, name: &str, sex: Sex) {
    for echo in [Echo::On, Echo::Off] {
        let identity = read(echo, spec.clone());
        assert_eq!(identity.issued.version, spec.version);
        assert_eq!(identity.issued.code.expose(), &spec.code);
        assert_eq!(identity.issued.number.as_ref().unwrap().expose(), spec.number);
        assert_eq!(identity.issued.expires, CalendarDate::new(2034, 1, 15));
        assert_eq!(identity.warnings, []);
        let holder = identity.holder().unwrap();
        assert_eq!(holder.id_number.expose(), spec.id_number);
        assert_eq!(holder.name.expose(), name);
        assert_eq!(holder.sex, Some(sex));
        assert_eq!(holder.birth_date, CalendarDate::new(1849, 3, 7));
    }
}

#[test]
fn version_1() {
    check(&CardSpec::version_1(), "张三", Sex::Male);
}

#[test]
fn version_2() {
    check(&CardSpec::version_2(), "张三", Sex::Male);
    check(&CardSpec::another_person(), "李四", Sex::Female);
}

#[test]
fn a_name_of_twenty_five_characters_is_joined_from_both_records() {
    let name = "阿卜杜热合曼买买提明艾合买提江吐尔逊古丽帕提曼尼亚孜".chars().take(25).collect::<String>();
    check(&CardSpec { name: name.clone(), ..CardSpec::version_2() }, &name, Sex::Male);
}

#[test]
fn version_3_says_that_its_holder_is_locked() {
    for echo in [Echo::On, Echo::Off] {
        let identity = read(echo, CardSpec::version_3());
        assert_eq!(identity.holder, HolderData::Locked);
        assert_eq!(identity.issued.version, "3.00");
        assert!(identity.issued.number.is_some());
    }
}

#[test]
fn cards_of_other_dialects_are_read() {
    for spec in [
        CardSpec { old_select: true, ..CardSpec::version_2() },
        CardSpec { number: "A12345678-SUZHOU".into(), ..CardSpec::version_2() },
    ] {
        let identity = read(Echo::Off, spec);
        assert_eq!(identity.issued.number.unwrap().expose(), "A12345678");
    }
    let locked = read(Echo::Off, CardSpec { number_locked: true, ..CardSpec::version_3() });
    assert_eq!(locked.issued.number, None);
}

#[test]
fn a_held_port_is_busy_and_free_again_afterwards() {
    let simulated = PtyReader::start(Echo::Off).unwrap();
    let path = simulated.path().to_str().unwrap();
    let first = SerialCardPort::open(path).unwrap();
    assert!(matches!(SerialCardPort::open(path), Err(PortError::Busy { path: named }) if named == path));
    drop(first);
    open(&simulated);
}

#[test]
fn a_reader_that_is_unplugged_is_lost_at_once() {
    let simulated = PtyReader::start(Echo::On).unwrap();
    let mut reader = open(&simulated);
    simulated.insert(CardSpec::version_2());
    simulated.inject(When::Record(0x08), Fault::HangUp);
    assert!(matches!(reader.read_card(), Err(CardReadError::PortLost { .. })));
    assert!(matches!(reader.poll_slot(), Err(ReaderError::PortLost { .. })));
}

#[test]
fn a_reader_that_comes_back_is_found_at_its_link() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("reader");
    for number in ["A12345678", "B87654321"] {
        let simulated = PtyReader::start(Echo::On).unwrap();
        simulated.link(&link).unwrap();
        simulated.insert(CardSpec { number: number.into(), ..CardSpec::version_2() });
        let port = SerialCardPort::open(link.to_str().unwrap()).unwrap();
        let mut reader = Reader::open(Box::new(port)).unwrap();
        assert_eq!(reader.read_card().unwrap().issued.number.unwrap().expose(), number);
        drop(simulated);
        assert!(matches!(reader.poll_slot(), Err(ReaderError::PortLost { .. })));
    }
    assert!(matches!(SerialCardPort::open(link.to_str().unwrap()), Err(PortError::Absent { .. })));
}
