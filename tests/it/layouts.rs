//! The layout: changes that wait, what is applied, and how nodes take it from one another, or refuse to.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::node::Plan;
use crate::support::peer::FalsePeer;
use crate::support::trouble::text;
use crate::support::{Kind, Outcome, SOON, TestArchive, TestNode, eventually, gapless, gapless_reading};

const HOUR: &str = "c/source/2020-01-01T00";

fn layout(archive: &TestArchive, args: &[&str]) -> Outcome {
    gapless(archive.path(), &[&["layout"], args].concat())
}

/// Stages and applies a change, from the version that is here.
#[track_caller]
fn change(archive: &TestArchive, args: &[&str]) {
    layout(archive, args).lines(0);
    let from = layout(archive, &["plan", "--json"]).json(0)["from"].to_string();
    layout(archive, &["apply", &from]).lines(0);
}

/// Three nodes in three zones, and so many copies; version 1.
#[track_caller]
fn begin(archive: &TestArchive, copies: &str) {
    for (node, zone) in [("a", "attic"), ("b", "barn"), ("c", "cellar")] {
        layout(archive, &["add", node, "--zone", zone, "--weight", "4TB"]).lines(0);
    }
    layout(archive, &["copies", copies]).lines(0);
    let applied = layout(archive, &["apply", "0"]);
    assert!(applied.lines(0).last().unwrap().contains("leaves when all of its owners have it"), "{applied:?}");
}

fn file(archive: &TestArchive) -> PathBuf {
    archive.at(".gapless/layout")
}

fn version(archive: &TestArchive) -> u64 {
    let bytes = fs::read(file(archive)).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("version "));
    line.map_or(0, |number| number.parse().unwrap())
}

/// A node that asks its peers every second, and takes the layouts of all of them.
fn plan(archive: &TestArchive, name: &str, peers: &[&TestNode]) -> Plan {
    let begun = TestNode::plan(archive).flag("--name").flag(name).env("GAPLESS_BACKFILL_INTERVAL", "1s");
    let begun = begun.env("GAPLESS_BACKFILL_LAYOUTS_FROM", "all");
    peers.iter().fold(begun, |plan, peer| plan.flag("--peer").flag(format!("http://{}", peer.address)))
}

fn view(node: &TestNode) -> Value {
    node.get("/api/v1/layout").json()
}

/// What is wrong with the layout of a node: level and words.
fn problems(node: &TestNode) -> Vec<(String, String)> {
    let status = node.get("/api/v1/status").json();
    let all = status["problems"].as_array().unwrap().iter();
    let ours = all.filter(|problem| problem["kind"] == "placement");
    ours.map(|problem| (problem["level"].as_str().unwrap().to_owned(), problem["what"].as_str().unwrap().to_owned()))
        .collect()
}

/// What a node says of its only peer that has answered.
#[track_caller]
fn peer_becomes(node: &TestNode, state: &str) {
    eventually(SOON * 2, || view(node)["peers"][0]["state"] == state);
}

#[test]
fn changes_wait_until_they_are_applied_from_the_version_that_was_planned_from() {
    let archive = TestArchive::empty();
    archive.named(HOUR, "10:00-2.0-full", ".ts", &[7; 1000]);
    assert_eq!(layout(&archive, &["show"]).lines(0), ["layout: none; every node keeps everything"]);
    assert_eq!(layout(&archive, &["plan"]).lines(0), ["nothing to do: version 0 has all of it"]);
    let told = |archive: &TestArchive| layout(archive, &["status"]).lines(0).pop().unwrap().to_owned();
    assert_eq!(told(&archive), "without a layout every node fetches everything");
    // Only looked at.
    layout(&archive, &["add", "a", "--zone", "attic", "--weight", "4TB", "--dry-run"]).lines(0);
    assert!(!archive.at(".gapless/layout-staged").exists());

    begin(&archive, "2");
    assert!(told(&archive).contains("the others go on as before until they take it"), "{}", told(&archive));
    let shown = layout(&archive, &["show", "--json"]).json(0);
    assert_eq!((&shown["state"], &shown["version"], &shown["copies"]), (&json!("known"), &json!(1), &json!("2")));
    let slots: u64 = (0..3).map(|at| shown["nodes"][at]["owns"][0]["slots"].as_u64().unwrap()).sum();
    assert_eq!((slots, shown["staged"].as_array().unwrap().len()), (2 * 4096, 0));
    assert!(!archive.at(".gapless/layout-staged").exists());

    let drained = layout(&archive, &["drain", "c"]);
    assert!(
        drained.out.contains("staged: drain c\n") && drained.out.contains("gapless layout apply 1 --plan "),
        "{drained:?}"
    );
    let looked_at = drained.out.trim_end().rsplit_once(' ').unwrap().1.to_owned();
    let plan = layout(&archive, &["plan", "--json"]).json(0);
    let moves = plan["versions"][0]["moves"].as_array().unwrap();
    assert!(moves.iter().all(|one| one["from"] == "c" && one["why"] == "c drains"), "{moves:?}");
    // The one segment that is here is in one slot, of which two have a copy afterwards.
    let nodes = plan["versions"][0]["nodes"].as_array().unwrap();
    let bytes: Vec<u64> = nodes.iter().map(|node| node["bytes"].as_u64().unwrap()).collect();
    assert_eq!(bytes, [1000, 1000, 0]);
    let told = layout(&archive, &["plan"]).out;
    assert!(
        told.contains("c → ") && told.contains(": c drains\n") && told.contains("free space of other nodes"),
        "{told}"
    );

    for wrong in ["0", "2"] {
        let refused = layout(&archive, &["apply", wrong]);
        let expected = format!("the plan was made from version {wrong}, and version 1 is here");
        assert!(refused.code == 3 && refused.err.contains(&expected), "{refused:?}");
        assert_eq!(layout(&archive, &["apply", wrong, "--dry-run"]).code, 3);
    }
    layout(&archive, &["apply", "1", "--dry-run", "--plan", &looked_at]).lines(0);
    // Somebody stages something else after the plan was looked at.
    layout(&archive, &["drain", "b"]).lines(0);
    for args in [&["apply", "1", "--plan", &looked_at][..], &["apply", "1", "--plan", &looked_at, "--dry-run"]] {
        let refused = layout(&archive, args);
        assert!(refused.code == 3 && refused.err.contains(&looked_at), "{refused:?}");
    }
    assert_eq!(layout(&archive, &["apply", "1", "--plan", "drain"]).code, 2);
    assert_eq!(version(&archive), 1);
    assert_eq!(layout(&archive, &["discard"]).lines(0), ["forgotten"]);
    assert_eq!(layout(&archive, &["discard"]).lines(0), ["nothing was staged"]);
    let nothing = layout(&archive, &["apply", "1"]);
    assert!(nothing.code == 3 && nothing.err.contains("nothing would change"), "{nothing:?}");

    // One that owns something cannot go, and one that was drained can.
    let early = layout(&archive, &["remove", "c"]);
    assert!(early.code == 3 && early.err.contains("node c owns"), "{early:?}");
    change(&archive, &["drain", "c"]);
    change(&archive, &["remove", "c"]);
    let names = layout(&archive, &["show", "--json"]).json(0);
    assert_eq!((version(&archive), names["nodes"].as_array().unwrap().len()), (3, 2));
    change(&archive, &["copies", "precious", "1"]);
    let own = json!([{"channel": "precious", "copies": "1"}]);
    assert_eq!(layout(&archive, &["show", "--json"]).json(0)["channels"], own);
    change(&archive, &["copies", "precious", "default"]);
    change(&archive, &["replace", "b", "d"]);
    change(&archive, &["lost", "a"]);
    let states: Vec<String> = layout(&archive, &["show", "--json"]).json(0)["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| format!("{} {}", node["name"].as_str().unwrap(), node["state"].as_str().unwrap()))
        .collect();
    assert_eq!(states, ["a lost", "b draining", "d in"]);
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason_and_stages_nothing() {
    let archive = TestArchive::empty();
    begin(&archive, "2");
    for (args, code, why) in [
        (&["drain", "z"][..], 3, "the layout has no node z; it has a, b, c; nothing was staged"),
        (&["drain", "z y"], 2, "letters, digits, dots"),
        (&["add", "d", "--zone", "attic", "--weight", "0"], 3, "a node offers at least one byte"),
        (&["add", "d", "--zone", "attic", "--weight", "much"], 2, "expected a size"),
        (&["copies", "17"], 2, "expected a number from 1 to 16"),
        (&["copies", "default"], 2, "expected a number from 1 to 16"),
        (&["copies", "2"], 3, "nothing would change"),
        (&["replace", "a", "b"], 3, "the layout has a node b already"),
        (&["take", "nowhere"], 3, "cannot open nowhere"),
    ] {
        let refused = layout(&archive, args);
        assert!(refused.code == code && refused.err.contains(why), "{args:?}: {refused:?}");
    }
    assert!(!archive.at(".gapless/layout-staged").exists());
    let node = TestNode::plan(&archive).flag("--name").flag("a").start();
    let body = json!({"changes": [{"change": "drain", "node": "b"}, {"change": "drain", "node": "z"}]});
    assert_eq!(node.post("/api/v1/layout/stage", None, &body).status, 401);
    let token = node.own_token();
    node.post("/api/v1/layout/stage", Some(&token), &body).problem(409);
    node.post("/api/v1/layout/stage", Some(&token), &json!({"changes": [{"change": "burn", "node": "b"}]}))
        .problem(400);
    node.post("/api/v1/layout/apply", Some(&token), &json!({})).problem(400);
    assert!(!archive.at(".gapless/layout-staged").exists(), "all of them, or none");
}

#[test]
fn what_is_applied_on_one_node_is_on_all_and_costs_no_request_when_they_agree() {
    let archives = [TestArchive::empty(), TestArchive::empty(), TestArchive::empty()];
    archives[0].segment(HOUR, "10:00", 2.0, Kind::Full);
    let a = plan(&archives[0], "a", &[]).start();
    let watched = FalsePeer::before(&a, |path| !path.contains("/changes"));
    let b = plan(&archives[1], "b", &[]).flag("--peer").flag(format!("a=http://{}", watched.address)).start();
    // It knows the second one alone.
    let c = plan(&archives[2], "c", &[&b]).start();
    eventually(SOON * 2, || c.get("/api/v1/status").json()["peers"][0]["rounds"].as_u64() > Some(0));
    let digests = a.get("/api/v1/digests").text().to_owned();
    assert!(!digests.contains("layout"), "nothing is said where there is none: {digests}");
    a.get("/api/v1/layout/file").problem(404);

    begin(&archives[0], "2");
    for archive in &archives {
        eventually(SOON * 2, || fs::read(file(archive)).ok() == fs::read(file(&archives[0])).ok());
    }
    peer_becomes(&b, "same");
    for (node, name) in [(&a, "a"), (&b, "b"), (&c, "c")] {
        let known = view(node);
        assert_eq!(
            (&known["name"], &known["is_in_layout"], &known["version"]),
            (&json!(name), &json!(true), &json!(1))
        );
        assert_eq!(problems(node), []);
    }
    let offered = a.get("/api/v1/digests").json()["layout"].clone();
    let got = c.get("/api/v1/layout/file");
    assert_eq!(
        (got.etag(), got.body),
        (format!("\"{}\"", offered["hash"].as_str().unwrap()), fs::read(file(&archives[0])).unwrap())
    );
    let tag = c.get("/api/v1/layout/file").etag();
    assert_eq!(c.get_with("/api/v1/layout/file", &[("If-None-Match", &tag)]).status, 304);

    // When each knows which names the other has, a round asks for digests, and for nothing else; a pass asks each node one thing as well.
    let is_known = |asked: &[String]| {
        let named = asked.iter().rposition(|path| path.contains("names=true"));
        let later = named.and_then(|at| asked.get(at..)).unwrap_or_default();
        later.iter().any(|path| path.starts_with("/api/v1/digests?layout="))
    };
    eventually(SOON * 2, || is_known(&watched.asked()));
    let before = watched.asked().len();
    eventually(SOON * 2, || watched.asked().iter().skip(before).filter(|path| path.contains("/digests")).count() > 2);
    let asked = watched.asked().split_off(before);
    assert!(
        asked.iter().all(|path| path.starts_with("/api/v1/digests?layout=")
            || path.contains("/changes")
            || path.contains("/pins")),
        "{asked:?}"
    );
    assert!(c.run(&["status"]).out.contains("version 1"));
    assert!(c.get("/metrics").text().contains("gapless_layout_version 1\n"));
}

#[test]
fn a_node_that_was_off_for_versions_takes_the_newest() {
    let archives = [TestArchive::empty(), TestArchive::empty()];
    begin(&archives[0], "2");
    let a = plan(&archives[0], "a", &[]).start();
    let b = plan(&archives[1], "b", &[&a]).start();
    eventually(SOON * 2, || version(&archives[1]) == 1);
    b.terminate();
    for node in ["d", "e", "f"] {
        change(&archives[0], &["add", node, "--zone", "attic", "--weight", "4TB"]);
    }
    let b = plan(&archives[1], "b", &[&a]).start();
    eventually(SOON * 2, || version(&archives[1]) == 4);
    peer_becomes(&b, "same");
    assert_eq!(problems(&b), []);
}

#[test]
fn two_that_were_applied_apart_are_told_and_never_merged() {
    let archives = [TestArchive::empty(), TestArchive::empty()];
    begin(&archives[0], "2");
    begin(&archives[1], "3");
    let kept = fs::read(file(&archives[1])).unwrap();
    let a = plan(&archives[0], "a", &[]).start();
    let b = plan(&archives[1], "b", &[&a]).start();
    peer_becomes(&b, "refused");
    let told = problems(&b);
    assert!(told.len() == 1 && told[0].0 == "error", "{told:?}");
    assert!(told[0].1.contains("its version 1 of the layout is not the one that is here"), "{told:?}");
    assert!(b.get("/metrics").text().contains("gapless_layout_refused_peers 1\n"));
    assert!(b.log().contains("the layout of a peer is refused"), "{}", b.log());
    let status = b.run(&["layout", "status"]);
    assert!(status.code == 1 && status.out.contains("refused"), "{status:?}");
    assert!(b.run(&["doctor"]).out.contains("its version 1 of the layout is not the one that is here"));

    // Nor is the next version of the other one, which was not made of this one.
    change(&archives[0], &["add", "d", "--zone", "attic", "--weight", "4TB"]);
    eventually(SOON * 2, || {
        problems(&b).iter().any(|(_, what)| what.contains("was not made of version 1 as it is here"))
    });
    assert_eq!(fs::read(file(&archives[1])).unwrap(), kept);
    // Somebody decides.
    b.run(&["layout", "take", text(&file(&archives[0]))]).lines(0);
    peer_becomes(&b, "same");
    assert_eq!((version(&archives[1]), problems(&b)), (2, Vec::new()));
    // One that is behind is not taken.
    let old = archives[1].outside().join("old");
    fs::write(&old, &kept).unwrap();
    let refused = b.run(&["layout", "take", text(&old)]);
    assert!(refused.code == 3 && refused.err.contains("version 1, and version 2 is here"), "{refused:?}");
}

#[test]
fn a_damaged_file_decides_nothing_and_is_replaced_on_a_persons_word_alone() {
    let archives = [TestArchive::empty(), TestArchive::empty()];
    begin(&archives[0], "2");
    let sound = fs::read(file(&archives[0])).unwrap();
    let a = plan(&archives[0], "a", &[]).start();
    change(&archives[0], &["add", "d", "--zone", "attic", "--weight", "4TB"]);
    let mut damaged = sound.clone();
    damaged[4_000] ^= 1;
    archives[1].mkdir(".gapless");
    fs::write(file(&archives[1]), &damaged).unwrap();
    let b = plan(&archives[1], "b", &[&a]).start();
    peer_becomes(&b, "undecided");
    assert_eq!(view(&b)["state"], "unusable");
    let told = problems(&b);
    assert!(told[0].0 == "error" && told[0].1.contains("the layout is damaged or was changed by hand"), "{told:?}");
    assert!(b.get("/metrics").text().contains("gapless_layout_unusable 1\n"));
    assert!(b.log().contains("nothing is decided by the layout until it can be read"), "{}", b.log());
    assert!(b.get("/api/v1/digests").json()["layout"].is_null(), "and it is not handed on");
    b.get("/api/v1/layout/file").problem(409);
    for args in [&["drain", "a"][..], &["plan"], &["apply", "1"]] {
        let refused = b.run(&[&["layout"], args].concat());
        assert!(refused.code == 3 && refused.err.contains("damaged"), "{refused:?}");
    }
    assert_eq!(fs::read(file(&archives[1])).unwrap(), damaged, "it stays for whoever looks at it");
    b.terminate();
    let doctor = gapless(archives[1].path(), &["doctor"]);
    assert!(
        doctor.out.contains("the layout is damaged") && doctor.out.contains("gapless layout take FILE"),
        "{doctor:?}"
    );
    let status = layout(&archives[1], &["status"]);
    assert!(
        status.code == 1 && status.out.contains("unusable") && status.out.contains("no file is fetched until"),
        "{status:?}"
    );

    // What is no layout is not taken, and the other node's is.
    let b = plan(&archives[1], "b", &[&a]).start();
    let wrong = gapless_reading(archives[1].path(), &["layout", "take", "-"], "# gapless layout v1\n");
    assert!(wrong.code == 3 && wrong.err.contains("take the layout of another node"), "{wrong:?}");
    let given = archives[1].outside().join("given");
    fs::write(&given, &sound).unwrap();
    b.run(&["layout", "take", text(&given)]).lines(0);
    // From there on by itself.
    eventually(SOON * 2, || version(&archives[1]) == 2);
    // A file that vanishes is no layout that is none.
    fs::remove_file(file(&archives[1])).unwrap();
    for _ in 0..2 {
        assert_eq!(view(&b)["state"], "unusable", "however often it is looked for");
    }
    b.run(&["layout", "take", text(&file(&archives[0]))]).lines(0);
    assert_eq!(view(&b)["state"], "known");
    // Damaged changes are forgotten on a person's word, too.
    archives[0].raw(".gapless/layout-staged", b"drain a\n");
    assert!(problems(&a)[0].1.contains("damaged"));
    assert!(a.run(&["layout", "plan"]).err.contains("gapless layout discard"));
    a.run(&["layout", "discard"]).lines(0);
    assert_eq!(problems(&a), []);
}

#[test]
fn a_peer_that_may_not_give_its_layout_is_told_and_changes_nothing() {
    let archives = [TestArchive::empty(), TestArchive::empty()];
    begin(&archives[0], "2");
    let a = plan(&archives[0], "a", &[]).start();
    let watched = FalsePeer::before(&a, |_| true);
    let peer = format!("a=http://{}", watched.address);
    // Without the setting nobody may.
    let without = || TestNode::plan(&archives[1]).flag("--name").flag("b").env("GAPLESS_BACKFILL_INTERVAL", "1s");
    let b = without().flag("--peer").flag(&peer).start();
    peer_becomes(&b, "not-taken");
    let told = problems(&b);
    assert_eq!(told, [("notice".to_owned(), "a has version 1 of a layout, which is not taken from it".to_owned())]);
    assert_eq!((view(&b)["state"].clone(), file(&archives[1]).exists()), (json!("none"), false));
    assert!(!watched.asked().iter().any(|path| path.contains("layout")), "{:?}", watched.asked());
    b.terminate();
    // Nor may one that is not named.
    let b = without().env("GAPLESS_BACKFILL_LAYOUTS_FROM", "z").flag("--peer").flag(&peer).start();
    peer_becomes(&b, "not-taken");
    b.terminate();
    let b = without().env("GAPLESS_BACKFILL_LAYOUTS_FROM", "z,a").flag("--peer").flag(&peer).start();
    peer_becomes(&b, "same");
    // A node that nobody has put into the layout owns nothing, and says so.
    b.terminate();
    let b = plan(&archives[1], "stranger", &[&a]).start();
    eventually(SOON, || problems(&b).len() == 1);
    assert_eq!(view(&b)["is_in_layout"], false);
}

#[test]
fn a_plan_of_several_versions_is_applied_one_by_one() {
    let archive = TestArchive::empty();
    for (node, zone) in [("a", "attic"), ("b", "attic"), ("c", "barn"), ("d", "barn"), ("e", "cellar"), ("f", "cellar")]
    {
        layout(&archive, &["add", node, "--zone", zone, "--weight", "4TB"]).lines(0);
    }
    change(&archive, &["copies", "2"]);
    layout(&archive, &["drain", "a"]).lines(0);
    layout(&archive, &["drain", "c"]).lines(0);
    let plan = layout(&archive, &["plan", "--json"]).json(0);
    assert_eq!(plan["versions"].as_array().unwrap().len(), 2, "some slots lose both of their owners");
    let planned = plan["versions"][1]["moves"].as_array().unwrap().iter().map(|one| one["slots"].as_u64().unwrap());
    let planned: u64 = planned.sum();
    let applied = layout(&archive, &["apply", "1"]);
    assert!(applied.out.contains("1 version of the plan left"), "{applied:?}");
    // Nothing waits any more, and whoever plans anew gets the rest, on any node.
    assert!(!archive.at(".gapless/layout-staged").exists());
    let rest = layout(&archive, &["plan", "--json"]).json(0);
    let moved = rest["versions"][0]["moves"].as_array().unwrap().iter().map(|one| one["slots"].as_u64().unwrap());
    assert_eq!((rest["versions"].as_array().unwrap().len(), moved.sum::<u64>()), (1, planned));
    layout(&archive, &["apply", "2"]).lines(0);
    assert_eq!(layout(&archive, &["plan"]).lines(0), ["nothing to do: version 3 has all of it"]);
}

#[test]
fn a_node_without_room_takes_the_layout_that_may_give_it_some() {
    let archives = [TestArchive::empty(), TestArchive::empty()];
    begin(&archives[0], "2");
    let a = plan(&archives[0], "a", &[]).start();
    let b = plan(&archives[1], "b", &[&a]).start();
    eventually(SOON * 2, || version(&archives[1]) == 1);
    b.terminate();
    let full = |archive| plan(archive, "b", &[&a]).env("GAPLESS_BACKFILL_KEEP_FREE", "1000TiB");
    let _b = full(&archives[1]).start();
    change(&archives[0], &["drain", "b"]);
    eventually(SOON * 2, || version(&archives[1]) == 2);
    // The first one as well.
    let begun_full = TestArchive::empty();
    let _c = full(&begun_full).start();
    eventually(SOON * 2, || version(&begun_full) == 2);
}
