//! Who may import whom: between crates, between the files of the core, between the files of the agent; where the
//! operating system may be asked for; and that ring is the only crypto provider. Each rule is shown to fail.

mod source_tree;

use std::collections::{BTreeMap, BTreeSet};

use source_tree::{SourceFile, tracked};
use toml::{Table, Value};

/// What a crate of this workspace may import of the others.
const ARROWS: [(&str, &[&str]); 7] = [
    ("zhenyin-core", &[]),
    ("zhenyin-models", &["zhenyin-core"]),
    ("zhenyin-verify", &["zhenyin-core"]),
    ("firmware-bridge", &["zhenyin-core"]),
    ("zhenyin", &["zhenyin-core", "zhenyin-verify", "zhenyin-models", "firmware-bridge"]),
    ("reference-upstream", &["zhenyin-core"]),
    (
        "zhenyin-tests",
        &[
            "zhenyin",
            "zhenyin-core",
            "zhenyin-models",
            "zhenyin-verify",
            "firmware-bridge",
            "reference-upstream",
        ],
    ),
];

/// Files of the agent that any other may import: they own no device and no connection.
const AGENT_FOUNDATIONS: [&str; 8] =
    ["clock", "config", "data_key", "durable_file", "latest", "telemetry", "text", "tls"];
/// Files of the agent that join adapters, for the daemon or for one command. All others are adapters: they
/// import foundations only.
const AGENT_JOINTS: [&str; 10] = [
    "card_cli",
    "agent",
    "cli",
    "client",
    "event_loop",
    "export",
    "lib",
    "main",
    "models_cli",
    "terminal_enrolment",
];

/// Files that may differ between operating systems.
const SYSTEM_FILES: [&str; 6] = [
    "agent/src/cli.rs",
    "agent/src/clock.rs",
    "agent/src/durable_file.rs",
    "agent/src/journal/reserve.rs",
    "agent/src/keystore.rs",
    "agent/src/journal/tests.rs",
];

const FOREIGN_CRYPTO: [&str; 7] =
    ["aws-lc-rs", "aws-lc-sys", "openssl", "openssl-sys", "boring", "mbedtls", "native-tls"];

#[test]
fn crates_import_along_the_arrows() {
    let manifests = tracked("Cargo.toml");
    let members: Vec<&SourceFile> = manifests.iter().filter(|file| is_member(file)).collect();
    assert_eq!(members.len(), ARROWS.len(), "a crate was added: give it its arrows");
    assert_clean(members.into_iter().flat_map(crate_complaints).collect());
}

#[test]
fn core_files_import_from_above() {
    let files: Vec<SourceFile> = below("agent/core/src/");
    let order = module_order(&file_named(&files, "lib.rs").text);
    assert_clean(files.iter().flat_map(|file| order_complaints(file, &order)).collect());
}

#[test]
fn agent_adapters_do_not_import_one_another() {
    let files = below("agent/src/");
    let modules = module_order(&file_named(&files, "lib.rs").text);
    assert_clean(files.iter().flat_map(|file| adapter_complaints(file, &modules)).collect());
}

#[test]
fn few_files_ask_for_the_operating_system() {
    assert_clean(tracked(".rs").iter().flat_map(system_complaints).collect());
}

#[test]
fn ring_is_the_only_crypto_provider() {
    assert_clean(crypto_complaints(&file_named(&tracked("Cargo.lock"), "Cargo.lock").text));
}

fn assert_clean(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// The files under a folder, named from there.
fn below(folder: &str) -> Vec<SourceFile> {
    let inside = |file: SourceFile| Some(SourceFile::new(file.path.strip_prefix(folder)?, &file.text));
    tracked(".rs").into_iter().filter_map(inside).collect()
}

fn file_named<'a>(files: &'a [SourceFile], path: &str) -> &'a SourceFile {
    files.iter().find(|file| file.path == path).expect("the file is there")
}

fn is_member(file: &SourceFile) -> bool {
    let outside = ["packaging/v4l2-bindings/", "tests/fuzz/"];
    file.path != "Cargo.toml" && !outside.iter().any(|folder| file.path.starts_with(folder))
}

fn crate_complaints(file: &SourceFile) -> Vec<String> {
    let manifest: Table = file.text.parse().expect("a manifest is TOML");
    let package = manifest.get("package").and_then(Value::as_table).expect("a member has a package");
    let name = package.get("name").and_then(Value::as_str).expect("a package has a name");
    let mut complaints = Vec::new();
    let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
        return vec![format!("{}: crate `{name}` has no arrows", file.path)];
    };
    for key in ["version", "edition", "rust-version", "license", "publish"] {
        if !package.get(key).is_some_and(from_workspace) {
            complaints.push(format!("{}: `{key}` is not the workspace's", file.path));
        }
    }
    if !manifest.get("lints").is_some_and(from_workspace) {
        complaints.push(format!("{}: lints are not the workspace's", file.path));
    }
    for (dependency, value) in dependencies(&manifest) {
        if !from_workspace(&value) {
            complaints.push(format!("{}: `{dependency}` does not say `workspace = true`", file.path));
        }
        let ours = ARROWS.iter().any(|(from, _)| *from == dependency);
        if ours && !allowed.contains(&dependency.as_str()) {
            complaints.push(format!("{}: `{name}` may not import `{dependency}`", file.path));
        }
    }
    complaints
}

fn from_workspace(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

/// All kinds of dependencies, those of single targets too.
fn dependencies(manifest: &Table) -> Vec<(String, Value)> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let tables = targets.into_iter().flat_map(|t| t.values().filter_map(Value::as_table)).chain([manifest]);
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    tables
        .flat_map(|table| kinds.iter().filter_map(|kind| table.get(*kind).and_then(Value::as_table)))
        .flat_map(|found| found.iter().map(|(name, value)| (name.clone(), value.clone())))
        .collect()
}

/// The place of every module in a `lib.rs`.
fn module_order(lib: &str) -> BTreeMap<String, usize> {
    let named = |line: &str| {
        let line = line.trim_start_matches("pub ").trim_start_matches("pub(crate) ");
        Some(line.strip_prefix("mod ")?.trim_end_matches(';').to_owned())
    };
    lib.lines().filter_map(named).enumerate().map(|(place, name)| (name, place)).collect()
}

fn order_complaints(file: &SourceFile, order: &BTreeMap<String, usize>) -> Vec<String> {
    let own = top_module(&file.path);
    let Some(place) = order.get(own) else {
        let known = own == "lib";
        return if known { Vec::new() } else { vec![format!("{}: not in lib.rs", file.path)] };
    };
    let above = |name: &String| order.get(name).is_some_and(|other| other > place);
    let low = imports(file).into_iter().filter(above);
    low.map(|name| format!("{}: imports `{name}`, which stands below `{own}`", file.path)).collect()
}

fn adapter_complaints(file: &SourceFile, modules: &BTreeMap<String, usize>) -> Vec<String> {
    let own = top_module(&file.path);
    if AGENT_JOINTS.contains(&own) {
        return Vec::new();
    }
    let foreign = |name: &String| {
        name != own && modules.contains_key(name) && !AGENT_FOUNDATIONS.contains(&name.as_str())
    };
    let found = imports(file).into_iter().filter(foreign);
    found.map(|name| format!("agent/src/{}: `{own}` imports `{name}`", file.path)).collect()
}

fn top_module(path: &str) -> &str {
    path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

/// The top modules of the same crate that a file names outside its tests, as `crate::x`, `crate::{x, y}` or
/// through as many `super::` as lead to the top.
fn imports(file: &SourceFile) -> BTreeSet<String> {
    if file.path.ends_with("/tests.rs") {
        return BTreeSet::new();
    }
    let code = file.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let code: String = code
        .lines()
        .filter(|l| !l.trim_start().starts_with("//"))
        .fold(String::new(), |joined, line| joined + line.trim() + " ");
    let to_top = "super::".repeat(file.path.matches('/').count() + 1);
    let mut found = BTreeSet::new();
    for prefix in ["crate::", &to_top] {
        for (at, _) in code.match_indices(prefix) {
            // `$crate::` and one `super::` more lead elsewhere.
            if !code[..at].ends_with(['$', ':']) {
                found.extend(first_names(&code[at + prefix.len()..]));
            }
        }
    }
    found.retain(|name| name.starts_with(|c: char| c.is_ascii_lowercase()) && name != "super");
    found
}

/// `a::b` gives `a`; `{a::{b, c}, d}` gives `a` and `d`.
fn first_names(path: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![word(path)];
    };
    let (mut depth, mut start, mut names) = (1, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && c == ',') {
            names.push(word(&group[start..at]));
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn system_complaints(file: &SourceFile) -> Vec<String> {
    const SYSTEMS: [&str; 5] = ["target_os", "target_family", "unix", "windows", "target_env"];
    if SYSTEM_FILES.contains(&file.path.as_str()) {
        return Vec::new();
    }
    let condition = |line: &str| {
        let line = line.trim();
        let attribute =
            line.strip_prefix("#[cfg(").or_else(|| line.strip_prefix("#![cfg(")).map(str::to_owned);
        let asked = line.split_once("cfg!(").filter(|(before, _)| !before.contains('"'));
        attribute.or_else(|| asked.map(|(_, what)| what.to_owned()))
    };
    let asks = |line: &&str| condition(line).is_some_and(|what| SYSTEMS.iter().any(|s| what.contains(s)));
    let found = file.text.lines().filter(asks);
    found.map(|line| format!("{}: depends on the system: `{}`", file.path, line.trim())).collect()
}

fn crypto_complaints(lock: &str) -> Vec<String> {
    let names: BTreeSet<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    let mut complaints: Vec<String> = FOREIGN_CRYPTO
        .iter()
        .filter(|name| names.contains(*name))
        .map(|name| format!("Cargo.lock: a second crypto provider: `{name}`"))
        .collect();
    if !names.contains("ring") {
        complaints.push("Cargo.lock: `ring` is gone".to_owned());
    }
    complaints
}

/// Every rule finds what it is there for, and only that.
mod control {
    use super::*;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile::new(path, text)
    }

    fn manifest(name: &str, dependency: &str) -> SourceFile {
        let package = ["version", "edition", "rust-version", "license", "publish"]
            .map(|key| format!("{key}.workspace = true\n"))
            .concat();
        let text = format!(
            "[package]\nname = \"{name}\"\n{package}[lints]\nworkspace = true\n\
             [target.'cfg(unix)'.dev-dependencies]\n{dependency}\n"
        );
        file("x/Cargo.toml", &text)
    }

    #[test]
    fn arrows() {
        let check = |name: &str, dependency: &str, complaints: usize| {
            let found = crate_complaints(&manifest(name, dependency));
            assert_eq!(found.len(), complaints, "{name} imports {dependency}: {found:?}");
        };
        check("zhenyin", "zhenyin-core.workspace = true", 0);
        check("zhenyin-core", "zhenyin-models.workspace = true", 1);
        check("zhenyin-models", "firmware-bridge = { workspace = true, features = [] }", 1);
        check("zhenyin", "reference-upstream.workspace = true", 1);
        check("reference-upstream", "zhenyin.workspace = true", 1);
        check("zhenyin", "serde = \"1\"", 1);
        check("zhenyin", "zhenyin-core = { path = \"core\" }", 1);
        check("zhenyin-news", "serde.workspace = true", 1);
    }

    #[test]
    fn order() {
        let order = module_order("//! x\npub mod ids;\nmod time;\npub mod card;\npub use ids::A;\n");
        let check = |path: &str, text: &str, complaints: usize| {
            let found = order_complaints(&file(path, text), &order);
            assert_eq!(found.len(), complaints, "{path}: {text}: {found:?}");
        };
        check("card.rs", "use crate::ids::A;\nuse crate::time::B;\n", 0);
        check("ids.rs", "use crate::card::C;\n", 1);
        check("ids.rs", "use super::card::C;\n", 1);
        check("ids/inner.rs", "use super::card::C;\nuse super::super::time::B;\n", 1);
        check("ids.rs", "use crate::{\n    time::{A, B},\n    card,\n};\n", 2);
        check("time.rs", "fn f() -> crate::card::C {}\n", 1);
        check(
            "ids.rs",
            "/// See [`crate::card::C`].\n#[cfg(test)]\nmod tests {\n    use crate::card::C;\n}\n",
            0,
        );
        check("stray.rs", "", 1);
    }

    #[test]
    fn adapters() {
        let modules = module_order("mod latest;\nmod clock;\nmod camera;\nmod journal;\nmod event_loop;\n");
        let check = |path: &str, text: &str, complaints: usize| {
            let found = adapter_complaints(&file(path, text), &modules);
            assert_eq!(found.len(), complaints, "{path}: {text}: {found:?}");
        };
        check("camera/hardware.rs", "use crate::latest::latest;\nuse crate::camera::CameraError;\n", 0);
        check("camera/hardware.rs", "use super::super::journal::Journal;\n", 1);
        check("camera.rs", "use crate::{event_loop::Wake, clock::Clock};\n", 1);
        check("camera.rs", "use super::open;\n", 0);
        check("event_loop.rs", "use crate::camera::CameraThread;\nuse crate::journal::Journal;\n", 0);
    }

    #[test]
    fn systems_and_crypto() {
        assert_eq!(system_complaints(&file("models/src/a.rs", "#[cfg(unix)]\n")).len(), 1);
        assert_eq!(system_complaints(&file("models/src/a.rs", "#[cfg(target_os = \"linux\")]\n")).len(), 1);
        assert_eq!(system_complaints(&file("models/src/a.rs", "if cfg!(windows) {\n")).len(), 1);
        assert!(system_complaints(&file("agent/src/clock.rs", "#[cfg(unix)]\n")).is_empty());
        assert!(system_complaints(&file("models/src/a.rs", "#[cfg(test)]\n")).is_empty());
        assert!(crypto_complaints("name = \"ring\"\n").is_empty());
        assert_eq!(crypto_complaints("name = \"ring\"\nname = \"aws-lc-rs\"\n").len(), 1);
        assert_eq!(crypto_complaints("name = \"openssl-probe\"\n").len(), 1);
    }
}
