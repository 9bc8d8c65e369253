//! Inspection packages: whole, of a period, of kinds, drawn by a seed. Each verifies from its files alone, by our own
//! verifier and by the python script, and no tampered one does. Prints how fast a long chain is verified.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use zhenyin::export::{self, ExportError, Exported, Inspection, Sample, Selection};
use zhenyin::journal::{Epoch, Journal, JournalReader, JournalReport, Limits};
use zhenyin::keystore::KeyStore;
use zhenyin_core::api::Refusal;
use zhenyin_core::ids::{ChainId, SubjectToken};
use zhenyin_core::inspection::Inspector;
use zhenyin_core::note::{Checkpoint, Note};
use zhenyin_core::signer::Signer as _;
use zhenyin_core::time::WallTime;
use zhenyin_core::verify::{ExportHeader, Fault};
use zhenyin_tests::sealing::{SealingChain, fixed};
use zhenyin_verify::PackageError;

const EVENTS: u64 = 300;
const RECEIPTED: u64 = 256;
/// Time of the first event; each is a millisecond later than the one before.
const BEGIN: i64 = 1_777_593_600_000;

/// A journal with events and receipts, and what an export needs to say of it.
struct Terminal {
    folder: tempfile::TempDir,
    header: ExportHeader,
}

impl Terminal {
    fn new(events: u64, receipted: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyStore::open_or_create(&folder.path().join("keys")).unwrap();
        let mut chain = SealingChain::begin(keys.signer()).unwrap();
        let (sender, reports) = channel();
        let report = move |report| drop(sender.send(report));
        let path = folder.path().join("journal");
        let (journal, _) = Journal::open(&path, keys.journal_key(), Limits::default(), report).unwrap();
        journal.begin_chain(chain.grant().chain(), chain.grant().token()).unwrap();
        for number in 1..=events {
            let event = chain.seal().unwrap();
            let frontier = event.frontier.clone();
            journal.append(Epoch::default(), event).unwrap();
            if number == receipted || number == receipted / 2 {
                until(&reports, number);
                let note = chain.receipt(&frontier).unwrap();
                journal.acknowledge(frontier, note, WallTime(BEGIN)).unwrap();
            }
        }
        if events != receipted {
            until(&reports, events);
        }
        journal.close();
        let header = ExportHeader {
            authority: fixed(2).public_key().to_jwk(),
            grant: chain.grant().token().to_owned(),
            origin: chain.grant().origin(),
            witness: chain.grant().witness().map(ToString::to_string),
        };
        Self { folder, header }
    }

    fn open(&self) -> (KeyStore, JournalReader, ChainId) {
        let keys = KeyStore::open(&self.folder.path().join("keys")).unwrap();
        let reader = JournalReader::open(&self.folder.path().join("journal"), keys.journal_key()).unwrap();
        let chain = reader.chains().unwrap()[0].0;
        (keys, reader, chain)
    }

    /// Writes a package and gives its folder.
    fn export(&self, name: &str, selection: &Selection, inspectors: &[Inspector]) -> PathBuf {
        let package = self.folder.path().join(name);
        self.try_export(&package, selection, inspectors, None).unwrap();
        package
    }

    /// Up to a checkpoint signed now, or up to the one that is given.
    fn try_export(
        &self,
        package: &Path,
        selection: &Selection,
        inspectors: &[Inspector],
        checkpoint: Option<Note>,
    ) -> Result<Exported, ExportError> {
        let (keys, reader, chain) = self.open();
        let now = || export::checkpoint(&reader, &self.header.origin, &keys.signer()).unwrap();
        let inspection = Inspection {
            selection: selection.clone(),
            inspectors: inspectors.to_vec(),
            at: WallTime(BEGIN),
            opened: None,
            checkpoint: checkpoint.unwrap_or_else(now),
        };
        export::write(&reader, chain, &self.header, &inspection, package)
    }
}

fn inspectors(pairs: &[(&str, &str)]) -> Vec<Inspector> {
    pairs
        .iter()
        .map(|(name, warrant)| Inspector { name: (*name).into(), warrant: (*warrant).into() })
        .collect()
}

fn until(reports: &Receiver<JournalReport>, size: u64) {
    loop {
        let report = reports.recv_timeout(Duration::from_secs(60)).expect("the journal answers");
        assert!(!matches!(report, JournalReport::Failed { .. }), "{report:?}");
        if let JournalReport::Committed { through } = report
            && through.0 + 1 >= size
        {
            return;
        }
    }
}

fn selections() -> [(&'static str, Selection, usize); 5] {
    let at = |number: i64| Some(WallTime(BEGIN + number));
    let sample = |seed: &str| Some(Sample { seed: seed.into(), count: 25 });
    [
        ("whole", Selection::default(), 300),
        ("period", Selection { from: at(100), to: at(150), ..Selection::default() }, 50),
        ("kind", Selection { kinds: vec!["test.happened".into()], ..Selection::default() }, 300),
        ("none", Selection { tokens: vec![nobody()], ..Selection::default() }, 0),
        ("sample", Selection { from: at(10), sample: sample("index 3211.98"), ..Selection::default() }, 25),
    ]
}

#[test]
fn a_package_verifies_and_shows_what_was_asked_for() {
    let terminal = Terminal::new(EVENTS, RECEIPTED);
    let two = inspectors(&[("甲", "执-001"), ("乙", "执-002")]);
    for (name, selection, shown) in selections() {
        let package = terminal.export(name, &selection, &two);
        let verified = zhenyin_verify::verify(&package, 2).unwrap();
        assert_eq!((verified.shown, verified.summary.events), (shown as u64, EVENTS), "{name}");
        assert_eq!((verified.summary.checkpoints, verified.inspection), (3, None), "{name}");
        assert_eq!((verified.summary.receipts, verified.summary.receipted), (2, RECEIPTED), "{name}");
        let read = |file: &str| fs::read_to_string(package.join(file)).unwrap();
        assert_eq!(read("events.jsonl").lines().count(), shown, "{name}");
        assert!(read("report.html").contains("<svg") && read("receipt.txt").contains("执-002"), "{name}");
        assert!(read("readme_zh_en.txt").contains("zhenyin-verify"), "{name}");
        python(&package, true, name);
        if shown > 3 {
            tampered(&package, name);
        }
    }
    let drawn = fs::read(terminal.export("again", &selections()[4].1, &[]).join("events.jws")).unwrap();
    assert_eq!(
        drawn,
        fs::read(terminal.folder.path().join("sample/events.jws")).unwrap(),
        "by the seed alone"
    );
}

#[test]
fn two_inspectors_with_their_own_warrants_or_none() {
    let terminal = Terminal::new(3, 2);
    let mut number = 0;
    let mut check = |pairs: &[(&str, &str)], good: bool| {
        number += 1;
        let folder = terminal.folder.path().join(format!("p{number}"));
        let written = terminal.try_export(&folder, &Selection::default(), &inspectors(pairs), None);
        let refused = matches!(written, Err(ExportError::Refused(Refusal::TwoInspectors)));
        assert_eq!((written.is_ok(), refused, folder.exists()), (good, !good, good), "{pairs:?}");
    };
    check(&[("甲", "执-001")], false);
    check(&[("甲", "执-001"), ("乙", "执-001")], false);
    check(&[("甲", "执-001"), ("乙", "")], false);
    check(&[("甲", "执-001"), (" ", "执-002")], false);
    check(&[], true);
    check(&[("甲", "执-001"), ("乙", "执-002")], true);
}

/// A hash between the last receipt and a later shown event is covered by the checkpoint alone.
#[test]
fn a_withheld_hash_after_the_last_receipt_cannot_be_swapped() {
    let terminal = Terminal::new(EVENTS, RECEIPTED);
    let at = Some(WallTime(BEGIN + 290));
    let package = terminal.export("p", &Selection { from: at, ..Selection::default() }, &[]);
    zhenyin_verify::verify(&package, 2).unwrap();
    let leaves = package.join("leaves.txt");
    let text = fs::read_to_string(&leaves).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[270] = "7".repeat(64);
    fs::write(&leaves, lines.join("\n") + "\n").unwrap();
    relist(&package);
    let swapped = zhenyin_verify::verify(&package, 2);
    assert!(
        matches!(&swapped, Err(PackageError::Chain(Fault::Root { what: "checkpoint", size: EVENTS }))),
        "{swapped:?}"
    );
    python(&package, false, "a swapped hash");
    // Without the checkpoint nobody could tell; so a package without it is refused.
    let note = package.join(format!("notes/{EVENTS:020}.checkpoint.note"));
    fs::remove_file(&note).unwrap();
    relist(&package);
    let bare = zhenyin_verify::verify(&package, 2);
    assert!(matches!(&bare, Err(PackageError::Unvouched { vouched: RECEIPTED })), "{bare:?}");
    python(&package, false, "no checkpoint");
}

/// The checkpoint is the agent's, the rows are the journal's: a package needs both to say the same.
#[test]
fn a_package_ends_with_its_checkpoint() {
    let terminal = Terminal::new(EVENTS, RECEIPTED);
    let (keys, reader, _) = terminal.open();
    let earlier = |size: u64, root: u64| {
        let root = reader.frontier(root).unwrap().root();
        let origin = terminal.header.origin.clone();
        Note::sign(Checkpoint { origin, size, root }, &keys.signer()).unwrap()
    };
    let folder = |name: &str| terminal.folder.path().join(name);
    let whole = Selection::default();
    terminal.try_export(&folder("p"), &whole, &[], Some(earlier(200, 200))).unwrap();
    let verified = zhenyin_verify::verify(&folder("p"), 2).unwrap();
    assert_eq!((verified.summary.events, verified.summary.receipted), (200, RECEIPTED / 2));
    let other = terminal.try_export(&folder("q"), &whole, &[], Some(earlier(200, 199)));
    assert!(matches!(other, Err(ExportError::Checkpoint { size: 200 })), "{other:?}");
}

/// Controls: what somebody might change in a package, and nobody who verifies it may miss.
fn tampered(package: &Path, name: &str) {
    type Change = fn(&mut Vec<String>);
    let changes: [(&str, &str, Change); 11] = [
        ("a changed letter", "events.jws", |lines| {
            let middle = lines.len() / 2;
            let other = if lines[middle].as_bytes()[200] == b'A' { "B" } else { "A" };
            lines[middle].replace_range(200..=200, other);
        }),
        ("two events in the other order", "events.jws", |lines| lines.swap(1, 2)),
        ("an event twice", "events.jws", |lines| lines.insert(1, lines[1].clone())),
        ("a false receipt", "note", |lines| {
            let last = lines.len() - 1;
            let end = lines[last].len();
            lines[last].replace_range(end - 10..end - 8, "AA");
        }),
        ("a receipt of another root", "note", |lines| lines[2].replace_range(0..4, "AAAA")),
        ("a missing event", "events.jws", |lines| drop(lines.remove(2))),
        ("a hash that is not there", "leaves.txt", |lines| drop(lines.remove(120))),
        ("another hash", "leaves.txt", |lines| lines[120] = "0".repeat(64)),
        ("a hash after the last signature", "leaves.txt", |lines| lines.push("0".repeat(64))),
        ("many hashes after it", "leaves.txt", |lines| lines.extend(vec!["a".repeat(64); 50])),
        // Read as a number, `+f` is the same as `0f`.
        ("a sign for a digit", "leaves.txt", |lines| {
            let line =
                lines.iter_mut().find(|line| line.as_bytes().as_chunks::<2>().0.iter().any(|p| p[0] == b'0'));
            let line = line.unwrap();
            let at = line.as_bytes().as_chunks::<2>().0.iter().position(|pair| pair[0] == b'0').unwrap() * 2;
            line.replace_range(at..=at, "+");
        }),
    ];
    for (what, file, change) in changes {
        let whole = !package.join("leaves.txt").exists();
        // Of a selection an event may be missing: then it is not shown, and the hashes say so.
        if (file == "leaves.txt" && whole) || (what == "a missing event" && !whole) {
            continue;
        }
        let path = match file {
            "note" => package.join(format!("notes/{RECEIPTED:020}.note")),
            file => package.join(file),
        };
        let text = fs::read_to_string(&path).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        change(&mut lines);
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        assert!(zhenyin_verify::verify(package, 2).is_err(), "{name}: {what}");
        // Whoever changes a file can change the list, too.
        relist(package);
        let refused = zhenyin_verify::verify(package, 2).map(drop);
        assert!(
            !matches!(refused, Ok(()) | Err(PackageError::Changed { .. })),
            "{name}: {what}: {refused:?}"
        );
        if name == "whole" || name == "sample" {
            python(package, false, what);
        }
        fs::write(&path, text).unwrap();
        relist(package);
    }
    assert!(zhenyin_verify::verify(package, 1).is_ok(), "{name}: as it was");
}

/// Not one event and not one receipt is there; only the checkpoint vouches.
#[test]
fn hashes_that_nothing_covers_are_refused() {
    let terminal = Terminal::new(3, 0);
    let nothing = Selection { tokens: vec![nobody()], ..Selection::default() };
    let package = terminal.export("p", &nothing, &[]);
    assert_eq!(zhenyin_verify::verify(&package, 1).unwrap().summary.events, 3);
    python(&package, true, "nothing but hashes");
    fs::remove_file(package.join("notes/00000000000000000003.checkpoint.note")).unwrap();
    relist(&package);
    let refused = zhenyin_verify::verify(&package, 1);
    assert!(matches!(refused, Err(PackageError::Unvouched { vouched: 0 })), "{refused:?}");
    python(&package, false, "a hash of nothing");
}

fn nobody() -> SubjectToken {
    SubjectToken::parse("op:nobodynobodynobodynob1").unwrap()
}

/// Writes the list of files anew, as whoever has changed one would.
fn relist(package: &Path) {
    let list = package.join("SHA256SUMS");
    let names: Vec<String> = fs::read_to_string(&list)
        .unwrap()
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(_, name)| name.to_owned())
        .filter(|name| package.join(name).exists())
        .collect();
    let output = Command::new("sha256sum").args(&names).current_dir(package).output().unwrap();
    assert!(output.status.success());
    fs::write(list, output.stdout).unwrap();
}

#[expect(clippy::print_stdout, reason = "what is skipped is said")]
fn python(package: &Path, good: bool, what: &str) {
    let here = Command::new("python3").args(["-c", "import cryptography"]).output();
    if !here.is_ok_and(|output| output.status.success()) {
        println!("skipped: verify_export.py cannot run, python3 or its cryptography is not here");
        return;
    }
    let folder = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let script = folder.join("conformance/verify_export.py");
    let output = Command::new("python3").arg(script).arg(package).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.success(), good, "{what}: {said}");
}

#[test]
fn a_long_chain_is_verified_fast() {
    let events = 20_000;
    let terminal = Terminal::new(events, events);
    let package = terminal.export("long", &Selection::default(), &[]);
    let (begun, used) = (Instant::now(), processor_time());
    let verified = zhenyin_verify::verify(&package, 2).unwrap();
    let (wall, used) = (begun.elapsed(), processor_time() - used);
    assert_eq!(verified.summary.receipted, events);
    let each = used.as_secs_f64() / events as f64;
    println!(
        "verified {:.0} events/s; {:.1} µs of processor time an event: {:.0} events/s on two cores of one's own",
        events as f64 / wall.as_secs_f64(),
        each * 1e6,
        2.0 / each
    );
}

/// User and system time of this process, from the kernel's 100 ticks a second.
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
