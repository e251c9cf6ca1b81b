//! Units of a stream with their times, and for how long the tables say the same of them.

use super::coding::Coding;
use super::entry::Marks;
use super::time::TICKS;

/// Decoding times never run backwards; this much of it is taken for an encoder's hiccup.
pub(super) const BACKWARDS: i64 = TICKS / 2;
/// What is off by so much goes on, announced or not.
pub(super) const JOINT: i64 = TICKS / 2;
/// How long a picture lasts if nothing else is known: 25 a second.
pub(super) const PICTURE: i64 = 3_600;

/// A picture, or a few frames of sound: what came as one packet of the elementary stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// When it is shown.
    pub pts: i64,
    /// When it is decoded.
    pub dts: i64,
    /// Its bytes as they came.
    pub data: Vec<u8>,
    /// What the bytes of a picture say about it.
    pub marks: Marks,
    /// Which of the segment's stretches it lies in.
    pub stretch: usize,
}

/// A picture, in all that a plan has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedPicture {
    /// When it is shown.
    pub pts: i64,
    /// Bytes that it has.
    pub bytes: usize,
    /// What it says about itself.
    pub marks: Marks,
}

/// What the tables say as long as nothing of it changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableSpan {
    /// The video, if there is any.
    pub video: Option<Coding>,
    /// The sound, if there is any.
    pub sound: Option<Coding>,
    /// The first stream that may be either.
    pub unknown: Option<Coding>,
    /// Picture or sound are encrypted, at least in part.
    pub scrambled: bool,
    /// It has a time base of its own.
    pub(super) rebased: bool,
}

/// Where pictures with these times and marks begin ([`super::Segment::first_pts`]).
pub(super) fn begins(units: impl Iterator<Item = (i64, Marks)>) -> Option<i64> {
    let mut units = units.peekable();
    let (first, marks) = *units.peek()?;
    if marks.random_access { Some(first) } else { units.map(|(pts, _)| pts).min() }
}

/// The shortest step between times that are in order: how long a picture lasts.
pub fn shortest(times: &[i64]) -> Option<i64> {
    times.windows(2).map(|two| two[1] - two[0]).filter(|step| *step > 0).min()
}
