//! What a node tells of its bucket to those who watch it: what lies there, what waits, what is wrong and since when.

use std::fs;

use hyper::Method;
use serde_json::Value;

use crate::archive_tier::{PATIENCE, archive, archived, ask, node, object_of, seal_all, with_bucket};
use crate::dashboards::metrics;
use crate::support::object_store::{KEY, LineFault, REGION, SECRET, TestStore};
use crate::support::{Outcome, TestArchive, TestNode, eventually, gapless};

/// The value of a series.
fn text(node: &TestNode, series: &str) -> String {
    let text = metrics(node);
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("{series} is not told: {text}")).to_owned()
}

fn value(node: &TestNode, series: &str) -> f64 {
    text(node, series).parse().unwrap()
}

fn failures(node: &TestNode, reason: &str) -> f64 {
    value(node, &format!("gapless_bucket_failures_total{{reason=\"{reason}\"}}"))
}

#[test]
fn metrics_tell_what_waits_what_fails_and_what_is_there_without_asking_the_store() {
    let (store, archive) = (TestStore::start(), archive());
    with_bucket(&archive, &store);
    seal_all(&archive);
    // Lists are answered, and no hour comes there: it fails all the same.
    store.fails(Method::PUT, "", LineFault::Refuses(403, "AccessDenied"), 1_000);
    let running = node(&archive).start();
    eventually(PATIENCE, || failures(&running, "denied") >= 2.0);
    let failing = || value(&running, "gapless_bucket_failing_seconds");
    let since = failing();
    assert!(since > 0.0, "{since}");
    let hours = || ["gapless_bucket_hours", "gapless_bucket_waiting_hours"].map(|series| text(&running, series));
    assert_eq!(hours(), ["0", "2"]);
    let (age, bytes) =
        (value(&running, "gapless_bucket_oldest_waiting_seconds"), value(&running, "gapless_bucket_waiting_bytes"));
    // Sealed by this test, however old the hours are.
    assert!(age > 0.0 && age < 3_600.0 && bytes > 0.0, "{age} {bytes}");
    let told: Value = running.get("/api/v1/archive").json();
    assert_eq!((&told["failing"]["reason"], told["waiting_since"].is_string()), (&"denied".into(), true), "{told}");
    let said = running.run(&["archive", "status"]);
    assert!(said.out.contains("no hour comes into it since 20") && said.out.contains("AccessDenied"), "{said:?}");
    assert!(failing() > since, "it goes on");
    let status = running.get("/api/v1/status").json();
    assert_eq!(
        (&status["bucket"]["waiting"]["hours"], &status["bucket"]["failing"]["reason"]),
        (&2.into(), &"denied".into())
    );
    let screen = running.run(&["status"]).out;
    let line = screen.lines().find(|line| line.starts_with("bucket")).unwrap().to_owned();
    assert!(line.contains("0 hours") && line.contains("2 hours, ") && line.contains("denied for "), "{line}");

    store.is_well();
    eventually(PATIENCE, || hours() == ["2", "0"]);
    let line = running.run(&["status"]).out.lines().find(|line| line.starts_with("bucket")).unwrap().to_owned();
    assert!(line.contains("2 hours") && line.contains("last read back") && !line.contains("denied"), "{line}");
    let is_well = || text(&running, "gapless_bucket_failing_seconds") == "0";
    assert!(is_well() && text(&running, "gapless_bucket_oldest_waiting_seconds") == "0");
    assert!((value(&running, "gapless_bucket_bytes") - bytes).abs() < 1.0);
    // Nobody has played anything of it.
    let cache =
        ["gapless_archive_read_requests_total", "gapless_bucket_cache_bytes", "gapless_bucket_cache_limit_bytes"];
    assert_eq!(cache.map(|series| text(&running, series)), ["0", "0", "4294967296"]);
    assert!(value(&running, "gapless_bucket_uploaded_bytes_total") > bytes);
    assert!(value(&running, "gapless_bucket_read_bytes_total") > bytes);
    assert!(value(&running, "gapless_bucket_last_read_back_timestamp_seconds") > 1_700_000_000.0);

    let object = object_of(&archive, &store, crate::archive_tier::HOURS[0]);
    let mut damaged = fs::read(&object).unwrap();
    damaged[700] ^= 1;
    fs::write(&object, damaged).unwrap();
    assert!(failures(&running, "damaged") + failures(&running, "gone") < 1.0);
    assert_eq!(running.run(&["archive", "verify"]).code, 1);
    eventually(PATIENCE, || archived(&running) == 2);
    // Found by the verb, and again before it was written over.
    assert!(failures(&running, "damaged") >= 1.0 && is_well());
    running.terminate();

    // What was done before the start is known from the receipts, also where the store is away.
    drop(store);
    let again = node(&archive).start();
    eventually(PATIENCE, || text(&again, "gapless_bucket_hours") == "2");
    assert!(value(&again, "gapless_bucket_last_read_back_timestamp_seconds") > 1_700_000_000.0);
    eventually(PATIENCE, || {
        failures(&again, "unreachable") >= 1.0 && value(&again, "gapless_bucket_failing_seconds") > 0.0
    });
    again.terminate();
}

const DOCTOR: &[&str] = &["doctor", "--json", "--listen", "127.0.0.1:0"];

/// Level of a check, and its value and advice; empty where it is not made.
#[track_caller]
fn check(said: &Outcome, code: i32, name: &str) -> (String, String) {
    assert!(!format!("{}{}", said.out, said.err).contains(SECRET), "{said:?}");
    let told = said.json(code);
    let found = told["checks"].as_array().unwrap().iter().find(|check| check["check"] == name);
    let text = |key: &str| found.map_or("", |found| found[key].as_str().unwrap_or_default()).to_owned();
    (text("level"), format!("{} -> {}", text("value"), text("advice")))
}

#[test]
fn doctor_asks_the_store_and_says_what_is_wrong_and_what_waits() {
    let (store, archive) = (TestStore::start(), archive());
    with_bucket(&archive, &store);
    seal_all(&archive);
    let look = || gapless(archive.path(), DOCTOR);
    let said = look();
    let (level, value) = check(&said, 0, "bucket");
    assert!(level == "ok" && value.contains(KEY) && value.contains(REGION) && value.contains("credentials"), "{value}");
    assert_eq!(check(&said, 0, "bucket clock").0, "ok");
    // This store does not list them.
    let (level, value) = check(&said, 0, "bucket uploads");
    assert!(level == "warn" && value.contains("ListBucketMultipartUploads"), "{value}");
    assert!(check(&said, 0, "bucket hours").1.starts_with("2 hours sealed and not in the bucket"), "{said:?}");
    store.lists_uploads();
    assert_eq!(check(&look(), 0, "bucket uploads").0, "ok");
    assert_eq!(ask(&archive, &["run"]).json(0)["summary"]["done"], 2);
    assert!(check(&look(), 0, "bucket hours").1.starts_with("0 hours"));

    for (status, code, told) in [
        (403, "InvalidAccessKeyId", "does not know it"),
        (403, "SignatureDoesNotMatch", "is another one"),
        (403, "AccessDenied", "give it the right to list the bucket"),
        (403, "RequestTimeTooSkewed", "set the clock"),
        (404, "NoSuchBucket", "make it, or correct archive.bucket"),
        (301, "PermanentRedirect", "correct archive.region"),
    ] {
        store.fails(Method::GET, "list-type", LineFault::Refuses(status, code), 1);
        let (level, value) = check(&look(), 1, "bucket");
        assert!(level == "fail" && value.contains(told), "{code}: {value}");
    }
    let credentials = archive.outside().join("credentials");
    fs::rename(&credentials, archive.outside().join("elsewhere")).unwrap();
    let (level, value) = check(&look(), 1, "bucket");
    assert!(level == "fail" && value.contains("cannot be read"), "{value}");
    fs::rename(archive.outside().join("elsewhere"), &credentials).unwrap();

    // A daemon says more than what is seen from here.
    let running = node(&archive).start();
    eventually(PATIENCE, || archived(&running) == 2);
    assert_eq!(check(&running.run(DOCTOR), 0, "bucket").0, "ok");
    store.fails(Method::GET, "list-type", LineFault::Refuses(403, "AccessDenied"), 1);
    let (level, value) = check(&running.run(DOCTOR), 0, "bucket");
    assert!(level == "warn" && value.starts_with("the daemon has no trouble with it"), "{value}");
    drop(store);
    eventually(PATIENCE, || value_of_failing(&running));
    let (level, value) = check(&running.run(DOCTOR), 1, "bucket");
    assert!(level == "fail" && value.contains("is it running, and archive.endpoint right?"), "{value}");
    running.terminate();
}

fn value_of_failing(node: &TestNode) -> bool {
    value(node, "gapless_bucket_failing_seconds") > 0.0
}

#[test]
fn doctor_says_that_hours_are_kept_here_alone_only_where_some_are_sealed() {
    let archive = TestArchive::empty();
    assert_eq!(check(&gapless(archive.path(), DOCTOR), 0, "bucket").0, "");
    fs::create_dir_all(archive.at(".gapless")).unwrap();
    fs::write(archive.at(".gapless/config.toml"), "[archive]\nseal = true\n").unwrap();
    let (level, value) = check(&gapless(archive.path(), DOCTOR), 0, "bucket");
    assert!(level == "ok" && value.contains("kept here alone"), "{value}");
}
