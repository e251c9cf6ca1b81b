//! Fills a new index in the order of its keys, far faster than the writer can: for the offline rebuild.

use std::collections::BTreeMap;
use std::path::Path;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _};

use super::codec::{self, HourRow, StreamRow};
use super::tables::{CENSUS, COVERAGE, DIRECTORIES, FILES, HOURS, HourKey, META, ODD_FILES, OPEN_HOLES, STREAMS};
use super::{IndexError, IndexOptions, LedgerCopy, census, hole_reasons, schema, summaries};
use crate::archive::census::Census;
use crate::archive::coverage::{CoverageKind, Ends, HourLine, HourSummary, Stretch};
use crate::archive::totals::HourTotals;
use crate::archive::{Hour, HourContents, Stamp, Stream, Timestamp};

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
        hole_reasons::begin(&mut transaction.open_table(OPEN_HOLES)?, id, holes, &before, self.now)?;
        hole_reasons::put_closed(&transaction, id, &closed)?;
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
            let mut files = transaction.open_table(FILES)?;
            let mut hours = transaction.open_table(HOURS)?;
            let mut kept = transaction.open_table(CENSUS)?;
            let mut days: BTreeMap<HourKey, Census> = BTreeMap::new();
            let mut coverage = transaction.open_table(COVERAGE)?;
            let mut odd_files = transaction.open_table(ODD_FILES)?;
            let mut file_cursor = files.upper_bound_mut(std::ops::Bound::<&[u8; 50]>::Unbounded)?;
            let mut hour_cursor = hours.upper_bound_mut(std::ops::Bound::<&[u8; 8]>::Unbounded)?;
            let mut summary_cursor = coverage.upper_bound_mut(std::ops::Bound::<&[u8; 8]>::Unbounded)?;
            for loaded in chunk {
                let key = codec::hour_key(row.id, loaded.hour);
                let (mut rows, mut sum) = (0_u32, 0_u64);
                let mut count = |row_key: &[u8], value| {
                    rows = rows.wrapping_add(1);
                    sum = sum.wrapping_add(codec::row_sum(row_key, value));
                };
                for file in loaded.contents.files() {
                    let value = codec::file_value(file.size);
                    if let Some(exact) = &file.exact {
                        let odd_key = codec::odd_key(key, exact);
                        count(&odd_key, value);
                        odd_files.insert(odd_key.as_slice(), &value)?;
                    } else {
                        let file_key = codec::file_key(key, &file.key);
                        count(&file_key, value);
                        file_cursor.insert_before(&file_key, &value)?;
                    }
                }
                for file in loaded.contents.odd() {
                    let (odd_key, value) = (codec::odd_key(key, &file.name), codec::file_value(file.size));
                    count(&odd_key, value);
                    odd_files.insert(odd_key.as_slice(), &value)?;
                }
                let hour_row = HourRow { totals: loaded.totals, stamp: loaded.stamp, changed: 0, rows, sum };
                hour_cursor.insert_before(&key, hour_row.encode(key).as_slice())?;
                if !stream.quality.is_chat() {
                    let summary = HourSummary::of(ends, loaded.hour, &loaded.line);
                    summary_cursor.insert_before(&key, summaries::encode(key, &summary).as_slice())?;
                    holes.extend_from_slice(&summary.holes[CoverageKind::Raw as usize]);
                    ends = summary.after;
                }
                let day = census::day_key(key)?;
                let of_day = days.entry(day).or_default();
                *of_day = of_day.plus(Census::of_hour(&loaded.totals));
                row.add_hour(key);
            }
            for (day, of_day) in days {
                // A chunk may have begun in the middle of it.
                let known = kept.get(&day)?.map(|value| census::decode(day, value.value())).transpose()?;
                kept.insert(&day, census::encode(day, &of_day.plus(known.unwrap_or_default())).as_slice())?;
            }
        }
        transaction.open_table(STREAMS)?.insert(name.as_str(), row.encode(&name).as_slice())?;
        transaction.commit()?;
        Ok(ends)
    }

    /// Writes what is left, flushes it to disk, verifies that all rows are there, and closes the file.
    pub fn finish(mut self, directories: &[(String, Stamp)], archive: Option<[u8; 16]>) -> Result<(), IndexError> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_quick_repair(true);
        {
            let mut meta = transaction.open_table(META)?;
            meta.insert("next_stream", (u64::from(self.streams) + 1).to_le_bytes().as_slice())?;
            if let Some(archive) = &archive {
                meta.insert("archive", archive.as_slice())?;
            }
            hole_reasons::write_away(&mut meta, &self.ledger.away)?;
            if !self.ledger.records.is_empty() {
                meta.insert("records", self.ledger.records.as_bytes())?;
            }
            let mut table = transaction.open_table(DIRECTORIES)?;
            for (path, stamp) in directories {
                table.insert(path.as_str(), codec::encode_stamp(Some(*stamp)).as_slice())?;
            }
        }
        transaction.commit()?;
        // Without this the file is twice as large as what is in it.
        self.database.compact()?;
        let written = self.database.begin_read()?;
        let found = written.open_table(FILES)?.len()? + written.open_table(ODD_FILES)?.len()?;
        if found != self.rows {
            return Err(IndexError::Damaged(format!("{} files were loaded and {found} are there", self.rows)));
        }
        Ok(())
    }
}
