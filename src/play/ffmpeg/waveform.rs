//! How loud a stretch is, column by column, along the line on which a player shows it.
//!
//! 1. That line has whole segments, each as long as its name says, one behind the other: it begins with the first of them, which may be
//!    before the wanted time, and has no holes.
//! 2. Frames of sound are taken out of the segments, and ffmpeg makes samples of them, which are never held: each channel as it is, at the
//!    rate that it has, so that nothing is lost to mixing or to a lower rate.
//! 3. How much was fed by when tells which place a sample belongs to.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::pool::{Limit, Order};
use super::segment::{CutSegment, Loaded};
use super::smart::received;
use super::{FfmpegError, Pool};
use crate::media::{Coding, TICKS, ticks};

/// As metrics and log name it.
const WORK: &str = "waveform";
/// No stretch that may be asked for has more: six hours of eight channels.
const MOST_BYTES: u64 = 32 << 30;
/// Segments that are read ahead.
const AHEAD: usize = 4;

/// From so much of what was fed on, this is the place (in ticks since the beginning of the line).
type Places = Arc<Mutex<Vec<(i64, i64)>>>;

/// The mean height of the samples of each channel, in so many columns; a column in which nothing is heard has no channels.
pub async fn waveform(
    pool: &Arc<Pool>,
    segments: Vec<CutSegment>,
    columns: usize,
) -> Result<Vec<Vec<u16>>, FfmpegError> {
    let turn = pool.turn(WORK).await?;
    let began = Instant::now();
    let length: i64 = segments.iter().map(|segment| ticks(segment.duration.us())).sum();
    let places = Places::default();
    let (sender, mut frames) = mpsc::channel(AHEAD);
    let feeding = Feed { places: Arc::clone(&places), begin: 0, length, fed: 0, expected: None };
    tokio::spawn(feeding.run(segments, sender));
    // Where there is no sound all is read before that is known.
    let first = timeout(pool.time(), frames.recv()).await;
    let first =
        first.map_err(|_| FfmpegError::TooSlow(pool.time())).inspect_err(|error| pool.told(WORK, Err(error)))?;
    let Some(first) = first else {
        return Err(FfmpegError::Unsuitable("there is no sound in that stretch".into()));
    };
    // The header says the rate and the number of channels.
    let args = ["-f", "aac", "-i", "pipe:0", "-map", "0:a:0", "-c:a", "pcm_s16le", "-f", "wav", "pipe:1"];
    let order = Order {
        work: WORK,
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        limit: Limit::Whole(pool.time().saturating_sub(began.elapsed())),
        most: MOST_BYTES,
    };
    let mut output = pool.start(Some(turn), order, received(Some(first?), frames))?;
    let (mut head, mut drawing) = (Vec::new(), None);
    while let Some(piece) = output.recv().await {
        let piece = piece.map_err(|error| match error {
            FfmpegError::TooSlow(_) => FfmpegError::TooSlow(pool.time()),
            other => other,
        })?;
        let known = places.lock();
        let Some(drawing) = &mut drawing else {
            head.extend_from_slice(&piece);
            if let Some((wave, samples)) = wave(&head) {
                let mut fresh = Drawing::new(wave, (length, columns));
                fresh.take(samples, &known);
                (head, drawing) = (Vec::new(), Some(fresh));
            } else if head.len() > MOST_HEAD {
                break;
            }
            continue;
        };
        drawing.take(&piece, &known);
    }
    drawing.map(|drawing: Drawing| drawing.means()).ok_or_else(|| FfmpegError::Useless("it wrote no sound".into()))
}

/// Reads the segments.
struct Feed {
    places: Places,
    /// Where the next segment begins on the line.
    begin: i64,
    length: i64,
    /// In ticks.
    fed: i64,
    /// Where the next frame is, if it goes on as it has.
    expected: Option<i64>,
}

impl Feed {
    async fn run(mut self, segments: Vec<CutSegment>, sender: mpsc::Sender<Result<Bytes, FfmpegError>>) {
        for segment in segments {
            // Who has gone is not noticed by sending where there is no sound.
            if sender.is_closed() {
                return;
            }
            let lasts = ticks(segment.duration.us());
            let sound = segment.load().await.and_then(|loaded| self.frames(&loaded));
            self.begin += lasts;
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
        let mut bytes = Vec::new();
        for frame in &loaded.frames {
            let at = self.begin + frame.pts - loaded.first;
            if at + frame.ticks <= 0 || at >= self.length {
                continue;
            }
            // Times are rounded; a frame is no discontinuity that is off by less than itself.
            if self.expected.is_none_or(|expected| (expected - at).abs() > frame.ticks) {
                self.places.lock().push((self.fed, at));
            }
            self.expected = Some(at + frame.ticks);
            self.fed += frame.ticks;
            bytes.extend_from_slice(&frame.data);
        }
        Ok(bytes.into())
    }
}

/// A header has a few dozen bytes.
const MOST_HEAD: usize = 64 << 10;

/// What the samples are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wave {
    channels: usize,
    /// Samples a second, of each channel.
    rate: i64,
}

/// Reads the header of a WAVE file, and gives what follows it; nothing while it is not whole.
fn wave(bytes: &[u8]) -> Option<(Wave, &[u8])> {
    let mut rest = bytes.get(12..)?;
    let mut wave = None;
    loop {
        let (head, body) = rest.split_at_checked(8)?;
        let (name, size) = head.split_at_checked(4)?;
        if name == b"data" {
            return Some((wave?, body));
        }
        let size = usize::try_from(u32::from_le_bytes(size.try_into().ok()?)).ok()?;
        if name == b"fmt " {
            let channels = usize::from(u16::from_le_bytes(body.get(2..4)?.try_into().ok()?));
            let rate = i64::from(u32::from_le_bytes(body.get(4..8)?.try_into().ok()?));
            wave = (channels > 0 && rate > 0).then_some(Wave { channels, rate });
        }
        rest = body.get(size + size % 2..)?;
    }
}

/// The columns while samples come.
struct Drawing {
    wave: Wave,
    /// Of the line, in ticks.
    length: i64,
    columns: usize,
    /// Of each column the heights of all its samples together, channel by channel.
    sums: Vec<u64>,
    /// Samples of each column, of one channel.
    counts: Vec<u64>,
    /// Of one channel, so far.
    sample: i64,
    place: usize,
    /// What does not make up samples of all channels yet.
    rest: Vec<u8>,
}

impl Drawing {
    fn new(wave: Wave, (length, columns): (i64, usize)) -> Self {
        Self {
            wave,
            length: length.max(1),
            columns,
            sums: vec![0; columns * wave.channels],
            counts: vec![0; columns],
            sample: 0,
            place: 0,
            rest: Vec::new(),
        }
    }

    fn take(&mut self, piece: &[u8], places: &[(i64, i64)]) {
        let width = 2 * self.wave.channels;
        let mut piece = piece;
        if !self.rest.is_empty() {
            let (begin, later) = piece.split_at(piece.len().min(width - self.rest.len()));
            self.rest.extend_from_slice(begin);
            piece = later;
            if self.rest.len() < width {
                return;
            }
            let whole = std::mem::take(&mut self.rest);
            self.samples(&whole, places);
        }
        let (whole, rest) = piece.split_at(piece.len() - piece.len() % width);
        self.samples(whole, places);
        self.rest.extend_from_slice(rest);
    }

    /// Samples of all channels, in runs that lie in one column.
    fn samples(&mut self, mut bytes: &[u8], places: &[(i64, i64)]) {
        let width = 2 * self.wave.channels;
        while !bytes.is_empty() {
            let (column, until) = self.run(places);
            let count = usize::try_from((until - self.sample).max(1)).unwrap_or(usize::MAX);
            let (run, later) = bytes.split_at(bytes.len().min(count.saturating_mul(width)));
            let samples = run.len() / width;
            if let Some(column) = column {
                let begin = column * self.wave.channels;
                let sums = self.sums.get_mut(begin..begin + self.wave.channels).unwrap_or_default();
                for sample in run.chunks_exact(width) {
                    for (sum, value) in sums.iter_mut().zip(sample.as_chunks::<2>().0) {
                        *sum += u64::from(i16::from_le_bytes(*value).unsigned_abs());
                    }
                }
                if let Some(all) = self.counts.get_mut(column) {
                    *all += samples as u64;
                }
            }
            self.sample += i64::try_from(samples).unwrap_or(i64::MAX);
            bytes = later;
        }
    }

    /// The column of the next sample, and the first sample that may lie in another one.
    fn run(&mut self, places: &[(i64, i64)]) -> (Option<usize>, i64) {
        let fed = self.sample * TICKS / self.wave.rate;
        while places.get(self.place + 1).is_some_and(|(next, _)| *next <= fed) {
            self.place += 1;
        }
        let Some((since, at)) = places.get(self.place) else { return (None, i64::MAX) };
        let columns = i64::try_from(self.columns).unwrap_or(i64::MAX);
        let column = (at + fed - since).saturating_mul(columns).div_euclid(self.length);
        let next_column = ((column + 1).saturating_mul(self.length) + columns - 1).div_euclid(columns.max(1));
        let next_place = places.get(self.place + 1).map_or(i64::MAX, |(next, _)| *next);
        let until = (since + next_column - at).min(next_place);
        let until = (until.saturating_mul(self.wave.rate).saturating_add(TICKS - 1)).div_euclid(TICKS);
        (usize::try_from(column).ok().filter(|column| *column < self.columns), until)
    }

    fn means(self) -> Vec<Vec<u16>> {
        let columns = self.sums.chunks(self.wave.channels).zip(self.counts);
        let mean = |sum: &u64, count: u64| u16::try_from(sum / count).unwrap_or(u16::MAX);
        columns
            .map(|(sums, count)| match count {
                0 => Vec::new(),
                count => sums.iter().map(|sum| mean(sum, count)).collect(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(channels: u16, rate: u32) -> Vec<u8> {
        let mut bytes = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0".to_vec();
        bytes.extend(channels.to_le_bytes());
        bytes.extend(rate.to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend(b"LIST\x03\0\0\0abc\0data\xff\xff\xff\xff");
        bytes
    }

    #[test]
    fn a_header_is_read_when_it_is_whole() {
        let bytes = header(2, 44_100);
        for len in 0..bytes.len() {
            assert_eq!(wave(&bytes[..len]), None, "{len}");
        }
        assert_eq!(wave(&[bytes.as_slice(), b"xy"].concat()), Some((Wave { channels: 2, rate: 44_100 }, &b"xy"[..])));
        assert_eq!(wave(&header(0, 44_100)), None);
    }

    #[test]
    fn samples_lie_in_the_column_of_their_place_in_whatever_pieces_they_come() {
        // Two channels of 100 samples a second; a second from 0 s on, and one from 2 s on, in eight columns of half a second.
        let sample = |at: i16| [at.to_le_bytes(), (-2 * at).to_le_bytes()].concat();
        let bytes: Vec<u8> = (0..200).flat_map(|at| sample(if at < 100 { 100 } else { 300 })).collect();
        let places = [(0, 0), (TICKS, 2 * TICKS)];
        let expected: Vec<Vec<u16>> =
            [100, 100, 0, 0, 300, 300, 0, 0].map(|mean| if mean == 0 { vec![] } else { vec![mean, 2 * mean] }).into();
        for size in [1, 3, 4, 7, 1_000] {
            let mut drawing = Drawing::new(Wave { channels: 2, rate: 100 }, (4 * TICKS, 8));
            bytes.chunks(size).for_each(|piece| drawing.take(piece, &places));
            assert_eq!(drawing.means(), expected, "{size}");
        }
    }
}
