//! What a barcode scanner types on a serial line: one token, ended by a line end or by silence.
//! Never prints or keeps a token, never joins two pieces into one, never touches a device or a clock.
//!
//! A line of text has no checksum: a changed character cannot be seen here. Whoever resolves the token sees it.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use zeroize::{Zeroize, Zeroizing};

/// What one scan gave: the text of a code, good for a short time.
#[derive(Clone)]
pub struct ScanToken {
    text: Zeroizing<String>,
    scanned: Instant,
}

impl ScanToken {
    /// How long a token may be used. Codes of the medical insurance are made anew about every minute.
    pub const LIFE: Duration = Duration::from_secs(60);

    /// The text, to be handed on and not to be kept; `None` once it is too old.
    pub fn expose(&self, now: Instant) -> Option<&str> {
        (now.saturating_duration_since(self.scanned) <= Self::LIFE).then_some(self.text.as_str())
    }

    pub fn scanned(&self) -> Instant {
        self.scanned
    }
}

/// How a scanner ends what it types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// CR, LF or both. A pause inside a line makes it worthless.
    LineEnd,
    /// Silence.
    Pause,
    /// Silence, until the first line end was seen; from then on only that.
    Either,
}

/// Why something scanned was thrown away. Carries no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    #[error("scan is longer than {LONGEST} characters")]
    TooLong,
    #[error("scan has a byte that is not printable ASCII")]
    NotText,
    #[error("scan paused before its end")]
    Broken,
    #[error("scan did not end within {} ms", TOTAL.as_millis())]
    TooSlow,
}

pub type Scanned = Result<ScanToken, ScanError>;

/// Cuts what a scanner types into tokens.
pub struct LineScanner {
    ending: Ending,
    line: Zeroizing<Vec<u8>>,
    /// When the first and the last byte of the line came.
    begun: Option<Instant>,
    last: Option<Instant>,
    /// What is wrong with the line in hand.
    fault: Option<ScanError>,
    /// The line in hand was given up before its end: when its last byte came. What follows is its rest.
    given_up: Option<Instant>,
    ready: VecDeque<Scanned>,
    previous: Option<ScanToken>,
    repeated: u64,
}

impl LineScanner {
    pub fn new(ending: Ending) -> Self {
        Self {
            ending,
            line: Zeroizing::new(Vec::with_capacity(LONGEST)),
            begun: None,
            last: None,
            fault: None,
            given_up: None,
            ready: VecDeque::new(),
            previous: None,
            repeated: 0,
        }
    }

    /// Takes bytes that came at `now`.
    pub fn push(&mut self, bytes: &[u8], now: Instant) {
        if bytes.is_empty() {
            return;
        }
        self.look_at(now);
        for byte in bytes {
            match (byte, self.given_up) {
                (b'\r' | b'\n', Some(_)) => self.given_up = None,
                (_, Some(_)) => self.given_up = Some(now),
                (b'\r' | b'\n', None) => self.end_line(now),
                (_, None) => self.add(*byte, now),
            }
        }
    }

    /// Next scan; `None` when more bytes or more time are needed.
    pub fn poll(&mut self, now: Instant) -> Option<Scanned> {
        self.look_at(now);
        self.ready.pop_front()
    }

    /// When to look again even if no byte comes; never twice at the same time.
    pub fn due(&self) -> Option<Instant> {
        let total = self.begun? + TOTAL;
        // To a line that ends with a mark and is faulty already, a pause means nothing any more.
        let settled = self.ending == Ending::LineEnd && self.fault.is_some();
        Some(if settled { total } else { total.min(self.last? + PAUSE) })
    }

    /// Scans that were thrown away because the same came just before.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// What the time that has passed means for the line in hand.
    fn look_at(&mut self, now: Instant) {
        let since = |then: Instant| now.saturating_duration_since(then);
        self.previous.take_if(|previous| since(previous.scanned) >= REPEAT);
        let rest_ends = if self.ending == Ending::LineEnd { REST } else { PAUSE };
        self.given_up.take_if(|last| since(*last) >= rest_ends);
        let (Some(begun), Some(last)) = (self.begun, self.last) else { return };
        if since(last) >= PAUSE {
            match self.ending {
                Ending::Pause | Ending::Either => return self.finish(last),
                Ending::LineEnd => self.fault = self.fault.or(Some(ScanError::Broken)),
            }
        }
        if since(begun) >= TOTAL {
            self.fault = Some(self.fault.unwrap_or(ScanError::TooSlow));
            self.finish(now);
            self.given_up = Some(last);
        }
    }

    fn add(&mut self, byte: u8, now: Instant) {
        self.begun = self.begun.or(Some(now));
        self.last = Some(now);
        if !matches!(byte, 0x20..=0x7E) {
            self.fault = self.fault.or(Some(ScanError::NotText));
        } else if self.line.len() == LONGEST {
            self.fault = self.fault.or(Some(ScanError::TooLong));
        } else {
            self.line.push(byte);
        }
    }

    fn end_line(&mut self, now: Instant) {
        if self.ending == Ending::Either {
            self.ending = Ending::LineEnd;
        }
        self.finish(now);
    }

    /// Judges the line in hand and begins the next.
    fn finish(&mut self, scanned: Instant) {
        let line = std::mem::replace(&mut self.line, Zeroizing::new(Vec::with_capacity(LONGEST)));
        let fault = self.fault.take();
        self.begun = None;
        self.last = None;
        if let Some(error) = fault {
            return self.ready.push_back(Err(error));
        }
        // Only bytes that are text were taken in.
        let text = Zeroizing::new(line.iter().copied().map(char::from).collect::<String>());
        if text.trim().is_empty() {
            return;
        }
        let token = ScanToken { text, scanned };
        if self.previous.replace(token.clone()).is_some_and(|previous| token.repeats(&previous)) {
            self.repeated += 1;
        } else {
            self.ready.push_back(Ok(token));
        }
    }
}

impl ScanToken {
    fn repeats(&self, previous: &Self) -> bool {
        self.text == previous.text && self.scanned.saturating_duration_since(previous.scanned) < REPEAT
    }
}

impl PartialEq for ScanToken {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for ScanToken {}

impl Drop for LineScanner {
    fn drop(&mut self) {
        self.line.zeroize();
    }
}

/// Longest token; a QR code of the medical insurance has 28 digits.
const LONGEST: usize = 512;
/// From the first byte of a line to its end.
const TOTAL: Duration = Duration::from_secs(3);
/// Silence that no scanner leaves inside a line: a hundred characters at 9600 baud.
const PAUSE: Duration = Duration::from_millis(100);
/// The same code within this time is the same scan.
const REPEAT: Duration = Duration::from_secs(2);
/// What comes sooner after a line that was given up may still be its rest.
const REST: Duration = Duration::from_secs(10);

impl fmt::Debug for ScanToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScanToken(…)")
    }
}

impl fmt::Debug for LineScanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LineScanner({:?}, {} bytes pending)", self.ending, self.line.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CODE: &str = "2800011101051849030700000001";
    const MS: Duration = Duration::from_millis(1);

    /// Pushes each piece at its time (in ms) and gives what came out until `until`.
    fn scan(ending: Ending, pieces: &[(u32, &[u8])], until: u32) -> Vec<Result<String, ScanError>> {
        let start = Instant::now();
        let mut scanner = LineScanner::new(ending);
        let mut found = Vec::new();
        let mut collect = |scanner: &mut LineScanner, now: Instant| {
            while let Some(scanned) = scanner.poll(now) {
                found.push(scanned.map(|token| token.expose(now).unwrap().to_owned()));
            }
        };
        for (at, bytes) in pieces {
            let now = start + MS * *at;
            while let Some(due) = scanner.due().filter(|due| *due < now) {
                collect(&mut scanner, due);
            }
            scanner.push(bytes, now);
            collect(&mut scanner, now);
        }
        collect(&mut scanner, start + MS * until);
        found
    }

    fn check(ending: Ending, pieces: &[(u32, &str)], want: &[Result<&str, ScanError>]) {
        let bytes: Vec<_> = pieces.iter().map(|(at, text)| (*at, text.as_bytes())).collect();
        let want: Vec<_> = want.iter().map(|w| w.map(str::to_owned)).collect();
        assert_eq!(scan(ending, &bytes, 60_000), want, "{ending:?} {pieces:?}");
    }

    #[test]
    fn lines_are_tokens() {
        for ending in [Ending::LineEnd, Ending::Pause, Ending::Either] {
            for end in ["\r", "\n", "\r\n"] {
                check(ending, &[(0, &format!("{CODE}{end}"))], &[Ok(CODE)]);
                check(ending, &[(0, "AB"), (50, "CD"), (99, end)], &[Ok("ABCD")]);
                check(ending, &[(0, &format!("A{end}B{end}"))], &[Ok("A"), Ok("B")]);
            }
            check(ending, &[(0, "\r\n \r\n")], &[]);
        }
        check(Ending::Pause, &[(0, CODE), (500, "B")], &[Ok(CODE), Ok("B")]);
        check(
            Ending::Either,
            &[(0, CODE), (500, "B\r"), (900, "C")],
            &[Ok(CODE), Ok("B"), Err(ScanError::Broken)],
        );
    }

    #[test]
    fn a_broken_line_never_becomes_a_token() {
        use ScanError::{Broken, NotText, TooLong, TooSlow};
        let line_end = Ending::LineEnd;
        check(line_end, &[(0, "HALF")], &[Err(Broken)]);
        check(line_end, &[(0, "HALF"), (200, "REST\r"), (400, "NEXT\r")], &[Err(Broken), Ok("NEXT")]);
        // The rest comes after the line was given up: it is still a rest.
        check(line_end, &[(0, "HALF"), (4000, "REST\r"), (4100, "NEXT\r")], &[Err(Broken), Ok("NEXT")]);
        check(line_end, &[(0, "HALF"), (14_000, "NEXT\r")], &[Err(Broken), Ok("NEXT")]);
        check(line_end, &[(0, "AB\u{7f}CD\r"), (1, "NEXT\r")], &[Err(NotText), Ok("NEXT")]);
        check(line_end, &[(0, "二维码\r")], &[Err(NotText)]);
        let long = "9".repeat(LONGEST);
        check(line_end, &[(0, &format!("{long}\r"))], &[Ok(&long)]);
        check(line_end, &[(0, &format!("{long}9\rA\r"))], &[Err(TooLong), Ok("A")]);
        let dribble: Vec<(u32, &str)> = (0..50).map(|step| (step * 90, "7")).chain([(4_550, "\r")]).collect();
        for ending in [line_end, Ending::Pause, Ending::Either] {
            check(ending, &dribble, &[Err(TooSlow)]);
        }
    }

    #[test]
    fn a_repeated_scan_counts_once() {
        let line = format!("{CODE}\r");
        check(Ending::LineEnd, &[(0, &line), (1_900, &line)], &[Ok(CODE)]);
        check(Ending::LineEnd, &[(0, &line), (2_100, &line)], &[Ok(CODE), Ok(CODE)]);
        check(Ending::LineEnd, &[(0, &line), (10, "B\r"), (20, &line)], &[Ok(CODE), Ok("B"), Ok(CODE)]);
    }

    #[test]
    fn a_token_is_short_lived_and_never_printed() {
        let start = Instant::now();
        let mut scanner = LineScanner::new(Ending::LineEnd);
        scanner.push(format!("{CODE}\r").as_bytes(), start);
        let token = scanner.poll(start).unwrap().unwrap();
        assert_eq!(token.expose(start + ScanToken::LIFE), Some(CODE));
        assert_eq!(token.expose(start + ScanToken::LIFE + MS), None);
        assert_eq!(format!("{token:?} {scanner:?}"), "ScanToken(…) LineScanner(LineEnd, 0 bytes pending)");
    }

    proptest! {
        /// However a line is cut in time, it is that line or none: never a piece of it.
        #[test]
        fn a_line_in_pieces_is_the_line_or_an_error(gaps in proptest::collection::vec(0_u32..6_000, 28)) {
            let mut at = 0;
            let mut pieces: Vec<(u32, &[u8])> = Vec::new();
            for (byte, gap) in CODE.as_bytes().chunks(1).zip(&gaps) {
                at += *gap;
                pieces.push((at, byte));
            }
            pieces.push((at + 1, b"\r"));
            let late = gaps.iter().skip(1).any(|gap| *gap >= 10_000);
            prop_assume!(!late);
            for scanned in scan(Ending::LineEnd, &pieces, at + 60_000) {
                prop_assert!(scanned.as_deref().unwrap_or(CODE) == CODE);
            }
        }

        #[test]
        fn any_bytes_end_in_tokens_of_text_or_errors(bytes in any::<Vec<u8>>()) {
            for token in scan(Ending::Either, &[(0, &bytes)], 60_000).into_iter().flatten() {
                prop_assert!(token.len() <= LONGEST && token.bytes().all(|byte| matches!(byte, 0x20..=0x7E)));
            }
        }
    }
}
