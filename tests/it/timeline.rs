//! What a timeline shows, and that it follows the archive by itself.

use gapless::archive::coverage::CoverageKind;
use serde_json::{Value, json};

use crate::support::{Kind, SOON, TestArchive, TestNode, eventually};

fn timeline(node: &TestNode, stream: &str, query: &str) -> Value {
    node.get(&format!("/api/v1/timeline/{stream}?{query}")).json()
}

/// Missing and not full of each piece.
fn pieces(timeline: &Value) -> Vec<(i64, i64)> {
    let runs = timeline["runs"].as_array().unwrap().iter();
    let pieces: Vec<(i64, i64)> = runs
        .flat_map(|run| {
            let number = |index: usize| run[index].as_i64().unwrap();
            std::iter::repeat_n((number(1), number(2)), usize::try_from(number(0)).unwrap())
        })
        .collect();
    assert_eq!(pieces.len() as u64, timeline["pixels"].as_u64().unwrap());
    pieces
}

#[test]
fn each_hour_of_the_sample_misses_what_its_figures_say() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    node.wait_ready();
    for quality in ["source", "480p"] {
        let stream = format!("desertbus/{quality}");
        let hours = node.get(&format!("/api/v1/coverage/{stream}")).json()["hours"].as_array().unwrap().clone();
        let (first, last) = (hours[0]["hour"].as_str().unwrap(), hours[hours.len() - 1]["hour"].as_str().unwrap());
        let query = format!("from={first}:00:00&to={last}:59:59.999999&pixels={}", hours.len());
        let found = timeline(&node, &stream, &query);
        let missing: Vec<i64> = pieces(&found).into_iter().map(|piece| piece.0).collect();
        for (hour, missing) in hours.iter().zip(&missing) {
            let hole_seconds = hour[CoverageKind::Raw.as_str()]["hole_seconds"].as_f64().unwrap();
            assert_eq!(*missing > 0, hole_seconds > 0.0, "{quality} {hour}");
            if hour["hour"] != hours[0]["hour"] && hour["hour"] != hours[hours.len() - 1]["hour"] {
                // Those inside the extent are an hour long, and edges lie within a microsecond of the hour's.
                let off = i32::try_from(*missing).map(|missing| f64::from(missing) - hole_seconds / 3.6).unwrap();
                assert!((-1.0..=1.0).contains(&off), "{quality} {hour} {missing}");
            }
        }
        let all = timeline(&node, &stream, "");
        assert_eq!(all["pixels"], 1000);
        assert_eq!((&all["from"], &all["to"]), (&found["extent"]["start"], &found["extent"]["end"]));
        assert!(pieces(&all).iter().all(|piece| piece.0 >= 0), "all of it lies inside the extent");
    }
}

#[test]
fn it_follows_the_archive_and_tells_full_from_partial_and_from_nothing() {
    let archive = TestArchive::empty();
    let hour = "harbour/source/2020-01-01T05";
    archive.segment(hour, "00:00", 2.0, Kind::Full);
    archive.segment(hour, "00:02", 2.0, Kind::Partial);
    let last = archive.segment(hour, "00:06", 2.0, Kind::Full);
    let node = TestNode::start(&archive);
    node.wait_ready();
    let see = || pieces(&timeline(&node, "harbour/source", "from=2020-01-01T04:59:58&to=2020-01-01T05:00:10&pixels=6"));
    assert_eq!(see(), [(-1, 0), (0, 0), (0, 1000), (1000, 0), (0, 0), (-1, 0)]);
    let filled = archive.segment(hour, "00:04", 2.0, Kind::Full);
    eventually(SOON, || see() == [(-1, 0), (0, 0), (0, 1000), (0, 0), (0, 0), (-1, 0)]);
    archive.tombstone(&filled);
    eventually(SOON, || see() == [(-1, 0), (0, 0), (0, 1000), (1000, 0), (0, 0), (-1, 0)]);
    archive.remove(&last);
    eventually(SOON, || see() == [(-1, 0), (0, 0), (0, 1000), (-1, 0), (-1, 0), (-1, 0)]);
    archive.segment("harbour/source/2020-01-01T07", "00:00", 2.0, Kind::Full);
    let two_hours = || timeline(&node, "harbour/source", "from=2020-01-01T06&to=2020-01-01T08&pixels=2");
    eventually(SOON, || pieces(&two_hours()) == [(1000, 0), (0, 0)]);
    assert_eq!(
        two_hours()["extent"],
        json!({"start": "2020-01-01T05:00:00.000000Z", "end": "2020-01-01T07:00:02.000000Z"})
    );
}

#[test]
fn the_last_day_is_in_the_status() {
    let archive = TestArchive::empty();
    let now = chrono::Utc::now() - chrono::Duration::hours(3);
    let hour = format!("harbour/source/{}", now.format("%Y-%m-%dT%H"));
    archive.segment(&hour, "10:00", 2.0, Kind::Full);
    archive.segment(&hour, "10:05", 2.0, Kind::Full);
    archive.segment("old/source/2020-01-01T05", "10:05", 2.0, Kind::Full);
    let node = TestNode::start(&archive);
    node.wait_ready();
    let streams = node.get("/api/v1/status").json()["streams"].clone();
    assert_eq!(streams[0]["last_day"], json!({"covered_seconds": 4.0, "holes": 1, "hole_seconds": 3.0}));
    assert_eq!(streams[1]["last_day"], Value::Null);
    let screen = crate::support::gapless(archive.path(), &["status"]);
    assert!(screen.out.contains("1 hole, 3.0 s"), "{}", screen.out);
}

#[test]
fn windows_and_numbers_that_are_none_are_refused_and_wide_ones_cost_nothing() {
    let archive = TestArchive::sample();
    archive.segment("desertbus/source/0000-01-01T00", "00:00", 2.0, Kind::Full);
    archive.segment("desertbus/source/9999-12-31T23", "59:58", 2.0, Kind::Full);
    let node = TestNode::start(&archive);
    node.wait_ready();
    let path = "/api/v1/timeline/desertbus/source";
    for (query, expected) in [
        ("from=2019-11-14&to=2019-11-13", "after from"),
        ("from=2019-11-13&to=2019-11-13", "after from"),
        ("from=noon", "a time such as"),
        ("pixels=0", "1 to 4096"),
        ("pixels=4097", "1 to 4096"),
        ("pixels=-1", "1 to 4096"),
        ("pixels=many", "1 to 4096"),
    ] {
        let (kind, detail) = node.get(&format!("{path}?{query}")).problem(400);
        assert_eq!(kind, "/problems/bad-parameter");
        assert!(detail.contains(expected), "{query}: {detail}");
    }
    assert_eq!(node.get("/api/v1/timeline/desertbus").status, 404);
    let wide = pieces(&timeline(&node, "desertbus/source", "from=0000-01-01&to=9999-12-31T23:59:59&pixels=4096"));
    assert!(wide.iter().all(|piece| (999..=1000).contains(&piece.0)), "ten thousand years, and a few hours of them");
    let nobody = timeline(&node, "nobody/source", "from=2019-11-13&to=2019-11-14&pixels=3");
    assert_eq!((&nobody["extent"], pieces(&nobody)), (&Value::Null, vec![(-1, 0); 3]));
}
