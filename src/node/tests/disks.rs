//! What becomes of the disk of a machine, and of what protects it there.

use std::path::{Path, PathBuf};

use super::clocks::HOUR;
use super::segments::{content, hour_of, name_of, put};
use super::step::{FileDamage, OwnFile};
use super::truth::MACHINES;
use super::world::ModelWorld;

impl ModelWorld<'_> {
    pub(super) fn snapshot(&mut self, machine: usize) {
        let (disk, copy) = (self.machines[machine].disk(), self.snapshot_dir(machine));
        if copy.exists() {
            std::fs::remove_dir_all(&copy).unwrap();
        }
        copy_all(&disk, &copy);
        self.truth.remember(machine);
    }

    fn snapshot_dir(&self, machine: usize) -> PathBuf {
        self.dir.path().join(format!("snapshot{machine}"))
    }

    pub(super) fn restore(&mut self, machine: usize, records_only: bool) {
        let copy = self.snapshot_dir(machine);
        if !copy.exists() || !self.machines[machine].is_mounted() {
            return;
        }
        self.machines[machine].stop();
        let base = self.machines[machine].base.clone();
        let (from, to) = if records_only { (copy.join(".gapless"), base.join(".gapless")) } else { (copy, base) };
        std::fs::remove_dir_all(&to).unwrap_or_default();
        copy_all(&from, &to);
        self.truth.put_back(machine);
        self.start(machine);
    }

    pub(super) fn damage(&mut self, machine: usize, what: OwnFile, harm: FileDamage) {
        self.machines[machine].stop();
        if let (OwnFile::Records { all }, FileDamage::Cut | FileDamage::Foreign | FileDamage::Older) = (what, harm) {
            self.exchange_records(machine, all, harm);
            self.start(machine);
            return;
        }
        let own = self.machines[machine].disk().join(".gapless");
        let mut files: Vec<PathBuf> = match what {
            OwnFile::Records { .. } => std::fs::read_dir(&own)
                .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
                .unwrap_or_default(),
            OwnFile::Index => vec![self.machines[machine].state.join("index.redb")],
            OwnFile::Marker => vec![own.join("marker")],
        };
        files.retain(|file| file.is_file() && (what == OwnFile::Marker || !file.ends_with("marker")));
        files.sort();
        if what == (OwnFile::Records { all: false }) && !files.is_empty() {
            files = vec![self.chance.pick(&files).clone()];
        }
        for file in files {
            let mut bytes = std::fs::read(&file).unwrap();
            if harm == FileDamage::Remove {
                std::fs::remove_file(&file).unwrap();
            } else if !bytes.is_empty() {
                let at = self.chance.below(bytes.len());
                bytes[at] ^= 1 << self.chance.below(7);
                std::fs::write(&file, bytes).unwrap();
            }
        }
        self.start(machine);
    }

    /// Copies of a record that are whole in themselves: cut at the end of a line, another machine's, or older ones. With `both` both of
    /// them are such, otherwise the other has gone.
    fn exchange_records(&mut self, machine: usize, both: bool, harm: FileDamage) {
        let own = self.machines[machine].disk().join(".gapless");
        let from = match harm {
            FileDamage::Foreign => self.machines[(machine + 1) % MACHINES].disk().join(".gapless"),
            FileDamage::Older => self.snapshot_dir(machine).join(".gapless"),
            _ => own.clone(),
        };
        let name = if harm == FileDamage::Cut {
            "retired"
        } else {
            *self.chance.pick(&["retired", "retired", "retired", "levels", "time"])
        };
        let lines = 1 + self.chance.below(3);
        for copy in [name.to_owned(), format!("{name}.2")] {
            let Ok(bytes) = std::fs::read(from.join(&copy)) else { return };
            let all: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            let left = if harm == FileDamage::Cut { all.len().saturating_sub(lines).max(1) } else { all.len() };
            std::fs::write(own.join(copy), all[..left.min(all.len())].concat()).unwrap();
        }
        if !both {
            let gone = if self.chance.one_in(2) { name.to_owned() } else { format!("{name}.2") };
            std::fs::remove_file(own.join(gone)).unwrap();
        }
    }

    /// Another disk is mounted in place of the right one: with another marker, and with some hours.
    pub(super) fn swap(&mut self, machine: usize) {
        if !self.machines[machine].is_mounted() {
            return;
        }
        self.machines[machine].mount(false);
        let base = self.machines[machine].base.clone();
        let content = content(1_000_000);
        let place = format!("cam{machine}/source/{}", hour_of(self.time.now() - 5 * HOUR));
        put(&base, &format!("{place}/{}", name_of(0, &content)), &content);
        let marker = format!("gapless-marker 1\nid {:032x}\n", self.chance.number());
        std::fs::create_dir(base.join(".gapless")).unwrap();
        std::fs::write(base.join(".gapless/marker"), marker).unwrap();
    }
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (kind, target) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy_all(&entry.path(), &target);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
