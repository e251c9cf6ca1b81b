//! Sound as frames, each with its time: AAC in ADTS (ISO/IEC 14496-3, 1.A.2), MPEG audio (ISO/IEC 11172-3 and 13818-3, 2.4.1.3), AC-3 and E-AC-3
//! (ETSI TS 102 366, 4.3 and E.1.2).
//!
//! Sound can be cut between frames where each is decoded from its own bytes. Those of layer III borrow bytes from the ones before them.

use super::coding::Coding;
use super::description::Described;
use super::time::TICKS;
use super::unit::Unit;

/// The shortest header of AAC; those of the others are shorter.
const SHORTEST: usize = 7;
/// No frame is longer.
pub const LONGEST: usize = 8 << 10;

/// What a frame says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FrameHeader {
    /// Audio object type, layer, or version: what it is among those of its coding.
    kind: u8,
    /// Bytes, header included.
    length: usize,
    rate: i64,
    /// 0 if it is heard together with the one before it.
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

impl FrameHeader {
    fn read(coding: Coding, bytes: &[u8]) -> Option<Self> {
        match coding {
            Coding::Aac => aac(bytes),
            Coding::MpegAudio | Coding::Mp3 => mpeg(bytes),
            Coding::Dolby | Coding::EnhancedDolby => dolby(bytes),
            _ => None,
        }
    }

    /// Whether another one of the same stream begins behind it, as far as that can be seen.
    fn is_followed(&self, coding: Coding, bytes: &[u8]) -> bool {
        let next = bytes.get(self.length..).unwrap_or_default();
        let is_like = |other: Self| (other.kind, other.rate) == (self.kind, self.rate);
        next.len() < SHORTEST || Self::read(coding, next).is_some_and(is_like)
    }

    fn ticks(&self, samples: i64) -> i64 {
        samples * TICKS / self.rate
    }
}

fn aac(bytes: &[u8]) -> Option<FrameHeader> {
    const RATES: [i64; 13] =
        [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
    let [0xff, second, third, fourth, fifth, sixth, seventh, ..] = *bytes else { return None };
    let length = usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth >> 5);
    let rate = *RATES.get(usize::from(third >> 2 & 0x0f))?;
    let samples = 1_024 * (1 + i64::from(seventh & 3));
    let is_header = second & 0xf6 == 0xf0 && length > SHORTEST;
    is_header.then_some(FrameHeader { kind: (third >> 6) + 1, length, rate, samples })
}

/// Thousands of bits a second: of the three layers, and at the lower rates of 13818-3 of layer I and of both others.
const MPEG_BITS: [[usize; 14]; 5] = [
    [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

fn mpeg(bytes: &[u8]) -> Option<FrameHeader> {
    let [0xff, second, third, ..] = *bytes else { return None };
    // MPEG-1 has full rates, MPEG-2 half, and what is called MPEG-2.5 a quarter of them.
    let divisor = match second >> 3 {
        0b1_1111 => 1,
        0b1_1110 => 2,
        0b1_1100 => 4,
        _ => return None,
    };
    let is_low = divisor > 1;
    let layer = 4 - (second >> 1 & 3);
    let table = match (layer, is_low) {
        (1..=3, false) => usize::from(layer - 1),
        (1, true) => 3,
        (2 | 3, true) => 4,
        _ => return None,
    };
    // A rate without a number is free, and the length is not said.
    let bits = MPEG_BITS.get(table)?.get(usize::from(third >> 4).checked_sub(1)?)? * 1_000;
    let rate = [44_100, 48_000, 32_000].get(usize::from(third >> 2 & 3))? / divisor;
    let padding = usize::from(third >> 1 & 1);
    let samples = match layer {
        1 => 384,
        3 if is_low => 576,
        _ => 1_152,
    };
    // Of layer I, padding is a slot of four bytes.
    let length = if layer == 1 { (12 * bits / rate + padding) * 4 } else { samples / 8 * bits / rate + padding };
    Some(FrameHeader { kind: layer, length, rate: i64::try_from(rate).ok()?, samples: i64::try_from(samples).ok()? })
}

/// Later versions of AC-3 are enhanced.
const LAST_PLAIN: u8 = 10;

fn dolby(bytes: &[u8]) -> Option<FrameHeader> {
    const BITS: [usize; 19] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
    const RATES: [i64; 3] = [48_000, 44_100, 32_000];
    let [0x0b, 0x77, third, fourth, fifth, sixth, ..] = *bytes else { return None };
    let (kind, rate) = (sixth >> 3, RATES.get(usize::from(fifth >> 6)));
    if kind > LAST_PLAIN {
        let blocks = [1, 2, 3, 6].get(usize::from(fifth >> 4 & 3))?;
        let (rate, blocks) = match rate {
            Some(rate) => (*rate, *blocks),
            None => (RATES.get(usize::from(fifth >> 4 & 3))? / 2, 6),
        };
        // What depends on another frame, or is of another program, is heard together with what comes before it.
        let is_first = third >> 6 != 1 && third & 0x38 == 0;
        let length = 2 * (usize::from(third & 7) << 8 | usize::from(fourth)) + 2;
        let samples = if is_first { 256 * blocks } else { 0 };
        return (kind <= 16 && third >> 6 != 3).then_some(FrameHeader { kind, length, rate, samples });
    }
    let bits = BITS.get(usize::from(fifth >> 1 & 0x1f))?;
    let rate = *rate?;
    let words = match rate {
        48_000 => 2 * bits,
        44_100 => 320 * bits / 147 + usize::from(fifth & 1),
        _ => 3 * bits,
    };
    // Versions 9 and 10 have a half and a quarter of the rate.
    Some(FrameHeader { kind, length: 2 * words, rate: rate >> kind.saturating_sub(8), samples: 1_536 })
}

/// The first frame behind which another one begins, and where it is.
fn first(coding: Coding, stream: &[u8]) -> Option<(usize, FrameHeader)> {
    (0..stream.len()).find_map(|at| {
        let rest = stream.get(at..)?;
        let is_sure = |found: &FrameHeader| found.length <= rest.len() && found.is_followed(coding, rest);
        FrameHeader::read(coding, rest).filter(is_sure).map(|found| (at, found))
    })
}

/// What is in these units, which the tables call by the name of its family: which layer, and which AC-3, only its frames say.
pub(super) fn refined(coding: Coding, units: &[Unit]) -> Coding {
    let mut stream = Vec::new();
    for unit in units {
        stream.extend_from_slice(&unit.data);
        if stream.len() > 2 * LONGEST {
            break;
        }
    }
    match (coding, first(coding, &stream).map(|(_, found)| found.kind)) {
        (Coding::MpegAudio, Some(3)) => Coding::Mp3,
        (Coding::Dolby, Some(kind)) if kind > LAST_PLAIN => Coding::EnhancedDolby,
        _ => coding,
    }
}

/// The frames in these units of a coding. A frame may begin in one and end in the next; bytes between frames are left out.
///
/// The time of a unit is that of the first frame that begins in it (ISO/IEC 13818-1, 2.4.3.7).
pub fn sound_frames(coding: Coding, units: &[Unit]) -> Vec<SoundFrame> {
    let mut frames: Vec<SoundFrame> = Vec::new();
    let mut waiting: Vec<u8> = Vec::new();
    for unit in units {
        let carried = waiting.len();
        waiting.extend_from_slice(&unit.data);
        // Samples in the frames that began in this unit.
        let (mut at, mut samples, mut is_lost) = (0, 0, false);
        while let Some(rest) = waiting.get(at..).filter(|rest| rest.len() >= SHORTEST) {
            let found = FrameHeader::read(coding, rest).filter(|found| !is_lost || found.is_followed(coding, rest));
            let Some(found) = found else {
                is_lost = true;
                at += next_sync(coding, rest);
                continue;
            };
            is_lost = false;
            let Some(data) = rest.get(..found.length) else { break };
            let pts = if at < carried {
                // What began before keeps the time that follows from the frame before it.
                frames.last().map_or(unit.pts - found.ticks(found.samples), |last| last.pts + last.ticks)
            } else {
                samples += found.samples;
                unit.pts + found.ticks(samples - found.samples)
            };
            if found.samples > 0 {
                frames.push(SoundFrame { pts, ticks: found.ticks(found.samples), data: data.to_vec() });
            } else if let Some(before) = frames.last_mut() {
                before.data.extend_from_slice(data);
            }
            at += found.length;
        }
        waiting.drain(..at.min(waiting.len()));
    }
    frames
}

/// How far it is to where a frame may begin, one byte on at least.
fn next_sync(coding: Coding, bytes: &[u8]) -> usize {
    let sync = if matches!(coding, Coding::Dolby | Coding::EnhancedDolby) { 0x0b } else { 0xff };
    let later = bytes.get(1..).unwrap_or_default();
    later.iter().position(|byte| *byte == sync).map_or(bytes.len(), |at| at + 1)
}

/// Kind, rate and channels of AAC.
pub(super) fn configuration(stream: &[u8]) -> Option<[u8; 2]> {
    let (at, _) = first(Coding::Aac, stream)?;
    // What stands between the rate and the channels is private.
    Some([stream.get(at + 2)? & 0xfd, stream.get(at + 3)? & 0xc0])
}

/// Kind, rate and channels, as the first frame says them of all: where they differ, a decoder begins anew.
pub(super) fn setup(coding: Coding, stream: &[u8]) -> Option<Vec<u8>> {
    Some(match coding {
        Coding::Aac => configuration(stream)?.to_vec(),
        // ISO/IEC 11172-3, 2.4.1.3: version and layer, rate, and whether there is one channel.
        Coding::MpegAudio => match *stream {
            [0xff, second, third, fourth, ..] if second & 0xe0 == 0xe0 => {
                vec![second & 0x1e, third & 0x0c, u8::from(fourth >> 6 == 3)]
            }
            _ => return None,
        },
        // ETSI TS 102 366, 4.3 and E.1.2: rate and version, then channels, which stand elsewhere in the enhanced kind.
        Coding::Dolby => match *stream {
            [0x0b, 0x77, _, _, fifth, sixth, seventh, ..] if sixth >> 3 <= LAST_PLAIN => {
                vec![fifth & 0xc0, sixth >> 3, seventh >> 5]
            }
            [0x0b, 0x77, _, _, fifth, sixth, ..] => vec![fifth & 0xcf, sixth >> 3],
            _ => return None,
        },
        _ => return None,
    })
}

/// What a stream says from its first bytes, by the frames themselves and not by what the tables call them.
pub(super) fn describe(coding: Coding, stream: &[u8]) -> Described {
    let codec = first(coding, stream).map(|(_, FrameHeader { kind, .. })| match coding {
        Coding::Aac => format!("mp4a.40.{kind}"),
        // Layers by their audio object types.
        Coding::MpegAudio => format!("mp4a.40.{}", 31 + kind),
        _ if kind <= LAST_PLAIN => "ac-3".to_owned(),
        _ => "ec-3".to_owned(),
    });
    // Where so many bytes hold no frame, more will not either.
    let wants_more = codec.is_none() && stream.len() < LONGEST;
    Described { independent: codec.is_some(), codec, wants_more, ..Described::default() }
}
