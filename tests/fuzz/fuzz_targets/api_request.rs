//! Hands the fuzzer's bytes to the target `api_request`. Never does anything else.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| zhenyin_fuzz::fuzz_targets::evidence::api_request(data));
