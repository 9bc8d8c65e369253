//! The timeline of a chain as a picture: how many events, when there were none and why, where the clock was set.
//! Never a place without its time: the axis is even, whether there were events or not.

use std::fmt::Write as _;

use zhenyin_core::time::WallTime;

use super::totals::{BreakCause, Totals, beijing, day, midnight};

const WIDTH: f64 = 960.0;
/// Bars stand on this line; breaks lie below it.
const GROUND: f64 = 120.0;
const BAND: f64 = 14.0;
const HEIGHT: f64 = 176.0;
/// More bars than this cannot be told apart.
const BARS: i64 = 320;
/// Below this a break would not be seen.
const VISIBLE: f64 = 2.0;

/// An SVG for the report; nothing where there are no events.
pub(super) fn svg(totals: &Totals) -> String {
    let Some((first, last)) = totals.all.ends else { return String::new() };
    let axis = Axis::new(day(first), day(last));
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"时间线 · timeline, {} – {}\">\
         <text x=\"0\" y=\"11\">{}</text><line x1=\"0\" y1=\"{GROUND}\" x2=\"{WIDTH}\" y2=\"{GROUND}\"/>",
        beijing(first),
        beijing(last),
        axis.scale(totals)
    );
    axis.bars(&mut svg, totals);
    for one in &totals.breaks {
        let (class, word) = match one.cause {
            BreakCause::Cut => ("cut", "中断 · cut off"),
            BreakCause::Stopped => ("off", "停机 · stopped"),
            BreakCause::Silent => ("silent", "无事件 · silent"),
        };
        let (from, to) = (axis.at(one.from), axis.at(one.to));
        let width = (to - from).max(VISIBLE);
        let _ = write!(
            svg,
            "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{BAND}\"><title>{word}: {} – {}</title></rect>",
            GROUND + 4.0,
            beijing(one.from),
            beijing(one.to)
        );
    }
    for found in totals.steps.iter().filter_map(|step| step.found) {
        let x = axis.at(found);
        let _ = write!(
            svg,
            "<path class=\"step\" d=\"M{x:.1} {:.1}l-5 9h10z\"><title>时钟调整 · clock set: {}</title></path>",
            GROUND + BAND + 6.0,
            beijing(found)
        );
    }
    axis.ticks(&mut svg);
    svg + "</svg>"
}

/// Maps times to places, one day or several to a bar.
struct Axis {
    first: i64,
    days: i64,
    bar: i64,
}

impl Axis {
    fn new(first: i64, last: i64) -> Self {
        let days = last - first + 1;
        let bar = (days + BARS - 1) / BARS;
        // Whole bars, so that the last one is as wide as the others.
        Self { first, days: (days + bar - 1) / bar * bar, bar }
    }

    fn at(&self, time: WallTime) -> f64 {
        let passed = time.0.saturating_sub(midnight(self.first).0) as f64;
        (passed / 86_400_000.0 / self.days as f64 * WIDTH).clamp(0.0, WIDTH)
    }

    /// Events of each bar.
    fn binned(&self, days: &std::collections::BTreeMap<i64, u64>) -> Vec<u64> {
        let mut bars = vec![0; (self.days / self.bar) as usize];
        for (day, events) in days {
            bars[((day - self.first) / self.bar) as usize] += events;
        }
        bars
    }

    fn scale(&self, totals: &Totals) -> String {
        let most = self.binned(&totals.all.days).into_iter().max().unwrap_or(0);
        match self.bar {
            1 => format!("每日事件，最多 {most} · events a day, at most {most}"),
            days => format!("每 {days} 日事件，最多 {most} · events in {days} days, at most {most}"),
        }
    }

    fn bars(&self, svg: &mut String, totals: &Totals) {
        let (all, shown) = (self.binned(&totals.all.days), self.binned(&totals.shown.days));
        let most = all.iter().max().copied().unwrap_or(1).max(1) as f64;
        let width = WIDTH / all.len() as f64;
        for (number, (all, shown)) in all.iter().zip(&shown).enumerate().filter(|(_, (all, _))| **all > 0) {
            let (x, wide) = (number as f64 * width, (width * 0.88).min(48.0));
            let day = beijing(midnight(self.first + number as i64 * self.bar));
            let _ = write!(svg, "<g><title>{}: {all}, 已导出 · shown {shown}</title>", &day[..10]);
            for (class, count) in [("all", all), ("shown", shown)] {
                let height = 100.0 * *count as f64 / most;
                let height = if *count > 0 { height.max(1.0) } else { 0.0 };
                let y = GROUND - height;
                let _ = write!(
                    svg,
                    "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{height:.1}\"/>"
                );
            }
            svg.push_str("</g>");
        }
    }

    /// A handful of dates, evenly, at the left edge of their day.
    fn ticks(&self, svg: &mut String) {
        let every = (self.days + 5) / 6;
        for day in (0..self.days).step_by(every.max(1) as usize) {
            let begin = midnight(self.first + day);
            let x = self.at(begin);
            let _ = write!(
                svg,
                "<line class=\"tick\" x1=\"{x:.1}\" y1=\"{GROUND}\" x2=\"{x:.1}\" y2=\"{:.1}\"/><text x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                GROUND + 40.0,
                GROUND + 52.0,
                &beijing(begin)[..10]
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> WallTime {
        WallTime::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_time_has_one_place_whatever_happened_then() {
        let axis = Axis::new(day(at("2026-11-01T00:00:00Z")), day(at("2026-11-10T00:00:00Z")));
        assert_eq!((axis.days, axis.bar), (10, 1));
        assert_eq!(axis.at(at("2026-10-31T16:00:00Z")), 0.0);
        assert_eq!(axis.at(at("2026-11-05T16:00:00Z")), WIDTH / 2.0);
        assert_eq!(axis.at(at("2030-01-01T00:00:00Z")), WIDTH);
    }

    #[test]
    fn years_make_wider_bars_and_every_event_is_in_one() {
        for days in [1, 2, 320, 321, 365, 4000, 50_000] {
            let axis = Axis::new(20_000, 20_000 + days - 1);
            let counts = (20_000..20_000 + days).map(|day| (day, 2)).collect();
            let bars = axis.binned(&counts);
            assert!(bars.len() as i64 <= BARS, "{days}");
            assert_eq!(bars.iter().sum::<u64>(), 2 * days.cast_unsigned(), "{days}");
        }
    }
}
