//! What a verified package amounts to, in two languages.
//! Never a word about what was not verified.

use crate::Verified;

/// Lines for the person who asked.
pub fn told(verified: &Verified) -> String {
    let summary = &verified.summary;
    let (events, shown) = (summary.events, verified.shown);
    let until = summary.receipted_at.map_or_else(|| "-".to_owned(), |at| at.rfc3339());
    let mut text = format!(
        "{shown}/{shown} 签名有效，链连续（全链 {events} 条）；{} 份回执覆盖前 {} 条，见证时间 {until}\n\
         {shown}/{shown} signatures valid, chain of {events} events continuous; {} receipts cover the first {}, \
         witnessed at {until}\n",
        summary.receipts, summary.receipted, summary.receipts, summary.receipted,
    );
    if summary.receipted < events {
        let open = events - summary.receipted;
        text += &format!(
            "最后 {open} 条尚无回执，其完整性只由本机密钥保证\n\
             the last {open} have no receipt: only the terminal's own key vouches for their being all\n"
        );
    }
    text += &match verified.inspection {
        Some(event) => {
            format!("本次导出已记入本链：事件 {event} · this export is event {event} of the chain\n")
        }
        None => "本链没有关于本次导出的事件（导出时代理未运行或不能记录）\n\
                 no event of the chain records this export: the agent did not run or could not record\n"
            .to_owned(),
    };
    text += &format!(
        "SHA256SUMS {}\n请与双方签字的回执核对 · compare with the receipt that both sides signed\n",
        verified.digest
    );
    text += &format!(
        "authority  {}\nwitness    {}\n请与公布的密钥核对 · compare both keys with the published ones",
        verified.header.authority.x,
        verified.header.witness.as_deref().unwrap_or("(none)")
    );
    text
}
