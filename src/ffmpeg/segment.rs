//! Segments as they come in: where in time they stand, and how to get at their bytes.

use std::fs::File;
use std::io::Read as _;

use crate::domain::{Span, Timestamp};
use crate::media::{Coding, Segment, TICKS, TOLERANCE_US, program_of, shortest, ticks};

use super::FfmpegError;

/// No segment that a recorder makes is longer; it is held in memory.
const MOST_BYTES: u64 = 256 << 20;

/// Bytes in which the tables of a segment stand: they come before its first picture (RFC 8216, 3.2).
const HEAD: u64 = 256 << 10;

/// Names and times of a segment may differ so much, besides one picture, as for the scrub.
const TOLERANCE: i64 = ticks_of_tolerance();

const fn ticks_of_tolerance() -> i64 {
    // A tick is 100/9 µs.
    TOLERANCE_US.cast_signed() * 9 / 100
}

/// A picture is not believed to last longer than this.
const LONGEST_PICTURE: i64 = TICKS;

/// Opens the file of a segment when its turn has come: a cut of hours has more of them than may be open at once.
pub type Open = Box<dyn Fn() -> std::io::Result<File> + Send>;

/// One segment of a sequence.
pub struct CutSegment {
    /// When its first picture is shown.
    pub start: Timestamp,
    /// How long it lasts by its name.
    pub duration: Span,
    /// It is complete by its name, so that it has to last as long as its name says.
    pub is_full: bool,
    /// Its bytes.
    pub open: Open,
}

impl std::fmt::Debug for CutSegment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CutSegment({}, {} s)", self.start, self.duration.seconds())
    }
}

/// A stretch of a stream, and the segments that cover it, in order.
#[derive(Debug)]
pub struct Clip {
    /// The first instant that is in it.
    pub start: Timestamp,
    /// The first one that is not.
    pub end: Timestamp,
    /// What covers it, and [`Clip::SOUND`] on both sides, if it is there.
    pub segments: Vec<CutSegment>,
}

impl Clip {
    /// Sound lies in segments a little before or after the pictures that it belongs to: so much of the neighbours is wanted.
    pub const SOUND: Span = Span::from_us(1_000_000);
}

/// A segment that was read.
#[derive(Debug)]
pub(super) struct Loaded {
    pub start: Timestamp,
    pub end: Timestamp,
    is_full: bool,
    pub media: Segment,
    /// The time stamp that stands for `start`.
    pub first: i64,
}

impl CutSegment {
    /// Whether it holds nothing of that window but some sound.
    pub(super) fn lies_beside(&self, (start, end): (Timestamp, Timestamp)) -> bool {
        self.start + self.duration <= start || self.start >= end
    }

    /// What its sound is, by its first tables; nothing where these cannot be read.
    pub(super) fn sound(&self) -> Option<Coding> {
        let mut head = Vec::new();
        (self.open)().and_then(|file| file.take(HEAD).read_to_end(&mut head)).ok()?;
        program_of(&head)?.sound()
    }

    /// Reads it; off the threads that serve connections.
    pub(super) async fn load(self) -> Result<Loaded, FfmpegError> {
        let loaded = tokio::task::spawn_blocking(move || self.read());
        loaded.await.map_err(|error| FfmpegError::Unreadable(error.to_string()))?
    }

    fn read(self) -> Result<Loaded, FfmpegError> {
        let unreadable = |error: std::io::Error| FfmpegError::Unreadable(error.to_string());
        let file = (self.open)().map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(FfmpegError::Unsuitable(format!(
                "the segment at {} has more than {MOST_BYTES} bytes",
                self.start
            )));
        }
        let media = Segment::read(&bytes);
        let first = media.first_pts().unwrap_or_default();
        Ok(Loaded { start: self.start, end: self.start + self.duration, is_full: self.is_full, media, first })
    }
}

impl Loaded {
    /// What speaks against taking it for what its name promises: pictures, and sound, that last longer or shorter than it says. One that
    /// lasts as long is enough: a camera may freeze, and sound may end before its picture.
    pub(super) fn differs(&self) -> Option<String> {
        let named = ticks((self.end - self.start).us());
        let sound = self.media.sound_frames();
        let pictures = lasting(self.media.video.iter().map(|unit| unit.pts).collect());
        let heard = sound.first().zip(sound.last()).map(|(first, last)| (last.pts + last.ticks - first.pts, 0));
        let found: Vec<(i64, i64)> = [pictures, heard].into_iter().flatten().collect();
        let is_wrong = self.is_full
            && found.iter().all(|(lasts, step)| (lasts - named).abs() > TOLERANCE + step.min(&LONGEST_PICTURE));
        let (longest, _) = found.into_iter().max().filter(|_| is_wrong)?;
        // Milliseconds are enough for people.
        let seconds = |ticks: i64| format!("{}.{:03}", ticks / TICKS, ticks % TICKS * 1_000 / TICKS);
        Some(format!(
            "the segment at {} holds {} s and its name says {} s",
            self.start,
            seconds(longest),
            seconds(named)
        ))
    }

    /// Why there is nothing of the `video` or the `sound` in it.
    pub(super) fn lacks(&self, what: &str) -> String {
        let stretches = || self.media.stretches.iter();
        let why = if stretches().any(|stretch| stretch.scrambled) {
            "; it is scrambled"
        } else if stretches().any(|stretch| stretch.unknown.is_some()) {
            " that can be read: one of its streams is of an unknown kind"
        } else {
            ""
        };
        format!("there is no {what} in the segment at {}{why}", self.start)
    }

    /// The time stamp that stands for that time.
    pub(super) fn at(&self, time: Timestamp) -> i64 {
        self.first.saturating_add(ticks((time - self.start).us()))
    }
}

/// How long pictures with these times last, the last one included, and how long one of them does.
fn lasting(mut times: Vec<i64>) -> Option<(i64, i64)> {
    times.sort_unstable();
    let span = times.last()? - times.first()?;
    shortest(&times)?;
    let step = span / i64::try_from(times.len()).ok()?.saturating_sub(1).max(1);
    Some((span + step, step))
}
