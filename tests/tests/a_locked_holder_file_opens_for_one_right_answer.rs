//! 3.0 cards with every authenticator: opened by the right answer, left locked by everything else, and never given
//! a second answer. The key and the cipher are toys of these tests.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firmware_bridge::apdu::StatusWord;
use firmware_bridge::authenticator::{
    AuthenticationError, Authenticator, PsamAuthenticator, PsamScript, RemoteAnswer, RemoteAuthenticator,
    RemoteQuestion, RemoteRefusal,
};
use firmware_bridge::slot::Slot;
use firmware_bridge::{CardReadError, Reader, SlotState};
use zhenyin_core::card::{CardAlgorithm, CardIdentity, CardWarning, HolderData};
use zhenyin_tests::card_reader::cards::toy_cipher;
use zhenyin_tests::card_reader::device::Device;
use zhenyin_tests::card_reader::{CardSpec, Echo, Fault, MemoryPort, SimulatedPsam, When};

const KEY: u8 = 0x5A;
const EXTERNAL_AUTHENTICATE: u8 = 0x82;
const PATIENCE: Duration = Duration::from_secs(10);

struct Desk {
    reader: Reader,
    device: Arc<Mutex<Device>>,
}

impl Desk {
    fn new(spec: CardSpec, authenticator: Option<Box<dyn Authenticator>>) -> Self {
        let port = MemoryPort::new(Echo::On);
        let device = port.device();
        let mut reader = Reader::open(Box::new(port)).unwrap();
        reader.set_authenticator(authenticator);
        device.lock().unwrap().insert(spec);
        Self { reader, device }
    }

    fn read(&mut self) -> Result<CardIdentity, CardReadError> {
        self.reader.read_card()
    }

    fn times_sent(&self, instruction: u8) -> usize {
        let device = self.device.lock().unwrap();
        let sent = device.card().map(|card| card.instructions().to_vec()).unwrap_or_default();
        assert!(!sent.contains(&0x20), "VERIFY is never sent");
        sent.iter().filter(|found| **found == instruction).count()
    }
}

fn right(question: &RemoteQuestion, key: u8) -> RemoteAnswer {
    let result = toy_cipher(key, question.external_factor, question.external_source);
    RemoteAnswer {
        context: question.context,
        internal_result: toy_cipher(KEY, question.internal_factor, question.internal_source).to_vec(),
        external: [result, question.external_factor].concat().try_into().unwrap(),
    }
}

fn server(
    ask: impl FnMut(&RemoteQuestion, Duration) -> Result<RemoteAnswer, RemoteRefusal> + Send + 'static,
) -> Option<Box<dyn Authenticator>> {
    patient_server(PATIENCE, ask)
}

fn patient_server(
    patience: Duration,
    ask: impl FnMut(&RemoteQuestion, Duration) -> Result<RemoteAnswer, RemoteRefusal> + Send + 'static,
) -> Option<Box<dyn Authenticator>> {
    let count = AtomicU8::new(0);
    let random = move |bytes: &mut [u8]| bytes.fill_with(|| count.fetch_add(7, Ordering::Relaxed));
    Some(Box::new(RemoteAuthenticator::start(ask, random, patience).unwrap()))
}

const SCRIPT: &str = "psam 00 A4 00 00 02 DF 01
psam BF DE 08 01 13 {historical:0+8} {region} {challenge}
psam 80 FA 00 00 08 {challenge}
answer {result} {challenge}";

fn psam(key: u8) -> SimulatedPsam {
    SimulatedPsam::new(key)
}

fn with_psam(psam: SimulatedPsam) -> Option<Box<dyn Authenticator>> {
    Some(Box::new(PsamAuthenticator::new(PsamScript::parse(SCRIPT).unwrap(), Box::new(psam))))
}

#[test]
fn the_right_answer_opens_the_holder_file() {
    let free = Desk::new(CardSpec::version_2(), None).read().unwrap();
    let check = |authenticator: Option<Box<dyn Authenticator>>| {
        let mut desk = Desk::new(CardSpec::with_key(), authenticator);
        // Twice: each reading takes a challenge and an answer of its own.
        for round in 1..=2 {
            let identity = desk.read().unwrap();
            assert_eq!(identity.holder, free.holder);
            assert_eq!(identity.issued.algorithm, CardAlgorithm::Sm4);
            assert_eq!(identity.warnings, []);
            assert!(desk.reader.authentication_error().is_none());
            assert_eq!(desk.times_sent(EXTERNAL_AUTHENTICATE), round);
        }
    };
    check(server(|question, _| Ok(right(question, KEY))));
    check(with_psam(psam(KEY)));
}

#[test]
fn cards_that_need_no_key_are_asked_for_none() {
    for spec in [CardSpec::version_1(), CardSpec::version_2()] {
        let mut desk = Desk::new(spec, server(|_, _| panic!("nobody is to be asked")));
        assert!(matches!(desk.read().unwrap().holder, HolderData::Read(_)));
        assert_eq!(desk.times_sent(EXTERNAL_AUTHENTICATE) + desk.times_sent(0x84), 0);
    }
}

/// Left locked, with `warning` and with an error that `expected` knows; `sent` answers went to the card.
fn check_locked(
    name: &str,
    authenticator: Option<Box<dyn Authenticator>>,
    sent: usize,
    expected: fn(&AuthenticationError) -> bool,
) {
    let mut desk = Desk::new(CardSpec::with_key(), authenticator);
    let identity = desk.read().unwrap();
    assert_eq!(identity.holder, HolderData::Locked, "{name}");
    let warning = [CardWarning::AuthenticationMissing, CardWarning::AuthenticationRefused][sent];
    assert_eq!(identity.warnings, [warning], "{name}");
    let error = desk.reader.authentication_error().unwrap();
    assert!(expected(error), "{name}: {error:?}");
    assert_eq!(desk.times_sent(EXTERNAL_AUTHENTICATE), sent, "{name}");
}

#[test]
fn without_the_right_answer_it_stays_locked() {
    let mut none = Desk::new(CardSpec::with_key(), None);
    assert_eq!(none.read().unwrap().holder, HolderData::Locked);
    assert_eq!(none.times_sent(EXTERNAL_AUTHENTICATE) + none.times_sent(0x84), 0);

    use AuthenticationError as E;
    check_locked("unreachable", server(|_, _| Err(RemoteRefusal::Unreachable)), 0, |e| {
        matches!(e, E::Unreachable)
    });
    check_locked("refused", server(|_, _| Err(RemoteRefusal::Code(-2204))), 0, |e| {
        matches!(e, E::Remote { code: -2204 }) && e.national_code() == Some(-2204)
    });
    let foreign_card = |question: &RemoteQuestion, _| {
        Ok(RemoteAnswer { internal_result: vec![0; 8], ..right(question, KEY) })
    };
    check_locked("not genuine", server(foreign_card), 0, |e| matches!(e, E::NotGenuine));
    let other_context =
        |question: &RemoteQuestion, _| Ok(RemoteAnswer { context: [0xEE; 16], ..right(question, KEY) });
    check_locked("other context", server(other_context), 0, |e| matches!(e, E::WrongChallenge));
    // Two tries are left, which the national interface calls -25538.
    let wrong_key = |e: &AuthenticationError| {
        matches!(e, E::Refused { status: StatusWord(0x63C2) })
            && (e.tries_left(), e.national_code()) == (Some(2), Some(-25538))
    };
    check_locked("wrong key", server(|question, _| Ok(right(question, KEY + 1))), 1, wrong_key);
    check_locked("PSAM with another key", with_psam(psam(KEY + 1)), 1, wrong_key);
    check_locked("no PSAM", with_psam(SimulatedPsam::absent()), 0, |e| e.national_code() == Some(-2201));
    check_locked("PSAM without the key", with_psam(SimulatedPsam::without_key()), 0, |e| {
        e.national_code() == Some(-2203)
    });
}

#[test]
fn a_server_that_is_late_holds_nobody_up_and_its_answer_is_for_nobody() {
    let (release, gate) = channel::<()>();
    let ask = move |question: &RemoteQuestion, _| {
        // The first question waits here until its asker has given up.
        let _released = gate.recv();
        Ok(right(question, KEY))
    };
    let mut desk = Desk::new(CardSpec::with_key(), patient_server(Duration::from_millis(300), ask));
    assert_eq!(desk.read().unwrap().holder, HolderData::Locked);
    assert!(matches!(desk.reader.authentication_error(), Some(AuthenticationError::Late { .. })));
    assert_eq!(desk.times_sent(EXTERNAL_AUTHENTICATE), 0);
    drop(release);
    // Now the old answer comes first and must not be taken for the new one, which would cost a try.
    assert!(matches!(desk.read().unwrap().holder, HolderData::Read(_)));
    assert_eq!(desk.times_sent(EXTERNAL_AUTHENTICATE), 1);
}

/// What may be begun again without an answer sent is not once one was.
#[test]
fn nothing_is_sent_to_a_card_a_second_time() {
    // The sixth exchange and those after it are around the authentication; wherever the line fails, the card gets
    // one answer for each reading at most.
    for number in 0..40 {
        for fault in
            [Fault::Silence, Fault::Nak { times: 1 }, Fault::WrongChecksum, Fault::Truncate { keep: 9 }]
        {
            let mut desk = Desk::new(CardSpec::with_key(), server(|question, _| Ok(right(question, KEY))));
            desk.device.lock().unwrap().inject(When::Exchange(number), fault.clone());
            let result = desk.read();
            let sent = desk.times_sent(EXTERNAL_AUTHENTICATE);
            assert!(sent <= 1, "{fault:?} at exchange {number}: {sent} answers, {result:?}");
            assert!(result.is_err() || sent == 1, "{fault:?} at exchange {number}: {result:?}");
        }
    }
}

#[test]
fn a_card_exchanged_during_the_round_trip_is_not_charged() {
    let port = MemoryPort::new(Echo::Off);
    let device = port.device();
    let mut reader = Reader::open(Box::new(port)).unwrap();
    device.lock().unwrap().insert(CardSpec::with_key());
    let hands = Arc::clone(&device);
    reader.set_authenticator(server(move |question, _| {
        hands.lock().unwrap().insert(CardSpec { holder_key: Some(9), ..CardSpec::with_key() });
        Ok(right(question, KEY))
    }));
    let result = reader.read_card();
    assert!(matches!(result, Err(CardReadError::Swapped)), "{result:?}");
    let device = device.lock().unwrap();
    assert!(!device.card().unwrap().instructions().contains(&EXTERNAL_AUTHENTICATE));
}

#[test]
fn a_psam_in_the_readers_own_slot_answers_and_no_word_about_the_card_is_lost() {
    for echo in [Echo::On, Echo::Off] {
        let port = MemoryPort::new(echo);
        let device = port.device();
        let (mut reader, sam) = Reader::open_with_sam(Slot::new(Box::new(port)), 1).unwrap();
        let script = PsamScript::parse(SCRIPT).unwrap();
        reader.set_authenticator(Some(Box::new(PsamAuthenticator::new(script, Box::new(sam)))));
        device.lock().unwrap().insert(CardSpec::with_key());
        // The control: nothing is in the slot yet.
        assert_eq!(reader.read_card().unwrap().holder, HolderData::Locked);
        device.lock().unwrap().build_in(psam(KEY));
        assert!(matches!(reader.read_card().unwrap().holder, HolderData::Read(_)));
        // The reader says so while it is asked about the PSAM; that it said so must reach the reading.
        device.lock().unwrap().pull_card_with_psam();
        let result = reader.read_card();
        assert!(matches!(result, Err(CardReadError::Removed)), "{result:?}");
        assert_eq!(reader.poll_slot().unwrap(), SlotState::Absent);
    }
}

#[test]
fn the_question_has_the_national_form_and_is_never_printed() {
    let (tell, told) = channel();
    let mut desk = Desk::new(
        CardSpec::with_key(),
        server(move |question, patience| {
            assert_eq!(patience, PATIENCE);
            tell.send((question.to_national(), format!("{question:?} {:?}", right(question, KEY)))).unwrap();
            Err(RemoteRefusal::Unreachable)
        }),
    );
    desk.read().unwrap();
    let (national, printed) = told.recv().unwrap();
    let fields: Vec<&str> = national.split('|').collect();
    assert_eq!(
        &fields[..4],
        ["110105", "0081544C9686843716008F3D97", "03", "110105D1560000059911014500000001"]
    );
    assert_eq!((fields.len(), fields[7], fields[8]), (9, "0123456789ABCD01", ""));
    assert_eq!(printed, "RemoteQuestion(…) RemoteAnswer(…)");
}
