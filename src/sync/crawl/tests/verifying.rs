//! Directories whose times lie: each is read once in so many cycles, whatever restarts come in between.

use std::collections::BTreeSet;
use std::fs::{self, File, FileTimes};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::{carry, cycle_of, place};
use crate::archive::{Hash, HourManifest, HourPlace, ManifestFile};
use crate::disk::{Base, BaseGuard, BaseIdentity, BucketManifests};
use crate::index::{Index, IndexOptions};
use crate::jobs::{Stop, TestClock};
use crate::sync::crawl::reconcile::{HourAction, look};
use crate::sync::crawl::rounds::{Rounds, RoundsParts};
use crate::sync::crawl::{CrawlPace, Keeper, Pacing, ReadAllowance, Reconcile, bring_into_line};

const HOURS: usize = 60;
const ONE_IN: u64 = 10;
/// From when on a directory is believed to show every later change.
const SETTLES: Duration = Duration::from_millis(2100);
const NAME: &str = "00:00-2.0-full-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.ts";

/// Notes an object of the hour with one segment.
fn note_object(base: &Base, place: &HourPlace, start: &str) {
    let sha256 = Hash([7; 32]);
    let file = ManifestFile { name: format!("{start}-2.0-full-{sha256}.ts").into(), size: 1, sha256 };
    let manifest = HourManifest::new(place.clone(), vec![file], Vec::new()).unwrap();
    BucketManifests::of(base).write(place, manifest.object_name().manifest, &manifest.to_bytes()).unwrap();
}

struct Archive {
    directory: tempfile::TempDir,
    index: Arc<Index>,
    clock: Arc<TestClock>,
}

impl Archive {
    /// Every hour of it is known, and its stamp is trusted. `is_here` says which lie here, and `is_in_bucket` which a bucket has.
    fn settled(is_here: impl Fn(usize) -> bool, is_in_bucket: impl Fn(usize) -> bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let base = Base::open(directory.path()).unwrap();
        for number in (0..HOURS).filter(|number| is_here(*number)) {
            let hour = directory.path().join(place(number).path());
            fs::create_dir_all(&hour).unwrap();
            fs::write(hour.join(NAME), "x").unwrap();
        }
        for number in (0..HOURS).filter(|number| is_in_bucket(*number)) {
            note_object(&base, &place(number), "00:02");
        }
        std::thread::sleep(SETTLES);
        let index = Arc::new(Index::in_memory(IndexOptions::default()).unwrap());
        let archive = Self { directory, index, clock: Arc::default() };
        let keeper = archive.keeper();
        keeper.reconcile_structure().unwrap();
        bring_into_line(&keeper, &(0..HOURS).map(place).collect::<Vec<_>>()).unwrap();
        assert!((0..HOURS).all(|number| archive.row(&place(number)).stamp.is_some()));
        archive
    }

    fn keeper(&self) -> Arc<Keeper> {
        let base = Base::open(self.directory.path()).unwrap();
        let guard = Arc::new(BaseGuard::new(base, BaseIdentity::Unmarked { channels: Vec::new() }));
        Arc::new(Keeper::new(Arc::clone(&self.index), guard))
    }

    fn row(&self, place: &HourPlace) -> crate::index::HourRow {
        self.index.hour_row(&place.stream.to_string(), place.hour).unwrap().unwrap()
    }

    /// All files get another size, of which no directory tells.
    fn grow_in_place(&self) {
        for number in 0..HOURS {
            let file = File::options().write(true).open(self.directory.path().join(place(number).path()).join(NAME));
            let file = file.unwrap();
            file.set_len(2).unwrap();
            file.set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH)).unwrap();
        }
    }

    /// The hours of which the index has the new size.
    fn found(&self) -> BTreeSet<usize> {
        (0..HOURS)
            .filter(|number| self.row(&place(*number)).totals.video.iter().any(|tally| tally.bytes == 2))
            .collect()
    }

    /// A process that carries the visitor, and ends when it has looked so often whether it is to go on.
    fn live(&self, looks: u64) {
        let (stop, looked) = (Stop::new(), AtomicU64::new(0));
        let ends = stop.clone();
        let pace = CrawlPace {
            cpu_share: 1.0,
            slice: Duration::from_secs(1),
            adaptive: false,
            threads: 1,
            cycles: [(Reconcile::NAME.to_owned(), Duration::from_secs(300))].into(),
            reading: ReadAllowance::default(),
        };
        let life = stop.clone();
        let rounds = Arc::new(Rounds::new(RoundsParts {
            keeper: self.keeper(),
            visitors: vec![Box::new(Reconcile::new(self.keeper(), ONE_IN))],
            pacing: Pacing::new(pace),
            busy: Arc::default(),
            clock: Arc::clone(&self.clock) as Arc<dyn crate::jobs::Clock>,
            stop,
            is_ready: Box::new(move || {
                let goes_on = looked.fetch_add(1, Ordering::SeqCst) < looks;
                if !goes_on {
                    ends.stop();
                }
                goes_on
            }),
        }));
        if !cycle_of(&self.index, Reconcile::NAME).is_running {
            rounds.request_cycle(Reconcile::NAME);
        }
        // The next cycle is not begun by the same process.
        self.clock.end_at(Duration::ZERO);
        carry(&rounds, Arc::clone(&self.clock) as Arc<dyn crate::jobs::Clock>, &life);
    }
}

#[test]
fn every_directory_is_read_once_in_ten_cycles_although_its_times_say_nothing() {
    let archive = Archive::settled(|_| true, |_| false);
    archive.grow_in_place();
    let mut known = BTreeSet::new();
    let mut lives = 0;
    for number in 1..=ONE_IN {
        let cycle = loop {
            lives += 1;
            archive.live(3 + (lives * 7 + number) % 40);
            let state = cycle_of(&archive.index, Reconcile::NAME);
            if let Some(cycle) = state.history.front().filter(|cycle| cycle.number == number) {
                break cycle.clone();
            }
        };
        assert_eq!(cycle.hours, HOURS as u64, "in cycle {number}");
        let found = archive.found();
        let new = found.difference(&known).count() as u64;
        assert!(found.is_superset(&known));
        assert_eq!(
            (cycle.found.count("verified"), cycle.found.count("put"), cycle.found.count("read")),
            (new, new, new)
        );
        known = found;
    }
    assert!(lives > 3 * ONE_IN, "{lives}: cycles were interrupted");
    assert_eq!(known.len(), HOURS, "each directory had its turn");
}

#[test]
fn hours_of_a_bucket_are_not_read_while_nothing_is_noted_of_them_and_have_their_turn_as_well() {
    // Some lie here, some in a bucket, some in both.
    let archive = Archive::settled(|number| number % 3 != 0, |number| number % 3 != 1);
    let (keeper, hours) = (archive.keeper(), (0..HOURS).map(place).collect::<Vec<_>>());
    assert_eq!(look(&keeper, &hours).unwrap(), vec![HourAction::Same; HOURS]);
    assert_eq!(bring_into_line(&keeper, &hours).unwrap().count("read"), 0);
    let mut verified = 0;
    for number in 1..=ONE_IN {
        archive.live(u64::MAX);
        let cycle = cycle_of(&archive.index, Reconcile::NAME).history.front().unwrap().clone();
        assert_eq!((cycle.number, cycle.found.count("put")), (number, 0));
        assert_eq!(cycle.found.count("read"), cycle.found.count("verified"), "nothing but those whose turn it is");
        verified += cycle.found.count("verified");
    }
    assert_eq!(verified, HOURS as u64, "each hour had its turn");
    // What is noted anew of an hour shows in its stamp, whether the hour lies here or not.
    let base = Base::open(archive.directory.path()).unwrap();
    for number in [3, 5] {
        note_object(&base, &place(number), "00:04");
    }
    let differs = |number: &usize| look(&keeper, &[place(*number)]).unwrap() == [HourAction::Differs];
    assert_eq!((0..HOURS).filter(differs).collect::<Vec<_>>(), [3, 5]);
}
