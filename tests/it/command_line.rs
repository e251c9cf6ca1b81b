//! The command line: what is printed, where, and how it ends (0 done, 1 something is wrong with the data, 2 wrong usage, 3 not done).

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    Kind, SOON, TestArchive, TestNode, archive::snapshot, eventually, gapless, gapless_through, gapless_unheard,
};

const HOUR: &str = "desertbus/source/2019-11-13T02";

#[test]
fn ls_says_the_same_with_and_without_a_daemon() {
    let archive = TestArchive::sample();
    let ask = || {
        assert_eq!(gapless(archive.path(), &["ls"]).lines(0), ["desertbus"]);
        assert_eq!(gapless(archive.path(), &["ls", "desertbus"]).lines(0), ["480p", "chat", "source"]);
        assert_eq!(gapless(archive.path(), &["ls", "desertbus/source"]).lines(0), archive.hours("desertbus/source"));
        assert_eq!(gapless(archive.path(), &["ls", HOUR]).lines(0), archive.listing(HOUR, false));
        assert_eq!(gapless(archive.path(), &["ls", HOUR, "--tombstones"]).lines(0), archive.listing(HOUR, true));
        let json = gapless(archive.path(), &["ls", HOUR, "--json"]).json(0);
        assert_eq!(json, Value::from(archive.listing(HOUR, false)));
        assert!(gapless(archive.path(), &["ls", "desertbus/source/2001-01-01T00"]).lines(0).is_empty());
    };
    // Who only asks makes nothing.
    let before = snapshot(archive.path());
    for verb in [&["ls"][..], &["rebuild", "--check"]] {
        assert_eq!(gapless(archive.path(), verb).code, 3, "{verb:?}: there is no index yet");
    }
    assert_eq!(snapshot(archive.path()), before);
    gapless(archive.path(), &["rebuild"]).lines(0);
    ask();
    let node = TestNode::start(&archive);
    ask();
    // A new segment at once, by either way.
    archive.segment(HOUR, "00:00", 2.0, Kind::Full);
    eventually(SOON, || node.files(HOUR) == archive.listing(HOUR, false));
    ask();
    node.terminate();
    archive.segment(HOUR, "00:02", 2.0, Kind::Full);
    ask();
}

#[test]
fn a_channel_or_quality_that_is_not_here_is_an_error_and_never_an_empty_success() {
    let archive = TestArchive::sample();
    gapless(archive.path(), &["rebuild"]).lines(0);
    let (from, to) = ("2019-11-13T02:55:08", "2019-11-13T02:55:18");
    let cut = archive.outside().join("cut.ts");
    let ask = || {
        for args in [
            &["ls", "desertbuz"][..],
            &["ls", "desertbus/sorce"],
            &["ls", "desertbus/sorce/2019-11-13T02"],
            &["holes", "desertbus/sorce"],
            &["holes", "desertbuz/source", "--closed"],
            &["holes", "desertbuz/source", "--edges", "--from", from],
            &["timespans", "desertbuz/source", "--from", from],
            &["tombstone", "list", "desertbuz"],
            &["tombstone", "purge", "--dry-run", "desertbus/sorce"],
            &["coverage", "--once", "--channel", "desertbuz"],
            &["coverage", "--once", "--quality", "sorce"],
            &["scrub", "desertbuz"],
            &["explain", from, "--channel", "desertbuz"],
            &["explain", "desertbus/sorce/2019-11-13T02/x.ts"],
            &["cut", "desertbus/sorce", from, to, "-o", cut.to_str().unwrap()],
        ] {
            let outcome = gapless(archive.path(), args);
            assert_eq!((outcome.code, outcome.out.as_str()), (3, ""), "{args:?}: {}", outcome.err);
            let meant = if args.iter().any(|arg| arg.contains("sorce")) { "source" } else { "desertbus" };
            assert!(outcome.err.contains(&format!("did you mean {meant}?")), "{args:?}: {}", outcome.err);
        }
        // The hour is kept if it ever appears, and it is said that this is unlikely.
        let kept = gapless(archive.path(), &["retention", "keep", "desertbus/sorce/2019-11-13T02"]);
        assert!(kept.code == 1 && kept.err.contains("no quality sorce of channel desertbus here"), "{kept:?}");
    };
    ask();
    let node = TestNode::start(&archive);
    node.wait_ready();
    ask();
    // What is neither file nor directory.
    let wrong = gapless(archive.path(), &["explain", "desertbuz/source"]);
    assert!(wrong.code == 1 && wrong.out.contains("no file of this name"), "{wrong:?}");
    let twin = TestArchive::sample();
    let other = TestNode::start(&twin);
    other.wait_ready();
    let peer = format!("http://{}", other.address);
    let diff = gapless(archive.path(), &["diff", "--peer", &peer, "desertbuz/source"]);
    assert!(diff.code == 3 && diff.err.contains("no channel desertbuz here"), "{diff:?}");
}

#[test]
fn an_archive_that_is_missing_or_a_file_is_said_to_be() {
    let archive = TestArchive::empty();
    let (missing, file) = (archive.outside().join("nowhere"), archive.outside().join("file"));
    fs::write(&file, "x").unwrap();
    for verb in [&["ls"][..], &["status"], &["holes", "a/source"], &["retention", "plan"], &["scrub"]] {
        let outcome = gapless(&missing, verb);
        assert_eq!(outcome.code, 3, "{verb:?}: {}", outcome.err);
        assert!(outcome.err.contains("there is no directory"), "{verb:?}: {}", outcome.err);
        let outcome = gapless(&file, verb);
        assert_eq!(outcome.code, 2, "{verb:?}: {}", outcome.err);
        assert!(outcome.err.contains("is not a directory"), "{verb:?}: {}", outcome.err);
    }
    // One that is empty becomes an archive, whose disk is known again.
    gapless(archive.path(), &["rebuild"]).lines(0);
    assert!(archive.at(".gapless/marker").exists());
    gapless(archive.path(), &["rebuild", "--check"]).lines(0);
}

#[test]
fn a_rebuild_makes_an_index_that_a_check_agrees_with() {
    let archive = TestArchive::sample();
    let before = archive.snapshot();
    assert_eq!(gapless(archive.path(), &["rebuild", "--check"]).code, 3, "there is nothing to check yet");
    assert!(
        archive.snapshot().keys().all(|path| before.contains_key(path) || path.starts_with(archive.at(".gapless")))
    );

    let report = gapless(archive.path(), &["rebuild", "--json"]).json(0);
    assert_eq!(report["hours"], archive.all_hours().len());
    assert!(report["files"].as_u64().unwrap() > 1_000);
    assert!(gapless(archive.path(), &["rebuild", "--check"]).lines(0).is_empty());

    let added = archive.segment(HOUR, "00:00", 2.0, Kind::Full);
    let removed = format!("{HOUR}/{}", archive.listing(HOUR, false).pop().unwrap());
    archive.remove(&removed);
    let hour = archive.segment("new/source/2020-01-01T00", "00:00", 2.0, Kind::Full);
    archive.remove("desertbus/480p/2019-11-13T07");
    let outcome = gapless(archive.path(), &["rebuild", "--check"]);
    let mut lines: Vec<Vec<&str>> =
        outcome.lines(1).iter().map(|line| line.split_whitespace().take(2).collect()).collect();
    lines.sort();
    let mut expected = vec![
        vec!["not-in-index", &added],
        vec!["not-on-disk", &removed],
        vec!["hour-not-in-index", hour.rsplit_once('/').unwrap().0],
        vec!["hour-not-on-disk", "desertbus/480p/2019-11-13T07"],
    ];
    expected.sort();
    assert_eq!(lines, expected, "{}", outcome.out);
    let as_json = gapless(archive.path(), &["rebuild", "--check", "--json"]);
    for line in as_json.lines(1) {
        let difference: Value = serde_json::from_str(line).unwrap();
        assert!(difference["kind"].is_string() && difference["path"].is_string(), "{line}");
    }
    let again = gapless(archive.path(), &["rebuild", "--check"]);
    assert_eq!((again.code, again.out), (1, outcome.out), "a check mends nothing");

    assert_eq!(gapless(archive.path(), &["rebuild"]).code, 0);
    assert!(gapless(archive.path(), &["rebuild", "--check"]).lines(0).is_empty());
}

#[test]
fn while_a_daemon_runs_it_is_asked_and_a_rebuild_is_refused() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    node.wait_ready();
    node.check();
    let refused = gapless(archive.path(), &["rebuild"]);
    assert_eq!((refused.code, refused.out.as_str()), (3, ""));
    assert!(refused.err.contains("stop it first"), "{}", refused.err);
    node.check();
}

#[test]
fn status_shows_a_node_to_people_and_to_programs() {
    let archive = TestArchive::sample();
    let none = gapless(archive.path(), &["status"]);
    assert_eq!((none.code, none.out.as_str()), (3, ""));
    assert!(none.err.contains("no daemon runs on"), "{}", none.err);

    let node = TestNode::plan(&archive).flag("--name").flag("hut").start();
    node.wait_ready();
    let screen = gapless(archive.path(), &["status"]);
    assert_eq!(screen.code, 0, "{}", screen.err);
    for words in [
        "hut",
        "ready",
        "notice: 2 files in desertbus/source are ignored",
        "desertbus/source",
        "desertbus/480p",
        "2019-11-13T02 to 2019-11-13T07",
    ] {
        assert!(screen.out.contains(words), "{words}: {}", screen.out);
    }
    assert_eq!(gapless(archive.path(), &["status", "--json"]).json(0)["name"], "hut");
    let elsewhere = TestArchive::empty();
    let url = format!("http://{}", node.address);
    assert_eq!(gapless(elsewhere.path(), &["status", "--json", "--node", &url]).json(0)["name"], "hut");
    assert_eq!(gapless(elsewhere.path(), &["status", "--node", "nonsense"]).code, 2);

    // A daemon that was killed leaves its address behind, and is not taken for one that lives.
    node.kill();
    assert_eq!(gapless(archive.path(), &["status"]).code, 3);
    assert_eq!(gapless(archive.path(), &["ls"]).lines(0), ["desertbus"]);

    let node = TestNode::start(&archive);
    node.wait_ready();
    fs::rename(archive.path(), archive.outside().join("away")).unwrap();
    eventually(SOON, || node.get("/readyz").status == 503);
    let troubled = gapless(elsewhere.path(), &["status", "--node", &format!("http://{}", node.address)]);
    assert_eq!(troubled.code, 1, "{}", troubled.out);
    assert!(troubled.out.contains("error: the archive is not there"), "{}", troubled.out);
    // What names its address has gone with the archive; it is found all the same.
    let unmounted = gapless(archive.path(), &["status"]);
    assert_eq!(unmounted.code, 1, "{}", unmounted.err);
    assert!(unmounted.out.contains("error: the archive is not there"), "{}", unmounted.out);
    drop(node);
    let gone = gapless(archive.path(), &["status"]);
    assert!(gone.code == 3 && gone.err.contains("there is no directory"), "{gone:?}");
    let file = archive.outside().join("file");
    fs::write(&file, "").unwrap();
    for verb in [&["status"][..], &["ls"], &["doctor"]] {
        let refused = gapless(&file, verb);
        assert!(refused.code == 2 && refused.err.contains("is not a directory"), "{refused:?}");
    }
}

#[test]
fn wrong_usage_and_wrong_settings_end_with_2_and_say_where() {
    let archive = TestArchive::sample();
    let before = archive.snapshot();
    for args in [
        ["fly", "", ""],
        ["ls", "a/b/c/d", ""],
        ["ls", "--check", ""],
        ["rebuild", "--listen", "x"],
        ["node", "--listen", "nowhere"],
        ["ls", "--config", "/nonexistent/gapless.toml"],
        ["ls", "../outside", ""],
        ["ls", "desertbus/source/noon", ""],
    ] {
        let args: Vec<&str> = args.into_iter().filter(|arg| !arg.is_empty()).collect();
        let outcome = gapless(archive.path(), &args);
        assert_eq!((outcome.code, outcome.out.as_str()), (2, ""), "{args:?}: {}", outcome.err);
        assert!(!outcome.err.is_empty(), "{args:?}");
    }
    let text = |problem: &str| format!("name = \"hut\"\n\n[http]\n{problem}\n");
    for (line, words) in [
        ("max_conections = 5", "max_conections"),
        ("idle_timeout = \"soon\"", "idle_timeout"),
        ("idle_timeout = 75", "idle_timeout"),
        ("max_page = 0", "max_page"),
        ("drain = \"1s\" x", ""),
    ] {
        let outcome = TestNode::plan(&archive).config(&text(line)).refused();
        assert_eq!((outcome.code, outcome.out.as_str()), (2, ""), "{line}: {}", outcome.err);
        assert!(
            outcome.err.contains("config.toml, line 4: ") && outcome.err.contains(words),
            "{line}: {}",
            outcome.err
        );
    }
    let outcome = TestNode::plan(&archive).env("GAPLESS_HTTP_MAX_PAGE", "many").refused();
    assert_eq!(outcome.code, 2);
    assert!(outcome.err.contains("GAPLESS_HTTP_MAX_PAGE"), "{}", outcome.err);
    let changed = archive
        .snapshot()
        .into_keys()
        .filter(|path| !before.contains_key(path) && !path.starts_with(archive.at(".gapless")));
    assert_eq!(changed.count(), 0);
}

#[test]
fn a_flag_goes_before_the_environment_and_that_before_the_file() {
    let archive = TestArchive::empty();
    let name = |node: &TestNode| node.get("/api/v1/status").json()["name"].clone();
    let plan = || TestNode::plan(&archive).config("name = \"file\"\n");
    assert_eq!(name(&plan().start()), "file");
    assert_eq!(name(&plan().env("GAPLESS_NAME", "environment").start()), "environment");
    assert_eq!(name(&plan().env("GAPLESS_NAME", "environment").flag("--name=flag").start()), "flag");
    archive.raw(".gapless/config.toml", b"name = \"own\"\n");
    assert_eq!(name(&TestNode::start(&archive)), "own");
}

#[test]
fn a_second_daemon_on_the_same_archive_or_index_changes_nothing() {
    let archive = TestArchive::sample();
    let state = archive.outside().join("state");
    let node = TestNode::plan(&archive).state_dir(&state).config("[coverage]\nmaps = \"off\"\n").start();
    node.wait_ready();
    // Until the first one has nothing left to write.
    eventually(SOON, || node.get("/api/v1/status").json()["crawl"]["state"] == "resting");
    let explained = |quality: &str| {
        let holes = node.get(&format!("/api/v1/holes/desertbus/{quality}")).json()["holes"].clone();
        holes.as_array().unwrap().iter().all(|hole| hole["reason"].is_string())
    };
    eventually(SOON, || explained("source") && explained("480p"));
    let other = TestArchive::sample();
    let before = (archive.snapshot(), snapshot(&state), other.snapshot());
    let elsewhere = archive.outside().join("elsewhere");
    for (what, plan) in [
        ("both", TestNode::plan(&archive).state_dir(&state)),
        ("the same base", TestNode::plan(&archive).state_dir(&elsewhere)),
        ("the same index", TestNode::plan(&other).state_dir(&state)),
    ] {
        let outcome = plan.refused();
        assert_eq!((outcome.code, outcome.out.as_str()), (3, ""), "{what}: {}", outcome.err);
        assert!(outcome.err.contains("gapless: "), "{what}: {}", outcome.err);
        assert!((archive.snapshot(), snapshot(&state), other.snapshot()) == before, "{what}: something was changed");
        assert!(!elsewhere.exists());
    }
    node.check();
    assert_eq!(node.files("desertbus"), ["480p", "chat", "source"]);
}

#[test]
fn an_archive_of_one_s_own_state_leaves_the_base_as_it_was_but_for_the_marker() {
    let archive = TestArchive::sample();
    let before = archive.snapshot();
    let state = archive.outside().join("state");
    let node = TestNode::plan(&archive).state_dir(&state).start();
    node.wait_ready();
    node.check();
    node.terminate();
    let mut after = archive.snapshot();
    after.retain(|path, _| !path.starts_with(archive.at(".gapless")));
    assert!(after == before);
    let mut ours: Vec<String> = fs::read_dir(archive.at(".gapless"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    // A pass of retention may have written down how much there is, if this took long.
    ours.retain(|name| !name.starts_with("levels"));
    ours.sort_unstable();
    assert_eq!(ours, ["marker", "records", "records.2", "time", "time.2"], "what tells and protects this archive");
    assert!(state.join("index.redb").exists() && !state.join("daemon.json").exists());
}

#[test]
fn a_node_ends_in_order_at_either_signal() {
    let archive = TestArchive::sample();
    for signal in [Signal::TERM, Signal::INT] {
        let mut node = TestNode::start(&archive);
        assert!(archive.at(".gapless/daemon.json").exists());
        node.signal(signal);
        node.expect_end();
        assert!(!archive.at(".gapless/daemon.json").exists(), "nobody is told to ask who is not there");
        assert!(!node.log().contains("ERROR"), "{}", node.log());
    }
    let taken = TestNode::start(&archive);
    let other = TestArchive::empty();
    let outcome = gapless(other.path(), &["node", "--listen", &taken.address.to_string()]);
    assert_eq!(outcome.code, 3);
    assert!(outcome.err.contains("cannot listen on"), "{}", outcome.err);
}

#[test]
fn who_has_read_enough_takes_nothing_from_the_work_or_the_exit_code() {
    let archive = TestArchive::sample();
    gapless(archive.path(), &["rebuild"]).lines(0);
    let gauges = archive.outside().join("gauges.prom");
    let path = gauges.to_str().unwrap();
    let done = gapless_unheard(archive.path(), &["coverage", "--once", "--maps", "--gauges", path]);
    assert_eq!((done.code, done.err.as_str()), (0, ""));
    assert!(fs::read_to_string(&gauges).unwrap().contains("segment_count{"));
    assert!(archive.at("coverage-maps/desertbus_source_coverage.png").exists());
    // All of it is hidden, and all of it is found, whoever reads how.
    let paths: Vec<String> = archive.listing(HOUR, false).iter().take(3).map(|name| format!("{HOUR}/{name}")).collect();
    let add: Vec<&str> = ["tombstone", "add"].into_iter().chain(paths.iter().map(String::as_str)).collect();
    assert_eq!(gapless_unheard(archive.path(), &add).code, 0);
    assert_eq!(
        gapless(archive.path(), &["tombstone", "list", HOUR])
            .lines(0)
            .iter()
            .filter(|line| paths.iter().any(|path| line.starts_with(path.trim_end_matches(".ts"))))
            .count(),
        3
    );
    let cut = ["cut", "desertbus/source", "2019-11-13T02:50:00", "2019-11-13T02:55:18", "-o", "-"];
    let with_holes = gapless(archive.path(), &cut);
    // What it says to type finds the same archive.
    let command = format!("gapless holes --base-dir {} desertbus/source --editable", archive.path().display());
    assert!(with_holes.code == 1 && with_holes.err.contains(&command), "{}", with_holes.err);
    archive.raw(&format!("{HOUR}/99:99-2.0-full-x.ts"), b"not known to the index");
    let check = |outcome: crate::support::Outcome| (outcome.code, outcome.err.contains("panicked"));
    assert_eq!(check(gapless_unheard(archive.path(), &["rebuild", "--check"])), (1, false));
    assert_eq!(
        check(gapless_unheard(
            archive.path(),
            &["cut", "desertbus/source", "2019-11-13T02:55:08", "2019-11-13T02:55:18", "-o", "-", "--allow-holes"]
        )),
        (0, false)
    );
}

#[test]
fn what_cannot_be_printed_is_said_at_the_end_and_the_work_is_done() {
    let archive = TestArchive::sample();
    gapless(archive.path(), &["rebuild"]).lines(0);
    let gauges = archive.outside().join("gauges.prom");
    let full = ["sh", "-c", "exec \"$@\" > /dev/full", "sh"];
    let done = gapless_through(&full, archive.path(), &["coverage", "--once", "--gauges", gauges.to_str().unwrap()]);
    assert_eq!(done.code, 3);
    assert!(done.err.starts_with("gapless: standard output is not complete: No space left"), "{}", done.err);
    assert!(fs::read_to_string(&gauges).unwrap().contains("segment_count{"));
}

#[test]
fn completions_are_printed_whatever_the_settings_are() {
    let archive = TestArchive::empty();
    archive.raw(".gapless/config.toml", b"no settings");
    for shell in ["bash", "zsh", "fish"] {
        let outcome = gapless(archive.path(), &["completions", shell]);
        assert_eq!(outcome.code, 0, "{}", outcome.err);
        for word in ["timespans", "recent-cutoff", "quarantine"] {
            assert!(outcome.out.contains(word), "{shell}: {word}");
        }
    }
}
