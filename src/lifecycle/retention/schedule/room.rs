//! Room: which hours go because there is too much, of one channel or of all; and what is not fetched again because it had to go.
//!
//! 1. Whose an hour is decides first: hours that came from other nodes and are named nowhere go before those that are named, and those
//!    before what was recorded here. Within each the oldest go first.
//! 2. What was recorded here goes only if that alone is too much: neither hours of others that cannot go, because they are too new or
//!    from the future, count against it, nor what others have added to its own hours. So that this has an end no more is taken into
//!    them than [`RetentionLimits::room_beside_own`] says.
//! 3. That holds over all, and within each section of the configuration, which bounds its own streams and no others.
//! 4. What the operator keeps is the archive's own, wherever it came from.
//! 5. `max_bytes` is about what is in files, `min_free` about the disk: there each file counts by its blocks ([`on_disk`]), and so does what
//!    others may add. Files of a byte that others give would otherwise seem to take nothing, and what is own would go for them.
//! 6. Where nothing was recorded here what is named counts as own, and where nothing is named all is alike.

use std::collections::BTreeMap;

use super::stored::{EarlierDecision, Measured, RetentionReason, Stored};
use crate::archive::blocks::on_disk;
use crate::archive::retention::{BESIDE_FREE, RetentionLimits};
use crate::archive::{Hour, HourPlace, Stream};

/// Whose an hour is: what is less goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Strangers,
    Named,
    Own,
}

impl Rank {
    fn of(stored: &Stored) -> Self {
        match (stored.origin.fetched, stored.origin.named) {
            (false, _) => Self::Own,
            (true, true) => Self::Named,
            (true, false) => Self::Strangers,
        }
    }
}

/// Adds the reasons of room to those of age and of what was begun. The hours are in order, oldest first; `first_safe` and what is
/// later does not go, and what is later than `last` is from the future.
pub(super) fn add_reasons(
    hours: &[Stored],
    reasons: &mut [Option<RetentionReason>],
    limits: &RetentionLimits,
    (first_safe, last): (Hour, Hour),
    free: Option<u64>,
) {
    let mut room = Room { hours, reasons, first_safe, last, measure: Measure::Content };
    for (number, section) in limits.streams.iter().enumerate() {
        if let Some(most) = section.max_bytes {
            room.shrink_to(
                most,
                |stored| limits.section(&stored.place.stream) == Some(number),
                RetentionReason::Stream,
            );
        }
    }
    if let Some(most) = limits.max_bytes {
        room.shrink_to(most, |_| true, RetentionReason::Size);
    }
    if let (Some(least), Some(free)) = (limits.min_free, free) {
        room.keep_free(least, free);
    }
}

/// What goes and what stays so far.
struct Room<'h> {
    hours: &'h [Stored],
    reasons: &'h mut [Option<RetentionReason>],
    first_safe: Hour,
    last: Hour,
    measure: Measure,
}

/// By what it is measured how large something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    /// Bytes in files.
    Content,
    /// Bytes of the disk that they take.
    Disk,
}

impl Measure {
    /// Of what would go of an hour.
    const fn of(self, stored: &Stored) -> u64 {
        match self {
            Self::Content => stored.bytes,
            Self::Disk => on_disk(stored.segments, stored.bytes),
        }
    }

    /// Of what others have added to it.
    const fn added(self, stored: &Stored) -> u64 {
        match self {
            Self::Content => stored.origin.added.bytes,
            Self::Disk => stored.origin.added.on_disk(),
        }
    }
}

/// What has been freed.
#[derive(Debug, Clone, Copy, Default)]
struct Freed {
    bytes: u64,
    /// So much of it was what others had added to hours that are own.
    added: u64,
}

impl Room<'_> {
    /// Makes these take no more than so many bytes.
    fn shrink_to(&mut self, most: u64, of: impl Fn(&Stored) -> bool, why: RetentionReason) {
        let own = self.own(&of);
        for rank in [Rank::Strangers, Rank::Named].into_iter().filter(|rank| *rank < own) {
            let left = self.left(&of);
            let of_rank = |stored: &Stored| of(stored) && !is_own(stored, own) && Rank::of(stored) == rank;
            self.shrink(of_rank, RetentionReason::Fetched, |freed| left.saturating_sub(freed.bytes) > most);
        }
        let of_own = |stored: &Stored| of(stored) && is_own(stored, own);
        let left = self.left(&of_own).saturating_sub(self.added(&of_own));
        let without = |freed: Freed| left.saturating_sub(freed.bytes.saturating_sub(freed.added));
        self.shrink(of_own, why, |freed| without(freed) > most);
    }

    /// Makes so many bytes free on the disk, of which so many are.
    fn keep_free(&mut self, least: u64, free: u64) {
        self.measure = Measure::Disk;
        let own = self.own(&|_| true);
        for rank in [Rank::Strangers, Rank::Named].into_iter().filter(|rank| *rank < own) {
            let made = free.saturating_add(self.going());
            let of_rank = |stored: &Stored| !is_own(stored, own) && Rank::of(stored) == rank;
            self.shrink(of_rank, RetentionReason::Fetched, |freed| made.saturating_add(freed.bytes) < least);
        }
        let of_own = |stored: &Stored| is_own(stored, own);
        let others = self.stays(|stored| !of_own(stored));
        let made = free.saturating_add(self.going()).saturating_add(others);
        // What others have added to hours of one's own takes no hour's place, but the disk must not become full of it.
        let (added, lent) = (self.added(&|_| true), least / BESIDE_FREE);
        let would_be =
            |freed: Freed| made.saturating_add(freed.bytes).saturating_add(added.saturating_sub(freed.added).min(lent));
        self.shrink(of_own, RetentionReason::Space, |freed| would_be(freed) < least);
    }

    /// The highest rank of these that holds anything: that is what is own among them.
    fn own(&self, of: &impl Fn(&Stored) -> bool) -> Rank {
        highest(self.hours.iter().filter(|stored| of(stored)))
    }

    /// Lets the oldest of these go as long as what they free together is too little.
    fn shrink(&mut self, of: impl Fn(&Stored) -> bool, why: RetentionReason, is_too_much: impl Fn(Freed) -> bool) {
        let (mut freed, measure) = (Freed::default(), self.measure);
        for (stored, reason) in self.hours.iter().zip(self.reasons.iter_mut()) {
            if !is_too_much(freed) {
                return;
            }
            // What takes no room makes none.
            let takes = measure.of(stored) > 0;
            let could = stored.decided == EarlierDecision::Nothing && stored.place.hour < self.first_safe && takes;
            if could && reason.is_none() && of(stored) {
                *reason = Some(why);
                freed.bytes = freed.bytes.saturating_add(measure.of(stored));
                freed.added = freed.added.saturating_add(measure.added(stored));
            }
        }
    }

    fn sum(&self, of: impl Fn(&Stored, bool) -> u64) -> u64 {
        let each = self.hours.iter().zip(self.reasons.iter());
        each.map(|(stored, reason)| of(stored, reason.is_some())).fold(0, u64::saturating_add)
    }

    /// Bytes that go.
    fn going(&self) -> u64 {
        self.sum(|stored, goes| if goes { self.measure.of(stored) } else { 0 })
    }

    /// Bytes of these that stay, those from the future left out: they never go, so they must not cost others their place.
    fn left(&self, of: &impl Fn(&Stored) -> bool) -> u64 {
        self.stays(|stored| stored.place.hour <= self.last && of(stored))
    }

    /// Bytes of these that stay.
    fn stays(&self, of: impl Fn(&Stored) -> bool) -> u64 {
        let left =
            |stored: &Stored, goes| stored.other_bytes.saturating_add(if goes { 0 } else { self.measure.of(stored) });
        self.sum(|stored, goes| if of(stored) { left(stored, goes) } else { 0 })
    }

    /// Bytes that others have added to these, as far as they stay.
    fn added(&self, of: &impl Fn(&Stored) -> bool) -> u64 {
        let counts = |stored: &Stored, goes: bool| !goes && stored.place.hour <= self.last && of(stored);
        self.sum(|stored, goes| if counts(stored, goes) { self.measure.added(stored) } else { 0 })
    }
}

/// The highest rank of those that hold anything.
fn highest<'h>(hours: impl Iterator<Item = &'h Stored>) -> Rank {
    hours.filter(|stored| stored.segments > 0).map(Rank::of).max().unwrap_or(Rank::Strangers)
}

/// By what it is measured how far the archive shrinks, whatever the operator keeps besides: what is its own among these, and beside
/// that what is named. What strangers gave is not measured beside either.
pub(super) fn measured_among(hours: &[Stored]) -> impl Fn(&Stored) -> Option<Measured> + use<> {
    let own = highest(hours.iter());
    move |stored| match Rank::of(stored) {
        rank if rank >= own => Some(Measured::Own),
        Rank::Named => Some(Measured::Named),
        Rank::Strangers | Rank::Own => None,
    }
}

fn is_own(stored: &Stored, own: Rank) -> bool {
    Rank::of(stored) >= own || stored.decided == EarlierDecision::Keep
}

/// The newest hours that had to go for want of room: what is older has no room either, and is not fetched again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Horizons {
    own: Option<Hour>,
    fetched: Option<Hour>,
    /// By the limits of a section, which are about single streams: what is own, and what came from others.
    streams: BTreeMap<Stream, Hour>,
    fetched_streams: BTreeMap<Stream, Hour>,
}

impl Horizons {
    /// Of hours that have gone, and why.
    pub fn of<'e>(gone: impl IntoIterator<Item = (&'e HourPlace, RetentionReason)>) -> Self {
        let mut horizons = Self::default();
        for (place, reason) in gone {
            let later = |before: Option<Hour>| before.max(Some(place.hour));
            let of_stream = |streams: &mut BTreeMap<Stream, Hour>| {
                let known = streams.entry(place.stream.clone()).or_insert(place.hour);
                *known = (*known).max(place.hour);
            };
            match reason {
                RetentionReason::Age => {}
                RetentionReason::Size | RetentionReason::Space => horizons.own = later(horizons.own),
                RetentionReason::Fetched => {
                    horizons.fetched = later(horizons.fetched);
                    of_stream(&mut horizons.fetched_streams);
                }
                RetentionReason::Stream => of_stream(&mut horizons.streams),
            }
        }
        horizons
    }

    /// Whether there is room for an hour, as far as is known from what had to go; one of other nodes has less.
    pub fn has_room(&self, place: &HourPlace, is_fetched: bool, limits: &RetentionLimits) -> bool {
        let is_beyond = |horizon: Option<Hour>| horizon.is_some_and(|horizon| place.hour < horizon);
        if limits.by_size() && (is_beyond(self.own) || is_fetched && is_beyond(self.fetched)) {
            return false;
        }
        let Some(section) = limits.section(&place.stream) else { return true };
        let is_bounded = limits.streams.get(section).is_some_and(|section| section.max_bytes.is_some());
        let of_section = |streams: &BTreeMap<Stream, Hour>| {
            streams.iter().filter(|(stream, _)| limits.section(stream) == Some(section)).map(|(_, hour)| *hour).max()
        };
        let is_beyond_both =
            is_beyond(of_section(&self.streams)) || is_fetched && is_beyond(of_section(&self.fetched_streams));
        !(is_bounded && is_beyond_both)
    }
}

#[cfg(test)]
mod tests;
