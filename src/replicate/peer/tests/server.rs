//! A server on a plain socket, which says raw bytes, waits, and hangs up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::archive::{Channel, Hour, HourPlace, Quality, Stream};
use crate::replicate::peer::{Peer, PeerClient, PeerLimits, PeerUrl, Throttle};

#[derive(Debug, Clone)]
pub enum ServerAction {
    Say(Vec<u8>),
    /// Sends this over and over until the client hangs up.
    SayForEver(Vec<u8>),
    /// Sends this once every so often until the client hangs up.
    Trickle(Vec<u8>, Duration),
    /// Waits until the client hangs up.
    Hang,
    Close,
    Reset,
}

/// Listens until it is dropped.
pub struct PeerServer {
    pub peer: Peer,
    pub requests: Arc<Mutex<Vec<String>>>,
    pub connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl PeerServer {
    /// `answer` is given the number of the request and its head.
    pub async fn start(answer: impl Fn(usize, &str) -> Vec<ServerAction> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let peer = Peer { name: "other".to_owned(), url: PeerUrl::parse(&url).unwrap(), trusted: true };
        let requests = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (answer, seen, count) = (Arc::new(answer), Arc::clone(&requests), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            let mut all = tokio::task::JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                all.spawn(async move { converse(socket, &*answer, &seen).await });
            }
        });
        Self { peer, requests, connections, task }
    }

    pub async fn doing(steps: Vec<ServerAction>) -> Self {
        Self::start(move |_, _| steps.clone()).await
    }

    /// Always answers 200 with this body.
    pub async fn saying(body: impl AsRef<[u8]>) -> Self {
        Self::doing(vec![ok(body)]).await
    }

    pub fn request(&self, number: usize) -> String {
        self.requests.lock()[number].clone()
    }

    pub fn count(&self) -> usize {
        self.requests.lock().len()
    }
}

impl Drop for PeerServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(
    mut socket: TcpStream,
    answer: &(impl Fn(usize, &str) -> Vec<ServerAction> + Send + Sync),
    seen: &Mutex<Vec<String>>,
) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.ok()?);
        }
        let text = String::from_utf8(head).unwrap();
        let number = {
            let mut all = seen.lock();
            all.push(text.clone());
            all.len() - 1
        };
        for step in answer(number, &text) {
            match step {
                ServerAction::Say(bytes) => socket.write_all(&bytes).await.ok()?,
                ServerAction::SayForEver(bytes) => loop {
                    socket.write_all(&bytes).await.ok()?;
                },
                ServerAction::Trickle(bytes, pause) => loop {
                    socket.write_all(&bytes).await.ok()?;
                    tokio::time::sleep(pause).await;
                },
                ServerAction::Hang => {
                    socket.read_u8().await.ok()?;
                }
                ServerAction::Close => return None,
                ServerAction::Reset => {
                    socket.set_zero_linger().ok()?;
                    return None;
                }
            }
        }
    }
}

/// An answer with this status line and these headers, and a body of the right length.
pub fn with(status: &str, headers: &str, body: impl AsRef<[u8]>) -> ServerAction {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    ServerAction::Say([head.as_bytes(), body].concat())
}

pub fn ok(body: impl AsRef<[u8]>) -> ServerAction {
    with("200 OK", "", body)
}

/// The head of an answer whose body is as long as the connection lasts.
pub fn endless(headers: &str) -> ServerAction {
    ServerAction::Say(format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{headers}\r\n").into_bytes())
}

pub fn limits() -> PeerLimits {
    PeerLimits {
        dates: crate::replicate::peer::Dates::default(),
        throttle: Throttle::default(),
        connect: Duration::from_millis(500),
        silence: Duration::from_millis(500),
        listing_time: Duration::from_secs(3),
        listing_bytes: 1 << 20,
        listing_entries: 10_000,
        file_bytes: 1 << 20,
        file_time: Duration::from_secs(3),
        slow_window: Duration::from_millis(700),
        slow_bytes: 1000,
        idle_connections: 5,
    }
}

pub fn client() -> PeerClient {
    PeerClient::new(limits(), &crate::net::tls::trusting_nobody().unwrap()).unwrap()
}

pub fn channel() -> Channel {
    Channel::new("c").unwrap()
}

pub fn quality() -> Quality {
    Quality::new("q").unwrap()
}

pub fn hour() -> Hour {
    Hour::parse("2019-11-13T02").unwrap()
}

pub fn place() -> HourPlace {
    HourPlace { stream: Stream { channel: channel(), quality: quality() }, hour: hour() }
}
