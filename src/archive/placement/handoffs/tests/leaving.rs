//! What leaves a node, and what stands in for others.

use super::*;

fn both() -> FileNames {
    names(&["00:00-2.0-full-a.ts", "00:00-2.0-full-a.tombstone"])
}

fn pass(node: &mut PlacedNode<ArchiveTerms>, at: PlacementTime) -> Vec<(PlaceName, PinRequest<ArchiveTerms>)> {
    let lying = vec![LyingHour { hour: hour(), names: both() }];
    let effects = node.step(at, Event::Pass { lying });
    let asked = effects.into_iter().map(|effect| match effect {
        Effect::Ask { peer, request } => (peer, request),
        other => panic!("{other:?}"),
    });
    asked.collect()
}

fn answer(by: &PlaceName, to: &PinRequest<ArchiveTerms>, says: HourVerdict) -> Event {
    let answer = PinAnswer {
        id: to.id,
        archive: archive_of(by),
        layout: Some(to.layout),
        hours: to.hours.iter().map(|asked| (asked.hour.clone(), says)).collect(),
    };
    Event::Answered { by: by.clone(), answer }
}

/// A node that does not own the hour, and has asked both owners.
fn handoff() -> (PlacedNode<ArchiveTerms>, Vec<(PlaceName, PinRequest<ArchiveTerms>)>) {
    let mut node = node(&owners_and_another().1);
    assert_eq!(pass(&mut node, after(9)), [], "what was written before the start is not known");
    let asked = pass(&mut node, after(10));
    assert_eq!(asked.len(), 2);
    (node, asked)
}

#[test]
fn an_hour_leaves_when_all_owners_have_promised_and_then_just_what_was_confirmed() {
    let (mut node, asked) = handoff();
    let [(one, first), (other, second)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(node.step(after(11), answer(one, first, HourVerdict::Pinned)), []);
    // It comes twice.
    assert_eq!(node.step(after(11), answer(one, first, HourVerdict::Pinned)), []);
    let effects = node.step(after(12), answer(other, second, HourVerdict::Pinned));
    let leaving = PlacementNote::Leaving { hour: hour(), layout: layout(&[]).id() };
    let drop = Effect::Drop { hour: hour(), names: both(), before: after(40).elapsed };
    assert_eq!(effects, [Effect::Journal { lines: vec![leaving] }, drop]);
    assert_eq!(pass(&mut node, after(13)), [], "it is on its way");
    let left = PlacementNote::Left { hour: hour() };
    let ended = node.step(after(14), Event::Ended { hour: hour(), is_gone: true });
    assert_eq!(ended, [Effect::Journal { lines: vec![left] }]);
}

#[test]
fn an_owner_that_has_something_else_is_asked_by_name_in_the_next_pass() {
    let (mut node, asked) = handoff();
    let (one, first) = &asked[0];
    assert!(first.hours.iter().all(|about| about.names.is_none()));
    assert_eq!(node.step(after(11), answer(one, first, HourVerdict::Differs)), []);
    let with_names = |(_, request): &(PlaceName, PinRequest<ArchiveTerms>)| request.hours[0].names.is_some();
    assert_eq!(pass(&mut node, after(12)).iter().map(with_names).collect::<Vec<_>>(), [true, false]);
}

/// What happens between the first and the second answer, and must keep the hour here.
fn stays_after(events: impl IntoIterator<Item = Event>, minutes: i64) {
    let (mut node, asked) = handoff();
    let [(one, first), (other, second)] = &asked[..] else { panic!("{asked:?}") };
    node.step(after(11), answer(one, first, HourVerdict::Pinned));
    for event in events {
        node.step(after(11), event);
    }
    assert_eq!(node.step(after(minutes), answer(other, second, HourVerdict::Pinned)), []);
}

#[test]
fn an_hour_stays_if_anything_has_changed_since_it_was_asked_about() {
    let owner = owners_and_another().0[0].clone();
    let stays = |event: Event| stays_after([event], 12);
    stays(Event::Changed { hour: hour() });
    stays(Event::Held { hour: hour() });
    stays(Event::Silent { peer: owner });
    stays(Event::Offered { from: None, layout: layout(&[LayoutChange::Drain(name("c"))]) });
    stays(Event::Pass { lying: vec![LyingHour { hour: hour(), names: both() }] });
    stays(Event::RetireWanted { hour: hour() });
    stays_after([], 40);
}

#[test]
fn an_archive_under_two_names_is_one_copy_and_ones_own_is_none() {
    for archive_at_fault in [archive_of(&owners_and_another().1), archive_of(&owners_and_another().0[0])] {
        let (mut node, asked) = handoff();
        let [(one, first), (other, second)] = &asked[..] else { panic!("{asked:?}") };
        node.step(after(11), answer(one, first, HourVerdict::Pinned));
        let mut event = answer(other, second, HourVerdict::Pinned);
        if let Event::Answered { answer, .. } = &mut event {
            answer.archive = archive_at_fault;
        }
        assert_eq!(node.step(after(12), event), []);
    }
}

#[test]
fn deleting_stops_when_an_owner_falls_silent_or_somebody_needs_the_hour() {
    let (mut node, asked) = handoff();
    for (owner, request) in &asked {
        node.step(after(11), answer(owner, request, HourVerdict::Pinned));
    }
    let stop = [Effect::Stop { hour: hour() }];
    assert_eq!(node.step(after(12), Event::Silent { peer: asked[0].0.clone() }), stop);
    assert_eq!(node.step(after(12), Event::Held { hour: hour() }), stop);
    assert_eq!(node.step(after(12), Event::Ended { hour: hour(), is_gone: false }), []);
}

#[test]
fn without_a_clock_that_can_be_believed_and_while_it_may_run_nothing_leaves() {
    let mut node = node(&owners_and_another().1);
    let at = |wall: Option<&str>| PlacementTime { wall: wall.map(|text| Timestamp::parse(text).unwrap()), ..after(30) };
    assert_eq!(pass(&mut node, at(None)), []);
    assert_eq!(pass(&mut node, at(Some("2019-11-13T02:59:00"))), []);
    assert_eq!(pass(&mut node, at(Some("2019-11-13T03:59:00"))), []);
    assert_eq!(pass(&mut node, at(Some("2019-11-13T04:00:00"))).len(), 2);
}

#[test]
fn without_a_layout_all_is_kept_and_nothing_leaves() {
    let me = NodeSelf { node: name("d"), archive: 1, run: 1 };
    let (mut node, _) = PlacedNode::<ArchiveTerms>::start(me, AllRules, after(0), None, Some(Vec::new()));
    assert!(node.keeps(after(0), &hour()));
    assert_eq!(pass(&mut node, after(30)), []);
}

#[test]
fn an_owner_that_is_silent_for_an_hour_or_full_is_stood_in_for_until_it_is_back() {
    let ([owner, _], other) = owners_and_another();
    let listed = |node: &mut PlacedNode<ArchiveTerms>, at| {
        node.step(at, Event::Listed { by: name("b"), lacking: vec![hour()], hiding: vec![hour()] })
    };
    let mut node = node(&other);
    // What it hides here is hidden there; nothing else is taken.
    let hide = [Effect::Hide { peer: name("b"), hour: hour() }];
    let fetch = [Effect::Fetch { peer: name("b"), hour: hour() }];
    assert_eq!(listed(&mut node, after(0)), hide);
    node.step(after(0), Event::Silent { peer: owner.clone() });
    node.step(after(30), Event::Silent { peer: owner.clone() });
    assert_eq!(listed(&mut node, after(59)), hide);
    assert_eq!(listed(&mut node, after(60)), fetch);
    assert_eq!(pass(&mut node, after(61)), []);
    node.step(after(61), Event::Heard { peer: owner.clone(), is_full: true });
    assert_eq!(listed(&mut node, after(61)), fetch);
    node.step(after(62), Event::Heard { peer: owner, is_full: false });
    assert_eq!(listed(&mut node, after(62)), hide);
    assert_eq!(pass(&mut node, after(63)).len(), 2, "it is a handoff");
}
