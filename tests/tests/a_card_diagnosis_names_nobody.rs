//! `zhenyin card …` at a simulated reader: says what somebody far away needs to know, in words and as JSON, and
//! nothing that tells who the holder is.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use serde_json::Value;
use zhenyin::card_cli::{self, CardCommand, Where};
use zhenyin::config::{ReaderChoice, ReaderCodec};
use zhenyin_tests::card_reader::{CardSpec, Echo, Fault, PtyReader, ResidentCard, ResidentDevice, When};

const SELECT: &str = "00A404000F7378312E73682EC9E7BBE1B1A3D5CF";

fn at(json: bool) -> Where {
    Where { port: None, json }
}

fn apdu(commands: &[&str]) -> CardCommand {
    CardCommand::Apdu { at: at(true), commands: commands.iter().map(ToString::to_string).collect() }
}

/// What was printed, and what went wrong.
fn run(simulated: &PtyReader, command: &CardCommand) -> (String, Option<String>) {
    let choice = ReaderChoice::new(simulated.path(), ReaderCodec::CcidSerial);
    let mut out = Vec::new();
    let error = card_cli::run(command, &choice, &mut out).err().map(|error| error.to_string());
    let text = String::from_utf8(out).unwrap();
    for secret in ["张三", "110105184", "A12345678", "D1560000", "31 31 30", "313130"] {
        assert!(!text.contains(secret), "`{secret}` is in {text}");
    }
    (text, error)
}

fn json(simulated: &PtyReader, command: &CardCommand) -> Value {
    let (text, error) = run(simulated, command);
    assert_eq!(error, None, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn with_card(spec: CardSpec) -> PtyReader {
    let simulated = PtyReader::start(Echo::On).unwrap();
    simulated.insert(spec);
    simulated
}

#[test]
fn a_probe_tells_of_reader_line_and_card() {
    let simulated = PtyReader::start(Echo::On).unwrap();
    let report = json(&simulated, &CardCommand::Probe(at(true)));
    assert_eq!((&report["slot"], &report["protocol"]), (&"empty".into(), &"ccid-serial".into()));
    assert_eq!(report["line"], "115200 8N2");
    assert_eq!(report["firmware"], "GemTwin-V2.00-GF05");
    simulated.insert(CardSpec::version_2());
    let report = json(&simulated, &CardCommand::Probe(at(true)));
    assert_eq!(report["slot"], "card");
    assert_eq!(report["answer_to_reset"], "3B 6D 00 00 00 81 54 4C 96 86 84 37 16 00 8F 3D 97");
    assert!(report["counters"]["echoes"].as_u64().unwrap() > 3);
    let (text, _) = run(&simulated, &CardCommand::Probe(at(false)));
    assert!(text.contains("firmware         GemTwin-V2.00-GF05\n"), "{text}");
}

#[test]
fn a_reading_is_told_without_its_holder() {
    let report = json(&with_card(CardSpec::version_2()), &CardCommand::Read(at(true)));
    let card = &report["card"];
    assert_eq!((&card["version"], &card["algorithm"]), (&"2.00".into(), &"3des".into()));
    assert_eq!((&card["region"], &card["holder"]), (&"110105".into(), &"read".into()));
    assert_eq!(card["name"], "张*");
    let locked = json(&with_card(CardSpec::with_key()), &CardCommand::Read(at(true)));
    assert_eq!((&locked["card"]["holder"], &locked["card"]["algorithm"]), (&"locked".into(), &"sm4".into()));
    assert_eq!(locked["card"]["name"], Value::Null);
}

#[test]
fn a_reader_of_resident_cards_is_told_as_one() {
    let plate = PtyReader::start_with(ResidentDevice::new()).unwrap();
    let choice = ReaderChoice::new(plate.path(), ReaderCodec::Sdt);
    let run = |command: &CardCommand| {
        let mut out = Vec::new();
        let error = card_cli::run(command, &choice, &mut out).err().map(|error| error.to_string());
        let text = String::from_utf8(out).unwrap();
        assert!(
            ["张三", "110105184", "测试路", "0505"].iter().all(|secret| !text.contains(secret)),
            "{text}"
        );
        (serde_json::from_str::<Value>(&text).unwrap_or_default(), error)
    };
    let (report, error) = run(&CardCommand::Probe(at(true)));
    assert_eq!((&report["protocol"], &report["security_module"], error), (&"sdt".into(), &true.into(), None));
    let (report, error) = run(&CardCommand::Read(at(true)));
    assert_eq!(error.as_deref(), Some("resident card could not be read"));
    assert!(report["error"].as_str().unwrap().contains("lay one on it"));
    plate.change(|plate| plate.lay(ResidentCard::one_person()));
    let (report, error) = run(&CardCommand::Read(at(true)));
    assert_eq!((&report["card"]["kind"], &report["card"]["name"]), (&"citizen".into(), &"张*".into()));
    assert_eq!((&report["card"]["photo_bytes"], error), (&1024.into(), None));
    assert!(run(&apdu(&[SELECT])).1.unwrap().contains("no card commands"));
}

#[test]
fn a_reading_that_fails_says_how() {
    let simulated = with_card(CardSpec { foreign: true, ..CardSpec::version_2() });
    let (text, error) = run(&simulated, &CardCommand::Read(at(true)));
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["fault"], "card.content.foreign");
    assert!(report["error"].as_str().unwrap().contains("6A82 (no such file)"), "{text}");
    assert_eq!(error.as_deref(), Some("card could not be read"));
}

#[test]
fn commands_are_told_by_length_and_status() {
    let simulated = with_card(CardSpec::version_2());
    simulated.inject(When::Record(0x08), Fault::Noise(vec![0x17]));
    let report = json(&simulated, &apdu(&[SELECT, "00A4020002EF06", "00B2080014", "00B2550003"]));
    let told: Vec<_> =
        report["answers"].as_array().unwrap().iter().map(|a| (&a["bytes"], &a["status"])).collect();
    let want = [(19, "9000 (done)"), (0, "9000 (done)"), (20, "9000 (done)"), (0, "6A83 (no such record)")];
    assert_eq!(told, want.map(|(n, s)| (Value::from(n), Value::from(s))).each_ref().map(|(n, s)| (n, s)));
    assert_eq!(report["counters"]["dropped_bytes"], 1);
}

#[test]
fn what_could_change_a_card_never_reaches_it() {
    let simulated = with_card(CardSpec::version_2());
    for (command, name) in [
        ("0020000003123456", "VERIFY"),
        ("0082000A10", "EXTERNAL AUTHENTICATE"),
        ("00D6000001FF", "UPDATE BINARY"),
        ("00DC010401FF", "UPDATE RECORD"),
        ("00E2000001FF", "APPEND RECORD"),
        ("0024000001FF", "CHANGE REFERENCE DATA"),
        ("002C000001FF", "RESET RETRY COUNTER"),
        ("8050000008", "instruction 50"),
    ] {
        let choice = ReaderChoice::new(simulated.path(), ReaderCodec::CcidSerial);
        let error = card_cli::run(&apdu(&[SELECT, command]), &choice, &mut Vec::new()).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(name) || cause.contains("class 80"), "{command}: {cause}");
    }
    assert_eq!(simulated.instructions(), Vec::<u8>::new(), "not even the harmless one before it");
}

#[test]
fn a_watch_tells_of_cards_that_come_and_go() {
    let simulated = with_card(CardSpec::version_2());
    let (text, error) = run(&simulated, &CardCommand::Watch { at: at(true), count: Some(1) });
    assert_eq!(error, None);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&report["slot"], &report["card"]["holder"]), (&"card".into(), &"read".into()));
}
