//! Not a bench itself: makes the archives that `scripts/bench` and `scripts/bench-replication` measure with.
//!
//! `cargo bench --bench make_archive -- DIR QUALITIES HOURS PER_HOUR BYTES [true]` makes `DIR/bench/qN/HOUR/…`, `HOURS` hours in each
//! quality, `PER_HOUR` segments in each hour, with `BYTES` bytes of content. All have the same content, for which their names do not
//! vouch; with `true` each has its own, and its true hash in its name, so that other nodes take it.

#![expect(clippy::expect_used, reason = "a bench stops where something is wrong")]

mod support;

use std::path::PathBuf;

use gapless::archive::{AnyFile, Hash};
use sha2::{Digest as _, Sha256};

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let is_true = arguments.last().is_some_and(|last| last == "true");
    if is_true {
        arguments.pop();
    }
    let [directory, numbers @ ..] = arguments.as_slice() else {
        // `cargo bench` without arguments runs all benches; there is nothing to measure here.
        return;
    };
    let numbers: Vec<u32> = numbers.iter().map(|number| number.parse().expect("a number")).collect();
    let [qualities, hours, per_hour, bytes]: [u32; 4] =
        numbers.as_slice().try_into().expect("DIR QUALITIES HOURS PER_HOUR BYTES");
    let mut content = vec![0x47; bytes as usize];
    for quality in 0..qualities {
        let mut hour = support::hour(0);
        for number in 0..hours {
            let place = PathBuf::from(directory).join(format!("bench/q{quality}/{hour}"));
            std::fs::create_dir_all(&place).expect("a directory");
            for of_hour in 0..per_hour {
                let mut segment = support::segment(quality << 20 | number, of_hour);
                if is_true {
                    for (byte, own) in content.iter_mut().zip([quality, number, of_hour].map(u32::to_be_bytes).concat())
                    {
                        *byte = own;
                    }
                    segment.key.hash = Hash(Sha256::digest(&content).into());
                }
                std::fs::write(place.join(AnyFile::Segment(segment).name()), &content).expect("a file");
            }
            hour = hour.next();
        }
    }
}
