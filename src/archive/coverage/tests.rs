//! Coverage against brute force, the example of the specification, and changes of one hour against everything anew.

pub(crate) mod model;

use std::collections::BTreeMap;

use proptest::prelude::*;

use self::model::{CoverageModel, Seg, first_hour, hour, lines};
use super::*;

const SECOND: i64 = 1_000_000;

fn plain(stretches: impl IntoIterator<Item = Stretch>) -> Vec<(i64, i64)> {
    stretches.into_iter().map(|stretch| (stretch.start.us(), stretch.end.us())).collect()
}

fn full(start_us: i64, duration_us: i64) -> Seg {
    Seg {
        hour: start_us.div_euclid(3_600 * SECOND),
        start_us: start_us.rem_euclid(3_600 * SECOND),
        duration_us,
        kind: 0,
    }
}

fn coverage(lines: &BTreeMap<Hour, HourLine>) -> Coverage {
    let mut coverage = Coverage::default();
    for (hour, line) in lines {
        coverage.push(*hour, line);
    }
    coverage
}

/// Relative to the first hour, in seconds.
fn seconds(stretches: &[Stretch]) -> Vec<(i64, i64)> {
    let from = first_hour().start().us();
    plain(stretches.to_vec()).into_iter().map(|(a, b)| ((a - from) / SECOND, (b - from) / SECOND)).collect()
}

#[test]
fn the_worked_example_comes_out_as_it_is_written() {
    let segs =
        [(0, 10), (2, 2), (10, 2), (15, 2), (16, 4)].map(|(start, length)| full(start * SECOND, length * SECOND));
    let coverage = coverage(&lines(&segs, &[]));
    let figures = coverage.figures(first_hour(), first_hour()).next().unwrap();
    let us = |seconds: u64| seconds * 1_000_000;
    assert_eq!(figures.lane(CoverageKind::Raw), LaneFigures { covered_us: us(17), holes: 1, hole_us: us(3) });
    assert_eq!(figures.lane(CoverageKind::Editable), LaneFigures { covered_us: us(14), holes: 1, hole_us: us(3) });
    assert_eq!(figures.overlaps[0], TimeTally { count: 2, us: us(3) });
    let always = Window::default();
    for lane in CoverageKind::ALL {
        assert_eq!(seconds(&coverage.holes_within(lane, &always)), [(12, 15)]);
    }
    assert_eq!(seconds(&coverage.timespans(&always)), [(0, 12), (15, 20)]);
}

#[test]
fn ten_milliseconds_are_no_hole_and_no_overlap_and_one_more_microsecond_is() {
    for (gap_us, is_hole) in [(9_999, false), (10_000, false), (10_001, true)] {
        let pair = lines(&[full(0, 2 * SECOND), full(2 * SECOND + gap_us, 2 * SECOND)], &[]);
        let found = coverage(&pair);
        for lane in CoverageKind::ALL {
            assert_eq!(found.holes_within(lane, &Window::default()).len(), usize::from(is_hole), "{gap_us}");
        }
        let figures = found.figures(first_hour(), first_hour()).next().unwrap();
        assert_eq!(
            figures.lane(CoverageKind::Raw).covered_us,
            4_000_000,
            "a gap that is no hole is not covered either"
        );
        assert_eq!(found.timespans(&Window::default()).len(), 1 + usize::from(is_hole));

        let overlapping = coverage(&lines(&[full(0, 2 * SECOND), full(2 * SECOND - gap_us, 2 * SECOND)], &[]));
        let over = overlapping.figures(first_hour(), first_hour()).next().unwrap();
        assert_eq!(over.overlaps[0].count, u64::from(is_hole));
        assert_eq!(over.lane(CoverageKind::Editable).covered_us == 2_000_000, is_hole, "it is skipped");
    }
}

#[test]
fn a_hole_over_the_hour_counts_in_each_however_small_its_part_and_a_missing_hour_is_one() {
    let hour_us = 3_600 * SECOND;
    let segs = [full(hour_us - 2_001_000, 2 * SECOND), full(hour_us + 9_500, SECOND), full(3 * hour_us, 2 * SECOND)];
    let coverage = coverage(&lines(&segs, &[]));
    let holes: Vec<(u64, u64)> = coverage
        .figures(hour(0), hour(9))
        .map(|figures| (figures.lane(CoverageKind::Raw).holes, figures.lane(CoverageKind::Raw).hole_us))
        .collect();
    assert_eq!(holes, [(1, 1_000), (2, 9_500 + 3_598_990_500), (1, 3_600_000_000), (0, 0)]);
}

#[test]
fn a_window_needs_its_hours_and_no_more() {
    let all: Vec<Seg> = (0..24 * 1_800).map(|number| full(number * 2 * SECOND, 2 * SECOND)).collect();
    let lines = lines(&all, &[]);
    let from = hour(10).start() + crate::archive::Span::from_us(7 * SECOND);
    let window = Window::new(Some(from), Some(from + crate::archive::Span::from_us(SECOND)), false).unwrap();
    let part = part(&lines, window);
    assert_eq!(part.summaries().map(|(hour, _)| hour).collect::<Vec<_>>(), [hour(10)]);
    assert_eq!(window.cut_hours().collect::<Vec<_>>(), [hour(10), hour(10)]);
    for lane in CoverageKind::ALL {
        assert_eq!(part.covered_us(lane, &window, &lines), 1_000_000);
    }
}

#[test]
fn a_single_stray_hour_thousands_of_years_away_costs_nothing_until_it_is_asked_for() {
    let line = lines(&[full(0, 2 * SECOND)], &[]).remove(&first_hour()).unwrap();
    let mut coverage = Coverage::default();
    coverage.push(Hour::MIN, &line);
    coverage.push(first_hour(), &line);
    coverage.push(Hour::MAX, &line);
    assert_eq!(coverage.holes_within(CoverageKind::Raw, &Window::default()).len(), 2);
    assert_eq!(coverage.figures(Hour::MIN, Hour::MAX).take(3).count(), 3);
    assert_eq!(coverage.figures(Hour::MAX, Hour::MAX).count(), 1);
}

pub(crate) fn segs() -> impl Strategy<Value = Vec<Seg>> {
    let near = |around: i64| {
        (0..9_usize).prop_map(move |step| around + [-10_001, -10_000, -9_999, -1, 0, 1, 9_999, 10_000, 10_001][step])
    };
    let start = prop_oneof![
        prop::sample::select(vec![0, 1, 9_999, 10_000, 10_001]),
        near(2 * SECOND),
        near(4 * SECOND),
        near(1_800 * SECOND),
        prop::sample::select(vec![3_596, 3_598, 3_599]).prop_map(|second| second * SECOND),
        prop::sample::select(vec![3_599_989_999, 3_599_990_000, 3_599_990_001, 3_599_999_999]),
    ];
    let duration = prop_oneof![
        prop::sample::select(vec![0, 0, 1, 4_000, 9_999, 10_000, 10_001, 500_000]),
        near(2 * SECOND),
        near(1_798 * SECOND),
        prop::sample::select(vec![3_600 * SECOND, 3_600 * SECOND - 1]),
    ];
    let seg = (0..5_i64, start, duration, 0..3_usize);
    let seg = seg.prop_map(|(hour, start_us, duration_us, kind)| Seg { hour, start_us, duration_us, kind });
    // One of a kind at a start, so that size and hash have nothing to choose; the rules of that have tests of their own.
    prop::collection::vec(seg, 0..14).prop_map(|mut segs| {
        segs.sort_unstable_by_key(|of| (of.hour, of.start_us, of.kind));
        segs.dedup_by_key(|of| (of.hour, of.start_us, of.kind));
        segs
    })
}

pub(crate) fn windows() -> impl Strategy<Value = Window> {
    let point = prop_oneof![
        1 => Just(None),
        4 => (-1..7_i64, prop::sample::select(vec![0, 5_000, 2 * SECOND, 2_005_000, 1_800 * SECOND, 3_599_995_000]))
            .prop_map(|(number, us)| Some(Timestamp(first_hour().start().us() + number * 3_600 * SECOND + us))),
    ];
    (point.clone(), point, any::<bool>(), any::<bool>()).prop_map(|(a, b, edge_from, edge_to)| match (a, b) {
        (Some(a), Some(b)) => Window { from: Some(a.min(b)), to: Some(a.max(b)), edge_from, edge_to, last: None },
        (from, to) => Window { from, to, edge_from, edge_to, last: None },
    })
}

/// As read from the index: from the hour on in which the window begins, after what the hour before it left, and no more than needed.
pub(crate) fn part(lines: &BTreeMap<Hour, HourLine>, window: Window) -> Coverage {
    let all = coverage(lines);
    let from = window.from.map_or(Hour::MIN, Timestamp::hour);
    let before = all.summaries().take_while(|(hour, _)| *hour < from).last().and_then(|(_, summary)| summary.after);
    let mut part = Coverage::after(before);
    for (hour, summary) in all.summaries().filter(|(hour, _)| *hour >= from) {
        if part.is_enough(&window, hour) {
            break;
        }
        part.push_summary(hour, summary.clone());
    }
    part
}

#[test]
fn a_hole_at_the_front_is_told_from_a_part_too_where_what_is_near_lasts_no_time() {
    let instant = |hour, start_us| Seg { hour, start_us, duration_us: 0, kind: 0 };
    let lines = lines(&[instant(0, 2_009_999), instant(1, 0)], &[]);
    let at = |us: i64| Some(first_hour().start() + crate::archive::Span::from_us(us));
    let window = Window { from: at(2 * SECOND), to: at(2_005_000), edge_from: true, ..Window::default() };
    let expected = vec![(window.from.unwrap().us(), window.to.unwrap().us())];
    assert_eq!(plain(coverage(&lines).holes_within(CoverageKind::Raw, &window)), expected);
    assert_eq!(plain(part(&lines, window).holes_within(CoverageKind::Raw, &window)), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_figure_is_what_brute_force_says(segs in segs(), empty in prop::collection::vec(0..8_i64, 0..2)) {
        let (model, coverage) = (CoverageModel::new(&segs, &empty), coverage(&lines(&segs, &empty)));
        prop_assert_eq!(coverage.extent().map(|extent| (extent.start.us(), extent.end.us())), model.extent());
        let figures: Vec<HourFigures> = coverage.figures(Hour::MIN, Hour::MAX).collect();
        prop_assert_eq!(figures, model.figures());
        for lane in CoverageKind::ALL {
            prop_assert_eq!(plain(coverage.holes(lane)), model.holes(lane, &Window::default()));
        }
    }

    #[test]
    fn every_window_is_what_brute_force_says_whether_all_is_there_or_only_what_it_needs(
        segs in segs(), empty in prop::collection::vec(0..8_i64, 0..2), window in windows(),
    ) {
        let (model, lines) = (CoverageModel::new(&segs, &empty), lines(&segs, &empty));
        let (all, part) = (coverage(&lines), part(&lines, window));
        for lane in CoverageKind::ALL {
            let expected = model.holes(lane, &window);
            prop_assert_eq!(plain(all.holes_within(lane, &window)), expected.clone(), "{:?} of all", lane);
            prop_assert_eq!(plain(part.holes_within(lane, &window)), expected, "{:?} of a part", lane);
            let cut: BTreeMap<Hour, HourLine> =
                window.cut_hours().filter_map(|hour| Some((hour, lines.get(&hour)?.clone()))).collect();
            prop_assert_eq!(part.covered_us(lane, &window, &cut), model.covered_us(lane, &window), "{:?} covered", lane);
        }
        prop_assert_eq!(plain(all.timespans(&window)), model.timespans(&window));
        prop_assert_eq!(plain(part.timespans(&window)), model.timespans(&window));
    }

    #[test]
    fn figures_of_some_hours_are_the_same_from_what_these_need(segs in segs(), first in 0..5_i64, more in 0..3_i64) {
        let lines = lines(&segs, &[]);
        let (first, last) = (hour(first), hour(first + more));
        let part = part(&lines, Window::of_hours(first, last));
        let expected: Vec<HourFigures> = coverage(&lines).figures(first, last).collect();
        prop_assert_eq!(part.figures(first, last).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn older_hours_come_to_what_their_figures_add_up_to(
        segs in segs(), empty in prop::collection::vec(0..8_i64, 0..2), until in 0..9_i64,
    ) {
        let lines = lines(&segs, &empty);
        let (all, until) = (coverage(&lines), hour(until));
        let mut adder = CoverageTotals::default();
        all.summaries().filter(|(hour, _)| *hour < until).for_each(|(hour, summary)| adder.add(hour, summary));
        let sum = |figures: &[HourFigures]| {
            let mut sum = Totals::default();
            for of in figures {
                (0..3).for_each(|kind| {
                    sum.video[kind].merge(of.video[kind]);
                    sum.overlaps[kind].merge(of.overlaps[kind]);
                });
                sum.bad += of.bad;
                for (lane, added) in sum.lanes.iter_mut().zip(of.lanes) {
                    lane.covered_us += added.covered_us;
                    lane.holes += added.holes;
                    lane.hole_us += added.hole_us;
                }
            }
            sum
        };
        let older: Vec<HourFigures> = all.figures(Hour::MIN, until.previous()).collect();
        let after = part(&lines, Window { from: Some(until.start()), ..Window::default() });
        let expected = lines.keys().any(|hour| *hour < until).then(|| sum(&older));
        prop_assert_eq!(adder.before(until.start(), &after), expected);
        let mut whole = CoverageTotals::default();
        all.summaries().for_each(|(hour, summary)| whole.add(hour, summary));
        let (nothing, figures) = (Coverage::after(all.ends()), all.figures(Hour::MIN, Hour::MAX).collect::<Vec<_>>());
        prop_assert_eq!(whole.before(Timestamp::MAX, &nothing).unwrap_or_default(), sum(&figures));
    }

    #[test]
    fn what_is_not_full_is_what_brute_force_says(segs in segs()) {
        let coverage = coverage(&lines(&segs, &[]));
        let mut joined: Vec<(i64, i64)> = Vec::new();
        for (start, end) in plain(coverage.not_full()) {
            match joined.last_mut() {
                Some(last) if last.1 == start => last.1 = end,
                _ => joined.push((start, end)),
            }
        }
        prop_assert_eq!(joined, CoverageModel::new(&segs, &[]).not_full());
    }

    #[test]
    fn the_pieces_of_a_window_add_up_to_it_and_each_is_what_it_is_alone(
        segs in segs(), window in windows(), count in 1..40_usize,
    ) {
        let (Some(from), Some(to)) = (window.from, window.to) else { return Ok(()) };
        prop_assume!(from < to);
        let (lines, stretch) = (lines(&segs, &[]), Stretch { start: from, end: to });
        let model = CoverageModel::new(&segs, &[]);
        let mut shares = Shares::new(stretch, count);
        // In two parts, as a long window is read.
        let middle = from + crate::archive::Span::from_us((to - from).us() / 3);
        for (start, end) in [(from, middle), (middle, to)] {
            let cut = Window { from: Some(start), to: Some(end), ..Window::default() };
            shares.add(&part(&lines, cut), Stretch { start, end });
        }
        let shares = shares.finish();
        prop_assert_eq!(shares.len(), count);
        let whole = (to - from).us();
        for (number, share) in shares.iter().enumerate() {
            let edge = |of: usize| {
                Timestamp(from.us() + i64::try_from(i128::from(whole) * of as i128 / count as i128).unwrap())
            };
            let piece = Stretch { start: edge(number), end: edge(number + 1) };
            let sum = |of: Vec<(i64, i64)>| -> u64 {
                let cut = of.into_iter().map(|(a, b)| Stretch { start: Timestamp(a), end: Timestamp(b) }.cut(piece));
                cut.flatten().map(|cut| cut.length().us().unsigned_abs()).sum()
            };
            let expected = WindowShare {
                inside_us: sum(model.extent().into_iter().collect()),
                missing_us: sum(model.holes(CoverageKind::Raw, &Window::default())),
                not_full_us: sum(model.not_full()),
            };
            prop_assert_eq!(*share, expected, "{:?}", piece);
        }
    }
}
