//! The receipt of evidence: plain text to print, for the inspectors and the institution to sign.
//! Never part of what its digest stands for.

use std::fmt::Write as _;

use super::report::Page;

const RULE: &str = "────────────────────────────────────────────────────────────────────────\n";

/// With `digest`, the SHA-256 of the list of files.
pub(super) fn text(page: &Page<'_>, digest: &str) -> String {
    let mut text = format!("取证回执 · Receipt of evidence\n{RULE}");
    for (name, value) in page.facts() {
        let _ = writeln!(text, "{name}\n    {value}");
    }
    let (zh, en) = page.health();
    let _ = write!(text, "内容 · contents\n    {zh}\n    {en}\n记录 · record\n    {}\n", page.record());
    text += "SHA256SUMS 文件的 SHA-256 · SHA-256 of the file SHA256SUMS\n   ";
    // In groups, so that two people can read it to each other.
    digest.as_bytes().chunks(8).for_each(|group| {
        let _ = write!(text, " {}", String::from_utf8_lossy(group));
    });
    let _ = write!(
        text,
        "\n验证 · verify\n    zhenyin-verify FOLDER · sha256sum SHA256SUMS\n{RULE}签字 · signatures\n\n"
    );
    for one in page.inspectors {
        let _ = write!(
            text,
            "检查人员 · inspector\n    {}    {}\n\n    ______________________\n\n",
            one.name, one.warrant
        );
    }
    text + "机构负责人 · manager                          日期 · date\n\n    ______________________                    ______________\n"
}
