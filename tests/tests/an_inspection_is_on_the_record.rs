//! An inspection by the command line beside a running agent, and beside a stopped one: the first goes on record and
//! upstream, the second says that it did not. Never with an inspector's name outside the package.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use zhenyin::cli::{Cli, run};
use zhenyin::journal::JournalReader;
use zhenyin::keystore::KeyStore;
use zhenyin_core::event::Envelope;
use zhenyin_core::jws::payload_unverified;
use zhenyin_tests::world::World;
use zhenyin_verify::verify;

const TWO: [&str; 4] = ["--inspector", "甲某某/执-40917", "--inspector", "乙某某/执-40918"];

struct Site {
    folder: tempfile::TempDir,
    world: World,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = World::build(folder.path(), None).unwrap();
        world.until("the first receipt", |s| s.receipted > 0).unwrap();
        Self { folder, world }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `zhenyin export`, as typed.
    fn export(&self, name: &str, more: &[&str]) -> anyhow::Result<PathBuf> {
        let config = self.path("typed.toml");
        let text = fs::read_to_string(self.path("config.toml"))?;
        // The agent has taken a free port; without one nobody listens at the last one either.
        if let Some(address) = self.world.address() {
            fs::write(&config, text.replace("127.0.0.1:0", &address.to_string()))?;
        }
        self.export_with(&config, name, more)
    }

    fn export_with(&self, config: &Path, name: &str, more: &[&str]) -> anyhow::Result<PathBuf> {
        let package = self.path(name);
        let words = ["zhenyin".as_ref(), "--config".as_ref(), config.as_os_str(), "export".as_ref()];
        let more = more.iter().map(AsRef::as_ref);
        run(Cli::try_parse_from(words.into_iter().chain([package.as_os_str()]).chain(more))?)?;
        Ok(package)
    }

    fn events(&self) -> Vec<Envelope> {
        let state = &self.world.config.state;
        let keys = KeyStore::open(&state.join("keys")).unwrap();
        let reader = JournalReader::open(&state.join("journal"), keys.journal_key()).unwrap();
        let size = reader.counters().unwrap().size;
        let sealed = reader.events(0..size).unwrap().into_iter().filter_map(|event| event.jws);
        sealed.map(|jws| Envelope::parse(&payload_unverified(&jws).unwrap()).unwrap()).collect()
    }

    fn inspections(&self) -> Vec<Envelope> {
        self.events().into_iter().filter(|event| event.kind.starts_with("inspection.")).collect()
    }
}

#[test]
fn an_inspection_is_opened_exported_and_closed_on_the_record() {
    let site = Site::new();
    let asked = [&TWO[..], &["--kind", "log.genesis", "--nonce", "9f31c2"]].concat();
    let package = site.export("p", &asked).unwrap();
    let verified = verify(&package, 1).unwrap();
    let [opened, challenge, closed] = &site.inspections()[..] else { panic!("opened, challenge, closed") };
    assert_eq!(opened.kind, "inspection.opened.v1");
    assert_eq!(opened.data["inspectors"].as_array().unwrap().len(), 2);
    assert_eq!(opened.data["asked"]["kinds"][0], "log.genesis");
    assert_eq!(challenge.data["nonce"], "9f31c2");
    // What the closing says of the package is what whoever holds the package can compute.
    let sums = std::process::Command::new("sha256sum").arg(package.join("SHA256SUMS")).output().unwrap();
    let digest = String::from_utf8(sums.stdout).unwrap()[..64].to_owned();
    assert_eq!((closed.data["sha256"].as_str().unwrap(), &verified.digest), (&digest[..], &digest));
    assert_eq!(closed.data["opened"], opened.sequence.0);
    assert_eq!((closed.data["end"].as_str(), closed.data["shown"].as_u64()), (Some("handed-over"), Some(3)));
    // The package ends with its own opening, and a checkpoint covers it.
    assert_eq!(verified.inspection, Some(opened.sequence.0));
    assert_eq!((verified.shown, verified.summary.events), (3, challenge.sequence.0 + 1));
    assert!(read(&package, "receipt.txt").replace(' ', "").contains(&digest));
    assert!(read(&package, "report.html").contains(&format!("event {}", opened.sequence.0)));
    // It goes up like everything else.
    site.world.until("the closing receipted", |s| s.receipted > closed.sequence.0).unwrap();
}

#[test]
fn an_agent_at_work_is_not_passed_by() {
    let site = Site::new();
    let text = fs::read_to_string(site.path("config.toml")).unwrap();
    let elsewhere = site.path("elsewhere.toml");
    fs::write(&elsewhere, text.replace("127.0.0.1:0", "127.0.0.1:1")).unwrap();
    let error = site.export_with(&elsewhere, "p", &[]).unwrap_err();
    assert!(format!("{error:#}").contains("at work"), "{error:#}");
    assert!(!site.path("p").exists(), "nothing is exported without a record");
    site.export("p", &[]).expect("the control: asked where it listens");
}

#[test]
fn names_of_inspectors_stand_in_the_package_and_nowhere_else() {
    let mut site = Site::new();
    let package = site.export("p", &TWO).unwrap();
    for file in ["receipt.txt", "report.html"] {
        let text = read(&package, file);
        assert!(text.contains("乙某某") && text.contains("执-40918"), "the control: {file} names them");
    }
    site.world.stop_agent();
    for event in site.events() {
        let text = event.data.to_string();
        assert!(!text.contains("某某") && !text.contains("执-4091"), "{text}");
    }
    assert!(!read(&package, "events.jsonl").contains("执-4091"));
}

#[test]
fn a_refused_export_leaves_no_trace_and_a_failed_one_does() {
    let site = Site::new();
    let before = site.inspections().len();
    let check = |more: &[&str], said: &str| {
        let error = site.export("p", more).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        assert!(!site.path("p").exists());
        assert_eq!(site.inspections().len(), before, "{more:?}");
    };
    check(&TWO[..2], "two inspectors");
    check(&["--inspector", "甲/1", "--inspector", "乙/1"], "two inspectors");
    check(&["--inspector", "甲/1", "--inspector", "乙/"], "two inspectors");
    check(&["--inspector", "甲 1"], "NAME/WARRANT");
    check(&["--sample", "5"], "--seed");
    check(&["--token", "11010518490307007X"], "not a token");
    check(&["--from", "yesterday"], "not like");
    fs::create_dir(site.path("p")).unwrap();
    assert!(site.export("p", &TWO).unwrap_err().to_string().contains("exists already"));
    assert_eq!(site.inspections().len(), before);
    // A folder that cannot be made is noticed after the opening: then the record says that nothing was handed over.
    fs::write(site.path("file"), "").unwrap();
    site.export("file/p", &TWO).unwrap_err();
    let [opened, closed] = &site.inspections()[before..] else { panic!("opened and closed") };
    assert_eq!(
        (closed.data["opened"].as_u64(), closed.data["end"].as_str()),
        (Some(opened.sequence.0), Some("abandoned"))
    );
}

#[test]
fn without_an_agent_the_package_says_that_nothing_was_recorded() {
    let mut site = Site::new();
    let recorded = site.export("recorded", &TWO).unwrap();
    site.world.stop_agent();
    let before = site.events().len();
    let package = site.export("p", &TWO).unwrap();
    assert_eq!(site.events().len(), before, "the journal was only read");
    let (unrecorded, control) = (verify(&package, 1).unwrap(), verify(&recorded, 1).unwrap());
    assert_eq!(unrecorded.inspection, None, "the opening of another export does not count");
    assert!(control.inspection.is_some(), "the control");
    assert_eq!(unrecorded.summary.events, before as u64, "a checkpoint covers all of it");
    for (file, said) in [("receipt.txt", "no event of the chain records"), ("report.html", "未记入本链")]
    {
        assert!(read(&package, file).contains(said) && !read(&recorded, file).contains(said), "{file}");
    }
    assert!(zhenyin_verify::told(&unrecorded).contains("no event of the chain records"));
    assert!(!zhenyin_verify::told(&control).contains("no event of the chain records"));
}

fn read(package: &Path, file: &str) -> String {
    fs::read_to_string(package.join(file)).unwrap()
}
