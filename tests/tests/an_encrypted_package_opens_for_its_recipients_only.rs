//! A package encrypted to the inspectors' keys: the `age` of others opens it with either key and with no other, what
//! comes out verifies, and nothing of it was ever on disk in clear. Skipped in words where no `age` is installed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use clap::Parser as _;
use zhenyin::cli::{Cli, run};
use zhenyin_tests::world::World;

struct Key {
    file: PathBuf,
    public: String,
}

fn key(folder: &Path, name: &str) -> Key {
    let file = folder.join(name);
    let made = Command::new("age-keygen").arg("-o").arg(&file).output().unwrap();
    assert!(made.status.success());
    let public = Command::new("age-keygen").arg("-y").arg(&file).output().unwrap();
    Key { file, public: String::from_utf8(public.stdout).unwrap().trim().to_owned() }
}

/// `age -d -i KEY FILE | tar x`, as the readme says.
fn open(key: &Key, archive: &Path, into: &Path) -> (Output, bool) {
    fs::create_dir_all(into).unwrap();
    let mut age = Command::new("age")
        .arg("-d")
        .arg("-i")
        .arg(&key.file)
        .arg(archive)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let tar =
        Command::new("tar").arg("x").current_dir(into).stdin(age.stdout.take().unwrap()).output().unwrap();
    (tar, age.wait().unwrap().success())
}

fn export(world: &World, path: &Path, more: &[&str]) -> anyhow::Result<()> {
    let folder = path.parent().unwrap();
    let config = folder.join("typed.toml");
    let text = fs::read_to_string(folder.join("config.toml")).unwrap();
    fs::write(&config, text.replace("127.0.0.1:0", &world.address().unwrap().to_string())).unwrap();
    let words =
        ["zhenyin".as_ref(), "--config".as_ref(), config.as_os_str(), "export".as_ref(), path.as_os_str()];
    run(Cli::try_parse_from(words.into_iter().chain(more.iter().map(AsRef::as_ref)))?)
}

#[test]
#[expect(clippy::print_stdout, reason = "what is skipped is said")]
fn an_encrypted_package_opens_for_its_recipients_only() {
    if Command::new("age-keygen").arg("--version").output().is_err() {
        println!("skipped: `age` is not installed here, so nobody else can open an encrypted package");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let world = World::build(folder.path(), None).unwrap();
    world.until("the first receipt", |s| s.receipted > 0).unwrap();
    let [first, second, stranger] =
        ["first.key", "second.key", "stranger.key"].map(|name| key(folder.path(), name));
    let archive = at("package.tar.age");
    let recipients = ["--recipient", &first.public, "--recipient", &second.public];
    let inspectors = ["--inspector", "甲某某/执-40917", "--inspector", "乙某某/执-40918"];
    let before = files(folder.path());
    export(&world, &archive, &[&recipients[..], &inspectors[..]].concat()).unwrap();

    for (key, name) in [(&first, "a"), (&second, "b")] {
        let (tar, opened) = open(key, &archive, &at(name));
        assert!(tar.status.success() && opened);
        let package = at(name).join("inspection");
        let verified = zhenyin_verify::verify(&package, 1).unwrap();
        assert_eq!(verified.shown, verified.summary.events);
        let receipt = fs::read_to_string(package.join("receipt.txt")).unwrap();
        assert!(receipt.contains("乙某某") && receipt.contains(&first.public), "{receipt}");
    }
    let (_, opened) = open(&stranger, &archive, &at("c"));
    assert!(!opened && !at("c/inspection").exists(), "the key of a stranger opens nothing");
    // A changed byte of the content is refused by whoever opens it, before it is unpacked.
    let mut bytes = fs::read(&archive).unwrap();
    let last = bytes.len() - 1000;
    bytes[last] ^= 1;
    fs::write(at("changed.age"), bytes).unwrap();
    assert!(!open(&first, &at("changed.age"), &at("d")).1);

    // In clear it was nowhere: no new file but the archive, and nothing to read in that.
    let made: Vec<_> = files(folder.path()).into_iter().filter(|file| !before.contains(file)).collect();
    let strange = |file: &&PathBuf| !["a", "b", "c", "d"].iter().any(|name| file.starts_with(at(name)));
    let made: Vec<_> =
        made.iter().filter(strange).filter(|file| !file.starts_with(&world.config.state)).collect();
    assert_eq!(made, [&at("changed.age"), &archive, &at("typed.toml")]);
    let sealed = fs::read(&archive).unwrap();
    let readable =
        |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let opened = fs::read(at("a/inspection/events.jsonl")).unwrap();
    for text in ["log.genesis.v1", "specversion"] {
        assert!(!readable(&sealed, text) && readable(&opened, text), "{text}");
    }
    assert!(!readable(&sealed, "某某") && !readable(&sealed, "SHA256SUMS"));
}

#[test]
fn what_is_no_key_is_refused_and_half_an_archive_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::build(folder.path(), None).unwrap();
    let path = folder.path().join("package.tar.age");
    for bad in [
        "age1",
        "AGE-SECRET-KEY-1QQQ",
        "ssh-ed25519 AAAA",
        "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq",
    ] {
        let error = export(&world, &path, &["--recipient", bad]).unwrap_err();
        assert!(error.to_string().contains("no public key of age") && !path.exists(), "{bad}: {error}");
    }
    // The public key of an identity of 32 times `42`, so that this part needs no other program.
    let good = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
    let nowhere = folder.path().join("nowhere/package.tar.age");
    fs::create_dir(folder.path().join("nowhere")).unwrap();
    fs::write(
        folder.path().join("nowhere/config.toml"),
        fs::read(folder.path().join("config.toml")).unwrap(),
    )
    .unwrap();
    export(&world, &nowhere, &["--recipient", good]).unwrap();
    assert!(fs::read(&nowhere).unwrap().starts_with(b"age-encryption.org/v1"), "the control");
    assert!(
        export(&world, &nowhere, &["--recipient", good]).unwrap_err().to_string().contains("exists already")
    );
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}
