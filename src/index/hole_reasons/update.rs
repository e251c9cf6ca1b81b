//! Turns the ledger in the transaction that settles the summaries.

use std::collections::{BTreeSet, HashMap};

use redb::{ReadableTable, ReadableTableMetadata as _, Table, WriteTransaction};

use super::super::IndexError;
use super::super::apply::Session;
use super::super::codec::{RowReader, hour_key};
use super::super::summaries;
use super::super::summary_update::{HourEdge, nearest};
use super::super::tables::{CLOSED_HOLES, CLOSED_ORDER, HourKey};
use super::givers::{Givers, number};
use super::rows::{HoleKey, by_time, decode_closed, decode_open, encode_closed, encode_open, key, read_by_time};
use super::turn::{Arrival, HoleChanges, HoleReasonChange};
use crate::archive::coverage::{CoverageKind, HourSummary, Stretch};
use crate::archive::hole_reasons::{ClosedHoleReason, HoleFiller, HoleKnowledge, OpenHole};
use crate::archive::{Hour, SegmentKey, Span, Timestamp};

/// What the recorder writes no later than this after the moment itself fills no hole: it is recording.
const RECORDING: Span = Span::from_us(60_000_000);
/// Parts of a hole that close one after the other within this time from the same giver are one entry.
const ONE_ENTRY: Span = Span::from_us(3_600_000_000);
/// Closed entries that are forgotten in one transaction: a few milliseconds.
const FORGOTTEN: usize = 1_000;
/// Absences of the disk that are remembered.
const MOST_AWAY: usize = 256;

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
        let trailing = trailing(&self.coverage, stream)?;
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
            let (first, last) = (hour_key(stream, Hour::MIN), hour_key(stream, Hour::MAX));
            if self.unsettled.range::<&HourKey>(&first..=&last)?.next().is_some() {
                continue;
            }
            let Turning { mut difference, trailing: was, is_resumed } = turning;
            if is_resumed {
                difference = HoleChanges::default();
                difference.add(
                    open_of(&self.open_holes, stream)?.into_iter().map(|entry| entry.hole),
                    all_holes(&self.coverage, stream)?,
                );
            } else {
                difference.add(was, trailing(&self.coverage, stream)?);
            }
            if !difference.is_empty() {
                self.turn(stream, &difference)?;
            }
        }
        self.forget_closed()
    }

    fn turn(&mut self, stream: u32, difference: &HoleChanges) -> Result<(), IndexError> {
        let mut gone = Vec::new();
        for hole in difference.gone() {
            let at = key(stream, hole.start, hole.end);
            if let Some(row) = self.open_holes.remove(&at)? {
                gone.push(decode_open(&at, row.value())?.1);
            }
        }
        let arrivals = self.books.arrivals.remove(&stream).unwrap_or_default();
        let turn = HoleReasonChange::of(&gone, difference, arrivals, self.books.now);
        for entry in &turn.open {
            let at = key(stream, entry.hole.start, entry.hole.end);
            self.open_holes.insert(&at, encode_open(&at, entry).as_slice())?;
        }
        for closed in turn.closed {
            if self.books.is_told(&closed) {
                self.close(stream, closed)?;
            }
        }
        self.books.is_turned = true;
        Ok(())
    }

    /// Remembers what closed, together with what closed right beside it just before.
    fn close(&mut self, stream: u32, mut closed: ClosedHoleReason) -> Result<(), IndexError> {
        let (first, last) = (
            key(stream, Timestamp::from_us(i64::MIN), Timestamp::from_us(i64::MIN)),
            key(stream, Timestamp::from_us(i64::MAX), Timestamp::from_us(i64::MAX)),
        );
        let here = key(stream, closed.hole.start, Timestamp::from_us(i64::MIN));
        let behind = key(stream, closed.hole.end, Timestamp::from_us(i64::MIN));
        let before = self.closed_holes.range::<&HoleKey>(&first..&here)?.next_back().transpose()?;
        let after = self.closed_holes.range::<&HoleKey>(&behind..=&last)?.next().transpose()?;
        let mut beside = Vec::new();
        for row in [before, after].into_iter().flatten() {
            beside.push((*row.0.value(), decode_closed(row.0.value(), row.1.value())?));
        }
        for (at, other) in beside {
            let is_one = other.first_seen == closed.first_seen
                && other.by == closed.by
                && (other.hole.end == closed.hole.start || other.hole.start == closed.hole.end)
                && closed.closed - other.closed <= ONE_ENTRY;
            if is_one {
                closed.hole.start = closed.hole.start.min(other.hole.start);
                closed.hole.end = closed.hole.end.max(other.hole.end);
                self.closed_holes.remove(&at)?;
                self.closed_order.remove(&by_time(other.closed, stream, other.hole.start))?;
            }
        }
        let at = key(stream, closed.hole.start, closed.closed);
        self.closed_holes.insert(&at, encode_closed(&at, &closed).as_slice())?;
        self.closed_order.insert(&by_time(closed.closed, stream, closed.hole.start), ())?;
        Ok(())
    }

    /// Forgets the oldest closed entries: those that are too old, and those that are too many.
    fn forget_closed(&mut self) -> Result<(), IndexError> {
        let (how_long, most) = self.books.kept;
        for _ in 0..FORGOTTEN {
            let Some(oldest) = self.closed_order.first()?.map(|(at, _)| *at.value()) else { return Ok(()) };
            let (closed, stream, start) = read_by_time(&oldest)?;
            if closed + how_long >= self.books.now && self.closed_order.len()? <= most {
                return Ok(());
            }
            self.closed_order.remove(&oldest)?;
            self.closed_holes.remove(&key(stream, start, closed))?;
        }
        Ok(())
    }

    /// Takes over why a hole is open, if it is still the same.
    pub(in crate::index) fn remember_why(
        &mut self,
        at: &HoleKey,
        grown: Timestamp,
        known: &HoleKnowledge,
    ) -> Result<(), IndexError> {
        let Some(row) = self.open_holes.get(at)?.map(|row| decode_open(at, row.value())).transpose()? else {
            return Ok(());
        };
        if row.1.grown == grown {
            let entry = OpenHole { known: Some(known.clone()), ..row.1 };
            self.open_holes.insert(at, encode_open(at, &entry).as_slice())?;
        }
        Ok(())
    }
}

/// The hole behind all that covers.
fn trailing(
    coverage: &impl ReadableTable<&'static HourKey, &'static [u8]>,
    stream: u32,
) -> Result<Option<Stretch>, IndexError> {
    let last = nearest(coverage, stream, Hour::MAX, HourEdge::Before)?;
    Ok(last.and_then(|(_, summary)| summary.after).and_then(|ends| ends.trailing_hole()))
}

/// All raw holes of a quality, by its summaries.
fn all_holes(
    coverage: &impl ReadableTable<&'static HourKey, &'static [u8]>,
    stream: u32,
) -> Result<Vec<Stretch>, IndexError> {
    let (first, last) = (hour_key(stream, Hour::MIN), hour_key(stream, Hour::MAX));
    let mut holes = Vec::new();
    for row in coverage.range::<&HourKey>(&first..=&last)? {
        let (at, value) = row?;
        holes.extend_from_slice(&summaries::decode(*at.value(), value.value())?.holes[CoverageKind::Raw as usize]);
    }
    holes.extend(trailing(coverage, stream)?);
    Ok(holes)
}

/// All open entries of a quality.
pub(super) fn open_of(
    table: &impl ReadableTable<&'static HoleKey, &'static [u8]>,
    stream: u32,
) -> Result<Vec<OpenHole>, IndexError> {
    let ends = |us| key(stream, Timestamp::from_us(us), Timestamp::from_us(us));
    let mut found = Vec::new();
    for row in table.range::<&HoleKey>(&ends(i64::MIN)..=&ends(i64::MAX))? {
        let (at, value) = row?;
        found.push(decode_open(at.value(), value.value())?.1);
    }
    Ok(found)
}

/// Whether the open entries of a quality are its raw holes.
pub fn is_right(
    coverage: &impl ReadableTable<&'static HourKey, &'static [u8]>,
    open: &impl ReadableTable<&'static HoleKey, &'static [u8]>,
    stream: u32,
) -> Result<bool, IndexError> {
    let entries = open_of(open, stream)?;
    Ok(entries.into_iter().map(|entry| entry.hole).eq(all_holes(coverage, stream)?))
}

/// Begins the ledger of a quality that is loaded as a whole: what was known of the same holes before goes on.
pub fn begin(
    table: &mut Table<'_, &'static HoleKey, &'static [u8]>,
    stream: u32,
    holes: Vec<Stretch>,
    before: &[OpenHole],
    now: Timestamp,
) -> Result<(), IndexError> {
    let mut difference = HoleChanges::default();
    difference.add(before.iter().map(|entry| entry.hole), holes);
    let ends: BTreeSet<Stretch> = difference.gone().collect();
    let (gone, kept): (Vec<OpenHole>, Vec<OpenHole>) =
        before.iter().cloned().partition(|entry| ends.contains(&entry.hole));
    for entry in HoleReasonChange::of(&gone, &difference, Vec::new(), now).open.into_iter().chain(kept) {
        let at = key(stream, entry.hole.start, entry.hole.end);
        table.insert(&at, encode_open(&at, &entry).as_slice())?;
    }
    Ok(())
}

/// Takes over closed entries of a quality that is loaded as a whole.
pub fn put_closed(transaction: &WriteTransaction, stream: u32, closed: &[ClosedHoleReason]) -> Result<(), IndexError> {
    let (mut rows, mut order) = (transaction.open_table(CLOSED_HOLES)?, transaction.open_table(CLOSED_ORDER)?);
    for entry in closed {
        let at = key(stream, entry.hole.start, entry.closed);
        rows.insert(&at, encode_closed(&at, entry).as_slice())?;
        order.insert(&by_time(entry.closed, stream, entry.hole.start), ())?;
    }
    Ok(())
}

/// When the disk was away, oldest first.
pub fn read_away(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Vec<Stretch>, IndexError> {
    let Some(row) = meta.get("away")? else { return Ok(Vec::new()) };
    let bytes = row.value();
    let mut reader = RowReader::new(bytes, "meta");
    let mut time = || Ok::<_, IndexError>(Timestamp::from_us(i64::from_le_bytes(reader.array()?)));
    (0..bytes.len() / 16).map(|_| Ok(Stretch { start: time()?, end: time()? })).collect()
}

/// Remembers when the disk was away; the latest absences stay.
pub fn write_away(meta: &mut Table<'_, &'static str, &'static [u8]>, more: &[Stretch]) -> Result<(), IndexError> {
    let mut all = read_away(meta)?;
    all.extend_from_slice(more);
    let latest = all.get(all.len().saturating_sub(MOST_AWAY)..).unwrap_or_default();
    let bytes: Vec<u8> =
        latest.iter().flat_map(|away| [away.start, away.end]).flat_map(|at| at.us().to_le_bytes()).collect();
    meta.insert("away", bytes.as_slice())?;
    Ok(())
}
