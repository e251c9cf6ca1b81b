//! Rounds, and the end of a history: everything is healed, the nodes agree, and it is looked at once more.

use std::collections::{BTreeMap, BTreeSet};

use super::clocks::HOUR;
use super::disks::{Tree, hour_of, hour_part, hour_place, start_and_hash};
use super::truth::{LossCause, MACHINES};
use super::world::ModelWorld;
use crate::archive::HourContents;

/// Rounds after which nodes that can reach each other agree, and some more.
const ROUNDS: usize = 6;

impl ModelWorld<'_> {
    pub(super) fn round(&mut self, machine: usize) -> u64 {
        // As it was when everything was looked at last.
        let before = self.truth.tree(machine).clone();
        let theirs: Vec<Tree> = (0..MACHINES).map(|other| self.truth.tree(other).clone()).collect();
        let mut changed = 0;
        self.machines[machine].waits = false;
        self.told.clear();
        for status in self.machines[machine].round(self.street) {
            let Some((report, _)) = &status.last else { continue };
            let said = format!("{}: failures {}, {report:?}; ", status.peer.name, status.failures);
            self.told.push_str(&said);
            changed += report.fetched + report.tombstones;
            self.machines[machine].waits |= !report.bursts.is_empty();
            // One that says that there was no room for something says so.
            let is_whole = status.failures == 0 && report.is_complete() && report.over_budget == 0;
            let Some(peer) = self.behind(machine, &status.peer).filter(|_| is_whole) else { continue };
            if status.is_ours == Some(true) && self.machines[peer].is_mounted() {
                self.truth.heard(machine, &theirs[peer], &before);
                self.is_occupied(machine, peer, &theirs[peer]);
            }
        }
        changed
    }

    /// A round that is reported complete has not passed over a name that something else has here.
    fn is_occupied(&mut self, machine: usize, peer: usize, theirs: &Tree) {
        for (at, path) in &self.occupied {
            let is_there = std::fs::symlink_metadata(self.machines[machine].base.join(path));
            if *at == machine && theirs.files.contains(path) && is_there.is_ok_and(|meta| !meta.is_file()) {
                let what = format!(
                    "machine {machine} has taken all that machine {peer} has, it says; {path} is no file there"
                );
                self.truth.violations.push(what);
            }
        }
    }

    /// Ends all faults, has the nodes agree, and looks at everything once more.
    pub(super) fn converge(&mut self) {
        let off = crate::archive::retention::RetentionLimits::default();
        for machine in 0..MACHINES {
            let at = &mut self.machines[machine];
            if at.settings.limits != off || !at.is_mounted() || !at.has_its_marker() {
                at.stop();
            }
            self.machines[machine].mount(true);
            self.machines[machine].mend_marker();
            self.machines[machine].wrist.set(0);
            self.set_free(machine, 0);
            self.machines[machine].settings.limits = off.clone();
            self.street.doors[machine].fails(None);
            for other in 0..MACHINES {
                self.cut(other, machine, false);
                self.readdress(machine, other, other);
            }
            for door in 0..super::street::DOORS - MACHINES {
                self.lists(machine, door, None, false);
            }
        }
        for (machine, path) in std::mem::take(&mut self.occupied) {
            let at = self.machines[machine].base.join(path);
            if at.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
                std::fs::remove_dir(at).unwrap();
            } else {
                // It may have become a file since.
                std::fs::remove_file(at).unwrap_or_default();
            }
        }
        self.look(&LossCause::Hand(0));
        for machine in 0..MACHINES {
            if self.machines[machine].node.is_none() {
                self.start(machine);
            }
            if self.machines[machine].node.is_none() {
                self.machines[machine].lose_index();
                self.start(machine);
            }
        }
        for machine in 0..MACHINES {
            self.machines[machine].node.iter().for_each(super::machine::ModelNode::accept_what_is_missing);
        }
        for machine in 0..MACHINES {
            let node = self.machines[machine].node.as_ref();
            if node.is_some_and(|node| !node.retention.unusable_records().is_empty()) {
                self.accept(machine);
            }
        }
        self.look(&LossCause::Nobody);
        for _ in 0..ROUNDS {
            let changed: u64 = (0..MACHINES).map(|machine| self.round(machine)).sum();
            let waiting: Vec<usize> = (0..MACHINES).filter(|machine| self.machines[*machine].waits).collect();
            self.look(&LossCause::Nobody);
            let have_the_same = (1..MACHINES).all(|other| self.truth.tree(0).files == self.truth.tree(other).files);
            if waiting.is_empty() && (changed == 0 || have_the_same) {
                break;
            }
            for machine in waiting {
                self.accept(machine);
                self.look(&LossCause::Nobody);
            }
        }
        self.everybody_has_everything();
        self.indexes_are_right();
    }

    /// What one node lists all list, unless it was retired somewhere.
    fn everybody_has_everything(&mut self) {
        if self.truth.has_retired() {
            return;
        }
        // What a wrong clock has written into the future is fetched when its time comes.
        let last = hour_of(self.time.now() + HOUR).to_string();
        let listed: Vec<BTreeSet<String>> = (0..MACHINES)
            .map(|machine| {
                self.listed(machine).into_iter().filter(|path| *path.split('/').nth(2).unwrap() <= *last).collect()
            })
            .collect();
        for machine in 0..MACHINES {
            let missing: Vec<&String> =
                listed.iter().flatten().filter(|path| !listed[machine].contains(*path)).collect();
            let has_twin = |path: &str| {
                let (start, hash) = start_and_hash(path);
                let is_near = |other: &String| {
                    let (at, same) = start_and_hash(other);
                    hour_part(other) == hour_part(path) && hash == same && (start - at).abs() <= 30_000_000
                };
                listed[machine].iter().any(is_near)
            };
            if let Some(path) = missing.into_iter().find(|path| !has_twin(path)) {
                let what = format!("{path} has not reached machine {machine}, though everything is healed");
                self.truth.violations.push(what);
            }
        }
    }

    fn listed(&self, machine: usize) -> BTreeSet<String> {
        let Some(node) = &self.machines[machine].node else { return BTreeSet::new() };
        let hours: BTreeSet<String> =
            self.machines[machine].tree().files.iter().map(|path| hour_part(path).to_owned()).collect();
        hours
            .iter()
            .flat_map(|hour| node.listed(&hour_place(hour)).into_iter().map(move |name| format!("{hour}/{name}")))
            .collect()
    }

    /// The index is what a look at the disk would make it.
    fn indexes_are_right(&mut self) {
        for machine in 0..MACHINES {
            let Some(node) = &mut self.machines[machine].node else { continue };
            node.catch_up();
            let index = std::sync::Arc::clone(node.keeper.index());
            let mut by_hour: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for path in self.machines[machine].tree().files {
                by_hour
                    .entry(hour_part(&path).to_owned())
                    .or_default()
                    .push(path.rsplit_once('/').unwrap().1.to_owned());
            }
            for (place, names) in by_hour.into_iter().map(|(hour, names)| (hour_place(&hour), names)) {
                let on_disk = HourContents::from_names(names.iter().map(|name| (name.as_str(), 0)));
                let view = index.hour(&place.stream.to_string(), place.hour).unwrap();
                let in_index = view.map(|view| view.contents.listed(true)).unwrap_or_default();
                if on_disk.listed(true) != in_index {
                    self.truth.violations.push(format!("the index of machine {machine} is wrong about {place}"));
                }
            }
        }
    }
}
