//! The small archive of real video, whose listings and best sequences were written down by other tools of this field.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use gapless::archive::{Hour, HourContents, SequencePiece, Span, Timestamp, best_per_start, best_sequence};
use serde_json::Value;

use crate::support::{TestArchive, TestNode, invariants, quoted};

const QUALITIES: [&str; 2] = ["source", "480p"];

fn expected(quality: &str) -> Value {
    let file = format!("tests/expected/a-{quality}.expected.json");
    serde_json::from_slice(&fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()).unwrap()
}

fn names(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn set(names: &[String]) -> BTreeSet<&str> {
    names.iter().map(String::as_str).collect()
}

#[test]
fn every_listing_is_the_one_that_was_written_down() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    assert_eq!(node.files(""), ["desertbus"]);
    assert_eq!(node.files("desertbus"), ["480p", "chat", "source"]);
    for quality in QUALITIES {
        let expected = expected(quality);
        let stream = format!("desertbus/{quality}");
        assert_eq!(node.files(&stream), names(&expected["hours"]));
        for (hour, lists) in expected["files"].as_object().unwrap() {
            let place = format!("{stream}/{hour}");
            let (plain, all) = (node.files(&place), node.files_with_tombstones(&place));
            assert_eq!(set(&plain), set(&names(&lists["plain"])), "{place}");
            assert_eq!(set(&all), set(&names(&lists["tombstones"])), "{place} with tombstones");
            // The order is ours to keep: by start, what cannot be read last.
            assert_eq!(plain, archive.listing(&place, false));
            assert_eq!(all, archive.listing(&place, true));
        }
    }
    node.wait_ready();
    invariants::hold(&archive, &node);
}

#[test]
fn every_listed_file_is_served_to_the_byte_and_every_tombstoned_one_is_gone() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    let mut connection = node.connect();
    let (mut served, mut gone) = (0, 0);
    for hour in archive.all_hours() {
        for name in node.files(&hour) {
            let response = connection.request("GET", &format!("/segments/{}", quoted(&format!("{hour}/{name}"))), &[]);
            assert_eq!(response.status, 200, "{hour}/{name}");
            assert!(response.body == archive.read(&format!("{hour}/{name}")), "{hour}/{name} is not the file");
            let expected = if hour.contains("/chat/") { "application/json" } else { "video/MP2T" };
            assert_eq!(response.header("content-type"), Some(expected), "{hour}/{name}");
            served += 1;
        }
        for tombstone in node.files_with_tombstones(&hour).iter().filter(|name| name.ends_with(".tombstone")) {
            // Gone whether the bytes still lie there or not.
            let extension = if hour.contains("/chat/") { "json" } else { "ts" };
            let path = format!("{hour}/{}", tombstone.replace("tombstone", extension));
            let response = connection.request("GET", &format!("/segments/{}", quoted(&path)), &[]);
            assert_eq!(response.problem(410).0, "/problems/tombstoned", "{path}");
            gone += 1;
        }
    }
    assert!(served > 1_000 && gone > 10, "{served} served, {gone} gone");
}

#[test]
fn temporary_hidden_bad_and_foreign_files_are_treated_as_the_rules_say() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    let hour = "desertbus/480p/2019-11-13T03";
    let fetch = |name: &str| node.get(&format!("/segments/{hour}/{name}"));
    fetch("01:41.002001-2.0-temp-J0ibKOH-8-rP65WiLJ1VLp71jCN-i81PVJWjfJjUPyo.ts").problem(404);
    fetch(".hidden.ts").problem(403);
    // Listed because other tools list it; whoever asks for it gets it.
    assert!(node.files(hour).contains(&"garbage.ts".to_owned()));
    assert_eq!(fetch("garbage.ts").body, archive.read(&format!("{hour}/garbage.ts")));
    assert!(!node.files(hour).contains(&"notes.txt".to_owned()));
    fetch("55:08.000-2.000-full-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.ts").problem(404);
}

#[test]
fn extras_are_listed_and_served_whatever_their_depth() {
    let archive = TestArchive::sample();
    archive.raw("emotes/.hidden", b"no");
    archive.raw("emotes/.dir/inside", b"no");
    let node = TestNode::start(&archive);
    let list = node.get("/extras/emotes").list();
    assert_eq!(
        list,
        ["425618/dark-2.0", "425618/light-1.0", "emotesv2_0a1b/dark-2.0", "emotesv2_0a1b/light-1.0"].map(str::to_owned)
    );
    for name in list {
        let path = format!("emotes/{name}");
        assert_eq!(node.get(&format!("/segments/{path}")).body, archive.read(&path));
    }
    assert_eq!(node.get("/extras/emotes/425618").list(), ["dark-2.0", "light-1.0"]);
    assert_eq!(node.get("/extras/blogs").list().len(), 1);
    assert!(node.get("/extras/nothing").list().is_empty());
    node.get("/extras/.gapless").problem(403);
}

#[test]
fn what_does_not_exist_lists_as_nothing() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    for place in
        ["nobody", "nobody/source", "nobody/source/2019-11-13T02", "desertbus/8k", "desertbus/8k/2019-11-13T02"]
    {
        assert!(node.files(place).is_empty(), "{place}");
    }
    for hour in ["2001-01-01T00", "2019-11-13T24", "garbage", "2019-11-13", "emotes"] {
        assert!(node.files(&format!("desertbus/source/{hour}")).is_empty(), "{hour}");
    }
    assert!(node.files("emotes").is_empty(), "a directory of extras is no channel");
}

#[test]
fn tombstones_are_asked_for_by_true_and_false_in_any_case() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    let hour = "desertbus/source/2019-11-13T02";
    let (plain, all) = (archive.listing(hour, false), archive.listing(hour, true));
    assert_ne!(plain, all);
    let ask = |value: &str| node.get(&format!("/files/{hour}?tombstones={value}"));
    for value in ["true", "TRUE", "True"] {
        assert_eq!(ask(value).list(), all, "{value}");
    }
    for value in ["false", "FALSE", "fAlSe"] {
        assert_eq!(ask(value).list(), plain, "{value}");
    }
    for value in ["maybe", "1", "", "yes", "%74rue%00"] {
        let (kind, detail) = ask(value).problem(400);
        assert_eq!(kind, "/problems/bad-parameter");
        assert!(detail.contains("tombstones"), "{detail}");
    }
    assert_eq!(node.get(&format!("/files/{hour}?unknown=1&tombstones=%74rue")).list(), all);
}

#[test]
fn the_best_sequences_of_the_directory_are_those_that_were_written_down() {
    for quality in QUALITIES {
        let stream = TestArchive::sample_path().join("desertbus").join(quality);
        let contents = |hour: Hour| {
            let Ok(entries) = fs::read_dir(stream.join(hour.to_string())) else { return HourContents::default() };
            let files: Vec<(String, u64)> = entries
                .map(Result::unwrap)
                .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
                .collect();
            HourContents::from_names(files.iter().map(|(name, size)| (name.as_str(), *size)))
        };
        sequences_agree(quality, &contents);
    }
}

#[test]
fn the_best_sequences_of_what_a_node_answers_are_those_that_were_written_down() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    for quality in QUALITIES {
        let page = node.get(&format!("/api/v1/segments/desertbus/{quality}?limit=10000")).json();
        assert!(page.get("next").is_none());
        let contents = |hour: Hour| {
            let records = page["segments"].as_array().unwrap().iter();
            let here = records.filter(|record| record["hour"] == hour.to_string());
            HourContents::from_names(
                here.map(|record| (record["name"].as_str().unwrap(), record["size"].as_u64().unwrap())),
            )
        };
        sequences_agree(quality, &contents);
    }
}

fn sequences_agree(quality: &str, contents: &dyn Fn(Hour) -> HourContents) {
    let expected = expected(quality);
    for (range, pieces) in expected["sequences"].as_object().unwrap() {
        let (start, end) = range.split_once('/').unwrap();
        let (start, end) = (Timestamp::parse(start).unwrap(), Timestamp::parse(end).unwrap());
        let mut best = Vec::new();
        let mut hour = (start - Span::from_us(3_600_000_000)).hour();
        while hour.start() < end {
            let here = contents(hour);
            best.extend(best_per_start(&here).into_iter().map(|file| SequencePiece { hour, file: file.clone() }));
            hour = hour.next();
        }
        let sequence: Vec<Value> = best_sequence(best, start, end)
            .into_iter()
            .map(|piece| piece.map_or(Value::Null, |piece| format!("{}/{}", piece.hour, piece.file.name()).into()))
            .collect();
        assert_eq!(&Value::from(sequence), pieces, "{quality} {range}");
    }
}
