//! The layout and its plans, as lines for people.

use crate::archive::escape::shown;
use crate::archive::quantity::{count, size};
use crate::wire::{
    AppliedLayout, DispersionReport, HandoffReport, LayoutNodeReport, LayoutPlanReport, LayoutReport, PeerLayoutReport,
    PlannedMove, PlannedVersion,
};

/// Pairs of nodes that are shown of a version; the rest is summed up. `--json` has them all.
const MOST_PAIRS: usize = 40;
/// Digits of hashes that are shown: people compare the beginning.
const DIGITS: usize = 12;

/// The nodes, and what they own.
pub fn layout(report: &LayoutReport) -> Vec<String> {
    let mut lines = vec![state(report)];
    if report.state == "known" {
        lines.push(format!("copies: {}", report.copies));
        lines.extend(
            report.channels.iter().map(|own| format!("copies of {}: {}", shown(own.channel.as_str()), own.copies)),
        );
        lines.extend(report.nodes.iter().map(|node| format!("  {}", of_node(node))));
        for table in &report.tables {
            lines.push(format!(
                "{} copies: {} crowded, {} short, at most {:.2} % off balance",
                table.copies,
                count(table.crowded, "slot"),
                table.short,
                table.off_balance * 100.0
            ));
        }
    }
    lines.extend(waiting(report));
    lines
}

fn of_node(node: &LayoutNodeReport) -> String {
    let owns: Vec<String> = node
        .owns
        .iter()
        .map(|owned| format!("{} of 4096 (share {:.2}) at {} copies", owned.slots, owned.share, owned.copies))
        .collect();
    let owns = if owns.is_empty() { String::new() } else { format!(": {}", owns.join("; ")) };
    format!("{}  zone {}  {}  {}{owns}", shown(&node.name), shown(&node.zone), size(node.weight_bytes), node.state)
}

fn state(report: &LayoutReport) -> String {
    match (report.state.as_str(), &report.why, &report.hash) {
        ("known", _, Some(hash)) => format!("layout: version {}, {}", report.version, beginning(hash)),
        ("unusable", Some(why), _) => format!("layout: unusable, and nothing is decided by it: {}", shown(why)),
        ("none", ..) => "layout: none; every node keeps everything".to_owned(),
        (other, ..) => format!("layout: {}", shown(other)),
    }
}

fn waiting(report: &LayoutReport) -> Vec<String> {
    let mut lines: Vec<String> = report.staged.iter().map(|change| format!("staged: {}", shown(change))).collect();
    lines.extend(report.staged_error.iter().map(|why| format!("staged: not known: {}", shown(why))));
    lines
}

/// Versions here and elsewhere, and what waits.
pub fn status(report: &LayoutReport) -> Vec<String> {
    let mut lines = vec![state(report)];
    if report.state == "known" {
        let name = shown(&report.name);
        lines.push(match report.nodes.iter().find(|node| node.name == report.name) {
            Some(node) => format!("this node: {}", of_node(node)),
            None => format!("this node: {name} is not in the layout and owns nothing"),
        });
    }
    lines.extend(report.peers.iter().map(of_peer));
    if report.peers.is_empty() {
        lines.push("peers: none has been asked".to_owned());
    }
    lines.extend(waiting(report));
    lines.extend(report.dispersion.iter().flat_map(dispersion));
    lines.extend(report.handoffs.iter().filter(|_| report.state != "none").flat_map(handoffs));
    lines.push(shown(&report.note).into_owned());
    lines
}

/// Hours that are named; `--json` has more of them.
const MOST_SHORT: usize = 10;

/// How much of it is in place.
fn dispersion(report: &DispersionReport) -> Vec<String> {
    let mut lines = vec![if report.done {
        format!("copies: done, all of {} are in place", count(report.hours, "hour"))
    } else {
        format!(
            "copies: {} of {} in place; {} of {} slots, {} of {} hours complete",
            report.copies_in_place,
            report.copies,
            report.slots_in_place,
            report.slots,
            report.hours_in_place,
            report.hours
        )
    }];
    if report.bytes_missing > 0 {
        let rate = report.bytes_per_second.map_or_else(String::new, |rate| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "people look at it")]
            let rate = rate.max(0.0) as u64;
            format!(", {} each second", size(rate))
        });
        let left = report.seconds_left.map_or_else(String::new, |left| {
            let minutes = (left / 60.0).ceil().max(1.0);
            if minutes < 120.0 {
                format!(", about {minutes:.0} min left")
            } else {
                format!(", about {:.0} h left", minutes / 60.0)
            }
        });
        lines.push(format!("  to move: {}{rate}{left}", size(report.bytes_missing)));
    }
    let short = report.short.iter().take(MOST_SHORT);
    lines.extend(short.map(|one| format!("  {} of {} copies: {}", one.copies, one.wanted, shown(&one.hour))));
    let others = (report.hours - report.hours_in_place).saturating_sub(MOST_SHORT as u64);
    if others > 0 {
        lines.push(format!("  and {}", count(others, "other hour")));
    }
    lines.extend(
        report.unheard.iter().map(|node| format!("  nothing is known of {}: no peer calls itself so", shown(node))),
    );
    lines
}

/// What lies here and belongs to others, and why it is still here.
fn handoffs(report: &HandoffReport) -> Vec<String> {
    let left =
        if report.left_hours == 0 { String::new() } else { format!("; {} left", count(report.left_hours, "hour")) };
    let pause =
        if report.leaves { "" } else { "; they stay: [placement] handoffs is off, or `gapless layout pause` was said" };
    let mut lines = vec![match report.hours {
        _ if report.pass.is_none() => "handoffs: not known yet".to_owned(),
        0 => format!("handoffs: none{left}"),
        hours => format!("handoffs: {}, {}{left}{pause}", count(hours, "hour"), size(report.bytes)),
    }];
    lines.extend(report.error.iter().map(|why| format!("  no pass: {}", shown(why))));
    lines.extend(report.waiting.iter().map(|one| format!("  {} wait: {}", count(one.hours, "hour"), shown(&one.why))));
    lines.extend(report.stands_in_for.iter().map(|node| format!("stood in for: {}", shown(node))));
    lines
}

fn of_peer(peer: &PeerLayoutReport) -> String {
    let version = match (peer.version, &peer.hash) {
        (Some(version), Some(hash)) => format!("version {version}, {}", beginning(hash)),
        _ => "no layout".to_owned(),
    };
    let state = match peer.state.as_str() {
        "none" => String::new(),
        "not-taken" => ": ahead of this node, and not taken, as layouts_from does not name it".to_owned(),
        "behind" => ": behind this node".to_owned(),
        "ahead" => ": ahead, and being taken".to_owned(),
        other => format!(": {}", shown(other)),
    };
    let why = peer.why.as_ref().map_or_else(String::new, |why| format!(": {}", shown(why)));
    format!("peer {}: {version}{state}{why}", shown(&peer.name))
}

/// What would move, and why.
pub fn plan(plan: &LayoutPlanReport) -> Vec<String> {
    let mut lines = changes(plan);
    if plan.versions.is_empty() {
        lines.push(format!("nothing to do: version {} has all of it", plan.from));
        return lines;
    }
    for version in &plan.versions {
        lines.extend(of_version(version));
    }
    lines.extend(plan.warnings.iter().map(|warning| format!("warning: {}", shown(warning))));
    lines.extend(plan.notes.iter().map(|note| format!("note: {}", shown(note))));
    if plan.versions.len() > 1 {
        lines.push(
            "each version is applied by itself, when all copies are where the one before says: \
             so never more than one copy of a slot moves"
                .to_owned(),
        );
    }
    lines.push(to_apply(plan));
    lines
}

fn changes(plan: &LayoutPlanReport) -> Vec<String> {
    plan.changes.iter().map(|change| format!("staged: {}", shown(change))).collect()
}

fn to_apply(plan: &LayoutPlanReport) -> String {
    let next = plan.versions.first().map_or("", |next| next.hash.get(..DIGITS).unwrap_or(&next.hash));
    format!("to apply the first version of it: gapless layout apply {} --plan {next}", plan.from)
}

/// What was staged, in short.
pub fn staged(plan: &LayoutPlanReport) -> Vec<String> {
    let mut lines = changes(plan);
    for version in &plan.versions {
        lines.push(summary(version));
    }
    lines.extend(plan.warnings.iter().map(|warning| format!("warning: {}", shown(warning))));
    lines.push("nothing has changed yet; `gapless layout plan` shows what would move".to_owned());
    lines.push(to_apply(plan));
    lines
}

fn summary(version: &PlannedVersion) -> String {
    let fetched = || version.moves.iter().filter(|one| one.to.is_some());
    let (slots, bytes) = fetched().fold((0, 0_u64), |(slots, bytes), one| (slots + one.slots, bytes + one.bytes));
    let hash = beginning(&version.hash);
    let moved = match slots {
        1 => "1 copy of a slot goes to another node".to_owned(),
        more => format!("{more} copies of slots go to other nodes"),
    };
    format!("version {}, {hash}: {moved}, {}", version.version, size(bytes))
}

fn of_version(version: &PlannedVersion) -> Vec<String> {
    let mut lines = vec![summary(version)];
    lines.extend(version.moves.iter().take(MOST_PAIRS).map(of_move));
    if let Some(rest) = version.moves.get(MOST_PAIRS..).filter(|rest| !rest.is_empty()) {
        let slots: u64 = rest.iter().map(|one| one.slots).sum();
        lines.push(format!("  and {} between {} more pairs of nodes", count(slots, "slot"), rest.len()));
    }
    lines.extend(version.nodes.iter().map(|node| {
        format!(
            "  {}  zone {}  {}  {}: {} → {} slots, {}",
            shown(&node.name),
            shown(&node.zone),
            size(node.weight_bytes),
            node.state,
            node.slots_before,
            node.slots,
            size(node.bytes)
        )
    }));
    lines
}

fn of_move(one: &PlannedMove) -> String {
    let node = |name: &Option<String>| name.as_ref().map_or_else(|| "–".to_owned(), |name| shown(name).into_owned());
    let channels: Vec<&str> = one.channels.iter().map(crate::archive::Channel::as_str).collect();
    let channels = if channels.is_empty() { String::new() } else { format!(" of {}", shown(&channels.join(", "))) };
    format!(
        "  {} → {}: {}{channels}, {}: {}",
        node(&one.from),
        node(&one.to),
        count(one.slots, "slot"),
        size(one.bytes),
        shown(&one.why)
    )
}

/// What was applied, or taken.
pub fn applied(applied: &AppliedLayout, what: &str) -> Vec<String> {
    let mut lines = vec![format!("version {}, {}: {what}", applied.version, beginning(&applied.hash))];
    if applied.versions_left > 0 {
        lines.push(format!(
            "{} of the plan left; when all copies are where this one says: gapless layout apply {}",
            count(applied.versions_left, "version"),
            applied.version
        ));
    }
    lines.push(shown(&applied.note).into_owned());
    lines
}

fn beginning(hash: &str) -> String {
    shown(hash.get(..DIGITS).unwrap_or(hash)).into_owned()
}
