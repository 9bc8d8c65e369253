//! What people read of a package: a page with totals, gaps, clock steps and a timeline, and a sheet on how to verify
//! it. Never a name or a number of a person but the inspectors' own; never a figure without saying what it counts.

use std::fmt::Write as _;

use zhenyin_core::documents::GrantContent;
use zhenyin_core::ids::Sequence;
use zhenyin_core::inspection::{Asked, Inspector};
use zhenyin_core::time::WallTime;

use super::timeline;
use super::totals::{BreakCause, Counts, Totals, beijing};

/// What the page and the receipt are made of.
pub(super) struct Page<'a> {
    pub(super) totals: &'a Totals,
    pub(super) grant: &'a GrantContent,
    pub(super) origin: &'a str,
    pub(super) inspectors: &'a [Inspector],
    pub(super) asked: &'a Asked,
    /// The event that put the inspection on record.
    pub(super) opened: Option<Sequence>,
    pub(super) recipients: &'a [String],
    pub(super) at: WallTime,
}

/// How to verify, for who has nothing of this project.
pub(super) const README: &str = include_str!("readme.txt");
const STYLE: &str = include_str!("report.css");
/// Longest table of breaks or clock steps; what is more is said in words.
const ROWS: usize = 500;

impl Page<'_> {
    /// Whole in one file: opens without a network and without scripts.
    pub(super) fn html(&self) -> String {
        let mut page = format!(
            "<!doctype html><html lang=\"zh-CN\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <title>检查报告 · Inspection report</title><style>{STYLE}</style><main>\
             <h1>检查报告 · Inspection report</h1>\
             <p class=\"muted\">时间均为北京时间（UTC+8），事件中为 UTC · times are Beijing time, events carry UTC</p>"
        );
        let class = if self.opened.is_some() { "say" } else { "say notice" };
        let _ = write!(page, "<p class=\"{class}\">{}</p>", self.record());
        let facts = self.facts().into_iter().map(|(name, value)| [name.to_owned(), value]);
        table(&mut page, None, &[], facts);
        let people = self.inspectors.iter().map(|one| [one.name.clone(), one.warrant.clone()]);
        let none = "无人检查，机构自行导出 · nobody inspects: the institution exports for itself";
        table(
            &mut page,
            Some(("检查人员 · inspectors", none)),
            &["姓名 · name", "执法证号 · warrant"],
            people,
        );
        self.figures(&mut page);
        page += "<h2>时间线 · timeline</h2>";
        page += &timeline::svg(self.totals);
        page += KEY;
        self.breaks(&mut page);
        self.steps(&mut page);
        self.kinds(&mut page);
        let _ = write!(
            page,
            "<p class=\"muted\">本页由终端生成，供阅读；以 <code>zhenyin-verify</code> 的结果为准 · \
             made by the terminal, to read; what counts is the result of <code>zhenyin-verify</code></p></main>"
        );
        page
    }

    /// Whether the chain itself tells of this inspection.
    pub(super) fn record(&self) -> String {
        match self.opened {
            Some(event) => {
                format!("本次导出已记入本链：事件 {event} · this export is event {event} of the chain")
            }
            None => "导出时代理未运行或不能记录：本次导出未记入本链 · \
                     the agent did not run or could not record: no event of the chain records this export"
                .to_owned(),
        }
    }

    /// The line that a manager and an inspector see first; of the whole chain.
    pub(super) fn health(&self) -> (String, String) {
        let Totals { erased, receipted, steps, starts, camera_faults, .. } = self.totals;
        let count = |cause| self.totals.breaks_of(cause);
        let (cut, stopped) = (count(BreakCause::Cut), count(BreakCause::Stopped));
        let (silent, steps) = (count(BreakCause::Silent), steps.len());
        let (size, shown) = (self.totals.size(), self.totals.shown.events);
        (
            format!(
                "全链 {size} 条，本包 {shown} 条，到期删除 {erased} 条，有回执 {receipted} 条；\
                 中断 {cut} 次，停机 {stopped} 次，无事件 {silent} 段，时钟调整 {steps} 次，启动 {starts} 次，摄像头故障 {camera_faults} 次"
            ),
            format!(
                "chain {size} events, shown {shown}, erased when due {erased}, receipted {receipted}; \
                 cut off {cut}, stopped {stopped}, silent {silent}, clock set {steps}, started {starts}, camera faults {camera_faults}"
            ),
        )
    }

    /// Where the package comes from and what was asked for, for the page and the receipt.
    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        let place = [&self.grant.institution, &self.grant.department, &self.grant.region];
        let place: Vec<&str> = place.into_iter().flatten().map(String::as_str).collect();
        let mut facts = vec![
            ("机构 · institution", if place.is_empty() { "–".to_owned() } else { place.join(" · ") }),
            ("终端 · terminal", self.grant.terminal.to_string()),
            ("链 · chain", self.origin.to_owned()),
            ("导出时间 · exported", beijing(self.at)),
            ("选择 · asked for", asked(self.asked)),
        ];
        if !self.recipients.is_empty() {
            facts.push(("加密给 · encrypted to", self.recipients.join(" ")));
        }
        facts
    }

    fn figures(&self, page: &mut String) {
        let Totals { all, shown, erased, receipts, receipted, .. } = self.totals;
        let end = |counts: &Counts, last: bool| {
            counts.ends.map_or_else(|| "–".to_owned(), |(a, b)| beijing(if last { b } else { a }))
        };
        let both = |name: &str, of: &dyn Fn(&Counts) -> String| [name.to_owned(), of(all), of(shown)];
        let mut rows = vec![
            ["事件 · events".to_owned(), self.totals.size().to_string(), shown.events.to_string()],
            [
                "其中到期删除，仅存哈希 · of these erased when due, by hash only".into(),
                erased.to_string(),
                "–".into(),
            ],
            ["其中有上游回执 · of these receipted upstream".into(), receipted.to_string(), "–".into()],
            ["回执份数 · receipts".into(), receipts.to_string(), "–".into()],
            both("最早 · first", &|counts| end(counts, false)),
            both("最晚 · last", &|counts| end(counts, true)),
        ];
        let methods = all.methods.keys().map(|method| {
            let name = format!("{} · {method}", chinese(method));
            both(&name, &|counts| counts.methods.get(method).unwrap_or(&0).to_string())
        });
        rows.extend(methods);
        let heads = ["", "全链 · whole chain", "本包内容 · shown in this package"];
        table(page, Some(("汇总 · totals", "")), &heads, rows);
        let (zh, en) = self.health();
        let _ = write!(page, "<p>{zh}</p><p class=\"muted\" lang=\"en\">{en}</p>");
    }

    fn breaks(&self, page: &mut String) {
        let rows = self.totals.breaks.iter().take(ROWS).map(|one| {
            let cause = match one.cause {
                BreakCause::Cut => "中断（未正常停止）· cut off",
                BreakCause::Stopped => "正常停机 · stopped in order",
                BreakCause::Silent => "35 分钟以上无事件 · nothing for more than 35 minutes",
            };
            let lasted = lasted(one.to.0 - one.from.0);
            [cause.to_owned(), beijing(one.from), beijing(one.to), lasted, one.event.to_string()]
        });
        let heads = ["原因 · cause", "自 · from", "至 · to", "时长 · lasted", "其后事件 · event after"];
        let title = "中断与停机（全链）· gaps and stops of the whole chain";
        table(page, Some((title, "无 · none")), &heads, rows);
        more(page, self.totals.breaks.len());
    }

    fn steps(&self, page: &mut String) {
        let time = |at: Option<WallTime>| at.map_or_else(|| "?".to_owned(), beijing);
        let rows = self.totals.steps.iter().take(ROWS);
        let rows = rows.map(|step| [time(step.expected), time(step.found), step.event.to_string()]);
        let heads = ["应为 · expected", "实为 · found", "事件 · event"];
        let title = "时钟调整（全链）· clock steps of the whole chain";
        table(page, Some((title, "无 · none")), &heads, rows);
        more(page, self.totals.steps.len());
    }

    fn kinds(&self, page: &mut String) {
        let shown = &self.totals.shown.kinds;
        let rows = self.totals.all.kinds.iter().map(|(kind, all)| {
            [kind.to_string(), all.to_string(), shown.get(kind).unwrap_or(&0).to_string()]
        });
        let heads = ["类型 · type", "全链 · whole chain", "本包内容 · shown"];
        table(page, Some(("事件类型 · event types", "无 · none")), &heads, rows);
    }
}

/// What the colours of the timeline mean, in words.
const KEY: &str = "<p class=\"key\"><span><i class=\"all\"></i>全链 · whole chain</span>\
    <span><i class=\"shown\"></i>本包内容 · shown</span><span><i class=\"cut\"></i>中断 · cut off</span>\
    <span><i class=\"off\"></i>停机 · stopped</span><span><i class=\"silent\"></i>无事件 · silent</span>\
    <span><i class=\"step\"></i>时钟调整 · clock set</span></p>";

fn asked(asked: &Asked) -> String {
    if *asked == Asked::default() {
        return "全部 · everything".to_owned();
    }
    let time = |at: &Option<String>| {
        let at = at.as_deref().and_then(WallTime::parse_rfc3339);
        at.map_or_else(|| "…".to_owned(), beijing)
    };
    let mut text = String::new();
    if asked.from.is_some() || asked.to.is_some() {
        let _ = write!(text, "期间 · period {} – {}; ", time(&asked.from), time(&asked.to));
    }
    for token in &asked.tokens {
        let _ = write!(text, "{}; ", token.as_str());
    }
    for kind in &asked.kinds {
        let _ = write!(text, "{kind}; ");
    }
    if let (Some(count), Some(seed)) = (asked.sample, &asked.seed) {
        let _ = write!(text, "双随机抽样 {count} 条，种子 · sample of {count}, seed `{seed}`; ");
    }
    text.trim_end_matches("; ").to_owned()
}

/// The Chinese word for a method of verification.
fn chinese(method: &str) -> &'static str {
    match method {
        "face" => "人脸登录",
        "card-pin" => "卡加密码",
        "card-face" => "卡加人脸",
        "staff-document" => "人工核对证件",
        _ => "方式",
    }
}

fn lasted(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match days {
        0 => format!("{hours:02}:{minutes:02}:{:02}", seconds % 60),
        _ => format!("{days} d {hours:02}:{minutes:02}:{:02}", seconds % 60),
    }
}

fn more(page: &mut String, found: usize) {
    if found > ROWS {
        let rest = found - ROWS;
        let _ = write!(page, "<p>另有 {rest} 条未列出 · {rest} more are not listed</p>");
    }
}

/// A table under a title, or what is said when it has no rows.
fn table<const N: usize>(
    page: &mut String,
    title: Option<(&str, &str)>,
    heads: &[&str],
    rows: impl IntoIterator<Item = [String; N]>,
) {
    let mut rows = rows.into_iter().peekable();
    if let Some((title, none)) = title {
        let _ = write!(page, "<h2>{title}</h2>");
        if rows.peek().is_none() {
            let _ = write!(page, "<p>{none}</p>");
            return;
        }
    }
    page.push_str("<table>");
    if !heads.is_empty() {
        page.push_str("<tr>");
        heads.iter().for_each(|head| *page += &format!("<th>{head}"));
    }
    for row in rows {
        page.push_str("<tr>");
        row.iter().for_each(|cell| *page += &format!("<td>{}", escaped(cell)));
    }
    page.push_str("</table>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_typed_becomes_markup() {
        let mut page = String::new();
        let typed = "<script>alert(\"1\")</script>&";
        table(&mut page, Some(("t", "none")), &["h"], [[typed.to_owned()]]);
        assert_eq!(
            page,
            "<h2>t</h2><table><tr><th>h<tr><td>&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;</table>"
        );
    }

    #[test]
    fn a_time_that_passed_is_told_in_days_and_seconds() {
        assert_eq!(lasted(299_999), "00:04:59");
        assert_eq!(lasted(86_400_000 + 3_600_000), "1 d 01:00:00");
        assert_eq!(lasted(-5), "00:00:00");
    }
}
