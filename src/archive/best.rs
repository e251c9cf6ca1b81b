//! The best segment for each start time, and the best sequence for a time range.
//!
//! The rules (docs/coverage.md, *Terms*): they agree with what the tools of this field choose.

use std::cmp::Reverse;

use super::container::Container;
use super::contents::HourContents;
use super::segment::{Hash, SegmentFile, SegmentKind};
use super::time::{Hour, Span, Timestamp};
use crate::media::{Edges, InitSection, Tracks};

/// Segments may overlap or miss each other by this much and still count as joined.
pub const TOLERANCE: Span = Span::from_us(10_000);

/// Why one segment is preferred to another with the same start; the first that differs decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Preference {
    /// Full before suspect before partial.
    #[error("its type is better")]
    Kind,
    /// MPEG-TS before MP4: all tools of this field play it, and a list that changes between the two makes players begin anew each time.
    #[error("it is a transport stream, which is preferred to MP4")]
    Container,
    /// Of full ones the longest.
    #[error("it is longer")]
    Duration,
    /// The largest file.
    #[error("its file is larger")]
    Size,
    /// The highest hash, so that every node chooses the same.
    #[error("its hash is higher, which decides where nothing else does")]
    Hash,
}

type MeritRank = (Reverse<SegmentKind>, Reverse<Container>, u32, u64, Hash);

fn rank(file: &SegmentFile) -> MeritRank {
    let duration = if file.key.kind == SegmentKind::Full { file.key.duration_us } else { 0 };
    (Reverse(file.key.kind), Reverse(file.key.container), duration, file.size, file.key.hash)
}

/// Why `better`, which is the best for its start, is preferred to `other`.
pub fn merit(better: &SegmentFile, other: &SegmentFile) -> Preference {
    let (a, b) = (rank(better), rank(other));
    if a.0 != b.0 {
        Preference::Kind
    } else if a.1 != b.1 {
        Preference::Container
    } else if a.2 != b.2 {
        Preference::Duration
    } else if a.3 != b.3 {
        Preference::Size
    } else {
        Preference::Hash
    }
}

/// The best of the visible video segments for each start time of an hour, in order of start.
///
/// Full before suspect before partial; transport streams before MP4; of full ones the longest; then the largest file; then the highest hash.
pub fn best_per_start(contents: &HourContents) -> Vec<&SegmentFile> {
    best_of(contents.visible(), |file| file)
}

/// The same of those that can be played. Muxers close with a segment of one picture that lasts no time, and recorders that lost their
/// connection leave empty files: players stop at either, or ask for it over and over.
pub fn best_playable(contents: &HourContents) -> Vec<&SegmentFile> {
    best_of(contents.visible().filter(|file| is_playable(file)), |file| file)
}

/// The same, without a copy of them.
pub fn into_best_playable(contents: HourContents) -> Vec<SegmentFile> {
    let playable = contents.visible_at().filter(|(_, file)| is_playable(file));
    let places: Vec<usize> = best_of(playable, |(_, file)| file).into_iter().map(|(at, _)| at).collect();
    let mut files = contents.into_files();
    let (mut at, mut best) = (0.., places.into_iter().peekable());
    files.retain(|_| at.next().is_some_and(|at| best.next_if_eq(&at).is_some()));
    files.shrink_to(files.len() * 2);
    files
}

/// Whether there is something in it, and it lasts.
pub fn is_playable(file: &SegmentFile) -> bool {
    file.key.kind.is_video() && file.size > 0 && file.key.duration_us > 0
}

fn best_of<'f, T: Copy>(visible: impl Iterator<Item = T>, file_of: impl Fn(T) -> &'f SegmentFile) -> Vec<T> {
    let mut best: Vec<T> = Vec::new();
    for each in visible.filter(|each| file_of(*each).key.kind.is_video()) {
        let file = file_of(each);
        match best.last_mut() {
            Some(last) if file_of(*last).key.start_us == file.key.start_us => {
                if rank(file) > rank(file_of(*last)) {
                    *last = each;
                }
            }
            _ => best.push(each),
        }
    }
    best
}

/// A segment of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequencePiece {
    /// The hour directory that it lies in.
    pub hour: Hour,
    /// The file.
    pub file: SegmentFile,
}

impl SequencePiece {
    /// When it starts.
    pub fn start(&self) -> Timestamp {
        self.file.key.start(self.hour)
    }

    /// When it ends.
    pub fn end(&self) -> Timestamp {
        self.file.key.end(self.hour)
    }

    /// What it is to a sequence, by its name.
    pub fn link(&self) -> Link {
        Link::of(self.hour, &self.file)
    }
}

/// Segments one after the other; `None` is a discontinuity.
pub type Sequence = Vec<Option<SequencePiece>>;

/// What a segment is to a sequence that is being put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceStep {
    /// It has no place in it: it ends too early, or overlaps what is kept.
    Skipped,
    /// It goes on where the last one ended.
    Joined,
    /// So it does by its name, but its time stamps, tracks or coding are others: players have to be told.
    Changed,
    /// It is kept, after a discontinuity.
    Broken,
}

/// A sequence that is being put together: what the next segment depends on. One segment after the other, in order of start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    start: Timestamp,
    last: Option<Link>,
}

/// The segment that was kept last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// When it starts.
    pub start: Timestamp,
    /// When it ends.
    pub end: Timestamp,
    /// What it is.
    pub kind: SegmentKind,
    /// What it is in.
    pub container: Container,
    /// What its two ends say, where that is known.
    pub media: Option<Edges>,
}

impl Link {
    /// What a file of an hour is, by its name.
    pub fn of(hour: Hour, file: &SegmentFile) -> Self {
        let start = file.key.start(hour);
        let (kind, container) = (file.key.kind, file.key.container);
        Self { start, end: start + file.key.duration(), kind, container, media: None }
    }

    /// Whether another one, which goes on after it by its name, is known not to do so by what is in it.
    fn changes(&self, next: &Self) -> bool {
        let lasts = (self.end - self.start).us();
        // RFC 8216, 4.3.2.3: another format of files.
        self.container != next.container
            || self.begins_anew(next)
            || self.media.zip(next.media).is_some_and(|(media, after)| media.change(lasts, &after).is_some())
    }

    /// Whether a player that is told how long a hole between them lasts goes on with the same clock and decoders.
    pub fn goes_on_behind_a_hole(&self, next: &Self) -> bool {
        let until = (next.start - self.start).us();
        let known = self.media.zip(next.media);
        self.container == next.container
            && known.is_some_and(|(media, after)| media.goes_on_behind_a_hole(until, &after))
    }

    /// Whether it has another initialisation segment, and no more is known of the encoding.
    fn begins_anew(&self, next: &Self) -> bool {
        let is_unknown = |link: &Self| link.media.is_some_and(|media| media.begins == Tracks::default());
        let is_other = self.init().zip(next.init()).is_some_and(|(one, other)| one != other);
        is_other && (is_unknown(self) || is_unknown(next))
    }

    /// Whether a player can be told of it: where MP4 is to be played, it has to be known how long its initialisation segment is.
    pub fn is_playable(&self) -> bool {
        self.container != Container::Mp4 || self.init().is_some()
    }

    /// Whether that may turn out yet: nobody has looked.
    pub fn is_unread(&self) -> bool {
        self.container == Container::Mp4 && self.media.is_none()
    }

    /// The initialisation segment of MP4.
    pub fn init(&self) -> Option<InitSection> {
        self.media?.init.filter(|_| self.container == Container::Mp4)
    }

    /// Whether players need another initialisation segment for it than for the one before.
    pub fn needs_init(&self, before: Option<&Self>) -> bool {
        match self.container {
            Container::Mp4 => before.is_none_or(|before| before.init() != self.init()),
            Container::Ts => before.is_some_and(|before| before.container == Container::Mp4),
        }
    }
}

impl Chain {
    /// Of a range that begins then.
    pub const fn new(start: Timestamp) -> Self {
        Self { start, last: None }
    }

    /// Of the same range, with this segment kept last.
    #[must_use]
    pub const fn with_last(self, last: Link) -> Self {
        Self { last: Some(last), ..self }
    }

    /// What was kept last.
    pub const fn last(&self) -> Option<Link> {
        self.last
    }

    /// Takes the next segment, or leaves it.
    pub fn step(&mut self, link: Link) -> SequenceStep {
        if link.end <= self.start {
            return SequenceStep::Skipped;
        }
        let joined = match self.last {
            None => link.start <= self.start,
            Some(last) if link.start < last.end - TOLERANCE => return SequenceStep::Skipped,
            Some(last) => last.kind == SegmentKind::Full && link.start <= last.end + TOLERANCE,
        };
        let before = self.last.filter(|_| joined);
        let step = match before {
            Some(last) if last.changes(&link) => SequenceStep::Changed,
            _ if joined => SequenceStep::Joined,
            _ => SequenceStep::Broken,
        };
        let goes_on = before.filter(|_| step == SequenceStep::Joined).and_then(|last| last.media);
        // Of one that cannot be read nothing is known, and so nothing of what comes after it.
        let media = link.media.map(|media| goes_on.map_or(media, |known| media.after(&known)));
        self.last = Some(Link { media, ..link });
        step
    }

    /// Whether nothing is missing before `end`, as far as the last segment goes.
    pub fn reaches(&self, end: Timestamp) -> bool {
        self.last.is_some_and(|last| last.end >= end && last.kind == SegmentKind::Full)
    }
}

/// The best sequence for `[start, end)`, from the best segments in order of start, beginning with those of the hour before
/// `start`. The first and the last segment may reach outside the range.
pub fn best_sequence(best: impl IntoIterator<Item = SequencePiece>, start: Timestamp, end: Timestamp) -> Sequence {
    let mut sequence: Sequence = Vec::new();
    let mut chain = Chain::new(start);
    for piece in best.into_iter().take_while(|piece| piece.start() < end) {
        match chain.step(piece.link()) {
            SequenceStep::Skipped => continue,
            SequenceStep::Joined | SequenceStep::Changed => {}
            SequenceStep::Broken => sequence.push(None),
        }
        sequence.push(Some(piece));
    }
    if !chain.reaches(end) {
        sequence.push(None);
    }
    sequence
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::test_names::hash_text;
    use proptest::prelude::*;

    fn hour() -> Hour {
        Hour::parse("2019-11-13T02").unwrap()
    }

    fn name(start_ms: u32, duration_ms: u32, kind: &str, hash: u8) -> String {
        let (minute, second, ms) = (start_ms / 60_000, start_ms / 1_000 % 60, start_ms % 1_000);
        format!(
            "{minute:02}:{second:02}.{ms:03}-{}.{:03}-{kind}-{}.ts",
            duration_ms / 1_000,
            duration_ms % 1_000,
            hash_text(hash)
        )
    }

    /// The specification's words over plain tuples: (start, duration, kind, hash, size).
    fn model_best(files: &[(u32, u32, &'static str, u8, u64)]) -> Vec<String> {
        let mut starts: Vec<u32> = files.iter().map(|file| file.0).collect();
        starts.sort_unstable();
        starts.dedup();
        starts
            .into_iter()
            .map(|start| {
                let here: Vec<_> = files.iter().filter(|file| file.0 == start).collect();
                let of = |kind| here.iter().filter(move |file| file.2 == kind);
                let chosen = of("full")
                    .max_by_key(|file| (file.1, file.4, file.3))
                    .or_else(|| of("suspect").max_by_key(|file| (file.4, file.3)))
                    .or_else(|| of("partial").max_by_key(|file| (file.4, file.3)))
                    .unwrap();
                name(chosen.0, chosen.1, chosen.2, chosen.3)
            })
            .collect()
    }

    fn files() -> impl Strategy<Value = Vec<(u32, u32, &'static str, u8, u64)>> {
        let file = (
            prop::sample::select(vec![0, 1_990, 1_991, 2_000, 2_010, 2_011, 4_000, 6_500]),
            prop::sample::select(vec![0, 500, 2_000, 2_500, 9_000]),
            prop::sample::select(vec!["full", "full", "suspect", "partial"]),
            0..3_u8,
            1..3_u64,
        );
        // One stem is one content, so a name has one size.
        prop::collection::vec(file, 0..20).prop_map(|mut files| {
            files.sort_unstable();
            files.dedup_by_key(|stem| (stem.0, stem.1, stem.2, stem.3));
            // Equal rank in everything but the duration leaves the choice open; sizes differ then.
            for (index, each) in files.iter_mut().enumerate() {
                if each.2 != "full" {
                    each.4 = 10 + index as u64;
                }
            }
            files
        })
    }

    proptest! {
        #[test]
        fn the_best_per_start_is_what_the_rules_say(files in files()) {
            let names: Vec<(String, u64)> = files.iter().map(|file| (name(file.0, file.1, file.2, file.3), file.4)).collect();
            let contents = HourContents::from_names(names.iter().map(|(name, size)| (name.as_str(), *size)));
            let best: Vec<String> = best_per_start(&contents).into_iter().map(SegmentFile::name).collect();
            prop_assert_eq!(best, model_best(&files));
            let playable: Vec<SegmentFile> = best_playable(&contents).into_iter().cloned().collect();
            prop_assert_eq!(into_best_playable(contents), playable);
        }

        #[test]
        fn a_sequence_keeps_its_promises(files in files(), start in 0..8_000_i64, length in 0..9_000_i64) {
            let names: Vec<(String, u64)> = files.iter().map(|file| (name(file.0, file.1, file.2, file.3), file.4)).collect();
            let contents = HourContents::from_names(names.iter().map(|(name, size)| (name.as_str(), *size)));
            let from = hour().start() + Span(start * 1_000);
            let to = from + Span(length * 1_000);
            let best: Vec<SequencePiece> = best_per_start(&contents).into_iter().map(|file| SequencePiece { hour: hour(), file: file.clone() }).collect();
            let sequence = best_sequence(best.clone(), from, to);

            let kept: Vec<&SequencePiece> = sequence.iter().flatten().collect();
            prop_assert!(kept.iter().all(|piece| piece.end() > from && piece.start() < to));
            prop_assert!(kept.windows(2).all(|pair| pair[1].start() >= pair[0].end() - TOLERANCE));
            prop_assert!(!sequence.windows(2).any(|pair| pair[0].is_none() && pair[1].is_none()));
            for pair in sequence.windows(2) {
                if let [Some(a), Some(b)] = pair {
                    prop_assert!(a.file.key.kind == SegmentKind::Full && b.start() <= a.end() + TOLERANCE);
                }
                if let [None, Some(b)] = pair && b != kept[0] {
                    let a = kept[kept.iter().position(|piece| *piece == b).unwrap() - 1];
                    prop_assert!(a.file.key.kind != SegmentKind::Full || b.start() > a.end() + TOLERANCE);
                }
            }
            if let Some(first) = kept.first() {
                prop_assert_eq!(sequence[0].is_none(), first.start() > from);
            }
            prop_assert_eq!(sequence.last().unwrap().is_none(),
                kept.last().is_none_or(|last| last.end() < to || last.file.key.kind != SegmentKind::Full));
            // Nothing is left out but what overlaps what was kept before it.
            for piece in best.iter().filter(|piece| piece.end() > from && piece.start() < to && !kept.contains(piece)) {
                let before = kept.iter().rev().find(|earlier| earlier.start() < piece.start());
                prop_assert!(before.is_some_and(|earlier| piece.start() < earlier.end() - TOLERANCE));
            }
        }
    }
}
