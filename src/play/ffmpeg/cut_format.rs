//! What a cut may be put in, and how ffmpeg puts the transport stream that was made here into anything else.

use super::Pool;
use super::pool::{Limit, Order};
use crate::archive::Container;
use crate::media::Coding;

/// A file of more is not made.
const MOST_BYTES: u64 = 1 << 40;
/// An MP4 that can be written as it comes.
pub(super) const FRAGMENTS: &str = "frag_keyframe+delay_moov+default_base_moof";

/// What comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutFormat {
    /// MPEG-TS.
    Ts,
    /// MP4, in fragments.
    Mp4,
    /// `WebM`, encoded anew as VP9 and Opus: what browsers play as it comes.
    Webm,
}

impl CutFormat {
    /// As HTTP names it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Ts => Container::Ts.media_type(),
            Self::Mp4 => "video/mp4",
            Self::Webm => "video/webm",
        }
    }

    /// As the names of files end.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Ts => Container::Ts.extension(),
            Self::Mp4 => "mp4",
            Self::Webm => "webm",
        }
    }

    /// As sentences name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ts => "a transport stream",
            Self::Mp4 => "an MP4",
            Self::Webm => "a WebM",
        }
    }

    /// What makes it of a transport stream; nothing if it is one.
    pub(super) fn order(self, pool: &Pool, sound: Option<Coding>) -> Option<Order> {
        let input = ["-f", "mpegts", "-i", "pipe:0", "-map", "0:v:0", "-map", "0:a?"];
        let (work, output): (_, &[&str]) = match self {
            Self::Ts => return None,
            // Packed anew and not encoded, in fragments: these can be sent while they are made, and played while they come.
            Self::Mp4 => ("mp4", &["-c", "copy", "-movflags", FRAGMENTS, "-f", "mp4", "pipe:1"]),
            // Encoders that are made for calls keep up with what is watched; pictures of another size become as large as the first ones, and
            // sound of another rate gets filters of its own.
            Self::Webm => ("webm", &WEBM),
        };
        let before: &[&str] = if self == Self::Webm { &["-reinit_filter:v", "0"] } else { &[] };
        let between: &[&str] = match (self, sound) {
            (Self::Mp4, Some(Coding::Aac)) => &["-bsf:a", "aac_adtstoasc"],
            _ => &[],
        };
        Some(Order {
            work,
            args: before.iter().chain(&input).chain(between).chain(output).map(|&arg| arg.to_owned()).collect(),
            limit: Limit::Still(pool.time()),
            most: MOST_BYTES,
        })
    }
}

const WEBM: [&str; 23] = [
    "-vf",
    "scale",
    "-pix_fmt",
    "yuv420p",
    "-c:v",
    "libvpx-vp9",
    "-deadline",
    "realtime",
    "-cpu-used",
    "6",
    "-row-mt",
    "1",
    "-crf",
    "30",
    "-b:v",
    "0",
    "-c:a",
    "libopus",
    "-ac",
    "2",
    "-f",
    "webm",
    "pipe:1",
];
