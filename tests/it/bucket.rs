//! A sealed hour goes to a bucket and comes back to the byte, and whatever is wrong in between is told apart and never passes for right.

use std::fs;
use std::ops::ControlFlow;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use gapless::archive::{HourManifest, ObjectName, PackedHour, Span, Timestamp};
use gapless::bucket::{
    AccessKeys, Bucket, BucketError, BucketSettings, CredentialSource, LocalHour, LocalHourError, UploadError,
};
use gapless::disk::Base;
use gapless::net::tls;
use hyper::Method;
use tokio_util::sync::CancellationToken;

use crate::support::archive::packets;
use crate::support::object_store::{BUCKET, KEY, LineFault, REGION, SECRET, TestStore};
use crate::support::{Kind, SOON, TestArchive, eventually, gapless};

pub const HOUR: &str = "wüste/source/2020-01-01T00";
/// The least that S3 takes as a part.
pub const PART: u64 = 5 << 20;

fn bucket_with(store: &TestStore, bucket: &str, keys: (&str, &str)) -> Bucket {
    let keys = AccessKeys::new(keys.0, keys.1, None, "the test").unwrap();
    let source = CredentialSource::Keys(keys);
    let mut settings = BucketSettings::new(&store.url(), bucket, REGION, "here/too", false, source).unwrap();
    settings.part_bytes = PART;
    Bucket::new(settings, &tls::trusting_nobody().unwrap()).unwrap()
}

pub fn bucket(store: &TestStore) -> Bucket {
    bucket_with(store, BUCKET, (KEY, SECRET))
}

/// An archive with one sealed hour, of so many bytes besides a few segments.
pub fn sealed(bytes: usize) -> (TestArchive, Arc<PackedHour>) {
    let archive = TestArchive::empty();
    for minute in 10..14 {
        archive.segment(HOUR, &format!("{minute}:00"), 1.0, Kind::Full);
    }
    archive.chat(HOUR, "10:30");
    if bytes > 0 {
        archive.named(HOUR, "20:00-2.0-full", "ts", &packets("much", bytes / 188));
    }
    let seal = |more: &[&str]| gapless(archive.path(), &[&["seal", "--after", "0s", "--json"], more].concat()).json(0);
    eventually(SOON, || !seal(&["--plan"])["hours"].to_string().contains("lately"));
    assert_eq!(seal(&[])["summary"]["sealed"], 1);
    let manifest = fs::read(archive.at(&format!(".gapless/sealed/{HOUR}.sha256"))).unwrap();
    let packed = PackedHour::plan(HourManifest::parse(&manifest).unwrap());
    (archive, Arc::new(packed))
}

pub fn local(archive: &TestArchive, packed: &Arc<PackedHour>) -> LocalHour {
    LocalHour::open(&Base::open(archive.path()).unwrap(), Arc::clone(packed)).unwrap()
}

pub async fn upload(bucket: &Bucket, archive: &TestArchive, packed: &Arc<PackedHour>) -> Result<u64, UploadError> {
    let mut bytes = 0;
    bucket.upload(local(archive, packed), &CancellationToken::new(), |sent| bytes += sent).await.map(|()| bytes)
}

pub async fn check(bucket: &Bucket, packed: &PackedHour) -> Result<u64, BucketError> {
    let mut bytes = 0;
    let read = |more| {
        bytes += more;
        ControlFlow::Continue(())
    };
    bucket.check(packed, read).await.map(|()| bytes)
}

pub fn key(name: &ObjectName) -> String {
    format!("here/too/{name}")
}

/// What is below a directory: paths and contents.
pub fn files(archive: &TestArchive) -> Vec<(String, Vec<u8>)> {
    let names = archive.listing(HOUR, false).into_iter().map(|name| format!("{HOUR}/{name}"));
    names.map(|path| (path.clone(), archive.read(&path))).collect()
}

#[tokio::test]
async fn an_hour_goes_up_in_parts_and_tar_unpacks_what_a_plain_get_gives() {
    let store = TestStore::start();
    let bucket = bucket(&store);
    for (bytes, puts) in [(0, 1), (12 << 20, 3)] {
        let (archive, packed) = sealed(bytes);
        let name = packed.object_name();
        assert_eq!(bucket.size_of(&name).await.unwrap(), None);
        store.requests();
        assert_eq!(upload(&bucket, &archive, &packed).await.unwrap(), packed.size());
        let requests = store.requests();
        let posts = if puts == 1 { 0 } else { 2 };
        let count = |method: &Method| requests.iter().filter(|(sent, _)| sent == method).count();
        assert_eq!((count(&Method::PUT), count(&Method::POST), requests.len()), (puts, posts, puts + posts));
        assert_eq!(store.open_uploads(), 0);
        assert_eq!(bucket.size_of(&name).await.unwrap(), Some(packed.size()));
        assert_eq!(check(&bucket, &packed).await.unwrap(), packed.size());
        // Who has nothing but the name of the object has all of the hour.
        assert_eq!(bucket.packed(&name, packed.size()).await.unwrap(), *packed);
        let first = &packed.manifest().files()[0];
        let content = bucket.range(&name, packed.range_of(&first.name).unwrap()).await.unwrap();
        assert!(content == archive.read(&packed.manifest().path_of(first)));

        let other = TestArchive::empty();
        fs::copy(store.file(&key(&name)), other.at("object.tar")).unwrap();
        let done = Command::new("tar").args(["-xf", "object.tar"]).current_dir(other.path()).output().unwrap();
        assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
        assert!(files(&other) == files(&archive) && files(&other).len() >= 5);
    }
}

#[tokio::test]
async fn a_list_has_our_objects_in_order_and_passes_over_everything_else() {
    let (archive, packed) = sealed(0);
    let store = TestStore::start();
    let bucket = bucket(&store);
    assert_eq!(bucket.list("", None).await.unwrap().objects, []);
    upload(&bucket, &archive, &packed).await.unwrap();
    let stranger = |name: &str| {
        let path = store.file(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    };
    let digest = "ab".repeat(32);
    for name in [
        "here/too/v1/notes.txt",
        "here/too/v1/a/source/2020-01-01T00/x.tar",
        "here/too/v2/x",
        "other",
        "here/too/v1/a/b\u{1}c",
    ] {
        stranger(name);
    }
    for number in 0..1_005 {
        stranger(&format!("here/too/v1/z/source/{:04}-01-01T00/{digest}.tar", 2020 + number));
    }
    let (mut found, mut others, mut from, mut pages) = (Vec::new(), 0, None, 0);
    loop {
        let page = bucket.list("", from.as_deref()).await.unwrap();
        found.extend(page.objects);
        (others, from, pages) = (others + page.others, page.next, pages + 1);
        if from.is_none() {
            break;
        }
    }
    assert_eq!((found.len(), others, pages), (1_006, 3, 2));
    assert!(found.is_sorted_by_key(|object| object.name.to_string()));
    let below = bucket.list("wüste/", None).await.unwrap().objects;
    assert_eq!((below.len(), below[0].size, &below[0].name), (1, packed.size(), &packed.object_name()));
}

#[tokio::test]
async fn what_is_wrong_with_an_object_is_found_and_says_where() {
    let (archive, packed) = sealed(0);
    let store = TestStore::start();
    let bucket = bucket(&store);
    let name = packed.object_name();
    upload(&bucket, &archive, &packed).await.unwrap();
    let right = fs::read(store.file(&key(&name))).unwrap();
    let content = usize::try_from(packed.range_of(&packed.manifest().files()[1].name).unwrap().start).unwrap();
    let manifest = usize::try_from(packed.manifest_range().start).unwrap();
    let flipped = |at: usize| {
        let mut bytes = right.clone();
        bytes[at] ^= 1;
        bytes
    };
    for (bytes, told) in [
        (flipped(content + 7), "another one than its hash says"),
        (flipped(100), "byte 100"),
        (flipped(manifest + 30), "byte "),
        (right[..right.len() - 512].to_vec(), "bytes instead of"),
        (Vec::new(), "0 bytes instead of"),
    ] {
        fs::write(store.file(&key(&name)), bytes).unwrap();
        let error = check(&bucket, &packed).await.unwrap_err();
        assert!(error.reason() == "damaged" && error.is_loss() && error.to_string().contains(told), "{error}");
    }
    fs::write(store.file(&key(&name)), flipped(manifest + 30)).unwrap();
    let error = bucket.packed(&name, packed.size()).await.unwrap_err();
    assert!(error.to_string().contains("not the one that it is called after"), "{error}");
    // Another hour's object under this name is none of it, however whole it is.
    let mut wrong = name.clone();
    wrong.manifest.0[0] ^= 1;
    fs::write(store.file(&key(&wrong)), &right).unwrap();
    assert_eq!(bucket.packed(&wrong, packed.size()).await.unwrap_err().reason(), "damaged");
    fs::remove_file(store.file(&key(&name))).unwrap();
    assert_eq!(check(&bucket, &packed).await.unwrap_err().reason(), "gone");
}

#[tokio::test]
async fn each_trouble_has_its_reason_and_no_message_a_secret() {
    let (archive, packed) = sealed(0);
    let store = TestStore::start();
    let here = bucket(&store);
    upload(&here, &archive, &packed).await.unwrap();
    for (status, code, reason) in [
        (403, "AccessDenied", "denied"),
        (403, "InvalidAccessKeyId", "denied"),
        (403, "SignatureDoesNotMatch", "denied"),
        (400, "ExpiredToken", "denied"),
        (403, "RequestTimeTooSkewed", "clock_skew"),
        (403, "InvalidObjectState", "cold"),
        (404, "NoSuchBucket", "no_bucket"),
        (404, "NoSuchKey", "gone"),
        (404, "", "refused"),
        (301, "PermanentRedirect", "wrong_region"),
        (400, "AuthorizationHeaderMalformed", "wrong_region"),
        (503, "SlowDown", "throttled"),
        (500, "InternalError", "unreadable"),
        (418, "Teapot", "refused"),
    ] {
        store.fails(Method::GET, "", LineFault::Refuses(status, code), 9);
        let error = check(&here, &packed).await.unwrap_err();
        store.is_well();
        assert_eq!(error.reason(), reason, "{status} {code}: {error}");
        let shown = format!("{error} {error:?} {here:?}");
        assert!(!shown.contains(SECRET), "{shown}");
        assert!(reason != "denied" || error.to_string().contains(KEY), "{error}");
        assert_eq!(error.is_loss(), reason == "gone", "{error}");
    }
    // The same of the store itself.
    let wrong_secret = check(&bucket_with(&store, BUCKET, (KEY, "hush-no")), &packed).await.unwrap_err();
    assert!(wrong_secret.to_string().contains("secret that belongs to it is another one"), "{wrong_secret}");
    let no_bucket = bucket_with(&store, "nothing", (KEY, SECRET));
    assert_eq!(no_bucket.list("", None).await.unwrap_err().reason(), "no_bucket");
    // A request without a body in its answer does not say why; that is found out.
    let denied = bucket_with(&store, BUCKET, ("OTHERKEY", SECRET)).size_of(&packed.object_name()).await.unwrap_err();
    assert!(denied.reason() == "denied" && denied.to_string().contains("OTHERKEY"), "{denied}");
    drop(store);
    let away = check(&here, &packed).await.unwrap_err();
    assert!(away.reason() == "unreachable" && !away.is_loss(), "{away}");
}

#[tokio::test]
async fn a_line_that_breaks_is_gone_on_with_and_what_it_changes_is_found() {
    let (archive, packed) = sealed(12 << 20);
    let store = TestStore::start();
    let bucket = bucket(&store);
    store.fails(Method::PUT, "partNumber=2", LineFault::Refuses(503, "SlowDown"), 2);
    store.fails(Method::PUT, "partNumber=3", LineFault::HalfBody, 1);
    store.fails(Method::POST, "uploadId", LineFault::Refuses(500, "InternalError"), 1);
    upload(&bucket, &archive, &packed).await.unwrap();
    store.fails(Method::GET, "", LineFault::HalfBody, 2);
    check(&bucket, &packed).await.unwrap();
    store.fails(Method::GET, "", LineFault::FlipsBit(3 << 20), 1);
    assert_eq!(check(&bucket, &packed).await.unwrap_err().reason(), "damaged");
    check(&bucket, &packed).await.unwrap();
}

#[tokio::test]
async fn an_upload_that_fails_or_is_stopped_leaves_nothing_behind() {
    let (archive, packed) = sealed(12 << 20);
    let store = TestStore::start();
    let bucket = bucket(&store);
    store.fails(Method::PUT, "partNumber=2", LineFault::Refuses(403, "AccessDenied"), 1);
    let error = upload(&bucket, &archive, &packed).await.unwrap_err();
    assert!(matches!(error, UploadError::Bucket(BucketError::Denied { .. })), "{error}");
    assert_eq!(store.open_uploads(), 0);

    let stop = CancellationToken::new();
    store.fails(Method::PUT, "partNumber=2", LineFault::Waits(Duration::from_secs(600)), 1);
    let stopped = bucket.upload(local(&archive, &packed), &stop, |_| stop.cancel()).await.unwrap_err();
    assert!(matches!(stopped, UploadError::Bucket(BucketError::Stopped)), "{stopped}");
    assert_eq!(store.open_uploads(), 0);
    store.is_well();

    // A file that is not what was sealed any more is never sent as if it were.
    let large = packed.manifest().files().iter().max_by_key(|file| file.size).unwrap();
    let path = packed.manifest().path_of(large);
    let mut bytes = archive.read(&path);
    bytes[9 << 20] ^= 1;
    for content in [&bytes[..], &bytes[..2 << 20]] {
        archive.raw(&path, content);
        let error = upload(&bucket, &archive, &packed).await.unwrap_err();
        assert!(matches!(error, UploadError::Local(LocalHourError::Changed { .. })), "{error}");
        assert!(error.to_string().contains(&*large.name), "{error}");
    }
    archive.remove(&path);
    assert!(matches!(upload(&bucket, &archive, &packed).await, Err(UploadError::Local(_))));
    assert_eq!((store.open_uploads(), bucket.size_of(&packed.object_name()).await.unwrap()), (0, None));
}

#[tokio::test]
async fn the_next_parts_are_sent_while_the_first_one_is_on_its_way_and_no_fourth_one_is_in_memory() {
    let (archive, packed) = sealed(20 << 20);
    let (store, stop) = (TestStore::start(), CancellationToken::new());
    store.fails(Method::PUT, "partNumber=1", LineFault::Waits(Duration::from_secs(600)), 1);
    let watching = async {
        let third = async {
            while !store.has_done(&Method::PUT, "partNumber=3") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let came = tokio::time::timeout(SOON, third).await;
        stop.cancel();
        came.expect("the third part, while the first one waits");
    };
    let bucket = bucket(&store);
    let (sent, ()) = tokio::join!(bucket.upload(local(&archive, &packed), &stop, |_| ()), watching);
    assert!(matches!(sent, Err(UploadError::Bucket(BucketError::Stopped))), "{sent:?}");
    assert!(!store.seen().iter().any(|(_, target)| target.contains("partNumber=4")), "{:?}", store.seen());
    assert_eq!(store.open_uploads(), 0);
}

#[tokio::test]
async fn uploads_that_were_left_behind_are_not_listed_by_every_store() {
    let store = TestStore::start();
    let now = Timestamp::from(std::time::SystemTime::now());
    let ended = bucket(&store).end_abandoned(Span::from_us(0), now).await.unwrap();
    assert_eq!(ended, None, "s3s-fs does not list uploads");
    // Not to be allowed to is the same; a wrong key is none.
    store.fails(Method::GET, "uploads", LineFault::Refuses(403, "AccessDenied"), 1);
    assert_eq!(bucket(&store).end_abandoned(Span::from_us(0), now).await.unwrap(), None);
    store.fails(Method::GET, "uploads", LineFault::Refuses(403, "SignatureDoesNotMatch"), 1);
    assert_eq!(bucket(&store).end_abandoned(Span::from_us(0), now).await.unwrap_err().reason(), "denied");
}
