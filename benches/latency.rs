//! How soon does a segment that one node has stand in the lists of the others? `scripts/bench-replication latency` starts the nodes.
//!
//! `cargo bench --bench latency -- DIR SECONDS RATE BYTES URL…` renames `RATE` segments a second into the archive `DIR`, which the node
//! at the first URL serves, and waits at the change feeds of all: what is in a feed is in the lists from the same commit on. At the
//! end each list is compared. Prints a row for the node itself and one for the others together.

#![expect(clippy::expect_used, reason = "a bench stops where something is wrong")]

mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gapless::archive::{AnyFile, Hash, Timestamp};
use gapless::wire::ChangeList;
use sha2::{Digest as _, Sha256};

/// How long the last segment may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long ago a segment began when it is written: it has ended.
const AGE_US: i64 = 2_500_000;

type Times = HashMap<String, Instant>;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [directory, seconds, rate, bytes, urls @ ..] = arguments.as_slice() else {
        // `cargo bench` without arguments runs all benches; without nodes there is nothing to measure here.
        return;
    };
    let [seconds, rate, bytes]: [u32; 3] = [seconds, rate, bytes].map(|number| number.parse().expect("a number"));
    rustls::crypto::ring::default_provider().install_default().expect("no other provider");
    let http = reqwest::Client::new();
    let count = (seconds * rate) as usize;
    let mut followers = Vec::new();
    for url in urls {
        let list = changes(&http, url, "").await;
        followers.push(tokio::spawn(follow(http.clone(), url.clone(), list, count)));
    }
    let archive = PathBuf::from(directory);
    let writing = tokio::task::spawn_blocking(move || write(&archive, count, rate, bytes));
    let written = writing.await.expect("all are written");
    let mut listed = Vec::new();
    for follower in followers {
        listed.push(follower.await.expect("all are listed"));
    }
    for url in urls {
        let missing = missing(&http, url, &written).await;
        assert!(missing.is_empty(), "{url} does not list {missing:?}");
    }
    let (here, others) = listed.split_first().expect("at least one node");
    println!("{}", row("there", &written, std::slice::from_ref(here), rate, urls.len()));
    println!("{}", row("on the others", &written, others, rate, urls.len()));
}

/// Renames segments into place at an even pace; tells when each was.
fn write(archive: &Path, count: usize, rate: u32, bytes: u32) -> Times {
    let (mut written, mut content) = (Times::new(), vec![0x47; bytes as usize]);
    let begun = Instant::now();
    for number in 0..u32::try_from(count).expect("below 4 billion") {
        std::thread::sleep((begun + Duration::from_secs(1) / rate * number).saturating_duration_since(Instant::now()));
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let at = i64::try_from(since.as_micros()).expect("before the year 200,000") - AGE_US;
        for (byte, own) in content.iter_mut().zip(at.to_be_bytes()) {
            *byte = own;
        }
        let mut segment = support::segment(0, 0);
        segment.key.start_us = u32::try_from(at % 3_600_000_000).expect("within an hour");
        segment.key.hash = Hash(Sha256::digest(&content).into());
        let hour = Timestamp::from_us(at).hour().to_string();
        let (place, name) = (archive.join("bench/q0").join(&hour), AnyFile::Segment(segment).name());
        std::fs::create_dir_all(&place).expect("a directory");
        let hidden = place.join(format!(".{name}.part"));
        std::fs::write(&hidden, &content).expect("a file");
        let file = format!("{hour}/{name}");
        written.insert(file, Instant::now());
        std::fs::rename(&hidden, place.join(&name)).expect("a rename");
    }
    written
}

async fn changes(http: &reqwest::Client, url: &str, query: &str) -> ChangeList {
    let answer = http.get(format!("{url}/api/v1/changes?{query}")).send().await.expect("an answer");
    answer.error_for_status().expect("changes").json().await.expect("a list of changes")
}

/// Waits until so many files are listed; tells when each was.
async fn follow(http: reqwest::Client, url: String, mut list: ChangeList, count: usize) -> Times {
    let (mut listed, mut heard) = (Times::new(), Instant::now());
    while listed.len() < count && heard.elapsed() < PATIENCE {
        let query = format!("after={}&epoch={}&wait=10", list.next, list.epoch);
        list = changes(&http, &url, &query).await;
        let now = Instant::now();
        assert!(!list.gap, "{url} has a gap in its changes");
        for change in &list.changes {
            heard = now;
            listed.entry(format!("{}/{}", change.hour, change.name)).or_insert(now);
        }
    }
    listed
}

/// What is not in the node's lists.
async fn missing(http: &reqwest::Client, url: &str, written: &Times) -> Vec<String> {
    let mut lists: HashMap<&str, Vec<String>> = HashMap::new();
    let mut missing = Vec::new();
    for file in written.keys() {
        let (hour, name) = file.split_once('/').expect("an hour and a name");
        if !lists.contains_key(hour) {
            let answer = http.get(format!("{url}/files/bench/q0/{hour}")).send().await.expect("an answer");
            lists.insert(hour, answer.json().await.expect("a list"));
        }
        if !lists.get(hour).is_some_and(|names| names.iter().any(|listed| listed == name)) {
            missing.push(file.clone());
        }
    }
    missing
}

fn row(on: &str, written: &Times, nodes: &[Times], rate: u32, count: usize) -> String {
    let mut took: Vec<Duration> = nodes
        .iter()
        .flat_map(|listed| {
            written.iter().filter_map(|(file, at)| Some(listed.get(file)?.saturating_duration_since(*at)))
        })
        .collect();
    took.sort_unstable();
    let at = |percent: usize| {
        let place = (took.len() * percent / 100).min(took.len().saturating_sub(1));
        took.get(place).map_or(f64::NAN, Duration::as_secs_f64) * 1e3
    };
    format!(
        "| new segment on one of {count} nodes → listed {on}, {rate} a second, {} times | p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms | | |",
        took.len(),
        at(50),
        at(99),
        at(100)
    )
}
