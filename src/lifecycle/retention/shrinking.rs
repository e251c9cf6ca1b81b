//! How far an archive may shrink within a week that its node has lived: not below half of the most that it held, in hours or in bytes.
//!
//! Once that was asked, time does not answer it: what the archive held then is the measure until a person has decided.
//!
//! It is the level that is measured and not what was deleted, so that an archive that is as full as ever may delete as much as it
//! records. A limit for each run would not do: a disk that others fill slowly takes everything, a little in each run. Pure; the
//! record of it is kept by retention.

use std::fmt;

use crate::archive::Span;

/// Days that are remembered, with the one that runs.
const DAYS: usize = 7;
const DAY_US: i64 = 24 * crate::archive::time::HOUR_US;

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamSize {
    /// Hours of one's own that hold anything.
    pub hours: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl StreamSize {
    fn highest(self, other: Self) -> Self {
        Self { hours: self.hours.max(other.hours), bytes: self.bytes.max(other.bytes) }
    }

    /// With these as well.
    #[must_use]
    pub fn with(self, hours: u64, bytes: u64) -> Self {
        Self { hours: self.hours.saturating_add(hours), bytes: self.bytes.saturating_add(bytes) }
    }

    /// What is left without these.
    #[must_use]
    pub fn without(self, hours: u64, bytes: u64) -> Self {
        Self { hours: self.hours.saturating_sub(hours), bytes: self.bytes.saturating_sub(bytes) }
    }
}

/// What a line begins with that does not grow old.
const HELD: &str = "held";

/// The highest levels of the last lived days.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Levels {
    days: Vec<(i64, StreamSize)>,
    /// The highest when too little would have been left; it does not grow old.
    held: Option<StreamSize>,
}

impl Levels {
    /// Takes a level in; true if it is worth writing down.
    pub fn note(&mut self, lived: Span, level: StreamSize) -> bool {
        let (before, day) = (self.clone(), lived.us() / DAY_US);
        match self.days.iter_mut().find(|(known, _)| *known == day) {
            Some((_, highest)) => *highest = highest.highest(level),
            None => self.days.push((day, level)),
        }
        let first = day.saturating_sub(i64::try_from(DAYS).unwrap_or(i64::MAX));
        self.days.retain(|(known, _)| *known > first);
        self.days.sort_unstable_by_key(|(known, _)| *known);
        *self != before
    }

    /// What is the highest now stays so until a person has decided; true if that is worth writing down.
    pub fn hold(&mut self) -> bool {
        let highest = self.highest();
        self.held.replace(highest) != Some(highest)
    }

    /// So much has gone that was meant to, and is no loss.
    pub fn lower(&mut self, hours: u64, bytes: u64) {
        let all = self.days.iter_mut().map(|(_, level)| level).chain(self.held.as_mut());
        all.for_each(|level| *level = level.without(hours, bytes));
    }

    /// This is what counts from now on, on a person's word.
    pub fn reset(&mut self, lived: Span, level: StreamSize) {
        *self = Self { days: vec![(lived.us() / DAY_US, level)], held: None };
    }

    /// The highest of them.
    pub fn highest(&self) -> StreamSize {
        let all = self.days.iter().map(|(_, level)| *level).chain(self.held);
        all.fold(StreamSize::default(), StreamSize::highest)
    }

    /// Whether so little may be left; if not, why.
    pub fn shrinks(&self, left: StreamSize) -> Option<Shrinking> {
        let highest = self.highest();
        let is_too_little = left.hours < highest.hours.div_ceil(2) || left.bytes < highest.bytes.div_ceil(2);
        is_too_little.then_some(Shrinking { left, highest })
    }

    /// As text.
    pub fn text(&self) -> String {
        let line = |when: &str, level: &StreamSize| format!("{when} {} {}\n", level.hours, level.bytes);
        let days = self.days.iter().map(|(day, level)| line(&day.to_string(), level));
        days.chain(self.held.iter().map(|level| line(HELD, level))).collect()
    }

    /// Reads it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut levels = Self::default();
        for line in text.lines() {
            let mut words = line.split(' ');
            let when = words.next()?;
            let mut number = || words.next()?.parse().ok();
            let level = StreamSize { hours: number()?, bytes: number()? };
            match when {
                HELD => levels.held = Some(level),
                day => levels.days.push((day.parse().ok()?, level)),
            }
        }
        Some(levels)
    }
}

/// What a line of the second yardstick begins with.
const NAMED: &str = "named ";
/// And one of the third.
const BUCKET: &str = "bucket ";

/// The levels of what is own, of what is named beside it, and of what lies in the bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Yardsticks {
    /// Of what is own.
    pub own: Levels,
    /// Of what others gave of what the configuration names.
    pub named: Levels,
    /// Of hours in the bucket, without their bytes.
    pub bucket: Levels,
}

impl Yardsticks {
    /// As text.
    pub fn text(&self) -> String {
        let others = [(NAMED, self.named.text()), (BUCKET, self.bucket.text())];
        let lines = others.iter().flat_map(|(name, text)| text.lines().map(move |line| format!("{name}{line}\n")));
        std::iter::once(self.own.text()).chain(lines).collect()
    }

    /// Reads it; what an earlier version wrote is about what is own alone.
    pub fn parse(text: &str) -> Option<Self> {
        let of = |name: &str| {
            let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(name)).collect();
            Levels::parse(&lines.join("\n"))
        };
        let is_own = |line: &&str| !line.starts_with(NAMED) && !line.starts_with(BUCKET);
        let own: Vec<&str> = text.lines().filter(is_own).collect();
        Some(Self { own: Levels::parse(&own.join("\n"))?, named: of(NAMED)?, bucket: of(BUCKET)? })
    }
}

/// Too little would be left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shrinking {
    /// So much would be.
    pub left: StreamSize,
    /// The most that there was.
    pub highest: StreamSize,
}

impl fmt::Display for Shrinking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { left, highest } = self;
        write!(
            f,
            "the archive held up to {} hours and {} bytes within seven days that this node has run, and {} hours and {} bytes \
             would be left, less than half; nothing is deleted until you say that this is right: look at `gapless retention plan`, then \
             `gapless retention run --yes`",
            highest.hours, highest.bytes, left.hours, left.bytes
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(day: i64) -> Span {
        Span::from_us(day * DAY_US)
    }

    fn level(hours: u64) -> StreamSize {
        StreamSize { hours, bytes: hours * 100 }
    }

    #[test]
    fn a_disk_that_fills_slowly_stops_at_half() {
        let (mut levels, mut hours) = (Levels::default(), 40);
        for run in 0..200 {
            levels.note(Span::from_us(run * 1_000_000), level(hours));
            if levels.shrinks(level(hours - 1)).is_none() {
                hours -= 1;
            }
        }
        assert_eq!(hours, 20);
    }

    #[test]
    fn what_was_asked_is_not_answered_by_waiting() {
        let (mut levels, mut hours) = (Levels::default(), 40);
        for run in 0..30 * 24 {
            levels.note(Span::from_us(run * DAY_US / 24), level(hours));
            if levels.shrinks(level(hours - 1)).is_none() {
                hours -= 1;
            } else {
                levels.hold();
                levels = Levels::parse(&levels.text()).unwrap();
            }
        }
        assert_eq!(hours, 20);
        levels.reset(day(30), level(20));
        assert_eq!((levels.shrinks(level(10)), levels.highest()), (None, level(20)));
    }

    #[test]
    fn what_is_recorded_may_go_however_much_it_is() {
        let mut levels = Levels::default();
        for run in 0..10_000 {
            levels.note(Span::from_us(run * DAY_US / 24), level(41));
            assert_eq!(levels.shrinks(level(40)), None);
        }
    }

    #[test]
    fn bytes_count_as_hours_do_and_a_week_is_forgotten() {
        let mut levels = Levels::default();
        assert!(levels.note(day(0), StreamSize { hours: 10, bytes: 1_000 }));
        assert!(!levels.note(day(0), StreamSize { hours: 9, bytes: 900 }));
        assert!(levels.shrinks(StreamSize { hours: 9, bytes: 499 }).is_some());
        assert!(levels.shrinks(StreamSize { hours: 4, bytes: 900 }).is_some());
        assert!(levels.shrinks(StreamSize { hours: 5, bytes: 500 }).is_none());
        levels.note(day(6), level(1));
        assert_eq!(levels.highest().hours, 10);
        levels.note(day(7), level(1));
        assert_eq!(levels.highest(), level(1));
        levels.note(day(7), level(8));
        levels.reset(day(7), level(2));
        assert_eq!(levels.highest(), level(2));
    }

    #[test]
    fn what_was_meant_to_leave_is_no_shrinking_and_all_else_is() {
        let size = |hours| StreamSize { hours, bytes: hours * 10 };
        let mut levels = Levels::default();
        levels.note(Span::from_us(0), size(100));
        levels.hold();
        assert!(levels.shrinks(size(49)).is_some());
        for _ in 0..60 {
            levels.lower(1, 10);
        }
        assert_eq!(levels.highest(), size(40));
        assert!(levels.shrinks(size(40)).is_none() && levels.shrinks(size(19)).is_some());
        levels.lower(1_000, 1_000_000);
        assert_eq!(levels.highest(), StreamSize::default());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(all in prop::collection::vec((0..20_i64, 0..1_000_u64, any::<bool>()), 0..20)) {
            let mut levels = Levels::default();
            for (at, hours, is_held) in all {
                levels.note(day(at), level(hours));
                if is_held {
                    levels.hold();
                }
            }
            prop_assert_eq!(Levels::parse(&levels.text()), Some(levels.clone()));
            let own = Yardsticks { own: levels.clone(), ..Yardsticks::default() };
            prop_assert_eq!(own.text(), levels.text());
            let named = Yardsticks { named: levels.clone(), ..Yardsticks::default() };
            let bucket = Yardsticks { bucket: levels.clone(), ..Yardsticks::default() };
            for some in [own, named, bucket, Yardsticks { own: levels.clone(), named: levels.clone(), bucket: levels }] {
                prop_assert_eq!(Yardsticks::parse(&some.text()), Some(some));
            }
        }
    }
}
