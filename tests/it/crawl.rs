//! The crawl as an operator sees it: how far each visitor is, what it found, and how its pace is changed while it runs.

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Kind, SOON, TestArchive, TestNode, eventually};

fn visitor(node: &TestNode, name: &str) -> Value {
    let crawl = node.get("/api/v1/crawl").json();
    crawl["visitors"].as_array().unwrap().iter().find(|one| one["name"] == name).cloned().unwrap_or_default()
}

fn cycle(node: &TestNode, name: &str) -> u64 {
    visitor(node, name)["cycle"].as_u64().unwrap_or(0)
}

fn put(node: &TestNode, token: Option<&str>, body: &Value) -> (u16, Value) {
    let answer = node.send("PUT", "/api/v1/crawl/pace", token, body);
    (answer.status, answer.json())
}

fn archive() -> TestArchive {
    let archive = TestArchive::empty();
    for hour in 0..6 {
        archive.segment(&format!("chan/source/2020-01-01T0{hour}"), "00:00", 2.0, Kind::Full);
    }
    archive
}

#[test]
fn each_visitor_tells_how_far_it_is_and_what_its_last_ten_cycles_found_also_after_a_kill() {
    let archive = archive();
    let config = "[crawl]\nminimum_cycle = \"1s\"\n\n[census]\nminimum_cycle = \"1s\"\n";
    let start = || TestNode::plan(&archive).config(config).start();
    let node = start();
    node.wait_ready();
    eventually(SOON, || cycle(&node, "reconcile") >= 2 && cycle(&node, "census") >= 2);
    let seen = visitor(&node, "reconcile");
    let last = &seen["history"][0];
    assert_eq!(last["hours"], 6, "{seen:#}");
    assert!(last["ended"].as_str() >= last["began"].as_str() && seen["minimum_cycle_seconds"] == 1.0);
    let before = cycle(&node, "reconcile");
    let metrics = node.get("/metrics").text().to_owned();
    for line in ["gapless_visitor_cycle{visitor=\"census\"}", "gapless_visitor_done_ratio{visitor=\"reconcile\"}"] {
        assert!(metrics.contains(line), "{line}");
    }
    node.kill();
    let again = start();
    again.wait_ready();
    let token = again.own_token();
    while cycle(&again, "reconcile") <= before + 12 {
        let number = cycle(&again, "reconcile");
        again.post("/api/v1/crawl/run", Some(&token), &json!({"visitor": "reconcile"}));
        eventually(SOON, || cycle(&again, "reconcile") > number && visitor(&again, "reconcile")["running"] == false);
    }
    let seen = visitor(&again, "reconcile");
    let numbers: Vec<u64> =
        seen["history"].as_array().unwrap().iter().map(|cycle| cycle["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers.len(), 10);
    assert!(
        numbers.windows(2).all(|pair| pair[0] == pair[1] + 1),
        "none is left out and none counts twice: {numbers:?}"
    );
    assert!(numbers[0] > before);
    // Of ten cycles each directory was read in one, although nothing changed.
    let verified: u64 = seen["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cycle| cycle["found"]["verified"].as_u64().unwrap_or(0) + cycle["found"]["read"].as_u64().unwrap_or(0))
        .sum();
    assert!(verified >= 6, "{seen:#}");
    again.terminate();
}

#[test]
fn the_pace_is_changed_over_the_api_and_by_reading_the_configuration_again() {
    let archive = archive();
    let config = archive.path().join(".gapless/config.toml");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    std::fs::write(&config, "[archive]\nseal = true\n[crawl]\nminimum_cycle = \"1h\"\ncpu_share = 0.2\n").unwrap();
    let node = TestNode::start(&archive);
    node.wait_ready();
    let token = node.own_token();
    let pace = || node.get("/api/v1/crawl").json()["pace"].clone();
    assert_eq!((&pace()["cpu_share"], &pace()["minimum_cycle_seconds"]["reconcile"]), (&json!(0.2), &json!(3600.0)));
    // Every visitor has a setting of its own: one of a misspelt name would go at the usual pace, without a word.
    eventually(SOON, || {
        let crawl = node.get("/api/v1/crawl").json();
        let names = crawl["visitors"].as_array().unwrap().iter().filter_map(|each| each["name"].as_str());
        let cycles = crawl["pace"]["minimum_cycle_seconds"].as_object().unwrap().keys();
        names.collect::<BTreeSet<_>>() == cycles.map(String::as_str).collect()
    });
    // Without a token, with nonsense, out of bounds: nothing changes, and it is said why.
    assert_eq!(put(&node, None, &json!({"cpu_share": 0.5})).0, 401);
    for wrong in [
        json!({"cpu_share": 7}),
        json!({"cpu_share": -0.1}),
        json!({"slice_seconds": 2}),
        json!({"minimum_cycle_seconds": {"nobody": 5}}),
        json!({"minimum_cycle_seconds": {"scrub": 0}}),
        json!({"speed": 1}),
        json!([0.5]),
        json!([]),
    ] {
        let (status, problem) = put(&node, Some(&token), &wrong);
        assert_eq!(status, 400, "{wrong}: {problem}");
    }
    assert_eq!(pace()["cpu_share"], 0.2);
    let change = json!({"cpu_share": 0.5, "adaptive": false, "minimum_cycle_seconds": {"reconcile": 1}, "bytes_per_second": 1000});
    let (status, told) = put(&node, Some(&token), &change);
    assert_eq!((status, &told["cpu_share"], &told["bytes_per_second"]), (200, &json!(0.5), &json!(1000)));
    // What runs follows.
    eventually(SOON, || cycle(&node, "reconcile") >= 2);
    // A configuration that makes no sense changes nothing; one that does counts at once.
    std::fs::write(&config, "[crawl]\ncpu_share = 2\n").unwrap();
    node.signal(Signal::HUP);
    eventually(SOON, || node.log().contains("the new configuration is invalid"));
    assert_eq!(pace()["cpu_share"], 0.5);
    std::fs::write(&config, "[crawl]\ncpu_share = 0.3\nminimum_cycle = \"2h\"\n").unwrap();
    node.signal(Signal::HUP);
    eventually(SOON, || pace()["cpu_share"] == 0.3);
    assert_eq!(pace()["minimum_cycle_seconds"]["reconcile"], 7200.0);
    node.terminate();
}

#[test]
fn a_cycle_is_begun_when_it_is_asked_for() {
    let archive = archive();
    let node = TestNode::start(&archive);
    node.wait_ready();
    let token = node.own_token();
    assert_eq!(cycle(&node, "census"), 0, "it does not begin right after the start");
    assert_eq!(node.post("/api/v1/crawl/run", Some(&token), &json!({"visitor": "nobody"})).status, 404);
    assert_eq!(node.post("/api/v1/crawl/run", None, &json!({"visitor": "census"})).status, 401);
    assert_eq!(node.post("/api/v1/crawl/run", Some(&token), &json!({"visitor": "census"})).status, 200);
    eventually(SOON, || visitor(&node, "census")["history"][0]["hours"] == 6);
    node.terminate();
}

#[test]
fn the_census_of_a_quality_is_told_by_day_and_follows_what_happens() {
    let archive = archive();
    archive.segment("chan/source/2020-01-02T05", "10:00", 2.0, Kind::Partial);
    let node = TestNode::start(&archive);
    node.wait_ready();
    let census = || node.get("/api/v1/census/chan/source").json()["days"].clone();
    let days = census();
    let shown =
        |day: &Value| (day["day"].clone(), day["hours"].clone(), day["segments"].clone(), day["seconds"].clone());
    assert_eq!(shown(&days[0]), (json!("2020-01-01"), json!(6), json!(6), json!(12.0)));
    assert_eq!(shown(&days[1]), (json!("2020-01-02"), json!(1), json!(1), json!(2.0)));
    assert_eq!(days[1]["files"]["partial"], 1);
    let path = archive.segment("chan/source/2020-01-02T05", "30:00", 2.0, Kind::Full);
    eventually(SOON, || census()[1]["segments"] == 2);
    archive.tombstone(&path);
    eventually(SOON, || census()[1]["segments"] == 1 && census()[1]["tombstones"] == 1);
    assert_eq!(census()[1]["files"]["hidden"], 1);
    archive.remove(&path);
    eventually(SOON, || census()[1]["files"]["hidden"] == 0);
    assert_eq!(node.get("/api/v1/census/chan/nothing").status, 404);
    node.check();
    node.terminate();
}

#[test]
fn hour_directories_that_have_been_empty_for_long_go_and_others_stay() {
    let archive = archive();
    let made = |hour: &str, days_ago: u64| {
        let dir = archive.path().join(hour);
        std::fs::create_dir_all(&dir).unwrap();
        move || {
            let then = std::time::SystemTime::now() - std::time::Duration::from_secs(days_ago * 86_400);
            std::fs::File::open(&dir).unwrap().set_modified(then).unwrap();
            dir
        }
    };
    let (empty, fresh) = (made("chan/source/2019-01-01T00", 2)(), made("chan/source/2019-01-01T01", 0)());
    let hidden = made("chan/source/2019-01-01T02", 2);
    std::fs::write(archive.path().join("chan/source/2019-01-01T02/.recorder"), "x").unwrap();
    let hidden = hidden();
    let node =
        TestNode::plan(&archive).config("[housekeeping]\nminimum_cycle = \"1s\"\n[crawl]\ncpu_share = 1\n").start();
    node.wait_ready();
    eventually(SOON, || !empty.exists());
    eventually(SOON, || cycle(&node, "housekeeping") >= 3);
    assert!(fresh.is_dir() && hidden.join(".recorder").is_file());
    assert_eq!(visitor(&node, "housekeeping")["history"][0]["found"]["empty directories removed"], Value::Null);
    node.check();
    assert!(!node.files("chan/source").contains(&"2019-01-01T00".to_owned()));
    node.terminate();
}
