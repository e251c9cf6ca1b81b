//! How fast are names read and written? Beside it, the naive way: splitting into strings and parsing floats.

#![expect(clippy::expect_used, reason = "a bench stops where something is wrong")]

mod support;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gapless::domain::totals::HourTotals;
use gapless::domain::{HourContents, best_per_start, parse_file_name};

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

fn names(criterion: &mut Criterion) {
    let names: Vec<String> = (0..support::PER_HOUR).map(|number| support::name(7, number)).collect();
    let contents = support::contents(7);
    let mut group = criterion.benchmark_group("an hour of names");
    group.throughput(Throughput::Elements(u64::from(support::PER_HOUR)));
    group.bench_function("read", |bencher| {
        bencher.iter(|| {
            names
                .iter()
                .filter(|name| matches!(parse_file_name(black_box(name)), gapless::domain::FileName::Understood(_)))
                .count()
        });
    });
    group.bench_function("read, the naive way", |bencher| {
        bencher.iter(|| names.iter().filter(|name| naive(black_box(name)).is_some()).count());
    });
    group.bench_function("read, sorted into an hour", |bencher| {
        bencher.iter(|| HourContents::from_names(names.iter().map(|name| (name.as_str(), 1))).len());
    });
    group.bench_function("written as a listing", |bencher| {
        bencher.iter(|| {
            let mut bytes = 0;
            contents.for_each_listed(false, |name| bytes += name.len());
            bytes
        });
    });
    group.bench_function("totals and digest", |bencher| bencher.iter(|| HourTotals::of(black_box(&contents))));
    group.bench_function("best per start", |bencher| bencher.iter(|| best_per_start(black_box(&contents)).len()));
    group.finish();
}

criterion_group!(benches, names);
criterion_main!(benches);
