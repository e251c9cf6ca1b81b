//! What must hold, by what truly lies on the disks: the nodes know nothing of this.

use crate::node::SimNode;
use crate::world::{FILES, HOUR, SECOND, SmallLayout, TOMBSTONES, bits, hidden};

/// A pin is an hour by a clock that may run a thousandth too fast.
const PIN_KEPT: i64 = HOUR - 10 * SECOND;
/// What a node that asked may rely on, with the same allowance.
const RELIED: i64 = HOUR / 2 + 10 * SECOND;
/// How long retention may have to wait for pins: those that are there run out in an hour.
const LONGEST_WAIT: i64 = 2 * HOUR;

/// A pin, from when it was decided upon.
#[derive(Debug)]
pub struct Promise {
    /// Which of all decisions.
    pub decision: u64,
    pub owner: usize,
    pub to: usize,
    pub hour: usize,
    pub at: i64,
    /// The version of the owner's layout, and the copies that it asked for.
    pub layout: (u64, usize),
    /// The answer has left.
    pub is_given: bool,
    /// The owner's disk was lost, or what was on it was damaged: nobody can promise that it is not.
    pub is_void: bool,
}

#[derive(Debug)]
pub struct Ledger {
    /// Names that were ever written, flushed, by hour.
    pub written: Vec<u64>,
    /// Names that may be gone from everywhere: a disk was lost that had the last copy, or somebody ordered it.
    pub may_be_gone: Vec<u64>,
    /// Names that were purged somewhere.
    pub purged: Vec<u64>,
    /// Hours that retention has deleted somewhere, by bits.
    pub retired: u64,
    promises: Vec<Promise>,
    /// Hours that have left a node.
    pub left: usize,
}

/// What kind of removal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// For an hour's owners, which have so many copies to have.
    Leaves(usize),
    Retention,
}

impl Ledger {
    pub fn new(hours: usize) -> Self {
        Self {
            written: vec![0; hours],
            may_be_gone: vec![0; hours],
            purged: vec![0; hours],
            retired: 0,
            promises: Vec::new(),
            left: 0,
        }
    }

    pub fn decided(&mut self, promise: Promise) {
        let now = promise.at;
        self.promises.retain(|known| now - known.at < 2 * HOUR);
        self.promises.push(promise);
    }

    /// The answer leaves: from now on the other node relies on it.
    pub fn promised(&mut self, decision: u64) {
        let meant = self.promises.iter_mut().filter(|promise| promise.decision == decision);
        meant.for_each(|promise| promise.is_given = true);
    }

    /// Something of an hour, or of all, vanishes from a disk, and nobody could have kept it from that.
    pub fn lost(&mut self, node: usize, hour: Option<usize>) {
        let meant = |promise: &&mut Promise| promise.owner == node && hour.is_none_or(|hour| promise.hour == hour);
        self.promises.iter_mut().filter(meant).for_each(|promise| promise.is_void = true);
    }

    /// A node has learnt that another one is silent: from now on it must not rely on it, but for hours that it stops to delete.
    pub fn told_of_silence(&mut self, node: usize, peer: usize, stops: impl Fn(usize) -> bool) {
        let is_told = |promise: &Promise| promise.to == node && promise.owner == peer && !stops(promise.hour);
        self.promises.retain(|promise| !(promise.is_void && is_told(promise)));
    }

    /// It has stopped.
    pub fn stopped(&mut self, node: usize, hour: usize) {
        self.promises.retain(|promise| !(promise.is_void && promise.to == node && promise.hour == hour));
    }

    /// How many copies an hour must have that leaves a node now: what the newest layout says that this node knows, or one that it relies on.
    pub fn needed(&self, node: &SimNode, hour: usize, now: i64, layout: &SmallLayout) -> usize {
        let known = self.relied(node, hour, now).map(|promise| promise.layout);
        known.chain([(layout.0.version, layout.0.copies)]).max().map_or(0, |(_, copies)| copies)
    }

    /// What a node relies on, which it has asked for since it was started.
    fn relied(&self, node: &SimNode, hour: usize, now: i64) -> impl Iterator<Item = &Promise> {
        let (node, started) = (node.number, node.started);
        self.promises
            .iter()
            .filter(move |promise| promise.is_given && promise.to == node && promise.hour == hour)
            .filter(move |promise| promise.at >= started && now - promise.at < RELIED)
    }

    /// A name has just been removed from a node.
    pub fn removed(
        &mut self,
        nodes: &[SimNode],
        zones: &[u8],
        (node, hour, name): (usize, usize, u64),
        now: i64,
        removal: Removal,
    ) -> Result<(), String> {
        let pinned = |promise: &&Promise| {
            promise.owner == node
                && promise.hour == hour
                && now - promise.at < PIN_KEPT
                && promise.is_given
                && !promise.is_void
        };
        if let Some(promise) = self.promises.iter().find(pinned) {
            let seconds = (now - promise.at) / SECOND;
            let why = "although it was promised that the hour stays";
            return Err(format!(
                "pin: n{node} deletes of hour {hour} {seconds} s after it promised n{} {why}",
                promise.to
            ));
        }
        let Removal::Leaves(needed) = removal else { return Ok(()) };
        let rest = nodes[node].disk[hour];
        if name > FILES && rest & hidden(name) != 0 {
            return Err(format!(
                "hidden: n{node} has deleted a tombstone of hour {hour}, and what it hid is in sight again"
            ));
        }
        if self.purged[hour] & name != 0 {
            return Ok(());
        }
        let holders: Vec<usize> = holders(nodes, hour, name).collect();
        // Each owner that has failed unseen counts as if it had not.
        let mut void: Vec<usize> = self
            .relied(&nodes[node], hour, now)
            .filter(|promise| promise.is_void)
            .map(|promise| promise.owner)
            .collect();
        void.sort_unstable();
        void.dedup();
        if holders.len() + void.len() < needed {
            let left = holders.len();
            return Err(format!(
                "copies: {left} of {needed} are left of a name of hour {hour}, after n{node} has deleted it"
            ));
        }
        if holders.is_empty() {
            // Nobody could know that the others have failed.
            self.may_be_gone[hour] |= name;
        }
        let layout = nodes[node].layout.as_ref();
        let possible =
            layout.map_or(0, |layout| distinct(layout.0.takers.iter().map(|node| usize::from(*node)), zones));
        let before = distinct(holders.iter().copied().chain([node]), zones);
        let left = distinct(holders.iter().copied(), zones);
        if left + void.len() < needed.min(possible).min(before) {
            return Err(format!(
                "zones: {left} of {before} are left of a name of hour {hour}, after n{node} has deleted it"
            ));
        }
        Ok(())
    }

    /// Nothing is gone from everywhere that was written, unless it may be; and what is hidden is hidden wherever it lies.
    pub fn all_is_there(&self, nodes: &[SimNode]) -> Result<(), String> {
        for (hour, written) in self.written.iter().enumerate().filter(|(hour, _)| self.retired >> hour & 1 == 0) {
            let there = union(nodes, hour);
            let gone = written & !there & !self.may_be_gone[hour];
            if gone != 0 {
                return Err(format!("lost: {} names of hour {hour} lie nowhere", gone.count_ones()));
            }
            let known = written >> TOMBSTONES & !(self.may_be_gone[hour] >> TOMBSTONES);
            let is_in_sight =
                |node: &&SimNode| !node.is_dead && node.disk[hour] & known & !hidden(node.disk[hour]) != 0;
            if let Some(node) = nodes.iter().find(is_in_sight) {
                return Err(format!("hidden: what was hidden in hour {hour} is in sight on n{}", node.number));
            }
        }
        Ok(())
    }
}

/// Whether retention may still have to wait that waits since then.
pub fn may_wait(node: usize, hour: u8, since: i64, now: i64) -> Result<(), String> {
    let minutes = (now - since) / SECOND / 60;
    if now - since > LONGEST_WAIT {
        return Err(format!("waits: retention of n{node} waits for hour {hour} for {minutes} minutes"));
    }
    Ok(())
}

/// Who has a name so that no power cut takes it.
pub fn holders(nodes: &[SimNode], hour: usize, name: u64) -> impl Iterator<Item = usize> {
    let has = move |node: &&SimNode| !node.is_dead && node.flushed[hour] & name != 0;
    nodes.iter().filter(has).map(|node| node.number)
}

/// All that lies of an hour on any disk.
pub fn union(nodes: &[SimNode], hour: usize) -> u64 {
    nodes.iter().filter(|node| !node.is_dead).fold(0, |names, node| names | node.disk[hour])
}

/// In how many zones these nodes are.
pub fn distinct(nodes: impl Iterator<Item = usize>, zones: &[u8]) -> usize {
    let seen = nodes.fold(0_u64, |seen, node| seen | 1 << zones[node]);
    seen.count_ones() as usize
}

/// All owners have everything, and nobody else has anything; what is amiss if not.
pub fn converged(nodes: &[SimNode], layout: &SmallLayout, retired: u64) -> Result<(), String> {
    for hour in 0..layout.0.rows.len() {
        let all = union(nodes, hour);
        if retired >> hour & 1 == 1 {
            if all != 0 {
                return Err(format!("retention: hour {hour} lies somewhere still"));
            }
            continue;
        }
        for node in nodes.iter().filter(|node| !node.is_dead) {
            let (has, owns) = (node.disk[hour], layout.owns(node.number, hour));
            if owns && has != all {
                let lacks = bits(all & !has).count();
                return Err(format!("fetching: n{} owns hour {hour} and lacks {lacks} names", node.number));
            }
            if !owns && has != 0 {
                return Err(format!("handoff: n{} has hour {hour} still, which it does not own", node.number));
            }
        }
    }
    Ok(())
}
