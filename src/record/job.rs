//! Recorders as jobs of a node: one for each quality of a channel, with a state, its failures, and metrics of the names that dashboards of this
//! field ask for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use parking_lot::Mutex;
use prometheus::{CounterVec, IntCounterVec, Opts, Registry};
use tokio_util::sync::CancellationToken;

use super::events::{RecorderEvent, RecorderEvents};
use super::missed::{MissedSink, MissedWatch};
use super::publish::RecordedQuality;
use super::recorder::{RecordOptions, Recorder};
use super::segment_fetch::ArchiveBase;
use crate::archive::{Stream, Timestamp};
use crate::jobs::{JobHandle, JobRegistry, JobState};
use crate::net::tls::ClientConfig;

/// A playlist that stands still is noticed long before.
const DEADLINE: Duration = Duration::from_secs(5 * 60);

/// How long a disk is asked what was recorded before.
const LOOKS_FOR: Duration = Duration::from_secs(2);

/// What a node records, and whom it trusts.
#[derive(Debug, Clone)]
pub struct RecordJobs {
    pub recorded: Vec<RecordOptions>,
    pub tls: Arc<ClientConfig>,
}

/// What is counted of recorders.
#[derive(Debug, Clone)]
pub struct RecordMetrics {
    segments: IntCounterVec,
    seconds: CounterVec,
    lost: IntCounterVec,
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
    }

    fn count(&self, event: &RecorderEvent) {
        match event {
            RecorderEvent::Recorded { stream, segment } if segment.path.is_some() => {
                let labels = [segment.kind.as_str(), stream.channel.as_str(), stream.quality.as_str()];
                self.segments.with_label_values(&labels).inc();
                self.seconds.with_label_values(&labels).inc_by(segment.duration.seconds());
            }
            RecorderEvent::GivenUp { stream, .. } => self.lose(stream, 1),
            RecorderEvent::Jumped { stream, missed, .. } => self.lose(stream, *missed),
            _ => {}
        }
    }

    fn lose(&self, stream: &Stream, count: u64) {
        self.lost.with_label_values(&[stream.channel.as_str(), stream.quality.as_str()]).inc_by(count);
    }
}

/// What recorders of a node work with.
#[derive(Debug)]
pub struct RecordParts {
    pub archive: ArchiveBase,
    pub board: Arc<JobRegistry>,
    pub metrics: RecordMetrics,
    /// Takes what they miss.
    pub missed: MissedSink,
}

/// What is known of the recorder of one stream.
#[derive(Debug)]
struct Recorded {
    handle: JobHandle,
    missed: Mutex<MissedWatch>,
}

/// Records until it is stopped.
pub async fn record_all(jobs: RecordJobs, parts: RecordParts, stop: CancellationToken) {
    let RecordParts { archive, board, metrics, missed } = parts;
    let mut watched = HashMap::new();
    for options in &jobs.recorded {
        for quality in &options.qualities {
            let stream = Stream { channel: options.channel.clone(), quality: quality.clone() };
            let handle = board.register("record", Some(stream.to_string()), DEADLINE);
            handle.set_state(JobState::Waiting, format!("asks {}", options.source), None);
            metrics.begin(&stream);
            let newest = newest_end(&archive, &stream).await;
            watched.insert(stream, Recorded { handle, missed: Mutex::new(MissedWatch::new(newest)) });
        }
    }
    let events = RecorderEvents::new(move |event| {
        metrics.count(event);
        let Some(recorded) = watched.get(event.stream()) else { return };
        report(&recorded.handle, event);
        let found = recorded.missed.lock().observe(event, SystemTime::now().into());
        for each in found {
            missed.put(event.stream(), each);
        }
    });
    let record = |options: RecordOptions| {
        let shown = options.source.to_string();
        match Recorder::new(options, archive.clone(), &jobs.tls, events.clone()) {
            Ok(recorder) => Some(recorder),
            Err(error) => {
                tracing::error!(name: "recorder_refused", source = shown, %error, "a recorder could not be started");
                None
            }
        }
    };
    let recorders: Vec<Recorder> = jobs.recorded.iter().cloned().filter_map(record).collect();
    join_all(recorders.iter().map(|recorder| recorder.run(stop.clone()))).await;
}

/// Where the newest segment of a stream ends, if the disk says so soon: what is live does not wait for it.
async fn newest_end(archive: &ArchiveBase, stream: &Stream) -> Option<Timestamp> {
    let quality = RecordedQuality::new(stream.clone(), archive.clone());
    let looking = tokio::task::spawn_blocking(move || quality.newest_end());
    let found = tokio::time::timeout(LOOKS_FOR, looking).await.ok()?.ok()?;
    found.inspect_err(|error| tracing::info!(name: "newest_segment_unknown", %stream, %error, "it is not known when recording ended; a hole since then has no reason")).ok()?
}

fn report(handle: &JobHandle, event: &RecorderEvent) {
    match event {
        RecorderEvent::Recorded { segment, .. } => {
            handle.working(format!("records; the last segment began at {}", segment.start));
            handle.succeeded();
        }
        RecorderEvent::SegmentFails { stream, why } => {
            tracing::info!(name: "segment_fails", %stream, why, "a segment did not come; it is tried again");
        }
        RecorderEvent::GivenUp { stream, start, why, .. } => {
            tracing::warn!(name: "segment_lost", %stream, %start, why, "a segment did not come and is not tried any more");
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
        RecorderEvent::Fails { why, .. } | RecorderEvent::Refused { why, .. } => {
            handle.failed(why);
            handle.set_state(JobState::BackingOff, "nothing comes; the source is asked again", None);
        }
        RecorderEvent::Ended { .. } => {
            handle.set_state(JobState::Waiting, "the stream has ended; the source is asked again", None);
        }
    }
}
