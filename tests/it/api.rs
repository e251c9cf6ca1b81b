//! `/api/v1`, and what a machine that looks after nodes asks: metrics, health, readiness.
#![expect(
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "what is answered as a float is expected to the bit"
)]

use std::fs;

use serde_json::{Value, json};

use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, model, quoted};

const STREAM: &str = "chan/source";

/// A segment as the model knows it.
#[derive(Debug, Clone)]
struct Record {
    start_us: i64,
    end_us: i64,
    json: Value,
}

fn time(us: i64) -> String {
    chrono::DateTime::from_timestamp_micros(us).unwrap().format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// All records of a stream, by looking at every file; what tombstones hide among them.
fn all_records(archive: &TestArchive, stream: &str, tombstones: bool) -> Vec<Record> {
    let mut records = Vec::new();
    for hour in archive.hours(stream) {
        let place = format!("{stream}/{hour}");
        let entries = fs::read_dir(archive.at(&place)).unwrap().map(Result::unwrap);
        let names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        for name in &names {
            let Some(read) = model::read_name(name).filter(|read| read.kind != "temp") else { continue };
            let (stem, extension) = name.rsplit_once('.').unwrap();
            let has = |extension: &str| names.contains(&format!("{stem}.{extension}"));
            let tombstoned = has("tombstone");
            let told_by_its_file = extension == "tombstone" && (has("ts") || has("json"));
            if tombstoned && (!tombstones || told_by_its_file) {
                continue;
            }
            let start_us = model::hour_start_us(&hour) + i64::try_from(read.start_us).unwrap();
            let size = fs::metadata(archive.at(&format!("{place}/{name}"))).unwrap().len();
            records.push(Record {
                start_us,
                end_us: start_us + i64::try_from(read.duration_us).unwrap(),
                json: json!({
                    "hour": hour, "name": name, "start": time(start_us), "type": read.kind, "size": size,
                    "duration": read.duration_us as f64 / 1e6, "hash": read.hash, "tombstoned": tombstoned,
                }),
            });
        }
    }
    records.sort_by(|a, b| (a.start_us, a.json["name"].as_str()).cmp(&(b.start_us, b.json["name"].as_str())));
    records
}

/// What ends at or before the start and what starts at or after the end is left out; what lasts no time is in if it starts in it.
fn in_range(records: &[Record], start_us: i64, end_us: i64) -> Vec<Value> {
    let lies_in = |record: &&Record| {
        let lasts = record.end_us > record.start_us;
        record.start_us < end_us && if lasts { record.end_us > start_us } else { record.start_us >= start_us }
    };
    records.iter().filter(lies_in).map(|record| record.json.clone()).collect()
}

/// All pages, one after the other.
fn paged(node: &TestNode, query: &str, limit: usize) -> Vec<Value> {
    let (mut whole, mut after) = (Vec::new(), String::new());
    let mut connection = node.connect();
    loop {
        let path = format!("/api/v1/segments/{STREAM}?limit={limit}{query}{after}");
        let page = connection.request("GET", &path, &[]).json();
        let records = page["segments"].as_array().unwrap_or_else(|| panic!("{path}: {page}"));
        assert!(records.len() <= limit);
        whole.extend(records.iter().cloned());
        let Some(next) = page.get("next") else { return whole };
        assert!(!records.is_empty(), "a page of few hours makes headway");
        after = format!("&after={}", quoted(next.as_str().unwrap()));
    }
}

/// Three hours with everything that may lie in them.
fn full_of_cases() -> TestArchive {
    let archive = TestArchive::empty();
    let hour = |number: u32| format!("{STREAM}/2019-11-13T{number:02}");
    for number in [2, 3, 5] {
        for (time, seconds) in
            [("00:00", 2.0), ("00:02", 0.0), ("00:02.5", 10.5), ("30:00.000001", 3600.0), ("59:59.999999", 2.0)]
        {
            archive.segment(&hour(number), time, seconds, Kind::Full);
        }
        archive.segment(&hour(number), "00:02", 2.0, Kind::Partial);
        archive.segment(&hour(number), "00:02", 3.0, Kind::Suspect);
        archive.segment(&hour(number), "00:03", 3.0, Kind::Temp);
        archive.raw(&format!("{}/garbage.ts", hour(number)), b"x");
        let hidden = archive.segment(&hour(number), "10:00", 2.0, Kind::Full);
        archive.tombstone(&hidden);
        let purged = archive.segment(&hour(number), "10:02", 2.0, Kind::Full);
        archive.tombstone(&purged);
        archive.remove(&purged);
        // Names that have to be kept to the byte.
        archive.named(&hour(number), "20:00-02.0-full", "ts", b"odd");
        let odd = archive.named(&hour(number), "20:02.0-002.0-full", "ts", b"odd and hidden");
        archive.tombstone(&odd);
    }
    archive
}

#[test]
fn a_range_query_gives_what_looking_at_every_file_gives() {
    let archive = full_of_cases();
    let node = TestNode::start(&archive);
    let two = model::hour_start_us("2019-11-13T02");
    let second = 1_000_000;
    let edges = [
        0,
        1,
        second,
        2 * second,
        2 * second + 1,
        4 * second,
        600 * second,
        1_800 * second + 1,
        3_599_999_999,
        3_600 * second,
        3_602 * second,
        5_400 * second + 1,
        7_200 * second,
        4 * 3_600 * second,
    ];
    for tombstones in [false, true] {
        let records = all_records(&archive, STREAM, tombstones);
        let whole = node.get(&format!("/api/v1/segments/{STREAM}?tombstones={tombstones}")).json();
        assert_eq!(whole["segments"], Value::from(in_range(&records, i64::MIN, i64::MAX)));
        let mut connection = node.connect();
        for start in edges.map(|edge| two + edge) {
            for end in edges.map(|edge| two + edge).into_iter().filter(|end| *end >= start) {
                let query = format!("start={}&end={}&tombstones={tombstones}", time(start), time(end));
                let page = connection.request("GET", &format!("/api/v1/segments/{STREAM}?{query}"), &[]).json();
                assert_eq!(page["segments"], Value::from(in_range(&records, start, end)), "{query}");
            }
        }
    }
    assert_eq!(node.get("/api/v1/segments/nobody/source").json(), json!({ "segments": [] }));
}

#[test]
fn pages_of_any_size_make_the_same_whole() {
    let archive = full_of_cases();
    let node = TestNode::start(&archive);
    for tombstones in [false, true] {
        let whole = in_range(&all_records(&archive, STREAM, tombstones), i64::MIN, i64::MAX);
        for limit in 1..=whole.len() + 1 {
            assert_eq!(paged(&node, &format!("&tombstones={tombstones}"), limit), whole, "{limit} a page");
        }
    }
    let query = "&start=2019-11-13T02:00:02&end=2019-11-13T05:00:02.2";
    let start = model::hour_start_us("2019-11-13T02") + 2_000_000;
    let end = model::hour_start_us("2019-11-13T05") + 2_200_000;
    assert_eq!(paged(&node, query, 3), in_range(&all_records(&archive, STREAM, false), start, end));
}

#[test]
fn a_page_goes_on_although_the_last_one_s_end_has_gone() {
    let archive = TestArchive::empty();
    let hour = format!("{STREAM}/2019-11-13T02");
    let paths: Vec<String> =
        ["00:00", "00:02", "00:04", "00:06"].map(|time| archive.segment(&hour, time, 2.0, Kind::Full)).into();
    let node = TestNode::start(&archive);
    let page = node.get(&format!("/api/v1/segments/{STREAM}?limit=2")).json();
    let next = quoted(page["next"].as_str().unwrap());
    archive.remove(&paths[1]);
    eventually(SOON, || node.files(&hour).len() == 3);
    let page = node.get(&format!("/api/v1/segments/{STREAM}?limit=2&after={next}")).json();
    let names: Vec<&str> =
        page["segments"].as_array().unwrap().iter().map(|record| record["name"].as_str().unwrap()).collect();
    assert_eq!(names, [&paths[2], &paths[3]].map(|path| path.rsplit_once('/').unwrap().1));
}

#[test]
fn times_may_be_given_in_any_offset() {
    let archive = full_of_cases();
    let node = TestNode::start(&archive);
    let ask =
        |start: &str| node.get(&format!("/api/v1/segments/{STREAM}?start={start}&end=2019-11-13T04:00:00Z")).json();
    let expected = ask("2019-11-13T03:00:00Z");
    assert!(!expected["segments"].as_array().unwrap().is_empty());
    for same in [
        "2019-11-13T03:00:00",
        "2019-11-13T03:00",
        "2019-11-13T03:00:00.000000",
        "2019-11-13T05:30:00%2B02:30",
        "2019-11-13T05:30:00+02:30",
        "2019-11-12T22:00:00-05:00",
        "2019-11-13%2003:00:00",
    ] {
        assert_eq!(ask(same), expected, "{same}");
    }
}

#[test]
fn a_wrong_parameter_is_named_with_what_was_expected() {
    let archive = full_of_cases();
    let node = TestNode::start(&archive);
    for (query, name) in [
        ("start=whenever", "start"),
        ("end=2019-13-01T00:00", "end"),
        ("start=", "start"),
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=many", "limit"),
        ("limit=99999999", "limit"),
        ("tombstones=perhaps", "tombstones"),
        ("after=nonsense", "after"),
        ("start=2019-11-13T03:00&end=2019-11-13T02:59:59.999999", "end"),
    ] {
        let (kind, detail) = node.get(&format!("/api/v1/segments/{STREAM}?{query}")).problem(400);
        assert_eq!(kind, "/problems/bad-parameter");
        assert!(detail.contains(&format!("The parameter {name} ")) && detail.contains("expected"), "{query}: {detail}");
    }
    for path in ["/api/v1/segments/chan", "/api/v1/segments/chan/source/2019-11-13T02", "/api/v1/segments/"] {
        node.get(path).problem(404);
    }
}

#[test]
fn a_parameter_that_an_address_does_not_know_is_refused_and_those_of_other_programs_are_not() {
    let archive = full_of_cases();
    let node = TestNode::start(&archive);
    node.wait_ready();
    for (asked, says) in [
        (format!("/api/v1/holes/{STREAM}?form=2019-11-13"), &["\"form\"", "did you mean from?", "editable, from"][..]),
        ("/api/v1/status?verbose=true".to_owned(), &["\"verbose\"", "takes none."]),
        (format!("/api/v1/timeline/{STREAM}?edges=true&pixels=5"), &["\"edges\"", "takes from, local, pixels, to."]),
    ] {
        let refused = node.get(&asked);
        let problem = refused.json();
        assert_eq!((refused.status, problem["title"].as_str()), (400, Some("Unknown parameter")), "{asked}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(says.iter().all(|part| detail.contains(part)), "{asked}: {detail}");
    }
    for taken in [
        "/files?nope=1",
        "/api/v1/digests?nope=1",
        "/metrics?nope=1",
        &format!("/files/{STREAM}?nope=1&tombstones=true"),
        "/readyz?nope=1",
    ] {
        assert_eq!(node.get(taken).status, 200, "{taken}");
    }
}

#[test]
fn the_status_says_what_the_archive_holds() {
    let archive = TestArchive::sample();
    let node = TestNode::plan(&archive).flag("--name").flag("hut").start();
    node.wait_ready();
    let mut status = Value::Null;
    eventually(SOON, || {
        status = node.get("/api/v1/status").json();
        status["crawl"]["state"] == "resting"
    });
    assert_eq!((&status["name"], &status["ready"], &status["troubles"]), (&json!("hut"), &json!(true), &json!([])));
    assert_eq!((&status["index"]["state"], &status["disk"]["state"]), (&json!("good"), &json!("there")));
    assert_eq!(status["base_dir"], archive.path().to_str().unwrap());
    assert_eq!(status["crawl"]["hours_done"], archive.all_hours().len());
    let streams = status["streams"].as_array().unwrap();
    assert_eq!(streams.len(), 3);
    for stream in streams {
        let name = format!("{}/{}", stream["channel"].as_str().unwrap(), stream["quality"].as_str().unwrap());
        let hours = archive.hours(&name);
        let records = all_records(&archive, &name, false);
        assert_eq!(stream["hours"], hours.len());
        assert_eq!(
            (stream["first_hour"].as_str(), stream["last_hour"].as_str()),
            (hours.first().map(String::as_str), hours.last().map(String::as_str))
        );
        assert_eq!(stream["segments"], records.len(), "{name}");
        assert_eq!(stream["bytes"], records.iter().map(|record| record.json["size"].as_u64().unwrap()).sum::<u64>());
        let us: i64 = records.iter().map(|record| record.end_us - record.start_us).sum();
        assert_eq!(stream["seconds"], us as f64 / 1e6, "{name}");
        let listed = |tombstones| {
            hours.iter().flat_map(|hour| archive.listing(&format!("{name}/{hour}"), tombstones)).collect::<Vec<_>>()
        };
        assert_eq!(stream["tombstones"], listed(true).len() - listed(false).len());
        let bad = listed(false).iter().filter(|name| model::read_name(name).is_none()).count();
        assert_eq!(stream["bad"], bad);
    }
}

#[test]
fn the_description_is_valid_and_names_every_address() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    node.wait_ready();
    let document = node.get("/api/v1/openapi.json").json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    for path in paths.into_iter().filter(|path| path.starts_with("/api/v1/")) {
        let mut address = path
            .replace("{channel}", "desertbus")
            .replace("{quality}", "source")
            .replace("{day}", "2019-11-13")
            .replace("{hour}", "2019-11-13T02");
        if path.starts_with("/api/v1/explain/") {
            address.push_str("?at=2019-11-13T02:55:21");
        }
        for (method, described) in document["paths"][path].as_object().unwrap() {
            // What changes something wants a token, and is described so; a bundle is asked for by names, of which there are none here.
            let expected = match (method.as_str(), described["security"].is_array()) {
                // No hour is sealed here.
                ("get", false) if path.contains("/manifest/") => 404,
                // Every node keeps everything.
                ("get", false) if path.ends_with("/layout/file") => 404,
                // No other node is known here.
                ("get", false) if path.contains("/peers/{name}/") => 404,
                ("get", false) => 200,
                (_, true) => 401,
                (_, false) => 400,
            };
            // Not the body: that of events never ends.
            let mut connection = node.connect();
            let request =
                format!("{} {address} HTTP/1.1\r\nHost: here\r\nContent-Length: 0\r\n\r\n", method.to_uppercase());
            connection.send(request.as_bytes());
            assert_eq!(connection.read(false).status, expected, "{method} {address}");
        }
    }
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} points nowhere");
    }
    // Every field that is answered is described.
    let schemas = &document["components"]["schemas"];
    let described = |schema: &str, value: &Value| {
        for field in value.as_object().unwrap().keys() {
            assert!(schemas[schema]["properties"].get(field).is_some(), "{schema}.{field}");
        }
    };
    let page = node.get("/api/v1/segments/desertbus/source?limit=1").json();
    described("SegmentPage", &page);
    described("SegmentRecord", &page["segments"][0]);
    let status = node.get("/api/v1/status").json();
    described("Status", &status);
    described("StreamStatus", &status["streams"][0]);
    described("JobReport", &status["jobs"][0]);
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|inner| collect_references(inner, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| collect_references(inner, found)),
        _ => {}
    }
}

#[test]
fn metrics_have_the_names_that_dashboards_use() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    node.wait_ready();
    node.files("desertbus/source/2019-11-13T02");
    node.get("/segments/desertbus/source/2019-11-13T02/nothing.ts").problem(404);
    let response = node.get("/metrics");
    assert!(response.header("content-type").unwrap().starts_with("text/plain"));
    let text = response.text();
    for le in ["0.001", "0.005", "0.01", "0.05", "0.1", "0.5", "1", "5", "10", "30", "60", "120", "300", "600", "+Inf"]
    {
        let line = format!(
            "http_request_latency_all_bucket{{endpoint=\"list_segments\",method=\"GET\",status=\"200\",le=\"{le}\"}} "
        );
        assert!(text.contains(&line), "{line}");
    }
    for line in [
        "http_request_latency_all_count{endpoint=\"list_segments\",method=\"GET\",status=\"200\"} 1\n",
        "http_request_latency_all_count{endpoint=\"segments\",method=\"GET\",status=\"404\"} 1\n",
        "http_request_concurrency_all{endpoint=\"metrics\",method=\"GET\"} 1\n",
        "http_request_concurrency_all{endpoint=\"list_segments\",method=\"GET\"} 0\n",
        "log_count_total{function=",
        "level=\"INFO\"",
        "module=\"gapless",
        "process_resident_memory_bytes ",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    for quality in ["source", "480p"] {
        let stream = format!("desertbus/{quality}");
        let records = all_records(&archive, &stream, false);
        let latest = records.iter().map(|record| record.start_us).max().unwrap() as f64 / 1e6;
        let line = format!("latest_segment{{channel=\"desertbus\",quality=\"{quality}\"}} ");
        let value = text.lines().find_map(|found| found.strip_prefix(&line)).expect("the newest segment's time");
        assert_eq!(value.parse::<f64>().unwrap(), latest);
    }
    assert_eq!(node.get("/metrics/anything/at/all").status, 200);
}

#[test]
fn whoever_asks_is_told_that_it_lives_and_whether_it_is_ready() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    assert_eq!(node.get("/healthz").text(), "ok\n");
    node.wait_ready();
    assert_eq!(node.get("/readyz").text(), "ready\n");
    // The disk is taken away: it lives, but it is not ready, and no list says that nothing is there.
    let away = archive.outside().join("away");
    fs::rename(archive.path(), &away).unwrap();
    eventually(SOON, || node.get("/readyz").status == 503);
    assert_eq!(node.get("/healthz").status, 200);
    for path in [
        "/files",
        "/files/desertbus",
        "/files/desertbus/source/2019-11-13T02",
        "/extras/emotes",
        "/api/v1/segments/desertbus/source",
    ] {
        let response = node.get(path);
        response.problem(503);
        assert!(response.header("retry-after").is_some(), "{path}");
    }
    fs::rename(&away, archive.path()).unwrap();
    eventually(SOON, || node.get("/readyz").status == 200);
    assert_eq!(node.files("desertbus/source/2019-11-13T02"), archive.listing("desertbus/source/2019-11-13T02", false));
    node.check();
}
