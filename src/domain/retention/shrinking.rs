//! How far an archive may shrink within a week that its node has lived: not below half of the most that it held, in hours or in bytes.
//!
//! It is the level that is measured and not what was deleted, so that an archive that is as full as ever may delete as much as it
//! records. A limit for each run would not do: a disk that others fill slowly takes everything, a little in each run. Pure; the
//! record of it is kept by retention.

use std::fmt;

use crate::domain::Span;

/// Days that are remembered, with the one that runs.
const DAYS: usize = 7;
const DAY_US: i64 = 24 * crate::domain::time::HOUR_US;

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Level {
    /// Hours of one's own that hold anything.
    pub hours: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Level {
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

/// The highest levels of the last lived days.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Levels(Vec<(i64, Level)>);

impl Levels {
    /// Takes a level in; true if it is worth writing down.
    pub fn note(&mut self, lived: Span, level: Level) -> bool {
        let (before, day) = (self.clone(), lived.us() / DAY_US);
        match self.0.iter_mut().find(|(known, _)| *known == day) {
            Some((_, highest)) => *highest = highest.highest(level),
            None => self.0.push((day, level)),
        }
        let first = day.saturating_sub(i64::try_from(DAYS).unwrap_or(i64::MAX));
        self.0.retain(|(known, _)| *known > first);
        self.0.sort_unstable_by_key(|(known, _)| *known);
        *self != before
    }

    /// This is what counts from now on, on a person's word.
    pub fn reset(&mut self, lived: Span, level: Level) {
        self.0 = vec![(lived.us() / DAY_US, level)];
    }

    /// The highest of them.
    pub fn highest(&self) -> Level {
        self.0.iter().fold(Level::default(), |highest, (_, level)| highest.highest(*level))
    }

    /// Whether so little may be left; if not, why.
    pub fn shrinks(&self, left: Level) -> Option<Shrinking> {
        let highest = self.highest();
        let is_too_little = left.hours < highest.hours.div_ceil(2) || left.bytes < highest.bytes.div_ceil(2);
        is_too_little.then_some(Shrinking { left, highest })
    }

    /// As text.
    pub fn text(&self) -> String {
        let lines: Vec<String> =
            self.0.iter().map(|(day, level)| format!("{day} {} {}\n", level.hours, level.bytes)).collect();
        lines.concat()
    }

    /// Reads it.
    pub fn parse(text: &str) -> Option<Self> {
        let read = |line: &str| {
            let mut words = line.split(' ');
            let day = words.next()?.parse().ok()?;
            let mut number = || words.next()?.parse().ok();
            Some((day, Level { hours: number()?, bytes: number()? }))
        };
        text.lines().map(read).collect::<Option<Vec<_>>>().map(Self)
    }
}

/// Too little would be left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shrinking {
    /// So much would be.
    pub left: Level,
    /// The most that there was.
    pub highest: Level,
}

impl fmt::Display for Shrinking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { left, highest } = self;
        write!(
            f,
            "the archive held up to {} hours and {} bytes within the last seven days that this node has run, and {} hours and {} bytes \
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

    fn level(hours: u64) -> Level {
        Level { hours, bytes: hours * 100 }
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
        assert!(levels.note(day(0), Level { hours: 10, bytes: 1_000 }));
        assert!(!levels.note(day(0), Level { hours: 9, bytes: 900 }));
        assert!(levels.shrinks(Level { hours: 9, bytes: 499 }).is_some());
        assert!(levels.shrinks(Level { hours: 4, bytes: 900 }).is_some());
        assert!(levels.shrinks(Level { hours: 5, bytes: 500 }).is_none());
        levels.note(day(6), level(1));
        assert_eq!(levels.highest().hours, 10);
        levels.note(day(7), level(1));
        assert_eq!(levels.highest(), level(1));
        levels.note(day(7), level(8));
        levels.reset(day(7), level(2));
        assert_eq!(levels.highest(), level(2));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(all in prop::collection::vec((0..20_i64, 0..1_000_u64), 0..20)) {
            let mut levels = Levels::default();
            for (at, hours) in all {
                levels.note(day(at), level(hours));
            }
            prop_assert_eq!(Levels::parse(&levels.text()), Some(levels));
        }
    }
}
