//! Compresses JSON that is made for each request anew. What is kept in several encodings (`listing`, `page`) is chosen there.
//!
//! A status of 600 qualities has 150 kB, of which a tenth is left. The answer is in memory as a whole and stays that, so that its length is
//! sent, and counted, as that of any other. What has a tag of its own chooses for itself, since the tag says which encoding it is of.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, ETAG, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::Body as _;

use super::app::App;
use super::negotiate::{Effort, Encoding, encode, negotiate};

/// Smaller answers take a packet whatever their encoding.
const SMALL: usize = 1 << 10;

/// Middleware around every handler.
pub(super) async fn compress(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let accepted = negotiate(request.headers());
    let mut response = next.run(request).await;
    let headers = response.headers();
    let is_json = headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    let has_chosen = headers.contains_key(ETAG) || headers.contains_key(VARY);
    if response.status() != StatusCode::OK || !is_json || has_chosen {
        return response;
    }
    let size = response.body().size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default();
    let mut encoding = unless_small(accepted, size);
    if encoding != Encoding::Identity {
        // All of it is there already.
        let plain = to_bytes(std::mem::take(response.body_mut()), size).await.unwrap_or_default();
        let body;
        (body, encoding) = compressed(&app, plain, encoding).await;
        *response.body_mut() = Body::from(body);
    }
    encoding.describe(response.headers_mut());
    response
}

/// In which encoding so many bytes of JSON are sent.
pub(super) fn encoding_for(asked: &HeaderMap, size: usize) -> Encoding {
    unless_small(negotiate(asked), size)
}

fn unless_small(accepted: Encoding, size: usize) -> Encoding {
    if size < SMALL { Encoding::Identity } else { accepted }
}

/// The bytes in this encoding, made off the threads that serve connections; as they are where others take all places for that. Nobody waits
/// for one: what waits is held without being counted (`budget`).
pub(super) async fn compressed(app: &Arc<App>, plain: Bytes, encoding: Encoding) -> (Bytes, Encoding) {
    if encoding == Encoding::Identity {
        return (plain, encoding);
    }
    let Some(place) = app.encoder() else { return (plain, Encoding::Identity) };
    let given = plain.clone();
    let work = move || {
        let _place = place;
        encode(encoding, Effort::Once, &given)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(body)) => (body, encoding),
        _ => (plain, Encoding::Identity),
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_node::TestNode;
    use super::*;

    #[tokio::test]
    async fn what_is_small_or_not_json_or_no_answer_stays_as_it_is() {
        let node = TestNode::new();
        let asked = [("accept-encoding", "gzip, zstd")];
        let (_, small, body) = node.ask("/api/v1/streams", &asked).await;
        assert!(body.len() < SMALL && serde_json::from_slice::<serde_json::Value>(&body).is_ok());
        assert_eq!((small.get("content-encoding"), small[VARY].as_bytes()), (None, b"accept-encoding".as_slice()));
        for path in ["/api/v1/nothing", "/api/v1/map/a/source", "/metrics"] {
            let (_, headers, _) = node.ask(path, &asked).await;
            assert_eq!(headers.get("content-encoding"), None, "{path}");
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_a_place_to_compress() {
        let node = TestNode::new();
        let asked = [("accept-encoding", "gzip")];
        let all: Vec<_> = std::iter::from_fn(|| node.app.encoder()).collect();
        assert!(!all.is_empty());
        let (_, plain, _) = node.ask("/api/v1/openapi.json", &asked).await;
        drop(all);
        let (_, packed, _) = node.ask("/api/v1/openapi.json", &asked).await;
        assert_eq!((plain.get("content-encoding"), packed["content-encoding"].as_bytes()), (None, b"gzip".as_slice()));
    }

    #[tokio::test]
    async fn what_is_held_for_a_client_is_what_is_sent() {
        let node = TestNode::new();
        let (_, headers, body) = node.ask("/api/v1/openapi.json", &[("accept-encoding", "gzip")]).await;
        let (_, _, plain) = node.ask("/api/v1/openapi.json", &[]).await;
        assert_eq!(headers["content-length"], body.len().to_string());
        assert!(body.len() * 5 < plain.len(), "{} of {}", body.len(), plain.len());
    }
}
