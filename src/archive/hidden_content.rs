//! Where content was hidden: a tombstone hides equal content of the same channel that starts nearby, too.
//!
//! A segment that is hidden must not come back under a near duplicate's name: half a millisecond later, with another duration or
//! type, in another quality or beyond the hour's end. The hash in the name says what is equal, so that no bytes are needed. Which
//! files there are, and what is done about them, is not known here.
//!
//! No chain: what is hidden here gets a tombstone of its own, and that one, a *copy*, hides nothing further. A tombstone of unknown origin
//! that lies between the file and another tombstone of the same content, which does not reach the file, may be such a copy.
//! Otherwise content that recurs every few seconds would vanish for good from one tombstone on.

use std::collections::HashMap;

use super::time::SECOND_US;
use super::{Hash, SegmentKey, SegmentKind, Span, Timestamp};

/// So far from a tombstone's start equal content is hidden.
pub const NEARBY: Span = Span::from_us(30 * SECOND_US);

/// One microsecond more than that.
const BEYOND: Span = Span::from_us(30 * SECOND_US + 1);

/// What two files have in common that count as the same content: the hash, and whether they are video.
type ContentKey = (Hash, bool);

/// The tombstones of a channel around some hour, by content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HiddenContent(HashMap<ContentKey, Vec<Timestamp>>);

impl HiddenContent {
    /// From the content and start of tombstones that are no copies.
    pub fn new(tombstones: impl IntoIterator<Item = (Hash, SegmentKind, Timestamp)>) -> Self {
        let mut graves: HashMap<ContentKey, Vec<Timestamp>> = HashMap::new();
        for (hash, kind, start) in tombstones {
            graves.entry((hash, kind.is_video())).or_default().push(start);
        }
        for starts in graves.values_mut() {
            starts.sort_unstable();
        }
        Self(graves)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a file with this key, which starts then, is hidden.
    pub fn hide(&self, key: &SegmentKey, start: Timestamp) -> bool {
        let Some(starts) = self.0.get(&(key.hash, key.kind.is_video())) else { return false };
        let from = starts.partition_point(|grave| *grave < start - NEARBY);
        let to = starts.partition_point(|grave| *grave <= start + NEARBY);
        // What another one beyond the file's reach may have brought about is no reason.
        let before = from.checked_sub(1).and_then(|before| starts.get(before)).map(|grave| *grave + BEYOND);
        let after = starts.get(to).map(|grave| *grave - BEYOND);
        let near = starts.get(from..to).unwrap_or_default();
        near.iter().any(|grave| before.is_none_or(|first| *grave >= first) && after.is_none_or(|last| *grave <= last))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::archive::{Container, Hour, Spelling};

    fn at(ms: i64) -> Timestamp {
        Hour::parse("2019-11-13T02").unwrap().start() + Span::from_us(ms * 1_000)
    }

    fn key(hash: u8, kind: SegmentKind) -> SegmentKey {
        let spelling = Spelling::new(3, 1).unwrap();
        let (container, hash) = (Container::Ts, Hash([hash; 32]));
        SegmentKey { start_us: 0, container, kind, tombstone: false, duration_us: 1, spelling, hash }
    }

    #[test]
    fn equal_content_within_thirty_seconds_is_hidden_and_nothing_else() {
        let graves = HiddenContent::new([(Hash([1; 32]), SegmentKind::Full, at(0))]);
        for (file, ms, hidden) in [
            (key(1, SegmentKind::Full), 0, true),
            (key(1, SegmentKind::Partial), 30_000, true),
            (key(1, SegmentKind::Suspect), -30_000, true),
            (key(1, SegmentKind::Full), 30_001, false),
            (key(1, SegmentKind::Full), -30_001, false),
            (key(1, SegmentKind::Chat), 0, false),
            (key(2, SegmentKind::Full), 0, false),
        ] {
            assert_eq!(graves.hide(&file, at(ms)), hidden, "{file:?} {ms}");
        }
    }

    #[test]
    fn content_that_recurs_is_not_hidden_from_one_tombstone_to_the_next() {
        let graves = |seconds: &[i64]| {
            HiddenContent::new(seconds.iter().map(|s| (Hash([1; 32]), SegmentKind::Full, at(s * 1_000))))
        };
        let file = key(1, SegmentKind::Full);
        // At 20 s there may be a copy of the one at 0 s; 40 s is out of that one's reach.
        assert!(!graves(&[0, 20]).hide(&file, at(40_000)));
        assert!(graves(&[0, 20]).hide(&file, at(25_000)));
        // At 60 s somebody hid it again.
        assert!(graves(&[0, 20, 60]).hide(&file, at(70_000)));
    }

    proptest! {
        #[test]
        fn it_is_what_the_rule_says_the_slow_way(graves in prop::collection::vec(-90_000..90_000_i64, 0..8), file in -90_000..90_000_i64) {
            let quick = HiddenContent::new(graves.iter().map(|ms| (Hash([1; 32]), SegmentKind::Full, at(*ms))));
            let slow = graves.iter().any(|grave| {
                (grave - file).abs() <= 30_000
                    && !graves.iter().any(|other| (other - grave).abs() <= 30_000 && (other - file).abs() > 30_000)
            });
            prop_assert_eq!(quick.hide(&key(1, SegmentKind::Full), at(file)), slow);
        }

        #[test]
        fn copies_hide_no_more_than_the_tombstone_that_they_are_copied_from(files in prop::collection::vec(0..200_000_i64, 1..12)) {
            // As on a node that does not know which are copies.
            let first = files[0];
            let mut graves = vec![first];
            loop {
                let known = HiddenContent::new(graves.iter().map(|ms| (Hash([1; 32]), SegmentKind::Full, at(*ms))));
                let new = files.iter().find(|file| !graves.contains(file) && known.hide(&key(1, SegmentKind::Full), at(**file)));
                let Some(new) = new else { break };
                graves.push(*new);
            }
            prop_assert!(graves.iter().all(|grave| (grave - first).abs() <= 30_000));
        }
    }
}
