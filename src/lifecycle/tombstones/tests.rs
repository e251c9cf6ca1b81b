//! Tombstones against a real directory and an index in memory, with whatever may lie in an hour.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::archive::test_names::{any_name, hash_text};
use crate::archive::{FileName, Timestamp, parse_file_name};
use crate::disk::{Base, BaseGuard, BaseIdentity};
use crate::index::IndexOptions;
use crate::lifecycle::deleted::DeletionCounter;
use crate::wire::AddOutcome;

const HOUR: &str = "chan/source/2019-11-13T02";
const ALL: TombstoneBounds = TombstoneBounds { files: 10_000, hours: 1_000 };

struct Archive {
    tree: tempfile::TempDir,
    keeper: Keeper,
    deleted: DeletionCounter,
}

type Files = BTreeMap<String, u64>;

impl Archive {
    fn new() -> Self {
        let tree = tempfile::tempdir().unwrap();
        let options = IndexOptions { cache_bytes: 1 << 20, ..IndexOptions::default() };
        let index = Arc::new(crate::index::Index::in_memory(options).unwrap());
        let guard = BaseGuard::new(Base::open(tree.path()).unwrap(), BaseIdentity::Unmarked { channels: Vec::new() });
        let keeper = Keeper::new(index, Arc::new(guard));
        // Names that are made up often have the same content; what becomes of that is told apart.
        keeper.guards().remove(crate::archive::guards::Guard::ContentTwin);
        Self { tree, keeper, deleted: DeletionCounter::register(&prometheus::Registry::new()).unwrap() }
    }

    fn put(&self, hour: &str, name: &str, bytes: usize) {
        std::fs::create_dir_all(self.tree.path().join(hour)).unwrap();
        std::fs::write(self.tree.path().join(hour).join(name), vec![b'x'; bytes]).unwrap();
    }

    fn look(&self, hour: &str) {
        self.keeper.reconcile(&[HourPlace::parse(hour).unwrap()], true).unwrap();
    }

    fn files(&self) -> Files {
        let mut found = Files::new();
        let mut waiting = vec![self.tree.path().to_owned()];
        while let Some(dir) = waiting.pop() {
            for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
                let path = entry.path();
                if path.is_dir() {
                    waiting.push(path);
                } else {
                    let relative: &Path = path.strip_prefix(self.tree.path()).unwrap();
                    found.insert(relative.to_str().unwrap().to_owned(), entry.metadata().unwrap().len());
                }
            }
        }
        found
    }

    fn visible(&self, hour: &str) -> Vec<String> {
        self.keeper.answer(&HourPlace::parse(hour).unwrap()).unwrap().contents.listed(false)
    }

    fn purge(&self, dry_run: bool) -> Purge<'_> {
        Purge { keeper: &self.keeper, deleted: &self.deleted, stay: None, dry_run }
    }

    fn purge_all(&self, dry_run: bool, files: usize) -> crate::wire::PurgeReport {
        let mut total = crate::wire::PurgeReport::default();
        loop {
            let after = total.next.as_deref().map(|next| PageEnd::read(next).unwrap());
            let bounds = TombstoneBounds { files, hours: 1 };
            let report = self
                .purge(dry_run)
                .scope(&TombstoneScope::everything(), after.as_ref(), bounds, IndexTrust::Behind)
                .unwrap();
            total.files += report.files;
            total.bytes += report.bytes;
            total.left.extend(report.left);
            total.next = report.next;
            if total.next.is_none() {
                return total;
            }
        }
    }
}

fn segment(number: u8) -> String {
    format!("00:{number:02}-2.0-full-{}.ts", hash_text(number))
}

fn tombstone(number: u8) -> String {
    segment(number).replace(".ts", ".tombstone")
}

#[test]
fn a_target_is_a_segment_a_batch_or_a_tombstone_and_nothing_else() {
    for name in [segment(1), tombstone(1), format!("00:00-{}.json", hash_text(1))] {
        let target = TombstoneTarget::read(&format!("{HOUR}/{name}")).unwrap();
        assert_eq!(target.tombstone(), format!("{}.tombstone", name::stem(&name)));
    }
    let long = format!("00:00-2.{}-full-{}.ts", "0".repeat(190), hash_text(1));
    for (path, expected) in [
        (format!("{HOUR}/garbage.ts"), "named TIME-DURATION-TYPE-HASH"),
        (format!("{HOUR}/x.txt"), "ends in .ts, .json or .tombstone"),
        (format!("{HOUR}/{}", segment(1).replace("full", "temp")), "temp segment"),
        (format!("{HOUR}/../{}", segment(1)), "path component"),
        (format!("../source/2019-11-13T02/{}", segment(1)), "path component"),
        (format!("chan/source/2019-11-13/{}", segment(1)), "hour is written"),
        (segment(1), "TIME-DURATION"),
        (format!("{HOUR}/{long}"), "255 bytes"),
        (format!("{HOUR}/.{}", segment(1)), "TIME-DURATION"),
    ] {
        let said = TombstoneTarget::read(&path).unwrap_err().to_string();
        assert!(said.contains(expected), "{path}: {said}");
    }
}

#[test]
fn what_is_added_is_on_disk_and_in_the_index_and_may_be_added_again() {
    let archive = Archive::new();
    archive.put(HOUR, &segment(1), 5);
    archive.put(HOUR, &segment(2), 5);
    archive.look(HOUR);
    let elsewhere = "other/chat/2020-01-01T00";
    let paths = [
        format!("{HOUR}/{}", segment(1)),
        format!("{elsewhere}/00:00-{}.json", hash_text(9)),
        format!("{HOUR}/../x"),
        format!("{HOUR}/{}", tombstone(1)),
    ];
    let added = add(&archive.keeper, &paths, None).unwrap();
    let outcomes: Vec<AddOutcome> = added.paths.iter().map(|path| path.outcome).collect();
    // The first and the last are the same one.
    assert_eq!(outcomes, [AddOutcome::New, AddOutcome::New, AddOutcome::Refused, AddOutcome::There]);
    assert_eq!((added.new, added.there, added.refused), (2, 1, 1));
    assert_eq!(archive.visible(HOUR), [segment(2)]);
    assert!(archive.files().contains_key(&format!("{elsewhere}/00:00-{}.tombstone", hash_text(9))));
    assert!(archive.files().contains_key(&format!("{HOUR}/{}", segment(1))), "hiding deletes nothing");
    let again = add(&archive.keeper, &paths, None).unwrap();
    assert_eq!((again.new, again.there, again.refused), (0, 3, 1));
    // Something else of that name hides nothing.
    std::fs::create_dir(archive.tree.path().join(HOUR).join(tombstone(2))).unwrap();
    let refused = add(&archive.keeper, &[format!("{HOUR}/{}", segment(2))], None).unwrap();
    assert!(refused.paths[0].why.as_ref().is_some_and(|why| why.contains("is taken by a directory")), "{refused:?}");
}

#[test]
fn equal_content_is_found_wherever_it_lies_and_is_visible() {
    let archive = Archive::new();
    let places = [HOUR, "chan/480p/2019-11-13T02", "other/source/2021-01-01T00"];
    for hour in places {
        archive.put(hour, &segment(1), 5);
        archive.put(hour, &segment(2), 5);
        archive.look(hour);
    }
    let named = [format!("nowhere/source/2019-11-13T02/{}", segment(1))];
    let contents = contents(&named).unwrap();
    let mut expected = places.map(|hour| format!("{hour}/{}", segment(1)));
    expected.sort_unstable();
    assert_eq!(equal(&archive.keeper, &contents, 9).unwrap(), expected);
    assert_eq!(equal(&archive.keeper, &contents, 1).unwrap().len(), 2, "one more says that there are more");
    add(&archive.keeper, &expected[..1], None).unwrap();
    assert_eq!(equal(&archive.keeper, &contents, 9).unwrap(), expected[1..]);
    assert!(super::contents(&["a/b/c".to_owned()]).is_err());
}

#[test]
fn a_range_is_what_overlaps_it() {
    let archive = Archive::new();
    for number in 0..10 {
        archive.put(HOUR, &segment(number * 2), 1);
    }
    archive.look(HOUR);
    let stream = Stream::parse("chan/source").unwrap();
    let time = |text: &str| Timestamp::parse(text).unwrap();
    let range = |from, to| TombstoneRange { stream: stream.clone(), from: time(from), to: time(to) };
    let found = in_range(&archive.keeper, &range("2019-11-13T02:00:04", "2019-11-13T02:00:08.5"), 9).unwrap().unwrap();
    assert_eq!(found, [4, 6, 8].map(|number| format!("{HOUR}/{}", segment(number))));
    add(&archive.keeper, &found, None).unwrap();
    let rest = in_range(&archive.keeper, &range("2019-11-13T01:00:00", "2019-11-14T00:00:00"), 9).unwrap().unwrap();
    assert_eq!(rest.len(), 7, "what is hidden already is not hidden again");
    let too_wide = in_range(&archive.keeper, &range("2019-11-13T01:00:00", "2019-11-14T00:00:00"), 0).unwrap();
    assert_eq!(too_wide.unwrap_err().what, "number of hours in the range");
}

#[test]
fn a_purge_of_paths_says_what_it_did_not_find() {
    let archive = Archive::new();
    for number in [1, 2, 3] {
        archive.put(HOUR, &segment(number), 7);
    }
    archive.put(HOUR, &tombstone(1), 0);
    archive.put(HOUR, &tombstone(2), 0);
    archive.look(HOUR);
    let order = [
        format!("{HOUR}/{}", segment(1)),
        format!("{HOUR}/{}", tombstone(2)),
        format!("{HOUR}/{}", segment(2)),
        format!("{HOUR}/{}", segment(3)),
        format!("{HOUR}/{}", segment(4)),
        "nonsense".to_owned(),
    ];
    let report = archive.purge(false).paths(&order).unwrap();
    assert_eq!((report.files, report.bytes, report.left.len()), (2, 14, 3), "{report:?}");
    let mut left: Vec<String> = archive.files().into_keys().collect();
    left.sort_unstable();
    assert_eq!(left, [tombstone(1), tombstone(2), segment(3)].map(|name| format!("{HOUR}/{name}")));
}

#[test]
fn what_no_other_node_has_stays() {
    let archive = Archive::new();
    for number in 0..4 {
        archive.put(HOUR, &segment(number), 1);
        archive.put(HOUR, &tombstone(number), 0);
    }
    archive.look(HOUR);
    let stay = |place: &HourPlace, names: &[String]| {
        assert_eq!(place.to_string(), HOUR);
        names.iter().filter(|name| name.starts_with("00:02")).cloned().collect::<BTreeSet<String>>()
    };
    for dry_run in [true, false] {
        let purge = Purge { stay: Some(&stay), ..archive.purge(dry_run) };
        let report = purge.scope(&TombstoneScope::everything(), None, ALL, IndexTrust::CaughtUp).unwrap();
        assert_eq!((report.files, report.kept), (3, 1), "{report:?}");
    }
    assert!(archive.files().contains_key(&format!("{HOUR}/{}", segment(2))));
    assert_eq!(archive.files().len(), 5);
}

#[test]
fn a_scope_reaches_no_further_than_it_says() {
    let archive = Archive::new();
    let hours = [
        "a/source/2019-11-13T02",
        "a/source/2019-11-13T03",
        "a/480p/2019-11-13T02",
        "a-b/source/2019-11-13T02",
        "b/source/2019-11-13T02",
    ];
    for hour in hours {
        archive.put(hour, &segment(1), 1);
        archive.put(hour, &tombstone(1), 0);
        archive.look(hour);
    }
    let reached = |places: &[&str]| {
        let scope = TombstoneScope::within(places.iter().map(|place| ScopePart::parse(place).unwrap()).collect());
        let report = archive.purge(true).scope(&scope, None, ALL, IndexTrust::CaughtUp).unwrap();
        let mut reached: Vec<String> = report.hours.into_iter().map(|hour| hour.hour.to_string()).collect();
        reached.sort_unstable();
        reached
    };
    assert_eq!(reached(&["a"]), [hours[2], hours[0], hours[1]]);
    assert_eq!(reached(&["a/source"]), [hours[0], hours[1]]);
    assert_eq!(reached(&["a/source/2019-11-13T03", "b"]), [hours[1], hours[4]]);
    assert_eq!(reached(&["a/source/2019-11-13T04", "c"]), [""; 0]);
    for wrong in ["", "a/", "a/source/x", "a/source/2019-11-13T02/x", ".a", "../a"] {
        assert!(ScopePart::parse(wrong).is_err(), "{wrong}");
    }
}

fn any_files() -> impl Strategy<Value = BTreeSet<(u8, String)>> {
    let name = any_name().prop_filter("must be one a file can have", |name| !name.contains('/'));
    prop::collection::btree_set((0..2_u8, name), 0..60)
}

fn is_hidden_segment(path: &str, files: &Files) -> bool {
    let (hour, name) = path.rsplit_once('/').unwrap();
    let is_segment = matches!(parse_file_name(name), FileName::Understood(key) if !key.tombstone);
    is_segment && files.contains_key(&format!("{hour}/{}.tombstone", name::stem(name)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_purge_takes_what_is_hidden_and_nothing_else(names in any_files(), page in 1..8_usize) {
        let archive = Archive::new();
        let hours = [HOUR, "chan/480p/2019-11-13T03"];
        for (size, (hour, name)) in names.iter().enumerate() {
            archive.put(hours[usize::from(*hour)], name, size);
        }
        for hour in hours {
            archive.look(hour);
        }
        let before = archive.files();
        let visible = hours.map(|hour| archive.visible(hour));
        let going: Files =
            before.iter().filter(|(path, _)| is_hidden_segment(path, &before)).map(|(path, size)| (path.clone(), *size)).collect();

        let would = archive.purge_all(true, page);
        prop_assert_eq!(&archive.files(), &before);
        let done = archive.purge_all(false, page);
        for report in [&would, &done] {
            prop_assert_eq!((report.files, report.bytes), (going.len() as u64, going.values().sum::<u64>()));
            prop_assert!(report.left.is_empty());
        }
        let left: Files = before.into_iter().filter(|(path, _)| !going.contains_key(path)).collect();
        prop_assert_eq!(archive.files(), left);
        prop_assert_eq!(hours.map(|hour| archive.visible(hour)), visible);
        prop_assert_eq!(archive.purge_all(false, page).files, 0);
    }

    #[test]
    fn a_list_in_pages_is_the_whole_list(names in any_files(), page in 1..8_usize) {
        let archive = Archive::new();
        let hours = ["chan/480p/2019-11-13T03", HOUR];
        for (hour, name) in &names {
            archive.put(hours[usize::from(*hour)], name, 3);
        }
        for hour in hours {
            archive.look(hour);
        }
        let files = archive.files();
        let tombstones: Vec<&String> = files
            .keys()
            .filter(|path| matches!(parse_file_name(path.rsplit('/').next().unwrap()), FileName::Understood(key) if key.tombstone))
            .collect();
        let mut listed = Vec::new();
        let mut after: Option<PageEnd> = None;
        loop {
            let bounds = TombstoneBounds { files: page, hours: 1 };
            let next = list(&archive.keeper, &TombstoneScope::everything(), after.as_ref(), bounds, IndexTrust::CaughtUp).unwrap();
            prop_assert!(next.tombstones.len() <= page);
            listed.extend(next.tombstones);
            match next.next {
                Some(text) => after = Some(PageEnd::read(&text).unwrap()),
                None => break,
            }
        }
        prop_assert_eq!(listed.iter().map(|record| &record.path).collect::<Vec<_>>(), tombstones);
        for record in &listed {
            let (hour, name) = record.path.rsplit_once('/').unwrap();
            let here = ["ts", "json"].map(|extension| format!("{hour}/{}.{extension}", name::stem(name)));
            let here = here.iter().find(|path| files.contains_key(*path) && is_hidden_segment(path, &files));
            let hides = record.hides.as_ref().map(|file| format!("{hour}/{file}"));
            prop_assert_eq!(hides.as_ref(), here);
            prop_assert_eq!(record.bytes, if here.is_some() { 3 } else { 0 });
        }
    }
}
