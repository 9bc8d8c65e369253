//! What the tests of this crate share: where packs and pictures are. Never copies anything out of the shared
//! folder except into a temporary one.

#![allow(dead_code, reason = "every test file uses its own part; an expectation would fail in some")]

use std::fs;
use std::path::{Path, PathBuf};

use zhenyin_models::import::{ImportOptions, import};

/// Folder of this package, asked at run time: checkouts may share one folder of build results, and a program
/// built in another one would look there.
fn package() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// The pack of arithmetic that is committed beside the tests.
pub(crate) fn tiny_pack() -> PathBuf {
    package().join("tests/tiny")
}

/// The pack that the project brings.
pub(crate) fn default_pack() -> PathBuf {
    package().join("packs/default")
}

/// A folder or file of the shared development material, or a loud skip.
#[expect(clippy::print_stdout, reason = "a skip must be seen")]
pub(crate) fn shared(what: &str) -> Option<PathBuf> {
    let beside = || package().join("../../shared");
    let path = std::env::var_os("ZHENYIN_SHARED").map_or_else(beside, PathBuf::from).join(what);
    if !path.exists() {
        println!("skipped: {} not here", path.display());
        return None;
    }
    Some(path)
}

/// The reference pack, imported into `folder`; `None` when the public networks are not here.
pub(crate) fn reference_pack(folder: &Path) -> Option<PathBuf> {
    let out = folder.join("reference");
    import(&shared("models")?, &out, ImportOptions::default()).expect("the reference pack imports");
    Some(out)
}

/// A copy of a pack that a test may damage.
pub(crate) fn copy_of(pack: &Path, folder: &Path) -> PathBuf {
    let copy = folder.join("copy");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(pack).unwrap() {
        let from = entry.unwrap().path();
        fs::write(copy.join(from.file_name().unwrap()), fs::read(&from).unwrap()).unwrap();
    }
    copy
}

/// Replaces text in one file of a pack; fails the test when the text is not there.
pub(crate) fn edit(file: &Path, old: &str, new: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(old), "`{old}` not in {}", file.display());
    fs::write(file, text.replacen(old, new, 1)).unwrap();
}
