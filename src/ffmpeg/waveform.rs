//! How loud a stretch is, column by column.
//!
//! 1. Frames of sound are taken out of the segments, and ffmpeg makes samples of them, which are never held.
//! 2. How much was fed by when tells which time a sample belongs to, so that holes stay where they are.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::pool::{Limit, Order};
use super::segment::{CutSegment, Loaded};
use super::smart::received;
use super::{FfmpegError, Pool};
use crate::domain::{Span, Timestamp};
use crate::media::{Coding, TICKS};

/// As metrics and log name it.
const WORK: &str = "waveform";
/// Samples a second: enough to see peaks.
const RATE: i64 = 8_000;
/// For short stretches, where a column may be shorter than a sample.
const FINE_RATE: i64 = 48_000;
/// What is short.
const SHORT: Span = Span::from_us(60_000_000);
/// No stretch that may be asked for has more; each sample has two bytes.
const MOST_BYTES: u64 = 4 << 30;
/// Segments that are read ahead.
const AHEAD: usize = 4;

/// The lowest and the highest sample of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peak {
    /// The lowest.
    pub low: i16,
    /// The highest.
    pub high: i16,
}

/// From so much of what was fed on, this is the time (in ticks since the start of the stretch).
type Places = Arc<Mutex<Vec<(i64, i64)>>>;

/// The peaks of `[start, end)` in so many columns, `None` where nothing is heard, from the segments that cover it.
pub async fn waveform(
    pool: &Arc<Pool>,
    segments: Vec<CutSegment>,
    (start, end): (Timestamp, Timestamp),
    columns: usize,
) -> Result<Vec<Option<Peak>>, FfmpegError> {
    let turn = pool.turn(WORK).await?;
    let began = Instant::now();
    let rate = if end - start <= SHORT { FINE_RATE } else { RATE };
    let places = Places::default();
    let (sender, mut frames) = mpsc::channel(AHEAD);
    let feeding = Feed { places: Arc::clone(&places), window: (start, end), fed: 0, expected: None };
    tokio::spawn(feeding.run(segments, sender));
    // Where there is no sound all is read before that is known.
    let first = timeout(pool.time(), frames.recv()).await;
    let first =
        first.map_err(|_| FfmpegError::TooSlow(pool.time())).inspect_err(|error| pool.told(WORK, Err(error)))?;
    let Some(first) = first else {
        return Err(FfmpegError::Unsuitable("there is no sound in that stretch".into()));
    };
    let args =
        ["-f", "aac", "-i", "pipe:0", "-map", "0:a:0", "-ac", "1", "-ar", &rate.to_string(), "-f", "s16le", "pipe:1"];
    let order = Order {
        work: WORK,
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        limit: Limit::Whole(pool.time().saturating_sub(began.elapsed())),
        most: MOST_BYTES,
    };
    let mut output = pool.start(Some(turn), order, received(Some(first?), frames))?;
    let ticks = crate::media::ticks((end - start).us());
    let mut drawing = Drawing { peaks: vec![None; columns], ticks, rate, sample: 0, place: 0, half: None };
    while let Some(piece) = output.recv().await {
        let piece = piece.map_err(|error| match error {
            FfmpegError::TooSlow(_) => FfmpegError::TooSlow(pool.time()),
            other => other,
        })?;
        let known = places.lock().unwrap_or_else(PoisonError::into_inner);
        drawing.take(&piece, &known);
    }
    Ok(drawing.peaks)
}

/// Reads the segments.
struct Feed {
    places: Places,
    window: (Timestamp, Timestamp),
    /// In ticks.
    fed: i64,
    /// When the next frame is, if it goes on as it has.
    expected: Option<i64>,
}

impl Feed {
    async fn run(mut self, segments: Vec<CutSegment>, sender: mpsc::Sender<Result<Bytes, FfmpegError>>) {
        for segment in segments {
            // Who has gone is not noticed by sending where there is no sound.
            if sender.is_closed() {
                return;
            }
            let sound = segment.load().await.and_then(|loaded| self.frames(&loaded));
            let piece = match sound {
                Ok(sound) if sound.is_empty() => continue,
                other => other,
            };
            let failed = piece.is_err();
            if sender.send(piece).await.is_err() || failed {
                return;
            }
        }
    }

    fn frames(&mut self, loaded: &Loaded) -> Result<Bytes, FfmpegError> {
        let mut sounds = loaded.media.stretches.iter().filter_map(|stretch| stretch.sound);
        if let Some(other) = sounds.find(|coding| *coding != Coding::Aac) {
            return Err(FfmpegError::Unsuitable(format!("the sound is {} and not AAC", other.name())));
        }
        let (start, end) = (loaded.at(self.window.0), loaded.at(self.window.1));
        let mut bytes = Vec::new();
        for frame in loaded.media.sound_frames() {
            if frame.pts + frame.ticks <= start || frame.pts >= end {
                continue;
            }
            let at = frame.pts - start;
            // Times are rounded; a frame is no discontinuity that is off by less than itself.
            if self.expected.is_none_or(|expected| (expected - at).abs() > frame.ticks) {
                self.places.lock().unwrap_or_else(PoisonError::into_inner).push((self.fed, at));
            }
            self.expected = Some(at + frame.ticks);
            self.fed += frame.ticks;
            bytes.extend_from_slice(&frame.data);
        }
        Ok(bytes.into())
    }
}

/// The columns while samples come.
struct Drawing {
    peaks: Vec<Option<Peak>>,
    ticks: i64,
    rate: i64,
    sample: i64,
    place: usize,
    half: Option<u8>,
}

impl Drawing {
    fn take(&mut self, piece: &[u8], places: &[(i64, i64)]) {
        let mut rest = piece;
        if let (Some(low), Some((high, later))) = (self.half.take(), rest.split_first()) {
            self.one(i16::from_le_bytes([low, *high]), places);
            rest = later;
        }
        let (samples, odd) = rest.as_chunks::<2>();
        for sample in samples {
            self.one(i16::from_le_bytes(*sample), places);
        }
        self.half = odd.first().copied().or(self.half);
    }

    fn one(&mut self, sample: i16, places: &[(i64, i64)]) {
        let fed = self.sample * TICKS / self.rate;
        self.sample += 1;
        while places.get(self.place + 1).is_some_and(|(next, _)| *next <= fed) {
            self.place += 1;
        }
        let Some((since, at)) = places.get(self.place) else { return };
        let columns = i64::try_from(self.peaks.len()).unwrap_or(i64::MAX);
        let column = (at + fed - since).saturating_mul(columns).div_euclid(self.ticks.max(1));
        let column = usize::try_from(column).ok().and_then(|column| self.peaks.get_mut(column));
        if let Some(peak) = column {
            let Peak { low, high } = peak.unwrap_or(Peak { low: sample, high: sample });
            *peak = Some(Peak { low: low.min(sample), high: high.max(sample) });
        }
    }
}
