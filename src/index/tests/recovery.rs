//! Kills, deleted and missing files, other processes: what is there afterwards is right.

use std::path::Path;

use super::model::{IndexModel, hour, options, ordinary_names, stream};
use crate::archive::{AnyFile, HourChange};
use crate::index::{Batch, Health, HourUpdate, Index, IndexError, IndexOptions, StampUpdate};

/// Puts these files into an hour, here and there.
pub fn put(index: &Index, model: &mut IndexModel, number: u8, files: Vec<(String, u64)>) -> Result<(), IndexError> {
    let changes = files.iter().map(|(name, size)| HourChange::Put(AnyFile::read(name, *size).unwrap())).collect();
    let update = HourUpdate::Change { stream: stream("a/b"), hour: hour(number), changes, stamp: StampUpdate::Keep };
    index.apply(Batch { hours: vec![update], ..Batch::default() })?;
    model.hours.entry(("a/b".into(), hour(number))).or_default().extend(files);
    Ok(())
}

/// Waits until the index says that it is well.
#[track_caller]
pub fn wait_until_good(index: &Index) {
    for _ in 0..400 {
        if index.health() == Health::Good {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("still {:?}", index.health());
}

#[test]
fn a_copy_taken_at_any_moment_opens_and_holds_all_that_was_answered() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("index.redb"), directory.path().join("copy.redb"));
    let index = Index::open(&path, options()).unwrap();
    let mut model = IndexModel::default();
    for round in 0..60_u32 {
        let number = u8::try_from(round % 5).unwrap();
        put(&index, &mut model, number, ordinary_names(round, 1 + round * 7 % 40).collect()).unwrap();
        std::fs::copy(&path, &copy).unwrap();
        let opened =
            Index::open(&copy, IndexOptions { verify_below: u64::from(round % 3) << 40, ..options() }).unwrap();
        assert_eq!(opened.report().set_aside, None, "in round {round}");
        model.assert_is(&opened);
        if round % 4 == 0 {
            // A second kill, after some more was written.
            let mut other = model.clone();
            put(&opened, &mut other, number, ordinary_names(1000 + round, 3).collect()).unwrap();
            let second = directory.path().join("second.redb");
            std::fs::copy(&copy, &second).unwrap();
            other.assert_is(&Index::open(&second, options()).unwrap());
        }
    }
}

#[test]
fn a_copy_taken_while_the_first_tables_are_made_is_empty_or_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index.redb");
    std::fs::write(&path, "").unwrap();
    let index = Index::open(&path, options()).unwrap();
    assert!(index.report().created);
    assert_eq!(index.health(), Health::Good);
    IndexModel::default().assert_is(&index);
}

#[test]
fn an_index_in_use_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index.redb");
    let index = Index::open(&path, options()).unwrap();
    let mut model = IndexModel::default();
    put(&index, &mut model, 0, ordinary_names(0, 20).collect()).unwrap();
    assert!(matches!(Index::open(&path, options()), Err(IndexError::InUse)));
    model.assert_is(&index);
    assert_eq!(files_in(directory.path()), ["index.redb"]);
}

#[test]
fn without_a_directory_the_index_lives_in_memory_until_there_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let index = Index::open(&state.join("index.redb"), options()).unwrap();
    assert!(matches!(index.health(), Health::InMemory { .. }));
    let mut model = IndexModel::default();
    put(&index, &mut model, 0, ordinary_names(0, 20).collect()).unwrap();
    model.assert_is(&index);
    let generation = index.generation();
    let before = *generation.borrow();
    std::fs::create_dir(&state).unwrap();
    // Also while somebody keeps writing.
    for round in 0.. {
        if index.health() == Health::Good {
            break;
        }
        assert!(round < 800, "the disk is never tried again while batches arrive");
        put(&index, &mut IndexModel::default(), 1, ordinary_names(round, 1).collect()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(*generation.borrow(), before + 1);
    assert_eq!(index.hour_row("a/b", hour(0)).unwrap(), None, "what was in memory is not on the disk");
}

#[test]
fn an_index_whose_directory_has_gone_goes_on_in_memory_when_it_has_to_begin_anew() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let path = state.join("index.redb");
    let index = Index::open(&path, options()).unwrap();
    let mut model = IndexModel::default();
    put(&index, &mut model, 0, ordinary_names(0, 20).collect()).unwrap();
    std::fs::rename(&state, directory.path().join("elsewhere")).unwrap();
    index.report_damage("as a test");
    for _ in 0..400 {
        if matches!(index.health(), Health::InMemory { .. }) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    IndexModel::default().assert_is(&index);
    std::fs::create_dir(&state).unwrap();
    wait_until_good(&index);
    assert_eq!(files_in(&state), ["index.redb"]);
    IndexModel::default().assert_is(&index);
    assert_eq!(index.catalog().generation(), 3, "each change of index is a generation");
}

#[test]
fn many_questions_about_damage_set_the_index_aside_once() {
    let directory = tempfile::tempdir().unwrap();
    let index = Index::open(&directory.path().join("index.redb"), options()).unwrap();
    let mut model = IndexModel::default();
    put(&index, &mut model, 0, ordinary_names(0, 20).collect()).unwrap();
    for _ in 0..20 {
        index.report_damage("as a test");
    }
    let mut anew = IndexModel::default();
    // The writer does one thing after the other: this comes after all the reports.
    put(&index, &mut anew, 1, ordinary_names(1, 20).collect()).unwrap();
    anew.assert_is(&index);
    assert_eq!(index.catalog().generation(), 2);
    assert_eq!(index.set_aside().len(), 1);
    assert!(index.set_aside()[0].0.exists());
}

pub fn files_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
