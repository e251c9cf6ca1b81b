//! Names for property tests: few distinct times, durations and hashes, so that they meet.

use proptest::prelude::*;

use super::segment::Hash;

/// A hash that is this number.
pub fn hash_text(number: u8) -> String {
    Hash([number; 32]).to_string()
}

/// A name of an hour directory: mostly segments, with everything else that lies around.
pub fn any_name() -> impl Strategy<Value = String> {
    let stem = (
        prop::sample::select(vec!["00:00", "00:00.0", "00:02.000000", "00:04.5", "59:59.999999"]),
        prop::sample::select(vec!["2.0", "2", "2.000", "02.0", "0.5", "3600", "2.0000001"]),
        prop::sample::select(vec!["full", "suspect", "partial", "temp", "weird"]),
        0..3_u8,
    )
        .prop_map(|(time, duration, kind, hash)| format!("{time}-{duration}-{kind}-{}", hash_text(hash)));
    let chat = (prop::sample::select(vec!["00:00", "01:00"]), 0..2_u8)
        .prop_map(|(time, hash)| format!("{time}-{}", hash_text(hash)));
    let junk =
        prop::sample::select(vec!["garbage".to_owned(), ".hidden".to_owned(), "a.b".to_owned(), "é\"<&>".to_owned()]);
    let extension = prop::sample::select(vec![".ts", ".ts", ".ts", ".tombstone", ".json", ".txt"]);
    (prop_oneof![6 => stem, 1 => chat, 1 => junk], extension).prop_map(|(stem, extension)| format!("{stem}{extension}"))
}
