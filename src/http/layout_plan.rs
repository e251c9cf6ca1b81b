//! The layout as it is, and what would become of it, in the shapes that are answered.
//!
//! Bytes are those of what lies here: what other nodes have, and this one does not, is not known.

use std::collections::BTreeMap;

use super::Problem;
use super::app::App;
use crate::archive::Channel;
use crate::archive::placement::{
    CopiesWanted, Layout, LayoutNode, NodeState, SLOTS, ShortHour, SlotMove, TableFigures, moves,
};
use crate::archive::problems::EXAMPLES;
use crate::archive::quantity::size;
use crate::replicate::placement::{HeardLayout, LayoutStanding, LayoutState, PlannedLayout, SlotBytes};
use crate::replicate::whole::PlacedCopies;
use crate::wire::{
    ChannelCopies, DispersionReport, LayoutNodeReport, LayoutPlanReport, LayoutReport, LayoutSummary,
    LayoutTableReport, OwnedSlots, PeerLayoutReport, PeerReport, PlannedMove, PlannedNode, PlannedVersion,
    ShortHourReport,
};

/// What a version that was applied, taken or planned does, and what not.
pub(super) const WHAT_IT_DOES: &str = "a node that has this version fetches what it owns and nothing else; the others go on as before until they take it, from nodes that their layouts_from names (none by default). What lies elsewhere leaves when all of its owners have it";
const WITHOUT: &str = "without a layout every node fetches everything";
const UNUSABLE: &str = "no file is fetched until the layout can be read, and nothing is deleted";

/// What there is, and what is known of others.
pub(super) fn report(app: &App) -> LayoutReport {
    let layouts = &app.node.layouts;
    let state = layouts.look();
    let (staged, staged_error) = match layouts.staged() {
        Ok(changes) => (changes.iter().map(ToString::to_string).collect(), None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let peers = (app.node.peers)();
    let heard = |peer: &PeerReport| {
        let heard = layouts.heard(&peer.name)?;
        Some(peer_report(&peer.name, &heard, layouts.may_give(&peer.name)))
    };
    let found = LayoutReport {
        state: "none".to_owned(),
        why: None,
        name: app.node.name.clone(),
        is_in_layout: false,
        version: 0,
        hash: None,
        parent: None,
        copies: CopiesWanted::All.to_string(),
        channels: Vec::new(),
        nodes: Vec::new(),
        tables: Vec::new(),
        staged,
        staged_error,
        peers: peers.iter().filter_map(heard).collect(),
        handoffs: app.node.handoffs.as_ref().map(|handoffs| handoffs.report()),
        dispersion: None,
        note: WITHOUT.to_owned(),
    };
    match state {
        LayoutState::None => found,
        LayoutState::Unusable(why) => LayoutReport {
            state: "unusable".to_owned(),
            why: Some(why.to_string()),
            note: UNUSABLE.to_owned(),
            ..found
        },
        LayoutState::Known(known) => {
            let layout = &known.layout;
            let own = layouts.current().node();
            let channels = layout.channels().iter();
            LayoutReport {
                state: "known".to_owned(),
                is_in_layout: layout.nodes().iter().any(|node| Some(&node.name) == own),
                version: known.id.version,
                hash: Some(known.id.hash.hexadecimal()),
                parent: layout.parent().map(|parent| parent.hexadecimal()),
                copies: layout.copies(None).to_string(),
                channels: channels
                    .map(|(channel, copies)| ChannelCopies { channel: channel.clone(), copies: copies.to_string() })
                    .collect(),
                nodes: nodes(layout),
                tables: tables(layout),
                dispersion: app.node.whole.as_ref().and_then(|whole| whole.placed()).map(|placed| dispersion(&placed)),
                note: WHAT_IT_DOES.to_owned(),
                ..found
            }
        }
    }
}

fn dispersion(placed: &PlacedCopies) -> DispersionReport {
    let (found, (slots, slots_in_place)) = (&placed.dispersion, placed.dispersion.slots());
    let short = |one: &ShortHour| ShortHourReport {
        hour: one.hour.to_string(),
        copies: one.copies as u64,
        wanted: one.wanted as u64,
    };
    DispersionReport {
        done: found.is_done(),
        hours: found.hours,
        hours_in_place: found.hours_in_place,
        hours_unknown: found.hours_unknown,
        copies: found.copies,
        copies_in_place: found.copies_in_place,
        slots,
        slots_in_place,
        bytes_missing: found.bytes_missing,
        bytes_per_second: placed.rate.bytes_per_second(),
        seconds_left: placed.rate.seconds_left(),
        short: found.short().map(short).collect(),
        unheard: placed.unheard.iter().map(ToString::to_string).collect(),
        counted: placed.at.into(),
    }
}

/// The same in short; nothing where there is none.
pub(super) fn summary(app: &App, peers: &[&str]) -> Option<LayoutSummary> {
    let layouts = &app.node.layouts;
    let count = |is_such: fn(&LayoutStanding) -> bool| {
        let heard = peers.iter().filter_map(|peer| layouts.heard(peer));
        heard.filter(|heard| is_such(&heard.standing)).count() as u64
    };
    let state = layouts.look();
    let word = match state {
        LayoutState::None => return None,
        LayoutState::Known(_) => "known",
        LayoutState::Unusable(_) => "unusable",
    };
    Some(LayoutSummary {
        state: word.to_owned(),
        version: state.id().map_or(0, |id| id.version),
        hash: state.id().map(|id| id.hash.hexadecimal()),
        same: count(|standing| *standing == LayoutStanding::Same),
        refused: count(|standing| matches!(standing, LayoutStanding::Fork(_))),
    })
}

fn peer_report(name: &str, heard: &HeardLayout, may_give: bool) -> PeerLayoutReport {
    let why = match &heard.standing {
        LayoutStanding::Fork(fork) => Some(fork.to_string()),
        LayoutStanding::Failed(why) => Some(why.clone()),
        _ => None,
    };
    PeerLayoutReport {
        name: name.to_owned(),
        state: heard.standing.as_str().to_owned(),
        version: heard.offered.map(|offered| offered.version),
        hash: heard.offered.map(|offered| offered.hash.hexadecimal()),
        may_give,
        why,
        asked: heard.at.into(),
    }
}

fn figures(layout: &Layout) -> impl Iterator<Item = (u8, TableFigures)> + '_ {
    layout.tables().keys().filter_map(|copies| Some((*copies, TableFigures::of(layout, *copies)?)))
}

fn tables(layout: &Layout) -> Vec<LayoutTableReport> {
    let of_table = |(copies, figures): (u8, TableFigures)| LayoutTableReport {
        copies,
        crowded: figures.crowded as u64,
        short: figures.short as u64,
        off_balance: figures.off_balance(),
    };
    figures(layout).map(of_table).collect()
}

fn nodes(layout: &Layout) -> Vec<LayoutNodeReport> {
    let tables: Vec<(u8, TableFigures)> = figures(layout).collect();
    let of_node = |(at, node): (usize, &LayoutNode)| {
        let owns = tables.iter().filter_map(|(copies, figures)| {
            let load = figures.loads.get(at)?;
            Some(OwnedSlots { copies: *copies, slots: load.slots as u64, share: load.share.as_f64() })
        });
        LayoutNodeReport {
            name: node.name.to_string(),
            zone: node.zone.to_string(),
            weight_bytes: node.weight,
            state: node.state.as_str().to_owned(),
            owns: owns.collect(),
        }
    };
    layout.nodes().iter().enumerate().map(of_node).collect()
}

/// What a plan comes to.
pub(super) fn plan_report(app: &App, planned: &PlannedLayout) -> Result<LayoutPlanReport, Problem> {
    let (mut before, mut versions) = (&planned.before, Vec::new());
    for next in &planned.versions {
        versions.push(version(app, before, next)?);
        before = next;
    }
    let warnings = versions.last().map(warnings).unwrap_or_default();
    let is_ready = app.node.crawl.is_ready();
    let behind = "the index is catching up with the disk, so that bytes are too few";
    let notes = [
        "bytes are those of what lies on this node, by its index: what only others have is not counted",
        "free space of other nodes is not known here, so whether a node would fall below its backfill.keep_free is not checked",
        WHAT_IT_DOES,
    ];
    Ok(LayoutPlanReport {
        from: planned.before.version(),
        changes: planned.changes.iter().map(ToString::to_string).collect(),
        versions,
        warnings,
        notes: notes.into_iter().chain((!is_ready).then_some(behind)).map(str::to_owned).collect(),
    })
}

fn version(app: &App, before: &Layout, next: &Layout) -> Result<PlannedVersion, Problem> {
    let slot_bytes = SlotBytes::between(app.node.keeper.index(), before, next)?;
    let mut bytes = vec![0_u64; next.nodes().len()];
    let mut all_moves = Vec::new();
    for ((_, copies), of_pair) in &slot_bytes {
        for (slot, of_slot) in of_pair.bytes.iter().enumerate() {
            for owner in next.owners(*copies, slot) {
                if let Some(sum) = bytes.get_mut(usize::from(owner)) {
                    *sum = sum.saturating_add(*of_slot);
                }
            }
        }
        all_moves.extend(moves_of(before, next, of_pair));
    }
    let owned = |layout: &Layout, node: &LayoutNode| {
        let number = (0..=u8::MAX).zip(layout.nodes()).find(|(_, one)| one.name == node.name)?.0;
        Some(layout.tables().values().map(|table| table.load(number) as u64).sum())
    };
    let of_node = |(node, owned_bytes): (&LayoutNode, &u64)| PlannedNode {
        name: node.name.to_string(),
        zone: node.zone.to_string(),
        state: node.state.as_str().to_owned(),
        weight_bytes: node.weight,
        slots_before: owned(before, node).unwrap_or_default(),
        slots: owned(next, node).unwrap_or_default(),
        bytes: *owned_bytes,
    };
    Ok(PlannedVersion {
        version: next.version(),
        hash: next.hash().hexadecimal(),
        moves: all_moves,
        nodes: next.nodes().iter().zip(&bytes).map(of_node).collect(),
        tables: tables(next),
    })
}

/// What moves of these channels, by pairs of nodes, the largest first.
fn moves_of(before: &Layout, next: &Layout, of_pair: &SlotBytes) -> Vec<PlannedMove> {
    let channel: Option<&Channel> = of_pair.channels.first();
    let mut pairs: BTreeMap<(Option<u8>, Option<u8>), (u64, u64)> = BTreeMap::new();
    for SlotMove { slot, from, to } in moves(before, next, channel) {
        let (slots, bytes) = pairs.entry((from, to)).or_default();
        *slots += 1;
        *bytes = bytes.saturating_add(of_pair.bytes.get(slot).copied().unwrap_or_default());
    }
    let node = |number: Option<u8>| number.and_then(|number| next.nodes().get(usize::from(number)));
    let of_pair = |((from, to), (slots, bytes)): ((Option<u8>, Option<u8>), (u64, u64))| PlannedMove {
        from: node(from).map(|node| node.name.to_string()),
        to: node(to).map(|node| node.name.to_string()),
        channels: of_pair.channels.iter().take(EXAMPLES).cloned().collect(),
        slots,
        bytes,
        why: why(before, node(from), node(to)),
    };
    let mut found: Vec<PlannedMove> = pairs.into_iter().map(of_pair).collect();
    found.sort_by_key(|one| std::cmp::Reverse(one.slots));
    found
}

/// Why a copy goes from one node to another.
fn why(before: &Layout, from: Option<&LayoutNode>, to: Option<&LayoutNode>) -> String {
    let was = |node: &LayoutNode| before.nodes().iter().find(|one| one.name == node.name);
    match (from, to) {
        (Some(from), _) if from.state == NodeState::Lost => format!("{} is lost", from.name),
        (Some(from), _) if from.state == NodeState::Draining => format!("{} drains", from.name),
        (_, Some(to)) if was(to).is_none_or(|was| was.state != NodeState::In) => {
            format!("{} takes copies from now on", to.name)
        }
        (None, _) => "one copy more is wanted, or can be had".to_owned(),
        (_, None) => "one copy less is wanted".to_owned(),
        (Some(from), Some(to)) => {
            let has_changed =
                |node: &LayoutNode| was(node).is_some_and(|was| (was.weight, &was.zone) != (node.weight, &node.zone));
            match [to, from].into_iter().find(|node| has_changed(node)) {
                Some(changed) => format!("{} has another weight or zone", changed.name),
                None => "shares and zones of others have changed".to_owned(),
            }
        }
    }
}

/// What a person should think of before the plan is applied.
fn warnings(last: &PlannedVersion) -> Vec<String> {
    let too_much = last.nodes.iter().filter(|node| node.bytes > node.weight_bytes).map(|node| {
        format!(
            "{} would own {} of what lies here alone, and offers {}",
            node.name,
            size(node.bytes),
            size(node.weight_bytes)
        )
    });
    let mut found: Vec<String> = too_much.collect();
    for table in &last.tables {
        if table.short > 0 {
            found.push(format!(
                "there are fewer nodes than {} copies: {} of {SLOTS} slots have fewer owners",
                table.copies, table.short
            ));
        }
        if table.crowded > 0 {
            found.push(format!(
                "{} slots of {} copies would be in fewer zones than could be",
                table.crowded, table.copies
            ));
        }
    }
    let own_zone = last.nodes.iter().filter(|node| node.state == "in").map(|node| &node.zone);
    let zones: std::collections::BTreeSet<&String> = own_zone.collect();
    if let Some(most) =
        last.tables.iter().map(|table| table.copies).max().filter(|most| usize::from(*most) > zones.len())
    {
        found
            .push(format!("{most} copies have {} zones: what fails together takes more than one of them", zones.len()));
    }
    found
}
