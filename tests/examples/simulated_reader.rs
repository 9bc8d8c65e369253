//! A simulated card reader to try by hand: `simulated_reader LINK [echo|no-echo] [1|2|3]`, until Enter.
//! Never more than a line to open: point the agent, or pcscd with libccid's serial driver, at LINK.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use zhenyin_tests::card_reader::{CardSpec, Echo, PtyReader};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let link = arguments.next().context("usage: simulated_reader LINK [echo|no-echo] [1|2|3]")?;
    let echo = match arguments.next().as_deref() {
        None | Some("echo") => Echo::On,
        Some("no-echo") => Echo::Off,
        Some(other) => bail!("`echo` or `no-echo`, not `{other}`"),
    };
    let card = match arguments.next().as_deref() {
        Some("1") => CardSpec::version_1(),
        None | Some("2") => CardSpec::version_2(),
        Some("3") => CardSpec::version_3(),
        Some(other) => bail!("card version `1`, `2` or `3`, not `{other}`"),
    };
    let reader = PtyReader::start(echo)?;
    reader.link(Path::new(&link))?;
    reader.insert(card);
    writeln!(std::io::stdout(), "reader at {link}, card in; Enter ends it")?;
    std::io::stdin().read_line(&mut String::new())?;
    Ok(std::fs::remove_file(&link)?)
}
