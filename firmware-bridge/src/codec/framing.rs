//! What a slot needs of a reader protocol: requests to bytes, bytes to answers.
//! Never touches a device or a clock, and never decides what is asked or how long is waited.

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

    /// Whether an answer names its request. Where none does, an answer that nobody waited for means that
    /// every later one may be another's.
    fn answers_are_numbered(&self) -> bool {
        true
    }
}
