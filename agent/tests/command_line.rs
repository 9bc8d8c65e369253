//! The program as IT meets it: what it says and how it ends when something is not as it should be.
//! Never opens a device: every case fails, or answers, before that.

use std::path::Path;
use std::process::{Command, Output};

fn zhenyin(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_zhenyin")).args(arguments).output();
    output.expect("the program was built for this test")
}

fn check(arguments: &[&str], exit: i32, said: &str) {
    let output = zhenyin(arguments);
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {text}");
    assert!(text.contains(said), "{arguments:?}: `{said}` is not in: {text}");
}

fn config(folder: &Path, text: &str) -> String {
    let path = folder.join("config.toml");
    std::fs::write(&path, text).expect("a fresh folder can be written");
    path.to_string_lossy().into_owned()
}

#[test]
fn a_bad_configuration_ends_with_64_before_anything_opens() {
    let folder = tempfile::tempdir().unwrap();
    for (text, said) in [
        ("version = 1\ncamera.devise = 'x'", "devise"),
        ("version = 7", "version 7"),
        ("version = 1\napi.listen = '0.0.0.0:1'", "loopback"),
        ("version = 1\nupstream.url = 'http://up.example'", "https"),
    ] {
        let path = config(folder.path(), text);
        check(&["--config", &path, "config", "check"], 64, said);
        check(&["--config", &path, "run"], 64, said);
    }
    check(&["--config", "/nowhere/config.toml", "run"], 64, "`--config`");
}

#[test]
fn a_good_configuration_is_shown_with_its_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let path = config(folder.path(), "version = 1");
    check(&["--config", &path, "config", "check"], 0, "is good");
    check(&["--config", &path, "config", "show"], 0, "127.0.0.1:7780");
}

#[test]
fn the_packaged_example_is_a_good_configuration() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/config.example.toml");
    check(&["--config", example, "config", "check"], 0, "is good");
}

#[test]
fn every_command_says_what_to_do_first() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let path =
        config(folder.path(), &format!("version = 1\nstate = '{}'\nmodels.enabled = false", state.display()));
    check(&["--config", &path, "run"], 1, "terminal enrol");
    check(&["--config", &path, "login"], 1, "is the agent running");
    check(&["--config", &path, "status"], 1, "is the agent running");
    check(&["--config", &path, "terminal", "enrol", "--code", "X"], 1, "upstream.url");
    check(&["--config", &path, "journal", "show"], 1, "no chain has begun");
    check(&["verify", &folder.path().join("none").to_string_lossy()], 1, "of the package cannot be read");
}

#[test]
fn an_agent_that_has_ended_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // What a killed agent leaves behind.
    std::fs::write(folder.path().join("api.token"), "left over").unwrap();
    let path = config(
        folder.path(),
        &format!("version = 1\nstate = '{}'\napi.listen = '127.0.0.1:{port}'", folder.path().display()),
    );
    check(&["--config", &path, "status"], 1, "zhenyin run");
    check(&["--config", &path, "login"], 1, "zhenyin run");
}

#[test]
fn an_upstream_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    // A port that was free a moment ago and that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let path = config(
        folder.path(),
        &format!(
            "version = 1\nstate = '{}'\nupstream.url = 'http://127.0.0.1:{port}'",
            folder.path().join("state").display()
        ),
    );
    check(&["--config", &path, "terminal", "enrol", "--code", "X"], 1, "upstream.url");
}
