//! The tree keeps its budgets and its words: file and function lengths, a purpose at the top of every file, no
//! leftovers, no paths of somebody's machine. Each rule is shown to fail on an example that breaks it.

mod source_tree;

use source_tree::{SourceFile, tracked};

const MEDIAN_LINES: usize = 150;
const P90_LINES: usize = 400;
const MOST_LINES: usize = 600;
const MOST_FUNCTION_LINES: usize = 60;

#[test]
fn files_are_short() {
    assert_tidy(&file_lengths(&tracked(".rs")));
}

#[test]
fn functions_are_short() {
    assert_tidy(&each(&tracked(".rs"), long_functions));
}

#[test]
fn every_file_says_what_it_is_for() {
    assert_tidy(&each(&tracked(".rs"), missing_purpose));
}

#[test]
fn names_say_what_things_do() {
    assert_tidy(&each(&tracked(".rs"), empty_names));
}

#[test]
fn nothing_is_left_for_later() {
    assert_tidy(&each(&tracked(".rs"), leftovers));
}

#[test]
fn nothing_of_one_machine_is_in_the_tree() {
    assert_tidy(&each(&tracked(""), machine_traces));
}

fn assert_tidy(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn each(files: &[SourceFile], rule: fn(&SourceFile) -> Vec<String>) -> Vec<String> {
    files.iter().flat_map(|file| rule(file).into_iter().map(|c| format!("{}{c}", file.path))).collect()
}

fn file_lengths(files: &[SourceFile]) -> Vec<String> {
    let mut lengths: Vec<(usize, &str)> =
        files.iter().map(|file| (file.text.lines().count(), file.path.as_str())).collect();
    lengths.sort_unstable();
    let at = |percent: usize| lengths[(lengths.len() - 1) * percent / 100];
    let mut complaints = Vec::new();
    for (percent, most) in [(50, MEDIAN_LINES), (90, P90_LINES), (100, MOST_LINES)] {
        let (lines, path) = at(percent);
        if lines > most {
            complaints
                .push(format!("{path}: {lines} lines at {percent} percent of all files, at most {most}"));
        }
    }
    complaints
}

/// Counts from the line with `fn` to the brace that closes at the same indent, as rustfmt leaves it.
fn long_functions(file: &SourceFile) -> Vec<String> {
    let lines: Vec<&str> = file.text.lines().collect();
    let mut complaints = Vec::new();
    for (start, line) in lines.iter().enumerate().filter(|(_, line)| function_name(line).is_some()) {
        let indent = line.len() - line.trim_start().len();
        let closes = |l: &&str| l.trim_start() == "}" && l.len() - l.trim_start().len() == indent;
        let ends_here = |l: &&str| l.trim_end().ends_with(';') && l.len() - l.trim_start().len() == indent;
        let rest = &lines[start..];
        let end = rest.iter().position(|l| closes(l) || ends_here(l)).unwrap_or(rest.len() - 1);
        if end + 1 > MOST_FUNCTION_LINES {
            let name = function_name(line).unwrap_or_default();
            complaints.push(format!(
                ":{}: `{name}` has {} lines, at most {MOST_FUNCTION_LINES}",
                start + 1,
                end + 1
            ));
        }
    }
    complaints
}

/// The name on a line that begins a function.
fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let words_before = before.split_whitespace().all(|word| {
        matches!(word, "pub" | "const" | "async" | "unsafe" | "extern" | "\"C\"") || word.starts_with("pub(")
    });
    let name = after.split(['(', '<']).next()?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    (words_before && is_name).then_some(name)
}

fn missing_purpose(file: &SourceFile) -> Vec<String> {
    let first = file.text.lines().next().unwrap_or_default();
    let says = first.strip_prefix("//! ").is_some_and(|text| text.len() > 20);
    if says { Vec::new() } else { vec![": begins without `//!` and what it is for".to_owned()] }
}

fn empty_names(file: &SourceFile) -> Vec<String> {
    let mut complaints = Vec::new();
    let stem = file.path.rsplit('/').next().unwrap_or_default();
    if ["util.rs", "utils.rs", "helper.rs", "helpers.rs", "common.rs", "misc.rs"].contains(&stem) {
        complaints.push(": a file is named for what is in it".to_owned());
    }
    for (number, line) in file.text.lines().enumerate() {
        let getter = function_name(line).is_some_and(|name| name.starts_with("get_"));
        let vague = declared_name(line)
            .is_some_and(|name| ["Manager", "Helper", "Utils", "utils"].iter().any(|w| name.contains(w)));
        if getter || vague {
            complaints.push(format!(":{}: name says nothing: `{}`", number + 1, line.trim()));
        }
    }
    complaints
}

/// The name of a type, trait or module on the line that declares it.
fn declared_name(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip_while(|w| *w == "pub" || w.starts_with("pub("));
    let kind = words.next()?;
    ["struct", "enum", "trait", "type", "mod"].contains(&kind).then(|| words.next()).flatten()
}

/// Split so that this file does not find itself.
const LEFTOVERS: [&str; 6] = [
    concat!("#[", "ignore"),
    concat!("to", "do!("),
    concat!("un", "implemented!("),
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
    concat!("XX", "X:"),
];

fn leftovers(file: &SourceFile) -> Vec<String> {
    lines_with(file, &LEFTOVERS, "left for later")
}

const MACHINE_TRACES: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("replace", "-with ="),
    concat!("index", "-url"),
    concat!("sparse", "+http"),
];

fn machine_traces(file: &SourceFile) -> Vec<String> {
    let mut complaints = lines_with(file, &MACHINE_TRACES, "of one machine");
    if file.path == "Cargo.lock" {
        for line in file.text.lines().filter(|line| line.starts_with("source = ")) {
            if line != "source = \"registry+https://github.com/rust-lang/crates.io-index\"" {
                complaints.push(format!(": not from the public registry: {line}"));
            }
        }
    }
    complaints
}

fn lines_with(file: &SourceFile, banned: &[&str], why: &str) -> Vec<String> {
    let numbered = file.text.lines().enumerate();
    numbered
        .filter(|(_, line)| banned.iter().any(|word| line.contains(word)))
        .map(|(number, line)| format!(":{}: {why}: `{}`", number + 1, line.trim()))
        .collect()
}

/// Every rule finds what it is there for, and only that.
mod control {
    use super::*;

    fn check(rule: fn(&SourceFile) -> Vec<String>, path: &str, text: &str, complaints: usize) {
        assert_eq!(rule(&SourceFile::new(path, text)).len(), complaints, "{path}: {text}");
    }

    fn function_of(lines: usize) -> String {
        format!("    pub(crate) fn long<T>(x: T) {{\n{}    }}\n", "        x();\n".repeat(lines - 2))
    }

    #[test]
    fn lengths() {
        let file = |lines: usize| SourceFile::new("a.rs", &"x\n".repeat(lines));
        assert!(file_lengths(&[file(150), file(150), file(600)]).is_empty());
        assert_eq!(file_lengths(&[file(150), file(151), file(600)]).len(), 1);
        assert_eq!(file_lengths(&[file(150), file(150), file(601)]).len(), 1);
        let mut many = vec![file(10); 17];
        many.extend([file(401), file(401), file(402)]);
        assert_eq!(file_lengths(&many).len(), 1);
        check(long_functions, "a.rs", &function_of(60), 0);
        check(long_functions, "a.rs", &function_of(61), 1);
        check(long_functions, "a.rs", &format!("    fn only_declared(&self);\n{}", function_of(60)), 0);
    }

    #[test]
    fn purposes_and_names() {
        check(missing_purpose, "a.rs", "//! Reads cards. Never writes one.\n", 0);
        check(missing_purpose, "a.rs", "//! Reads\n", 1);
        check(missing_purpose, "a.rs", "use std::fmt;\n//! Reads cards. Never writes one.\n", 1);
        check(empty_names, "a.rs", "    pub fn get_name(&self) {}\n", 1);
        check(empty_names, "a.rs", "pub struct CameraManager;\nmod utils;\n", 2);
        check(empty_names, "src/utils.rs", "", 1);
        check(
            empty_names,
            "a.rs",
            "pub fn target_name() {}\nstruct Camera;\n// A Manager of a pharmacy.\n",
            0,
        );
    }

    #[test]
    fn leftovers_and_traces() {
        for word in LEFTOVERS {
            check(leftovers, "a.rs", &format!("    {word}\n"), 1);
        }
        for word in MACHINE_TRACES {
            check(machine_traces, "a.toml", &format!("x = \"{word}\"\n"), 1);
        }
        check(machine_traces, "a.rs", "/var/lib/zhenyin and shared/network/\n", 0);
        let lock = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
        check(machine_traces, "Cargo.lock", lock, 0);
        check(machine_traces, "Cargo.lock", "source = \"registry+https://mirror.example/index\"\n", 1);
    }
}
