//! Retention: whole hours go by age, size and free space, stay gone, and nothing goes by mistake.

use crate::support::archive::{hours_ago, snapshot};
use crate::support::peer::{FalsePeer, Sent};
use crate::support::trouble::{Filler, Mount, may_mount, wait_for_a_good_index};
use crate::support::{Kind, Outcome, SOON, TestArchive, TestNode, eventually, gapless, invariants};

/// An archive with this many segments in each of these hours, counted back from now.
fn archive_of(hours: std::ops::Range<u64>, segments: usize) -> TestArchive {
    let archive = TestArchive::empty();
    for ago in hours {
        fill(&archive, &format!("chan/source/{}", hours_ago(ago)), segments);
    }
    archive
}

fn fill(archive: &TestArchive, hour: &str, segments: usize) {
    for at in 0..segments {
        archive.segment(hour, &format!("{:02}:{:02}", at / 60, at % 60), 2.0, Kind::Full);
    }
}

fn place(ago: u64) -> String {
    format!("chan/source/{}", hours_ago(ago))
}

/// Bytes of a segment of these archives.
const SEGMENT: u64 = 376;

/// Without the last line of the hour turning while the test runs, ages are given in half hours.
const QUICK: &str = "interval = \"1s\"\n";

fn config(limits: &str) -> String {
    format!(
        "[backfill]\ninterval = \"1s\"\nrecent_cutoff = \"0s\"\nkeep_free = \"0B\"\n\n[crawl]\nminimum_cycle = \"1s\"\ncpu_share = 1\n\n[retention]\n{QUICK}{limits}\n"
    )
}

fn node(archive: &TestArchive, limits: &str) -> TestNode {
    let node = TestNode::plan(archive).config(&config(limits)).start();
    node.wait_ready();
    node
}

fn report(node: &TestNode) -> serde_json::Value {
    node.get("/api/v1/status").json()["retention"].clone()
}

fn troubles(node: &TestNode) -> String {
    node.get("/api/v1/status").json()["troubles"].to_string()
}

/// Waits until a run that began after now has ended.
#[track_caller]
fn another_run(node: &TestNode) {
    let before = report(node)["last_run"].clone();
    eventually(SOON, || report(node)["last_run"] != before);
    let before = report(node)["last_run"].clone();
    eventually(SOON, || report(node)["last_run"] != before);
}

/// `gapless retention …` without a daemon, with these limits.
fn alone(archive: &TestArchive, limits: &str, args: &[&str]) -> Outcome {
    let file = archive.outside().join("config.toml");
    std::fs::write(&file, config(limits)).unwrap();
    let config = ["--config", file.to_str().unwrap(), "retention"];
    gapless(archive.path(), &[&config[..], args].concat())
}

#[test]
fn hours_go_by_their_age_and_newer_ones_stay() {
    let archive = archive_of(0..20, 2);
    let old: Vec<String> = (13..20).map(place).collect();
    let stays = place(10);
    let node = node(&archive, "max_age = \"12h\"");
    eventually(SOON, || old.iter().all(|hour| !archive.at(hour).exists()));
    assert!(archive.at(&stays).exists() && archive.at(&place(0)).exists());
    another_run(&node);
    assert_eq!(report(&node)["overdue_bytes"], 0);
    invariants::hold(&archive, &node);
    let answer = node.get("/metrics");
    let metrics = answer.text();
    let series = format!("segments_deleted_total{{channel=\"chan\",hour=\"{}\",quality=\"source\"}} 2", hours_ago(15));
    assert!(metrics.contains(&series), "{metrics}");
    assert!(metrics.contains("retention_overdue_bytes 0") && metrics.contains("retention_last_run_timestamp_seconds"));
    assert!(!troubles(&node).contains("retention"), "{}", troubles(&node));
    let listed = node.run(&["retention", "list"]);
    assert!(
        listed
            .lines(0)
            .iter()
            .any(|line| line.starts_with(&place(15)) && line.contains("gone  ") && line.contains("age"))
    );
}

#[test]
fn the_oldest_hours_go_until_the_total_is_small_enough() {
    let archive = archive_of(0..10, 10);
    let node = node(&archive, &format!("max_bytes = {}", 7 * 10 * SEGMENT + 5));
    eventually(SOON, || (7..10).all(|ago| !archive.at(&place(ago)).exists()));
    another_run(&node);
    assert!((0..7).all(|ago| archive.at(&place(ago)).exists()));
    invariants::hold(&archive, &node);
}

#[test]
fn the_oldest_hours_go_while_the_disk_has_too_little_room() {
    if !may_mount() {
        return;
    }
    let archive = TestArchive::empty();
    let _disk = Mount::tmpfs(archive.path(), "16m");
    for ago in 0..8 {
        archive.named(&place(ago), "00:00-2.0-full", "ts", &vec![u8::try_from(ago).unwrap(); 1 << 20]);
    }
    let state = tempfile::tempdir().unwrap();
    let node = TestNode::plan(&archive).state_dir(state.path()).config(&config("min_free = \"10MiB\"")).start();
    // Eight of sixteen are free, less a little: three hours have to go.
    eventually(SOON, || (5..8).all(|ago| !archive.at(&place(ago)).exists()));
    another_run(&node);
    assert!((0..5).all(|ago| archive.at(&place(ago)).exists()));
    invariants::hold(&archive, &node);
}

#[test]
fn a_disk_that_is_full_already_is_given_room() {
    if !may_mount() {
        return;
    }
    let archive = TestArchive::empty();
    let _disk = Mount::tmpfs(archive.path(), "24m");
    for ago in 0..8 {
        archive.named(&place(ago), "00:00-2.0-full", "ts", &vec![u8::try_from(ago).unwrap(); 1 << 20]);
    }
    let node = node(&archive, "min_free = \"2MiB\"");
    another_run(&node);
    assert_eq!(archive.all_hours().len(), 8);
    let filler = Filler::fill(archive.path());
    eventually(SOON * 2, || !archive.at(&place(7)).exists());
    another_run(&node);
    assert!((0..4).all(|ago| archive.at(&place(ago)).exists()));
    filler.give_room();
    wait_for_a_good_index(&node);
    invariants::hold(&archive, &node);
}

#[test]
fn a_plan_changes_nothing_and_says_what_a_run_does() {
    let archive = archive_of(2..12, 3);
    archive.tombstone(&archive.segment(&place(11), "10:00", 2.0, Kind::Full));
    let node = TestNode::start(&archive);
    node.wait_ready();
    let view = node.get("/api/v1/retention").json();
    assert_eq!((&view["plan"]["enabled"], &view["plan"]["hours"]), (&false.into(), &serde_json::json!([])));
    node.terminate();
    let limits = "max_age = \"9h\"";
    let files = |archive: &TestArchive| {
        let mut all = snapshot(archive.path());
        all.retain(|path, _| !path.starts_with(archive.at(".gapless")) && path != archive.path());
        all
    };
    let before = files(&archive);
    let plan = alone(&archive, limits, &["plan", "--json"]).json(0);
    assert_eq!(files(&archive), before);
    assert!(!archive.at(".gapless/retired").exists());
    let hours: Vec<&str> =
        plan["hours"].as_array().unwrap().iter().map(|hour| hour["hour"].as_str().unwrap()).collect();
    assert_eq!(hours, [place(11), place(10)]);
    assert_eq!((&plan["segments"], &plan["bytes"]), (&7.into(), &(7 * SEGMENT).into()));
    let text = alone(&archive, limits, &["plan"]);
    assert!(text.lines(0)[0].starts_with(&place(11)) && text.out.contains("2 of 10 hours would go"), "{}", text.out);

    let run = alone(&archive, limits, &["run"]);
    assert!(run.lines(0)[0].starts_with("retired 2 hours: 7 segments"), "{}", run.out);
    assert!(!archive.at(&place(10)).exists());
    // The tombstone stays, and keeps its directory.
    assert_eq!(archive.listing(&place(11), true).len(), 1);
    assert_eq!(alone(&archive, limits, &["plan", "--json"]).json(0)["hours"], serde_json::json!([]));
}

#[test]
fn more_than_half_waits_for_the_operators_word() {
    let archive = archive_of(2..12, 1);
    let limits = "max_age = \"5h\"";
    let node = node(&archive, limits);
    another_run(&node);
    assert!((2..12).all(|ago| archive.at(&place(ago)).exists()));
    assert!(troubles(&node).contains("hours would be deleted at once"), "{}", troubles(&node));
    assert!(report(&node)["overdue_bytes"].as_u64().unwrap() >= 5 * SEGMENT);
    node.terminate();
    let refused = alone(&archive, limits, &["run"]);
    assert!(refused.code == 1 && refused.out.contains("hours would be deleted at once"), "{}", refused.out);
    assert!(archive.at(&place(11)).exists());
    alone(&archive, limits, &["run", "--yes"]).lines(0);
    assert!(!archive.at(&place(11)).exists() && archive.at(&place(3)).exists());
}

#[test]
fn what_deletes_a_file_and_when_is_explained() {
    let archive = archive_of(2..12, 1);
    let path = format!("{}/{}", place(3), archive.listing(&place(3), false)[0]);
    let limits = "max_age = \"20h\"\nmax_bytes = \"1TB\"\nkeep_last_copy = true";
    let node = node(&archive, limits);
    node.run(&["retention", "keep", &place(4)]).lines(0);
    let explained = |what: &str| node.run(&["--json", "explain", what]).json(0)["limits"].clone();
    let limits = explained(&path);
    assert_eq!(
        (&limits["state"], &limits["by_room"], &limits["needs_copy"]),
        (&"ages".into(), &true.into(), &true.into())
    );
    let said = node.run(&["explain", &path]).out;
    let at = limits["at"].as_str().unwrap();
    assert!(said.contains(&format!("limits retention deletes its hour at {at} for its age, or earlier")), "{said}");
    let time = |ago| format!("{}:30", place(ago).rsplit_once('/').unwrap().1);
    assert_eq!(explained(&time(3))["at"], at);
    assert_eq!(explained(&time(4))["state"], "kept");
    node.terminate();
    // Without a daemon the journal is looked at, and no limit is set here.
    let explained = |what: &str| gapless(archive.path(), &["--json", "explain", what]).json(0)["limits"].clone();
    assert_eq!(
        (explained(&time(4))["state"].clone(), explained(&path)["state"].clone()),
        ("kept".into(), "unlimited".into())
    );
}

#[test]
fn a_quiet_archive_is_not_deleted_because_of_what_the_clock_says() {
    let archive = archive_of(24 * 30..24 * 30 + 12, 1);
    let limits = format!("max_age = \"{}h\"", 24 * 30 + 9);
    let run = alone_after_index(&archive, &limits);
    assert!(run.code == 1 && run.out.contains("the clock says"), "{}", run.out);
    assert_eq!(archive.all_hours().len(), 12);
    // Most of it would go, too. Who says that the clock is right has not said that this is.
    let limits = format!("max_age = \"{}h\"", 24 * 30 + 2);
    let run = alone(&archive, &limits, &["run", "--yes"]);
    assert!(run.err.contains("answered by yes: the clock says"), "{}", run.err);
    assert!(run.code == 1 && run.out.contains("hours would be deleted at once"), "{}", run.out);
    assert_eq!(archive.all_hours().len(), 12);
    let node = node(&archive, &limits);
    eventually(SOON, || troubles(&node).contains("retention"));
    let order = |yes: serde_json::Value| {
        node.post("/api/v1/retention/run", Some(&node.own_token()), &serde_json::json!({ "yes": yes }))
    };
    let refused = order(true.into());
    assert!(refused.status == 400 && refused.text().contains("names the guard"), "{}", refused.text());
    assert_eq!(order("shrinking".into()).json()["asks"], "quiet");
    assert_eq!(order("quiet".into()).json()["asks"], "shrinking");
    assert_eq!(archive.all_hours().len(), 12);
}

/// `retention run` on an archive that a node has made an index of.
fn alone_after_index(archive: &TestArchive, limits: &str) -> Outcome {
    let node = TestNode::start(archive);
    node.wait_ready();
    node.terminate();
    alone(archive, limits, &["run"])
}

#[test]
fn a_plan_is_made_by_the_limits_that_it_is_given_also_beside_a_daemon_that_has_others() {
    let archive = archive_of(0..10, 1);
    let node = node(&archive, "max_age = \"10days\"");
    let own = node.run(&["retention", "plan"]);
    assert!(own.lines(0)[0].starts_with("0 of 10 hours would go"), "{}", own.out);
    let planned = alone(&archive, "max_age = \"6h\"", &["plan", "--json"]).json(0);
    assert_eq!(planned["other_limits"], true, "{planned}");
    assert!(planned["planned_hours"].as_u64().unwrap() >= 3, "{planned}");
    let said = alone(&archive, "max_age = \"6h\"", &["plan"]);
    assert!(said.out.contains("the daemon has others"), "{}", said.out);
    let same = alone(&archive, "max_age = \"10days\"", &["plan", "--json"]).json(0);
    assert_eq!((&same["other_limits"], &same["planned_hours"]), (&serde_json::Value::Null, &0.into()), "{same}");
    node.get("/api/v1/retention?limits=soon").problem(400);
    assert!((0..10).all(|ago| archive.at(&place(ago)).exists()), "a plan deletes nothing");
}

#[test]
fn what_is_not_understood_stays() {
    let archive = archive_of(2..12, 1);
    for name in ["notes.txt", "odd.ts", "00:10-2.0-temp-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.ts", ".hidden"] {
        archive.raw(&format!("{}/{name}", place(11)), b"x");
    }
    archive.mkdir(&format!("{}/directory", place(11)));
    alone_after_index(&archive, "max_age = \"9h\"").lines(0);
    let left: Vec<_> = std::fs::read_dir(archive.at(&place(11))).unwrap().collect();
    assert_eq!(left.len(), 5);
    let again = alone(&archive, "max_age = \"9h\"", &["run"]);
    assert!(again.lines(0)[0].starts_with("retired 0 hours"), "{}", again.out);
}

#[test]
fn peers_do_not_bring_the_retired_back() {
    let archive = archive_of(2..12, 3);
    let other = TestArchive::empty();
    for hour in archive.all_hours() {
        for name in archive.listing(&hour, true) {
            other.raw(&format!("{hour}/{name}"), &archive.read(&format!("{hour}/{name}")));
        }
    }
    // Something that nobody here has had, in an hour for which there is no room either.
    fill(&other, &place(30), 2);
    let peer = TestNode::start(&other);
    peer.wait_ready();
    let limits = format!("max_bytes = {}", 7 * 3 * SEGMENT);
    let start = || {
        let node = TestNode::plan(&archive)
            .config(&config(&limits))
            .flag("--peer")
            .flag(format!("other=http://{}", peer.address))
            .start();
        node.wait_ready();
        node
    };
    let gone = |node: &TestNode| {
        // A round that began after the last run.
        another_run(node);
        let rounds = || node.get("/api/v1/status").json()["peers"][0]["rounds"].as_u64().unwrap_or(0);
        let before = rounds();
        eventually(SOON, || rounds() >= before + 2);
        assert!((9..12).all(|ago| !archive.at(&place(ago)).exists()), "{:?}", archive.all_hours());
    };
    let node = start();
    eventually(SOON, || (9..12).all(|ago| !archive.at(&place(ago)).exists()));
    gone(&node);
    assert!(!archive.at(&place(30)).exists());
    node.kill();
    let node = start();
    gone(&node);
    node.terminate();
    assert_eq!(gapless(archive.path(), &["rebuild"]).code, 0);
    let node = start();
    gone(&node);
    node.terminate();
    std::fs::remove_file(archive.at(".gapless/index.redb")).unwrap();
    let node = start();
    gone(&node);
    invariants::hold(&archive, &node);
    node.terminate();

    // Unless the operator wants one back.
    alone(&archive, &limits, &["keep", &place(11)]).lines(0);
    let node = start();
    eventually(SOON, || archive.listing(&place(11), false).len() == 3);
    another_run(&node);
    assert_eq!(archive.listing(&place(11), false).len(), 3);
    assert!(node.run(&["retention", "list"]).out.contains("kept"));
    node.terminate();
    alone(&archive, &limits, &["keep", "--release", &place(11)]).lines(0);
    // What was kept has cost another hour its room; now it is the oldest again.
    assert!(archive.at(&place(11)).exists() && !archive.at(&place(8)).exists());
    alone(&archive, &format!("max_bytes = {}", 6 * 3 * SEGMENT), &["run"]).lines(0);
    assert!(!archive.at(&place(11)).exists() && archive.at(&place(7)).exists());
}

#[test]
fn tombstones_stay_until_the_reclaim_age_and_go_with_their_directory() {
    let archive = archive_of(2..12, 2);
    let name = archive.listing(&place(11), false)[0].clone();
    let tombstone = archive.tombstone(&format!("{}/{name}", place(11)));
    let limits = "max_age = \"9h\"\n";
    alone_after_index(&archive, limits).lines(0);
    assert!(archive.at(&tombstone).exists());
    assert_eq!(archive.listing(&place(11), true).len(), 1);
    alone(&archive, limits, &["run"]).lines(0);
    assert!(archive.at(&tombstone).exists(), "the reclaim age is a week");
    let node = node(&archive, "max_age = \"9h\"\nreclaim_age = \"2s\"");
    eventually(SOON, || !archive.at(&place(11)).exists());
    assert!(archive.at("chan/source").exists());
    invariants::hold(&archive, &node);
    eventually(SOON, || node.run(&["retention", "list"]).out.lines().all(|line| line.contains("gone ")));
}

#[test]
fn a_killed_run_is_finished_and_nothing_is_forgotten() {
    let archive = archive_of(2..22, 40);
    let limits = "max_age = \"13h\"";
    let old: Vec<String> = (15..22).map(place).collect();
    let left = || old.iter().map(|hour| archive.listing(hour, true).len()).sum::<usize>();
    let all = left();
    let file = archive.outside().join("config.toml");
    std::fs::write(&file, config(limits)).unwrap();
    let first = TestNode::start(&archive);
    first.wait_ready();
    first.terminate();
    let mut torn = 0;
    for number in 1..60 {
        let before = left();
        // Killed at its so manieth deletion, then later.
        let inject = format!("inject=unlinkat:signal=KILL:when={}", number * 3);
        let done = std::process::Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=unlinkat", "-e", &inject])
            .args([env!("CARGO_BIN_EXE_gapless"), "--base-dir", archive.path().to_str().unwrap()])
            .args(["--config", file.to_str().unwrap(), "retention", "run"])
            .output();
        if let Err(why) = done {
            eprintln!("SKIPPED: strace cannot be run: {why}");
            return;
        }
        if left() == 0 {
            break;
        }
        torn += usize::from(left() < before);
        // What has gone stays gone, and is known to be going.
        if left() < all {
            let journal = std::fs::read_to_string(archive.at(".gapless/retired")).unwrap();
            assert!(journal.lines().any(|line| line.starts_with("retiring ")), "{journal}");
        }
    }
    assert!(torn > 2, "{torn} runs were killed in the middle of {all} files");
    let node = node(&archive, limits);
    eventually(SOON, || old.iter().all(|hour| !archive.at(hour).exists()));
    eventually(SOON, || !node.run(&["retention", "list"]).out.contains("retiring"));
    let listed = node.run(&["retention", "list"]);
    assert!(old.iter().all(|hour| listed.out.contains(hour)), "{}", listed.out);
    assert!((2..12).all(|ago| archive.listing(&place(ago), false).len() == 40));
    invariants::hold(&archive, &node);
}

#[test]
fn a_damaged_journal_is_told_and_mended_from_its_second_copy() {
    let archive = archive_of(2..12, 1);
    alone_after_index(&archive, "max_age = \"9h\"").lines(0);
    let file = archive.at(".gapless/retired");
    let text = std::fs::read_to_string(&file).unwrap();
    let last = text.trim_end().len() - 12;
    std::fs::write(&file, format!("nonsense\n{}", &text[..last])).unwrap();
    let node = node(&archive, "max_age = \"9h\"");
    assert!(node.log().contains("does not add up"), "{}", node.log());
    assert!(archive.at(".gapless/retired.damaged").exists());
    let listed = node.run(&["retention", "list"]).out;
    assert!(listed.contains(&place(11)), "{listed}");
}

#[test]
fn nothing_goes_while_the_disk_is_away() {
    if !may_mount() {
        return;
    }
    let archive = archive_of(2..12, 1);
    let (state, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let plan = || TestNode::plan(&archive).state_dir(state.path());
    let node = plan().config(&config("max_age = \"100h\"")).start();
    node.wait_ready();
    another_run(&node);
    // Another disk takes its place, which holds an hour that is too old, and so does the right one by now.
    let inside = archive.outside().join("inside");
    std::fs::create_dir(&inside).unwrap();
    let _seen = Mount::bind(archive.path(), &inside);
    let over = Mount::bind(empty.path(), archive.path());
    eventually(SOON, || node.get("/readyz").status == 503);
    let foreign = archive.segment(&place(200), "00:00", 2.0, Kind::Full);
    let old = inside.join(place(150)).join(foreign.rsplit_once('/').unwrap().1);
    std::fs::create_dir_all(old.parent().unwrap()).unwrap();
    std::fs::copy(archive.at(&foreign), &old).unwrap();
    let run = report(&node)["last_run"].clone();
    eventually(SOON, || troubles(&node).contains("not there"));
    assert!(old.exists() && archive.at(&foreign).exists() && report(&node)["last_run"] == run);
    drop(over);
    eventually(SOON, || !old.exists() && archive.all_hours().len() == 10);
    node.terminate();
    // Nor without a marker.
    std::fs::remove_file(archive.at(".gapless/marker")).unwrap();
    let refused = plan().config(&config("max_age = \"9h\"")).refused();
    assert!(refused.err.contains("marker"), "{}", refused.err);
    assert_eq!(archive.all_hours().len(), 10);
}

#[test]
fn an_hour_stays_as_long_as_nobody_else_has_all_of_it() {
    let archive = archive_of(2..12, 2);
    let other = TestArchive::empty();
    let copy = |hour: &str, name: &str| {
        other.raw(&format!("{hour}/{name}"), &archive.read(&format!("{hour}/{name}")));
    };
    for ago in [10, 11] {
        archive.listing(&place(ago), false).iter().for_each(|name| copy(&place(ago), name));
    }
    let lonely = archive.segment(&place(11), "30:00", 2.0, Kind::Full);
    // What is hidden need not be anywhere else.
    archive.tombstone(&archive.segment(&place(10), "30:00", 2.0, Kind::Full));
    let root = other.path().to_owned();
    // One of the fixed part, on another disk: it deletes nothing, so whatever it has may go here.
    let peer = FalsePeer::start(move |asked| {
        let path = asked.split(['?', '\n', ' ']).next().unwrap_or_default();
        let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
        if let Some(dir) = path.strip_prefix("/files") {
            let entries = std::fs::read_dir(root.join(dir.trim_start_matches('/'))).into_iter().flatten();
            return Sent::list(
                &entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>(),
            );
        }
        let file = path.strip_prefix("/segments/").and_then(|file| std::fs::read(root.join(file)).ok());
        file.map_or_else(Sent::not_found, |bytes| Sent::answer("200 OK", "Content-Type: video/MP2T\r\n", &bytes))
    });
    let node = TestNode::plan(&archive)
        .config(&config("max_age = \"9h\"\nkeep_last_copy = true\ncopies_at = [\"other\"]"))
        .flag("--peer")
        .flag(format!("other=http://{}", peer.address))
        .flag("--peer")
        .flag("dead=http://127.0.0.1:9")
        .start();
    eventually(SOON, || archive.listing(&place(10), false).is_empty());
    another_run(&node);
    assert_eq!(archive.listing(&place(11), false).len(), 3);
    let report = report(&node);
    assert_eq!((&report["last_copies"], &report["first_last_copies"][0]), (&1.into(), &lonely.as_str().into()));
    assert!(report["overdue_bytes"].as_u64().unwrap() > 0 && troubles(&node).contains("as the last copies"));
    let (hour, name) = lonely.rsplit_once('/').unwrap();
    copy(hour, name);
    eventually(SOON, || !archive.at(&place(11)).exists());
}

#[test]
fn of_two_nodes_that_guard_each_other_one_keeps_each_hour() {
    let archives = [archive_of(2..20, 1), TestArchive::empty()];
    for hour in archives[0].all_hours() {
        for name in archives[0].listing(&hour, true) {
            archives[1].raw(&format!("{hour}/{name}"), &archives[0].read(&format!("{hour}/{name}")));
        }
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let start = |archive: &TestArchive, listen: Option<&str>, peer: std::net::SocketAddr| {
        let plan = TestNode::plan(archive).config(&config("max_age = \"13h\"\nkeep_last_copy = true"));
        let plan = plan.flag("--peer").flag(format!("other=http://{peer}"));
        let node = match listen {
            Some(listen) => plan.listen(listen).start(),
            None => plan.start(),
        };
        node.wait_ready();
        node
    };
    let first = start(&archives[0], None, address);
    let second = start(&archives[1], Some(&address.to_string()), first.address);
    let copies = |ago| archives.iter().filter(|archive| archive.at(&place(ago)).exists()).count();
    eventually(SOON, || (15..20).all(|ago| copies(ago) == 1));
    another_run(&first);
    another_run(&second);
    assert!((15..20).all(|ago| copies(ago) == 1));
    assert!((2..12).all(|ago| copies(ago) == 2));
}

#[test]
fn a_daemon_is_told_to_run_and_to_keep() {
    let archive = archive_of(1..6, 3);
    let node = node(&archive, "max_age = \"119min 59s\"");
    eventually(SOON, || troubles(&node).contains("retention"));
    let said = node.run(&["retention", "run"]);
    assert!(said.code == 1 && archive.at(&place(5)).exists(), "{}", said.out);
    node.run(&["retention", "keep", &place(5)]).lines(0);
    let said = node.run(&["retention", "run", "--yes"]);
    assert!(said.lines(0).iter().any(|line| line.starts_with("retired 2 hours")), "{}", said.out);
    assert!(archive.at(&place(5)).exists() && !archive.at(&place(4)).exists());
    assert_eq!(node.request("POST", "/api/v1/retention/run", &[]).status, 401);
    invariants::hold(&archive, &node);
}
