//! Bytes on a serial line in, card identity out.
//! Never decides anything about a person, never stores or logs what a card said, and never asks for a
//! PIN. The one command that can cost a try is sent by `authenticator`, once, where one is configured.
//!
//! One direction: `port` → `codec` → `slot` → `apdu` → `social_security` → `reader`.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

pub mod port;
pub mod codec {
    //! Frames of reader protocols: pure state machines, no device and no clock.
    pub mod ccid_serial;
    pub mod framing;
    pub mod acs;
    pub mod sdt;
    pub mod stx;
    pub mod line_scan;
}
pub mod probe;
pub mod scanner;
pub mod resident_reader;
pub mod slot;
pub mod card_slot;
pub mod sam_slot;
#[cfg(feature = "pcsc")]
pub mod pcsc_slot;
pub mod atr;
pub mod apdu;
pub mod tlv;
pub mod authenticator;
pub mod card_error;
pub mod social_security;
pub mod resident_id;
pub mod result_string;
pub mod reader;

pub use card_error::CardReadError;
pub use port::{CardPort, LineSettings, PortError, SerialCardPort};
pub use reader::{Reader, ReaderError};
pub use slot::SlotState;
