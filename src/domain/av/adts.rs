//! Frames of AAC sound (ISO/IEC 13818-7, ADTS), each with its time.

use super::{TICKS, Unit};

/// Samples of one frame.
const SAMPLES: i64 = 1_024;
/// By the index in the header.
const RATES: [i64; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

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

/// The frames in these units. A frame may begin in one and end in the next; bytes between frames are left out.
pub fn sound_frames(units: &[Unit]) -> Vec<SoundFrame> {
    let mut frames: Vec<SoundFrame> = Vec::new();
    let mut waiting: Vec<u8> = Vec::new();
    for unit in units {
        // What began before keeps the time that follows from the frame before it.
        let mut carried = waiting.len();
        let (mut origin, mut count) = (unit.pts, 0);
        waiting.extend_from_slice(&unit.data);
        let mut at = 0;
        while let Some((length, rate)) = waiting.get(at..).and_then(header) {
            let Some(data) = waiting.get(at..at + length) else { break };
            let span = |number: i64| number * SAMPLES * TICKS / rate;
            let pts = if at < carried {
                frames.last().map_or(unit.pts - span(1), |last| last.pts + last.ticks)
            } else {
                origin + span(count)
            };
            frames.push(SoundFrame { pts, ticks: span(1), data: data.to_vec() });
            at += length;
            if at > carried {
                (carried, origin, count) =
                    if at - length < carried { (at, unit.pts, 0) } else { (carried, origin, count + 1) };
            }
        }
        if waiting.len().saturating_sub(at) > 0
            && waiting.get(at..).is_some_and(|rest| rest.len() >= 7 && header(rest).is_none())
        {
            // Not where a frame begins: look for the next one in what comes.
            let next = waiting
                .get(at + 1..)
                .unwrap_or_default()
                .windows(2)
                .position(|two| two[0] == 0xff && two[1] & 0xf6 == 0xf0);
            at = next.map_or(waiting.len(), |next| at + 1 + next);
        }
        waiting.drain(..at.min(waiting.len()));
    }
    frames
}

/// Length and rate, where a frame begins.
fn header(bytes: &[u8]) -> Option<(usize, i64)> {
    let head = bytes.first_chunk::<7>()?;
    let length = usize::from(head[3] & 3) << 11 | usize::from(head[4]) << 3 | usize::from(head[5] >> 5);
    let rate = *RATES.get(usize::from(head[2] >> 2 & 0x0f))?;
    (head[0] == 0xff && head[1] & 0xf6 == 0xf0 && length > 7).then_some((length, rate))
}
