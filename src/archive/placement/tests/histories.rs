//! Random histories of changes: what holds of every version.

use proptest::prelude::*;
use proptest::test_runner::TestRng;

use super::{add, copies, fetched, last, name};
use crate::archive::placement::*;

/// How many changes each history has. A plan of ten nodes takes a fifth of a second in a dev build.
const CHANGES: usize = 8;

fn pick(random: &mut TestRng, below: usize) -> usize {
    usize::try_from(random.random::<u64>() % below as u64).unwrap()
}

fn some_change(random: &mut TestRng, layout: &Layout, at: usize) -> Vec<LayoutChange> {
    let are_in: Vec<_> = layout.nodes().iter().filter(|node| node.state == NodeState::In).collect();
    let mut one_of = || are_in[pick(random, are_in.len())].name.clone();
    let (old, another) = (one_of(), one_of());
    let new = format!("m{at}");
    let zone = format!("z{}", pick(random, 4));
    match pick(random, 7) {
        0 if are_in.len() > 2 => vec![LayoutChange::Lost(old)],
        1 if are_in.len() > 3 => vec![LayoutChange::Drain(old), LayoutChange::Drain(another)],
        2 => vec![LayoutChange::Replace { old, new: name(&new) }],
        3 => vec![copies(1 + u8::try_from(pick(random, 4)).unwrap())],
        // It is in another zone, or weighs otherwise.
        4 => vec![add(old.as_str(), &zone, 1 + pick(random, 20) as u64)],
        _ => vec![add(&new, &zone, 1 + pick(random, 20) as u64)],
    }
}

fn number_of(layout: &Layout) -> u8 {
    *layout.tables().keys().next().unwrap()
}

/// The zones of the owners that are not lost.
fn zones<'l>(layout: &'l Layout, row: &[u8]) -> std::collections::BTreeSet<&'l PlaceName> {
    let nodes = row.iter().map(|owner| &layout.nodes()[usize::from(*owner)]);
    nodes.filter(|node| node.state != NodeState::Lost).map(|node| &node.zone).collect()
}

/// In each slot at most one owner leaves that has the slot still and is needed, and copies never lie in fewer zones than before or at last.
fn check_step(before: &Layout, after: &Layout, last: &Layout) {
    let names = |layout: &Layout, row: &[u8]| -> Vec<PlaceName> {
        row.iter().map(|owner| layout.nodes()[usize::from(*owner)].name.clone()).collect()
    };
    let (old, new) = (&before.tables()[&number_of(before)], &after.tables()[&number_of(after)]);
    let rows = old.rows().zip(new.rows()).zip(last.tables()[&number_of(last)].rows());
    for (slot, ((row, next), planned)) in rows.enumerate() {
        let state = |node: &PlaceName| after.nodes().iter().find(|one| one.name == *node).unwrap().state;
        let (had, have) = (names(before, row), names(after, next));
        let there: Vec<_> = had.iter().filter(|node| state(node) != NodeState::Lost).collect();
        let leaving = there.iter().filter(|node| !have.contains(node)).count();
        let coming = have.iter().filter(|node| !had.contains(node)).count();
        if leaving > 0 && coming > 0 {
            assert_eq!((leaving, coming), (1, 1), "slot {slot}: {had:?} to {have:?}");
        }
        assert!(have.iter().all(|node| state(node) != NodeState::Lost), "slot {slot}: {have:?}");
        let now: Vec<u8> = there
            .iter()
            .map(|node| u8::try_from(after.nodes().iter().position(|one| one.name == **node).unwrap()).unwrap())
            .collect();
        let fewest = zones(after, &now).len().min(zones(after, planned).len()).min(have.len());
        assert!(zones(after, next).len() >= fewest, "slot {slot}: {had:?} to {have:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn every_version_of_a_history_is_what_was_promised(wanted in 1..=4_u8, zones in 1..5_usize, mut random in any::<u64>().prop_perturb(|_, random| random)) {
        let nodes: Vec<_> = (0..6 + pick(&mut random, 4)).map(|at| add(&format!("n{at}"), &format!("z{}", at % zones), 4)).collect();
        let mut now = last(&plan(&Layout::none(), &[nodes, vec![copies(wanted)]].concat()).unwrap());
        for at in 0..CHANGES {
            let changes = some_change(&mut random, &now, at);
            let Ok(versions) = plan(&now, &changes) else { continue };
            prop_assert_eq!(&plan(&now, &changes).unwrap(), &versions, "the same again");
            let planned = last(&versions);
            let mut before = now.clone();
            for version in &versions {
                check_step(&before, version, &planned);
                prop_assert_eq!(&Layout::read(&version.to_bytes()).unwrap(), version);
                before = version.clone();
            }
            let figures = TableFigures::of(&planned, number_of(&planned)).unwrap();
            for load in &figures.loads {
                prop_assert!((load.share.floor()..=load.share.ceil()).contains(&load.slots), "{:?}", load);
            }
            let places = planned.nodes().iter().filter(|node| node.state == NodeState::In).count();
            prop_assert_eq!((figures.crowded, figures.short > 0), (0, places < usize::from(number_of(&planned))));
            // Who plans anew on the way comes to as many copies.
            if versions.len() > 1 {
                let rest = last(&plan(&versions[0], &[]).unwrap());
                prop_assert_eq!(fetched(&now, &versions[0]) + fetched(&versions[0], &rest), fetched(&now, &planned));
            }
            now = planned;
        }
    }
}
