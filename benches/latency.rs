//! How soon does a segment that one node has stand in the lists of the others? `scripts/bench-replication latency` starts the nodes.
//!
//! `cargo bench --bench latency -- DIR SECONDS RATE BYTES QUALITIES URL…` renames `RATE` segments a second into so many qualities of the
//! archive `DIR`, one after the other, which the node at the first URL serves, and waits at the change feeds of all: what is in a feed is in the
//! lists from the same commit on. At the end each list is compared. Prints a row for the node itself with the processor time that its process,
//! `PROCESS`, took, and one for the others together. What the first segments of new directories cost is not counted.

#![expect(clippy::expect_used, reason = "a bench stops where something is wrong")]
#![expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 do not occur")]

mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gapless::archive::{AnyFile, Hash, Timestamp};
use gapless::wire::ChangeList;
use sha2::{Digest as _, Sha256};

/// How long the last segment may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// In which Linux counts processor time, in a second, on every machine of today (`getconf CLK_TCK`).
const TICKS: f64 = 100.0;
/// How long ago a segment began when it is written: it has ended.
const AGE_US: i64 = 2_500_000;

type Times = HashMap<String, Instant>;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [directory, seconds, rate, bytes, qualities, urls @ ..] = arguments.as_slice() else {
        // `cargo bench` without arguments runs all benches; without nodes there is nothing to measure here.
        return;
    };
    let [seconds, rate, bytes, qualities]: [u32; 4] =
        [seconds, rate, bytes, qualities].map(|number| number.parse().expect("a number"));
    rustls::crypto::ring::default_provider().install_default().expect("no other provider");
    let http = reqwest::Client::new();
    let pace = Pace { rate, bytes, qualities };
    write_and_follow(&http, directory, urls, qualities as usize, pace).await;
    let before = cpu();
    let (written, listed) = write_and_follow(&http, directory, urls, (seconds * rate) as usize, pace).await;
    let took = (cpu() - before) / written.len() as f64 * 1e3;
    for url in urls {
        let missing = missing(&http, url, &written).await;
        assert!(missing.is_empty(), "{url} does not list {missing:?}");
    }
    let (here, others) = listed.split_first().expect("at least one node");
    println!(
        "{} {took:.3} ms of CPU each there | |",
        row("there", &written, std::slice::from_ref(here), pace, urls.len())
    );
    if !others.is_empty() {
        println!("{} | |", row("on the others", &written, others, pace, urls.len()));
    }
}

/// How segments are written.
#[derive(Clone, Copy)]
struct Pace {
    rate: u32,
    bytes: u32,
    qualities: u32,
}

/// Writes so many; tells when each was written, and when each node listed it.
async fn write_and_follow(
    http: &reqwest::Client,
    directory: &str,
    urls: &[String],
    count: usize,
    pace: Pace,
) -> (Times, Vec<Times>) {
    let mut followers = Vec::new();
    for url in urls {
        let list = changes(http, url, "").await;
        followers.push(tokio::spawn(follow(http.clone(), url.clone(), list, count)));
    }
    let archive = PathBuf::from(directory);
    let written = tokio::task::spawn_blocking(move || write(&archive, count, pace)).await.expect("all are written");
    let mut listed = Vec::new();
    for follower in followers {
        listed.push(follower.await.expect("all are listed"));
    }
    (written, listed)
}

/// Processor time of the first node in seconds, its own and the kernel's for it.
fn cpu() -> f64 {
    let process = std::env::var("PROCESS").expect("PROCESS is the number of the first node's process");
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("the node runs");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    ticks as f64 / TICKS
}

/// Renames segments into place at an even pace; tells when each was.
fn write(archive: &Path, count: usize, Pace { rate, bytes, qualities }: Pace) -> Times {
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
        let quality = format!("q{}", number % qualities);
        let place = archive.join("bench").join(&quality).join(&hour);
        let name = AnyFile::Segment(segment).name();
        std::fs::create_dir_all(&place).expect("a directory");
        let hidden = place.join(format!(".{name}.part"));
        std::fs::write(&hidden, &content).expect("a file");
        let file = format!("{quality}/{hour}/{name}");
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
            listed.entry(format!("{}/{}/{}", change.quality, change.hour, change.name)).or_insert(now);
        }
    }
    listed
}

/// What is not in the node's lists.
async fn missing(http: &reqwest::Client, url: &str, written: &Times) -> Vec<String> {
    let mut lists: HashMap<&str, Vec<String>> = HashMap::new();
    let mut missing = Vec::new();
    for file in written.keys() {
        let (hour, name) = file.rsplit_once('/').expect("an hour and a name");
        if !lists.contains_key(hour) {
            let answer = http.get(format!("{url}/files/bench/{hour}")).send().await.expect("an answer");
            lists.insert(hour, answer.json().await.expect("a list"));
        }
        if !lists.get(hour).is_some_and(|names| names.iter().any(|listed| listed == name)) {
            missing.push(file.clone());
        }
    }
    missing
}

fn row(on: &str, written: &Times, nodes: &[Times], Pace { rate, qualities, .. }: Pace, count: usize) -> String {
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
        "| new segment on one of {count} nodes → listed {on}, {rate} a second in {qualities} qualities, {} times | p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms |",
        took.len(),
        at(50),
        at(99),
        at(100)
    )
}
