//! `kill -9` at every change to the disk that sealing, uploading, dropping, purging and restoring an hour make: no file is lost, and the next run ends the work.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use crate::archive_tier::{ask, seal_all, with_bucket};
use crate::support::object_store::TestStore;
use crate::support::{Kind, Outcome, TestArchive, gapless, gapless_through};

/// Whatever changes names, or says that something is to last; counted together where it is seldom.
const CHANGES: [&str; 8] = [
    "rename,unlink,rmdir,link,linkat,symlinkat,syncfs",
    "renameat",
    "renameat2",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "fsync",
    "fdatasync",
];
/// More hours than any verb is killed at changes to the disk.
const HOURS: usize = 48;

/// Hours of which each is killed at another change.
struct KilledHours {
    store: TestStore,
    archive: TestArchive,
    hours: Vec<String>,
    /// By path.
    before: BTreeMap<String, Vec<u8>>,
    hidden: RefCell<BTreeSet<String>>,
}

impl KilledHours {
    fn begin() -> Self {
        let (store, archive) = (TestStore::start(), TestArchive::empty());
        with_bucket(&archive, &store);
        let hours: Vec<String> =
            (0..HOURS).map(|at| format!("c/source/2020-01-{:02}T{:02}", 1 + at / 24, at % 24)).collect();
        for hour in &hours {
            archive.segment(hour, "10:00", 2.0, Kind::Full);
            archive.segment(hour, "10:02", 2.0, Kind::Partial);
            archive.raw(&format!("{hour}/odd name.ts"), format!("odd of {hour}").as_bytes());
        }
        seal_all(&archive);
        assert_eq!(ask(&archive, &["run"]).json(0)["summary"]["done"], HOURS);
        let before = here(&archive);
        Self { store, archive, hours, before, hidden: RefCell::default() }
    }

    fn ask(&self, args: &[&str]) -> Outcome {
        gapless(self.archive.path(), args)
    }

    /// Runs a verb in which the first thread is killed, and all others with it, that makes so many calls of this kind; says whether one did.
    fn is_killed(&self, verb: &[&str], call: &str, at: usize) -> bool {
        let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=KILL:when={at}"));
        let wrapper = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
        let done = gapless_through(&wrapper, self.archive.path(), verb);
        assert!(!done.err.contains("panicked"), "{done:?}");
        self.check_all_is_somewhere(&format!("{verb:?} killed at {call} {at}"));
        done.code != 0
    }

    /// Each file lies here as it was, or in an object that is right.
    fn check_all_is_somewhere(&self, at: &str) {
        let found = here(&self.archive);
        for (path, content) in &self.before {
            match found.get(path) {
                Some(here) => assert!(here == content, "{path}: {at}"),
                None if self.hidden.borrow().contains(path) => {}
                None => assert!(self.is_held(path, content), "{path}: {at}"),
            }
        }
        assert!(found.keys().all(|path| self.before.contains_key(path)), "{at}");
    }

    /// Whether an object of its hour has the bytes of a file in one piece.
    fn is_held(&self, path: &str, content: &[u8]) -> bool {
        let hour = path.rsplit_once('/').unwrap().0;
        let Ok(mut objects) = fs::read_dir(self.store.file("here/v1").join(hour)) else { return false };
        let has = |bytes: &[u8]| bytes.windows(content.len()).any(|window| window == content);
        objects.any(|object| has(&fs::read(object.unwrap().path()).unwrap()))
    }

    /// How many objects an hour has.
    fn objects_of(&self, hour: &str) -> usize {
        fs::read_dir(self.store.file("here/v1").join(hour)).unwrap().count()
    }

    /// Files of an hour that are in sight, with their bytes.
    fn in_sight(&self, hour: &str) -> impl Iterator<Item = (&String, &Vec<u8>)> {
        let hidden = self.hidden.borrow().clone();
        self.before.iter().filter(move |(path, _)| path.starts_with(hour) && !hidden.contains(*path))
    }

    /// Its first segment is hidden.
    fn hide(&self, hour: &str) {
        let path = self.before.keys().find(|path| path.starts_with(&format!("{hour}/10:00"))).unwrap();
        self.archive.tombstone(path);
        self.hidden.borrow_mut().insert(path.clone());
    }

    /// Nothing is known of an hour in the bucket, and it is not there.
    fn forget(&self, hour: &str) {
        let (channel_and_quality, name) = hour.rsplit_once('/').unwrap();
        fs::remove_file(self.archive.at(&format!(".gapless/archived/{channel_and_quality}/{name}.json"))).unwrap();
        fs::remove_dir_all(self.archive.at(&format!(".gapless/bucket/{hour}"))).unwrap();
        fs::remove_dir_all(self.store.file("here/v1").join(hour)).unwrap();
    }

    /// Kills a verb at each change, each time with another hour, and lets it come to its end then.
    fn kill_everywhere(&self, verb: &[&str], prepare: impl Fn(&str), check: impl Fn(&str)) {
        let mut hours = self.hours.iter();
        let mut kills = Vec::new();
        for call in CHANGES {
            let mut at = 1;
            loop {
                let hour = hours.next().expect("more hours than changes");
                prepare(hour);
                let was_killed = self.is_killed(&[verb, &[hour.as_str()]].concat(), call, at);
                check(hour);
                if !was_killed {
                    break;
                }
                kills.push(format!("{call} {at}"));
                at += 1;
            }
        }
        println!("{verb:?} was killed at {}", kills.join(", "));
        assert!(kills.len() > 5, "{verb:?} changes nothing");
    }
}

fn here(archive: &TestArchive) -> BTreeMap<String, Vec<u8>> {
    let hours = archive.all_hours().into_iter();
    let paths =
        hours.flat_map(|hour| archive.listing(&hour, false).into_iter().map(move |name| format!("{hour}/{name}")));
    paths.map(|path| (path.clone(), archive.read(&path))).collect()
}

#[test]
fn an_hour_outlives_a_kill_at_each_change_to_the_disk() {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !traced.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: system calls cannot be traced here: {traced:?}");
        return;
    }
    let all = KilledHours::begin();
    let listed = all.ask(&["ls", "c/source"]).out;

    let sealed = |hour: &str| all.archive.at(&format!(".gapless/sealed/{hour}.sha256"));
    let unseal = |hour: &str| fs::remove_file(sealed(hour)).unwrap();
    let seal_again = |hour: &str| {
        assert_eq!(all.ask(&["seal", "--after", "0s", hour]).code, 0, "{hour}");
        assert!(sealed(hour).exists(), "{hour}");
    };
    all.kill_everywhere(&["seal", "--after", "0s"], unseal, seal_again);

    let run_again = |hour: &str| {
        let run = ask(&all.archive, &["run", hour]).json(0);
        let of = |what: &str| run["summary"][what].as_u64().unwrap();
        assert_eq!((of("done") + of("before"), of("errors"), of("open")), (1, 0, 0), "{hour}: {run}");
        let is_held = all.in_sight(hour).all(|(path, content)| all.is_held(path, content));
        assert_eq!((all.objects_of(hour), is_held), (1, true), "{hour}");
    };
    all.kill_everywhere(&["archive", "run"], |hour| all.forget(hour), run_again);

    all.kill_everywhere(
        &["archive", "drop"],
        |_| {},
        |hour| {
            assert_eq!(all.ask(&["rebuild", "--check"]).code, 0, "{hour}");
            assert_eq!(all.ask(&["ls", "c/source"]).out, listed, "{hour}");
        },
    );
    // What a kill has left of an hour goes when that is sealed.
    seal_all(&all.archive);
    ask(&all.archive, &["run"]).json(0);
    ask(&all.archive, &["drop", "c"]).json(0);
    assert!(here(&all.archive).is_empty());
    let objects = ask(&all.archive, &["ls"]).json(0)["objects"].as_array().map(Vec::len);
    assert_eq!((objects, all.store.open_uploads()), (Some(HOURS), 0), "none is kept twice");

    all.kill_everywhere(
        &["archive", "restore"],
        |_| {},
        |hour| {
            ask(&all.archive, &["restore", hour]).json(0);
            let back =
                here(&all.archive).into_iter().filter(|(path, _)| path.starts_with(hour)).collect::<BTreeMap<_, _>>();
            assert!(back.len() == 3 && back.iter().all(|(path, content)| all.before[path] == *content), "{hour}");
        },
    );
    ask(&all.archive, &["restore", "c"]).json(0);
    assert!(here(&all.archive) == all.before);
    assert_eq!(all.ask(&["rebuild", "--check"]).code, 0);
    assert_eq!(all.ask(&["ls", "c/source"]).out, listed);

    let is_purged = |hour: &str| {
        let done = ask(&all.archive, &["purge", hour]).json(0);
        assert_eq!(done["summary"]["errors"], 0, "{hour}: {done}");
        let is_held = all.in_sight(hour).all(|(path, content)| all.is_held(path, content));
        let hidden = all.hidden.borrow();
        let of_hour = |path: &&String| path.starts_with(hour);
        let is_kept = hidden.iter().filter(of_hour).any(|path| all.is_held(path, &all.before[path]));
        assert_eq!((all.objects_of(hour), is_held, is_kept), (1, true, false), "{hour}");
    };
    all.kill_everywhere(&["archive", "purge"], |hour| all.hide(hour), is_purged);
    assert_eq!(all.store.open_uploads(), 0);
    assert_eq!(all.ask(&["rebuild", "--check"]).code, 0);
    // Whoever has nothing but the bucket has what is in sight, and nothing else.
    let anew = TestArchive::empty();
    with_bucket(&anew, &all.store);
    ask(&anew, &["restore", "c"]).json(0);
    assert!(here(&anew) == here(&all.archive));
}
