//! Inspection packages: whole, of a period, of kinds, drawn by a seed. Each verifies from its files alone, by our own
//! verifier and by the python script, and no tampered one does. Prints how fast a long chain is verified.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use zhenyin::export::{ExportError, Sample, Selection};
use zhenyin_core::api::Refusal;
use zhenyin_core::ids::SubjectToken;
use zhenyin_core::inspection::Inspector;
use zhenyin_core::note::{Checkpoint, Note};
use zhenyin_core::time::WallTime;
use zhenyin_core::verify::Fault;
use zhenyin_tests::bench::verification::verification_bench;
use zhenyin_tests::packages::{BEGIN, Journalled, relist};
use zhenyin_verify::PackageError;

const EVENTS: u64 = 300;
const RECEIPTED: u64 = 256;

fn inspectors(pairs: &[(&str, &str)]) -> Vec<Inspector> {
    pairs
        .iter()
        .map(|(name, warrant)| Inspector { name: (*name).into(), warrant: (*warrant).into() })
        .collect()
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
    let terminal = Journalled::build(EVENTS, RECEIPTED).unwrap();
    let two = inspectors(&[("甲", "执-001"), ("乙", "执-002")]);
    for (name, selection, shown) in selections() {
        let package = terminal.export(name, &selection, &two).unwrap();
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
    let drawn =
        fs::read(terminal.export("again", &selections()[4].1, &[]).unwrap().join("events.jws")).unwrap();
    assert_eq!(drawn, fs::read(terminal.path("sample/events.jws")).unwrap(), "by the seed alone");
}

#[test]
fn two_inspectors_with_their_own_warrants_or_none() {
    let terminal = Journalled::build(3, 2).unwrap();
    let mut number = 0;
    let mut check = |pairs: &[(&str, &str)], good: bool| {
        number += 1;
        let folder = terminal.path(&format!("p{number}"));
        let written = terminal.try_export(&folder, &Selection::default(), &inspectors(pairs), None).unwrap();
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
    let terminal = Journalled::build(EVENTS, RECEIPTED).unwrap();
    let at = Some(WallTime(BEGIN + 290));
    let package = terminal.export("p", &Selection { from: at, ..Selection::default() }, &[]).unwrap();
    zhenyin_verify::verify(&package, 2).unwrap();
    let leaves = package.join("leaves.txt");
    let text = fs::read_to_string(&leaves).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[270] = "7".repeat(64);
    fs::write(&leaves, lines.join("\n") + "\n").unwrap();
    relist(&package).unwrap();
    let swapped = zhenyin_verify::verify(&package, 2);
    assert!(
        matches!(&swapped, Err(PackageError::Chain(Fault::Root { what: "checkpoint", size: EVENTS }))),
        "{swapped:?}"
    );
    python(&package, false, "a swapped hash");
    // Without the checkpoint nobody could tell; so a package without it is refused.
    let note = package.join(format!("notes/{EVENTS:020}.checkpoint.note"));
    fs::remove_file(&note).unwrap();
    relist(&package).unwrap();
    let bare = zhenyin_verify::verify(&package, 2);
    assert!(matches!(&bare, Err(PackageError::Unvouched { vouched: RECEIPTED, events: EVENTS })), "{bare:?}");
    python(&package, false, "no checkpoint");
}

/// The checkpoint is the agent's, the rows are the journal's: a package needs both to say the same.
#[test]
fn a_package_ends_with_its_checkpoint() {
    let terminal = Journalled::build(EVENTS, RECEIPTED).unwrap();
    let (keys, reader, _) = terminal.open().unwrap();
    let earlier = |size: u64, root: u64| {
        let root = reader.frontier(root).unwrap().root();
        let origin = terminal.header.origin.clone();
        Note::sign(Checkpoint { origin, size, root }, &keys.signer()).unwrap()
    };
    let folder = |name: &str| terminal.path(name);
    let whole = Selection::default();
    terminal.try_export(&folder("p"), &whole, &[], Some(earlier(200, 200))).unwrap().unwrap();
    let verified = zhenyin_verify::verify(&folder("p"), 2).unwrap();
    assert_eq!((verified.summary.events, verified.summary.receipted), (200, RECEIPTED / 2));
    let other = terminal.try_export(&folder("q"), &whole, &[], Some(earlier(200, 199))).unwrap();
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
        relist(package).unwrap();
        let refused = zhenyin_verify::verify(package, 2).map(drop);
        assert!(
            !matches!(refused, Ok(()) | Err(PackageError::Changed { .. })),
            "{name}: {what}: {refused:?}"
        );
        if name == "whole" || name == "sample" {
            python(package, false, what);
        }
        fs::write(&path, text).unwrap();
        relist(package).unwrap();
    }
    assert!(zhenyin_verify::verify(package, 1).is_ok(), "{name}: as it was");
}

/// Not one event and not one receipt is there; only the checkpoint vouches.
#[test]
fn hashes_that_nothing_covers_are_refused() {
    let terminal = Journalled::build(3, 0).unwrap();
    let nothing = Selection { tokens: vec![nobody()], ..Selection::default() };
    let package = terminal.export("p", &nothing, &[]).unwrap();
    assert_eq!(zhenyin_verify::verify(&package, 1).unwrap().summary.events, 3);
    python(&package, true, "nothing but hashes");
    fs::remove_file(package.join("notes/00000000000000000003.checkpoint.note")).unwrap();
    relist(&package).unwrap();
    let refused = zhenyin_verify::verify(&package, 1);
    assert!(matches!(refused, Err(PackageError::Unvouched { vouched: 0, events: 3 })), "{refused:?}");
    python(&package, false, "a hash of nothing");
}

fn nobody() -> SubjectToken {
    SubjectToken::parse("op:nobodynobodynobodynob1").unwrap()
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

/// Never asserts the figure: it is the machine's as much as ours. The ratio to the machine's own rate says more.
#[test]
fn a_long_chain_is_verified_fast() {
    let figures = verification_bench(20_000).unwrap();
    println!("{figures}");
}
