//! Where recordings that somebody else has made belong in time, and what they are called in an archive.
//!
//! 1. A recording goes on from the one before it where their time stamps say so and nothing else contradicts. Its start is then exact,
//!    and does not depend on clocks or names, which say seconds at best.
//! 2. Otherwise it begins when somebody has said, when its name says, or as long before its last change as it lasts.
//! 3. A start that nobody knows is refused, not guessed. What is longer than an hour is refused, since no name can say so.
//!
//! Nothing is read or written here, neither clocks nor files.

use std::cmp::Ordering;
use std::fmt;

use crate::archive::segment::recorded_name;
use crate::archive::time::{HOUR_US, SECOND_US};
use crate::archive::{Container, Hash, Hour, SegmentKind, Span, Timestamp};
use crate::media::{StampSpan, distance};
/// Time stamps that are off by so much from the end of the one before go on from it.
const JOINT_US: i64 = SECOND_US / 2;
/// Where the last picture ends is an estimate; a gap of up to one picture at 25 a second is none.
const PICTURE_US: i64 = 40_000;
/// How far a clock may be from time stamps that go on: those of encoders drift, by seconds in a day.
const DRIFT_US: i64 = 60 * SECOND_US;
/// The same where something is missing in between, so that only the distance speaks for one run.
const GAP_DRIFT_US: i64 = 10 * SECOND_US;
/// What overlaps the one before by less begins at its end: names have whole seconds, and of two that overlap only one is played.
const OVERLAP_US: i64 = 2 * SECOND_US;
/// How far ahead of the clock here a recording may end.
const AHEAD_US: i64 = 300 * SECOND_US;

/// Where a start is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFrom {
    /// Somebody has said so.
    Given,
    /// The name of the file.
    Name,
    /// When the file was last changed, and how long it lasts.
    LastChange,
    /// It goes on from the one before it by its time stamps.
    Continues,
}

impl StartFrom {
    /// As a stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Name => "name",
            Self::LastChange => "last_change",
            Self::Continues => "continues",
        }
    }
}

/// For people.
impl fmt::Display for StartFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Given => "start as given",
            Self::Name => "start from its name",
            Self::LastChange => "start from its last change",
            Self::Continues => "continues the one before",
        })
    }
}

/// A file whose start is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recording {
    /// What its time stamps say.
    pub clock: StampSpan,
    /// When it may begin, and who says so, if anybody does.
    pub begins: Option<(Timestamp, StartFrom)>,
}

/// When a recording begins and how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// When it begins.
    pub start: Timestamp,
    /// How long it lasts.
    pub length: Span,
    /// Who says when it begins.
    pub from: StartFrom,
}

/// Why a recording has no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotPlaced {
    /// Nothing says when it begins.
    #[error(
        "its time stamps do not continue those of the file before it: import it by itself with a --start of its own"
    )]
    Unknown,
    /// No name can say how long it lasts.
    #[error(
        "it lasts {:.0} minutes, and a segment lasts at most 60: split it without encoding with ffmpeg -i FILE -c copy -f segment -segment_time 10 part-%05d.ts",
        .0.seconds() / 60.0
    )]
    TooLong(Span),
    /// It would end in the future.
    #[error("it would start at {0}, in the future: check --start, --name-zone and the clock")]
    Future(Timestamp),
}

/// A recording that has its place; the next one may go on from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before {
    /// When it begins.
    pub start: Timestamp,
    /// How long it lasts, by its name.
    pub length: Span,
    /// What its time stamps say.
    pub clock: StampSpan,
}

impl Before {
    fn end(&self) -> Timestamp {
        self.start + self.length
    }

    /// When a recording begins that goes on from this one, or that time stamps say comes later in the same run.
    pub fn continued(&self, next: &Recording) -> Option<Timestamp> {
        let ahead = distance(self.clock.first, next.clock.first);
        if ahead <= 0 {
            return None;
        }
        let start = self.start + Span(microseconds(ahead));
        let gap = microseconds(ahead - self.clock.length);
        let off = next.begins.map_or(0, |(begins, _)| (begins - start).us().abs());
        let is_next = (-JOINT_US..=JOINT_US).contains(&gap) && off <= DRIFT_US;
        let is_later = (0..=HOUR_US).contains(&gap) && off <= GAP_DRIFT_US;
        (is_next || is_later).then_some(start)
    }
}

/// Finds the place of a recording behind another one, if there is one.
pub fn place(next: &Recording, before: Option<&Before>, now: Timestamp) -> Result<Placement, NotPlaced> {
    let length = length(&next.clock);
    if length.us() > HOUR_US {
        return Err(NotPlaced::TooLong(length));
    }
    let continued = before.and_then(|before| before.continued(next)).map(|start| (start, StartFrom::Continues));
    let (found, from) = continued.or(next.begins).ok_or(NotPlaced::Unknown)?;
    // What was said is not changed; of what is known to the second a small overlap is.
    let may_move = from != StartFrom::Given;
    let end = before.map(Before::end).filter(|end| {
        let overlap = (*end - found).us();
        may_move && (1..=OVERLAP_US).contains(&overlap)
    });
    let start = end.unwrap_or(found);
    if (start + length) > now + Span(AHEAD_US) {
        return Err(NotPlaced::Future(start));
    }
    Ok(Placement { start, length, from })
}

impl Placement {
    /// How long this lasts if that one goes on from it: up to its beginning, if what is between them is no more than an estimate.
    #[must_use]
    pub fn up_to(self, next: &Self) -> Self {
        let gap = (next.start - (self.start + self.length)).us();
        let joins = next.from == StartFrom::Continues && (-JOINT_US..=PICTURE_US).contains(&gap);
        let length = Span((next.start - self.start).us());
        if joins && (1..=HOUR_US).contains(&length.us()) { Self { length, ..self } } else { self }
    }

    /// The hour that it lies in and its name there.
    pub fn name(&self, kind: SegmentKind, container: Container, hash: Hash) -> (Hour, String) {
        recorded_name(self.start, self.length, kind, container, hash)
    }
}

/// How long a recording lasts by its time stamps.
pub fn length(clock: &StampSpan) -> Span {
    Span(microseconds(clock.length))
}

/// Ticks in microseconds, to the nearest.
fn microseconds(ticks: i64) -> i64 {
    ticks.saturating_mul(200).saturating_add(9).div_euclid(18)
}

/// Whether a file begins like a container that is not a transport stream, and which.
pub fn other_container(head: &[u8]) -> Option<&'static str> {
    match head {
        [_, _, _, _, b'f', b't', b'y', b'p', ..] | [_, _, _, _, b'm', b'o', b'o', b'f', ..] => {
            Some("MP4 without fragments")
        }
        [_, _, _, _, b's', b't', b'y', b'p', ..] => Some("fragmented MP4"),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Some("Matroska or WebM"),
        [b'F', b'L', b'V', ..] => Some("FLV"),
        [b'R', b'I', b'F', b'F', ..] => Some("AVI or WAV"),
        [b'O', b'g', b'g', b'S', ..] => Some("Ogg"),
        [b'#', b'E', b'X', b'T', b'M', b'3', b'U', ..] => Some("a playlist"),
        _ => None,
    }
}

/// Names in the order of the numbers in them: `n2.ts` before `n10.ts`.
pub fn natural_order(one: &str, other: &str) -> Ordering {
    let (mut one_rest, mut other_rest) = (one, other);
    loop {
        let (one_part, other_part) = (part(one_rest), part(other_rest));
        if one_part.is_empty() || other_part.is_empty() {
            return one_rest.cmp(other_rest).then_with(|| one.cmp(other));
        }
        let (number, other_number) = (one_part.trim_start_matches('0'), other_part.trim_start_matches('0'));
        let are_numbers =
            [one_part, other_part].iter().all(|part| part.starts_with(|char: char| char.is_ascii_digit()));
        let order = if are_numbers {
            number.len().cmp(&other_number.len()).then_with(|| number.cmp(other_number))
        } else {
            one_part.cmp(other_part)
        };
        if order != Ordering::Equal {
            return order;
        }
        one_rest = one_rest.get(one_part.len()..).unwrap_or_default();
        other_rest = other_rest.get(other_part.len()..).unwrap_or_default();
    }
}

/// The digits that a text begins with, or what comes before its first digit.
fn part(text: &str) -> &str {
    let is_number = text.starts_with(|char: char| char.is_ascii_digit());
    let end = text.find(|char: char| char.is_ascii_digit() != is_number).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
