//! Not a bench itself: makes the archives that `scripts/bench` measures with.
//!
//! `cargo bench --bench make_archive -- DIR QUALITIES HOURS PER_HOUR BYTES` makes `DIR/bench/qN/HOUR/…`, `HOURS` hours in each quality,
//! `PER_HOUR` segments in each hour, with `BYTES` bytes of content that their names do not vouch for.

#![expect(clippy::expect_used, reason = "a bench stops where something is wrong")]

mod support;

use std::path::PathBuf;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [directory, numbers @ ..] = arguments.as_slice() else {
        // `cargo bench` without arguments runs all benches; there is nothing to measure here.
        return;
    };
    let numbers: Vec<u32> = numbers.iter().map(|number| number.parse().expect("a number")).collect();
    let [qualities, hours, per_hour, bytes]: [u32; 4] =
        numbers.as_slice().try_into().expect("DIR QUALITIES HOURS PER_HOUR BYTES");
    let content = vec![0x47; bytes as usize];
    for quality in 0..qualities {
        let mut hour = support::hour(0);
        for number in 0..hours {
            let place = PathBuf::from(directory).join(format!("bench/q{quality}/{hour}"));
            std::fs::create_dir_all(&place).expect("a directory");
            for segment in 0..per_hour {
                std::fs::write(place.join(support::name(quality << 20 | number, segment)), &content).expect("a file");
            }
            hour = hour.next();
        }
    }
}
