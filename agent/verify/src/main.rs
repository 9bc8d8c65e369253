//! `zhenyin-verify FOLDER`: verifies an inspection package; status 0 when everything holds, 1 when something does not,
//! 2 when it was not asked properly. Never does anything else.

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(folder), None) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        say("用法 · usage: zhenyin-verify FOLDER");
        return ExitCode::from(2);
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    match zhenyin_verify::verify(&folder, threads) {
        Ok(verified) => {
            say(&zhenyin_verify::told(&verified));
            ExitCode::SUCCESS
        }
        Err(error) => {
            let mut text = format!("不成立 · does not hold: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                text += &format!(": {error}");
                cause = error.source();
            }
            say(&text);
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) {
    // A closed pipe is the reader's choice; the status says the rest.
    let _ = writeln!(std::io::stdout(), "{text}");
}
