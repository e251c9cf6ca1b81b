//! What must be so after each step, by a model that knows what each operator has really done.
//!
//! A file that has gone from a disk must be one that somebody took: the operator of that machine by a purge, a limit that was
//! configured and holds by true time, or this test's own hand. What an operator has hidden is listed by no node that knows of it.

use std::collections::{BTreeMap, BTreeSet};

use super::clocks::{DAY, HOUR};
use super::disks::{Tree, hour_part, hour_place, is_tombstone, parts, start_and_hash, stem};
use crate::archive::HourPlace;
use crate::archive::retention::RetentionLimits;
use crate::wire::AskingGuard;

pub(super) const MACHINES: usize = 3;
/// Files that a peer may give of channels that nobody here records or names.
pub(super) const MOST_JUNK: usize = 12;
/// A clock is off by so much, and nobody minds.
const SLACK: i64 = 2 * HOUR;
/// The same content of the same channel so near a tombstone is what it hides.
const NEAR_US: i64 = 30_000_000;

#[derive(Debug, Clone)]
struct Fact {
    /// The machine on which it was recorded, if it was one of ours.
    of: Option<usize>,
    excuse: Option<&'static str>,
}

#[derive(Debug, Clone, Default)]
pub(super) enum LossCause {
    #[default]
    Nobody,
    Hand(usize),
    Purge(usize),
    Retention(RetentionRun),
}

#[derive(Debug, Clone)]
pub(super) struct RetentionRun {
    pub(super) machine: usize,
    pub(super) answered: Option<AskingGuard>,
    pub(super) limits: RetentionLimits,
    pub(super) reclaim_us: i64,
    pub(super) keep_last_copy: bool,
    pub(super) free: u64,
    /// True time, and what the node's clock showed.
    pub(super) now: i64,
    pub(super) wall: i64,
}

#[derive(Debug, Clone, Default)]
struct Memory {
    tree: Tree,
    /// Stems that an operator has hidden and of which this machine has had the tombstone.
    knows: BTreeSet<String>,
    /// Stems of which a trusted node has told by its list before the file was here.
    heard: BTreeSet<String>,
    kept: BTreeSet<HourPlace>,
    /// When an hour was retired, in time that the node has lived.
    retired: BTreeMap<HourPlace, i64>,
    /// Files that others' tombstones have hidden, when, and with how many in their hour.
    struck: BTreeMap<String, (i64, usize)>,
    first: BTreeSet<String>,
    held: Vec<(i64, usize)>,
    lived: i64,
    snapshot: (BTreeSet<HourPlace>, BTreeMap<HourPlace, i64>),
}

#[derive(Debug, Default)]
pub(super) struct ModelTruth {
    facts: BTreeMap<String, Fact>,
    buried: BTreeSet<String>,
    /// Stems whose tombstones an operator has accepted.
    accepted: BTreeSet<String>,
    machines: [Memory; MACHINES],
    has_retired: bool,
    pub(super) violations: Vec<String>,
}

impl ModelTruth {
    pub(super) fn recorded(&mut self, path: &str, machine: usize) {
        self.facts.insert(path.to_owned(), Fact { of: Some(machine), excuse: None });
    }

    pub(super) fn bury(&mut self, path: &str) {
        self.buried.insert(stem(path).to_owned());
    }

    pub(super) fn is_buried(&self, path: &str) -> bool {
        self.buried.contains(stem(path))
    }

    pub(super) fn keep(&mut self, machine: usize, place: &HourPlace, release: bool) {
        let kept = &mut self.machines[machine].kept;
        if release {
            kept.remove(place);
        } else {
            kept.insert(place.clone());
        }
    }

    /// The operator has begun the records of a machine anew.
    pub(super) fn keeps_nothing(&mut self, machine: usize) {
        self.machines[machine].kept.clear();
        self.machines[machine].held.clear();
    }

    pub(super) fn lives(&mut self, machine: usize, us: i64) {
        self.machines[machine].lived += us;
    }

    /// The operator takes over whatever hides something there.
    pub(super) fn accept(&mut self, machine: usize, tombstones: impl IntoIterator<Item = String>) {
        self.accepted.extend(tombstones);
        self.machines[machine].struck.clear();
    }

    /// A round with a trusted node that has these tombstones has succeeded; what was not here before is not to be shown.
    pub(super) fn heard(&mut self, machine: usize, theirs: &Tree, before: &Tree) {
        for tombstone in theirs.files.iter().filter(|path| is_tombstone(path)) {
            let stem = stem(tombstone);
            if self.buried.contains(stem) && !before.files.iter().any(|path| path.starts_with(stem)) {
                self.machines[machine].heard.insert(stem.to_owned());
            }
        }
    }

    pub(super) fn tree(&self, machine: usize) -> &Tree {
        &self.machines[machine].tree
    }

    /// What the records of a machine say now may be put back later.
    pub(super) fn remember(&mut self, machine: usize) {
        let memory = &mut self.machines[machine];
        memory.snapshot = (memory.kept.clone(), memory.retired.clone());
    }

    /// The test has put back another state of a disk: what that machine knew is what lies there now.
    pub(super) fn put_back(&mut self, machine: usize) {
        let memory = &mut self.machines[machine];
        (memory.kept, memory.retired) = memory.snapshot.clone();
        memory.knows.clear();
        memory.heard.clear();
        memory.struck.clear();
        self.has_retired |= true;
    }

    /// Whether retention has taken anything anywhere, so that nodes may differ.
    pub(super) fn has_retired(&self) -> bool {
        self.has_retired
    }

    fn wrong(&mut self, what: String) {
        self.violations.push(what);
    }

    /// Compares the disks with what they were before the step.
    pub(super) fn look(&mut self, trees: [Tree; MACHINES], taker: &LossCause) {
        for path in trees.iter().flat_map(|tree| &tree.files).filter(|path| !is_tombstone(path)) {
            self.facts.entry(path.clone()).or_insert(Fact { of: None, excuse: None });
        }
        for (machine, tree) in trees.iter().enumerate() {
            let before = std::mem::take(&mut self.machines[machine].tree);
            let lost: Vec<&String> = before.files.iter().filter(|path| !tree.holds(path)).collect();
            if !lost.is_empty() {
                self.lost(machine, &before, tree, &lost, taker, &trees);
            }
            let new: Vec<&String> = tree.files.difference(&before.files).collect();
            let strikes: Vec<&String> = new.iter().copied().filter(|path| is_tombstone(path)).collect();
            self.struck(machine, &before, &strikes, taker);
            // No clock here ever shows those years: they came from another.
            if let Some(path) = new.iter().find(|path| path.contains("/209")) {
                self.wrong(format!("machine {machine} has fetched {path}, which is from the future"));
            }
            let junk = tree.files.iter().filter(|path| path.starts_with("junk") && !is_tombstone(path)).count();
            if junk > MOST_JUNK {
                self.wrong(format!("machine {machine} holds {junk} files of channels that nobody here records"));
            }
            let memory = &mut self.machines[machine];
            if memory.first.is_empty() {
                memory.first = tree.hours().into_keys().map(str::to_owned).collect();
            }
            memory.held.push((memory.lived, memory.own_hours(machine, tree)));
            for tombstone in tree.files.iter().filter(|path| is_tombstone(path)) {
                if self.buried.contains(stem(tombstone)) {
                    memory.knows.insert(stem(tombstone).to_owned());
                }
            }
        }
        for (memory, tree) in self.machines.iter_mut().zip(trees) {
            memory.tree = tree;
        }
    }

    fn lost(
        &mut self,
        machine: usize,
        before: &Tree,
        after: &Tree,
        lost: &[&String],
        taker: &LossCause,
        trees: &[Tree; MACHINES],
    ) {
        let elsewhere = |path: &str| trees.iter().enumerate().any(|(other, tree)| other != machine && tree.holds(path));
        match taker {
            LossCause::Hand(hand) if *hand == machine => self.excuse(lost, "this test took it"),
            LossCause::Purge(at) if *at == machine => {
                for path in lost {
                    if !before.files.contains(&format!("{}.tombstone", stem(path))) {
                        self.wrong(format!("a purge took {path}, which no tombstone hid"));
                    }
                }
                self.excuse(lost, "purged");
            }
            LossCause::Retention(run) if run.machine == machine => {
                self.retention(run, before, after, lost, trees);
                for path in lost.iter().filter(|path| !is_tombstone(path) && run.keep_last_copy) {
                    if !elsewhere(path) && !self.is_buried(path) {
                        self.wrong(format!("retention took the last copy of {path}"));
                    }
                }
                self.excuse(lost, "retired");
            }
            _ => {
                for path in lost {
                    self.wrong(format!("{path} has gone from machine {machine}, and nobody took it"));
                }
            }
        }
    }

    fn excuse(&mut self, lost: &[&String], why: &'static str) {
        for path in lost {
            if let Some(fact) = self.facts.get_mut(*path) {
                fact.excuse = Some(why);
            }
        }
    }

    /// What retention took, against what it may take by true time and by what was configured.
    fn retention(
        &mut self,
        run: &RetentionRun,
        before: &Tree,
        after: &Tree,
        lost: &[&String],
        trees: &[Tree; MACHINES],
    ) {
        self.has_retired = true;
        let machine = run.machine;
        let bytes = before.files.iter().filter(|path| !is_tombstone(path)).count() * super::disks::BYTES;
        let is_full = run.limits.max_bytes.is_some_and(|most| bytes as u64 > most)
            || run.limits.min_free.is_some_and(|least| run.free < least);
        let hours: BTreeSet<HourPlace> =
            lost.iter().filter(|path| !is_tombstone(path)).map(|path| parts(path).place).collect();
        for place in &hours {
            let end = place.hour.end().us();
            let is_old = |now: i64| run.limits.max_age.is_some_and(|age| end + age.us() <= now + SLACK);
            if self.machines[machine].kept.contains(place) {
                self.wrong(format!("{place} was to be kept on machine {machine}, and retention took it"));
            } else if run.answered.is_some() {
                // The operator has looked at it.
            } else if !is_old(run.now) && !is_full {
                self.wrong(format!("retention took {place} from machine {machine}: no limit says so by true time"));
            } else if !is_old(run.wall) {
                self.own_first(run, place, lost, (before, after));
            }
            let memory = &mut self.machines[machine];
            memory.retired.insert(place.clone(), memory.lived);
        }
        self.half(run, after);
        if run.answered == Some(AskingGuard::Shrinking) {
            // What is left is what counts from now on: a person has said so.
            self.machines[machine].held.clear();
        }
        for tombstone in lost.iter().filter(|path| is_tombstone(path)) {
            self.reclaimed(run, tombstone, trees);
        }
    }

    /// What others brought goes before what was recorded here.
    fn own_first(&mut self, run: &RetentionRun, place: &HourPlace, lost: &[&String], (before, after): (&Tree, &Tree)) {
        let is_own = |path: &str| self.facts.get(path).is_some_and(|fact| fact.of == Some(run.machine));
        let lost_own = lost.iter().any(|path| !is_tombstone(path) && parts(path).place == *place && is_own(path));
        let could_go = |hour: &str| {
            let other = hour_place(hour);
            hour.starts_with("junk")
                && other.hour.end().us() + 2 * HOUR < run.wall
                && !self.machines[run.machine].kept.contains(&other)
        };
        let could_others_go = after.hours().keys().any(|hour| could_go(hour));
        // What lies beside it in the same hours makes nothing go either.
        let real = |path: &&String| self.facts.get(*path).is_some_and(|fact| fact.of.is_some());
        let held = before.files.iter().filter(|path| !is_tombstone(path)).filter(real).count() * super::disks::BYTES;
        let fits = run.limits.min_free.is_none() && run.limits.max_bytes.is_some_and(|most| held as u64 <= most);
        if lost_own && fits {
            self.wrong(format!(
                "{place} was recorded on machine {}, and there was room for all that was recorded",
                run.machine
            ));
        }
        if lost_own && could_others_go {
            self.wrong(format!(
                "{place} was recorded on machine {} and had to give way to what others brought",
                run.machine
            ));
        }
    }

    /// Unasked, an archive does not shrink below half of what it held within a week. One hour more or less is a matter of counting.
    fn half(&mut self, run: &RetentionRun, after: &Tree) {
        let memory = &self.machines[run.machine];
        // The node counts by days.
        let since = memory.lived - 6 * DAY;
        let held = memory.held.iter().filter(|(when, _)| *when >= since).map(|(_, hours)| *hours).max().unwrap_or(0);
        let left = memory.own_hours(run.machine, after);
        if run.answered != Some(AskingGuard::Shrinking) && left * 2 + 2 < held {
            self.wrong(format!("{left} of {held} hours are left on machine {} within a week, unasked", run.machine));
        }
    }

    fn reclaimed(&mut self, run: &RetentionRun, tombstone: &str, trees: &[Tree; MACHINES]) {
        let memory = &self.machines[run.machine];
        let place = parts(tombstone).place;
        match memory.retired.get(&place) {
            None => self.wrong(format!("{tombstone} has gone from machine {}, its hour was not retired", run.machine)),
            Some(when) if memory.lived - when < run.reclaim_us => {
                self.wrong(format!("{tombstone} has gone from machine {} before its time", run.machine));
            }
            Some(_) => {
                let unaware = trees.iter().enumerate().find(|(other, tree)| {
                    let bytes = tree.files.iter().any(|path| !is_tombstone(path) && stem(path) == stem(tombstone));
                    *other != run.machine && bytes && !tree.files.contains(tombstone)
                });
                if let Some((other, _)) = unaware {
                    self.wrong(format!(
                        "{tombstone} has gone from machine {}, and machine {other} holds what it hid and knows nothing of it",
                        run.machine
                    ));
                }
            }
        }
    }

    /// Tombstones that came from strangers hide a fifth of an hour at most, and one in any case, in three days.
    fn struck(&mut self, machine: usize, before: &Tree, strikes: &[&String], taker: &LossCause) {
        if matches!(taker, LossCause::Hand(hand) if *hand == machine) {
            return;
        }
        let hours = before.hours();
        // What strangers gave is no yardstick for what they hide, and no loss where they take it back.
        let is_junk = |path: &str| self.facts.get(path).is_none_or(|fact| fact.of.is_none());
        let real = |hour: &str| hours.get(hour).map_or(0, |paths| paths.iter().filter(|path| !is_junk(path)).count());
        let of_strikes: Vec<(bool, usize)> =
            strikes.iter().map(|path| (is_junk(&format!("{}.ts", stem(path))), real(hour_part(path)))).collect();
        for (tombstone, (hides_junk, of)) in strikes.iter().zip(of_strikes) {
            let stem = stem(tombstone);
            // A node hides the twins of what an operator has hidden.
            if self.buried.iter().any(|buried| are_twins(buried, &format!("{stem}.ts"))) {
                self.buried.insert(stem.to_owned());
            }
            let hidden = format!("{stem}.ts");
            let is_strangers = !self.buried.contains(stem) && !self.accepted.contains(stem);
            if is_strangers && !hides_junk && before.files.contains(&hidden) {
                let memory = &mut self.machines[machine];
                memory.struck.insert(hidden, (memory.lived, of));
            }
        }
        let memory = &self.machines[machine];
        let mut by_hour: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for (path, (when, of)) in &memory.struck {
            if memory.lived - when < 3 * DAY {
                let (struck, most) = by_hour.entry(hour_part(path)).or_default();
                (*struck, *most) = (*struck + 1, (*most).max(*of));
            }
        }
        let mut wrong = Vec::new();
        for (place, (struck, of)) in by_hour {
            if struck > (of / 5).max(1) {
                wrong.push(format!(
                    "{struck} of {of} segments of {place} on machine {machine} are hidden on a stranger's word"
                ));
            }
        }
        self.violations.extend(wrong);
    }

    /// What a node lists, against what its operators and its trusted nodes have hidden.
    pub(super) fn listing(&mut self, machine: usize, listed: impl Fn(&HourPlace) -> Vec<String>) {
        let memory = &self.machines[machine];
        let hours: BTreeSet<&str> = memory.knows.iter().chain(&memory.heard).map(|stem| hour_part(stem)).collect();
        let mut wrong = Vec::new();
        for place in hours.into_iter().map(hour_place) {
            for name in listed(&place) {
                let path = format!("{place}/{name}");
                if memory.knows.contains(stem(&path)) {
                    wrong.push(format!("machine {machine} lists {path}, which is hidden and which it knew to be"));
                } else if memory.heard.contains(stem(&path)) {
                    wrong.push(format!(
                        "machine {machine} lists {path}, which a trusted node had hidden before it came"
                    ));
                } else if let Some(twin) = memory.knows.iter().find(|stem| are_twins(stem, &path)) {
                    wrong.push(format!("machine {machine} lists {path}, the content of which {twin} hides"));
                }
            }
        }
        self.violations.extend(wrong);
    }
}

impl Memory {
    fn own_hours(&self, machine: usize, tree: &Tree) -> usize {
        let own = format!("cam{machine}/");
        tree.hours().keys().filter(|hour| hour.starts_with(&own) || self.first.contains(**hour)).count()
    }
}

fn are_twins(buried: &str, path: &str) -> bool {
    let hidden = format!("{buried}.ts");
    let (start, hash) = start_and_hash(&hidden);
    let (other, same) = start_and_hash(path);
    hour_part(buried) == hour_part(path) && hash == same && (start - other).abs() <= NEAR_US
}
