//! What happens in several hours at once is committed together, and none of them keeps another from it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::place;
use crate::archive::HourPlace;
use crate::archive::test_names::hash_text;
use crate::disk::{Base, BaseGuard, BaseIdentity};
use crate::index::{Index, IndexOptions};
use crate::sync::crawl::Keeper;

const HOURS: usize = 150;

struct ManyHours {
    tree: tempfile::TempDir,
    keeper: Arc<Keeper>,
}

impl ManyHours {
    /// Empty hours that the index knows.
    fn new() -> Self {
        let tree = tempfile::tempdir().unwrap();
        let index = Arc::new(Index::in_memory(IndexOptions::default()).unwrap());
        let guard = BaseGuard::new(Base::open(tree.path()).unwrap(), BaseIdentity::Unmarked { channels: Vec::new() });
        let keeper = Arc::new(Keeper::new(index, Arc::new(guard)));
        for hour in (0..HOURS).map(place) {
            fs::create_dir_all(tree.path().join(hour.path())).unwrap();
            keeper.reconcile(&[hour], true).unwrap();
        }
        Self { tree, keeper }
    }

    /// A segment in each of these hours, of which nobody has heard yet.
    fn written(&self, hours: impl IntoIterator<Item = usize>) -> BTreeMap<HourPlace, BTreeSet<OsString>> {
        let name = format!("10:00.0-2.0-full-{}.ts", hash_text(1));
        let write = |hour: HourPlace| {
            fs::write(self.tree.path().join(hour.path()).join(&name), "x").unwrap();
            (hour, BTreeSet::from([OsString::from(&name)]))
        };
        hours.into_iter().map(|number| write(place(number))).collect()
    }

    fn files(&self, number: usize) -> u64 {
        let place = place(number);
        let row = self.keeper.index().hour_row(&place.stream.to_string(), place.hour).unwrap();
        row.map_or(0, |row| row.totals.visible().files.into())
    }
}

#[test]
fn all_hours_are_brought_into_line_with_few_commits() {
    let archive = ManyHours::new();
    let touched = archive.written(0..HOURS);
    let before = archive.keeper.index().commits();
    assert!(archive.keeper.touch_all(&touched).is_empty());
    let commits = archive.keeper.index().commits() - before;
    assert!((0..HOURS).all(|hour| archive.files(hour) == 1));
    assert!((1..=5).contains(&commits), "{commits}");
}

#[test]
fn an_hour_that_is_new_gone_or_cannot_be_read_keeps_no_other_from_it() {
    let archive = ManyHours::new();
    let mut touched = archive.written(0..HOURS);
    let at = |number: usize| archive.tree.path().join(place(number).path());
    fs::remove_dir_all(at(3)).unwrap();
    fs::remove_dir_all(at(5)).unwrap();
    fs::write(at(5), "no directory").unwrap();
    fs::create_dir_all(at(HOURS)).unwrap();
    touched.extend(archive.written([HOURS]));
    let failed = archive.keeper.touch_all(&touched);
    let failed: Vec<_> = failed.into_iter().map(|(hour, _)| hour).collect();
    assert!(failed.iter().all(|hour| *hour == place(5)), "{failed:?}");
    assert_eq!((archive.files(3), archive.files(HOURS)), (0, 1));
    assert!((6..HOURS).all(|hour| archive.files(hour) == 1));
}

#[test]
fn whoever_works_on_an_hour_for_long_holds_up_no_other() {
    let archive = ManyHours::new();
    let touched = archive.written(0..HOURS);
    let worker = Arc::clone(&archive.keeper);
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (end, may_end) = std::sync::mpsc::channel::<()>();
    let busy = thread::spawn(move || {
        let work = |_: &crate::disk::Dir| {
            begun.send(()).unwrap();
            may_end.recv().unwrap();
            Ok(())
        };
        worker.change(&place(0), [], work).unwrap();
    });
    has_begun.recv().unwrap();
    let keeper = Arc::clone(&archive.keeper);
    let touching = thread::spawn(move || keeper.touch_all(&touched).len());
    // Hours share locks by hash, so that some others wait with it.
    let most = || (0..HOURS).filter(|hour| archive.files(*hour) == 1).count() > HOURS / 2;
    while !most() {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(archive.files(0), 0);
    end.send(()).unwrap();
    busy.join().unwrap();
    assert_eq!(touching.join().unwrap(), 0);
    assert!((0..HOURS).all(|hour| archive.files(hour) == 1));
}
