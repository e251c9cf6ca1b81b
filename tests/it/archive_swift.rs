//! Sealed hours in a distributed store: Swift, which loses a device in the middle.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt as _;
use gapless::archive::{HourManifest, PackedHour, Span, Timestamp};
use gapless::bucket::{AccessKeys, Bucket, BucketSettings, CredentialSource, LocalHour};
use gapless::disk::Base;
use gapless::net::tls;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::archive_tier::{name_bucket, seal_all};
use crate::support::archive::packets;
use crate::support::swift::Swift;
use crate::support::{TestArchive, eventually, gapless};

const BUCKET: &str = Swift::BUCKET;
const KEY: &str = Swift::KEY;
const SECRET: &str = Swift::SECRET;
const PATIENCE: Duration = Duration::from_secs(90);
const LARGE: &str = "large/source/2020-01-01T00";

pub fn bucket(swift: &Swift, name: &str, secret: &str) -> Bucket {
    let source = CredentialSource::Keys(AccessKeys::new(KEY, secret, None, "the test").unwrap());
    let mut settings = BucketSettings::new(&swift.url(), name, "us-east-1", "here", false, source).unwrap();
    settings.part_bytes = 5 << 20;
    Bucket::new(settings, &tls::trusting_nobody().unwrap()).unwrap()
}

fn with_bucket(archive: &TestArchive, swift: &Swift) {
    name_bucket(archive, &swift.url(), BUCKET, (KEY, SECRET), "part_size = \"5MiB\"\n");
}

fn count(archive: &TestArchive, args: &[&str]) -> u64 {
    let done = gapless(archive.path(), &[&["archive"], args, &["--json"]].concat()).json(0);
    done["summary"]["done"].as_u64().unwrap()
}

fn packed(archive: &TestArchive, hour: &str) -> Arc<PackedHour> {
    let manifest = fs::read(archive.at(&format!(".gapless/sealed/{hour}.sha256"))).unwrap();
    Arc::new(PackedHour::plan(HourManifest::parse(&manifest).unwrap()))
}

fn files(archive: &TestArchive, hours: &[String]) -> Vec<(String, Vec<u8>)> {
    let paths = hours
        .iter()
        .flat_map(|hour| archive.listing(hour, false).into_iter().map(move |name| format!("{hour}/{name}")));
    paths.map(|path| (path.clone(), archive.read(&path))).collect()
}

/// Every file of contents beneath a device.
fn contents(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            contents(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "data") {
            found.push(entry);
        }
    }
}

#[test]
fn an_archive_goes_to_swift_and_comes_back_with_a_device_gone_in_the_middle() {
    let Some(swift) = Swift::start() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let archive = TestArchive::sample();
    // Half of it is enough.
    archive.remove("desertbus/480p");
    with_bucket(&archive, &swift);
    archive.named(LARGE, "20:00-2.0-full", "ts", &packets("much", (12 << 20) / 188));
    let hours = archive.all_hours();
    assert_eq!(seal_all(&archive)["summary"]["sealed"], hours.len());
    assert_eq!(count(&archive, &["run", "large"]), 1);

    // It lists what was begun and never completed, and what is young stays.
    let (here, large) = (bucket(&swift, BUCKET, SECRET), packed(&archive, LARGE));
    let (one_part, now) = (Notify::new(), Timestamp::from(SystemTime::now()));
    runtime.block_on(async {
        let hour = LocalHour::open(&Base::open(archive.path()).unwrap(), Arc::clone(&large)).unwrap();
        let never = CancellationToken::new();
        tokio::select! {
            done = here.upload(hour, &never, |_| one_part.notify_one()) => panic!("it is done: {done:?}"),
            () = one_part.notified() => {}
        }
        let (day, later) = (Span::from_us(86_400_000_000), Timestamp::from_us(now.us() + 3_600_000_000));
        assert_eq!(here.end_abandoned(day, later).await.unwrap(), Some(0));
        assert_eq!(here.end_abandoned(Span::from_us(0), later).await.unwrap(), Some(1));
        assert_eq!(here.end_abandoned(Span::from_us(0), later).await.unwrap(), Some(0));
        let denied = bucket(&swift, BUCKET, "wrong").size_of(&large.object_name()).await.unwrap_err();
        assert_eq!(denied.reason(), "denied", "{denied}");
        let missing = bucket(&swift, "nothing", SECRET).list("", None).await.unwrap_err();
        assert_eq!(missing.reason(), "no_bucket", "{missing}");
    });

    // One of three devices is gone.
    swift.kill_device(1);
    assert_eq!(count(&archive, &["run"]), hours.len() as u64 - 1);
    assert_eq!(count(&archive, &["verify"]), hours.len() as u64);

    // A plain request has the tar, which needs nothing of ours.
    let other = TestArchive::empty();
    let mut object = Vec::new();
    runtime.block_on(async {
        let name = large.object_name();
        let mut pieces = std::pin::pin!(here.read(&name, 0..large.size()).await.unwrap());
        while let Some(bytes) = pieces.try_next().await.unwrap() {
            object.extend_from_slice(&bytes);
        }
    });
    fs::write(other.at("object.tar"), &object).unwrap();
    let done = Command::new("tar").args(["-xf", "object.tar"]).current_dir(other.path()).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let only = [LARGE.to_owned()];
    assert!(files(&other, &only) == files(&archive, &only));

    // All of it comes back from there alone.
    let empty = TestArchive::empty();
    with_bucket(&empty, &swift);
    // Lists of the store may lag behind; what is asked again goes on.
    eventually(PATIENCE, || {
        let back = gapless(empty.path(), &["archive", "restore", "desertbus", "large", "--json"]);
        assert!([0, 3].contains(&back.code), "{back:?}");
        files(&empty, &hours) == files(&archive, &hours)
    });

    // A bit that flips on every device is never taken for right.
    let mut all = Vec::new();
    [2, 3].map(swift_objects(&swift)).iter().for_each(|dir| contents(dir, &mut all));
    for path in all.iter().filter(|path| fs::metadata(path).unwrap().len() > 100_000) {
        let mut bytes = fs::read(path).unwrap();
        bytes[90_000] ^= 1;
        fs::write(path, bytes).unwrap();
    }
    let wrong = gapless(archive.path(), &["archive", "verify", "large", "--json"]);
    assert_ne!(wrong.code, 0, "{wrong:?}");
    let never_right = runtime.block_on(here.check(&large, |_| ControlFlow::Continue(()))).unwrap_err();
    println!("{}: {never_right}", never_right.reason());
}

fn swift_objects(swift: &Swift) -> impl Fn(u32) -> PathBuf + '_ {
    |number| swift.device(number).join("objects")
}
