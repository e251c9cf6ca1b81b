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
//! 5. a response under way, or bytes that the kernel does not take: `write_stall_timeout` without progress, or less than
//!    `min_rate` over such a time. While the response has nothing to give, because we are still making it, nobody but the handler is
//!    late: that is 4 again.
//!
//! A client may close its half of the connection once it has asked (RFC 9112, 9.6), and looks then like one that has gone. It is
//! answered if the answer begins within [`GONE`]; whoever has gone shows it as soon as something is written to them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::limits::ConnectionLimits;
use super::pace::ClientPace;

/// A clock that costs one load to read; `tick` moves it. Zero never comes up: it means "not since".
///
/// It counts the time in which this process ran: where a tick comes later than `longest`, because the process was stopped or got no
/// processor, only that much has passed. No client is late for what we slept through.
#[derive(Debug)]
pub(super) struct CoarseClock {
    began: Instant,
    longest: Duration,
    looked_ms: AtomicU64,
    now_ms: AtomicU64,
}

impl CoarseClock {
    pub(super) fn start(longest: Duration) -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), longest, looked_ms: AtomicU64::new(0), now_ms: AtomicU64::new(1) })
    }

    pub(super) fn tick(&self) -> u64 {
        let looked = whole_ms(self.began.elapsed());
        let passed = looked.saturating_sub(self.looked_ms.fetch_max(looked, Relaxed)).min(whole_ms(self.longest));
        self.now_ms.fetch_add(passed, Relaxed).saturating_add(passed)
    }

    fn now(&self) -> u64 {
        self.now_ms.load(Relaxed)
    }
}

fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// How long somebody is served who has closed their half of the connection, while there is nothing to send. Most answers are there in
/// milliseconds; work for somebody who has gone should not go on for longer.
const GONE: Duration = Duration::from_secs(2);

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    Handshake,
    Idle,
    Header,
    Body,
    Stalled,
    /// Takes less than it must.
    Slow,
    /// Asked, closed its half, and has waited too long for anything.
    Gone,
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
    closed_half_at: AtomicU64,
    pace: ClientPace,
    /// Bytes of answers that are held in memory for it.
    held: AtomicU64,
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
            closed_half_at: AtomicU64::new(0),
            pace: ClientPace::new(now),
            held: AtomicU64::new(0),
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

    /// Since when it has not taken what is there for it, if it does not; how much it took of late says the first number.
    pub(super) fn not_taking(&self) -> Option<(u64, u64)> {
        let since = self.blocked_since.load(Relaxed);
        (since != 0 && self.handshake_since.load(Relaxed) == 0).then(|| (self.pace.of_late(), since))
    }

    /// What it has taken too long for, if anything.
    pub(super) fn overdue(&self, now: u64, limits: &ConnectionLimits) -> Option<Overdue> {
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
            let stalled = longer(blocked_since, limits.write_stall_timeout).then_some(Overdue::Stalled);
            return stalled.or_else(|| {
                self.pace.is_slow(now, blocked_since, self.held.load(Relaxed), limits).then_some(Overdue::Slow)
            });
        }
        if self.in_flight.load(Relaxed) > 0 {
            let to_be_taken = self.responses.load(Relaxed) > self.in_the_making.load(Relaxed);
            let is_still = |since| longer(since, GONE);
            if !to_be_taken && is_still(self.closed_half_at.load(Relaxed)) && is_still(self.progress_at.load(Relaxed)) {
                return Some(Overdue::Gone);
            }
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

    /// So many bytes are held in memory for it, until [`Activity::gave`] says that it has them.
    pub(super) fn hold(&self, bytes: usize) {
        self.held.fetch_add(bytes as u64, Relaxed);
    }

    /// So many bytes are held for it no more.
    pub(super) fn gave(&self, bytes: usize) {
        self.held.fetch_sub(bytes as u64, Relaxed);
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

    /// Whether the end of what is read is only that of the client's half: it has asked, and is not answered yet.
    pub(super) fn has_closed_half(&self) -> bool {
        let asked = self.in_flight.load(Relaxed) > 0 && self.receiving_since.load(Relaxed) == 0;
        if asked && self.closed_half_at.load(Relaxed) == 0 {
            self.closed_half_at.store(self.clock.now(), Relaxed);
        }
        asked
    }

    pub(super) fn note_read(&self, bytes: usize) {
        if bytes > 0 && self.in_flight.load(Relaxed) == 0 && self.header_since.load(Relaxed) == 0 {
            self.header_since.store(self.clock.now(), Relaxed);
        }
    }

    pub(super) fn note_write(&self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Pending if self.blocked_since.load(Relaxed) == 0 => {
                self.blocked_since.store(self.clock.now(), Relaxed);
            }
            Poll::Ready(Ok(written)) if *written > 0 => {
                let now = self.clock.now();
                self.progress_at.store(now, Relaxed);
                self.pace.take(*written);
                let blocked_since = self.blocked_since.load(Relaxed);
                if blocked_since != 0 {
                    self.pace.waited(now, blocked_since);
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
pub(super) struct OpenRequest {
    activity: Arc<Activity>,
    responding: bool,
    making: bool,
}

impl OpenRequest {
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

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.note_making(false);
        if self.responding {
            self.activity.responses.fetch_sub(1, Relaxed);
        }
        self.activity.receiving_since.store(0, Relaxed);
        self.activity.idle_since.store(self.activity.clock.now(), Relaxed);
        self.activity.in_flight.fetch_sub(1, Relaxed);
        if self.activity.closed_half_at.load(Relaxed) != 0
            && let Some(waker) = self.activity.waker.get()
        {
            // What was kept from it, that nothing more will come, it has to be told now.
            waker.wake_by_ref();
        }
    }
}

/// A response body that keeps its request in hand until it has ended.
#[derive(Debug)]
pub(super) struct Observed<B> {
    inner: B,
    in_hand: OpenRequest,
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

#[cfg(test)]
mod tests;
