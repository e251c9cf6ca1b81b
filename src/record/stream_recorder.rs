//! Records a stream that comes through ffmpeg, for as long as it is not stopped.
//!
//! 1. ffmpeg brings it as MPEG-TS on a pipe ([`StreamProcess`]); it is cut here, and what was cut goes to the disk while more comes.
//! 2. Whatever ends it, it is begun again, later each time that brings nothing. What was cut off in the middle is kept as `partial`.
//! 3. Where publishers of RTMP are waited for, each is one beginning of the stream.
//! 4. A stream from which nothing comes for [`SILENCE`] is begun anew. Whoever is listened for may stay away for as long as he likes.
//!
//! Memory is one piece of a segment, whatever comes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::events::RecorderEvent;
use super::rtmp::{Publisher, RtmpWaiter};
use super::source_address::SourceAddress;
use super::stream_process::{StreamProcess, StreamTools};
use super::stream_source::{SILENCE, cannot_wait};
use super::stream_writer::{StreamTarget, StreamWriter};
use crate::archive::Stream;
use crate::archive::hole_reasons::HoleReason;
use crate::jobs::Backoff;

/// The first wait before a stream is begun again, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// Until the first byte: connections, and what ffmpeg looks at before it begins.
const BEGINS: Duration = Duration::from_secs(20);
/// What is read at once.
const PIECE: usize = 64 << 10;
/// After so many bytes of which none could be cut, it is no stream that can be.
const NOTHING_IN: u64 = 64 << 20;

/// How a stream ended.
enum SessionEnd {
    Stopped,
    Failed(HoleReason, String),
    /// It will not be otherwise next time.
    Refused(String),
}

/// Records one stream.
#[derive(Debug)]
pub struct StreamRecorder {
    pub source: SourceAddress,
    pub tools: StreamTools,
    pub target: Arc<StreamTarget>,
    /// It ends where nothing can be recorded.
    pub ends: bool,
}

impl StreamRecorder {
    /// Records until it is stopped; what was begun is then on the disk.
    pub async fn run(&self, stop: &CancellationToken) {
        let mut writer = StreamWriter::begin(Arc::clone(&self.target)).await;
        let (mut failures, mut waiter) = (0_u32, None);
        loop {
            let before = writer.published();
            let end = self.session(&mut writer, &mut waiter, stop).await;
            failures = if writer.published() > before { 1 } else { failures.saturating_add(1) };
            match end {
                SessionEnd::Stopped => return,
                SessionEnd::Failed(reason, why) => self.tell(|stream| RecorderEvent::Fails { stream, reason, why }),
                SessionEnd::Refused(why) => {
                    self.tell(|stream| RecorderEvent::Refused { stream, why });
                    if self.ends {
                        return;
                    }
                }
            }
            tokio::select! {
                () = sleep(Backoff::new(RETRY.0, RETRY.1).wait(failures)) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn tell(&self, event: impl FnOnce(Stream) -> RecorderEvent) {
        self.target.events.tell(&event(self.target.quality.stream.clone()));
    }

    /// From one beginning of the stream to its end.
    async fn session(
        &self,
        writer: &mut StreamWriter,
        waiter: &mut Option<RtmpWaiter>,
        stop: &CancellationToken,
    ) -> SessionEnd {
        let source = &self.source;
        let publisher = match source.rtmp_place() {
            None => None,
            Some(place) => match self.publisher(waiter, place, stop).await {
                Ok(publisher) => Some(publisher),
                Err(end) => return end,
            },
        };
        let mut stream = match StreamProcess::begin(source, &self.tools.ffmpeg, publisher) {
            Ok(stream) => stream,
            Err(why) => return SessionEnd::Refused(why),
        };
        let ended = self.bring(&mut stream, writer, stop).await;
        writer.finish().await;
        let has_ended = matches!(ended, SessionEnd::Failed(HoleReason::SourceOffline, _));
        match (stream.end(source, has_ended).await, ended) {
            (Some(said), SessionEnd::Failed(reason @ HoleReason::SourceOffline, _)) => {
                SessionEnd::Failed(reason, format!("{source}: {said}"))
            }
            (_, ended) => ended,
        }
    }

    /// Waits for somebody who publishes.
    async fn publisher(
        &self,
        waiter: &mut Option<RtmpWaiter>,
        (address, path): (SocketAddr, String),
        stop: &CancellationToken,
    ) -> Result<Publisher, SessionEnd> {
        let began = Instant::now();
        let offline = |why| SessionEnd::Failed(HoleReason::SourceOffline, why);
        let waiting = match waiter {
            Some(waiting) => waiting,
            none => {
                let waiting = self.tools.ports.wait_on(address, &path);
                none.insert(waiting.map_err(|error| offline(cannot_wait(&self.source, &error)))?)
            }
        };
        loop {
            tokio::select! {
                publisher = waiting.next() => return publisher.ok_or_else(|| offline("its port was closed".to_owned())),
                () = stop.cancelled() => return Err(SessionEnd::Stopped),
                () = sleep(BEGINS) => {
                    let why = format!("nobody has published to {} for {} s", self.source, began.elapsed().as_secs());
                    self.tell(|stream| RecorderEvent::Fails { stream, reason: HoleReason::SourceOffline, why });
                }
            }
        }
    }

    /// Takes what comes until no more does.
    async fn bring(
        &self,
        coming: &mut StreamProcess,
        writer: &mut StreamWriter,
        stop: &CancellationToken,
    ) -> SessionEnd {
        let source = &self.source;
        let (mut piece, mut has_begun, began) = (vec![0; PIECE], false, Instant::now());
        loop {
            let patience = if has_begun { SILENCE } else { BEGINS };
            let read = tokio::select! {
                read = timeout(patience, coming.read(&mut piece)) => read,
                () = stop.cancelled() => return SessionEnd::Stopped,
            };
            let read = match read {
                Ok(read @ 1..) => read,
                Ok(0) => return SessionEnd::Failed(HoleReason::SourceOffline, format!("{source} has ended")),
                Err(_) if has_begun => {
                    let why = format!("{source} sent nothing more for {} s", patience.as_secs());
                    return SessionEnd::Failed(HoleReason::SourceStalled, why);
                }
                Err(_) if source.is_listened_for() => {
                    let why = format!("nobody has sent anything to {source} for {} s", began.elapsed().as_secs());
                    self.tell(|stream| RecorderEvent::Fails { stream, reason: HoleReason::SourceOffline, why });
                    continue;
                }
                Err(_) => {
                    let why = format!("{source} sent nothing within {} s", patience.as_secs());
                    return SessionEnd::Failed(HoleReason::SourceOffline, why);
                }
            };
            has_begun = true;
            let arrived = self.target.clock.now();
            self.target.clock.came();
            writer.take(piece.get(..read).unwrap_or_default(), arrived).await;
            if writer.skipped() > NOTHING_IN {
                return SessionEnd::Refused(format!("{source} has no pictures and no sound that could be cut"));
            }
        }
    }
}
