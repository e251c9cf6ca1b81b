//! Nodes fetch from each other what they lack: what any of them has and nobody deleted comes to all, what was deleted stays away,
//! and no peer, however broken or hostile, puts anything wrong into the archive or keeps others from being asked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use crate::support::archive::{hash_text, packets, snapshot};
use crate::support::peer::{FalsePeer, Sent, head};
use crate::support::trouble::{Chance, Mount, may_mount, run, text};
use crate::support::{Kind, Outcome, SOON, TestArchive, TestNode, eventually, gapless, model, quoted};

const HOUR: &str = "chan/source/2020-01-01T05";

/// One round with each of these peers.
pub fn backfill(base: &Path, peers: &[SocketAddr], more: &[&str]) -> Outcome {
    let named: Vec<String> =
        peers.iter().enumerate().map(|(number, address)| format!("p{number}=http://{address}")).collect();
    let mut args = vec!["--json", "backfill", "--once", "--recent-cutoff", "0s"];
    for peer in &named {
        args.extend(["--peer", peer]);
    }
    args.extend(more);
    gapless(base, &args)
}

/// What a run tells of each peer.
#[track_caller]
pub fn told(outcome: &Outcome, code: i32) -> Vec<serde_json::Value> {
    outcome.lines(code).into_iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ready(archive: &TestArchive) -> TestNode {
    let node = TestNode::start(archive);
    node.wait_ready();
    node
}

/// A few hours, twenty segments each; says their paths.
fn fill_in(archive: &TestArchive, hours: usize) -> Vec<String> {
    let places = (0..hours).flat_map(|hour| (0..20).map(move |minute| (hour, minute)));
    let segment = |(hour, minute)| {
        archive.segment(&format!("chan/source/2020-01-01T{hour:02}"), &format!("{minute:02}:00"), 2.0, Kind::Full)
    };
    places.map(segment).collect()
}

/// Paths of all files, without what the program keeps for itself.
pub fn files(base: &Path) -> BTreeSet<String> {
    let found = snapshot(base).into_iter().filter(|(_, (is_dir, ..))| !is_dir);
    let found = found.map(|(path, _)| path.strip_prefix(base).unwrap().to_str().unwrap().to_owned());
    found.filter(|path| !path.starts_with(".gapless")).collect()
}

/// The index equals the tree, and nothing half-written lies about.
#[track_caller]
fn is_in_order(base: &Path) {
    let outcome = gapless(base, &["rebuild", "--check"]);
    assert_eq!((outcome.code, outcome.out.as_str()), (0, ""), "{}", outcome.err);
    for path in files(base) {
        let name = path.rsplit('/').next().unwrap();
        assert!(!name.starts_with('.'), "{path} was left behind");
        let content = std::fs::read(base.join(&path)).unwrap();
        if let Some(read) = model::read_name(name).filter(|_| !name.ends_with(".tombstone")) {
            assert_eq!(hash_text(&content), read.hash, "{path}");
        }
    }
}

/// One thing that some archives hold: the path, its content, and which archives (a bit each) have it, or its tombstone.
struct Thing {
    path: String,
    tombstone: String,
    held: usize,
    deleted: usize,
}

const HOURS: [&str; 3] = ["2020-01-01T05", "2020-01-01T23", "2020-02-29T00"];

fn scatter(archives: &[TestArchive; 3], chance: &mut Chance) -> Vec<Thing> {
    let mut things = Vec::new();
    for number in 0..240 {
        let hour = format!("chan/{}/{}", ["source", "480p"][chance.below(2)], HOURS[chance.below(HOURS.len())]);
        let clock = format!("{:02}:{:02}", number / 60, number % 60);
        let time = format!("{clock}{}", ["", ".0", ".5", ".608000", ".000001"][chance.below(5)]);
        let duration = ["2", "2.0", "2.000", "0.5", "1.9999995"][chance.below(5)];
        let (prefix, extension) = match chance.below(6) {
            0 => (time, "json"),
            1 => (format!("{time}-{duration}-suspect"), "ts"),
            2 => (format!("{time}-{duration}-partial"), "ts"),
            _ => (format!("{time}-{duration}-full"), "ts"),
        };
        let content = packets(&format!("{hour}/{prefix}"), 1 + chance.below(3));
        let stem = format!("{hour}/{prefix}-{}", hash_text(&content));
        let deleted = if chance.below(8) == 0 { 1 + chance.below(7) } else { 0 };
        let held = if deleted == 0 { 1 + chance.below(7) } else { chance.below(8) };
        let thing =
            Thing { path: format!("{stem}.{extension}"), tombstone: format!("{stem}.tombstone"), held, deleted };
        for (bit, archive) in archives.iter().enumerate() {
            if held >> bit & 1 == 1 {
                archive.raw(&thing.path, &content);
            }
            if deleted >> bit & 1 == 1 {
                archive.raw(&thing.tombstone, b"");
            }
        }
        things.push(thing);
    }
    things
}

#[test]
fn three_archives_converge_to_all_that_nobody_deleted() {
    let mut chance = Chance::new("three_archives_converge");
    let archives = [TestArchive::empty(), TestArchive::empty(), TestArchive::empty()];
    let things = scatter(&archives, &mut chance);
    let mut by_hour: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for thing in &things {
        let mut add = |path: &str| {
            let (hour, name) = path.rsplit_once('/').unwrap();
            by_hour.entry(hour.to_owned()).or_default().push(name.to_owned());
        };
        if thing.held > 0 {
            add(&thing.path);
        }
        if thing.deleted > 0 {
            add(&thing.tombstone);
        }
    }
    let mut nodes: Vec<Option<TestNode>> = archives.iter().map(|archive| Some(ready(archive))).collect();
    // Each pulls from its neighbour alone.
    let pass = |nodes: &mut Vec<Option<TestNode>>| -> Vec<serde_json::Value> {
        let turn = |at: usize| {
            nodes[at].take().unwrap().terminate();
            let peer = nodes[(at + 1) % 3].as_ref().unwrap().address;
            let outcome = backfill(archives[at].path(), &[peer], &["--accept-tombstone-bursts"]);
            nodes[at] = Some(ready(&archives[at]));
            told(&outcome, 0).remove(0)
        };
        (0..3).map(turn).collect()
    };
    pass(&mut nodes);
    pass(&mut nodes);
    let converged = |nodes: &[Option<TestNode>]| {
        for node in nodes.iter().flatten() {
            assert_eq!(node.files("chan"), ["480p", "source"]);
            for (hour, names) in &by_hour {
                assert_eq!(node.files_with_tombstones(hour), model::listing(names, true), "{hour}");
                assert_eq!(node.files(hour), model::listing(names, false), "{hour}");
            }
        }
        for (bit, archive) in archives.iter().enumerate() {
            is_in_order(archive.path());
            // R1: what was known to be deleted was not fetched.
            let known = things.iter().filter(|thing| thing.deleted >> bit & 1 == 1 && thing.held >> bit & 1 == 0);
            known.for_each(|thing| assert!(!archive.at(&thing.path).exists(), "{} was fetched", thing.path));
        }
    };
    converged(&nodes);
    let before: Vec<BTreeSet<String>> = archives.iter().map(|archive| files(archive.path())).collect();
    for report in pass(&mut nodes) {
        assert_eq!((&report["fetched"], &report["tombstones"]), (&0.into(), &0.into()), "{report}");
        assert_eq!(report["requests"], 1, "{report}");
    }
    // Nor is it after the index was made anew from the tree.
    for (at, archive) in archives.iter().enumerate() {
        nodes[at].take().unwrap().terminate();
        gapless(archive.path(), &["rebuild"]).lines(0);
        nodes[at] = Some(ready(archive));
    }
    for report in pass(&mut nodes) {
        assert_eq!((&report["fetched"], &report["tombstones"]), (&0.into(), &0.into()), "{report}");
    }
    converged(&nodes);
    assert_eq!(before, archives.iter().map(|archive| files(archive.path())).collect::<Vec<_>>());
}

#[test]
fn a_node_with_a_peer_fetches_by_itself_and_says_so() {
    let (full, empty) = (TestArchive::empty(), TestArchive::empty());
    let paths = fill_in(&full, 5);
    let other = ready(&full);
    let plan = TestNode::plan(&empty).flag("--peer").flag(format!("other=http://{}", other.address));
    // Both are on this machine, whose name they would have.
    let node = plan.flag("--name").flag("fetching").flag("--recent-cutoff").flag("0s").start();
    node.wait_ready();
    let have_come = || paths.iter().all(|path| empty.at(path).exists());
    eventually(SOON, have_come);
    let peer = || node.get("/api/v1/status").json()["peers"][0].clone();
    eventually(SOON, || peer()["rounds"] == 1);
    let peer = peer();
    assert_eq!((&peer["name"], &peer["fetched"]), (&"other".into(), &paths.len().into()), "{peer}");
    assert_eq!((&peer["failures"], &peer["error"]), (&0.into(), &serde_json::Value::Null), "{peer}");
    assert_eq!(files(full.path()), files(empty.path()));
    crate::support::invariants::hold(&empty, &node);
    let said = node.run(&["status"]);
    assert!(said.lines(0).iter().any(|line| line.contains("other")), "{}", said.out);
}

#[test]
fn a_peer_that_speaks_only_the_fixed_part_is_enough() {
    let (full, empty) = (TestArchive::empty(), TestArchive::empty());
    fill_in(&full, 3);
    full.chat(HOUR, "10:00");
    full.tombstone(&format!("{HOUR}/00:00-2.0-full-{}.ts", hash_text(b"gone")));
    let node = ready(&full);
    let old = FalsePeer::before(&node, |path| !path.starts_with("/api/"));
    let report = told(&backfill(empty.path(), &[old.address], &[]), 0).remove(0);
    assert_eq!((&report["fetched"], &report["tombstones"]), (&61.into(), &1.into()), "{report}");
    assert_eq!(files(full.path()), files(empty.path()));
    is_in_order(empty.path());
    let report = told(&backfill(empty.path(), &[old.address], &[]), 0).remove(0);
    assert_eq!(report["fetched"], 0, "{report}");
}

/// A peer that does everything wrong that it can. It deletes all of `deleted`, and has other content for all of `forged`.
fn hostile(deleted: Vec<String>, forged: Vec<String>, elsewhere: SocketAddr) -> FalsePeer {
    let named = |what: &str| format!("{what}-2.0-full-{}.ts", hash_text(what.as_bytes()));
    let html = || Sent::answer("200 OK", "Content-Type: text/html\r\n", b"<html><body>It works!</body></html>");
    let list = |names: &[&str]| Sent::list(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
    FalsePeer::start(move |path| {
        let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
        let path = path.trim_end_matches("?tombstones=true");
        match path {
            "/files" => {
                list(&["../x", "/etc", "..", ".", "", ".hidden", "nul\0", "chan", "evil", "endless", "babble", "html"])
            }
            "/files/chan" | "/files/evil" | "/files/endless" => list(&["source", "..", ".gapless", "a/b"]),
            "/files/babble" => Sent::Endless(
                [head("200 OK", "Content-Type: application/json\r\n"), b"[\"a\"".to_vec()].concat(),
                b",\"../b\"".repeat(4096),
            ),
            "/files/chan/source" => list(&["2020-01-01T00", "2020-01-01T01", "../../x"]),
            "/files/evil/source" | "/files/endless/source" | "/files/html/source" => list(&["2020-01-01T00"]),
            "/files/chan/source/2020-01-01T00" => Sent::list(&deleted),
            "/files/chan/source/2020-01-01T01" => Sent::list(&forged),
            "/files/endless/source/2020-01-01T00" => Sent::Endless(
                [head("200 OK", "Content-Type: application/json\r\n"), b"[\"a\"".to_vec()].concat(),
                b",\"a\"".repeat(4096),
            ),
            "/files/evil/source/2020-01-01T00" => Sent::list(&[
                "../x.ts".to_owned(),
                "/tmp/x.ts".to_owned(),
                "x\0.ts".to_owned(),
                format!(".{}", named("00:01")),
                format!("../{}", named("00:02")),
                format!("/{}", named("00:03")),
                "00:04-2.0-temp-x.ts".to_owned(),
                named("00:05"),
                named("00:06"),
                named("00:07"),
                named("00:08"),
                named("00:09"),
                named("00:10"),
            ]),
            _ if path.contains("/00:05") => Sent::answer("200 OK", "", b"something else"),
            // Five bytes in all would be right, but fewer or none come, or more.
            _ if path.contains("/00:06") => {
                Sent::Bytes([head("200 OK", "Content-Length: 500\r\n"), b"00:".to_vec()].concat())
            }
            _ if path.contains("/00:07") => Sent::Bytes(Vec::new()),
            _ if path.contains("/00:08") => {
                Sent::answer("302 Found", &format!("Location: http://{elsewhere}{path}\r\n"), b"")
            }
            _ if path.contains("/00:09") => Sent::answer("500 Internal Server Error", "", b"00:09"),
            _ => html(),
        }
    })
}

#[test]
fn a_hostile_peer_gets_nothing_wrong_in_and_keeps_nobody_from_being_asked() {
    let full = TestArchive::empty();
    let paths = fill_in(&full, 3);
    let honest = ready(&full);
    let deleted: Vec<String> = full.listing("chan/source/2020-01-01T00", false);
    let tombstones: Vec<String> = deleted.iter().map(|name| name.replace(".ts", ".tombstone")).collect();
    let elsewhere = FalsePeer::start(|_| Sent::not_found());
    let forged = full.listing("chan/source/2020-01-01T01", false);
    let hostile = hostile([deleted.clone(), tombstones].concat(), forged, elsewhere.address);
    let peers = [hostile.address, honest.address];

    let archive = TestArchive::empty();
    // The hour that the hostile one deletes is here, so that its tombstones would hide something.
    told(&backfill(archive.path(), &[honest.address], &["--hour", "2020-01-01T00"]), 0);
    let outcome = backfill(archive.path(), &peers, &[]);
    let reports = told(&outcome, 1);
    assert!(reports[0]["hash_mismatches"].as_u64() >= Some(1), "{}", reports[0]);
    assert!(reports[0]["errors"].as_u64() >= Some(6), "{}", reports[0]);
    assert_eq!(reports[0]["passed_over"], 1, "a page is no channel: {}", reports[0]);
    assert!(reports[0]["refused_names"].as_u64() >= Some(10), "{}", reports[0]);
    assert_eq!(reports[0]["fetched"], 0, "{}", reports[0]);
    assert!(reports[0]["error"].is_string(), "{}", reports[0]);
    assert_eq!(reports[0]["bursts"].as_array().map(Vec::len), Some(1), "{}", reports[0]);
    assert_eq!(
        (&reports[1]["fetched"], &reports[1]["errors"]),
        (&(paths.len() - 20).into(), &0.into()),
        "{}",
        reports[1]
    );
    assert_eq!(files(archive.path()), files(full.path()));
    assert_eq!(std::fs::read_dir(archive.outside()).unwrap().count(), 1, "something appeared outside of the base");
    is_in_order(archive.path());
    assert_eq!(elsewhere.asked(), Vec::<String>::new(), "a redirect was followed");
    // A person reads about the burst, too.
    let peer = format!("liar=http://{}", hostile.address);
    let said = gapless(archive.path(), &["backfill", "--once", "--peer", &peer]);
    assert!(said.lines(1).iter().any(|line| line.contains("--accept-tombstone-bursts")), "{}", said.out);

    let outcome = backfill(archive.path(), &peers, &["--distrust-tombstones", "--accept-tombstone-bursts"]);
    assert_eq!(told(&outcome, 1)[0]["untrusted_tombstones"], deleted.len(), "{}", outcome.out);
    assert_eq!(files(archive.path()), files(full.path()));

    let outcome = backfill(archive.path(), &peers, &["--accept-tombstone-bursts"]);
    assert_eq!(told(&outcome, 1)[0]["tombstones"], deleted.len(), "{}", outcome.out);
    assert_eq!(files(archive.path()).len(), files(full.path()).len() + deleted.len());
    let node = ready(&archive);
    assert_eq!(node.files("chan/source/2020-01-01T00"), Vec::<String>::new());
    assert_eq!(node.files("chan/source/2020-01-01T01").len(), 20);
    node.check();
}

#[test]
fn a_peer_that_is_down_is_named_and_the_other_is_asked() {
    let (full, empty) = (TestArchive::empty(), TestArchive::empty());
    fill_in(&full, 1);
    let node = ready(&full);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outcome = backfill(empty.path(), &[nobody, node.address], &[]);
    let reports = told(&outcome, 1);
    let why = reports[0]["error"].as_str().unwrap();
    assert!(why.contains("cannot reach") && why.contains(&nobody.to_string()), "{why}");
    assert_eq!(
        (&reports[1]["fetched"], &reports[1]["error"]),
        (&20.into(), &serde_json::Value::Null),
        "{}",
        reports[1]
    );
    assert_eq!(files(full.path()), files(empty.path()));
    is_in_order(empty.path());
}

#[test]
fn a_full_disk_ends_the_round_and_room_lets_the_next_complete_it() {
    if !may_mount() {
        return;
    }
    let full = TestArchive::empty();
    fill_in(&full, 5);
    let node = ready(&full);
    let dir = tempfile::tempdir().unwrap();
    let _mount = Mount::tmpfs(dir.path(), "16m,nr_inodes=60");
    let again = |options: &str| run("mount", &["-o", &format!("remount,{options}"), text(dir.path())]).unwrap();

    // Less is free than is to stay free.
    let report = told(&backfill(dir.path(), &[node.address], &[]), 1).remove(0);
    assert!(report["error"].as_str().is_some_and(|why| why.contains("free")), "{report}");
    assert_eq!(files(dir.path()), BTreeSet::new());
    is_in_order(dir.path());

    // Bytes are free, but soon there is no room for another file.
    again("size=2g");
    let report = told(&backfill(dir.path(), &[node.address], &[]), 1).remove(0);
    assert!(report["error"].as_str().is_some_and(|why| why.contains("of the 60 inodes")), "{report}");
    let had = files(dir.path());
    assert!(!had.is_empty() && had.len() < 100, "{had:?}");
    assert_eq!(report["fetched"], had.len(), "{report}");
    assert!(had.iter().all(|path| !path.contains("/.")), "{had:?}");

    again("nr_inodes=10000");
    is_in_order(dir.path());
    let report = told(&backfill(dir.path(), &[node.address], &[]), 0).remove(0);
    assert_eq!(report["fetched"], 100 - had.len(), "{report}");
    assert_eq!(files(dir.path()), files(full.path()));
    is_in_order(dir.path());
}

#[test]
fn what_two_peers_have_is_fetched_from_one_of_them() {
    let (one, two, empty) = (TestArchive::empty(), TestArchive::empty(), TestArchive::empty());
    let paths = fill_in(&one, 5);
    assert_eq!(fill_in(&two, 5), paths);
    let nodes = [ready(&one), ready(&two)];
    let counting = nodes.each_ref().map(|node| FalsePeer::before(node, |_| true));
    let reports = told(&backfill(empty.path(), &counting.each_ref().map(|peer| peer.address), &[]), 0);
    let asked = counting.iter().flat_map(FalsePeer::asked).filter(|path| path.starts_with("/segments/"));
    let mut asked: Vec<String> = asked.collect();
    asked.sort_unstable();
    let decoded = |path: &String| percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
    let mut due: Vec<String> = paths.iter().map(|path| format!("/segments/{path}")).collect();
    due.sort_unstable();
    assert_eq!(asked.iter().map(decoded).collect::<Vec<_>>(), due);
    let fetched = reports.iter().map(|report| report["fetched"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(fetched, 100);
    assert_eq!(files(one.path()), files(empty.path()));
    is_in_order(empty.path());
    let node = ready(&empty);
    assert_eq!(node.get(&format!("/segments/{}", quoted(&paths[0]))).body, one.read(&paths[0]));
}

#[test]
fn what_a_peer_lists_and_is_no_channel_is_passed_over_and_a_channel_that_fails_is_not() {
    let list = |names: &[&str]| Sent::list(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    let failed =
        || Sent::answer("500 Internal Server Error", "Content-Type: text/html\r\n", b"<html>no directory</html>");
    let peer = FalsePeer::start(move |path| match path.split(['?', '\n']).next().unwrap_or_default() {
        "/files" => list(&["blogs", "coverage-maps", "readme.txt", "chan"]),
        "/files/blogs" => list(&["2019"]),
        "/files/readme.txt" => Sent::answer("302 Found", "Location: /readme.txt\r\n", b""),
        "/files/blogs/2019" | "/files/coverage-maps" | "/files/chan" => failed(),
        _ => Sent::not_found(),
    });
    let archive = TestArchive::empty();
    let of_none = told(&backfill(archive.path(), &[peer.address], &[]), 0);
    assert_eq!((&of_none[0]["passed_over"], &of_none[0]["errors"]), (&4.into(), &0.into()), "{}", of_none[0]);
    // It is here: that the peer fails for it may hide segments.
    archive.segment("chan/source/2020-01-01T00", "00:00", 2.0, Kind::Full);
    let of_one = told(&backfill(archive.path(), &[peer.address], &[]), 1);
    assert_eq!((&of_one[0]["passed_over"], &of_one[0]["errors"]), (&3.into(), &1.into()), "{}", of_one[0]);
}

#[test]
fn a_name_that_something_else_occupies_is_not_taken_for_fetched() {
    let (full, archive) = (TestArchive::empty(), TestArchive::empty());
    let paths = fill_in(&full, 1);
    let other = ready(&full);
    std::fs::create_dir_all(archive.at(&paths[0])).unwrap();
    std::os::unix::fs::symlink("/nowhere", archive.at(&paths[1])).unwrap();
    let reports = told(&backfill(archive.path(), &[other.address], &[]), 1);
    assert_eq!(
        (&reports[0]["fetched"], &reports[0]["errors"]),
        (&(paths.len() - 2).into(), &2.into()),
        "{}",
        reports[0]
    );
    let error = reports[0]["error"].as_str().unwrap();
    assert!(error.contains("is taken by a") && error.contains("move it away"), "{error}");
    assert!(archive.at(&paths[0]).is_dir() && archive.at(&paths[1]).is_symlink());
    let told = gapless(archive.path(), &["doctor", "--json"]).out;
    assert!(told.contains("occupied names"), "{told}");
}

#[test]
fn two_machines_with_one_name_fetch_from_each_other_and_say_so() {
    let (one, two) = (TestArchive::empty(), TestArchive::empty());
    let segment = one.segment("chan/source/2020-01-01T00", "00:00", 2.0, Kind::Full);
    let first = TestNode::plan(&one).flag("--name").flag("box").start();
    first.wait_ready();
    let peer = format!("box=http://{}", first.address);
    let second = TestNode::plan(&two).flag("--name").flag("box").flag("--peer").flag(&peer).start();
    eventually(SOON, || two.at(&segment).exists());
    let status = second.get("/api/v1/status").json();
    let troubles = status["troubles"].to_string();
    assert!(troubles.contains("this node's name and is another node"), "{troubles}");
}

#[test]
fn a_copy_with_its_marker_is_told_and_gets_an_id_of_its_own() {
    let (one, two) = (TestArchive::empty(), TestArchive::empty());
    let segment = one.segment("chan/source/2020-01-01T00", "00:00", 2.0, Kind::Full);
    let first = ready(&one);
    std::fs::create_dir_all(two.path().join(".gapless")).unwrap();
    std::fs::copy(one.path().join(".gapless/marker"), two.path().join(".gapless/marker")).unwrap();
    std::fs::create_dir_all(two.path().join("chan")).unwrap();
    let peer = format!("other=http://{}", first.address);
    let start = || TestNode::plan(&two).flag("--peer").flag(&peer).start();
    let second = start();
    eventually(SOON, || two.at(&segment).exists());
    let troubles = || second.get("/api/v1/status").json()["troubles"].to_string();
    assert!(troubles().contains("--new-id"), "{}", troubles());
    second.terminate();
    gapless(two.path(), &["rebuild", "--new-id"]).lines(0);
    let marker = |archive: &TestArchive| std::fs::read(archive.path().join(".gapless/marker")).unwrap();
    assert!(marker(&one) != marker(&two));
    let again = start();
    again.wait_ready();
    eventually(SOON, || again.get("/api/v1/status").json()["peers"][0]["rounds"].as_u64() >= Some(1));
    let troubles = again.get("/api/v1/status").json()["troubles"].to_string();
    assert!(!troubles.contains("--new-id"), "{troubles}");
}
