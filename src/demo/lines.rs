//! The lines between the origin and each node's recorder: what comes over them of which segment, and when, as the plan says. Pure.
//!
//! 1. A line that is away brings nothing at all, from the moment on at which the first segment that it misses would have come. Where all are
//!    away it is the stream itself that stands still.
//! 2. What a recorder is to miss for good is never listed if its line was away, and otherwise listed and cut off each time.
//! 3. Whatever is listed goes on being listed for [`WINDOW`], which is longer than a line is away or late: a recorder that tries again gets
//!    what the plan says that it gets.

use std::fmt::Write as _;

use super::plan::{CHANNELS, DemoPlan, NODES, PieceFate, PlannedPiece, QUALITIES};
use crate::archive::Timestamp;

/// Pieces that are listed: two minutes. In so long a line is away twice at most, for 40 seconds each, and late by 30; and what was not looked
/// at for a minute is still listed ([`super::DemoRecorders`]).
pub const WINDOW: i64 = 60;
/// How large the pictures are, and how many bits a second they take.
const VARIANTS: [(&str, u32); QUALITIES.len()] = [("320x180", 30_000), ("160x90", 24_000)];

/// What comes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineAnswer {
    Whole,
    /// The first part of it, and then the connection breaks.
    Part,
    /// The connection breaks.
    Nothing,
    /// An error of the server, for now.
    NotYet,
    /// There is no such segment, or not any more.
    Gone,
}

/// The line to one node's recorder, for one channel.
#[derive(Debug, Clone, Copy)]
pub struct DemoLine {
    plan: DemoPlan,
    node: usize,
    channel: usize,
}

impl DemoLine {
    pub fn named(plan: DemoPlan, node: &str, channel: &str) -> Option<Self> {
        let node = NODES.iter().position(|name| *name == node)?;
        let channel = CHANNELS.iter().position(|name| *name == channel)?;
        Some(Self { plan, node, channel })
    }

    pub const fn node(&self) -> usize {
        self.node
    }

    pub fn is_away(&self, now: Timestamp) -> bool {
        self.fate(self.plan.not_ended(now) - 1) == Some(PieceFate::Away)
    }

    pub fn master_playlist() -> String {
        let mut text = "#EXTM3U\n".to_owned();
        for (quality, (size, bits)) in QUALITIES.iter().zip(VARIANTS) {
            let variant = format!("BANDWIDTH={bits},RESOLUTION={size},FRAME-RATE=10.000,NAME=\"{quality}\"");
            _ = write!(text, "#EXT-X-STREAM-INF:{variant}\n{quality}/live.m3u8\n");
        }
        text
    }

    /// What is listed of each quality. The numbers of segments go on where the line was away; their times do not.
    pub fn playlist(&self, now: Timestamp) -> String {
        let newest = self.plan.not_ended(now) - 1;
        let oldest = (newest + 1 - WINDOW).max(0);
        let first = oldest - self.plan.away_before(self.channel, self.node, oldest);
        let mut text = format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        let mut last = None;
        for number in (oldest..=newest).filter(|number| !self.misses(*number)) {
            let Some(piece) = self.piece(number, 0) else { continue };
            if last.is_some_and(|last| last + 1 != number) {
                text.push_str("#EXT-X-DISCONTINUITY\n");
            }
            last = Some(number);
            let (start, seconds) = (piece.start, piece.duration.seconds());
            _ = write!(text, "#EXT-X-PROGRAM-DATE-TIME:{start}\n#EXTINF:{seconds:.3},\n{number}.ts\n");
        }
        text
    }

    pub fn segment(&self, quality: &str, number: i64, now: Timestamp) -> (Option<PlannedPiece>, LineAnswer) {
        let quality = QUALITIES.iter().position(|name| *name == quality);
        let not_ended = self.plan.not_ended(now);
        let is_listed = number >= 0 && (not_ended - WINDOW..not_ended).contains(&number);
        let Some(piece) = quality.filter(|_| is_listed).and_then(|quality| self.piece(number, quality)) else {
            return (None, LineAnswer::Gone);
        };
        let answer = match self.plan.fate(&piece, self.node) {
            PieceFate::Late(by) if now < piece.end() + by => LineAnswer::NotYet,
            PieceFate::Complete | PieceFate::Late(_) => LineAnswer::Whole,
            PieceFate::Partial => LineAnswer::Part,
            PieceFate::Dropped => LineAnswer::Nothing,
            PieceFate::Away | PieceFate::Silent => LineAnswer::Gone,
        };
        (Some(piece), answer)
    }

    fn misses(&self, number: i64) -> bool {
        matches!(self.fate(number), Some(PieceFate::Away | PieceFate::Silent))
    }

    /// Of the first quality: both are away together.
    fn fate(&self, number: i64) -> Option<PieceFate> {
        if number < 0 {
            return None;
        }
        Some(self.plan.fate(&self.piece(number, 0)?, self.node))
    }

    fn piece(&self, number: i64, quality: usize) -> Option<PlannedPiece> {
        self.plan.pieces(number).find(|piece| (piece.channel, piece.quality) == (self.channel, quality))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::archive::Span;
    use crate::archive::time::SECOND_US;

    fn line(seed: u64, node: usize, channel: usize) -> DemoLine {
        let plan = DemoPlan::new(seed, Timestamp::parse("2019-11-13T02:55:12").unwrap(), Span(0));
        DemoLine { plan, node, channel }
    }

    /// The sequence number, the number in its name and the time of each that is listed.
    fn listed(text: &str) -> Vec<(i64, i64, Timestamp)> {
        let after = |name: &'static str| text.lines().filter_map(move |line| line.strip_prefix(name));
        let first: i64 = after("#EXT-X-MEDIA-SEQUENCE:").next().unwrap().parse().unwrap();
        let times = after("#EXT-X-PROGRAM-DATE-TIME:").map(|time| Timestamp::parse(time).unwrap());
        let names = text.lines().filter_map(|line| line.strip_suffix(".ts")).map(|name| name.parse().unwrap());
        (first..).zip(names).zip(times).map(|((sequence, name), time)| (sequence, name, time)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// A segment keeps its sequence number, as recorders know it by that.
        #[test]
        fn what_the_plan_gives_a_recorder_is_listed_under_one_number_for_long_enough(seed: u64, node in 0..3_usize, channel in 0..2_usize) {
            let line = line(seed, node, channel);
            let (mut known, mut seen) = (BTreeMap::new(), BTreeMap::new());
            for second in (0..400).step_by(2) {
                let now = line.plan.pieces(0).next().unwrap().start + Span(second * SECOND_US);
                if line.is_away(now) {
                    continue;
                }
                for (sequence, number, time) in listed(&line.playlist(now)) {
                    prop_assert_eq!(*known.entry(sequence).or_insert((number, time)), (number, time));
                    prop_assert_eq!(line.piece(number, 0).map(|piece| piece.start), Some(time));
                    *seen.entry(number).or_insert(0) += 2;
                    prop_assert_ne!(line.segment("480p", number, now).1, LineAnswer::Gone);
                }
            }
            prop_assert!(known.keys().copied().eq((0..).take(known.len())), "no number is left out");
            for number in 0..120 {
                let is_missed = line.misses(number);
                let times = seen.get(&number).copied().unwrap_or(0);
                prop_assert!(if is_missed { times == 0 } else { times >= 30 }, "{} was listed for {} s", number, times);
            }
        }

        #[test]
        fn what_comes_in_the_end_is_what_the_plan_says(seed: u64, number in 0..5_000_i64, node in 0..3_usize) {
            let line = line(seed, node, 1);
            for (which, quality) in QUALITIES.iter().enumerate() {
                let piece = line.piece(number, which).unwrap();
                let at = |seconds: i64| line.segment(quality, number, piece.end() + Span(seconds * SECOND_US)).1;
                prop_assert_eq!(at(-1), LineAnswer::Gone, "it has not ended yet");
                let expected = match line.plan.fate(&piece, node) {
                    PieceFate::Complete => (LineAnswer::Whole, LineAnswer::Whole),
                    PieceFate::Late(_) => (LineAnswer::NotYet, LineAnswer::Whole),
                    PieceFate::Partial => (LineAnswer::Part, LineAnswer::Part),
                    PieceFate::Dropped => (LineAnswer::Nothing, LineAnswer::Nothing),
                    PieceFate::Away | PieceFate::Silent => (LineAnswer::Gone, LineAnswer::Gone),
                };
                prop_assert_eq!((at(0), at(30)), expected);
                prop_assert_eq!(at(2 * WINDOW), LineAnswer::Gone);
            }
        }
    }

    #[test]
    fn a_line_that_is_away_brings_nothing_from_its_first_segment_to_its_last() {
        let plan = line(1, 0, 0).plan;
        let outage = plan.outage_from(0, 4).unwrap();
        for node in 0..NODES.len() {
            let line = line(1, node, 0);
            let end = |number| line.piece(number, 0).unwrap().end();
            let is_away = [3, 4, 9, 10].map(|number| line.is_away(end(number)));
            let expected = if outage.node == Some(node) { [false, true, true, false] } else { [false; 4] };
            assert_eq!(is_away, expected);
        }
    }
}
