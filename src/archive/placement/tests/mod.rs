//! Tests of the planner and of the file, against models that are too slow for more than a few nodes.

mod copy_rate;
mod dispersion;
mod exchanged;
mod files;
mod histories;
mod optimum;
mod plans;
mod slots;
mod spread;

use super::*;

fn name(name: &str) -> PlaceName {
    PlaceName::new(name).unwrap()
}

/// A node that takes copies.
fn node(called: &str, zone: &str, weight: u64) -> LayoutNode {
    LayoutNode { name: name(called), zone: name(zone), weight, state: NodeState::In }
}

fn add(called: &str, zone: &str, terabytes: u64) -> LayoutChange {
    LayoutChange::Add { name: name(called), zone: name(zone), weight: terabytes * 1_000_000_000_000 }
}

fn copies(number: u8) -> LayoutChange {
    LayoutChange::Copies { channel: None, copies: Some(CopiesWanted::Number(number)) }
}

/// The first layout of these nodes: name, zone, terabytes.
fn layout(number: u8, nodes: &[(String, String, u64)]) -> Layout {
    let mut changes = vec![copies(number)];
    changes.extend(nodes.iter().map(|(called, zone, terabytes)| add(called, zone, *terabytes)));
    last(&plan(&Layout::none(), &changes).unwrap())
}

/// So many nodes of 4 TB, dealt out to so many zones.
fn equal_nodes(nodes: usize, zones: usize) -> Vec<(String, String, u64)> {
    (0..nodes).map(|at| (format!("n{at:02}"), format!("z{}", at % zones), 4)).collect()
}

fn last(versions: &[Layout]) -> Layout {
    versions.last().unwrap().clone()
}

/// Copies that somebody has to fetch.
fn fetched(before: &Layout, after: &Layout) -> usize {
    moves(before, after, None).iter().filter(|one| one.to.is_some()).count()
}
