//! What is read back from a bucket: damage there is told from damage on the way, and what is gone here from what is gone there.

use std::fs;
use std::process::Command;

use hyper::Method;

use crate::archive_tier::{
    HOURS, PATIENCE, archive, ask, node, object_of, objects, receipt, seal_all, shares, with_bucket,
};
use crate::support::object_store::{LineFault, TestStore};
use crate::support::{Kind, TestArchive, eventually, gapless};

fn archived(store: &TestStore) -> TestArchive {
    let archive = archive();
    with_bucket(&archive, store);
    seal_all(&archive);
    assert_eq!(ask(&archive, &["run"]).json(0)["summary"]["done"], 2);
    archive
}

#[test]
fn an_object_with_a_receipt_is_read_back_whatever_has_become_of_the_hour() {
    let store = TestStore::start();
    let archive = archived(&store);
    let object = object_of(&archive, &store, HOURS[0]);
    let lost = archive.listing(HOURS[0], false)[0].clone();
    archive.remove(&format!("{}/{lost}", HOURS[0]));
    let both = ask(&archive, &["verify"]).json(0);
    assert_eq!((&both["summary"]["done"], &both["summary"]["open"]), (&2.into(), &0.into()), "{both}");
    assert_eq!(shares(&archive), [1, 0, 1], "it was read back, and is not the hour that is here");
    // Nothing of the hour is left, and no manifest.
    archive.remove(HOURS[0]);
    fs::remove_file(archive.at(&format!(".gapless/sealed/{}.sha256", HOURS[0]))).unwrap();
    let one = ask(&archive, &["verify", HOURS[0]]).json(0);
    assert_eq!(one["hours"][0]["state"], "right", "{one}");
    assert!(ask(&archive, &["verify", "c/nothing"]).err.contains("c/nothing"));

    let mut bytes = fs::read(&object).unwrap();
    bytes[700] ^= 1;
    fs::write(&object, bytes).unwrap();
    let damaged = ask(&archive, &["verify"]).json(1);
    assert_eq!((&damaged["summary"]["errors"], &damaged["summary"]["done"]), (&1.into(), &1.into()), "{damaged}");
    assert!(!receipt(&archive, HOURS[0]).exists() && receipt(&archive, HOURS[1]).exists());
}

#[test]
fn one_bad_read_loses_no_receipt() {
    let store = TestStore::start();
    let archive = archived(&store);
    let object = objects(&archive, HOURS[0])[0].clone();
    let digest = &object[object.len() - 20..];
    for fault in [LineFault::FlipsBit(700), LineFault::Refuses(404, "NoSuchKey")] {
        store.fails(Method::GET, digest, fault, 1);
        let found = ask(&archive, &["verify"]).json(0);
        assert_eq!((&found["summary"]["done"], &found["summary"]["errors"]), (&2.into(), &0.into()), "{found}");
        assert!(receipt(&archive, HOURS[0]).exists());
    }
    // The manifest of an hour that is gone here is read once more as well, at the end of its object.
    let bytes = fs::read(object_of(&archive, &store, HOURS[0])).unwrap();
    let in_the_manifest = bytes.windows(9).rposition(|text| text == b"c/source/").unwrap();
    archive.remove(HOURS[0]);
    fs::remove_file(archive.at(&format!(".gapless/sealed/{}.sha256", HOURS[0]))).unwrap();
    for (times, code) in [(1, 0), (2, 1)] {
        store.fails(Method::GET, digest, LineFault::FlipsBit(in_the_manifest), times);
        assert_eq!(ask(&archive, &["verify", HOURS[0]]).code, code);
        assert_eq!(receipt(&archive, HOURS[0]).exists(), code == 0);
    }
}

#[test]
fn one_bad_read_keeps_nothing_from_coming_back() {
    let store = TestStore::start();
    let archive = archived(&store);
    let object = fs::read(object_of(&archive, &store, HOURS[0])).unwrap();
    let in_the_manifest = object.windows(9).rposition(|text| text == b"c/source/").unwrap();
    let empty = TestArchive::empty();
    with_bucket(&empty, &store);
    // First the manifest, and then the files.
    for at in [in_the_manifest, 100] {
        let within = format!("v1/{}/", HOURS[0]);
        if at == 100 {
            store.fails(Method::GET, &within, LineFault::Passes, 1);
        }
        store.fails(Method::GET, &within, LineFault::FlipsBit(at), 1);
        let back = ask(&empty, &["restore", HOURS[0]]).json(0);
        assert_eq!((&back["summary"]["done"], &back["summary"]["errors"]), (&1.into(), &0.into()), "{back}");
        assert_eq!(empty.listing(HOURS[0], true), archive.listing(HOURS[0], true));
        empty.remove(HOURS[0]);
    }
}

#[test]
fn a_copied_archive_says_that_seal_has_to_look_at_it() {
    let store = TestStore::start();
    let (archive, copy) = (archived(&store), TestArchive::empty());
    let done = Command::new("cp").arg("-a").arg(archive.at(".")).arg(copy.path()).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let asked = |verb: &str| gapless(copy.path(), &["archive", verb]);
    for verb in ["status", "plan", "run"] {
        let said = asked(verb);
        assert!(said.code == 0 && said.out.contains("2 of those not sealed have a manifest of another"), "{said:?}");
        assert!(said.out.contains("`gapless seal` looks at them"), "{said:?}");
    }
    assert_eq!(ask(&copy, &["plan"]).json(0)["summary"]["unsealed"], 2);
    assert_eq!(seal_all(&copy)["summary"]["sealed"], 0, "nothing is read");
    assert_eq!((shares(&copy), asked("status").out.contains("gapless seal")), ([2, 0, 0], false));
}

#[test]
fn an_object_that_breaks_off_each_time_holds_up_no_other_one_and_counts_as_there() {
    let store = TestStore::start();
    let archive = archived(&store);
    let broken = format!("/v1/{}/", HOURS[1]);
    for fault in [LineFault::HalfBody, LineFault::Refuses(500, "InternalError")] {
        store.fails(Method::GET, &broken, fault, 10_000);
        let read = ask(&archive, &["verify"]);
        let (summary, hours) = (read.json(1)["summary"].clone(), read.json(1)["hours"].clone());
        assert_eq!((&summary["done"], &summary["errors"]), (&1.into(), &1.into()), "{read:?}");
        assert!(hours.to_string().contains("\"reason\":\"unreadable\""), "{hours}");
        assert_eq!(ask(&archive, &["status"]).json(0)["lost"], 0, "it is there");
        store.is_well();
    }
    assert_eq!(ask(&archive, &["verify"]).json(0)["summary"]["done"], 2);
    // A segment of it cannot be had, and others can at once.
    let segments = HOURS.map(|hour| format!("/segments/{hour}/{}", archive.listing(hour, false)[0]));
    ask(&archive, &["drop", "c"]).json(0);
    let node = node(&archive).start();
    node.wait_ready();
    store.fails(Method::GET, &broken, LineFault::HalfBody, 10_000);
    let refused = node.get(&segments[1]);
    assert!(refused.status == 503 && refused.text().contains("unreadable"), "{}", refused.text());
    assert_eq!(node.get(&segments[0]).status, 200);
    store.is_well();
    eventually(PATIENCE, || node.get(&segments[1]).status == 200);
}

#[test]
fn what_lies_in_cold_storage_is_asked_for_and_comes_back_when_the_store_has_it() {
    let store = TestStore::start();
    let archive = archived(&store);
    let before = archive.listing(HOURS[1], false);
    let late = archive.segment(HOURS[1], "40:00", 1.0, Kind::Full);
    seal_all(&archive);
    ask(&archive, &["run"]).json(0);
    archive.remove(HOURS[1]);
    let cold = |status: u16, code: &'static str| {
        store.is_well();
        store.fails(Method::GET, &format!("/v1/{}/", HOURS[1]), LineFault::Refuses(403, "InvalidObjectState"), 1_000);
        let answer =
            if status == 202 { LineFault::Answers(202, String::new()) } else { LineFault::Refuses(status, code) };
        store.fails(Method::POST, "restore", answer, if status == 400 { 1 } else { 1_000 });
    };
    let asked = |archive: &TestArchive| {
        store.requests();
        let done = ask(archive, &["restore", "c"]).json(1);
        let hour = done["hours"].as_array().unwrap().iter().find(|hour| hour["hour"] == HOURS[1]).unwrap().clone();
        let requests = store
            .requests()
            .into_iter()
            .filter(|(sent, target)| *sent == Method::POST && target.ends_with(".tar?restore="));
        (hour["state"].as_str().unwrap().to_owned(), hour["why"].as_str().unwrap().to_owned(), requests.count())
    };
    cold(202, "");
    let (state, why, requests) = asked(&archive);
    assert!(state == "asked_for" && why.contains("which it was now") && requests == 2, "{state}: {why}");
    cold(409, "RestoreAlreadyInProgress");
    assert!(asked(&archive).1.contains("which it was before"));
    // Some classes take no days.
    cold(400, "MalformedXML");
    store.fails(Method::POST, "restore", LineFault::Answers(202, String::new()), 1_000);
    assert_eq!(asked(&archive).0, "asked_for");
    // It is no hole and no loss meanwhile; one that knows nothing of it asks as well.
    assert_eq!(ask(&archive, &["status"]).json(0)["lost"], 0);
    assert!(gapless(archive.path(), &["ls", HOURS[1]]).out.contains(late.rsplit('/').next().unwrap()));
    let empty = TestArchive::empty();
    with_bucket(&empty, &store);
    cold(202, "");
    assert_eq!(asked(&empty).0, "asked_for");
    cold(403, "AccessDenied");
    let denied = ask(&archive, &["restore", "c"]);
    assert!(denied.code == 1 && denied.out.contains("(s3:RestoreObject)"), "{denied:?}");
    // It has come.
    store.is_well();
    ask(&archive, &["restore", "c"]).json(0);
    assert_eq!(archive.listing(HOURS[1], false).len(), before.len() + 1);
}
