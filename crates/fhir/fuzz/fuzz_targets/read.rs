//! `cargo +nightly fuzz run read`: the run that `tests/fuzz_target.rs` makes on fixed inputs.
#![no_main]

#[path = "../../tests/fuzz_one/mod.rs"]
mod fuzz_one;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_one::fuzz_one(data));
