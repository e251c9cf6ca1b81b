//! Where a file of an archived hour lies, why it cannot be read, and why there is a hole where an object is lost.

use std::fs;

use hyper::Method;

use crate::archive_tier::{HOURS, ask, node, objects, seal_all, with_bucket};
use crate::support::object_store::{LineFault, TestStore};
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually};

/// An hour whose first object has the two outer segments of four, and whose second one has the others.
fn two_objects(store: &TestStore) -> (TestArchive, [String; 4]) {
    let archive = TestArchive::empty();
    with_bucket(&archive, store);
    let segment = |time: &str| archive.segment(HOURS[0], time, 2.0, Kind::Full);
    let outer = ["00:00", "00:06"].map(segment);
    for hours in [1, 2] {
        if hours == 2 {
            segment("00:02");
            segment("00:04");
        }
        seal_all(&archive);
        assert_eq!(ask(&archive, &["run"]).json(0)["summary"]["done"], 1);
        assert_eq!(objects(&archive, HOURS[0]).len(), hours);
    }
    let [first, last] = outer;
    let inner: Vec<String> =
        archive.listing(HOURS[0], false).into_iter().map(|name| format!("{}/{name}", HOURS[0])).collect();
    (archive, [first, inner[1].clone(), inner[2].clone(), last])
}

fn bucket_line(node: &TestNode, what: &str) -> String {
    let told = node.run(&["explain", what]);
    let line = told.out.lines().find(|line| line.trim_start().starts_with("bucket"));
    line.map(|line| line.trim().to_owned()).unwrap_or_default()
}

#[test]
fn explain_says_in_which_object_a_file_lies_and_why_it_cannot_be_read() {
    let store = TestStore::start();
    let (archive, segments) = two_objects(&store);
    let node = node(&archive).start();
    node.wait_ready();
    let here = bucket_line(&node, &segments[1]);
    assert!(here.contains("as well as on this disk: v1/c/source/2020-01-01T00/"), "{here}");
    archive.remove(HOURS[0]);
    eventually(SOON, || bucket_line(&node, &segments[1]).contains(" alone: v1/c/source/2020-01-01T00/"));
    let at_time = bucket_line(&node, "2020-01-01T00:00:03");
    assert_eq!(
        at_time.trim_start_matches("bucket").trim(),
        bucket_line(&node, &segments[1]).trim_start_matches("bucket").trim()
    );

    // Whatever the store answers is told where it was asked for a file.
    for (status, code, reason) in [(503, "SlowDown", "throttled"), (403, "InvalidObjectState", "cold")] {
        store.fails(Method::GET, ".tar", LineFault::Refuses(status, code), 100);
        eventually(SOON, || {
            assert_ne!(node.get(&format!("/segments/{}", segments[1])).status, 200);
            bucket_line(&node, &segments[1]).contains(&format!("could not be read from there ({reason})"))
        });
        let stored = node.run(&["explain", &segments[1], "--json"]).json(0)["bucket"].clone();
        assert_eq!((stored["here"].clone(), stored["unread"]["reason"].clone()), (false.into(), reason.into()));
        store.is_well();
    }
    eventually(SOON, || node.get(&format!("/segments/{}", segments[1])).status == 200);
    assert!(!bucket_line(&node, &segments[1]).contains("could not be read"));
}

#[test]
fn a_hole_says_that_an_object_is_lost_until_it_is_back() {
    let store = TestStore::start();
    let (archive, segments) = two_objects(&store);
    archive.remove(HOURS[0]);
    let first = node(&archive).start();
    first.wait_ready();
    let holes = || first.get("/api/v1/holes/c/source").json()["holes"].as_array().unwrap().clone();
    assert!(holes().is_empty());
    let held = |object: &String| bucket_line(&first, &segments[1]).contains(object);
    let second = objects(&archive, HOURS[0]).into_iter().find(held).unwrap();
    let file = store.file(&format!("here/{second}"));
    let right = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!(first.run(&["archive", "verify"]).code, 1);
    eventually(SOON, || holes().first().is_some_and(|hole| hole["reason"] == "object_lost"));
    let hole = holes()[0].clone();
    assert_eq!((hole["seconds"].as_f64(), hole["unfillable"].as_bool()), (Some(4.0), Some(true)), "{hole}");
    assert!(hole["detail"].as_str().unwrap().contains("lay in an object of the bucket that is lost"), "{hole}");
    let explained = first.run(&["explain", "2020-01-01T00:00:03"]);
    assert!(explained.out.contains("object_lost: "), "{}", explained.out);
    assert!(bucket_line(&first, &segments[1]).contains(&format!("in {second}, which is lost")));
    assert!(bucket_line(&first, &segments[0]).contains(" alone: "));
    // A node that begins anew knows it as well.
    first.terminate();
    let again = node(&archive).start();
    again.wait_ready();
    let reason = || again.get("/api/v1/holes/c/source").json()["holes"][0]["reason"].clone();
    eventually(SOON, || reason() == "object_lost");
    fs::write(&file, right).unwrap();
    assert_eq!(again.run(&["archive", "verify"]).code, 0);
    eventually(SOON, || again.get("/api/v1/holes/c/source").json()["holes"].as_array().unwrap().is_empty());
}
