//! Objects of one hour in a bucket: what came later is another one, and nothing is sent that one of them holds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hyper::Method;
use serde_json::Value;

use crate::archive_tier::{HOURS, PATIENCE, archive, ask, objects, receipt, seal_all, sent, shares, with_bucket};
use crate::support::node::gapless_begun;
use crate::support::object_store::{LineFault, TestStore};
use crate::support::{Kind, TestArchive, eventually};

/// Seals and uploads; says what was uploaded.
fn uploaded(archive: &TestArchive) -> Value {
    seal_all(archive);
    ask(archive, &["run"]).json(0)
}

/// The manifests of objects that are noted of an hour, and whether each counts.
fn noted(archive: &TestArchive, hour: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(archive.at(&format!(".gapless/bucket/{hour}"))).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|is| is == ending)).collect()
}

fn newest(archive: &TestArchive, store: &TestStore, before: &[String]) -> PathBuf {
    let name = objects(archive, HOURS[0]).into_iter().find(|name| !before.contains(name)).unwrap();
    store.file(&format!("here/{name}"))
}

fn unpacked(object: &Path) -> (TestArchive, Vec<String>) {
    let into = TestArchive::empty();
    let done = Command::new("tar").arg("xf").arg(object).current_dir(into.path()).status().unwrap();
    assert!(done.success());
    let there = if into.at(HOURS[0]).exists() { into.listing(HOURS[0], true) } else { Vec::new() };
    (into, there)
}

#[test]
fn what_comes_later_is_another_object_of_just_that() {
    let (store, archive) = (TestStore::start(), archive());
    with_bucket(&archive, &store);
    assert_eq!(uploaded(&archive)["summary"]["done"], 2);
    let first = objects(&archive, HOURS[0]);
    let whole = fs::read(store.file(&format!("here/{}", first[0]))).unwrap();
    assert_eq!((first.len(), noted(&archive, HOURS[0], "sha256").len()), (1, 1));
    let manifest = fs::read(archive.at(&format!(".gapless/sealed/{}.sha256", HOURS[0]))).unwrap();
    assert!(fs::read(&noted(&archive, HOURS[0], "sha256")[0]).unwrap() == manifest, "the first one is the hour");

    // A late segment.
    let late = archive.segment(HOURS[0], "40:00", 1.0, Kind::Full);
    seal_all(&archive);
    let planned = ask(&archive, &["plan"]).json(0);
    assert_eq!(planned["hours"][0]["bytes"], archive.read(&late).len(), "{planned}");
    store.requests();
    assert_eq!(ask(&archive, &["run"]).json(0)["summary"]["done"], 1);
    let asked = store.requests();
    let reads = asked.iter().filter(|(sent, target)| *sent == Method::GET && target.contains(&first[0])).count();
    assert_eq!(reads, 0, "what was read back before is not read again: {asked:?}");
    let (_, there) = unpacked(&newest(&archive, &store, &first));
    assert_eq!(there.iter().map(|name| format!("{}/{name}", HOURS[0])).collect::<Vec<_>>(), [late]);

    // A tombstone is an object without a file.
    let before = objects(&archive, HOURS[0]);
    let hidden = archive.listing(HOURS[0], false)[0].clone();
    archive.tombstone(&format!("{}/{hidden}", HOURS[0]));
    assert_eq!(uploaded(&archive)["summary"]["done"], 1);
    let third = newest(&archive, &store, &before);
    let (into, there) = unpacked(&third);
    let text = fs::read_to_string(into.at(&format!(".gapless/sealed/{}.sha256", HOURS[0]))).unwrap();
    assert!(there.is_empty() && text.contains("# tombstone ") && fs::metadata(&third).unwrap().len() < 8_192, "{text}");

    // What is gone here and lies there is nothing new: nothing is sent, and nothing read.
    let gone = archive.listing(HOURS[0], false)[0].clone();
    archive.remove(&format!("{}/{gone}", HOURS[0]));
    seal_all(&archive);
    assert_eq!(shares(&archive), [1, 1, 0]);
    store.requests();
    let done = ask(&archive, &["run"]).json(0);
    assert_eq!((&done["hours"][0]["state"], &done["hours"][0]["object"]), (&"archived".into(), &Value::Null), "{done}");
    assert_eq!((sent(&store, &Method::PUT), objects(&archive, HOURS[0]).len()), (0, 3));
    assert_eq!(shares(&archive), [2, 0, 0]);
    assert!(fs::read(store.file(&format!("here/{}", first[0]))).unwrap() == whole, "the first one is as it was");

    // All of it comes back from all of them.
    let empty = TestArchive::empty();
    with_bucket(&empty, &store);
    ask(&empty, &["restore", "c"]).json(0);
    let mut expected: Vec<String> = archive.listing(HOURS[0], false);
    expected.push(gone);
    expected.sort();
    let mut back = empty.listing(HOURS[0], false);
    back.sort();
    assert_eq!(back, expected);
}

#[test]
fn an_hour_of_which_nothing_is_here_is_in_the_bucket_and_a_late_file_of_it_is_another_object() {
    let (store, archive) = (TestStore::start(), archive());
    with_bucket(&archive, &store);
    uploaded(&archive);
    archive.remove(HOURS[0]);
    let sealed = seal_all(&archive);
    assert!(!sealed.to_string().contains("open\":1") && sealed["summary"]["errors"] == 0, "{sealed}");
    let said = crate::support::gapless(archive.path(), &["manifest", HOURS[0]]);
    assert!(said.code == 3 && said.err.contains("lies in the bucket"), "{said:?}");
    assert_eq!(ask(&archive, &["verify"]).json(0)["summary"]["done"], 2);
    let before = objects(&archive, HOURS[0]);
    let late = archive.segment(HOURS[0], "40:00", 1.0, Kind::Full);
    assert_eq!(uploaded(&archive)["summary"]["done"], 1);
    let (_, there) = unpacked(&newest(&archive, &store, &before));
    assert!(late.ends_with(&there[0]) && there.len() == 1, "{there:?}");
    assert_eq!((noted(&archive, HOURS[0], "sha256").len(), shares(&archive)), (2, [2, 0, 0]));
}

#[test]
fn what_was_noted_without_reading_it_back_or_of_another_bucket_is_read_before_anything_relies_on_it() {
    let (store, archive) = (TestStore::start(), archive());
    with_bucket(&archive, &store);
    uploaded(&archive);
    let first = objects(&archive, HOURS[0]);
    // Killed between the two notes.
    fs::remove_file(receipt(&archive, HOURS[0])).unwrap();
    assert_eq!(shares(&archive), [1, 1, 0]);
    store.requests();
    assert_eq!(ask(&archive, &["run"]).json(0)["summary"]["done"], 1);
    let asked = store.requests();
    let reads = asked.iter().filter(|(sent, target)| *sent == Method::GET && target.contains(&first[0])).count();
    assert!(reads == 1 && asked.iter().all(|(sent, _)| *sent != Method::PUT), "{asked:?}");
    // While the store is away nothing is concluded.
    fs::remove_file(receipt(&archive, HOURS[0])).unwrap();
    store.fails(Method::GET, ".tar", LineFault::Refuses(503, "SlowDown"), 100);
    assert_ne!(ask(&archive, &["run"]).code, 0);
    assert!(!receipt(&archive, HOURS[0]).exists() && noted(&archive, HOURS[0], "sha256").len() == 1);
    store.is_well();
    // Another bucket has none of it.
    let other = TestStore::start();
    with_bucket(&archive, &other);
    assert_eq!(shares(&archive), [0, 2, 0]);
    // Nothing is concluded from what a bucket does not have that the notes are not about.
    for verb in ["run", "verify"] {
        let refused = ask(&archive, &[verb]);
        assert!(refused.code == 3 && refused.err.contains("name that one again"), "{refused:?}");
    }
    assert_eq!(noted(&archive, HOURS[0], "sha256").len(), 1);
    archive.remove(".gapless/bucket/.bucket");
    assert_eq!(ask(&archive, &["run"]).json(0)["summary"]["done"], 2);
    assert_eq!(objects(&archive, HOURS[0]), first, "the same object, there as well");
    assert_eq!((shares(&archive), noted(&archive, HOURS[0], "lost").len()), ([2, 0, 0], 0));
}

#[test]
fn what_a_lost_object_held_is_kept_told_and_counted_again_when_it_is_back() {
    let (store, archive) = (TestStore::start(), archive());
    with_bucket(&archive, &store);
    uploaded(&archive);
    let object = store.file(&format!("here/{}", objects(&archive, HOURS[0])[0]));
    let right = fs::read(&object).unwrap();
    let here = archive.listing(HOURS[0], false);
    let listed = || crate::support::gapless(archive.path(), &["ls", HOURS[0]]).out.lines().count();
    archive.remove(HOURS[0]);
    assert_eq!(listed(), here.len(), "it is listed, as the bucket has it");
    fs::remove_file(&object).unwrap();
    assert_eq!(ask(&archive, &["verify"]).json(1)["summary"]["errors"], 1);
    assert_eq!((noted(&archive, HOURS[0], "lost").len(), noted(&archive, HOURS[0], "sha256").len()), (1, 0));
    assert_eq!(ask(&archive, &["status"]).json(0)["lost"], 1);
    assert!(ask(&archive, &["verify"]).json(1)["summary"]["errors"] == 1, "it is told as long as it is lost");
    // It was put back, from a backup of the bucket.
    fs::write(&object, &right).unwrap();
    assert_eq!(ask(&archive, &["verify"]).json(0)["summary"]["done"], 2);
    assert_eq!(
        (noted(&archive, HOURS[0], "lost").len(), ask(&archive, &["status"]).json(0)["lost"].clone()),
        (0, 0.into())
    );
    assert_eq!(listed(), here.len());
    // Where another one holds by now what it held, nothing is lost any more.
    ask(&archive, &["restore", HOURS[0]]).json(0);
    fs::remove_file(&object).unwrap();
    ask(&archive, &["verify"]).json(1);
    archive.segment(HOURS[0], "40:00", 1.0, Kind::Full);
    assert_eq!(uploaded(&archive)["summary"]["done"], 1);
    assert_eq!(ask(&archive, &["status"]).json(0)["lost"], 1);
    assert_eq!(ask(&archive, &["verify"]).json(0)["summary"]["done"], 2);
    assert_eq!(ask(&archive, &["status"]).json(0)["lost"], 0);
}

#[test]
fn a_run_that_is_killed_while_it_sends_what_came_later_sends_it_once() {
    let (store, archive) = (TestStore::start(), archive());
    with_bucket(&archive, &store);
    uploaded(&archive);
    let long = PATIENCE * 10;
    let steps = [
        (Method::PUT, LineFault::Waits(long)),
        // It is there, and nobody here knows.
        (Method::PUT, LineFault::AnswersAfter(long)),
        (Method::GET, LineFault::HoldsBack(long)),
    ];
    for (at, (method, fault)) in steps.into_iter().enumerate() {
        archive.segment(HOURS[0], &format!("4{at}:00"), 1.0, Kind::Full);
        seal_all(&archive);
        store.requests();
        store.has_done(&method, ".tar");
        store.fails(method.clone(), ".tar", fault.clone(), 1);
        let said = fs::File::create(archive.outside().join("said")).unwrap();
        let mut run = gapless_begun(archive.path(), &["archive", "run"], said);
        eventually(PATIENCE, || match fault {
            LineFault::Waits(_) => store.seen().iter().any(|(sent, target)| *sent == method && target.contains(".tar")),
            _ => store.has_done(&method, ".tar"),
        });
        run.kill().unwrap();
        run.wait().unwrap();
        store.is_well();
        let told = format!("{method} {fault:?}");
        assert_eq!((noted(&archive, HOURS[0], "sha256").len(), shares(&archive)), (at + 1, [1, 1, 0]), "{told}");
        assert_eq!(ask(&archive, &["run"]).json(0)["summary"]["done"], 1, "{told}");
        assert_eq!(
            (objects(&archive, HOURS[0]).len(), noted(&archive, HOURS[0], "sha256").len()),
            (at + 2, at + 2),
            "{told}"
        );
        assert_eq!(shares(&archive), [2, 0, 0], "{told}");
    }
}

#[test]
fn what_only_a_lost_object_hid_does_not_come_back_and_what_it_held_is_told() {
    let (store, archive) = (TestStore::start(), archive());
    with_bucket(&archive, &store);
    uploaded(&archive);
    let first = objects(&archive, HOURS[0]);
    let hidden = archive.listing(HOURS[0], false)[0].clone();
    archive.tombstone(&format!("{}/{hidden}", HOURS[0]));
    uploaded(&archive);
    let late = archive.segment(HOURS[1], "40:00", 1.0, Kind::Full);
    let before = objects(&archive, HOURS[1]);
    uploaded(&archive);
    archive.remove("c");
    // The object with the tombstone, and that with what came late, are deleted by somebody.
    for object in [
        newest(&archive, &store, &first),
        store.file(&format!(
            "here/{}",
            objects(&archive, HOURS[1]).iter().find(|object| !before.contains(object)).unwrap()
        )),
    ] {
        fs::remove_file(object).unwrap();
    }
    ask(&archive, &["verify"]).json(1);
    let restored = ask(&archive, &["restore", "c"]).json(1);
    assert!(restored["hours"].to_string().contains("\"reason\":\"gone\""), "{restored}");
    assert!(!archive.at(&format!("{}/{hidden}", HOURS[0])).exists() && !archive.at(&late).exists());
    assert_eq!((archive.listing(HOURS[0], false).len(), archive.listing(HOURS[1], false).len()), (5, 6));
}

#[test]
fn a_channel_may_be_called_as_our_own_files_are() {
    let (store, archive) = (TestStore::start(), TestArchive::empty());
    with_bucket(&archive, &store);
    for channel in ["bucket", "sealed", "dropped"] {
        archive.segment(&format!("{channel}/source/2020-01-01T00"), "10:00", 2.0, Kind::Full);
    }
    assert_eq!(uploaded(&archive)["summary"]["done"], 3);
    for channel in ["bucket", "sealed", "dropped"] {
        assert_eq!(ask(&archive, &["drop", channel]).json(0)["summary"]["done"], 1);
    }
    // An earlier version noted under another name which bucket it is.
    let anew = TestArchive::empty();
    with_bucket(&anew, &store);
    let noted = archive.read(".gapless/bucket/.bucket");
    anew.raw(".gapless/bucket/bucket", b"https://elsewhere/x/");
    assert_eq!(crate::support::gapless(anew.path(), &["rebuild", "--from-archive"]).code, 3);
    anew.raw(".gapless/bucket/bucket", &noted);
    anew.remove(".gapless/bucket/bucket");
    assert_eq!(crate::support::gapless(anew.path(), &["rebuild", "--from-archive"]).code, 0);
    assert_eq!(ask(&anew, &["restore", "bucket", "sealed", "dropped"]).json(0)["summary"]["done"], 3);
}

#[test]
fn what_another_node_has_uploaded_is_not_sent_again_though_the_hours_differ() {
    let (store, one, other) = (TestStore::start(), archive(), archive());
    let late = other.segment(HOURS[0], "40:00", 1.0, Kind::Full);
    for node in [&one, &other] {
        with_bucket(node, &store);
    }
    assert_eq!(uploaded(&one)["summary"]["done"], 2);
    let before = objects(&one, HOURS[0]);
    assert_eq!(uploaded(&other)["summary"]["done"], 2);
    assert_eq!((objects(&other, HOURS[0]).len(), objects(&other, HOURS[1]).len()), (2, 1));
    let (into, new) = unpacked(&newest(&other, &store, &before));
    assert_eq!(new, [late.rsplit_once('/').unwrap().1], "only what the first one has not");
    assert!(into.read(&late) == other.read(&late));
    assert_eq!(shares(&other), [2, 0, 0]);
}
