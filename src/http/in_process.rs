//! The routes without a connection: for commands that work on an archive which no daemon has open.
//!
//! They are the daemon's own, so that an answer is the same whoever gives it. Nobody shows a token: whoever has the archive locked and its
//! index open may change it. Nothing is listened to, and no job runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::ConnectInfo;
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{HeaderValue, Request, Response};
use axum::{BoxError, body};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{App, HttpMetrics, ServedNode, router};

/// The routes, and what ends them.
pub struct InProcess {
    routes: Router,
    app: Arc<App>,
    ending: CancellationToken,
}

impl InProcess {
    /// Over what a node shares.
    pub fn new(node: ServedNode) -> prometheus::Result<Self> {
        let metrics = HttpMetrics::register(&node.registry, Arc::default())?;
        let ending = CancellationToken::new();
        let app = Arc::new(App::new(node)?.until(ending.clone()));
        Ok(Self { routes: router(Arc::clone(&app), &metrics), app, ending })
    }

    /// The answer to a request; its body is still to be read.
    pub async fn answer<B>(&self, mut request: Request<B>) -> Response<BodyDataStream>
    where
        B: HttpBody<Data = body::Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        if let Ok(bearer) = HeaderValue::try_from(format!("Bearer {}", self.app.node.auth.own().secret())) {
            headers.insert(AUTHORIZATION, bearer);
        }
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
        let Ok(response) = self.routes.clone().oneshot(request).await;
        response.map(Body::into_data_stream)
    }

    /// Ends what still works although nobody waits for it, such as a scrub within a file, or an upload, which is ended in the bucket: the
    /// index can be closed then.
    pub async fn end(&self) {
        self.ending.cancel();
        self.app.node.ffmpeg.end();
        // They are never closed, so that this only waits.
        drop(self.app.scrubbing.acquire().await);
        drop(self.app.archiving.acquire().await);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;

    use super::super::test_node::TestNode;
    use super::*;

    async fn asked(routes: &InProcess, request: Request<Body>) -> (u16, Vec<u8>) {
        let (head, body) = routes.answer(request).await.into_parts();
        let pieces: Vec<body::Bytes> = body.try_collect().await.unwrap();
        (head.status.as_u16(), pieces.concat())
    }

    #[tokio::test]
    async fn what_changes_something_is_answered_without_a_token() {
        let node = TestNode::new();
        node.put("a/source/2019-11-13T02", []);
        let routes = InProcess { routes: node.routes(), app: Arc::clone(&node.app), ending: node.ending.clone() };
        let read = Request::get("http://localhost/files").body(Body::empty()).unwrap();
        assert_eq!(asked(&routes, read).await, (200, b"[\"a\"]".to_vec()));
        let write = Request::post("http://localhost/api/v1/tombstones").body(Body::from("{\"paths\": []}")).unwrap();
        assert_eq!(asked(&routes, write).await.0, 200);
        routes.end().await;
    }
}
