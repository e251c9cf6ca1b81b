//! Damage is found, put aside, told, and mended from whoever has the right bytes; nothing is lost on the way, whatever happens.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use serde_json::Value;

use crate::support::archive::{hash_text, packets};
use crate::support::trouble::{Mount, may_mount};
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, gapless, invariants};

const HOUR: &str = "chan/source/2020-01-01T05";
const SAMPLE: &str = "desertbus/source/2019-11-13T07";

/// A node whose scrub goes on without a rest, and that fetches from these peers; where it listens is chosen before.
fn scrubbing(archive: &TestArchive, peers: &[SocketAddr], listen: &str) -> TestNode {
    let plan = peers.iter().enumerate().fold(TestNode::plan(archive).listen(listen), |plan, (number, address)| {
        plan.flag("--peer").flag(format!("p{number}=http://{address}"))
    });
    let unlimited = [("BYTES_PER_SECOND", "0B"), ("FILES_PER_SECOND", "0"), ("MINIMUM_CYCLE", "1s")];
    let plan = unlimited.iter().fold(plan, |plan, (key, value)| plan.env(&format!("GAPLESS_SCRUB_{key}"), value));
    let plan = plan.env("GAPLESS_CRAWL_CPU_SHARE", "1").env("GAPLESS_BACKFILL_RECENT_CUTOFF", "0s");
    plan.env("GAPLESS_BACKFILL_INTERVAL", "1h").start()
}

/// One that scrubs only when it is asked to.
fn calm(archive: &TestArchive) -> TestNode {
    let node = TestNode::start(archive);
    node.wait_ready();
    node
}

fn quarantine(node: &TestNode) -> Value {
    node.get("/api/v1/quarantine").json()
}

fn troubles(node: &TestNode) -> String {
    node.get("/api/v1/status").json()["troubles"].to_string()
}

fn count(list: &Value, what: &str) -> u64 {
    list[what].as_u64().unwrap()
}

fn flip(archive: &TestArchive, path: &str) {
    let mut bytes = archive.read(path);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    archive.raw(path, &bytes);
}

fn kept(archive: &TestArchive, path: &str) -> Vec<u8> {
    archive.read(&format!(".gapless/quarantine/{path}"))
}

/// Four real segments of an hour.
fn four(archive: &TestArchive) -> [String; 4] {
    let names = archive.listing(SAMPLE, false);
    let full: Vec<String> =
        names.into_iter().filter(|name| name.contains("-2.0-full-")).map(|name| format!("{SAMPLE}/{name}")).collect();
    [10, 20, 30, 40].map(|at: usize| full[at].clone())
}

/// One flipped bit, one cut short, one of zeros, one put together from two.
fn damage(archive: &TestArchive, paths: &[String; 4]) {
    let [flipped, short, zeros, spliced] = paths;
    flip(archive, flipped);
    let whole = archive.read(short);
    archive.raw(short, &whole[..whole.len() / 3]);
    archive.raw(zeros, &vec![0; archive.read(zeros).len()]);
    let (one, other) = (archive.read(spliced), archive.read(flipped));
    let cut = one.len() / 188 / 2 * 188;
    archive.raw(spliced, &[&one[..cut], &other[cut.min(other.len())..]].concat());
}

#[test]
fn four_kinds_of_damage_among_ten_thousand_are_found_and_mended_in_a_cluster_of_three() {
    let archives = [TestArchive::sample(), TestArchive::sample(), TestArchive::sample()];
    for hour in 0..22 {
        for number in 0..400 {
            let (place, time) =
                (format!("chan/source/2020-01-01T{hour:02}"), format!("{:02}:{:02}", number / 60, number % 60));
            let content = packets(&format!("{place}/{time}"), 1);
            let name = format!("{place}/{time}-1.0-full-{}.ts", hash_text(&content));
            for archive in &archives {
                archive.raw(&name, &content);
            }
        }
    }
    let (free, addresses) = ports();
    drop(free);
    let others = |own: usize| -> Vec<SocketAddr> {
        addresses.iter().enumerate().filter(|(at, _)| *at != own).map(|(_, address)| *address).collect()
    };
    let start = |at: usize| scrubbing(&archives[at], &others(at), &addresses[at].to_string());
    let paths = four(&archives[0]);
    let right: Vec<Vec<u8>> = paths.iter().map(|path| archives[1].read(path)).collect();
    damage(&archives[0], &paths);
    let (second, third) = (start(1), start(2));
    [&second, &third].into_iter().for_each(TestNode::wait_ready);
    let nodes = [start(0), second, third];

    eventually(SOON, || {
        let list = quarantine(&nodes[0]);
        (count(&list, "count"), count(&list, "lost")) == (4, 0)
    });
    for (path, right) in paths.iter().zip(&right) {
        let (hour, name) = path.rsplit_once('/').unwrap();
        assert!(nodes[0].files(hour).iter().any(|listed| listed == name), "{path} is not listed again");
        assert_eq!(&archives[0].read(path), right, "{path}");
        assert_ne!(&kept(&archives[0], path), right, "{path} was not kept as it was");
    }
    let metrics = nodes[0].get("/metrics").text().to_owned();
    for gauge in ["gapless_quarantine_files 4", "gapless_quarantine_unhealed_files 0"] {
        assert!(metrics.contains(&format!("\n{gauge}\n")), "{gauge}");
    }
    let list = quarantine(&nodes[0]);
    let problems: BTreeSet<(&str, &str)> = list["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| (file["path"].as_str().unwrap(), file["problem"].as_str().unwrap()))
        .collect();
    let expected = [(&*paths[0], "hash"), (&paths[1], "hash"), (&paths[2], "zeros"), (&paths[3], "hash")];
    assert_eq!(problems, BTreeSet::from(expected));
    for others in &nodes[1..] {
        assert_eq!(count(&quarantine(others), "count"), 0);
    }
    // Counted, once each, and every file was read.
    eventually(SOON, || cycles(&nodes[0]).iter().any(|found| found["quarantined"] == 4));
    let read = cycles(&nodes[0]).iter().find(|found| found["quarantined"] == 4).unwrap()["files"].as_u64().unwrap();
    assert!(read > 9_900, "{read}");
    nodes[0].check();
    assert!(nodes[0].run(&["scrub"]).lines(0)[0].contains(" 0 quarantined, 0 damaged"));
}

/// What the last cycles of the scrub found, by name.
fn cycles(node: &TestNode) -> Vec<Value> {
    let view = node.get("/api/v1/crawl").json();
    // It is not told before it was looked for.
    let visitors = view["visitors"].as_array().unwrap().iter().filter(|visitor| visitor["name"] == "scrub");
    let cycles = visitors.flat_map(|visitor| visitor["history"].as_array().unwrap());
    cycles.map(|cycle| cycle["found"].clone()).collect()
}

/// Three free ports, and what holds them until the nodes take them.
fn ports() -> (Vec<TcpListener>, Vec<SocketAddr>) {
    let held: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses = held.iter().map(|listener| listener.local_addr().unwrap()).collect();
    (held, addresses)
}

#[test]
fn what_nobody_else_has_is_told_as_lost_and_where_it_lies() {
    let archive = TestArchive::empty();
    let paths: Vec<String> =
        ["00:00", "00:02", "00:04"].map(|time| archive.segment(HOUR, time, 2.0, Kind::Full)).into_iter().collect();
    flip(&archive, &paths[1]);
    let node = calm(&archive);
    let found = node.run(&["scrub", "chan/source", "--once"]);
    assert!(found.lines(1)[0].starts_with(&format!("quarantined: {}", paths[1])), "{}", found.out);
    invariants::listings_follow_the_disk(&archive, &node);
    assert_eq!(node.files(HOUR).len(), 2);
    let hole = || node.get("/api/v1/holes/chan/source").json()["holes"][0].clone();
    eventually(SOON, || hole()["reason"] == "lost");
    let told = hole();
    assert_eq!(told["unfillable"], true);
    assert!(told["detail"].as_str().unwrap().contains("lies in the quarantine"), "{told}");
    let list = quarantine(&node);
    assert_eq!((count(&list, "count"), count(&list, "lost")), (1, 1));
    let explained = node.run(&["explain", &paths[1]]);
    assert!(explained.out.contains(".gapless/quarantine/"), "{}", explained.out);

    // Put back it is found again; deleted it is gone for good. The node has done it: it says the same at once.
    let absent = node.run(&["quarantine", "restore", &paths[1], &paths[0]]);
    assert!(absent.code == 3 && absent.err.contains("in the quarantine"), "{}", absent.err);
    assert_eq!(node.run(&["quarantine", "restore", &paths[1]]).lines(0), [format!("restored {}", paths[1])]);
    assert_eq!((node.files(HOUR).len(), count(&quarantine(&node), "count")), (3, 0));
    let order = serde_json::json!({ "paths": [paths[1]] });
    assert_eq!(node.post("/api/v1/quarantine/purge", None, &order).status, 401);
    assert_eq!(node.run(&["scrub"]).code, 1);
    assert!(troubles(&node).contains("in the quarantine"), "{}", troubles(&node));
    assert!(node.run(&["quarantine", "purge", &paths[1]]).lines(0)[0].starts_with(&format!("deleted {}", paths[1])));
    assert_eq!((count(&quarantine(&node), "count"), troubles(&node).contains("in the quarantine")), (0, false));
    assert!(!archive.at(".gapless/quarantine/chan").exists());
    eventually(SOON, || hole()["reason"] != "lost");
    node.check();
    // Without a node it is done here.
    flip(&archive, &paths[0]);
    assert_eq!(node.run(&["scrub"]).code, 1);
    node.terminate();
    assert_eq!(gapless(archive.path(), &["quarantine", "restore", &paths[0]]).code, 0);
    assert!(archive.at(&paths[0]).exists() && gapless(archive.path(), &["quarantine", "restore", &paths[0]]).code == 3);
}

#[test]
fn a_full_segment_that_was_cut_before_it_was_named_is_put_aside_and_not_fetched_again() {
    let (here, there) = (TestArchive::sample(), TestArchive::empty());
    let whole = here.read(&four(&here)[0]);
    let cut = &whole[..whole.len() / 188 / 3 * 188];
    let name = format!("{HOUR}/00:00-2.0-full-{}.ts", hash_text(cut));
    for archive in [&here, &there] {
        archive.raw(&name, cut);
    }
    let peer = calm(&there);
    let plan = TestNode::plan(&here).flag("--peer").flag(format!("b=http://{}", peer.address));
    let node = plan.env("GAPLESS_BACKFILL_INTERVAL", "1s").env("GAPLESS_BACKFILL_RECENT_CUTOFF", "0s").start();
    node.wait_ready();
    let found = node.run(&["scrub"]).lines(1)[0].to_owned();
    assert!(found.starts_with(&format!("quarantined: {name}: its time stamps last ")), "{found}");
    assert_eq!(count(&quarantine(&node), "count"), 1, "all real segments are sound");
    let fresh = there.segment(HOUR, "00:30", 2.0, Kind::Full);
    eventually(SOON, || here.at(&fresh).exists());
    assert!(!here.at(&name).exists(), "it came again");
    assert_eq!(kept(&here, &name), cut);
    drop(node);

    // Where it is only to be told it stays, and the daemon that is not there is not needed.
    let lenient = there.path().join("lenient.toml");
    fs::write(&lenient, "[scrub]\nstructure = \"report\"\n").unwrap();
    drop(peer);
    let outcome = gapless(there.path(), &["--config", lenient.to_str().unwrap(), "scrub"]);
    assert!(outcome.lines(1)[0].starts_with(&format!("suspicious: {name}")), "{}", outcome.out);
    assert!(there.at(&name).exists() && !there.at(".gapless/quarantine").exists());
    let flagged = gapless(there.path(), &["flagged"]);
    assert_eq!(flagged.lines(0)[0], name, "{}", flagged.out);
    let node = TestNode::start(&there);
    let listed = node.get("/api/v1/flagged").json();
    assert_eq!((&listed["count"], &listed["files"][0]["problem"]), (&1.into(), &"structure".into()), "{listed}");
}

#[test]
fn where_nothing_can_be_moved_or_too_much_would_be_it_stays_and_is_told() {
    let archive = TestArchive::empty();
    for number in 0..60 {
        flip(&archive, &archive.segment(HOUR, &format!("{number:02}:00"), 2.0, Kind::Full));
    }
    let outcome = gapless(archive.path(), &["scrub"]);
    let moved = outcome.lines(1).iter().filter(|line| line.starts_with("quarantined: ")).count();
    assert_eq!(moved, 12, "a fifth of the hour: {}", outcome.out);
    assert_eq!(outcome.out.lines().filter(|line| line.starts_with("waiting: ")).count(), 48);
    let outcome = gapless(archive.path(), &["scrub", "--yes", HOUR]);
    assert!(outcome.lines(1).last().unwrap().contains("48 quarantined, 0 damaged and left"), "{}", outcome.out);

    if may_mount() {
        let path = archive.segment(HOUR, "00:00", 2.0, Kind::Full);
        flip(&archive, &path);
        let damaged = archive.read(&path);
        let state = tempfile::tempdir().unwrap();
        let mount = Mount::bind(archive.path(), archive.path());
        mount.read_only();
        let outcome = gapless(archive.path(), &["--state-dir", state.path().to_str().unwrap(), "scrub"]);
        assert!(outcome.lines(1)[0].starts_with(&format!("unmoved: {path}")), "{}", outcome.out);
        assert_eq!(archive.read(&path), damaged);
    }
}

/// What a killed process leaves between the move and the commit: the file in the quarantine with its report, and the index as it was.
#[test]
fn a_kill_between_the_move_and_the_commit_counts_nothing_twice_and_loses_nothing() {
    let archive = TestArchive::empty();
    let paths: Vec<String> =
        (0..30).map(|number| archive.segment(HOUR, &format!("00:{number:02}"), 1.0, Kind::Full)).collect();
    let damaged = &paths[7];
    flip(&archive, damaged);
    let bytes = archive.read(damaged);
    drop(calm(&archive));
    // The first cycle of the scrub would have the number 1 and begin later; one that began long ago has it as well.
    let stale = report(damaged, "2001-01-01T00:00:00.000000Z");
    let pending = report(damaged, "2999-01-01T00:00:00.000000Z");
    for (number, at) in [(11, &stale), (13, &pending)] {
        let (name, path) = (Path::new(&paths[number]).file_name().unwrap().to_str().unwrap(), &paths[number]);
        let kept = archive.at(&format!(".gapless/quarantine/{HOUR}"));
        fs::create_dir_all(&kept).unwrap();
        fs::rename(archive.at(path), kept.join(name)).unwrap();
        fs::write(kept.join(format!("{name}.json")), at.replace(damaged, path)).unwrap();
    }
    // And a report whose file was never moved.
    let orphan = archive.at(&format!(".gapless/quarantine/{damaged}.json"));
    fs::write(&orphan, &pending).unwrap();
    let node = scrubbing(&archive, &[], "127.0.0.1:0");
    node.wait_ready();
    eventually(SOON, || !cycles(&node).is_empty());
    let first = cycles(&node).pop().unwrap();
    assert_eq!((&first["quarantined"], &first["files"]), (&2.into(), &29.into()), "{first}");
    assert_eq!(kept(&archive, damaged), bytes);
    assert_eq!(count(&quarantine(&node), "count"), 3);
    node.check();
}

fn report(path: &str, at: &str) -> String {
    serde_json::json!({ "path": path, "problem": "hash", "at": at, "cycle": 1 }).to_string()
}
