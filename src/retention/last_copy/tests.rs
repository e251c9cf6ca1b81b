//! What peers say they have against what counts: small servers that answer each path as a test likes.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Notify;

use super::*;
use crate::peer::{Limits, PeerUrl};

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
