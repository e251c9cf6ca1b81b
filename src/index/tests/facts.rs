//! What is known of segments comes back, goes with them, and is never more than a cache.

use proptest::prelude::*;
use redb::{ReadableTable as _, ReadableTableMetadata as _};

use super::model::{hour, options, stream};
use crate::archive::test_names::hash_text;
use crate::archive::{AnyFile, Edges, Extent, HourChange, InitSection, SegmentFile, TimeStamp, Tracks};
use crate::index::facts::{Entries, Id, encode, row_key};
use crate::index::{Batch, HourUpdate, Index, Learnt, StampUpdate, codec, facts};

const STREAM: &str = "a/source";

fn segment(number: u8) -> SegmentFile {
    let name = format!("{:02}:{:02}-2.0-full-{}.ts", number / 30, number % 30 * 2, hash_text(number));
    match AnyFile::read(&name, 100 + u64::from(number)) {
        Some(AnyFile::Segment(file)) => file,
        other => panic!("{name}: {other:?}"),
    }
}

fn edges(number: u8) -> Edges {
    let at = |seconds: i64| Some(TimeStamp::new((i64::from(number) * 2 + seconds) * 90_000));
    let tracks = Tracks { streams: 1, picture: 2, sound: u32::from(number / 100) };
    Edges {
        picture: Extent { first: at(0), end: at(2) },
        sound: Extent { first: at(0), end: None },
        begins: tracks,
        ends: tracks,
        independent: Some(true),
        init: InitSection::new(u32::from(number % 3) * 700, 0x8000_0000 | u32::from(number)),
    }
}

fn change(changes: Vec<HourChange>) -> Batch {
    let change = HourUpdate::Change { stream: stream(STREAM), hour: hour(2), changes, stamp: StampUpdate::Keep };
    Batch { hours: vec![change], ..Batch::default() }
}

fn put(number: u8) -> HourChange {
    HourChange::Put(AnyFile::Segment(segment(number)))
}

fn learnt(numbers: impl IntoIterator<Item = u8>) -> Batch {
    let segments = numbers.into_iter().map(|number| (segment(number), edges(number))).collect();
    Batch { learnt: vec![Learnt { stream: stream(STREAM), hour: hour(2), segments }], ..Batch::default() }
}

/// Of which of these something is known; it must be what was learnt.
fn known(index: &Index, numbers: std::ops::Range<u8>) -> Vec<u8> {
    let facts = index.facts(STREAM, hour(2)).unwrap();
    let files: Vec<SegmentFile> = numbers.clone().map(segment).collect();
    let found = facts.of(files.iter().map(|file| &file.key.hash));
    let mut known = Vec::new();
    for (number, one) in numbers.zip(found) {
        if let Some(one) = one {
            assert_eq!(one, edges(number));
            known.push(number);
        }
    }
    assert_eq!(known.len(), facts.len());
    known
}

#[test]
fn what_was_learnt_is_known_after_a_restart_in_whichever_order_it_came() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index.redb");
    let index = Index::open(&path, options()).unwrap();
    index.apply(change((0..200).map(put).collect())).unwrap();
    index.apply(learnt(100..150)).unwrap();
    index.apply(learnt((0..10).rev())).unwrap();
    index.apply(learnt([100, 199])).unwrap();
    drop(index);
    let again = Index::open(&path, options()).unwrap();
    let expected: Vec<u8> = (0..10).chain(100..150).chain([199]).collect();
    assert_eq!(known(&again, 0..200), expected);
    assert!(again.facts(STREAM, hour(3)).unwrap().is_empty() && again.facts("b/source", hour(2)).unwrap().is_empty());
}

#[test]
fn what_is_known_goes_with_its_file() {
    let index = Index::in_memory(options()).unwrap();
    index.apply(change((0..10).map(put).collect())).unwrap();
    // Of files that are not there, or are others by now, nothing is kept.
    index.apply(learnt(0..20)).unwrap();
    let larger = SegmentFile { size: 999, ..segment(3) };
    let learnt_of_another =
        vec![Learnt { stream: stream(STREAM), hour: hour(2), segments: vec![(larger.clone(), edges(9))] }];
    index.apply(Batch { learnt: learnt_of_another, ..Batch::default() }).unwrap();
    assert_eq!(known(&index, 0..20), (0..10).collect::<Vec<u8>>());
    index.apply(change(vec![HourChange::Remove(AnyFile::Segment(segment(2)))])).unwrap();
    index.apply(change(vec![HourChange::Put(AnyFile::Segment(larger))])).unwrap();
    let mut tombstone = segment(4);
    tombstone.key.tombstone = true;
    index.apply(change(vec![HourChange::Put(AnyFile::Segment(tombstone))])).unwrap();
    assert_eq!(known(&index, 0..20), [0, 1, 5, 6, 7, 8, 9]);
    // What is put again unchanged is the same file.
    index.apply(change(vec![put(5), put(11)])).unwrap();
    assert_eq!(known(&index, 0..20), [0, 1, 5, 6, 7, 8, 9]);
    let gone = HourUpdate::Remove { stream: stream(STREAM), hour: hour(2) };
    index.apply(Batch { hours: vec![gone], ..Batch::default() }).unwrap();
    index.apply(change((0..10).map(put).collect())).unwrap();
    assert_eq!(known(&index, 0..20), Vec::<u8>::new());
}

#[test]
fn a_row_that_is_damaged_is_as_if_it_were_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index.redb");
    let index = Index::open(&path, options()).unwrap();
    index.apply(change((0..10).map(put).collect())).unwrap();
    index.apply(learnt(0..10)).unwrap();
    drop(index);
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(facts::FACTS).unwrap();
        assert_eq!(table.len().unwrap(), 1);
        let key = row_key(codec::hour_key(1, hour(2)), 0);
        let mut bytes = table.get(&key).unwrap().unwrap().value().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        table.insert(&key, bytes.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let again = Index::open(&path, options()).unwrap();
    assert_eq!(known(&again, 0..10), Vec::<u8>::new());
    again.apply(learnt(3..5)).unwrap();
    assert_eq!(known(&again, 0..10), [3, 4]);
}

#[test]
fn an_hour_of_an_ordinary_stream_takes_a_dozen_bytes_a_segment() {
    let tracks = Tracks { streams: 0x1234_5678, picture: 0x9abc_def0, sound: 0x1357_9bdf };
    let mut heard = 40_000;
    let all: Vec<(Id, Edges)> = (0..1_800_u32)
        .map(|number| {
            let shown = 126_000 + i64::from(number) * 180_180;
            let ends = (shown + 180_180 + 5_000) / 1_920 * 1_920;
            let sound = Extent { first: Some(TimeStamp::new(heard)), end: Some(TimeStamp::new(ends)) };
            heard = ends;
            let picture = Extent { first: Some(TimeStamp::new(shown)), end: Some(TimeStamp::new(shown + 180_180)) };
            let (independent, init) = (Some(true), None);
            (number.to_be_bytes(), Edges { picture, sound, begins: tracks, ends: tracks, independent, init })
        })
        .collect();
    let rows = encode(codec::hour_key(1, hour(2)), &all);
    let bytes: usize = rows.iter().map(Vec::len).sum();
    assert!(bytes < 1_800 * 12, "{bytes}");
}

fn any_extent() -> impl Strategy<Value = Extent> {
    let time = || prop::option::of((0..1_i64 << 33).prop_map(TimeStamp::new));
    (time(), time()).prop_map(|(first, end)| Extent { first, end })
}

fn any_edges() -> impl Strategy<Value = Edges> {
    let tracks =
        || (0..3_u32, 0..3_u32, any::<u32>()).prop_map(|(a, b, c)| Tracks { streams: a, picture: b, sound: c % 5 });
    let init = any::<(u32, u32)>().prop_map(|(length, print)| InitSection::new(length % 3, print));
    (any_extent(), any_extent(), tracks(), tracks(), any::<Option<bool>>(), init).prop_map(
        |(picture, sound, begins, ends, independent, init)| Edges { picture, sound, begins, ends, independent, init },
    )
}

proptest! {
    #[test]
    fn rows_say_what_was_put_into_them(all in prop::collection::vec((any::<Id>(), any_edges()), 0..900)) {
        let key = codec::hour_key(3, hour(5));
        let mut found = Vec::new();
        for (number, row) in encode(key, &all).iter().enumerate() {
            prop_assert!(row.len() <= 4_060);
            found.extend(Entries::open(&row_key(key, number), row).unwrap());
        }
        prop_assert_eq!(found, all);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let key = row_key(codec::hour_key(1, hour(1)), 0);
        prop_assert!(Entries::open(&key, &bytes).is_none());
        let checked = [codec::check(&key, &bytes).to_le_bytes().as_slice(), &bytes].concat();
        let _read = Entries::open(&key, &checked).map(Iterator::count);
    }
}
