//! What tombstones hide goes from the bucket as well, and nothing else does.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hyper::Method;
use serde_json::Value;

use crate::archive_tier::{HOURS, PATIENCE, archive, ask, name_bucket, node, objects, receipt, seal_all, with_bucket};
use crate::support::archive::packets;
use crate::support::object_store::{BUCKET, KEY, LineFault, SECRET, TestStore};
use crate::support::{Kind, Outcome, TestArchive, TestNode, eventually, gapless};

/// An archive whose first hour lies in the bucket alone, in three objects, with files that have been hidden since.
struct Story {
    store: TestStore,
    archive: TestArchive,
    /// By path.
    hidden: BTreeMap<String, Vec<u8>>,
    in_sight: BTreeMap<String, Vec<u8>>,
}

impl Story {
    fn begin() -> Self {
        let (store, archive) = (TestStore::start(), archive());
        with_bucket(&archive, &store);
        Self::over(store, archive)
    }

    fn over(store: TestStore, archive: TestArchive) -> Self {
        let upload = || {
            seal_all(&archive);
            ask(&archive, &["run"]).json(0);
        };
        upload();
        let first = format!("{}/{}", HOURS[0], archive.listing(HOURS[0], false)[0]);
        let late = archive.segment(HOURS[0], "40:00", 1.0, Kind::Full);
        archive.segment(HOURS[0], "41:00", 1.0, Kind::Full);
        upload();
        let later = archive.segment(HOURS[0], "50:00", 1.0, Kind::Partial);
        upload();
        let paths =
            HOURS.iter().flat_map(|hour| archive.listing(hour, false).into_iter().map(move |name| (hour, name)));
        let contents = paths.map(|(hour, name)| (format!("{hour}/{name}"), archive.read(&format!("{hour}/{name}"))));
        let (hidden, in_sight) = contents.partition(|(path, _)| [&first, &late, &later].contains(&path));
        let dropped = ask(&archive, &["drop", "c"]).json(0);
        assert_eq!((&dropped["summary"]["done"], archive.all_hours().len()), (&2.into(), 0), "{dropped}");
        let story = Self { store, archive, hidden, in_sight };
        assert_eq!((story.hidden.len(), story.in_sight.len()), (3, 12));
        for path in story.hidden.keys() {
            story.archive.tombstone(path);
        }
        story
    }

    fn purge(&self) -> Outcome {
        ask(&self.archive, &["purge", "c"])
    }

    /// Which of these contents lie in an object of the store.
    fn held(&self, files: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
        let objects = self.store.objects();
        let has = |content: &[u8]| objects.values().any(|object| contains(object, content));
        files.iter().filter(|(_, content)| has(content)).map(|(path, _)| path.clone()).collect()
    }

    /// Nothing that is in sight is lost.
    fn is_whole(&self, when: &str) {
        assert_eq!(self.held(&self.in_sight), self.in_sight.keys().cloned().collect::<Vec<_>>(), "{when}");
        assert_eq!(listed(&self.archive), self.in_sight.keys().cloned().collect::<Vec<_>>(), "{when}");
    }

    /// And nothing that is hidden is there any more.
    fn is_purged(&self, when: &str) {
        self.is_whole(when);
        assert_eq!(self.held(&self.hidden), [""; 0], "{when}");
        let there: Vec<PathBuf> = self.store.objects().into_keys().collect();
        assert_eq!(noted(&self.archive), names(&there), "what is there is known, and what is known is there: {when}");
        assert_eq!(self.store.open_uploads(), 0, "{when}");
    }
}

fn contains(object: &[u8], content: &[u8]) -> bool {
    content.is_empty() || object.windows(content.len()).any(|window| window == content)
}

/// What `gapless ls` lists of both hours.
fn listed(archive: &TestArchive) -> Vec<String> {
    let of = |hour: &&str| {
        let said = gapless(archive.path(), &["ls", hour]);
        assert_eq!(said.code, 0, "{said:?}");
        said.out.lines().map(|name| format!("{hour}/{name}")).collect::<Vec<_>>()
    };
    let mut listed: Vec<String> = HOURS.iter().flat_map(of).collect();
    listed.sort();
    listed
}

fn names(paths: &[PathBuf]) -> Vec<String> {
    let mut names: Vec<String> =
        paths.iter().map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// Objects that are noted here, by their digests.
fn noted(archive: &TestArchive) -> Vec<String> {
    let of = |hour: &&str| {
        let entries = fs::read_dir(archive.at(&format!(".gapless/bucket/{hour}"))).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|is| is == "sha256"))
    };
    names(&HOURS.iter().flat_map(of).collect::<Vec<_>>())
}

/// What `tar` makes of an object, which `sha256sum` finds right.
fn unpacked(object: &Path) -> Vec<String> {
    let into = TestArchive::empty();
    let told = |program: &str, args: &[&str]| {
        let done = Command::new(program).args(args).current_dir(into.path()).output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
    };
    assert_eq!(told("tar", &["xf", object.to_str().unwrap()]), "");
    let manifest = HOURS.map(|hour| format!(".gapless/sealed/{hour}.sha256"));
    let manifest = manifest.iter().find(|path| into.at(path).exists()).unwrap();
    let there = into.all_hours().iter().flat_map(|hour| into.listing(hour, true)).collect::<Vec<_>>();
    let wrong = told("sha256sum", &["--strict", "--quiet", "-c", manifest]);
    assert!(wrong.is_empty() || there.is_empty(), "{wrong}");
    there
}

fn get(node: &TestNode, path: &str) -> (u16, Vec<u8>) {
    let answer = node.get(&format!("/segments/{}", path.replace(' ', "%20")));
    (answer.status, answer.body)
}

#[test]
fn what_is_hidden_is_in_no_object_after_a_purge_and_all_the_rest_is() {
    let story = Story::begin();
    let Story { store, archive, hidden, in_sight } = &story;
    assert_eq!(story.held(hidden).len(), 3);
    let coverage = || gapless(archive.path(), &["coverage", "c/source", "--json"]).out;
    let covered = coverage();
    // Whoever purges this node is told what he has not purged.
    let local = gapless(archive.path(), &["tombstone", "purge", "--yes", "c"]);
    assert!(
        local.code == 0 && local.out.contains("3 files, ") && local.out.contains("`gapless archive purge c`"),
        "{local:?}"
    );
    store.requests();
    let plan = ask(archive, &["purge", "c", "--dry-run"]).json(0);
    assert_eq!((&plan["hours"][0]["state"], &plan["hours"][0]["files"]), (&"purgeable".into(), &3.into()), "{plan}");
    assert_eq!(plan["hours"][0]["bytes"], hidden.values().map(Vec::len).sum::<usize>(), "{plan}");
    assert_eq!(plan["summary"]["before"], 1, "nothing is hidden in the other hour: {plan}");
    assert_eq!((store.requests(), story.held(hidden).len()), (Vec::new(), 3), "a plan asks nobody");
    story.is_whole("nothing has gone yet");

    let done = story.purge().json(0);
    assert_eq!((&done["hours"][0]["state"], &done["summary"]["done"]), (&"purged".into(), &1.into()), "{done}");
    assert_eq!(done["hours"][0]["bytes"], plan["hours"][0]["bytes"], "{done}");
    let asked = store.requests().len() as u64;
    assert!(asked.abs_diff(plan["summary"]["requests"].as_u64().unwrap()) <= 3, "{asked} requests: {plan}");
    let (moved, planned) = (done["summary"]["bytes"].as_u64().unwrap(), plan["summary"]["bytes"].as_u64().unwrap());
    assert!((planned..planned * 6 / 5).contains(&moved), "{moved} bytes: {plan}");
    story.is_purged("after the purge");
    assert_eq!(coverage(), covered);
    let mut there: Vec<String> = store.objects().keys().flat_map(|object| unpacked(object)).collect();
    let mut expected: Vec<&str> = in_sight.keys().map(|path| path.rsplit('/').next().unwrap()).collect();
    there.sort();
    expected.sort_unstable();
    assert_eq!(there, expected, "each file is in one object");
    assert!(receipt(archive, HOURS[0]).exists());
    assert_eq!(gapless(archive.path(), &["rebuild", "--check"]).code, 0);
    let running = node(archive).start();
    running.wait_ready();
    for (path, content) in in_sight {
        assert!(get(&running, path) == (200, content.clone()), "{path}");
    }
    for path in hidden.keys() {
        assert_eq!(get(&running, path).0, 410, "{path}");
    }
    running.check();
    running.terminate();
    assert_eq!(ask(archive, &["verify"]).json(0)["summary"]["done"], 2);
    let again = story.purge().json(0);
    assert_eq!((&again["summary"]["done"], &again["summary"]["before"]), (&0.into(), &2.into()), "{again}");
    assert!(!gapless(archive.path(), &["tombstone", "purge", "--yes", "c"]).out.contains("lie in the bucket"));

    // Whoever has nothing but the bucket has all that is in sight, and knows what is hidden.
    let empty = TestArchive::empty();
    with_bucket(&empty, store);
    assert_eq!(gapless(empty.path(), &["rebuild", "--from-archive"]).code, 0);
    assert_eq!(listed(&empty), listed(archive));
    let of_hour = |archive: &TestArchive| gapless(archive.path(), &["tombstone", "list", "--json"]).out;
    assert_eq!(of_hour(&empty).matches(".tombstone").count(), 3, "{}", of_hour(&empty));
    assert_eq!(ask(&empty, &["restore", "c"]).json(0)["summary"]["done"], 2);
    for (path, content) in in_sight {
        assert!(empty.read(path) == *content, "{path}");
    }
    assert!(hidden.keys().all(|path| !empty.at(path).exists()));
}

#[test]
fn files_that_lie_here_are_not_read_from_the_bucket_unless_they_are_others() {
    let (store, archive) = (TestStore::start(), TestArchive::empty());
    name_bucket(&archive, &store.url(), BUCKET, (KEY, SECRET), "part_size = \"5MiB\"\n");
    let large = |name: &str| archive.named(HOURS[0], name, "ts", &packets(name, (4 << 20) / 188));
    let all = ["10:00-2.0-full", "20:00-2.0-full", "30:00-2.0-full", "40:00-2.0-full"].map(large);
    seal_all(&archive);
    ask(&archive, &["run"]).json(0);
    let contents = all.clone().map(|path| archive.read(&path));
    let held = |content: &[u8]| store.objects().values().filter(|object| contains(object, content)).count();
    let reads = |of: &str| {
        let asked = store.requests();
        asked.iter().filter(|(method, target)| *method == Method::GET && target.contains(of)).count()
    };
    let first = objects(&archive, HOURS[0])[0].clone();
    archive.tombstone(&all[1]);
    archive.remove(&all[1]);
    store.requests();
    assert_eq!(ask(&archive, &["purge", HOURS[0]]).json(0)["summary"]["done"], 1);
    assert_eq!((reads(&first), held(&contents[1]), held(&contents[0])), (0, 0, 1));
    // One that is another here now is copied from the bucket as it was, like one that is not here at all.
    let second = objects(&archive, HOURS[0])[0].clone();
    let mut other = contents[0].clone();
    other[2_000_000] ^= 1;
    fs::write(archive.at(&all[0]), &other).unwrap();
    archive.remove(&all[3]);
    archive.tombstone(&all[2]);
    store.requests();
    assert_eq!(ask(&archive, &["purge", HOURS[0]]).json(0)["summary"]["done"], 1);
    let of_second = reads(&second);
    assert!((1..=4).contains(&of_second), "a request for each part and run of files: {of_second}");
    assert_eq!(contents.each_ref().map(|content| held(content)), [1, 0, 0, 1]);
    assert_eq!((held(&other), store.open_uploads(), objects(&archive, HOURS[0]).len()), (0, 0, 1));
    archive.remove(&all[0]);
    assert_eq!(ask(&archive, &["restore", HOURS[0]]).json(0)["hours"][0]["files"], 2);
    assert!(archive.read(&all[0]) == contents[0] && archive.read(&all[3]) == contents[3]);
}

/// What a purge changes, as it was.
struct Before {
    dir: tempfile::TempDir,
}

const NOTES: [&str; 2] = [".gapless/bucket", ".gapless/archived"];

impl Before {
    fn keep(story: &Story) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for notes in NOTES {
            copy(&story.archive.at(notes), &dir.path().join(notes));
        }
        copy(&story.store.file("here"), &dir.path().join("store"));
        Self { dir }
    }

    fn put_back(&self, story: &Story) {
        for notes in NOTES {
            fs::remove_dir_all(story.archive.at(notes)).unwrap();
            copy(&self.dir.path().join(notes), &story.archive.at(notes));
        }
        fs::remove_dir_all(story.store.file("here")).unwrap();
        copy(&self.dir.path().join("store"), &story.store.file("here"));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[test]
fn wherever_a_purge_breaks_off_nothing_is_lost_and_the_next_one_ends_it() {
    let story = Story::begin();
    let before = Before::keep(&story);
    story.store.requests();
    assert_eq!(story.purge().json(0)["summary"]["done"], 1);
    let steps = story.store.requests();
    story.is_purged("undisturbed");
    let expected: Vec<PathBuf> = story.store.objects().into_keys().collect();
    assert!(steps.len() > 10, "{steps:?}");
    for (at, step) in steps.iter().enumerate() {
        for is_done in [false, true] {
            let when = format!("request {at}, {step:?}, done: {is_done}");
            before.put_back(&story);
            assert_eq!(listed(&story.archive).len(), story.in_sight.len(), "{when}");
            story.store.breaks_after(at, is_done);
            let broken = story.purge();
            assert!(broken.code == 3 && broken.err.contains("AccessDenied"), "{when}: {broken:?}");
            story.is_whole(&when);
            story.store.is_well();
            let done = story.purge();
            assert_eq!(done.code, 0, "{when}: {done:?}");
            story.is_purged(&when);
            assert_eq!(story.store.objects().into_keys().collect::<Vec<_>>(), expected, "{when}");
        }
    }
}

#[test]
fn a_bit_that_is_flipped_on_the_way_deletes_nothing() {
    let story = Story::begin();
    let largest = |story: &Story| {
        let objects = story.store.objects().into_iter().filter(|(path, _)| path.to_str().unwrap().contains(HOURS[0]));
        let (path, bytes) = objects.max_by_key(|(_, bytes)| bytes.len()).unwrap();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), path, bytes)
    };
    let (name, path, right) = largest(&story);
    let before = story.store.objects();
    // In what is copied, and what is read back, twice.
    story.store.fails(Method::GET, &name, LineFault::FlipsBit(100), 2);
    let copied = story.purge();
    assert!(copied.code == 1 && copied.out.contains("another one than its hash says"), "{copied:?}");
    assert_eq!(story.store.objects(), before, "nothing was sent");
    story.store.is_well();
    // In the object itself, in a file that is not hidden.
    let visible =
        story.in_sight.iter().find(|(path, content)| path.contains("11:00") && contains(&right, content)).unwrap();
    let at = right.windows(visible.1.len()).position(|window| window == *visible.1).unwrap();
    let mut wrong = right.clone();
    wrong[at + 50] ^= 1;
    fs::write(&path, &wrong).unwrap();
    assert_eq!(story.purge().code, 1);
    assert!(fs::read(&path).unwrap() == wrong, "it stays, as it may be all that there is");
    fs::write(&path, &right).unwrap();
    // In what is sent.
    let done = story.purge();
    assert_eq!(done.code, 0, "{done:?}");
    story.is_purged("after all");

    // What is read back of the new object is not what was sent: the old one stays.
    let story = Story::begin();
    let (name, path, _) = largest(&story);
    let old = story.store.objects();
    let all = |story: &Story| story.store.objects().into_keys().filter(|path| !old.contains_key(path)).count();
    story.store.fails(Method::GET, "/2020-01-01T00/", LineFault::Passes, 1);
    story.store.fails(Method::GET, "/2020-01-01T00/", LineFault::FlipsBit(700), 2);
    let damaged = story.purge();
    assert!(damaged.code == 1 && damaged.out.contains("damaged"), "{damaged:?}");
    assert!(path.exists() && all(&story) == 1, "{name} stays, and what was sent is there");
    story.is_whole("while the new one is not known to be right");
    story.store.is_well();
    story.purge().json(0);
    story.is_purged("after all");
}

#[test]
fn an_object_that_is_damaged_is_no_reason_to_say_that_all_is_purged() {
    let story = Story::begin();
    // Of the three of the hour, the one that holds nothing but what is hidden.
    let small = story.store.objects().into_iter().min_by_key(|(_, bytes)| bytes.len()).unwrap();
    assert!(story.held(&story.hidden).len() == 3 && small.0.to_str().unwrap().contains(HOURS[0]));
    let mut wrong = small.1.clone();
    wrong[300] ^= 1;
    fs::write(&small.0, &wrong).unwrap();
    assert_eq!(ask(&story.archive, &["verify"]).json(1)["summary"]["errors"], 1);
    let told = story.purge();
    let name = small.0.file_name().unwrap().to_str().unwrap();
    assert!(told.code == 1 && told.out.contains(name) && told.out.contains("delete it by hand"), "{told:?}");
    assert_eq!(story.held(&story.hidden).len(), 1, "the others went");
    fs::remove_file(&small.0).unwrap();
    assert_eq!(story.purge().json(0)["summary"]["errors"], 0);
    story.is_purged("by hand");
}

#[test]
fn who_may_not_delete_is_told_so_and_what_is_not_asked_for_stays() {
    let story = Story::begin();
    let objects_before = story.store.objects().len();
    story.store.fails(Method::DELETE, ".tar", LineFault::Refuses(403, "AccessDenied"), 1_000);
    let denied = story.purge();
    assert!(denied.code == 3 && denied.err.contains("s3:DeleteObject"), "{denied:?}");
    assert!(story.store.objects().len() > objects_before && story.held(&story.hidden).len() == 3);
    story.is_whole("as nothing was deleted");
    story.store.is_well();
    // Another hour, and no hour at all.
    let other = ask(&story.archive, &["purge", HOURS[1]]).json(0);
    assert_eq!((&other["summary"]["before"], story.held(&story.hidden).len()), (&1.into(), 3));
    let running = node(&story.archive).start();
    let token = running.own_token();
    let post = |json: Value| running.post("/api/v1/archive/purge", Some(&token), &json);
    for none in [serde_json::json!({}), serde_json::json!({ "places": [""] }), serde_json::json!({ "places": ["d"] })] {
        assert_eq!(post(none).status, 400);
    }
    assert_eq!(running.post("/api/v1/archive/purge", None, &serde_json::json!({ "places": ["c"] })).status, 401);
    assert_eq!(story.held(&story.hidden).len(), 3);
    let done = post(serde_json::json!({ "places": ["c"] }));
    assert!(done.text().lines().last().unwrap().contains("\"done\":1"), "{}", done.text());
    story.is_purged("by the node");
    assert!(running.get("/metrics").text().contains("gapless_bucket_deleted_objects_total 3"));
    assert!(running.log().contains("object_purged"));
    running.check();
}

#[test]
fn a_node_that_knows_an_object_which_another_one_has_purged_reads_on() {
    let story = Story::begin();
    // It learned of them, and read them back.
    let others = [TestArchive::empty(), TestArchive::empty()];
    for other in &others {
        with_bucket(other, &story.store);
        assert_eq!(gapless(other.path(), &["rebuild", "--from-archive"]).code, 0);
        ask(other, &["restore", "c"]).json(0);
        seal_all(other);
        ask(other, &["run"]).json(0);
        ask(other, &["drop", "c"]).json(0);
        assert_eq!(noted(other).len(), 4);
    }
    story.purge().json(0);
    let [reading, verifying] = &others;
    let running = node(reading).env("GAPLESS_ARCHIVE_LEARN", "false").start();
    running.wait_ready();
    story.store.requests();
    for (path, content) in &story.in_sight {
        assert!(get(&running, path) == (200, content.clone()), "{path}");
    }
    let lists = story.store.requests().iter().filter(|(_, target)| target.contains("list-type")).count();
    assert!((1..=4).contains(&lists), "an hour is looked up once for each object that is gone: {lists}");
    for path in story.hidden.keys() {
        assert_eq!(get(&running, path).0, 410, "{path}");
    }
    eventually(PATIENCE, || running.run(&["rebuild", "--check"]).code == 0);
    assert_eq!(listed(reading), listed(&story.archive));
    // The next purge of the hour comes right behind.
    let (next, _) = story.in_sight.iter().find(|(path, _)| path.starts_with(&format!("{}/11:00", HOURS[0]))).unwrap();
    story.archive.tombstone(next);
    story.purge().json(0);
    fs::remove_dir_all(reading.at(".gapless/bucket_cache")).ok();
    for (path, content) in story.in_sight.iter().filter(|(path, _)| *path != next) {
        assert!(get(&running, path) == (200, content.clone()), "{path}");
    }
    running.terminate();
    for other in [verifying, reading] {
        let verified = ask(other, &["verify"]).json(0);
        assert_eq!(
            (&verified["summary"]["errors"], &verified["summary"]["done"]),
            (&0.into(), &2.into()),
            "{verified}"
        );
        assert_eq!((noted(other), ask(other, &["status"]).json(0)["lost"].clone()), (noted(&story.archive), 0.into()));
        assert_eq!(listed(other), listed(&story.archive));
    }
    // One that is gone without another in its place is lost all the same.
    let object = story.store.objects().into_keys().find(|path| path.to_str().unwrap().contains(HOURS[1])).unwrap();
    fs::remove_file(object).unwrap();
    assert_eq!(ask(verifying, &["verify"]).json(1)["summary"]["errors"], 1);
    assert_eq!(ask(verifying, &["status"]).json(0)["lost"], 1);
}

#[test]
fn a_node_whose_objects_another_one_has_purged_frees_its_disk_and_sends_nothing_that_is_hidden() {
    let story = Story::begin();
    let other = TestArchive::empty();
    with_bucket(&other, &story.store);
    ask(&other, &["restore", "c"]).json(0);
    seal_all(&other);
    ask(&other, &["run"]).json(0);
    assert_eq!((other.listing(HOURS[0], false).len(), noted(&other).len()), (9, 4), "it knows no tombstone");
    story.purge().json(0);
    let running = node(&other).env("GAPLESS_ARCHIVE_KEEP_LOCAL", "1h").env("GAPLESS_ARCHIVE_LEARN", "false").start();
    // What is hidden elsewhere is in sight here, as no tombstone lies here, and no object has it any more.
    eventually(PATIENCE, || other.listing(HOURS[0], false).len() == story.hidden.len());
    assert!(story.hidden.keys().all(|path| other.at(path).exists()));
    eventually(PATIENCE, || running.get("/api/v1/archive").json()["archived"]["hours"] == 2);
    running.check();
    running.terminate();
    story.is_whole("after another node has freed its disk");
    assert_eq!(story.held(&story.hidden), [""; 0]);
}

#[test]
fn objects_of_other_nodes_are_purged_as_well_and_what_they_have_purged_is_no_fault() {
    let story = Story::begin();
    let other = TestArchive::empty();
    with_bucket(&other, &story.store);
    assert_eq!(gapless(other.path(), &["rebuild", "--from-archive"]).code, 0);
    // It uploads what this one does not know, with more of it hidden.
    let late = other.segment(HOURS[0], "55:00", 1.0, Kind::Full);
    let content = other.read(&late);
    seal_all(&other);
    ask(&other, &["run", HOURS[0]]).json(0);
    story.archive.tombstone(&late);
    assert!(story.held(&BTreeMap::from([(late.clone(), content.clone())])).len() == 1);
    story.purge().json(0);
    story.is_purged("with that of another node");
    assert_eq!(story.held(&BTreeMap::from([(late.clone(), content)])), [""; 0]);
    // The other one knows of three objects that are gone, and of none of the tombstones.
    for path in story.hidden.keys().chain([&late]) {
        other.tombstone(path);
    }
    let done = ask(&other, &["purge", "c"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(noted(&other), noted(&story.archive));
    story.is_purged("by both");
}

#[test]
fn what_is_here_in_sight_and_what_no_other_node_has_stays_in_the_bucket() {
    let (store, one) = (TestStore::start(), archive());
    with_bucket(&one, &store);
    seal_all(&one);
    ask(&one, &["run"]).json(0);
    let path = format!("{}/{}", HOURS[0], one.listing(HOURS[0], false)[0]);
    // Somebody who may write to the bucket hides it there.
    let other = TestArchive::empty();
    with_bucket(&other, &store);
    other.tombstone(&path);
    seal_all(&other);
    assert_eq!(ask(&other, &["run"]).json(0)["summary"]["done"], 1);
    let before = store.objects();
    assert_eq!(ask(&one, &["purge", "c"]).json(0)["summary"]["before"], 2);
    assert!(store.objects() == before && noted(&one).len() == 3, "what lies here in sight is not hidden");
    // Now it is hidden here, and nobody else has it.
    one.tombstone(&path);
    name_bucket(&one, &store.url(), BUCKET, (KEY, SECRET), "[retention]\nkeep_last_copy = true\n");
    let kept = ask(&one, &["purge", "c"]).json(0);
    assert_eq!((&kept["hours"][0]["state"], &kept["hours"][0]["files"]), (&"kept".into(), &1.into()), "{kept}");
    assert!(store.objects() == before && kept["summary"]["open"] == 1, "{kept}");
    with_bucket(&one, &store);
    assert_eq!(ask(&one, &["purge", "c"]).json(0)["summary"]["done"], 1);
    let content = one.read(&path);
    assert!(!store.objects().values().any(|object| contains(object, &content)));
}

#[test]
fn an_object_that_is_there_after_it_was_deleted_is_told_and_goes_the_next_time() {
    let story = Story::begin();
    for answer in [LineFault::Answers(200, "<html>welcome</html>".to_owned()), LineFault::Refuses(404, "NoSuchKey")] {
        let before = story.store.objects().len();
        story.store.fails(Method::DELETE, ".tar", answer, 1_000);
        let done = story.purge();
        assert!(done.code == 1 && done.out.contains("\"reason\":\"undeleted\""), "{done:?}");
        assert!(story.store.objects().len() >= before);
        story.store.is_well();
    }
    assert_eq!(story.purge().json(0)["summary"]["errors"], 0);
    let holds = |content: &Vec<u8>| story.store.objects().values().any(|object| contains(object, content));
    assert!(!story.hidden.values().any(holds) && story.in_sight.values().all(holds));
}

#[test]
fn what_is_in_sight_here_and_hidden_in_the_bucket_is_told_where_it_is_not_uploaded() {
    let store = TestStore::start();
    let (one, other) = (TestArchive::empty(), TestArchive::empty());
    for archive in [&one, &other] {
        with_bucket(archive, &store);
        for time in ["10:00", "10:02"] {
            archive.segment(HOURS[0], time, 2.0, Kind::Full);
        }
    }
    let path = format!("{}/{}", HOURS[0], one.listing(HOURS[0], false)[0]);
    one.tombstone(&path);
    seal_all(&one);
    ask(&one, &["run"]).json(0);
    seal_all(&other);
    gapless(other.path(), &["rebuild", "--from-archive"]);
    let run = ask(&other, &["run"]).json(0);
    let why = run["hours"][0]["why"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains("without 1 file in sight here that tombstones in the bucket hide"), "{run}");
    assert!(other.at(&path).exists(), "it stays");
}

#[test]
fn equal_content_nearby_that_lies_in_the_bucket_alone_is_hidden_and_purged_as_well() {
    let (store, archive) = (TestStore::start(), TestArchive::empty());
    with_bucket(&archive, &store);
    let content = packets("the same", 40);
    let other_quality = HOURS[0].replace("source", "480p");
    let first = archive.named(HOURS[0], "59:50-2.0-full", "ts", &content);
    let twins = [(&*other_quality, "59:52-2.0-full"), (HOURS[1], "00:05-2.0-full")];
    let twins = twins.map(|(hour, prefix)| archive.named(hour, prefix, "ts", &content));
    let away = archive.named(HOURS[1], "20:00-2.0-full", "ts", &content);
    seal_all(&archive);
    ask(&archive, &["run"]).json(0);
    ask(&archive, &["drop", &other_quality, HOURS[1]]).json(0);
    assert!(!archive.at(&other_quality).exists());
    let node = node(&archive).start();
    node.wait_ready();
    assert_eq!(get(&node, &twins[0]).0, 200);
    archive.tombstone(&first);
    for twin in &twins {
        eventually(PATIENCE, || get(&node, twin).0 == 410);
    }
    assert_eq!(get(&node, &away).0, 200, "twenty minutes are not nearby");
    node.run(&["archive", "purge", "c"]).lines(0);
    let holding = store.objects().into_iter().filter(|(_, bytes)| contains(bytes, &content));
    let holding: Vec<PathBuf> = holding.map(|(path, _)| path).collect();
    assert!(holding.len() == 1 && holding[0].to_str().unwrap().contains(HOURS[1]), "{holding:?}");
    assert_eq!(get(&node, &away).0, 200);
    node.check();
}
