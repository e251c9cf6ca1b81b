//! Fills a new index in the order of its keys, far faster than the writer can: for the offline rebuild.

use std::collections::BTreeMap;
use std::path::Path;

use redb::{Database, ReadableDatabase as _};

use super::census::DayTable;
use super::codec::hour_key;
use super::directories::DirectoryTable;
use super::files::{self, FileTables};
use super::hole_reasons::{HoleTables, MissedTable};
use super::hours::{HourRow, HourTable};
use super::meta::MetaTable;
use super::streams::{StreamRow, StreamTable};
use super::summaries::SummaryTables;
use super::{IndexError, IndexOptions, LedgerCopy, schema};
use crate::archive::census::Census;
use crate::archive::coverage::{CoverageKind, Ends, HourLine, HourSummary, Stretch};
use crate::archive::totals::HourTotals;
use crate::archive::{Day, Hour, HourContents, Stamp, Stream, Timestamp};

/// Rows after which what was loaded is committed, so that memory stays bounded.
const COMMIT_EVERY: usize = 60_000;

/// An hour to load, with what could be computed beside the loading.
#[derive(Debug)]
pub struct LoadedHour {
    /// The hour.
    pub hour: Hour,
    /// Its files.
    pub contents: HourContents,
    /// Counted from them.
    pub totals: HourTotals,
    /// Its best segments.
    pub line: HourLine,
    /// The directory's stamp, if it can be trusted.
    pub stamp: Option<Stamp>,
}

/// A new index that is being filled.
#[derive(Debug)]
pub struct BulkLoader {
    database: Database,
    rows: u64,
    streams: u32,
    /// What was known of holes before; and when the new ledger begins.
    ledger: LedgerCopy,
    now: Timestamp,
}

impl BulkLoader {
    /// Begins a new index at `path`, which must not exist.
    pub fn create(path: &Path, options: &IndexOptions) -> Result<Self, IndexError> {
        let database = Database::builder().set_cache_size(options.cache_bytes).create(path)?;
        schema::migrate(&database)?;
        Ok(Self { database, rows: 0, streams: 0, ledger: LedgerCopy::default(), now: super::writer::now() })
    }

    /// What the index that is replaced knew of the past of holes goes on.
    pub fn carry_over(&mut self, ledger: LedgerCopy) {
        self.ledger = ledger;
    }

    /// Rows loaded so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Loads all hours of a stream, oldest first. Streams are loaded one after the other, each once.
    pub fn load_stream<E: From<IndexError>>(
        &mut self,
        stream: &Stream,
        hours: impl IntoIterator<Item = Result<LoadedHour, E>>,
    ) -> Result<(), E> {
        self.streams += 1;
        let mut row = StreamRow { id: self.streams, hours: 0, sum: 0 };
        let (mut ends, mut holes) = (None, Vec::new());
        let mut hours = hours.into_iter().peekable();
        loop {
            let mut chunk = Vec::new();
            let mut rows = 0;
            while rows < COMMIT_EVERY
                && let Some(hour) = hours.next()
            {
                let hour = hour?;
                rows += hour.contents.len();
                chunk.push(hour);
            }
            let last = hours.peek().is_none();
            ends = self.load_chunk(stream, &mut row, ends, &chunk, &mut holes)?;
            self.rows += rows as u64;
            if last {
                holes.extend(ends.and_then(|ends| ends.trailing_hole()));
                return Ok(self.begin_ledger(stream, row.id, holes)?);
            }
        }
    }

    fn begin_ledger(&mut self, stream: &Stream, id: u32, holes: Vec<Stretch>) -> Result<(), IndexError> {
        let (before, closed) = self.ledger.streams.remove(&stream.to_string()).unwrap_or_default();
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(redb::Durability::None)?;
        {
            let mut table = HoleTables::open(&transaction)?;
            table.begin(id, holes, &before, self.now)?;
            table.put_closed(id, &closed)?;
            let mut missed = MissedTable::open(&transaction)?;
            for each in self.ledger.missed.remove(&stream.to_string()).unwrap_or_default() {
                missed.put(id, each)?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// Loads some hours after what those before them leave, and says what these leave.
    fn load_chunk(
        &mut self,
        stream: &Stream,
        row: &mut StreamRow,
        before: Option<Ends>,
        chunk: &[LoadedHour],
        holes: &mut Vec<Stretch>,
    ) -> Result<Option<Ends>, IndexError> {
        let (name, mut ends) = (stream.to_string(), before);
        let mut transaction = self.database.begin_write()?;
        // What is lost at a kill is an unfinished file that nobody opens.
        transaction.set_durability(redb::Durability::None)?;
        {
            let (mut files, mut hours) = (FileTables::open(&transaction)?, HourTable::open(&transaction)?);
            let (mut summaries, mut kept) = (SummaryTables::open(&transaction)?, DayTable::open(&transaction)?);
            let (mut files, mut hours, mut summaries) = (files.at_end()?, hours.at_end()?, summaries.at_end()?);
            let mut days: BTreeMap<Day, Census> = BTreeMap::new();
            for loaded in chunk {
                let key = hour_key(row.id, loaded.hour);
                let mut hour = HourRow { totals: loaded.totals, stamp: loaded.stamp, ..HourRow::default() };
                files.append(key, &mut hour, &loaded.contents)?;
                hours.append(key, &hour)?;
                if !stream.quality.is_chat() {
                    let summary = HourSummary::of(ends, loaded.hour, &loaded.line);
                    summaries.append(key, &summary)?;
                    holes.extend_from_slice(&summary.holes[CoverageKind::Raw as usize]);
                    ends = summary.after;
                }
                let of_day = days.entry(Day::of(loaded.hour)).or_default();
                *of_day = of_day.plus(Census::of_hour(&loaded.totals));
                row.add_hour(key);
            }
            for (day, of_day) in days {
                // A chunk may have begun in the middle of it.
                kept.change(hour_key(row.id, day.first()), |known| known.plus(of_day))?;
            }
        }
        StreamTable::open(&transaction)?.set(&name, *row)?;
        transaction.commit()?;
        Ok(ends)
    }

    /// Writes what is left, flushes it to disk, verifies that all rows are there, and closes the file.
    pub fn finish(mut self, directories: &[(String, Stamp)], archive: Option<[u8; 16]>) -> Result<(), IndexError> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_quick_repair(true);
        {
            let mut meta = MetaTable::open(&transaction)?;
            meta.set_number("next_stream", u64::from(self.streams) + 1)?;
            if let Some(archive) = &archive {
                meta.set_archive(archive)?;
            }
            meta.add_away(&self.ledger.away)?;
            if !self.ledger.records.is_empty() {
                meta.set_records(&self.ledger.records)?;
            }
            let mut table = DirectoryTable::open(&transaction)?;
            for (path, stamp) in directories {
                table.set(path, Some(*stamp))?;
            }
        }
        transaction.commit()?;
        // Without this the file is twice as large as what is in it.
        self.database.compact()?;
        let written = self.database.begin_read()?;
        let found = files::count(&written)?;
        if found != self.rows {
            return Err(IndexError::Damaged(format!("{} files were loaded and {found} are there", self.rows)));
        }
        Ok(())
    }
}
