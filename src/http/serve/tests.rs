//! The accept loop: what is closed, what is not, and how it ends.
//!
//! Connections are pipes in memory and time is virtual, so that what is found does not depend on how busy the machine is. The last two
//! tests use sockets.

use std::time::Duration;

use axum::body::Bytes;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use super::*;

const REQUEST: &[u8] = b"GET /short HTTP/1.1\r\nHost: a\r\n\r\n";

/// What a pipe holds before its writer has to wait, as a socket's buffer does.
const PIPE: usize = 64 << 10;

/// An answer that no buffer holds.
const LARGE: usize = 64 << 20;

struct Server {
    connect: mpsc::UnboundedSender<DuplexStream>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

/// Hands over the far ends of pipes as connections.
struct Pipes(Mutex<mpsc::UnboundedReceiver<DuplexStream>>);

impl Listener for Pipes {
    type Stream = DuplexStream;

    async fn accept(&self) -> io::Result<(DuplexStream, SocketAddr)> {
        let stream = self.0.lock().await.recv().await.ok_or(io::ErrorKind::BrokenPipe)?;
        Ok((stream, SocketAddr::from(([127, 0, 0, 1], 1))))
    }
}

fn quick() -> ConnectionLimits {
    ConnectionLimits {
        header_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(600),
        body_timeout: Duration::from_millis(200),
        write_stall_timeout: Duration::from_millis(300),
        drain: Duration::from_millis(500),
        ..ConnectionLimits::default()
    }
}

fn app() -> Router {
    Router::new()
        .route("/short", get(|| async { "short" }).put(|body: Bytes| async move { body.len().to_string() }))
        .route("/peer", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }))
        .route(
            "/slow/{ms}",
            get(|path: axum::extract::Path<u64>| async move {
                tokio::time::sleep(Duration::from_millis(path.0)).await;
                "slow"
            }),
        )
        .route("/large", get(|| async { Bytes::from(vec![b'x'; LARGE]) }))
}

fn start(limits: ConnectionLimits) -> Server {
    let (connect, connections) = mpsc::unbounded_channel();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(serve(Pipes(Mutex::new(connections)), app(), limits, None, shutdown.clone()));
    Server { connect, shutdown, task }
}

impl Server {
    fn connect(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        self.connect.send(theirs).unwrap();
        ours
    }
}

/// Reads until the peer closes, for at most ten seconds; `None` when it does not close.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    match tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes)).await {
        Ok(_closed_or_reset) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(_) => None,
    }
}

async fn ask(stream: &mut DuplexStream) -> String {
    stream.write_all(REQUEST).await.unwrap();
    let mut buffer = [0; 1024];
    let read = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut buffer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_and_then_closed_when_idle() {
    let server = start(quick());
    let mut stream = server.connect();
    for _ in 0..3 {
        assert!(ask(&mut stream).await.ends_with("\r\n\r\nshort"));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(rest(&mut stream).await.as_deref(), Some(""));
    assert_eq!(rest(&mut server.connect()).await.as_deref(), Some(""));
}

#[tokio::test(start_paused = true)]
async fn a_head_or_body_that_trickles_is_cut() {
    let server = start(quick());
    for beginning in
        [&b"G"[..], b"GET /short HTTP/1.1\r\nHost: ", b"PUT /short HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n"]
    {
        let mut stream = server.connect();
        stream.write_all(beginning).await.unwrap();
        let began = Instant::now();
        while stream.write_all(b"x").await.is_ok() && began.elapsed() < Duration::from_secs(2) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(began.elapsed() < Duration::from_secs(2), "{}", String::from_utf8_lossy(beginning));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_handler_is_not_cut() {
    let server = start(quick());
    let mut stream = server.connect();
    stream.write_all(b"GET /slow/1000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(rest(&mut stream).await.unwrap().ends_with("slow"));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_cut_and_one_that_reads_slowly_is_not() {
    let server = start(quick());
    let (mut deaf, mut slow) = (server.connect(), server.connect());
    for stream in [&mut deaf, &mut slow] {
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    }
    let mut buffer = vec![0; 1 << 20];
    let mut read_slowly = 0;
    // Fifty seconds, of which each is within the limit of 300 ms.
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        read_slowly += slow.read(&mut buffer).await.unwrap();
    }
    let full = rest(&mut slow).await.unwrap().len() + read_slowly;
    assert!(full > LARGE, "{full}");
    assert!(rest(&mut deaf).await.unwrap().len() < LARGE);
}

#[tokio::test(start_paused = true)]
async fn at_the_cap_the_one_that_waited_longest_gives_way() {
    let server = start(ConnectionLimits { max_connections: 2, idle_timeout: Duration::from_secs(60), ..quick() });
    let mut busy = server.connect();
    busy.write_all(b"GET /slow/900 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut idle = server.connect();
    assert!(ask(&mut idle).await.ends_with("short"));
    let mut new = server.connect();
    assert!(ask(&mut new).await.ends_with("short"));
    assert_eq!(rest(&mut idle).await.as_deref(), Some(""));
    assert!(rest(&mut busy).await.unwrap().ends_with("slow"));
}

#[tokio::test(start_paused = true)]
async fn at_the_cap_whoever_takes_nothing_gives_way() {
    let server =
        start(ConnectionLimits { max_connections: 3, write_stall_timeout: Duration::from_secs(60), ..quick() });
    let mut deaf = Vec::new();
    for _ in 0..3 {
        let mut stream = server.connect();
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        // None of them waits for anything.
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        deaf.push(stream);
    }
    assert!(ask(&mut server.connect()).await.ends_with("short"));
}

#[tokio::test(start_paused = true)]
async fn who_closes_their_half_after_asking_is_answered_and_then_closed() {
    let server = start(quick());
    for path in ["/short", "/slow/300"] {
        let mut stream = server.connect();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let began = Instant::now();
        let answer = rest(&mut stream).await.unwrap();
        assert!(answer.ends_with("short") || answer.ends_with("slow"), "{answer}");
        assert!(began.elapsed() < quick().idle_timeout, "it is closed after its answer");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_says_once_whom_it_is_for() {
    let server = start(quick());
    for (head, status) in [
        ("GET /short HTTP/1.1\r\n", "400"),
        ("GET /short HTTP/1.1\r\nHost: a\r\nHost: a\r\n", "400"),
        ("GET /short HTTP/1.1\r\nHost: a, b\r\n", "400"),
        ("GET /short HTTP/1.0\r\n", "200"),
        ("GET http://a/short HTTP/1.1\r\nHost: a\r\n", "200"),
    ] {
        let mut stream = server.connect();
        stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await.unwrap();
        assert_eq!(answer.get(9..12), Some(status), "{head}: {answer}");
        assert_eq!(answer.contains("application/problem+json"), status == "400", "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_what_is_in_hand_and_not_for_ever() {
    let server = start(quick());
    let (mut idle, mut short, mut long) = (server.connect(), server.connect(), server.connect());
    assert!(ask(&mut idle).await.ends_with("short"));
    short.write_all(b"GET /slow/200 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    long.write_all(b"GET /slow/5000 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    server.shutdown.cancel();
    assert_eq!(rest(&mut idle).await.as_deref(), Some(""));
    assert!(rest(&mut short).await.unwrap().ends_with("slow"));
    assert!(!rest(&mut long).await.unwrap().contains("slow"));
    server.task.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(server.connect.is_closed());
}

/// Serves on a socket.
fn listening() -> (SocketAddr, CancellationToken) {
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let at = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    tokio::spawn(serve(listener, app(), quick(), None, shutdown.clone()));
    (at, shutdown)
}

#[tokio::test]
async fn handlers_learn_who_asks_and_long_heads_are_refused() {
    let (at, shutdown) = listening();
    let mut stream = TcpStream::connect(at).await.unwrap();
    let own = stream.local_addr().unwrap().to_string();
    stream.write_all(b"GET /peer HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(rest(&mut stream).await.unwrap().ends_with(&own));
    let mut long = TcpStream::connect(at).await.unwrap();
    long.write_all(format!("GET /short HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(60_000)).as_bytes()).await.unwrap();
    let answer = rest(&mut long).await.unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    shutdown.cancel();
}

#[tokio::test]
async fn whoever_takes_nothing_from_a_socket_is_cut() {
    let (at, shutdown) = listening();
    let mut deaf = TcpStream::connect(at).await.unwrap();
    deaf.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let cut = async {
        while deaf.write_all(b"\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), cut).await.unwrap();
    shutdown.cancel();
}
