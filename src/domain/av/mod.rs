//! The frames inside a transport stream: taken out of it, and put into a new one.
//!
//! 1. [`demux`] reads the bytes of a segment: the first program's video and sound, as access units with their times.
//! 2. Whoever cuts keeps the units it wants and gives them new times; their bytes stay as they are.
//! 3. [`Mux`] writes them as one transport stream that any player takes.
//!
//! No bytes make this panic; what makes no sense is left out. Times count 1/90,000 s and do not wrap within a segment.

mod adts;
mod demux;
mod h264;
mod mux;
#[cfg(test)]
mod tests;

pub use adts::{SoundFrame, sound_frames};
pub use demux::{Av, Unit, demux};
pub use h264::{Marks, marks, profile};
pub use mux::{Mux, SOUND_PID, VIDEO_PID};

/// Times count so many to the second.
pub const TICKS: i64 = 90_000;

/// `stream_type` of H.264 (ISO/IEC 13818-1, table 2-34).
pub const H264: u8 = 0x1b;
/// `stream_type` of AAC in ADTS.
pub const AAC: u8 = 0x0f;

/// So many microseconds, in ticks, to the nearest.
pub fn ticks(us: i64) -> i64 {
    // A tick is 100/9 µs.
    us.saturating_mul(9).saturating_add(50).div_euclid(100)
}

/// What people call a `stream_type`.
pub fn codec_name(stream_type: u8) -> &'static str {
    match stream_type {
        0x01 | 0x02 => "MPEG-2 video",
        0x03 | 0x04 => "MPEG audio",
        AAC => "AAC",
        0x10 => "MPEG-4 video",
        0x11 => "AAC in LATM",
        H264 => "H.264",
        0x24 => "HEVC",
        0x33 => "VVC",
        0x81 => "AC-3",
        0x87 => "E-AC-3",
        _ => "an unknown codec",
    }
}

/// Whether it is video.
fn is_video(stream_type: u8) -> bool {
    matches!(stream_type, 0x01 | 0x02 | 0x10 | H264 | 0x24 | 0x33)
}

/// Whether it is sound.
fn is_sound(stream_type: u8) -> bool {
    matches!(stream_type, 0x03 | 0x04 | AAC | 0x11 | 0x81 | 0x87)
}
