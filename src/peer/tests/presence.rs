//! Whether a peer really has what it lists: a promise of bytes is none.

use reqwest::StatusCode;

use super::server::{Do, Server, client, place};
use crate::peer::PeerError;

/// Serves a segment like this, and is asked for it.
async fn asked(head: &str, body: &[u8]) -> Result<bool, PeerError> {
    let answer = [head.as_bytes(), b"\r\nConnection: close\r\n\r\n", body].concat();
    let server = Server::doing(vec![Do::Say(answer), Do::Close]).await;
    client().serves_segment(&server.peer, &place(), "00:00-2.0-full-x.ts").await
}

#[tokio::test]
async fn a_segment_is_there_when_a_byte_of_it_comes() {
    let part = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/5\r\nContent-Length: 1";
    assert!(asked(part, b"G").await.unwrap());
    // Servers that know no ranges send all of it.
    assert!(asked("HTTP/1.1 200 OK\r\nContent-Length: 5", b"GGGGG").await.unwrap());
    assert!(!asked("HTTP/1.1 404 Not Found\r\nContent-Length: 0", b"").await.unwrap());
}

#[tokio::test]
async fn a_head_without_a_byte_and_a_page_are_no_segment() {
    // The file was opened, and its disk cannot be read.
    let part = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/5\r\nContent-Length: 1";
    assert!(matches!(asked(part, b"").await, Err(PeerError::Broken { .. })));
    let nothing = asked("HTTP/1.1 200 OK\r\nContent-Length: 0", b"").await.unwrap_err();
    assert!(nothing.to_string().contains("expected a segment, found nothing"), "{nothing}");
    let page = asked("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4", b"<p>?").await.unwrap_err();
    assert!(page.to_string().contains("expected a segment, found a page, it begins with \"<p>?\""), "{page}");
    let failed = asked("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0", b"").await.unwrap_err();
    assert_eq!(failed.status(), Some(StatusCode::INTERNAL_SERVER_ERROR));
}
