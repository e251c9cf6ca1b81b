//! Whether anything goes while what protects the archive says no: real disk and index, clocks and room as a test likes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::Registry;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::block_in_place;

use crate::archive::guards::Guard;
use crate::archive::retention::RetentionLimits;
use crate::archive::time::HOUR_US;
use crate::archive::{HourPlace, Span};
use crate::disk::{ArchiveId, Base, BaseGuard as DiskGuard, BaseIdentity, marker};
use crate::index::{Index, IndexOptions};
use crate::jobs::{NodeEvents, Stop, Wake};
use crate::lifecycle::clock::test_clocks::TestClocks;
use crate::lifecycle::deleted::DeletionCounter;
use crate::lifecycle::retention::{Retention, RetentionOptions, RetentionParts};
use crate::replicate::HourRules as _;
use crate::replicate::peer::{self, Peer, PeerClient};
use crate::sync::crawl::Keeper;
use crate::wire::{AskingGuard, RetentionReport};

pub(super) const DAY: Span = Span::from_us(24 * HOUR_US);

/// An archive whose node is started anew as often as a test likes.
pub(super) struct Archive {
    pub(super) tree: tempfile::TempDir,
    pub(super) state: tempfile::TempDir,
    pub(super) clocks: Arc<TestClocks>,
    free: Arc<AtomicU64>,
    pub(super) peers: Vec<Peer>,
    id: ArchiveId,
}

impl Archive {
    /// A tombstone of a file that is not here, in the hour so many ago.
    fn tombstone(&self, ago: u32) -> PathBuf {
        let name = "00:05-2.0-full-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.tombstone";
        let tombstone = self.tree.path().join(self.place(ago).path()).join(name);
        std::fs::write(&tombstone, "").unwrap();
        tombstone
    }

    /// So many hours up to now, three files of 100 bytes in each.
    pub(super) fn new(hours: u32) -> Self {
        let tree = tempfile::tempdir().unwrap();
        let id = ArchiveId::random();
        marker::create(&Base::open(tree.path()).unwrap(), id).unwrap();
        let clocks = Arc::new(TestClocks::at("2027-01-10T12:30:00"));
        let archive = Self {
            tree,
            state: tempfile::tempdir().unwrap(),
            clocks,
            free: Arc::new(AtomicU64::new(1_000_000)),
            peers: Vec::new(),
            id,
        };
        for ago in 0..hours {
            archive.record(&archive.place(ago));
        }
        archive
    }

    pub(super) fn place(&self, ago: u32) -> HourPlace {
        let now = crate::lifecycle::clock::Clocks::wall(&*self.clocks);
        HourPlace::parse(&format!("a/b/{}", now.hour().earlier(ago))).unwrap()
    }

    fn record(&self, place: &HourPlace) {
        let dir = self.tree.path().join(place.path());
        std::fs::create_dir_all(&dir).unwrap();
        for at in 0..3 {
            let name = format!("00:0{at}-2.0-full-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.ts");
            std::fs::write(dir.join(name), [0; 100]).unwrap();
        }
    }

    pub(super) fn own(&self, name: &str) -> PathBuf {
        self.tree.path().join(marker::OWN_DIR).join(name)
    }

    fn hours(&self) -> usize {
        std::fs::read_dir(self.tree.path().join("a/b")).unwrap().count()
    }

    pub(super) fn start(&self, limits: RetentionLimits) -> Retention {
        self.start_without(limits, None)
    }

    pub(super) fn start_without(&self, limits: RetentionLimits, removed: Option<Guard>) -> Retention {
        let keeper = self.keeper();
        if let Some(removed) = removed {
            keeper.guards().remove(removed);
        }
        for entry in std::fs::read_dir(self.tree.path().join("a/b")).unwrap() {
            let hour = entry.unwrap().file_name().into_string().unwrap();
            keeper.reconcile(&[HourPlace::parse(&format!("a/b/{hour}")).unwrap()], true).unwrap();
        }
        self.retention(keeper, limits, Box::new(|| true))
    }

    pub(super) fn keeper(&self) -> Arc<Keeper> {
        let path = self.state.path().join("index.redb");
        let index = Index::open(&path, IndexOptions { cache_bytes: 1 << 20, ..IndexOptions::default() }).unwrap();
        let guard = DiskGuard::new(Base::open(self.tree.path()).unwrap(), BaseIdentity::Marked(self.id));
        Arc::new(Keeper::new(Arc::new(index), Arc::new(guard)))
    }

    /// Over this index, which has caught up as far as `is_ready` says.
    pub(super) fn retention(
        &self,
        keeper: Arc<Keeper>,
        limits: RetentionLimits,
        is_ready: Box<dyn Fn() -> bool + Send + Sync>,
    ) -> Retention {
        let free = Arc::clone(&self.free);
        let parts = RetentionParts {
            keeper,
            is_ready,
            deletions: Arc::new(DeletionCounter::register(&Registry::new()).unwrap()),
            client: PeerClient::new(peer::PeerLimits::default(), &crate::net::tls::trusting_nobody().unwrap()).unwrap(),
            bucket: None,
            peers: watch::channel(self.peers.clone()).1,
            instance: 1,
            handle: Handle::current(),
            clocks: Arc::clone(&self.clocks) as Arc<dyn crate::lifecycle::clock::Clocks>,
            free: Arc::new(move |_: &Base| Some(free.load(Ordering::SeqCst))),
            events: NodeEvents::default(),
            wake: Wake::new(&Stop::new()),
            archiver: None,
            handoffs: None,
        };
        let options = RetentionOptions {
            limits,
            reclaim_age: Span::from_us(7 * DAY.us()),
            interval: Duration::from_secs(600),
            keep_last_copy: false,
            copies_at: Vec::new(),
        };
        let retention = Retention::new(parts, options, &Registry::new()).unwrap();
        retention.know_journal();
        retention
    }
}

pub(super) fn run(retention: &Retention) -> RetentionReport {
    retention.know_journal();
    block_in_place(|| retention.once(&[].into(), &Stop::new(), None))
}

fn answered_run(retention: &Retention, guard: AskingGuard) -> RetentionReport {
    block_in_place(|| retention.once(&[guard].into(), &Stop::new(), None))
}

pub(super) fn age(hours: i64) -> RetentionLimits {
    RetentionLimits { max_age: Some(Span::from_us(hours * HOUR_US)), ..RetentionLimits::default() }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_the_recorder_shares_deletes_nothing() {
    for guard in [None, Some(Guard::ClockWitnesses)] {
        let archive = Archive::new(20);
        assert_eq!(run(&archive.start(age(20))).doubt, None);
        archive.clocks.set(|said| said.wall = said.wall + Span::from_us(5 * HOUR_US));
        // The recorder writes by the same clock.
        archive.record(&archive.place(0));
        let retention = archive.start_without(age(20), guard);
        let report = run(&retention);
        if guard.is_some() {
            assert_eq!((report.doubt, archive.hours()), (None, 17), "without witnesses all is believed");
            continue;
        }
        let doubt = report.doubt.unwrap();
        assert!(doubt.contains("elapsed") && doubt.contains("--yes"), "{doubt}");
        assert!(archive.hours() == 21 && retention.report().clock.is_some());
        let answered = answered_run(&retention, AskingGuard::Clock);
        assert_eq!((answered.doubt, archive.hours()), (None, 17));
        assert_eq!(run(&retention).doubt, None, "the word holds");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_one_guard_does_not_answer_another() {
    let archive = Archive::new(20);
    assert_eq!(run(&archive.start(age(20))).doubt, None);
    archive.clocks.set(|said| said.wall = said.wall + Span::from_us(5 * HOUR_US));
    // By the wrong clock more than half would go as well.
    let retention = archive.start(age(10));
    assert_eq!(run(&retention).asks, Some(AskingGuard::Clock));
    assert_eq!(answered_run(&retention, AskingGuard::Shrinking).asks, Some(AskingGuard::Clock));
    let report = answered_run(&retention, AskingGuard::Clock);
    assert_eq!((report.asks, report.hours, archive.hours()), (Some(AskingGuard::Shrinking), 0, 20), "{report:?}");
    assert_eq!(answered_run(&retention, AskingGuard::Quiet).asks, Some(AskingGuard::Shrinking));
    assert_eq!(answered_run(&retention, AskingGuard::Shrinking).asks, None);
    assert!(archive.hours() < 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_asked_for_changes_nothing() {
    let archive = Archive::new(20);
    let retention = archive.start(age(15));
    assert_eq!(answered_run(&retention, AskingGuard::Shrinking).asks, None);
    // What was held before is still the measure: half of it has to stay.
    drop(retention);
    assert_eq!(run(&archive.start(age(8))).asks, Some(AskingGuard::Shrinking));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_goes_on_only_by_the_limits_of_now() {
    for guard in [None, Some(Guard::BegunChecked)] {
        let archive = Archive::new(10);
        let place = archive.place(9);
        let front = format!("retiring age 2027-01-10T11:00:00.000000Z {place}");
        let sum = <sha2::Sha256 as sha2::Digest>::digest(front.as_bytes());
        let check = format!("{:02x}{:02x}{:02x}{:02x}", sum[0], sum[1], sum[2], sum[3]);
        std::fs::write(archive.own("retired"), format!("gapless-retired 1\n{front} {check}\n")).unwrap();
        let retention = archive.start_without(RetentionLimits::default(), guard);
        assert_eq!(retention.keeps(&place), Some(false));
        let report = run(&retention);
        assert_eq!((report.error, archive.hours()), (None, if guard.is_some() { 9 } else { 10 }));
        assert_eq!(retention.keeps(&place), Some(guard.is_none()), "it is released and may be fetched again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_the_journal_deletes_nothing_and_is_mended() {
    let archive = Archive::new(10);
    let retention = archive.start(RetentionLimits::default());
    let kept = archive.place(9);
    retention.keep(std::slice::from_ref(&kept), false).unwrap();
    drop(retention);
    let line = std::fs::read_to_string(archive.own("retired")).unwrap().find("kept").unwrap();
    flip(&archive.own("retired"), line + 2);
    let again = archive.start(age(8));
    assert_eq!(run(&again).hours, 0);
    assert!(again.unusable_records().is_empty() && archive.own("retired.damaged").exists());
    drop(again);
    // And in both.
    for copy in ["retired", "retired.2"] {
        let at = std::fs::read_to_string(archive.own(copy)).unwrap().find("kept").unwrap();
        flip(&archive.own(copy), at + 2);
    }
    let stopped = archive.start(age(5));
    let report = run(&stopped);
    assert!(report.error.is_some_and(|error| error.contains("gapless retention accept")));
    assert_eq!((archive.hours(), stopped.keeps(&kept)), (10, None));
    assert_eq!(stopped.unusable_records()[0].name, "retired");
    let accepted = stopped.accept().unwrap();
    assert_eq!((accepted.records.len(), accepted.kept_aside.len()), (1, 2));
    assert_eq!((run(&stopped).error, archive.hours()), (None, 6));
    drop(stopped);
    let without = archive.start_without(age(5), Some(Guard::RecordsIntact));
    assert_eq!(run(&without).error, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_that_guard_the_flipped_bit_deletes_the_hour() {
    let archive = Archive::new(10);
    archive.start(RetentionLimits::default()).keep(&[archive.place(9)], false).unwrap();
    for copy in ["retired", "retired.2"] {
        let at = std::fs::read_to_string(archive.own(copy)).unwrap().find("kept").unwrap();
        flip(&archive.own(copy), at + 2);
    }
    assert_eq!(run(&archive.start_without(age(8), Some(Guard::RecordsIntact))).hours, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_has_vanished_stops_all_deletion() {
    for name in ["retired", "time", "levels", "records"] {
        let archive = Archive::new(10);
        assert_eq!(run(&archive.start(age(9))).error, None);
        assert_eq!(archive.hours(), 10);
        for copy in [name.to_owned(), format!("{name}.2")] {
            std::fs::remove_file(archive.own(&copy)).unwrap();
        }
        let retention = archive.start(age(6));
        assert!(run(&retention).error.is_some(), "{name}");
        assert_eq!((archive.hours(), retention.unusable_records().len()), (10, 1), "{name}");
        retention.accept().unwrap();
        assert_eq!((run(&retention).error, archive.hours()), (None, 7), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_others_fill_slowly_stops_at_half() {
    for guard in [None, Some(Guard::Shrinking)] {
        let archive = Archive::new(20);
        let limits = RetentionLimits { min_free: Some(1_000_000), ..RetentionLimits::default() };
        let retention = archive.start_without(limits, guard);
        for _ in 0..40 {
            archive.free.store(1_000_000 - 150, Ordering::SeqCst);
            run(&retention);
        }
        assert_eq!(archive.hours(), if guard.is_some() { 2 } else { 10 });
        if guard.is_none() {
            assert!(run(&retention).doubt.unwrap().contains("less than half"));
            for _ in 0..4 {
                archive.clocks.pass(Span::from_us(10 * DAY.us()));
                assert!(run(&retention).doubt.is_some() && archive.hours() == 10, "waiting is no answer");
            }
            drop(retention);
            let again = archive.start(RetentionLimits { min_free: Some(1_000_000), ..RetentionLimits::default() });
            assert!(run(&again).doubt.is_some(), "it is remembered over a restart");
            assert_eq!(answered_run(&again, AskingGuard::Shrinking).hours, 1);
            assert_eq!(run(&again).doubt, None);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tombstones_of_retired_hours_stay_for_the_time_that_was_lived() {
    for guard in [None, Some(Guard::LivedTime)] {
        let archive = Archive::new(10);
        let tombstone = archive.tombstone(9);
        let retention = archive.start(age(8));
        assert_eq!((run(&retention).hours, archive.hours()), (1, 10));
        drop(retention);
        // Another boot, long after: nobody knows how long, and a person says that the clock is right.
        archive.clocks.set(|said| {
            (said.wall, said.boot) = (said.wall + Span::from_us(30 * DAY.us()), "second".to_owned());
        });
        let later = archive.start_without(RetentionLimits::default(), guard);
        assert_eq!(answered_run(&later, AskingGuard::Clock).reclaimed, u64::from(guard.is_some()));
        assert_eq!(tombstone.exists(), guard.is_none());
        if guard.is_none() {
            archive.clocks.pass(Span::from_us(7 * DAY.us()));
            assert_eq!(run(&later).reclaimed, 1);
        }
    }
}

impl Archive {
    /// All of its records as they lie there now, the index not among them.
    pub(super) fn records(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = std::fs::read_dir(self.own("")).unwrap().map(|entry| entry.unwrap().path());
        entries
            .filter(|path| !path.ends_with("marker"))
            .map(|path| (path.clone(), std::fs::read(&path).unwrap()))
            .collect()
    }

    pub(super) fn with_kept_hours() -> Self {
        let archive = Self::new(10);
        let retention = archive.start(RetentionLimits::default());
        assert_eq!(run(&retention).error, None);
        let kept: Vec<_> = (5..10).map(|ago| archive.place(ago)).collect();
        for place in &kept {
            retention.keep(std::slice::from_ref(place), false).unwrap();
        }
        archive
    }
}

fn cut(path: &Path, lines: usize) {
    let text = std::fs::read_to_string(path).unwrap();
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    std::fs::write(path, all[..all.len() - lines].concat()).unwrap();
}

fn cut_both(archive: &Archive, lines: usize) {
    for name in ["retired", "retired.2"] {
        cut(&archive.own(name), lines);
    }
}

type Harm = fn(&Archive);

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_not_all_that_there_has_been_deletes_no_kept_hour() {
    let harms: [(&str, Harm); 7] = [
        ("both copies cut to the first line", |archive| cut_both(archive, 5)),
        ("both copies cut by two lines", |archive| cut_both(archive, 2)),
        ("one cut, the other deleted", |archive| {
            cut(&archive.own("retired"), 3);
            std::fs::remove_file(archive.own("retired.2")).unwrap();
        }),
        ("one torn, the other deleted", |archive| {
            let bytes = std::fs::read(archive.own("retired.2")).unwrap();
            std::fs::write(archive.own("retired.2"), &bytes[..bytes.len() - 9]).unwrap();
            std::fs::remove_file(archive.own("retired")).unwrap();
        }),
        ("both of another archive", |archive| {
            let other = Archive::with_kept_hours();
            for name in ["retired", "retired.2"] {
                std::fs::copy(other.own(name), archive.own(name)).unwrap();
            }
        }),
        ("all records deleted, and the index", |archive| {
            archive.records().iter().for_each(|(path, _)| std::fs::remove_file(path).unwrap());
            std::fs::remove_file(archive.state.path().join("index.redb")).unwrap();
        }),
        ("the journal and the roster deleted, and the index", |archive| {
            for name in ["retired", "retired.2", "records", "records.2"] {
                std::fs::remove_file(archive.own(name)).unwrap();
            }
            std::fs::remove_file(archive.state.path().join("index.redb")).unwrap();
        }),
    ];
    for (what, harm) in harms {
        let archive = Archive::with_kept_hours();
        harm(&archive);
        let retention = archive.start(age(3));
        let report = run(&retention);
        assert!(report.error.is_some_and(|error| error.contains("gapless retention accept")), "{what}");
        assert_eq!((archive.hours(), retention.unusable_records().len()), (10, 1), "{what}");
        retention.accept().unwrap();
        assert_eq!((run(&retention).error, retention.unusable_records()), (None, Vec::new()), "{what}");
        drop(retention);
        assert_eq!(run(&archive.start(age(3))).error, None, "{what}: it is accepted for good");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_from_an_older_backup_or_another_archive_stop_all_deletion() {
    for name in ["retired", "levels", "time", "records"] {
        let archive = Archive::new(10);
        archive.start(RetentionLimits::default()).keep(&[archive.place(9)], false).unwrap();
        assert_eq!(run(&archive.start(age(20))).error, None);
        let other = Archive::new(30);
        other.start(RetentionLimits::default()).keep(&[other.place(9)], false).unwrap();
        assert_eq!(run(&other.start(age(40))).error, None);
        for copy in [name.to_owned(), format!("{name}.2")] {
            std::fs::copy(other.own(&copy), archive.own(&copy)).unwrap();
        }
        let retention = archive.start(age(5));
        assert!(run(&retention).error.is_some(), "{name}");
        assert_eq!((archive.hours(), retention.unusable_records()[0].name.as_str()), (10, name));
    }
    let archive = Archive::with_kept_hours();
    let before = archive.records();
    archive.start(RetentionLimits::default()).keep(&[archive.place(4)], false).unwrap();
    for (path, bytes) in &before {
        std::fs::write(path, bytes).unwrap();
    }
    let retention = archive.start(age(3));
    assert!(run(&retention).error.is_some(), "all records at once: the index remembers");
    assert_eq!(archive.hours(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_takes_its_records_along_to_another_id() {
    let mut archive = Archive::with_kept_hours();
    let new = ArchiveId::random();
    let base = Base::open(archive.tree.path()).unwrap();
    marker::renew(&base, new, |base| crate::lifecycle::retention::carry_over(base, &[])).unwrap();
    marker::finish(&base, |base| crate::lifecycle::retention::carry_over(base, &[])).unwrap();
    archive.id = new;
    let retention = archive.start(age(3));
    assert_eq!((run(&retention).error, retention.unusable_records()), (None, Vec::new()));
    assert_eq!((archive.hours(), retention.keeps(&archive.place(9))), (9, Some(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_crash_while_a_line_is_written_makes_the_journal_unusable() {
    const ORDER: [&str; 4] = ["retired", "retired.2", "records", "records.2"];
    let archive = Archive::with_kept_hours();
    let before = archive.records();
    archive.start(RetentionLimits::default()).keep(&[archive.place(4)], false).unwrap();
    let after = archive.records();
    let of = |all: &[(PathBuf, Vec<u8>)], name: &str| {
        let found = all.iter().find(|(path, _)| path.ends_with(name));
        found.map(|(_, bytes)| bytes.clone()).unwrap()
    };
    let line = of(&after, "retired").len() - of(&before, "retired").len();
    // After so many of the files, and so much of the next line.
    let states =
        (0..4).map(|done| (done, 0)).chain((0..2).flat_map(|done| (1..line).step_by(7).map(move |torn| (done, torn))));
    for (done, torn) in states {
        std::fs::remove_file(archive.state.path().join("index.redb")).unwrap();
        for (number, name) in ORDER.into_iter().enumerate() {
            let mut bytes = of(if number < done { &after } else { &before }, name);
            if number == done && torn > 0 {
                bytes = of(&after, name)[..bytes.len() + torn].to_vec();
            }
            std::fs::write(archive.own(name), bytes).unwrap();
        }
        let retention = archive.start(RetentionLimits::default());
        assert_eq!(retention.unusable_records(), Vec::new(), "{done}, {torn}");
        assert_eq!(retention.keeps(&archive.place(9)), Some(true));
    }
}
