//! Work on a bucket that ends in the middle: by a signal, and by `kill -9` at every step of it.

use std::fs;
use std::time::Duration;

use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};

use crate::archive_tier::{HOURS, PATIENCE, ask, files, name_bucket, object_of, receipt, seal_all, with_bucket};
use crate::support::archive::packets;
use crate::support::node::gapless_begun;
use crate::support::object_store::{BUCKET, KEY, LineFault, SECRET, TestStore};
use crate::support::{Kind, Outcome, TestArchive, eventually};

/// Begins a verb of the archive, and stops it by a signal once the store has seen such a request.
fn stopped(archive: &TestArchive, store: &TestStore, args: &[&str], signal: Signal, at: (&Method, &str)) -> Outcome {
    store.requests();
    let said = archive.outside().join("said");
    let file = fs::File::create(&said).unwrap();
    let mut child = gapless_begun(archive.path(), &[&["archive"], args].concat(), file);
    let has_come = || store.seen().iter().any(|(sent, target)| sent == at.0 && target.contains(at.1));
    eventually(PATIENCE, has_come);
    kill_process(Pid::from_child(&child), signal).unwrap();
    let code = child.wait().unwrap().code().unwrap_or(-1);
    Outcome { code, out: String::new(), err: fs::read_to_string(&said).unwrap() }
}

#[test]
fn what_is_stopped_by_a_signal_ends_its_upload_and_says_what_was_done() {
    let (store, archive) = (TestStore::start(), TestArchive::empty());
    name_bucket(&archive, &store.url(), BUCKET, (KEY, SECRET), "part_size = \"5MiB\"\n");
    archive.segment(HOURS[0], "10:00", 1.0, Kind::Full);
    archive.named(HOURS[1], "20:00-2.0-full", "ts", &packets("much", (12 << 20) / 188));
    seal_all(&archive);
    let second = (&Method::PUT, "partNumber=2");
    for (signal, at, fault, before) in [
        (Signal::INT, second, LineFault::Waits(PATIENCE * 10), 1),
        (Signal::TERM, second, LineFault::Waits(PATIENCE * 10), 0),
        // The store has begun one, and says so later.
        (Signal::INT, (&Method::POST, "uploads"), LineFault::Waits(Duration::from_millis(300)), 0),
    ] {
        store.fails(at.0.clone(), at.1, fault, 1);
        let run = stopped(&archive, &store, &["run"], signal, at);
        assert!(run.code == 3 && !run.err.contains("panicked"), "{run:?}");
        let done = if before == 1 { "1 hour uploaded" } else { "0 hours uploaded" };
        assert!(run.err.contains(&format!("stopped by a signal: {done} and read back before")), "{run:?}");
        assert!(!run.err.contains("could not be ended"), "{run:?}");
        assert_eq!((store.open_uploads(), receipt(&archive, HOURS[1]).exists()), (0, false), "{run:?}");
        store.is_well();
    }
    assert_eq!(ask(&archive, &["run"]).json(0)["summary"]["done"], 1);
    let before = files(&archive);
    let empty = TestArchive::empty();
    with_bucket(&empty, &store);
    let second = format!("v1/{}/", HOURS[1]);
    store.fails(Method::GET, &second, LineFault::Waits(PATIENCE * 10), 1);
    let restore = stopped(&empty, &store, &["restore", "c"], Signal::INT, (&Method::GET, &second));
    assert!(restore.code == 3 && !restore.err.contains("panicked"), "{restore:?}");
    assert!(restore.err.contains("stopped by a signal: 1 hour restored before"), "{restore:?}");
    store.is_well();
    assert_eq!(ask(&empty, &["restore", "c"]).json(0)["summary"]["done"], 1);
    assert!(files(&empty) == before);
}

/// How long a step is held up in which a run is killed.
const LONG: Duration = Duration::from_secs(600);

#[test]
fn a_run_that_is_killed_at_any_step_comes_to_the_same_object_the_next_time() {
    let (store, archive) = (TestStore::start(), TestArchive::empty());
    store.lists_uploads();
    name_bucket(&archive, &store.url(), BUCKET, (KEY, SECRET), "part_size = \"5MiB\"\n");
    archive.named(HOURS[0], "20:00-2.0-full", "ts", &packets("much", (6 << 20) / 188));
    seal_all(&archive);
    assert_eq!(ask(&archive, &["run"]).json(0)["summary"]["done"], 1);
    let object = object_of(&archive, &store, HOURS[0]);
    let right = fs::read(&object).unwrap();
    let steps = [
        (Method::GET, "list-type"),
        (Method::POST, "uploads"),
        (Method::PUT, "partNumber=1"),
        (Method::PUT, "partNumber=2"),
        (Method::POST, "uploadId"),
        (Method::GET, ".tar"),
    ];
    let faults = [LineFault::Waits(LONG), LineFault::AnswersAfter(LONG), LineFault::HoldsBack(LONG)];
    for ((method, within), fault) in steps.iter().flat_map(|step| faults.iter().map(move |fault| (step, fault))) {
        // Only an object has an end that can be held back: all of it was read, and there is no receipt yet.
        if matches!(fault, LineFault::HoldsBack(_)) && method != Method::GET {
            continue;
        }
        fs::remove_file(&object).ok();
        fs::remove_file(receipt(&archive, HOURS[0])).ok();
        fs::remove_dir_all(archive.at(".gapless/bucket")).ok();
        store.requests();
        store.has_done(&Method::GET, "");
        store.has_done(method, within);
        store.fails(method.clone(), within, fault.clone(), 1);
        let said = fs::File::create(archive.outside().join("said")).unwrap();
        let mut run = gapless_begun(archive.path(), &["archive", "run"], said);
        eventually(PATIENCE, || match fault {
            LineFault::Waits(_) => store.seen().iter().any(|(sent, target)| sent == method && target.contains(within)),
            _ => store.has_done(method, within),
        });
        run.kill().unwrap();
        run.wait().unwrap();
        store.is_well();
        let at = format!("{method} {within} {fault:?}");
        assert!(!receipt(&archive, HOURS[0]).exists(), "{at}");
        let is_whole = fs::read(&object).is_ok_and(|bytes| bytes == right);
        assert!(is_whole || !object.exists(), "{at}");
        let again = ask(&archive, &["run"]).json(0);
        assert_eq!((&again["summary"]["done"], &again["summary"]["errors"]), (&1.into(), &0.into()), "{at}: {again}");
        assert!(fs::read(&object).unwrap() == right && receipt(&archive, HOURS[0]).exists(), "{at}");
        assert_eq!(store.open_uploads(), 0, "{at}");
    }
    assert_eq!(ask(&archive, &["ls"]).json(0)["objects"].as_array().map(Vec::len), Some(1));
}
