//! A pack that is not exactly as described refuses to load, and the error names the file.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::error::Error;
use std::fs;
use std::path::Path;

use common::{copy_of, edit, reference_pack, tiny_pack};
use zhenyin_models::Pack;

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

/// Damages a copy of the tiny pack and expects an error that contains every word of `expected`.
fn check(damage: impl Fn(&Path), expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let pack = copy_of(&tiny_pack(), folder.path());
    Pack::load(&pack).expect("control: the undamaged copy loads");
    damage(&pack);
    let text = chain(&Pack::load(&pack).expect_err("a damaged pack must not load"));
    for word in expected {
        assert!(text.contains(word), "`{word}` not in: {text}");
    }
}

fn rewrite(old: &'static str, new: &'static str) -> impl Fn(&Path) {
    move |pack| edit(&pack.join("pack.toml"), old, new)
}

#[test]
fn a_flipped_bit_is_a_wrong_hash() {
    check(
        |pack| {
            let file = pack.join("embedder.onnx");
            let mut bytes = fs::read(&file).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(file, bytes).unwrap();
        },
        &["`embedder.onnx` has SHA-256", "says"],
    );
}

#[test]
fn a_shorter_or_longer_file_is_named_with_both_sizes() {
    check(
        |pack| {
            let bytes = fs::read(pack.join("pad.onnx")).unwrap();
            fs::write(pack.join("pad.onnx"), &bytes[..100]).unwrap();
        },
        &["`pad.onnx` has 100 bytes"],
    );
    check(
        |pack| {
            let mut bytes = fs::read(pack.join("pad.onnx")).unwrap();
            bytes.extend([0; 5000]);
            fs::write(pack.join("pad.onnx"), bytes).unwrap();
        },
        &["`pad.onnx` has", "bytes, `pack.toml` says"],
    );
    check(|pack| fs::remove_file(pack.join("detector.onnx")).unwrap(), &["cannot read", "detector.onnx"]);
    check(|pack| fs::remove_file(pack.join("pack.toml")).unwrap(), &["cannot read", "pack.toml"]);
}

#[test]
fn unknown_keys_and_versions_are_refused() {
    check(rewrite("version = 1", "version = 2"), &["`pack.toml` has version 2"]);
    check(rewrite("[capture]", "colour = \"red\"\n[capture]"), &["pack.toml", "unknown field `colour`"]);
    check(
        rewrite("crop_scale = 1.5", "crop_scale = 1.5\nspeed = 3"),
        &["pack.toml", "unknown field `speed`"],
    );
    check(rewrite("decode = \"cosine\"", "decode = \"euclid\""), &["pack.toml", "unknown variant `euclid`"]);
    check(rewrite("[capture]", "[capture"), &["pack.toml"]);
}

#[test]
fn settings_out_of_range_are_named_with_their_value() {
    check(rewrite("comparison = 0.9", "comparison = 1.0"), &["thresholds.comparison", ": 1"]);
    check(rewrite("pad = 0.5", "pad = 0.0"), &["thresholds.pad", ": 0"]);
    check(rewrite("detection = 0.6", "detection = nan"), &["thresholds.detection", "NaN"]);
    check(rewrite("probe_frames = 1", "probe_frames = 0"), &["capture.probe_frames", ": 0"]);
    check(rewrite("bona_fide = 1", "bona_fide = 3"), &["pad.bona_fide", ": 3"]);
    check(rewrite("crop_scale = 1.5", "crop_scale = inf"), &["pad.crop_scale", "inf"]);
    check(rewrite("name = \"pad.onnx\"", "name = \"../pad.onnx\""), &["file.name", "`../pad.onnx`"]);
    check(rewrite("deviation = [128.0", "deviation = [0.0"), &["input"]);
}

#[test]
fn shapes_that_are_not_as_described_are_named() {
    check(rewrite("dimensions = 48", "dimensions = 128"), &["`embedder.onnx`", "output 0", "[1, 128]"]);
    check(rewrite("classes = 3", "classes = 2"), &["`pad.onnx`", "output 0", "[1, 2]"]);
    check(rewrite("width = 112", "width = 96"), &["`embedder.onnx`", "input has shape"]);
    let swapped = |pack: &Path| {
        let text = fs::read_to_string(pack.join("pack.toml")).unwrap();
        let (pad, embedder) = ("name = \"pad.onnx\"", "name = \"embedder.onnx\"");
        let text = text.replace(pad, "name = \"X\"").replace(embedder, pad).replace("name = \"X\"", embedder);
        fs::write(pack.join("pack.toml"), text).unwrap();
    };
    check(swapped, &["`pad.onnx` has", "bytes"]);
}

#[test]
fn rubbish_with_the_right_hash_is_not_a_network() {
    check(
        |pack| {
            let text = fs::read_to_string(pack.join("pack.toml")).unwrap();
            let network = fs::read(pack.join("pad.onnx")).unwrap();
            fs::write(pack.join("pad.onnx"), vec![7; network.len()]).unwrap();
            let digest = ring::digest::digest(&ring::digest::SHA256, &vec![7; network.len()]);
            let hex: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
            let start = text.rfind("sha256 = \"").unwrap() + 10;
            fs::write(pack.join("pack.toml"), format!("{}{hex}{}", &text[..start], &text[start + 64..]))
                .unwrap();
        },
        &["`pad.onnx` does not load", "not a network that tract can read"],
    );
}

#[test]
fn a_wrong_normalisation_does_not_pass_the_rehearsal() {
    check(
        rewrite("deviation = [128.0, 128.0, 128.0]", "deviation = [127.5, 127.5, 127.5]"),
        &["`embedder.onnx` does not give the rehearsed numbers"],
    );
    check(rewrite("colour = \"rgb\"", "colour = \"bgr\""), &["`embedder.onnx`", "rehearsed"]);
    check(rewrite("colour = \"bgr\"", "colour = \"rgb\""), &["`detector.onnx`", "rehearsed"]);
    check(
        rewrite("mean = [127.5, 127.5, 127.5]", "mean = [0.0, 0.0, 0.0]"),
        &["`embedder.onnx`", "rehearsed"],
    );
}

#[test]
fn the_reference_pack_loads_and_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let Some(folder) = reference_pack(folder.path()) else { return };
    let pack = Pack::load(&folder).unwrap();
    assert_eq!((pack.name(), pack.digest().short()), ("reference", "sha256:b7120c09".to_owned()));
    let shown = pack.to_string();
    for word in ["MS-Celeb-1M", "mobilefacenet_128.onnx", "Apache-2.0", "thresholds"] {
        assert!(shown.contains(word), "{shown}");
    }
    for (old, new) in [
        ("colour = \"rgb\"", "colour = \"bgr\""),
        ("123.675", "127.5"),
        ("colour = \"bgr\"", "colour = \"rgb\""),
    ] {
        edit(&folder.join("pack.toml"), old, new);
        let text = Pack::load(&folder).unwrap_err().to_string();
        assert!(text.contains("does not give the rehearsed numbers"), "{old} -> {new}: {text}");
        edit(&folder.join("pack.toml"), new, old);
    }
}
