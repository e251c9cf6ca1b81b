//! What an exact cut is made of: which pictures are passed on as they are, which are encoded anew, and what is refused.
//!
//! Values in, values out: what a segment's name and the reader say of it goes in, steps come out, segment by segment; the bytes are held by
//! whoever takes the steps.
//!
//! 1. A picture's time is the start in the name of its segment, and as much later or earlier as its stamp says. So of two cuts that meet, exactly one has
//!    it, also where it lies a little beside its segment's name: neighbours are read for it, up to a second away.
//! 2. Pictures come in groups, from one [`DecodeEntry`] to the next.
//! 3. A group is passed on if what is wanted of it comes first in the order of decoding, and it begins with a closed entry, or the group
//!    before it was passed on as a whole. Of any other what is wanted is encoded anew.
//! 4. What leads an open entry is decoded with the group before. Behind a hole there is none: it lies in the hole.
//! 5. Anything else that cannot be decoded is refused, and so is what a cut cannot hold or what differs from the segment's name.
//! 6. Sound is cut between its frames, at the nearest. A segment beside the window has but a little of it and may have none, and is passed over where it is unsuitable.

use std::ops::Range;

use super::content::{CutRefusal, SegmentContent, WindowPlace};
use super::entry::{DecodeEntry, right_from};
use super::time::{distance, ticks};
use super::unit::{JOINT, PICTURE, PlannedPicture, shortest};

/// A group of pictures with more bytes is none that can be cut exactly: it is held in memory.
pub const MOST_GROUP: usize = 256 << 20;

/// What is to be done next. Pictures have numbers in the order in which they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CutStep {
    /// These are passed on as they are.
    Copy(Range<usize>),
    /// These are decoded, and those of them with these times encoded anew: first of the segment that begins then.
    Encode(Range<usize>, Vec<i64>, i64),
}

/// What becomes of a segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentSteps {
    /// Its times are moved by this.
    pub shift: i64,
    /// The numbers of its frames of sound that are in.
    pub sound: Vec<usize>,
    /// What can be done now.
    pub steps: Vec<CutStep>,
    /// It lies beside the window, and is passed over for this.
    pub passed_over: Option<CutRefusal>,
}

/// Plans a cut of one window from segments in order.
#[derive(Debug)]
pub struct CutPlanner {
    /// In microseconds.
    window: (i64, i64),
    shift: i64,
    /// Where the next segment should begin.
    expected: Option<i64>,
    /// Where the last one ended by its name.
    ended_us: i64,
    groups: Groups,
}

/// Pictures that wait for their group to be whole.
#[derive(Debug, Default)]
struct Groups {
    /// The number of the next picture.
    next: usize,
    /// The group before, which the one that is being gathered follows directly; nothing if there is none.
    before: Vec<Placed>,
    /// That group was passed on as a whole.
    is_passed_on: bool,
    /// There was one, but it is not held any more.
    is_forgotten: bool,
    group: Vec<Placed>,
    bytes: usize,
    /// Nothing is wanted up to the next entry.
    skips: bool,
    first: Option<i64>,
    last: i64,
    /// How long a picture lasts.
    lasts: i64,
}

/// A picture in the line of all segments.
#[derive(Debug, Clone, Copy)]
struct Placed {
    picture: PlannedPicture,
    place: WindowPlace,
    segment_us: i64,
}

impl CutPlanner {
    /// Of a cut from the first of these, in microseconds, up to the other.
    pub fn new(window: (i64, i64)) -> Self {
        let groups = Groups { lasts: PICTURE, ..Groups::default() };
        Self { window, shift: 0, expected: None, ended_us: 0, groups }
    }

    /// From when to when, in microseconds.
    pub fn window(&self) -> (i64, i64) {
        self.window
    }

    /// Takes the next segment. What has no pictures is a hole.
    pub fn segment(&mut self, source: &SegmentContent) -> Result<SegmentSteps, CutRefusal> {
        let mut turn = SegmentSteps { shift: self.shift, ..SegmentSteps::default() };
        if let Err(refusal) = source.check() {
            turn.passed_over = Some(refusal).filter(|_| source.lies_beside(self.window));
            return if turn.passed_over.is_some() { Ok(turn) } else { Err(refusal) };
        }
        if source.pictures.is_empty() {
            return Ok(turn);
        }
        if !self.join(source) {
            self.groups.close(&mut turn.steps)?;
            self.groups.part();
        }
        turn.shift = self.shift;
        turn.sound = source.sound_within(self.window);
        let bounds = source.bounds(self.window);
        for picture in &source.pictures {
            let place = bounds.place(picture.pts);
            let moved = PlannedPicture { pts: picture.pts + self.shift, ..*picture };
            self.groups.push(Placed { picture: moved, place, segment_us: source.start_us }, &mut turn.steps)?;
        }
        Ok(turn)
    }

    /// There are no more segments.
    pub fn finish(&mut self) -> Result<Vec<CutStep>, CutRefusal> {
        let mut steps = Vec::new();
        self.groups.close(&mut steps)?;
        if self.groups.first.is_some() { Ok(steps) } else { Err(CutRefusal::Nothing) }
    }

    /// The time of the first picture that is in, once there was a step, and the end of the last one.
    pub fn extent(&self) -> Option<(i64, i64)> {
        self.groups.first.map(|first| (first, self.groups.last + self.groups.lasts))
    }

    /// The first picture that is still needed, by its number.
    pub fn needed(&self) -> usize {
        self.groups.next - self.groups.group.len() - self.groups.before.len()
    }

    /// Finds where a segment goes on, and whether it joins the one before it. What is off by less than half a second does.
    fn join(&mut self, source: &SegmentContent) -> bool {
        let times = source.times();
        let (Some(first), Some(last)) = (times.first().copied(), times.last().copied()) else { return true };
        let leap = self.expected.map_or(0, |expected| distance(expected, first + self.shift));
        let goes_on = leap.abs() <= JOINT;
        let begin = self.expected.map_or(first, |expected| expected + if goes_on { leap } else { 0 });
        let names = self.expected.map_or(0, |_| ticks(source.start_us.saturating_sub(self.ended_us)));
        self.shift = begin - first;
        self.expected = Some(last + self.shift + shortest(&times).unwrap_or(self.groups.lasts));
        self.ended_us = source.end_us;
        goes_on && names.abs() <= JOINT
    }
}

impl Groups {
    /// What follows has nothing to do with what was there.
    fn part(&mut self) {
        self.before.clear();
        (self.bytes, self.is_passed_on, self.is_forgotten, self.skips) = (0, false, false, false);
    }

    fn push(&mut self, placed: Placed, steps: &mut Vec<CutStep>) -> Result<(), CutRefusal> {
        let entry = placed.picture.marks.entry;
        if entry.is_some() {
            self.close(steps)?;
            // Pictures that are shown before it may follow an open one.
            self.skips = placed.place == WindowPlace::After && entry != Some(DecodeEntry::Open);
            if self.skips || entry == Some(DecodeEntry::Closed) {
                self.is_forgotten = true;
                self.before.clear();
                (self.bytes, self.is_passed_on) = (0, false);
            }
        }
        self.next += 1;
        if self.skips {
            // Where names overlap something of the next segment may be wanted.
            let is_lost = placed.place == WindowPlace::Within;
            return if is_lost { Err(CutRefusal::NoEntry(placed.segment_us)) } else { Ok(()) };
        }
        self.bytes = self.bytes.saturating_add(placed.picture.bytes);
        self.group.push(placed);
        if self.bytes > MOST_GROUP {
            if self.group.iter().any(|other| other.place == WindowPlace::Within) {
                return Err(CutRefusal::TooFar(placed.segment_us));
            }
            self.before.clear();
            self.group.clear();
            (self.bytes, self.is_forgotten, self.is_passed_on) = (0, true, false);
        }
        Ok(())
    }

    /// The group is whole.
    fn close(&mut self, steps: &mut Vec<CutStep>) -> Result<(), CutRefusal> {
        let mut group = std::mem::take(&mut self.group);
        if group.is_empty() {
            return Ok(());
        }
        let is_passed_on = self.plan(&mut group, steps)?;
        self.is_passed_on = is_passed_on;
        self.is_forgotten = false;
        self.bytes = group.iter().map(|placed| placed.picture.bytes).sum();
        self.before = group;
        Ok(())
    }

    /// What is done with a group, and whether it is passed on as a whole.
    fn plan(&mut self, group: &mut [Placed], steps: &mut Vec<CutStep>) -> Result<bool, CutRefusal> {
        let begin = self.next - group.len();
        let mut times = wanted(group);
        let (Some(place), Some(opening)) = (segment_of(group), group.first().map(|placed| placed.picture)) else {
            return Ok(false);
        };
        let entry = opening.marks.entry;
        let count = times.len();
        let is_front = group.iter().take(count).all(|placed| placed.place == WindowPlace::Within);
        if is_front && (entry == Some(DecodeEntry::Closed) || entry.is_some() && self.is_passed_on) {
            self.reckon(&times);
            steps.push(CutStep::Copy(begin..begin + count));
            return Ok(count == group.len());
        }
        let from_when = right(group).ok_or(CutRefusal::NoEntry(place))?;
        let mut from = begin;
        if let Some(first) = times.first().filter(|first| **first < from_when) {
            if right(&self.before).is_some_and(|before| before <= opening.pts.min(*first)) {
                from -= self.before.len();
            } else if entry == Some(DecodeEntry::Open)
                && self.before.is_empty()
                && !self.is_forgotten
                && lead_within(group)
            {
                // What leads it is shown before its segment begins: in the hole.
                times.retain(|pts| *pts >= from_when);
            } else {
                return Err(CutRefusal::NoEntry(place));
            }
        }
        let last =
            group.iter().rposition(|placed| placed.place == WindowPlace::Within && times.contains(&placed.picture.pts));
        if let Some(last) = last {
            self.reckon(&times);
            steps.push(CutStep::Encode(from..begin + last + 1, times, place));
        }
        Ok(false)
    }

    fn reckon(&mut self, times: &[i64]) {
        if let (Some(first), Some(last)) = (times.first(), times.last()) {
            self.first.get_or_insert(*first);
            self.last = *last;
            self.lasts = shortest(times).unwrap_or(self.lasts);
        }
    }
}

/// The times of what is wanted, in order.
fn wanted(group: &[Placed]) -> Vec<i64> {
    let within = group.iter().filter(|placed| placed.place == WindowPlace::Within);
    let mut times: Vec<i64> = within.map(|placed| placed.picture.pts).collect();
    times.sort_unstable();
    times
}

/// The segment of the first picture that is wanted.
fn segment_of(group: &[Placed]) -> Option<i64> {
    group.iter().find(|placed| placed.place == WindowPlace::Within).map(|placed| placed.segment_us)
}

/// Whether all that is shown before the entry with which a group begins lies in the same segment.
fn lead_within(group: &[Placed]) -> bool {
    group.first().is_some_and(|entry| {
        let mut leads = group.iter().filter(|placed| placed.picture.pts < entry.picture.pts);
        leads.all(|placed| placed.segment_us == entry.segment_us)
    })
}

/// From when on what is shown is right if decoding begins with this group.
fn right(group: &[Placed]) -> Option<i64> {
    right_from(group.iter().map(|placed| (placed.picture.pts, placed.picture.marks)))
}
