//! Deletion from anywhere: what is hidden is hidden at once and for ever on every node, and only what is hidden is ever deleted.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::archive::snapshot;
use crate::support::trouble::{Chance, Mount, may_mount, run, text};
use crate::support::{
    Kind, Outcome, SOON, TestArchive, TestNode, eventually, gapless, gapless_reading, invariants, quoted,
};

const HOUR: &str = "chan/source/2020-01-01T05";
const ADD: &str = "/api/v1/tombstones";
const PURGE: &str = "/api/v1/tombstones/purge";

fn ready(archive: &TestArchive) -> TestNode {
    let node = TestNode::start(archive);
    node.wait_ready();
    node
}

/// So many segments in an hour; says their paths.
fn fill(archive: &TestArchive, hour: &str, count: usize) -> Vec<String> {
    let time = |number| format!("{:02}:{:02}", number / 60, number % 60);
    (0..count).map(|number| archive.segment(hour, &time(number), 2.0, Kind::Full)).collect()
}

fn tombstone_of(path: &str) -> String {
    format!("{}.tombstone", path.rsplit_once('.').unwrap().0)
}

/// Paths of all files but ours.
fn files(archive: &TestArchive) -> BTreeSet<String> {
    let found = snapshot(archive.path()).into_iter().filter(|(_, (is_dir, ..))| !is_dir);
    let found = found.map(|(path, _)| path.strip_prefix(archive.path()).unwrap().to_str().unwrap().to_owned());
    found.filter(|path| !path.starts_with(".gapless")).collect()
}

fn set<'p>(paths: impl IntoIterator<Item = &'p String>) -> BTreeSet<String> {
    paths.into_iter().cloned().collect()
}

/// Adds, lists and purges from the command line.
fn a_day_of_an_editor(archive: &TestArchive, ask: &dyn Fn(&[&str]) -> Outcome) {
    let paths = fill(archive, HOUR, 5);
    let chat = archive.chat("chan/chat/2020-01-01T05", "10:00");
    let absent = paths[4].replace("T05", "T09");
    let real = archive.at(&paths[1]);
    assert_eq!(
        ask(&["tombstone", "add", &paths[0], text(&real), &tombstone_of(&chat), &absent]).lines(0),
        [&paths[0], &paths[1], &tombstone_of(&chat), &absent].map(|path| format!("new {path}"))
    );
    assert_eq!(ask(&["tombstone", "add", &paths[0]]).lines(0), [format!("there {}", paths[0])]);
    let json: Value = serde_json::from_str(ask(&["--json", "tombstone", "add", &paths[0]]).lines(0)[0]).unwrap();
    assert_eq!(json, json!({ "path": paths[0], "outcome": "there" }));

    // One wrong path, and nothing is done.
    let before = files(archive);
    let wrong = ask(&["tombstone", "add", &paths[2], "chan/source/2020-01-01T05/../x.ts", "/etc/passwd"]);
    assert!(wrong.code == 2 && wrong.err.contains("nothing was done"), "{wrong:?}");
    assert_eq!(files(archive), before);

    let listed: Vec<Value> =
        ask(&["--json", "tombstone", "list"]).lines(0).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = |path: &String, here: bool| {
        let name = path.rsplit('/').next().unwrap();
        let bytes = if here { fs::metadata(archive.at(path)).unwrap().len() } else { 0 };
        let mut record = json!({ "path": tombstone_of(path), "bytes": bytes });
        if here {
            record["hides"] = name.into();
        }
        record
    };
    assert_eq!(
        listed,
        [expected(&chat, true), expected(&paths[0], true), expected(&paths[1], true), expected(&absent, false)]
    );
    assert_eq!(ask(&["tombstone", "list", "chan/source"]).lines(0).len(), 3);
    assert_eq!(ask(&["tombstone", "list", HOUR]).lines(0).len(), 2);
    assert_eq!(ask(&["tombstone", "list", "nobody"]).code, 3);
    for verb in ["list", "purge"] {
        assert_eq!(ask(&["tombstone", verb, "chan/source/yesterday"]).code, 2);
    }

    let refused = ask(&["tombstone", "purge"]);
    assert!(refused.code == 2 && refused.err.contains("--yes"), "{refused:?}");
    let would = ask(&["tombstone", "purge", "--dry-run"]);
    assert!(would.lines(0).last().unwrap().starts_with("3 files, "), "{would:?}");
    assert_eq!(files(archive), before);
    let done = ask(&["tombstone", "purge", "--yes", HOUR]);
    assert!(done.lines(0).last().unwrap().starts_with("2 files, "), "{done:?}");
    let mut left = before;
    left.retain(|path| *path != paths[0] && *path != paths[1]);
    assert_eq!(files(archive), left);
    ask(&["--json", "tombstone", "purge", "--yes"]).lines(0);
    left.remove(&chat);
    assert_eq!(files(archive), left);
    assert!(ask(&["tombstone", "purge", "--yes"]).lines(0).last().unwrap().starts_with("0 files, "));
    assert_eq!(ask(&["tombstone", "list"]).lines(0).len(), 4, "tombstones stay");
}

#[test]
fn an_editor_adds_lists_and_purges_without_a_daemon() {
    let archive = TestArchive::empty();
    assert_eq!(gapless(archive.path(), &["tombstone", "list"]).code, 3, "who only looks makes no index");
    a_day_of_an_editor(&archive, &|args| gapless(archive.path(), args));
    ready(&archive).check();
}

#[test]
fn an_editor_adds_lists_and_purges_by_way_of_the_daemon() {
    let archive = TestArchive::empty();
    let node = ready(&archive);
    a_day_of_an_editor(&archive, &|args| {
        // Which channels there are is looked up once a second.
        eventually(SOON, || node.run(&["ls"]).out.contains("chan"));
        node.run(args)
    });
    invariants::hold(&archive, &node);
    let metrics = node.get("/metrics");
    for (quality, count) in [("source", 2), ("chat", 1)] {
        let line = format!(
            "segments_deleted_total{{channel=\"chan\",hour=\"2020-01-01T05\",quality=\"{quality}\"}} {count}\n"
        );
        assert!(metrics.text().contains(&line), "{}", metrics.text());
    }
}

#[test]
fn an_editor_works_on_another_node_with_a_token() {
    let archive = TestArchive::empty();
    let tokens = tempfile::tempdir().unwrap();
    let file = tokens.path().join("token");
    fs::write(&file, "editor-0123456789abcdef").unwrap();
    crate::support::trouble::set_mode(&file, 0o600);
    let node = TestNode::plan(&archive).flag("--write-tokens").flag(&file).start();
    node.wait_ready();
    let there = format!("http://{}", node.address);
    let here = TestArchive::empty();
    let paths = fill(&archive, HOUR, 2);
    eventually(SOON, || node.files(HOUR).len() == 2);
    let without = gapless(here.path(), &["tombstone", "add", "--node", &there, &paths[0]]);
    assert!(without.code == 3 && without.err.contains("401"), "{without:?}");
    let with = ["--node", &there, "--token-file", text(&file)];
    let ask = |args: &[&str]| gapless(here.path(), &[args, &with].concat());
    ask(&["tombstone", "add", &paths[0]]).lines(0);
    assert_eq!(node.files(HOUR).len(), 1);
    assert_eq!(ask(&["tombstone", "list"]).lines(0).len(), 1);
    ask(&["tombstone", "purge", "--yes"]).lines(0);
    assert_eq!(files(&archive), set(&[tombstone_of(&paths[0]), paths[1].clone()]));
    assert!(files(&here).is_empty());
}

#[test]
fn on_a_terminal_a_purge_asks_first() {
    if std::process::Command::new("script").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no script(1) to have a terminal by");
        return;
    }
    let archive = TestArchive::empty();
    let paths = fill(&archive, HOUR, 2);
    archive.tombstone(&paths[0]);
    gapless(archive.path(), &["rebuild"]).lines(0);
    let answered = |answer: &str| {
        let line = format!("{} --base-dir {} tombstone purge", env!("CARGO_BIN_EXE_gapless"), text(archive.path()));
        let mut script = std::process::Command::new("script");
        script
            .args(["-qec", &line, "/dev/null"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped());
        let mut script = script.spawn().unwrap();
        script.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
        let output = script.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for no in ["n\n", "\n", "yes please\n"] {
        let said = answered(no);
        assert!(said.contains(&format!("{HOUR}: 1 file,")) && said.contains("[y/N]"), "{said}");
        assert!(archive.at(&paths[0]).exists(), "{no:?}");
    }
    let said = answered("y\n");
    assert!(said.contains("1 file, 376 B deleted"), "{said}");
    assert_eq!(files(&archive), set(&[tombstone_of(&paths[0]), paths[1].clone()]));
    let said = answered("y\n");
    assert!(!said.contains("[y/N]"), "nothing is asked about nothing: {said}");
}

#[test]
fn thousands_of_paths_come_from_stdin() {
    let archive = TestArchive::empty();
    let paths = fill(&archive, HOUR, 1_500);
    let node = ready(&archive);
    let some = paths[..1_200].join("\n\n") + "\n";
    let outcome = gapless_reading(archive.path(), &["tombstone", "add", "-", &paths[1_300]], &some);
    assert_eq!(outcome.lines(0).len(), 1_201);
    let expected: Vec<String> = paths[1_200..].iter().filter(|path| **path != paths[1_300]).cloned().collect();
    assert_eq!(node.files(HOUR).len(), expected.len());
    assert_eq!(node.run(&["tombstone", "list"]).lines(0).len(), 1_201);
    let wrong = gapless_reading(archive.path(), &["tombstone", "add", "-"], &(paths[1_200..].join("\n") + "\nx\n"));
    assert_eq!(wrong.code, 2);
    assert_eq!(node.files(HOUR).len(), expected.len());
    invariants::hold(&archive, &node);
}

#[test]
fn what_is_hidden_over_http_is_hidden_when_the_answer_comes() {
    let archive = TestArchive::empty();
    let paths = fill(&archive, HOUR, 20);
    let node = ready(&archive);
    let token = node.own_token();
    for path in &paths[..10] {
        assert_eq!(node.post(ADD, Some(&token), &json!({ "paths": [path] })).json()["new"], 1);
        let name = path.rsplit('/').next().unwrap();
        assert!(!node.files(HOUR).iter().any(|listed| listed == name));
        assert_eq!(node.get(&format!("/segments/{}", quoted(path))).status, 410);
        let listed = node.get(&format!("{ADD}?channel=chan&quality=source&hour=2020-01-01T05&limit=10000")).json();
        assert!(listed["tombstones"].as_array().unwrap().iter().any(|record| record["path"] == tombstone_of(path)));
    }
    // By pages.
    let mut after = String::new();
    let mut listed = Vec::new();
    loop {
        let page = node.get(&format!("{ADD}?limit=3{after}")).json();
        listed.extend(page["tombstones"].as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={}", quoted(next));
    }
    assert_eq!(listed, paths[..10].iter().map(|path| tombstone_of(path)).collect::<Vec<_>>());
    // A range of time: what lasts from second 12 to 17.
    let range =
        json!({ "channel": "chan", "quality": "source", "from": "2020-01-01T05:00:14Z", "to": "2020-01-01T05:00:16" });
    let added = node.post(ADD, Some(&token), &range).json();
    let hidden: Vec<&str> =
        added["paths"].as_array().unwrap().iter().map(|path| path["path"].as_str().unwrap()).collect();
    assert_eq!(hidden, [&paths[13], &paths[14], &paths[15]]);
    // Exactly some files.
    let report = node.post(PURGE, Some(&token), &json!({ "paths": [paths[0], paths[19]] })).json();
    assert_eq!((&report["files"], &report["left"][0]["path"]), (&1.into(), &paths[19].as_str().into()), "{report}");
    assert!(!archive.at(&paths[0]).exists() && archive.at(&paths[1]).exists() && archive.at(&paths[19]).exists());
    invariants::hold(&archive, &node);
}

#[test]
fn orders_that_are_unclear_or_too_large_change_nothing() {
    let archive = TestArchive::empty();
    let paths = fill(&archive, HOUR, 2);
    archive.tombstone(&paths[0]);
    let node = ready(&archive);
    let (token, before) = (node.own_token(), files(&archive));
    let post = |address: &str, order: Value| node.post(address, Some(&token), &order);
    for order in [
        json!({}),
        json!({ "everything": false }),
        json!({ "everything": true, "dry-run": true }),
        json!({ "everything": true, "dryrun": true }),
        json!({ "everything": true, "paths": [paths[0]] }),
        json!({ "everything": true, "places": ["chan"] }),
        json!({ "everything": "yes" }),
        json!({ "places": ["chan/source/yesterday"] }),
        json!({ "places": ["../chan"] }),
        json!({ "places": vec!["chan"; 1_001] }),
        json!({ "everything": true, "after": "nonsense" }),
        json!(["everything"]),
        Value::Null,
    ] {
        post(PURGE, order).problem(400);
    }
    for order in [
        json!({ "path": paths[1] }),
        json!({ "paths": vec![&paths[1]; 1_001] }),
        json!({ "paths": [paths[1]], "channel": "chan" }),
        json!({ "channel": "chan", "quality": "source", "from": "2020-01-01T05:00:00" }),
        json!({ "channel": "chan", "quality": "source", "from": "2020-01-01T05:00:00", "to": "2020-01-01T05:00:00" }),
        json!({ "channel": "../chan", "quality": "source", "from": "2020-01-01T05:00:00", "to": "2020-01-01T06:00:00" }),
    ] {
        post(ADD, order).problem(400);
    }
    post(ADD, json!({ "paths": ["x".repeat(3 << 20)] })).problem(413);
    // Each path for itself, and none of them leaves the archive.
    let bad = [
        "../../etc/passwd",
        "/etc/passwd",
        "chan/source/2020-01-01T05/../../x.ts",
        "\0",
        ".gapless/a/2020-01-01T05/x.ts",
        "",
    ];
    let refused = post(ADD, json!({ "paths": bad })).json();
    assert_eq!((&refused["refused"], &refused["new"]), (&bad.len().into(), &0.into()), "{refused}");
    assert_eq!(files(&archive), before);
    assert_eq!(fs::read_dir(archive.outside()).unwrap().count(), 1, "something appeared outside of the base");
    for query in ["quality=source", "channel=chan&hour=2020-01-01T05", "channel=..", "after=x", "limit=0"] {
        node.get(&format!("{ADD}?{query}")).problem(400);
    }
    assert_eq!(node.request("DELETE", ADD, &[]).header("allow"), Some("GET, HEAD, OPTIONS, POST"));
    assert_eq!(node.get(PURGE).problem(405).0, "/problems/method-not-allowed");
    let document = node.get("/api/v1/openapi.json").json();
    assert!(document["paths"][PURGE]["post"]["security"].is_array(), "{}", document["paths"][PURGE]);
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
}

#[test]
fn a_purge_never_touches_what_is_visible() {
    let mut chance = Chance::new("a_purge_never_touches");
    let archive = TestArchive::empty();
    let node = ready(&archive);
    let hours = ["chan/source/2020-01-01T05", "chan/480p/2020-01-01T05", "other/source/2020-02-29T23"];
    for number in 0..300 {
        let hour = hours[chance.below(hours.len())];
        let time = format!("{:02}:{:02}{}", number / 60, number % 60, ["", ".5", ".000001"][chance.below(3)]);
        let kind = [Kind::Full, Kind::Suspect, Kind::Partial, Kind::Temp][chance.below(4)];
        let path = match chance.below(6) {
            0 => archive.chat(hour, &time),
            1 => {
                archive.raw(&format!("{hour}/garbage-{number}.ts"), b"x");
                format!("{hour}/garbage-{number}.ts")
            }
            _ => archive.segment(hour, &time, 2.0, kind),
        };
        match chance.below(4) {
            0 => drop(archive.tombstone(&path)),
            // Of another hour, of nothing, of something similar.
            1 => drop(archive.tombstone(&path.replace("-01T05", "-02T05"))),
            2 => drop(archive.tombstone(&path.replace("2.0", "2.00"))),
            _ => {}
        }
    }
    // The node writes tombstones, too: for what is equal to something similar that is hidden.
    eventually(SOON, || {
        let before = files(&archive);
        std::thread::sleep(Duration::from_millis(200));
        invariants::listings_follow_the_disk(&archive, &node);
        files(&archive) == before
    });
    let before = files(&archive);
    let visible: BTreeSet<String> = archive
        .all_hours()
        .iter()
        .flat_map(|hour| archive.listing(hour, true).into_iter().map(move |name| format!("{hour}/{name}")))
        .collect();
    let report = node.post(PURGE, Some(&node.own_token()), &json!({ "everything": true })).json();
    let after = files(&archive);
    let gone: BTreeSet<&String> = before.difference(&after).collect();
    assert_eq!(report["files"], gone.len(), "{report}");
    assert!(!gone.is_empty());
    for path in gone {
        assert!(!visible.contains(path), "{path} was visible");
        assert!(before.contains(&tombstone_of(path)) && !path.ends_with(".tombstone"), "{path} was not hidden");
        assert!(!path.contains("garbage") && !path.contains("-temp-"), "{path} is nothing that anybody replicates");
    }
    assert!(visible.is_subset(&after));
    invariants::hold(&archive, &node);
    for hour in archive.all_hours() {
        assert!(archive.listing(&hour, true).iter().all(|name| visible.contains(&format!("{hour}/{name}"))));
    }
}

#[test]
fn what_is_deleted_on_one_node_disappears_from_the_others_and_stays_away() {
    let (here, there) = (TestArchive::empty(), TestArchive::empty());
    let paths = fill(&here, HOUR, 20);
    assert_eq!(fill(&there, HOUR, 20), paths);
    let (mine, mut theirs) = (ready(&here), ready(&there));
    let token = mine.own_token();
    mine.post(ADD, Some(&token), &json!({ "paths": [paths[3]] })).json();
    mine.post(PURGE, Some(&token), &json!({ "everything": true })).json();
    assert!(!here.at(&paths[3]).exists());
    let round = |of: &TestArchive, node: TestNode, peer: &TestNode| {
        node.terminate();
        let peer = format!("http://{}", peer.address);
        gapless(of.path(), &["backfill", "--once", "--recent-cutoff", "0s", "--peer", &peer]).lines(0);
        ready(of)
    };
    theirs = round(&there, theirs, &mine);
    let name = paths[3].rsplit('/').next().unwrap();
    assert!(!theirs.files(HOUR).iter().any(|listed| listed == name));
    assert!(there.at(&paths[3]).exists(), "hidden there, and not deleted by anybody else's word");
    // It does not come back: neither from there, nor after both made their index anew.
    let mine = round(&here, mine, &theirs);
    for (archive, node) in [(&here, mine), (&there, theirs)] {
        node.terminate();
        gapless(archive.path(), &["rebuild"]).lines(0);
    }
    let (mine, theirs) = (ready(&here), ready(&there));
    theirs.run(&["tombstone", "purge", "--yes"]).lines(0);
    assert!(!there.at(&paths[3]).exists());
    let theirs = round(&there, theirs, &mine);
    let mine = round(&here, mine, &theirs);
    assert_eq!(files(&here), files(&there));
    for (archive, node) in [(&here, mine), (&there, theirs)] {
        assert!(!archive.at(&paths[3]).exists() && archive.at(&tombstone_of(&paths[3])).exists());
        assert_eq!(node.files(HOUR).len(), 19);
        invariants::hold(archive, &node);
    }
}

#[test]
fn a_full_disk_is_said_and_what_was_not_said_to_be_done_may_be_repeated() {
    if !may_mount() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let _mount = Mount::tmpfs(dir.path(), "64m,nr_inodes=40");
    let again = |inodes: &str| run("mount", &["-o", &format!("remount,nr_inodes={inodes}"), text(dir.path())]).unwrap();
    let state = tempfile::tempdir().unwrap();
    let node = TestNode::plan_at(dir.path()).state_dir(state.path()).start();
    node.wait_ready();
    let paths: Vec<String> = (0..60)
        .map(|minute| format!("{HOUR}/{minute:02}:00-2.0-full-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.ts"))
        .collect();
    let token = node.own_token();
    let add = || node.post(ADD, Some(&token), &json!({ "paths": paths }));
    add().problem(507);
    let written = fs::read_dir(dir.path().join(HOUR)).unwrap().count();
    assert!(0 < written && written < 60, "{written}");
    // What fits is hidden already, and nothing half-written lies about.
    assert_eq!(node.files_with_tombstones(HOUR).len(), written);
    again("1000");
    let added = add().json();
    assert_eq!((&added["new"], &added["there"]), (&(60 - written).into(), &written.into()), "{}", added["refused"]);
    assert_eq!(node.files_with_tombstones(HOUR).len(), 60);
    node.check();
}

#[test]
fn without_its_disk_a_node_takes_no_orders() {
    let archive = TestArchive::empty();
    let paths = fill(&archive, HOUR, 2);
    archive.tombstone(&paths[0]);
    let state = tempfile::tempdir().unwrap();
    let node = TestNode::plan(&archive).state_dir(state.path()).start();
    node.wait_ready();
    let token = node.own_token();
    let aside = archive.outside().join("aside");
    fs::rename(archive.path(), &aside).unwrap();
    fs::create_dir(archive.path()).unwrap();
    eventually(SOON, || node.get("/api/v1/status").json()["disk"]["state"] == "away");
    node.post(ADD, Some(&token), &json!({ "paths": [paths[1]] })).problem(503);
    node.post(PURGE, Some(&token), &json!({ "everything": true })).problem(503);
    assert_eq!(fs::read_dir(archive.path()).unwrap().count(), 0, "nothing is written where another disk belongs");
    fs::remove_dir(archive.path()).unwrap();
    fs::rename(&aside, archive.path()).unwrap();
    eventually(SOON, || node.post(ADD, Some(&token), &json!({ "paths": [paths[1]] })).status == 200);
    assert_eq!(node.files(HOUR), Vec::<String>::new());
    assert!(archive.at(&paths[0]).exists());
    invariants::hold(&archive, &node);
}

#[test]
fn a_reason_is_kept_with_and_without_a_daemon_survives_a_rebuild_and_is_never_written_over() {
    let archive = TestArchive::empty();
    let paths = fill(&archive, HOUR, 4);
    let ask = |args: &[&str]| gapless(archive.path(), args);
    assert_eq!(ask(&["tombstone", "add", &paths[0], "--reason", " asked for by their owner "]).lines(0).len(), 1);
    // Somebody else's tombstone says nothing, and something else than ours is no reason.
    archive.tombstone(&paths[1]);
    archive.raw(
        &tombstone_of(&paths[2]),
        b"{\"reason\": \"\\u001b[2J\", \"at\": \"2020-01-01T00:00:00Z\", \"node\": \"x\"}",
    );
    for (wrong, expected) in
        [("", "says something"), ("a\nb", "control characters"), (&"x".repeat(501), "500 characters")]
    {
        let refused = ask(&["tombstone", "add", &paths[3], "--reason", wrong]);
        assert!(refused.code == 2 && refused.err.contains(expected), "{refused:?}");
    }
    fs::remove_dir_all(archive.path().join(".gapless")).unwrap_or_default();
    let node = ready(&archive);
    let notes = || -> Vec<Value> {
        let list = node.get(ADD).json();
        list["tombstones"].as_array().unwrap().iter().map(|each| each["note"]["reason"].clone()).collect()
    };
    assert_eq!(notes(), [json!("asked for by their owner"), Value::Null, Value::Null]);
    let token = node.own_token();
    let order = json!({ "paths": [paths[0], paths[3]], "reason": "another one" });
    let added = node.post(ADD, Some(&token), &order).json();
    assert_eq!((&added["new"], &added["there"]), (&json!(1), &json!(1)));
    assert_eq!(notes(), [json!("asked for by their owner"), Value::Null, Value::Null, json!("another one")]);
    let (_, detail) =
        node.post(ADD, Some(&token), &json!({ "paths": [paths[0]], "reason": "a\u{202e}b" })).problem(400);
    assert!(detail.contains("reason"), "{detail}");
    let told = node.run(&["explain", &paths[3]]);
    assert!(told.out.contains("deleted because: another one (20"), "{told:?}");
}
