//! R13: a fresh export, receipted by this upstream, verified by two programs that know nothing of this project.
//! Never silent when they cannot run: a missing interpreter is printed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;
use zhenyin_core::documents::Grant;
use zhenyin_core::event::Draft;
use zhenyin_core::note::Note;
use zhenyin_core::signer::PublicKey;
use zhenyin_core::verify::{ExportHeader, Verifier};

use crate::device::{Device, start};

/// Asked at run time: checkouts may share one folder of build results.
fn scripts() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = package.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.join("../conformance")
}
const EVENTS: usize = 21;

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
    for size in [1, 7, 8, EVENTS as u64] {
        device.heartbeats(size - acknowledged - 1);
        let long = Draft {
            kind: "visit.verified.v1".into(),
            subject: None,
            data: json!({"text": "真印".repeat(800)}),
        };
        device.append(long);
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
