//! The device side of a card reader: synthetic cards, reader framing, faults, and the lines to reach them by.
//! Never holds data of a real person: only identity numbers with the birth year 1849.

pub mod bench;
pub mod cards;
pub mod peer;
pub mod device;
pub mod fault;
pub mod memory;
pub mod psam;
pub mod resident;
pub mod scanner;
pub mod slot_device;
pub mod pty;
pub mod transcript;
pub mod vpcd;

pub use cards::{CardSpec, SimulatedCard};
pub use device::{Device, Echo};
pub use fault::{Fault, When};
pub use memory::MemoryPort;
pub use peer::Peer;
pub use psam::SimulatedPsam;
pub use pty::PtyReader;
pub use resident::{ResidentCard, ResidentDevice};
pub use scanner::ScannerDevice;
pub use slot_device::{SlotDevice, Wire};
pub use transcript::{TranscriptPort, TranscriptRecorder};
pub use vpcd::VpcdCard;
