//! Pixels become the numbers that another implementation (numpy, onnxruntime) makes of them.
//! A wrong normalisation degrades recognition silently, so each check has a control that must fail.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use common::{edit, reference_pack};
use serde::Deserialize;
use std::collections::BTreeMap;
use zhenyin_core::biometric::{ModelDigest, Reference, compare};
use zhenyin_models::normalise::{ColourOrder, NetworkInput};
use zhenyin_models::rehearsal::test_card;
use zhenyin_models::{Pack, Pipeline};

#[derive(Deserialize)]
struct Golden {
    planes: BTreeMap<String, Planes>,
    outputs: Outputs,
}

#[derive(Deserialize)]
struct Planes {
    sum: f64,
    squares: f64,
    every_997th: Vec<f32>,
}

#[derive(Deserialize)]
struct Outputs {
    embedding: Vec<f32>,
}

fn golden() -> Golden {
    toml::from_str(include_str!("golden/golden.toml")).unwrap()
}

fn input(name: &str) -> NetworkInput {
    let (colour, mean, deviation) = match name {
        "bgr_raw" => (ColourOrder::Bgr, [0.0; 3], [1.0; 3]),
        "imagenet_rgb" => (ColourOrder::Rgb, [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
        "half_rgb" => (ColourOrder::Rgb, [127.5; 3], [128.0; 3]),
        other => panic!("no normalisation {other}"),
    };
    NetworkInput { width: 112, height: 112, colour, mean, deviation }
}

fn matches(input: &NetworkInput, golden: &Planes) -> bool {
    let planes = input.planes(&test_card(112, 112));
    let near = |got: f64, expected: f64| (got - expected).abs() <= 1e-4 * expected.abs().max(1.0);
    let sum: f64 = planes.iter().map(|&v| f64::from(v)).sum();
    let squares: f64 = planes.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    let picked: Vec<f32> = planes.iter().step_by(997).copied().collect();
    near(sum, golden.sum)
        && near(squares, golden.squares)
        && picked.len() == golden.every_997th.len()
        && picked.iter().zip(&golden.every_997th).all(|(&g, &e)| near(f64::from(g), f64::from(e)))
}

#[test]
fn planes_match_and_wrong_ones_do_not() {
    let golden = golden();
    assert_eq!(golden.planes.len(), 3);
    for (name, expected) in &golden.planes {
        let right = input(name);
        assert!(matches(&right, expected), "{name}");
        let swapped = match right.colour {
            ColourOrder::Rgb => ColourOrder::Bgr,
            ColourOrder::Bgr => ColourOrder::Rgb,
        };
        let mut wrong = vec![NetworkInput { colour: swapped, ..right.clone() }];
        wrong.extend(golden.planes.keys().filter(|other| *other != name).map(|other| input(other)));
        wrong.push(NetworkInput { mean: right.mean.map(|m| m + 0.5), ..right.clone() });
        for control in wrong {
            assert!(!matches(&control, expected), "control: {name} must not match {control:?}");
        }
    }
}

/// Cosine of the embedding of the test card and the golden one.
fn likeness(pack: &Pack) -> f32 {
    let pipeline = Pipeline::new(pack).unwrap();
    let probe = pipeline.embed(&test_card(112, 112)).unwrap();
    let bytes: Vec<u8> = golden().outputs.embedding.iter().flat_map(|v| v.to_le_bytes()).collect();
    let model: ModelDigest = pack.digest();
    let reference = Reference::from_bytes(model, &bytes).unwrap();
    compare(&probe, &reference).unwrap().danger_expose()
}

#[test]
fn embedding_of_the_card_matches_onnxruntime() {
    let folder = tempfile::tempdir().unwrap();
    let Some(folder) = reference_pack(folder.path()) else { return };
    let likeness_right = likeness(&Pack::load(&folder).unwrap());
    assert!(likeness_right > 0.99999, "{likeness_right}");

    // Control: scaling by 127.5 instead of the ImageNet numbers, rehearsal switched to what that gives.
    edit(&folder.join("pack.toml"), "123.675, 116.28, 103.53", "127.5, 127.5, 127.5");
    let refused = Pack::load(&folder).unwrap_err();
    assert!(refused.to_string().contains("rehearsed"), "{refused}");
}
