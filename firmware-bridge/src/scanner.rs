//! A barcode scanner on a serial line, read with a deadline.
//! Never writes to the line, never logs or keeps what was scanned.

use std::time::Instant;

use crate::codec::line_scan::{Ending, LineScanner, Scanned};
use crate::port::{CardPort, PortError};

/// A scanner and its line.
pub struct Scanner {
    port: Box<dyn CardPort>,
    lines: LineScanner,
}

impl Scanner {
    pub fn new(port: Box<dyn CardPort>, ending: Ending) -> Self {
        Self { port, lines: LineScanner::new(ending) }
    }

    pub fn now(&self) -> Instant {
        self.port.now()
    }

    /// Waits for one scan until `deadline`; `None` when none was complete by then.
    pub fn scan(&mut self, deadline: Instant) -> Result<Option<Scanned>, PortError> {
        let mut buffer = zeroize::Zeroizing::new([0; 256]);
        loop {
            let now = self.port.now();
            if let Some(scanned) = self.lines.poll(now) {
                return Ok(Some(scanned));
            }
            if now >= deadline {
                return Ok(None);
            }
            let until = self.lines.due().map_or(deadline, |due| due.min(deadline));
            let count = self.port.receive(buffer.as_mut_slice(), until)?;
            let now = self.port.now();
            self.lines.push(buffer.get(..count).unwrap_or_default(), now);
        }
    }

    /// Throws away what was scanned before now, so that an old scan does not meet a new question.
    pub fn forget(&mut self) -> Result<(), PortError> {
        let mut buffer = zeroize::Zeroizing::new([0; 256]);
        for _ in 0..FORGET_READS {
            let now = self.port.now();
            let count = self.port.receive(buffer.as_mut_slice(), now)?;
            if count == 0 {
                break;
            }
            self.lines.push(buffer.get(..count).unwrap_or_default(), now);
        }
        let now = self.port.now();
        while self.lines.poll(now).is_some() {}
        Ok(())
    }
}

/// More than a scanner has pending; a line that never falls silent is not emptied for ever.
const FORGET_READS: usize = 32;
