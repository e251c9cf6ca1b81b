//! The writer against a model: whatever is done in whatever order, the index equals what is counted from scratch.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::model::{
    Act, IndexModel, ModelHour, Names, any_act, hour, options, ordinary_names, replay, stamp, stream, without_empty,
};
use crate::archive::{AnyFile, HourChange};
use crate::index::{Batch, HourUpdate, Index, IndexError, IndexOptions, StampUpdate, Version};

fn put(names: impl IntoIterator<Item = (String, u64)>) -> Vec<HourChange> {
    names.into_iter().map(|(name, size)| HourChange::Put(AnyFile::read(&name, size).unwrap())).collect()
}

fn change(name: &str, number: u8, changes: Vec<HourChange>, stamp: StampUpdate) -> Batch {
    let update = HourUpdate::Change { stream: stream(name), hour: hour(number), changes, stamp };
    Batch { hours: vec![update], ..Batch::default() }
}

/// The state after each sequence number at which a batch ended.
type History = BTreeMap<u64, BTreeMap<ModelHour, Names>>;

fn check_log(index: &Index, history: &History, kept: u64) {
    let (_, last) = index.log_position().unwrap();
    let newest = &history[&last];
    for (seq, state) in history {
        match index.changes_after(*seq, usize::MAX).unwrap() {
            Some(changes) => {
                assert_eq!(changes.len() as u64, last - seq);
                let mut replayed = state.clone();
                replay(&mut replayed, &changes);
                assert_eq!(without_empty(&replayed), without_empty(newest), "from {seq}");
            }
            None => assert!(last - seq > kept, "what is kept is {kept} of {last}, and {seq} is refused"),
        }
        assert!(index.changes_after(*seq, usize::MAX).unwrap().is_none_or(|changes| changes.len() as u64 <= kept));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_index_equals_the_model(
        groups in prop::collection::vec((prop::collection::vec(any_act(), 1..5), any::<bool>()), 1..14),
        changes_kept in prop_oneof![Just(5_u64), Just(1_000)], on_disk in prop::bool::weighted(0.4),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.redb");
        let options = IndexOptions { changes_kept, ..options() };
        let open = || if on_disk { Index::open(&path, options.clone()) } else { Index::in_memory(options.clone()) };
        let mut index = open().unwrap();
        let mut model = IndexModel::default();
        let mut history: History = BTreeMap::from([(0, BTreeMap::new())]);
        let mut structure = index.catalog().structure();
        for (acts, reopen) in groups {
            let before = model.clone();
            let versions: BTreeMap<ModelHour, Version> = before.hours.keys()
                .map(|(name, at)| ((name.clone(), *at), index.catalog().hour_version(name, *at).unwrap())).collect();
            let (mut hours, mut put, mut removed) = (Vec::new(), 0, 0);
            let mut touched = std::collections::BTreeSet::new();
            for act in &acts {
                let (update, came, went) = model.act(act);
                let (Act::Change { stream, hour: number, .. } | Act::RemoveHour { stream, hour: number }) = act;
                if came + went > 0 || matches!(act, Act::RemoveHour { .. }) {
                    touched.insert(((*stream).to_owned(), hour(*number)));
                }
                hours.push(update);
                put += came;
                removed += went;
            }
            let applied = index.apply(Batch { hours, ..Batch::default() }).unwrap();
            prop_assert_eq!((applied.put, applied.removed), (put, removed));
            model.assert_is(&index);
            for (place, version) in versions {
                let now = index.catalog().hour_version(&place.0, place.1);
                if before.hours.get(&place) != model.hours.get(&place) {
                    prop_assert_ne!(now, Some(version));
                }
                if now != Some(version) {
                    prop_assert!(touched.contains(&place));
                }
            }
            let structure_now = index.catalog().structure();
            if before.hours.keys().ne(model.hours.keys()) {
                prop_assert_ne!(structure, structure_now);
            }
            structure = structure_now;
            history.insert(index.log_position().unwrap().1, model.hours.clone());
            check_log(&index, &history, changes_kept);
            if reopen && on_disk {
                drop(index);
                index = open().unwrap();
                prop_assert_eq!(index.report().created, false);
                structure = index.catalog().structure();
                model.assert_is(&index);
            }
        }
    }
}

#[test]
fn batches_of_many_threads_are_committed_together_and_answered_each() {
    let directory = tempfile::tempdir().unwrap();
    let index = Index::open(&directory.path().join("index.redb"), options()).unwrap();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let index = &index;
            scope.spawn(move || {
                for (at, name) in ordinary_names(u32::from(number), 40).enumerate() {
                    let applied = index.apply(change("a/b", number, put([name]), StampUpdate::Keep)).unwrap();
                    assert_eq!(applied.put, 1);
                    assert_eq!(index.hour("a/b", hour(number)).unwrap().unwrap().contents.len(), at + 1);
                }
            });
        }
    });
    let mut model = IndexModel::default();
    for number in 0..8 {
        model.hours.insert(("a/b".into(), hour(number)), ordinary_names(u32::from(number), 40).collect());
    }
    model.assert_is(&index);
}

#[test]
fn what_is_too_much_for_the_change_log_raises_its_floor() {
    let index = Index::in_memory(options()).unwrap();
    index.apply(change("a/b", 0, put(ordinary_names(0, 10)), StampUpdate::Keep)).unwrap();
    index.apply(change("a/b", 1, put(ordinary_names(1, 10_001)), StampUpdate::Keep)).unwrap();
    index.apply(change("a/b", 2, put(ordinary_names(2, 3)), StampUpdate::Keep)).unwrap();
    assert_eq!(index.log_position().unwrap().1, 10_014);
    assert_eq!(index.changes_after(10, 10).unwrap(), None);
    assert_eq!(index.changes_after(10_010, 10).unwrap(), None);
    assert_eq!(index.changes_after(10_011, 10).unwrap().unwrap().len(), 3);
    index
        .apply(Batch { hours: vec![HourUpdate::Remove { stream: stream("a/b"), hour: hour(1) }], ..Batch::default() })
        .unwrap();
    assert_eq!(index.changes_after(10_014, 10).unwrap(), None);
    assert_eq!(index.changes_after(20_015, 10).unwrap(), Some(Vec::new()));
}

#[test]
fn a_batch_that_was_worked_out_against_an_earlier_generation_is_refused() {
    let index = Index::in_memory(options()).unwrap();
    let generation = index.catalog().generation();
    let batch = |worked_out| Batch {
        generation: Some(worked_out),
        directories: vec![("a".into(), Some(stamp(1)))],
        ..change("a/b", 0, put(ordinary_names(0, 1)), StampUpdate::Set(Some(stamp(1))))
    };
    assert!(matches!(index.apply(batch(generation - 1)), Err(IndexError::BeganAnew)));
    assert_eq!(index.hour_row("a/b", hour(0)).unwrap(), None);
    assert_eq!(index.directory_stamp("a").unwrap(), None);
    index.apply(batch(generation)).unwrap();
    assert_eq!(index.directory_stamp("a").unwrap(), Some(stamp(1)));
}

#[test]
fn a_stamp_counts_only_for_the_state_that_it_was_read_against() {
    let index = Index::in_memory(options()).unwrap();
    let version = || index.catalog().hour_version("a/b", hour(0));
    let kept = || index.hour_row("a/b", hour(0)).unwrap().unwrap().stamp;
    let set = |against| StampUpdate::SetIfStill { stamp: Some(stamp(1)), version: against };
    index.apply(change("a/b", 0, put(ordinary_names(0, 1)), set(None))).unwrap();
    assert_eq!(kept(), Some(stamp(1)), "there was no such hour, as was said");
    let first = version();
    index.apply(change("a/b", 0, put(ordinary_names(1, 1)), set(first))).unwrap();
    assert_eq!(kept(), Some(stamp(1)));
    index.apply(change("a/b", 0, put(ordinary_names(2, 1)), set(first))).unwrap();
    assert_eq!(kept(), None, "somebody else changed the hour meanwhile");
    index.apply(change("a/b", 0, Vec::new(), set(None))).unwrap();
    assert_eq!(kept(), None, "the hour has appeared meanwhile");
    index.apply(change("a/b", 0, Vec::new(), set(version()))).unwrap();
    assert_eq!(kept(), Some(stamp(1)));
}

#[test]
fn after_closing_nothing_is_answered_and_nothing_hangs() {
    let index = Index::in_memory(options()).unwrap();
    index.apply(change("a/b", 0, put(ordinary_names(0, 1)), StampUpdate::Keep)).unwrap();
    index.close();
    index.close();
    assert!(matches!(index.apply(Batch::default()), Err(IndexError::Closed)));
    assert!(matches!(index.hour("a/b", hour(0)), Err(IndexError::Closed)));
}
