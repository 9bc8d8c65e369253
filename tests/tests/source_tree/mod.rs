//! The files of this repository as text, for the tests that judge the source itself.
//! Never reads what git does not track: build results and half-written files are nobody's business here.

use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    /// From the workspace root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl SourceFile {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }
}

pub(crate) fn workspace_root() -> PathBuf {
    zhenyin_tests::demo::package().join("..").canonicalize().expect("the workspace is there")
}

/// Every tracked text file whose name ends in `suffix`. Generated code is left out.
pub(crate) fn tracked(suffix: &str) -> Vec<SourceFile> {
    let root = workspace_root();
    let mut paths = git_files(&root).unwrap_or_else(|| walk(&root));
    paths.retain(|path| path.ends_with(suffix) && !path.starts_with("packaging/v4l2-bindings/src/"));
    paths.sort();
    // A file that git tracks but that is gone from disk is about to be removed.
    let read =
        |path: String| std::fs::read_to_string(root.join(&path)).ok().map(|text| SourceFile { path, text });
    let files: Vec<SourceFile> = paths.into_iter().filter_map(read).collect();
    assert!(!files.is_empty(), "no tracked `{suffix}` file was found under {}", root.display());
    files
}

fn git_files(root: &Path) -> Option<Vec<String>> {
    let listed = Command::new("git").arg("-C").arg(root).args(["ls-files", "-z"]).output().ok()?;
    let names = String::from_utf8(listed.stdout).ok()?;
    let paths: Vec<String> = names.split_terminator('\0').map(str::to_owned).collect();
    (listed.status.success() && !paths.is_empty()).then_some(paths)
}

/// For a source archive without git.
fn walk(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder can be read").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if name == "target" || name.to_string_lossy().starts_with(".git") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(below) = path.strip_prefix(root) {
                found.push(below.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found
}
