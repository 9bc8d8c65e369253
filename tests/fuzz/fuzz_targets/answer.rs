//! Hands the fuzzer's bytes to the target `answer`. Never does anything else.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| zhenyin_fuzz::fuzz_targets::evidence::answer(data));
