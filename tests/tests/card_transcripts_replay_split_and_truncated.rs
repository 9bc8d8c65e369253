//! A recorded card session replayed whole, split at every byte and truncated at every byte.
//! Never a real session: the card is synthetic, and the fixture says how it is made again.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use firmware_bridge::{CardReadError, Reader};
use zhenyin_core::card::CardIdentity;
use zhenyin_tests::card_reader::transcript::{self, Chunks, Turn};
use zhenyin_tests::card_reader::{CardSpec, Echo, MemoryPort, Peer, TranscriptPort, TranscriptRecorder};

/// Opens the reader and reads the card; `None` where not even the reader answered.
fn session(port: TranscriptPort) -> Option<Result<CardIdentity, CardReadError>> {
    Reader::open(Box::new(port)).ok().map(|mut reader| reader.read_card())
}

fn record(echo: Echo, spec: CardSpec) -> Vec<Turn> {
    let port = MemoryPort::new(echo);
    port.device().lock().unwrap().insert(spec);
    // The insertion event is not part of the session.
    port.device().lock().unwrap().take_output();
    let recorder = TranscriptRecorder::new(Box::new(port));
    let turns = recorder.turns();
    Reader::open(Box::new(recorder)).unwrap().read_card().unwrap();
    turns.lock().unwrap().clone()
}

fn fixture_path(name: &str) -> PathBuf {
    zhenyin_tests::demo::package().join("fixtures").join(name)
}

fn fixture(name: &str) -> Vec<Turn> {
    transcript::parse(&std::fs::read_to_string(fixture_path(name)).unwrap()).unwrap()
}

type Session = (&'static str, Echo, fn() -> CardSpec);

const SESSIONS: [Session; 4] = [
    ("card-1.00.transcript", Echo::Off, CardSpec::version_1),
    ("card-2.00.transcript", Echo::Off, CardSpec::version_2),
    ("card-2.00-echo.transcript", Echo::On, CardSpec::version_2),
    ("card-3.00.transcript", Echo::On, CardSpec::version_3),
];

const HEAD: &str = "\
# A synthetic card read through the simulated reader: `>` host, `<` reader, hexadecimal.
# Made by: ZHENYIN_BLESS=1 cargo test -p zhenyin-tests --test card_transcripts_replay_split_and_truncated
";

fn spoken_by_reader(turns: &[Turn]) -> usize {
    turns.iter().map(|turn| if let Turn::Reader(bytes) = turn { bytes.len() } else { 0 }).sum()
}

/// With `ZHENYIN_BLESS` set, writes the fixtures anew instead of comparing.
#[test]
fn the_host_sends_what_the_fixtures_have() {
    for (name, echo, spec) in SESSIONS {
        let recorded = transcript::format(&record(echo, spec()));
        if std::env::var_os("ZHENYIN_BLESS").is_some() {
            std::fs::write(fixture_path(name), format!("{HEAD}{recorded}")).unwrap();
        }
        assert_eq!(transcript::format(&fixture(name)), recorded, "{name}");
    }
}

#[test]
fn a_session_replays_the_same_however_it_is_split() {
    for (name, _, _) in SESSIONS {
        let turns = fixture(name);
        let whole = session(TranscriptPort::new(&turns, Chunks::Whole)).unwrap().unwrap();
        let cuts = (1..spoken_by_reader(&turns)).map(Chunks::CutAt);
        for chunks in cuts.chain((1..=13).map(Chunks::Of)) {
            let port = TranscriptPort::new(&turns, chunks);
            let (faithful, clock) = (port.faithful(), port.clock());
            let identity = session(port).unwrap().unwrap();
            assert_eq!(identity, whole, "{name} {chunks:?}");
            assert!(faithful.load(Ordering::Relaxed), "{name} {chunks:?}");
            assert_eq!(clock.elapsed(), Duration::ZERO, "{name} {chunks:?}: nothing had to be waited for");
        }
    }
}

#[test]
fn a_truncated_session_is_an_error_within_its_deadline() {
    for (name, _, _) in SESSIONS {
        let turns = fixture(name);
        let whole = session(TranscriptPort::new(&turns, Chunks::Whole)).unwrap().unwrap();
        // The answer to the last command, power off, decides nothing.
        let needed = spoken_by_reader(&turns[..turns.len() - 2]);
        for length in 0..spoken_by_reader(&turns) {
            let port = TranscriptPort::new(&turns, Chunks::Whole).truncated(length);
            let clock = port.clock();
            match session(port) {
                Some(Ok(identity)) => {
                    assert!(length >= needed, "{name} read from {length} of {needed} bytes");
                    assert_eq!(identity, whole, "{name} {length}");
                }
                Some(Err(_)) | None => assert!(length < needed, "{name} {length}"),
            }
            assert!(clock.elapsed() <= Duration::from_secs(15), "{name} {length}: {:?}", clock.elapsed());
        }
    }
}
