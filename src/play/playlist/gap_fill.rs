//! What other nodes have of a stretch of which something is missing here: which hours to ask them about, and which of their segments
//! have a place between ours.
//!
//! 1. What is there and `full` stays where it is, whatever others say they have: they are believed about holes alone.
//! 2. A segment of another node is taken in where it overlaps none of ours that is `full`, is no longer than the list can tell, and
//!    ours with the same start, if there is one, is of a lesser type.
//! 3. What then follows what, and where discontinuities are, is decided by the same rules as without others.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::archive::best::{Chain, SequencePiece, SequenceStep, TOLERANCE};
use crate::archive::segment::{Hash, SegmentKind};
use crate::archive::time::{Hour, Span, Timestamp};

/// A segment may have begun before the hole that it fills: in the hour before, if the hole is not further from its beginning.
const REACH: Span = Span::from_us(60_000_000);

/// The hours, oldest first and at most so many, in which something is missing of `[start, end)`. `own` are our best segments in order of
/// start.
pub fn missing_hours(own: &[SequencePiece], start: Timestamp, end: Timestamp, most: usize) -> Vec<Hour> {
    let mut hours = BTreeSet::new();
    let mut chain = Chain::new(start);
    for piece in own.iter().take_while(|piece| piece.start() < end) {
        let before = chain.last();
        if chain.step(piece.link()) == SequenceStep::Broken {
            // One that is not full may be replaced.
            let from = before.map_or(start, |last| if last.kind == SegmentKind::Full { last.end } else { last.start });
            push(&mut hours, from, piece.start(), most);
        }
    }
    if !chain.reaches(end) {
        let from =
            chain.last().map_or(start, |last| if last.kind == SegmentKind::Full { last.end } else { last.start });
        push(&mut hours, from, end, most);
    }
    hours.into_iter().take(most).collect()
}

fn push(hours: &mut BTreeSet<Hour>, from: Timestamp, to: Timestamp, most: usize) {
    let mut hour = (from - REACH).hour();
    while hour.start() < to && hours.len() < most.saturating_add(1) {
        hours.insert(hour);
        hour = hour.next();
    }
}

/// Our segments and those of others that have a place between them, in order of start; each of theirs with what it came with. The
/// first of others that name the same is taken. `chain` is what was told before, `longest` the longest that may be told.
pub fn filled<T: Clone>(
    own: Vec<SequencePiece>,
    others: &[(SequencePiece, T)],
    mut chain: Chain,
    longest: Span,
) -> Vec<(SequencePiece, Option<T>)> {
    // What has no place among ours alone must not get one because of others, and take it from ours.
    let kept: Vec<SequencePiece> =
        own.into_iter().filter(|piece| chain.step(piece.link()) != SequenceStep::Skipped).collect();
    let fixed: Vec<(Timestamp, Timestamp)> = kept
        .iter()
        .filter(|piece| piece.file.key.kind == SegmentKind::Full)
        .map(|piece| (piece.start(), piece.end()))
        .collect();
    let fits = |piece: &SequencePiece| {
        let at = fixed.partition_point(|(from, _)| *from < piece.start());
        let before = at.checked_sub(1).and_then(|before| fixed.get(before));
        let overlaps_before = before.is_some_and(|(_, to)| piece.start() < *to - TOLERANCE);
        let overlaps_after =
            fixed.get(at).is_some_and(|(from, _)| *from < piece.end() - TOLERANCE || *from == piece.start());
        !overlaps_before && !overlaps_after
    };
    let may_be_told = |piece: &SequencePiece| {
        let length = piece.file.key.duration();
        piece.file.key.kind.is_video() && Span::default() < length && length <= longest
    };
    let taken = others.iter().filter(|(piece, _)| may_be_told(piece) && fits(piece));
    let taken = taken.map(|(piece, from)| (piece.clone(), Some(from.clone())));
    let mut all: Vec<(SequencePiece, Option<T>)> = kept.into_iter().map(|piece| (piece, None)).chain(taken).collect();
    // The best of each start first; a stable order, so that of equals ours or the first comes first.
    all.sort_by_key(|(piece, from)| (piece.start(), rank(piece, from.is_some())));
    all.dedup_by_key(|(piece, _)| piece.start());
    all
}

/// How large a segment of another node is is not known: of the same type ours is taken.
fn rank(piece: &SequencePiece, is_others: bool) -> (SegmentKind, bool, Reverse<u32>, Reverse<Hash>) {
    let key = &piece.file.key;
    let (length, hash) = if is_others { (key.duration_us, key.hash) } else { (0, Hash([0; 32])) };
    (key.kind, is_others, Reverse(length), Reverse(hash))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::archive::test_names::hash_text;
    use crate::archive::{AnyFile, best_sequence};

    fn hour() -> Hour {
        Hour::parse("2019-11-13T02").unwrap()
    }

    fn piece(start_ms: i64, length_ms: i64, kind: &str, hash: u8) -> SequencePiece {
        let (minute, second, ms) = (start_ms / 60_000, start_ms / 1_000 % 60, start_ms % 1_000);
        let name = format!(
            "{minute:02}:{second:02}.{ms:03}-{}.{:03}-{kind}-{}.ts",
            length_ms / 1_000,
            length_ms % 1_000,
            hash_text(hash)
        );
        match AnyFile::read(&name, 100) {
            Some(AnyFile::Segment(file)) => SequencePiece { hour: hour(), file },
            other => panic!("{name}: {other:?}"),
        }
    }

    fn at(ms: i64) -> Timestamp {
        hour().start() + Span(ms * 1_000)
    }

    const LONGEST: Span = Span::from_us(6_000_000);

    #[test]
    fn holes_are_filled_and_nothing_else_changes() {
        let own = vec![piece(0, 2_000, "full", 1), piece(6_000, 2_000, "partial", 1), piece(8_000, 2_000, "full", 1)];
        let others = [
            // What we have, and what would displace it.
            (piece(0, 2_000, "full", 1), "a"),
            (piece(0, 6_000, "full", 2), "a"),
            (piece(1_000, 2_000, "full", 2), "a"),
            // The hole, twice, and too long.
            (piece(2_000, 2_000, "full", 2), "a"),
            (piece(2_000, 2_000, "full", 2), "b"),
            (piece(4_000, 2_000, "full", 2), "b"),
            (piece(4_000, 7_000, "full", 2), "b"),
            // Better than our partial one, and no better than it.
            (piece(6_000, 2_000, "full", 2), "a"),
            (piece(6_000, 1_000, "partial", 2), "a"),
            // Into what comes next.
            (piece(7_000, 2_000, "full", 2), "a"),
        ];
        let filled = filled(own, &others, Chain::new(at(0)), LONGEST);
        let found: Vec<(i64, Option<&str>)> =
            filled.iter().map(|(piece, from)| ((piece.start() - at(0)).us() / 1_000, *from)).collect();
        assert_eq!(found, [(0, None), (2_000, Some("a")), (4_000, Some("b")), (6_000, Some("a")), (8_000, None)]);
    }

    #[test]
    fn only_hours_with_something_missing_are_asked_about() {
        let own = [piece(0, 2_000, "full", 1), piece(2_000, 2_000, "full", 1)];
        let day = Hour::parse("2019-11-13T00").unwrap();
        assert_eq!(missing_hours(&own, at(0), at(4_000), 10), []);
        // A hole at the beginning of an hour may be filled by what began in the one before.
        assert_eq!(missing_hours(&own, at(-1), at(4_000), 10), [hour().previous()]);
        assert_eq!(missing_hours(&own, at(0), at(6_000), 10), [hour().previous(), hour()]);
        let from_midnight = missing_hours(&own, day.start(), at(3_600_000 * 40), 3);
        assert_eq!(from_midnight, [day.previous(), day, day.next()]);
        assert_eq!(missing_hours(&[], at(0), at(1), 10), [hour().previous(), hour()]);
    }

    proptest! {
        #[test]
        fn whatever_others_say_what_is_here_stays(
            own in prop::collection::vec((0..20_i64, 1..4_i64, 0..3_usize), 0..8),
            others in prop::collection::vec((0..20_000_i64, 0..9_000_i64, 0..3_usize), 0..30)
        ) {
            let kinds = ["full", "suspect", "partial"];
            let mut ours: Vec<SequencePiece> =
                own.iter().map(|(start, length, kind)| piece(start * 1_000, length * 1_000, kinds[*kind], 1)).collect();
            ours.sort_by_key(SequencePiece::start);
            ours.dedup_by_key(|piece| piece.start());
            let theirs: Vec<(SequencePiece, ())> =
                others.iter().map(|(start, length, kind)| (piece(*start, *length, kinds[*kind], 2), ())).collect();
            let all = filled(ours.clone(), &theirs, Chain::new(at(0)), LONGEST);
            prop_assert!(all.windows(2).all(|pair| pair[0].0.start() < pair[1].0.start()));
            let before: Vec<SequencePiece> = best_sequence(ours, at(0), at(30_000)).into_iter().flatten().collect();
            let merged = all.iter().map(|(piece, _)| piece.clone());
            let after: Vec<SequencePiece> = best_sequence(merged, at(0), at(30_000)).into_iter().flatten().collect();
            for kept in before.iter().filter(|piece| piece.file.key.kind == SegmentKind::Full) {
                prop_assert!(after.contains(kept), "{kept:?} was displaced");
            }
            prop_assert!(all.iter().filter(|(_, from)| from.is_some()).all(|(piece, _)| piece.file.key.duration() <= LONGEST));
        }
    }
}
