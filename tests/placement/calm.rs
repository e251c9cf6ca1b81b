//! The calm after a history: all is mended, and after some hours everything lies where the layout says, and nowhere else.

use gapless::archive::placement::handoffs::PlacementEvent;

use crate::history::History;
use crate::ledger::{converged, distinct, holders, union};
use crate::node::SimNode;
use crate::world::{MINUTE, bits, hidden};

/// Rounds of twenty minutes in which one owner may be away or full: others stand in for it, after an hour at most.
const AWAY: usize = 8;
/// Rounds until all must be where it belongs: fetched, asked about by digests and then by names, and pins run out for retention.
const ROUNDS: usize = 24;

/// Plays a history to its end; says what went wrong.
pub fn play(history: &mut History) -> Result<(), String> {
    let steps = 80 + history.chance.below(320);
    for _ in 0..steps {
        history.act();
        if let Some(wrong) = history.wrong.take() {
            return Err(wrong);
        }
    }
    history.heal();
    history.tell(|| "calm".to_owned());
    let alive = history.alive();
    let absent = history.chance.percent(25).then(|| usize::from(alive[history.chance.below(alive.len())]));
    if let Some(absent) = absent
        && alive.len() > 1
    {
        // It is silent, or says that it has no room.
        let is_full = history.chance.percent(40);
        if is_full {
            history.nodes[absent].is_full = true;
        } else {
            history.nodes[absent].stop();
        }
        for _ in 0..AWAY {
            round(history)?;
        }
        is_stood_in_for(history, absent)?;
        history.nodes[absent].is_full = false;
        if !is_full {
            history.start(absent);
        }
    }
    let mut last = Ok(());
    for _ in 0..ROUNDS {
        round(history)?;
        let Some(layout) = history.newest.clone() else { return Ok(()) };
        last = converged(&history.nodes, &layout, history.ledger.retired);
        if last.is_ok() {
            break;
        }
    }
    last?;
    history.ledger.all_is_there(&history.nodes)
}

/// Twenty minutes in which all nodes compare, fetch, retire, purge and make a pass.
fn round(history: &mut History) -> Result<(), String> {
    history.now += 20 * MINUTE;
    let Some(layout) = history.newest.clone() else { return Ok(()) };
    let up: Vec<usize> = history.nodes.iter().filter(|node| node.is_up()).map(|node| node.number).collect();
    for node in &up {
        if history.nodes[*node].layout.as_ref() != Some(&layout) {
            history.give(*node, PlacementEvent::Offered { from: None, layout: layout.clone() });
        }
    }
    history.settle();
    let holds: Vec<usize> = (0..history.nodes.len())
        .filter(|node| !history.nodes[*node].is_dead && history.nodes[*node].disk.iter().any(|names| *names != 0))
        .collect();
    // Where there are many nodes, those that neither own nor hold anything have nothing to compare.
    let owns = |node: usize| (0..history.hours).any(|hour| layout.owns(node, hour));
    let compares: Vec<usize> =
        up.iter().copied().filter(|node| up.len() < 10 || owns(*node) || holds.contains(node)).collect();
    let says_something =
        |node: &&SimNode| !node.is_dead && (!node.is_up() || node.is_full || holds.contains(&node.number));
    let asked: Vec<usize> = history.nodes.iter().filter(says_something).map(|node| node.number).collect();
    for node in &compares {
        for with in asked.iter().filter(|with| *with != node) {
            history.compare(*node, *with);
        }
    }
    history.settle();
    for node in &up {
        history.purge(*node);
        for hour in 0..history.hours {
            if history.ledger.retired >> hour & 1 == 1 {
                history.retire(*node, hour);
            }
        }
    }
    history.settle();
    for node in &up {
        history.pass(*node);
    }
    history.settle();
    history.wrong.take().map_or(Ok(()), Err)
}

/// While a node is away or full there are as many copies as if it were there, where there are nodes for them.
fn is_stood_in_for(history: &History, absent: usize) -> Result<(), String> {
    let Some(layout) = &history.newest else { return Ok(()) };
    let nodes = &history.nodes;
    let takers: Vec<usize> =
        layout.0.takers.iter().map(|node| usize::from(*node)).filter(|node| *node != absent).collect();
    // Many nodes do not all compare in this simulator.
    if nodes.len() >= 10 {
        return Ok(());
    }
    let needed = layout.0.copies.min(takers.len());
    let zones = needed.min(distinct(takers.iter().copied(), &history.zones));
    for hour in (0..history.hours).filter(|hour| history.ledger.retired >> hour & 1 == 0) {
        let there = nodes.iter().filter(|node| node.is_up()).fold(0, |names, node| names | node.disk[hour]);
        // What is hidden is not fetched, and a node without room does not learn that it is.
        for name in bits(there & !history.ledger.purged[hour] & !hidden(union(nodes, hour))) {
            let up: Vec<usize> = holders(nodes, hour, name).filter(|node| *node != absent).collect();
            if up.len() < needed || distinct(up.iter().copied(), &history.zones) < zones {
                let (copies, away) = (up.len(), format!("n{absent} is away"));
                return Err(format!(
                    "stand-in: {copies} of {needed} copies of a name of hour {hour} are there while {away}"
                ));
            }
        }
    }
    Ok(())
}
