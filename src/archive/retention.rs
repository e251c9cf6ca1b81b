//! Limits of what is kept, as the settings say them and plans show them. What goes by them is decided by retention.

use super::{HourPlace, Span, Stream, Timestamp};

/// What others add to hours that were recorded here may come to one part in so many of `max_bytes`, which it may exceed.
const BESIDE_MAX: u64 = 10;
/// And to one part in so many of `min_free`, which it may take.
pub(crate) const BESIDE_FREE: u64 = 2;

/// How long before an hour leaves the bucket it counts as gone from there for who is about to delete it elsewhere.
pub const LEAVES_SOON: Span = Span::from_us(24 * super::time::HOUR_US);

/// What may be kept at most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionLimits {
    /// How long ago an hour may have ended.
    pub max_age: Option<Span>,
    /// Bytes of all hours together.
    pub max_bytes: Option<u64>,
    /// Bytes that stay free on the disk.
    pub min_free: Option<u64>,
    /// How long ago an hour may have ended that lies in the bucket. It says nothing of what lies on this disk, and all else nothing of the bucket.
    pub bucket_age: Option<Span>,
    /// What holds for some streams besides.
    pub streams: Vec<StreamLimit>,
}

impl RetentionLimits {
    /// Whether there is none.
    pub fn are_off(&self) -> bool {
        *self == Self::default()
    }

    /// Whether size decides, so that what is older than what had to go has no room either.
    pub fn by_size(&self) -> bool {
        self.max_bytes.is_some() || self.min_free.is_some()
    }

    /// The number of the section that is about this stream: the one with its quality, else the one of its channel.
    pub(crate) fn section(&self, stream: &Stream) -> Option<usize> {
        let of = |quality: Option<&str>| self.streams.iter().position(|section| section.is_about(stream, quality));
        of(Some(stream.quality.as_str())).or_else(|| of(None))
    }

    fn section_of(&self, stream: &Stream, quality: Option<&str>) -> Option<&StreamLimit> {
        self.streams.iter().find(|section| section.is_about(stream, quality))
    }

    /// Whether an hour is too old.
    pub fn too_old(&self, place: &HourPlace, now: Timestamp) -> bool {
        self.too_old_at(place).is_some_and(|at| at <= now)
    }

    /// When an hour becomes too old, if it does.
    pub fn too_old_at(&self, place: &HourPlace) -> Option<Timestamp> {
        let section = self.section(&place.stream).and_then(|number| self.streams.get(number));
        let age = section.and_then(|section| section.max_age).unwrap_or(self.max_age);
        age.map(|age| place.hour.end() + age)
    }

    /// Whether an hour is too old for the bucket.
    pub fn too_old_in_bucket(&self, place: &HourPlace, now: Timestamp) -> bool {
        self.too_old_in_bucket_at(place).is_some_and(|at| at <= now)
    }

    /// Whether an hour leaves the bucket within a day, or is too old for it already. Nodes that share a bucket have one age for it: what one of
    /// them is about to delete there is no copy for another.
    pub fn leaves_bucket_soon(&self, place: &HourPlace, now: Timestamp) -> bool {
        self.too_old_in_bucket(place, now + LEAVES_SOON)
    }

    /// When an hour becomes too old for the bucket, if it does.
    pub fn too_old_in_bucket_at(&self, place: &HourPlace) -> Option<Timestamp> {
        // What a channel has keeps its copy there also where a quality has a section about something else.
        let stream = &place.stream;
        let own = |quality: Option<&str>| self.section_of(stream, quality)?.bucket_age;
        let age = own(Some(stream.quality.as_str())).or_else(|| own(None)).unwrap_or(self.bucket_age);
        age.map(|age| place.hour.end() + age)
    }

    /// Whether any hour may leave the bucket for its age.
    pub fn limits_bucket(&self) -> bool {
        self.bucket_age.is_some() || self.streams.iter().any(|section| section.bucket_age.flatten().is_some())
    }

    /// Whether hours of this stream may have to go for want of room.
    pub fn by_room(&self, stream: &Stream) -> bool {
        let section = self.section(stream).and_then(|number| self.streams.get(number));
        self.by_size() || section.is_some_and(|section| section.max_bytes.is_some())
    }

    /// Bytes of the disk that others may still add to what was recorded here of this stream: they go with their hours and no sooner, so that there
    /// must be room for them beside it. `added` says how much they have added so far to the streams that it is asked about.
    pub fn room_beside_own(&self, stream: &Stream, added: impl Fn(&dyn Fn(&Stream) -> bool) -> u64) -> u64 {
        let section = self.section(stream);
        let of_section = section.and_then(|number| self.streams.get(number)).and_then(|section| section.max_bytes);
        let of_all = [self.max_bytes.map(|most| most / BESIDE_MAX), self.min_free.map(|least| least / BESIDE_FREE)];
        let all = of_all.into_iter().flatten().map(|most| most.saturating_sub(added(&|_| true)));
        let in_section =
            of_section.map(|most| (most / BESIDE_MAX).saturating_sub(added(&|other| self.section(other) == section)));
        all.chain(in_section).min().unwrap_or(u64::MAX)
    }
}

/// Limits of one channel, or of one quality of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamLimit {
    /// The channel.
    pub channel: String,
    /// The quality; all of the channel's that have no section of their own, together, if there is none.
    pub quality: Option<String>,
    /// How long ago an hour may have ended, in place of what holds for all: `Some(None)` is without limit.
    pub max_age: Option<Option<Span>>,
    /// The same of hours in the bucket.
    pub bucket_age: Option<Option<Span>>,
    /// Bytes of these streams together.
    pub max_bytes: Option<u64>,
}

impl StreamLimit {
    /// Whether it is the section of this channel and this quality, or of all qualities that have none of their own.
    fn is_about(&self, stream: &Stream, quality: Option<&str>) -> bool {
        self.channel == stream.channel.as_str() && self.quality.as_deref() == quality
    }
}
