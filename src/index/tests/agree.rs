//! The kept sums against what is counted from scratch, and what is told while others write.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::model::{Act, IndexModel, any_act, contents, hour, options, ordinary_names, stream};
use crate::archive::placement::{Slot, SlotSet};
use crate::archive::test_names::hash_text;
use crate::archive::{AnyFile, Day, Hour, HourChange, HourTotals, Sum, Timestamp, time};
use crate::index::{Batch, HourUpdate, Index, IndexError, IndexOptions, StampUpdate};

const STREAMS: [&str; 3] = ["a/source", "a/chat", "ünï \"/480p"];

/// The sums of the days of a stream that hold something.
fn counted(model: &IndexModel, name: &str, counts: impl Fn(Hour) -> bool) -> BTreeMap<Day, Sum> {
    let mut days: BTreeMap<Day, Sum> = BTreeMap::new();
    for ((_, at), names) in model.hours.iter().filter(|((of, at), _)| of == name && counts(*at)) {
        let sum = days.entry(Day::of(*at)).or_default();
        *sum = sum.plus(Sum::of_hour(*at, &HourTotals::of(&contents(names))));
    }
    days.retain(|_, sum| sum.hours > 0);
    days
}

#[track_caller]
fn assert_sums(index: &Index, model: &IndexModel) {
    for name in STREAMS {
        let sums = index.stream_sums(name).unwrap();
        let expected = counted(model, name, |_| true);
        assert_eq!(sums.days(None).collect::<BTreeMap<_, _>>(), expected, "{name}");
        assert_eq!(sums.total(), expected.values().fold(Sum::default(), |sum, day| sum.plus(*day)), "{name}");
        // The hours with an even number fall into these slots; others may do so as well.
        let even = |at: &Hour| at.number() % 2 == 0;
        let hours = model.hours.keys().filter(|(of, _)| of == name).map(|(_, at)| *at);
        let slots: SlotSet = hours.filter(even).map(|at| Slot::in_stream(name, at)).collect();
        let rest = SlotSet::all().without(&slots);
        let mut both = Sum::default();
        for set in [slots, rest] {
            let of_slots = index.stream_sums_in(name, &set).unwrap();
            let among = counted(model, name, |at| set.has(Slot::in_stream(name, at)));
            assert_eq!(of_slots.days(None).collect::<BTreeMap<_, _>>(), among, "{name}");
            both = both.plus(of_slots.total());
        }
        assert_eq!(both, sums.total(), "{name}");
    }
}

fn put(name: &str, at: Hour, file: &str) -> HourUpdate {
    let changes = vec![HourChange::Put(AnyFile::read(file, 1).unwrap())];
    HourUpdate::Change { stream: stream(name), hour: at, changes, stamp: StampUpdate::Keep }
}

/// The hours of the model lie in one day; this spreads them over three.
fn spread(update: HourUpdate, model: &mut IndexModel, act: &Act) -> HourUpdate {
    let (Act::Change { stream: name, hour: number, .. } | Act::RemoveHour { stream: name, hour: number }) = act;
    let there = Timestamp::from_us(hour(*number).start().us() + i64::from(*number) * 20 * time::HOUR_US).hour();
    if let Some(names) = model.hours.remove(&((*name).to_owned(), hour(*number))) {
        model.hours.insert(((*name).to_owned(), there), names);
    } else {
        model.hours.remove(&((*name).to_owned(), there));
    }
    match update {
        HourUpdate::Change { stream, changes, stamp, .. } => HourUpdate::Change { stream, hour: there, changes, stamp },
        HourUpdate::Remove { stream, .. } => HourUpdate::Remove { stream, hour: there },
    }
}

/// The inverse, so that the model finds what it has put.
fn gather(model: &mut IndexModel, act: &Act) {
    let (Act::Change { stream: name, hour: number, .. } | Act::RemoveHour { stream: name, hour: number }) = act;
    let there = Timestamp::from_us(hour(*number).start().us() + i64::from(*number) * 20 * time::HOUR_US).hour();
    if let Some(names) = model.hours.remove(&((*name).to_owned(), there)) {
        model.hours.insert(((*name).to_owned(), hour(*number)), names);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn kept_sums_equal_what_is_counted_after_any_batches(
        groups in prop::collection::vec((prop::collection::vec(any_act(), 1..5), any::<bool>(), prop::bool::weighted(0.2)), 1..14),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.redb");
        let mut index = Index::open(&path, options()).unwrap();
        let mut model = IndexModel::default();
        for (acts, ask, reopen) in groups {
            let mut hours = Vec::new();
            for act in &acts {
                gather(&mut model, act);
                let (update, _, _) = model.act(act);
                hours.push(spread(update, &mut model, act));
            }
            index.apply(Batch { hours, ..Batch::default() }).unwrap();
            prop_assert_eq!(index.position().seq, index.log_position().unwrap().1);
            if reopen {
                drop(index);
                index = Index::open(&path, options()).unwrap();
                prop_assert_eq!(index.position().seq, index.log_position().unwrap().1);
            }
            if ask {
                assert_sums(&index, &model);
            }
        }
        assert_sums(&index, &model);
    }
}

#[test]
fn an_index_that_begins_anew_takes_no_sums_along() {
    let index = Index::in_memory(options()).unwrap();
    index
        .apply(Batch {
            hours: vec![put("a/source", hour(1), &format!("00:00-2.0-full-{}.ts", hash_text(1)))],
            ..Batch::default()
        })
        .unwrap();
    let before = index.position();
    assert_eq!(index.stream_sums("a/source").unwrap().total().files, 1);
    let mut generation = index.generation();
    generation.borrow_and_update();
    index.report_damage("a test says so");
    let until = Instant::now() + Duration::from_secs(5);
    while !generation.has_changed().unwrap() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    let now = index.position();
    assert!(now.epoch != before.epoch && now.generation > before.generation && now.seq == 0);
    assert_eq!(index.stream_sums("a/source").unwrap().total(), Sum::default());
    assert_eq!(index.change_page(before.epoch, before.seq, 10).unwrap().changes, None);
    assert_eq!(index.change_page(now.epoch, 0, 10).unwrap().changes, Some(Vec::new()));
}

/// Where digests say that they hold everything up to a change, they do; and no change is told without its stream.
#[test]
fn a_position_is_never_ahead_of_the_sums_read_after_it() {
    let index = Index::in_memory(options()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (writing, ended) = (&index, &done);
        scope.spawn(move || {
            for (number, (file, _)) in (0_u8..).zip(ordinary_names(1, 200)) {
                // A new quality now and then: its first change must not be lost.
                let name = format!("a/{}", number / 10);
                writing.apply(Batch { hours: vec![put(&name, hour(number % 10), &file)], ..Batch::default() }).unwrap();
            }
            ended.store(true, Ordering::SeqCst);
        });
        let (mut next, mut told) = (0, 0);
        loop {
            let last_look = done.load(Ordering::SeqCst);
            let position = index.position();
            let names: Vec<String> = (0..20).map(|number| format!("a/{number}")).collect();
            let files: u64 = names.iter().map(|name| index.stream_sums(name).unwrap().total().files).sum();
            assert!(files >= position.seq, "{files} of {}", position.seq);
            let page = index.change_page(position.epoch, next, 7).unwrap();
            let changes = page.changes.unwrap();
            told += changes.len() as u64;
            assert_eq!(told, page.next, "every change is of a replicated name");
            next = page.next;
            if last_look && next == 200 {
                break;
            }
        }
    });
}

/// Once after a start everything is counted; from then on only days that changed, however many there are.
#[test]
fn however_many_hours_there_are_an_answer_takes_milliseconds() {
    let index = Index::in_memory(IndexOptions { cache_bytes: 64 << 20, ..options() }).unwrap();
    let at = |number: i64| Timestamp::from_us(number * time::HOUR_US).hour();
    let file = format!("00:00-2.0-full-{}.ts", hash_text(1));
    for chunk in 0..100 {
        let hours = (chunk * 1_000..(chunk + 1) * 1_000).map(|number| put("a/source", at(number), &file)).collect();
        index.apply(Batch { hours, ..Batch::default() }).unwrap();
    }
    let first = Instant::now();
    assert_eq!(index.stream_sums("a/source").unwrap().total().hours, 100_000);
    let first = first.elapsed();
    let (mut quiet, mut busy) = (Duration::MAX, Duration::MAX);
    for number in 0..20_u8 {
        let unchanged = Instant::now();
        index.stream_sums("a/source").unwrap();
        quiet = quiet.min(unchanged.elapsed());
        let another = format!("00:01-2.0-full-{}.ts", hash_text(number));
        index.apply(Batch { hours: vec![put("a/source", at(99_999), &another)], ..Batch::default() }).unwrap();
        let changed = Instant::now();
        assert_eq!(index.stream_sums("a/source").unwrap().total().files, 100_001 + u64::from(number));
        busy = busy.min(changed.elapsed());
    }
    println!("the first: {first:?}; nothing changed: {quiet:?}; one hour changed: {busy:?}");
    // This is without optimization.
    assert!(quiet < Duration::from_millis(1) && busy * 4 < first, "{quiet:?} {busy:?} {first:?}");
}

#[test]
fn a_closed_index_answers_nothing() {
    let index = Index::in_memory(options()).unwrap();
    index.apply(Batch { hours: vec![put("a/source", hour(1), "garbage.ts")], ..Batch::default() }).unwrap();
    index.close();
    assert!(matches!(index.stream_sums("a/source"), Err(IndexError::Closed)));
    assert!(matches!(index.change_page(index.position().epoch, 0, 1), Err(IndexError::Closed)));
}
