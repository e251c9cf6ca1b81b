//! Equal content under another start: what several recorders of one source name differently where the source tells no times. Pure.
//!
//! A hash says what is equal, but content may recur: a still picture, an ad, a clip that plays over and over. So a segment of the same
//! content, type and duration with another start is the same recording only
//!
//! 1. if both begin within 30 s of each other ([`NEARBY`]) and last at the same time for a while, since nothing plays beside itself, or
//! 2. if they begin within 30 s, and all the time that the other one covers is covered here without it.
//!
//! Where neither is so it is fetched: a segment too many is no harm, and a hole is.

use std::collections::{HashMap, HashSet};

use crate::archive::best::TOLERANCE;
use crate::archive::contents::HiddenStems;
use crate::archive::hidden_content::NEARBY;
use crate::archive::{Hash, Hour, HourContents, SegmentKey, SegmentKind, Span, Timestamp};

/// Two segments of the same duration, type and content that start at most so far apart are one segment that was recorded twice, whatever it
/// lies beside.
pub const NEAR: Span = Span::from_us(1_000);

/// What twins have in common: content, type and duration.
type SameSegment = (Hash, SegmentKind, u32);

const fn same(key: &SegmentKey) -> SameSegment {
    (key.hash, key.kind, key.duration_us)
}

/// From when to when something lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Lasting {
    start: Timestamp,
    end: Timestamp,
}

/// The video around an hour that is neither deleted here nor by the list that is planned.
pub struct Twins {
    hour: Hour,
    keeps_one_name: bool,
    /// In order.
    starts: HashMap<SameSegment, Vec<Timestamp>>,
    /// What is covered by `full` segments, in order, without gaps that count.
    covered: Vec<Lasting>,
}

/// How what is offered is here already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TwinHere {
    /// At most [`NEAR`] away.
    Near,
    /// The same content by another name, which begins so much later than what is here; earlier if negative.
    Shifted(Span),
}

impl Twins {
    pub fn new(
        (local, of): (&HourContents, Hour),
        deleted: &HiddenStems<'_>,
        around: &[(SegmentKey, Hour)],
        keeps_one_name: bool,
    ) -> Self {
        let of_hour = local.visible().filter(|file| !deleted.hides(file)).map(|file| (file.key, of));
        let around = around.iter().copied().filter(|_| keeps_one_name);
        let (mut starts, mut full) = (HashMap::<SameSegment, Vec<Timestamp>>::new(), Vec::new());
        for (key, hour) in of_hour.chain(around).filter(|(key, _)| key.kind.is_video() && !key.tombstone) {
            starts.entry(same(&key)).or_default().push(key.start(hour));
            if key.kind == SegmentKind::Full {
                full.push(Lasting { start: key.start(hour), end: key.end(hour) });
            }
        }
        for of_segment in starts.values_mut() {
            of_segment.sort_unstable();
        }
        Self { hour: of, keeps_one_name, starts, covered: if keeps_one_name { joined(full) } else { Vec::new() } }
    }

    pub fn of(&self, key: &SegmentKey) -> Option<TwinHere> {
        let offered = Lasting { start: key.start(self.hour), end: key.end(self.hour) };
        let starts = self.starts.get(&same(key))?;
        let at = starts.partition_point(|start| *start < offered.start);
        let before = at.checked_sub(1).and_then(|before| starts.get(before));
        // Content that recurs has many starts within reach, and the nearest is the one that may be the same.
        let shifts = before.into_iter().chain(starts.get(at)).map(|start| offered.start - *start);
        let shift = shifts.min_by_key(|shift| shift.us().abs())?;
        if shift.us().abs() <= NEAR.us() {
            return Some(TwinHere::Near);
        }
        let is_twin =
            shift.us().abs() <= NEARBY.us() && (shift.us().abs() < i64::from(key.duration_us) || self.covers(&offered));
        (self.keeps_one_name && is_twin).then_some(TwinHere::Shifted(shift))
    }

    fn covers(&self, offered: &Lasting) -> bool {
        let at = self.covered.partition_point(|part| part.start <= offered.start + TOLERANCE);
        let part = at.checked_sub(1).and_then(|before| self.covered.get(before));
        part.is_some_and(|part| part.end + TOLERANCE >= offered.end)
    }
}

/// Stretches that follow one another, as one.
fn joined(mut full: Vec<Lasting>) -> Vec<Lasting> {
    full.sort_unstable();
    let mut joined: Vec<Lasting> = Vec::new();
    for each in full {
        match joined.last_mut() {
            Some(last) if each.start <= last.end + TOLERANCE => last.end = last.end.max(each.end),
            _ => joined.push(each),
        }
    }
    joined
}

/// Of several names in a list for the same content at the same time, the first to begin is the one that is fetched: where it began
/// later, it is a twin of the one before.
pub fn later_twins<'a>(offers: impl Iterator<Item = (&'a str, SegmentKey)>) -> HashSet<&'a str> {
    let mut kept: HashMap<SameSegment, u32> = HashMap::new();
    let mut later = HashSet::new();
    // In order of start; what has the same start differs in how it is written, and no more.
    for (name, key) in offers.filter(|(_, key)| key.kind.is_video()) {
        match kept.get(&same(&key)) {
            Some(first) if (1..key.duration_us).contains(&(key.start_us - first)) => {
                later.insert(name);
            }
            _ => {
                kept.insert(same(&key), key.start_us);
            }
        }
    }
    later
}
