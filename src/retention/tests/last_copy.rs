//! What peers say they have against what counts: small servers that answer each path as a test likes.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::{Notify, watch};

use crate::domain::HourPlace;
use crate::peer::{Limits, Peer, PeerClient, PeerUrl};
use crate::retention::Copies;
use crate::retention::last_copy::rank;

/// Longer than anything here takes, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

fn place() -> HourPlace {
    HourPlace::parse("a/b/2019-11-13T02").unwrap()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A peer of this name that answers so.
async fn peer<F>(name: &str, answer: impl Fn(String) -> F + Clone + Send + Sync + 'static) -> Peer
where
    F: Future<Output = Response> + Send,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = PeerUrl::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let router = Router::new().fallback(move |uri: Uri| answer(uri.path().to_owned()));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Peer { name: name.to_owned(), url, trusted: false }
}

fn copies(peers: watch::Receiver<Vec<Peer>>) -> Copies {
    let client = PeerClient::new(Limits::default(), &crate::tls::trusting_nobody().unwrap()).unwrap();
    Copies::new(client, peers, OWN)
}

/// This node's own number.
const OWN: u64 = 7;

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_hangs_does_not_lock_the_list_of_peers() {
    let asked = Arc::new(Notify::new());
    let telling = Arc::clone(&asked);
    let hanging = peer("hangs", move |path| {
        let telling = Arc::clone(&telling);
        async move {
            if path == "/api/v1/tombstones" {
                telling.notify_one();
                std::future::pending::<()>().await;
            }
            StatusCode::NOT_FOUND.into_response()
        }
    });
    let (list, peers) = watch::channel(vec![hanging.await]);
    let mut copies = copies(peers);
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

const OURS: &str = "00:00-2.0-full-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.ts";

fn json(value: &serde_json::Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}

/// What a node of this number says of its digests.
fn digests(instance: Option<u64>) -> Response {
    let none: [u8; 0] = [];
    json(&serde_json::json!({"epoch": "1", "seq": 1, "complete": true, "instance": instance, "qualities": none}))
}

/// A peer that lists what we have, and answers so when it is asked for digests.
async fn holder(name: &str, digests: impl Fn() -> Response + Clone + Send + Sync + 'static) -> Peer {
    let answer = move |path: String| {
        let answered = if path == "/api/v1/digests" { digests() } else { json(&serde_json::json!([OURS])) };
        async move { answered }
    };
    peer(name, answer).await
}

/// A number that ranks above or below ours.
fn ranked(above: bool) -> u64 {
    (100..1_000).find(|other| (rank(&place(), *other) > rank(&place(), OWN)) == above).unwrap()
}

async fn may_go(peers: Vec<Peer>) -> bool {
    let (_list, peers) = watch::channel(peers);
    copies(peers).left_to_us(&place(), names(&[OURS])).await.is_empty()
}

#[tokio::test]
async fn of_those_that_hold_an_hour_the_highest_keeps_it() {
    let (low, high) = (ranked(false), ranked(true));
    let lower = holder("low", move || digests(Some(low))).await;
    let higher = holder("high", move || digests(Some(high))).await;
    assert!(!may_go(vec![lower.clone()]).await);
    assert!(may_go(vec![higher.clone()]).await);
    assert!(may_go(vec![lower.clone(), higher]).await);
    assert!(may_go(vec![lower.clone(), holder("fixed", || StatusCode::NOT_FOUND.into_response()).await]).await);
    // For a purge any other copy will do.
    let (_list, peers) = watch::channel(vec![lower]);
    assert!(copies(peers).held_by_nobody(&place(), names(&[OURS])).await.is_empty());
}

#[test]
fn another_number_keeps_another_hour() {
    let hours =
        (0..100).map(|hour| HourPlace::parse(&format!("a/b/2019-11-{:02}T{:02}", 1 + hour / 24, hour % 24)).unwrap());
    let kept = hours.filter(|place| rank(place, 1) > rank(place, 2)).count();
    assert!((20..80).contains(&kept), "{kept} of 100");
    // Nodes of different versions have to agree.
    assert_eq!(rank(&place(), 1), 12_369_539_673_919_593_237);
}

#[tokio::test]
async fn who_does_not_say_that_it_is_another_node_has_nothing() {
    assert!(!may_go(vec![holder("itself", || digests(Some(OWN))).await]).await);
    for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS] {
        assert!(!may_go(vec![holder("busy", move || status.into_response()).await]).await, "{status}");
    }
    for status in [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED] {
        assert!(may_go(vec![holder("fixed", move || status.into_response()).await]).await, "{status}");
    }
    assert!(may_go(vec![holder("html", || "<html>".into_response()).await]).await);
}
