//! What fuzzing has found, and what leads it to all parts of the reader: replayed, so that none of it comes again. `scripts/fuzz` looks for more.

use std::fs;
use std::path::Path;

#[path = "../fuzz/properties.rs"]
mod properties;

fn replay(target: &str, property: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&corpus).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        property(&fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 50, "{} holds {count} files", corpus.display());
}

#[test]
fn whatever_bytes_were_found_are_read_as_they_must_be() {
    replay("reader", properties::reader);
}

#[test]
fn whatever_was_read_of_them_is_written_and_read_again() {
    replay("writer", properties::writer);
}

#[test]
fn whatever_segments_were_found_are_cut_as_they_must_be() {
    replay("plan", properties::plan);
}

#[test]
fn whatever_fragments_were_found_are_read_as_they_must_be() {
    replay("mp4", properties::mp4);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn whatever_the_segments_are_no_picture_is_lost_or_doubled(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..900)) {
        properties::plan(&bytes);
    }
}
