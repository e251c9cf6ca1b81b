//! The whole life of many hours in a distributed store, while it fails by chance, loses a device, and the node is killed: sealed, uploaded,
//! read back, dropped, played, changed, brought back, and made anew from the bucket alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use gapless::archive::{HourManifest, ObjectName};

use crate::archive_swift::bucket;
use crate::archive_tier::{ask, name_bucket, node};
use crate::support::archive::packets;
use crate::support::store_line::{StoreBehind, StoreLine};
use crate::support::swift::Swift;
use crate::support::{Kind, TestArchive, TestNode, eventually, gapless};

/// What is read of an hour.
const PLAYLISTS: [&str; 2] = ["/playlist/one/source.m3u8", "/playlist/two/source.m3u8"];
const PATIENCE: Duration = Duration::from_secs(600);
/// How often in a hundred requests something goes wrong.
const TROUBLE: f64 = 0.06;
const SEED: u64 = 15;

/// How many hours there are: `scripts/reliability` asks for more than the suite has time for.
fn count() -> usize {
    std::env::var("GAPLESS_LIFE_HOURS").map_or(16, |hours| hours.parse().unwrap())
}

/// Bytes by path.
type Contents = BTreeMap<String, Vec<u8>>;

struct Life {
    archive: TestArchive,
    line: StoreLine,
    /// What must never be lost.
    kept: Contents,
    /// What was hidden, and must never be seen again.
    hidden: BTreeSet<String>,
}

impl Life {
    fn begin(line: StoreLine) -> Self {
        let archive = TestArchive::empty();
        for at in 0..count() {
            let (channel, at) = (["one", "two"][at % 2], at / 2);
            let hour = format!("{channel}/source/2020-01-{:02}T{:02}", 1 + at / 24, at % 24);
            for second in 0..4 {
                let content = packets(&format!("{hour} {second}"), 60 + 20 * (at % 5));
                archive.named(&hour, &format!("10:{:02}-2.0-full", second * 2), "ts", &content);
            }
            archive.segment(&hour, "20:00", 1.0, Kind::Partial);
            archive.raw(&format!("{hour}/odd name.ts"), format!("odd {hour}").as_bytes());
        }
        let kept = on_disk(&archive);
        Self { archive, line, kept, hidden: BTreeSet::new() }
    }

    fn hours(&self) -> BTreeSet<String> {
        self.kept.keys().map(|path| hour_of(path)).collect()
    }

    /// Runs a node, again and again, and kills it in the middle, until it has done its work.
    fn until(&self, done: impl Fn() -> bool) {
        let begun = Instant::now();
        for lives in 0_u64.. {
            let node = node(&self.archive).env("GAPLESS_ARCHIVE_KEEP_LOCAL", "1h").start();
            // Longer each time, and never as long as before.
            let until = Instant::now() + Duration::from_millis(300 + 370 * (lives % 7) + 200 * lives);
            while Instant::now() < until {
                if done() {
                    node.kill();
                    return self.check_nothing_went_too_early();
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            node.kill();
            self.check_nothing_went_too_early();
            assert!(begun.elapsed() < PATIENCE, "{} hours are still here", self.archive.all_hours().len());
        }
    }

    /// What has left the disk was read back before, all of it.
    fn check_nothing_went_too_early(&self) {
        let here = on_disk(&self.archive);
        for (path, content) in &self.kept {
            match here.get(path) {
                Some(found) => assert!(found == content, "{path}"),
                None => assert!(self.line.has_given_whole(&format!("/v1/{}/", hour_of(path))), "{path}"),
            }
        }
    }

    fn all_is_away(&self) -> bool {
        self.archive.all_hours().iter().all(|hour| self.archive.listing(hour, false).is_empty())
            && noted(&self.archive).keys().cloned().collect::<BTreeSet<_>>() == self.hours()
    }

    /// Every file as it was, and nothing that was hidden.
    fn check_all_is_given(&self, node: &TestNode) {
        for hour in self.hours() {
            let names = node.files(&hour);
            let expected: Vec<&str> =
                self.kept.keys().filter_map(|path| path.strip_prefix(&format!("{hour}/"))).collect();
            assert_eq!(
                names.iter().map(String::as_str).collect::<BTreeSet<_>>(),
                expected.into_iter().collect(),
                "{hour}"
            );
        }
        for (path, content) in &self.kept {
            let given = node.get(&format!("/segments/{}", path.replace(' ', "%20")));
            assert!(given.status == 200 && given.body == *content, "{path}: {}", given.status);
        }
        for path in &self.hidden {
            assert_eq!(node.get(&format!("/segments/{path}")).status, 410, "{path}");
        }
    }

    /// Every file is in an object that is noted.
    fn check_nothing_is_lost(&self) {
        let noted = noted(&self.archive);
        for path in self.kept.keys() {
            let (hour, name) = path.rsplit_once('/').unwrap();
            assert!(noted[hour].iter().any(|manifest| manifest.position(name).is_some()), "{path}");
        }
    }

    /// Whether an object that is noted has something that is hidden.
    fn is_hidden_held(&self) -> bool {
        let noted = noted(&self.archive);
        self.hidden.iter().any(|path| {
            let (hour, name) = path.rsplit_once('/').unwrap();
            noted[hour].iter().any(|manifest| manifest.position(name).is_some())
        })
    }

    /// Each file lies in one object, and the bucket has no object but those that are noted; lists may still have these, which were deleted.
    fn check_nothing_is_kept_twice(&self, deleted: &BTreeSet<String>) {
        let mut objects = BTreeSet::new();
        for (hour, manifests) in noted(&self.archive) {
            let mut seen = BTreeSet::new();
            for manifest in manifests {
                objects.insert(manifest.object_name().to_string());
                for file in manifest.files() {
                    assert!(seen.insert(file.name.to_string()), "{hour}/{} lies in two objects", file.name);
                }
            }
        }
        // While a device is away some of the store's servers list less than others.
        let mut all = BTreeSet::new();
        eventually(PATIENCE, || {
            all.extend(listed(&self.archive).into_iter().filter(|object| !deleted.contains(object)));
            assert!(all.is_subset(&objects), "{:?}", all.difference(&objects));
            all.len() == objects.len()
        });
    }

    /// A segment comes late into every fifth hour, and one of every seventh is hidden.
    fn change(&mut self) {
        for (at, hour) in self.hours().into_iter().enumerate() {
            if at % 5 == 0 {
                let content = packets(&format!("{hour} late"), 100);
                let path = self.archive.named(&hour, "30:00-2.0-full", "ts", &content);
                self.kept.insert(path, content);
            }
            if at % 7 == 0 {
                let path = self.kept.keys().find(|path| path.starts_with(&format!("{hour}/10:02"))).unwrap().clone();
                self.archive.tombstone(&path);
                self.kept.remove(&path);
                self.hidden.insert(path);
            }
        }
    }
}

fn hour_of(path: &str) -> String {
    path.rsplit_once('/').unwrap().0.to_owned()
}

/// Everything that lies here and is no tombstone.
fn on_disk(archive: &TestArchive) -> Contents {
    let hours = archive.all_hours().into_iter();
    let paths =
        hours.flat_map(|hour| archive.listing(&hour, false).into_iter().map(move |name| format!("{hour}/{name}")));
    paths.map(|path| (path.clone(), archive.read(&path))).collect()
}

/// What is noted of objects, by hour.
fn noted(archive: &TestArchive) -> BTreeMap<String, Vec<HourManifest>> {
    let mut found: BTreeMap<String, Vec<HourManifest>> = BTreeMap::new();
    let mut dirs = vec![archive.at(".gapless/bucket")];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|ending| ending == "sha256") {
                let manifest = HourManifest::parse(&fs::read(&path).unwrap()).unwrap();
                found.entry(manifest.place().to_string()).or_default().push(manifest);
            }
        }
    }
    found
}

/// What the bucket lists.
fn listed(archive: &TestArchive) -> BTreeSet<String> {
    let list = ask(archive, &["ls"]).json(0);
    let objects = list["objects"].as_array().unwrap();
    objects.iter().map(|object| object["name"].as_str().unwrap().to_owned()).collect()
}

/// What is noted here.
fn objects(archive: &TestArchive) -> BTreeSet<String> {
    let manifests = noted(archive).into_values().flatten();
    manifests.map(|manifest| manifest.object_name().to_string()).collect()
}

/// Whether the store has an object, as it says when it is asked for it.
fn is_in(swift: &Swift, object: &str) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let name = ObjectName::parse(object).unwrap();
    runtime.block_on(bucket(swift, Swift::BUCKET, Swift::SECRET).size_of(&name)).unwrap().is_some()
}

fn playlists(node: &TestNode) -> [String; 2] {
    node.wait_ready();
    PLAYLISTS.map(|playlist| node.get(playlist).text().to_owned())
}

#[test]
fn hours_live_in_a_distributed_store_while_it_fails_and_the_node_is_killed() {
    let Some(swift) = Swift::start() else { return };
    let address = swift.url().trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
    let mut life = Life::begin(StoreLine::to(StoreBehind::At(address)));
    let before = {
        let plain = TestNode::start(&life.archive);
        playlists(&plain);
        playlists(&plain)
    };
    name_bucket(&life.archive, &life.line.url(), Swift::BUCKET, (Swift::KEY, Swift::SECRET), "");

    // Half of them leave with three devices, the others with two.
    life.line.fails_by_chance(TROUBLE, SEED);
    life.until(|| life.archive.all_hours().len() <= count() / 2);
    swift.kill_device(1);
    life.until(|| life.all_is_away());

    life.line.is_well();
    let well = node(&life.archive).start();
    assert_eq!(playlists(&well), before);
    life.check_all_is_given(&well);
    well.check();
    well.kill();
    life.check_nothing_is_kept_twice(&BTreeSet::new());

    // They change while nothing of them is here.
    life.change();
    life.line.fails_by_chance(TROUBLE, SEED + 1);
    life.until(|| life.all_is_away());
    life.line.is_well();
    let changed = node(&life.archive).start();
    changed.wait_ready();
    life.check_all_is_given(&changed);
    let lists = playlists(&changed);
    changed.check();
    changed.terminate();
    life.check_nothing_is_kept_twice(&BTreeSet::new());
    assert_eq!(ask(&life.archive, &["verify"]).json(0)["summary"]["done"], count());
    assert_eq!(ask(&life.archive, &["status"]).json(0)["lost"], 0);

    let before_purge = objects(&life.archive);
    // What is hidden leaves the bucket as well, however often that fails.
    life.line.fails_by_chance(TROUBLE, SEED + 2);
    eventually(PATIENCE, || {
        let purge = ask(&life.archive, &["purge", "one", "two"]);
        life.check_nothing_is_lost();
        purge.code == 0 && !life.is_hidden_held()
    });
    life.line.is_well();
    let deleted: BTreeSet<String> = before_purge.difference(&objects(&life.archive)).cloned().collect();
    assert!(deleted.len() >= life.hidden.len(), "{deleted:?}");
    let is_there = |object: &String| is_in(&swift, object);
    assert!(!deleted.iter().any(is_there) && objects(&life.archive).iter().all(is_there));
    life.check_nothing_is_kept_twice(&deleted);
    let purged = node(&life.archive).start();
    assert_eq!(playlists(&purged), lists);
    life.check_all_is_given(&purged);
    purged.check();
    purged.terminate();

    // Another archive is made from the bucket alone.
    let anew = TestArchive::empty();
    name_bucket(&anew, &life.line.url(), Swift::BUCKET, (Swift::KEY, Swift::SECRET), "");
    eventually(PATIENCE, || {
        let done = gapless(anew.path(), &["rebuild", "--from-archive"]);
        done.code == 0 && noted(&anew) == noted(&life.archive)
    });
    let other = node(&anew).start();
    other.wait_ready();
    life.check_all_is_given(&other);
    other.terminate();
    ask(&anew, &["restore", "one", "two"]).json(0);
    assert!(on_disk(&anew) == life.kept);
    let other = node(&anew).start();
    playlists(&other);
    assert_eq!(playlists(&other), lists);
    other.check();
}
