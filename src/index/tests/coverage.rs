//! What is kept of coverage against what is made from scratch: whatever changes, in whatever order, and however far it reaches.

use proptest::prelude::*;

use super::model::{Act, HourStep, IndexModel, hour, options, stream};
use crate::archive::coverage::Window;
use crate::archive::test_names::hash_text;
use crate::archive::{AnyFile, HourChange};
use crate::index::summary_update::AT_ONCE;
use crate::index::{Batch, HourUpdate, Index, StampUpdate};

fn name(start_us: u32, duration_us: u32, kind: &str, extension: &str) -> String {
    let (second, us) = (start_us / 1_000_000, start_us % 1_000_000);
    let (minute, second) = (second / 60, second % 60);
    let (whole, part) = (duration_us / 1_000_000, duration_us % 1_000_000);
    format!("{minute:02}:{second:02}.{us:06}-{whole}.{part:06}-{kind}-{}.{extension}", hash_text(1))
}

/// Segments that touch, overlap, hold each other, miss each other by the tolerance, and run over the hour; and tombstones.
fn any_segment() -> impl Strategy<Value = String> {
    let start = prop::sample::select(vec![
        0,
        1,
        9_999,
        10_001,
        2_000_000,
        2_010_000,
        1_800_000_000,
        3_598_000_000,
        3_599_989_999,
    ]);
    let duration = prop::sample::select(vec![0, 1, 10_000, 1_990_000, 2_000_000, 1_800_000_000, 3_600_000_000]);
    let kind = prop::sample::select(vec!["full", "suspect", "partial"]);
    (start, duration, kind, prop::bool::weighted(0.2)).prop_map(|(start, duration, kind, is_tombstone)| {
        name(start, duration, kind, if is_tombstone { "tombstone" } else { "ts" })
    })
}

fn any_change() -> impl Strategy<Value = Act> {
    let step = prop_oneof![3 => any_segment().prop_map(|name| HourStep::Put(name, 1)), 1 => any_segment().prop_map(HourStep::Remove)];
    prop_oneof![
        6 => (0..5_u8, prop::collection::vec(step, 0..5)).prop_map(|(hour, steps)| Act::Change { stream: "a/source", hour, steps }),
        1 => (0..5_u8).prop_map(|hour| Act::RemoveHour { stream: "a/source", hour }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn after_any_changes_it_is_what_comes_out_from_scratch(batches in prop::collection::vec(prop::collection::vec(any_change(), 1..4), 1..8)) {
        let index = Index::in_memory(options()).unwrap();
        let mut model = IndexModel::default();
        for acts in batches {
            let hours = acts.iter().map(|act| model.act(act).0).collect();
            index.apply(Batch { hours, ..Batch::default() }).unwrap();
            model.assert_is(&index);
            for (_, at) in model.hours.keys() {
                prop_assert!(index.is_coverage_right(&stream("a/source"), *at).unwrap());
            }
        }
    }
}

/// Two recordings of the same time, shifted against each other by half a segment: the first segment decides for all.
#[test]
fn a_change_that_reaches_over_all_hours_is_settled_in_pieces_and_comes_out_the_same() {
    let index = Index::in_memory(options()).unwrap();
    let mut model = IndexModel::default();
    let streams = ["a/source", "b/source"];
    let hours = i64::try_from(AT_ONCE).unwrap() * 2 + 3;
    for of in streams {
        let mut updates = Vec::new();
        for number in 0..hours {
            let at = (hour(0).start() + crate::archive::Span::from_us(number * 3_600_000_000)).hour();
            let names: Vec<String> = (0..8_u32).map(|n| name(n * 450_000_000, 900_000_000, "full", "ts")).collect();
            let put = |each: &String| HourChange::Put(AnyFile::read(each, 1).unwrap());
            let changes = names.iter().map(put).collect();
            model.hours.insert((of.to_owned(), at), names.into_iter().map(|each| (each, 1)).collect());
            updates.push(HourUpdate::Change { stream: stream(of), hour: at, changes, stamp: StampUpdate::Keep });
        }
        index.apply(Batch { hours: updates, ..Batch::default() }).unwrap();
    }
    model.assert_is(&index);
    let whole = |of: &Index| of.coverage(&stream("a/source"), &Window::default(), usize::MAX).unwrap().coverage;
    let before = whole(&index);
    let first =
        Act::Change { stream: "a/source", hour: 0, steps: vec![HourStep::Remove(name(0, 900_000_000, "full", "ts"))] };
    index.apply(Batch { hours: vec![model.act(&first).0], ..Batch::default() }).unwrap();
    model.assert_is(&index);
    let differs = before.summaries().zip(whole(&index).summaries()).filter(|(a, b)| a.1 != b.1).count();
    assert!(differs > AT_ONCE, "only {differs} hours were made anew: this test no longer shows what it is for");
    assert_eq!(index.unsettled_hours().unwrap(), 0);
}

#[test]
fn a_page_ends_where_it_was_asked_to_and_the_next_one_goes_on() {
    let index = Index::in_memory(options()).unwrap();
    let mut model = IndexModel::default();
    for number in 0..6 {
        let act = Act::Change {
            stream: "a/source",
            hour: number,
            steps: vec![HourStep::Put(name(1_800_000_000, 2_000_000, "full", "ts"), 1)],
        };
        index.apply(Batch { hours: vec![model.act(&act).0], ..Batch::default() }).unwrap();
    }
    let found = index.coverage(&stream("a/source"), &Window::default(), 4).unwrap();
    assert_eq!(found.next, Some(hour(4)));
    let next = Window { from: Some(hour(4).start()), ..Window::default() };
    let rest = index.coverage(&stream("a/source"), &next, 4).unwrap();
    assert_eq!(rest.next, None);
    let all = model.coverage("a/source");
    let cut = Window { to: next.from, ..Window::default() };
    let raw = crate::archive::coverage::CoverageKind::Raw;
    assert_eq!(found.coverage.holes_within(raw, &cut), all.holes_within(raw, &cut));
    assert_eq!(rest.coverage.holes_within(raw, &next), all.holes_within(raw, &next));
}
