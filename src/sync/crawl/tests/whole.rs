//! The whole archive follows what lies here and on other nodes, whatever it saw of a change on its way.

use std::fs;
use std::sync::Arc;

use super::place;
use crate::archive::HourContents;
use crate::archive::test_names::hash_text;
use crate::disk::{Base, BaseGuard, BaseIdentity};
use crate::index::{Batch, HourUpdate, Index, IndexOptions, StampUpdate};
use crate::sync::crawl::{Keeper, Mirrors};

const HOUR: usize = 3;

struct Whole {
    tree: tempfile::TempDir,
    local: Arc<Keeper>,
    mirrors: Arc<Mirrors>,
    keeper: Keeper,
}

impl Whole {
    fn new() -> Self {
        let tree = tempfile::tempdir().unwrap();
        let guard = BaseGuard::new(Base::open(tree.path()).unwrap(), BaseIdentity::Unmarked { channels: Vec::new() });
        let memory = || Arc::new(Index::in_memory(IndexOptions::default()).unwrap());
        let local = Arc::new(Keeper::new(memory(), Arc::new(guard)));
        let mirrors = Arc::new(Mirrors::new(tree.path()));
        let keeper = Keeper::whole(&local, Arc::clone(&mirrors), memory());
        Self { tree, local, mirrors, keeper }
    }

    /// A node next door has this segment of the hour, or nothing.
    fn next_door(&self, segment: Option<u8>) {
        let names = segment.map(|byte| format!("10:00.0-2.0-full-{}.ts", hash_text(byte)));
        let contents = HourContents::from_names(names.iter().map(|name| (name.as_str(), 1)));
        self.mirrors.of("b").unwrap().set(&[(place(HOUR), contents)]).unwrap();
    }

    fn listed(&self) -> bool {
        self.keeper.follow_sources().unwrap();
        let at = place(HOUR);
        self.keeper.index().catalog().hours(&at.stream.to_string(), ..).contains(&at.hour)
    }
}

#[test]
fn an_hour_that_was_seen_empty_before_it_went_is_listed_no_more() {
    let archive = Whole::new();
    let hour = place(HOUR);
    // Here: its files go, and then its directory.
    let directory = archive.tree.path().join(hour.path());
    fs::create_dir_all(&directory).unwrap();
    archive.local.reconcile(std::slice::from_ref(&hour), true).unwrap();
    assert!(archive.listed(), "it lies here, as it does without a layout");
    fs::remove_dir(&directory).unwrap();
    archive.local.reconcile(std::slice::from_ref(&hour), true).unwrap();
    assert!(!archive.listed());

    // Elsewhere: what was in it went with one step, and it with the next.
    archive.next_door(Some(1));
    assert!(archive.listed());
    let mirror = archive.mirrors.of("b").unwrap();
    let known = mirror.index().hour(&hour.stream.to_string(), hour.hour).unwrap().unwrap().contents;
    let changes = crate::archive::diff(&known, &HourContents::default());
    let (stream, at) = (hour.stream.clone(), hour.hour);
    let emptied = HourUpdate::Change { stream, hour: at, changes, stamp: StampUpdate::Keep };
    mirror.index().apply(Batch { hours: vec![emptied], ..Batch::default() }).unwrap();
    archive.listed();
    let gone = HourUpdate::Remove { stream: hour.stream.clone(), hour: at };
    mirror.index().apply(Batch { hours: vec![gone], ..Batch::default() }).unwrap();
    assert!(!archive.listed());
    archive.next_door(None);
    assert!(!archive.listed());
}
