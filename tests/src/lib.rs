//! Simulators of everything a terminal is connected to, for the tests and the demo.
//! Never part of a shipped program.

#![deny(unsafe_code)]

pub mod card_reader;
pub mod faulty_disk;
pub mod fuzz_targets;
pub mod generated;
pub mod recorded_camera;
pub mod subjects;
pub mod attacks;
pub mod world;
pub mod demo;
pub mod sealing;
pub mod packages;
pub mod tls;
pub mod bench;
