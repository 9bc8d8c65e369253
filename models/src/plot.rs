//! ROC and DET curves as one SVG picture, written by hand so that a report needs no other program.
//! Arithmetic and text only: never opens a file, never sees a picture.

use std::fmt::Write as _;

use crate::eval::Report;
use crate::roc::CurvePoint;

/// Left: ROC (true match rate over false match rate). Right: DET (false non-match rate over false match rate, both
/// logarithmic). One colour a set.
pub fn svg(report: &Report) -> String {
    let curves: Vec<(&str, &[CurvePoint])> =
        report.sets.iter().map(|set| (set.name.as_str(), set.curve.as_slice())).collect();
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        2.0 * PANEL.0 + 10.0,
        PANEL.1 + 10.0
    );
    panel(&mut text, 0.0, "ROC", "true match rate", ROC_TICKS, &curves, |point| {
        1.0 - point.false_non_match_rate
    });
    panel(&mut text, PANEL.0, "DET", "false non-match rate", DET_TICKS, &curves, |point| {
        log_share(point.false_non_match_rate, 3.0)
    });
    text.push_str("</svg>\n");
    text
}

/// A tick's place from 0 (below) to 1 (above), and its name.
type Tick = (f64, &'static str);

fn panel(
    text: &mut String,
    left: f64,
    title: &str,
    upwards: &str,
    ticks: &[Tick],
    curves: &[(&str, &[CurvePoint])],
    height: impl Fn(&CurvePoint) -> f64,
) {
    let x = |share: f64| left + MARGIN + share * (PANEL.0 - MARGIN - 20.0);
    let y = |share: f64| PANEL.1 - MARGIN + 15.0 - share * (PANEL.1 - MARGIN - 15.0);
    for (place, name) in FMR_TICKS {
        let at = x(*place);
        line(text, (at, y(0.0)), (at, y(1.0)), "#dddddd");
        label(text, (at, y(0.0) + 14.0), "middle", name);
    }
    for (place, name) in ticks {
        let at = y(*place);
        line(text, (x(0.0), at), (x(1.0), at), "#dddddd");
        label(text, (x(0.0) - 4.0, at + 4.0), "end", name);
    }
    label(text, (x(0.5), y(0.0) + 30.0), "middle", "false match rate");
    label(text, (x(0.0), y(1.0) - 4.0), "start", &format!("{title}: {upwards}"));
    for (place, (name, curve)) in curves.iter().enumerate() {
        let colour = COLOURS[place % COLOURS.len()];
        let points = curve.iter().fold(String::new(), |mut points, point| {
            let (px, py) = (x(log_share(point.false_match_rate, 5.0)), y(height(point)));
            let _ = write!(points, "{px:.1},{py:.1} ");
            points
        });
        let _ = writeln!(
            text,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" points=\"{}\"/>",
            points.trim_end()
        );
        let row = y(0.0) - 8.0 - 14.0 * place as f64;
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{row:.1}\" fill=\"{colour}\" text-anchor=\"end\">{}</text>",
            x(1.0) - 4.0,
            escaped(name)
        );
    }
}

fn line(text: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let _ = writeln!(
        text,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn label(text: &mut String, at: (f64, f64), anchor: &str, words: &str) {
    let _ = writeln!(
        text,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
        at.0,
        at.1,
        escaped(words)
    );
}

/// Place of a rate on a logarithmic axis that begins at ten to the power of minus `decades`.
fn log_share(rate: f64, decades: f64) -> f64 {
    ((rate.max(1e-12).log10() + decades) / decades).clamp(0.0, 1.0)
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const PANEL: (f64, f64) = (440.0, 380.0);
const MARGIN: f64 = 60.0;
const COLOURS: [&str; 6] = ["#1b6ca8", "#c0392b", "#27864b", "#8e5aa8", "#b9770e", "#555555"];
const FMR_TICKS: &[Tick] =
    &[(0.0, "1e-5"), (0.2, "1e-4"), (0.4, "1e-3"), (0.6, "1e-2"), (0.8, "0.1"), (1.0, "1")];
const ROC_TICKS: &[Tick] = &[
    (0.0, "0 %"),
    (0.2, "20 %"),
    (0.4, "40 %"),
    (0.6, "60 %"),
    (0.8, "80 %"),
    (0.9, "90 %"),
    (1.0, "100 %"),
];
const DET_TICKS: &[Tick] = &[(0.0, "0.1 %"), (1.0 / 3.0, "1 %"), (2.0 / 3.0, "10 %"), (1.0, "100 %")];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::eval::SetReport;
    use crate::roc::Scores;

    fn set(name: &str) -> SetReport {
        let impostor = (0..1000).map(|i| i as f32 / 2000.0).collect();
        let genuine = (0..100).map(|i| 0.4 + i as f32 / 200.0).collect();
        SetReport {
            name: name.to_owned(),
            identities: 2,
            images: 4,
            failures: BTreeMap::new(),
            genuine: 100,
            impostor: 1000,
            points: [None, None],
            equal_error_rate: None,
            at_pack_threshold: None,
            curve: Scores { genuine, impostor }.curve(),
            fused: Vec::new(),
        }
    }

    #[test]
    fn every_set_has_a_curve_in_both_panels_and_stays_inside() {
        let text = svg(&Report { sets: vec![set("a<b"), set("c")] });
        assert_eq!(text.matches("<polyline").count(), 4);
        assert!(text.contains("a&lt;b") && !text.contains("a<b"), "{text}");
        for pair in text.split("points=\"").skip(1).flat_map(|rest| rest.split('"').next()) {
            for point in pair.split(' ') {
                let (x, y) = point.split_once(',').unwrap();
                let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
                assert!((0.0..=890.0).contains(&x) && (0.0..=380.0).contains(&y), "{point}");
            }
        }
        assert!(svg(&Report { sets: Vec::new() }).ends_with("</svg>\n"));
    }
}
