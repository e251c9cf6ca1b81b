//! Several recorders of a source that tells no times: they agree on names, and equal content under other starts is not fetched twice.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::recording::{in_order, recorded};
use crate::support::origin::Origin;
use crate::support::{Plan, SOON, TestArchive, TestNode, eventually, gapless};

/// Segments of 2 s from then on, each with the content that its letter means.
fn archive_of(letters: &str, from: DateTime<Utc>) -> TestArchive {
    let archive = TestArchive::empty();
    for (at, letter) in (0..).zip(letters.chars()).filter(|(_, letter)| *letter != '.') {
        let start = from + TimeDelta::seconds(at * 2);
        let (hour, time) = (start.format("c/source/%Y-%m-%dT%H").to_string(), start.format("%M:%S%.3f"));
        archive.named(&hour, &format!("{time}-2.0-full"), "ts", letter.to_string().repeat(188).as_bytes());
    }
    archive
}

/// Names by their letters, as all contents are different; and how many files there are.
fn names(archive: &TestArchive) -> (BTreeMap<char, String>, usize) {
    let all = recorded(archive, "c/source");
    let by_letter = all.iter().map(|(path, bytes)| (char::from(bytes[0]), path.clone())).collect();
    (by_letter, all.len())
}

/// Which contents there are, each once.
fn contents(archive: &TestArchive) -> String {
    let (names, files) = names(archive);
    assert_eq!(names.len(), files, "some content is there twice: {names:?}");
    names.into_keys().collect()
}

fn beside(archive: &TestArchive, other: &TestNode) -> Plan {
    let plan = TestNode::plan(archive).flag("--peer").flag(format!("first=http://{}", other.address));
    plan.env("GAPLESS_NAME", "second")
}

fn first_peer(node: &TestNode) -> Value {
    node.get("/api/v1/status").json()["peers"][0].clone()
}

#[test]
fn what_two_recorders_named_differently_is_exchanged_without_twins_and_the_difference_is_shown() {
    let from = Utc::now() - TimeDelta::seconds(90);
    let (one, two) = (archive_of("abc.efghij", from), archive_of("ab.defghi.", from + TimeDelta::milliseconds(400)));
    let second = TestNode::start(&two);
    let peer_second = format!("second=http://{}", second.address);
    let done = gapless(one.path(), &["backfill", "--once", "--peer", &peer_second, "--recent-cutoff", "0s"]);
    assert_eq!(done.code, 0, "{done:?}");
    second.terminate();
    let first = TestNode::start(&one);
    let second = beside(&two, &first).env("GAPLESS_BACKFILL_RECENT_CUTOFF", "0s").start();
    assert_eq!(contents(&one), "abcdefghij");
    eventually(SOON, || contents(&two) == "abcdefghij");
    eventually(SOON, || first_peer(&second)["state"] == "following");
    let peer = first_peer(&second);
    assert_eq!((&peer["fetched_in_all"], &peer["behind_segments"]), (&2.into(), &0.into()), "{peer}");
    let skew = &peer["skews"][0];
    assert_eq!(skew["channel"], "c", "{peer}");
    assert!((skew["later_seconds"].as_f64().unwrap() + 0.4).abs() < 1e-6 && skew["segments"] == 7, "{skew}");
    let metrics = second.get("/metrics");
    assert!(
        metrics.text().contains(r#"gapless_recorder_skew_seconds{channel="c",quality="source",remote="first"} -0.4"#)
    );
    let explained = second.run(&["explain", &names(&one).0[&'a'], "--peer", &format!("http://{}", first.address)]);
    assert!(explained.out.contains("under another start"), "{explained:?}");
}

#[test]
fn a_recorder_that_begins_beside_another_places_the_same_contents_where_that_has_them_although_no_times_are_told() {
    let mut origin = Origin::new(0, 0);
    origin.encode(300, &["-hls_list_size", "4"]);
    let (one, two) = (TestArchive::empty(), TestArchive::empty());
    let record = format!("[[record]]\nchannel = \"c\"\nsource = \"{}\"\n", origin.url("live.m3u8"));
    let first = TestNode::plan(&one).config(&record).start();
    eventually(SOON, || recorded(&one, "c/source").len() >= 2);
    let second = beside(&two, &first).start();
    eventually(SOON, || first_peer(&second)["state"] == "following");
    let order = json!({"channel": "c", "source": origin.url("live.m3u8")});
    assert_eq!(second.post("/api/v1/recorders/start", Some(&second.own_token()), &order).status, 200);
    eventually(SOON, || recorded(&two, "c/source").len() >= 7);
    let (ours, theirs) = (recorded(&one, "c/source"), recorded(&two, "c/source"));
    let (ours_in_order, theirs_in_order) = (in_order(&ours), in_order(&theirs));
    let of_the_first =
        |bytes: &[u8]| ours_in_order.iter().find(|(.., other)| *other == bytes).map(|(start, ..)| *start);
    let both = theirs_in_order.iter().filter_map(|(start, _, bytes)| Some(start - of_the_first(bytes)?));
    let differ: Vec<i64> = both.collect();
    assert!(
        differ.len() >= 4 && differ[0] == 0,
        "{differ:?} {ours:?} {theirs:?}",
        ours = ours.keys(),
        theirs = theirs.keys()
    );
    // What each lets out of its own drift.
    assert!(differ.iter().all(|us| us.abs() < 100_000), "{differ:?}");
    // Each content is there once, one after the other.
    let contents: BTreeSet<&Vec<u8>> = theirs.values().collect();
    assert_eq!(contents.len(), theirs.len(), "{:?}", theirs.keys());
    let gaps: Vec<i64> = theirs_in_order.windows(2).map(|pair| pair[1].0 - (pair[0].0 + pair[0].1)).collect();
    assert!(gaps.iter().all(|gap| gap.abs() <= 10_000), "{gaps:?} {differ:?} {:?}", theirs.keys());
}
