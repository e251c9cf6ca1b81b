//! Hours leave the bucket when they are too old for it, stay gone, and nothing else goes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hyper::Method;
use serde_json::Value;

use crate::archive_tier::{HOURS, ask, name_bucket, node, receipt, seal_all, sent};
use crate::support::archive::hours_ago;
use crate::support::object_store::{BUCKET, KEY, LineFault, SECRET, TestStore};
use crate::support::{Kind, Outcome, SOON, TestArchive, TestNode, eventually, gapless, gapless_through};

/// An hour of the test; half a day lies between those that are too old and those that are not, so that no full hour changes which these are.
fn place(ago: u64) -> String {
    format!("chan/source/{}", hours_ago(ago))
}

const YOUNG: [u64; 4] = [3, 4, 5, 6];
const OLD: [u64; 3] = [20, 21, 22];
const MAX_AGE: &str = "max_age = \"12h\"\n";

fn bucket_settings(archive: &TestArchive, store: &TestStore, more: &str) {
    name_bucket(archive, &store.url(), BUCKET, (KEY, SECRET), more);
}

fn retention(archive: &TestArchive, args: &[&str]) -> Outcome {
    let done = gapless(archive.path(), &[&["retention"], args].concat());
    assert!(!done.err.contains("panicked"), "{done:?}");
    done
}

fn run(archive: &TestArchive) -> Outcome {
    retention(archive, &["run"])
}

/// The hours of which the store has objects.
fn stored(store: &TestStore) -> BTreeSet<String> {
    let hour = |path: PathBuf| {
        let parts: Vec<String> =
            path.iter().rev().skip(1).take(3).map(|part| part.to_str().unwrap().to_owned()).collect();
        format!("{}/{}/{}", parts[2], parts[1], parts[0])
    };
    store.objects().into_keys().map(hour).collect()
}

fn places(agos: &[u64]) -> BTreeSet<String> {
    agos.iter().map(|ago| place(*ago)).collect()
}

fn fill(archive: &TestArchive, hour: &str) {
    for minute in 10..13 {
        archive.segment(hour, &format!("{minute}:00"), 2.0, Kind::Full);
    }
    archive.chat(hour, "20:00");
}

fn upload(archive: &TestArchive) -> Value {
    seal_all(archive);
    ask(archive, &["run"]).json(0)
}

/// Seven hours in a bucket, of which the oldest three lie there alone; the last one of these in two objects, the second of which hides a segment of
/// the first, which nothing else does.
struct Story {
    store: TestStore,
    archive: TestArchive,
    hidden: String,
}

impl Story {
    fn begin() -> Self {
        let (store, archive) = (TestStore::start(), TestArchive::empty());
        for ago in YOUNG.into_iter().chain(OLD) {
            fill(&archive, &place(ago));
        }
        bucket_settings(&archive, &store, "");
        assert_eq!(upload(&archive)["summary"]["done"], 7);
        let hidden = format!("{}/{}", place(22), archive.listing(&place(22), false)[0]);
        archive.tombstone(&hidden);
        assert_eq!(upload(&archive)["summary"]["done"], 1);
        for hour in OLD.map(place) {
            ask(&archive, &["drop", &hour]).json(0);
            fs::remove_dir_all(archive.at(&hour)).ok();
        }
        let story = Self { store, archive, hidden };
        assert_eq!((stored(&story.store).len(), story.listed(22).len(), story.listed(21).len()), (7, 3, 4));
        bucket_settings(&story.archive, &story.store, MAX_AGE);
        story.store.requests();
        story
    }

    fn listed(&self, ago: u64) -> Vec<String> {
        let said = gapless(self.archive.path(), &["ls", &place(ago)]);
        if said.code == 0 { said.out.lines().map(str::to_owned).collect() } else { Vec::new() }
    }

    /// Of those that are young everything is there, here and in the bucket.
    fn is_young_whole(&self, when: &str) {
        for ago in [YOUNG[0], YOUNG[3]] {
            assert_eq!(self.listed(ago).len(), 4, "{when}: {ago} hours ago");
        }
        assert!(stored(&self.store).is_superset(&places(&YOUNG)), "{when}");
    }

    fn has_expired(&self, when: &str) {
        self.is_young_whole(when);
        assert_eq!(stored(&self.store), places(&YOUNG), "{when}");
        assert!(OLD.iter().all(|ago| self.listed(*ago).is_empty()), "{when}");
        assert!(OLD.iter().all(|ago| !self.archive.at(&format!(".gapless/bucket/{}", place(*ago))).exists()), "{when}");
        assert_eq!(gapless(self.archive.path(), &["rebuild", "--check"]).code, 0, "{when}");
        let gone = retention(&self.archive, &["list"]);
        // One that was killed at its end is looked after with those whose tombstones stay.
        for (ago, states) in [(20, ["gone", "retired"]), (21, ["gone", "retired"]), (22, ["retired"; 2])] {
            let is_so = |line: &&str| states.iter().any(|state| line.contains(state));
            let is_told = |line: &&str| line.starts_with(&place(ago)) && is_so(line) && line.contains("age");
            assert!(gone.lines(0).iter().any(is_told), "{when}: {ago}: {gone:?}");
        }
        assert_eq!(self.archive.listing(&place(22), true).len(), 1, "{when}: what hides a segment stays");
    }
}

#[test]
fn old_hours_leave_the_bucket_and_are_not_fetched_again() {
    let story = Story::begin();
    let Story { store, archive, hidden } = &story;
    // What peers still have: all of it, and what is hidden as well.
    let peer = TestArchive::empty();
    for ago in OLD {
        fill(&peer, &place(ago));
    }
    assert_eq!(peer.listing(&place(22), false).len(), 4);
    let plan = retention(archive, &["plan", "--json"]).json(0);
    let going: Vec<&str> =
        plan["bucket"]["hours"].as_array().unwrap().iter().map(|hour| hour["hour"].as_str().unwrap()).collect();
    assert_eq!(going, [place(22), place(21), place(20)]);
    let first = &plan["bucket"]["hours"][0];
    assert_eq!(
        (&first["objects"], &first["files"], &first["is_here"]),
        (&2.into(), &4.into(), &false.into()),
        "{plan}"
    );
    assert_eq!((&plan["planned_hours"], &plan["bucket"]["bucket_hours"]), (&0.into(), &7.into()), "{plan}");
    let said = retention(archive, &["plan"]);
    assert!(said.out.contains("3 of 7 hours would leave the bucket"), "{said:?}");
    assert_eq!((store.requests(), stored(store).len()), (Vec::new(), 7), "a plan asks nobody");
    let explained = gapless(archive.path(), &["explain", &format!("{}/{}", place(21), story.listed(21)[0])]);
    assert!(explained.out.contains("its objects in the bucket are too old from"), "{explained:?}");

    let done = run(archive);
    assert!(done.out.contains("deleted 3 hours in the bucket; 0 are too old"), "{done:?}");
    assert_eq!(done.code, 0, "{done:?}");
    story.has_expired("after a run");
    assert_eq!(sent(store, &Method::DELETE), 4);
    assert_eq!(run(archive).code, 0);
    assert_eq!(sent(store, &Method::DELETE), 0, "nothing is left to do");

    let serving = TestNode::start(&peer);
    serving.wait_ready();
    let (late, missing) = (place(4), archive.listing(&place(4), false)[0].clone());
    let content = archive.read(&format!("{late}/{missing}"));
    peer.raw(&format!("{}/{missing}", place(7)), &content);
    let fetching = node(archive)
        .env("GAPLESS_BACKFILL_INTERVAL", "1s")
        .env("GAPLESS_BACKFILL_RECENT_CUTOFF", "0s")
        .flag("--peer")
        .flag(format!("other=http://{}", serving.address))
        .start();
    fetching.wait_ready();
    eventually(SOON, || archive.at(&format!("{}/{missing}", place(7))).exists());
    assert!(OLD.iter().all(|ago| fetching.files(&place(*ago)).is_empty()));
    assert!(!archive.at(hidden).exists());
    fetching.check();
}

#[test]
fn hours_that_lie_here_stay_here_and_go_to_the_bucket_no_more() {
    let story = Story::begin();
    let Story { store, archive, .. } = &story;
    // One that comes back, one that somebody keeps.
    assert_eq!(ask(archive, &["restore", &place(20)]).json(0)["summary"]["done"], 1);
    retention(archive, &["keep", &place(21)]).lines(0);
    let plan = retention(archive, &["plan", "--json"]).json(0);
    let is_here = |at: usize| plan["bucket"]["hours"][at]["is_here"].clone();
    assert_eq!(
        (is_here(0), is_here(1), &plan["bucket"]["planned_hours"]),
        (false.into(), true.into(), &2.into()),
        "{plan}"
    );
    assert_eq!(run(archive).code, 0);
    assert_eq!(stored(store), places(&[YOUNG.as_slice(), &[21]].concat()));
    assert_eq!((story.listed(20).len(), story.listed(21).len(), story.listed(22).len()), (4, 4, 0));
    assert!(!receipt(archive, &place(20)).exists() && receipt(archive, &place(21)).exists());
    assert!(!retention(archive, &["list"]).out.contains(&format!("{} gone", place(20))));
    seal_all(archive);
    store.requests();
    let again = ask(archive, &["run"]).json(0);
    let told = again["hours"].as_array().unwrap().iter().find(|hour| hour["hour"] == place(20)).unwrap();
    assert_eq!((&told["state"], &again["summary"]["done"]), (&"too_old".into(), &0.into()), "{again}");
    assert_eq!(
        (sent(store, &Method::PUT), ask(archive, &["status"]).json(0)["too_old"]["hours"].clone()),
        (0, 2.into()),
        "and what hides a segment of another hour"
    );
    // Who keeps it no more lets it go.
    retention(archive, &["keep", "--release", &place(21)]).lines(0);
    assert_eq!(run(archive).code, 0);
    assert_eq!(stored(store), places(&YOUNG));
    story.is_young_whole("after all");
}

#[test]
fn most_of_a_bucket_goes_on_the_word_of_a_person_alone() {
    let (store, archive) = (TestStore::start(), TestArchive::empty());
    for hour in HOURS {
        fill(&archive, hour);
    }
    fill(&archive, "c/source/2020-01-01T05");
    bucket_settings(&archive, &store, "");
    assert_eq!(upload(&archive)["summary"]["done"], 3);
    bucket_settings(&archive, &store, MAX_AGE);
    let asked = run(&archive);
    assert!(asked.code == 1 && asked.out.contains("the clock says"), "{asked:?}");
    let one = retention(&archive, &["run", "--yes"]);
    assert!(one.code == 1 && one.out.contains("3 of 3 hours in the bucket would be deleted at once"), "{one:?}");
    assert!(one.out.contains("`gapless retention run --yes=quiet --yes=bucket` answers all"), "{one:?}");
    // What was said of the archive was not said of the bucket.
    let other = retention(&archive, &["run", "--yes=quiet", "--yes=shrinking"]);
    assert!(other.code == 1 && other.out.contains("in the bucket would be deleted at once"), "{other:?}");
    assert_eq!(retention(&archive, &["run", "--yes=all"]).code, 2);
    assert_eq!(stored(&store).len(), 3);
    assert_eq!(retention(&archive, &["run", "--yes=quiet", "--yes=bucket"]).code, 0);
    assert_eq!((stored(&store).len(), archive.all_hours().len()), (0, 3));
    // Nothing is sent again.
    store.requests();
    assert_eq!(upload(&archive)["summary"]["done"], 0);
    assert_eq!(sent(&store, &Method::PUT), 0);
}

#[test]
fn a_bucket_that_shrinks_a_little_at_a_time_stops_at_half() {
    let story = Story::begin();
    let Story { store, archive, .. } = &story;
    assert_eq!(run(archive).code, 0);
    assert_eq!(stored(store).len(), 4);
    let shorter =
        |hours: &str| bucket_settings(archive, store, &format!("max_age = \"{hours}\"\nseal_after = \"0s\"\n"));
    // One of four is less than half; but three of seven are.
    shorter("5h");
    let asked = run(archive);
    assert!(asked.code == 1 && asked.out.contains("the bucket held up to 7 hours"), "{asked:?}");
    shorter("12h");
    assert_eq!((run(archive).code, stored(store).len()), (0, 4), "a longer age needs no answer");
    shorter("5h");
    let done = retention(archive, &["run", "--yes"]);
    assert!(done.code == 0 && (2..4).contains(&stored(store).len()), "{done:?}");
}

fn copy(from: &Path, to: &Path) {
    fs::remove_dir_all(to).ok();
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// A story as it was at its beginning.
struct Before {
    kept: tempfile::TempDir,
    trees: [PathBuf; 3],
}

impl Before {
    fn keep(story: &Story) -> Self {
        let trees = [story.archive.at("chan"), story.archive.at(".gapless"), story.store.file("here")];
        let before = Self { kept: tempfile::tempdir().unwrap(), trees };
        before.trees.iter().enumerate().for_each(|(at, tree)| copy(tree, &before.kept.path().join(at.to_string())));
        before
    }

    fn put_back(&self, story: &Story) {
        self.trees.iter().enumerate().for_each(|(at, tree)| copy(&self.kept.path().join(at.to_string()), tree));
        assert_eq!((story.listed(22).len(), story.listed(21).len()), (3, 4));
        story.store.requests();
    }
}

impl Story {
    /// After something broke off. The next run ends it.
    fn is_ended(&self, when: &str) {
        self.is_young_whole(when);
        assert!(!self.listed(22).contains(&self.hidden.rsplit('/').next().unwrap().to_owned()), "{when}");
        let done = run(&self.archive);
        assert_eq!(done.code, 0, "{when}: {done:?}");
        self.has_expired(when);
    }
}

#[test]
fn wherever_it_breaks_off_nothing_else_is_lost_and_the_next_run_ends_it() {
    let story = Story::begin();
    let before = Before::keep(&story);
    assert_eq!(run(&story.archive).code, 0);
    let steps = story.store.requests();
    assert!((10..30).contains(&steps.len()), "{steps:?}");
    for (at, step) in steps.iter().enumerate() {
        let both = [false, true];
        for is_done in both.into_iter().filter(|is_done| !is_done || step.0 == Method::DELETE) {
            let when = format!("request {at}, {step:?}, done: {is_done}");
            before.put_back(&story);
            story.store.breaks_after(at, is_done);
            let broken = run(&story.archive);
            assert!(broken.code == 1 && broken.out.contains("AccessDenied"), "{when}: {broken:?}");
            story.store.is_well();
            story.is_ended(&when);
        }
    }
}

#[test]
fn a_run_that_is_killed_at_a_change_to_the_disk_is_ended_by_the_next_one() {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !traced.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: system calls cannot be traced here: {traced:?}");
        return;
    }
    let story = Story::begin();
    let before = Before::keep(&story);
    let mut kills = Vec::new();
    // Some of what changes names, and fewer of the many flushes.
    for (call, step) in [
        ("renameat,renameat2,rename,link,linkat", 4),
        ("unlinkat,unlink,rmdir", 3),
        ("mkdirat,mkdir", 2),
        ("fsync,fdatasync", 19),
    ] {
        for at in (1..).step_by(step) {
            before.put_back(&story);
            let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=KILL:when={at}"));
            let wrapper = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
            let killed = gapless_through(&wrapper, story.archive.path(), &["retention", "run"]);
            assert!(!killed.err.contains("panicked"), "{killed:?}");
            if killed.code == 0 {
                break;
            }
            let when = format!("killed at {call} {at}");
            story.is_ended(&when);
            kills.push(when);
        }
    }
    println!("{}", kills.join(", "));
    assert!(kills.len() > 5, "{kills:?}");
}

#[test]
fn what_was_begun_is_released_where_it_may_stay_after_all() {
    let story = Story::begin();
    let Story { store, archive, .. } = &story;
    store.fails(Method::DELETE, &hours_ago(21), LineFault::Refuses(403, "AccessDenied"), 100);
    let denied = run(archive);
    assert!(denied.code == 1 && denied.out.contains("s3:DeleteObject"), "{denied:?}");
    store.is_well();
    bucket_settings(archive, store, "");
    gapless(archive.path(), &["retention", "run"]);
    bucket_settings(archive, store, "max_age = \"90days\"\n");
    assert_eq!(run(archive).code, 0);
    assert_eq!((story.listed(21).len(), story.listed(20).len()), (4, 4));
    let list = retention(archive, &["list"]);
    assert!(!list.out.contains(&place(21)) && !list.out.contains(&place(20)), "{list:?}");
}

#[test]
fn the_last_copy_of_anything_stays_in_the_bucket() {
    let story = Story::begin();
    let Story { store, archive, .. } = &story;
    bucket_settings(archive, store, &format!("{MAX_AGE}[retention]\nkeep_last_copy = true\n"));
    let kept = run(archive);
    assert!(kept.code == 1 && kept.out.contains("11 segments stay as the last copies"), "{kept:?}");
    assert_eq!(stored(store).len(), 7);
    // One of them lies here as well, and another node has another one of them.
    assert_eq!(ask(archive, &["restore", &place(20)]).json(0)["summary"]["done"], 1);
    let peer = TestArchive::empty();
    fill(&peer, &place(21));
    let serving = TestNode::start(&peer);
    serving.wait_ready();
    assert_eq!(peer.listing(&place(21), false), story.listed(21));
    let some = retention(archive, &["run", "--peer", &format!("other=http://{}", serving.address)]);
    assert!(some.code == 1 && some.out.contains("3 segments stay as the last copies"), "{some:?}");
    assert_eq!(stored(store), places(&[YOUNG.as_slice(), &[22]].concat()));
    assert_eq!(story.listed(20).len(), 4);
}

#[test]
fn what_leaves_the_bucket_within_a_day_is_no_copy_of_what_lies_here() {
    let (store, archive) = (TestStore::start(), TestArchive::empty());
    for ago in YOUNG.into_iter().chain(OLD) {
        fill(&archive, &place(ago));
    }
    bucket_settings(&archive, &store, "");
    assert_eq!(upload(&archive)["summary"]["done"], 7);
    let local = |age_there: &str| {
        let limits = "[retention]\nmax_age = \"12h\"\nkeep_last_copy = true\n";
        bucket_settings(&archive, &store, &format!("max_age = \"{age_there}\"\n{limits}"));
        run(&archive)
    };
    let kept = local("40h");
    assert!(kept.code == 1 && kept.out.contains("12 segments stay as the last copies"), "{kept:?}");
    assert_eq!(archive.all_hours().len(), 7);
    // Nor does it leave this disk because it is still there.
    bucket_settings(&archive, &store, "max_age = \"30h\"\n");
    let dropped = |hour: &str| ask(&archive, &["drop", hour]).json(0)["summary"]["done"].clone();
    assert_eq!((dropped(&place(20)), dropped(&place(3))), (0.into(), 1.into()));
    ask(&archive, &["restore", &place(3)]).json(0);
    assert_eq!(local("90days").code, 0);
    assert_eq!((archive.all_hours().len(), stored(&store).len()), (4, 7));
}

#[test]
fn settings_of_another_bucket_delete_nothing_there_and_hold_up_nothing_here() {
    let story = Story::begin();
    let Story { store, archive, .. } = &story;
    for ago in [30, 31] {
        fill(archive, &place(ago));
    }
    let local = format!("{MAX_AGE}[retention]\nmax_age = \"26h\"\n");
    name_bucket(archive, &store.url(), "elsewhere", (KEY, SECRET), &local);
    let plan = retention(archive, &["plan"]);
    assert!(plan.out.contains("2 of 6 hours would go") && plan.out.contains("settings name"), "{plan:?}");
    let told = run(archive);
    assert!(told.code == 1 && told.out.contains("settings name"), "{told:?}");
    assert!([30, 31].iter().all(|ago| !archive.at(&place(*ago)).exists()), "{told:?}");
    assert_eq!((stored(store).len(), story.listed(21).len()), (7, 4));
}

#[test]
fn whoever_may_write_to_the_bucket_hides_nothing_that_lies_here() {
    let story = Story::begin();
    let Story { store, archive, .. } = &story;
    assert_eq!(ask(archive, &["restore", &place(20)]).json(0)["summary"]["done"], 1);
    let foreign = TestArchive::empty();
    bucket_settings(&foreign, store, "");
    fs::create_dir_all(foreign.at(&place(20))).unwrap();
    for name in archive.listing(&place(20), false) {
        foreign.tombstone(&format!("{}/{name}", place(20)));
    }
    assert_eq!(upload(&foreign)["summary"]["done"], 1);
    assert_eq!(run(archive).code, 0);
    assert_eq!(stored(store), places(&YOUNG));
    assert_eq!((story.listed(20).len(), archive.listing(&place(20), true).len()), (4, 4), "no tombstone came");
}

#[test]
fn a_file_here_that_is_not_what_it_is_called_after_is_no_copy() {
    let story = Story::begin();
    let Story { store, archive, .. } = &story;
    bucket_settings(archive, store, &format!("{MAX_AGE}[retention]\nkeep_last_copy = true\n"));
    ask(archive, &["restore", "chan"]).json(0);
    let broken = format!("{}/{}", place(20), story.listed(20)[0]);
    fs::write(archive.at(&broken), b"x").unwrap();
    let kept = run(archive);
    assert!(kept.code == 1 && kept.out.contains("1 segments stay as the last copies"), "{kept:?}");
    assert!(kept.out.contains(&broken), "{kept:?}");
    assert_eq!(stored(store), places(&[YOUNG.as_slice(), &[20]].concat()));
}

#[test]
fn a_damaged_object_may_be_the_last_that_there_is_and_one_that_is_gone_is_none() {
    let story = Story::begin();
    let Story { store, archive, .. } = &story;
    bucket_settings(archive, store, &format!("{MAX_AGE}[retention]\nkeep_last_copy = true\n"));
    let of = |ago: u64| {
        store.objects().into_iter().filter(move |(path, _)| path.to_str().unwrap().contains(&hours_ago(ago)))
    };
    let (damaged, mut bytes) = of(21).next().unwrap();
    let at = bytes.len() / 3;
    bytes[at] ^= 1;
    fs::write(&damaged, &bytes).unwrap();
    assert_eq!(ask(archive, &["verify", &place(21)]).json(1)["summary"]["errors"], 1);
    for (gone, _) in of(20) {
        fs::remove_file(gone).unwrap();
    }
    let kept = run(archive);
    assert!(kept.code == 1 && kept.out.contains("7 segments stay as the last copies"), "{kept:?}");
    assert_eq!(stored(store), places(&[YOUNG.as_slice(), &[21, 22]].concat()));
    assert!(story.listed(20).is_empty(), "nobody has it any more");
    let again = ask(archive, &["restore", &place(21)]);
    assert!(archive.listing(&place(21), false).len() >= 3, "{again:?}");
}

#[test]
fn ages_that_leave_no_time_for_the_bucket_are_refused() {
    let (store, archive) = (TestStore::start(), TestArchive::empty());
    for (settings, why) in [
        ("max_age = \"0s\"\n", "no longer than seal_after"),
        ("max_age = \"5h\"\n", "no longer than seal_after"),
        ("max_age = \"30h\"\nkeep_local = \"10h\"\n", "not a day longer than keep_local"),
        (
            "keep_local = \"10h\"\n[[retention.stream]]\nchannel = \"c\"\narchive_max_age = \"9h\"\n",
            "archive_max_age is not a day longer than keep_local",
        ),
    ] {
        bucket_settings(&archive, &store, settings);
        let told = ask(&archive, &["ls"]);
        assert!(told.code == 2 && told.err.contains(why), "{settings}: {told:?}");
    }
}

#[test]
fn what_came_late_stays_here_and_the_rest_of_its_hour_does_not_come_back() {
    let story = Story::begin();
    let Story { store, archive, .. } = &story;
    let peer = TestArchive::empty();
    fill(&peer, &place(20));
    archive.segment(&place(20), "50:00", 2.0, Kind::Full);
    assert_eq!(story.listed(20).len(), 5);
    let planned = retention(archive, &["plan"]);
    assert!(planned.out.contains("1 objects in the bucket; what lies here stays"), "{planned:?}");
    assert_eq!(run(archive).code, 0);
    assert_eq!((stored(store), story.listed(20).len()), (places(&YOUNG), 1));
    let serving = TestNode::start(&peer);
    serving.wait_ready();
    let address = format!("other=http://{}", serving.address);
    let fetched = gapless(archive.path(), &["backfill", "--once", "--recent-cutoff", "0s", "--peer", &address]);
    assert!(fetched.code == 0 && story.listed(20).len() == 1, "{fetched:?}");
}
