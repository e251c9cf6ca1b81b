//! What a stray hour of 2099 or 1970 must not change: a test of everything that says what is the newest.

use std::time::Duration;

use axum::http::StatusCode;

use super::test_node::TestNode;
use crate::archive::guards::Guard;
use crate::archive::{Span, Timestamp};

const HOUR: Span = Span::from_us(crate::archive::time::HOUR_US);

/// Late in an hour of a day like any other, for all nodes that are compared.
fn now() -> Timestamp {
    Timestamp::parse("2019-11-13T02:50:07").unwrap()
}

fn name(minute: u32, digit: char) -> String {
    format!("{minute:02}:00.000000-60.0-full-{}A.ts", digit.to_string().repeat(42))
}

/// A node with an hour that has just ended, and strays.
async fn node(strays: &[&str]) -> (TestNode, String) {
    let since = Duration::from_micros(u64::try_from(now().us()).unwrap());
    let node = TestNode::at(std::time::UNIX_EPOCH + since);
    let hour = (now() - HOUR).hour().to_string();
    node.put(&format!("a/source/{hour}"), [name(0, 'a').as_str(), name(1, 'b').as_str()]);
    for (stray, digit) in strays.iter().zip("cdefg".chars()) {
        node.put(&format!("a/source/{stray}"), [name(0, digit).as_str()]);
    }
    node.catch_up().await;
    (node, hour)
}

async fn told(node: &TestNode, uri: &str) -> String {
    let (status, _, body) = node.ask(uri, &[]).await;
    assert_eq!(status, StatusCode::OK, "{uri}");
    // What differs from moment to moment and from node to node is not compared.
    String::from_utf8_lossy(&body).lines().filter(|line| !line.contains("gapless_")).collect::<Vec<_>>().join("\n")
}

fn gauges(text: &str) -> Vec<String> {
    let is_meant = |line: &&str| {
        (line.starts_with("segment_count") || line.starts_with("latest_segment") || line.starts_with("raw_"))
            && !line.contains("older")
    };
    text.lines().filter(is_meant).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_stray_hour_of_the_future_changes_nothing_that_says_what_is_the_newest() {
    let (plain, _) = node(&[]).await;
    let (strayed, hour) = node(&["2099-06-01T03", "2999-01-01T00", "9999-12-31T23"]).await;
    let metrics = "/metrics";
    let (expected, found) = (gauges(&told(&plain, metrics).await), gauges(&told(&strayed, metrics).await));
    assert!(expected.iter().any(|line| line.contains(&hour)), "{expected:?}");
    assert_eq!(expected, found);
    for uri in [
        "/api/v1/holes/a/source",
        "/api/v1/coverage/a/source",
        "/api/v1/timespans/a/source",
        "/api/v1/timeline/a/source?pixels=64",
        "/api/v1/map/a/source?pixel=60s",
        "/api/v1/sequence/a/source",
        "/playlist/a.m3u8",
    ] {
        assert_eq!(told(&plain, uri).await, told(&strayed, uri).await, "{uri}");
    }
    let streams = told(&strayed, "/api/v1/streams").await;
    assert!(streams.contains(&format!("\"last_hour\":\"{hour}\"")), "{streams}");
    let status = told(&strayed, "/api/v1/status").await;
    assert!(status.contains("\"future_hours\":3"), "{status}");
}

#[tokio::test]
async fn an_hour_of_the_future_is_shown_to_who_asks_for_it() {
    let (node, _) = node(&["2099-06-01T03"]).await;
    let holes = told(&node, "/api/v1/holes/a/source?to=2100-01-01").await;
    assert!(holes.contains("\"end\":\"2099-06-01T03:00:00.000000Z\""), "{holes}");
    let coverage = told(&node, "/api/v1/coverage/a/source?from=2099-01-01").await;
    assert!(coverage.contains("2099-06-01T03"), "{coverage}");
    let playlist = told(&node, "/playlist/a/source.m3u8?start=2099-06-01T03:00:00&end=2099-06-01T03:01:00").await;
    assert!(playlist.contains("2099-06-01T03/"), "{playlist}");
}

#[tokio::test]
async fn a_stray_hour_of_1970_makes_no_picture_of_half_a_century() {
    let (plain, _) = node(&[]).await;
    let (strayed, _) = node(&["1970-01-01T00"]).await;
    for uri in ["/api/v1/timeline/a/source?pixels=64", "/api/v1/map/a/source?pixel=60s", "/api/v1/sequence/a/source"] {
        assert_eq!(told(&plain, uri).await, told(&strayed, uri).await, "{uri}");
    }
    let whole = told(&strayed, "/api/v1/holes/a/source").await;
    assert!(whole.contains("1970-01-01T00:01:00"), "holes are of everything: {whole}");
}

#[tokio::test]
async fn without_the_guard_a_stray_hour_is_the_newest() {
    let (node, hour) = node(&["2099-06-01T03"]).await;
    node.keeper.guards().remove(Guard::FutureHours);
    let found = gauges(&told(&node, "/metrics").await);
    assert!(!found.iter().any(|line| line.contains(&hour)), "{found:?}");
}
