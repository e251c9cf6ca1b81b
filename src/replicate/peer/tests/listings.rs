//! Listings from peers that are confused, hostile or gone.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::server::{PeerServer, ServerAction, channel, client, endless, hour, limits, ok, quality, with};
use crate::replicate::peer::{Listing, Peer, PeerClient, PeerError, PeerLimits, PeerUrl};

async fn segments(server: &PeerServer) -> Result<Listing<Box<str>>, PeerError> {
    client().segments(&server.peer, &channel(), &quality(), hour()).await
}

async fn names(server: &PeerServer) -> (Vec<String>, u64) {
    let listing = segments(server).await.unwrap();
    (listing.names.into_iter().map(String::from).collect(), listing.refused)
}

async fn failure(server: &PeerServer) -> PeerError {
    segments(server).await.unwrap_err()
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const GZIP: &str = "Content-Encoding: gzip\r\n";

#[tokio::test]
async fn every_list_asks_for_its_own_address() {
    let server = PeerServer::saying(r#"["2019-11-13T02", "é", "..", "x/y", "x/.y", "2019-11-13T24"]"#).await;
    let (client, peer) = (client(), &server.peer);
    let named = crate::archive::Channel::new("a ?#%").unwrap();
    let channels = client.channels(peer).await.unwrap();
    assert_eq!((channels.names.len(), channels.refused), (3, 3));
    assert_eq!(client.qualities(peer, &named).await.unwrap().refused, 3);
    let hours = client.hours(peer, &channel(), &quality()).await.unwrap();
    assert_eq!((hours.names, hours.refused), (vec![hour()], 5));
    assert_eq!(client.segments(peer, &channel(), &quality(), hour()).await.unwrap().refused, 3);
    let extras = client.extras(peer, "emotes/more").await.unwrap();
    assert_eq!((extras.names.len(), extras.refused), (4, 2));
    let value: Vec<String> = client.get_json(peer, &["api", "v1"], &[("after", "1&2")], 1000).await.unwrap();
    assert_eq!(value.len(), 6);
    let asked: Vec<String> =
        server.requests.lock().iter().map(|head| head.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(
        asked,
        [
            "/files?local=true",
            "/files/a%20%3F%23%25?local=true",
            "/files/c/q?local=true",
            "/files/c/q/2019-11-13T02?tombstones=true&local=true",
            "/extras/emotes/more",
            "/api/v1?after=1%262",
        ]
    );
    assert_eq!(server.connections.load(Ordering::SeqCst), 1, "one connection serves them all");
    let head = server.request(0).to_lowercase();
    assert!(head.contains("accept-encoding: gzip\r\n") && head.contains("user-agent: gapless/"), "{head}");
}

#[tokio::test]
async fn names_are_sorted_and_each_is_there_once() {
    let server = PeerServer::saying(r#"["c.ts", "a.ts", "b.ts", "a.ts", "c.ts"]"#).await;
    assert_eq!(names(&server).await, (vec!["a.ts".to_owned(), "b.ts".to_owned(), "c.ts".to_owned()], 0));
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_dropped_and_counted() {
    // Beside the second no tombstone could lie.
    let (long, forever) = ("x".repeat(256), format!("00:00-2.{}.ts", "0".repeat(240)));
    let bad = ["", ".", "..", ".hidden.ts", "../up.ts", "/etc/passwd", "a/b.ts", "a\0b.ts", &long, &forever];
    let mut all: Vec<&str> = bad.to_vec();
    all.push("good.ts");
    let body = serde_json::to_string(&all).unwrap().replace("\"..\"", "\"..\", \"\\udcff.ts\"");
    let server = PeerServer::saying(body).await;
    assert_eq!(names(&server).await, (vec!["good.ts".to_owned()], bad.len() as u64 + 1));
}

#[tokio::test]
async fn what_is_no_list_is_shown_escaped() {
    for body in ["<html>\x1b[31m\n<title>Welcome", "{\"names\": []}", "", "[\"a\", 1]", "[\"a\"", "[\"a\"] x", "null"] {
        let error = failure(&PeerServer::saying(body).await).await;
        let told = error.to_string();
        assert!(error.is_peers_fault() && !error.is_away() && matches!(error, PeerError::Unexpected { .. }), "{told}");
        assert!(!told.contains(['\x1b', '\n']), "{told}");
        if body.len() > 10 {
            assert!(told.contains(&body[..6].replace('"', "\\\"")), "{told}");
        }
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let other = PeerServer::saying("[]").await;
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let to = format!("Location: {}/x\r\n", other.peer.url);
        let server = PeerServer::doing(vec![with(status, &to, "")]).await;
        let error = failure(&server).await;
        assert!(matches!(error, PeerError::Redirected { .. }) && error.is_peers_fault(), "{error}");
        assert!(error.to_string().contains("not followed") && error.status().is_some(), "{error}");
    }
    assert_eq!(other.count(), 0);
}

#[tokio::test]
async fn other_statuses_are_errors_with_the_peers_words() {
    for status in ["204 No", "206 Part", "304 Same", "400 Bad", "404 None", "410 Gone", "500 Oops", "503 Later"] {
        let body = if status.starts_with(['4', '5']) { r#"{"detail": "because\u001b"}"# } else { "" };
        let server = PeerServer::doing(vec![with(status, "", body)]).await;
        let error = failure(&server).await;
        assert_eq!(error.status().unwrap().as_str(), &status[..3], "{error}");
        assert_eq!(error.to_string().ends_with(r": because\u{1b}"), !body.is_empty(), "{error}");
    }
    let endless = PeerServer::doing(vec![
        ServerAction::Say(b"HTTP/1.1 500 x\r\n\r\n".to_vec()),
        ServerAction::SayForEver(vec![b'x'; 999]),
    ])
    .await;
    assert!(failure(&endless).await.to_string().len() < 400);
}

#[tokio::test]
async fn broken_answers_are_the_peers_fault() {
    for steps in [
        vec![ServerAction::Close],
        vec![ServerAction::Reset],
        vec![ServerAction::Say(b"what?\r\n\r\n".to_vec())],
        vec![ServerAction::Say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n[]".to_vec())],
        vec![ServerAction::Say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[\"a\"".to_vec()), ServerAction::Close],
        vec![
            ServerAction::Say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n[\"a\"\r\n".to_vec()),
            ServerAction::Close,
        ],
        vec![ServerAction::Say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec())],
        vec![
            ServerAction::Say(b"HTTP/1.1 200 OK\r\n".to_vec()),
            ServerAction::SayForEver(b"X-Header: more\r\n".to_vec()),
        ],
    ] {
        let server = PeerServer::doing(steps.clone()).await;
        let error = failure(&server).await;
        assert!(error.is_peers_fault() && matches!(error, PeerError::Broken { .. }), "{steps:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_no_error() {
    let server = PeerServer::start(|number, _| match number {
        1 => vec![ServerAction::Close],
        _ => vec![ok("[]")],
    })
    .await;
    let client = client();
    for _ in 0..2 {
        client.channels(&server.peer).await.unwrap();
    }
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn whoever_is_not_there_is_away() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for url in [format!("http://{address}"), "http://no-such-host.invalid".to_owned()] {
        let peer = Peer { name: "x".to_owned(), url: PeerUrl::parse(&url).unwrap(), trusted: true };
        let error = client().channels(&peer).await.unwrap_err();
        assert!(error.is_away() && !error.is_peers_fault(), "{error}");
        assert!(error.to_string().contains(&url), "{error}");
    }
    let silent = PeerServer::doing(vec![ServerAction::Hang]).await;
    assert!(matches!(failure(&silent).await, PeerError::TimedOut { .. }));
    let stuck = PeerServer::doing(vec![endless(""), ServerAction::Say(b"[\"a\"".to_vec()), ServerAction::Hang]).await;
    assert!(failure(&stuck).await.is_away());
}

#[tokio::test]
async fn an_encrypted_address_is_never_asked_in_clear_text() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut hello = vec![0; 4096];
        let length = socket.read(&mut hello).await.unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        hello.truncate(length);
        hello
    });
    let peer = Peer { name: "x".to_owned(), url: PeerUrl::parse(&url).unwrap(), trusted: true };
    let error = client().channels(&peer).await.unwrap_err();
    assert!(matches!(error, PeerError::Insecure { .. }) && error.is_away() && !error.is_peers_fault(), "{error}");
    assert!(error.to_string().contains("does not speak TLS"), "{error}");
    assert!(!asked.await.unwrap().windows(3).any(|three| three == b"GET"));
}

#[tokio::test]
async fn a_trickle_ends_with_the_time_for_a_listing() {
    let server =
        PeerServer::doing(vec![endless(""), ServerAction::Trickle(b" ".to_vec(), Duration::from_millis(50))]).await;
    let began = Instant::now();
    assert!(matches!(failure(&server).await, PeerError::TimedOut { .. }));
    assert!(began.elapsed() < limits().listing_time + Duration::from_secs(30));
}

#[tokio::test]
async fn too_much_is_not_read() {
    let name = |length: usize| [b"[\"".to_vec(), vec![b'x'; length], b"\"]".to_vec()].concat();
    for (what, steps) in [
        (
            "an endless name",
            vec![endless(""), ServerAction::Say(b"[\"".to_vec()), ServerAction::SayForEver(vec![b'x'; 9999])],
        ),
        (
            "endless names",
            vec![endless(""), ServerAction::Say(b"[".to_vec()), ServerAction::SayForEver(b"\"\",".repeat(999))],
        ),
        ("endless blanks", vec![endless(""), ServerAction::SayForEver(vec![b' '; 9999])]),
        ("a name of 10 MB", vec![ok(name(10 << 20))]),
        ("an announced length", vec![with("200 OK", "", vec![b' '; 2 << 20])]),
    ] {
        let error = failure(&PeerServer::doing(steps).await).await;
        assert!(matches!(error, PeerError::TooLarge { .. }) && error.is_peers_fault(), "{what}: {error}");
    }
}

#[tokio::test]
async fn ten_million_names_end_at_the_bound_with_little_memory() {
    let body = [b"[".to_vec(), b"\"\",".repeat(10_000_000), b"\"\"]".to_vec()].concat();
    let bounds = PeerLimits { listing_bytes: 64 << 20, listing_entries: 1_000_000, ..limits() };
    let client = PeerClient::new(
        PeerLimits { listing_time: Duration::from_secs(60), ..bounds },
        &crate::net::tls::trusting_nobody().unwrap(),
    )
    .unwrap();
    for answer in [ok(&body), with("200 OK", GZIP, gzipped(&body))] {
        let server = PeerServer::doing(vec![answer]).await;
        let error = client.channels(&server.peer).await.unwrap_err();
        assert!(matches!(error, PeerError::TooLarge { limit: 1_000_000, .. }), "{error}");
    }
}

#[tokio::test]
async fn a_listing_may_be_compressed() {
    let server = PeerServer::doing(vec![with("200 OK", GZIP, gzipped(b"[\"b\", \"a\"]"))]).await;
    assert_eq!(names(&server).await, (vec!["a".to_owned(), "b".to_owned()], 0));
}

#[tokio::test]
async fn a_decompression_bomb_ends_at_the_bound() {
    let bomb = gzipped(&[b"[".to_vec(), vec![b' '; 64 << 20]].concat());
    assert!(bomb.len() < limits().listing_bytes);
    let server = PeerServer::doing(vec![with("200 OK", GZIP, bomb)]).await;
    let error = failure(&server).await;
    assert!(matches!(error, PeerError::TooLarge { what: "bytes (decompressed)", .. }), "{error}");
}

#[tokio::test]
async fn compressed_answers_that_are_broken_are_told() {
    let whole = gzipped(b"[\"a\", \"b\"]");
    for cut in 0..whole.len() {
        let server = PeerServer::doing(vec![with("200 OK", GZIP, &whole[..cut])]).await;
        assert!(matches!(failure(&server).await, PeerError::Unexpected { .. }), "cut at {cut}");
    }
    let mut wrong = whole.clone();
    let last = wrong.len() - 5;
    wrong[last] ^= 1;
    let behind = [whole, b"more".to_vec()].concat();
    for (headers, body) in [(GZIP, wrong), (GZIP, behind), ("Content-Encoding: br\r\n", b"[]".to_vec())] {
        let server = PeerServer::doing(vec![with("200 OK", headers, body)]).await;
        assert!(matches!(failure(&server).await, PeerError::Unexpected { .. }));
    }
    let twice = "Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n";
    assert!(failure(&PeerServer::doing(vec![with("200 OK", twice, "[]")]).await).await.is_peers_fault());
}

#[tokio::test]
async fn a_json_value_is_bounded_and_explained() {
    let server = PeerServer::saying(format!("[\"{}\"]", "x".repeat(1000))).await;
    let (client, peer) = (client(), &server.peer);
    assert_eq!(client.get_json::<Vec<String>>(peer, &["x"], &[], 1004).await.unwrap()[0].len(), 1000);
    let large = client.get_json::<Vec<String>>(peer, &["x"], &[], 1003).await.unwrap_err();
    assert!(matches!(large, PeerError::TooLarge { limit: 1003, .. }), "{large}");
    let other = client.get_json::<Vec<u8>>(peer, &["x"], &[], 1004).await.unwrap_err();
    assert!(matches!(other, PeerError::Unexpected { .. }) && other.to_string().contains("it begins with"), "{other}");
    assert!(matches!(client.get_json::<()>(peer, &[".."], &[], 1).await, Err(PeerError::Name(_))));
}
