//! Everything that wants a decoder or an encoder: a real `ffmpeg`, in processes of its own.
//!
//! 1. [`Pool`] runs it: a bounded number at once, each bounded in time and in what it writes, and gone when nobody waits for it.
//! 2. What it reads comes through a pipe, as a transport stream that was put together here from the wanted frames alone
//!    ([`crate::media`]): no name of a file and no address from outside ever stands on its command line.
//! 3. [`frame`] makes a picture, [`waveform`] a curve of loudness, [`smart`] a cut that is exact to the frame,
//!    with transitions between its stretches where they are wanted ([`Transition`]).

mod cut_format;
mod cutter;
mod ends;
mod error;
mod frame;
mod metrics;
mod packed_anew;
mod plan;
mod pool;
mod segment;
mod smart;
mod sound_apart;
mod suitable;
#[cfg(test)]
mod tests;
mod transition;
mod video;
mod waveform;

pub use cut_format::CutFormat;
pub use error::FfmpegError;
pub use frame::{Near, frame};
pub use plan::{clips, near, packed, segment};
pub use pool::{Pool, PoolOptions};
pub use segment::{Clip, CutSegment, LookAhead, Open};
pub use smart::{CutStream, check, smart};
pub use sound_apart::{PackedSegments, pack_with_sound};
pub use transition::{Part, Transition, UnknownTransition};
pub use video::matroska;
pub use waveform::waveform;
