//! Whether backfill is told the truth about what is kept, and when that changes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use prometheus::Registry;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::last_copy::peer;
use crate::archive::retention::RetentionLimits;
use crate::archive::{HourPlace, Span};
use crate::disk::{ArchiveId, Base, BaseGuard, BaseIdentity, marker};
use crate::index::{Index, IndexOptions};
use crate::jobs::{JobRegistry, Runner, Stop, Wake};
use crate::lifecycle::deleted::DeletionCounter;
use crate::lifecycle::retention::{Retention, RetentionOptions, RetentionParts, Runs};
use crate::replicate::peer::{self, Peer, PeerClient};
use crate::sync::crawl::Keeper;

/// Longer than anything here takes, unless it never happens.
const PATIENCE: Duration = Duration::from_secs(20);

/// Retention without limits over this archive, and what is called when something has changed.
fn retention(tree: &std::path::Path) -> (Retention, mpsc::Receiver<()>) {
    let retention = retention_beside(tree, None);
    let (tell, told) = mpsc::channel();
    retention.on_change(Box::new(move || tell.send(()).unwrap()));
    (retention, told)
}

/// The same, where what this peer does not have stays.
fn retention_beside(tree: &std::path::Path, peer: Option<&Peer>) -> Retention {
    let index = Arc::new(Index::in_memory(IndexOptions { cache_bytes: 1 << 20, ..IndexOptions::default() }).unwrap());
    let guard = BaseGuard::new(Base::open(tree).unwrap(), BaseIdentity::Unmarked { channels: Vec::new() });
    let parts = RetentionParts {
        keeper: Arc::new(Keeper::new(index, Arc::new(guard))),
        is_ready: Box::new(|| false),
        deletions: Arc::new(DeletionCounter::register(&Registry::new()).unwrap()),
        client: PeerClient::new(peer::PeerLimits::default(), &crate::net::tls::trusting_nobody().unwrap()).unwrap(),
        peers: watch::channel(peer.into_iter().cloned().collect()).1,
        instance: 1,
        handle: Handle::current(),
        clocks: Arc::new(crate::lifecycle::clock::SystemClocks::default()),
        free: crate::lifecycle::retention::free_space(),
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
    let (retention, told) = retention(tree.path());
    let place = HourPlace::parse("a/b/2019-11-13T02").unwrap();
    assert_eq!(retention.keeps(&place), None);
    std::fs::write(&journal, "").unwrap();
    let (retention, stop) = (Arc::new(retention), Stop::new());
    let wake = Wake::new(&stop);
    let runs = Runs::new(Arc::clone(&retention), stop.clone(), wake.clone());
    let runner = Runner::new(runs, &Arc::new(JobRegistry::default()), wake);
    std::thread::scope(|scope| {
        scope.spawn(|| runner.run());
        let outcome = told.recv_timeout(PATIENCE);
        stop.stop();
        outcome.unwrap();
    });
    assert_eq!(retention.keeps(&place), Some(true));
    retention.keep(&[place], false).unwrap();
    assert!(told.try_recv().is_ok(), "what the operator keeps is a change, too");
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
    let stay = Arc::new(retention_beside(tree.path(), Some(&beside.await))).hidden_last_copies();
    let purge = move || {
        for hour in 0..5 {
            let place = HourPlace::parse(&format!("a/b/2019-11-13T{hour:02}")).unwrap();
            assert_eq!(stay(&place, &["x".to_owned()]).len(), 1);
        }
    };
    tokio::task::spawn_blocking(purge).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
