//! The change feed through the real router: what is told, when, and what makes a gap.

use std::sync::Arc;
use std::time::Instant as Clock;

use super::*;
use crate::archive::test_names::hash_text;
use crate::http::test_node::TestNode;
use crate::index::IndexOptions;
use crate::wire::QualityDigests;

const PLACE: &str = "a/source/2019-11-13T02";

fn name(number: u8) -> String {
    format!("00:00-2.0-full-{}.ts", hash_text(number))
}

async fn begin(node: &TestNode) -> ChangeList {
    node.get("/api/v1/changes").await
}

fn after(epoch: &str, seq: u64, rest: &str) -> String {
    format!("/api/v1/changes?after={seq}&epoch={epoch}{rest}")
}

#[tokio::test]
async fn changes_are_told_in_order_and_page_by_page() {
    let node = TestNode::new();
    let start = begin(&node).await;
    assert_eq!((start.gap, start.next, start.last, start.changes.len()), (false, 0, 0, 0));
    let tombstone = name(1).replace(".ts", ".tombstone");
    node.put(PLACE, [name(1).as_str(), "garbage.ts", "00:01-2.0-temp-x.ts"]);
    node.put("a/chat/2019-11-13T03", [format!("10:00-{}.json", hash_text(2)).as_str(), "odd.json"]);
    node.put(PLACE, [tombstone.as_str()]);
    node.remove(PLACE, &name(1));
    let mut told = Vec::new();
    let mut next = 0;
    loop {
        let page: ChangeList = node.get(&after(&start.epoch, next, "&limit=1")).await;
        assert!(!page.gap && page.changes.len() <= 1 && page.changes.iter().all(|change| change.seq <= page.next));
        told.extend(page.changes.into_iter().map(|each| (each.quality, each.hour, each.name, each.change, each.size)));
        next = page.next;
        if next == page.last {
            break;
        }
    }
    let hour = "2019-11-13T02".to_owned();
    let source = |name: &str, change, size| ("source".to_owned(), hour.clone(), name.to_owned(), change, size);
    let expected = vec![
        source(&name(1), ChangeKind::Put, 1),
        ("chat".into(), "2019-11-13T03".into(), format!("10:00-{}.json", hash_text(2)), ChangeKind::Put, 1),
        source(&tombstone, ChangeKind::Put, 1),
        source(&name(1), ChangeKind::Removed, 1),
    ];
    assert_eq!(told, expected);
    let all: ChangeList = node.get(&after(&start.epoch, 0, "")).await;
    assert_eq!(all.changes.len(), 4);
    assert_eq!(all.changes[0].channel, "a");
}

#[tokio::test]
async fn another_epoch_a_place_too_old_and_one_too_new_are_gaps() {
    let node = TestNode::with(IndexOptions { changes_kept: 5, cache_bytes: 1 << 20, ..IndexOptions::default() });
    for number in 0..10 {
        node.put(PLACE, [name(number).as_str()]);
    }
    let start = begin(&node).await;
    assert_eq!((start.next, start.last), (10, 10));
    for (seq, gap) in [(0, true), (4, true), (5, false), (9, false), (10, false), (11, true), (u64::MAX, true)] {
        // A gap is told at once, however long one is ready to wait; so is what is there.
        let wait = if seq == 10 { "" } else { "&wait=30" };
        let page: ChangeList = node.get(&after(&start.epoch, seq, wait)).await;
        assert_eq!(page.gap, gap, "{seq}");
        let expected = if gap { 0 } else { 10_u64.saturating_sub(seq) };
        assert_eq!((page.changes.len() as u64, page.last), (expected, 10), "{seq}");
    }
    let page: ChangeList = node.get(&after("0123456789abcdef", 10, "&wait=30")).await;
    assert!(page.gap && page.changes.is_empty() && page.epoch == start.epoch);
}

#[tokio::test]
async fn who_waits_is_told_of_an_index_that_begins_anew() {
    let node = Arc::new(TestNode::new());
    node.put(PLACE, [name(1).as_str()]);
    let start = begin(&node).await;
    let waiting = tokio::spawn({
        let (node, uri) = (Arc::clone(&node), after(&start.epoch, start.next, "&wait=30"));
        async move { node.get::<ChangeList>(&uri).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    node.keeper.index().report_damage("a test says so");
    let page = tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap().unwrap();
    assert!(page.gap && page.epoch != start.epoch, "{page:?}");
    // Digests say where to go on, in the new epoch.
    let digests: QualityDigests = node.get("/api/v1/digests").await;
    assert_eq!(digests.epoch, page.epoch);
    let next: ChangeList = node.get(&after(&digests.epoch, digests.seq, "")).await;
    assert!(!next.gap);
}

#[tokio::test]
async fn who_waits_is_answered_as_soon_as_a_change_is_committed() {
    let node = Arc::new(TestNode::new());
    node.put(PLACE, [name(0).as_str()]);
    let mut next = begin(&node).await;
    for number in 1..10 {
        let waiting = tokio::spawn({
            let (node, uri) = (Arc::clone(&node), after(&next.epoch, next.next, "&wait=30"));
            async move { (node.get::<ChangeList>(&uri).await, Clock::now()) }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        // What is not replicated wakes nobody.
        node.put(PLACE, [format!("garbage{number}.ts").as_str()]);
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(!waiting.is_finished());
        let looked = Arc::clone(&node);
        let file = name(number);
        let committed = tokio::task::spawn_blocking(move || {
            looked.put(PLACE, [file.as_str()]);
            Clock::now()
        });
        let ((page, told), committed) = (waiting.await.unwrap(), committed.await.unwrap());
        assert_eq!(page.changes.len(), 1);
        assert_eq!(page.changes[0].name, name(number));
        let later = told.saturating_duration_since(committed);
        assert!(later < Duration::from_secs(10), "{later:?}");
        next = page;
    }
}

#[tokio::test]
async fn who_has_waited_long_enough_is_told_that_there_is_nothing() {
    let node = TestNode::new();
    node.put(PLACE, [name(1).as_str()]);
    let start = begin(&node).await;
    let began = Clock::now();
    let page: ChangeList = node.get(&after(&start.epoch, start.next, "&wait=1")).await;
    assert!(page.changes.is_empty() && !page.gap && page.next == start.next);
    assert!((1_000..20_000).contains(&began.elapsed().as_millis()));
    let at_once: ChangeList = node.get(&after(&start.epoch, start.next, "")).await;
    assert_eq!(at_once, page);
}

#[tokio::test]
async fn more_than_can_wait_are_answered_at_once_and_all_go_when_the_node_ends() {
    let node = Arc::new(TestNode::new());
    node.put(PLACE, [name(1).as_str()]);
    let start = begin(&node).await;
    let uri = after(&start.epoch, start.next, "&wait=30");
    let ask = || {
        let (node, uri) = (Arc::clone(&node), uri.clone());
        tokio::spawn(async move { node.get::<ChangeList>(&uri).await })
    };
    let waiting: Vec<_> = (0..node.app.followers.seats.places().each).map(|_| ask()).collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(waiting.iter().all(|task| !task.is_finished()));
    let one_more = tokio::time::timeout(Duration::from_secs(20), ask()).await.unwrap().unwrap();
    assert!(one_more.changes.is_empty());
    node.ending.cancel();
    for task in waiting {
        let page = tokio::time::timeout(Duration::from_secs(5), task).await.unwrap().unwrap();
        assert!(page.changes.is_empty() && !page.gap);
    }
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_with_a_sentence() {
    let node = TestNode::new();
    for query in [
        "after=1",
        "epoch=0123456789abcdef",
        "after=-1&epoch=0123456789abcdef",
        "after=1&epoch=123",
        "after=1&epoch=%2B123456789abcdef",
        "wait=31",
        "wait=-1",
        "limit=0",
        "limit=10001",
        "after=18446744073709551616&epoch=0123456789abcdef",
    ] {
        let (status, problem) = node.refused(&format!("/api/v1/changes?{query}")).await;
        assert_eq!(status, 400, "{query}");
        assert_eq!(problem["type"], "/problems/bad-parameter", "{query}");
    }
}
