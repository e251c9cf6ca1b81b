//! The ledger of holes in the index: since when, until when and by whom; bounded, and after a restart as before.

use super::model::{IndexModel, hour, options, stream};
use crate::archive::coverage::{Stretch, Window};
use crate::archive::hole_reasons::{HoleKnowledge, HoleReason, MissedRecording};
use crate::archive::test_names::hash_text;
use crate::archive::{AnyFile, HourChange, HourPlace, Span, Timestamp};
use crate::index::{Batch, HourUpdate, Index, IndexOptions, StampUpdate};

const STREAM: &str = "a/source";

/// A segment of two seconds.
fn segment(second: u32) -> String {
    format!("{:02}:{:02}.000000-2.0-full-{}.ts", second / 60, second % 60, hash_text(1))
}

fn update(at: u8, changes: Vec<HourChange>) -> HourUpdate {
    HourUpdate::Change { stream: stream(STREAM), hour: hour(at), changes, stamp: StampUpdate::Keep }
}

fn put(index: &Index, at: u8, seconds: impl IntoIterator<Item = u32>) {
    let changes =
        seconds.into_iter().map(|second| HourChange::Put(AnyFile::read(&segment(second), 1).unwrap())).collect();
    index.apply(Batch { hours: vec![update(at, changes)], ..Batch::default() }).unwrap();
}

fn remove(index: &Index, at: u8, second: u32) {
    let changes = vec![HourChange::Remove(AnyFile::read(&segment(second), 1).unwrap())];
    index.apply(Batch { hours: vec![update(at, changes)], ..Batch::default() }).unwrap();
}

/// Seconds of the first hour.
fn within(from: i64, to: i64) -> Stretch {
    let at = |second: i64| hour(0).start() + Span::from_us(second * 1_000_000);
    Stretch { start: at(from), end: at(to) }
}

/// An index that has caught up.
fn index() -> Index {
    let index = Index::in_memory(options()).unwrap();
    index.caught_up(true);
    index
}

fn open(index: &Index) -> Vec<(Stretch, Timestamp)> {
    assert!(index.is_ledger_right(&stream(STREAM)).unwrap());
    index.ledger(&stream(STREAM)).unwrap().into_iter().map(|entry| (entry.hole, entry.first_seen)).collect()
}

fn closed(index: &Index) -> Vec<(Stretch, Option<String>)> {
    let page = index.closed_holes(&stream(STREAM), &Window::default(), None, 1_000).unwrap();
    page.closed.into_iter().map(|each| (each.hole, each.by.name().map(str::to_owned))).collect()
}

#[test]
fn a_hole_is_known_since_it_was_seen_and_closes_by_whoever_gave_what_was_in_it() {
    let index = index();
    put(&index, 0, [0, 20]);
    let [(hole, first_seen)] = open(&index)[..] else { unreachable!("there is one hole") };
    assert_eq!(hole, within(2, 20));
    index.expect_from("b", &HourPlace { stream: stream(STREAM), hour: hour(0) }, [&*segment(8), &*segment(10)]);
    put(&index, 0, [8, 10]);
    assert_eq!(open(&index), [(within(2, 8), first_seen), (within(12, 20), first_seen)]);
    put(&index, 0, [12]);
    put(&index, 0, [2, 4, 6]);
    put(&index, 0, [14, 16, 18]);
    assert_eq!(open(&index), []);
    let recorder = || Some("recorder".to_owned());
    assert_eq!(
        closed(&index),
        [(within(2, 8), recorder()), (within(8, 12), Some("b".to_owned())), (within(12, 20), recorder())],
        "what closed side by side is one entry"
    );
    assert!(index.givers().is_empty(), "what has come is not expected any more");
    let all = index.closed_holes(&stream(STREAM), &Window::default(), None, 10).unwrap().closed;
    assert!(all.iter().all(|each| each.first_seen == first_seen && each.closed > first_seen));
}

#[test]
fn a_hole_that_comes_again_is_another_one_and_one_behind_the_end_is_none() {
    let index = index();
    put(&index, 0, [0, 2, 4]);
    remove(&index, 0, 2);
    let first = open(&index)[0].1;
    put(&index, 0, [2]);
    remove(&index, 0, 2);
    assert!(open(&index)[0].1 > first);
    assert_eq!(closed(&index), [(within(2, 4), Some("recorder".to_owned()))]);
    remove(&index, 0, 4);
    assert_eq!(open(&index), []);
    assert_eq!(closed(&index).last().unwrap(), &(within(2, 4), None), "nothing came; it is behind the last one now");
}

#[test]
fn an_hour_in_between_that_comes_and_goes_keeps_what_was_first_seen() {
    let index = index();
    put(&index, 0, [0]);
    put(&index, 5, [0]);
    let first_seen = open(&index)[0].1;
    put(&index, 3, [0]);
    assert_eq!(open(&index).iter().map(|entry| entry.1).collect::<Vec<_>>(), [first_seen; 2]);
    let gone = HourUpdate::Remove { stream: stream(STREAM), hour: hour(3) };
    index.apply(Batch { hours: vec![gone], ..Batch::default() }).unwrap();
    let whole = Stretch { start: hour(0).start() + Span::from_us(2_000_000), end: hour(5).start() };
    assert_eq!(open(&index), [(whole, first_seen)]);
}

#[test]
fn hours_that_are_read_one_after_the_other_were_no_holes() {
    let index = Index::in_memory(options()).unwrap();
    put(&index, 4, [0]);
    put(&index, 0, [0]);
    put(&index, 2, [0]);
    assert_eq!(closed(&index), []);
    index.caught_up(true);
    put(&index, 3, [0]);
    assert_eq!(closed(&index).len(), 1);
}

#[test]
fn what_the_recorder_writes_a_moment_late_fills_no_hole() {
    let index = index();
    let now = crate::index::writer::now();
    let name = |at: Timestamp| {
        let us = (at - at.hour().start()).us();
        let (minute, second) = (us / 60_000_000, us / 1_000_000 % 60);
        format!("{minute:02}:{second:02}.{:06}-2.0-full-{}.ts", us % 1_000_000, hash_text(1))
    };
    let second = |count: i64| now - Span::from_us(count * 1_000_000);
    for at in [second(10), second(6), second(8)] {
        let changes = vec![HourChange::Put(AnyFile::read(&name(at), 1).unwrap())];
        let hours =
            vec![HourUpdate::Change { stream: stream(STREAM), hour: at.hour(), changes, stamp: StampUpdate::Keep }];
        index.apply(Batch { hours, ..Batch::default() }).unwrap();
    }
    assert_eq!((open(&index), closed(&index)), (vec![], vec![]));
}

#[test]
fn closed_ones_are_forgotten_oldest_first_when_they_are_too_many_or_too_old() {
    let fill = |options: IndexOptions| {
        let index = Index::in_memory(options).unwrap();
        index.caught_up(true);
        put(&index, 0, (0..20).map(|number| number * 10));
        for number in (0..19).rev() {
            put(&index, 0, [number * 10 + 2]);
        }
        closed(&index)
    };
    assert_eq!(fill(options()).len(), 19);
    let few = fill(IndexOptions { closed_most: 5, ..options() });
    assert_eq!(
        few.iter().map(|each| each.0).collect::<Vec<_>>(),
        (0..5).map(|n| within(n * 10 + 2, n * 10 + 4)).collect::<Vec<_>>()
    );
    let none = fill(IndexOptions { closed_kept: Span::from_us(-1), ..options() });
    assert_eq!(none, []);
}

#[test]
fn a_page_of_closed_ones_ends_where_it_was_asked_to_and_the_next_one_goes_on() {
    let index = index();
    put(&index, 0, (0..8).map(|number| number * 10));
    for number in 0..7 {
        put(&index, 0, [number * 10 + 2]);
    }
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = index.closed_holes(&stream(STREAM), &Window::default(), after, 3).unwrap();
        found.extend(page.closed.into_iter().map(|each| (each.hole, each.by.name().map(str::to_owned))));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, closed(&index));
    let cut = within(23, 41);
    let window = Window { from: Some(cut.start), to: Some(cut.end), ..Window::default() };
    let some = index.closed_holes(&stream(STREAM), &window, None, 10).unwrap();
    assert_eq!(some.closed.into_iter().map(|each| each.hole).collect::<Vec<_>>(), [within(22, 24), within(32, 34)]);
    let open: Vec<Stretch> =
        index.open_holes(&stream(STREAM), &window, 10).unwrap().into_iter().map(|entry| entry.hole).collect();
    assert_eq!(open, [within(24, 30), within(34, 40)]);
}

#[test]
fn reasons_and_absences_are_there_after_a_restart_and_a_reason_of_another_hole_is_not_taken() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index.redb");
    let index = Index::open(&path, options()).unwrap();
    index.caught_up(true);
    put(&index, 0, [0, 10, 20]);
    let all = index.open_after(None, 10).unwrap();
    assert_eq!(index.open_after(Some(all[0].0), 10).unwrap(), all[1..]);
    let known = HoleKnowledge {
        reason: HoleReason::NobodyHas,
        unfillable: true,
        since: Timestamp::from_us(5),
        peers: vec!["b".to_owned()],
        detail: "asked".to_owned(),
    };
    let generation = index.catalog().generation();
    let told = |entry: &(crate::index::HoleKey, u32, crate::archive::hole_reasons::OpenHole), grown| {
        (entry.0, grown, known.clone())
    };
    let reasons = vec![told(&all[0], all[0].2.grown), told(&all[1], Timestamp::from_us(1))];
    index.remember_why(reasons, generation).unwrap();
    let away = |number: i64| Stretch { start: Timestamp::from_us(number), end: Timestamp::from_us(number + 1) };
    index.remember_away((0..300).map(away).collect()).unwrap();
    index.remember_away(vec![away(300)]).unwrap();
    let missed = |from: i64, to: i64, reason: HoleReason| {
        (stream(STREAM), MissedRecording { missed: within(from, to), reason, detail: reason.to_string() })
    };
    let unknown = (stream("nobody/source"), missed(0, 1, HoleReason::DiskFull).1);
    let given = [
        missed(2, 4, HoleReason::NotReceived),
        missed(2, 6, HoleReason::SourceOffline),
        missed(4, 6, HoleReason::NotReceived),
        missed(2, 8, HoleReason::SourceOffline),
        missed(12, 14, HoleReason::NotReceived),
    ];
    index.remember_missed([given.to_vec(), vec![unknown]].concat()).unwrap();
    let joined = [
        missed(2, 8, HoleReason::SourceOffline),
        missed(2, 6, HoleReason::NotReceived),
        missed(12, 14, HoleReason::NotReceived),
    ];
    let remembered = index.missed().unwrap();
    assert_eq!(remembered.iter().map(|row| row.1.clone()).collect::<Vec<_>>(), joined.map(|each| each.1));
    let before = index.ledger(&stream(STREAM)).unwrap();
    assert_eq!(before.iter().map(|entry| entry.known.clone()).collect::<Vec<_>>(), [Some(known), None]);
    index.close();
    let again = Index::open(&path, options()).unwrap();
    assert_eq!(again.ledger(&stream(STREAM)).unwrap(), before);
    assert_eq!(again.missed().unwrap(), remembered);
    assert_eq!(again.away().unwrap(), (45..=300).map(away).collect::<Vec<_>>());
    put(&again, 0, [4]);
    let smaller = again.ledger(&stream(STREAM)).unwrap();
    assert_eq!(smaller.len(), 3);
    assert!(
        smaller[..2].iter().all(|entry| entry.known == before[0].known),
        "what nobody has of all, nobody has of a part"
    );
    remove(&again, 0, 10);
    assert!(again.ledger(&stream(STREAM)).unwrap().last().unwrap().known.is_none());
}

#[test]
fn a_hole_over_more_hours_than_are_settled_at_once_keeps_its_past() {
    let index = index();
    let far = |number: u32| (hour(0).start() + Span::from_us(i64::from(number) * 3_600_000_000)).hour();
    let empty = |at: u32| HourUpdate::Change {
        stream: stream(STREAM),
        hour: far(at),
        changes: Vec::new(),
        stamp: StampUpdate::Keep,
    };
    put(&index, 0, [0, 10]);
    index.apply(Batch { hours: (1..600).map(empty).collect(), ..Batch::default() }).unwrap();
    let last = vec![HourChange::Put(AnyFile::read(&segment(0), 1).unwrap())];
    let hours =
        vec![HourUpdate::Change { stream: stream(STREAM), hour: far(600), changes: last, stamp: StampUpdate::Keep }];
    index.apply(Batch { hours, ..Batch::default() }).unwrap();
    let settled = || {
        index.coverage(&stream(STREAM), &Window::default(), usize::MAX).unwrap();
        open(&index)
    };
    let first_seen = settled()[1].1;
    let reaches = |start: i64| Stretch { start: within(start, start + 1).start, end: far(600).start() };
    assert_eq!(settled()[1].0, reaches(12));
    put(&index, 0, [12]);
    assert_eq!(settled()[1], (reaches(14), first_seen));
    remove(&index, 0, 12);
    assert_eq!(settled()[1], (reaches(12), first_seen));
}

#[test]
fn what_is_loaded_at_once_has_a_ledger_that_goes_on_from_the_one_before() {
    use crate::archive::coverage::HourLine;
    use crate::archive::totals::HourTotals;
    use crate::index::bulk::{BulkLoader, LoadedHour};
    let directory = tempfile::tempdir().unwrap();
    let mut model = IndexModel::filled(&[STREAM], 3, 40);
    let index = index();
    for batch in model.batches() {
        index.apply(batch).unwrap();
    }
    put(&index, 0, [3_000]);
    remove(&index, 0, 3_000);
    index.remember_away(vec![within(0, 1)]).unwrap();
    let before = index.ledger(&stream(STREAM)).unwrap();
    assert!(!before.is_empty() && !closed(&index).is_empty());
    // Meanwhile something went that nobody saw.
    model.hours.remove(&(STREAM.to_owned(), hour(1)));
    let path = directory.path().join("index.redb");
    let mut loader = BulkLoader::create(&path, &options()).unwrap();
    loader.carry_over(index.copy_ledger().unwrap());
    let read = model.hours.iter().map(|((_, at), names)| {
        let contents = super::model::contents(names);
        let (totals, line) = (HourTotals::of(&contents), HourLine::of(&contents));
        Ok::<_, crate::index::IndexError>(LoadedHour { hour: *at, contents, totals, line, stamp: None })
    });
    loader.load_stream(&stream(STREAM), read).unwrap();
    loader.finish(&[], None).unwrap();
    let again = Index::open(&path, options()).unwrap();
    model.assert_is(&again);
    let after = again.ledger(&stream(STREAM)).unwrap();
    assert!(after.len() < before.len());
    assert_eq!((closed(&again), again.away().unwrap()), (closed(&index), vec![within(0, 1)]));
    assert!(after.iter().all(|entry| before.iter().any(|was| was.first_seen == entry.first_seen)));
}

#[test]
fn a_ledger_that_is_not_right_is_mended_and_the_rest_of_it_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index.redb");
    let index = Index::open(&path, options()).unwrap();
    put(&index, 0, [0, 10, 20]);
    let before = open(&index);
    index.close();
    {
        let database = redb::Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(crate::index::hole_reasons::OPEN_HOLES).unwrap().pop_first().unwrap();
        transaction.commit().unwrap();
    }
    let again = Index::open(&path, options()).unwrap();
    assert!(!again.is_ledger_right(&stream(STREAM)).unwrap());
    assert!(again.mend_ledger(&stream(STREAM)).unwrap());
    let mended = open(&again);
    assert_eq!((mended[0].0, mended[1]), (before[0].0, before[1]));
    assert!(mended[0].1 > before[0].1 && !again.mend_ledger(&stream(STREAM)).unwrap());
}

#[test]
fn of_what_recorders_missed_the_latest_is_kept() {
    let index = index();
    put(&index, 0, [0]);
    let missed = |number: i64| {
        let missed = within(number * 3, number * 3 + 1);
        (stream(STREAM), MissedRecording { missed, reason: HoleReason::NotReceived, detail: String::new() })
    };
    index.remember_missed((0..4_100).map(missed).collect()).unwrap();
    let kept = index.missed().unwrap();
    assert_eq!((kept.len(), &kept[0].1), (4_096, &missed(4).1));
}
