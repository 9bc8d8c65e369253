//! The types and constants of `linux/videodev2.h` that the capture stack names.
//! Generated; never edited by hand: see README.md.

#![allow(clippy::all, non_camel_case_types, non_snake_case, non_upper_case_globals)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64", target_endian = "little")))]
compile_error!("the checked-in V4L2 bindings describe 64-bit little-endian Linux only: run regenerate.sh for this target");

mod bindings;

pub use bindings::*;
