//! S3 of a package: what somebody could hand to a verifier to make it believe, crash, hang, run out of memory or read
//! what is not in the package. Each is one named error; the same package untouched verifies.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use zhenyin::export::{Sample, Selection};
use zhenyin_core::verify::Fault;
use zhenyin_tests::packages::{Journalled, relist};
use zhenyin_verify::{PackageError as E, verify};

const EVENTS: u64 = 40;
const RECEIPTED: u64 = 32;

/// What is done to a package, and whether the error is the one of it.
struct Attack {
    name: &'static str,
    /// Whoever changes a file can write the list anew.
    relisted: bool,
    change: fn(&Path),
    refused: fn(&E) -> bool,
}

macro_rules! attacks {
    ($($name:literal, $relisted:ident, $change:expr => $refused:pat),* $(,)?) => {
        &[$(Attack {
            name: $name,
            relisted: attacks!(@ $relisted),
            change: $change,
            refused: |error| matches!(error, $refused),
        }),*]
    };
    (@ relisted) => { true };
    (@ as_it_is) => { false };
}

const WHOLE: &[Attack] = attacks! {
    "a cut line", relisted, |p| cut(p, "events.jws", 20) => E::Chain(Fault::Signature { event: 39, .. }),
    "a cut end", relisted, |p| lines(p, "events.jws", |l| drop(l.pop())) => E::Chain(Fault::Truncated { what: "checkpoint", size: 40, events: 39 }),
    "a tail cut with its checkpoint", relisted, cut_tail => E::Unvouched { vouched: 32, events: 38 },
    "no events", relisted, |p| write(p, "events.jws", b"") => E::Chain(Fault::Truncated { .. }),
    "no events at all", as_it_is, |p| remove(p, "events.jws") => E::Read { .. },
    "two swapped", relisted, |p| lines(p, "events.jws", |l| l.swap(7, 8)) => E::Chain(Fault::Sequence { event: 7, found: 8 }),
    "one twice", relisted, |p| lines(p, "events.jws", |l| l.insert(9, l[8].clone())) => E::Chain(Fault::Sequence { event: 9, found: 8 }),
    "one left out", relisted, |p| lines(p, "events.jws", |l| drop(l.remove(5))) => E::Chain(Fault::Sequence { event: 5, found: 6 }),
    "an empty line", relisted, |p| lines(p, "events.jws", |l| l.insert(3, String::new())) => E::Chain(Fault::Signature { event: 3, .. }),
    "a foreign signature", relisted, |p| lines(p, "events.jws", |l| l[4] = swap_signature(&l[4], &l[5])) => E::Chain(Fault::Signature { event: 4, .. }),
    "alg none", relisted, |p| lines(p, "events.jws", |l| l[4] = alg_none(&l[4])) => E::Chain(Fault::Signature { event: 4, .. }),
    "a carriage return", relisted, |p| lines(p, "events.jws", |l| l[4].push('\r')) => E::Chain(Fault::Signature { event: 4, .. }),
    "a line of 20 kB", relisted, |p| lines(p, "events.jws", |l| l[4] = "A".repeat(20_000)) => E::LongLine { name: "events.jws", line: 5, .. },
    "a line without end", as_it_is, |p| endless(p, "events.jws") => E::LongLine { name: "events.jws", line: 1, .. },
    "decoded without end", as_it_is, |p| endless(p, "events.jsonl") => E::LongLine { name: "events.jsonl", line: 1, .. },
    "bytes that are no text", relisted, |p| write(p, "events.jws", b"\xff\xfe\n") => E::NotText { line: 1, .. },
    "another text beside the signed one", relisted, |p| lines(p, "events.jsonl", |l| l[6] = l[6].replace("accept", "reject")) => E::Decoded { line: 7 },
    "a text too many", relisted, |p| lines(p, "events.jsonl", |l| l.push("{}".into())) => E::Decoded { line: 41 },
    "a text too few", relisted, |p| lines(p, "events.jsonl", |l| drop(l.pop())) => E::Decoded { line: 40 },
    "a header of megabytes", as_it_is, |p| endless(p, "chain.json") => E::TooLarge { .. },
    "a header nested without end", relisted, |p| write(p, "chain.json", "[".repeat(100_000).as_bytes()) => E::Header { .. },
    "a header with a member twice", relisted, twice => E::Header { .. },
    "another authority", relisted, |p| header(p, "\"x\": \"", "\"x\": \"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\", \"y\": \"") => E::Grant(_) | E::Authority(_) | E::Header { .. },
    "a witness that is no key", relisted, |p| header(p, "witness.example", "witness example") => E::Witness(_),
    "a grant cut short", relisted, |p| header(p, "\"grant\": \"eyJ", "\"grant\": \"ey") => E::Grant(_),
    "a note of megabytes", as_it_is, |p| endless(p, RECEIPT) => E::TooLarge { .. },
    "a note that is none", relisted, |p| write(p, RECEIPT, b"\n\n\n") => E::Note { .. },
    "a note signed 17 times", relisted, sign_17_times => E::Note { .. },
    "a note of another log", relisted, |p| lines(p, RECEIPT, |l| l[0].insert(0, 'x')) => E::Chain(Fault::Checkpoint { size: 32, .. }),
    "a note of another size", relisted, |p| lines(p, RECEIPT, |l| l[1] = "31".into()) => E::Chain(Fault::Checkpoint { size: 31, .. }),
    "a note of 2^64 events", relisted, |p| lines(p, RECEIPT, |l| l[1] = u64::MAX.to_string()) => E::Chain(Fault::Truncated { .. }),
    "a cosignature of nobody", relisted, |p| lines(p, RECEIPT, |l| forge_witness(l)) => E::Chain(Fault::Receipt { size: 32, .. }),
    "a list that leads out", as_it_is, |p| list(p, |l| l.push(format!("{}  ../../../etc/passwd", "0".repeat(64)))) => E::ListLine { line: 9 },
    "a list that leads to the root", as_it_is, |p| list(p, |l| l.push(format!("{}  /etc/passwd", "0".repeat(64)))) => E::ListLine { .. },
    "a list through a folder", as_it_is, |p| list(p, |l| l[0] = l[0].replace("chain.json", "notes/../chain.json")) => E::ListLine { line: 1 },
    "a list with a name twice", as_it_is, |p| list(p, |l| l.push(l[0].clone())) => E::ListLine { line: 9 },
    "a list in other letters", as_it_is, |p| list(p, |l| l[0] = l[0].to_uppercase()) => E::ListLine { line: 1 },
    "a list without a file", as_it_is, |p| list(p, |l| drop(l.remove(0))) => E::Unlisted { .. },
    "a file of the list is missing", as_it_is, |p| remove(p, "report.html") => E::Read { .. },
    "no list", as_it_is, |p| remove(p, "SHA256SUMS") => E::Read { .. },
    "a list of megabytes", as_it_is, |p| endless(p, "SHA256SUMS") => E::TooLarge { .. },
    "another report", as_it_is, |p| write(p, "report.html", b"<h1>all is well</h1>") => E::Changed { .. },
    "another readme", as_it_is, |p| write(p, "readme_zh_en.txt", b"trust me") => E::Changed { .. },
    "a file that does not belong", as_it_is, |p| write(p, "report_corrected.html", b"") => E::Foreign { .. },
    "a program beside it", as_it_is, |p| write(p, "zhenyin-verify", b"#!/bin/sh\necho all is well") => E::Foreign { .. },
    "a note of another name", as_it_is, |p| write(p, "notes/latest.note", b"") => E::Foreign { .. },
    "a folder in the notes", as_it_is, |p| fs::create_dir(p.join("notes/more")).unwrap() => E::Foreign { .. },
    "a hundred thousand files", as_it_is, many => E::TooMany { .. },
    "a link to the header", as_it_is, |p| link(p, "chain.json") => E::NotPlain { .. },
    "a link to the events", as_it_is, |p| link(p, "events.jws") => E::NotPlain { .. },
    "a link to a device", as_it_is, to_device => E::NotPlain { .. },
    "a link to the report", as_it_is, |p| link(p, "report.html") => E::NotPlain { .. },
    "a link to the list", as_it_is, |p| link(p, "SHA256SUMS") => E::NotPlain { .. },
    "a link to the notes", as_it_is, |p| link(p, "notes") => E::NotPlain { .. },
    "a pipe that nobody writes to", as_it_is, pipe => E::NotPlain { .. },
    "a folder for a file", as_it_is, |p| { remove(p, "events.jsonl"); fs::create_dir(p.join("events.jsonl")).unwrap() } => E::NotPlain { .. },
};

const SELECTED: &[Attack] = attacks! {
    "a hash swapped", relisted, |p| lines(p, "leaves.txt", |l| l[35] = "7".repeat(64)) => E::Chain(Fault::Root { what: "checkpoint", size: 40 }) | E::Stray { .. },
    "a hash left out", relisted, |p| lines(p, "leaves.txt", |l| drop(l.pop())) => E::Chain(Fault::Truncated { .. }) | E::Stray { .. },
    "a hash too many", relisted, |p| lines(p, "leaves.txt", |l| l.push("7".repeat(64))) => E::Unvouched { vouched: 40, events: 41 },
    "hashes without end", as_it_is, |p| endless(p, "leaves.txt") => E::LongLine { name: "leaves.txt", line: 1, limit: 64 },
    "a hash in capitals", relisted, |p| lines(p, "leaves.txt", |l| l[3] = "A".repeat(64)) => E::Leaf { line: 4 },
    "a hash with a sign", relisted, |p| lines(p, "leaves.txt", |l| l[3].replace_range(0..1, "+")) => E::Leaf { line: 4 },
    "no hashes", relisted, |p| remove(p, "leaves.txt") => E::Chain(Fault::Sequence { .. }),
    "an event that has no place", relisted, swap => E::Stray { .. },
    "an event twice", relisted, |p| lines(p, "events.jws", |l| l.insert(1, l[0].clone())) => E::Stray { line: 2 },
    "no checkpoint", relisted, |p| remove(p, CHECKPOINT) => E::Unvouched { vouched: 32, events: 40 },
};

/// Endless files are given up at once; this is for a machine that does ten other things.
const PATIENCE: Duration = Duration::from_secs(20);
const RECEIPT: &str = "notes/00000000000000000032.note";
const CHECKPOINT: &str = "notes/00000000000000000040.checkpoint.note";

#[test]
fn s3_a_hostile_package_is_refused_by_name() {
    let journal = Journalled::build(EVENTS, RECEIPTED).unwrap();
    let sample = Some(Sample { seed: "index 3211.98".into(), count: 6 });
    let selected = Selection { sample, ..Selection::default() };
    let packages = [
        (journal.export("whole", &Selection::default(), &[]).unwrap(), WHOLE),
        (journal.export("selected", &selected, &[]).unwrap(), SELECTED),
    ];
    let mut complaints = Vec::new();
    for (package, attacks) in &packages {
        for attack in *attacks {
            complaints.extend(complaint(attack, package, &journal.path("copy")));
        }
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn complaint(attack: &Attack, package: &Path, copy: &Path) -> Option<String> {
    assert!(Command::new("cp").arg("-r").arg(package).arg(copy).status().unwrap().success());
    verify(copy, 2).expect("the control: untouched it verifies");
    (attack.change)(copy);
    if attack.relisted {
        relist(copy).unwrap();
    }
    let begun = Instant::now();
    let result = verify(copy, 2).map(drop);
    let took = begun.elapsed();
    fs::remove_dir_all(copy).unwrap();
    let name = attack.name;
    match result {
        Ok(()) => Some(format!("{name}: believed")),
        Err(error) if !(attack.refused)(&error) => Some(format!("{name}: {error:?}")),
        Err(_) if took > PATIENCE => Some(format!("{name}: takes {took:?}")),
        Err(_) => None,
    }
}

fn write(package: &Path, file: &str, bytes: &[u8]) {
    fs::write(package.join(file), bytes).unwrap();
}

fn remove(package: &Path, file: &str) {
    fs::remove_file(package.join(file)).unwrap();
}

fn lines(package: &Path, file: &str, change: fn(&mut Vec<String>)) {
    let text = fs::read_to_string(package.join(file)).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    change(&mut lines);
    write(package, file, lines.iter().flat_map(|line| [line, "\n"]).collect::<String>().as_bytes());
}

/// The first two events, sealed and decoded.
fn swap(package: &Path) {
    for file in ["events.jws", "events.jsonl"] {
        lines(package, file, |lines| lines.swap(0, 1));
    }
}

fn list(package: &Path, change: fn(&mut Vec<String>)) {
    lines(package, "SHA256SUMS", change);
}

fn header(package: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(package.join("chain.json")).unwrap();
    assert!(text.contains(from), "{text}");
    write(package, "chain.json", text.replace(from, to).as_bytes());
}

fn twice(package: &Path) {
    header(package, "\"origin\":", "\"origin\": \"a\", \"origin\":");
}

fn cut(package: &Path, file: &str, bytes: usize) {
    let text = fs::read(package.join(file)).unwrap();
    write(package, file, &text[..text.len() - bytes]);
}

/// The end of the chain and everything that knows of it.
fn cut_tail(package: &Path) {
    for file in ["events.jws", "events.jsonl"] {
        lines(package, file, |lines| lines.truncate(38));
    }
    remove(package, CHECKPOINT);
}

/// Four gigabytes of zeros that take no room on the disk.
fn endless(package: &Path, file: &str) {
    File::create(package.join(file)).unwrap().set_len(4 << 30).unwrap();
}

fn many(package: &Path) {
    for number in 0..5_000 {
        write(package, &format!("notes/{number:020}.note"), b"");
    }
}

fn link(package: &Path, file: &str) {
    let path = package.join(file);
    let aside = package.with_extension("aside");
    let _none = fs::remove_dir_all(&aside);
    let _none = fs::remove_file(&aside);
    fs::rename(&path, &aside).unwrap();
    symlink(aside, path).unwrap();
}

fn to_device(package: &Path) {
    remove(package, "events.jws");
    symlink("/dev/zero", package.join("events.jws")).unwrap();
}

fn pipe(package: &Path) {
    remove(package, "events.jws");
    assert!(Command::new("mkfifo").arg(package.join("events.jws")).status().unwrap().success());
}

fn swap_signature(event: &str, other: &str) -> String {
    let (signed, _) = event.rsplit_once('.').unwrap();
    let (_, signature) = other.rsplit_once('.').unwrap();
    format!("{signed}.{signature}")
}

/// The header `{"alg":"none"}` and no signature.
fn alg_none(event: &str) -> String {
    format!("eyJhbGciOiJub25lIn0.{}.", event.split('.').nth(1).unwrap())
}

fn sign_17_times(package: &Path) {
    lines(package, RECEIPT, |lines| {
        let line = lines.last().unwrap().clone();
        lines.extend(vec![line; 17]);
    });
}

/// The witness's line with another time than the one it signed.
fn forge_witness(lines: &mut [String]) {
    let line = lines.last_mut().unwrap();
    let end = line.len();
    let other = if line.as_bytes()[end - 20] == b'A' { "B" } else { "A" };
    line.replace_range(end - 20..end - 19, other);
}
