//! What the record says of one card, one holder, one member of staff: asked by a typed number, by the card itself, by
//! name. Never is the number on a command line, in the package, or in anything the terminal keeps.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Parser as _;
use zhenyin::cli::{Cli, run};
use zhenyin::journal::JournalReader;
use zhenyin::keystore::KeyStore;
use zhenyin_core::api::{DocumentKind, Outcome, Request};
use zhenyin_core::decision::DocumentCheck;
use zhenyin_core::enrolled::Role;
use zhenyin_core::event::Envelope;
use zhenyin_core::jws::payload_unverified;
use zhenyin_tests::card_reader::cards::CardSpec;
use zhenyin_tests::world::{Script, World};

const WORDS: &str = "ZHENYIN_TYPED_WORDS";

/// The command line in a process of its own, where standard input is what somebody types. Does nothing elsewhere.
#[test]
fn as_typed() {
    let Ok(words) = std::env::var(WORDS) else { return };
    if let Err(error) = run(Cli::try_parse_from(words.split('\n')).unwrap()) {
        panic!("refused: {error:#}");
    }
}

struct Site {
    folder: tempfile::TempDir,
    world: World,
}

impl Site {
    /// One member of staff has vouched for one patient; another patient was turned away.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = World::build(folder.path(), None).unwrap();
        world.until("the reader answering", |s| s.reader.is_none()).unwrap();
        world.reader.insert(CardSpec::version_2());
        let request = Request::StaffEnrolment { role: Role::parse("pharmacist").unwrap() };
        let script = Script { consent: Some(false), pins: vec!["271828"], ..Script::default() };
        world.perform(&request, script.clone().answers()).unwrap();
        let reply = world.perform(&Request::StaffLogin, script.answers()).unwrap();
        assert!(matches!(reply.outcome, Outcome::SignedIn { .. }), "{reply:?}");
        world.reader.insert(CardSpec::another_person());
        let vouched =
            Script { document: Some((DocumentKind::ResidentId, DocumentCheck::Match)), ..Script::default() };
        let reply = world.perform(&Request::PatientVisit, vouched.answers()).unwrap();
        assert!(matches!(reply.outcome, Outcome::Verified { .. }), "{reply:?}");
        world.reader.insert(CardSpec::version_3());
        world
            .perform(&Request::PatientVisit, Script { cancel: true, ..Script::default() }.answers())
            .unwrap();
        let config = fs::read_to_string(folder.path().join("config.toml")).unwrap();
        let address = world.address().unwrap().to_string();
        fs::write(folder.path().join("typed.toml"), config.replace("127.0.0.1:0", &address)).unwrap();
        Self { folder, world }
    }

    /// Runs `zhenyin export` and types `line`; what it said, and whether it went well.
    fn export(&self, name: &str, more: &[&str], line: &str) -> (PathBuf, bool, String) {
        let package = self.folder.path().join(name);
        let config = self.folder.path().join("typed.toml");
        let words = ["zhenyin", "--config", config.to_str().unwrap(), "export", package.to_str().unwrap()];
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "as_typed", "--nocapture"])
            .env(WORDS, [&words[..], more].concat().join("\n"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (package, output.status.success(), said.concat())
    }

    /// Types of the events in the package, inspections aside: whoever is signed in then is named in them.
    fn shown(&self, name: &str, more: &[&str], line: &str) -> Vec<String> {
        let (package, good, said) = self.export(name, more, line);
        assert!(good, "{said}");
        zhenyin_verify::verify(&package, 1).unwrap();
        let text = fs::read_to_string(package.join("events.jsonl")).unwrap();
        let kinds = text.lines().map(|line| Envelope::parse(line.as_bytes()).unwrap().kind);
        kinds.filter(|kind| !kind.starts_with("inspection.")).collect()
    }

    /// Payloads of all events of the stopped agent: sealed in the journal, and encoded at the upstream.
    fn opened(&self) -> Vec<Vec<u8>> {
        let state = &self.world.config.state;
        let keys = KeyStore::open(&state.join("keys")).unwrap();
        let journal = JournalReader::open(&state.join("journal"), keys.journal_key()).unwrap();
        let events = journal.events(0..journal.counters().unwrap().size).unwrap();
        events.into_iter().map(|event| payload_unverified(&event.jws.unwrap()).unwrap()).collect()
    }
}

#[test]
fn an_inspector_asks_by_number_and_name() {
    let mut site = Site::new();
    let (staff, patient) = (CardSpec::version_2(), CardSpec::another_person());
    let typed = ["--card", "typed"];
    let number = format!("{}\n", patient.id_number.to_lowercase());
    assert_eq!(site.shown("patient", &typed, &number), ["visit.verified.v1"]);
    // The same person of the staff: enrolled, signed in, vouched for the visit.
    let of_staff = site.shown("staff", &typed, &format!("{}\n", staff.id_number));
    for kind in ["staff.bound.v1", "session.opened.v1", "visit.verified.v1"] {
        assert!(of_staff.iter().any(|found| found == kind), "{of_staff:?}");
    }
    assert_eq!(site.shown("named", &["--operator", &staff.name], ""), of_staff);
    // The card itself also finds its readings.
    site.world.reader.insert(patient.clone());
    let by_card = site.shown("card", &["--card", "reader"], "");
    assert_eq!(by_card, ["card.read.v1", "visit.verified.v1", "card.read.v1"]);

    for (more, line, reason) in [
        (&typed[..], "110105184903070079\n", "mistyped"),
        (&typed[..], "A12345678\n", "neither an identity number"),
        (&typed[..], "", "neither an identity number"),
        (&["--operator", "诸葛小明"], "", "no member of staff"),
    ] {
        let (package, good, said) = site.export("refused", more, line);
        assert!(!good && said.contains(reason) && !package.exists(), "{more:?}: {said}");
        assert!(line.trim().is_empty() || !said.contains(line.trim()), "{said}");
    }

    site.world.stop_agent();
    let (_, good, said) = site.export("offline", &["--card", "reader"], "");
    assert!(!good && said.contains("does not answer"), "{said}");
    let mut kept = Vec::new();
    stored(site.folder.path(), &mut kept);
    let opened = site.opened();
    // Made at the stop, after every package.
    let last = opened.last().unwrap();
    assert!(!contains(&kept, last), "the control: this stands in a sealed event only");
    kept.extend(opened.concat());
    assert!(contains(&kept, last), "the control: the search sees what is sealed");
    for secret in [&staff.id_number, &patient.id_number, &patient.number] {
        assert!(!contains(&kept, secret.as_bytes()), "{secret} is on disk");
        assert!(!contains(&kept, secret.to_lowercase().as_bytes()), "{secret} is on disk");
    }
    assert!(contains(&kept, b"inspection.opened.v1"), "the control: the search sees what is there");
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

fn stored(folder: &Path, into: &mut Vec<u8>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { stored(&path, into) } else { into.extend(fs::read(&path).unwrap()) }
    }
}
