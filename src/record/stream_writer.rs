//! Brings what was cut from a stream to the disk: hashed and checked while it comes, named and published when it is whole.
//!
//! What cannot be written is given up, with the time that it was to have and the reason; the next segment is tried anew. Nothing waits in memory
//! for a disk that is full.

use std::sync::Arc;
use std::time::Duration;

use super::events::{RecorderEvent, RecorderEvents};
use super::publish::RecordedQuality;
use super::segment_fetch::{FetchFailure, FetchedSegment, judged_kind};
use super::steady_clock::SteadyClock;
use super::stream_times::{PlacedCut, StreamTimes};
use super::ts_cutter::{CutEnd, TsCutter, TsStep};
use crate::archive::hole_reasons::HoleReason;
use crate::archive::time::SECOND_US;
use crate::archive::{Container, SegmentKind, Span, Stream, Timestamp};
use crate::disk::NewSegment;
use crate::media::TsCheck;

/// What is collected before it is written.
const WRITTEN_AT_ONCE: usize = 128 << 10;
/// Bytes by which it is told what something is.
const HEAD: usize = 16;
/// From here on the clock here was set, and is not only kept right.
const CLOCKS_AGREE_US: i64 = 5 * SECOND_US;
/// What was recorded this long ago has nothing to do with what comes now.
const RECENT: Span = Span::from_us(60 * SECOND_US);

/// Where a stream is recorded to, and who is told of it.
#[derive(Debug)]
pub struct StreamTarget {
    pub quality: RecordedQuality,
    pub events: RecorderEvents,
    pub clock: SteadyClock,
}

/// Writes one stream.
#[derive(Debug)]
pub struct StreamWriter {
    target: Arc<StreamTarget>,
    cutter: TsCutter,
    steps: Vec<TsStep>,
    waiting: usize,
    /// Away while it works.
    files: Option<Box<StreamFiles>>,
}

/// What stands between a stream and the disk.
#[derive(Debug)]
struct StreamFiles {
    target: Arc<StreamTarget>,
    times: StreamTimes,
    open: Option<OpenFile>,
    /// Why the segment at hand cannot be written.
    failure: Option<FetchFailure>,
    published: u64,
    is_told_ahead: bool,
    is_told_off: bool,
}

#[derive(Debug)]
struct OpenFile {
    file: NewSegment,
    check: TsCheck,
    head: Vec<u8>,
}

impl StreamWriter {
    /// Looks where the newest segment on the disk ends.
    pub async fn begin(target: Arc<StreamTarget>) -> Self {
        let looking = Arc::clone(&target);
        let newest = tokio::task::spawn_blocking(move || looking.quality.newest_end()).await;
        let now = target.clock.now();
        let is_recent = |end: &Timestamp| (now - *end).us().abs() < RECENT.us();
        let end = newest.ok().and_then(Result::ok).flatten().filter(is_recent);
        let files = Some(Box::new(StreamFiles::new(Arc::clone(&target), StreamTimes::after(end))));
        Self { target, cutter: TsCutter::default(), steps: Vec::new(), waiting: 0, files }
    }

    /// How many segments came.
    pub fn published(&self) -> u64 {
        self.files.as_ref().map_or(0, |files| files.published)
    }

    /// Bytes that came without anything to cut them by.
    pub const fn skipped(&self) -> u64 {
        self.cutter.skipped()
    }

    /// Takes what came at that time. It must be awaited to its end.
    pub async fn take(&mut self, bytes: &[u8], arrived: Timestamp) {
        let steps = self.cutter.push(bytes, arrived);
        let is_due = steps.iter().any(|step| matches!(step, TsStep::End(_)));
        self.steps.extend(steps);
        self.waiting += bytes.len();
        if is_due || self.waiting >= WRITTEN_AT_ONCE {
            self.write().await;
        }
    }

    /// The stream has ended: what came of its last segment is kept.
    pub async fn finish(&mut self) {
        self.steps.extend(std::mem::take(&mut self.cutter).finish());
        self.write().await;
    }

    async fn write(&mut self) {
        let steps = std::mem::take(&mut self.steps);
        self.waiting = 0;
        let Some(mut files) = self.files.take() else { return };
        let writing = tokio::task::spawn_blocking(move || {
            for step in steps {
                files.take(step);
            }
            files
        });
        // It ends otherwise only with this process, or after a panic, which is reported where it happens.
        let anew = || Box::new(StreamFiles::new(Arc::clone(&self.target), StreamTimes::default()));
        self.files = Some(writing.await.unwrap_or_else(|_| anew()));
    }
}

impl StreamFiles {
    fn new(target: Arc<StreamTarget>, times: StreamTimes) -> Self {
        Self { target, times, open: None, failure: None, published: 0, is_told_ahead: false, is_told_off: false }
    }

    /// Blocks.
    fn take(&mut self, step: TsStep) {
        match step {
            TsStep::Begin => {
                self.failure = None;
                self.open = self.create().map_err(|error| self.failure = Some(error)).ok();
            }
            TsStep::Bytes(bytes) => {
                let written = self.open.as_mut().map_or(Ok(()), |open| open.write(&bytes));
                if let Err(error) = written {
                    self.open = None;
                    self.failure = Some(error);
                }
            }
            TsStep::End(cut) => self.end(&cut),
        }
    }

    fn create(&self) -> Result<OpenFile, FetchFailure> {
        let quality = &self.target.quality;
        let place = quality.place(self.target.clock.now());
        let file = NewSegment::begin(quality.archive.base()?.make_hour_dir(&place)?)?;
        Ok(OpenFile { file, check: TsCheck::default(), head: Vec::new() })
    }

    fn end(&mut self, cut: &CutEnd) {
        let placed = self.times.place(cut);
        self.tell_ahead(&placed);
        self.tell_of_the_clock();
        let (start, duration) = (placed.start, cut.duration);
        let published = match (self.open.take(), self.failure.take()) {
            (Some(open), None) => {
                // Bytes that were there before come from a sender who began anew with the same picture, at another time.
                open.judge(cut).and_then(|fetched| self.target.quality.publish_anyway(fetched, start, duration))
            }
            (_, failure) => Err(failure.unwrap_or(FetchFailure::Stopping)),
        };
        match published {
            Ok(segment) => {
                self.published += 1;
                self.tell(|stream| RecorderEvent::Recorded { stream, segment });
            }
            Err(error) => {
                let reason = match &error {
                    FetchFailure::Disk(error) if error.is_full() => HoleReason::DiskFull,
                    _ => HoleReason::NotReceived,
                };
                let why = error.to_string();
                self.tell(|stream| RecorderEvent::GivenUp { stream, start, duration, reason, why });
            }
        }
    }

    /// Once when it begins.
    fn tell_ahead(&mut self, placed: &PlacedCut) {
        if let Some(ahead) = placed.ahead.filter(|_| !self.is_told_ahead) {
            let behind = Span::from_us(0) - ahead;
            self.tell(|stream| RecorderEvent::ClockDiffers { stream, behind });
        }
        self.is_told_ahead = placed.ahead.is_some();
    }

    /// Once when it was set.
    fn tell_of_the_clock(&mut self) {
        let by = self.target.clock.machine_is_ahead();
        let is_off = by.us().abs() > CLOCKS_AGREE_US;
        if is_off && !self.is_told_off {
            self.tell(|stream| RecorderEvent::ClockWasSet { stream, by });
        }
        self.is_told_off = is_off;
    }

    fn tell(&self, event: impl FnOnce(Stream) -> RecorderEvent) {
        self.target.events.tell(&event(self.target.quality.stream.clone()));
    }
}

impl OpenFile {
    fn write(&mut self, bytes: &[u8]) -> Result<(), FetchFailure> {
        let room = HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(bytes.get(..room).unwrap_or_default());
        self.check.feed(bytes);
        Ok(self.file.write(bytes)?)
    }

    fn judge(self, cut: &CutEnd) -> Result<FetchedSegment, FetchFailure> {
        let Self { file, check, head } = self;
        let verdict = check.finish(cut.duration.us().unsigned_abs());
        let judged = judged_kind(Container::Ts, verdict, &head, file.bytes(), Duration::ZERO);
        let looks_wrong = |looks_like| {
            let url = "what ffmpeg wrote".to_owned();
            FetchFailure::OtherMedia { url, container: Container::Ts, looks_like }
        };
        let (mut kind, mut fault) = judged.map_err(looks_wrong)?;
        if kind == SegmentKind::Full && cut.is_cut_off {
            (kind, fault) = (SegmentKind::Partial, Some("the stream broke off within it".to_owned()));
        }
        if kind == SegmentKind::Full && !cut.plays_alone {
            (kind, fault) = (SegmentKind::Suspect, Some("it does not begin with a key frame".to_owned()));
        }
        Ok(FetchedSegment { file, container: Container::Ts, kind, fault, is_cut: false })
    }
}
