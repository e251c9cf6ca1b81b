//! Frames of AAC sound (ISO/IEC 14496-3, 1.A.2: ADTS), each with its time.

use super::segment::Unit;
use super::time::TICKS;

/// Samples of one block; a frame has one to four.
const SAMPLES: i64 = 1_024;
/// By the index in the header.
const RATES: [i64; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
/// The shortest header.
const SHORTEST: usize = 7;

/// What a frame says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// The audio object type.
    pub object: u8,
    /// Bytes, header included.
    pub length: usize,
    rate: i64,
    samples: i64,
}

/// A frame of sound with its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoundFrame {
    /// When it is heard.
    pub pts: i64,
    /// How long it lasts.
    pub ticks: i64,
    /// Header and content, as they came.
    pub data: Vec<u8>,
}

/// Length and rate, where a frame begins.
pub(super) fn header(bytes: &[u8]) -> Option<FrameHeader> {
    let [0xff, second, third, fourth, fifth, sixth, seventh, ..] = *bytes else { return None };
    let length = usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth >> 5);
    let rate = *RATES.get(usize::from(third >> 2 & 0x0f))?;
    let samples = SAMPLES * (1 + i64::from(seventh & 3));
    (second & 0xf6 == 0xf0 && length > SHORTEST).then_some(FrameHeader {
        object: (third >> 6) + 1,
        length,
        rate,
        samples,
    })
}

impl FrameHeader {
    /// Whether the two may follow each other in one stream.
    pub fn is_like(&self, other: &Self) -> bool {
        (self.object, self.rate) == (other.object, other.rate)
    }
}

/// The frames in these units. A frame may begin in one and end in the next; bytes between frames are left out.
///
/// The time of a unit is that of the first frame that begins in it (ISO/IEC 13818-1, 2.4.3.7).
pub fn sound_frames(units: &[Unit]) -> Vec<SoundFrame> {
    let mut frames: Vec<SoundFrame> = Vec::new();
    let mut waiting: Vec<u8> = Vec::new();
    for unit in units {
        let carried = waiting.len();
        waiting.extend_from_slice(&unit.data);
        // Samples in the frames that began in this unit.
        let (mut at, mut samples, mut is_lost) = (0, 0, false);
        while let Some(rest) = waiting.get(at..).filter(|rest| rest.len() >= SHORTEST) {
            let found = header(rest).filter(|found| !is_lost || is_followed(rest, found));
            let Some(found) = found else {
                is_lost = true;
                at += next_sync(rest);
                continue;
            };
            is_lost = false;
            let Some(data) = rest.get(..found.length) else { break };
            let span = |count: i64| count * TICKS / found.rate;
            let pts = if at < carried {
                // What began before keeps the time that follows from the frame before it.
                frames.last().map_or(unit.pts - span(found.samples), |last| last.pts + last.ticks)
            } else {
                samples += found.samples;
                unit.pts + span(samples - found.samples)
            };
            frames.push(SoundFrame { pts, ticks: span(found.samples), data: data.to_vec() });
            at += found.length;
        }
        waiting.drain(..at.min(waiting.len()));
    }
    frames
}

/// Kind, rate and channels, by the first frame behind which another one begins.
pub(super) fn configuration(stream: &[u8]) -> Option<[u8; 2]> {
    let found = (0..stream.len()).find_map(|at| {
        let rest = stream.get(at..)?;
        header(rest).filter(|found| is_followed(rest, found)).and_then(|_| rest.get(2..4))
    })?;
    // What stands between the rate and the channels is private.
    Some([found.first()? & 0xfd, found.get(1)? & 0xc0])
}

/// Whether behind this frame another one begins, as far as that can be seen.
fn is_followed(bytes: &[u8], found: &FrameHeader) -> bool {
    let next = bytes.get(found.length..).unwrap_or_default();
    next.len() < SHORTEST || header(next).is_some_and(|next| next.is_like(found))
}

/// How far it is to where a frame may begin, one byte on at least.
fn next_sync(bytes: &[u8]) -> usize {
    let later = bytes.get(1..).unwrap_or_default();
    later.iter().position(|byte| *byte == 0xff).map_or(bytes.len(), |at| at + 1)
}
