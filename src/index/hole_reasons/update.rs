//! Turns the ledger in the transaction that settles the summaries.

use std::collections::HashMap;

use super::super::IndexError;
use super::super::apply::Session;
use super::super::codec::{HourKey, hour_key};
use super::super::summaries::{self, HourEdge, SummaryRows, nearest};
use super::givers::{Givers, number};
use super::turn::{Arrival, HoleChanges, HoleReasonChange};
use crate::archive::coverage::{CoverageKind, HourSummary, Stretch};
use crate::archive::hole_reasons::{ClosedHoleReason, HoleFiller, OpenHole};
use crate::archive::{Hour, SegmentKey, Span, Timestamp};

/// What the recorder writes no later than this after the moment itself fills no hole: it is recording.
const RECORDING: Span = Span::from_us(60_000_000);

/// What a transaction finds out for the ledger.
pub struct HoleReasonUpdate<'t> {
    pub(super) now: Timestamp,
    /// Since when the index is catching up with the disk: holes that come and go meanwhile are none.
    pub(super) catching_up: Option<Timestamp>,
    /// How long, and how many, closed entries are kept.
    pub(super) kept: (Span, u64),
    pub(super) givers: &'t Givers,
    turning: HashMap<u32, Turning>,
    arrivals: HashMap<u32, Vec<Arrival>>,
    /// Files that were expected, and have come.
    pub arrived: Vec<u128>,
    /// Whether an entry was opened or closed.
    pub is_turned: bool,
}

/// How a quality's holes change.
struct Turning {
    difference: HoleChanges,
    /// The hole behind all that covers, as it was.
    trailing: Option<Stretch>,
    /// Some of its hours were left by earlier transactions: all of it is compared.
    is_resumed: bool,
}

impl<'t> HoleReasonUpdate<'t> {
    /// Of a transaction that begins now.
    pub fn new(now: Timestamp, catching_up: Option<Timestamp>, kept: (Span, u64), givers: &'t Givers) -> Self {
        let (turning, arrivals) = (HashMap::new(), HashMap::new());
        Self { now, catching_up, kept, givers, turning, arrivals, arrived: Vec::new(), is_turned: false }
    }

    /// A segment has become known.
    pub fn arrives(&mut self, stream: u32, name: &str, hour: Hour, segment: &SegmentKey) {
        let covers = Stretch { start: segment.start(hour), end: segment.end(hour) };
        let mut by = HoleFiller::Recorder;
        if !self.givers.is_empty() {
            let file = number(name, hour, segment);
            if let Some(peer) = self.givers.of(file) {
                self.arrived.push(file);
                by = HoleFiller::Peer(peer);
            }
        }
        self.arrivals.entry(stream).or_default().push(Arrival { covers, by });
    }

    /// Whether it is worth remembering that this closed.
    fn is_told(&self, closed: &ClosedHoleReason) -> bool {
        let is_from_a_peer = matches!(closed.by, HoleFiller::Peer(_));
        let is_recording = !is_from_a_peer && closed.hole.end + RECORDING > closed.closed;
        let was_never_one = self.catching_up.is_some_and(|since| closed.first_seen >= since) && !is_from_a_peer;
        !is_recording && !was_never_one
    }
}

impl Session<'_> {
    /// A quality's summaries are about to change.
    pub(in crate::index) fn begin_turning(&mut self, stream: u32, is_resumed: bool) -> Result<(), IndexError> {
        if let Some(turning) = self.books.turning.get_mut(&stream) {
            turning.is_resumed |= is_resumed;
            return Ok(());
        }
        let trailing = trailing(self.summaries.table(), stream)?;
        let turning = Turning { difference: HoleChanges::default(), trailing, is_resumed };
        self.books.turning.insert(stream, turning);
        Ok(())
    }

    /// The summary of an hour changed.
    pub(in crate::index) fn note_holes(&mut self, stream: u32, old: Option<&HourSummary>, new: Option<&HourSummary>) {
        let holes = |summary: Option<&HourSummary>| {
            summary.map_or(&[][..], |summary| &summary.holes[CoverageKind::Raw as usize]).to_vec()
        };
        let (old, new) = (holes(old), holes(new));
        if old != new
            && let Some(turning) = self.books.turning.get_mut(&stream)
        {
            turning.difference.add(old, new);
        }
    }

    /// Brings the ledger into line with the summaries, of every quality that is settled.
    pub(in crate::index) fn turn_ledger(&mut self) -> Result<(), IndexError> {
        for (stream, turning) in std::mem::take(&mut self.books.turning) {
            if self.summaries.is_unsettled(stream)? {
                continue;
            }
            let Turning { mut difference, trailing: was, is_resumed } = turning;
            if is_resumed {
                difference = HoleChanges::default();
                difference.add(
                    self.holes.open_of(stream)?.into_iter().map(|entry| entry.hole),
                    all_holes(self.summaries.table(), stream)?,
                );
            } else {
                difference.add(was, trailing(self.summaries.table(), stream)?);
            }
            if !difference.is_empty() {
                self.turn(stream, &difference)?;
            }
        }
        self.holes.forget_closed(self.books.kept, self.books.now)
    }

    fn turn(&mut self, stream: u32, difference: &HoleChanges) -> Result<(), IndexError> {
        let mut gone = Vec::new();
        for hole in difference.gone() {
            gone.extend(self.holes.remove_open(stream, hole)?);
        }
        let arrivals = self.books.arrivals.remove(&stream).unwrap_or_default();
        let turn = HoleReasonChange::of(&gone, difference, arrivals, self.books.now);
        for entry in &turn.open {
            self.holes.set_open(stream, entry)?;
        }
        for closed in turn.closed {
            if self.books.is_told(&closed) {
                self.holes.close(stream, closed)?;
            }
        }
        self.books.is_turned = true;
        Ok(())
    }
}

/// The hole behind all that covers.
fn trailing(coverage: &impl SummaryRows, stream: u32) -> Result<Option<Stretch>, IndexError> {
    let last = nearest(coverage, stream, Hour::MAX, HourEdge::Before)?;
    Ok(last.and_then(|(_, summary)| summary.after).and_then(|ends| ends.trailing_hole()))
}

/// All raw holes of a quality, by its summaries.
fn all_holes(coverage: &impl SummaryRows, stream: u32) -> Result<Vec<Stretch>, IndexError> {
    let (first, last) = (hour_key(stream, Hour::MIN), hour_key(stream, Hour::MAX));
    let mut holes = Vec::new();
    for row in coverage.range::<&HourKey>(&first..=&last)? {
        let (at, value) = row?;
        holes.extend_from_slice(&summaries::decode(*at.value(), value.value())?.holes[CoverageKind::Raw as usize]);
    }
    holes.extend(trailing(coverage, stream)?);
    Ok(holes)
}

/// Whether the open entries of a quality are its raw holes.
pub(super) fn is_right(coverage: &impl SummaryRows, entries: Vec<OpenHole>, stream: u32) -> Result<bool, IndexError> {
    Ok(entries.into_iter().map(|entry| entry.hole).eq(all_holes(coverage, stream)?))
}
