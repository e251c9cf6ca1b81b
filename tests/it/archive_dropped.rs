//! Hours that have left the disk, because the bucket has them: everything is answered as before.

use std::fs;
use std::time::Instant;

use hyper::Method;

use crate::archive_tier::{
    HOURS, PATIENCE, archive, archived, ask, files, name_bucket, node, object_of, objects, seal_all, with_bucket,
};
use crate::support::archive::hours_ago;
use crate::support::object_store::{BUCKET, KEY, LineFault, SECRET, TestStore};
use crate::support::{Kind, SOON, TestArchive, TestNode, TestResponse, eventually, gapless};

/// Asked of the sample archive.
const QUESTIONS: [&str; 13] = [
    "/files",
    "/files/desertbus",
    "/files/desertbus/480p",
    "/files/desertbus/480p/2019-11-13T02?tombstones=true",
    "/files/desertbus/source/2019-11-13T02",
    "/files/desertbus/chat/2019-11-13T02",
    "/playlist/desertbus/source.m3u8",
    "/playlist/desertbus/480p.m3u8?start=2019-11-13T02:50:00&end=2019-11-13T04:00:00",
    "/api/v1/coverage/desertbus/480p",
    "/api/v1/timespans/desertbus/480p",
    "/api/v1/digests/desertbus/480p",
    "/api/v1/segments/desertbus/source",
    "/api/v1/sequence/desertbus/source?start=2019-11-13T02:50:00&end=2019-11-13T03:00:00",
];
const CUT: &str =
    "/cut/desertbus/source.ts?start=2019-11-13T02:55:25&end=2019-11-13T02:55:41&type=rough&allow_holes=true";

/// By question.
type Answers = Vec<(&'static str, String)>;
/// By path.
type Contents = Vec<(String, Vec<u8>)>;

fn answers(node: &TestNode) -> Answers {
    node.wait_ready();
    // Not how often something has changed.
    let days = |answer: &TestResponse| answer.json()["days"].to_string();
    let of = |question: &str, answer: &TestResponse| {
        if question.contains("digests") { days(answer) } else { answer.text().to_owned() }
    };
    QUESTIONS.map(|question| (question, of(question, &node.get(question)))).into()
}

/// Where the answers are others than before.
fn differences(node: &TestNode, before: &[(&'static str, String)]) -> Vec<String> {
    let differing = answers(node).into_iter().zip(before).filter(|(now, before)| now != *before);
    let around = |text: &str, at: usize| text.chars().skip(at.saturating_sub(80)).take(200).collect::<String>();
    let told = differing.map(|((question, now), (_, before))| {
        let at = now.chars().zip(before.chars()).take_while(|(one, other)| one == other).count();
        format!("{question}: {} instead of {}", around(&now, at), around(before, at))
    });
    told.collect()
}

/// All segments and chat of all hours, as the node gives them.
fn contents(node: &TestNode) -> Contents {
    let mut found = Vec::new();
    for quality in ["480p", "source", "chat"] {
        for hour in node.files(&format!("desertbus/{quality}")) {
            for name in node.files(&format!("desertbus/{quality}/{hour}")) {
                let path = format!("desertbus/{quality}/{hour}/{name}");
                let answer = node.get(&format!("/segments/{path}"));
                assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
                found.push((path, answer.body));
            }
        }
    }
    found
}

/// The sample archive with all of it in the bucket, and what a node says of it.
fn sample(store: &TestStore) -> (TestArchive, Answers, Contents, Vec<u8>) {
    let archive = TestArchive::sample();
    with_bucket(&archive, store);
    seal_all(&archive);
    assert_eq!(ask(&archive, &["run"]).json(0)["summary"]["errors"], 0);
    let running = node(&archive).start();
    // Twice: what is in segments is read when it is first asked for.
    answers(&running);
    let before = (answers(&running), contents(&running), running.get(CUT).body);
    running.terminate();
    (archive, before.0, before.1, before.2)
}

fn asked_for_objects(store: &TestStore) -> usize {
    store.requests().iter().filter(|(_, target)| target.contains(".tar")).count()
}

fn hour_files(archive: &TestArchive) -> usize {
    archive.all_hours().iter().map(|hour| archive.listing(hour, false).len()).sum()
}

#[test]
fn hours_that_left_the_disk_are_listed_played_cut_and_given_as_before() {
    let store = TestStore::start();
    let (archive, before, segments, cut) = sample(&store);
    let running = node(&archive).start();
    running.wait_ready();
    let plan = running.run(&["archive", "drop", "desertbus", "--dry-run", "--json"]).json(0);
    assert!(plan["summary"]["done"].as_u64().unwrap() > 5 && hour_files(&archive) == segments.len(), "{plan}");
    let done = running.run(&["archive", "drop", "desertbus", "--json"]).json(0);
    assert_eq!((&done["summary"]["done"], &done["summary"]["errors"]), (&plan["summary"]["done"], &0.into()), "{done}");
    assert_eq!(hour_files(&archive), 0);
    let timeline = running.get("/api/v1/timeline/desertbus/source?pixels=10").json();
    assert_eq!(timeline["in_bucket"][0]["start"], "2019-11-13T02:00:00.000000Z", "{timeline}");
    // Where nothing but what was archived lay, nothing is left.
    assert!(!archive.at("desertbus/chat/2019-11-13T02").exists());
    let status = running.run(&["archive", "status", "--json"]).json(0);
    assert_eq!((&status["archived"]["hours"], &status["open"]["hours"]), (&12.into(), &0.into()), "{status}");
    store.requests();
    assert_eq!(differences(&running, &before), [""; 0]);
    assert_eq!(asked_for_objects(&store), 0, "nothing of it needs the store");
    assert!(contents(&running) == segments);
    assert!(running.get(CUT).body == cut);
    running.check();
    let (path, content) = &segments[3];
    let head = running.request("HEAD", &format!("/segments/{path}"), &[]);
    assert_eq!(head.header("content-length").unwrap(), content.len().to_string());
    let part = running.get_with(&format!("/segments/{path}"), &[("Range", "bytes=188-375")]);
    assert_eq!((part.status, &*part.body), (206, &content[188..376]));
    running.terminate();

    // An index that is made anew knows the same.
    assert_eq!(gapless(archive.path(), &["rebuild"]).code, 0);
    assert_eq!(gapless(archive.path(), &["rebuild", "--check"]).code, 0);
    let again = node(&archive).start();
    assert_eq!(differences(&again, &before), [""; 0]);

    // What comes back lies here again.
    let back = again.run(&["archive", "restore", "desertbus", "--json"]).json(0);
    assert_eq!(back["summary"]["errors"], 0, "{back}");
    assert_eq!(hour_files(&archive), segments.len());
    assert!(again.get("/api/v1/timeline/desertbus/source?pixels=10").json()["in_bucket"].is_null());
    again.terminate();
    let again = node(&archive).start();
    answers(&again);
    store.requests();
    assert_eq!(differences(&again, &before), [""; 0]);
    assert!(contents(&again) == segments && again.get(CUT).body == cut);
    assert_eq!(asked_for_objects(&store), 0);
    again.check();
}

#[test]
fn an_archive_of_which_only_our_notes_are_left_is_answered_as_before() {
    let store = TestStore::start();
    let (archive, before, segments, _) = sample(&store);
    let running = node(&archive).start();
    running.wait_ready();
    fs::remove_dir_all(archive.at("desertbus")).unwrap();
    let begun = Instant::now();
    while !differences(&running, &before).is_empty() {
        assert!(begun.elapsed() < SOON, "{:?}", differences(&running, &before));
    }
    assert!(contents(&running) == segments);
    // Hidden files that were deleted with the rest leave the index when somebody looks.
    eventually(PATIENCE, || running.run(&["rebuild", "--check"]).code == 0);
    // The store is away: what is known is known, and what is not here is an error that says why.
    store.fails(Method::GET, "", LineFault::Refuses(403, "AccessDenied"), 10_000);
    running.terminate();
    fs::remove_dir_all(archive.at(".gapless/bucket_cache")).ok();
    let away = node(&archive).start();
    assert_eq!(differences(&away, &before), [""; 0]);
    let (path, _) = segments.iter().find(|(path, _)| path.contains("480p")).unwrap();
    let refused = away.get(&format!("/segments/{path}"));
    assert_eq!(refused.status, 503, "{}", refused.text());
    let said = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(said.contains("lies in the bucket alone") && said.contains("AccessDenied"), "{said}");
    assert_eq!(away.get("/segments/desertbus/480p/2019-11-13T02/none.ts").status, 404);
    away.terminate();
    // The settings name no bucket any more.
    fs::write(archive.at(".gapless/config.toml"), "").unwrap();
    let without = node(&archive).start();
    let refused = without.get(&format!("/segments/{path}"));
    assert!(refused.status == 503 && refused.text().contains("the settings name none"), "{}", refused.text());
}

#[test]
fn nothing_leaves_the_disk_that_the_bucket_does_not_hold_to_the_byte() {
    let (store, one) = (TestStore::start(), archive());
    with_bucket(&one, &store);
    let before = files(&one);
    let drop_all = || ask(&one, &["drop", "c"]);
    let stays = |why: &str| assert!(files(&one) == before, "{why}");
    assert_eq!(drop_all().json(0)["summary"]["open"], 2);
    stays("it is not sealed");
    seal_all(&one);
    assert_eq!(drop_all().json(0)["summary"]["open"], 2);
    stays("it is not in the bucket");
    ask(&one, &["run"]).json(0);
    store.fails(Method::HEAD, "", LineFault::Refuses(503, "SlowDown"), 1_000);
    assert_eq!(drop_all().code, 3);
    stays("the store does not answer");
    store.is_well();
    let object = object_of(&one, &store, HOURS[0]);
    let held = fs::read(&object).unwrap();
    fs::write(&object, &held[..held.len() - 512]).unwrap();
    let shorter = drop_all();
    assert_eq!(shorter.code, 1, "{shorter:?}");
    assert_eq!(one.listing(HOURS[0], false).len(), 6, "its object is shorter");
    assert_eq!(one.listing(HOURS[1], false).len(), 0, "that says nothing of the other one");
    fs::write(&object, &held).unwrap();
    // Something came: it is another hour now.
    one.raw(&format!("{}/30:00-1.0-full-late.ts", HOURS[0]), b"late");
    let changed = drop_all().json(0);
    assert_eq!((&changed["summary"]["open"], one.listing(HOURS[0], false).len()), (&1.into(), 7), "{changed}");
    one.remove(&format!("{}/30:00-1.0-full-late.ts", HOURS[0]));
    // What is flipped here is no reason to delete what is right there, nor to serve it.
    let back = ask(&one, &["restore", "c"]).json(0);
    assert_eq!(back["summary"]["done"], 1, "{back}");
    assert!(files(&one) == before);
}

#[test]
fn a_node_frees_the_disk_by_itself_when_hours_are_old_enough_or_there_is_no_room() {
    let store = TestStore::start();
    for (setting, value) in [("KEEP_LOCAL", "1h"), ("MAKE_ROOM", "1000TiB")] {
        let archive = archive();
        with_bucket(&archive, &store);
        let before: Vec<Vec<String>> = HOURS.iter().map(|hour| archive.listing(hour, false)).collect();
        let idle = node(&archive).start();
        eventually(PATIENCE, || archived(&idle) == 2);
        assert_eq!(hour_files(&archive), 12, "nothing leaves unless somebody says so");
        idle.terminate();
        let running = node(&archive).env(&format!("GAPLESS_ARCHIVE_{setting}"), value).start();
        eventually(PATIENCE, || archive.all_hours().is_empty());
        for (hour, names) in HOURS.iter().zip(&before) {
            assert_eq!(running.files(hour), *names, "{setting}");
        }
        assert!(running.log().contains("hour_dropped"));
        running.check();
    }
}

#[test]
fn retention_deletes_here_what_the_bucket_holds_and_keeps_the_last_copies() {
    let (store, one) = (TestStore::start(), archive());
    // So that the clock is believed, and less than half goes.
    for ago in 3..8 {
        one.segment(&format!("c/source/{}", hours_ago(ago)), "10:00", 1.0, Kind::Full);
    }
    let limits = "[retention]\nmax_age = \"30days\"\nkeep_last_copy = true\n";
    name_bucket(&one, &store.url(), BUCKET, (KEY, SECRET), limits);
    seal_all(&one);
    let before: Vec<Vec<String>> = HOURS.iter().map(|hour| one.listing(hour, false)).collect();
    assert_eq!(ask(&one, &["run", HOURS[0]]).json(0)["summary"]["done"], 1);
    // A store that does not answer holds nothing.
    store.fails(Method::HEAD, "", LineFault::Refuses(503, "SlowDown"), 1_000);
    gapless(one.path(), &["retention", "run", "--yes"]);
    assert_eq!((one.listing(HOURS[0], false).len(), one.listing(HOURS[1], false).len()), (6, 6));
    store.is_well();
    let run = gapless(one.path(), &["retention", "run", "--yes"]);
    assert!(one.listing(HOURS[0], false).iter().all(|name| name == "odd name.ts" || name == "empty.json"), "{run:?}");
    assert_eq!(one.listing(HOURS[1], false), before[1], "the last copies: {run:?}");
    let node = node(&one).start();
    node.wait_ready();
    assert_eq!(node.files(HOURS[0]), before[0], "they are in the bucket");
    let path = format!("/segments/{}/{}", HOURS[0], before[0][0]);
    assert_eq!(node.get(&path).status, 200);
    // What lies in the bucket alone is not deleted again and again.
    // By now the other one may be in the bucket, too.
    eventually(PATIENCE, || node.run(&["retention", "run", "--yes"]).out.contains("retired 0 hours"));
    assert_eq!((node.files(HOURS[0]), node.files(HOURS[1])), (before[0].clone(), before[1].clone()));
}

#[test]
fn wherever_a_kill_falls_while_the_disk_is_freed_everything_is_listed() {
    let (store, one) = (TestStore::start(), archive());
    with_bucket(&one, &store);
    seal_all(&one);
    ask(&one, &["run"]).json(0);
    let before = gapless(one.path(), &["ls", HOURS[0]]).out;
    let running = node(&one).start();
    running.wait_ready();
    let listed = running.files(HOURS[0]);
    // One file after the other, as a drop deletes them.
    for name in one.listing(HOURS[0], false) {
        one.remove(&format!("{}/{name}", HOURS[0]));
        eventually(PATIENCE, || running.get("/readyz").status == 200);
        assert_eq!(running.files(HOURS[0]), listed, "without {name}");
    }
    running.kill();
    assert_eq!(gapless(one.path(), &["rebuild", "--check"]).code, 0);
    assert_eq!(gapless(one.path(), &["ls", HOURS[0]]).out, before);
    assert_eq!(gapless(one.path(), &["rebuild"]).code, 0);
    assert_eq!(gapless(one.path(), &["ls", HOURS[0]]).out, before);
}

#[test]
fn what_a_lost_object_hid_stays_hidden_and_a_foreign_one_hides_nothing_that_lies_here() {
    let (store, one) = (TestStore::start(), archive());
    with_bucket(&one, &store);
    seal_all(&one);
    ask(&one, &["run"]).json(0);
    let (first, second) = (one.listing(HOURS[0], false)[0].clone(), one.listing(HOURS[0], false)[1].clone());
    one.tombstone(&format!("{}/{first}", HOURS[0]));
    seal_all(&one);
    ask(&one, &["run"]).json(0);
    // A node that has nothing but what the bucket tells.
    let other = TestArchive::empty();
    with_bucket(&other, &store);
    let learning = node(&other).start();
    eventually(PATIENCE, || learning.files(HOURS[0]).len() == 5);
    let status = |node: &TestNode, name: &str| node.get(&format!("/segments/{}/{name}", HOURS[0])).status;
    assert_eq!((status(&learning, &first), status(&learning, &second)), (410, 200));
    let small = objects(&one, HOURS[0])
        .into_iter()
        .min_by_key(|name| fs::metadata(store.file(&format!("here/{name}"))).unwrap().len());
    fs::remove_file(store.file(&format!("here/{}", small.unwrap()))).unwrap();
    assert_eq!(learning.run(&["archive", "verify", HOURS[0]]).code, 1);
    assert_eq!((status(&learning, &first), learning.files(HOURS[0]).len()), (410, 5));
    learning.terminate();
    // Whoever writes tombstones into the bucket does not decide over a disk.
    let third = TestArchive::empty();
    for name in one.listing(HOURS[1], false) {
        third.raw(&format!("{}/{name}", HOURS[1]), &one.read(&format!("{}/{name}", HOURS[1])));
    }
    let here = third.listing(HOURS[1], false);
    one.tombstone(&format!("{}/{}", HOURS[1], here[0]));
    seal_all(&one);
    ask(&one, &["run"]).json(0);
    with_bucket(&third, &store);
    let trusting = node(&third).env("GAPLESS_ARCHIVE_SEAL", "false").start();
    eventually(PATIENCE, || third.at(&format!(".gapless/bucket/{}", HOURS[1])).exists());
    eventually(PATIENCE, || trusting.run(&["rebuild", "--check"]).code == 0);
    assert_eq!(trusting.files(HOURS[1]), here);
}

#[test]
fn a_peer_that_only_knows_what_the_bucket_has_is_no_other_copy() {
    let (store, one, other) = (TestStore::start(), archive(), TestArchive::empty());
    for ago in 3..8 {
        one.segment(&format!("c/source/{}", hours_ago(ago)), "10:00", 1.0, Kind::Full);
    }
    with_bucket(&one, &store);
    seal_all(&one);
    ask(&one, &["run"]).json(0);
    with_bucket(&other, &store);
    let peer = node(&other).start();
    eventually(PATIENCE, || peer.files(HOURS[0]).len() == 6 && peer.files(HOURS[1]).len() == 6);
    // The objects are lost, and this node knows it; the peer does not.
    for hour in HOURS {
        fs::remove_file(object_of(&one, &store, hour)).unwrap();
    }
    assert_eq!(ask(&one, &["verify"]).code, 1);
    store.fails(Method::PUT, "", LineFault::Refuses(403, "AccessDenied"), 1_000);
    let limits = "[retention]\nmax_age = \"30days\"\nkeep_last_copy = true\n";
    name_bucket(&one, &store.url(), BUCKET, (KEY, SECRET), limits);
    let peers = format!("other=http://{}", peer.address);
    let run = gapless(one.path(), &["retention", "run", "--yes", "--peer", &peers]);
    assert_eq!([one.listing(HOURS[0], false).len(), one.listing(HOURS[1], false).len()], [6, 6], "{run:?}");
    assert!(run.out.contains("last cop") || run.err.contains("last cop"), "{run:?}");
}
