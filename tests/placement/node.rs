//! One node of the simulator: its disk, its clocks, its memory, and the machine of the program that decides for it.

use std::collections::VecDeque;

use gapless::archive::placement::handoffs::{
    NodeSelf, PlacedNode, PlacementEffect, PlacementNote, PlacementTime, RequestId,
};
use gapless::archive::{Span, Timestamp};

use crate::world::{Chance, HOUR, Mutant, SmallLayout, SmallTerms};

/// Files that are being deleted one by one.
#[derive(Debug)]
pub struct Deletion {
    pub hour: usize,
    pub names: u64,
    /// For other owners, until the node's clock says this; retention has no such time.
    pub before: Option<i64>,
    /// Copies that have to be left.
    pub needed: usize,
}

#[derive(Debug, Clone, Copy)]
pub struct Fetching {
    pub peer: usize,
    pub hour: usize,
}

pub type Machine = PlacedNode<SmallTerms, Mutant>;

/// What a crash leaves, and what it takes: `machine` and what follows it.
#[derive(Debug)]
pub struct SimNode {
    pub number: usize,
    /// It and its disk do not come back.
    pub is_dead: bool,
    pub archive: u32,
    pub disk: Vec<u64>,
    /// What a power cut does not take.
    pub flushed: Vec<u64>,
    pub layout: Option<SmallLayout>,
    pub journal: Vec<PlacementNote<SmallTerms>>,
    pub is_journal_lost: bool,
    /// Hours that retention has begun to delete here, by bits.
    pub retired: u64,
    pub clocks: Clocks,

    pub machine: Option<Machine>,
    pub effects: VecDeque<PlacementEffect<SmallTerms>>,
    pub deletions: Vec<Deletion>,
    pub fetching: VecDeque<Fetching>,
    pub held: Vec<usize>,
    pub is_full: bool,
    /// Whom this node's requests went to by name. Their answers come over the same connection.
    pub asked: Vec<(RequestId, usize)>,
    /// Answers that have not left.
    pub decided: VecDeque<u64>,
    pub started: i64,
    /// True times.
    pub changed: Vec<i64>,
    /// Since when retention waits.
    pub waits: Vec<Option<i64>>,
}

/// A node's clocks, made of true time.
#[derive(Debug)]
pub struct Clocks {
    /// How much faster the machine's clock runs, in millionths.
    drift: i64,
    boot: i64,
    lived_at_boot: i64,
    pub wall_off: i64,
    /// The guards of the clock have noticed.
    pub is_doubted: bool,
}

impl Clocks {
    pub fn new(chance: &mut Chance, now: i64) -> Self {
        let (drift, boot) = (chance.span(-1_000, 1_000), now - chance.span(0, 100 * HOUR));
        Self { drift, boot, lived_at_boot: chance.span(0, 1_000 * HOUR), wall_off: 0, is_doubted: false }
    }

    pub fn elapsed(&self, now: i64) -> i64 {
        let passed = now - self.boot;
        passed + passed / 1_000_000 * self.drift
    }

    fn lived(&self, now: i64) -> i64 {
        self.lived_at_boot + self.elapsed(now)
    }

    /// The machine starts anew: what was lived last may not have been noted, and nobody counts how long it was off.
    pub fn reboot(&mut self, chance: &mut Chance, stopped: i64, now: i64) {
        self.lived_at_boot = self.lived(stopped) - chance.span(0, 60_000_000);
        self.boot = now;
    }

    pub fn time(&self, now: i64) -> PlacementTime {
        PlacementTime {
            lived: Span::from_us(self.lived(now)),
            elapsed: Span::from_us(self.elapsed(now)),
            wall: (!self.is_doubted).then(|| Timestamp::from_us(now + self.wall_off)),
        }
    }
}

impl SimNode {
    pub fn new(chance: &mut Chance, number: usize, hours: usize, now: i64) -> Self {
        Self {
            number,
            is_dead: false,
            archive: u32::try_from(number).unwrap() + 1,
            disk: vec![0; hours],
            flushed: vec![0; hours],
            layout: None,
            journal: Vec::new(),
            is_journal_lost: false,
            retired: 0,
            clocks: Clocks::new(chance, now),
            machine: None,
            effects: VecDeque::new(),
            deletions: Vec::new(),
            fetching: VecDeque::new(),
            held: vec![0; hours],
            is_full: false,
            asked: Vec::new(),
            decided: VecDeque::new(),
            started: now,
            changed: vec![i64::MIN / 2; hours],
            waits: vec![None; hours],
        }
    }

    pub fn is_up(&self) -> bool {
        self.machine.is_some()
    }

    pub fn start(&mut self, chance: &mut Chance, mutant: Mutant, now: i64) {
        let node = u8::try_from(self.number).unwrap();
        let me = NodeSelf { node, archive: self.archive, run: chance.next() };
        let journal = (!self.is_journal_lost).then(|| self.journal.clone());
        let (machine, effects) = PlacedNode::start(me, mutant, self.clocks.time(now), self.layout.clone(), journal);
        self.machine = Some(machine);
        self.effects = effects.into();
        self.started = now;
    }

    /// What was in memory is gone.
    pub fn stop(&mut self) {
        self.machine = None;
        self.effects.clear();
        self.deletions.clear();
        self.fetching.clear();
        self.decided.clear();
        self.held.iter_mut().for_each(|held| *held = 0);
        self.waits.iter_mut().for_each(|waits| *waits = None);
    }

    pub fn has_work(&self) -> bool {
        self.is_up() && !(self.effects.is_empty() && self.deletions.is_empty() && self.fetching.is_empty())
    }
}
