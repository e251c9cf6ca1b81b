//! A file of an hour that lies in a bucket is given to the byte or not at all, at the price of as few requests as can be, whatever becomes of the
//! store, the line and the disk in between.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use gapless::archive::{Hash, ObjectName};
use gapless::archive::{HourManifest, HourPlace, ManifestFile, PackedHour};
use gapless::bucket::{CacheBounds, SegmentCache, SegmentReader};
use hyper::Method;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sha2::{Digest as _, Sha256};
use tokio::runtime::{Handle, Runtime};

use crate::bucket::{HOUR, bucket, key, upload};
use crate::support::object_store::{LineFault, TestStore};
use crate::support::{SOON, TestArchive, eventually};

/// Bytes of a cache in which everything fits.
const ROOM: u64 = 1 << 30;

/// An hour of files with these sizes, in a store.
struct StoredHour {
    store: TestStore,
    archive: TestArchive,
    packed: Arc<PackedHour>,
    cache: tempfile::TempDir,
}

impl StoredHour {
    async fn new(sizes: &[usize]) -> Self {
        let (store, archive) = (TestStore::start(), TestArchive::empty());
        // Another content for each, so that none is in the cache because another one is.
        let byte = |number: usize, at: usize| (at * 7 + number + number / 256 * at).to_le_bytes()[0];
        let mut files = Vec::new();
        for (number, size) in sizes.iter().enumerate() {
            let name = format!("{:02}:{:02}-2.0-full-ä {number}.ts", number / 30, number % 30 * 2);
            let bytes: Vec<u8> = (0..*size).map(|at| byte(number, at)).collect();
            archive.raw(&format!("{HOUR}/{name}"), &bytes);
            let sha256 = Hash(Sha256::digest(&bytes).into());
            files.push(ManifestFile { name: name.into(), size: *size as u64, sha256 });
        }
        let manifest = HourManifest::new(HourPlace::parse(HOUR).unwrap(), files, Vec::new()).unwrap();
        let packed = Arc::new(PackedHour::plan(manifest));
        upload(&bucket(&store), &archive, &packed).await.unwrap();
        store.requests();
        Self { store, archive, packed, cache: tempfile::tempdir().unwrap() }
    }

    /// As a process has one that begins now.
    fn reader(&self, limit: u64) -> SegmentReader {
        self.reader_in(&self.cache.path().join("bucket_cache"), limit, 0)
    }

    fn reader_in(&self, dir: &Path, limit: u64, keep_free: u64) -> SegmentReader {
        let cache = SegmentCache::open(dir.to_owned(), CacheBounds { limit, keep_free });
        SegmentReader::new(bucket(&self.store), cache, Handle::current())
    }

    fn reading_ahead(&self, limit: u64, bytes: u64) -> SegmentReader {
        let bounds = CacheBounds { limit, keep_free: 0 };
        let cache = SegmentCache::open(self.cache.path().join("bucket_cache"), bounds);
        SegmentReader::reading_ahead(bucket(&self.store), cache, Handle::current(), bytes)
    }

    fn name(&self, at: usize) -> &str {
        &self.packed.manifest().files()[at].name
    }

    fn object(&self) -> ObjectName {
        self.packed.object_name()
    }

    async fn open(&self, reader: &SegmentReader, at: usize) -> Result<File, &'static str> {
        reader.open(&self.packed, self.name(at)).await.map_err(|error| error.reason())
    }

    /// Whether what is given is what was packed.
    fn is_right(&self, at: usize, given: File) -> bool {
        bytes(given) == self.archive.read(&format!("{HOUR}/{}", self.name(at)))
    }

    async fn gives(&self, reader: &SegmentReader, at: usize) -> bool {
        let given = self.open(reader, at).await.unwrap();
        self.is_right(at, given)
    }

    /// Requests since the last time that this was asked.
    fn requests(&self) -> usize {
        self.store.requests().len()
    }

    fn is_kept(&self, at: usize) -> bool {
        let hash = self.packed.manifest().files()[at].sha256.hexadecimal();
        self.kept().iter().any(|path| path.ends_with(&hash))
    }

    fn kept(&self) -> Vec<std::path::PathBuf> {
        let entries = fs::read_dir(self.cache.path().join("bucket_cache")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

fn bytes(mut file: File) -> Vec<u8> {
    let mut read = Vec::new();
    file.read_to_end(&mut read).unwrap();
    read
}

#[tokio::test]
async fn each_file_comes_to_the_byte_and_a_second_time_without_asking_anybody() {
    let hour = StoredHour::new(&[1_000, 0, 512, 3 << 20, 1, 700_000]).await;
    let reader = hour.reader(ROOM);
    for at in [5, 0, 3, 1, 4, 2] {
        assert!(hour.gives(&reader, at).await, "{at}");
    }
    let asked = hour.requests();
    assert!((1..=5).contains(&asked), "{asked} requests");
    for at in [0, 2, 3, 4, 5] {
        assert!(hour.gives(&reader, at).await, "{at}");
    }
    assert_eq!(hour.requests(), 0);
    let figures = reader.figures();
    assert_eq!((figures.requests, figures.hits), (asked as u64, 5));
    assert!(figures.kept_bytes >= 3 << 20 && figures.fetched_bytes >= 3 << 20, "{figures:?}");
    let error = reader.open(&hour.packed, "nothing.ts").await.unwrap_err();
    assert!(error.reason() == "no_file" && error.to_string().contains("nothing.ts"), "{error}");
    // Who has a file reads it to its end, whatever becomes of the cache, and from a position of its own.
    let (first, second) = (hour.open(&reader, 3).await.unwrap(), hour.open(&reader, 3).await.unwrap());
    fs::remove_dir_all(hour.cache.path().join("bucket_cache")).unwrap();
    assert!(hour.is_right(3, first) && hour.is_right(3, second));
    assert!(hour.gives(&reader, 3).await, "it is read again");
    assert_eq!(hour.requests(), 1);
}

#[tokio::test]
async fn a_restart_finds_what_was_kept_and_notices_what_is_not_right_any_more() {
    let hour = StoredHour::new(&[9_000, 9_001, 9_002, 9_003]).await;
    let before = hour.reader(ROOM);
    for at in 0..4 {
        assert!(hour.gives(&before, at).await);
    }
    drop(before);
    let dir = hour.cache.path().join("bucket_cache");
    fs::write(dir.join(".coming.abc"), "half").unwrap();
    fs::write(dir.join("of somebody else"), "whole").unwrap();
    let path = |at: usize| dir.join(hour.packed.manifest().files()[at].sha256.hexadecimal());
    let mut flipped = fs::read(path(1)).unwrap();
    flipped[77] ^= 1;
    fs::write(path(1), flipped).unwrap();
    fs::write(path(2), "short").unwrap();
    fs::remove_file(path(3)).unwrap();
    fs::create_dir(path(3)).unwrap();
    hour.requests();
    let after = hour.reader(ROOM);
    assert!(!dir.join(".coming.abc").exists() && dir.join("of somebody else").exists());
    assert!(hour.gives(&after, 0).await);
    assert_eq!((hour.requests(), after.figures().hits), (0, 1));
    for at in 1..4 {
        assert!(hour.gives(&after, at).await, "{at}");
    }
    assert!(hour.requests() > 0);
    assert_eq!(after.figures().kept_wrong, 2);
    // What an operator has made smaller is smaller after the restart.
    let limit = 3 * 4_096;
    assert_eq!(hour.reader(limit).figures().kept_bytes, limit);
    assert_eq!(hour.reader(0).figures().kept_bytes, 0);
    assert_eq!(hour.kept().len(), 2, "what is no file of the cache stays");
}

#[tokio::test]
async fn many_who_ask_for_one_file_cause_one_request_and_who_goes_away_takes_nothing_from_others() {
    let hour = StoredHour::new(&[100_000]).await;
    let reader = hour.reader(ROOM);
    let asking = (0..20).map(|_| hour.gives(&reader, 0));
    assert_eq!(join_all(asking).await, [true; 20]);
    assert_eq!(hour.requests(), 1);

    let hour = StoredHour::new(&[100_000]).await;
    let reader = hour.reader(ROOM);
    hour.store.fails(Method::GET, "", LineFault::HoldsBack(Duration::from_millis(300)), 1);
    let impatient = tokio::time::timeout(Duration::from_millis(1), hour.open(&reader, 0));
    let (gone, given) = tokio::join!(impatient, hour.gives(&reader, 0));
    assert!(gone.is_err() && given);
    assert_eq!(hour.requests(), 1);
}

#[tokio::test]
async fn a_bit_that_flips_on_the_line_is_read_again_and_one_in_the_object_is_never_served() {
    let hour = StoredHour::new(&[50_000, 50_001]).await;
    let reader = hour.reader(ROOM);
    hour.store.fails(Method::GET, "", LineFault::FlipsBit(4_000), 1);
    assert!(hour.gives(&reader, 0).await);
    assert_eq!((hour.requests(), reader.figures().damaged), (2, 1));

    let path = hour.store.file(&key(&hour.object()));
    let mut object = fs::read(&path).unwrap();
    object[usize::try_from(hour.packed.content(1).start).unwrap() + 9] ^= 1;
    fs::write(&path, object).unwrap();
    let error = reader.open(&hour.packed, hour.name(1)).await.unwrap_err();
    assert!(error.reason() == "damaged" && error.is_loss() && error.to_string().contains("ä 1.ts"), "{error}");
    assert_eq!(hour.requests(), 2);
    assert_eq!(hour.open(&reader, 1).await.unwrap_err(), "damaged");
    assert_eq!(hour.requests(), 0, "it is not asked for again and again");
    assert!(hour.gives(&reader, 0).await, "others are given");
}

#[tokio::test]
async fn a_store_that_fails_is_left_alone_for_a_while_and_works_again_afterwards() {
    let hour = StoredHour::new(&[5_000; 100]).await;
    let reader = hour.reader(ROOM);
    for (status, code, reason) in [
        (403, "AccessDenied", "denied"),
        (404, "NoSuchKey", "gone"),
        (403, "InvalidObjectState", "cold"),
        (503, "SlowDown", "throttled"),
    ] {
        let reader = hour.reader_in(&hour.cache.path().join(reason), ROOM, 0);
        hour.store.fails(Method::GET, "", LineFault::Refuses(status, code), 1_000);
        let given = join_all((0..100).map(|at| hour.open(&reader, at))).await;
        assert!(given.iter().all(|given| given.as_ref().is_err_and(|error| *error == reason)), "{given:?}");
        // The library tries again what may pass.
        let asked = hour.requests();
        assert!(asked <= 4 * 4, "{reason}: {asked} requests");
        hour.store.is_well();
        let begun = std::time::Instant::now();
        while hour.open(&reader, 7).await.is_err() {
            assert!(begun.elapsed() < SOON, "{reason}: it does not come back");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        hour.requests();
    }
    hour.store.fails(Method::GET, "", LineFault::HalfBody, 1);
    assert!(hour.gives(&reader, 3).await, "a line that breaks is gone on with");
}

#[tokio::test]
async fn without_room_on_the_disk_or_a_place_for_it_everything_is_served_all_the_same() {
    let hour = StoredHour::new(&[60_000, 60_001, 60_002]).await;
    let taken = hour.cache.path().join("taken");
    fs::write(&taken, "").unwrap();
    let other = hour.cache.path().join("other");
    for (reader, what) in [
        (hour.reader(0), "keeps nothing"),
        (hour.reader_in(&other, ROOM, u64::MAX), "the disk is full"),
        (hour.reader_in(&taken.join("below"), ROOM, 0), "there can be no such directory"),
        (hour.reader_in(&other, 50_000, 0), "larger than the cache"),
    ] {
        for at in [0, 0, 2] {
            assert!(hour.gives(&reader, at).await, "{what}");
        }
        assert_eq!((hour.requests(), reader.figures().kept_bytes), (3, 0), "{what}");
    }
    // What is there leaves before the disk is too full.
    let reader = hour.reader_in(&other, ROOM, 0);
    assert!(hour.gives(&reader, 0).await);
    let full = hour.reader_in(&other, ROOM, u64::MAX);
    assert!(full.figures().kept_bytes > 0 && hour.gives(&full, 1).await);
    assert_eq!((full.figures().kept_bytes, fs::read_dir(&other).unwrap().count()), (0, 0));
}

/// Bytes of a segment, and of what one request brings at most: as 2.5 MB are to 32 MiB.
const SEGMENT: usize = 5_000;
const AHEAD: u64 = 67_108;

#[tokio::test]
async fn ten_minutes_that_are_played_cost_few_requests_and_single_files_nothing_but_themselves() {
    let hour = StoredHour::new(&[SEGMENT; 400]).await;
    let reader = hour.reading_ahead(ROOM, AHEAD);
    for at in 50..350 {
        assert!(hour.gives(&reader, at).await, "{at}");
    }
    // Four for 64 MiB are allowed.
    let allowed = 300 * SEGMENT * 4 / usize::try_from(2 * AHEAD).unwrap();
    let asked = hour.requests();
    assert!(asked <= allowed, "{asked} requests of {allowed}");
    let figures = reader.figures();
    // What lies between the files, and what was read ahead at the end.
    let most = hour.packed.content(349).end - hour.packed.content(50).start + 2 * AHEAD;
    assert!(figures.fetched_bytes <= most, "{figures:?}");

    let single = hour.reader_in(&hour.cache.path().join("single"), ROOM, 0);
    for at in (0..400).step_by(40) {
        assert!(hour.gives(&single, at).await, "{at}");
    }
    let figures = single.figures();
    assert_eq!((figures.requests, figures.fetched_bytes), (10, 10 * SEGMENT as u64));
    // What cannot be kept is not read ahead.
    let nothing = hour.reader_in(&hour.cache.path().join("nothing"), 0, 0);
    for at in 0..10 {
        assert!(hour.gives(&nothing, at).await, "{at}");
    }
    assert_eq!(nothing.figures().fetched_bytes, 10 * SEGMENT as u64);
}

#[tokio::test]
async fn a_file_is_given_while_those_behind_it_are_still_coming() {
    let hour = StoredHour::new(&[SEGMENT; 30]).await;
    let reader = hour.reading_ahead(ROOM, 16 * SEGMENT as u64);
    assert!(hour.gives(&reader, 0).await);
    hour.store.fails(Method::GET, "", LineFault::HoldsBack(Duration::from_secs(600)), 1);
    // Three in one request: of the last one a byte is missing.
    for at in 1..4 {
        assert!(hour.gives(&reader, at).await, "{at}");
    }
    let held = tokio::time::timeout(Duration::from_millis(200), hour.open(&reader, 4)).await;
    assert!(held.is_err(), "nothing is given before all of it is here");
    // What was to come next was asked for meanwhile, by nobody but the reader.
    let begun = std::time::Instant::now();
    while !hour.is_kept(6) {
        assert!(begun.elapsed() < SOON, "nothing is read ahead");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(hour.gives(&reader, 6).await);
}

/// Blocking threads ask, as those of playback do.
#[test]
fn whatever_is_asked_in_whatever_order_the_bytes_are_right_and_the_cache_keeps_its_limit() {
    let runtime = Runtime::new().unwrap();
    let sizes: Vec<usize> = (0..40).map(|at| at * 977 % 30_000).collect();
    let hour = runtime.block_on(StoredHour::new(&sizes));
    let mut runner = TestRunner::new(Config { cases: 12, ..Config::default() });
    let asked = prop::collection::vec(prop_oneof![0usize..40, 10usize..20], 1..40);
    runner
        .run(&(asked, 0u64..300_000), |(asked, limit)| {
            let dir = tempfile::tempdir().unwrap();
            let _entered = runtime.enter();
            let reader = hour.reader_in(dir.path(), limit, 0);
            let (one, other) = asked.split_at(asked.len() / 2);
            let (reader, hour) = (&reader, &hour);
            std::thread::scope(|scope| {
                for part in [one, other] {
                    scope.spawn(move || {
                        for at in part {
                            let given = reader.open_blocking(&hour.packed, hour.name(*at)).unwrap();
                            assert!(hour.is_right(*at, given), "{at}");
                            assert!(reader.figures().kept_bytes <= limit);
                        }
                    });
                }
            });
            // What is read ahead may still come, and others leave for it.
            let entries =
                || fs::read_dir(dir.path()).into_iter().flatten().filter_map(|entry| entry.ok()?.metadata().ok());
            eventually(SOON, || entries().map(|meta| meta.len()).sum::<u64>() <= limit);
            Ok(())
        })
        .unwrap();
}
