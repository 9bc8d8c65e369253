//! A barcode scanner: it types what it sees and hears nothing.
//! Never types a real code: the digits are made up.

use std::time::Duration;

use super::fault::{Fault, spoken};
use super::peer::{Emission, Peer};

/// The scanner. What it is told to scan comes out ended by `end`.
pub struct ScannerDevice {
    end: &'static str,
    output: Vec<Emission>,
    heard: usize,
    hung_up: bool,
}

impl ScannerDevice {
    pub fn new(end: &'static str) -> Self {
        Self { end, output: Vec::new(), heard: 0, hung_up: false }
    }

    /// Types `code`, as a fault wants it typed.
    pub fn scan(&mut self, after: Duration, code: &str, fault: Option<&Fault>) {
        let line = [code.as_bytes(), self.end.as_bytes()].concat();
        let typed = spoken(line, fault, |_| {});
        let later = |emission: Emission| Emission { after: emission.after + after, ..emission };
        self.output.extend(typed.into_iter().map(later));
        self.hung_up |= matches!(fault, Some(Fault::HangUp));
    }

    /// Bytes that the host sent to a device that takes none.
    pub fn heard(&self) -> usize {
        self.heard
    }
}

impl Peer for ScannerDevice {
    fn receive(&mut self, bytes: &[u8]) {
        self.heard += bytes.len();
    }

    fn take_output(&mut self) -> Vec<Emission> {
        std::mem::take(&mut self.output)
    }

    fn hang_up(&mut self) {
        self.hung_up = true;
    }

    fn has_hung_up(&self) -> bool {
        self.hung_up
    }
}
