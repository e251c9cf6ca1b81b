//! What happens to the nodes of a history: people, recorders, clocks, networks and disks, one thing at a time.

use std::sync::Arc;

use crate::history::{Event, History};
use crate::layouts::by_chance;
use crate::world::{FILES, HOUR, MINUTE, SECOND, TOMBSTONES, bits, hidden};

/// Names of an hour beyond which nothing is recorded in it.
const MOST_NAMES: u32 = 12;

impl History {
    pub fn alive(&self) -> Vec<u8> {
        self.nodes.iter().filter(|node| !node.is_dead).map(|node| u8::try_from(node.number).unwrap()).collect()
    }

    /// Somebody makes the next layout.
    pub fn make_layout(&mut self, fair: bool) {
        let newest = self.newest.as_ref().map_or(0, |layout| layout.0.version);
        let layout = self.to_come.pop().unwrap_or_else(|| {
            let (alive, before) = (self.alive(), self.newest.as_ref());
            by_chance(&mut self.chance, newest + 1, &alive, &self.zones, self.hours, before, fair)
        });
        self.newest = Some(layout);
    }

    pub fn crash(&mut self, node: usize, is_power_cut: bool) {
        if !self.nodes[node].is_up() {
            return;
        }
        self.tell(|| format!("n{node} crashes, power cut: {is_power_cut}"));
        self.nodes[node].stop();
        if is_power_cut {
            for hour in 0..self.hours {
                let unflushed = self.nodes[node].disk[hour] & !self.nodes[node].flushed[hour];
                self.vanish(node, hour, unflushed);
            }
            let (stopped, off) = (self.now, self.chance.span(0, 20 * MINUTE));
            self.now += off;
            let now = self.now;
            self.nodes[node].clocks.reboot(&mut self.chance, stopped, now);
        }
    }

    /// The disk of a node is lost, and another one takes its place, or nothing does.
    pub fn lose_disk(&mut self, node: usize, for_good: bool) {
        self.tell(|| format!("n{node} loses its disk, for good: {for_good}"));
        self.nodes[node].stop();
        self.ledger.lost(node, None);
        for hour in 0..self.hours {
            self.vanish(node, hour, u64::MAX);
        }
        self.archives += 1;
        let node = &mut self.nodes[node];
        node.archive = self.archives;
        (node.layout, node.retired, node.is_dead) = (None, 0, for_good);
        node.journal.clear();
        node.is_journal_lost = false;
    }

    pub fn any(&mut self) -> usize {
        self.chance.below(self.nodes.len())
    }

    fn any_hour(&mut self) -> usize {
        self.chance.below(self.hours)
    }

    /// One of these names, or none.
    fn one_of(&mut self, names: u64) -> u64 {
        let count = names.count_ones() as usize;
        bits(names).nth(self.chance.below(count)).unwrap_or_default()
    }

    /// Something happens.
    pub fn act(&mut self) {
        self.steps += 1;
        self.now += self.chance.span(0, 2 * SECOND);
        let (node, hour) = (self.any(), self.any_hour());
        if self.chance.percent(10) {
            return self.go_on_with_the_story(node, hour);
        }
        match self.chance.below(200) {
            0..56 => {
                let busy: Vec<usize> =
                    self.nodes.iter().filter(|node| node.has_work()).map(|node| node.number).collect();
                if busy.is_empty() {
                    self.pass(node);
                } else {
                    let at = self.chance.below(busy.len());
                    self.work(busy[at]);
                }
            }
            56..92 if self.letters.is_empty() => self.pass(node),
            56..92 => {
                let at = self.chance.below(self.letters.len());
                if self.chance.percent(4) {
                    self.letters.remove(at);
                } else {
                    self.deliver(at);
                }
            }
            92..106 => {
                let minutes = [1, 1, 5, 11, 11, 11, 25, 40, 62][self.chance.below(9)];
                self.now += minutes * MINUTE;
            }
            106..124 => self.pass(node),
            124..142 => {
                let with = self.any();
                if with != node && self.nodes[node].is_up() {
                    self.compare(node, with);
                }
            }
            142..150 => {
                let is_flushed = self.chance.percent(50);
                self.record(node, hour, is_flushed);
            }
            150..154 => {
                let hideable = self.nodes[node].disk[hour] & FILES & !hidden(self.nodes[node].disk[hour]);
                let name = self.one_of(hideable);
                if name != 0 && self.nodes[node].is_up() {
                    self.tell(|| format!("n{node} hides name {} of hour {hour}", name.trailing_zeros()));
                    self.put(node, hour, name << TOMBSTONES, true);
                    self.changed(node, hour);
                }
            }
            154..156 => self.purge(node),
            156..160 => self.retire(node, hour),
            160..164 => {
                if self.nodes[node].is_up() {
                    let number = u8::try_from(hour).unwrap();
                    if self.nodes[node].held[hour] == 0 || self.chance.percent(20) {
                        self.nodes[node].held[hour] += 1;
                        self.give(node, Event::Held { hour: number });
                    } else {
                        self.nodes[node].held[hour] -= 1;
                        self.give(node, Event::Free { hour: number });
                    }
                }
            }
            164..174 => {
                if self.nodes[node].is_up() {
                    let is_power_cut = self.chance.percent(40);
                    if self.chance.percent(40) {
                        self.crash(node, is_power_cut);
                    }
                } else {
                    self.start_again(node);
                }
            }
            174..177 => {
                if self.sides.iter().any(|side| *side != 0) {
                    self.sides.iter_mut().for_each(|side| *side = 0);
                } else {
                    self.sides = (0..self.nodes.len()).map(|_| u8::from(self.chance.percent(30))).collect();
                }
                self.tell(|| format!("sides: {:?}", self.sides));
            }
            177..179 => self.flush(node),
            179..183 => self.lay_out(node),
            183..189 => {
                if let Some(layout) = self.newest.clone() {
                    self.give(node, Event::Offered { from: None, layout });
                }
            }
            189..191 => {
                let clocks = &mut self.nodes[node].clocks;
                if clocks.wall_off == 0 {
                    clocks.wall_off = self.chance.span(-3 * HOUR, 30 * HOUR);
                    clocks.is_doubted = self.chance.percent(60);
                } else {
                    (clocks.wall_off, clocks.is_doubted) = (0, false);
                }
            }
            191..194 => self.accident(node, hour),
            _ => self.settle(),
        }
    }

    pub fn start_again(&mut self, node: usize) {
        if !self.nodes[node].is_up() && !self.nodes[node].is_dead {
            self.start(node);
        }
    }

    pub fn record(&mut self, node: usize, hour: usize, is_flushed: bool) {
        if !self.nodes[node].is_up() || self.nodes[node].is_full || self.next_name[hour] >= MOST_NAMES {
            return;
        }
        let name = self.new_name(hour);
        self.tell(|| format!("n{node} records name {} of hour {hour}, flushed: {is_flushed}", name.trailing_zeros()));
        self.put(node, hour, name, is_flushed);
        self.changed(node, hour);
    }

    pub fn purge(&mut self, node: usize) {
        for hour in 0..self.hours {
            let names = self.nodes[node].disk[hour] & hidden(self.nodes[node].disk[hour]) & FILES;
            if names != 0 && self.nodes[node].is_up() {
                self.tell(|| format!("n{node} purges {names:x} of hour {hour}"));
                self.ledger.purged[hour] |= names;
                self.ledger.may_be_gone[hour] |= names;
                self.vanish(node, hour, names);
                self.changed(node, hour);
            }
        }
    }

    pub fn retire(&mut self, node: usize, hour: usize) {
        if self.nodes[node].is_up() && self.nodes[node].disk[hour] != 0 {
            self.tell(|| format!("n{node} wants to retire hour {hour}"));
            self.give(node, Event::RetireWanted { hour: u8::try_from(hour).unwrap() });
        }
    }

    /// An operator makes a layout at a node, mostly of the newest one.
    fn lay_out(&mut self, node: usize) {
        if !self.nodes[node].is_up() {
            return;
        }
        let known = self.nodes[node].layout.clone();
        if self.to_come.is_empty() && self.chance.percent(15) {
            let Some(known) = known else { return };
            let (alive, zones, hours) = (self.alive(), Arc::clone(&self.zones), self.hours);
            let version = known.0.version + 1;
            let fork = by_chance(&mut self.chance, version, &alive, &zones, hours, Some(&known), false);
            if self.newest.as_ref().is_none_or(|newest| newest.0.version < version) {
                self.newest = Some(fork.clone());
            }
            return self.give(node, Event::Offered { from: None, layout: fork });
        }
        self.make_layout(false);
        let Some(layout) = self.newest.clone() else { return };
        self.tell(|| format!("n{node} is given {layout:?}"));
        self.give(node, Event::Offered { from: None, layout });
    }

    fn accident(&mut self, node: usize, hour: usize) {
        let dead = self.nodes.iter().filter(|node| node.is_dead).count();
        match self.chance.below(7) {
            0 if dead * 3 < self.nodes.len() && self.nodes.len() > 3 => self.lose_disk(node, true),
            1 if !self.nodes[node].is_dead => self.lose_disk(node, false),
            2 => {
                // Only a node that is down loses its journal: one that runs has it in memory, and writes it anew.
                if !self.nodes[node].is_up() && !self.nodes[node].is_dead {
                    self.nodes[node].is_journal_lost = true;
                }
            }
            3 => self.nodes[node].is_full = !self.nodes[node].is_full,
            4 => {
                let real = self.any();
                self.wrong_name = if self.wrong_name.is_some() || real == node { None } else { Some((node, real)) };
                self.tell(|| format!("names: {:?}", self.wrong_name));
            }
            5 => {
                let name = self.one_of(self.nodes[node].disk[hour]);
                if name != 0 && self.nodes[node].is_up() && name <= FILES {
                    self.tell(|| format!("n{node} finds a name of hour {hour} damaged"));
                    self.ledger.lost(node, Some(hour));
                    self.vanish(node, hour, name);
                    self.changed(node, hour);
                }
            }
            _ => self.crash(node, true),
        }
    }

    /// All that goes wrong ends. What was retired anywhere is to go everywhere.
    pub fn heal(&mut self) {
        self.sides.iter_mut().for_each(|side| *side = 0);
        self.wrong_name = None;
        self.letters.clear();
        for node in 0..self.nodes.len() {
            self.nodes[node].is_full = false;
            self.nodes[node].held.iter_mut().for_each(|held| *held = 0);
            (self.nodes[node].clocks.wall_off, self.nodes[node].clocks.is_doubted) = (0, false);
            if self.nodes[node].is_dead {
                continue;
            }
            // A node that ran on would have to be told what is held no longer.
            self.nodes[node].stop();
            self.start(node);
            self.flush(node);
        }
        while !self.to_come.is_empty() {
            self.make_layout(true);
        }
        self.make_layout(true);
    }
}
