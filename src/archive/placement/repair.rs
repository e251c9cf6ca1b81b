//! Changes who owns which slots so that every node has its share, every slot its copies, and every zone its part of them, with the fewest
//! copies moved.
//!
//! That is a flow of least cost: a copy of a slot goes through one zone to one node, a node that owned the slot costs nothing, another one 1.
//! It is solved by shortest augmenting paths, which keep what is there of least cost at each step:
//!
//! 1. Each slot keeps as many of its owners as its zones allow. What it lacks is put on a *vacancy* of a zone: a node that may have
//!    a slot several times and shall have none at last. Nothing costs less than this, with the loads that it happens to have.
//! 2. As long as a node has too much, a copy goes from it to one that has room, on the cheapest way: to it at once, or to a node that gives
//!    another slot on. To take a copy from an owner costs 1, to give one back to an owner saves 1, and copies that move anyway cost nothing.
//! 3. Then the same for nodes that have too little.
//!
//! The graph has no slots in it, only nodes: from one to another there is an edge if some slot can go that way within the bounds of
//! its zones, and as cheap as the cheapest of them. Of ways of equal cost the one with the fewest edges is taken: so none uses one slot twice
//! (a shorter one would skip what lies between). `docs/placement.md` says what was rejected.

use std::ops::RangeInclusive;

use super::takers::Takers;

/// An edge costs this much for each copy that it moves, and 1 in any case.
const COPY: i64 = 1 << 20;
const FAR: i64 = i64::MAX / 4;
/// How many copies more an edge of each kind moves.
const COSTS: [i64; 3] = [-1, 0, 1];

/// For each slot its new owners as numbers of takers, given those of before. `None` if there is no way to it, which zones and
/// shares that fit each other exclude.
pub fn repair(owners: &[Vec<usize>], takers: &Takers) -> Option<Vec<Vec<usize>>> {
    let mut repair = Repair::new(owners, takers);
    while let Some(from) = repair.too_full() {
        repair.move_along_shortest(from)?;
    }
    while let Some(to) = repair.too_empty() {
        repair.move_along_shortest(to)?;
    }
    Some(repair.rows)
}

/// Which way copies go: away from nodes that have too much, or to those that have too little.
#[derive(Clone, Copy)]
enum Need {
    Less,
    More,
}

/// Nodes first, then a vacancy for each zone.
struct Repair {
    nodes: usize,
    vertices: usize,
    zone_of: Vec<usize>,
    bounds: Vec<RangeInclusive<usize>>,
    /// Fewest and most slots of each vertex.
    limits: Vec<(usize, usize)>,
    loads: Vec<usize>,
    /// For each slot the vertices that have it.
    rows: Vec<Vec<usize>>,
    /// For each slot how many copies each zone has.
    in_zones: Vec<Vec<usize>>,
    /// Whether a node had the slot before: `slot * nodes + node`.
    had: Vec<bool>,
    /// How many slots can go from one vertex to another, by what that costs: see [`COSTS`].
    edges: Vec<[u32; 3]>,
}

impl Repair {
    fn new(owners: &[Vec<usize>], takers: &Takers) -> Self {
        let nodes = takers.zone_of.len();
        let vertices = nodes + takers.zones.len();
        let zone_of = takers.zone_of.iter().copied().chain(0..takers.zones.len()).collect();
        let limits = takers.shares.iter().map(|share| (share.floor(), share.ceil()));
        let mut this = Self {
            nodes,
            vertices,
            zone_of,
            bounds: takers.zones.clone(),
            limits: limits.chain(takers.zones.iter().map(|_| (0, 0))).collect(),
            loads: vec![0; vertices],
            rows: Vec::with_capacity(owners.len()),
            in_zones: Vec::with_capacity(owners.len()),
            had: vec![false; owners.len() * nodes],
            edges: vec![[0; 3]; vertices * vertices],
        };
        for (slot, before) in owners.iter().enumerate() {
            for owner in before {
                this.had[slot * nodes + owner] = true;
            }
            let (row, in_zones) = this.kept(before, takers.copies);
            for vertex in &row {
                this.loads[*vertex] += 1;
            }
            this.rows.push(row);
            this.in_zones.push(in_zones);
            this.count_edges(slot, 1);
        }
        this
    }

    /// As many of the owners as the zones allow, and vacancies for the rest.
    fn kept(&self, before: &[usize], copies: usize) -> (Vec<usize>, Vec<usize>) {
        let owners_in = |zone: usize| before.iter().filter(move |owner| self.zone_of[**owner] == zone);
        let mut in_zones: Vec<usize> = self.bounds.iter().map(|bounds| *bounds.start()).collect();
        let mut left = copies.saturating_sub(in_zones.iter().sum());
        for only_owners in [true, false] {
            for (zone, have) in in_zones.iter_mut().enumerate() {
                let most = if only_owners { owners_in(zone).count() } else { usize::MAX };
                let more = most.min(*self.bounds[zone].end()).saturating_sub(*have).min(left);
                *have += more;
                left -= more;
            }
        }
        let mut row = Vec::with_capacity(copies);
        for (zone, have) in in_zones.iter().enumerate() {
            let vacancies = std::iter::repeat(self.nodes + zone);
            row.extend(owners_in(zone).copied().chain(vacancies).take(*have));
        }
        (row, in_zones)
    }

    fn is_vacancy(&self, vertex: usize) -> bool {
        vertex >= self.nodes
    }

    /// What it costs that this vertex has the slot.
    fn cost(&self, slot: usize, vertex: usize) -> usize {
        usize::from(self.is_vacancy(vertex) || !self.had[slot * self.nodes + vertex])
    }

    /// If a copy of the slot can go from this owner to that vertex: its place in [`COSTS`].
    fn edge(&self, slot: usize, from: usize, to: usize) -> Option<usize> {
        let (from_zone, to_zone) = (self.zone_of[from], self.zone_of[to]);
        let in_zones = &self.in_zones[slot];
        let within_bounds = from_zone == to_zone
            || in_zones[from_zone] > *self.bounds[from_zone].start() && in_zones[to_zone] < *self.bounds[to_zone].end();
        let is_free = from != to && (self.is_vacancy(to) || !self.rows[slot].contains(&to));
        (within_bounds && is_free).then(|| 1 + self.cost(slot, to) - self.cost(slot, from))
    }

    /// Counts the edges that a slot makes, or no longer makes.
    fn count_edges(&mut self, slot: usize, change: i32) {
        for at in 0..self.rows[slot].len() {
            let from = self.rows[slot][at];
            for to in 0..self.vertices {
                if let Some(cost) = self.edge(slot, from, to) {
                    let count = &mut self.edges[from * self.vertices + to][cost];
                    *count = count.wrapping_add_signed(change);
                }
            }
        }
    }

    fn change(&mut self, slot: usize, from: usize, to: usize) {
        self.count_edges(slot, -1);
        if let Some(place) = self.rows[slot].iter_mut().find(|vertex| **vertex == from) {
            *place = to;
        }
        self.in_zones[slot][self.zone_of[from]] -= 1;
        self.in_zones[slot][self.zone_of[to]] += 1;
        self.loads[from] -= 1;
        self.loads[to] += 1;
        self.count_edges(slot, 1);
    }

    fn too_full(&self) -> Option<Need> {
        (0..self.vertices).any(|vertex| self.loads[vertex] > self.limits[vertex].1).then_some(Need::Less)
    }

    fn too_empty(&self) -> Option<Need> {
        (0..self.vertices).any(|vertex| self.loads[vertex] < self.limits[vertex].0).then_some(Need::More)
    }

    /// How many copies a vertex can give on, and how many it can take.
    fn gives_and_takes(&self, vertex: usize, need: Need) -> (usize, usize) {
        let (fewest, most) = self.limits[vertex];
        let load = self.loads[vertex];
        match need {
            Need::Less if load < fewest => (0, fewest - load),
            Need::Less => (load.saturating_sub(most), most.saturating_sub(load)),
            Need::More => (load.saturating_sub(fewest), fewest.saturating_sub(load)),
        }
    }

    /// Moves as many copies as can go the cheapest way, at least one.
    fn move_along_shortest(&mut self, need: Need) -> Option<()> {
        let path = self.shortest_path(need)?;
        let (first, last) = (*path.first()?, *path.last()?);
        let many = self.gives_and_takes(first, need).0.min(self.gives_and_takes(last, need).1);
        let steps: Vec<(usize, usize, usize)> = path
            .iter()
            .zip(path.iter().skip(1))
            .map(|(from, to)| (*from, *to, self.cheapest(*from, *to).unwrap_or(0)))
            .collect();
        let mut candidates: Vec<_> = steps.iter().map(|step| self.candidates(*step).into_iter()).collect();
        for moved in 0..many {
            let mut done = Vec::with_capacity(steps.len());
            for ((from, to, cost), slots) in steps.iter().zip(&mut candidates) {
                // Slots that went another way meanwhile, or whose zones have no room any more, are passed over.
                let slot =
                    slots.find(|slot| self.rows[*slot].contains(from) && self.edge(*slot, *from, *to) == Some(*cost));
                let Some(slot) = slot else { break };
                self.change(slot, *from, *to);
                done.push((slot, *from, *to));
            }
            if done.len() < steps.len() {
                for (slot, from, to) in done.into_iter().rev() {
                    self.change(slot, to, from);
                }
                return (moved > 0).then_some(());
            }
        }
        Some(())
    }

    fn cheapest(&self, from: usize, to: usize) -> Option<usize> {
        self.edges[from * self.vertices + to].iter().position(|slots| *slots > 0)
    }

    /// The slots that can go this way at this cost. Those of which nothing moves yet come first, so that few slots have to move in
    /// several versions; then in an order that has nothing to do with their numbers, so that the owners of one node's slots are all others.
    fn candidates(&self, (from, to, cost): (usize, usize, usize)) -> Vec<usize> {
        let fits = |slot: &usize| self.rows[*slot].contains(&from) && self.edge(*slot, from, to) == Some(cost);
        let mut slots: Vec<usize> = (0..self.rows.len()).filter(fits).collect();
        let moved = |slot: usize| {
            self.rows[slot]
                .iter()
                .filter(|vertex| !self.is_vacancy(**vertex))
                .map(|vertex| self.cost(slot, *vertex))
                .sum::<usize>()
        };
        slots.sort_by_cached_key(|slot| (moved(*slot), mixed(*slot, from, to), *slot));
        slots
    }

    /// From one that has to give or may give to one that takes.
    fn shortest_path(&self, need: Need) -> Option<Vec<usize>> {
        let mut distances = vec![FAR; self.vertices];
        let mut before = vec![usize::MAX; self.vertices];
        let mut reached: Vec<usize> =
            (0..self.vertices).filter(|vertex| self.gives_and_takes(*vertex, need).0 > 0).collect();
        for vertex in &reached {
            distances[*vertex] = 0;
        }
        // No circle saves anything, so no shortest way has more edges than there are vertices.
        for _ in 0..=self.vertices {
            let mut farther = Vec::new();
            for from in reached {
                for to in 0..self.vertices {
                    let Some(cost) = self.cheapest(from, to) else { continue };
                    let distance = distances[from] + COSTS[cost] * COPY + 1;
                    if distance < distances[to] {
                        distances[to] = distance;
                        before[to] = from;
                        if !farther.contains(&to) {
                            farther.push(to);
                        }
                    }
                }
            }
            if farther.is_empty() {
                reached = farther;
                break;
            }
            reached = farther;
        }
        let is_end = |vertex: &usize| distances[*vertex] < FAR && self.gives_and_takes(*vertex, need).1 > 0;
        // The emptiest of those that are equally near.
        let lacks = |vertex: usize| self.limits[vertex].0.saturating_sub(self.loads[vertex]);
        let end = (0..self.vertices)
            .filter(is_end)
            .min_by_key(|vertex| (distances[*vertex], std::cmp::Reverse(lacks(*vertex)), *vertex))?;
        let mut path = vec![end];
        while let Some(from) = path.last().map(|vertex| before[*vertex]).filter(|from| *from != usize::MAX) {
            path.push(from);
            if path.len() > self.vertices {
                return None;
            }
        }
        path.reverse();
        reached.is_empty().then_some(path)
    }
}

/// Numbers without an order (the finisher of `SplitMix64`).
pub(super) fn mixed(slot: usize, from: usize, to: usize) -> u64 {
    let mut number = (slot as u64) << 32 | (from as u64) << 16 | to as u64;
    for (shift, factor) in [(30, 0xbf58_476d_1ce4_e5b9), (27, 0x94d0_49bb_1331_11eb)] {
        number = (number ^ number >> shift).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(factor);
    }
    number ^ number >> 31
}
