//! Applies batches to the tables within one transaction: rows, summaries, change log, all or nothing.
//!
//! Totals are adjusted for ordinary files and counted afresh for an hour in which a tombstone meets odd names, which is rare.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use redb::WriteTransaction;

use super::IndexError;
use super::catalog::{Catalog, StreamEntry, Version};
use super::census::DayTable;
use super::changes::ChangeTable;
use super::codec::{HourKey, hour_key};
use super::directories::DirectoryTable;
use super::facts::FactTable;
use super::files::{FileTables, MAX_SIZE, RowBefore};
use super::hole_reasons::{HoleReasonUpdate, HoleTables, MissedTable};
use super::hours::{HourRow, HourTable};
use super::meta::MetaTable;
use super::peers::PeerTable;
use super::recent_best::CachedLines;
use super::streams::{StreamRow, StreamTable};
use super::summaries::SummaryTables;
use super::visitors::VisitorTable;
use super::writer::{Applied, Batch, Counters, HourUpdate, StampUpdate, StreamsSeen, TouchedHours};
use crate::archive::totals::HourTotals;
use crate::archive::{AnyFile, Hour, HourChange, SegmentFile, Stream};

/// Most streams that are told apart: far beyond any archive, and a bound on the catalog.
const MAX_STREAMS: u32 = 1 << 20;
/// A batch with more changes than this is not written to the change log; who follows it compares digests instead.
const MAX_LOGGED: u64 = 10_000;

/// What a transaction changed, for the catalog.
#[derive(Default)]
pub(super) struct TouchedStreams {
    pub(super) streams: BTreeMap<String, (StreamEntry, TouchedHours)>,
    /// There are hours left whose coverage is to be made.
    pub(super) is_unsettled: bool,
    /// A hole opened or closed.
    pub(super) is_ledger_turned: bool,
    /// Files that were expected from a peer, and have come.
    pub(super) arrived: Vec<u128>,
}

/// The open tables of one transaction.
pub(super) struct Session<'t> {
    pub(super) files: FileTables<'t>,
    pub(super) hours: HourTable<'t>,
    pub(super) summaries: SummaryTables<'t>,
    pub(super) holes: HoleTables<'t>,
    pub(super) census: DayTable<'t>,
    pub(super) facts: FactTable<'t>,
    visitors: VisitorTable<'t>,
    streams: StreamTable<'t>,
    directories: DirectoryTable<'t>,
    changes: ChangeTable<'t>,
    peers: PeerTable<'t>,
    missed: MissedTable<'t>,
    meta: MetaTable<'t>,
    counters: &'t mut Counters,
    pub(super) catalog: &'t Catalog,
    pub(super) lines: &'t mut CachedLines,
    /// Hours of which this transaction has to make the coverage anew.
    pub(super) unsettled_now: BTreeSet<HourKey>,
    /// Whether a stream is chat, as far as it was asked.
    pub(super) chat: HashMap<u32, bool>,
    /// What this transaction finds out for the ledger.
    pub(super) books: HoleReasonUpdate<'t>,
    met: StreamsSeen,
    touched: TouchedStreams,
    scratch: String,
}

impl<'t> Session<'t> {
    pub(super) fn open(
        transaction: &'t WriteTransaction,
        counters: &'t mut Counters,
        catalog: &'t Catalog,
        lines: &'t mut CachedLines,
        books: HoleReasonUpdate<'t>,
    ) -> Result<Self, IndexError> {
        Ok(Self {
            files: FileTables::open(transaction)?,
            hours: HourTable::open(transaction)?,
            summaries: SummaryTables::open(transaction)?,
            holes: HoleTables::open(transaction)?,
            census: DayTable::open(transaction)?,
            facts: FactTable::open(transaction)?,
            visitors: VisitorTable::open(transaction)?,
            streams: StreamTable::open(transaction)?,
            directories: DirectoryTable::open(transaction)?,
            changes: ChangeTable::open(transaction)?,
            peers: PeerTable::open(transaction)?,
            missed: MissedTable::open(transaction)?,
            meta: MetaTable::open(transaction)?,
            counters,
            catalog,
            lines,
            unsettled_now: BTreeSet::new(),
            chat: HashMap::new(),
            books,
            met: StreamsSeen::new(),
            touched: TouchedStreams::default(),
            scratch: String::new(),
        })
    }

    pub(super) fn apply(&mut self, batch: &Batch) -> Result<Applied, IndexError> {
        let asked: u64 = batch
            .hours
            .iter()
            .map(|hour| if let HourUpdate::Change { changes, .. } = hour { changes.len() as u64 } else { 0 })
            .sum();
        let logged = asked <= MAX_LOGGED;
        let mut applied = Applied::default();
        for update in &batch.hours {
            match update {
                HourUpdate::Change { stream, hour, changes, stamp } => {
                    self.change_hour(stream, *hour, changes, *stamp, logged, &mut applied)?;
                }
                HourUpdate::Remove { stream, hour } => self.remove_hour(stream, *hour, &mut applied)?,
            }
        }
        for (path, stamp) in &batch.directories {
            self.directories.set(path, *stamp)?;
        }
        for (name, row) in &batch.peers {
            self.peers.set(name, row)?;
        }
        for (at, grown, known) in &batch.reasons {
            self.holes.remember_why(at, *grown, known)?;
        }
        for stream in &batch.mend {
            let id = self.catalog.read().streams.get(&stream.to_string()).map(|entry| entry.row.id);
            if let Some(id) = id.filter(|_| !stream.quality.is_chat()) {
                self.begin_turning(id, true)?;
            }
        }
        for (stream, missed) in &batch.missed {
            let id = self.catalog.read().streams.get(&stream.to_string()).map(|entry| entry.row.id);
            if let Some(id) = id {
                self.missed.put(id, missed.clone())?;
            }
        }
        if !batch.away.is_empty() {
            self.meta.add_away(&batch.away)?;
        }
        for (name, state) in &batch.visitors {
            self.visitors.set(name, state)?;
        }
        for (stream, day) in &batch.recount {
            let id = self.catalog.read().streams.get(&stream.to_string()).map(|entry| entry.row.id);
            if let Some(id) = id {
                self.recount_day(id, *day)?;
            }
        }
        for learnt in &batch.learnt {
            self.learn(learnt)?;
        }
        if let Some(archive) = &batch.archive {
            self.meta.set_archive(archive)?;
        }
        if let Some(records) = &batch.records {
            self.meta.set_records(records)?;
        }
        if !logged {
            self.counters.floor = self.counters.seq;
        }
        Ok(applied)
    }

    /// Writes what belongs to the whole transaction.
    pub(super) fn finish(mut self, changes_kept: u64) -> Result<TouchedStreams, IndexError> {
        self.touched.is_unsettled = self.settle()?;
        self.touched.is_ledger_turned = self.books.is_turned;
        self.touched.arrived = std::mem::take(&mut self.books.arrived);
        for (name, row) in &self.met {
            self.streams.set(name, *row)?;
        }
        if let Some(forgotten) = self.changes.keep(changes_kept)? {
            self.counters.floor = self.counters.floor.max(forgotten);
        }
        let Counters { seq, floor, next_stream } = *self.counters;
        for (name, number) in [("seq", seq), ("floor", floor), ("next_stream", next_stream)] {
            self.meta.set_number(name, number)?;
        }
        for (name, (entry, _)) in &mut self.touched.streams {
            if let Some(row) = self.met.get(name) {
                entry.row = *row;
            }
        }
        Ok(self.touched)
    }

    fn stream_row(&mut self, stream: &Stream, name: &str) -> Result<StreamRow, IndexError> {
        if let Some(row) = self.met.get(name) {
            return Ok(*row);
        }
        let known = self.catalog.read().streams.get(name).map(|entry| entry.row);
        let row = if let Some(row) = known {
            row
        } else {
            let id = u32::try_from(self.counters.next_stream).ok().filter(|id| *id < MAX_STREAMS);
            self.counters.next_stream += 1;
            StreamRow { id: id.ok_or(IndexError::TooManyStreams(MAX_STREAMS))?, hours: 0, sum: 0 }
        };
        self.met.insert(name.to_owned(), row);
        self.touch(stream, name, row);
        Ok(row)
    }

    fn touch(&mut self, stream: &Stream, name: &str, row: StreamRow) -> &mut TouchedHours {
        let fresh = || {
            let entry = StreamEntry { stream: stream.clone(), row, hours: BTreeMap::new(), structure: 0, changed: 0 };
            (entry, TouchedHours::new())
        };
        &mut self.touched.streams.entry(name.to_owned()).or_insert_with(fresh).1
    }

    fn change_hour(
        &mut self,
        stream: &Stream,
        hour: Hour,
        changes: &[HourChange],
        stamp: StampUpdate,
        logged: bool,
        applied: &mut Applied,
    ) -> Result<(), IndexError> {
        let name = stream.to_string();
        let mut stream_row = self.stream_row(stream, &name)?;
        let key = hour_key(stream_row.id, hour);
        let old = self.hours.get(key)?;
        let mut row = old.unwrap_or_default();
        let mut recount = false;
        let mut effective = 0_u64;
        let mut gone = Vec::new();
        for change in changes {
            let rows = row.rows;
            let did = match change {
                HourChange::Put(AnyFile::Segment(file)) if file.exact.is_none() => self.put(key, &mut row, file)?,
                HourChange::Remove(AnyFile::Segment(file)) if file.exact.is_none() => {
                    self.remove(key, &mut row, file)?
                }
                HourChange::Put(file) => self.files.put_odd(key, &mut row, file)? != RowBefore::Same,
                HourChange::Remove(file) => self.files.remove_odd(key, &mut row, file)?.is_some(),
            };
            if !did {
                continue;
            }
            effective += 1;
            self.counters.seq += 1;
            let put = matches!(change, HourChange::Put(_));
            if let AnyFile::Segment(file) = change.file()
                && (!put || file.key.tombstone || row.rows == rows)
            {
                gone.push(file.key.hash);
            }
            if let HourChange::Put(AnyFile::Segment(file)) = change
                && !file.key.tombstone
                && file.key.kind.is_video()
            {
                self.books.arrives(stream_row.id, &name, hour, &file.key);
            }
            *(if put { &mut applied.put } else { &mut applied.removed }) += 1;
            recount = recount || self.needs_recount(key, change.file())?;
            if logged {
                self.changes.add(self.counters.seq, (stream_row.id, hour), put, change.file())?;
            }
        }
        self.forget(key, &gone)?;
        if recount {
            row.totals = HourTotals::of(&self.files.contents(key, &row)?);
        }
        if effective > 0 || old.is_none() {
            row.changed = self.counters.seq;
            self.chat.insert(stream_row.id, stream.quality.is_chat());
            self.lines.changed(key, changes);
            self.unsettle(key);
        }
        match stamp {
            StampUpdate::Keep => {}
            StampUpdate::Set(stamp) => row.stamp = stamp,
            StampUpdate::SetIfStill { stamp, version } => {
                let generation = self.catalog.generation();
                let still = old.map(|old| Version { generation, changed: old.changed }) == version;
                row.stamp = stamp.filter(|_| still);
            }
        }
        if old.is_none() {
            stream_row.add_hour(key);
            self.met.insert(name.clone(), stream_row);
        }
        if old != Some(row) {
            self.hours.set(key, &row)?;
            self.count(key, old.as_ref(), Some(&row))?;
            self.touch(stream, &name, stream_row).insert(hour, Some(row.changed));
        }
        Ok(())
    }

    fn remove_hour(&mut self, stream: &Stream, hour: Hour, applied: &mut Applied) -> Result<(), IndexError> {
        let name = stream.to_string();
        let mut stream_row = self.stream_row(stream, &name)?;
        let key = hour_key(stream_row.id, hour);
        let Some(row) = self.hours.remove(key)? else { return Ok(()) };
        let (contents, mut left) = (self.files.contents(key, &row)?, row);
        let logged = contents.len() as u64 <= MAX_LOGGED;
        let understood = contents.files().iter().cloned().map(AnyFile::Segment);
        for file in understood.chain(contents.odd().iter().cloned().map(AnyFile::Odd)) {
            match &file {
                AnyFile::Segment(SegmentFile { key: segment, exact: None, .. }) => {
                    self.files.remove(key, &mut left, segment)?;
                }
                other => {
                    self.files.remove_odd(key, &mut left, other)?;
                }
            }
            self.counters.seq += 1;
            if logged {
                self.changes.add(self.counters.seq, (stream_row.id, hour), false, &file)?;
            }
        }
        if !logged {
            self.counters.floor = self.counters.seq;
        }
        self.forget_hour(key)?;
        applied.removed += u64::from(row.rows);
        self.chat.insert(stream_row.id, stream.quality.is_chat());
        self.lines.forget(key);
        self.unsettle(key);
        self.count(key, Some(&row), None)?;
        stream_row.remove_hour(key);
        self.met.insert(name.clone(), stream_row);
        self.touch(stream, &name, stream_row).insert(hour, None);
        Ok(())
    }

    fn put(&mut self, hour: HourKey, row: &mut HourRow, file: &SegmentFile) -> Result<bool, IndexError> {
        let file = &SegmentFile { key: file.key, size: file.size.min(MAX_SIZE), exact: None };
        let before = match self.files.put(hour, row, file)? {
            RowBefore::Same => return Ok(false),
            RowBefore::None => None,
            RowBefore::Size(size) => Some(size),
        };
        if file.key.tombstone {
            if before.is_none() {
                row.totals.add(file, false, &mut self.scratch);
                self.hide(hour, row, file, true)?;
            }
            return Ok(true);
        }
        let hidden = row.totals.tombstones > 0 && self.has_tombstone(hour, file)?;
        if let Some(size) = before {
            row.totals.subtract(&SegmentFile { size, ..file.clone() }, hidden, &mut self.scratch);
        }
        row.totals.add(file, hidden, &mut self.scratch);
        Ok(true)
    }

    fn remove(&mut self, hour: HourKey, row: &mut HourRow, file: &SegmentFile) -> Result<bool, IndexError> {
        let Some(size) = self.files.remove(hour, row, &file.key)? else { return Ok(false) };
        let old = SegmentFile { size, ..file.clone() };
        if file.key.tombstone {
            row.totals.subtract(&old, false, &mut self.scratch);
            self.hide(hour, row, file, false)?;
        } else {
            let hidden = row.totals.tombstones > 0 && self.has_tombstone(hour, file)?;
            row.totals.subtract(&old, hidden, &mut self.scratch);
        }
        Ok(true)
    }

    fn has_tombstone(&self, hour: HourKey, file: &SegmentFile) -> Result<bool, IndexError> {
        Ok(self.files.size(hour, &file.key.as_tombstone())?.is_some())
    }

    /// Counts what a tombstone hides, if it lies there, as hidden, or no longer so.
    fn hide(
        &mut self,
        hour: HourKey,
        row: &mut HourRow,
        tombstone: &SegmentFile,
        now_hidden: bool,
    ) -> Result<(), IndexError> {
        for key in tombstone.key.hideable() {
            let Some(size) = self.files.size(hour, &key)? else { continue };
            let file = SegmentFile { key, size, exact: None };
            row.totals.subtract(&file, !now_hidden, &mut self.scratch);
            row.totals.add(&file, now_hidden, &mut self.scratch);
        }
        Ok(())
    }

    /// Whether adjusting does not suffice: the file is odd, or it is a tombstone in an hour that has odd names.
    fn needs_recount(&self, hour: HourKey, file: &AnyFile) -> Result<bool, IndexError> {
        match file {
            AnyFile::Segment(SegmentFile { exact: None, key, .. }) if !key.tombstone => Ok(false),
            AnyFile::Segment(SegmentFile { exact: None, .. }) => self.files.has_odd(hour),
            AnyFile::Segment(_) | AnyFile::Odd(_) => Ok(true),
        }
    }
}
