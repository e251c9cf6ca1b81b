//! Sealed hours as one more copy in a bucket: the real program, against a store behind a line that fails.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Method;
use serde_json::Value;

use crate::support::archive::packets;
use crate::support::object_store::{BUCKET, KEY, LineFault, SECRET, TestStore};
use crate::support::{Kind, Outcome, Plan, SOON, TestArchive, TestNode, eventually, gapless};

pub const HOURS: [&str; 2] = ["c/source/2020-01-01T00", "c/source/2020-01-01T01"];
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Two hours with segments of all kinds, chat and an odd name.
pub fn archive() -> TestArchive {
    let archive = TestArchive::empty();
    for hour in HOURS {
        for minute in 10..13 {
            archive.segment(hour, &format!("{minute}:00"), 1.0, Kind::Full);
        }
        archive.segment(hour, "20:00", 1.0, Kind::Partial);
        archive.raw(&format!("{hour}/odd name.ts"), b"odd");
        archive.raw(&format!("{hour}/empty.json"), b"");
    }
    archive
}

/// The archive's settings name the bucket of a store, with other settings of `[archive]` behind.
pub fn name_bucket(archive: &TestArchive, url: &str, bucket: &str, (key, secret): (&str, &str), more: &str) {
    let credentials = archive.outside().join("credentials");
    let keys = format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n");
    fs::write(&credentials, keys).unwrap();
    fs::set_permissions(&credentials, fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir_all(archive.at(".gapless")).unwrap();
    let settings = format!(
        "[archive]\nbucket = \"{bucket}\"\nendpoint = \"{url}\"\nprefix = \"here\"\ncredentials = {credentials:?}\n{more}"
    );
    fs::write(archive.at(".gapless/config.toml"), settings).unwrap();
}

pub fn with_bucket(archive: &TestArchive, store: &TestStore) {
    name_bucket(archive, &store.url(), BUCKET, (KEY, SECRET), "");
}

pub fn seal_all(archive: &TestArchive) -> Value {
    let seal = |more: &[&str]| gapless(archive.path(), &[&["seal", "--after", "0s", "--json"], more].concat()).json(0);
    eventually(SOON, || !seal(&["--plan"])["hours"].to_string().contains("lately"));
    seal(&[])
}

pub fn ask(archive: &TestArchive, args: &[&str]) -> Outcome {
    let done = gapless(archive.path(), &[&["archive"], args, &["--json"]].concat());
    assert!(!format!("{}{}", done.out, done.err).contains(SECRET), "{done:?}");
    done
}

pub fn shares(archive: &TestArchive) -> [u64; 3] {
    let report = ask(archive, &["status"]).json(0);
    ["archived", "waiting", "open"].map(|share| report[share]["hours"].as_u64().unwrap())
}

pub fn sent(store: &TestStore, method: &Method) -> usize {
    store.requests().iter().filter(|(sent, _)| sent == method).count()
}

pub fn object_of(archive: &TestArchive, store: &TestStore, hour: &str) -> PathBuf {
    let listed = ask(archive, &["ls", hour]).json(0);
    let objects = listed["objects"].as_array().unwrap();
    store.file(&format!("here/{}", objects.last().unwrap()["name"].as_str().unwrap()))
}

pub fn receipt(archive: &TestArchive, hour: &str) -> PathBuf {
    archive.at(&format!(".gapless/archived/{hour}.json"))
}

/// All files of the hours, with their contents.
pub fn files(archive: &TestArchive) -> Vec<(String, Vec<u8>)> {
    let paths =
        HOURS.iter().flat_map(|hour| archive.listing(hour, true).into_iter().map(move |name| format!("{hour}/{name}")));
    paths.map(|path| (path.clone(), archive.read(&path))).collect()
}

#[test]
fn an_hour_goes_to_the_bucket_once_and_comes_back_to_the_byte() {
    let (store, one) = (TestStore::start(), archive());
    with_bucket(&one, &store);
    assert_eq!(seal_all(&one)["summary"]["sealed"], 2);
    let before = files(&one);
    let plan = ask(&one, &["plan"]).json(0);
    assert_eq!((&plan["summary"]["done"], &plan["summary"]["requests"]), (&2.into(), &7.into()), "{plan}");
    assert_eq!((store.requests().len(), shares(&one)), (0, [0, 2, 0]), "a plan asks nobody");
    let done = ask(&one, &["run"]).json(0);
    assert_eq!((&done["summary"]["done"], &done["hours"][0]["state"]), (&2.into(), &"archived".into()), "{done}");
    assert_eq!(store.requests().len(), 7, "as planned");
    assert_eq!(shares(&one), [2, 0, 0]);
    assert!(files(&one) == before, "nothing here has changed");
    assert_eq!(ask(&one, &["run"]).json(0)["summary"]["before"], 2);
    let note: Value = serde_json::from_slice(&fs::read(receipt(&one, HOURS[0])).unwrap()).unwrap();
    assert_eq!((&note["version"], &note["bucket"], &note["prefix"]), (&2.into(), &BUCKET.into(), &"here/".into()));

    // Another node with the same files sends nothing, and reads it back itself.
    let other = TestArchive::empty();
    for (path, content) in &before {
        other.raw(path, content);
    }
    with_bucket(&other, &store);
    seal_all(&other);
    store.requests();
    assert_eq!(ask(&other, &["run"]).json(0)["summary"]["done"], 2);
    assert_eq!(sent(&store, &Method::PUT), 0);
    assert_eq!((shares(&other), ask(&other, &["verify"]).json(0)["summary"]["done"].clone()), ([2, 0, 0], 2.into()));

    // What is gone comes back, in one request a run of files; what is here is not touched.
    let lost: Vec<&String> = before.iter().map(|(path, _)| path).filter(|path| path.starts_with(HOURS[0])).collect();
    let kept = fs::metadata(other.at(lost[0])).unwrap().modified().unwrap();
    for path in &lost[1..] {
        other.remove(path);
    }
    let back = ask(&other, &["restore", "c/source"]).json(0);
    assert_eq!((&back["summary"]["done"], &back["summary"]["before"]), (&1.into(), &1.into()), "{back}");
    assert_eq!(back["hours"][0]["files"], lost.len() - 1, "{back}");
    assert!(files(&other) == before && fs::metadata(other.at(lost[0])).unwrap().modified().unwrap() == kept);
    assert_eq!(gapless(other.path(), &["rebuild", "--check"]).code, 0);

    // An archive of nothing is made from the bucket alone.
    let empty = TestArchive::empty();
    with_bucket(&empty, &store);
    assert_eq!(ask(&empty, &["restore", "c"]).json(0)["summary"]["done"], 2);
    assert!(files(&empty) == before);
    // Sealed again, it is the same hour, which need not be sent.
    seal_all(&empty);
    store.requests();
    assert_eq!((ask(&empty, &["run"]).json(0)["summary"]["done"].clone(), sent(&store, &Method::PUT)), (2.into(), 0));
    seal_all(&other);
    assert_eq!(shares(&other), [2, 0, 0], "a receipt counts for the same hour in a directory that has changed");
}

#[test]
fn what_a_tombstone_hides_does_not_come_back_and_a_changed_hour_is_another_object() {
    let (store, archive) = (TestStore::start(), archive());
    with_bucket(&archive, &store);
    seal_all(&archive);
    ask(&archive, &["run"]).json(0);
    let hidden = format!("{}/{}", HOURS[0], archive.listing(HOURS[0], false)[0]);
    archive.tombstone(&hidden);
    archive.remove(&hidden);
    assert_eq!(shares(&archive), [1, 0, 1], "a receipt does not count for an hour that has changed");
    assert_eq!(ask(&archive, &["restore", HOURS[0]]).json(0)["summary"]["before"], 1, "nothing is missing");
    assert!(!archive.at(&hidden).exists());
    seal_all(&archive);
    assert_eq!(shares(&archive), [1, 1, 0]);
    assert_eq!(ask(&archive, &["run"]).json(0)["summary"]["done"], 1);
    assert_eq!(ask(&archive, &["ls", HOURS[0]]).json(0)["objects"].as_array().map(Vec::len), Some(2));
    // Whoever has neither file nor tombstone is told by the later object.
    let empty = TestArchive::empty();
    with_bucket(&empty, &store);
    ask(&empty, &["restore", HOURS[0]]).json(0);
    assert!(!empty.at(&hidden).exists());
    assert_eq!(empty.listing(HOURS[0], false).len(), 5);
}

#[test]
fn a_restore_that_is_interrupted_keeps_what_it_has_and_goes_on() {
    let (store, archive) = (TestStore::start(), archive());
    with_bucket(&archive, &store);
    seal_all(&archive);
    ask(&archive, &["run", HOURS[0]]).json(0);
    let before = files(&archive);
    let empty = TestArchive::empty();
    with_bucket(&empty, &store);
    // Its manifest comes, then half of its files, and then nobody may have the rest.
    store.fails(Method::GET, ".tar", LineFault::Passes, 1);
    store.fails(Method::GET, ".tar", LineFault::HalfBody, 1);
    store.fails(Method::GET, ".tar", LineFault::Refuses(403, "AccessDenied"), 9);
    let broken = ask(&empty, &["restore", "c"]);
    assert!(broken.code == 3 && broken.err.contains("AccessDenied"), "{broken:?}");
    let came = empty.listing(HOURS[0], false).len();
    assert!((1..6).contains(&came), "{came} of 6 files came");
    store.is_well();
    let done = ask(&empty, &["restore", "c"]).json(0);
    assert_eq!(done["hours"][0]["files"], 6 - came, "{done}");
    let is_of_it = |(path, _): &&(String, Vec<u8>)| path.starts_with(HOURS[0]);
    assert!(files(&empty).iter().eq(before.iter().filter(is_of_it)));
}

#[test]
fn one_damaged_file_keeps_no_other_from_coming_back_and_an_unread_object_hides_all_of_its_hour() {
    let (store, one) = (TestStore::start(), archive());
    with_bucket(&one, &store);
    seal_all(&one);
    assert_eq!(ask(&one, &["run", HOURS[0]]).json(0)["summary"]["done"], 1);
    let first = object_of(&one, &store, HOURS[0]);
    let whole = fs::read(&first).unwrap();
    let mut damaged = whole.clone();
    damaged[600] ^= 1;
    fs::write(&first, &damaged).unwrap();
    let empty = TestArchive::empty();
    with_bucket(&empty, &store);
    let there = || empty.listing(HOURS[0], true).len();
    let all = one.listing(HOURS[0], true).len();
    let said = ask(&empty, &["restore", HOURS[0]]);
    assert!(said.code == 1 && said.out.contains("than its hash says"), "{said:?}");
    assert_eq!(there(), all - 1);

    // Another object of the hour has it, as the first one does not count any more.
    assert_eq!(ask(&one, &["verify"]).json(1)["summary"]["errors"], 1);
    one.segment(HOURS[0], "30:00", 1.0, Kind::Full);
    seal_all(&one);
    assert_eq!(ask(&one, &["run", HOURS[0]]).json(0)["summary"]["done"], 1);
    assert_eq!(ask(&empty, &["restore", HOURS[0]]).json(0)["summary"]["done"], 1);
    assert_eq!(there(), all + 1);

    // A third one knows of a tombstone, and cannot be read: nothing of the hour comes back, as what it hides is not known.
    let hidden = one.listing(HOURS[0], false)[0].clone();
    one.tombstone(&format!("{}/{hidden}", HOURS[0]));
    seal_all(&one);
    let before: Vec<String> = objects(&one, HOURS[0]);
    assert_eq!(before.len(), 2);
    assert_eq!(ask(&one, &["run", HOURS[0]]).json(0)["summary"]["done"], 1);
    let third = objects(&one, HOURS[0]).into_iter().find(|name| !before.contains(name)).unwrap();
    let other = TestArchive::empty();
    with_bucket(&other, &store);
    store.fails(Method::GET, &third[third.len() - 20..], LineFault::Refuses(403, "InvalidObjectState"), 9);
    let said = ask(&other, &["restore", HOURS[0]]);
    assert!(said.code == 1 && !other.at(HOURS[0]).exists(), "{said:?}");
    store.is_well();
    let said = ask(&other, &["restore", HOURS[0]]);
    assert!(!other.listing(HOURS[0], true).contains(&hidden), "{said:?}");
    let nowhere = ask(&other, &["restore", "nobody/source"]);
    assert!(
        nowhere.code != 0 && format!("{}{}", nowhere.out, nowhere.err).contains("no hour of nobody/source"),
        "{nowhere:?}"
    );
}

pub fn objects(archive: &TestArchive, hour: &str) -> Vec<String> {
    let listed = ask(archive, &["ls", hour]).json(0);
    let names = listed["objects"].as_array().unwrap().iter().map(|object| object["name"].as_str().unwrap().to_owned());
    names.collect()
}

#[test]
fn an_object_that_is_damaged_or_gone_is_found_and_uploaded_again() {
    let (store, archive) = (TestStore::start(), archive());
    with_bucket(&archive, &store);
    seal_all(&archive);
    ask(&archive, &["run"]).json(0);
    let object = object_of(&archive, &store, HOURS[0]);
    let right = fs::read(&object).unwrap();
    let damage = || {
        let mut bytes = right.clone();
        bytes[700] ^= 1;
        fs::write(&object, bytes).unwrap();
    };
    let spoil: [(&dyn Fn(), &str); 2] = [(&damage, "damaged"), (&|| fs::remove_file(&object).unwrap(), "gone")];
    for (spoil, state) in spoil {
        spoil();
        let found = ask(&archive, &["verify"]).json(1);
        assert_eq!((&found["summary"]["errors"], &found["summary"]["done"]), (&1.into(), &1.into()), "{found}");
        let bad = found["hours"].as_array().unwrap().iter().find(|hour| hour["hour"] == HOURS[0]).unwrap();
        assert_eq!(bad["state"], state, "{found}");
        assert!(!receipt(&archive, HOURS[0]).exists() && shares(&archive) == [1, 1, 0]);
        assert_eq!(ask(&archive, &["run"]).json(0)["summary"]["done"], 1);
        assert!(fs::read(&object).unwrap() == right && shares(&archive) == [2, 0, 0]);
    }
    // What comes back is hashed before it has a name.
    damage();
    let first = format!("{}/{}", HOURS[0], archive.listing(HOURS[0], false)[0]);
    archive.remove(&first);
    let refused = ask(&archive, &["restore", HOURS[0]]).json(1);
    assert!(refused["hours"][0]["state"] == "damaged" && !archive.at(&first).exists(), "{refused}");
    // That the store is away says nothing of what is in it.
    drop(store);
    let away = ask(&archive, &["verify"]);
    assert!(away.code == 3 && away.err.contains("cannot reach"), "{away:?}");
    assert!(receipt(&archive, HOURS[1]).exists());
}

pub fn node(archive: &TestArchive) -> Plan {
    let settings = [
        ("ARCHIVE_SEAL", "true"),
        ("ARCHIVE_SEAL_AFTER", "0s"),
        ("ARCHIVE_PART_SIZE", "5MiB"),
        ("ARCHIVE_MINIMUM_CYCLE", "1s"),
        ("CRAWL_CPU_SHARE", "1"),
        ("SCRUB_BYTES_PER_SECOND", "0B"),
        ("SCRUB_FILES_PER_SECOND", "0"),
    ];
    let plan = TestNode::plan(archive);
    settings.iter().fold(plan, |plan, (key, value)| plan.env(&format!("GAPLESS_{key}"), value))
}

pub fn archived(node: &TestNode) -> u64 {
    node.get("/api/v1/archive").json()["archived"]["hours"].as_u64().unwrap()
}

#[test]
fn a_node_uploads_by_itself_and_says_why_it_cannot() {
    let (store, archive) = (TestStore::start(), archive());
    with_bucket(&archive, &store);
    store.fails(Method::HEAD, "", LineFault::Refuses(403, ""), 1_000);
    store.fails(Method::GET, "list-type", LineFault::Refuses(403, "AccessDenied"), 1_000);
    // That it may not look for uploads that were left behind holds nothing up.
    store.fails(Method::GET, "uploads=", LineFault::Refuses(403, "AccessDenied"), 1);
    let running = node(&archive).start();
    let before = files(&archive);
    let problems = || running.get("/api/v1/status").json()["problems"].to_string();
    eventually(PATIENCE, || problems().contains(&format!("refuses the access key {KEY} (AccessDenied: as told)")));
    assert!(archived(&running) == 0 && !problems().contains(SECRET));
    store.is_well();
    eventually(PATIENCE, || archived(&running) == 2);
    eventually(PATIENCE, || !problems().contains("refuses"));
    // The verbs ask the node.
    assert_eq!(running.run(&["archive", "run", "--json"]).json(0)["summary"]["before"], 2);
    assert_eq!(running.run(&["archive", "verify", "c/source", "--json"]).json(0)["summary"]["done"], 2);
    let unknown = running.post("/api/v1/archive/verify", None, &serde_json::json!({}));
    assert_eq!(unknown.status, 401, "{}", unknown.text());
    assert!(files(&archive) == before && running.log().contains("hour_archived") && !running.log().contains(SECRET));
    running.check();
    running.terminate();
    let none = TestArchive::empty();
    let plain = TestNode::start(&none);
    let token = format!("Bearer {}", plain.own_token());
    assert_eq!(plain.get("/api/v1/archive/objects").status, 401);
    assert_eq!(plain.get_with("/api/v1/archive/objects", &[("Authorization", &token)]).status, 409);
    assert_eq!(plain.get("/api/v1/archive").json()["bucket"], Value::Null);
}

#[test]
fn a_node_that_is_killed_while_it_uploads_leaves_no_receipt_and_its_successor_ends_the_work() {
    let (store, archive) = (TestStore::start(), TestArchive::empty());
    with_bucket(&archive, &store);
    archive.named(HOURS[0], "20:00-2.0-full", "ts", &packets("much", (12 << 20) / 188));
    seal_all(&archive);
    for (method, within) in
        [(Method::POST, "uploads"), (Method::PUT, "partNumber=2"), (Method::POST, "uploadId"), (Method::GET, ".tar")]
    {
        store.requests();
        store.fails(method.clone(), within, LineFault::Waits(PATIENCE * 10), 1);
        let killed = node(&archive).start();
        let has_come = || store.seen().iter().any(|(sent, target)| *sent == method && target.contains(within));
        eventually(PATIENCE, has_come);
        killed.kill();
        store.is_well();
        assert!(!receipt(&archive, HOURS[0]).exists(), "{within}");
    }
    let successor = node(&archive).start();
    eventually(PATIENCE, || archived(&successor) == 1);
    successor.terminate();
    assert_eq!(ask(&archive, &["verify"]).json(0)["summary"]["done"], 1);
    assert_eq!(ask(&archive, &["ls"]).json(0)["objects"].as_array().map(Vec::len), Some(1), "nothing is kept twice");
}

#[test]
fn settings_that_do_not_do_are_refused_at_the_start_without_a_secret() {
    let (store, archive) = (TestStore::start(), TestArchive::empty());
    with_bucket(&archive, &store);
    let with = |key: &str, value: &str| TestNode::plan(&archive).env(key, value).refused();
    for (key, value, told) in [
        ("GAPLESS_ARCHIVE_ENDPOINT", "http://user:hush@10.0.0.1/x", "more than scheme, host and port"),
        ("GAPLESS_ARCHIVE_ENDPOINT", "http://10.0.0.1", "is not encrypted"),
        ("GAPLESS_ARCHIVE_BUCKET", "NO", "no name of a bucket"),
        ("GAPLESS_ARCHIVE_BUCKET", "hush/hush+hush", "no name of a bucket"),
        ("GAPLESS_ARCHIVE_CREDENTIALS", "hush/hush+hush", "not repeated here"),
        ("GAPLESS_ARCHIVE_PREFIX", "a//b", "cannot stand before"),
        ("GAPLESS_ARCHIVE_CREDENTIALS", "/nowhere", "cannot be read"),
    ] {
        let refused = with(key, value);
        assert!(refused.code == 2 && refused.err.contains(told) && !refused.err.contains("hush"), "{refused:?}");
    }
    fs::set_permissions(archive.outside().join("credentials"), fs::Permissions::from_mode(0o644)).unwrap();
    let open = TestNode::plan(&archive).refused();
    assert!(open.code == 2 && open.err.contains("chmod 600"), "{open:?}");
}
