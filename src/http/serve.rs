//! Accepts connections and keeps every one of them within its limits.
//!
//! An accept loop of our own on hyper-util, because `axum::serve` leaves Nagle's algorithm on and has neither timeouts,
//! nor a cap, nor a deadline for its end. It knows no routes.
//!
//! The life of a connection:
//! 1. accepted, at the cap in the place of the one that has waited longest, or else of the slowest reader of whoever has the most
//!    connections; Nagle's algorithm off; entered in the table;
//! 2. where there is a certificate: shaken hands on, in its own task, within `header_timeout`;
//! 3. served as HTTP/1.1 (what begins as HTTP/2 is closed: its streams would each hold a file, within no limit here);
//! 4. cut by the sweep when it is overdue (see `connection`);
//! 5. at the end asked to finish what it has in hand, and cut after `drain`.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::IntoResponse as _;
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use super::connection::{Activity, CoarseClock, OpenRequest};
use super::connections::ConnectionTable;
use super::counted_stream::{WatchedReads, WatchedWrites};
pub use super::limits::ConnectionLimits;
use super::{Problem, host};
use crate::net::tls;

/// The first and the longest pause after an accept that failed for want of something.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// How often it is told, at most, that connections cannot be accepted.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// How often it is looked for such a connection, when there is no room.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Connections that the kernel keeps for us to accept. The usual 128 are soon full; what comes then tries again a second later.
const BACKLOG: u32 = 4096;

/// Listens on that address.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // The connections of the run before, which the kernel still remembers, are no obstacle.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Where connections come from: the kernel, or in tests pipes in memory, whose time is virtual.
pub trait Listener: Send {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection, and who is at its other end.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            let (stream, peer) = Self::accept(self).await?;
            match stream.set_nodelay(true) {
                Ok(()) => return Ok((stream, peer)),
                Err(error) => {
                    tracing::debug!(name: "connection_gone", %error, "the connection was gone before it was served");
                }
            }
        }
    }
}

/// Serves `app` until `shutdown`, then lets what is in hand finish. Handlers find the peer's address as
/// `ConnectInfo<SocketAddr>`. With a certificate, nothing but TLS is spoken.
pub async fn serve(
    listener: impl Listener,
    app: Router,
    limits: ConnectionLimits,
    tls: Option<Arc<tls::TlsServer>>,
    shutdown: CancellationToken,
) {
    let serving = Serving { app, builder: builder(&limits), tls };
    let table = Arc::new(ConnectionTable::default());
    let clock = CoarseClock::start(limits.longest_sweep());
    let mut sweeping = pin!(sweep(&table, &clock, &limits));
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = &mut sweeping => {}
        () = accept(&listener, &table, &serving, &clock, &limits) => {}
    }
    drop(listener);
    let deadline = Instant::now() + limits.drain;
    table.drain();
    let emptied = async {
        while table.len() > 0 {
            table.freed.notified().await;
        }
    };
    tokio::select! {
        () = emptied => {}
        () = &mut sweeping => {}
        () = tokio::time::sleep_until(deadline) => {
            tracing::warn!(name: "connections_cut", connections = table.len(), "cutting connections that did not finish in time");
            table.cut_all();
        }
    }
}

/// Accepts connections for ever, each in the place of another one where the table is full.
async fn accept(
    listener: &impl Listener,
    table: &Arc<ConnectionTable>,
    serving: &Serving,
    clock: &Arc<CoarseClock>,
    limits: &ConnectionLimits,
) {
    let cap = limits.effective_connections();
    let mut pause = BACKOFF.0;
    let mut told: Option<Instant> = None;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                pause = BACKOFF.0;
                while table.len() >= cap && !table.evict_longest_waiting() && !table.evict_slowest(clock.tick()) {
                    // Whoever takes nothing may be seen to do so meanwhile.
                    tokio::time::timeout(LOOK_AGAIN, table.freed.notified()).await.unwrap_or_default();
                }
                let activity = Arc::new(Activity::new(Arc::clone(clock), peer));
                let connection = run(serving.clone(), stream, Arc::clone(&activity));
                table.spawn(activity, connection);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                let evicted = table.evict_longest_waiting();
                if told.is_none_or(|told| told.elapsed() >= TELL_AGAIN) {
                    told = Some(Instant::now());
                    tracing::warn!(name: "accept_failed", %error, evicted, pause_ms = pause.as_millis(), "cannot accept connections for a moment");
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(BACKOFF.1);
            }
        }
    }
}

/// What every connection is given.
#[derive(Debug, Clone)]
struct Serving {
    app: Router,
    builder: http1::Builder,
    tls: Option<Arc<tls::TlsServer>>,
}

fn builder(limits: &ConnectionLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .keep_alive(true)
        // The sweep does this; hyper would make a timer for each request.
        .header_read_timeout(None)
        // Bodies go out as they lie in memory; flushing pipelines together would copy each into one buffer first, and would
        // keep back the 400 for what is no request.
        .writev(true)
        .max_buf_size(limits.max_header_bytes.max(8192));
    builder
}

/// Cuts connections that are overdue, for ever.
async fn sweep(table: &ConnectionTable, clock: &CoarseClock, limits: &ConnectionLimits) {
    let mut ticks = tokio::time::interval(limits.sweep_interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        table.cut_overdue(clock.tick(), limits);
    }
}

/// Errors that say something about the connection that was to be accepted, not about this process.
fn is_of_one_connection(error: &io::Error) -> bool {
    use Errno as E;
    let of_network = [
        E::CONNABORTED,
        E::CONNRESET,
        E::INTR,
        E::PROTO,
        E::NETDOWN,
        E::HOSTDOWN,
        E::HOSTUNREACH,
        E::NETUNREACH,
        E::TIMEDOUT,
    ];
    Errno::from_io_error(error).is_some_and(|errno| of_network.contains(&errno))
}

/// One connection from its first byte to its last.
async fn run(serving: Serving, stream: impl AsyncRead + AsyncWrite + Unpin, activity: Arc<Activity>) {
    let stream = WatchedWrites::new(stream, Arc::clone(&activity));
    let Some(server) = &serving.tls else {
        return speak(&serving, stream, &activity).await;
    };
    // Boxed, so that connections without it need no room for it.
    if let Some(stream) = Box::pin(shake_hands(server, stream, &activity)).await {
        Box::pin(speak(&serving, stream, &activity)).await;
    }
}

/// Agrees on keys; `None` where that comes to nothing. At the end of the server nobody waits for it.
async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
    server: &tls::TlsServer,
    stream: S,
    activity: &Activity,
) -> Option<tls::TlsAccept<S>> {
    activity.begin_handshake();
    let mut accepting = pin!(server.accept(stream));
    let accepted = poll_fn(|cx| {
        let ends = activity.is_draining(cx);
        if ends { Poll::Ready(None) } else { accepting.as_mut().poll(cx).map(Some) }
    });
    let accepted = accepted
        .await?
        .inspect_err(|error| tracing::debug!(name: "handshake_failed", peer = %activity.peer, %error, "no handshake: it speaks something else, or does not trust the certificate"))
        .ok()?;
    activity.end_handshake();
    Some(accepted)
}

/// Speaks HTTP until the connection ends.
async fn speak(serving: &Serving, stream: impl AsyncRead + AsyncWrite + Unpin, activity: &Arc<Activity>) {
    let service = service_fn(|request| answer(request, serving.app.clone(), activity));
    let io = TokioIo::new(WatchedReads::new(stream, Arc::clone(activity)));
    let mut connection = pin!(serving.builder.serve_connection(io, service));
    let mut asked = false;
    let ended = poll_fn(|cx| {
        if activity.is_draining(cx) && !asked {
            asked = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        tracing::debug!(name: "connection_ended_early", peer = %activity.peer, %error, "connection ended early");
    }
}

/// Hands one request to the routes. What is in hand is known from here until the last byte of the answer.
fn answer(
    mut request: hyper::Request<Incoming>,
    mut app: Router,
    activity: &Arc<Activity>,
) -> impl Future<Output = Result<hyper::Response<super::connection::Observed<Body>>, Infallible>> + Send + use<> {
    let in_hand = OpenRequest::begin(activity, !request.is_end_stream());
    request.extensions_mut().insert(ConnectInfo::<SocketAddr>(activity.peer));
    request.extensions_mut().insert(Arc::clone(activity));
    // A router is always ready.
    let answering = host::check(request.version(), request.headers()).map(|()| app.call(request));
    async move {
        let response = match answering {
            Ok(answering) => answering.await?,
            Err(error) => Problem::bad_host(error).into_response(),
        };
        Ok(response.map(|body| in_hand.respond(body)))
    }
}

#[cfg(test)]
mod tests;
