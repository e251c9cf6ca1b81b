//! What a connection is doing, in a few atomics, so that one sweep a second can find those that do nothing.
//!
//! Timers per connection, re-armed at every request or write, would cost more than the requests; here the hot path
//! stores a number now and then. This judges connections; it neither accepts nor closes them (`serve` does).
//!
//! A connection is always in one of these, and each has its limit:
//! 0. shaking hands, where it is encrypted: `header_timeout`, from the moment it was accepted;
//! 1. waiting for a request: `idle_timeout`;
//! 2. in the middle of a request's head, however busily it trickles: `header_timeout`;
//! 3. a request with a body that has no answer yet: `body_timeout`;
//! 4. a request without a body that has no answer yet: the handler's own limit, so that long polling works;
//! 5. a response under way, or bytes that the kernel does not take: `write_stall_timeout` without progress. While the
//!    response has nothing to give, because we are still making it, nobody but the handler is late: that is 4 again.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::limits::Limits;

/// A clock that costs one load to read; `tick` moves it. Zero never comes up: it means "not since".
#[derive(Debug)]
pub(super) struct CoarseClock {
    began: Instant,
    now_ms: AtomicU64,
}

impl CoarseClock {
    pub(super) fn start() -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), now_ms: AtomicU64::new(1) })
    }

    pub(super) fn tick(&self) -> u64 {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        self.now_ms.store(now, Relaxed);
        now
    }

    fn now(&self) -> u64 {
        self.now_ms.load(Relaxed)
    }
}

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    Handshake,
    Idle,
    Header,
    Body,
    Stalled,
}

/// What one connection is doing.
#[derive(Debug)]
pub(super) struct Activity {
    clock: Arc<CoarseClock>,
    pub(super) peer: SocketAddr,
    in_flight: AtomicU32,
    responses: AtomicU32,
    /// Of the responses those that have nothing to give yet.
    in_the_making: AtomicU32,
    handshake_since: AtomicU64,
    idle_since: AtomicU64,
    header_since: AtomicU64,
    receiving_since: AtomicU64,
    blocked_since: AtomicU64,
    progress_at: AtomicU64,
    draining: AtomicBool,
    waker: OnceLock<Waker>,
}

impl Activity {
    pub(super) fn new(clock: Arc<CoarseClock>, peer: SocketAddr) -> Self {
        let now = clock.now();
        Self {
            clock,
            peer,
            in_flight: AtomicU32::new(0),
            responses: AtomicU32::new(0),
            in_the_making: AtomicU32::new(0),
            handshake_since: AtomicU64::new(0),
            idle_since: AtomicU64::new(now),
            header_since: AtomicU64::new(0),
            receiving_since: AtomicU64::new(0),
            blocked_since: AtomicU64::new(0),
            progress_at: AtomicU64::new(now),
            draining: AtomicBool::new(false),
            waker: OnceLock::new(),
        }
    }

    /// The handshake begins. However busily the other side does that, it counts from here.
    pub(super) fn begin_handshake(&self) {
        self.handshake_since.store(self.clock.now(), Relaxed);
    }

    /// The handshake is done, and a request may come.
    pub(super) fn end_handshake(&self) {
        self.idle_since.store(self.clock.now(), Relaxed);
        self.handshake_since.store(0, Relaxed);
    }

    /// Since when it has been waiting for a handshake or a request, or in the middle of a head; `None` while it has work in hand.
    pub(super) fn waiting_since(&self) -> Option<u64> {
        let is_idle = self.in_flight.load(Relaxed) == 0 && self.blocked_since.load(Relaxed) == 0;
        let waiting = is_idle || self.handshake_since.load(Relaxed) != 0;
        waiting.then(|| self.idle_since.load(Relaxed))
    }

    /// What it has taken too long for, if anything.
    pub(super) fn overdue(&self, now: u64, limits: &Limits) -> Option<Overdue> {
        let longer = |since: u64, limit: std::time::Duration| {
            since != 0 && u128::from(now.saturating_sub(since)) > limit.as_millis()
        };
        let handshake_since = self.handshake_since.load(Relaxed);
        if handshake_since != 0 {
            return longer(handshake_since, limits.header_timeout).then_some(Overdue::Handshake);
        }
        let blocked_since = self.blocked_since.load(Relaxed);
        if blocked_since != 0 {
            // A body that was handed over at once is not in flight any more, but the connection is not idle either.
            return longer(blocked_since, limits.write_stall_timeout).then_some(Overdue::Stalled);
        }
        if self.in_flight.load(Relaxed) > 0 {
            let to_be_taken = self.responses.load(Relaxed) > self.in_the_making.load(Relaxed);
            if to_be_taken && longer(self.progress_at.load(Relaxed), limits.write_stall_timeout) {
                return Some(Overdue::Stalled);
            }
            return longer(self.receiving_since.load(Relaxed), limits.body_timeout).then_some(Overdue::Body);
        }
        if longer(self.header_since.load(Relaxed), limits.header_timeout) {
            return Some(Overdue::Header);
        }
        longer(self.idle_since.load(Relaxed), limits.idle_timeout).then_some(Overdue::Idle)
    }

    /// Asks the connection to end after what it has in hand.
    pub(super) fn drain(&self) {
        self.draining.store(true, SeqCst);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// To be asked at every poll of the connection's task: whether to end after what is in hand.
    pub(super) fn is_draining(&self, cx: &Context<'_>) -> bool {
        // A task's waker stays the same for its life, so the first one does.
        self.waker.get_or_init(|| cx.waker().clone());
        self.draining.load(SeqCst)
    }

    fn note_read(&self, bytes: usize) {
        if bytes > 0 && self.in_flight.load(Relaxed) == 0 && self.header_since.load(Relaxed) == 0 {
            self.header_since.store(self.clock.now(), Relaxed);
        }
    }

    fn note_write(&self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Pending if self.blocked_since.load(Relaxed) == 0 => {
                self.blocked_since.store(self.clock.now(), Relaxed);
            }
            Poll::Ready(Ok(written)) if *written > 0 => {
                let now = self.clock.now();
                self.progress_at.store(now, Relaxed);
                if self.blocked_since.load(Relaxed) != 0 {
                    self.idle_since.store(now, Relaxed);
                    self.blocked_since.store(0, Relaxed);
                }
            }
            Poll::Pending | Poll::Ready(_) => {}
        }
    }
}

/// A request that is not answered to its last byte yet. Dropping it ends it, however that comes about.
#[derive(Debug)]
pub(super) struct InHand {
    activity: Arc<Activity>,
    responding: bool,
    making: bool,
}

impl InHand {
    pub(super) fn begin(activity: &Arc<Activity>, has_body: bool) -> Self {
        let now = activity.clock.now();
        activity.in_flight.fetch_add(1, Relaxed);
        activity.header_since.store(0, Relaxed);
        if has_body {
            activity.receiving_since.store(now, Relaxed);
        }
        Self { activity: Arc::clone(activity), responding: false, making: false }
    }

    /// The response's head is ready; from here on the peer has to take it.
    pub(super) fn respond<B>(mut self, inner: B) -> Observed<B> {
        self.responding = true;
        self.activity.receiving_since.store(0, Relaxed);
        self.activity.progress_at.store(self.activity.clock.now(), Relaxed);
        self.activity.responses.fetch_add(1, Relaxed);
        Observed { inner, in_hand: self }
    }

    /// Whether the response has nothing to give yet. When it has, the peer's time begins anew.
    fn note_making(&mut self, making: bool) {
        if self.making == making {
            return;
        }
        self.making = making;
        if making {
            self.activity.in_the_making.fetch_add(1, Relaxed);
        } else {
            self.activity.progress_at.store(self.activity.clock.now(), Relaxed);
            self.activity.in_the_making.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.note_making(false);
        if self.responding {
            self.activity.responses.fetch_sub(1, Relaxed);
        }
        self.activity.receiving_since.store(0, Relaxed);
        self.activity.idle_since.store(self.activity.clock.now(), Relaxed);
        self.activity.in_flight.fetch_sub(1, Relaxed);
    }
}

/// A response body that keeps its request in hand until it has ended.
#[derive(Debug)]
pub(super) struct Observed<B> {
    inner: B,
    in_hand: InHand,
}

impl<B: http_body::Body<Data = Bytes> + Unpin> http_body::Body for Observed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.inner).poll_frame(cx);
        this.in_hand.note_making(frame.is_pending());
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A stream that notes what is written to it. It stands next to the socket: what the kernel takes is what counts.
#[derive(Debug)]
pub(super) struct WatchedWrites<S> {
    io: S,
    activity: Arc<Activity>,
}

/// A stream that notes what is read from it. It stands outside of encryption: only what is asked begins a request.
#[derive(Debug)]
pub(super) struct WatchedReads<S> {
    io: S,
    activity: Arc<Activity>,
}

impl<S> WatchedWrites<S> {
    pub(super) fn new(io: S, activity: Arc<Activity>) -> Self {
        Self { io, activity }
    }
}

impl<S> WatchedReads<S> {
    pub(super) fn new(io: S, activity: Arc<Activity>) -> Self {
        Self { io, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedWrites<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedWrites<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.io).poll_write(cx, buf);
        this.activity.note_write(&result);
        result
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.activity.note_write(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedReads<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut this.io).poll_read(cx, buf));
        this.activity.note_read(buf.filled().len() - before);
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedReads<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activity() -> Arc<Activity> {
        Arc::new(Activity::new(CoarseClock::start(), SocketAddr::from(([127, 0, 0, 1], 1))))
    }

    #[test]
    fn each_state_has_its_limit() {
        let limits = Limits::default();
        let ms = |limit: std::time::Duration| u64::try_from(limit.as_millis()).unwrap() + 2;
        let activity = activity();
        activity.begin_handshake();
        activity.note_write(&Poll::Pending);
        assert!(activity.waiting_since().is_some());
        assert_eq!(activity.overdue(ms(limits.header_timeout), &limits), Some(Overdue::Handshake));
        activity.note_write(&Poll::Ready(Ok(1)));
        activity.end_handshake();
        assert_eq!(activity.overdue(ms(limits.idle_timeout) - 5, &limits), None);
        assert_eq!(activity.overdue(ms(limits.idle_timeout), &limits), Some(Overdue::Idle));
        activity.note_read(1);
        assert_eq!(activity.overdue(ms(limits.header_timeout), &limits), Some(Overdue::Header));
        let with_body = InHand::begin(&activity, true);
        assert!(activity.waiting_since().is_none());
        assert_eq!(activity.overdue(ms(limits.body_timeout), &limits), Some(Overdue::Body));
        drop(with_body);
        let polling = InHand::begin(&activity, false);
        assert_eq!(activity.overdue(u64::MAX, &limits), None);
        let responding = polling.respond(axum::body::Body::empty());
        assert_eq!(activity.overdue(ms(limits.write_stall_timeout), &limits), Some(Overdue::Stalled));
        drop(responding);
        assert!(activity.waiting_since().is_some());
        activity.note_write(&Poll::Pending);
        assert!(activity.waiting_since().is_none());
        assert_eq!(activity.overdue(ms(limits.write_stall_timeout), &limits), Some(Overdue::Stalled));
        let impatient = Limits { idle_timeout: std::time::Duration::ZERO, ..limits.clone() };
        assert_eq!(activity.overdue(5, &impatient), None, "what is still being sent is not idle");
        activity.note_write(&Poll::Ready(Ok(5)));
        assert_eq!(activity.overdue(1, &limits), None);
    }

    #[test]
    fn a_response_that_is_still_made_is_not_the_peers_fault() {
        use http_body::Body as _;
        let limits = Limits::default();
        let stalled = u64::try_from(limits.write_stall_timeout.as_millis()).unwrap() + 2;
        let activity = activity();
        let (sender, pieces) = tokio::sync::mpsc::channel(2);
        let pieces = futures_util::stream::unfold(pieces, |mut pieces| async { Some((pieces.recv().await?, pieces)) });
        let mut body = InHand::begin(&activity, false).respond(axum::body::Body::from_stream(Box::pin(pieces)));
        let has_something =
            |of: &mut Observed<_>| Pin::new(of).poll_frame(&mut Context::from_waker(Waker::noop())).is_ready();
        assert_eq!(activity.overdue(stalled, &limits), Some(Overdue::Stalled), "nobody takes its head");
        assert!(!has_something(&mut body));
        assert_eq!(activity.overdue(u64::MAX, &limits), None, "an encoder is waited for");
        activity.note_write(&Poll::Pending);
        assert_eq!(activity.overdue(stalled, &limits), Some(Overdue::Stalled), "what was made before is not taken");
        activity.note_write(&Poll::Ready(Ok(1)));
        sender.try_send(Ok::<_, io::Error>(Bytes::from_static(b"piece"))).unwrap();
        assert!(has_something(&mut body));
        assert_eq!(activity.overdue(1, &limits), None);
        assert_eq!(activity.overdue(stalled, &limits), Some(Overdue::Stalled), "a piece is not taken");
        assert!(!has_something(&mut body));
        drop(body);
        let next = InHand::begin(&activity, false).respond(axum::body::Body::empty());
        assert_eq!(activity.overdue(stalled, &limits), Some(Overdue::Stalled), "the next one is judged as ever");
        drop(next);
    }
}
