//! Whether a peer really has what it lists: neither a promise of bytes nor the first of them is any proof.

use reqwest::StatusCode;

use super::server::{PeerServer, ServerAction, client, place};
use crate::replicate::peer::{PeerError, ProbeAnswer};

/// A segment of these five bytes.
const BYTES: &[u8] = b"hello";
const NAME: &str = "00:00-2.0-full-LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ.ts";
const WHOLE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5";

async fn asked_for(head: &str, body: &[u8], most: u64) -> Result<ProbeAnswer, PeerError> {
    let answer = [head.as_bytes(), b"\r\nConnection: close\r\n\r\n", body].concat();
    let server = PeerServer::doing(vec![ServerAction::Say(answer), ServerAction::Close]).await;
    client().gives_segment(&server.peer, &place(), NAME, most).await
}

async fn asked(head: &str, body: &[u8]) -> Result<ProbeAnswer, PeerError> {
    asked_for(head, body, 100).await
}

#[tokio::test]
async fn a_segment_is_there_when_all_of_it_comes() {
    assert_eq!(asked(WHOLE, BYTES).await.unwrap(), ProbeAnswer::Right(5));
    for status in ["404 Not Found", "410 Gone"] {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0");
        assert_eq!(asked(&head, b"").await.unwrap(), ProbeAnswer::Nothing);
    }
}

#[tokio::test]
async fn one_byte_for_every_file_is_no_segment() {
    assert_eq!(asked("HTTP/1.1 200 OK\r\nContent-Length: 1", b"G").await.unwrap(), ProbeAnswer::Wrong(1));
    assert_eq!(asked(WHOLE, b"hullo").await.unwrap(), ProbeAnswer::Wrong(5));
    assert_eq!(asked("HTTP/1.1 200 OK\r\nContent-Length: 0", b"").await.unwrap(), ProbeAnswer::Wrong(0));
    // A part that nobody asked for.
    let part = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/5\r\nContent-Length: 1";
    assert_eq!(asked(part, b"G").await.unwrap_err().status(), Some(StatusCode::PARTIAL_CONTENT));
}

#[tokio::test]
async fn what_breaks_off_fails_or_is_too_much_is_not_known() {
    assert!(matches!(asked(WHOLE, b"hel").await, Err(PeerError::Broken { .. })));
    let failed = asked("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0", b"").await.unwrap_err();
    assert_eq!(failed.status(), Some(StatusCode::INTERNAL_SERVER_ERROR));
    assert!(matches!(asked_for(WHOLE, BYTES, 4).await, Err(PeerError::TooLarge { .. })));
}
