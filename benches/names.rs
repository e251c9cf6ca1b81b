//! How fast are names read and written? Beside it, the naive way: splitting into strings and parsing floats.

#![expect(clippy::expect_used, reason = "a bench stops where something is wrong")]

mod support;

use std::hint::black_box;

use gapless::archive::totals::HourTotals;
use gapless::archive::{HourContents, best_per_start, parse_file_name};

fn naive(name: &str) -> Option<(f64, f64, String, Vec<u8>)> {
    use base64::Engine as _;
    let stem = name.strip_suffix(".ts")?;
    let parts: Vec<String> = stem.splitn(4, '-').map(str::to_owned).collect();
    let [time, duration, kind, hash] = parts.as_slice() else { return None };
    let (minutes, seconds) = time.split_once(':')?;
    let start = minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?;
    Some((
        start,
        duration.parse().ok()?,
        kind.clone(),
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(hash).ok()?,
    ))
}

fn main() {
    let names: Vec<String> = (0..support::PER_HOUR).map(|number| support::name(7, number)).collect();
    let contents = support::contents(7);
    println!("an hour of {} names:", names.len());
    let understood =
        |name: &&String| matches!(parse_file_name(black_box(name)), gapless::archive::FileName::Understood(_));
    support::measure("read", || names.iter().filter(understood).count());
    support::measure("read, the naive way", || names.iter().filter(|name| naive(black_box(name)).is_some()).count());
    support::measure("read, sorted into an hour", || {
        HourContents::from_names(names.iter().map(|name| (name.as_str(), 1))).len()
    });
    support::measure("written as a listing", || {
        let mut bytes = 0;
        contents.for_each_listed(false, |name| bytes += name.len());
        bytes
    });
    support::measure("totals and digest", || HourTotals::of(black_box(&contents)));
    support::measure("best per start", || best_per_start(black_box(&contents)).len());
}
