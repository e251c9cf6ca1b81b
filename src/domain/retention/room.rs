//! Room: which hours go because there is too much, of one channel or of all; and what is not fetched again because it had to go.
//!
//! 1. A section of the configuration bounds its own streams and no others: the oldest of them go first.
//! 2. Over all: hours that came from other nodes go first, oldest first. What is the archive's own goes only if that alone is too
//!    much: fetched hours that cannot go, because they are too new or from the future, do not count against it.
//! 3. What the operator keeps is the archive's own, wherever it came from.
//! 4. An archive that holds nothing of its own treats all alike: nothing is displaced.

use std::collections::BTreeMap;

use super::{Decided, Limits, Reason, Stored};
use crate::domain::{Hour, HourPlace, Span, Stream, Timestamp};

/// Limits of one channel, or of one quality of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamLimit {
    /// The channel.
    pub channel: String,
    /// The quality; all of the channel's that have no section of their own, together, if there is none.
    pub quality: Option<String>,
    /// How long ago an hour may have ended, in place of what holds for all: `Some(None)` is without limit.
    pub max_age: Option<Option<Span>>,
    /// Bytes of these streams together.
    pub max_bytes: Option<u64>,
}

impl Limits {
    /// The number of the section that is about this stream: the one with its quality, else the one of its channel.
    pub(super) fn section(&self, stream: &Stream) -> Option<usize> {
        let of = |quality: Option<&str>| {
            let is_meant = |section: &StreamLimit| {
                section.channel == stream.channel.as_str() && section.quality.as_deref() == quality
            };
            self.streams.iter().position(is_meant)
        };
        of(Some(stream.quality.as_str())).or_else(|| of(None))
    }

    /// Whether an hour is too old.
    pub fn too_old(&self, place: &HourPlace, now: Timestamp) -> bool {
        let section = self.section(&place.stream).and_then(|number| self.streams.get(number));
        let age = section.and_then(|section| section.max_age).unwrap_or(self.max_age);
        age.is_some_and(|age| place.hour.end() + age <= now)
    }
}

/// Adds the reasons of room to those of age and of what was begun. The hours are in order, oldest first; `first_safe` and what is
/// later does not go, and what is later than `last` is from the future.
pub(super) fn add_reasons(
    hours: &[Stored],
    reasons: &mut [Option<Reason>],
    limits: &Limits,
    (first_safe, last): (Hour, Hour),
    free: Option<u64>,
) {
    let mut room = Room { hours, reasons, first_safe, last };
    for (number, section) in limits.streams.iter().enumerate() {
        if let Some(most) = section.max_bytes {
            let of_section = |stored: &Stored| limits.section(&stored.place.stream) == Some(number);
            let left = room.left(of_section);
            room.shrink(of_section, Reason::Stream, |freed| left.saturating_sub(freed) > most);
        }
    }
    let lacks = |bytes: u64| limits.min_free.is_some_and(|least| bytes < least);
    let too_large = |bytes: u64| limits.max_bytes.is_some_and(|most| bytes > most);
    // Where nothing is own, nothing is displaced.
    let has_own = hours.iter().any(|stored| !stored.fetched && stored.segments > 0);
    let is_fetched = |stored: &Stored| has_own && stored.fetched && stored.decided != Decided::Keep;
    let is_own = |stored: &Stored| !is_fetched(stored);

    let (all, space) = (room.left(|_| true), free.map(|bytes| bytes.saturating_add(room.going())));
    room.shrink(is_fetched, Reason::Fetched, |freed| {
        too_large(all.saturating_sub(freed)) || space.is_some_and(|bytes| lacks(bytes.saturating_add(freed)))
    });
    let own = room.left(is_own);
    room.shrink(is_own, Reason::Size, |freed| too_large(own.saturating_sub(freed)));
    let made = room.going().saturating_add(room.stays(is_fetched));
    let without_others = free.map(|bytes| bytes.saturating_add(made));
    room.shrink(is_own, Reason::Space, |freed| without_others.is_some_and(|bytes| lacks(bytes.saturating_add(freed))));
}

/// What goes and what stays so far.
struct Room<'h> {
    hours: &'h [Stored],
    reasons: &'h mut [Option<Reason>],
    first_safe: Hour,
    last: Hour,
}

impl Room<'_> {
    /// Lets the oldest of these go as long as what they free together is too little.
    fn shrink(&mut self, of: impl Fn(&Stored) -> bool, why: Reason, is_too_much: impl Fn(u64) -> bool) {
        let mut freed = 0_u64;
        for (stored, reason) in self.hours.iter().zip(self.reasons.iter_mut()) {
            if !is_too_much(freed) {
                return;
            }
            // What takes no room makes none.
            let could = stored.decided == Decided::Nothing && stored.place.hour < self.first_safe && stored.bytes > 0;
            if could && reason.is_none() && of(stored) {
                *reason = Some(why);
                freed = freed.saturating_add(stored.bytes);
            }
        }
    }

    fn sum(&self, of: impl Fn(&Stored, bool) -> u64) -> u64 {
        let each = self.hours.iter().zip(self.reasons.iter());
        each.map(|(stored, reason)| of(stored, reason.is_some())).fold(0, u64::saturating_add)
    }

    /// Bytes that go.
    fn going(&self) -> u64 {
        self.sum(|stored, goes| if goes { stored.bytes } else { 0 })
    }

    /// Bytes of these that stay, those from the future left out: they never go, so they must not cost others their place.
    fn left(&self, of: impl Fn(&Stored) -> bool) -> u64 {
        self.stays(|stored| stored.place.hour <= self.last && of(stored))
    }

    /// Bytes of these that stay.
    fn stays(&self, of: impl Fn(&Stored) -> bool) -> u64 {
        let left = |stored: &Stored, goes| stored.other_bytes.saturating_add(if goes { 0 } else { stored.bytes });
        self.sum(|stored, goes| if of(stored) { left(stored, goes) } else { 0 })
    }
}

/// The newest hours that had to go for want of room: what is older has no room either, and is not fetched again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Horizons {
    own: Option<Hour>,
    fetched: Option<Hour>,
    streams: BTreeMap<Stream, Hour>,
}

impl Horizons {
    /// Of hours that have gone, and why.
    pub fn of<'e>(gone: impl IntoIterator<Item = (&'e HourPlace, Reason)>) -> Self {
        let mut horizons = Self::default();
        for (place, reason) in gone {
            let later = |before: Option<Hour>| before.max(Some(place.hour));
            match reason {
                Reason::Age => {}
                Reason::Size | Reason::Space => horizons.own = later(horizons.own),
                Reason::Fetched => horizons.fetched = later(horizons.fetched),
                Reason::Stream => {
                    let known = horizons.streams.entry(place.stream.clone()).or_insert(place.hour);
                    *known = (*known).max(place.hour);
                }
            }
        }
        horizons
    }

    /// Whether there is room for an hour, as far as is known from what had to go; one of other nodes has less.
    pub fn has_room(&self, place: &HourPlace, is_fetched: bool, limits: &Limits) -> bool {
        let is_beyond = |horizon: Option<Hour>| horizon.is_some_and(|horizon| place.hour < horizon);
        if limits.by_size() && (is_beyond(self.own) || is_fetched && is_beyond(self.fetched)) {
            return false;
        }
        let Some(section) = limits.section(&place.stream) else { return true };
        let is_bounded = limits.streams.get(section).is_some_and(|section| section.max_bytes.is_some());
        let of_section = self.streams.iter().filter(|(stream, _)| limits.section(stream) == Some(section));
        !(is_bounded && is_beyond(of_section.map(|(_, hour)| *hour).max()))
    }
}

#[cfg(test)]
mod tests;
