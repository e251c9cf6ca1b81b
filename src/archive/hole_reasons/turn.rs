//! From the holes that were to those that are.

use super::{Arrival, ClosedHoleReason, HoleChanges, HoleFiller, OpenHole, Stretch, Timestamp};
use crate::archive::best::TOLERANCE;

/// What changes in the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HoleReasonChange {
    /// Entries that begin.
    pub open: Vec<OpenHole>,
    /// What is not missing any more.
    pub closed: Vec<ClosedHoleReason>,
}

impl HoleReasonChange {
    /// Of the entries of all holes that are `gone` by this difference, in order; `arrivals` is what has become known meanwhile.
    pub fn of(gone: &[OpenHole], difference: &HoleChanges, mut arrivals: Vec<Arrival>, now: Timestamp) -> Self {
        let mut turn = Self::default();
        for hole in &difference.new {
            let first = gone.partition_point(|entry| entry.hole.end <= hole.start);
            let of = gone.iter().skip(first).take_while(|entry| entry.hole.start < hole.end);
            let first_seen = of.clone().map(|entry| entry.first_seen).min().unwrap_or(now);
            // What is known of a part of it is not known of all.
            let whole = of.clone().find(|entry| hole.cut(entry.hole) == Some(*hole));
            let grown = whole.map_or(now, |entry| entry.grown);
            let known = whole.and_then(|entry| entry.known.clone());
            turn.open.push(OpenHole { hole: *hole, first_seen, grown, known });
        }
        arrivals.sort_by_key(|arrival| arrival.covers);
        let mut reach = Timestamp::MIN;
        let reaches: Vec<Timestamp> = arrivals
            .iter()
            .map(|arrival| {
                reach = reach.max(arrival.covers.end);
                reach
            })
            .collect();
        for entry in gone {
            for piece in without(entry.hole, &turn.open) {
                // Those before this one end before the piece begins, whatever they are.
                let first = reaches.partition_point(|end| *end <= piece.start);
                let came = arrivals.iter().skip(first).take_while(|arrival| arrival.covers.start < piece.end);
                turn.closed.extend(by_giver(piece, came).map(|(hole, by)| ClosedHoleReason {
                    hole,
                    first_seen: entry.first_seen,
                    closed: now,
                    by,
                }));
            }
        }
        turn
    }
}

/// What of a hole is in none of those that are open now.
fn without(hole: Stretch, open: &[OpenHole]) -> Vec<Stretch> {
    let mut pieces = Vec::new();
    let mut from = hole.start;
    let first = open.partition_point(|entry| entry.hole.end <= hole.start);
    for still in open.iter().skip(first).take_while(|entry| entry.hole.start < hole.end) {
        pieces.push(Stretch { start: from, end: still.hole.start });
        from = from.max(still.hole.end);
    }
    pieces.push(Stretch { start: from, end: hole.end });
    pieces.retain(|piece| piece.start < piece.end);
    pieces
}

/// A piece that was closed, cut where the giver changes. What is so short that it is no hole belongs to what is beside it.
fn by_giver<'a>(
    piece: Stretch,
    came: impl Iterator<Item = &'a Arrival>,
) -> impl Iterator<Item = (Stretch, HoleFiller)> {
    let mut parts: Vec<(Stretch, HoleFiller)> = Vec::new();
    let mut from = piece.start;
    let mut add = |start: Timestamp, end: Timestamp, by: &HoleFiller| match parts.last_mut() {
        _ if start >= end => {}
        Some((last, of)) if of == by => last.end = end,
        _ => parts.push((Stretch { start, end }, by.clone())),
    };
    for arrival in came {
        let end = arrival.covers.end.min(piece.end);
        if end <= from {
            continue;
        }
        if arrival.covers.start > from + TOLERANCE {
            add(from, arrival.covers.start, &HoleFiller::Nothing);
            from = arrival.covers.start;
        }
        add(from, end, &arrival.by);
        from = end;
    }
    if from + TOLERANCE >= piece.end
        && let Some((last, _)) = parts.last_mut()
    {
        last.end = piece.end;
    } else if from < piece.end {
        parts.push((Stretch { start: from, end: piece.end }, HoleFiller::Nothing));
    }
    parts.into_iter()
}
