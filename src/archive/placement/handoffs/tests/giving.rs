//! What an owner confirms and promises.

use super::*;

const BOTH: [&str; 2] = ["00:00-2.0-full-a.ts", "00:02-2.0-full-b.ts"];

fn asked(
    node: &mut PlacedNode<ArchiveTerms>,
    at: PlacementTime,
    has: &FileNames,
    with_names: bool,
    here: &FileNames,
) -> Vec<Effect> {
    let (_, from) = owners_and_another();
    let request = request(has, with_names, &layout(&[]));
    node.step(at, Event::Asked { from, request, durable: vec![here.clone()] })
}

fn wants_to_retire(node: &mut PlacedNode<ArchiveTerms>, at: PlacementTime) -> bool {
    let effects = node.step(at, Event::RetireWanted { hour: hour() });
    effects == [Effect::Retire { hour: hour() }]
}

#[test]
fn what_lies_there_is_pinned_in_the_journal_before_the_answer() {
    let ([owner, _], _) = owners_and_another();
    let effects = asked(&mut node(&owner), after(0), &names(&BOTH), false, &names(&BOTH));
    let [Effect::Journal { lines }, Effect::Answer { answer, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(lines[..], [PlacementNote::Pinned { hour: hour(), until: after(60).lived }]);
    assert_eq!((answer.archive, answer.layout), (archive_of(&owner), Some(layout(&[]).id())));
    assert_eq!(answer.hours, [(hour(), HourVerdict::Pinned)]);
}

#[test]
fn names_decide_where_digests_differ_and_tombstones_are_names() {
    let ([owner, _], from) = owners_and_another();
    let mut node = node(&owner);
    let (one, both) = (names(&BOTH[..1]), names(&BOTH));
    assert_eq!(says(&asked(&mut node, after(0), &one, false, &both)), Some(HourVerdict::Differs));
    assert_eq!(says(&asked(&mut node, after(0), &one, true, &both)), Some(HourVerdict::Pinned));
    let hidden = names(&[BOTH[0], "00:00-2.0-full-a.tombstone"]);
    let effects = asked(&mut node, after(0), &hidden, true, &both);
    assert_eq!(says(&effects), Some(HourVerdict::Lacks));
    // It is known now who has what is missing.
    assert!(effects.contains(&Effect::Fetch { peer: from, hour: hour() }));
}

#[test]
fn a_pin_holds_for_an_hour_lived_over_restarts_and_whatever_the_clock_says() {
    let ([owner, _], _) = owners_and_another();
    let mut first = node(&owner);
    asked(&mut first, after(0), &names(&BOTH), false, &names(&BOTH));
    let notes = first.notes(after(0));
    // The machine was started again, after a year as the clock has it. It has lived for half an hour.
    let mut at = after(30);
    at.elapsed = Span::from_us(0);
    at.wall = Some(Timestamp::parse("2021-05-01T00:00:00").unwrap());
    let (mut again, effects) = node_with_journal(&owner, at, Some(notes));
    assert_eq!(effects, []);
    assert!(!wants_to_retire(&mut again, at));
    assert!(!wants_to_retire(&mut again, after(59)));
    assert!(wants_to_retire(&mut again, after(60)));
}

#[test]
fn a_journal_that_cannot_be_relied_on_pins_everything_also_for_the_next_start() {
    let ([owner, _], _) = owners_and_another();
    let (mut first, effects) = node_with_journal(&owner, after(0), None);
    let [Effect::Journal { lines }] = &effects[..] else { panic!("{effects:?}") };
    assert!(!wants_to_retire(&mut first, after(50)));
    let (mut next, _) = node_with_journal(&owner, after(50), Some(lines.clone()));
    assert!(!wants_to_retire(&mut next, after(59)));
    assert!(wants_to_retire(&mut next, after(60)));
}

#[test]
fn an_hour_that_retention_waits_for_is_not_promised_again() {
    let ([owner, _], _) = owners_and_another();
    let mut node = node(&owner);
    asked(&mut node, after(0), &names(&BOTH), false, &names(&BOTH));
    assert!(!wants_to_retire(&mut node, after(30)));
    assert_eq!(says(&asked(&mut node, after(31), &names(&BOTH), false, &names(&BOTH))), Some(HourVerdict::Going));
    assert!(wants_to_retire(&mut node, after(60)));
    // While it goes, too; and what has gone may come again.
    assert_eq!(says(&asked(&mut node, after(61), &names(&BOTH), false, &names(&BOTH))), Some(HourVerdict::Going));
    assert_eq!(node.step(after(62), Event::Ended { hour: hour(), is_gone: true }), []);
    assert_eq!(says(&asked(&mut node, after(63), &names(&BOTH), false, &names(&BOTH))), Some(HourVerdict::Pinned));
}

#[test]
fn nobody_confirms_under_another_layout_or_what_he_does_not_own() {
    let ([owner, _], other) = owners_and_another();
    assert_eq!(
        says(&asked(&mut node(&other), after(0), &names(&BOTH), false, &names(&BOTH))),
        Some(HourVerdict::NotMine)
    );
    let newer = layout(&[LayoutChange::Drain(name("c"))]);
    let request = request(&names(&BOTH), false, &newer);
    let effects =
        node(&owner).step(after(0), Event::Asked { from: other.clone(), request, durable: vec![names(&BOTH)] });
    assert_eq!(says(&effects), None);
    assert!(effects.contains(&Effect::AskLayout { peer: other }), "{effects:?}");
}

#[test]
fn the_highest_version_is_taken_and_another_layout_of_the_same_one_is_told() {
    let ([owner, _], other) = owners_and_another();
    let mut node = node(&owner);
    let drained = layout(&[LayoutChange::Drain(name("c"))]);
    let from = Some(other.clone());
    let offer = |layout: &ActingLayout| Event::Offered { from: from.clone(), layout: layout.clone() };
    assert_eq!(node.step(after(0), offer(&drained)), [Effect::SaveLayout { layout: drained.clone() }]);
    assert_eq!(node.step(after(0), offer(&layout(&[]))), [Effect::OfferLayout { peer: other }]);
    let fork = layout(&[LayoutChange::Drain(name("b"))]);
    let alarm = Effect::AlarmFork { ours: drained.id(), theirs: fork.id() };
    assert_eq!(node.step(after(0), offer(&fork)), [alarm]);
    assert_eq!(node.layout(), Some(&drained));
}
