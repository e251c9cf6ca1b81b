//! Recorders as jobs of a node: one for each quality of a channel, with a state, its failures, and metrics of the names that dashboards of this
//! field ask for.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::join_all;
use parking_lot::Mutex;
use prometheus::{CounterVec, IntCounterVec, Opts, Registry};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::events::{RecorderEvent, RecorderEvents};
use super::missed::{MissedSink, MissedWatch, left_behind};
use super::peer_times::PeerTimes;
use super::publish::{LOOKS_FOR, RecordedQuality, newest_end};
use super::recorder::{RecordOptions, Recorder};
use super::segment_fetch::{ArchiveBase, FetchFailure};
use super::stream_process::StreamTools;
use crate::archive::{Stream, Timestamp};
use crate::jobs::{JobHandle, JobRegistry, JobState};
use crate::net::tls::{self, ClientConfig};

/// A playlist that stands still is noticed long before.
const DEADLINE: Duration = Duration::from_secs(5 * 60);

/// One segment that fails is no problem of the recorder; where none has come for so long, each is.
const SILENT_FOR: Duration = Duration::from_secs(15);
/// How long what failed at the start waits.
const LATER: Duration = Duration::from_secs(30);

/// What is counted of recorders.
#[derive(Debug, Clone)]
pub struct RecordMetrics {
    segments: IntCounterVec,
    seconds: CounterVec,
    lost: IntCounterVec,
    ads: IntCounterVec,
}

impl RecordMetrics {
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counts = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let types = ["type", "channel", "quality"];
        let lasted = Opts::new("segment_duration_downloaded_total", "Seconds that the segments recorded here last");
        let seconds = CounterVec::new(lasted, &types)?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self {
            segments: counts("segments_downloaded_total", "Segments recorded here", &types)?,
            seconds,
            ads: counts(
                "ad_segments_ignored_total",
                "Segments that were ads and were left out, as the settings ask",
                &["channel", "quality"],
            )?,
            lost: counts(
                "gapless_record_lost_segments_total",
                "Segments that were listed or skipped by a source and did not come",
                &["channel", "quality"],
            )?,
        })
    }

    /// What may be counted of a stream is there from the beginning: a counter that appears with its first number has not grown, as far as
    /// anybody can see.
    fn begin(&self, stream: &Stream) {
        let full = ["full", stream.channel.as_str(), stream.quality.as_str()];
        self.segments.with_label_values(&full).inc_by(0);
        self.seconds.with_label_values(&full).inc_by(0.0);
        self.lose(stream, 0);
        self.ads(stream, 0);
    }

    fn count(&self, event: &RecorderEvent) {
        match event {
            RecorderEvent::Recorded { stream, segment } if segment.path.is_some() => {
                let labels = [segment.kind.as_str(), stream.channel.as_str(), stream.quality.as_str()];
                self.segments.with_label_values(&labels).inc();
                self.seconds.with_label_values(&labels).inc_by(segment.duration.seconds());
            }
            RecorderEvent::GivenUp { stream, .. } => self.lose(stream, 1),
            RecorderEvent::AdLeftOut { stream, .. } => self.ads(stream, 1),
            RecorderEvent::Jumped { stream, missed, .. } => self.lose(stream, *missed),
            _ => {}
        }
    }

    fn ads(&self, stream: &Stream, count: u64) {
        self.ads.with_label_values(&[stream.channel.as_str(), stream.quality.as_str()]).inc_by(count);
    }

    fn lose(&self, stream: &Stream, count: u64) {
        self.lost.with_label_values(&[stream.channel.as_str(), stream.quality.as_str()]).inc_by(count);
    }
}

/// What recorders of a node work with.
pub struct RecordParts {
    pub archive: ArchiveBase,
    pub board: Arc<JobRegistry>,
    pub metrics: RecordMetrics,
    /// Takes what they miss.
    pub missed: MissedSink,
    /// What other nodes say of the times of a source that tells none.
    pub peer_times: PeerTimes,
    /// What brings streams that are no HLS.
    pub tools: StreamTools,
    /// Whom they trust, once that was read.
    pub authorities: OnceCell<Arc<ClientConfig>>,
}

impl fmt::Debug for RecordParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordParts").field("archive", &self.archive).finish_non_exhaustive()
    }
}

/// What is known of the recorder of one stream.
#[derive(Debug)]
struct Recorded {
    handle: JobHandle,
    missed: Mutex<MissedWatch>,
    /// When a segment came last, or it was begun.
    came: Mutex<Instant>,
    /// How its times differ from those that it takes over.
    differs: Mutex<Option<String>>,
}

impl Recorded {
    fn new(handle: JobHandle, newest: Option<Timestamp>) -> Self {
        Self {
            handle,
            missed: Mutex::new(MissedWatch::new(newest)),
            came: Mutex::new(Instant::now()),
            differs: Mutex::default(),
        }
    }
}

/// The recorders of one channel.
type WatchedStreams = HashMap<Stream, Arc<Recorded>>;

/// A channel that is recorded, with a job for each of its qualities.
pub(super) struct RecordedChannel {
    options: RecordOptions,
    parts: Arc<RecordParts>,
    jobs: HashMap<Stream, JobHandle>,
}

impl RecordedChannel {
    /// Its jobs are shown from now on.
    pub(super) fn new(options: RecordOptions, parts: Arc<RecordParts>) -> Self {
        let streams = options.qualities.iter().cloned();
        let streams = streams.map(|quality| Stream { channel: options.channel.clone(), quality });
        let register = |stream: Stream| {
            let handle = parts.board.register("record", Some(stream.to_string()), DEADLINE);
            handle.set_state(JobState::Waiting, format!("asks {}", options.source), None);
            (stream, handle)
        };
        let jobs = streams.map(register).collect();
        Self { options, parts, jobs }
    }

    /// Says that it is stopped, until that has changed.
    pub(super) async fn show_stopped(self, stop: CancellationToken) {
        for handle in self.jobs.values() {
            handle.set_state(JobState::Waiting, "was stopped; it records again when it is started", None);
        }
        stop.cancelled().await;
        self.jobs.values().for_each(JobHandle::remove);
    }

    /// Records until it is stopped.
    pub(super) async fn record(self, stop: CancellationToken) {
        let Self { options, parts, jobs } = self;
        let Some(tls) = trusted(options.ca_file.as_deref(), &parts, &jobs, &stop).await else { return };
        let look = async |(stream, handle): (Stream, JobHandle)| {
            parts.metrics.begin(&stream);
            let newest = newest_end(&parts.archive, &stream).await;
            if let Some(newest) = newest {
                tell_what_was_left(&parts, &stream, newest).await;
            }
            (stream, Arc::new(Recorded::new(handle, newest)))
        };
        let watched: WatchedStreams = join_all(jobs.into_iter().map(look)).await.into_iter().collect();
        let watched = Arc::new(Mutex::new(watched));
        let events = watching(Arc::clone(&watched), Arc::clone(&parts));
        let recorder = Recorder::new(options, parts.archive.clone(), &tls, &parts.tools, events);
        recorder.agreeing_with(parts.peer_times.clone()).run(stop).await;
        watched.lock().values().for_each(|recorded| recorded.handle.remove());
    }
}

/// Those of a file, or the system's: reading these takes a while, and a node without recorders needs none.
async fn read_authorities(ca_file: Option<PathBuf>) -> Result<Arc<ClientConfig>, String> {
    let reading = tokio::task::spawn_blocking(move || tls::trusting(ca_file.as_deref()));
    reading.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// Whom recorders trust; `None` if they are stopped before that is known.
async fn trusted(
    ca_file: Option<&Path>,
    parts: &RecordParts,
    jobs: &HashMap<Stream, JobHandle>,
    stop: &CancellationToken,
) -> Option<Arc<ClientConfig>> {
    while !stop.is_cancelled() {
        let trusting = match ca_file {
            // It may be mended, or renewed, while others record.
            Some(path) => read_authorities(Some(path.to_owned())).await,
            None => parts.authorities.get_or_try_init(|| read_authorities(None)).await.cloned(),
        };
        match trusting {
            Ok(tls) => return Some(tls),
            Err(error) => {
                for handle in jobs.values() {
                    handle.failed(&error);
                }
                tracing::error!(name: "authorities_unreadable", error, "the authorities of certificates cannot be read; it is tried again");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LATER) => {}
            () = stop.cancelled() => {}
        }
    }
    jobs.values().for_each(JobHandle::remove);
    None
}

/// Counts, shows and remembers what recorders tell. Sound that they find is one more job.
fn watching(watched: Arc<Mutex<WatchedStreams>>, parts: Arc<RecordParts>) -> RecorderEvents {
    RecorderEvents::new(move |event| {
        if let RecorderEvent::SoundFound { stream, newest } = event {
            let handle = parts.board.register("record", Some(stream.to_string()), DEADLINE);
            handle.set_state(JobState::Waiting, "asks for sound that lies apart from its pictures", None);
            parts.metrics.begin(stream);
            watched.lock().insert(stream.clone(), Arc::new(Recorded::new(handle, *newest)));
        }
        parts.metrics.count(event);
        let Some(recorded) = watched.lock().get(event.stream()).cloned() else { return };
        report(&recorded, event);
        let found = recorded.missed.lock().observe(event, SystemTime::now().into());
        for each in found {
            parts.missed.put(event.stream(), each);
        }
    })
}

/// Tells what is missing before the newest segment, if the disk says so soon: whoever was stopped while he tried it did not say so.
async fn tell_what_was_left(parts: &RecordParts, stream: &Stream, newest: Timestamp) {
    let quality = RecordedQuality::new(stream.clone(), parts.archive.clone());
    let missed = parts.missed.clone();
    let looking = tokio::task::spawn_blocking(move || {
        for hole in quality.holes_before(newest)? {
            missed.put(&quality.stream, left_behind(hole));
        }
        Ok::<_, FetchFailure>(())
    });
    if let Ok(Ok(Err(error))) = tokio::time::timeout(LOOKS_FOR, looking).await {
        tracing::info!(name: "holes_unknown", %stream, %error, "what is missing before the newest segment is not known; a hole there has no reason");
    }
}

fn report(recorded: &Recorded, event: &RecorderEvent) {
    let handle = &recorded.handle;
    match event {
        RecorderEvent::SoundFound { stream, .. } => {
            tracing::info!(name: "sound_found", %stream, "a stream has sound in a playlist of its own, which is recorded as well");
        }
        RecorderEvent::Recorded { segment, .. } => {
            *recorded.came.lock() = Instant::now();
            let differs = recorded.differs.lock().clone().unwrap_or_default();
            handle.working(format!("records; the last segment began at {}{differs}", segment.start));
            handle.succeeded();
        }
        RecorderEvent::SegmentFails { stream, why } => {
            tracing::info!(name: "segment_fails", %stream, why, "a segment did not come; it is tried again");
            if recorded.came.lock().elapsed() > SILENT_FOR {
                handle.failed(why);
                handle.set_state(
                    JobState::BackingOff,
                    "segments are listed and do not come; they are tried again",
                    None,
                );
            }
        }
        RecorderEvent::GivenUp { stream, start, why, .. } => {
            tracing::warn!(name: "segment_lost", %stream, %start, why, "a segment did not come and is not tried any more");
        }
        RecorderEvent::AdLeftOut { .. } => {
            handle.working("leaves out an ad");
            handle.succeeded();
        }
        RecorderEvent::Jumped { stream, missed, .. } => {
            tracing::warn!(name: "segments_skipped", %stream, missed, "segments went out of the playlist before it could be asked");
        }
        RecorderEvent::Restarted { stream } => {
            tracing::info!(name: "stream_restarted", %stream, "the stream began anew");
        }
        RecorderEvent::ClockDiffers { stream, behind } => {
            let behind_seconds = behind.seconds();
            tracing::warn!(name: "source_clock_differs", %stream, behind_seconds, "the times of the source are not those of the clock here");
        }
        RecorderEvent::TimesDiffer { peer, earlier, .. } => {
            let (ms, than) = (earlier.us().abs() / 1_000, if earlier.us() < 0 { "earlier" } else { "later" });
            *recorded.differs.lock() =
                (ms > 0).then(|| format!("; {ms} ms {than} than {peer}, whose times it takes over"));
        }
        RecorderEvent::ClockWasSet { stream, by } => {
            let by_seconds = by.seconds();
            tracing::warn!(name: "clock_was_set", %stream, by_seconds, "the clock here was set, and the source tells no times: segments are placed as before until nothing comes for a minute");
        }
        RecorderEvent::Fails { why, .. } | RecorderEvent::Refused { why, .. } => {
            handle.failed(why);
            handle.set_state(JobState::BackingOff, "nothing comes; the source is asked again", None);
        }
        RecorderEvent::Ended { .. } => {
            handle.set_state(JobState::Waiting, "the stream has ended; the source is asked again", None);
        }
    }
}
