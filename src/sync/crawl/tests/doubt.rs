//! What is missing of a channel, found in every way in which something is compared: nothing is concluded from too much of it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use crate::archive::{Channel, HourPlace};
use crate::disk::{Base, BaseGuard, BaseIdentity};
use crate::index::{Index, IndexOptions};
use crate::sync::crawl::{CrawlError, Keeper, bring_into_line};

const HASH: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

/// Ten hours of ten files in each of two qualities of one channel, and as much of another channel.
struct Archive {
    directory: tempfile::TempDir,
    keeper: Keeper,
}

impl Archive {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let base = Base::open(directory.path()).unwrap();
        let guard = Arc::new(BaseGuard::new(base, BaseIdentity::Unmarked { channels: Vec::new() }));
        let index = Arc::new(Index::in_memory(IndexOptions::default()).unwrap());
        let archive = Self { keeper: Keeper::new(index, guard).doubt_above(20), directory };
        for place in all("a").into_iter().chain(all("b")) {
            fs::create_dir_all(archive.at(&place)).unwrap();
            for second in 0..10 {
                fs::write(archive.at(&place).join(format!("00:0{second}-1.0-full-{HASH}.ts")), "x").unwrap();
            }
        }
        archive.keeper.reconcile_structure().unwrap();
        archive.keeper.begin_comparing();
        archive.compare();
        assert_eq!((archive.files("a"), archive.files("b")), (200, 200));
        archive
    }

    fn at(&self, place: &HourPlace) -> PathBuf {
        self.directory.path().join(place.path())
    }

    fn files(&self, channel: &str) -> u64 {
        let rows = |place: HourPlace| self.keeper.index().hour_row(&place.stream.to_string(), place.hour).unwrap();
        all(channel).into_iter().filter_map(rows).map(|row| u64::from(row.rows)).sum()
    }

    fn compare(&self) {
        let known = self.keeper.index().catalog();
        for stream in known.streams() {
            let hours = known.hours(&stream.to_string(), ..);
            let places: Vec<_> = hours.into_iter().map(|hour| HourPlace { stream: stream.clone(), hour }).collect();
            bring_into_line(&self.keeper, &places).unwrap();
        }
    }

    fn empty(&self, place: &HourPlace) {
        for entry in fs::read_dir(self.at(place)).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }

    fn is_doubted(&self, place: &HourPlace) -> bool {
        matches!(self.keeper.answer(place), Err(CrawlError::Doubt(_)))
    }
}

fn all(channel: &str) -> Vec<HourPlace> {
    let place = |number: usize| {
        HourPlace::parse(&format!("{channel}/{}/2020-01-01T{:02}", ["source", "480p"][number % 2], number / 2)).unwrap()
    };
    (0..20).map(place).collect()
}

#[test]
fn an_hour_that_somebody_asks_for_first_stays_with_the_others_that_are_missing() {
    let archive = Archive::new();
    fs::rename(archive.directory.path().join("a"), archive.directory.path().join(".away")).unwrap();
    let first = &all("a")[0];
    archive.keeper.freshness.unwatch(first);
    assert!(archive.is_doubted(first), "alone it might go");
    assert_eq!(archive.files("a"), 200);
    assert_eq!(archive.keeper.doubts()[0].had, 200, "counted once");
}

#[test]
fn hours_that_are_missing_together_all_stay_and_come_back_by_themselves() {
    let archive = Archive::new();
    let (places, channel) = (all("a"), archive.directory.path().join("a"));
    let away = archive.directory.path().join(".away");
    fs::rename(channel.join("source"), &away).unwrap();
    archive.keeper.reconcile_structure().unwrap();
    assert_eq!(archive.files("a"), 100, "half of it may go");
    fs::rename(&away, channel.join("source")).unwrap();
    archive.keeper.reconcile_structure().unwrap();
    archive.compare();
    archive.keeper.begin_comparing();

    fs::rename(&channel, &away).unwrap();
    fs::remove_dir_all(archive.at(&all("b")[0])).unwrap();
    for _ in 0..3 {
        archive.keeper.reconcile_structure().unwrap();
        archive.compare();
        archive.keeper.begin_comparing();
    }
    assert_eq!((archive.files("a"), archive.files("b")), (200, 190), "other channels go on");
    let doubts = archive.keeper.doubts();
    assert_eq!((doubts.len(), doubts[0].missing, doubts[0].had, doubts[0].hours), (1, 200, 200, 20));
    assert!(places.iter().all(|place| archive.is_doubted(place)));
    assert!(!archive.keeper.is_fresh("a/source", places[0].hour));
    fs::rename(&away, &channel).unwrap();
    // Whoever asks finds it.
    assert_eq!(archive.keeper.answer(&places[3]).unwrap().contents.len(), 10);
    assert!(archive.is_doubted(&places[4]) || archive.keeper.doubt_of(&places[4]).is_none());
    archive.compare();
    assert!(archive.keeper.doubts().is_empty());
    assert_eq!(archive.files("a"), 200);
}

#[test]
fn files_that_are_missing_one_by_one_stay_from_the_middle_on() {
    let archive = Archive::new();
    let places = all("a");
    places.iter().take(15).for_each(|place| archive.empty(place));
    archive.keeper.freshness.clear();
    for place in &places {
        drop(archive.keeper.ensure(place));
    }
    assert_eq!(archive.files("a"), 100, "not more than half has left");
    let count = places.iter().filter(|place| archive.is_doubted(place)).count();
    assert_eq!(count, 5, "what has left is gone, what is there is told, the rest is held");
    assert_eq!(archive.keeper.answer(&places[19]).unwrap().contents.len(), 10);
    // What comes is taken although something else is missing in the same hour.
    let held = places.iter().find(|place| archive.is_doubted(place)).unwrap();
    fs::write(archive.at(held).join(format!("30:00-1.0-full-{HASH}.ts")), "x").unwrap();
    assert!(archive.is_doubted(held));
    assert_eq!(archive.files("a"), 101);
    // An order and an event are no comparison.
    archive.keeper.follow(held).unwrap();
    assert_eq!(archive.files("a"), 91);
    assert!(archive.keeper.accept(&Channel::new("b").unwrap()).is_none());
    let accepted = archive.keeper.accept(&Channel::new("a").unwrap()).unwrap();
    assert_eq!((accepted.missing, accepted.hours), (40, 4));
    archive.compare();
    assert_eq!((archive.files("a"), archive.keeper.doubts().len()), (51, 0));
    assert!(archive.keeper.answer(&places[0]).unwrap().contents.is_empty());
}
