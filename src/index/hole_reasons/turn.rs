//! From the holes that were to those that are, and what closed them. Reads neither clock nor index.
//!
//! 1. A [`HoleReasonChange`] leads from the holes that were to those that are. Nothing else opens or closes an entry, so that the open entries
//!    are the raw holes exactly, and every instant that was missing and is not any more lies in a closed entry.
//! 2. A hole that shrinks, splits or grows is known since the earliest of those that it was made of.
//! 3. Who closed it is told by what arrived meanwhile ([`Arrival`]).

use std::collections::BTreeSet;

use crate::archive::Timestamp;
use crate::archive::best::TOLERANCE;
use crate::archive::coverage::Stretch;
use crate::archive::hole_reasons::{ClosedHoleReason, HoleFiller, OpenHole};

/// A segment that has become known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// What it covers.
    pub covers: Stretch,
    /// Who gave it.
    pub by: HoleFiller,
}

/// How the holes that are differ from those that were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HoleChanges {
    gone: BTreeSet<Stretch>,
    new: BTreeSet<Stretch>,
}

impl HoleChanges {
    /// Adds what became of some of them; the same one may go and come again.
    pub fn add(&mut self, old: impl IntoIterator<Item = Stretch>, new: impl IntoIterator<Item = Stretch>) {
        for hole in old {
            if !self.new.remove(&hole) {
                self.gone.insert(hole);
            }
        }
        for hole in new {
            if !self.gone.remove(&hole) {
                self.new.insert(hole);
            }
        }
    }

    /// Whether all is as it was.
    pub fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.new.is_empty()
    }

    /// Those that are no more, in order.
    pub fn gone(&self) -> impl Iterator<Item = Stretch> {
        self.gone.iter().copied()
    }
}

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

#[cfg(test)]
mod tests;
