//! The best segments of one hour as intervals, and what the hour's files add up to. Knows no other hour.

use crate::archive::best::best_per_start;
use crate::archive::time::{Hour, Span, Timestamp};
use crate::archive::{HourContents, SegmentFile, SegmentKind};

/// Files or overlaps, and their time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimeTally {
    /// How many.
    pub count: u64,
    /// Microseconds of all of them.
    pub us: u64,
}

impl TimeTally {
    /// One more.
    pub fn add(&mut self, us: u64) {
        self.count = self.count.saturating_add(1);
        self.us = self.us.saturating_add(us);
    }

    /// So much more.
    pub fn merge(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.us = self.us.saturating_add(other.us);
    }

    /// What is in this and not in `part`, which is part of it.
    #[must_use]
    pub fn without(self, part: Self) -> Self {
        Self { count: self.count.saturating_sub(part.count), us: self.us.saturating_sub(part.us) }
    }
}

/// The best segment of a start time, without its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BestSegment {
    /// Microseconds after the start of the hour.
    pub start_us: u32,
    /// Microseconds that it lasts.
    pub duration_us: u32,
    /// What it holds.
    pub kind: SegmentKind,
}

impl BestSegment {
    /// Of its file.
    pub fn of(file: &SegmentFile) -> Self {
        Self { start_us: file.key.start_us, duration_us: file.key.duration_us, kind: file.key.kind }
    }

    /// When it starts, lying in this hour.
    pub fn start(self, hour: Hour) -> Timestamp {
        hour.start() + Span::from_us(i64::from(self.start_us))
    }

    /// When it ends, which may be in the next hour.
    pub fn end(self, hour: Hour) -> Timestamp {
        self.start(hour) + Span::from_us(i64::from(self.duration_us))
    }
}

/// One hour by itself: twelve bytes for each start time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HourLine {
    /// In order of start.
    pub best: Vec<BestSegment>,
    /// Visible video by [`SegmentKind::VIDEO`], overlaps included.
    pub video: [TimeTally; 3],
    /// Visible `.ts` files whose name is not understood.
    pub bad: u64,
    /// Of the video, what is not the best of its start time.
    pub beside: [TimeTally; 3],
}

impl HourLine {
    /// Of what an hour holds.
    pub fn of(contents: &HourContents) -> Self {
        let mut line = Self::default();
        for file in contents.visible().filter(|file| file.key.kind.is_video()) {
            add(&mut line.video, file);
        }
        let mut chosen = [TimeTally::default(); 3];
        for file in best_per_start(contents) {
            add(&mut chosen, file);
            line.best.push(BestSegment::of(file));
        }
        line.beside = std::array::from_fn(|kind| line.video[kind].without(chosen[kind]));
        if !contents.odd().is_empty() {
            let hidden = contents.hidden();
            let is_bad = |file: &&crate::archive::OddFile| file.is_bad_segment() && !hidden.hides_odd(file);
            line.bad = contents.odd().iter().filter(is_bad).count() as u64;
        }
        line
    }

    /// The furthest end of its segments; `None` if it has none.
    pub fn furthest(&self, hour: Hour) -> Option<Timestamp> {
        self.best.iter().map(|best| best.end(hour)).max()
    }
}

fn add(tallies: &mut [TimeTally; 3], file: &SegmentFile) {
    // `Kind::VIDEO` lists the kinds by their number.
    if let Some(tally) = tallies.get_mut(file.key.kind as usize) {
        tally.add(u64::from(file.key.duration_us));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::test_names::hash_text;

    #[test]
    fn an_hour_counts_what_is_visible_and_what_is_beside_the_best() {
        let name = |start: &str, duration: &str, kind: &str, hash: u8, extension: &str| {
            format!("{start}-{duration}-{kind}-{}.{extension}", hash_text(hash))
        };
        let names = [
            name("00:00", "2.0", "full", 1, "ts"),
            name("00:00", "1.0", "full", 2, "ts"),
            name("00:00", "2.0", "partial", 3, "ts"),
            name("00:02", "2.0", "suspect", 4, "ts"),
            name("00:04", "2.0", "full", 5, "ts"),
            name("00:04", "2.0", "full", 5, "tombstone"),
            name("00:06", "2.0", "temp", 6, "ts"),
            "bad.ts".to_owned(),
            "worse.ts".to_owned(),
            "worse.tombstone".to_owned(),
            "other.json".to_owned(),
        ];
        let contents = HourContents::from_names(names.iter().map(|each| (each.as_str(), 1)));
        let line = HourLine::of(&contents);
        let tally = |count, seconds: u64| TimeTally { count, us: seconds * 1_000_000 };
        assert_eq!(line.video, [tally(2, 3), tally(1, 2), tally(1, 2)]);
        assert_eq!(line.beside, [tally(1, 1), tally(0, 0), tally(1, 2)]);
        assert_eq!(line.bad, 1);
        let best: Vec<(u32, SegmentKind)> = line.best.iter().map(|best| (best.start_us, best.kind)).collect();
        assert_eq!(best, [(0, SegmentKind::Full), (2_000_000, SegmentKind::Suspect)]);
        let hour = Hour::parse("2019-11-13T02").unwrap();
        assert_eq!(line.furthest(hour), Some(hour.start() + Span::from_us(4_000_000)));
    }
}
