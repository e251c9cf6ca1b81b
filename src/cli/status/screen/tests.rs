//! A usual node on a usual terminal.

use console::{measure_text_width, strip_ansi_codes};
use serde_json::json;

use super::*;

fn status() -> Status {
    let job = |kind: &str, of: Option<&str>, state: &str, doing: &str| {
        json!({
            "kind": kind, "of": of, "state": state, "doing": doing, "since": "2019-11-13T02:00:00.000000Z",
            "next": "2019-11-13T02:10:30.000000Z", "done": 3, "total": 10, "steps": 4, "failures": 0, "failures_in_all": 0,
            "worked_seconds": 1.0, "deadline_seconds": 60.0
        })
    };
    let visitor = |name: &str, running: bool| {
        json!({
            "name": name, "cycle": 3, "running": running, "hours_done": 4, "share_done": 0.455, "worked_seconds": 1.0,
            "seconds_left": 172_800.0, "minimum_cycle_seconds": 300.0, "next_work": "2019-11-13T02:02:09.000000Z",
            "next_cycle": "2019-11-13T02:04:00.000000Z", "found": { "read": 7, "put": 0 }, "history": []
        })
    };
    let peer = |name: &str, state: &str| {
        json!({
            "name": name, "url": "http://a", "state": state, "trusted": true, "rounds": 3, "failures": 0,
            "hours_done": 4, "hours_total": 9, "fetched": 1, "bytes": 2, "requests": 3, "seconds": 4.0,
            "fetched_in_all": 12_000, "bytes_in_all": 1_u64 << 33, "tombstones_in_all": 0, "errors_in_all": 1,
            "behind_segments": 0, "behind_seconds": 0.0, "complete_round": "2019-11-13T01:59:00.000000Z"
        })
    };
    let stream = |quality: &str| {
        json!({
            "channel": "desertbus", "quality": quality, "hours": 100, "first_hour": "2019-11-09T00",
            "last_hour": "2019-11-13T02", "segments": 86_400, "bytes": 1_u64 << 40, "seconds": 1.0, "bad": 0,
            "tombstones": 0, "last_day": { "covered_seconds": 86_000.0, "holes": 1, "hole_seconds": 8.5 }
        })
    };
    let told = json!({
        "name": "hut", "version": "0.1.0", "started": "2019-11-10T02:00:00.000000Z", "base_dir": "/archive", "ready": true,
        "index": { "state": "good", "file_bytes": 1 << 24, "epoch": "00", "seq": 12_345, "set_aside": [] },
        "crawl": { "state": "resting", "cycle": 3, "hours_done": 400, "hours_total": 400,
            "next_cycle": "2019-11-13T02:04:00.000000Z", "works": "scrub",
            "visitors": [visitor("reconcile", false), visitor("scrub", true)] },
        "watch": { "watches": 9, "events": 1_000, "overflows": 0, "unwatched": 0 },
        "disk": { "state": "there", "free_bytes": 1_u64 << 41, "total_bytes": 1_u64 << 43 },
        "jobs": [
            job("backfill", Some("north"), "waiting", "following"),
            job("backfill", Some("south"), "working", "compares and fetches"),
            job("maps", None, "waiting", "the maps are as the archive is"),
            job("reasons", None, "resting", "up to date"),
            job("retention", None, "waiting", "waits for the next run"),
            job("sentinel", None, "waiting", "the disk is available"),
        ],
        "peers": [peer("north", "following"), peer("south", "round")],
        "streams": [stream("source"), stream("480p")],
        "troubles": []
    });
    serde_json::from_value(told).unwrap()
}

/// All lines of a screen.
fn lines(status: &Status, now: Timestamp, paint: ColourWriter) -> Vec<String> {
    let (problems, others) = super::lines(status, now, paint);
    problems.into_iter().chain(others).collect()
}

fn at(minute: i64) -> Timestamp {
    Timestamp::parse("2019-11-13T02:00:00").unwrap() + crate::archive::Span::from_us(minute * 60_000_000)
}

#[test]
fn a_usual_node_is_one_screen() {
    let lines = lines(&status(), at(2), ColourWriter { colour: false });
    let text = lines.join("\n");
    assert!(lines.len() <= 28, "{}\n{text}", lines.len());
    for line in &lines {
        assert!(measure_text_width(line) <= 80, "{line}");
    }
    for words in [
        "hut  gapless 0.1.0  ready  runs for 3days 2m",
        "all is well",
        "next in 2m",
        "backfill north  waiting  2m     8m 30s        -  following",
        "backfill south  working  2m     -",
        "compares and fetches (3 of 10)",
        "4 of 9 h",
        "3m ago",
        "reconcile  resting      3       -  -      2m       7 read",
        "scrub      working      3  45.5 %  2days  9s       7 read",
        "1 hole, 8.5 s",
        "2019-11-09T00 to 2019-11-13T02",
    ] {
        assert!(text.contains(words), "{words} in\n{text}");
    }
}

#[test]
fn colour_changes_no_word_and_strange_names_steer_nothing() {
    let mut status = status();
    let problem =
        |level: &str, what: &str| json!({ "kind": "peer", "level": level, "what": what, "advice": "\u{9b}5m" });
    let problems = json!([problem("error", "\u{1b}[2Jno"), problem("notice", "look")]);
    status.problems = serde_json::from_value(problems).unwrap();
    status.name = "\u{9b}5m\r".to_owned();
    status.peers[0].name = "\u{202e}evil".to_owned();
    status.jobs[0].of = Some("\u{202e}evil".to_owned());
    (status.jobs[0].failures, status.jobs[0].error) = (2, Some("\u{7}it\nrains".to_owned()));
    status.jobs[1].overdue_seconds = Some(100.0);
    let plain = lines(&status, at(2), ColourWriter { colour: false }).join("\n");
    assert!(!plain.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{plain:?}");
    assert!(
        plain.contains("error: \\x1b[2Jno\n  → \\x9b5m\nnotice: look") && plain.contains("\\x07it\\nrains"),
        "{plain}"
    );
    assert!(plain.contains("hangs"), "{plain}");
    let colourful = lines(&status, at(2), ColourWriter { colour: true }).join("\n");
    assert_ne!(colourful, plain);
    assert_eq!(strip_ansi_codes(&colourful), plain);
}

#[test]
fn all_is_well_only_where_nothing_is_known_to_be_wrong() {
    let shown = |status: &Status| lines(status, at(2), ColourWriter { colour: false }).join("\n");
    let mut status = status();
    status.ready = false;
    assert!(!shown(&status).contains("all is well"));
    status.ready = true;
    status.problems =
        serde_json::from_value(json!([{ "kind": "empty", "level": "notice", "what": "nothing" }])).unwrap();
    assert!(shown(&status).contains("notice: nothing") && !shown(&status).contains("all is well"));
    status.problems.clear();
    status.troubles.push("of an older node".to_owned());
    assert!(shown(&status).contains("wrong: of an older node"), "a node that has no list of problems");
}
