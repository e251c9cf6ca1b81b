//! Five real nodes in three zones, three copies of everything: nodes come, are drained, die for good, are replaced, were away for long, have
//! no room and do not reach each other, while recorders go on on two of them. All that is there comes to lie where the layout says, and on the
//! way nothing has fewer copies than it had, whatever is looked at from outside while it happens.
//!
//! `GAPLESS_PLACED_HOURS=2000` plays it with so many hours; the suite with fewer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use gapless::archive::HourPlace;
use gapless::archive::placement::{Layout, Slot};
use parking_lot::Mutex;

use crate::support::archive::{hash_text, packets};
use crate::support::cluster::{Cluster, Ground};
use crate::support::link::Manner;
use crate::support::{SOON, TestArchive, eventually, gapless, model, quoted};

/// Copies that the layout asks for.
const COPIES: usize = 3;

/// In which zone each node is: two in the attic, two in the barn, and those of the cellar, of which two come later.
const ZONES: [&str; 7] = ["attic", "attic", "barn", "barn", "cellar", "cellar", "barn"];

/// Where recorders write, and what.
const RECORDERS: [usize; 2] = [0, 2];
const STREAMS: [&str; 2] = ["c0/source", "c1/source"];

/// Names of each hour that lie on each node.
type OnDisks = Vec<BTreeMap<String, BTreeSet<String>>>;

fn hours() -> Vec<String> {
    let count = std::env::var("GAPLESS_PLACED_HOURS").map_or(60, |count| count.parse().expect("a number of hours"));
    let hour =
        |at: usize| format!("{}/2012-{:02}-{:02}T{:02}", STREAMS[at % 2], 1 + at / 672, 1 + at / 24 % 28, at % 24);
    (0..count).map(hour).collect()
}

fn name(at: usize) -> String {
    format!("n{at}")
}

fn layout(cluster: &Cluster) -> Layout {
    Layout::read(&fs::read(cluster.member(0).archive.at(".gapless/layout")).unwrap()).unwrap()
}

/// Whether a node owns an hour.
fn owns(layout: &Layout, at: usize, hour: &str) -> bool {
    let place = HourPlace::parse(hour).unwrap();
    let owners = layout.owners_of(&place.stream.channel, Slot::of(&place));
    owners.iter().any(|owner| owner.name.as_str() == name(at))
}

/// Stages changes on the first node, which runs, and applies all versions that they take, the next one once the one before is in place.
fn change(cluster: &Cluster, listings: &mut Listings, changes: &[&[&str]]) {
    stage(cluster, changes);
    while apply(cluster) {
        in_place(cluster, listings);
    }
}

fn stage(cluster: &Cluster, changes: &[&[&str]]) {
    for args in changes {
        cluster.node(0).run(&[&["layout"], *args].concat()).lines(0);
    }
}

/// Makes the next version of the plan the layout; false if there is none.
fn apply(cluster: &Cluster) -> bool {
    let plan = cluster.node(0).run(&["layout", "plan", "--json"]).json(0);
    if plan["versions"].as_array().unwrap().is_empty() {
        return false;
    }
    cluster.node(0).run(&["layout", "apply", &plan["from"].to_string()]).lines(0);
    true
}

/// What lies on a disk, whatever its node says.
fn on_disk(base: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let within = |dir: &str| -> BTreeSet<String> {
        let Ok(entries) = fs::read_dir(base.join(dir)) else { return BTreeSet::new() };
        let names = entries.map_while(Result::ok).filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| !name.starts_with('.')).collect()
    };
    let mut found = BTreeMap::new();
    for stream in STREAMS {
        for hour in within(stream).into_iter().map(|hour| format!("{stream}/{hour}")) {
            let names = within(&hour);
            if !names.is_empty() {
                found.insert(hour, names);
            }
        }
    }
    found
}

/// Writes a segment every two seconds, as time goes by, into the hours of one node until it ends.
struct Recorder {
    ends: Arc<AtomicBool>,
    runs: JoinHandle<usize>,
}

impl Recorder {
    fn begin(cluster: &Cluster, at: usize, stream: &'static str) -> Self {
        let base = cluster.member(at).archive.path().to_owned();
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let runs = std::thread::spawn(move || {
            let mut written = 0;
            while !told.load(Ordering::SeqCst) {
                let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
                let hour = base.join(stream).join(&now[..13]);
                let content = packets(&format!("{stream} {written}"), 2);
                let name = format!("{}-2.0-full-{}.ts", &now[14..19], hash_text(&content));
                fs::create_dir_all(&hour).unwrap();
                let begun = hour.join(format!(".{name}"));
                fs::write(&begun, content).unwrap();
                fs::rename(begun, hour.join(name)).unwrap();
                written += 1;
                std::thread::sleep(Duration::from_secs(2));
            }
            written
        });
        Self { ends, runs }
    }

    fn ends(self) {
        self.ends.store(true, Ordering::SeqCst);
        assert!(self.runs.join().unwrap() > 3);
    }
}

/// Whether recorders write there now, or did a while ago.
fn is_live(hour: &str) -> bool {
    !hour.contains("/2012-")
}

/// How far what lies on the disks is from what the layout says; nothing where it lies just there. Hours that a node has promised to keep, or
/// that came a moment ago, may lie there as well, as long as it says so.
fn misplaced(cluster: &Cluster) -> Option<String> {
    let layout = layout(cluster);
    let disks: OnDisks = (0..cluster.len()).map(|at| on_disk(cluster.member(at).archive.path())).collect();
    let union = union(&disks);
    for (at, disk) in disks.iter().enumerate().filter(|(at, _)| cluster.runs(*at)) {
        let mut more = Vec::new();
        for (hour, names) in union.iter().filter(|(hour, _)| !is_live(hour)) {
            let lies: BTreeSet<&String> = disk.get(hour).into_iter().flatten().collect();
            if owns(&layout, at, hour) {
                let lacks = names.iter().filter(|name| !lies.contains(name)).count();
                if lacks > 0 {
                    return Some(format!("{} lacks {lacks} of {} names of {hour}", name(at), names.len()));
                }
            } else if lies.iter().any(|name| !name.ends_with(".tombstone")) {
                more.push(hour);
            }
        }
        if more.len() as u64 > waits(cluster, at) {
            return Some(format!("{} keeps {} hours of others, such as {}", name(at), more.len(), more[0]));
        }
    }
    None
}

/// Hours of others that a node says it has to keep for a while.
fn waits(cluster: &Cluster, at: usize) -> u64 {
    let report = cluster.node(at).get("/api/v1/layout").json();
    let waiting = report["handoffs"]["waiting"].as_array().cloned().unwrap_or_default();
    let has_to =
        |why: &str| why.contains("was promised that it stays") || why.contains("has changed within ten minutes");
    let waiting = waiting.iter().filter(|one| one["why"].as_str().is_some_and(has_to));
    waiting.filter_map(|one| one["hours"].as_u64()).sum()
}

fn union(disks: &OnDisks) -> BTreeMap<String, BTreeSet<String>> {
    let mut union: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (hour, names) in disks.iter().flatten() {
        union.entry(hour.clone()).or_default().extend(names.iter().cloned());
    }
    union
}

fn recorded_lies_with_its_owners(cluster: &Cluster) -> bool {
    let layout = layout(cluster);
    let running: Vec<usize> = (0..cluster.len()).filter(|at| cluster.runs(*at)).collect();
    let disks: OnDisks = running.iter().map(|at| on_disk(cluster.member(*at).archive.path())).collect();
    let union = union(&disks);
    let mut live = union.iter().filter(|(hour, _)| is_live(hour)).peekable();
    let has_all = |(hour, names): (&String, &BTreeSet<String>)| {
        let owners = running.iter().zip(&disks).filter(|(at, _)| owns(&layout, **at, hour));
        owners.clone().count() == COPIES && owners.into_iter().all(|(_, disk)| disk.get(hour) == Some(names))
    };
    live.peek().is_some() && live.all(has_all)
}

/// What every node has to list of the hours of long ago, whatever moves: nothing of them is recorded or deleted meanwhile.
struct Listings {
    expected: Vec<(String, [Vec<String>; 2])>,
    /// Nodes that have heard of all of it once. One that has never heard from the others cannot know.
    whole: BTreeSet<usize>,
    asked: usize,
}

impl Listings {
    fn of(cluster: &Cluster) -> Self {
        let disks: OnDisks = (0..cluster.len()).map(|at| on_disk(cluster.member(at).archive.path())).collect();
        let of_hour = |(hour, names): (String, BTreeSet<String>)| {
            let names: Vec<String> = names.into_iter().collect();
            (hour, [false, true].map(|tombstones| model::listing(&names, tombstones)))
        };
        let expected = union(&disks).into_iter().filter(|(hour, _)| !is_live(hour)).map(of_hour).collect();
        Self { expected, whole: BTreeSet::new(), asked: 0 }
    }

    /// Asks each node for some hours, other ones each time.
    #[track_caller]
    fn are_whole(&mut self, cluster: &Cluster) {
        for at in (0..cluster.len()).filter(|at| cluster.runs(*at)) {
            let wrong = |(hour, expected): &(String, [Vec<String>; 2])| {
                let ask = |query: &str| cluster.node(at).get(&format!("/files/{}{query}", quoted(hour)));
                let answers = ["", "?tombstones=true"].map(ask);
                let is_so = answers.iter().zip(expected).all(|(answer, expected)| {
                    answer.status == 200 && answer.list() == *expected || answer.status == 404 && expected.is_empty()
                });
                (!is_so).then(|| format!("{} does not list {hour} as it is: {}", name(at), answers[1].status))
            };
            if !self.whole.contains(&at) {
                if self.expected.iter().all(|each| wrong(each).is_none()) {
                    self.whole.insert(at);
                }
                continue;
            }
            for _ in 0..5 {
                let each = &self.expected[self.asked * 7 % self.expected.len()];
                assert_eq!(wrong(each), None);
                self.asked += 1;
            }
        }
    }
}

/// Waits until all lies where the layout says, and asks for lists meanwhile.
#[track_caller]
fn in_place(cluster: &Cluster, listings: &mut Listings) {
    let begun = std::time::Instant::now();
    let patience = Duration::from_secs(180 + hours().len() as u64);
    while let Some(why) = misplaced(cluster) {
        listings.are_whole(cluster);
        if begun.elapsed() > patience {
            for at in (0..cluster.len()).filter(|at| cluster.runs(*at)) {
                eprintln!("{}: {}", name(at), cluster.node(at).run(&["layout", "status"]).out);
            }
            panic!("not in place within {patience:?}: {why}");
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Looks at all disks all the time, and notes where something has fewer copies than it had.
struct Witness {
    ledger: Arc<Mutex<Ledger>>,
    ends: Arc<AtomicBool>,
    runs: JoinHandle<()>,
}

#[derive(Default)]
struct Ledger {
    disks: Vec<PathBuf>,
    /// The most copies that each name was seen to have at the same time, by path.
    most: BTreeMap<String, usize>,
    looks: usize,
    wrong: Vec<String>,
}

impl Ledger {
    /// Two looks, one after the other: what both saw on a disk lay there between them, and what neither saw did not.
    fn look(&mut self) {
        let all = |disks: &[PathBuf]| disks.iter().map(|disk| on_disk(disk)).collect::<OnDisks>();
        let (before, after) = (all(&self.disks), all(&self.disks));
        let has = |disk: &BTreeMap<String, BTreeSet<String>>, hour: &str, name: &str| {
            disk.get(hour).is_some_and(|names| names.contains(name))
        };
        let known: Vec<(String, String)> = self
            .most
            .keys()
            .filter_map(|path| path.rsplit_once('/').map(|(hour, name)| (hour.to_owned(), name.to_owned())))
            .chain(
                union(&after)
                    .into_iter()
                    .flat_map(|(hour, names)| names.into_iter().map(move |name| (hour.clone(), name))),
            )
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        for (hour, name) in known {
            let pairs = || before.iter().zip(&after);
            let either = pairs().filter(|(one, two)| has(one, &hour, &name) || has(two, &hour, &name)).count();
            let both = pairs().filter(|(one, two)| has(one, &hour, &name) && has(two, &hour, &name)).count();
            let path = format!("{hour}/{name}");
            let most = self.most.entry(path.clone()).or_default();
            if either < (*most).min(COPIES) {
                self.wrong.push(format!("{path}: {either} copies, and it had {most}"));
            }
            *most = both.max(*most);
        }
        self.looks += 1;
    }
}

impl Witness {
    fn of(cluster: &Cluster) -> Self {
        let disks = (0..cluster.len()).map(|at| cluster.member(at).archive.path().to_owned()).collect();
        let ledger = Arc::new(Mutex::new(Ledger { disks, ..Ledger::default() }));
        let ends = Arc::new(AtomicBool::new(false));
        let (looking, told) = (Arc::clone(&ledger), Arc::clone(&ends));
        let runs = std::thread::spawn(move || {
            while !told.load(Ordering::SeqCst) {
                looking.lock().look();
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Self { ledger, ends, runs }
    }

    /// A disk is lost for good: nothing can be held against anybody but that it goes on from what is left.
    fn loses(&self, disk: &Path) {
        let mut ledger = self.ledger.lock();
        let lost = on_disk(disk);
        for (hour, names) in lost {
            for name in names {
                if let Some(most) = ledger.most.get_mut(&format!("{hour}/{name}")) {
                    // More of them than the layout asks for may have left meanwhile.
                    *most = (*most).min(COPIES) - 1;
                }
            }
        }
        ledger.disks.retain(|known| known != disk);
    }

    fn ends_content(self) {
        self.ends.store(true, Ordering::SeqCst);
        self.runs.join().unwrap();
        let ledger = self.ledger.lock();
        assert!(ledger.looks > 10, "it has looked {} times", ledger.looks);
        assert!(ledger.wrong.is_empty(), "{:?}", &ledger.wrong[..ledger.wrong.len().min(10)]);
    }
}

/// Files of long ago in the archives of those who own them by the layout, and some hours on a recorder that does not own them.
fn recorded_before(cluster: &mut Cluster) {
    let first = &cluster.member(0).archive;
    for (at, zone) in ZONES.iter().enumerate().take(5) {
        gapless(first.path(), &["layout", "add", &name(at), "--zone", zone, "--weight", "4TB"]).lines(0);
    }
    gapless(first.path(), &["layout", "copies", &COPIES.to_string()]).lines(0);
    gapless(first.path(), &["layout", "apply", "0"]).lines(0);
    let file = fs::read(first.at(".gapless/layout")).unwrap();
    for at in 1..cluster.len() {
        cluster.member(at).archive.raw(".gapless/layout", &file);
    }
    let layout = layout(cluster);
    for (number, hour) in hours().iter().enumerate() {
        let mut holders: Vec<usize> = (0..5).filter(|at| owns(&layout, *at, hour)).collect();
        if number % 5 == 0 {
            holders.push(RECORDERS[number / 5 % 2]);
        }
        holders.sort_unstable();
        holders.dedup();
        let mut paths = Vec::new();
        for time in ["10:00", "10:02"] {
            let prefix = format!("{hour}/{time}-2.0-full");
            let content = packets(&prefix, 2);
            paths.push(cluster.put(&prefix, "ts", &content, &holders));
        }
        if number % 10 == 3 {
            // It was purged as well: what is hidden and still lies here stays until it is.
            for holder in &holders {
                cluster.member(*holder).archive.tombstone(&paths[0]);
                cluster.member(*holder).archive.remove(&paths[0]);
            }
            let stem = paths[0].strip_suffix(".ts").unwrap();
            cluster.union.add(&format!("{stem}.tombstone"));
        }
        for holder in holders {
            long_ago(&cluster.member(holder).archive, hour);
        }
    }
}

/// Nothing has come into the hour for a day.
fn long_ago(archive: &TestArchive, hour: &str) {
    let dir = archive.at(hour);
    let then = SystemTime::now() - Duration::from_secs(86_400);
    for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
        fs::File::options().write(true).open(entry.path()).unwrap().set_modified(then).unwrap();
    }
    fs::File::open(&dir).unwrap().set_modified(then).unwrap();
}

/// Each node lists each hour as all of them together have it, whether or not it lies there; of those that recorders go on with, at least
/// what was there before it was asked.
#[track_caller]
fn every_listing_is_the_union(cluster: &Cluster, goes_on: bool) {
    let disks: OnDisks = (0..cluster.len()).map(|at| on_disk(cluster.member(at).archive.path())).collect();
    for (hour, names) in union(&disks) {
        let names: Vec<String> = names.into_iter().collect();
        for at in (0..cluster.len()).filter(|at| cluster.runs(*at)) {
            for (tombstones, query) in [(true, "?tombstones=true"), (false, "")] {
                let expected = model::listing(&names, tombstones);
                let ask = || cluster.node(at).get(&format!("/files/{}{query}", quoted(&hour)));
                let is_so = || {
                    let answer = ask();
                    let has = |list: &[String]| expected.iter().all(|name| list.contains(name));
                    answer.status == 200
                        && (answer.list() == expected || goes_on && is_live(&hour) && has(&answer.list()))
                };
                if !is_so() {
                    eventually(SOON, is_so);
                }
            }
        }
    }
}

/// The lines between two groups of nodes, both ways.
fn between(cluster: &Cluster, one: &[usize], other: &[usize], manner: Manner) {
    for (from, to) in one.iter().flat_map(|from| other.iter().map(move |to| (*from, *to))) {
        cluster.link(from, to).set(manner);
        cluster.link(to, from).set(manner);
    }
}

#[test]
fn nodes_come_and_go_and_all_comes_to_lie_where_the_layout_says_with_no_copy_too_few_on_the_way() {
    let small = Ground { small_disk: true, ..Ground::default() };
    let ground = [
        Ground::default(),
        Ground::default(),
        Ground::default(),
        Ground::default(),
        Ground::default(),
        small,
        Ground::default(),
    ];
    let mut cluster = Cluster::of(&ground).with(&[
        ("GAPLESS_BACKFILL_LAYOUTS_FROM", "all"),
        ("GAPLESS_BACKFILL_TOMBSTONES_FROM", "all"),
        ("GAPLESS_PLACEMENT_HANDOFFS_EVERY", "1s"),
    ]);
    recorded_before(&mut cluster);
    let deleted = cluster.union.deleted();
    let witness = Witness::of(&cluster);
    let mut listings = Listings::of(&cluster);
    // Nobody is there yet.
    between(&cluster, &[5, 6], &[0, 1, 2, 3, 4], Manner::Cut);
    (0..5).for_each(|at| cluster.start(at));
    let [first, second] = [0, 1].map(|number| Recorder::begin(&cluster, RECORDERS[number], STREAMS[number]));
    // What recorders wrote where it does not belong goes to its owners.
    in_place(&cluster, &mut listings);
    every_listing_is_the_union(&cluster, true);

    // A node comes, while its zone does not reach another one, and then its disk is full for a while.
    cluster.start(5);
    between(&cluster, &[5], &[0, 1, 4], Manner::Pass);
    between(&cluster, &[4], &[2, 3], Manner::Cut);
    stage(&cluster, &[&["add", "n5", "--zone", "cellar", "--weight", "4TB"]]);
    assert!(apply(&cluster));
    cluster.fill_disk(5);
    std::thread::sleep(Duration::from_secs(3));
    between(&cluster, &[4, 5], &[2, 3], Manner::Pass);
    cluster.give_room(5);
    in_place(&cluster, &mut listings);

    // One is away, with the layout of now, for all that follows up to its return.
    cluster.terminate(3);
    between(&cluster, &[3], &[0, 1, 2, 4, 5], Manner::Cut);
    // One is drained, and before that is done another one is given less.
    stage(&cluster, &[&["drain", "n1"]]);
    assert!(apply(&cluster));
    stage(&cluster, &[&["add", "n5", "--zone", "cellar", "--weight", "2TB"]]);
    assert!(apply(&cluster));
    cluster.kill(4);
    cluster.start(4);
    cluster.start(3);
    between(&cluster, &[3], &[0, 1, 2, 4, 5], Manner::Pass);
    in_place(&cluster, &mut listings);
    while apply(&cluster) {
        in_place(&cluster, &mut listings);
    }
    every_listing_is_the_union(&cluster, true);

    // One dies for good, with its disk and what records there.
    second.ends();
    cluster.kill(2);
    between(&cluster, &[2], &[0, 1, 3, 4, 5], Manner::Cut);
    witness.loses(cluster.member(2).archive.path());
    change(&cluster, &mut listings, &[&["lost", "n2"]]);
    in_place(&cluster, &mut listings);
    // Another one takes the place of one that works.
    cluster.start(6);
    between(&cluster, &[6], &[0, 1, 3, 4, 5], Manner::Pass);
    change(&cluster, &mut listings, &[&["replace", "n3", "n6"]]);
    in_place(&cluster, &mut listings);
    every_listing_is_the_union(&cluster, true);
    // One that has just begun counts as well as the others.
    cluster.restart(0);
    for at in (0..cluster.len()).filter(|at| cluster.runs(*at)) {
        let report = || cluster.node(at).get("/api/v1/layout").json()["dispersion"].clone();
        eventually(SOON * 2, || report()["done"] == true && report()["hours"] == hours().len());
        assert!(cluster.node(at).run(&["layout", "status"]).out.contains("copies: done, all of "));
    }

    // What was recorded meanwhile lies with all who own it.
    first.ends();
    eventually(SOON * 2, || recorded_lies_with_its_owners(&cluster));
    every_listing_is_the_union(&cluster, false);

    let running: Vec<usize> = (0..cluster.len()).filter(|at| cluster.runs(*at)).collect();
    assert!((0..5).all(|at| listings.whole.contains(&at)), "{:?} have heard of all of it", listings.whole);
    assert!(listings.asked > 100, "lists were asked for {} times", listings.asked);
    cluster.nobody_lists(&deleted);
    witness.ends_content();
    for at in running {
        cluster.node(at).wait_ready();
        cluster.node(at).check();
    }
}
