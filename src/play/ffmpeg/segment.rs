//! Segments as they come in: where in time they stand, and how to get at their bytes.

use std::fs::File;
use std::io::Read as _;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::archive::{Span, Timestamp};
use crate::media::{Coding, LONGEST_FRAME, SOUND_US, Segment, SegmentContent, SoundFrame, SoundSpan};

use super::FfmpegError;

/// No segment that a recorder makes is longer; it is held in memory.
const MOST_BYTES: u64 = 256 << 20;

/// Bytes in which the tables of a segment stand: they come before its first picture (RFC 8216, 3.2).
const HEAD: u64 = 256 << 10;

/// Bytes of a piece that is read and passed on at once.
const PIECE: usize = 256 << 10;

/// Passes on what is left to be read of a file. Blocks.
pub(super) fn send_rest(file: &mut File, sender: &mpsc::Sender<Result<Bytes, FfmpegError>>) -> Result<(), FfmpegError> {
    loop {
        let mut piece = vec![0; PIECE];
        let read = file.read(&mut piece).map_err(|error| FfmpegError::Unreadable(error.to_string()))?;
        if read == 0 {
            return Ok(());
        }
        piece.truncate(read);
        sender.blocking_send(Ok(piece.into())).map_err(|_| FfmpegError::Gone)?;
    }
}

/// Opens the file of a segment when its turn has come: a cut of hours has more of them than may be open at once.
pub type Open = Box<dyn Fn() -> std::io::Result<File> + Send>;

/// What is looked at of a segment before the first byte of a cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LookAhead {
    /// Nothing: one before it is like it.
    #[default]
    Nothing,
    /// What is in it.
    Content,
    /// Also whether decoding gets anywhere in it.
    Entry,
}

/// One segment of a sequence.
pub struct CutSegment {
    /// When its first picture is shown.
    pub start: Timestamp,
    /// How long it lasts by its name.
    pub duration: Span,
    /// It is complete by its name, so that it has to last as long as its name says.
    pub is_full: bool,
    /// What is looked at beforehand.
    pub ahead: LookAhead,
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
    /// What joins the first of these, in order: read only where that cannot be decoded by itself.
    pub lead: Vec<CutSegment>,
}

impl Clip {
    /// Sound lies in segments a little before or after the pictures that it belongs to: so much of the neighbours is wanted.
    pub const SOUND: Span = Span::from_us(SOUND_US);

    /// From when to when, in microseconds.
    pub(super) fn window(&self) -> (i64, i64) {
        (self.start.us(), self.end.us())
    }
}

/// A segment that was read.
#[derive(Debug)]
pub(super) struct Loaded {
    pub start: Timestamp,
    pub media: Segment,
    /// Its frames of sound.
    pub frames: Vec<SoundFrame>,
    /// What a cut plans with.
    pub source: SegmentContent,
    /// The time stamp that stands for `start`.
    pub first: i64,
}

impl Loaded {
    /// What the sound is of each stretch in which there is any: tables alone name only its family.
    pub(super) fn sounds(&self) -> impl Iterator<Item = Coding> {
        let is_heard = |at: usize| self.media.sound.iter().any(|unit| unit.stretch == at);
        let tables = self.media.stretches.iter().enumerate();
        tables.filter(move |(at, _)| is_heard(*at)).filter_map(|(_, table)| table.sound)
    }
}

impl CutSegment {
    /// Whether it holds nothing of that window but some sound.
    pub(super) fn lies_beside(&self, (start, end): (Timestamp, Timestamp)) -> bool {
        self.start + self.duration <= start || self.start >= end
    }

    /// What its sound is, by its first bytes; nothing where these cannot be read.
    pub(super) fn sound(&self) -> Option<Coding> {
        let (mut file, mut bytes) = ((self.open)().ok()?, Vec::new());
        file.by_ref().take(HEAD).read_to_end(&mut bytes).ok()?;
        let head = Segment::read(&bytes);
        let is_family = matches!(head.codings().1, Some(Coding::MpegAudio | Coding::Dolby));
        if !is_family || !head.sound.is_empty() {
            return head.codings().1;
        }
        // Which of its family it is only its frames say, and they may come behind a large picture.
        file.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
        let media = Segment::read(&bytes);
        media.codings().1.filter(|_| !media.sound.is_empty())
    }

    /// Reads it; off the threads that serve connections.
    pub(super) async fn load(self) -> Result<Loaded, FfmpegError> {
        let loaded = tokio::task::spawn_blocking(move || self.read());
        loaded.await.map_err(|error| FfmpegError::Unreadable(error.to_string()))?
    }

    pub(super) fn read(&self) -> Result<Loaded, FfmpegError> {
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
        let frames = media.sound_frames();
        let mut stretches = media.stretches.clone();
        if frames.is_empty() && media.sound.iter().map(|unit| unit.data.len()).sum::<usize>() > LONGEST_FRAME {
            // It is not what the tables call it.
            for stretch in &mut stretches {
                stretch.unknown = stretch.unknown.or(stretch.sound);
            }
        }
        let source = SegmentContent {
            start_us: self.start.us(),
            end_us: (self.start + self.duration).us(),
            is_full: self.is_full,
            stretches,
            pictures: media.pictures(),
            sound: frames.iter().map(|frame| SoundSpan { pts: frame.pts, ticks: frame.ticks }).collect(),
        };
        let first = media.first_pts().unwrap_or_default();
        Ok(Loaded { start: self.start, media, frames, source, first })
    }
}

impl Loaded {
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
}
