//! How much memory answers may take that wait for their clients to take them.
//!
//! 1. A page of records has megabytes and is held until it is taken, so that many clients that take nothing would hold gigabytes. What is
//!    held is counted until the connection has given it away, and what does not fit is 503.
//! 2. One client has a quarter of it at most, so that others are answered beside it; a single answer is given however large it is.
//! 3. Whoever has much held for it must take it in minutes ([`super::pace`]), so that a few who trickle do not shut it for all others.
//!
//! Not counted are files and cuts, which are read piece by piece, and playlists and metrics, whose pieces all clients share.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use parking_lot::Mutex;

use super::Problem;
use super::app::App;
use super::connection::Activity;
use super::seats::network;

/// Smaller answers are not counted: what a socket takes at once is nowhere held.
const SMALL: usize = 16 << 10;

/// The answers of these are made in memory, for each client anew.
const COUNTED: [&str; 6] = ["/api/v1/", "/files/", "/extras/", "/frame/", "/waveform/", "/thumbnail/"];
/// The same for an address that begins with a channel.
const COUNTED_END: &str = "/chat.json";

/// What may be held.
#[derive(Debug)]
pub(super) struct AnswerBudget {
    most: usize,
    held: Mutex<HeldBytes>,
}

#[derive(Debug, Default)]
struct HeldBytes {
    total: usize,
    by_client: HashMap<u128, usize>,
}

/// Bytes that are held for a client, until this is dropped.
#[derive(Debug)]
struct Share {
    budget: Arc<AnswerBudget>,
    client: u128,
    connection: Option<Arc<Activity>>,
    bytes: usize,
}

impl AnswerBudget {
    /// Up to so many bytes.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, held: Mutex::default() })
    }

    fn take(self: &Arc<Self>, client: u128, connection: Option<Arc<Activity>>, bytes: usize) -> Option<Share> {
        let mut held = self.held.lock();
        let own = held.by_client.get(&client).copied().unwrap_or_default();
        let fits = |taken: usize, most: usize| taken == 0 || taken.saturating_add(bytes) <= most;
        if !fits(held.total, self.most) || !fits(own, self.most / 4) {
            return None;
        }
        held.total += bytes;
        *held.by_client.entry(client).or_default() += bytes;
        drop(held);
        if let Some(connection) = &connection {
            connection.hold(bytes);
        }
        Some(Share { budget: Arc::clone(self), client, connection, bytes })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.gave(self.bytes);
        }
        let mut held = self.budget.held.lock();
        held.total = held.total.saturating_sub(self.bytes);
        if let Entry::Occupied(mut own) = held.by_client.entry(self.client) {
            let left = own.get().saturating_sub(self.bytes);
            if left == 0 {
                own.remove();
            } else {
                own.insert(left);
            }
        }
    }
}

/// Middleware for every address: counts what is held, and holds no more than may be.
pub(super) async fn hold(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !COUNTED.iter().any(|prefix| path.starts_with(prefix)) && !path.ends_with(COUNTED_END) {
        return next.run(request).await;
    }
    let path = path.to_owned();
    let client = request.extensions().get::<ConnectInfo<SocketAddr>>().map_or(0, |peer| network(peer.0.ip()));
    let connection = request.extensions().get::<Arc<Activity>>().cloned();
    let response = next.run(request).await;
    let size = response.body().size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default();
    if size < SMALL {
        return response;
    }
    let Some(share) = app.budget.take(client, connection, size) else {
        let why = "answers that their clients have not taken yet hold as much memory as they may";
        return Problem::unavailable(5, why).at(&path).into_response();
    };
    let share = Arc::new(share);
    response.map(|inner| Body::new(CountedBody { inner, share }))
}

/// A body whose bytes are counted until the last of them is dropped: the connection holds them longer than the body.
#[derive(Debug)]
struct CountedBody {
    inner: Body,
    share: Arc<Share>,
}

/// Bytes and what they count.
struct Piece {
    bytes: Bytes,
    _share: Arc<Share>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        let share = &this.share;
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| frame.map_data(|bytes| Bytes::from_owner(Piece { bytes, _share: Arc::clone(share) })))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_node::TestNode;
    use super::*;

    #[test]
    fn one_client_has_a_quarter_and_all_have_the_whole() {
        let budget = AnswerBudget::new(100);
        let large = budget.take(1, None, 1_000);
        assert!(large.is_some(), "a single answer is given however large it is");
        assert!(budget.take(2, None, 1).is_none());
        drop(large);
        let quarter = budget.take(1, None, 25).unwrap();
        assert!(budget.take(1, None, 1).is_none());
        let others: Vec<Share> = (2..5).map(|client| budget.take(client, None, 25).unwrap()).collect();
        assert!(budget.take(9, None, 1).is_none());
        drop((quarter, others));
        let held = budget.held.lock();
        assert_eq!((held.total, held.by_client.len()), (0, 0));
    }

    #[tokio::test]
    async fn answers_that_nobody_takes_are_bounded_and_given_back_with_their_last_byte() {
        let node = TestNode::new();
        let names: Vec<String> = (0..300).map(|number| format!("{}{number:04}", "c".repeat(200))).collect();
        for name in &names {
            node.put(&format!("{name}/source/2019-11-13T02"), []);
        }
        let ask = async |client: u8| {
            let peer = ConnectInfo::<SocketAddr>(([192, 0, 2, client], 5).into());
            let request = Request::get("/api/v1/streams").extension(peer).body(Body::empty()).unwrap();
            node.answer(request).await
        };
        let mut deaf = Vec::new();
        let refused = loop {
            let response = ask(1).await;
            if response.status() == 503 {
                break response;
            }
            deaf.push(response);
            assert!(deaf.len() < 100, "somebody takes nothing and holds everything");
        };
        assert!(refused.headers().contains_key("retry-after"));
        assert_eq!(ask(2).await.status(), 200, "others are answered");
        // The connection has the last bytes, and the body has ended.
        let mut body = deaf.pop().unwrap().into_body();
        let taken = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.unwrap().unwrap();
        drop(body);
        assert_eq!(ask(1).await.status(), 503);
        drop(taken);
        assert_eq!(ask(1).await.status(), 200);
    }
}
