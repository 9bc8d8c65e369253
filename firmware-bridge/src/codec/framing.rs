//! What a slot needs of a reader protocol: requests to bytes, bytes to answers; and the bytes that came, of which a
//! codec judges only the head. Never touches a device or a clock, and never decides what is asked or how long is
//! waited.

use super::ccid_serial::{Counters, Received, Request, TooLong};

/// One reader protocol in use: the frames of one line in both directions.
pub trait Framing: Send {
    /// Encodes `request` and from now on waits for its answer and for no other.
    fn begin(&mut self, request: &Request<'_>, sequence: u8) -> Result<Vec<u8>, TooLong>;

    /// The same bytes are sent once more.
    fn begin_again(&mut self);

    fn push(&mut self, bytes: &[u8]);

    /// Next thing in the bytes pushed so far; `None` when more bytes are needed.
    fn poll(&mut self) -> Option<Received>;

    /// Forgets what was asked and every byte not yet polled.
    fn reset(&mut self);

    fn counters(&self) -> Counters;

    /// What asks the reader for its last frame again, where the protocol has such a thing.
    fn ask_again(&self) -> Option<&'static [u8]>;

    /// Whether the protocol has this request at all. Power, status and exchange are always there.
    fn has(&self, request: &Request<'_>) -> bool;

    /// Requests from now on are for this slot: 0 is the card's, any other one a SAM's. False, and the card's slot
    /// stays addressed, where the protocol has no such slot.
    fn address(&mut self, slot: u8) -> bool;

    /// Whether an answer names its request. Where none does, an answer that nobody waited for means that
    /// every later one may be another's.
    fn answers_are_numbered(&self) -> bool {
        true
    }
}

/// Bytes of a line that nobody has judged yet, and what became of those before.
#[derive(Default)]
pub(super) struct Pending {
    bytes: Vec<u8>,
    counters: Counters,
}

/// What stands at the head of the pending bytes.
pub(super) enum Step {
    /// More bytes are needed to tell.
    Wait,
    /// The first byte begins nothing.
    Drop,
    /// Framed like an answer, but the checksum is wrong. Its first byte goes, in case a frame begins inside.
    Damaged,
    /// So many bytes say something.
    Told(usize, Received),
    /// So many bytes are a good frame that answers something else.
    Stray(usize),
    /// So many bytes are the request, said back.
    Echo(usize),
    /// So many bytes say what needs no word.
    Passed(usize),
}

impl Pending {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    /// Throws away the rest.
    pub(super) fn reset(&mut self) {
        self.counters.dropped_bytes += self.bytes.len() as u64;
        self.bytes.clear();
    }

    /// Has `judge` look at the head of the bytes until it finds something to tell or needs more of them. Every
    /// step but a wait takes at least one byte.
    pub(super) fn poll(&mut self, mut judge: impl FnMut(&[u8]) -> Step) -> Option<Received> {
        let counters = &mut self.counters;
        loop {
            let (taken, received) = match judge(&self.bytes) {
                Step::Wait => return None,
                Step::Drop => {
                    counters.dropped_bytes += 1;
                    (1, None)
                }
                Step::Damaged => {
                    counters.dropped_bytes += 1;
                    counters.bad_checksums += 1;
                    (1, Some(Received::BadChecksum))
                }
                Step::Told(length, received) => {
                    counters.naks += u64::from(received == Received::Nak);
                    counters.time_requests += u64::from(received == Received::MoreTime);
                    (length, Some(received))
                }
                Step::Stray(length) => {
                    counters.stray_frames += 1;
                    (length, None)
                }
                Step::Echo(length) => {
                    counters.echoes += 1;
                    (length, None)
                }
                Step::Passed(length) => (length, None),
            };
            self.bytes.drain(..taken.min(self.bytes.len()));
            if received.is_some() {
                return received;
            }
        }
    }
}
