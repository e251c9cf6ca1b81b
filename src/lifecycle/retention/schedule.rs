//! Which hours have to go, and why: a pure function of what there is, the limits, the time and the free space.
//!
//! 1. Whole hours go, oldest first. The hour that runs and the one before never go, and neither do those that the operator keeps.
//! 2. Age is the only rule that looks at the clock. Size and free space go by the order of hours alone.
//! 3. Hours from the future never go, so they must not cost others their place: by size they do not count.
//! 4. What looks like a mistake (more than half of the archive at once, a clock far away from the newest segment, much from the
//!    future) is told as a [`SuspectPlan`]; whoever carries the plan out stops there until a person says that it is right.

mod room;
mod stored;

use std::collections::BTreeSet;
use std::fmt;

pub use room::Horizons;
pub use stored::{EarlierDecision, Measured, RetentionReason, Stored};

use super::shrinking::StreamSize;
use crate::archive::retention::RetentionLimits;
use crate::archive::{Hour, Span, Timestamp};
use crate::wire::AskingGuard;

/// How far the clock may be ahead of the newest hour before age is believed only on a person's word: a week without a single
/// segment is a long pause, or a wrong clock.
pub(super) const QUIET: Span = Span::from_us(7 * 24 * crate::archive::time::HOUR_US);

/// An hour that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetiringHour {
    /// Which, and what it holds.
    pub stored: Stored,
    /// Why.
    pub reason: RetentionReason,
    /// With what it is measured how far the archive shrinks.
    pub measured: Option<Measured>,
}

/// What goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule {
    /// What came from others and has no room first, then oldest first.
    pub going: Vec<RetiringHour>,
    /// What looks like a mistake; each is asked about by itself, the first one first.
    pub doubts: Vec<SuspectPlan>,
    /// Hours that hold anything.
    pub hours: usize,
    /// Bytes of all of them.
    pub bytes: u64,
    /// How much of it is the archive's own: recorded here; where nothing is, named; where nothing is named, all. That is what must not
    /// shrink, and what others give must not make it look large.
    pub own: StreamSize,
    /// How much is named, where something was recorded. That must not shrink either where it is more than what is own.
    pub named: StreamSize,
}

impl Schedule {
    /// Bytes that go.
    pub fn going_bytes(&self) -> u64 {
        self.going.iter().map(|going| going.stored.bytes).sum()
    }

    /// What goes whatever else holds, because it was begun before.
    pub fn begun(&self) -> impl Iterator<Item = &RetiringHour> {
        self.going.iter().filter(|going| matches!(going.stored.decided, EarlierDecision::Begun(_)))
    }

    #[cfg(test)]
    pub fn doubt(&self) -> Option<SuspectPlan> {
        self.doubts.first().copied()
    }

    /// How much of one's own is left when all has gone that goes.
    pub fn own_after(&self) -> StreamSize {
        self.after(Measured::Own, self.own)
    }

    /// How much of what is named is left then.
    pub fn named_after(&self) -> StreamSize {
        self.after(Measured::Named, self.named)
    }

    fn after(&self, measured: Measured, before: StreamSize) -> StreamSize {
        let going = self.going.iter().filter(|going| going.measured == Some(measured)).map(|going| &going.stored);
        going.fold(before, |left, stored| left.without(1, stored.bytes.saturating_sub(stored.origin.added.bytes)))
    }
}

/// The guards that a person has answered by yes. None of these answers holds for another guard.
pub type Answered = BTreeSet<AskingGuard>;

/// What looks like a mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuspectPlan {
    /// More than half of the hours would go at once.
    MoreThanHalf {
        /// So many.
        going: usize,
        /// Of so many.
        of: usize,
    },
    /// The newest hour is far older than the clock says it could be.
    Clock {
        /// The newest hour that is not in the future.
        newest: Option<Hour>,
        /// What the clock says.
        now: Timestamp,
    },
    /// More than a tenth of all bytes are from the future, where size or free space decide.
    Future {
        /// So many.
        bytes: u64,
        /// Of so many.
        of: u64,
        /// The last of their hours.
        newest: Hour,
    },
}

impl SuspectPlan {
    /// Who asks about it.
    pub const fn guard(&self) -> AskingGuard {
        match self {
            Self::MoreThanHalf { .. } => AskingGuard::Shrinking,
            Self::Clock { .. } => AskingGuard::Quiet,
            Self::Future { .. } => AskingGuard::Future,
        }
    }
}

impl fmt::Display for SuspectPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MoreThanHalf { going, of } => write!(
                f,
                "{going} of {of} hours would be deleted at once; nothing is until you say that this is right: \
                 look at `gapless retention plan`, then `gapless retention run --yes`"
            ),
            Self::Clock { newest, now } => {
                write!(f, "the clock says {now}, but ")?;
                match newest {
                    Some(hour) => write!(f, "the newest hour is {hour}")?,
                    None => write!(f, "no hour is older than that")?,
                }
                write!(
                    f,
                    "; nothing is deleted for its age until you say that the clock is right: `gapless retention run --yes`"
                )
            }
            Self::Future { bytes, of, newest } => write!(
                f,
                "{bytes} of {of} bytes are in hours from the future, up to {newest}: a clock is wrong here or on another node; \
                 nothing is deleted to make room for them until you say that this is right: look at `gapless retention plan`, \
                 then `gapless retention run --yes`, or delete those hours"
            ),
        }
    }
}

/// What goes, given everything that could. `free` is the free space of the disk, where it is known.
pub fn schedule(mut hours: Vec<Stored>, limits: &RetentionLimits, now: Timestamp, free: Option<u64>) -> Schedule {
    hours.sort_unstable_by(|a, b| (a.place.hour, &a.place.stream).cmp(&(b.place.hour, &b.place.stream)));
    let first_safe = now.hour().previous();
    let newest = hours.iter().map(|stored| stored.place.hour).filter(|hour| hour.start() <= now).max();
    let all_of = |stored: &Stored| stored.bytes.saturating_add(stored.other_bytes);
    let bytes = hours.iter().map(all_of).fold(0, u64::saturating_add);
    // Clocks differ by a little: the next hour is no sign of anything.
    let last = now.hour().next();
    let future = hours.iter().filter(|stored| stored.place.hour > last).map(all_of).fold(0, u64::saturating_add);
    let newest_of_all = hours.last().map(|stored| stored.place.hour);
    let of_itself = |stored: &Stored| match stored.decided {
        EarlierDecision::Keep => None,
        EarlierDecision::Begun(reason) => Some(reason),
        EarlierDecision::Nothing if stored.place.hour >= first_safe => None,
        EarlierDecision::Nothing => limits.too_old(&stored.place, now).then_some(RetentionReason::Age),
    };
    let mut reasons: Vec<Option<RetentionReason>> = hours.iter().map(of_itself).collect();
    room::add_reasons(&hours, &mut reasons, limits, (first_safe, last), free);
    let measured = room::measured_among(&hours);
    let level = |of: Measured| {
        let counted = hours.iter().filter(|stored| measured(stored) == Some(of));
        let without_added = |stored: &Stored| all_of(stored).saturating_sub(stored.origin.added.bytes);
        counted.fold(StreamSize::default(), |level, stored| level.with(1, without_added(stored)))
    };
    let (own, named) = (level(Measured::Own), level(Measured::Named));
    let mut schedule = Schedule { hours: hours.len(), bytes, own, named, ..Schedule::default() };
    let with_reason = hours
        .into_iter()
        .zip(reasons)
        .filter_map(|(stored, reason)| Some(RetiringHour { measured: measured(&stored), stored, reason: reason? }));
    schedule.going.extend(with_reason);
    // Whatever interrupts it: nothing of one's own goes before what others gave, and nothing that is named before what is not.
    schedule.going.sort_by_key(|going| {
        (going.reason != RetentionReason::Fetched, going.reason == RetentionReason::Fetched && going.stored.counts())
    });
    let much = limits.by_size() && future > bytes / 10;
    let from_future =
        newest_of_all.filter(|_| much).map(|hour| SuspectPlan::Future { bytes: future, of: bytes, newest: hour });
    schedule.doubts = doubts(&schedule, newest, now, from_future);
    schedule
}

fn doubts(
    schedule: &Schedule,
    newest: Option<Hour>,
    now: Timestamp,
    from_future: Option<SuspectPlan>,
) -> Vec<SuspectPlan> {
    let new = || schedule.going.iter().filter(|going| going.stored.decided == EarlierDecision::Nothing);
    let by_age = new().any(|going| going.reason == RetentionReason::Age);
    let is_quiet = by_age && newest.is_none_or(|hour| hour.end() + QUIET < now);
    let quiet = is_quiet.then_some(SuspectPlan::Clock { newest, now });
    // What others gave and has no room is no loss by mistake, and its number must not make a loss look small.
    let fetched = new().filter(|going| going.reason == RetentionReason::Fetched && !going.stored.counts()).count();
    let all = (new().count() - fetched, schedule.hours - fetched);
    // Nor must what they gave of named channels, and a little that was recorded must not stand for all that is named.
    let number = |hours| usize::try_from(hours).unwrap_or(usize::MAX);
    let going_of = |measured| new().filter(|going| going.measured == Some(measured)).count();
    let own = (going_of(Measured::Own), number(schedule.own.hours));
    let named = (going_of(Measured::Named), number(schedule.named.hours));
    let guarded = [own, all].into_iter().chain((named.1 > own.1).then_some(named));
    let more_than_half = guarded.into_iter().find(|(going, of)| going * 2 > *of);
    let more_than_half = more_than_half.map(|(going, of)| SuspectPlan::MoreThanHalf { going, of });
    [quiet, from_future, more_than_half].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
