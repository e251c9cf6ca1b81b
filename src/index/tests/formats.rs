//! Files of every format that was ever written: older ones are brought up, newer ones are left as they are.
//!
//! `cargo test --lib make_fixtures -- --ignored` makes the fixtures; those of a format that was released are never made again.

use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::model::{IndexModel, Names, hour, options, ordinary_names, stamp};
use crate::archive::test_names::hash_text;
use crate::archive::{AnyFile, HourTotals, SegmentFile};
use crate::index::codec::hour_key;
use crate::index::files::{self, file_key, file_value, odd_key};
use crate::index::streams::{self, StreamRow};
use crate::index::{HourRow, Index, IndexError, meta, schema};

/// The summary of an hour in format 1 is that of format 2 without its last 20 bytes.
const OLD_ROW: usize = 177;
const HOURS: TableDefinition<'static, &[u8; 8], &[u8]> = TableDefinition::new("hours.2");
const OLD_HOURS: TableDefinition<'static, &[u8; 8], &[u8]> = TableDefinition::new("hours.1");

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// What the fixture of format 1 holds.
fn archive() -> IndexModel {
    let mut model = IndexModel { archive: Some([9; 16]), ..IndexModel::default() };
    let names =
        |text: &[&str]| -> Names { text.iter().zip(5..).map(|(name, size)| ((*name).to_owned(), size)).collect() };
    let (a, b) = (hash_text(1), hash_text(2));
    let mut full: Names = ordinary_names(1, 120).collect();
    full.extend(names(&[
        &format!("00:00.0-2.0-full-{a}.ts"),
        &format!("00:00.0-2.0-full-{a}.tombstone"),
        &format!("00:00.0-2.000-full-{a}.ts"),
        &format!("00:00.0-02.0-full-{a}.ts"),
        &format!("00:00.0-02.0-full-{a}.tombstone"),
        &format!("55:08.000-1.5-suspect-{b}.ts"),
        &format!("59:59.999999-2-partial-{b}.ts"),
        &format!("10:00-2.0-full-{b}.tombstone"),
        "garbage.ts",
        "é\"<&>.ts",
        "a.json",
    ]));
    model.hours.insert(("desertbus/source".into(), hour(2)), full);
    model.hours.insert(("desertbus/source".into(), hour(3)), Names::new());
    model.hours.insert(("desertbus/source".into(), hour(4)), names(&["only odd.ts", "only odd.tombstone"]));
    model.hours.insert(
        ("desertbus/chat".into(), hour(2)),
        names(&[&format!("01:00-{a}.json"), &format!("02:00-{a}.tombstone")]),
    );
    model.hours.insert(("ünï code/480p".into(), hour(5)), ordinary_names(2, 60).collect());
    model
}

/// Writes an archive as the first version did.
fn write_format_1(path: &Path, model: &IndexModel) {
    let database = Database::create(path).unwrap();
    schema::migrate_to(&database, 1).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut streams = transaction.open_table(streams::STREAMS).unwrap();
        let mut hours = transaction.open_table(OLD_HOURS).unwrap();
        let mut files = transaction.open_table(files::FILES).unwrap();
        let mut odd = transaction.open_table(files::ODD_FILES).unwrap();
        let mut rows: std::collections::BTreeMap<&str, StreamRow> = std::collections::BTreeMap::new();
        for ((name, at), names) in &model.hours {
            let next = u32::try_from(rows.len()).unwrap() + 1;
            let row = rows.entry(name).or_insert(StreamRow { id: next, hours: 0, sum: 0 });
            let key = hour_key(row.id, *at);
            row.add_hour(key);
            for (file, size) in names {
                match AnyFile::read(file, *size).unwrap() {
                    AnyFile::Segment(SegmentFile { key: segment, exact: None, .. }) => {
                        files.insert(&file_key(key, &segment), &file_value(*size)).unwrap();
                    }
                    _ => drop(odd.insert(odd_key(key, file).as_slice(), &file_value(*size)).unwrap()),
                }
            }
            let totals = HourTotals::of(&super::model::contents(names));
            let new = HourRow { totals, stamp: Some(stamp(u64::from(next))), changed: 3, ..HourRow::default() };
            hours.insert(&key, &new.encode(key)[..OLD_ROW]).unwrap();
        }
        for (name, row) in &rows {
            streams.insert(*name, row.encode(name).as_slice()).unwrap();
        }
        let mut meta = transaction.open_table(meta::META).unwrap();
        for (name, number) in [("seq", 3), ("floor", 3), ("next_stream", rows.len() as u64 + 1)] {
            meta.insert(name, number.to_le_bytes().as_slice()).unwrap();
        }
        meta.insert("archive", model.archive.unwrap().as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

fn write_format_99(path: &Path) {
    let database = Database::create(path).unwrap();
    schema::migrate(&database).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(meta::META).unwrap().insert("format", 99_u64.to_le_bytes().as_slice()).unwrap();
    transaction.delete_table(files::FILES).unwrap();
    transaction.commit().unwrap();
}

/// Writes a fixture that is missing: only a new format needs one.
fn make(name: &str, path: &Path) {
    if name.contains("99") {
        write_format_99(path);
    } else {
        write_format_1(path, &archive());
        let format = name.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
        schema::migrate_to(&Database::open(path).unwrap(), format).unwrap();
    }
    Database::open(path).unwrap().compact().unwrap();
    panic!("{} was made anew; look at it and keep it", path.display());
}

fn copy(name: &str, directory: &tempfile::TempDir) -> PathBuf {
    let path = directory.path().join("index.redb");
    if !fixture(name).exists() {
        make(name, &fixture(name));
    }
    std::fs::copy(fixture(name), &path).unwrap();
    path
}

#[test]
fn format_1_is_brought_up_with_every_hour_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy("index-format-1.redb", &directory);
    for migrated_from in [Some(1), None] {
        let index = Index::open(&path, options()).unwrap();
        assert_eq!(index.report().migrated_from, migrated_from);
        assert_eq!(index.report().set_aside, None);
        let model = archive();
        model.assert_is(&index);
        assert_eq!(index.archive().unwrap(), model.archive);
        assert_eq!(index.log_position().unwrap().1, 3);
        let row = index.hour_row("desertbus/chat", hour(2)).unwrap().unwrap();
        assert_eq!((row.stamp, row.changed), (None, 3), "it is to be read again: there may be MP4 in it");
    }
}

#[test]
fn format_2_is_brought_up_with_every_hour_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy("index-format-2.redb", &directory);
    for migrated_from in [Some(2), None] {
        let index = Index::open(&path, options()).unwrap();
        assert_eq!((index.report().migrated_from, &index.report().set_aside), (migrated_from, &None));
        archive().assert_is(&index);
        assert_eq!(index.peers().unwrap(), []);
    }
}

#[test]
fn the_coverage_of_format_3_is_worked_out_once_it_is_open_and_then_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy("index-format-3.redb", &directory);
    for migrated_from in [Some(3), None] {
        let index = Index::open(&path, options()).unwrap();
        assert_eq!((index.report().migrated_from, &index.report().set_aside), (migrated_from, &None));
        // Asking waits until it is done.
        archive().assert_is(&index);
        assert_eq!(index.unsettled_hours().unwrap(), 0);
    }
}

#[test]
fn the_census_of_format_4_is_counted_when_it_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy("index-format-4.redb", &directory);
    for migrated_from in [Some(4), None] {
        let index = Index::open(&path, options()).unwrap();
        assert_eq!((index.report().migrated_from, &index.report().set_aside), (migrated_from, &None));
        archive().assert_is(&index);
        assert_eq!(index.visitors().unwrap(), []);
    }
}

#[test]
fn of_segments_in_format_5_nothing_is_known_until_they_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy("index-format-5.redb", &directory);
    for migrated_from in [Some(5), None] {
        let index = Index::open(&path, options()).unwrap();
        assert_eq!((index.report().migrated_from, &index.report().set_aside), (migrated_from, &None));
        archive().assert_is(&index);
        assert!(index.facts("desertbus/source", hour(2)).unwrap().is_empty());
    }
}

#[test]
fn in_format_6_recorders_missed_nothing_yet() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy("index-format-6.redb", &directory);
    for migrated_from in [Some(6), None] {
        let index = Index::open(&path, options()).unwrap();
        assert_eq!((index.report().migrated_from, &index.report().set_aside), (migrated_from, &None));
        archive().assert_is(&index);
        assert_eq!(index.missed().unwrap(), []);
    }
}

#[test]
fn every_hour_of_format_7_is_to_be_read_again_as_there_may_be_mp4_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy("index-format-7.redb", &directory);
    {
        let old = Database::open(&path).unwrap();
        let hours = old.begin_read().unwrap().open_table(HOURS).unwrap();
        let stamps = hours.iter().unwrap().map(|row| {
            let (key, value) = row.unwrap();
            HourRow::decode(*key.value(), value.value()).unwrap().stamp
        });
        assert!(stamps.into_iter().all(|stamp| stamp.is_some()));
    }
    for migrated_from in [Some(7), None] {
        let index = Index::open(&path, options()).unwrap();
        assert_eq!((index.report().migrated_from, &index.report().set_aside), (migrated_from, &None));
        archive().assert_is(&index);
        for (stream, at) in archive().hours.into_keys() {
            assert_eq!(index.hour_row(&stream, at).unwrap().unwrap().stamp, None, "{stream} {at}");
        }
    }
}

#[test]
fn an_index_of_a_newer_format_is_refused_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy("index-format-99.redb", &directory);
    let error = Index::open(&path, options()).unwrap_err();
    assert!(matches!(error, IndexError::Newer { found: 99, known: schema::FORMAT }), "{error}");
    assert!(error.to_string().contains("format 99"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(fixture("index-format-99.redb")).unwrap());
    assert_eq!(super::recovery::files_in(directory.path()), ["index.redb"]);
}

#[test]
fn a_step_that_is_interrupted_leaves_the_format_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy("index-format-1.redb", &directory);
    let image = directory.path().join("image.redb");
    let database = Database::open(&path).unwrap();
    let mut transaction = database.begin_write().unwrap();
    transaction.set_quick_repair(true);
    schema::m0002_sums::run(&transaction).unwrap();
    std::fs::copy(&path, &image).unwrap();
    let interrupted = Database::open(&image).unwrap();
    assert_eq!(schema::format_of(&interrupted).unwrap(), 1);
    interrupted.begin_read().unwrap().open_table(OLD_HOURS).unwrap();
    drop(interrupted);
    let index = Index::open(&image, options()).unwrap();
    assert_eq!(index.report().migrated_from, Some(1));
    archive().assert_is(&index);
}

#[test]
fn a_summary_of_another_length_is_damage_and_not_a_wrong_hour() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy("index-format-1.redb", &directory);
    {
        let database = Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        let key = hour_key(1, hour(2));
        transaction.open_table(OLD_HOURS).unwrap().insert(&key, [0_u8; OLD_ROW - 1].as_slice()).unwrap();
        transaction.commit().unwrap();
    }
    let index = Index::open(&path, options()).unwrap();
    assert!(index.report().set_aside.is_some());
    IndexModel::default().assert_is(&index);
}
