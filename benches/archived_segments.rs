//! How soon is a segment here that lies in a bucket, and what does it cost to play an hour from there? `scripts/bench-archive` starts the store.
//!
//! `cargo bench --bench archived_segments -- URL PREFIX OBJECT CACHE first NUMBER…` opens the files with these numbers, each by a reader that has nothing
//! in its cache, and prints the median of the seconds until all of one was read. `… played COUNT` reads so many files one after the other, and
//! prints requests, bytes that came, and seconds.

#![expect(clippy::expect_used, reason = "a bench stops where something is wrong")]

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use gapless::archive::{ObjectName, PackedHour};
use gapless::bucket::{Bucket, BucketSettings, CacheBounds, CredentialSource, SegmentCache, SegmentReader};
use gapless::net::tls;
use tokio::runtime::Handle;

const CACHE_BYTES: u64 = 4 << 30;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [url, prefix, object, cache, what, numbers @ ..] = arguments.as_slice() else {
        // `cargo bench` without arguments runs all benches; without a store there is nothing to measure here.
        return;
    };
    let credentials = CredentialSource::of_environment(&|name| std::env::var(name).ok()).expect("an access key");
    let settings = BucketSettings::new(url, "archive", "us-east-1", prefix, false, credentials).expect("a bucket");
    let bucket = Bucket::new(settings, &tls::trusting_nobody().expect("a client")).expect("a client");
    let name = ObjectName::parse(object).expect("the name of an object");
    let size = bucket.size_of(&name).await.expect("an answer").expect("an object");
    let packed = Arc::new(bucket.packed(&name, size).await.expect("a manifest"));
    let numbers: Vec<usize> = numbers.iter().map(|number| number.parse().expect("a number")).collect();
    let reader = |number: usize| {
        let dir = Path::new(cache).join(number.to_string());
        let kept = SegmentCache::open(dir, CacheBounds { limit: CACHE_BYTES, keep_free: 0 });
        SegmentReader::new(bucket.clone(), kept, Handle::current())
    };
    if what == "first" {
        let mut times = Vec::new();
        for number in numbers {
            let (reader, begun) = (reader(number), Instant::now());
            read(&reader, &packed, number).await;
            times.push(begun.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        println!("{:.4}", times[times.len() / 2]);
    } else {
        let (reader, begun) = (reader(0), Instant::now());
        for number in 0..numbers[0] {
            read(&reader, &packed, number).await;
        }
        let figures = reader.figures();
        println!("{} {} {:.2}", figures.requests, figures.fetched_bytes, begun.elapsed().as_secs_f64());
    }
}

async fn read(reader: &SegmentReader, packed: &Arc<PackedHour>, number: usize) {
    let name = &packed.manifest().files()[number].name;
    let mut file: File = reader.open(packed, name).await.expect("a file");
    io::copy(&mut file, &mut io::sink()).expect("all of it");
}
