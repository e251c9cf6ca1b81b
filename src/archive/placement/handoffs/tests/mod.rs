//! Rules one by one, with hours, names and layouts of an archive. What follows from them together is played in `tests/placement`.

mod giving;
mod leaving;
mod terms;

use super::*;
use crate::archive::placement::{CopiesWanted, Layout, LayoutChange, PlaceName, plan};
use crate::archive::time::{HOUR_US, SECOND_US};
use crate::archive::{HourPlace, Span, Timestamp};

type Event = PlacementEvent<ArchiveTerms>;
type Effect = PlacementEffect<ArchiveTerms>;

fn name(text: &str) -> PlaceName {
    PlaceName::new(text).unwrap()
}

fn hour() -> HourPlace {
    HourPlace::parse("desertbus/source/2019-11-13T02").unwrap()
}

fn names(names: &[&str]) -> FileNames {
    FileNames::of(names.iter().copied())
}

/// Three nodes in two zones, two copies of everything; after these changes, if there are any.
fn layout(changes: &[LayoutChange]) -> ActingLayout {
    let add = |node: &str, zone: &str| LayoutChange::Add { name: name(node), zone: name(zone), weight: 4 };
    let copies = LayoutChange::Copies { channel: None, copies: Some(CopiesWanted::Number(2)) };
    let first = [add("a", "attic"), add("b", "barn"), add("c", "attic"), copies];
    let mut layout = plan(&Layout::none(), &first).unwrap().pop().unwrap();
    if !changes.is_empty() {
        layout = plan(&layout, changes).unwrap().pop().unwrap();
    }
    ActingLayout::new(layout)
}

/// So many minutes after the node was started, half a year after the hour.
fn after(minutes: i64) -> PlacementTime {
    let passed = Span::from_us(minutes * 60 * SECOND_US);
    let start = Timestamp::parse("2020-05-01T00:00:00").unwrap();
    PlacementTime { lived: Span::from_us(HOUR_US) + passed, elapsed: passed, wall: Some(start + passed) }
}

/// The owners of the hour, and a node that is none.
fn owners_and_another() -> ([PlaceName; 2], PlaceName) {
    let owners: Vec<PlaceName> = layout(&[]).owners(&hour()).into_iter().map(|owner| owner.node).collect();
    let another = ["a", "b", "c"].map(name).into_iter().find(|node| !owners.contains(node)).unwrap();
    (owners.try_into().unwrap(), another)
}

fn node_with_journal(
    called: &PlaceName,
    at: PlacementTime,
    journal: Option<Vec<PlacementNote<ArchiveTerms>>>,
) -> (PlacedNode<ArchiveTerms>, Vec<Effect>) {
    let me = NodeSelf { node: called.clone(), archive: archive_of(called), run: 7 };
    PlacedNode::start(me, AllRules, at, Some(layout(&[])), journal)
}

fn node(called: &PlaceName) -> PlacedNode<ArchiveTerms> {
    node_with_journal(called, after(0), Some(Vec::new())).0
}

fn archive_of(node: &PlaceName) -> u128 {
    node.as_str().bytes().map(u128::from).sum()
}

/// A request about the hour, as a node sends it that has these names.
fn request(has: &FileNames, with_names: bool, layout: &ActingLayout) -> PinRequest<ArchiveTerms> {
    let about = HourAsked { hour: hour(), digest: has.digest(), names: with_names.then(|| has.clone()) };
    PinRequest { id: RequestId { run: 9, number: 1 }, layout: layout.id(), hours: vec![about] }
}

fn says(effects: &[Effect]) -> Option<HourVerdict> {
    effects.iter().find_map(|effect| match effect {
        Effect::Answer { answer, .. } => answer.hours.first().map(|(_, says)| *says),
        _ => None,
    })
}
