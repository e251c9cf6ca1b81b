//! What a node fetches under a layout: the hours that it owns, and of all others what is hidden in them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use gapless::archive::HourPlace;
use gapless::archive::placement::{Layout, Slot};
use serde_json::json;

use crate::support::node::Plan;
use crate::support::peer::FalsePeer;
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, gapless};

/// Hours that were recorded: enough that each pair of three nodes owns some of them.
pub(crate) const HOURS: usize = 40;

/// Two days of one segment an hour.
pub(crate) fn recorded(archive: &TestArchive) {
    for hour in hours() {
        archive.segment(&hour, "10:00", 2.0, Kind::Full);
    }
}

pub(crate) fn hours() -> BTreeSet<String> {
    (0..HOURS).map(|at| format!("c/source/2020-01-{:02}T{:02}", 1 + at / 20, at % 20)).collect()
}

#[track_caller]
pub(crate) fn layout(archive: &TestArchive, args: &[&str]) {
    gapless(archive.path(), &[&["layout"], args].concat()).lines(0);
}

/// Stages these changes and applies them.
#[track_caller]
pub(crate) fn change(archive: &TestArchive, changes: &[&[&str]]) {
    for args in changes {
        layout(archive, args);
    }
    let plan = gapless(archive.path(), &["layout", "plan", "--json"]).json(0);
    layout(archive, &["apply", &plan["from"].to_string()]);
}

/// Three nodes in three zones, and so many copies; version 1.
#[track_caller]
pub(crate) fn begin(archive: &TestArchive, copies: &str) {
    let add = |node, zone| ["add", node, "--zone", zone, "--weight", "4TB"];
    change(archive, &[&add("a", "attic"), &add("b", "barn"), &add("c", "cellar"), &["copies", copies]]);
}

/// Those of a, which recorded everything, and of b and c, which have nothing yet; all have the same layout.
pub(crate) fn with_one_layout(copies: &str) -> [TestArchive; 3] {
    let archives = [TestArchive::empty(), TestArchive::empty(), TestArchive::empty()];
    recorded(&archives[0]);
    begin(&archives[0], copies);
    for archive in &archives[1..] {
        archive.mkdir(".gapless");
        fs::copy(file(&archives[0]), file(archive)).unwrap();
    }
    archives
}

pub(crate) fn file(archive: &TestArchive) -> PathBuf {
    archive.at(".gapless/layout")
}

/// The hours that this node owns by the layout that it has.
pub(crate) fn owned(archive: &TestArchive, node: &str) -> BTreeSet<String> {
    let layout = Layout::read(&fs::read(file(archive)).unwrap()).unwrap();
    let is_owner = |hour: &String| {
        let place = HourPlace::parse(hour).unwrap();
        layout.owners_of(&place.stream.channel, Slot::of(&place)).iter().any(|owner| owner.name.as_str() == node)
    };
    hours().into_iter().filter(is_owner).collect()
}

/// The hours of which something lies here.
pub(crate) fn held(archive: &TestArchive) -> BTreeSet<String> {
    let has_any = |hour: &String| archive.listing(hour, true).iter().any(|name| !name.ends_with(".tombstone"));
    hours().into_iter().filter(|hour| archive.at(hour).exists() && has_any(hour)).collect()
}

/// A node that asks these every second, and takes their layouts.
pub(crate) fn plan(archive: &TestArchive, name: &str, peers: &[String]) -> Plan {
    let begun = TestNode::plan(archive).flag("--name").flag(name).env("GAPLESS_BACKFILL_INTERVAL", "1s");
    let begun = begun.env("GAPLESS_BACKFILL_LAYOUTS_FROM", "all");
    peers.iter().fold(begun, |plan, peer| plan.flag("--peer").flag(peer))
}

/// One that takes their tombstones as well.
pub(crate) fn trusting(plan: Plan) -> Plan {
    plan.env("GAPLESS_BACKFILL_TOMBSTONES_FROM", "all")
}

pub(crate) fn url(node: &TestNode) -> String {
    format!("http://{}", node.address)
}

pub(crate) fn peer(node: &TestNode, at: usize) -> serde_json::Value {
    node.get("/api/v1/status").json()["peers"][at].clone()
}

/// Waits until a round with each peer that began after this was asked is done.
#[track_caller]
pub(crate) fn another_round(node: &TestNode, peers: usize) {
    for at in 0..peers {
        let before = peer(node, at)["rounds"].as_u64().unwrap_or_default();
        eventually(SOON * 2, || peer(node, at)["rounds"].as_u64() > Some(before + 1));
    }
}

#[test]
fn each_node_fetches_the_hours_that_it_owns_and_then_one_request_tells_that_nothing_differs() {
    let archives = with_one_layout("2");
    let a = plan(&archives[0], "a", &[]).start();
    let c = plan(&archives[2], "c", &[url(&a)]).start();
    let watched = [&a, &c].map(|node| FalsePeer::before(node, |path| !path.contains("/changes")));
    let to = |peers: &[FalsePeer; 2]| peers.each_ref().map(|peer| format!("http://{}", peer.address));
    let b = plan(&archives[1], "b", &to(&watched)).start();
    for (node, archive, name, peers) in [(&b, &archives[1], "b", 2), (&c, &archives[2], "c", 1)] {
        let expected = owned(archive, name);
        assert!(expected.len() > 10 && expected.len() < HOURS, "{expected:?}");
        eventually(SOON * 2, || held(archive) == expected);
        another_round(node, peers);
        assert_eq!(held(archive), expected, "and nothing else");
        for at in 0..peers {
            let told = peer(node, at);
            assert_eq!((&told["requests"], &told["errors_in_all"]), (&json!(1), &json!(0)), "{told}");
        }
    }
    assert_eq!(held(&archives[0]), hours(), "what was recorded here stays");

    // A process that remembers nothing asks each of them one thing.
    b.terminate();
    let before = watched.each_ref().map(|peer| peer.asked().len());
    let b = plan(&archives[1], "b", &to(&watched)).start();
    another_round(&b, 2);
    for (at, false_peer) in watched.iter().enumerate() {
        let asked = false_peer.asked().split_off(before[at]);
        let others: Vec<&String> = asked
            .iter()
            .filter(|path| {
                !path.starts_with("/api/v1/digests?") && !path.contains("/changes") && !path.contains("/extras")
            })
            .collect();
        assert!(others.is_empty() && asked.len() > 1, "{asked:?}");
    }
}

#[test]
fn a_new_version_is_acted_on_at_once_and_takes_nothing_away() {
    let archives = [TestArchive::empty(), TestArchive::empty(), TestArchive::empty()];
    recorded(&archives[0]);
    begin(&archives[0], "1");
    let a = plan(&archives[0], "a", &[]).start();
    let nodes =
        [("b", &archives[1]), ("c", &archives[2])].map(|(name, archive)| plan(archive, name, &[url(&a)]).start());
    for (archive, name) in [(&archives[1], "b"), (&archives[2], "c")] {
        eventually(SOON * 2, || file(archive).exists() && held(archive).is_superset(&owned(archive, name)));
    }
    let before = held(&archives[1]);
    change(&archives[0], &[&["drain", "c"]]);
    let now = owned(&archives[0], "b");
    assert!(!now.is_subset(&before), "it owns more than before");
    eventually(SOON * 2, || held(&archives[1]).is_superset(&now));
    assert!(held(&archives[1]).is_superset(&before) && owned(&archives[0], "c").is_empty());
    let kept = held(&archives[2]);
    another_round(&nodes[1], 1);
    assert_eq!(held(&archives[2]), kept, "nobody deletes by a layout");
    // A channel that everybody keeps.
    archives[0].segment("precious/source/2020-01-01T00", "10:00", 2.0, Kind::Full);
    change(&archives[0], &[&["copies", "precious", "all"]]);
    eventually(SOON * 2, || archives[1].at("precious/source/2020-01-01T00").exists());
}

#[test]
fn what_is_hidden_is_hidden_on_every_node_whoever_owns_it() {
    let archives = with_one_layout("1");
    // Owned by b, recorded by a, and nothing to c.
    let mut of_b = owned(&archives[1], "b").into_iter();
    let (hour, later) = (of_b.next().unwrap(), of_b.next().unwrap());
    let [name, name_later] = [&hour, &later].map(|hour| archives[0].listing(hour, false).remove(0));
    archives[0].segment(&hour, "20:00", 2.0, Kind::Full);
    let b = TestNode::plan(&archives[1]).flag("--name").flag("b").start();
    let peers = [url(&b)];
    let a = trusting(plan(&archives[0], "a", &peers)).start();
    let c = trusting(plan(&archives[2], "c", &peers)).start();
    archives[1].tombstone(&format!("{hour}/{name}"));
    let is_told = |archive: &TestArchive, hour: &str, name: &str| {
        archive.at(&format!("{hour}/{}.tombstone", name.strip_suffix(".ts").unwrap())).exists()
    };
    eventually(SOON * 2, || is_told(&archives[0], &hour, &name));
    eventually(SOON, || !a.files(&hour).contains(&name));
    // What may come there later is hidden as well.
    eventually(SOON * 2, || is_told(&archives[2], &hour, &name));
    another_round(&c, 1);
    assert_eq!(archives[2].listing(&hour, true).len(), 1);
    // Told in a round as well: one that was off learns it, and asks nothing more afterwards.
    a.terminate();
    archives[1].tombstone(&format!("{later}/{name_later}"));
    let a = trusting(plan(&archives[0], "a", &peers)).start();
    eventually(SOON * 2, || is_told(&archives[0], &later, &name_later));
    another_round(&a, 1);
    assert_eq!(held(&archives[1]), BTreeSet::new(), "b asks nobody");
}

/// A tombstone hides equal content beyond the end of its hour, which other nodes own.
#[test]
fn equal_content_in_an_hour_of_another_owner_is_hidden_there_and_hours_of_others_are_not_sealed() {
    let archives = with_one_layout("1");
    let (of_b, of_c) = (owned(&archives[1], "b"), owned(&archives[2], "c"));
    let next = |hour: &String| hours().into_iter().find(|later| later > hour);
    let hour = of_b.iter().find(|hour| !hour.ends_with("19") && next(hour).is_some_and(|next| of_c.contains(&next)));
    let hour = hour.expect("an hour of b before one of c").clone();
    let after = next(&hour).unwrap();
    let bytes = b"the same twice".repeat(100);
    let hidden = archives[1].named(&hour, "59:50-2.0-full", "ts", &bytes);
    let twin = archives[0].named(&after, "00:10-2.0-full", "ts", &bytes);
    archives[1].tombstone(&hidden);
    let b = TestNode::plan(&archives[1]).flag("--name").flag("b").start();
    let a = trusting(plan(&archives[0], "a", &[url(&b)])).start();
    let c = trusting(plan(&archives[2], "c", &[url(&b), url(&a)])).start();
    let name = twin.rsplit('/').next().unwrap().to_owned();
    let stem = name.strip_suffix(".ts").unwrap().to_owned();
    eventually(SOON * 2, || archives[0].at(&format!("{after}/{stem}.tombstone")).exists());
    eventually(SOON, || !a.files(&after).contains(&name));
    eventually(SOON * 2, || held(&archives[2]).is_superset(&of_c));
    another_round(&c, 2);
    assert!(!c.files(&after).contains(&name));
    // a recorded all of it, and owns a third.
    let sealed = a.run(&["seal", "--after", "0s", "--json", &hour]).json(0);
    assert!(sealed.to_string().contains("other nodes own it by the layout"), "{sealed}");
    let own = owned(&archives[0], "a").first().unwrap().clone();
    eventually(SOON, || a.run(&["seal", "--after", "0s", "--json", &own]).out.contains("\"sealed\":1"));
}

#[test]
fn nothing_is_fetched_while_the_layout_cannot_be_read_and_all_of_it_afterwards() {
    let archives = [TestArchive::empty(), TestArchive::empty()];
    recorded(&archives[0]);
    begin(&archives[0], "2");
    let sound = fs::read(file(&archives[0])).unwrap();
    let a = plan(&archives[0], "a", &[]).start();
    let mut damaged = sound.clone();
    damaged[4_000] ^= 1;
    archives[1].raw(".gapless/layout", &damaged);
    let b = plan(&archives[1], "b", &[url(&a)]).start();
    eventually(SOON * 2, || peer(&b, 0)["failures"].as_u64() > Some(1));
    let told = peer(&b, 0).to_string();
    assert!(told.contains("nothing is fetched while the layout cannot be read"), "{told}");
    assert_eq!(held(&archives[1]), BTreeSet::new());
    let given = archives[1].outside().join("given");
    fs::write(&given, &sound).unwrap();
    b.run(&["layout", "take", given.to_str().unwrap()]).lines(0);
    eventually(SOON * 2, || held(&archives[1]) == owned(&archives[1], "b"));
    b.terminate();
    // A node that the layout does not name owns nothing.
    let stranger = TestArchive::empty();
    stranger.raw(".gapless/layout", &sound);
    let d = plan(&stranger, "d", &[url(&a)]).start();
    another_round(&d, 1);
    assert_eq!(held(&stranger), BTreeSet::new());
    // The command heeds it as well, and says so: another name is another node.
    d.terminate();
    for once in [&["backfill", "--once", "--name", "d"][..], &["--json", "backfill", "--once", "--name", "C"]] {
        let left_out = gapless(stranger.path(), &[once, &["--peer", &url(&a)]].concat());
        assert!(left_out.code == 1 && left_out.err.contains("the layout has no node "), "{left_out:?}");
    }
    assert_eq!(held(&stranger), BTreeSet::new());
    let once = ["backfill", "--once", "--name", "c", "--peer", &url(&a)];
    let named = gapless(stranger.path(), &once);
    named.lines(0);
    assert!(!named.err.contains("the layout"), "{named:?}");
    assert_eq!(held(&stranger), owned(&stranger, "c"));
}

#[test]
fn a_node_whose_layout_was_lost_while_it_was_off_fetches_nothing_until_somebody_decides() {
    let archives = [TestArchive::empty(), TestArchive::empty()];
    recorded(&archives[0]);
    begin(&archives[0], "1");
    let a = plan(&archives[0], "a", &[]).start();
    let b = plan(&archives[1], "b", &[url(&a)]).start();
    eventually(SOON * 2, || held(&archives[1]).is_superset(&owned(&archives[0], "b")));
    b.terminate();
    let before = held(&archives[1]);
    assert!(before.len() < HOURS, "{before:?}");

    fs::remove_file(file(&archives[1])).unwrap();
    let doctor = gapless(archives[1].path(), &["doctor"]);
    assert!(doctor.out.contains("is gone") && doctor.out.contains("gapless layout take FILE"), "{doctor:?}");
    let b = plan(&archives[1], "b", &[url(&a)]).start();
    eventually(SOON * 2, || peer(&b, 0)["failures"].as_u64() > Some(1));
    let told = peer(&b, 0).to_string();
    assert!(told.contains("nothing is fetched while the layout cannot be read"), "{told}");
    assert!(b.run(&["layout", "status"]).out.contains("is gone"));
    assert_eq!((held(&archives[1]), file(&archives[1]).exists()), (before, false), "nor is one taken from a peer");

    // It leaves the layout for good.
    b.terminate();
    fs::remove_file(archives[1].at(".gapless/layout-known")).unwrap();
    let _b = plan(&archives[1], "b", &[url(&a)]).env("GAPLESS_BACKFILL_LAYOUTS_FROM", "none").start();
    eventually(SOON * 2, || held(&archives[1]) == hours());
}
