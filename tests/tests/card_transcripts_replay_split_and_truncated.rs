//! A recorded card session replayed whole, split at every byte and truncated at every byte.
//! Never a real session: the card is synthetic, and the fixture says how it is made again.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use firmware_bridge::slot::Slot;
use firmware_bridge::{CardPort, CardReadError, Reader};
use zhenyin_core::card::CardIdentity;
use zhenyin_tests::card_reader::transcript::{self, Chunks, Turn};
use zhenyin_tests::card_reader::{
    CardSpec, Echo, MemoryPort, Peer, SlotDevice, TranscriptPort, TranscriptRecorder, Wire,
};

/// What the host speaks in a session.
#[derive(Clone, Copy)]
enum Spoken {
    Ccid(Echo),
    Other(Wire),
}

impl Spoken {
    fn open(self, port: Box<dyn CardPort>) -> Option<Reader> {
        match self {
            Self::Ccid(_) => Reader::open(port).ok(),
            Self::Other(wire) => Reader::open_slot(Slot::with_framing(port, wire.framing())).ok(),
        }
    }

    /// A simulated reader with a card that has been in it for a while: its insertion is not part of the session.
    fn port(self, spec: CardSpec) -> Box<dyn CardPort> {
        match self {
            Self::Ccid(echo) => {
                let port = MemoryPort::new(echo);
                port.device().lock().unwrap().insert(spec);
                port.device().lock().unwrap().take_output();
                Box::new(port)
            }
            Self::Other(wire) => {
                let port = MemoryPort::to(SlotDevice::new(wire));
                port.device().lock().unwrap().insert(spec);
                Box::new(port)
            }
        }
    }
}

/// Opens the reader and reads the card; `None` where not even the reader answered.
fn session(spoken: Spoken, port: TranscriptPort) -> Option<Result<CardIdentity, CardReadError>> {
    spoken.open(Box::new(port)).map(|mut reader| reader.read_card())
}

fn record(spoken: Spoken, spec: CardSpec) -> Vec<Turn> {
    let recorder = TranscriptRecorder::new(spoken.port(spec));
    let turns = recorder.turns();
    spoken.open(Box::new(recorder)).unwrap().read_card().unwrap();
    turns.lock().unwrap().clone()
}

fn fixture_path(name: &str) -> PathBuf {
    zhenyin_tests::demo::package().join("fixtures").join(name)
}

fn fixture(name: &str) -> Vec<Turn> {
    transcript::parse(&std::fs::read_to_string(fixture_path(name)).unwrap()).unwrap()
}

type Session = (&'static str, Spoken, fn() -> CardSpec);

const SESSIONS: [Session; 8] = [
    ("card-1.00.transcript", Spoken::Ccid(Echo::Off), CardSpec::version_1),
    ("card-2.00.transcript", Spoken::Ccid(Echo::Off), CardSpec::version_2),
    ("card-2.00-echo.transcript", Spoken::Ccid(Echo::On), CardSpec::version_2),
    ("card-3.00.transcript", Spoken::Ccid(Echo::On), CardSpec::version_3),
    ("card-2.00-acs.transcript", Spoken::Other(Wire::Acs), CardSpec::version_2),
    ("card-3.00-acs.transcript", Spoken::Other(Wire::Acs), CardSpec::version_3),
    ("card-2.00-stx.transcript", Spoken::Other(Wire::Stx), CardSpec::version_2),
    ("card-3.00-stx.transcript", Spoken::Other(Wire::Stx), CardSpec::version_3),
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
    for (name, spoken, spec) in SESSIONS {
        let recorded = transcript::format(&record(spoken, spec()));
        if std::env::var_os("ZHENYIN_BLESS").is_some() {
            std::fs::write(fixture_path(name), format!("{HEAD}{recorded}")).unwrap();
        }
        assert_eq!(transcript::format(&fixture(name)), recorded, "{name}");
    }
}

#[test]
fn a_session_replays_the_same_however_it_is_split() {
    for (name, spoken, _) in SESSIONS {
        let turns = fixture(name);
        let whole = session(spoken, TranscriptPort::new(&turns, Chunks::Whole)).unwrap().unwrap();
        let cuts = (1..spoken_by_reader(&turns)).map(Chunks::CutAt);
        for chunks in cuts.chain((1..=13).map(Chunks::Of)) {
            let port = TranscriptPort::new(&turns, chunks);
            let (faithful, clock) = (port.faithful(), port.clock());
            let identity = session(spoken, port).unwrap().unwrap();
            assert_eq!(identity, whole, "{name} {chunks:?}");
            assert!(faithful.load(Ordering::Relaxed), "{name} {chunks:?}");
            assert_eq!(clock.elapsed(), Duration::ZERO, "{name} {chunks:?}: nothing had to be waited for");
        }
    }
}

#[test]
fn a_truncated_session_is_an_error_within_its_deadline() {
    for (name, spoken, _) in SESSIONS {
        let turns = fixture(name);
        let whole = session(spoken, TranscriptPort::new(&turns, Chunks::Whole)).unwrap().unwrap();
        // The answer to the last command, power off, decides nothing.
        let needed = spoken_by_reader(&turns[..turns.len() - 2]);
        for length in 0..spoken_by_reader(&turns) {
            let port = TranscriptPort::new(&turns, Chunks::Whole).truncated(length);
            let clock = port.clock();
            match session(spoken, port) {
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
