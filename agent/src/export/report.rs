//! What people read of a package: a page with totals, gaps, clock steps and a timeline, a sheet on how to verify it,
//! and a receipt to print and sign. Never a name or a number of a person but the inspectors' own.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use zhenyin_core::event::Envelope;
use zhenyin_core::ids::Sequence;
use zhenyin_core::inspection::Inspector;
use zhenyin_core::time::WallTime;

/// What is counted while events go by. All events of the chain are counted, shown or not: gaps are never hidden.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub events: u64,
    pub shown: u64,
    /// Erased after their retention; only their hashes are left.
    pub erased: u64,
    pub receipts: usize,
    pub receipted: u64,
    kinds: BTreeMap<String, u64>,
    gaps: Vec<(String, String)>,
    steps: Vec<(String, String)>,
    days: BTreeMap<String, u64>,
    ends: Option<(WallTime, WallTime)>,
}

impl Totals {
    pub fn count(&mut self, envelope: &Envelope) {
        self.events += 1;
        let time = envelope.time.rfc3339();
        *self.kinds.entry(envelope.kind.clone()).or_default() += 1;
        *self.days.entry(time.chars().take(10).collect()).or_default() += 1;
        let first = self.ends.map_or(envelope.time, |(first, _)| first.min(envelope.time));
        let last = self.ends.map_or(envelope.time, |(_, last)| last.max(envelope.time));
        self.ends = Some((first, last));
        let member = |name: &str| envelope.data.get(name).and_then(|v| v.as_str()).unwrap_or("?").to_owned();
        match envelope.kind.as_str() {
            "agent.gap.v1" => self.gaps.push((member("since"), time)),
            "clock.stepped.v1" => self.steps.push((member("expected"), member("found"))),
            _ => {}
        }
    }

    fn span(&self) -> String {
        self.ends.map_or_else(|| "–".to_owned(), |(a, b)| format!("{} – {}", a.rfc3339(), b.rfc3339()))
    }

    /// The line that a manager and an inspector see first.
    pub fn health(&self) -> String {
        format!(
            "{} 条事件，{} 条已导出，{} 条已按期删除 · {} 处中断 · {} 次时钟调整 · {} 条有回执\n\
             {} events, {} shown, {} erased after their retention · {} gaps · {} clock steps · {} receipted",
            self.events + self.erased,
            self.shown,
            self.erased,
            self.gaps.len(),
            self.steps.len(),
            self.receipted,
            self.events + self.erased,
            self.shown,
            self.erased,
            self.gaps.len(),
            self.steps.len(),
            self.receipted
        )
    }
}

/// What the page and the receipt are made of.
pub(super) struct Page<'a> {
    pub(super) totals: &'a Totals,
    pub(super) origin: &'a str,
    pub(super) inspectors: &'a [Inspector],
    pub(super) asked: &'a str,
    /// The event that put the inspection on record.
    pub(super) opened: Option<Sequence>,
}

impl Page<'_> {
    /// Whole in one file: opens without a network and without scripts.
    pub(super) fn html(&self) -> String {
        let Page { totals, origin, inspectors, asked, .. } = self;
        let mut page = String::from(
            "<!doctype html><meta charset=\"utf-8\"><title>检查报告 · Inspection report</title>\
         <style>body{font:16px sans-serif;max-width:60em;margin:2em auto}td,th{padding:.2em 1em;text-align:left}\
         svg{width:100%;height:8em}rect{fill:#369}.gap{fill:#c33}</style><h1>检查报告 · Inspection report</h1>",
        );
        let _ = write!(page, "<p>{}<br>{}</p>", escaped(origin), escaped(&totals.span()));
        let _ = write!(page, "<p>{}</p>", escaped(&totals.health()).replace('\n', "<br>"));
        let _ = write!(page, "<p>选择 · selection: {}</p>", escaped(asked));
        let _ = write!(page, "<p>{}</p>", self.record());
        rows(
            &mut page,
            "检查人员 · inspectors",
            inspectors.iter().map(|i| (i.name.clone(), i.warrant.clone())),
        );
        page += &timeline(totals);
        rows(&mut page, "中断 · gaps", totals.gaps.iter().cloned());
        rows(&mut page, "时钟调整 · clock steps", totals.steps.iter().cloned());
        rows(
            &mut page,
            "事件类型 · event types",
            totals.kinds.iter().map(|(kind, n)| (kind.clone(), n.to_string())),
        );
        page
    }

    /// Whether the chain itself tells of this inspection.
    fn record(&self) -> String {
        match self.opened {
            Some(event) => {
                format!("检查已记入本链，事件 {event} · this inspection is event {event} of the chain")
            }
            None => UNRECORDED.to_owned(),
        }
    }

    /// To be printed and signed by both sides.
    pub(super) fn receipt(&self, digest: &str, at: WallTime) -> String {
        let record = self.record();
        let mut text = format!(
            "取证回执 · Receipt of evidence\n\n{}\n{}\n{record}\n\n{}\n\nSHA256SUMS 的 SHA-256 · SHA-256 of SHA256SUMS\n{digest}\n\n",
            self.origin,
            at.rfc3339(),
            self.totals.health()
        );
        for inspector in self.inspectors {
            let _ = writeln!(
                text,
                "检查人员 · inspector  {}  {}  ____________",
                inspector.name, inspector.warrant
            );
        }
        text += "机构负责人 · manager  ____________\n";
        text
    }
}

/// A bar a day; days on which the agent was cut off are marked.
fn timeline(totals: &Totals) -> String {
    let most = totals.days.values().max().copied().unwrap_or(1).max(1);
    let width = 1000.0 / totals.days.len().max(1) as f64;
    let mut svg = String::from(
        "<h2>时间线 · timeline</h2><svg viewBox=\"0 0 1000 110\" preserveAspectRatio=\"none\" role=\"img\">",
    );
    for (n, (day, events)) in totals.days.iter().enumerate() {
        let height = 100.0 * *events as f64 / most as f64;
        let cut = totals
            .gaps
            .iter()
            .any(|(from, to)| (from.as_str()..to.as_str()).contains(&day.as_str()) || to.starts_with(day));
        let _ = write!(
            svg,
            "<rect{} x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{day}: {events}</title></rect>",
            if cut { " class=\"gap\"" } else { "" },
            n as f64 * width,
            105.0 - height,
            width * 0.9,
            height.max(1.0)
        );
    }
    svg + "</svg>"
}

fn rows(page: &mut String, title: &str, pairs: impl Iterator<Item = (String, String)>) {
    let _ = write!(page, "<h2>{title}</h2><table>");
    for (left, right) in pairs {
        let _ = write!(page, "<tr><td>{}<td>{}", escaped(&left), escaped(&right));
    }
    page.push_str("</table>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// How to verify, for who has nothing of this project.
pub(super) const README: &str = include_str!("readme.txt");

/// Of a package that was written beside a stopped agent.
const UNRECORDED: &str =
    "导出时代理未运行：本次检查未记入本链 · the agent did not run: no event of the chain records this export";
