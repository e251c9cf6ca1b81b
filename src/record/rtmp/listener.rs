//! Ports on which publishers of RTMP are waited for: who comes, with which key, and one at a time.
//!
//! 1. A port is open as long as a recorder waits on it; several recorders may, each for its own path.
//! 2. A peer has [`SHAKES`] until its key is known. There are at most [`GUESTS`] such peers on a port, and a few of one host, so that nobody
//!    keeps others away; of those whose key is right there is one for each recorder.
//! 3. Paths are compared by their hashes in constant time. Whoever has the wrong key is answered after [`PAUSE`].
//! 4. A publisher with the right key takes the place of one that has been silent for [`SILENT`]; otherwise the place is taken.
//! 5. What is not taken from here is not taken from the peer either: nothing collects.

use std::collections::HashMap;
use std::io::{Error, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::flv;
use super::session::{RtmpError, RtmpEvent, RtmpSession};

/// Until a key is known.
const SHAKES: Duration = Duration::from_secs(10);
/// Peers of a port whose key is not known yet, and those of one host.
const GUESTS: (usize, usize) = (16, 4);
/// Before a wrong key is answered: whoever tries them tries few.
const PAUSE: Duration = Duration::from_secs(1);
/// A publisher that was silent so long is gone, although nobody said so.
const SILENT: Duration = Duration::from_secs(5);
/// And so long it is waited for.
const GIVES_UP: Duration = Duration::from_secs(30);
/// Bytes on their way from a peer to ffmpeg.
const UNDERWAY: usize = 256 << 10;
/// What is read at once.
const PIECE: usize = 32 << 10;

/// The ports of this process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RtmpPorts(Arc<Mutex<HashMap<SocketAddr, Weak<OpenPort>>>>);

/// A port; closed with the last recorder that waits on it.
#[derive(Debug)]
struct OpenPort {
    places: Arc<Places>,
    _accepting: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Places {
    all: Mutex<Vec<Arc<Place>>>,
    names: AtomicU64,
    /// The hosts of those whose key is not known yet.
    guests: Mutex<Vec<IpAddr>>,
}

/// A peer whose key is not known yet; no guest any more with the value.
#[derive(Debug)]
struct Guest {
    places: Arc<Places>,
    host: IpAddr,
}

/// Where one recorder waits.
#[derive(Debug)]
struct Place {
    /// Of the path.
    hash: [u8; 32],
    publishers: mpsc::Sender<Publisher>,
    current: Mutex<Option<CurrentPublisher>>,
}

#[derive(Debug)]
struct CurrentPublisher {
    name: u64,
    heard: Instant,
    leave: CancellationToken,
}

/// Somebody who publishes, with the right key.
#[derive(Debug)]
pub struct Publisher {
    /// A file of FLV that has no end.
    pub media: DuplexStream,
}

/// A recorder that waits for publishers of one path.
#[derive(Debug)]
pub struct RtmpWaiter {
    port: Arc<OpenPort>,
    place: Arc<Place>,
    publishers: mpsc::Receiver<Publisher>,
}

/// Why a peer is gone.
#[derive(Debug, thiserror::Error)]
enum PeerError {
    #[error(transparent)]
    Rtmp(#[from] RtmpError),
    #[error(transparent)]
    Connection(#[from] Error),
    #[error("it did not say within {} s what it wants", SHAKES.as_secs())]
    TooSlow,
    #[error("nobody waits for the application and key that it named")]
    WrongKey,
    #[error("somebody else publishes there")]
    Taken,
    #[error("it sent nothing for {} s", GIVES_UP.as_secs())]
    Silent,
    #[error("another publisher took its place")]
    Replaced,
    #[error("its stream cannot be recorded now")]
    NotTaken,
}

impl RtmpPorts {
    /// Waits there for publishers of this path; opens the port unless it is open.
    pub fn wait_on(&self, address: SocketAddr, path: &str) -> std::io::Result<RtmpWaiter> {
        let mut ports = self.0.lock();
        ports.retain(|_, port| port.strong_count() > 0);
        let port = if let Some(port) = ports.get(&address).and_then(Weak::upgrade) {
            port
        } else {
            let port = Arc::new(OpenPort::open(address)?);
            ports.insert(address, Arc::downgrade(&port));
            port
        };
        let (sender, publishers) = mpsc::channel(1);
        let place = Arc::new(Place { hash: hash(path), publishers: sender, current: Mutex::default() });
        let mut all = port.places.all.lock();
        if all.iter().any(|other| other.hash == place.hash) {
            return Err(Error::new(ErrorKind::AlreadyExists, "another recorder waits for the same key"));
        }
        all.push(Arc::clone(&place));
        drop(all);
        Ok(RtmpWaiter { port, place, publishers })
    }
}

impl RtmpWaiter {
    /// The next one who publishes. Nothing is lost where this is not awaited to its end.
    pub async fn next(&mut self) -> Option<Publisher> {
        self.publishers.recv().await
    }
}

impl Drop for RtmpWaiter {
    fn drop(&mut self) {
        self.port.places.all.lock().retain(|place| !Arc::ptr_eq(place, &self.place));
    }
}

impl OpenPort {
    fn open(address: SocketAddr) -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let places = Arc::<Places>::default();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&places)));
        Ok(Self { places, _accepting: AbortOnDropHandle::new(accepting) })
    }
}

async fn accept(listener: TcpListener, places: Arc<Places>) {
    let mut peers = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while peers.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                let Some(guest) = Guest::admitted(&places, peer.ip()) else {
                    tracing::info!(name: "rtmp_peers_too_many", %peer, "too many peers of RTMP have not said their key yet");
                    continue;
                };
                let places = Arc::clone(&places);
                peers.spawn(async move {
                    match places.serve(stream, peer, guest).await {
                        Ok(()) => tracing::info!(name: "rtmp_publisher_left", %peer, "a publisher has ended its stream"),
                        Err(error) => {
                            tracing::info!(name: "rtmp_peer_dismissed", %peer, %error, "a peer of RTMP is not listened to any more");
                        }
                    }
                });
            }
            // Too many open files, or the peer has gone: not for ever.
            Err(_) => sleep(PAUSE).await,
        }
    }
}

impl Guest {
    fn admitted(places: &Arc<Places>, host: IpAddr) -> Option<Self> {
        let mut guests = places.guests.lock();
        let of_host = guests.iter().filter(|other| **other == host).count();
        if guests.len() >= GUESTS.0 || of_host >= GUESTS.1 {
            return None;
        }
        guests.push(host);
        Some(Self { places: Arc::clone(places), host })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut guests = self.places.guests.lock();
        if let Some(at) = guests.iter().position(|host| *host == self.host) {
            guests.swap_remove(at);
        }
    }
}

impl Places {
    async fn serve(&self, mut stream: TcpStream, peer: SocketAddr, guest: Guest) -> Result<(), PeerError> {
        stream.set_nodelay(true)?;
        let mut session = RtmpSession::default();
        let asking = self.asked(&mut session, &mut stream);
        let taken = timeout(SHAKES, asking).await.map_err(|_| PeerError::TooSlow)??;
        drop(guest);
        tracing::info!(name: "rtmp_publisher_came", %peer, "a publisher sends a stream");
        let (media, to) = duplex(UNDERWAY);
        let handing = taken.place.publishers.send(Publisher { media });
        timeout(SHAKES, handing).await.ok().and_then(Result::ok).ok_or(PeerError::NotTaken)?;
        tokio::select! {
            ended = taken.pass_on(&mut session, &mut stream, to) => ended,
            () = taken.leave.cancelled() => Err(PeerError::Replaced),
        }
    }

    /// Up to a key that is right.
    async fn asked(&self, session: &mut RtmpSession, stream: &mut TcpStream) -> Result<TakenPlace, PeerError> {
        let mut piece = vec![0; PIECE];
        loop {
            let read = read(stream, &mut piece).await?;
            session.push(piece.get(..read).unwrap_or_default())?;
            while let Some(event) = session.next()? {
                let RtmpEvent::Publish(path) = event else { continue };
                let taken = self.take(&path);
                match &taken {
                    Ok(_) => session.accept(),
                    Err(PeerError::WrongKey) => {
                        sleep(PAUSE).await;
                        session.refuse("the application or the stream key is not known here");
                    }
                    Err(_) => session.refuse("somebody else publishes with this key"),
                }
                stream.write_all(&session.replies()).await?;
                return taken;
            }
            stream.write_all(&session.replies()).await?;
        }
    }

    fn take(&self, path: &str) -> Result<TakenPlace, PeerError> {
        let named = hash(path);
        let mut found = None;
        for place in self.all.lock().iter() {
            // None is passed over, so that the time says nothing.
            if bool::from(place.hash.ct_eq(&named)) {
                found = Some(Arc::clone(place));
            }
        }
        let place = found.ok_or(PeerError::WrongKey)?;
        let mut current = place.current.lock();
        if let Some(other) = &*current {
            if other.heard.elapsed() < SILENT {
                return Err(PeerError::Taken);
            }
            other.leave.cancel();
        }
        let (name, leave) = (self.names.fetch_add(1, Ordering::Relaxed), CancellationToken::new());
        *current = Some(CurrentPublisher { name, heard: Instant::now(), leave: leave.clone() });
        drop(current);
        Ok(TakenPlace { place, name, leave })
    }
}

/// A place in which somebody publishes; free again with the value.
#[derive(Debug)]
struct TakenPlace {
    place: Arc<Place>,
    name: u64,
    leave: CancellationToken,
}

impl TakenPlace {
    async fn pass_on(
        &self,
        session: &mut RtmpSession,
        stream: &mut TcpStream,
        mut to: DuplexStream,
    ) -> Result<(), PeerError> {
        to.write_all(&flv::HEADER).await?;
        let mut piece = vec![0; PIECE];
        loop {
            while let Some(event) = session.next()? {
                match event {
                    RtmpEvent::Media { kind, time, body } => to.write_all(&flv::tag(kind, time, &body)).await?,
                    RtmpEvent::Ended => return Ok(()),
                    RtmpEvent::Publish(_) => {}
                }
            }
            let replies = session.replies();
            timeout(SHAKES, stream.write_all(&replies)).await.map_err(|_| PeerError::TooSlow)??;
            let read = timeout(GIVES_UP, read(stream, &mut piece)).await.map_err(|_| PeerError::Silent)??;
            session.push(piece.get(..read).unwrap_or_default())?;
            if let Some(current) = self.place.current.lock().as_mut().filter(|current| current.name == self.name) {
                current.heard = Instant::now();
            }
        }
    }
}

impl Drop for TakenPlace {
    fn drop(&mut self) {
        self.place.current.lock().take_if(|current| current.name == self.name);
    }
}

async fn read(stream: &mut TcpStream, piece: &mut [u8]) -> Result<usize, PeerError> {
    match stream.read(piece).await? {
        0 => Err(Error::new(ErrorKind::UnexpectedEof, "it hung up").into()),
        read => Ok(read),
    }
}

/// Of application and key. The slashes around them do not count.
fn hash(path: &str) -> [u8; 32] {
    Sha256::digest(path.trim_matches('/').as_bytes()).into()
}

#[cfg(test)]
mod tests;
