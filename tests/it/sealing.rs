//! Hours that are over get a manifest that `sha256sum` understands; it is the same on every node, and says when it is not right any more.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{Kind, Outcome, SOON, TestArchive, TestNode, eventually, gapless, gapless_through};

const HOUR: &str = "desertbus/source/2019-11-13T07";

fn seal(archive: &TestArchive, more: &[&str]) -> Value {
    gapless(archive.path(), &[&["seal", "--after", "0s", "--json"], more].concat()).json(0)
}

/// Seals all that can be, as soon as the directories have been left alone for long enough.
fn seal_all(archive: &TestArchive) -> Value {
    let is_quiet = |done: &Value| !done["hours"].to_string().contains("changed in its directory lately");
    eventually(SOON, || is_quiet(&seal(archive, &["--plan"])));
    seal(archive, &[])
}

fn manifests(archive: &TestArchive) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut ahead = vec![archive.path().join(".gapless/sealed")];
    while let Some(dir) = ahead.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().map(Result::unwrap) {
            if entry.path().is_dir() { ahead.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found.sort();
    found
}

fn sha256sum(base: &Path, manifest: &Path) -> (bool, String) {
    let done = Command::new("sha256sum").args(["--strict", "-c"]).arg(manifest).current_dir(base).output().unwrap();
    (done.status.success(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
}

fn manifest_of(archive: &TestArchive, hour: &str) -> PathBuf {
    archive.path().join(format!(".gapless/sealed/{hour}.sha256"))
}

#[test]
fn a_sealed_hour_is_checked_without_us_and_its_manifest_is_the_same_everywhere() {
    let (one, other) = (TestArchive::sample(), TestArchive::sample());
    let planned = seal(&one, &["--plan"]);
    assert_eq!(manifests(&one), Vec::<PathBuf>::new(), "a plan writes nothing: {planned}");
    let done = seal_all(&one);
    let hours = one.all_hours();
    let counted = |what: &str| done["summary"][what].as_u64().unwrap();
    assert_eq!(counted("sealed") + counted("open"), hours.len() as u64, "{done}");
    assert!(counted("sealed") > 0 && counted("errors") == 0, "{done}");
    let written = manifests(&one);
    assert_eq!(written.len() as u64, counted("sealed"));
    for manifest in &written {
        let (is_right, told) = sha256sum(one.path(), manifest);
        // An hour of tombstones alone has no line that it could check.
        let is_empty = !fs::read_to_string(manifest).unwrap().lines().any(|line| !line.starts_with('#'));
        assert!(is_right || is_empty, "{}: {told}", manifest.display());
    }
    // What is listed is in it, and nothing else.
    let text = fs::read_to_string(manifest_of(&one, HOUR)).unwrap();
    let mut listed: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).map(|line| &line[66..]).collect();
    listed.sort_unstable();
    let mut expected: Vec<String> = one.listing(HOUR, false).iter().map(|name| format!("{HOUR}/{name}")).collect();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    assert!(gapless(one.path(), &["manifest", HOUR]).out == text, "it is printed as it lies there");
    // Another node has the same, to the byte.
    seal_all(&other);
    for manifest in &written {
        let same = other.path().join(manifest.strip_prefix(one.path()).unwrap());
        assert!(fs::read(manifest).unwrap() == fs::read(&same).unwrap(), "{}", same.display());
    }
    // Nothing is read a second time.
    let again = seal(&one, &[]);
    assert_eq!((&again["summary"]["sealed"], &again["summary"]["bytes"]), (&0.into(), &0.into()), "{again}");
    // A flipped bit is found by sha256sum.
    let path = &expected[3];
    let mut bytes = one.read(path);
    bytes[7] ^= 1;
    fs::write(one.at(path), bytes).unwrap();
    let (is_right, told) = sha256sum(one.path(), &manifest_of(&one, HOUR));
    assert!(!is_right && told.contains(&format!("{path}: FAILED")), "{told}");
}

#[test]
fn what_is_not_what_its_name_says_is_not_vouched_for() {
    let archive = TestArchive::empty();
    let hour = "c/source/2020-01-01T00";
    let names = ["10:00", "10:01"].map(|time| archive.segment(hour, time, 1.0, Kind::Full));
    let right = archive.read(&names[0]);
    archive.raw(&names[0], b"something else");
    eventually(SOON, || !seal(&archive, &["--plan"])["hours"].to_string().contains("lately"));
    let done = gapless(archive.path(), &["seal", "--after", "0s", "--json"]).json(1);
    let told = done["hours"][0]["why"].as_str().unwrap();
    assert!(told.contains("is not the one in its name") && told.contains("gapless scrub"), "{done}");
    assert_eq!(manifests(&archive).len(), 0);
    let missing = gapless(archive.path(), &["manifest", hour]);
    assert!(missing.code == 3 && missing.err.contains("not sealed"), "{missing:?}");
    archive.raw(&names[0], &right);
    assert_eq!(seal_all(&archive)["summary"]["sealed"], 1);
    for (hour, code) in [("c/source/2020-01-01T01", 3), ("c/source", 2), ("d/source/2020-01-01T00", 3)] {
        let refused = gapless(archive.path(), &["manifest", hour]);
        assert_eq!(refused.code, code, "{hour}: {refused:?}");
    }
}

fn sealing(archive: &TestArchive) -> TestNode {
    let settings = [
        ("ARCHIVE_SEAL", "true"),
        ("ARCHIVE_SEAL_AFTER", "0s"),
        ("ARCHIVE_MINIMUM_CYCLE", "1s"),
        ("CRAWL_CPU_SHARE", "1"),
        ("SCRUB_BYTES_PER_SECOND", "0B"),
        ("SCRUB_FILES_PER_SECOND", "0"),
    ];
    let plan = TestNode::plan(archive);
    settings.iter().fold(plan, |plan, (key, value)| plan.env(&format!("GAPLESS_{key}"), value)).start()
}

#[test]
fn a_node_seals_what_is_quiet_and_a_change_unseals_it_until_it_is_sealed_anew() {
    let archive = TestArchive::empty();
    let hour = "c/source/2020-01-01T00";
    let first = archive.segment(hour, "10:00", 1.0, Kind::Full);
    let node = sealing(&archive);
    let address = format!("/api/v1/manifest/{hour}");
    let has = |path: &str| {
        let answer = node.get(&address);
        answer.status == 200 && answer.text().contains(path)
    };
    eventually(SOON, || has(&first));
    let second = archive.segment(hour, "10:01", 1.0, Kind::Full);
    // Until the new one is there the old one is refused, and never passed for the hour.
    eventually(SOON, || {
        let answer = node.get(&address);
        assert!(answer.status == 409 || answer.text().contains(&second), "{}", answer.text());
        answer.status == 200
    });
    assert!(has(&first) && has(&second) && node.log().contains("hour_unsealed"), "{}", node.log());
    assert!(sha256sum(archive.path(), &manifest_of(&archive, hour)).0);
    // What is hidden is not in it, and the tombstone is.
    archive.tombstone(&first);
    eventually(SOON, || has("# tombstone ") && node.get(&address).text().matches("-full-").count() == 2);
    assert_eq!(node.get("/api/v1/manifest/c/source/2020-01-01T01").status, 404);
    // One that goes is a change as well.
    archive.remove(&second);
    eventually(SOON, || node.get(&address).status == 200 && !has(&second));
    node.check();
    node.terminate();
}

#[test]
fn a_copy_of_a_sealed_archive_is_sealed_without_being_read_unless_a_file_is_another_one() {
    let archive = TestArchive::empty();
    let hours = ["c/source/2020-01-01T00", "c/source/2020-01-01T01"];
    let [first, second] = hours.map(|hour| archive.segment(hour, "10:00", 1.0, Kind::Full));
    assert_eq!(seal_all(&archive)["summary"]["sealed"], 2);
    let copy = TestArchive::empty();
    let copied = Command::new("cp").args(["-a", "."]).arg(copy.path()).current_dir(archive.path()).status().unwrap();
    assert!(copied.success());
    // The same size at another time: nobody knows what is in it without reading it.
    let bytes = copy.read(&second);
    copy.raw(&second, &bytes);
    let done = seal_all(&copy);
    let summary = &done["summary"];
    assert_eq!((&summary["sealed"], &summary["sealed_before"]), (&1.into(), &1.into()), "{done}");
    assert_eq!(summary["bytes"].as_u64(), Some(bytes.len() as u64), "{done}");
    assert!(done["hours"].to_string().contains(hours[1]) && !first.is_empty(), "{done}");
}

#[test]
fn a_manifest_that_is_damaged_passes_for_none_and_is_written_anew() {
    let archive = TestArchive::empty();
    let hour = "c/source/2020-01-01T00";
    archive.segment(hour, "10:00", 1.0, Kind::Full);
    assert_eq!(seal_all(&archive)["summary"]["sealed"], 1);
    let (path, right) = (manifest_of(&archive, hour), fs::read(manifest_of(&archive, hour)).unwrap());
    let damaged = [Vec::new(), right[..right.len() / 2].to_vec(), [&right[..300], b"X", &right[301..]].concat()];
    for bytes in damaged {
        // The disk, and nobody who would change its time.
        let file = fs::File::options().write(true).truncate(true).open(&path).unwrap();
        let time = file.metadata().unwrap().modified().unwrap();
        std::io::Write::write_all(&mut &file, &bytes).unwrap();
        file.set_modified(time).unwrap();
        let refused = gapless(archive.path(), &["manifest", hour]);
        assert!(refused.code == 3 && refused.err.contains("damaged") && refused.out.is_empty(), "{refused:?}");
        assert_eq!(seal(&archive, &[])["summary"]["sealed"], 1);
        assert!(fs::read(&path).unwrap() == right);
    }
}

#[test]
fn a_kill_at_any_moment_leaves_no_manifest_that_is_not_right() {
    let archive = TestArchive::sample();
    eventually(SOON, || !seal(&archive, &["--plan"])["hours"].to_string().contains("lately"));
    for tenths in [1, 2, 3, 4, 6] {
        let limit = format!("0.{tenths}");
        let _: Outcome =
            gapless_through(&["timeout", "-s", "KILL", &limit], archive.path(), &["seal", "--after", "0s"]);
        for manifest in manifests(&archive) {
            let name = manifest.file_name().unwrap().to_string_lossy().into_owned();
            if name.ends_with(".sha256") && !name.starts_with('.') {
                let told = sha256sum(archive.path(), &manifest).1;
                assert!(!told.contains("FAILED") && !told.contains("improperly"), "{told}");
            }
        }
    }
    let done = seal_all(&archive);
    assert_eq!(done["summary"]["errors"], 0);
    assert_eq!(seal(&archive, &[])["summary"]["open"], done["summary"]["open"]);
}
