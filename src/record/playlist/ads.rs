//! Which segments are ads that a server has stitched into a stream: those that lie in a date range (`EXT-X-DATERANGE`) of a kind that is known, and
//! those whose title begins as tools of this field know it (`Amazon`).
//!
//! 1. Known are ranges of class `twitch-stitched-ad`, those whose id begins with `stitched-ad-`, and those that an SCTE-35 message opens
//!    (`SCTE35-OUT`, RFC 8216, 4.3.2.7.1).
//! 2. A range whose length nobody says is none: what might be the stream itself is recorded.
//! 3. A segment is an ad if its middle lies in one, so that rounded times decide nothing. One whose time nobody tells is none.

use super::attributes::{Attributes, micros};
use crate::archive::coverage::Stretch;
use crate::archive::{Span, Timestamp};

const CLASS: &str = "twitch-stitched-ad";
const ID: &str = "stitched-ad-";
const TITLE: &str = "Amazon";

/// Whether the title of a segment says that it is an ad.
pub(super) fn is_ad_title(title: &str) -> bool {
    title.starts_with(TITLE)
}

/// The stretch of an ad; `None` if a date range is none, or cannot be understood: nothing else of it is needed.
pub(super) fn ad_range(text: &str) -> Option<Stretch> {
    let (mut is_ad, mut start, mut end, mut seconds, mut planned) = (false, None, None, None, None);
    for attribute in Attributes::of(text) {
        let (name, value) = attribute.ok()?;
        match name {
            "CLASS" => is_ad |= value == CLASS,
            "ID" => is_ad |= value.starts_with(ID),
            "SCTE35-OUT" => is_ad = true,
            "START-DATE" => start = Timestamp::parse(value),
            "END-DATE" => end = Timestamp::parse(value),
            "DURATION" => seconds = micros(value),
            "PLANNED-DURATION" => planned = micros(value),
            _ => {}
        }
    }
    let start = start.filter(|_| is_ad)?;
    let after = |us: i64| start + Span::from_us(us);
    let end = seconds.map(after).or(end).or_else(|| planned.map(after))?;
    (start < end).then_some(Stretch { start, end })
}

/// When ads are shown: where they begin, and how far those up to there reach.
pub(super) struct AdTimes(Vec<(Timestamp, Timestamp)>);

impl AdTimes {
    pub(super) fn new(mut ads: Vec<Stretch>) -> Self {
        ads.sort_unstable_by_key(|ad| ad.start);
        let mut reach = Timestamp::MIN;
        let each = ads.into_iter().map(|ad| {
            reach = reach.max(ad.end);
            (ad.start, reach)
        });
        Self(each.collect())
    }

    pub(super) fn is_ad(&self, start: Timestamp, duration: Span) -> bool {
        let middle = start + Span::from_us(duration.us() / 2);
        let begun = self.0.partition_point(|(begin, _)| *begin <= middle);
        let last = begun.checked_sub(1).and_then(|at| self.0.get(at));
        last.is_some_and(|(_, reach)| middle < *reach)
    }
}
