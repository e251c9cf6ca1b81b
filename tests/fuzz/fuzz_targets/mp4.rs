//! Any bytes, read as fragmented MP4.
#![no_main]

#[path = "../properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::mp4(bytes));
