//! Applies batches to the tables within one transaction: rows, summaries, change log, all or nothing.
//!
//! Totals are adjusted for ordinary files and counted afresh for an hour in which a tombstone meets odd names, which is rare.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use redb::{ReadableTable as _, ReadableTableMetadata as _, Table, WriteTransaction};

use super::IndexError;
use super::catalog::{Catalog, StreamEntry, Version};
use super::codec::{self, HourRow, StreamRow};
use super::hole_reasons::{HoleKey, HoleReasonUpdate, write_away};
use super::query::{encode_change, gather};
use super::recent_best::CachedLines;
use super::tables::{
    CENSUS, CHANGES, CLOSED_HOLES, CLOSED_ORDER, COVERAGE, DIRECTORIES, FACTS, FILES, HOURS, HourKey, META, ODD_FILES,
    OPEN_HOLES, PEERS, STREAMS, UNSETTLED, VISITORS,
};
use super::visitors;
use super::writer::{Applied, Batch, Counters, HourUpdate, StampUpdate, StreamsSeen, TouchedHours};
use crate::archive::totals::HourTotals;
use crate::archive::{AnyFile, Hour, HourChange, OddFile, SegmentFile, Stream};

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
    pub(super) files: Table<'t, &'static [u8; 50], &'static [u8; 6]>,
    pub(super) odd: Table<'t, &'static [u8], &'static [u8; 6]>,
    pub(super) hours: Table<'t, &'static [u8; 8], &'static [u8]>,
    pub(super) coverage: Table<'t, &'static [u8; 8], &'static [u8]>,
    pub(super) unsettled: Table<'t, &'static [u8; 8], ()>,
    pub(super) open_holes: Table<'t, &'static HoleKey, &'static [u8]>,
    pub(super) closed_holes: Table<'t, &'static HoleKey, &'static [u8]>,
    pub(super) closed_order: Table<'t, &'static HoleKey, ()>,
    pub(super) census: Table<'t, &'static [u8; 8], &'static [u8]>,
    pub(super) facts: Table<'t, &'static [u8; 9], &'static [u8]>,
    visitors: Table<'t, &'static str, &'static [u8]>,
    streams: Table<'t, &'static str, &'static [u8]>,
    directories: Table<'t, &'static str, &'static [u8]>,
    changes: Table<'t, u64, &'static [u8]>,
    peers: Table<'t, &'static str, &'static [u8]>,
    meta: Table<'t, &'static str, &'static [u8]>,
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
            files: transaction.open_table(FILES)?,
            odd: transaction.open_table(ODD_FILES)?,
            hours: transaction.open_table(HOURS)?,
            coverage: transaction.open_table(COVERAGE)?,
            unsettled: transaction.open_table(UNSETTLED)?,
            open_holes: transaction.open_table(OPEN_HOLES)?,
            closed_holes: transaction.open_table(CLOSED_HOLES)?,
            closed_order: transaction.open_table(CLOSED_ORDER)?,
            census: transaction.open_table(CENSUS)?,
            facts: transaction.open_table(FACTS)?,
            visitors: transaction.open_table(VISITORS)?,
            streams: transaction.open_table(STREAMS)?,
            directories: transaction.open_table(DIRECTORIES)?,
            changes: transaction.open_table(CHANGES)?,
            peers: transaction.open_table(PEERS)?,
            meta: transaction.open_table(META)?,
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
            match stamp {
                Some(_) => drop(self.directories.insert(path.as_str(), codec::encode_stamp(*stamp).as_slice())?),
                None => drop(self.directories.remove(path.as_str())?),
            }
        }
        for (name, row) in &batch.peers {
            self.peers.insert(name.as_str(), row.encode(name).as_slice())?;
        }
        for (at, grown, known) in &batch.reasons {
            self.remember_why(at, *grown, known)?;
        }
        for stream in &batch.mend {
            let id = self.catalog.read().streams.get(&stream.to_string()).map(|entry| entry.row.id);
            if let Some(id) = id.filter(|_| !stream.quality.is_chat()) {
                self.begin_turning(id, true)?;
            }
        }
        if !batch.away.is_empty() {
            write_away(&mut self.meta, &batch.away)?;
        }
        for (name, state) in &batch.visitors {
            self.visitors.insert(name.as_str(), visitors::encode(name, state).as_slice())?;
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
            self.meta.insert("archive", archive.as_slice())?;
        }
        if let Some(records) = &batch.records {
            self.meta.insert("records", records.as_bytes())?;
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
            self.streams.insert(name.as_str(), row.encode(name).as_slice())?;
        }
        while self.changes.len()? > changes_kept {
            let Some(oldest) = self.changes.pop_first()?.map(|(key, _)| key.value()) else { break };
            self.counters.floor = self.counters.floor.max(oldest);
        }
        let Counters { seq, floor, next_stream } = *self.counters;
        for (name, number) in [("seq", seq), ("floor", floor), ("next_stream", next_stream)] {
            self.meta.insert(name, number.to_le_bytes().as_slice())?;
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
        let key = codec::hour_key(stream_row.id, hour);
        let old = match self.hours.get(&key)? {
            Some(value) => Some(HourRow::decode(key, value.value())?),
            None => None,
        };
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
                HourChange::Put(file) => self.put_odd(key, &mut row, file)?,
                HourChange::Remove(file) => self.remove_odd(key, &mut row, file)?,
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
                let record = encode_change(stream_row.id, hour, put, change.file());
                self.changes.insert(self.counters.seq, record.as_slice())?;
            }
        }
        self.forget(key, &gone)?;
        if recount {
            row.totals = HourTotals::of(&gather(&self.files, &self.odd, key, &row)?);
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
            self.hours.insert(&key, row.encode(key).as_slice())?;
            self.count(key, old.as_ref(), Some(&row))?;
            self.touch(stream, &name, stream_row).insert(hour, Some(row.changed));
        }
        Ok(())
    }

    fn remove_hour(&mut self, stream: &Stream, hour: Hour, applied: &mut Applied) -> Result<(), IndexError> {
        let name = stream.to_string();
        let mut stream_row = self.stream_row(stream, &name)?;
        let key = codec::hour_key(stream_row.id, hour);
        let row = match self.hours.remove(&key)? {
            Some(value) => HourRow::decode(key, value.value())?,
            None => return Ok(()),
        };
        let contents = gather(&self.files, &self.odd, key, &row)?;
        let logged = contents.len() as u64 <= MAX_LOGGED;
        let understood = contents.files().iter().cloned().map(AnyFile::Segment);
        for file in understood.chain(contents.odd().iter().cloned().map(AnyFile::Odd)) {
            match &file {
                AnyFile::Segment(SegmentFile { key: segment, exact: None, .. }) => {
                    drop(self.files.remove(&codec::file_key(key, segment))?);
                }
                other => drop(self.odd.remove(codec::odd_key(key, &other.name()).as_slice())?),
            }
            self.counters.seq += 1;
            if logged {
                let record = encode_change(stream_row.id, hour, false, &file);
                self.changes.insert(self.counters.seq, record.as_slice())?;
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
        let file = &SegmentFile { key: file.key, size: file.size.min(codec::MAX_SIZE), exact: None };
        let (key, value) = (codec::file_key(hour, &file.key), codec::file_value(file.size));
        let before = self.files.insert(&key, &value)?.map(|before| *before.value());
        if before == Some(value) {
            return Ok(false);
        }
        Self::adjust(row, &key, before, Some(value));
        if file.key.tombstone {
            if before.is_none() {
                row.totals.add(file, false, &mut self.scratch);
                self.hide(hour, row, file, true)?;
            }
            return Ok(true);
        }
        let hidden = row.totals.tombstones > 0 && self.has_tombstone(hour, file)?;
        if let Some(before) = before {
            let old = SegmentFile { size: codec::read_file_value(before), ..file.clone() };
            row.totals.subtract(&old, hidden, &mut self.scratch);
        }
        row.totals.add(file, hidden, &mut self.scratch);
        Ok(true)
    }

    fn remove(&mut self, hour: HourKey, row: &mut HourRow, file: &SegmentFile) -> Result<bool, IndexError> {
        let key = codec::file_key(hour, &file.key);
        let Some(before) = self.files.remove(&key)?.map(|before| *before.value()) else { return Ok(false) };
        Self::adjust(row, &key, Some(before), None);
        let old = SegmentFile { size: codec::read_file_value(before), ..file.clone() };
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
        Ok(self.files.get(&codec::file_key(hour, &file.key.as_tombstone()))?.is_some())
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
            let Some(value) = self.files.get(&codec::file_key(hour, &key))?.map(|value| *value.value()) else {
                continue;
            };
            let file = SegmentFile { key, size: codec::read_file_value(value), exact: None };
            row.totals.subtract(&file, !now_hidden, &mut self.scratch);
            row.totals.add(&file, now_hidden, &mut self.scratch);
        }
        Ok(())
    }

    fn put_odd(&mut self, hour: HourKey, row: &mut HourRow, file: &AnyFile) -> Result<bool, IndexError> {
        let (key, value) = (codec::odd_key(hour, &file.name()), codec::file_value(file.size()));
        let before = self.odd.insert(key.as_slice(), &value)?.map(|before| *before.value());
        if before != Some(value) {
            Self::adjust(row, &key, before, Some(value));
        }
        Ok(before != Some(value))
    }

    fn remove_odd(&mut self, hour: HourKey, row: &mut HourRow, file: &AnyFile) -> Result<bool, IndexError> {
        let key = codec::odd_key(hour, &file.name());
        let Some(before) = self.odd.remove(key.as_slice())?.map(|before| *before.value()) else { return Ok(false) };
        Self::adjust(row, &key, Some(before), None);
        Ok(true)
    }

    fn adjust(row: &mut HourRow, key: &[u8], before: Option<[u8; 6]>, after: Option<[u8; 6]>) {
        if let Some(before) = before {
            row.rows = row.rows.wrapping_sub(1);
            row.sum = row.sum.wrapping_sub(codec::row_sum(key, before));
        }
        if let Some(after) = after {
            row.rows = row.rows.wrapping_add(1);
            row.sum = row.sum.wrapping_add(codec::row_sum(key, after));
        }
    }

    /// Whether adjusting does not suffice: the file is odd, or it is a tombstone in an hour that has odd names.
    fn needs_recount(&self, hour: HourKey, file: &AnyFile) -> Result<bool, IndexError> {
        match file {
            AnyFile::Segment(SegmentFile { exact: None, key, .. }) if !key.tombstone => Ok(false),
            AnyFile::Segment(SegmentFile { exact: None, .. }) => {
                let first = self.odd.range::<&[u8]>(hour.as_slice()..)?.next().transpose()?;
                Ok(first.is_some_and(|(key, _)| key.value().starts_with(&hour)))
            }
            AnyFile::Segment(_) | AnyFile::Odd(OddFile { .. }) => Ok(true),
        }
    }
}
