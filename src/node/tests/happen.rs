//! What each step does to the world.

use std::collections::BTreeSet;

use super::clocks::HOUR;
use super::disks::{BYTES, Tree, hour_of, hour_place, is_tombstone, name_of, parts, put, start_and_hash, stem};
use super::step::{Attack, ModelStep, OperatorLimit};
use super::truth::{LossCause, MACHINES, RetentionRun};
use super::world::{FREE, ModelWorld};
use crate::archive::blocks::BLOCK;
use crate::archive::retention::RetentionLimits;
use crate::archive::{HourPlace, Span};
use crate::jobs::Stop;
use crate::lifecycle::tombstones::{self, IndexTrust, Purge, TombstoneBounds, TombstoneScope};

impl ModelWorld<'_> {
    /// Something happens, and everything is looked at afterwards.
    pub(super) fn step(&mut self, step: &ModelStep) {
        self.told.clear();
        let taker = self.happen(step);
        for machine in &mut self.machines {
            if let Some(node) = &mut machine.node {
                node.look_at_disk();
            }
        }
        // What changes no disk is looked at together with the next step.
        let is_quiet = matches!(
            step,
            ModelStep::Line { .. }
                | ModelStep::Fail { .. }
                | ModelStep::Readdress { .. }
                | ModelStep::Live { .. }
                | ModelStep::Free { .. }
                | ModelStep::Snapshot { .. }
                | ModelStep::Keep { .. }
        );
        if !is_quiet {
            self.look(&taker);
        }
    }

    fn happen(&mut self, step: &ModelStep) -> LossCause {
        match step.clone() {
            ModelStep::Record { machine, back, count } => {
                let hour = hour_of(self.machines[machine].wrist.wall() - back * HOUR);
                for _ in 0..count {
                    let (path, content) = self.new_segment(machine, hour);
                    self.record(machine, &path, &content);
                }
            }
            ModelStep::Twin { machine, apart_us } => self.twin(machine, apart_us),
            ModelStep::Tombstone { machine, count } => self.tombstone(machine, count),
            ModelStep::Purge { machine } => {
                self.purge(machine);
                return LossCause::Purge(machine);
            }
            ModelStep::Keep { machine, release } => self.keep(machine, release),
            ModelStep::Limit { machine, limit } => {
                let held = self.truth.tree(machine).hours().values().map(Vec::len).sum();
                self.machines[machine].settings.limits = limits(limit, FREE, held);
                self.restart(machine);
            }
            ModelStep::LastCopy { machine, keep, at_other } => {
                let settings = &mut self.machines[machine].settings;
                settings.keep_last_copy = keep;
                settings.copies_at = if at_other { vec!["other0".to_owned()] } else { Vec::new() };
                self.restart(machine);
            }
            ModelStep::Retain { machine, confirmed } => return self.retain(machine, confirmed, &Stop::new()),
            ModelStep::RetainCut { machine } => {
                let cut = Stop::after(2 + self.chance.number() % 8);
                let taker = self.retain(machine, true, &cut);
                self.machines[machine].kill();
                self.start(machine);
                return taker;
            }
            ModelStep::Live { us } => {
                self.time.pass(us);
                for machine in 0..MACHINES {
                    self.truth.lives(machine, us);
                }
            }
            ModelStep::Clock { machine, ahead, reboot } => {
                self.machines[machine].wrist.set(ahead);
                if reboot {
                    self.machines[machine].kill();
                    self.machines[machine].wrist.reboot();
                    self.start(machine);
                }
            }
            ModelStep::Free { machine, segments } => self.set_free(machine, segments),
            ModelStep::Restart { machine, kill, lose_index } => {
                if kill {
                    self.machines[machine].kill();
                } else {
                    self.machines[machine].stop();
                }
                if lose_index {
                    self.machines[machine].lose_index();
                }
                self.start(machine);
            }
            ModelStep::Down { machine } => self.machines[machine].stop(),
            ModelStep::Snapshot { machine } => self.snapshot(machine),
            ModelStep::Restore { machine, records_only } => {
                self.restore(machine, records_only);
                return LossCause::Hand(machine);
            }
            ModelStep::Damage { machine, what, harm } => self.damage(machine, what, harm),
            ModelStep::Mount { machine, mounted } => self.machines[machine].mount(mounted),
            ModelStep::Swap { machine } => self.swap(machine),
            ModelStep::Occupy { machine } => self.occupy(machine),
            ModelStep::Round { machine } => {
                self.round(machine);
            }
            ModelStep::Line { from, to, cut } => self.cut(from, to, cut),
            ModelStep::Fail { machine, path } => self.street.doors[machine].fails(path),
            ModelStep::Readdress { machine, other } => {
                let third = MACHINES - machine - other;
                self.readdress(machine, other, third);
            }
            ModelStep::Accept { machine } => self.accept(machine),
            ModelStep::Other { door, attack, against } => self.attack(door, attack, against),
        }
        LossCause::Nobody
    }

    pub(super) fn restart(&mut self, machine: usize) {
        self.machines[machine].stop();
        self.start(machine);
    }

    /// The same content once more, a little later or earlier: two recorders of one stream, or a recorder that was started anew.
    fn twin(&mut self, machine: usize, apart_us: i64) {
        let tree = self.truth.tree(machine);
        let buried: Vec<String> = tree.files.iter().filter(|path| is_tombstone(path)).cloned().collect();
        let all: Vec<String> = tree.files.iter().filter(|path| !is_tombstone(path)).cloned().collect();
        let hidden: Vec<String> = buried.iter().map(|path| format!("{}.ts", stem(path))).collect();
        let hidden: Vec<String> = hidden.into_iter().filter(|path| all.contains(path)).collect();
        let among = if hidden.is_empty() || self.chance.one_in(3) { all } else { hidden };
        if among.is_empty() {
            return;
        }
        let path = self.chance.pick(&among).clone();
        let Ok(bytes) = std::fs::read(self.machines[machine].base.join(&path)) else { return };
        let start = start_and_hash(&path).0 + apart_us;
        if start < HOUR {
            let twin = format!("{}/{}", parts(&path).place, name_of(start, &bytes));
            self.record(machine, &twin, &bytes);
        }
    }

    fn tombstone(&mut self, machine: usize, count: usize) {
        let Some((_, paths)) = self.full_hour(machine) else { return };
        let chosen: Vec<String> = paths.into_iter().take(count).collect();
        let Some(node) = &self.machines[machine].node else { return };
        if tombstones::add(&node.keeper, &chosen, None).is_ok() {
            for path in &chosen {
                if self.machines[machine].base.join(format!("{}.tombstone", stem(path))).exists() {
                    self.truth.bury(path);
                }
            }
        }
    }

    fn purge(&self, machine: usize) {
        let settings = &self.machines[machine].settings;
        let Some(node) = &self.machines[machine].node else { return };
        let stay = node.retention.hidden_last_copies();
        let stay = settings.keep_last_copy.then_some(&stay as &tombstones::Stay);
        let purge = Purge { keeper: &node.keeper, deleted: &node.deleted, stay, dry_run: false };
        let bounds = TombstoneBounds { files: 10_000, hours: 1_000 };
        // It may fail where the disk is away.
        let _report = purge.scope(&TombstoneScope::everything(), None, bounds, IndexTrust::Behind);
    }

    fn keep(&mut self, machine: usize, release: bool) {
        let hours: Vec<HourPlace> = self.truth.tree(machine).hours().into_keys().map(hour_place).collect();
        if hours.is_empty() {
            return;
        }
        // Those that would go soon are those about which somebody says something.
        let place = hours[self.chance.below(hours.len().min(6))].clone();
        let Some(node) = &self.machines[machine].node else { return };
        if node.retention.keep(std::slice::from_ref(&place), release).is_ok() {
            self.truth.keep(machine, &place, release);
        }
    }

    fn retain(&mut self, machine: usize, confirmed: bool, stop: &Stop) -> LossCause {
        let at = &self.machines[machine];
        let Some(node) = &at.node else { return LossCause::Nobody };
        // A person answers what is asked, and has seen nothing else.
        let answered = node.asks().filter(|_| confirmed);
        let report = node.retain(answered, stop);
        self.told = format!("{report:?}");
        LossCause::Retention(RetentionRun {
            machine,
            answered,
            limits: at.settings.limits.clone(),
            reclaim_us: at.settings.reclaim_age.us(),
            keep_last_copy: at.settings.keep_last_copy,
            free: at.wrist.free(),
            now: self.time.now(),
            wall: at.wrist.wall(),
        })
    }

    /// Something that is no file has the name of a segment that another machine records.
    fn occupy(&mut self, machine: usize) {
        let other = (machine + 1) % MACHINES;
        let (path, content) = self.new_segment(other, hour_of(self.time.now() - 4 * HOUR));
        if !self.machines[machine].is_mounted() {
            return;
        }
        let at = self.machines[machine].base.join(&path);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        if self.chance.one_in(2) {
            std::fs::create_dir(&at).unwrap();
        } else {
            std::os::unix::fs::symlink("nowhere", &at).unwrap();
        }
        self.record(other, &path, &content);
        self.occupied.push((machine, path));
    }

    pub(super) fn accept(&mut self, machine: usize) {
        let street = self.street;
        let at = &mut self.machines[machine];
        let Some(node) = &at.node else { return };
        node.accept_what_is_missing();
        if !node.retention.unusable_records().is_empty() && node.retention.accept().is_ok() {
            // What was kept there may have been in what was lost.
            self.truth.keeps_nothing(machine);
        }
        let strangers = Tree::read(&self.dir.path().join("other0")).files;
        let hidden: BTreeSet<String> = self
            .machines
            .iter()
            .flat_map(|other| other.tree().files)
            .chain(strangers)
            .filter(|path| is_tombstone(path))
            .map(|path| stem(&path).to_owned())
            .collect();
        self.truth.accept(machine, hidden);
        self.machines[machine].accept_bursts(street);
    }

    fn attack(&mut self, door: usize, attack: Attack, against: usize) {
        let dir = self.other_dir(door);
        match attack {
            Attack::Mirror(of) => {
                let base = self.machines[of].base.clone();
                return self.lists(against, door, Some(&base), false);
            }
            Attack::Burst { tombstones, names } => {
                let Some((place, paths)) = self.full_hour(against) else { return };
                for path in paths.iter().take(tombstones) {
                    put(&dir, &format!("{}.tombstone", stem(path)), b"");
                }
                for _ in 0..names {
                    let (invented, _) = self.new_segment(against, place.hour);
                    put(&dir, &format!("{place}/{}", parts(&invented).name), b"not what the name says");
                }
            }
            Attack::Gifts { each } => {
                let hours: Vec<String> = self.truth.tree(against).hours().into_keys().map(str::to_owned).collect();
                for hour in hours.iter().filter(|hour| hour.starts_with("cam")) {
                    for _ in 0..each {
                        let (path, content) = self.new_segment(against, hour_place(hour).hour);
                        put(&dir, &format!("{hour}/{}", parts(&path).name), &content);
                    }
                }
            }
            Attack::Junk { hours, each } => {
                for back in 0..i64::try_from(hours).unwrap() {
                    let hour = hour_of(self.time.now() - (back + 3) * HOUR);
                    for _ in 0..each {
                        let (path, content) = self.new_segment(against, hour);
                        put(&dir, &format!("junk{door}/x/{hour}/{}", parts(&path).name), &content);
                    }
                }
            }
            Attack::Future => {
                for hour in ["2099-01-01T00", "2098-12-31T23"] {
                    let (path, content) = self.new_segment(against, hour_of(self.time.now()));
                    put(&dir, &format!("cam{against}/source/{hour}/{}", parts(&path).name), &content);
                }
            }
        }
        self.lists(against, door, Some(&dir), true);
    }
}

fn limits(limit: OperatorLimit, free: u64, held: usize) -> RetentionLimits {
    let off = RetentionLimits::default();
    match limit {
        OperatorLimit::Off => off,
        OperatorLimit::AgeHours(hours) => RetentionLimits { max_age: Some(Span::from_us(hours * HOUR)), ..off },
        OperatorLimit::Segments(count) => RetentionLimits { max_bytes: Some(count * BYTES as u64), ..off },
        OperatorLimit::Fewer(count) => {
            RetentionLimits { max_bytes: Some((held.saturating_sub(count) * BYTES) as u64), ..off }
        }
        OperatorLimit::Free(count) => RetentionLimits { min_free: Some(free + count * BLOCK), ..off },
    }
}
