//! What a node tells of its bucket to those who watch it: what lies there, what waits, what is wrong and since when.

use std::fs;

use hyper::Method;
use serde_json::Value;

use crate::archive_tier::{PATIENCE, archive, archived, node, object_of, seal_all, with_bucket};
use crate::dashboards::metrics;
use crate::support::object_store::{LineFault, TestStore};
use crate::support::{TestNode, eventually};

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

    store.is_well();
    eventually(PATIENCE, || hours() == ["2", "0"]);
    let is_well = || text(&running, "gapless_bucket_failing_seconds") == "0";
    assert!(is_well() && text(&running, "gapless_bucket_oldest_waiting_seconds") == "0");
    assert!((value(&running, "gapless_bucket_bytes") - bytes).abs() < 1.0);
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
