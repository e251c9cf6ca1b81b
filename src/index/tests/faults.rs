//! Writing fails at every possible point: reads go on and are right, and the index recovers by itself.

use std::path::Path;
use std::sync::Arc;

use super::faulty::Faults;
use super::model::{IndexModel, hour, options, ordinary_names, replay, without_empty};
use super::recovery::{put, wait_until_good};
use crate::index::{Batch, Health, Index, IndexError, IndexOptions};

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

/// One fault at the `n`-th operation of a commit, or many from there on. Tells whether it was met.
fn fail_at(directory: &Path, n: i64, count: i64, error: i32) -> bool {
    let faults = Arc::new(Faults::default());
    let path = directory.join(format!("{n}-{count}-{error}.redb"));
    let index = Index::open(&path, IndexOptions { faults: Some(Arc::clone(&faults)), ..options() }).unwrap();
    let mut model = IndexModel::default();
    put(&index, &mut model, 0, ordinary_names(0, 300).collect()).unwrap();
    let (epoch, seq) = index.log_position().unwrap();
    faults.arm(n, count, error);
    let mut wanted = model.clone();
    let outcome = put(&index, &mut IndexModel::default(), 1, ordinary_names(1, 200).collect());
    wanted.hours.insert(("a/b".into(), hour(1)), ordinary_names(1, 200).collect());
    let met = faults.pending() < count;
    if outcome.is_ok() {
        assert!(!met || count == 1, "the commit succeeded although {n} failed");
        wanted.assert_is(&index);
        return met;
    }
    assert!(met);
    assert!(matches!(outcome, Err(IndexError::Full(_) | IndexError::Io(_) | IndexError::Stalled)), "{outcome:?}");
    // While it goes on, what is answered is one of: as before, as wanted, or (in memory) nothing at all.
    let right = |state: &IndexModel| matches!(state.compare(&index), (None, None));
    for _ in 0..5 {
        let answered = right(&model) || right(&wanted) || right(&IndexModel::default());
        assert!(answered, "{n} {:?}: {:?}", index.health(), model.compare(&index));
        let again = index.apply(Batch::default());
        assert!(!matches!(again, Err(IndexError::Damaged(_))), "{again:?}");
    }
    let kept = count > 1 || right(&model) || right(&wanted);
    assert!(
        kept,
        "{n}: one fault does not cost the index: {:?} {:?} {:?}",
        model.compare(&index),
        index.health(),
        index.set_aside()
    );
    faults.mend();
    wait_until_good(&index);
    let (epoch_after, seq_after) = index.log_position().unwrap();
    assert_eq!(epoch_after, epoch, "no index was lost");
    if seq_after == seq {
        model.assert_is(&index);
        put(&index, &mut model, 1, ordinary_names(2, 50).collect()).unwrap();
    } else {
        wanted.assert_is(&index);
        model = wanted;
        put(&index, &mut model, 2, ordinary_names(2, 50).collect()).unwrap();
    }
    model.assert_is(&index);
    let mut replayed = std::collections::BTreeMap::new();
    replay(&mut replayed, &index.changes_after(0, usize::MAX).unwrap().unwrap());
    assert_eq!(without_empty(&replayed), model.hours);
    drop(index);
    model.assert_is(&Index::open(&path, options()).unwrap());
    true
}

#[test]
fn a_fault_at_any_point_of_a_commit_changes_nothing_that_is_read_and_is_recovered_from() {
    let directory = tempfile::tempdir().unwrap();
    for (count, error) in [(1, EIO), (30, ENOSPC)] {
        let mut met = 0;
        for n in 0.. {
            if !fail_at(directory.path(), n, count, error) {
                break;
            }
            met += 1;
        }
        assert!(met > 5, "a commit takes more than {met} operations");
    }
}

#[test]
fn a_full_disk_at_the_beginning_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index.redb");
    for n in 0..12 {
        let faults = Arc::new(Faults::default());
        faults.arm(n, 1_000_000, ENOSPC);
        // The next attempt makes a file for a moment: it may not come before we have looked.
        let retry_after = std::time::Duration::from_secs(600);
        let options = IndexOptions { faults: Some(Arc::clone(&faults)), retry_after, ..options() };
        let index = Index::open(&path, options).unwrap();
        assert!(matches!(index.health(), Health::InMemory { .. }), "{n}");
        assert!(super::recovery::files_in(directory.path()).is_empty(), "{n}");
        let mut model = IndexModel::default();
        put(&index, &mut model, 0, ordinary_names(0, 10).collect()).unwrap();
        model.assert_is(&index);
    }
}

/// A small file system of its own, or the reason why there is none.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let run = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=3m", "none"])
            .arg(directory.path())
            .output();
        match run {
            Ok(output) if output.status.success() => Ok(Self(directory)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let done = std::process::Command::new("umount").arg(self.0.path()).status();
        assert!(done.is_ok_and(|status| status.success()), "the small disk stays mounted");
    }
}

#[test]
fn a_disk_that_is_really_full_stops_writing_and_nothing_else() {
    let disk = match SmallDisk::mount() {
        Ok(disk) => disk,
        Err(why) => return eprintln!("skipped: no small disk can be mounted here: {why}"),
    };
    let path = disk.0.path().join("index.redb");
    let index = Index::open(&path, options()).unwrap();
    let mut model = IndexModel::default();
    let mut refused = None;
    for round in 0..200_u32 {
        let number = u8::try_from(round % 20).unwrap();
        if let Err(error) = put(&index, &mut model, number, ordinary_names(round, 1000).collect()) {
            refused = Some(error);
            break;
        }
    }
    assert!(matches!(refused, Some(IndexError::Full(_))), "{refused:?}");
    model.assert_is(&index);
    let until = std::time::Instant::now() + std::time::Duration::from_millis(500);
    while std::time::Instant::now() < until {
        assert!(put(&index, &mut model.clone(), 21, ordinary_names(999, 20_000).collect()).is_err());
        model.assert_is(&index);
    }
    let remount = std::process::Command::new("mount").args(["-o", "remount,size=64m"]).arg(disk.0.path()).status();
    assert!(remount.unwrap().success());
    wait_until_good(&index);
    put(&index, &mut model, 21, ordinary_names(999, 20_000).collect()).unwrap();
    model.assert_is(&index);
    assert_eq!(index.catalog().generation(), 1, "the index was never given up");
    drop(index);
}
