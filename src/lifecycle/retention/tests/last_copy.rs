//! What peers say they have against what counts: small servers that answer each path as a test likes.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::{Notify, watch};

use crate::archive::retention::RetentionLimits;
use crate::archive::{HourPlace, Timestamp};
use crate::disk::{ArchiveId, Base, BaseGuard, BaseIdentity, marker};
use crate::disk::{Intake, MissingFile};
use crate::index::{Index, IndexOptions};
use crate::lifecycle::retention::last_copy::{claim, rank};
use crate::lifecycle::retention::{Copies, HolderQuery, Steady};
use crate::replicate::peer::{Peer, PeerClient, PeerLimits, PeerUrl};
use crate::replicate::remote::{Capabilities, CopyWorth, Remote};
use crate::sync::crawl::Keeper;

/// Longer than anything here takes, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

fn place() -> HourPlace {
    HourPlace::parse("a/b/2019-11-13T02").unwrap()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(super) async fn peer<F>(name: &str, answer: impl Fn(String) -> F + Clone + Send + Sync + 'static) -> Peer
where
    F: Future<Output = Response> + Send,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = PeerUrl::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    // What lies on its disk is what it lists.
    let router = Router::new().fallback(move |uri: Uri| answer(uri.path().replacen("/extras/", "/files/", 1)));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Peer { name: name.to_owned(), url, trusted: false }
}

/// This node's own number.
const OWN: u64 = 7;

/// An archive with a marker and the hour that is asked about.
struct Archive {
    tree: tempfile::TempDir,
    keeper: Arc<Keeper>,
    steady: Steady,
    id: String,
}

impl Archive {
    fn new() -> Self {
        let tree = tempfile::tempdir().unwrap();
        let base = Base::open(tree.path()).unwrap();
        let id = ArchiveId::random();
        marker::create(&base, id).unwrap();
        std::fs::create_dir_all(tree.path().join(place().path())).unwrap();
        std::fs::write(tree.path().join(place().path()).join(OURS), "").unwrap();
        let index =
            Arc::new(Index::in_memory(IndexOptions { cache_bytes: 1 << 20, ..IndexOptions::default() }).unwrap());
        let guard = BaseGuard::new(base, BaseIdentity::Unmarked { channels: Vec::new() });
        Self {
            keeper: Arc::new(Keeper::new(index, Arc::new(guard))),
            steady: Steady::default(),
            tree,
            id: id.to_string(),
        }
    }

    /// Asks these peers; those named are other disks, by the operator's word.
    fn copies(&self, peers: watch::Receiver<Vec<Peer>>, named: &[&str]) -> Copies {
        let client = PeerClient::new(PeerLimits::default(), &crate::net::tls::trusting_nobody().unwrap()).unwrap();
        let (copies_at, steady, keeper) = (names(named), self.steady.clone(), Arc::clone(&self.keeper));
        Copies::new(HolderQuery {
            client,
            bucket: None,
            peers,
            instance: OWN,
            copies_at,
            steady,
            keeper,
            bucket_ages: (RetentionLimits::default(), Timestamp::from_us(0)),
        })
    }

    async fn may_go(&self, peers: Vec<Peer>, named: &[&str]) -> bool {
        let (_list, peers) = watch::channel(peers);
        self.copies(peers, named).left_to_us(&place(), names(&[OURS])).await.is_empty()
    }

    fn hour(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.tree.path().join(place().path())).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// A server of the fixed part over this very directory, as it `shows` it.
    async fn served(&self, name: &str, shows: Shows) -> Peer {
        let root = self.tree.path().to_owned();
        let answer = move |path: String| {
            let decoded = percent_encoding::percent_decode_str(&path).decode_utf8().unwrap().into_owned();
            let answered = match decoded.trim_start_matches('/').split_once('/') {
                Some(("files", _)) if shows == Shows::OldListsAndFiles => json(&serde_json::json!([OURS])),
                Some(("files", rest)) => {
                    let entries = std::fs::read_dir(root.join(rest)).unwrap();
                    let all: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
                    json(&serde_json::json!(all))
                }
                Some(("segments", rest)) if shows != Shows::ListsAlone => {
                    let found = std::fs::read(root.join(rest));
                    found.map_or_else(
                        |_| StatusCode::NOT_FOUND.into_response(),
                        axum::response::IntoResponse::into_response,
                    )
                }
                _ => StatusCode::NOT_FOUND.into_response(),
            };
            async move { answered }
        };
        peer(name, answer).await
    }
}

/// What a second server over the same directory shows of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shows {
    Everything,
    ListsAlone,
    OldListsAndFiles,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_hangs_does_not_lock_the_list_of_peers() {
    let asked = Arc::new(Notify::new());
    let telling = Arc::clone(&asked);
    let hanging = peer("hangs", move |path| {
        let telling = Arc::clone(&telling);
        async move {
            if path == "/files/a/b/2019-11-13T02" {
                telling.notify_one();
                std::future::pending::<()>().await;
            }
            StatusCode::NOT_FOUND.into_response()
        }
    });
    let (list, peers) = watch::channel(vec![hanging.await]);
    let archive = Archive::new();
    let mut copies = archive.copies(peers, &["hangs"]);
    let asking = tokio::spawn(async move { copies.hidden_and_held_by_nobody(&place(), names(&["x"])).await });
    asked.notified().await;
    let (done, published) = mpsc::channel();
    std::thread::spawn(move || {
        list.send_replace(Vec::new());
        done.send(()).unwrap();
    });
    let outcome = tokio::task::spawn_blocking(move || published.recv_timeout(PATIENCE)).await.unwrap();
    asking.abort();
    assert_eq!(outcome, Ok(()), "a new list could not be published while a peer was asked");
}

/// Of [`OURS`].
const HASH: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
const OURS: &str = "00:00-2.0-full-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.ts";

pub(super) fn json(value: &serde_json::Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}

/// What a node of this number and archive says of its digests.
fn digests(instance: Option<u64>, archive: Option<&str>) -> Response {
    let none: [u8; 0] = [];
    let (epoch, seq, complete) = ("1", 1, true);
    json(&serde_json::json!({
        "epoch": epoch, "seq": seq, "complete": complete, "instance": instance, "archive": archive, "qualities": none
    }))
}

/// A peer that has what we have and nothing else, and answers so when it is asked for digests.
async fn holder(name: &str, digests: impl Fn() -> Response + Clone + Send + Sync + 'static) -> Peer {
    let answer = move |path: String| {
        let answered = match path.as_str() {
            "/api/v1/digests" => digests(),
            path if path.starts_with("/files") => json(&serde_json::json!([OURS])),
            path if path.starts_with("/segments") && path.contains(HASH) => "".into_response(),
            _ => StatusCode::NOT_FOUND.into_response(),
        };
        async move { answered }
    };
    peer(name, answer).await
}

async fn fixed(name: &str) -> Peer {
    holder(name, || StatusCode::NOT_FOUND.into_response()).await
}

/// Another archive that ranks above or below this one.
async fn ranked(name: &str, above: bool, own: &str) -> Peer {
    let ids = (0_u128..).map(|number| format!("{number:032x}"));
    let id = ids.into_iter().find(|id| (rank(&place(), id) > rank(&place(), &own)) == above).unwrap();
    holder(name, move || digests(Some(100), Some(&id))).await
}

#[tokio::test]
async fn equal_content_under_another_start_nearby_is_a_copy_if_its_bytes_come() {
    let archive = Archive::new();
    let lists = |listed: String, gives: bool| async move {
        let answer = move |path: String| {
            let answered = match path.as_str() {
                path if path.starts_with("/files") => json(&serde_json::json!([listed])),
                path if gives && path == format!("/segments/a/b/2019-11-13T02/{listed}") => "".into_response(),
                _ => StatusCode::NOT_FOUND.into_response(),
            };
            async move { answered }
        };
        peer("other", answer).await
    };
    for (start, gives, is_copy) in
        [("00:00.4", true, true), ("00:30", true, true), ("00:30.000001", true, false), ("00:00.4", false, false)]
    {
        let other = lists(format!("{start}-2.0-full-{HASH}.ts"), gives).await;
        assert_eq!(archive.may_go(vec![other], &["other"]).await, is_copy, "{start} {gives}");
    }
    let other = lists(format!("00:00.4-2.0-partial-{HASH}.ts"), true).await;
    assert!(!archive.may_go(vec![other], &["other"]).await);
}

/// Lists this, whatever it is asked for.
struct Lists(CopyWorth, String);

impl Remote for Lists {
    type Error = std::io::Error;

    fn name(&self) -> &'static str {
        "lists"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { copies: self.0, bundles: false }
    }

    async fn list(&self, _: &HourPlace) -> Result<Vec<Box<str>>, std::io::Error> {
        Ok(vec![self.1.as_str().into()])
    }

    async fn open<I>(&self, _: &HourPlace, files: &[MissingFile], into: &mut I) -> Result<(), I::Error>
    where
        I: Intake<Error: From<std::io::Error>>,
    {
        for file in files {
            into.gone(file);
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_list_is_worth_what_its_remote_says_and_nothing_where_nobody_can_be_looked_into() {
    let archive = Archive::new();
    let mut copies = archive.copies(watch::channel(Vec::new()).1, &[]);
    let twin = format!("00:00.4-2.0-full-{HASH}.ts");
    for (worth, listed, is_held, is_copy) in [
        (CopyWorth::ReadBack, OURS, true, true),
        // What is read back from a bucket was sent from here, under the same name.
        (CopyWorth::ReadBack, &twin, false, false),
        (CopyWorth::OnceProven, OURS, true, false),
        (CopyWorth::OnceProven, &twin, true, false),
        (CopyWorth::Nothing, OURS, false, false),
    ] {
        let claimed = claim(&Lists(worth, listed.to_owned()), None, &place(), &names(&[OURS])).await.unwrap();
        assert_eq!(claimed.names.contains_key(OURS), is_held, "{worth:?} {listed}");
        let missing = copies.unproven_of(&place(), names(&[OURS]), vec![claimed]).await;
        assert_eq!(missing.is_empty(), is_copy, "{worth:?} {listed}");
    }
}

#[tokio::test]
async fn of_those_that_hold_an_hour_the_highest_keeps_it() {
    let archive = Archive::new();
    let (lower, higher) = (ranked("low", false, &archive.id).await, ranked("high", true, &archive.id).await);
    assert!(!archive.may_go(vec![lower.clone()], &[]).await);
    assert!(archive.may_go(vec![higher.clone()], &[]).await);
    assert!(archive.may_go(vec![lower.clone(), higher], &[]).await);
    assert!(archive.may_go(vec![lower.clone(), fixed("fixed").await], &["fixed"]).await);
    // For a purge any other copy will do.
    let (_list, peers) = watch::channel(vec![lower]);
    assert!(archive.copies(peers, &[]).held_by_nobody(&place(), names(&[OURS])).await.is_empty());
}

#[test]
fn another_number_keeps_another_hour() {
    let hours =
        (0..100).map(|hour| HourPlace::parse(&format!("a/b/2019-11-{:02}T{:02}", 1 + hour / 24, hour % 24)).unwrap());
    let kept = hours.filter(|place| rank(place, &1) > rank(place, &2)).count();
    assert!((20..80).contains(&kept), "{kept} of 100");
    // Nodes of different versions have to agree.
    assert_eq!(rank(&place(), &1), 12_369_539_673_919_593_237);
}

#[tokio::test]
async fn who_does_not_name_another_archive_has_nothing_without_the_operators_word() {
    let archive = Archive::new();
    let (own, other) = (archive.id.clone(), ArchiveId::random().to_string());
    assert!(!archive.may_go(vec![holder("itself", move || digests(Some(OWN), Some(&other))).await], &["itself"]).await);
    assert!(!archive.may_go(vec![holder("clone", move || digests(Some(1), Some(&own))).await], &["clone"]).await);
    let older = holder("older", || digests(None, None)).await;
    assert!(!archive.may_go(vec![older.clone()], &[]).await && archive.may_go(vec![older], &["older"]).await);
    for status in [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED] {
        let fixed = holder("fixed", move || status.into_response()).await;
        assert!(!archive.may_go(vec![fixed.clone()], &["other"]).await, "{status}");
        assert!(archive.may_go(vec![fixed], &["fixed"]).await, "{status}");
    }
    assert!(archive.may_go(vec![holder("html", || "<html>".into_response()).await], &["html"]).await);
    for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS] {
        let busy = holder("busy", move || status.into_response()).await;
        assert!(!archive.may_go(vec![busy], &["busy"]).await, "{status}");
    }
}

#[tokio::test]
async fn a_server_over_this_very_directory_is_no_copy_whoever_names_it() {
    let archive = Archive::new();
    for shows in [Shows::Everything, Shows::ListsAlone, Shows::OldListsAndFiles] {
        let (one, two) = (archive.served("one", shows).await, archive.served("two", shows).await);
        let (_list, peers) = watch::channel(vec![one, two]);
        let mut copies = archive.copies(peers, &["one", "two"]);
        assert_eq!(copies.left_to_us(&place(), names(&[OURS])).await, [OURS]);
        let why: Vec<String> = copies.unproven().collect();
        assert!(why.len() == 2 && why[0].starts_with("one is no copy") && why[0].contains("very directory"), "{why:?}");
        assert_eq!(archive.hour(), [OURS], "the probes are gone");
    }
    // Nor is one that says it is another archive: a directory of ours may be mounted in its own.
    let other = ArchiveId::random().to_string();
    let root = archive.tree.path().to_owned();
    let mounted = move |path: String| {
        let decoded = percent_encoding::percent_decode_str(&path).decode_utf8().unwrap().into_owned();
        let answered = match decoded.trim_start_matches('/').split_once('/') {
            Some(("files", _)) => json(&serde_json::json!([OURS])),
            Some(("segments", rest)) if root.join(rest).exists() => "".into_response(),
            Some(("api", _)) => digests(Some(100), Some(&other)),
            _ => StatusCode::NOT_FOUND.into_response(),
        };
        async move { answered }
    };
    assert!(!archive.may_go(vec![peer("mounted", mounted).await], &[]).await);
    // Nor one that lists what it does not have.
    let lists = |path: String| async move {
        let is_list = path.starts_with("/files");
        if is_list { json(&serde_json::json!([OURS])) } else { StatusCode::NOT_FOUND.into_response() }
    };
    assert!(!archive.may_go(vec![peer("lists", lists).await], &["lists"]).await);
    // With the guard taken away the last copy would have gone.
    let peer = archive.served("one", Shows::Everything).await;
    archive.keeper.guards().remove(crate::archive::guards::Guard::LastCopy);
    assert!(archive.may_go(vec![peer], &[]).await);
}

#[tokio::test]
async fn what_a_probe_cannot_find_out_counts_as_no_copy() {
    let archive = Archive::new();
    let denies = |path: String| async move {
        match path.as_str() {
            path if path.starts_with("/files") => json(&serde_json::json!([OURS])),
            path if path.starts_with("/segments") => StatusCode::FORBIDDEN.into_response(),
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    };
    assert!(!archive.may_go(vec![peer("denies", denies).await], &["denies"]).await);
    assert_eq!(archive.hour(), [OURS]);
    // Whatever clears a probe away while it is looked for.
    let hour = archive.tree.path().join(place().path());
    let clears = move |path: String| {
        if path.starts_with("/segments") {
            let dir = Base::open(&hour).unwrap().dir(std::path::Path::new("")).unwrap().unwrap();
            assert_eq!(crate::disk::clear_temporaries(&dir).unwrap(), 1);
        }
        async move {
            if path.starts_with("/files") {
                json(&serde_json::json!([OURS]))
            } else {
                StatusCode::NOT_FOUND.into_response()
            }
        }
    };
    assert!(!archive.may_go(vec![peer("clears", clears).await], &["clears"]).await);
    std::fs::remove_dir_all(archive.tree.path().join(place().path())).unwrap();
    assert!(!archive.may_go(vec![fixed("fixed").await], &["fixed"]).await, "nothing can be written there");
}

/// Asks a peer with an archive of its own in which `part` of the paths is a mount of ours: where it is not, it is a copy; in this hour
/// it is none. Returns why not.
async fn no_copy_where_mounted(hour: &str, part: &'static str) -> Vec<String> {
    let archive = Archive::new();
    let mounted = HourPlace::parse(hour).unwrap();
    let dir = archive.tree.path().join(mounted.path());
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join(OURS), "").unwrap();
    let (root, other) = (archive.tree.path().to_owned(), ArchiveId::random().to_string());
    let answer = move |path: String| {
        let decoded = percent_encoding::percent_decode_str(&path).decode_utf8().unwrap().into_owned();
        let answered = match decoded.trim_start_matches('/').split_once('/') {
            Some(("api", _)) => digests(Some(100), Some(&other)),
            Some(("files", _)) => json(&serde_json::json!([OURS])),
            Some(("segments", rest)) if rest.ends_with(OURS) => "".into_response(),
            Some(("segments", rest)) if rest.contains(part) && root.join(rest).exists() => "".into_response(),
            _ => StatusCode::NOT_FOUND.into_response(),
        };
        async move { answered }
    };
    let (_list, peers) = watch::channel(vec![peer("mounts", answer).await]);
    let mut copies = archive.copies(peers, &[]);
    assert!(copies.held_by_nobody(&place(), names(&[OURS])).await.is_empty(), "this one is its own");
    assert_eq!(copies.held_by_nobody(&mounted, names(&[OURS])).await, [OURS]);
    copies.unproven().collect()
}

#[tokio::test]
async fn a_peer_that_mounts_one_of_our_channels_is_no_copy_of_that_one() {
    let why = no_copy_where_mounted("m/b/2019-11-13T02", "m/b/").await;
    assert!(why.len() == 1 && why[0].contains("m/b"), "{why:?}");
}

#[tokio::test]
async fn what_was_found_out_about_one_address_says_nothing_of_another_of_its_name() {
    let archive = Archive::new();
    let (list, peers) = watch::channel(vec![fixed("tape").await]);
    let mut copies = archive.copies(peers, &["tape"]);
    assert!(copies.held_by_nobody(&place(), names(&[OURS])).await.is_empty());
    list.send_replace(vec![archive.served("tape", Shows::Everything).await]);
    assert_eq!(copies.held_by_nobody(&place(), names(&[OURS])).await, [OURS]);
}

/// A peer of another archive, above this one, that lists what we have and answers so when it is asked for a segment.
async fn giving<F>(above: &str, segment: impl Fn(String) -> F + Clone + Send + Sync + 'static) -> Peer
where
    F: Future<Output = Response> + Send,
{
    let ids = (0_u128..).map(|number| format!("{number:032x}"));
    let id = ids.into_iter().find(|id| rank(&place(), id) > rank(&place(), &above)).unwrap();
    let answer = move |path: String| {
        let (id, segment) = (id.clone(), segment.clone());
        async move {
            match path.as_str() {
                "/api/v1/digests" => digests(Some(100), Some(&id)),
                path if path.starts_with("/files") => json(&serde_json::json!([OURS, OTHER])),
                path if path.starts_with("/segments") && !path.contains("gaplessProbe") => {
                    segment(path.to_owned()).await
                }
                _ => StatusCode::NOT_FOUND.into_response(),
            }
        }
    };
    peer("gives", answer).await
}

/// A segment of five bytes.
const OTHER: &str = "00:02-2.0-full-LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ.ts";

#[tokio::test]
async fn a_peer_that_answers_one_byte_for_all_that_it_lists_is_no_copy() {
    let archive = Archive::new();
    let liar = giving(&archive.id, |_| async { "G".into_response() }).await;
    let (_list, peers) = watch::channel(vec![liar]);
    let mut copies = archive.copies(peers, &[]);
    assert_eq!(copies.left_to_us(&place(), names(&[OURS, OTHER])).await, [OURS, OTHER]);
    let why: Vec<String> = copies.unproven().collect();
    assert!(why.len() == 1 && why[0].contains("does not match the hash"), "{why:?}");
    let honest = |path: String| async move { if path.ends_with(OTHER) { "hello" } else { "" }.into_response() };
    let (_honest, one) = watch::channel(vec![giving(&archive.id, honest).await]);
    assert!(archive.copies(one, &[]).left_to_us(&place(), names(&[OURS, OTHER])).await.is_empty());
}

#[tokio::test]
async fn a_peer_that_names_another_archive_each_time_is_no_copy() {
    let archive = Archive::new();
    let liar = holder("changing", || digests(Some(100), Some(&ArchiveId::random().to_string()))).await;
    let (_list, peers) = watch::channel(vec![liar]);
    let mut kept = 0;
    for _run in 0..6 {
        // A run asks it once to know who may hold its hours; and for each run there are other copies.
        archive.steady.hear(&peers.borrow()[0].url, "another", std::time::Instant::now());
        kept += archive.copies(peers.clone(), &[]).left_to_us(&place(), names(&[OURS])).await.len();
    }
    assert_eq!(kept, 6);
}

#[tokio::test]
async fn an_hour_of_another_archive_that_is_a_mount_of_ours_is_no_copy_of_it() {
    no_copy_where_mounted("a/b/2019-11-13T03", "T03/").await;
}

#[tokio::test]
async fn nothing_more_goes_when_a_run_has_looked_into_all_that_it_may() {
    let archive = Archive::new();
    let (_list, peers) = watch::channel(vec![fixed("tape").await]);
    let mut copies = archive.copies(peers, &["tape"]);
    copies.look_into(1);
    assert!(copies.left_to_us(&place(), names(&[OURS])).await.is_empty() && copies.are_used_up());
    assert_eq!(copies.left_to_us(&place(), names(&[OURS])).await, [OURS]);
}
