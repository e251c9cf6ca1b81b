//! Questions that change nothing: `diff`, what this archive or a peer has and the other lacks, and `explain`, what is known of a file
//! or a time, and why. With a daemon and without one the answers are the same.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::archive::{Snapshot, hash_text, packets};
use crate::support::peer::{FalsePeer, Sent};
use crate::support::{Connection, Kind, Outcome, TestArchive, TestNode, eventually, gapless};

const HOUR: &str = "chan/source/2020-01-01T05";

/// All but what the program keeps for itself.
fn tree(archive: &TestArchive) -> Snapshot {
    let mut found = archive.snapshot();
    found.retain(|path, _| !path.starts_with(archive.at(".gapless")));
    found
}

fn ready(archive: &TestArchive) -> TestNode {
    let node = TestNode::start(archive);
    node.wait_ready();
    node
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

fn diff(archive: &TestArchive, peer: &str, more: &[&str]) -> Outcome {
    let mut args = vec!["--json", "diff", "--peer", peer];
    args.extend(more);
    gapless(archive.path(), &args)
}

/// The lines of hours, and the last one.
#[track_caller]
fn told(outcome: &Outcome, code: i32) -> (Vec<Value>, Value) {
    let mut lines: Vec<Value> =
        outcome.lines(code).into_iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.pop().unwrap();
    (lines, last)
}

#[track_caller]
fn explain(archive: &TestArchive, args: &[&str], code: i32) -> Vec<Value> {
    let mut all = vec!["--json", "explain"];
    all.extend(args);
    let outcome = gapless(archive.path(), &all);
    outcome.lines(code).into_iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Two archives that have something in common, and what else each has.
struct Pair {
    ours: TestArchive,
    theirs: TestArchive,
    /// Only here, only there; deleted there, and here.
    here: String,
    there: String,
    deleted_there: String,
    deleted_here: String,
}

impl Pair {
    fn new() -> Self {
        let (ours, theirs) = (TestArchive::empty(), TestArchive::empty());
        let both = |time: &str| {
            ours.segment(HOUR, time, 2.0, Kind::Full);
            theirs.segment(HOUR, time, 2.0, Kind::Full)
        };
        both("00:00");
        let (deleted_there, deleted_here) = (both("00:02"), both("00:04"));
        theirs.tombstone(&deleted_there);
        ours.tombstone(&deleted_here);
        let here = ours.segment(HOUR, "00:06", 2.0, Kind::Full);
        let there = theirs.segment("chan/source/2020-01-02T00", "00:08", 2.0, Kind::Full);
        // An hour and a quality that are the same cost nothing.
        for archive in [&ours, &theirs] {
            archive.segment("chan/source/2020-03-01T00", "00:00", 2.0, Kind::Full);
            archive.chat("chan/chat/2020-03-01T00", "00:00");
        }
        gapless(ours.path(), &["rebuild"]).lines(0);
        Self { ours, theirs, here, there, deleted_there, deleted_here }
    }
}

#[test]
fn equal_archives_are_told_so_after_one_request() {
    let archives = [TestArchive::sample(), TestArchive::sample()];
    gapless(archives[0].path(), &["rebuild"]).lines(0);
    let there = ready(&archives[1]);
    let peer = FalsePeer::before(&there, |_| true);
    let before = tree(&archives[0]);
    let ask = |requests: usize| {
        let (hours, last) = told(&diff(&archives[0], &format!("b=http://{}", peer.address), &[]), 0);
        assert_eq!((hours.len(), &last["equal"], &last["requests_there"]), (0, &json!(true), &json!(1)));
        assert_eq!(peer.asked(), vec!["/api/v1/digests"; requests]);
    };
    ask(1);
    let node = ready(&archives[0]);
    ask(2);
    drop(node);
    assert_eq!(tree(&archives[0]), before);
    let text = gapless(archives[0].path(), &["diff", "--peer", &format!("http://{}", there.address), "desertbus/480p"]);
    assert!(text.lines(0)[0].starts_with("equal: "), "{}", text.out);
}

#[test]
fn what_either_side_lacks_is_told_by_name_and_what_backfill_would_do() {
    let pair = Pair::new();
    let there = ready(&pair.theirs);
    let peer = format!("b=http://{}", there.address);
    let before = (tree(&pair.ours), tree(&pair.theirs));
    let ask = || {
        let (hours, last) = told(&diff(&pair.ours, &peer, &[]), 1);
        assert_eq!(hours.len(), 2);
        let (first, second) = (&hours[0], &hours[1]);
        assert_eq!((&first["hour"], &second["hour"]), (&json!("2020-01-01T05"), &json!("2020-01-02T00")));
        let grave = |path: &str| name(path).replace(".ts", ".tombstone");
        // What one side has deleted, only the other still lists.
        assert_eq!(first["only_here"], json!([name(&pair.deleted_there), name(&pair.here)]));
        assert_eq!(first["tombstones_only_here"], json!([grave(&pair.deleted_here)]));
        let left = json!({
            "name": name(&pair.deleted_here), "backfill": "leave", "why": "it has been deleted: its tombstone is here",
        });
        assert_eq!(first["only_there"], json!([left]));
        assert_eq!(
            first["tombstones_only_there"],
            json!([{ "name": grave(&pair.deleted_there), "backfill": "take-over" }])
        );
        assert_eq!(second["only_there"], json!([{ "name": name(&pair.there), "backfill": "fetch" }]));
        let counts = json!({
            "only_here": 2, "only_there": 2, "tombstones_only_here": 1, "tombstones_only_there": 1, "backfill_would_take": 2,
        });
        assert_eq!(last["total"], counts);
        assert_eq!((&last["equal"], &last["hours_different"]), (&json!(false), &json!(2)));
        (hours, last["total"].clone())
    };
    let without = ask();
    let by_hour = told(&diff(&pair.ours, &peer, &[HOUR]), 1).0;
    assert_eq!(by_hour, without.0[..1]);
    let summary = told(&diff(&pair.ours, &peer, &["--summary"]), 1).0;
    assert_eq!((&summary[0]["counts"], &summary[0]["only_here"]), (&without.0[0]["counts"], &Value::Null));
    let node = ready(&pair.ours);
    assert_eq!(ask(), without);
    let waits = told(&diff(&pair.ours, &peer, &["--recent-cutoff", "200000days", "--distrust-tombstones"]), 1).0;
    assert_eq!(waits[1]["only_there"][0]["backfill"], "leave");
    assert_eq!(
        waits[0]["tombstones_only_there"][0]["why"],
        "it is a tombstone, and this peer is not trusted with tombstones"
    );
    // The other side sees the same in a mirror.
    let (mirrored, _) = told(&there.run(&["--json", "diff", "--peer", &format!("http://{}", node.address)]), 1);
    assert_eq!(mirrored[1]["only_here"], json!([name(&pair.there)]));
    assert_eq!(mirrored[0]["counts"]["only_there"], 2);
    let text = there.run(&["diff", "--peer", &format!("http://{}", node.address)]);
    assert_eq!(text.lines(1).len(), 2 + 6 + 1, "two hours, six names, the total: {}", text.out);
    assert_eq!((tree(&pair.ours), tree(&pair.theirs)), before, "whoever asks changes nothing");
}

#[test]
fn a_peer_that_speaks_only_the_fixed_part_is_listed_hour_by_hour() {
    let pair = Pair::new();
    let there = ready(&pair.theirs);
    let fixed = FalsePeer::before(&there, |path| path.starts_with("/files"));
    let (by_digests, _) = told(&diff(&pair.ours, &format!("http://{}", there.address), &[]), 1);
    let ask = |code, more: &[&str]| told(&diff(&pair.ours, &format!("http://{}", fixed.address), more), code);
    let (by_listings, last) = ask(1, &[]);
    assert_eq!(by_listings, by_digests);
    assert_eq!((&last["by_digests"], &last["hours_compared"]), (&json!(false), &json!(4)));
    assert_eq!(ask(0, &["chan/chat"]).1["equal"], true);
    let node = ready(&pair.ours);
    assert_eq!(ask(1, &[]).0, by_digests);
    drop(node);
    // Pages for people, with status 200, are no list of anything.
    let page = FalsePeer::start(|_| Sent::answer("200 OK", "Content-Type: text/html\r\n", b"<html>Sorry</html>"));
    let outcome = diff(&pair.ours, &format!("http://{}", page.address), &[]);
    assert_eq!(outcome.code, 3, "{}{}", outcome.out, outcome.err);
}

#[test]
fn names_that_a_peer_lists_and_cannot_look_into_are_left_out() {
    let pair = Pair::new();
    let there = ready(&pair.theirs);
    let address = there.address;
    // As restreamers do: files and extras beside the channels are listed like channels.
    let broken = || Sent::answer("500 Internal Server Error", "", b"<h1>Internal Server Error</h1>");
    let fixed = FalsePeer::start(move |path| match path {
        "/files" => Sent::list(&["blogs", "chan", "prizes.json"].map(str::to_owned)),
        "/files/blogs" => Sent::list(&["1.json".to_owned()]),
        "/files/blogs/1.json" | "/files/prizes.json" => broken(),
        path if path.starts_with("/files") => {
            Sent::answer("200 OK", "", &Connection::open(address).request("GET", path, &[]).body)
        }
        _ => Sent::not_found(),
    });
    let (hours, last) = told(&diff(&pair.ours, &format!("http://{}", fixed.address), &[]), 1);
    assert_eq!((hours.len(), &last["hours_failed"]), (2, &json!(0)));
    // What is known here must be listed there, or nothing is said of it.
    let silent = FalsePeer::start(move |path| match path {
        "/files" => Sent::list(&["chan".to_owned()]),
        "/files/chan" => broken(),
        _ => Sent::not_found(),
    });
    let outcome = diff(&pair.ours, &format!("http://{}", silent.address), &[]);
    assert_eq!((outcome.code, outcome.out.as_str()), (3, ""), "{}", outcome.err);
}

#[test]
fn an_hour_that_cannot_be_compared_costs_no_other() {
    let pair = Pair::new();
    let there = ready(&pair.theirs);
    let broken = FalsePeer::before(&there, |path| !path.starts_with("/files/chan/source/2020-01-01T05"));
    let (hours, last) = told(&diff(&pair.ours, &format!("http://{}", broken.address), &[]), 3);
    assert_eq!(hours.len(), 1);
    assert_eq!(hours[0]["only_there"][0]["name"], name(&pair.there));
    assert_eq!((&last["hours_failed"], &last["equal"]), (&json!(1), &json!(false)));
}

#[test]
fn what_cannot_be_asked_is_said_and_nothing_is_made() {
    let archive = TestArchive::empty();
    archive.segment(HOUR, "00:00", 2.0, Kind::Full);
    // A port that nobody listens on.
    let dead = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let before = archive.snapshot();
    assert_eq!(diff(&archive, &dead, &[]).code, 3, "there is no index yet");
    assert_eq!(gapless(archive.path(), &["explain", "2020-01-01T05:00:00"]).code, 3, "there is no index yet");
    for wrong in [
        &["diff"][..],
        &["diff", "--peer", "nonsense"],
        &["diff", "--peer", &dead, "chan/source/monday"],
        &["diff", "--peer", &dead, "--recent-cutoff", "soon"],
        &["explain", "nonsense"],
        &["explain", "/somewhere/else"],
        &["explain", "x.ts", "--hour", "monday"],
        &["explain", "2020-01-01T05:00:00", "--peer", &dead],
    ] {
        let outcome = gapless(archive.path(), wrong);
        assert_eq!(outcome.code, 2, "{wrong:?}: {}", outcome.err);
    }
    assert_eq!(archive.snapshot(), before);
    gapless(archive.path(), &["rebuild"]).lines(0);
    for more in [&[][..], &[HOUR]] {
        let outcome = diff(&archive, &dead, more);
        assert_eq!((outcome.code, outcome.out.as_str()), (3, ""));
        assert!(outcome.err.contains("cannot reach"), "{}", outcome.err);
    }
}

#[test]
fn a_file_is_explained_by_its_name_the_disk_the_index_and_a_peer() {
    let pair = Pair::new();
    let (ours, theirs) = (&pair.ours, &pair.theirs);
    let content = packets("twin", 1);
    let twins = ["full", "partial"].map(|kind| {
        let path = format!("{HOUR}/10:00-2.0-{kind}-{}.ts", hash_text(&content));
        ours.raw(&path, &content);
        path
    });
    let wrong = format!("{HOUR}/20:00-2.0-full-{}.ts", hash_text(b"something else"));
    ours.raw(&wrong, b"not what its name says");
    ours.raw(&format!("{HOUR}/odd.ts"), b"odd");
    let temporary = ours.segment(HOUR, "30:00", 2.0, Kind::Temp);
    ours.raw("emotes/1/dark", b"png");
    let there = ready(theirs);
    let peer = format!("b=http://{}", there.address);
    let before = (tree(ours), tree(theirs));
    let one = |args: &[&str], code| explain(ours, args, code).remove(0);
    let ask = || {
        let mut all = Vec::new();
        let best = one(&[&twins[0]], 0);
        assert_eq!((&best["index"]["state"], &best["disk"]["hash_matches"]), (&json!("listed"), &json!(true)));
        assert_eq!(best["name"]["start"], "2020-01-01T05:10:00.000000Z");
        let over = json!([{ "name": name(&twins[1]), "because": "its type is better" }]);
        assert_eq!(best["best"], json!({ "is": true, "over": over }));
        let beaten = one(&[ours.at(&twins[1]).to_str().unwrap()], 0);
        assert_eq!((&beaten["path"], &beaten["best"]["by"]), (&json!(twins[1]), &json!(name(&twins[0]))));

        let hidden = one(&[&pair.deleted_here, "--peer", &peer], 0);
        let by = name(&pair.deleted_here).replace(".ts", ".tombstone");
        assert_eq!((&hidden["index"]["state"], &hidden["index"]["by"]), (&json!("hidden"), &json!(by)));
        assert_eq!((&hidden["best"], &hidden["peer"]["backfill"]), (&Value::Null, &json!("leave")));

        let lacking = one(&[&pair.there, "--peer", &peer], 0);
        assert_eq!((&lacking["index"]["state"], &lacking["disk"]["there"]), (&json!("absent"), &json!(false)));
        assert_eq!(lacking["peer"]["backfill"], "fetch");
        let gone = one(&[&pair.deleted_there, "--peer", &peer], 0);
        assert_eq!(gone["peer"]["tombstone"], name(&pair.deleted_there).replace(".ts", ".tombstone"));
        assert_eq!(one(&[&pair.here, "--peer", &peer], 0)["peer"]["lists"], false);

        let damaged = one(&[&wrong], 1);
        assert_eq!(damaged["disk"]["hash_matches"], false);
        let odd = one(&[&format!("{HOUR}/odd.ts")], 0);
        assert_eq!((&odd["name"]["kind"], &odd["index"]["state"]), (&json!("odd"), &json!("listed")));
        assert_eq!(one(&[&temporary], 0)["index"]["state"], "temporary");
        assert_eq!(one(&[&format!("{HOUR}/.hidden")], 0)["index"]["state"], "foreign");
        assert_eq!(one(&["emotes/1/dark"], 0)["name"]["kind"], "extra");
        assert_eq!(one(&[".gapless/marker"], 0)["name"]["kind"], "hidden");

        // By hour and name, and by name with its hour.
        for args in
            [&[&*format!("2020-01-01T05/{}", name(&pair.here))][..], &[name(&pair.here), "--hour", "2020-01-01T05"]]
        {
            assert_eq!(one(args, 0)["path"], pair.here);
        }
        all.extend([best, beaten, hidden, lacking, gone, damaged, odd]);
        all
    };
    let without = ask();
    let node = ready(ours);
    assert_eq!(ask(), without);
    drop(node);
    assert_eq!((tree(ours), tree(theirs)), before);
    let text = gapless(ours.path(), &["explain", &pair.deleted_here]);
    assert!(text.lines(0).iter().any(|line| line.contains("deleted by the tombstone")), "{}", text.out);
}

#[test]
fn a_node_that_is_compared_with_itself_is_an_error_and_not_equal() {
    let archive = TestArchive::sample();
    let node = ready(&archive);
    let itself = format!("http://{}", node.address);
    for scope in [&[][..], &["desertbus"], &["desertbus/source/2019-11-13T02"]] {
        let outcome = node.run(&[&["diff", "--peer", &itself], scope].concat());
        assert!(outcome.code == 3 && outcome.err.contains("is this node itself"), "{scope:?}: {outcome:?}");
    }
}

#[test]
fn a_time_is_explained_by_what_covers_it_or_by_its_hole() {
    let archive = TestArchive::empty();
    let first = archive.segment(HOUR, "59:58", 4.0, Kind::Full);
    let gone = archive.segment(HOUR, "59:59", 2.0, Kind::Full);
    archive.tombstone(&gone);
    let later = archive.segment("chan/source/2020-01-01T08", "30:00", 2.0, Kind::Full);
    let long = archive.segment("chan/source/2020-01-05T00", "59:59", 3599.0, Kind::Full);
    archive.segment("chan/source/2020-01-05T01", "00:00", 2.0, Kind::Full);
    archive.chat("chan/chat/2020-01-01T05", "00:00");
    archive.segment("other/480p/2020-01-01T05", "00:00", 2.0, Kind::Full);
    gapless(archive.path(), &["rebuild"]).lines(0);
    let before = tree(&archive);
    let at = |time: &str| {
        let found = explain(&archive, &[time, "--channel", "chan"], 0);
        assert_eq!(found.len(), 1, "chat covers no time");
        found[0].clone()
    };
    let ask = || {
        // The segment runs over its hour.
        let covered = at("2020-01-01T06:00:00.5");
        assert_eq!((&covered["played"]["name"], &covered["hole"]), (&json!(name(&first)), &Value::Null));
        assert_eq!(covered["others"][0]["segment"]["name"], name(&gone));
        assert_eq!(covered["others"][0]["not_played_because"], "hidden by its tombstone");
        let hole = at("2020-01-01 08:00+01:00");
        assert_eq!((&hole["played"], &hole["time"]), (&Value::Null, &json!("2020-01-01T07:00:00.000000Z")));
        assert_eq!(hole["hole"]["start"], "2020-01-01T06:00:02.000000Z");
        assert_eq!(hole["hole"]["end"], "2020-01-01T08:30:00.000000Z");
        assert_eq!(hole["hole"]["seconds"], 8_998.0);
        assert_eq!(hole["hole"]["after"]["name"], name(&later));
        let after = at("2020-02-01");
        assert_eq!((&after["hole"]["end"], &after["hole"]["before"]["name"]), (&Value::Null, &json!(name(&long))));
        assert_eq!(at("2019-01-01")["hole"]["start"], Value::Null);
        // The one that ends last need not be in the hour that is nearest.
        assert_eq!(at("2020-01-05T02:00:00")["hole"]["before"]["name"], name(&long));
        assert_eq!(explain(&archive, &["2020-01-01T05:00:01"], 0).len(), 2, "every channel and quality");
        [covered, hole, after]
    };
    let without = ask();
    // Why a hole is open is worked out by a daemon in its own time, and kept; everything else is known without one.
    let of_the_files = |mut found: [Value; 3]| {
        for each in &mut found {
            if let Some(hole) = each["hole"].as_object_mut() {
                hole.remove("ledger");
            }
        }
        found
    };
    let node = ready(&archive);
    assert_eq!(of_the_files(ask()), of_the_files(without));
    let reason = || at("2020-01-01T07:00:00")["hole"]["ledger"]["reason"].clone();
    eventually(Duration::from_secs(30), || reason() == "nobody_has");
    drop(node);
    assert_eq!(reason(), "nobody_has", "it is kept without the daemon");
    assert_eq!(tree(&archive), before);
    let text = gapless(archive.path(), &["explain", "2020-01-01T07:00:00", "--quality", "source"]);
    assert_eq!(text.lines(0)[0], "chan/source at 2020-01-01T07:00:00.000000Z: a hole of 8998 s");
}
