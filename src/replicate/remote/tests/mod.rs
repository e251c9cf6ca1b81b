//! What every remote promises, of a real node and of a real store: both go through the same questions.

mod places;

use std::collections::BTreeMap;

use self::places::{HOUR, NodePlace, StorePlace, TestPlace, hash_of};
use super::{CopyWorth, Given, PeerRemote, Remote, SegmentIntake, StoredObjects};
use crate::archive::HourPlace;
use crate::bucket::BucketError;
use crate::disk::{Base, Download, DownloadError, Intake, MissingFile, Published};
use crate::replicate::peer::PeerError;
use crate::wire::bundle::{self, BundlePart};

/// Why a remote of either kind did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
enum TestError {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

/// Keeps what it is given.
#[derive(Default)]
struct Taken {
    coming: Vec<u8>,
    whole: BTreeMap<String, Vec<u8>>,
    gone: Vec<String>,
    came: u64,
    /// Larger files are not wanted.
    most: Option<u64>,
}

impl Intake for Taken {
    type Error = TestError;

    fn has_room_for(&mut self, bytes: u64) -> bool {
        self.most.is_none_or(|most| bytes <= most)
    }

    async fn begin(&mut self, _: &MissingFile) -> Result<(), TestError> {
        self.coming.clear();
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), TestError> {
        self.coming.extend_from_slice(bytes);
        Ok(())
    }

    async fn end(&mut self, file: &MissingFile) -> Result<(), TestError> {
        let before = self.whole.insert(file.name.to_string(), std::mem::take(&mut self.coming));
        assert_eq!(before, None, "{} was given twice", file.name);
        Ok(())
    }

    fn gone(&mut self, file: &MissingFile) {
        self.gone.push(file.name.to_string());
    }

    fn came(&mut self, bytes: u64) {
        self.came += bytes;
    }
}

fn hour() -> HourPlace {
    HourPlace::parse(HOUR).unwrap()
}

fn segment(start: &str, content: &[u8]) -> (String, Vec<u8>) {
    (format!("{start}-2.0-full-{}.ts", hash_of(content)), content.to_vec())
}

fn chat(start: &str, content: &[u8]) -> (String, Vec<u8>) {
    (format!("{start}-{}.json", hash_of(content)), content.to_vec())
}

/// Small and large ones, neighbours and not, and one of nothing.
fn files() -> BTreeMap<String, Vec<u8>> {
    let large: Vec<u8> = (0..700_000_u32).map(|at| (at * 7 + at / 256).to_le_bytes()[0]).collect();
    [
        segment("00:00", b"first"),
        segment("00:02", b""),
        segment("00:04", &large),
        segment("00:06", b"last"),
        chat("00:01", b"[]"),
    ]
    .into()
}

fn missing<'n>(names: impl IntoIterator<Item = (&'n String, &'n Vec<u8>)>) -> Vec<MissingFile> {
    let of = |(name, content): (&String, &Vec<u8>)| MissingFile { name: name.as_str().into(), hash: hash_of(content) };
    names.into_iter().map(of).collect()
}

async fn listed<R: Remote>(remote: &R) -> Vec<String>
where
    TestError: From<R::Error>,
{
    let mut names = remote.list(&hour()).await.map_err(TestError::from).unwrap();
    names.sort_unstable();
    names.into_iter().map(Into::into).collect()
}

async fn opened<R: Remote>(remote: &R, place: &HourPlace, files: &[MissingFile], most: Option<u64>) -> Taken
where
    TestError: From<R::Error>,
{
    let mut intake = Taken { most, ..Taken::default() };
    remote.open(place, files, &mut intake).await.unwrap();
    intake
}

/// What comes of one file by the way that backfill takes.
async fn taken<R: Remote>(remote: &R, file: &MissingFile, most: u64) -> (tempfile::TempDir, Result<Given, TestError>)
where
    TestError: From<R::Error>,
{
    let here = tempfile::tempdir().unwrap();
    let dir = Base::open(here.path()).unwrap().make_hour_dir(&hour()).unwrap();
    let into = Download::begin(dir, &file.name).unwrap();
    let mut intake = SegmentIntake::<TestError, _>::new(into, most, |_| ());
    let opened = remote.open(&hour(), std::slice::from_ref(file), &mut intake).await;
    (here, opened.and_then(|()| intake.given()))
}

async fn whole<R: Remote>(remote: &R, file: &MissingFile) -> (tempfile::TempDir, Download)
where
    TestError: From<R::Error>,
{
    let (here, given) = taken(remote, file, u64::MAX).await;
    let Given::Whole { download, .. } = given.unwrap() else { panic!("{} did not come", file.name) };
    (here, *download)
}

/// What holds of every remote that holds these files, and of which these are damaged there.
async fn keeps_its_promises<R: Remote>(place: &impl TestPlace<Remote = R>)
where
    TestError: From<R::Error>,
{
    let (all, unheld) = (files(), segment("00:08", b"elsewhere"));
    place.hold(&all);
    let remote = place.remote();
    assert!(!remote.name().is_empty());
    assert_eq!(listed(&remote).await, all.keys().cloned().collect::<Vec<_>>());
    let other = HourPlace::parse("a/b/2019-11-13T03").unwrap();
    assert_eq!(remote.list(&other).await.map_err(TestError::from).unwrap(), Vec::new());

    // All that is asked for comes, whole and once, and what is not there is said not to be.
    let asked = missing(all.iter().chain([(&unheld.0, &unheld.1)]));
    let came = opened(&remote, &hour(), &asked, None).await;
    assert!(came.whole == all, "{:?}", came.whole.keys());
    assert_eq!(came.gone, [unheld.0.as_str()]);
    let bytes: usize = all.values().map(Vec::len).sum();
    assert!(came.came >= bytes as u64, "{} of {bytes}", came.came);
    // Of another hour it has none of them.
    let of_other = opened(&remote, &other, &asked, None).await;
    assert!(of_other.whole.is_empty() && of_other.gone.len() == asked.len());
    // Nothing is given of what is not wanted when its size is known.
    let small = opened(&remote, &hour(), &asked, Some(5)).await;
    assert_eq!((small.whole.len(), small.gone), (all.len() - 1, came.gone));

    // The same by the way that backfill takes, which has it published if it is right.
    for file in &asked[..all.len()] {
        let (here, download) = whole(&remote, file).await;
        assert_eq!(download.finish(&file.hash).unwrap(), Published::New);
        assert!(std::fs::read(here.path().join(HOUR).join(&*file.name)).unwrap() == all[&*file.name]);
    }
    assert!(matches!(taken(&remote, asked.last().unwrap(), u64::MAX).await.1, Ok(Given::Gone)));
    let large = asked.iter().max_by_key(|file| all.get(&*file.name).map(Vec::len)).unwrap();
    assert!(matches!(taken(&remote, large, 699_999).await.1, Ok(Given::TooLarge)));

    // What is not what its name says is given, and refused by whoever takes it.
    place.damage(&large.name);
    let (here, download) = whole(&remote, large).await;
    assert!(matches!(download.finish(&large.hash), Err(DownloadError::WrongHash { .. })));
    assert_eq!(std::fs::read_dir(here.path().join(HOUR)).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_keeps_them_and_has_what_lies_on_its_own_disk() {
    let node = NodePlace::new();
    keeps_its_promises(&node).await;
    let remote = node.remote();
    assert_eq!(remote.capabilities().copies, CopyWorth::OnceProven);

    // It sends many files in one answer, which one that only lists and serves files does not.
    let listing_only = PeerRemote::new(node.client(), node.peer(), false);
    assert!(remote.capabilities().bundles && !listing_only.capabilities().bundles);
    let (first, content) = segment("00:00", b"first");
    let answer = node.client().bundle(node.peer(), &hour(), vec![first.clone()]).await.unwrap();
    assert_eq!(bundle::read(&answer, &[&first]).0, [BundlePart::Content(&content)]);

    // What was deleted there is not listed, and does not come.
    node.delete(&first);
    assert!(!listed(&remote).await.contains(&first));
    assert!(matches!(taken(&remote, &missing([(&first, &content)])[0], u64::MAX).await.1, Ok(Given::Gone)));

    // It lists what a bucket has, too, which is no copy of its own.
    let (away, elsewhere) = segment("00:10", b"in a bucket alone");
    node.hold_in_bucket(&away, &elsewhere);
    assert!(node.lists(&away).await && !listed(&remote).await.contains(&away));
    // Of one that only lists and serves files there is no other list.
    assert!(listed(&listing_only).await.contains(&away));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_keeps_them_and_has_what_the_store_says_is_there() {
    let store = StorePlace::start().await;
    keeps_its_promises(&store).await;
    let remote = store.remote();
    assert!(!remote.capabilities().bundles);
    assert_eq!(remote.capabilities().copies, CopyWorth::ReadBack);
    let unread = StoredObjects::new(store.bucket().clone(), store.objects());
    assert_eq!(unread.capabilities().copies, CopyWorth::Nothing, "nobody has looked");

    // What lies near one another comes in one request, and nothing is asked for files of nothing.
    let (all, before) = (files(), store.requests());
    assert!(opened(&remote, &hour(), &missing(&all), None).await.whole.len() == all.len());
    assert_eq!(store.requests() - before, 1);
    let (empty, content) = segment("00:02", b"");
    assert_eq!(opened(&remote, &hour(), &missing([(&empty, &content)]), None).await.whole.len(), 1);
    assert_eq!(store.requests() - before, 1);

    // An object that is gone is no copy, and an error that says which it is.
    store.delete();
    assert_eq!(listed(&remote).await, [""; 0]);
    let (_, given) = taken(&remote, &missing(&all)[0], u64::MAX).await;
    assert!(matches!(given, Err(TestError::Bucket(BucketError::Gone(_)))), "{given:?}");
    // A store that cannot be reached says nothing, which is no empty list.
    store.stop().await;
    assert!(remote.list(&hour()).await.is_err());
}
