//! Equal content under another start: what several recorders of one source name differently where the source tells no times. Pure.
//!
//! A hash says what is equal, but content may recur: a still picture, an ad, a clip that plays over and over. So another start is the same
//! recording only
//!
//! 1. if both begin within 30 s of each other ([`NEARBY`]) and last at the same time for a while, since nothing plays beside itself, or
//! 2. if they begin within 30 s, and all the time that the other one covers is covered here without it.
//!
//! Where neither is so it is fetched: a segment too many is no harm, and a hole is.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use crate::archive::best::TOLERANCE;
use crate::archive::contents::HiddenStems;
use crate::archive::hidden_content::NEARBY;
use crate::archive::{Hash, Hour, HourContents, SegmentKey, SegmentKind, Span, Timestamp};

/// Two segments of the same duration, type and content that start at most so far apart are one segment that was recorded twice, whatever it
/// lies beside.
pub const NEAR: Span = Span::from_us(1_000);

type Content = (Hash, SegmentKind);
/// What near duplicates have in common.
type SameSegment = (Hash, SegmentKind, u32);

/// From when to when a segment lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lasting {
    pub start: Timestamp,
    pub end: Timestamp,
}

impl Lasting {
    fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// The video around an hour that is neither deleted here nor by the list that is planned.
pub struct Twins {
    hour: Hour,
    keeps_one_name: bool,
    starts: HashMap<SameSegment, Vec<Timestamp>>,
    /// In order of start, and of each start the one that lasts longest.
    by_content: HashMap<Content, Vec<Lasting>>,
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
        let mut by_content: HashMap<Content, Vec<Lasting>> = HashMap::new();
        let (mut starts, mut full) = (HashMap::<SameSegment, Vec<Timestamp>>::new(), Vec::new());
        for (key, hour) in of_hour.chain(around).filter(|(key, _)| key.kind.is_video() && !key.tombstone) {
            let lasting = Lasting { start: key.start(hour), end: key.end(hour) };
            starts.entry((key.hash, key.kind, key.duration_us)).or_default().push(lasting.start);
            by_content.entry((key.hash, key.kind)).or_default().push(lasting);
            if key.kind == SegmentKind::Full {
                full.push(lasting);
            }
        }
        for same in starts.values_mut() {
            same.sort_unstable();
        }
        for of_content in by_content.values_mut() {
            of_content.sort_unstable_by_key(|lasting| (lasting.start, Reverse(lasting.end)));
            of_content.dedup_by_key(|lasting| lasting.start);
        }
        Self {
            hour: of,
            keeps_one_name,
            starts,
            by_content,
            covered: if keeps_one_name { joined(full) } else { Vec::new() },
        }
    }

    pub fn of(&self, key: &SegmentKey) -> Option<TwinHere> {
        let offered = Lasting { start: key.start(self.hour), end: key.end(self.hour) };
        let starts = self.starts.get(&(key.hash, key.kind, key.duration_us)).map(Vec::as_slice).unwrap_or_default();
        let first = starts.get(starts.partition_point(|start| *start < offered.start - NEAR));
        if first.is_some_and(|start| *start <= offered.start + NEAR) {
            return Some(TwinHere::Near);
        }
        if !self.keeps_one_name {
            return None;
        }
        let shift = |here: &Lasting| offered.start - here.start;
        // Content that recurs has many starts within reach, and the nearest is the one that may be the same.
        let nearest = Self::nearest(self.by_content.get(&(key.hash, key.kind))?, &offered)?;
        let is_one = nearest.overlaps(&offered) || self.covers(&offered);
        is_one.then(|| TwinHere::Shifted(shift(nearest)))
    }

    fn nearest<'s>(same: &'s [Lasting], offered: &Lasting) -> Option<&'s Lasting> {
        let at = same.partition_point(|here| here.start < offered.start);
        let before = at.checked_sub(1).and_then(|before| same.get(before));
        let both = before.into_iter().chain(same.get(at));
        both.filter(|here| (offered.start - here.start).us().abs() <= NEARBY.us())
            .min_by_key(|here| (offered.start - here.start).us().abs())
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
pub fn later_twins<'a>(offers: impl Iterator<Item = (&'a str, SegmentKey)>, hour: Hour) -> HashSet<&'a str> {
    let mut kept: HashMap<Content, Lasting> = HashMap::new();
    let mut later = HashSet::new();
    // In order of start.
    for (name, key) in offers.filter(|(_, key)| key.kind.is_video()) {
        let lasting = Lasting { start: key.start(hour), end: key.end(hour) };
        match kept.get(&(key.hash, key.kind)) {
            Some(first) if first.overlaps(&lasting) => {
                later.insert(name);
            }
            _ => {
                kept.insert((key.hash, key.kind), lasting);
            }
        }
    }
    later
}
