//! The decisions of zhenyin and the evidence formats, as a sans-IO library.
//! Never reads a clock, a file, the network or the environment, never starts a thread: time, bytes and
//! randomness come in as arguments, and everything that must happen comes out as a value.
//!
//! Files stand in reading order; a file imports only from files above it in this list.

#![forbid(unsafe_code)]

pub mod ids;
pub mod time;
pub mod room;
pub mod fault;
pub mod biometric;
pub mod challenge;
pub mod card;
pub mod presented;
pub mod pin;
pub mod canonical;
pub mod signer;
pub mod jws;
pub mod merkle;
pub mod note;
pub mod documents;
pub mod decision;
pub mod enrolled;
pub mod look;
mod limit;
pub mod api;
pub mod hold;
pub mod inspection;
pub mod event;
pub mod rotation;
pub mod chain;
pub mod receipt;
pub mod wire;
pub mod card_authentication;
pub mod outbox;
pub mod verify;
pub mod act;
mod watch;
mod card_check;
mod visit;
mod desk;
mod enrolment;
pub mod terminal;
