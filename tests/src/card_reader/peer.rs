//! What a line carries bytes to: any simulated device.
//! Never waits: what a device says carries its delay, and the line that moves the bytes keeps the time.

use std::time::Duration;

/// Bytes a device puts on the line, `after` the moment of the cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emission {
    pub after: Duration,
    pub bytes: Vec<u8>,
}

/// The far end of a line.
pub trait Peer: Send {
    /// Takes bytes from the host and acts on each complete frame.
    fn receive(&mut self, bytes: &[u8]);

    /// Everything said since the last call, in the order of saying.
    fn take_output(&mut self) -> Vec<Emission>;

    fn hang_up(&mut self);

    fn has_hung_up(&self) -> bool;
}
