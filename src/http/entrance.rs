//! What every request passes before it is known what is asked: whom it names, repeated slashes, and what browsers may make of the
//! answer. Who may ask is decided behind it (`auth`).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::X_CONTENT_TYPE_OPTIONS;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::app::App;
use super::{Endpoint, Problem};

/// Middleware around all routes.
pub(super) async fn enter(
    State((app, misdirected)): State<(Arc<App>, Endpoint)>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(merged) = merged(request.uri()) {
        *request.uri_mut() = merged;
    }
    let mut response = match foreign_host(&app, &request) {
        Some(problem) => misdirected.begin(&request).finish(problem.into_response()),
        None => next.run(request).await,
    };
    // A file is what its name says it is, whatever its first bytes look like.
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Only over the loopback: from elsewhere a browser needs no trick to reach the node by whatever name it has there.
fn foreign_host(app: &App, request: &Request) -> Option<Problem> {
    let ConnectInfo(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
    if !peer.ip().to_canonical().is_loopback() {
        return None;
    }
    let named = app.node.hosts.foreign(request.uri(), request.headers())?;
    Some(Problem::misdirected(named).at(request.uri().path()))
}

/// The address with each run of slashes in its path as one, if there is a run: a node's address that ends in a slash is often put in
/// front of a path that begins with one. What is percent-encoded stays.
fn merged(uri: &Uri) -> Option<Uri> {
    if !uri.path().contains("//") {
        return None;
    }
    let mut text = String::with_capacity(uri.path().len());
    for char in uri.path().chars() {
        if char != '/' || !text.ends_with('/') {
            text.push(char);
        }
    }
    if let Some(query) = uri.query() {
        text.push('?');
        text.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::super::test_node::TestNode;
    use super::*;

    #[test]
    fn runs_of_slashes_are_one_and_nothing_else_changes() {
        let merged = |text: &str| merged(&text.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(merged("/files/a?b=//c"), None);
        assert_eq!(merged("//files///a//b/?x=//y").as_deref(), Some("/files/a/b/?x=//y"));
        assert_eq!(merged("/segments/%2F%2Fetc//passwd").as_deref(), Some("/segments/%2F%2Fetc/passwd"));
        assert_eq!(merged("http://a.example//files").as_deref(), Some("http://a.example/files"));
    }

    #[tokio::test]
    async fn an_address_that_ends_in_a_slash_reaches_the_same() {
        let node = TestNode::new();
        node.put("a/source/2019-11-13T02", []);
        assert_eq!(node.get::<Vec<String>>("//files").await, ["a"]);
        assert_eq!(node.get::<Vec<String>>("//files//a").await, ["source"]);
        assert_eq!(node.refused("//segments//..//etc").await.0, 403);
        assert_eq!(node.refused("//segments/%2e%2e//etc").await.0, 403);
        assert_eq!(node.refused("/files/%2F%2Fa").await.0, 404);
    }

    #[tokio::test]
    async fn over_the_loopback_a_foreign_name_is_misdirected_and_from_elsewhere_it_is_not() {
        let node = TestNode::new();
        for (peer, host, status) in [
            ("127.0.0.1:5", "evil.example:8000", 421),
            ("[::ffff:127.0.0.1]:5", "evil.example", 421),
            ("127.0.0.1:5", "localhost:8000", 200),
            ("127.0.0.1:5", "archive.example", 200),
            ("192.0.2.1:5", "evil.example", 200),
        ] {
            let (answered, headers, body) = node.ask_from(peer, "/files", &[("host", host)]).await;
            assert_eq!(answered.as_u16(), status, "{peer} {host}: {}", String::from_utf8_lossy(&body));
            assert_eq!(headers["x-content-type-options"], "nosniff");
        }
        let (_, _, body) = node.ask_from("127.0.0.1:5", "/files", &[("host", "evil.example")]).await;
        assert!(String::from_utf8(body).unwrap().contains("[http] hosts"), "it says what to set");
    }
}
