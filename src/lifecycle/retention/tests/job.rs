//! Whether backfill learns what is kept, and when that changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use prometheus::Registry;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, watch};
use tokio::time::timeout;

use super::last_copy::peer;
use super::protect::{Archive, DAY, age, run};
use crate::archive::origins::GiftedHour;
use crate::archive::retention::RetentionLimits;
use crate::archive::time::HOUR_US;
use crate::archive::{HourPlace, Span};
use crate::disk::{ArchiveId, Base, BaseGuard, BaseIdentity, marker};
use crate::index::{Index, IndexOptions};
use crate::jobs::{JobRegistry, NodeEvent, NodeEvents, Runner, Stop, Wake};
use crate::lifecycle::clock::Clocks as _;
use crate::lifecycle::deleted::DeletionCounter;
use crate::lifecycle::retention::{Retention, RetentionOptions, RetentionParts, Runs};
use crate::replicate::HourRules as _;
use crate::replicate::peer::{self, Peer, PeerClient};
use crate::sync::crawl::{Allowance, Keeper};

/// Longer than anything here takes, unless it never happens.
const PATIENCE: Duration = Duration::from_secs(20);

/// Retention without limits over this archive, and what happens to it.
fn retention(tree: &std::path::Path) -> (Retention, broadcast::Receiver<NodeEvent>) {
    let events = NodeEvents::default();
    let changes = events.listen();
    (retention_beside(tree, None, events), changes)
}

/// The same, where what this peer does not have stays.
fn retention_beside(tree: &std::path::Path, peer: Option<&Peer>, events: NodeEvents) -> Retention {
    let index = Arc::new(Index::in_memory(IndexOptions { cache_bytes: 1 << 20, ..IndexOptions::default() }).unwrap());
    let guard = BaseGuard::new(Base::open(tree).unwrap(), BaseIdentity::Unmarked { channels: Vec::new() });
    let parts = RetentionParts {
        keeper: Arc::new(Keeper::new(index, Arc::new(guard))),
        is_ready: Box::new(|| false),
        deletions: Arc::new(DeletionCounter::register(&Registry::new()).unwrap()),
        client: PeerClient::new(peer::PeerLimits::default(), &crate::net::tls::trusting_nobody().unwrap()).unwrap(),
        bucket: None,
        peers: watch::channel(peer.into_iter().cloned().collect()).1,
        instance: 1,
        handle: Handle::current(),
        clocks: Arc::new(crate::lifecycle::clock::SystemClocks::default()),
        free: crate::lifecycle::retention::free_space(),
        events,
        wake: Wake::new(&Stop::new()),
        archiver: None,
        handoffs: None,
    };
    let options = RetentionOptions {
        limits: RetentionLimits::default(),
        reclaim_age: Span::from_us(0),
        interval: Duration::from_secs(600),
        keep_last_copy: peer.is_some(),
        copies_at: Vec::new(),
    };
    Retention::new(parts, options, &Registry::new()).unwrap()
}

#[tokio::test]
async fn nobody_knows_what_is_kept_until_the_journal_can_be_read() {
    let tree = tempfile::tempdir().unwrap();
    let journal = tree.path().join(".gapless/retired");
    marker::create(&Base::open(tree.path()).unwrap(), ArchiveId::random()).unwrap();
    // Larger than any that is read.
    std::fs::File::create(&journal).unwrap().set_len(1 << 30).unwrap();
    let (retention, mut changes) = retention(tree.path());
    let place = HourPlace::parse("a/b/2019-11-13T02").unwrap();
    assert_eq!(retention.keeps(&place), None);
    std::fs::write(&journal, "").unwrap();
    let (retention, stop) = (Arc::new(retention), Stop::new());
    let runs = Runs::new(Arc::clone(&retention), stop.clone());
    let runner = Runner::new(runs, &Arc::new(JobRegistry::default()), Wake::new(&stop));
    let running = std::thread::spawn(move || runner.run());
    let outcome = timeout(PATIENCE, changes.recv()).await;
    stop.stop();
    running.join().unwrap();
    assert_eq!(outcome.unwrap().unwrap(), NodeEvent::HourRulesChanged);
    assert_eq!(retention.keeps(&place), Some(true));
    retention.keep(&[place], false).unwrap();
    assert!(changes.try_recv().is_ok(), "what the operator keeps is a change, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_of_many_hours_asks_each_peer_once_who_it_is() {
    let tree = tempfile::tempdir().unwrap();
    marker::create(&Base::open(tree.path()).unwrap(), ArchiveId::random()).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let beside = peer("other", move |path| {
        counted.fetch_add(usize::from(path == "/api/v1/digests"), Ordering::SeqCst);
        async { StatusCode::NOT_FOUND.into_response() }
    });
    let stay = Arc::new(retention_beside(tree.path(), Some(&beside.await), NodeEvents::default())).hidden_last_copies();
    let purge = move || {
        for hour in 0..5 {
            let place = HourPlace::parse(&format!("a/b/2019-11-13T{hour:02}")).unwrap();
            assert_eq!(stay(&place, &["x".to_owned()]).len(), 1);
        }
    };
    tokio::task::spawn_blocking(purge).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_by_a_clock_years_ahead_is_not_from_the_future_once_it_is_right() {
    let archive = Archive::new(3);
    assert_eq!(run(&archive.start(RetentionLimits::default())).error, None);
    let (place, right) = (archive.place(2), archive.clocks.wall());
    let years = Span::from_us(3_650 * DAY.us());
    archive.clocks.set(|said| (said.wall, said.boot) = (right + years, "second".to_owned()));
    archive.start(RetentionLimits::default()).keep(&[place], false).unwrap();
    archive.clocks.set(|said| said.wall = right);
    let again = archive.start(RetentionLimits::default());
    assert!(again.unusable_records().is_empty(), "{:?}", again.unusable_records());
    assert_eq!(run(&again).error, None);
}

/// A file of that name from a peer, in an hour of its own.
fn give(archive: &Archive, place: &HourPlace) {
    let keeper = archive.keeper();
    let filling = keeper.fill("evil", place, true, &Allowance::Unbounded).unwrap();
    filling.book(&GiftedHour { files: 1, bytes: 10, tombstones: 0 }).unwrap();
    let dir = archive.tree.path().join(place.path());
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("00:00-2.0-full-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.ts"), [0; 10]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_while_the_index_catches_up_leaves_what_peers_gave_theirs() {
    let archive = Archive::new(3);
    let junk = archive.place(20);
    give(&archive, &junk);
    assert_eq!(run(&archive.start(age(30))).error, None);
    std::fs::remove_file(archive.state.path().join("index.redb")).unwrap();
    let keeper = archive.keeper();
    let retention = archive.retention(Arc::clone(&keeper), age(30), Box::new(|| false));
    let before = archive.records();
    assert!(before.iter().any(|(path, _)| path.ends_with("fetched")));
    retention.view(None).unwrap();
    assert!(run(&retention).error.is_some_and(|error| error.contains("catching up")));
    let fetched =
        |all: &[(std::path::PathBuf, Vec<u8>)]| all.iter().find(|(path, _)| path.ends_with("fetched")).cloned();
    assert_eq!(fetched(&archive.records()), fetched(&before));
    assert!(keeper.origin(&junk, (1, 10)).unwrap().fetched);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_writes_no_levels_and_says_what_a_run_would() {
    let archive = Archive::new(10);
    let retention = archive.start(age(3));
    let before = archive.records();
    let doubt = retention.view(None).unwrap().plan.doubt.unwrap();
    assert_eq!(archive.records(), before);
    assert_eq!(run(&retention).doubt, Some(doubt));
    // Nor does one of later: the week goes on only where something runs.
    archive.clocks.pass(Span::from_us(24 * HOUR_US));
    retention.know_journal();
    let then = archive.records();
    assert!(then.iter().any(|(path, _)| path.ends_with("levels")));
    retention.plan(None).unwrap();
    assert_eq!(archive.records(), then);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_was_put_back_is_read_when_a_person_asks() {
    let archive = Archive::with_kept_hours();
    let good = archive.records();
    for copy in ["retired", "retired.2"] {
        std::fs::write(archive.own(copy), "gapless-retired 3 nonsense\n").unwrap();
    }
    let retention = archive.start(RetentionLimits::default());
    assert_eq!(retention.keeps(&archive.place(9)), None);
    for (path, bytes) in good.iter().filter(|(path, _)| path.ends_with("retired") || path.ends_with("retired.2")) {
        std::fs::write(path, bytes).unwrap();
    }
    retention.request_run(&[]);
    retention.know_journal();
    assert_eq!(retention.keeps(&archive.place(9)), Some(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_hour_that_is_to_be_kept_is_told_with_what_may_be_meant() {
    let archive = Archive::new(3);
    let retention = archive.start(RetentionLimits::default());
    let here = archive.place(1);
    let (channel, quality) = (here.stream.channel.as_str(), here.stream.quality.as_str());
    let slip = HourPlace::parse(&format!("{channel}/{quality}x/{}", here.hour)).unwrap();
    let other = HourPlace::parse(&format!("other/1080p/{}", here.hour)).unwrap();
    let all = [here.clone(), slip.clone(), other.clone()];
    retention.keep(&all, false).unwrap();
    let absent = retention.not_here(&all).unwrap();
    let absent: Vec<_> = absent.into_iter().map(|absent| (absent.hour, absent.meant)).collect();
    assert_eq!(absent, [(slip.clone(), Some(here.stream.clone())), (other, None)]);
    assert_eq!(retention.keeps(&slip), Some(true), "it may come");
}
