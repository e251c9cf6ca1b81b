//! Layouts for histories: cheap ones by chance, and some of the real planner.

use std::sync::{Arc, OnceLock};

use gapless::archive::HourPlace;
use gapless::archive::placement::{CopiesWanted, Layout, LayoutChange, NodeState, PlaceName, Slot, plan};

use crate::world::{Chance, FIRST_HOUR, LayoutParts, SmallLayout};

/// Nodes in the layouts of the planner.
pub const PLANNED_NODES: usize = 9;
/// And their zones.
pub const PLANNED_ZONES: usize = 4;
/// Hours of a history.
pub const MOST_HOURS: usize = 5;

/// A layout by chance. One that is `fair` has all copies, in as many zones as can be.
pub fn by_chance(
    chance: &mut Chance,
    version: u64,
    alive: &[u8],
    zones: &Arc<Vec<u8>>,
    hours: usize,
    before: Option<&SmallLayout>,
    fair: bool,
) -> SmallLayout {
    let mut takers = alive.to_vec();
    chance.shuffle(&mut takers);
    let most = takers.len();
    takers.truncate(if chance.percent(40) { most } else { 1 + chance.below(most) });
    let mut copies = [1, 2, 2, 3, 3, 3, 4][chance.below(7)];
    if let Some(before) = before
        && chance.percent(60)
    {
        copies = before.0.copies;
    }
    if fair {
        copies = copies.min(takers.len());
    }
    let rows = (0..hours).map(|hour| {
        // Often a row stays, so that only some hours move.
        if let Some(before) = before
            && chance.percent(30)
            && is_fair(before.row(hour), &takers, copies, zones)
        {
            return before.row(hour).to_vec();
        }
        let mut order = takers.clone();
        chance.shuffle(&mut order);
        if fair || chance.percent(80) {
            spread(&order, copies, zones)
        } else {
            order[..copies.min(order.len())].to_vec()
        }
    });
    let rows = rows.collect();
    takers.sort_unstable();
    let salt = chance.next();
    SmallLayout(Arc::new(LayoutParts { version, salt, copies, takers, rows, zones: Arc::clone(zones) }))
}

fn spread(order: &[u8], copies: usize, zones: &[u8]) -> Vec<u8> {
    let zone = |node: u8| zones[usize::from(node)];
    let (mut row, mut rest): (Vec<u8>, Vec<u8>) = (Vec::new(), order.to_vec());
    while row.len() < copies && !rest.is_empty() {
        let used = |node: &u8| row.iter().filter(|owner| zone(**owner) == zone(*node)).count();
        let at = (0..rest.len()).min_by_key(|at| used(&rest[*at])).unwrap();
        row.push(rest.remove(at));
    }
    row
}

fn is_fair(row: &[u8], takers: &[u8], copies: usize, zones: &[u8]) -> bool {
    let count = |nodes: &[u8]| {
        let mut of: Vec<u8> = nodes.iter().map(|node| zones[usize::from(*node)]).collect();
        of.sort_unstable();
        of.dedup();
        of.len()
    };
    row.len() == copies && row.iter().all(|node| takers.contains(node)) && count(row) >= copies.min(count(takers))
}

/// Histories of changes as the planner makes them, over the same nodes in the same zones: each ends with all nodes there.
pub fn planned(zones: &Arc<Vec<u8>>, which: usize) -> Vec<SmallLayout> {
    static CHAINS: OnceLock<Vec<Vec<Layout>>> = OnceLock::new();
    let chains = CHAINS.get_or_init(|| (0..3).map(chain).collect());
    chains[which % chains.len()].iter().map(|layout| small(layout, zones)).collect()
}

fn name(node: usize) -> PlaceName {
    PlaceName::new(&format!("n{node}")).unwrap()
}

fn add(node: usize, weight: u64) -> LayoutChange {
    let zone = PlaceName::new(&format!("z{}", node % PLANNED_ZONES)).unwrap();
    LayoutChange::Add { name: name(node), zone, weight }
}

fn copies(number: u8) -> LayoutChange {
    LayoutChange::Copies { channel: None, copies: Some(CopiesWanted::Number(number)) }
}

fn chain(which: usize) -> Vec<Layout> {
    let first = (0..6).map(|node| add(node, 4)).chain([copies(if which == 0 { 2 } else { 3 })]).collect();
    let changes: [Vec<LayoutChange>; 3] = match which {
        0 => [
            vec![copies(3)],
            vec![LayoutChange::Drain(name(0)), LayoutChange::Drain(name(1))],
            vec![add(0, 4), add(7, 9)],
        ],
        1 => [vec![add(6, 8)], vec![LayoutChange::Replace { old: name(2), new: name(8) }], vec![add(2, 4)]],
        _ => [vec![LayoutChange::Drain(name(3)), add(7, 4)], vec![copies(2)], vec![add(3, 6), add(6, 2)]],
    };
    let (mut all, mut now) = (Vec::new(), Layout::none());
    for change in std::iter::once(first).chain(changes) {
        all.extend(plan(&now, &change).unwrap());
        now = all.last().unwrap().clone();
    }
    all
}

fn small(layout: &Layout, zones: &Arc<Vec<u8>>) -> SmallLayout {
    let number = |name: &PlaceName| name.as_str()[1..].parse::<u8>().unwrap();
    let copies = *layout.tables().keys().next().unwrap();
    let row = |hour: usize| -> Vec<u8> {
        let day = HourPlace::parse(&format!("chan/source/2020-02-0{}T07", hour + 1)).unwrap();
        let owners = layout.owners_of(&day.stream.channel, Slot::of(&day));
        owners.into_iter().map(|node| number(&node.name)).collect()
    };
    let takers = layout.nodes().iter().filter(|node| node.state == NodeState::In).map(|node| number(&node.name));
    SmallLayout(Arc::new(LayoutParts {
        version: layout.version(),
        salt: 1,
        copies: usize::from(copies),
        takers: takers.collect(),
        rows: (0..MOST_HOURS).map(row).collect(),
        zones: Arc::clone(zones),
    }))
}

/// The hour of a true time, as hours of histories are counted.
pub fn hour_at(true_time: i64) -> i64 {
    true_time.div_euclid(crate::world::HOUR) - FIRST_HOUR
}
