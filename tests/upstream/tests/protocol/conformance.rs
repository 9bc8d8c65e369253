//! R13: a fresh export, receipted by this upstream, verified by two programs that know nothing of this project.
//! Never silent when they cannot run: a missing interpreter is printed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;
use zhenyin_core::documents::Grant;
use zhenyin_core::event::Draft;
use zhenyin_core::jws::{self, Form};
use zhenyin_core::note::Note;
use zhenyin_core::signer::PublicKey;
use zhenyin_core::verify::{ExportHeader, Verifier};

use crate::device::{Device, signer, start};

/// Asked at run time: checkouts may share one folder of build results.
fn scripts() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = package.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.join("../conformance")
}
const EVENTS: usize = 21;
/// Place of the first rotation.
const ROTATION: usize = 7;

#[test]
fn r13_openssl_and_python_verify_a_fresh_export() {
    let state = tempfile::tempdir().unwrap();
    let export = tempfile::tempdir().unwrap();
    write_export(state.path(), export.path());
    let events = fs::read_to_string(export.path().join("events.jws")).unwrap();
    let spoilt = spoil_event(&events, 7);
    let note = fs::read_dir(export.path().join("notes")).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read_to_string(&note).unwrap();

    for (probe, script) in programs() {
        if !probe {
            println!("skipped: {script} cannot run, its interpreter or package is not here");
            continue;
        }
        let check = |good: bool, what: &str| {
            let output = verify(script, export.path());
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(
                output.status.success(),
                good,
                "{what}: {said}{}",
                String::from_utf8_lossy(&output.stderr)
            );
            said
        };
        let said = check(true, "as exported");
        let counts = said.replace(&format!(" shown {EVENTS}"), "");
        assert!(counts.starts_with(&format!("events {EVENTS} receipted {EVENTS}")), "{said}");
        fs::write(export.path().join("events.jws"), &spoilt).unwrap();
        check(false, "a changed event");
        let cut: String = events.split_inclusive('\n').take(EVENTS - 1).collect();
        fs::write(export.path().join("events.jws"), cut).unwrap();
        check(false, "a cut tail");
        fs::write(export.path().join("events.jws"), &events).unwrap();
        let cosigned = whole.lines().last().unwrap();
        let forged = format!("{}AAAA{}", &cosigned[..cosigned.len() - 8], &cosigned[cosigned.len() - 4..]);
        fs::write(&note, whole.replace(cosigned, &forged)).unwrap();
        check(false, "a false cosignature");
        fs::write(&note, &whole).unwrap();
        for (good, what, lines) in rotations(&events) {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("notes")).unwrap();
            fs::copy(export.path().join("chain.json"), folder.path().join("chain.json")).unwrap();
            fs::write(folder.path().join("events.jws"), lines).unwrap();
            let output = verify(script, folder.path());
            assert_eq!(output.status.success(), good, "{script}, {what}");
        }
    }
    verify_with_core(export.path());
    let others = programs().iter().filter(|(probe, _)| *probe).count();
    println!(
        "R13: {EVENTS} events verified by {others} programs that others wrote, 3 ways of tampering refused by each"
    );
}

/// Each program and whether its needs are here.
fn programs() -> [(bool, &'static str); 2] {
    let runs = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let python = runs(Command::new("python3").args(["-c", "import cryptography"]));
    let openssl =
        runs(Command::new("openssl").arg("version")) && runs(Command::new("bash").args(["-c", "true"]));
    [(python, "verify_export.py"), (openssl, "verify_with_openssl.sh")]
}

fn verify(script: &str, export: &Path) -> Output {
    let interpreter = if script.ends_with(".py") { "python3" } else { "bash" };
    let path = scripts().join(script);
    Command::new(interpreter).arg(path).arg(export).output().expect("the interpreter was there before")
}

fn write_export(state: &Path, export: &Path) {
    let upstream = start(state);
    let mut device = Device::enrol(&upstream, 5);
    let mut acknowledged = 0;
    let long = || Draft {
        kind: "visit.verified.v1".into(),
        subject: None,
        data: json!({"text": "真印".repeat(800)}),
    };
    // Between receipts: heartbeats, a handover to another key, more heartbeats, a long event.
    for (before, next_key, after, size) in
        [(0, None, 1, 2), (4, None, 0, 7), (0, Some(6), 0, 8), (5, Some(7), 6, EVENTS as u64)]
    {
        device.heartbeats(before);
        next_key.into_iter().for_each(|seed| device.rotate(seed));
        device.heartbeats(after);
        if size != 8 {
            device.append(long());
        }
        acknowledged = device.drain(upstream.addr(), acknowledged);
        assert_eq!(acknowledged, size);
    }
    let header = ExportHeader {
        authority: device.authority.to_jwk(),
        grant: device.chain.grant().token().into(),
        origin: device.chain.origin(),
        witness: Some(device.witness.to_string()),
    };
    fs::write(export.join("chain.json"), serde_json::to_string_pretty(&header).unwrap()).unwrap();
    let lines: String = device.events.iter().map(|event| event.jws.clone() + "\n").collect();
    fs::write(export.join("events.jws"), lines).unwrap();
    fs::create_dir(export.join("notes")).unwrap();
    for note in &device.receipts {
        let name = format!("notes/{:020}.note", note.checkpoint().size);
        fs::write(export.join(name), note.to_string()).unwrap();
    }
}

/// Event files without notes around the first rotation: as they are, and with a wrong signer in the last line.
fn rotations(events: &str) -> [(bool, &'static str, String); 5] {
    let lines: Vec<&str> = events.lines().collect();
    let first = |count: usize| lines[..count].join("\n") + "\n";
    let payload = |place: usize| String::from_utf8(jws::payload_unverified(lines[place]).unwrap()).unwrap();
    let resigned = |payload: &str, seed: u8| jws::seal(Form::EVENT, payload, &signer(seed)).unwrap() + "\n";
    let rotation = payload(ROTATION);
    let proof = serde_json::from_str::<serde_json::Value>(&rotation).unwrap()["data"]["proof"].clone();
    let place = String::from_utf8(jws::payload_unverified(proof.as_str().unwrap()).unwrap()).unwrap();
    let moved = jws::seal(Form::ROTATION, &place.replace("0007", "0006"), &signer(6)).unwrap();
    let moved = rotation.replace(proof.as_str().unwrap(), &moved);
    [
        (true, "as it is", first(ROTATION + 2)),
        (false, "the old key after it", first(ROTATION + 1) + &resigned(&payload(ROTATION + 1), 5)),
        (true, "the rotation at the end", first(ROTATION) + &resigned(&rotation, 5)),
        (false, "the rotation by the new key", first(ROTATION) + &resigned(&rotation, 6)),
        (false, "a proof for another place", first(ROTATION) + &resigned(&moved, 5)),
    ]
}

/// The same text with another letter in the payload of one event.
fn spoil_event(events: &str, number: usize) -> String {
    let mut lines: Vec<String> = events.lines().map(str::to_owned).collect();
    let at = lines[number].find('.').unwrap() + 40;
    let other = if lines[number].as_bytes()[at] == b'A' { "B" } else { "A" };
    lines[number].replace_range(at..=at, other);
    lines.join("\n") + "\n"
}

fn verify_with_core(export: &Path) {
    let header: ExportHeader =
        serde_json::from_str(&fs::read_to_string(export.join("chain.json")).unwrap()).unwrap();
    let grant = Grant::open(&header.grant, PublicKey::from_jwk(&header.authority).unwrap()).unwrap();
    let notes = fs::read_dir(export.join("notes")).unwrap();
    let notes = notes.map(|note| Note::parse(&fs::read_to_string(note.unwrap().path()).unwrap()).unwrap());
    let mut verifier = Verifier::new(grant, None, notes.collect());
    for line in fs::read_to_string(export.join("events.jws")).unwrap().lines() {
        verifier.event(line).unwrap();
    }
    let summary = verifier.finish().unwrap();
    assert_eq!((summary.events, summary.receipted, summary.receipts), (EVENTS as u64, EVENTS as u64, 4));
}
