//! The targets of the test crate, without the rest of it: a fuzzer build must not carry the inference engine.
//! Never holds a target of its own.

#[path = "../../src/fuzz_targets.rs"]
pub mod fuzz_targets;
