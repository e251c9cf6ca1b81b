//! Three machines, the lines between them, the other peers that there are, and what happens to them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::clocks::{BEGIN, HOUR, ModelClock, TrueTime};
use super::disks::{content, hour_of, hour_place, name_of, parts, put};
use super::machine::{Machine, Settings};
use super::street::{ModelNetwork, fixed_part};
use super::truth::{LossCause, MACHINES, ModelTruth};
use crate::archive::blocks::BLOCK;
use crate::archive::guards::Guard;
use crate::archive::retention::RetentionLimits;
use crate::archive::{HourPlace, Span, Stream};
use crate::replicate::peer::Peer;

/// Names of the machines.
const NAMES: [&str; MACHINES] = ["ash", "birch", "cedar"];
/// Hours that lie there when a history begins.
const HOURS: i64 = 5;
/// Bytes that are free on each disk when a history begins.
pub(super) const FREE: u64 = 1 << 40;

pub(super) struct ModelWorld<'s> {
    pub(super) street: &'s ModelNetwork,
    pub(super) dir: tempfile::TempDir,
    pub(super) time: Arc<TrueTime>,
    pub(super) machines: Vec<Machine>,
    pub(super) truth: ModelTruth,
    pub(super) chance: SeededNumbers,
    contents: u64,
    /// What the node said of the last step, for whoever plays a history again.
    pub(super) told: String,
    /// A segment that a machine cannot take, because something else has its name there.
    pub(super) occupied: Vec<(usize, String)>,
}

impl<'s> ModelWorld<'s> {
    /// Three nodes that run, with some hours on their disks, most of them on more than one.
    pub(super) fn new(street: &'s ModelNetwork, seed: u64, guards_out: &[Guard]) -> Self {
        let dir = tempfile::Builder::new().prefix("gapless-model-").tempdir_in(memory()).unwrap();
        let time = TrueTime::begin();
        street.doors.iter().for_each(super::street::ModelAddress::clear);
        let machines = (0..MACHINES).map(|number| {
            let settings = Settings {
                limits: RetentionLimits::default(),
                reclaim_age: Span::from_us(10 * 24 * HOUR),
                keep_last_copy: false,
                copies_at: Vec::new(),
                peers: peers_of(street, number),
            };
            let wrist = ModelClock::new(&time, number as u64 + 1);
            let mut machine = Machine::new(dir.path(), NAMES[number], street.doors[number].clone(), wrist, settings);
            machine.guards_out = guards_out.to_vec();
            machine
        });
        let machines: Vec<Machine> = machines.collect();
        for machine in &machines {
            let others = machines.iter().filter(|other| other.name != machine.name);
            machine.wrist.hears(others.map(|other| (other.name.clone(), Arc::downgrade(&other.wrist))).collect());
        }
        let chance = SeededNumbers::new(seed ^ 0x0077_6f72_6c64);
        let (truth, occupied) = (ModelTruth::default(), Vec::new());
        let mut world = Self { street, dir, time, machines, truth, chance, contents: 0, occupied, told: String::new() };
        world.fill();
        for machine in 0..MACHINES {
            world.start(machine);
        }
        world.look(&LossCause::Hand(0));
        world
    }

    fn fill(&mut self) {
        for owner in 0..MACHINES {
            for back in 0..HOURS {
                let hour = hour_of(BEGIN - (back + 3) * HOUR);
                for _ in 0..5 + self.chance.below(2) {
                    let (path, content) = self.new_segment(owner, hour);
                    for machine in 0..MACHINES {
                        if machine == owner || !self.chance.one_in(6) {
                            put(&self.machines[machine].base, &path, &content);
                        }
                    }
                    self.truth.recorded(&path, owner);
                }
            }
        }
    }

    /// A segment in the channel of this machine, nowhere yet.
    pub(super) fn new_segment(&mut self, owner: usize, hour: crate::archive::Hour) -> (String, Vec<u8>) {
        self.contents += 1;
        let content = content(self.contents);
        let start = self.chance.between(0, 1790) * 2_000_000 + self.chance.between(0, 999_999);
        (format!("cam{owner}/source/{hour}/{}", name_of(start, &content)), content)
    }

    pub(super) fn start(&mut self, machine: usize) {
        let street = self.street;
        self.machines[machine].stop();
        // Where it refuses, it stays down until it is tried again.
        let _refused: Result<(), String> = self.machines[machine].start(street);
    }

    /// Writes a segment as the recorder of this machine does.
    pub(super) fn record(&mut self, machine: usize, path: &str, content: &[u8]) {
        if !self.machines[machine].is_mounted() {
            return;
        }
        put(&self.machines[machine].base, path, content);
        self.truth.recorded(path, machine);
        self.changed(machine, &parts(path).place);
    }

    pub(super) fn changed(&self, machine: usize, place: &HourPlace) {
        if let Some(node) = &self.machines[machine].node {
            // It may fail where the disk is away.
            let _heard = node.keeper.reconcile(std::slice::from_ref(place), true);
        }
    }

    /// An hour with the most segments on a machine, of those that lie furthest back or not.
    pub(super) fn full_hour(&mut self, machine: usize) -> Option<(HourPlace, Vec<String>)> {
        let hours = self.truth.tree(machine).hours();
        let most = hours.values().map(Vec::len).max()?;
        let full: Vec<_> = hours.into_iter().filter(|(_, paths)| paths.len() + 1 >= most).collect();
        let (hour, paths) = self.chance.pick(&full).clone();
        Some((hour_place(hour), paths.into_iter().cloned().collect()))
    }

    pub(super) fn other_dir(&self, door: usize) -> PathBuf {
        let dir = self.dir.path().join(format!("other{door}"));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// Has a machine ask what stands behind this door.
    pub(super) fn lists(&mut self, machine: usize, door: usize, serves: Option<&Path>, trusted: bool) {
        let behind = &self.street.doors[MACHINES + door];
        behind.shows(serves.map(|dir| fixed_part(dir.to_owned())));
        let name = format!("other{door}");
        let peers = &mut self.machines[machine].settings.peers;
        peers.retain(|peer| peer.name != name);
        if serves.is_some() {
            peers.push(Peer { name, url: behind.url_for(NAMES[machine]), trusted });
        }
        let peers = peers.clone();
        self.machines[machine].list.send_replace(peers);
    }

    pub(super) fn cut(&self, from: usize, to: usize, is_cut: bool) {
        self.street.doors[to].cut(NAMES[from], is_cut);
    }

    /// In the list of a machine the name of another leads to where this one is.
    pub(super) fn readdress(&mut self, machine: usize, other: usize, to: usize) {
        let url = self.street.doors[to].url_for(NAMES[machine]);
        let peers = &mut self.machines[machine].settings.peers;
        peers.iter_mut().filter(|peer| peer.name == NAMES[other]).for_each(|peer| peer.url = url.clone());
        let peers = peers.clone();
        self.machines[machine].list.send_replace(peers);
    }

    /// The machine that a peer of another leads to, whatever its name.
    pub(super) fn behind(&self, asking: usize, peer: &Peer) -> Option<usize> {
        (0..MACHINES).find(|machine| self.street.doors[*machine].url_for(NAMES[asking]) == peer.url)
    }

    /// Looks at the disks, and asks the nodes what they list.
    pub(super) fn look(&mut self, taker: &LossCause) {
        let trees = [0, 1, 2].map(|machine| self.machines[machine].tree());
        self.truth.look(trees, taker);
        for (number, machine) in self.machines.iter().enumerate() {
            if let Some(node) = &machine.node {
                self.truth.listing(number, |place| node.listed(place));
                let now = format!("cam{number}/source/{}", hour_of(self.time.now()));
                let own = format!("cam{number}/");
                let has_present =
                    self.truth.tree(number).hours().into_keys().any(|hour| hour.starts_with(&own) && *hour <= *now);
                let stream = Stream::parse(&format!("cam{number}/source")).unwrap();
                let newest = node.keeper.view(&stream).map(|(_, newest)| newest);
                let future = newest.filter(|newest| has_present && *newest > hour_of(self.time.now() + 3 * HOUR));
                if let Some(hour) = future.filter(|_| machine.wrist.ahead() == 0) {
                    let what = format!("machine {number} takes {hour} for the newest hour of its channel");
                    self.truth.violations.push(what);
                }
            }
        }
    }

    pub(super) fn set_free(&self, machine: usize, missing: u64) {
        self.machines[machine].wrist.set_free(FREE - missing * BLOCK);
    }
}

impl Drop for ModelWorld<'_> {
    fn drop(&mut self) {
        self.machines.iter_mut().for_each(Machine::stop);
    }
}

/// The list of a machine in the beginning: the others under their names.
fn peers_of(street: &ModelNetwork, machine: usize) -> Vec<Peer> {
    let others = (0..MACHINES).filter(|other| *other != machine);
    let peer = |other: usize| Peer {
        name: NAMES[other].to_owned(),
        url: street.doors[other].url_for(NAMES[machine]),
        trusted: true,
    };
    others.map(peer).collect()
}

/// A disk in memory, where there is one.
fn memory() -> PathBuf {
    let shm = PathBuf::from("/dev/shm");
    if shm.is_dir() { shm } else { std::env::temp_dir() }
}

/// A row of numbers that follows from its seed (`SplitMix64`).
#[derive(Debug, Clone)]
pub(super) struct SeededNumbers(u64);

impl SeededNumbers {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % bound.max(1) as u64).unwrap()
    }

    /// From the first to the last, both included.
    pub(super) fn between(&mut self, first: i64, last: i64) -> i64 {
        first + i64::try_from(self.number() % (last - first + 1).unsigned_abs()).unwrap()
    }

    pub(super) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len())]
    }
}

#[test]
fn a_seed_gives_the_same_numbers_again() {
    let draw = |seed| {
        let mut chance = SeededNumbers::new(seed);
        (0..100).map(|_| chance.between(-5, 5)).collect::<Vec<_>>()
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
    assert!(draw(9).iter().all(|number| (-5..=5).contains(number)));
}
