//! Any bytes, read, written anew as a cut does, and read again.
#![no_main]

#[path = "../properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::writer(bytes));
