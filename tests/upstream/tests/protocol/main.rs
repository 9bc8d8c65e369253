//! The reference upstream through HTTP, as a terminal sees it, and what others make of its receipts.
//! Never a sleep: everything is done when it is answered.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "what is skipped or counted is said")]

mod device;
mod place;
mod processes;
mod service;
mod enrolment;
mod upload;
mod rotation;
mod conformance;
mod encrypted;
