//! What a tombstone hides does not come back under another name, however and in whatever order the two appear.

use std::ffi::OsStr;
use std::fs;
use std::sync::Arc;

use crate::archive::HourPlace;
use crate::archive::guards::Guard as Taken;
use crate::archive::test_names::hash_text;
use crate::disk::{Base, BaseGuard, BaseIdentity};
use crate::index::{Index, IndexOptions};
use crate::sync::crawl::{Keeper, bring_into_line};

const HOUR: &str = "chan/source/2020-01-01T05";
const NEXT: &str = "chan/source/2020-01-01T06";
const SMALL: &str = "chan/480p/2020-01-01T05";

struct Archive {
    tree: tempfile::TempDir,
    keeper: Keeper,
}

impl Archive {
    fn new() -> Self {
        let tree = tempfile::tempdir().unwrap();
        let index = Arc::new(Index::in_memory(IndexOptions::default()).unwrap());
        let guard = BaseGuard::new(Base::open(tree.path()).unwrap(), BaseIdentity::Unmarked { channels: Vec::new() });
        Self { keeper: Keeper::new(index, Arc::new(guard)), tree }
    }

    fn put(&self, hour: &str, name: &str) {
        fs::create_dir_all(self.tree.path().join(hour)).unwrap();
        fs::write(self.tree.path().join(hour).join(name), "x").unwrap();
    }

    /// As an event, or what was fetched, is taken in.
    fn appears(&self, hour: &str, name: &str) {
        self.put(hour, name);
        self.keeper.touch(&place(hour), [OsStr::new(name)]).unwrap();
    }

    fn listed(&self, hour: &str) -> Vec<String> {
        let listed = self.keeper.answer(&place(hour)).unwrap().contents.listed(false);
        let known = self.keeper.index().hour_row(&place(hour).stream.to_string(), place(hour).hour).unwrap();
        assert_eq!(known.map_or(0, |row| row.totals.visible().files) as usize, listed.len(), "it counts what it lists");
        listed
    }

    fn has_tombstone(&self, hour: &str, name: &str) -> bool {
        self.tree.path().join(hour).join(name.replace(".ts", ".tombstone")).exists()
    }
}

fn place(hour: &str) -> HourPlace {
    HourPlace::parse(hour).unwrap()
}

fn name(time: &str, rest: &str, hash: u8) -> String {
    format!("{time}-{rest}-{}.ts", hash_text(hash))
}

fn grave(name: &str) -> String {
    name.replace(".ts", ".tombstone")
}

#[test]
fn a_near_duplicate_is_hidden_in_whatever_order_it_and_the_tombstone_appear() {
    let (hidden, twin) = (name("10:00.0000", "2.0-full", 1), name("10:00.0005", "2.1-partial", 1));
    let other = name("10:00.0005", "2.1-partial", 2);
    for twin_first in [true, false] {
        for at_once in [true, false] {
            let archive = Archive::new();
            archive.appears(HOUR, &other);
            let files = if twin_first { [twin.clone(), grave(&hidden)] } else { [grave(&hidden), twin.clone()] };
            for file in &files {
                if at_once { archive.put(HOUR, file) } else { archive.appears(HOUR, file) }
            }
            archive.keeper.reconcile(&[place(HOUR)], true).unwrap();
            assert_eq!(archive.listed(HOUR), std::slice::from_ref(&other), "{twin_first} {at_once}");
            assert!(archive.has_tombstone(HOUR, &twin) && !archive.has_tombstone(HOUR, &other));
        }
    }
}

#[test]
fn it_is_hidden_beyond_the_hour_and_in_other_qualities_and_not_in_other_channels_or_further_away() {
    let archive = Archive::new();
    let hidden = name("59:50", "2.0-full", 1);
    let near = [(NEXT, name("00:19", "2.0-full", 1)), (SMALL, name("59:40", "3.0-suspect", 1))];
    let far = [
        (NEXT, name("00:21", "2.0-full", 1)),
        (HOUR, name("59:10", "2.0-full", 1)),
        ("other/source/2020-01-01T05", hidden.clone()),
        (HOUR, format!("59:50-{}.json", hash_text(1))),
    ];
    for (hour, name) in near.iter().chain(&far) {
        archive.appears(hour, name);
    }
    archive.appears(HOUR, &grave(&hidden));
    for (hour, name) in &near {
        assert!(!archive.listed(hour).contains(name), "{hour}/{name}");
    }
    for (hour, name) in &far {
        assert!(archive.listed(hour).contains(name), "{hour}/{name}");
    }
    // What was hidden as a twin hides nothing further: 00:21 is two seconds after the one at 00:19.
    archive.keeper.hide_all_twins().unwrap();
    assert!(archive.listed(NEXT).contains(&far[0].1));
}

#[test]
fn what_lay_there_before_is_found_by_the_walk_after_the_start() {
    let archive = Archive::new();
    let (hidden, twin) = (name("10:00", "2.0-full", 1), name("10:00.5", "2.0-full", 1));
    archive.keeper.guards().remove(Taken::ContentTwin);
    archive.appears(HOUR, &grave(&hidden));
    archive.appears(HOUR, &twin);
    assert_eq!(archive.listed(HOUR), std::slice::from_ref(&twin), "without the guard it is back");
    let again = started_again(archive);
    bring_into_line(&again.keeper, &[place(HOUR)]).unwrap();
    again.keeper.hide_all_twins().unwrap();
    assert_eq!(again.listed(HOUR), [""; 0]);
}

/// The same disk and index, as a node finds them at its next start.
fn started_again(archive: Archive) -> Archive {
    let keeper = Keeper::new(Arc::clone(archive.keeper.index()), Arc::clone(archive.keeper.guard()));
    Archive { keeper, tree: archive.tree }
}

fn tombstones_known(archive: &Archive, hour: &str) -> u32 {
    let row = archive.keeper.index().hour_row(&place(hour).stream.to_string(), place(hour).hour).unwrap();
    row.map_or(0, |row| row.totals.tombstones)
}

#[test]
fn a_twin_that_cannot_be_hidden_is_counted_and_keeps_no_other_from_being_hidden() {
    let archive = Archive::new();
    let hidden = name("59:50", "2.0-full", 1);
    let [first, occupied, last] = ["59:51", "59:52", "59:53"].map(|time| name(time, "2.0-full", 1));
    let later = name("00:10", "2.0-full", 1);
    archive.keeper.guards().remove(Taken::ContentTwin);
    for (hour, file) in [(HOUR, &grave(&hidden)), (HOUR, &first), (HOUR, &occupied), (HOUR, &last), (NEXT, &later)] {
        archive.appears(hour, file);
    }
    fs::create_dir(archive.tree.path().join(HOUR).join(grave(&occupied))).unwrap();
    let again = started_again(archive);
    let found = again.keeper.hide_all_twins().unwrap();
    assert_eq!(found.count(crate::sync::crawl::CrawlCounts::ERRORS), 1);
    assert!(found.last_error.is_some_and(|error| error.contains("59:52")), "it says which");
    assert_eq!(
        (tombstones_known(&again, HOUR), tombstones_known(&again, NEXT)),
        (3, 1),
        "the index knows of the others"
    );
    assert_eq!((again.listed(HOUR), again.listed(NEXT)), (vec![occupied], vec![]));
}

#[test]
fn hidden_content_does_not_come_back_under_a_name_whose_tombstone_would_not_fit() {
    let archive = Archive::new();
    let hidden = name("10:00", "2.0-full", 1);
    let long = |zeros: usize| name("10:00", &format!("2.{}-full", "0".repeat(zeros)), 1);
    let stem = long(0).len() - ".ts".len();
    let (longest, too_long) = (long(245 - stem), long(246 - stem));
    archive.appears(HOUR, &longest);
    archive.appears(HOUR, &too_long);
    archive.appears(HOUR, &grave(&hidden));
    assert!(archive.listed(HOUR).is_empty() && archive.has_tombstone(HOUR, &longest));
}

#[test]
fn a_copy_is_known_by_its_reason_however_its_note_is_spaced() {
    let (copy, twin) = (name("10:20", "2.0-full", 1), name("10:40", "2.0-full", 1));
    for (hash, is_copy) in [(1, true), (2, false)] {
        let archive = Archive::new();
        let reason = format!("equal content was hidden: {}", hash_text(hash));
        let note = format!("{{ \"node\": \"\", \"at\": \"2020-01-01T06:00:00Z\",\n  \"reason\": \"{reason}\" }}");
        fs::create_dir_all(archive.tree.path().join(HOUR)).unwrap();
        fs::write(archive.tree.path().join(HOUR).join(grave(&copy)), note).unwrap();
        archive.keeper.touch(&place(HOUR), [OsStr::new(&grave(&copy))]).unwrap();
        archive.appears(HOUR, &twin);
        assert_eq!(archive.listed(HOUR).is_empty(), !is_copy, "{reason}");
    }
}
