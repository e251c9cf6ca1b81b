//! An archive, its index, and a node that has never had an hour, from the bucket alone.

use std::fs;

use hyper::Method;

use crate::archive_tier::{HOURS, PATIENCE, archive, ask, node, objects, seal_all, sent, with_bucket};
use crate::support::object_store::{LineFault, TestStore};
use crate::support::{Kind, TestArchive, TestNode, eventually, gapless};

/// Hours in a bucket: one with a second object, and one with a tombstone that came later.
fn uploaded(store: &TestStore) -> TestArchive {
    let archive = archive();
    with_bucket(&archive, store);
    seal_all(&archive);
    ask(&archive, &["run"]).json(0);
    archive.segment(HOURS[0], "40:00", 1.0, Kind::Full);
    archive.tombstone(&format!("{}/{}", HOURS[1], archive.listing(HOURS[1], false)[0]));
    seal_all(&archive);
    assert_eq!(ask(&archive, &["run"]).json(0)["summary"]["done"], 2);
    archive
}

/// What is listed of the hours, and what covers them.
fn listed(archive: &TestArchive) -> Vec<String> {
    let hours = HOURS.iter().map(|hour| gapless(archive.path(), &["ls", hour]));
    let coverage = gapless(archive.path(), &["coverage", "c/source", "--json"]);
    hours.chain([coverage]).map(|said| said.out).collect()
}

#[test]
fn an_archive_of_which_nothing_is_left_is_listed_again_from_the_bucket() {
    let store = TestStore::start();
    let archive = uploaded(&store);
    let before = listed(&archive);
    let empty = TestArchive::empty();
    with_bucket(&empty, &store);
    let rebuilt = |code: i32| gapless(empty.path(), &["rebuild", "--from-archive", "--json"]).json(code);
    // It breaks off in the middle, and goes on from there.
    let names: Vec<String> = HOURS.iter().flat_map(|hour| objects(&archive, hour)).collect();
    let last = &names[3][names[3].len() - 20..];
    store.fails(Method::GET, last, LineFault::Refuses(403, "AccessDenied"), 9);
    let broken = gapless(empty.path(), &["rebuild", "--from-archive"]);
    assert!(broken.code == 3 && broken.err.contains("AccessDenied") && broken.err.contains("goes on"), "{broken:?}");
    store.is_well();
    store.requests();
    let done = rebuilt(0);
    let fetched = store.requests().iter().filter(|(_, target)| target.contains(".tar")).count();
    assert_eq!(done["objects"], serde_json::json!({ "listed": 4, "learned": fetched, "unread": 0 }), "{done}");
    assert!((1..4).contains(&fetched), "what was noted before is not fetched again: {fetched}");
    assert_eq!(listed(&empty), before);
    assert_eq!(gapless(empty.path(), &["rebuild", "--check"]).code, 0);
    assert_eq!(rebuilt(0)["objects"]["learned"], 0);

    // A note that is damaged is fetched again; an object that is not what it is called after is none.
    let note =
        fs::read_dir(empty.at(&format!(".gapless/bucket/{}", HOURS[0]))).unwrap().next().unwrap().unwrap().path();
    fs::write(&note, "x").unwrap();
    let other = names.iter().find(|name| name.contains(HOURS[1])).unwrap();
    let digest = other.rsplit('/').next().unwrap().strip_suffix(".tar").unwrap();
    fs::remove_file(empty.at(&format!(".gapless/bucket/{}/{digest}.sha256", HOURS[1]))).unwrap();
    let object = store.file(&format!("here/{other}"));
    let right = fs::read(&object).unwrap();
    fs::write(&object, &right[..right.len() / 2]).unwrap();
    let some = rebuilt(1);
    assert_eq!((&some["objects"]["learned"], &some["objects"]["unread"]), (&1.into(), &1.into()), "{some}");
    fs::write(&object, &right).unwrap();
    assert_eq!(rebuilt(0)["objects"]["learned"], 1);
    assert_eq!(listed(&empty), before);

    // The files themselves come back, and nothing of it is sent again.
    ask(&empty, &["restore", "c"]).json(0);
    assert_eq!(empty.listing(HOURS[0], true), archive.listing(HOURS[0], true));
    seal_all(&empty);
    store.requests();
    assert_eq!(ask(&empty, &["run"]).json(0)["summary"]["done"], 2);
    assert_eq!(sent(&store, &Method::PUT), 0);
    let none = TestArchive::empty();
    let refused = gapless(none.path(), &["rebuild", "--from-archive"]);
    assert!(refused.code == 2 && refused.err.contains("no bucket is named"), "{refused:?}");
}

#[test]
fn a_node_learns_of_hours_of_others_and_only_of_channels_that_it_fetches() {
    let store = TestStore::start();
    let archive = uploaded(&store);
    let other = TestArchive::empty();
    with_bucket(&other, &store);
    let running = node(&other).start();
    let hours = |node: &TestNode| node.get("/api/v1/archive").json()["archived"]["hours"].clone();
    eventually(PATIENCE, || hours(&running) == 2);
    let listing = |node: &TestNode| node.get(&format!("/files/{}", HOURS[0])).text().to_owned();
    assert_eq!(running.get("/files").json(), serde_json::json!(["c"]));
    eventually(PATIENCE, || listing(&running).matches("-full-").count() == 4);
    // What comes into the bucket later is learned as well.
    archive.segment(HOURS[0], "50:00", 1.0, Kind::Full);
    seal_all(&archive);
    ask(&archive, &["run"]).json(0);
    eventually(PATIENCE, || listing(&running).matches("-full-").count() == 5);
    running.check();
    running.terminate();
    for (key, value) in [("GAPLESS_BACKFILL_CHANNELS", "d"), ("GAPLESS_ARCHIVE_LEARN", "false")] {
        let elsewhere = TestArchive::empty();
        with_bucket(&elsewhere, &store);
        let plain = node(&elsewhere).env(key, value).start();
        let is_done = || plain.get("/api/v1/status").text().contains("all that is sealed is in the bucket, or");
        eventually(PATIENCE, is_done);
        assert_eq!(hours(&plain), 0, "{key}");
        plain.terminate();
    }
}

#[test]
fn what_the_bucket_holds_is_fetched_from_no_peer_and_the_rest_is() {
    let (store, one) = (TestStore::start(), archive());
    let (plain, other) = (TestArchive::empty(), TestArchive::empty());
    for (path, content) in crate::archive_tier::files(&one) {
        plain.raw(&path, &content);
    }
    with_bucket(&one, &store);
    seal_all(&one);
    ask(&one, &["run"]).json(0);
    with_bucket(&other, &store);
    assert_eq!(gapless(other.path(), &["rebuild", "--from-archive"]).code, 0);
    let late = plain.segment(HOURS[0], "40:00", 1.0, Kind::Full);
    let peer = TestNode::plan(&plain).start();
    peer.wait_ready();
    let address = format!("peer=http://{}", peer.address);
    let round = ["--json", "backfill", "--once", "--recent-cutoff", "0s", "--peer", &address];
    store.requests();
    let done = gapless(other.path(), &round).json(0);
    assert_eq!(done["fetched"], 1, "{done}");
    let here = HOURS.map(|hour| other.listing(hour, false));
    assert_eq!(here, [vec![late.rsplit('/').next().unwrap().to_owned()], Vec::new()]);
    assert!(store.requests().is_empty(), "it is known what the bucket holds");
    // Without the bucket all of it comes from the peer.
    let alone = TestArchive::empty();
    let all = gapless(alone.path(), &round).json(0);
    assert_eq!(all["fetched"], 9, "{all}");
    peer.check();
    peer.terminate();
}

#[test]
fn of_two_nodes_with_the_same_hours_one_sends_each_and_both_have_read_it_back() {
    let (store, one) = (TestStore::start(), archive());
    with_bucket(&one, &store);
    let other = TestArchive::empty();
    for (path, content) in crate::archive_tier::files(&one) {
        other.raw(&path, &content);
    }
    with_bucket(&other, &store);
    seal_all(&one);
    seal_all(&other);
    // Nobody answers there: what counts is which nodes there are.
    let begun = |archive, own: &str, peer: &str| {
        node(archive).env("GAPLESS_NAME", own).flag("--peer").flag(format!("{peer}=http://127.0.0.1:9")).start()
    };
    let nodes = [begun(&one, "a", "b"), begun(&other, "b", "a")];
    let archived = |at: usize| nodes[at].get("/api/v1/archive").json()["archived"]["hours"] == 2;
    eventually(PATIENCE, || archived(0) && archived(1));
    let asked = store.requests();
    assert_eq!(asked.iter().filter(|(method, _)| *method == Method::PUT).count(), 2, "{asked:?}");
    for node in nodes {
        node.check();
        node.terminate();
    }
}
